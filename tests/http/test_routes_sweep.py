"""Every route × every kind of principal, with B's ids in the path. What each may is checked in, as routes.expected: a route that is not there fails.
`test_routes_sweep.py --write` writes the file from what it saw; read the difference before you commit it."""
import os
import pathlib
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import PASSWORDS, Case  # noqa: E402

EXPECTED = pathlib.Path(__file__).with_name("routes.expected")
WHO = ["nobody", "a", "b", "operator", "a-read", "a-ingest"]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
# A body with which the owner's own request is done.
BODIES = {
    "POST /api/sources": {"push": True, "title": "swept"},
    "PATCH /api/sources/{source}": {"title": "mine now"},
    "POST /api/sources/{source}/items": [{"id": "x", "title": "pushed"}],
    "POST /api/import": '<opml version="2.0"><body/></opml>',
    "POST /api/items/mark-read": {"all": True},
    "PATCH /api/items/{item}": {"read": True},
    "PUT /api/settings": {"theme": "dark"},
    "POST /api/tokens": {"scope": "read"},
    "PUT /api/users/{id}/password": {"password": "a new long word"},
    "POST /api/backup": {"file": "/nonexistent/weir.db"},
}


class Sweep(Case):
    count = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        server = cls.server
        cls.b_writes = server.token("b", "write")
        own = server.ask("POST", "/api/sources", {"push": True, "title": "a's"}, token=server.token("a", "write")).json()["id"]
        cls.tokens = {"nobody": None, "a": server.token("a", "write"), "b": cls.b_writes, "operator": server.token("op", "operator"),
                      "a-read": server.token("a", "read"), "a-ingest": server.token("a", "ingest", own)}
        cls.paths = server.ask("GET", "/api/openapi.json").json()["paths"]

    def fresh(self):
        """B's things, new for each request, so that one that succeeds takes nothing from the next."""
        Sweep.count += 1
        source = self.server.ask("POST", "/api/sources", {"push": True, "title": f"b's {self.count}"}, token=self.b_writes).json()["id"]
        self.server.ask("POST", f"/api/sources/{source}/items", [{"id": "1", "title": "b's secret plan"}], token=self.b_writes)
        item = self.server.ask("GET", f"/api/items?source={source}", token=self.b_writes).json()["items"][0]["_weir"]["id"]
        return source, item

    def request(self, method, path, who):
        key = f"{method} {path}"
        body = BODIES.get(key)
        if "{source}" in path or "{item}" in path or path == "/api/signals":
            source, item = self.fresh()
            path = path.replace("{source}", str(source)).replace("{item}", str(item))
            if path == "/api/signals":
                body = {"item": item, "kind": "like"}
        if "/api/tokens/{id}" in path:
            made = self.server.ask("POST", "/api/tokens", {"user": "b", "scope": "read"}, local=True).json()
            path = path.replace("{id}", str(made["id"]))
        if "/api/users" in path and method != "GET":
            Sweep.count += 1
            if path == "/api/users":
                body = {"name": f"user {self.count}"}
            else:
                made = self.server.ask("POST", "/api/users", {"name": f"user {self.count}"}, local=True).json()
                path = path.replace("{id}", str(made["id"]))
        if key in ("POST /login", "POST /api/session"):
            Sweep.count += 1
            body = {"user": f"nobody {self.count}", "password": "wrong"}
        if key == "PUT /api/me/password":
            word = PASSWORDS[{"operator": "op", "b": "b"}.get(who, "a")]
            body = {"current": word, "password": word}
        path = path.replace("{rest}", "form.css")
        if path == "/events":
            return self.first_line(path, self.tokens[who])
        if body is None and method != "GET":
            body = {}
        return self.server.ask(method, path, body, token=self.tokens[who])

    def first_line(self, path, token):
        """Of a stream only the status: it does not end."""
        import http.client
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=10)
        connection.request("GET", path, headers={"Authorization": "Bearer " + token} if token else {})
        answer = connection.getresponse()
        connection.close()
        return answer

    def test_matrix(self):
        seen = {}
        for path, methods in self.paths.items():
            for method in methods:
                key = f"{method.upper()} {path}"
                seen[key] = [self.request(method.upper(), path, who).status for who in WHO]
        lines = [f"{key:46s}" + "".join(f"{status:>9}" for status in row) for key, row in seen.items()]
        text = f"{'# B owns what the path names':46s}" + "".join(f"{who:>9}" for who in WHO) + "\n" + "\n".join(lines) + "\n"
        if "--write" in ARGUMENTS:
            EXPECTED.write_text(text)
        expected = EXPECTED.read_text()
        for have, want in zip(text.splitlines(), expected.splitlines()):
            self.assertEqual(have, want)
        self.assertEqual(text, expected)

    def test_matrix_is_safe(self):
        """What must hold whatever the file says: nobody gets in but on public paths, and A never gets at what is B's."""
        for line in EXPECTED.read_text().splitlines()[1:]:
            key, row = line[:46].strip(), dict(zip(WHO, map(int, line[46:].split())))
            operation = self.paths[key.split()[1]][key.split()[0].lower()]
            public = operation["x-access"] == "open"
            with self.subTest(route=key):
                if not public:
                    self.assertEqual(row["nobody"], 401)
                    self.assertNotIn(row["a-ingest"], range(200, 300), "a token for one source does one thing")
                if any(part in key for part in ("{source}", "{item}", "/api/tokens/{id}", "/api/signals")):
                    for who in ("a", "operator", "a-read", "a-ingest"):
                        self.assertIn(row[who], (403, 404))
                if operation["x-access"] in ("operator", "local"):
                    for who in ("a", "b", "a-read", "a-ingest"):
                        self.assertEqual(row[who], 403)
                if key.split()[0] != "GET" and not public and key != "DELETE /api/session":
                    self.assertEqual(row["a-read"], 403)

    def test_other_methods_and_paths(self):
        operator = self.tokens["operator"]
        for path, methods in self.paths.items():
            filled = path.replace("{source}", "1").replace("{item}", "1").replace("{id}", "1").replace("{rest}", "x")
            public = all(operation["x-access"] == "open" for operation in methods.values())
            for method in set(METHODS) - {m.upper() for m in methods} | {"OPTIONS", "TRACE", "PROPFIND"}:
                with self.subTest(route=f"{method} {path}"):
                    self.assertEqual(self.server.ask(method, filled).status, 405 if public else 401)
                    answer = self.server.ask(method, filled, token=operator)
                    self.assertEqual(answer.status, 405)
                    self.assertIn(list(methods)[0].upper(), answer.get("Allow"))
        for path in ["/api", "/api/nothing", "/api/items/0", "/api/items/x", "/api/items/1/", "/.git/config", "/api/edition", "/api/ledger", "//", "/v1/me",
                     "/assets", "/api/items/99999999999999999999", "/weir.db", "/index.html", "/login/"]:
            with self.subTest(path=path):
                self.assertEqual(self.server.ask("GET", path).status, 401)
                self.assertEqual(self.server.ask("GET", path, token=operator).status, 404)
                self.assertEqual(self.server.ask("GET", path, token="weir_1_" + "x" * 49).status, 401)

    def test_authentication_comes_before_the_body(self):
        """Even one far too large, broken, or never sent."""
        for path in ["/api/sources", "/api/import", "/api/sources/1/items", "/api/nothing", "/v1/feeds"]:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".encode()
            self.assertTrue(self.server.raw(head, 5).startswith(b"HTTP/1.1 401 "), path)

    def test_no_answer_redirects(self):
        for path in list(self.paths) + ["/v1/me", "/api", "/x//y"]:
            answer = self.server.ask("GET", path.replace("{", "").replace("}", ""))
            self.assertNotIn(answer.status, range(300, 400), path)

    def test_the_page_names_every_route(self):
        page = (pathlib.Path(__file__).parent.parent.parent / "docs/api.md").read_text()
        for path, methods in self.paths.items():
            for method, operation in methods.items():
                self.assertIn(f"| `{method.upper()} {path}` | {operation['x-access']} |", page)

    def test_lists_hold_only_ones_own(self):
        self.fresh()
        for who in ("a", "a-read", "operator"):
            for path in ("/api/items", "/api/sources", "/api/export", "/api/items?q=secret", "/api/flow", "/api/items?order=oldest&state=all&limit=1000"):
                self.assertNotIn(b"b's", self.server.ask("GET", path, token=self.tokens[who]).body, (who, path))
        self.assertIn(b"b's secret plan", self.server.ask("GET", "/api/items", token=self.b_writes).body)
        for path in ("/api/items?source={}", "/api/items?folder=&source={}"):
            source, _ = self.fresh()
            self.assertNotIn(b"secret plan", self.server.ask("GET", path.format(source), token=self.tokens["a"]).body)


ARGUMENTS = [argument for argument in sys.argv if argument == "--write"]
if __name__ == "__main__":
    sys.argv = [argument for argument in sys.argv if argument != "--write"]
    unittest.main()
