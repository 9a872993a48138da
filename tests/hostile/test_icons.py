"""Icons are bytes of strangers on our own origin: only what is an image by its first bytes gets in, no SVG, nothing large; and a browser is told to run nothing in it."""
import http.server
import os
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from weirtest import Server, need_binary, until  # noqa: E402

PNG = bytes.fromhex('89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082')
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
# path: (type it claims, bytes, the type it is let in as, or none)
ICONS = {'png': ('image/png', PNG, 'image/png'), 'png-as-html': ('text/html', PNG, 'image/png'), 'gif': ('image/gif', b'GIF89a' + bytes(30), 'image/gif'), 'ico': ('image/x-icon', b'\0\0\1\0\1\0' + bytes(40), 'image/x-icon'),
         'svg': ('image/svg+xml', SVG, None), 'svg-as-png': ('image/png', SVG, None), 'svg-after-spaces': ('image/png', b' ' * 200 + SVG, None), 'html-as-png': ('image/png', b'<!doctype html><script>alert(1)</script>', None),
         'xml': ('image/png', b'<?xml version="1.0"?>' + SVG, None), 'empty': ('image/png', b'', None), 'large': ('image/png', PNG + bytes(600_000), None), 'javascript': ('image/png', b'alert(1)//' + PNG, None), 'pdf': ('image/png', b'%PDF-1.4', None)}


class Icons(unittest.TestCase):
    def test_of_the_home_page(self):
        """A feed names no icon and its site has no /favicon.ico: the home page's <link rel=icon> is taken, for what came by OPML as for what was added."""
        need_binary()
        asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                here = f'http://{self.headers["Host"]}'
                kind, body = {
                    '/by-opml': ('application/rss+xml', f'<rss version="2.0"><channel><title>a</title><link>{here}/home/</link></channel></rss>'.encode()),
                    '/by-hand': ('application/rss+xml', f'<rss version="2.0"><channel><title>b</title><link>{here}/home/</link></channel></rss>'.encode()),
                    '/bare': ('application/rss+xml', f'<rss version="2.0"><channel><title>c</title><link>{here}/none/</link></channel></rss>'.encode()),
                    '/home/': ('text/html', b'<!doctype html><link rel="icon" href="no.png"><link rel="icon" href="i.png"><p>Home.'),
                    '/home/i.png': ('image/png', PNG),
                    '/none/': ('text/html', b'<!doctype html><p>No icon.'),
                }.get(self.path, ('text/plain', None))
                self.send_response(404 if body is None else 200)
                self.send_header('Content-Type', kind)
                self.send_header('Content-Length', str(len(body or b'')))
                self.end_headers()
                self.wfile.write(body or b'')

            def log_message(self, *_):
                pass

        site = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        here = f'http://127.0.0.1:{site.server_port}'
        threading.Thread(target=site.serve_forever, daemon=True).start()
        self.addCleanup(site.server_close)
        self.addCleanup(site.shutdown)
        with Server() as server:
            server.request('POST', '/api/import', f'<opml version="2.0"><body><outline type="rss" text="a" xmlUrl="{here}/by-opml"/><outline type="rss" text="c" xmlUrl="{here}/bare"/></body></opml>')
            server.post('/api/sources', {'url': f'{here}/by-hand'})
            until(lambda: [one['title'] for one in server.get('/api/sources').json['sources'] if 'icon' in one] == ['a', 'b'], 20)
            for one in server.get('/api/sources').json['sources']:
                if one['title'] != 'c':
                    self.assertEqual(server.get(one['icon']).body, PNG)
            until(lambda: '/none/' in asked, 10)
            self.assertLessEqual(asked.count('/favicon.ico'), 1)
            self.assertLessEqual(asked.count('/home/i.png'), 1, 'one look serves all')

    def test_what_gets_in(self):
        need_binary()
        host = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                kind, _, name = self.path[1:].partition('/')
                if kind == 'icon':
                    claimed, body, _ = ICONS[name]
                else:
                    claimed = 'application/atom+xml'
                    body = f'<feed xmlns="http://www.w3.org/2005/Atom"><title>{name}</title><id>urn:{name}</id><icon>http://{host["is"]}/icon/{name}</icon><entry><id>{name}</id><title>t</title></entry></feed>'.encode()
                self.send_response(200)
                self.send_header('Content-Type', claimed)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except OSError:
                    pass  # a reader that had enough

        site = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        host['is'] = f'127.0.0.1:{site.server_port}'
        threading.Thread(target=site.serve_forever, daemon=True).start()
        self.addCleanup(site.server_close)
        self.addCleanup(site.shutdown)
        with Server() as server:
            ids = {name: server.post('/api/sources', {'url': f'http://{host["is"]}/feed/{name}'}).json['id'] for name in ICONS}
            icon = lambda name: server.get(f'/api/sources/{ids[name]}/icon')
            for name, (_, body, kind) in ICONS.items():
                if kind:
                    answer = until(lambda: (a := icon(name)).status == 200 and a, 10)
                    self.assertEqual((answer.headers['Content-Type'], answer.body), (kind, body), name)
                    self.assertEqual(answer.headers['X-Content-Type-Options'], 'nosniff')
                    self.assertIn("default-src 'none'", answer.headers['Content-Security-Policy'])
            until(lambda: '\nweir_fetch_in_flight 0\n' in server.get('/metrics').body.decode(), 10)
            time.sleep(0.3)
            for name, (_, _, kind) in ICONS.items():
                self.assertEqual(icon(name).status, 200 if kind else 404, name)


if __name__ == '__main__':
    unittest.main()
