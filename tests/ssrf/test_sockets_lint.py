"""scripts/check-sockets holds over the tree, and finds each kind of call that is planted."""
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LINT = ROOT / 'scripts/check-sockets'
PLANTED = ['int fd = socket(AF_INET, SOCK_STREAM, 0);', 'int fd = ::socket(AF_INET6, type, 0);', 'connect(fd, address, size);', 'if (::connect(fd, a, n) < 0) return;',
           'getaddrinfo(name, nullptr, &hints, &out);', 'gethostbyname(name);', 'CURL* c = curl_easy_init();', 'curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, path);',
           'stream.async_connect(endpoint, token);', 'asio::ip::tcp::resolver resolver(io);', 'syscall(SYS_connect, fd, a, n);', 'sendto(fd, b, n, 0, a, s);', 'popen("curl http://a", "r");',
           'natsConnection_Connect(&c, options);']
HARMLESS = ['// socket( in a comment', 'log("connect(");', 'signal.connect(slot);', 'bool is_socket(int);', 'auto reconnect(int n);', '/* getaddrinfo(\n */']


class Lint(unittest.TestCase):
    def lint(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                file = pathlib.Path(folder, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text + '\n')
            return subprocess.run([LINT, folder], capture_output=True, text=True)

    def test_the_tree(self):
        done = subprocess.run([LINT], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout), (0, ''))

    def test_what_is_planted_is_found(self):
        for call in PLANTED:
            done = self.lint({'src/deliver/webhook.cc': f'void f() {{\n  {call}\n}}'})
            self.assertEqual(done.returncode, 1, call)
            self.assertIn('src/deliver/webhook.cc:2:', done.stdout)

    def test_what_is_harmless_passes(self):
        done = self.lint({'src/rank/rank.cc': '\n'.join(HARMLESS), 'src/ingest/dialer.cc': PLANTED[0], 'src/deliver/mail_test.cc': PLANTED[2]})
        self.assertEqual((done.returncode, done.stdout), (0, ''))

    def test_a_reason_covers_only_its_calls(self):
        self.assertEqual(self.lint({'src/ingest/dialer.cc': 'getaddrinfo(a, b, c, d);'}).returncode, 1)
        self.assertEqual(self.lint({'src/ingest/fetch.cc': 'connect(fd, a, n);'}).returncode, 1)


if __name__ == '__main__':
    unittest.main()
