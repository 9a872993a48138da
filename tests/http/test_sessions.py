"""Who is let in, for how long, and from where: sign-in, sign-out, one-time links, tokens, CSRF, tries."""
import concurrent.futures
import os
import pathlib
import re
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import PASSWORDS, Case, Server  # noqa: E402


class Sessions(Case):
    def me(self, **how):
        return self.server.ask("GET", "/api/me", **how).status

    def test_cookie(self):
        answer = self.server.ask("POST", "/api/session", {"user": "a", "password": PASSWORDS["a"]})
        cookie = answer.get("Set-Cookie")
        self.assertTrue(cookie.startswith("weir="))
        for part in ("HttpOnly", "SameSite=Lax", "Path=/"):
            self.assertIn(part, cookie)
        self.assertNotIn("Secure", cookie)
        tls = {"X-Forwarded-Proto": "https"}
        answer = self.server.ask("POST", "/api/session", {"user": "a", "password": PASSWORDS["a"]}, headers=tls)
        cookie = answer.get("Set-Cookie")
        self.assertTrue(cookie.startswith("__Host-weir="))
        self.assertIn("Secure", cookie)
        plain = cookie.split(";")[0]
        self.assertEqual(self.me(cookie=plain, headers=tls), 200)
        self.assertEqual(self.me(cookie=plain), 401)
        self.assertEqual(self.me(cookie=plain.replace("__Host-weir", "weir"), headers=tls), 401)

    def test_wrong(self):
        for user, word in [("a", "wrong"), ("a", ""), ("nobody", "wrong"), ("", ""), ("a", PASSWORDS["a"] + "x"), ("a", "x" * 2000)]:
            answer = self.server.ask("POST", "/api/session", {"user": user, "password": word})
            self.assertEqual(answer.status, 401)
            self.assertEqual(answer.json()["error"]["message"], "the name or the password is wrong", "the same for every reason")
            self.assertIsNone(answer.get("Set-Cookie"))

    def test_sign_out_kills(self):
        cookie = self.server.sign_in("a")
        other = self.server.sign_in("a")
        self.assertEqual(self.me(cookie=cookie), 200)
        answer = self.server.ask("DELETE", "/api/session", cookie=cookie, headers=self.server.own())
        self.assertEqual(answer.status, 204)
        self.assertIn("Max-Age=0", answer.get("Set-Cookie"))
        self.assertEqual(self.me(cookie=cookie), 401)
        self.assertEqual(self.me(cookie=other), 200)

    def test_sign_in_rotates(self):
        cookie = self.server.sign_in("b")
        answer = self.server.ask("POST", "/api/session", {"user": "b", "password": PASSWORDS["b"]}, cookie=cookie, headers=self.server.own())
        fresh = answer.get("Set-Cookie").split(";")[0]
        self.assertNotEqual(fresh, cookie)
        self.assertEqual(self.me(cookie=cookie), 401)
        self.assertEqual(self.me(cookie=fresh), 200)

    def test_password_change_kills(self):
        self.server.ask("POST", "/api/users", {"name": "c", "password": "the first word"}, local=True)
        cookies = [self.server.sign_in("c", "the first word") for _ in range(2)]
        refused = self.server.ask("PUT", "/api/me/password", {"current": "wrong one", "password": "the second word"}, cookie=cookies[0], headers=self.server.own())
        self.assertEqual(refused.status, 403)
        done = self.server.ask("PUT", "/api/me/password", {"current": "the first word", "password": "the second word"}, cookie=cookies[0], headers=self.server.own())
        self.assertEqual(done.status, 204)
        for cookie in cookies:
            self.assertEqual(self.me(cookie=cookie), 401)
        self.assertEqual(self.me(cookie=done.get("Set-Cookie").split(";")[0]), 200)
        self.assertEqual(self.server.ask("POST", "/api/session", {"user": "c", "password": "the first word"}).status, 401)

    def test_every_byte_of_a_password_counts(self):
        word = "x" * 80
        self.server.ask("POST", "/api/users", {"name": "d", "password": word}, local=True)
        self.assertEqual(self.server.ask("POST", "/api/session", {"user": "d", "password": "x" * 72 + "y" + "x" * 7}).status, 401)
        self.assertEqual(self.server.ask("POST", "/api/session", {"user": "d", "password": word}).status, 200)
        self.assertEqual(self.server.ask("POST", "/api/users", {"name": "e", "password": "short"}, local=True).status, 400)
        self.assertNotIn("e", [user["name"] for user in self.server.ask("GET", "/api/users", local=True).json()["users"]])

    def test_link_works_once_and_only_when_used(self):
        users = self.server.ask("GET", "/api/users", local=True).json()["users"]
        a = next(user["id"] for user in users if user["name"] == "a")
        path = self.server.ask("POST", f"/api/users/{a}/link", local=True).json()["path"]
        for _ in range(2):  # looking at it uses nothing up
            page = self.server.ask("GET", path)
            self.assertEqual(page.status, 200)
            self.assertIsNone(page.get("Set-Cookie"))
        code = re.search(rb'name="link" value="([^"]+)"', page.body)[1].decode()
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.server.ask("POST", "/login", "link=" + code, headers=form)
        self.assertEqual((answer.status, answer.get("Location")), (303, "/"))
        self.assertEqual(self.me(cookie=answer.get("Set-Cookie").split(";")[0]), 200)
        again = self.server.ask("POST", "/login", "link=" + code, headers=form)
        self.assertEqual(again.status, 401)
        self.assertIsNone(again.get("Set-Cookie"))

    def test_nothing_redirects_elsewhere(self):
        for target in ["//evil.example", "/\\evil.example", "https://evil.example"]:
            answer = self.server.ask("POST", f"/login?next={target}", f"user=a&password={PASSWORDS['a']}&next={target}",
                                     headers={"Content-Type": "application/x-www-form-urlencoded"})
            self.assertEqual(answer.get("Location"), "/")

    def test_tokens_end(self):
        made = self.server.ask("POST", "/api/tokens", {"user": "a", "scope": "read", "name": "phone"}, local=True).json()
        self.assertEqual(self.me(token=made["token"]), 200)
        self.assertRegex(made["token"], r"^weir_[0-9]+_[0-9A-Za-z]{49}$")
        self.assertNotIn(made["token"].encode(), self.server.ask("GET", "/api/tokens", token=self.server.token("a", "write")).body)
        changed = made["token"][:-1] + ("0" if made["token"][-1] != "0" else "1")
        self.assertEqual(self.me(token=changed), 401)
        self.server.ask("DELETE", f"/api/tokens/{made['id']}", token=self.server.token("a", "write"))
        self.assertEqual(self.me(token=made["token"]), 401)

    def test_tokens_do_not_grow(self):
        writes = self.server.token("op", "write")
        self.assertEqual(self.server.ask("POST", "/api/tokens", {"scope": "operator"}, token=writes).status, 403)
        self.assertEqual(self.server.ask("POST", "/api/tokens", {"scope": "read", "user": "b"}, token=writes).status, 403)
        self.assertEqual(self.server.ask("POST", "/api/tokens", {"scope": "read", "user": "not there"}, token=writes).status, 403)
        self.assertEqual(self.server.ask("POST", "/api/tokens", {"scope": "operator", "user": "a"}, local=True).status, 403)
        self.assertEqual(self.server.ask("POST", "/api/users", {"name": "x", "operator": True, "is_operator": True}, local=True).json()["operator"], False)

    def test_removed_user_is_gone(self):
        made = self.server.ask("POST", "/api/users", {"name": "f", "password": "a word of f"}, local=True).json()
        cookie, token = self.server.sign_in("f", "a word of f"), self.server.token("f", "write")
        self.assertEqual(self.server.ask("DELETE", f"/api/users/{made['id']}", local=True).status, 204)
        self.assertEqual((self.me(cookie=cookie), self.me(token=token)), (401, 401))
        operator = next(user["id"] for user in self.server.ask("GET", "/api/users", local=True).json()["users"] if user["operator"])
        self.assertEqual(self.server.ask("DELETE", f"/api/users/{operator}", local=True).status, 422)

    def test_stream_ends_with_its_session(self):
        cookie = self.server.sign_in("a")
        stream = socket.create_connection((self.server.host, self.server.port), timeout=5)
        stream.sendall(f"GET /events HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n".encode())
        self.assertTrue(stream.recv(4096).startswith(b"HTTP/1.1 200"))
        self.server.ask("DELETE", "/api/session", cookie=cookie, headers=self.server.own())
        began = time.monotonic()
        while stream.recv(4096):
            pass
        self.assertLess(time.monotonic() - began, 1)
        stream.close()

    def test_stream_goes_on_from_last_event_id(self):
        token = self.server.token("b", "write")
        source = self.server.ask("POST", "/api/sources", {"push": True, "title": "s"}, token=token).json()["id"]

        def listen(last, want, act=lambda: None):
            head = f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n" + (f"Last-Event-ID: {last}\r\n" if last else "") + "\r\n"
            with socket.create_connection((self.server.host, self.server.port), timeout=5) as stream:
                stream.sendall(head.encode())
                text = ""
                while "\n\n" not in text.partition("\r\n\r\n")[2]:
                    text += stream.recv(4096).decode()
                act()
                while text.count(want) < 1:
                    text += stream.recv(4096).decode()
                return text

        text = listen(0, "event: items", lambda: self.server.ask("POST", f"/api/sources/{source}/items", [{"id": "1", "title": "t"}], token=token))
        last = int(re.findall(r"id: (\d+)\nevent: items", text)[-1])
        self.assertNotIn("secret", text)
        self.server.ask("POST", f"/api/sources/{source}/items", [{"id": "2", "title": "t"}], token=token)
        text = listen(last, "event: items")
        self.assertGreater(int(re.findall(r"id: (\d+)\nevent: items", text)[0]), last)
        self.assertIn("event: reload", listen(last + 10 ** 6, "event: reload"))
        a = self.server.token("a", "read")
        with socket.create_connection((self.server.host, self.server.port), timeout=1) as stream:  # another reader hears nothing of it
            stream.sendall(f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {a}\r\nLast-Event-ID: {last - 1}\r\n\r\n".encode())
            heard = b""
            try:
                while chunk := stream.recv(4096):
                    heard += chunk
            except TimeoutError:
                pass
        self.assertNotIn(b"event: items", heard)


class Forgery(Case):
    """What another site can make a signed-in browser send changes nothing; GET changes nothing at all."""

    def setUp(self):
        self.cookie = self.server.sign_in("a")
        self.state = self.server.token("a", "write")

    def snapshot(self):
        out = []
        for path in ("/api/sources", "/api/items?limit=1000", "/api/settings", "/api/tokens"):
            text = self.server.ask("GET", path, token=self.state).body.decode()
            out.append(re.sub(r',"last_used_at":"[^"]*"', "", text))
        return out

    def test_cross_site_calls_are_refused(self):
        paths = self.server.ask("GET", "/api/openapi.json").json()["paths"]
        own = f"{self.server.host}:{self.server.port}"
        foreign = [{"Origin": "https://evil.example"}, {"Origin": "null"}, {}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
                   {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{own}"}, {"Origin": f"http://{own}.evil.example"},
                   {"Origin": f"http://{self.server.host}:1"}, {"Origin": f"http://evil.example/{own}"}]
        before = self.snapshot()
        tried = 0
        for path, methods in paths.items():
            filled = path.replace("{source}", "1").replace("{item}", "1").replace("{id}", "1").replace("{rest}", "x")
            for method in methods:
                if method == "get":
                    continue
                public = methods[method]["x-access"] == "open"
                for headers in foreign:
                    if public and not headers:
                        continue  # a program that signs in
                    tried += 1
                    answer = self.server.ask(method.upper(), filled, {"all": True}, cookie=self.cookie, headers=headers)
                    self.assertEqual(answer.status, 403, (method, path, headers))
        self.assertGreater(tried, 100)
        self.assertEqual(self.snapshot(), before)
        self.assertEqual(self.server.ask("GET", "/api/me", cookie=self.cookie).status, 200, "still signed in")

    def test_own_pages_may(self):
        own = f"{self.server.host}:{self.server.port}"
        for headers in [{"Sec-Fetch-Site": "same-origin"}, {"Origin": f"http://{own}"}, {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{own}"}]:
            self.assertEqual(self.server.ask("PUT", "/api/settings", {"theme": "dark"}, cookie=self.cookie, headers=headers).status, 200)

    def test_a_get_changes_nothing(self):
        token = self.state
        source = self.server.ask("POST", "/api/sources", {"push": True, "title": "s"}, token=token).json()["id"]
        self.server.ask("POST", f"/api/sources/{source}/items", [{"id": str(i), "title": f"t {i}"} for i in range(5)], token=token)
        item = self.server.ask("GET", "/api/items", token=token).json()["items"][0]["_weir"]["id"]
        before = self.snapshot()
        paths = self.server.ask("GET", "/api/openapi.json").json()["paths"]
        for path, methods in paths.items():
            if "get" not in methods or path == "/events":
                continue
            filled = path.replace("{source}", str(source)).replace("{item}", str(item)).replace("{id}", "1").replace("{rest}", "x")
            for _ in range(2):
                self.server.ask("GET", filled, token=token)
                self.server.ask("GET", filled, cookie=self.cookie)
                self.server.ask("HEAD", filled, cookie=self.cookie)
        self.assertEqual(self.snapshot(), before)


class Tries(unittest.TestCase):
    """Signing in is the dearest thing a stranger can ask for."""

    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.remove)

    def test_flood(self):
        token = self.server.token("op", "read")
        stop, seen = threading.Event(), []

        def flood(worker):
            n = 0
            while not stop.is_set():
                n += 1
                seen.append(self.server.ask("POST", "/api/session", {"user": f"u{worker}-{n}", "password": "wrong"}))

        def probe(seconds):
            times, end = [], time.monotonic() + seconds
            while time.monotonic() < end:
                began = time.monotonic()
                self.assertEqual(self.server.ask("GET", "/api/items", token=token).status, 200)
                times.append(time.monotonic() - began)
                time.sleep(0.01)
            return sorted(times)[int(len(times) * 0.95)]

        calm = probe(2)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for worker in range(4):
                pool.submit(flood, worker)
            time.sleep(1)
            under = probe(4)
            stop.set()
        statuses = [answer.status for answer in seen]
        self.assertIn(429, statuses)
        self.assertLess(statuses.count(401), 30, "hashes that were computed")
        self.assertTrue(all(int(answer.get("Retry-After")) > 0 for answer in seen if answer.status == 429))
        self.assertEqual(set(statuses) - {401, 429, 503}, set())
        self.assertLess(under, max(20 * calm, 0.1), "others are served meanwhile")

    def test_one_name_from_many_addresses(self):
        statuses = [self.server.ask("POST", "/api/session", {"user": "a", "password": "wrong"}, headers={"X-Forwarded-For": f"9.9.9.{n}"}).status for n in range(14)]
        self.assertEqual(statuses[:10], [401] * 10)
        self.assertIn(429, statuses[10:])
        self.assertEqual(self.server.ask("POST", "/api/session", {"user": "b", "password": PASSWORDS["b"]}, headers={"X-Forwarded-For": "9.9.9.99"}).status, 200)

    def test_time_does_not_tell_names(self):
        """Both kinds of wrong cost one hash. CPU time of the server, which a busy machine does not change: without a hash for the unknown, theirs is next to nothing."""
        def one(user, n):
            before = self.cpu()
            answer = self.server.ask("POST", "/api/session", {"user": user, "password": "wrong"}, headers={"X-Forwarded-For": f"10.0.{n}.1"})
            self.assertEqual(answer.status, 401)
            return self.cpu() - before

        one("a", 200), one("nobody", 201)
        known, unknown = zip(*[(one("a", n), one(f"nobody{n}", 100 + n)) for n in range(9)])
        known, unknown = sorted(known)[4], sorted(unknown)[4]
        self.assertLess(abs(known - unknown), 0.25 * known)

    def cpu(self):
        return sum(int(file.read_text().split()[0]) for file in pathlib.Path(f"/proc/{self.server.process.pid}/task").glob("*/schedstat"))


if __name__ == "__main__":
    unittest.main()
