"""A Weir of its own for each test class, and requests to it as they are: http.client for good ones, a plain socket for bad ones."""
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = os.environ.get("WEIR_BIN", str(ROOT / "build/weir"))
PASSWORDS = {"op": "the operator's word", "a": "a's own long word", "b": "b's own long word"}


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name):
        return (self.all(name) or [None])[0]


class Server:
    """`weir serve` on a folder and a port of its own, with the users op (operator), a and b."""

    def __init__(self, folder=None):
        self.folder = folder or tempfile.mkdtemp(prefix="weir-http-")
        self.start()

    def start(self):
        command = [BIN, "--data", self.folder, "--no-model", "serve", "--listen", "127.0.0.1:0", "--allow-net", "127.0.0.0/8"]
        for user, word in PASSWORDS.items():
            file = pathlib.Path(self.folder) / f"{user}.password"
            file.write_text(word + "\n")
            command += ["--set-password", f"{user}={file}"]
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        found = re.fullmatch(r"listening on http://(\S+):(\d+)\s*", line)
        if not found:
            self.process.kill()
            raise RuntimeError(f"no server: {line!r} {open(self.log.name).read()}")
        self.host, self.port = found[1], int(found[2])

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(15)
        self.process.stdout.close()
        self.log.close()
        return code

    def remove(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, method, path, body=None, token=None, cookie=None, headers=None, local=False):
        connection = Local(os.path.join(self.folder, "weir.sock")) if local else http.client.HTTPConnection(self.host, self.port, timeout=30)
        head = dict(headers or {})
        if token:
            head["Authorization"] = "Bearer " + token
        if cookie:
            head["Cookie"] = cookie
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
            head.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body=body.encode() if isinstance(body, str) else body, headers=head)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def own(self):
        """The Origin that Weir's own pages have."""
        return {"Origin": f"http://{self.host}:{self.port}"}

    def token(self, user, scope, source=None):
        body = {"user": user, "scope": scope}
        if source:
            body["source"] = source
        answer = self.ask("POST", "/api/tokens", body, local=True)
        assert answer.status == 201, answer.body
        return answer.json()["token"]

    def sign_in(self, user, word=None):
        """The cookie of a new session, as a browser would send it."""
        answer = self.ask("POST", "/api/session", {"user": user, "password": word or PASSWORDS[user]})
        assert answer.status == 200, (answer.status, answer.body)
        return answer.get("Set-Cookie").split(";")[0]

    def raw(self, data, timeout=20):
        """Bytes in, bytes out until the server closes or falls silent for `timeout`."""
        with socket.create_connection((self.host, self.port), timeout=timeout) as connection:
            connection.sendall(data)
            out = b""
            try:
                while chunk := connection.recv(65536):
                    out += chunk
            except (TimeoutError, ConnectionResetError):
                pass
            return out


class Local(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("weir", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.remove)
