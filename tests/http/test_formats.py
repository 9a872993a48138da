"""What programs read: /metrics as Prometheus reads it, /api/openapi.json as it says of itself and as the routes are, /events over a restart."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Case, Server  # noqa: E402


class Metrics(Case):
    def test_prometheus_text(self):
        source = self.server.ask("POST", "/api/sources", {"push": True, "title": "s"}, local=True).json()["id"]
        self.server.ask("POST", f"/api/sources/{source}/items", [{"id": str(n), "title": "t"} for n in range(3)], local=True)
        answer = self.server.ask("GET", "/metrics", local=True)
        self.assertTrue(answer.get("Content-Type").startswith("text/plain; version=0.0.4"))
        text, types, seen, helped = answer.body.decode(), {}, {}, set()
        self.assertTrue(text.endswith("\n"))
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name, help_text = line[7:].split(" ", 1)
                self.assertNotIn(name, helped, "one HELP a name, before its samples")
                self.assertTrue(help_text.strip())
                helped.add(name)
            elif line.startswith("# TYPE "):
                name, kind = line[7:].split(" ")
                self.assertIn(kind, ("counter", "gauge"))
                self.assertNotIn(name, types)
                types[name] = kind
            else:
                match = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? ([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|Inf|NaN))', line)
                self.assertTrue(match, line)
                self.assertIn(match[1], types, "TYPE comes before the sample")
                self.assertEqual(match[1].endswith("_total"), types[match[1]] == "counter", match[1])
                self.assertNotIn((match[1], match[2]), seen)
                seen[match[1], match[2]] = float(match[3])
        self.assertEqual(seen["weir_items", None], 3)
        self.assertGreater(seen["weir_http_responses_total", '{status="2xx"}'], 0)
        if shutil.which("promtool"):  # Prometheus' own opinion, where it is
            checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
            self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))


class OpenApi(Case):
    def test_it_is_what_it_says(self):
        document = self.server.ask("GET", "/api/openapi.json").json()
        self.assertEqual(document["openapi"], "3.1.0")
        self.assertTrue(document["info"]["title"] and document["info"]["version"])
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                with self.subTest(route=f"{method} {path}"):
                    self.assertTrue(operation["summary"])
                    self.assertEqual({p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}, set(re.findall(r"\{(\w+)\}", path)))
                    for parameter in operation.get("parameters", []):
                        self.assertIn(parameter["in"], ("path", "query"))
                        self.assertIn(parameter["schema"]["type"], ("string", "integer", "number", "boolean"))
                    self.assertFalse(method == "get" and "requestBody" in operation)
                    for scheme in operation["security"]:
                        self.assertLessEqual(set(scheme), set(document["components"]["securitySchemes"]))
                    for reference in re.findall(r'"\$ref": "#([^"]+)"', json.dumps(operation)):
                        at = document
                        for key in reference.strip("/").split("/"):
                            at = at[key]

    def test_what_it_names_is_taken(self):
        """Parameters and members: each is known, and another kind than the one it says is refused."""
        paths = self.server.ask("GET", "/api/openapi.json").json()["paths"]
        source = self.server.ask("POST", "/api/sources", {"push": True, "title": "s"}, local=True).json()["id"]
        self.server.ask("POST", f"/api/sources/{source}/items", [{"id": "1", "title": "t"}], local=True)
        item = self.server.ask("GET", "/api/items", local=True).json()["items"][0]["_weir"]["id"]
        tried = 0
        for path, methods in paths.items():
            target = path.replace("{source}", str(source)).replace("{item}", str(item)).replace("{id}", "1")
            for method, operation in methods.items():
                if operation["x-access"] == "open" or path == "/events":
                    continue
                for parameter in operation.get("parameters", []):
                    if parameter["in"] == "query" and parameter["schema"]["type"] == "integer":
                        with self.subTest(route=f"{method} {path}", parameter=parameter["name"]):
                            self.assertIn(self.server.ask(method.upper(), f"{target}?{parameter['name']}=x", local=True).status, (400, 422))
                            tried += 1
                schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
                schema = schema.get("oneOf", [schema])[0]
                for name, kind in schema.get("properties", {}).items():
                    if kind["type"] == "integer" and name != "source":
                        with self.subTest(route=f"{method} {path}", member=name):
                            self.assertIn(self.server.ask(method.upper(), target, {"kind": "like", "item": item} | {name: "x"}, local=True).status, (400, 422))
                            tried += 1
        self.assertGreater(tried, 5)
        self.assertEqual({p["name"] for p in paths["/api/import"]["post"]["parameters"]}, {"kind", "name"})
        self.assertIn("text/x-opml", paths["/api/import"]["post"]["requestBody"]["content"])
        self.assertEqual(self.server.ask("POST", "/api/import?kind=feed&name=n", '<rss version="2.0"><channel><title>T</title><item><guid>a</guid></item></channel></rss>', local=True).json(), {"stored": 1, "duplicates": 0})
        self.assertEqual(paths["/api/signals"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"][1]["type"], "array")
        for body in ({"item": item, "kind": "open"}, [{"item": item, "kind": "open"}, {"item": item, "kind": "like"}]):
            self.assertEqual(self.server.ask("POST", "/api/signals", body, local=True).status, 200)


def misfits(value, schema, document, at="answer"):
    """What of a JSON value is not as its schema says: type, members, references."""
    if "$ref" in schema:
        path, schema = schema["$ref"].split("/")[1:], document
        for key in path:
            schema = schema[key]
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    if "type" in schema and (not isinstance(value, kinds[schema["type"]]) or (isinstance(value, bool) and schema["type"] != "boolean")):
        return [f"{at}: {value!r} is no {schema['type']}"]
    out = []
    if schema.get("format") == "date-time" and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value):
        out.append(f"{at}: {value!r} is no time")
    if isinstance(value, list):
        for i, one in enumerate(value):
            out += misfits(one, schema.get("items", {}), document, f"{at}[{i}]")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        out += [f"{at}: {name} is not there" for name in schema.get("required", []) if name not in value]
        if schema.get("additionalProperties") is False:
            out += [f"{at}: {name} is not in the schema" for name in value if name not in known]
        for name, one in value.items():
            out += misfits(one, known.get(name, {}), document, f"{at}.{name}")
    return out


class Answers(Case):
    def test_each_is_what_the_document_says(self):
        """Every route once with success, and an error: status, media type and every member as /api/openapi.json has them."""
        document = self.server.ask("GET", "/api/openapi.json").json()
        waiting = {(method, path) for path, methods in document["paths"].items() for method in methods}

        def ask(method, path, body=None, status=None, headers=None, local=True, **values):
            target = path.split("?")[0]
            answer = self.server.ask(method.upper(), path.format(rest="form.css", **values), body, headers=headers, local=local)
            responses = document["paths"][target][method]["responses"]
            with self.subTest(route=f"{method} {path}", status=answer.status):
                self.assertIn(answer.status, [int(one) for one in responses if one != "default"] if status is None else [status], answer.body)
                response = responses.get(str(answer.status), document["components"]["responses"]["Error"])
                content = response.get("content", {})
                kind = (answer.get("Content-Type") or "").split(";")[0]
                self.assertTrue(kind in content or any(one.endswith("/*") for one in content) or (not content and not answer.body), (kind, content))
                if kind == "application/json":
                    self.assertEqual(misfits(answer.json(), content[kind]["schema"], document), [])
            waiting.discard((method, target))
            return answer

        ask("get", "/api/items", status=200)
        source = ask("post", "/api/sources", {"push": True, "title": "P"}).json()["id"]
        told = {"id": "1", "title": "t", "url": "https://e.org/1", "content_html": "<p>x</p>", "summary": "s", "image": "https://e.org/i.png", "date_published": "2026-11-01T00:00:00Z", "language": "en",
                "authors": [{"name": "n", "avatar": "x"}], "tags": ["a"], "attachments": [{"url": "https://e.org/a.mp3", "size_in_bytes": 5, "duration_in_seconds": 7}], "_x": 1}
        ask("post", "/api/sources/{source}/items", [told, dict(told, id="2", content_html="ghp_" + "a" * 36), dict(told, id="1", title="changed")], source=source)
        items = [one["_weir"]["id"] for one in ask("get", "/api/items").json()["items"]]
        for i in items:
            ask("get", "/api/items/{item}", item=i)
        for query in ("?order=ranked&limit=1", "?q=t&order=relevance", "?limit=1&bodies=0", "?state=starred"):
            ask("get", "/api/items" + query)
        ask("patch", "/api/items/{item}", {"read": True, "starred": True}, item=items[0])
        ask("post", "/api/signals", [{"item": items[0], "kind": "like"}])
        ask("get", "/api/items/{item}/why", item=items[0])
        ask("post", "/api/items/mark-read", {"all": True})
        ask("patch", "/api/sources/{source}", {"title": "mine", "folder": "F", "keep_days": 5}, source=source)
        ask("get", "/api/sources/{source}", source=source)
        ask("post", "/api/sources/{source}/refresh", source=source)
        ask("post", "/api/refresh")
        ask("post", "/api/import", '<opml version="2.0"><body><outline text="x" xmlUrl="http://127.0.0.1:9/x"/><outline text="y"/></body></opml>')
        ask("post", "/api/import?kind=feed&name=n", '<rss version="2.0"><channel><title>T</title><item><guid>a</guid><title>A')
        ask("get", "/api/sources")
        ask("put", "/api/settings", {"keep_days": 9, "theme": "dark"})
        token = ask("post", "/api/tokens", {"scope": "read", "name": "n"}).json()
        user = ask("post", "/api/users", {"name": "zoe", "password": "long enough"}).json()
        ask("put", "/api/users/{id}/password", {"password": "longer than before"}, id=user["id"])
        link = ask("post", "/api/users/{id}/link", id=user["id"]).json()["path"].split("=")[1]
        ask("get", "/login")
        ask("post", "/login", {"user": "zoe", "password": "longer than before"}, headers=self.server.own(), local=False)
        form = {"Content-Type": "application/x-www-form-urlencoded"} | self.server.own()
        for path in ("/login", "/logout"):
            ask("post", path, "user=zoe&password=longer+than+before", headers=form, local=False)
        cookie = ask("post", "/api/session", {"link": link}, headers=self.server.own(), local=False).get("Set-Cookie").split(";")[0]
        ask("put", "/api/me/password", {"current": "longer than before", "password": "another long one"}, headers={"Cookie": cookie} | self.server.own(), local=False)
        cookie = self.server.ask("POST", "/api/session", {"user": "zoe", "password": "another long one"}, headers=self.server.own()).get("Set-Cookie").split(";")[0]
        ask("delete", "/api/session", headers={"Cookie": cookie} | self.server.own(), local=False)
        ask("get", "/api/tokens")
        ask("get", "/api/users")
        ask("get", "/api/doctor?thorough=true")
        ask("post", "/api/backup", {"file": os.path.join(self.server.folder, "backup.db")})
        ask("delete", "/api/tokens/{id}", id=token["id"])
        ask("delete", "/api/users/{id}", id=user["id"])
        for method, path in sorted(waiting):
            if method == "get" and path not in ("/events", "/api/sources/{source}/icon"):  # those have tests of their own
                ask(method, path)
        ask("delete", "/api/sources/{source}", source=source)
        ask("get", "/api/items/{item}", status=404, item=999)
        ask("post", "/api/sources", {"url": "ftp://x"}, status=422)
        ask("put", "/api/users/{id}/password", {"password": "x"}, status=400, id=1)
        self.assertEqual({one for one in waiting if one[1] not in ("/events", "/api/sources/{source}/icon")}, set())


class Events(Case):
    def hear(self, last, want):
        with socket.create_connection((self.server.host, self.server.port), timeout=5) as stream:
            stream.sendall(f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\nLast-Event-ID: {last}\r\n\r\n".encode())
            text = ""
            while want not in text:
                text += stream.recv(4096).decode()
            return text

    def test_an_id_of_another_start_is_told_apart(self):
        """However many events there were since: who comes back after a restart is told to load everything again, and is not given half."""
        self.token = self.server.token("a", "write")
        push = lambda n: self.server.ask("POST", f"/api/sources/{self.source}/items", [{"id": f"{n}", "title": "t"}], token=self.token)
        self.source = self.server.ask("POST", "/api/sources", {"push": True, "title": "s"}, token=self.token).json()["id"]
        push(1)
        last = int(re.findall(r"id: (\d+)\n", self.hear(1, "event: reload"))[-1])
        self.assertLess(last, 2 ** 53, "JavaScript reads it, too")
        push(2)
        self.assertNotIn("reload", self.hear(last, "event: items"))
        self.server.stop()
        self.server.start()
        self.assertIn("reload", self.hear(last, "event:"), "nothing happened since")
        for n in range(20):
            push(f"after {n}")
        self.assertIn("reload", self.hear(last, "event: reload"))


if __name__ == "__main__":
    unittest.main()
