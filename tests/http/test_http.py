"""The door by itself: what it says to broken, huge, slow and split requests, and how it stops."""
import concurrent.futures
import os
import pathlib
import signal
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Case, Server  # noqa: E402


def statuses(data):
    """Of every response in a stream of them."""
    out = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        out.append(int(head.split()[1]))
        length = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        data = rest[length[0] if length else 0:]
    return out


class Messages(Case):
    def status(self, data):
        out = self.server.raw(data, 5)
        return int(out.split()[1]) if out else 0

    def test_malformed(self):
        host = b"Host: x\r\n"
        for data in [b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n" + host + b"\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                     b"GET / HTTP/1.1\r\n" + host + b"Bad Header: x\r\n\r\n", b"GET / HTTP/1.1\r\n" + host + host + b"\r\n",
                     b"GET nothing HTTP/1.1\r\n" + host + b"\r\n", b"G@T / HTTP/1.1\r\n" + host + b"\r\n", b"GET /\x00 HTTP/1.1\r\n" + host + b"\r\n",
                     b"GET * HTTP/1.1\r\n" + host + b"\r\n", b"POST /login HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
                     b"POST /login HTTP/1.1\r\n" + host + b"Content-Length: 5x\r\n\r\nhello", b"GET / HTTP/1.1\r\n" + host + b"x: \x00\r\n\r\n"]:
            with self.subTest(data=data):
                self.assertIn(self.status(data), (0, 400))
        self.assertEqual(self.server.ask("GET", "/healthz").status, 200)

    def test_framing_that_two_readers_read_in_two_ways(self):
        for framing in [b"Content-Length: 5\r\nContent-Length: 6", b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 5",
                        b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding: gzip, chunked\r\nTransfer-Encoding: chunked",
                        b"Transfer-Encoding: xchunked", b"Content-Length: 5, 5"]:
            with self.subTest(framing=framing):
                out = self.server.raw(b"POST /login HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 5)
                self.assertEqual(statuses(out)[:1], [400])
                self.assertEqual(len(statuses(out)), 1, "what came behind was not read as a request")

    def test_head_too_large(self):
        self.assertEqual(self.status(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20000 + b"\r\n\r\n"), 431)
        self.assertEqual(self.status(b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"), 431)
        self.assertEqual(self.status(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 10000 + b"\r\n"), 431)

    def test_body_too_large(self):
        token = self.server.token("op", "write")
        small = b"x" * (100 << 10)
        self.assertEqual(self.server.ask("PUT", "/api/settings", small, token=token).status, 413)
        head = f"PUT /api/settings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        self.assertEqual(self.status(head + b"fffff\r\n" + b"x" * 0xfffff + b"\r\n0\r\n\r\n"), 413)
        self.assertEqual(self.server.ask("POST", "/login", b"x" * (1 << 20)).status, 413)
        self.assertEqual(self.server.ask("GET", "/api/items", b"{}", token=token).status, 413)

    def test_json_bodies(self):
        token = self.server.token("op", "write")
        for body in [b"", b"{", b"[]", b"null", b"\xff", b'{"a":' * 1000, b'{"push":true}', b'{"url":5}', b'{"url":""}', b'{"push":"yes"}']:
            answer = self.server.ask("POST", "/api/sources", body, token=token)
            self.assertEqual(answer.status, 400, body[:20])
            error = answer.json()["error"]
            self.assertTrue(error["code"] and error["message"])
        for query in ["limit=0", "limit=1001", "limit=x", "order=best", "state=new", "source=-1", "source=x", "cursor=nonsense", "order=relevance", "story=1", "bodies=maybe"]:
            self.assertEqual(self.server.ask("GET", "/api/items?" + query, token=token).status, 400, query)

    def test_chunked_body(self):
        token = self.server.token("op", "write")
        head = f"PUT /api/settings HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        self.assertEqual(self.status(head + b'5\r\n{"a":\r\n2;x=y\r\n1}\r\n0\r\nTrailer: x\r\n\r\n'), 200)
        self.assertEqual(self.status(head + b"zz\r\n"), 400)

    def test_expect_continue(self):
        token = self.server.token("op", "write")
        head = f"PUT /api/settings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n".encode()
        with socket.create_connection((self.server.host, self.server.port), timeout=5) as connection:
            connection.sendall(head)
            self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 100 "))
            connection.sendall(b"{}")
            self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 200 "))
        refused = self.server.raw(head.replace(token.encode(), b"wrong"), 5)
        self.assertTrue(refused.startswith(b"HTTP/1.1 401 "), "no body is asked for from somebody unknown")

    def test_pipelining(self):
        one = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        out = self.server.raw(one * 50 + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), 5)
        self.assertEqual(statuses(out), [200] * 51)
        mixed = self.server.raw(b"GET /api/me HTTP/1.1\r\nHost: x\r\n\r\n" + b"POST /api/session HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" +
                                one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), 5)
        self.assertEqual(statuses(mixed), [401, 401, 200])

    def test_http_1_0_and_head(self):
        out = self.server.raw(b"GET /healthz HTTP/1.0\r\n\r\n", 5)
        self.assertIn(b"Connection: close", out)
        self.assertEqual(statuses(out), [200])
        head = self.server.ask("HEAD", "/healthz")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.get("Content-Length"), str(len(self.server.ask("GET", "/healthz").body)))

    def test_every_answer_protects(self):
        for path in ["/", "/login", "/login?link=x", "/logout", "/api/me", "/healthz", "/api/openapi.json", "/assets/form.css", "/assets/none", "/sw.js"]:
            answer = self.server.ask("GET", path)
            policy = answer.get("Content-Security-Policy")
            with self.subTest(path=path):
                self.assertIn("default-src 'none'", policy)
                self.assertIn("frame-ancestors 'none'", policy)
                self.assertNotIn("unsafe", policy)
                self.assertEqual(answer.get("X-Content-Type-Options"), "nosniff")
                self.assertEqual(answer.get("Cross-Origin-Opener-Policy"), "same-origin")
                self.assertIn(answer.get("Referrer-Policy"), ("no-referrer", "same-origin"))
                self.assertNotIn(b"style=", answer.body)
                self.assertNotIn(b"onload=", answer.body)
        self.assertIn("require-trusted-types-for 'script'", self.server.ask("GET", "/").get("Content-Security-Policy"))

    def test_what_a_page_echoes_is_escaped(self):
        answer = self.server.ask("GET", "/login?link=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
        self.assertNotIn(b"<script>alert", answer.body)
        self.assertIn(b"&lt;script&gt;alert", answer.body)

    def test_assets(self):
        page = self.server.ask("GET", "/")
        self.assertTrue(page.get("Content-Type").startswith("text/html"))
        again = self.server.ask("GET", "/", headers={"If-None-Match": page.get("ETag") or "none"})
        self.assertEqual(again.status, 304 if page.get("ETag") else 200)
        scripts = [part.split('"')[0] for part in page.body.decode().split('src="')[1:]]
        for script in scripts:
            for coding in ("br", "gzip", ""):
                answer = self.server.ask("GET", script, headers={"Accept-Encoding": coding or "identity"})
                self.assertEqual((answer.status, answer.get("Content-Encoding") or ""), (200, coding))
                self.assertIn("immutable", answer.get("Cache-Control"))
        for path in ["/assets/../weir.db", "/assets/..%2f..%2fetc/passwd", "/assets/%2e%2e/x", "/assets/a%00b"]:
            self.assertIn(self.server.ask("GET", path).status, (401, 404), path)

    def test_gzip_of_json(self):
        token = self.server.token("op", "write")
        source = self.server.ask("POST", "/api/sources", {"push": True, "title": "long"}, token=token).json()["id"]
        self.server.ask("POST", f"/api/sources/{source}/items", [{"id": str(i), "title": "words " * 20} for i in range(50)], token=token)
        plain = self.server.ask("GET", "/api/items", token=token)
        packed = self.server.ask("GET", "/api/items", token=token, headers={"Accept-Encoding": "gzip"})
        import gzip
        self.assertEqual(packed.get("Content-Encoding"), "gzip")
        self.assertEqual(gzip.decompress(packed.body), plain.body)
        self.assertLess(len(packed.body), len(plain.body) / 3)

    def test_socket_is_the_operators(self):
        path = os.path.join(self.server.folder, "weir.sock")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual(self.server.ask("GET", "/api/me", local=True).json()["via"], "socket")
        file = os.path.join(self.server.folder, "copy.db")
        self.assertEqual(self.server.ask("POST", "/api/backup", {"file": file}, local=True).status, 201)
        self.assertTrue(os.path.exists(file))


class Slow(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.remove)

    def test_slow_heads_end_and_do_not_stand_in_the_way(self):
        """A byte a second: cut off after the time for a head, while others are served."""
        connections = []
        for _ in range(200):
            connection = socket.create_connection((self.server.host, self.server.port), timeout=30)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            connections.append(connection)
        began = time.monotonic()
        open_ones = list(connections)
        worst = 0.0
        while open_ones and time.monotonic() - began < 20:
            asked = time.monotonic()
            self.assertEqual(self.server.ask("GET", "/healthz").status, 200)
            worst = max(worst, time.monotonic() - asked)
            still = []
            for connection in open_ones:
                try:
                    connection.sendall(b"x")
                    connection.setblocking(False)
                    try:
                        closed = connection.recv(1) == b""
                    except BlockingIOError:
                        closed = False
                    connection.setblocking(True)
                    if not closed:
                        still.append(connection)
                except OSError:
                    pass
            open_ones = still
            time.sleep(1)
        self.assertEqual(len(open_ones), 0)
        self.assertLess(time.monotonic() - began, 15)
        self.assertLess(worst, 1)
        for connection in connections:
            connection.close()

    def test_more_connections_than_it_takes(self):
        """Idle ones make room for new ones."""
        connections = []
        for _ in range(2100):
            connections.append(socket.create_connection((self.server.host, self.server.port), timeout=30))
        self.assertEqual(self.server.ask("GET", "/healthz").status, 200)
        for connection in connections:
            connection.close()
        self.assertEqual(self.server.ask("GET", "/healthz").status, 200)

    def test_no_descriptors_left(self):
        """With few descriptors it takes no more than it can, does not spin, and goes on when some come back."""
        import resource
        pid = self.server.process.pid
        used = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 4, used + 4))
        connections = [socket.create_connection((self.server.host, self.server.port), timeout=5) for _ in range(30)]
        def ticks():
            return sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))

        before = ticks()
        time.sleep(2)
        self.assertLess(ticks() - before, 30, "hundredths of a CPU second in two seconds of waiting")
        for connection in connections:
            connection.close()
        self.assertEqual(self.server.ask("GET", "/healthz").status, 200)


class Stop(unittest.TestCase):
    def test_under_load(self):
        """SIGTERM while requests run: every answer that began is whole, exit 0, within 10 s, also with idle connections and streams."""
        server = Server()
        self.addCleanup(server.remove)
        token = server.token("op", "write")
        source = server.ask("POST", "/api/sources", {"push": True, "title": "s"}, token=token).json()["id"]
        idle = socket.create_connection((server.host, server.port))
        stream = socket.create_connection((server.host, server.port))
        stream.sendall(f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        self.assertTrue(stream.recv(100).startswith(b"HTTP/1.1 200"))
        stopping = threading.Event()
        acked, broken = [], []

        def push(worker):
            n = 0
            while not stopping.is_set() or n == 0:
                n += 1
                name = f"{worker}-{n}"
                try:
                    if server.ask("POST", f"/api/sources/{source}/items", [{"id": name, "title": name}], token=token).status == 200:
                        acked.append(name)
                except OSError:
                    return
                except Exception as error:  # half an answer
                    if type(error).__name__ not in ("RemoteDisconnected",):
                        broken.append(repr(error))
                    return

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for worker in range(8):
                pool.submit(push, worker)
            time.sleep(1)
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait(15)
            took = time.monotonic() - began
            stopping.set()
        idle.close()
        stream.close()
        server.process.stdout.close()
        server.log.close()
        self.assertEqual(code, 0)
        self.assertLess(took, 10)
        self.assertEqual(broken, [])
        self.assertGreater(len(acked), 10)
        server.start()
        stored = set()
        cursor = ""
        while True:
            page = server.ask("GET", f"/api/items?limit=1000&bodies=0&cursor={cursor}", token=token).json()
            stored |= {item["id"] for item in page["items"]}
            cursor = page.get("cursor", "")
            if not cursor:
                break
        self.assertEqual(set(acked) - stored, set())

    def test_while_a_feed_is_waited_for(self):
        """A source that takes the connection and says nothing would hold a request for 15 s."""
        server = Server()
        self.addCleanup(server.remove)
        token = server.token("op", "write")
        with socket.create_server(("127.0.0.1", 0)) as silent, concurrent.futures.ThreadPoolExecutor(1) as pool:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/feed"
            asked = pool.submit(server.ask, "POST", "/api/sources", {"url": url}, token)
            connection, _ = silent.accept()
            began = time.monotonic()
            self.assertEqual(server.stop(), 0)
            self.assertLess(time.monotonic() - began, 10)
            connection.close()
            self.assertIn(asked.result().status, (422, 503))


if __name__ == "__main__":
    unittest.main()
