"""A server of bombs: what a hostile feed, page or web server can send to cost a reader its time or memory. Each bomb has an address of its own (127.2.0.N), so
that none waits for another's connection. Standard library only (brotli: the system's library, through ctypes)."""
import ctypes
import gzip
import http.server
import random
import socketserver
import threading
import time
import zlib

HEAD = '<?xml version="1.0"?><rss version="2.0"><channel><title>Bomb</title><link>http://bomb.example/</link><description>d</description>'
TAIL = '</channel></rss>'


def rss(inside, head=HEAD):
    return (head + inside + TAIL).encode()


def html_item(html):
    return rss(f'<item><guid>1</guid><title>t</title><description><![CDATA[{html}]]></description></item>')


def laughs():
    entities = '<!ENTITY l0 "lol">' + ''.join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE rss [{entities}]><rss version="2.0"><channel><title>&l9;</title><item><guid>1</guid><title>&l9;</title></item></channel></rss>'.encode()


def quadratic():
    return f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "{"a" * 100_000}">]><rss version="2.0"><channel><title>{"&a;" * 20_000}</title><item><guid>1</guid><title>{"&a;" * 20_000}</title></item></channel></rss>'.encode()


def external(what):
    return f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY x SYSTEM "{what}"><!ENTITY % p SYSTEM "{what}"> %p;]><rss version="2.0"><channel><title>Bomb &x;</title><item><guid>1</guid><title>here: &x;</title></item></channel></rss>'.encode()


def zeros_gzip(size):
    return gzip.compress(b' ' * size, 6, mtime=0)


def zeros_zstd(size):
    """Frames of blocks that say "this byte, 128 kB of it": 4 bytes each."""
    blocks = size >> 17
    out = bytearray(b'\x28\xb5\x2f\xfd\x00\x38')
    for n in range(blocks):
        out += ((1 << 17) << 3 | 1 << 1 | (n == blocks - 1)).to_bytes(3, 'little') + b' '
    return bytes(out)


def zeros_brotli(size):
    library = ctypes.CDLL('libbrotlienc.so.1')
    out, length = ctypes.create_string_buffer(1 << 16), ctypes.c_size_t(1 << 16)
    assert library.BrotliEncoderCompress(1, 24, 0, ctypes.c_size_t(size), b' ' * size, ctypes.byref(length), out)
    return out.raw[:length.value]


def chunks(data, size=1 << 16):
    for at in range(0, len(data), size):
        yield data[at:at + size]


# ---- how a server can misbehave: handlers of one request

def sends(body, kind='application/rss+xml', encoding=''):
    def answer(self):
        data = body() if callable(body) else body
        self.send_response(200)
        self.send_header('Content-Type', kind)
        if encoding:
            self.send_header('Content-Encoding', encoding)
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    return answer


def drips(before, byte=b'x', every=0.5):
    """A byte now and then, for ever: before or after the headers' end."""
    def answer(self):
        self.wfile.write(before)
        while not self.server.stopping.wait(every):
            self.wfile.write(byte)
    return answer


def pours(before, chunk):
    def answer(self):
        self.wfile.write(before)
        while not self.server.stopping.is_set():
            self.wfile.write(chunk)
    return answer


def hangs(self):
    self.server.stopping.wait(60)


def redirects(to):
    def answer(self):
        self.send_response(302)
        self.send_header('Location', to(self.path))
        self.send_header('Content-Length', '0')
        self.end_headers()
    return answer


def bombs():
    """Name → what answers. Some can be read within the limits, and what they say is then kept within them."""
    ok = b'HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\n'
    return {
        # XML
        'billion laughs': sends(laughs()), 'quadratic entities': sends(quadratic()),
        'external entity, a file': sends(external('file:///etc/passwd')), 'external entity, a server': sends(external('http://127.2.0.250:9/')),
        'depth 1,000,000': sends(rss('<a>' * 1_000_000 + '</a>' * 1_000_000)), 'depth 1,000,000, unclosed': sends(rss('<item><guid>1</guid><b>' + '<a>' * 1_000_000)),
        'attributes, 300,000': sends(rss('<item ' + ' '.join(f'a{n}="v"' for n in range(300_000)) + '><guid>1</guid><title>t</title></item>')),
        'the same attribute, 500,000': sends(rss('<item ' + 'a="v" ' * 500_000 + '><guid>1</guid><title>t</title></item>')),
        'namespaces, 100,000': sends(rss('<item ' + ' '.join(f'xmlns:n{n}="urn:{n}"' for n in range(100_000)) + '><guid>1</guid><title>t</title></item>')),
        'namespaces, one an element': sends(rss(''.join(f'<n{n}:x xmlns:n{n}="urn:{n}">' for n in range(150_000)))),
        'items, 600,000': sends(rss('<item/>' * 600_000)), 'items with ids, 90,000': sends(rss(''.join(f'<item><guid>{n}</guid><title>t</title></item>' for n in range(90_000)))),
        'elements, 1,000,000': sends(rss('<item><guid>1</guid>' + '<a/>' * 1_000_000 + '</item>')),
        'comments, unclosed': sends(rss('<!--' * 1_500_000)), 'CDATA, unclosed': sends(rss('<![CDATA[' * 800_000)), 'DTD, unclosed': sends(b'<!DOCTYPE rss [' + b'<!ENTITY a "' * 500_000),
        'references, 2,000,000': sends(rss('<item><guid>1</guid><title>' + '&amp;' * 900_000 + '&#x41;' * 400_000 + '</title></item>')),
        'a title of 9 MB': sends(rss(f'<item><guid>1</guid><title>{"word " * 1_800_000}</title></item>')), 'an id of 5 MB': sends(rss(f'<item><guid>{"g" * 5_000_000}</guid><title>t</title></item>')),
        'an address of 5 MB': sends(rss(f'<item><guid>1</guid><link>http://h.example/{"../a/" * 1_000_000}</link><title>t</title></item>')),
        'a date of 1 MB': sends(rss(f'<item><guid>1</guid><title>t</title><pubDate>{"Mon, " * 200_000} 1</pubDate></item>')),
        'categories, 200,000': sends(rss('<item><guid>1</guid><title>t</title>' + ''.join(f'<category>c{n}</category>' for n in range(200_000)) + '</item>')),
        '< alone, 9,000,000': sends(b'<' * 9_000_000), 'noise': sends(random.Random(1).randbytes(4_000_000)), 'nothing': sends(b''),
        'UTF-16 of nothing': sends(b'\xff\xfe' + b'\x00\xd8' * 4_000_000),
        # HTML inside a feed
        'HTML depth 1,000,000': sends(html_item('<div>' * 1_000_000)), 'HTML formatting, nested': sends(html_item('<b><i><u><a>' * 150_000)), 'HTML formatting, misnested': sends(html_item('<b><p></b><a><div></a>' * 60_000)),
        'HTML attributes, 300,000': sends(html_item('<p ' + ' '.join(f'a{n}=v' for n in range(300_000)) + '>x</p>')), 'HTML tables, nested': sends(html_item('<table><tr><td>' * 200_000)),
        'HTML tables, misplaced': sends(html_item('<table>' * 1000 + 'x<b>' * 300_000)), 'HTML links, 500,000': sends(html_item('<a href="x">' * 500_000)), 'HTML comments': sends(html_item('<!--' * 1_000_000)),
        'HTML lists': sends(html_item('<ul><li>' * 500_000)), 'HTML options': sends(html_item('<select><option>' * 400_000)), 'HTML svg': sends(html_item('<svg><math>' * 400_000)),
        'HTML references': sends(html_item('&nbsp' * 1_000_000 + '&zzzz' * 500_000)), 'HTML title': sends(rss('<item><guid>1</guid><title>' + '&lt;b&gt;' * 500_000 + '</title></item>')),
        # pages, where a feed is looked for
        'a page of depth 1,000,000': sends(b'<!doctype html><html><body>' + b'<div>' * 1_000_000, 'text/html'), 'a page of links to feeds, 100,000': sends(b'<!doctype html><html><head>' + b'<link rel="alternate" type="application/rss+xml" href="/favicon.ico">' * 100_000, 'text/html'),
        'a page of attributes, 300,000': sends(('<!doctype html><html><body ' + ' '.join(f'a{n}=v' for n in range(300_000)) + '>').encode(), 'text/html'),
        # JSON
        'JSON depth 1,000,000': sends(b'{"version":"https://jsonfeed.org/version/1.1","items":' + b'[' * 1_000_000, 'application/feed+json'),
        'JSON members, 500,000': sends(('{"version":"https://jsonfeed.org/version/1.1","title":"t",' + ','.join(f'"k{n}":1' for n in range(500_000)) + ',"items":[]}').encode(), 'application/feed+json'),
        'JSON items, 300,000': sends(b'{"version":"https://jsonfeed.org/version/1.1","title":"t","items":[' + b','.join(b'{"id":"%d"}' % n for n in range(300_000)) + b']}', 'application/feed+json'),
        'a JSON number of 5 MB': sends(b'{"version":"https://jsonfeed.org/version/1.1","title":"t","items":[{"id":' + b'9' * 5_000_000 + b'}]}', 'application/feed+json'),
        # compression
        'gzip, 256 MB': sends(zeros_gzip(1 << 28), encoding='gzip'), 'gzip twice': sends(gzip.compress(zeros_gzip(1 << 26), 9), encoding='gzip, gzip'), 'gzip of gzip': sends(gzip.compress(zeros_gzip(1 << 26), 9), encoding='gzip'),
        'deflate, 128 MB': sends(zlib.compress(b' ' * (1 << 27), 9), encoding='deflate'), 'brotli, 64 MB': sends(zeros_brotli(1 << 26), encoding='br'), 'zstd, 1 GB': sends(zeros_zstd(1 << 30), encoding='zstd'),
        'not gzip': sends(rss(''), encoding='gzip'),
        # servers
        'endless body': pours(ok + b'\r\n' + HEAD.encode(), b'<item/>' * 5000), 'endless chunks': pours(ok + b'Transfer-Encoding: chunked\r\n\r\n', b'10000\r\n' + b'x' * 65536 + b'\r\n'),
        'endless headers': pours(b'HTTP/1.1 200 OK\r\n', b'X-A: b\r\n' * 1000), 'a header of no end': pours(b'HTTP/1.1 200 OK\r\nX: ', b'y' * 65536),
        'slow body': drips(ok + b'\r\n' + HEAD.encode()), 'slow headers': drips(b'HTTP/1.1 200 OK\r\nX: '), 'slow chunks': drips(ok + b'Transfer-Encoding: chunked\r\n\r\n', b'1\r\nx\r\n'), 'silence': hangs,
        'interim answers': pours(b'', b'HTTP/1.1 100 Continue\r\n\r\n' * 100), 'a round of redirects': redirects(lambda path: '/there' if path == '/' else '/'), 'redirects without end': redirects(lambda path: path + 'x'),
        'less than announced': lambda self: self.wfile.write(ok + b'Content-Length: 1000000\r\n\r\n' + HEAD.encode()), 'a lie of length': lambda self: self.wfile.write(ok + b'Content-Length: 99999999999999\r\n\r\nx'),
        'no HTTP': lambda self: self.wfile.write(b'SSH-2.0-OpenSSH_9.2\r\n' * 1000),
    }


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size, allow_reuse_address = True, 64, True

    def handle_error(self, *_):
        pass  # a reader that had enough


class Minefield:
    def __init__(self):
        self.stopping, self.urls, self.servers, self.asked = threading.Event(), {}, [], {}
        for number, (name, answer) in enumerate(bombs().items(), 1):
            handler = type('Bomb', (http.server.BaseHTTPRequestHandler,), {'protocol_version': 'HTTP/1.1', 'do_GET': self.once(name, answer), 'log_message': lambda *_: None})
            server = Server((f'127.2.0.{number}', 0), handler)
            server.stopping = self.stopping
            self.servers.append(server)
            self.urls[name] = f'http://127.2.0.{number}:{server.server_port}/'

    def once(self, name, answer):
        def get(handler):
            handler.close_connection = True
            if handler.path == '/favicon.ico':
                return handler.send_error(404)
            self.asked[name] = time.monotonic()
            return answer(handler)
        return get

    def __enter__(self):
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.1}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()
