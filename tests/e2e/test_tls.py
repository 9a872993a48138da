"""https with real certificates: a feed is fetched when its server's authority is trusted, and refused with a clear error when not, for the wrong name, or out of date."""
import http.server
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from weirtest import Server, need_binary, weir  # noqa: E402

FEED = b'<rss version="2.0"><channel><title>Locked</title><link>https://x.example/</link><description>d</description><item><guid>1</guid><title>One</title></item></channel></rss>'


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need_binary()
        if not shutil.which('openssl'):
            raise unittest.SkipTest('no openssl command')
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix='weir-tls.'))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=Test authority',
                    '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign')
        cls.urls = {}
        for name, san, days in (('good', 'IP:127.0.0.1', '1'), ('misnamed', 'DNS:elsewhere.example', '1'), ('expired', 'IP:127.0.0.1', '-1')):
            cls.openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', f'{name}.key', '-out', f'{name}.csr', '-subj', f'/CN={name}')
            (cls.folder / 'ext').write_text(f'subjectAltName={san}\n')
            cls.openssl('x509', '-req', '-in', f'{name}.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', f'{name}.pem', '-days', days, '-extfile', 'ext')
            cls.urls[name] = cls.serve(name)

    @classmethod
    def openssl(cls, *words):
        done = subprocess.run(['openssl', *words], cwd=cls.folder, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(done.stderr)

    @classmethod
    def serve(cls, name):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                if self.path == '/to-plain':
                    self.send_response(301)
                    self.send_header('Location', 'http://127.0.0.1:9/')
                    self.send_header('Content-Length', '0')
                    return self.end_headers()
                self.send_response(200)
                self.send_header('Content-Length', str(len(FEED)))
                self.end_headers()
                self.wfile.write(FEED)

            def log_message(self, *_):
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # handshakes that are refused

            def get_request(self):  # the handshake is for the connection's own thread
                connection, address = self.socket.accept()
                return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cls.folder / f'{name}.pem', cls.folder / f'{name}.key')
        server = Quiet(('127.0.0.1', 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        return f'https://127.0.0.1:{server.server_port}/'

    def refused(self, server, url, word):
        answer = server.post('/api/sources', {'url': url})
        self.assertEqual(answer.status, 422, answer)
        self.assertIn(word, answer.json['error']['message'], answer)

    def test_a_trusted_authority(self):
        with Server(env={'SSL_CERT_FILE': str(self.folder / 'ca.pem')}) as server:
            answer = server.post('/api/sources', {'url': self.urls['good']})
            self.assertEqual((answer.status, answer.json.get('title'), answer.json.get('total')), (201, 'Locked', 1), answer)
            for name in ('misnamed', 'expired'):
                self.refused(server, self.urls[name], 'certificate cannot be trusted')
            # A feed that was fetched and whose certificate is another's now: the error is in the list, the items stay.
            plain = self.urls['good'].replace('https:', 'http:')
            self.refused(server, plain, '')
            self.assertEqual(server.get('/api/sources').json['sources'][0]['total'], 1)

    def test_an_unknown_authority(self):
        with Server() as server:
            self.refused(server, self.urls['good'], 'certificate cannot be trusted')
            self.assertEqual(server.get('/api/sources').json['sources'], [])
            # By import there is a source; its error is told.
            server.post('/api/import', f'<opml version="2.0"><body><outline text="a" xmlUrl="{self.urls["good"]}"/></body></opml>', headers={'Content-Type': 'text/x-opml'})
            for _ in range(100):
                source = server.get('/api/sources').json['sources'][0]
                if source['health'] != 'ok':
                    break
                threading.Event().wait(0.05)
            self.assertEqual(source['health'], 'failing')
            self.assertIn('certificate cannot be trusted', source['error'])

    def test_a_file_of_certificates_that_is_not_there(self):
        with tempfile.TemporaryDirectory() as data:
            code, out, err = weir('--no-model', 'serve', '--listen', '127.0.0.1:0', data=data, env={'SSL_CERT_FILE': '/nowhere/ca.pem'}, check=False)
            self.assertEqual(code, 2, err)
            self.assertIn('/nowhere/ca.pem', err)
            self.assertIn('SSL_CERT_FILE', err)


if __name__ == '__main__':
    unittest.main()
