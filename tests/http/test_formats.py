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
