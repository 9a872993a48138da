"""Whoever kills a parser, or the process that starts them, stops nothing: the next fetch works, nobody stays a zombie, the new ones are as confined as the old."""
import http.server
import os
import pathlib
import re
import signal
import sys
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from weirtest import Server, need_binary, until, weir  # noqa: E402


class Feeds:
    """Any path is a feed of its own; each request brings one item more."""

    def __enter__(self):
        seen, lock = {}, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                with lock:
                    n = seen[self.path] = seen.get(self.path, 0) + 1
                rows = ''.join(f'<item><guid>{self.path}#{i}</guid><title>{i}</title><description>text</description></item>' for i in range(n))
                body = f'<rss version="2.0"><channel><title>{self.path}</title><link>http://x.example/</link><description>d</description>{rows}</channel></rss>'.encode()
                self.send_response(200)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server.server_port}'
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def status(pid):
    try:
        return dict(line.split(':\t', 1) for line in pathlib.Path(f'/proc/{pid}/status').read_text().splitlines() if ':\t' in line)
    except (FileNotFoundError, ProcessLookupError):
        return None


def children(pid):
    """Also those that are zombies. (/proc/PID/task/TID/children leaves some out while threads come and go.)"""
    found = []
    for other in pathlib.Path('/proc').iterdir():
        if other.name.isdecimal() and (state := status(other.name)) and int(state['PPid']) == pid:
            found.append(int(other.name))
    return found


class Killed(unittest.TestCase):
    def setUp(self):
        need_binary()
        self.site = Feeds().__enter__()
        self.addCleanup(self.site.__exit__)
        self.server = Server().start()
        self.addCleanup(lambda: self.server.__exit__())

    def zygote(self):
        alive = [pid for pid in children(self.server.process.pid) if (status(pid) or {}).get('State', 'Z')[0] != 'Z']
        self.assertEqual(len(alive), 1, 'the server has one child, which starts the parsers')
        return alive[0]

    def workers(self):
        return [pid for pid in children(self.zygote()) if (status(pid) or {}).get('State', 'Z')[0] != 'Z']

    def add(self, path):
        answer = self.server.post('/api/sources', {'url': f'{self.site.url}/{path}'})
        self.assertEqual(answer.status, 201, answer)
        return answer.json['id']

    def total(self, id):
        return self.server.get(f'/api/sources/{id}').json['total']

    def refreshed(self, id):
        """The feed has one item more, and is well."""
        before = self.total(id)
        self.server.post(f'/api/sources/{id}/refresh')
        try:
            until(lambda: self.total(id) > before, 10)
        except AssertionError:
            self.fail(self.server.get(f'/api/sources/{id}'))
        source = self.server.get(f'/api/sources/{id}').json
        self.assertEqual((source['health'], source.get('error', '')), ('ok', ''))

    def test_a_worker(self):
        id = self.add('a')
        zygote = self.zygote()
        for _ in range(5):
            killed = self.workers()
            self.assertTrue(killed)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            until(lambda: not any(status(pid) for pid in killed), 5)   # and no zombie is left of them
            self.refreshed(id)
        self.assertEqual(self.zygote(), zygote)

    def test_the_zygote(self):
        id = self.add('a')
        old, before = self.zygote(), {pid for pid in self.workers()}
        os.kill(old, signal.SIGKILL)
        self.refreshed(id)
        new = self.zygote()
        self.assertNotEqual(new, old)
        self.assertFalse(before & set(self.workers()))
        until(lambda: all(not (found := status(pid)) or found['State'].startswith('Z') for pid in before), 5)   # whose parent is gone is init's to bury
        for pid in self.workers():    # as confined as ever
            found = status(pid)
            self.assertEqual((found['Seccomp'].strip(), found['NoNewPrivs'].strip()), ('2', '1'))
        self.assertTrue(any('started again' in line for line in self.server.errors), self.server.errors)
        # It holds nothing of its parent: no database, no socket but the one to the server.
        maps = pathlib.Path(f'/proc/{new}/maps').read_text()
        self.assertNotIn(str(self.server.data), maps)
        for descriptor in pathlib.Path(f'/proc/{new}/fd').iterdir():
            self.assertRegex(os.readlink(descriptor), r'^(/dev/null|socket:\[\d+\])$')
        report = weir('--json', 'doctor', data=self.server.data, check=False)[1]
        self.assertIn('seccomp on', report)

    @unittest.skipUnless(os.environ.get('WEIR_LONG'), 'waits for time limits: set WEIR_LONG=1')
    def test_who_only_stands_still(self):
        ids = [self.add('a'), self.add('b')]
        for pid in self.workers():   # a parser that never answers: its document's time is up after 15 s
            os.kill(pid, signal.SIGSTOP)
        self.server.post(f'/api/sources/{ids[0]}/refresh')
        until(lambda: self.server.get(f'/api/sources/{ids[0]}').json['health'] == 'quarantined', 20)
        self.assertIn('more than 15', self.server.get(f'/api/sources/{ids[0]}').json['error'])
        self.refreshed(ids[1])
        self.refreshed(ids[0])       # by hand it is tried again
        os.kill(self.zygote(), signal.SIGSTOP)
        for pid in self.workers():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.5)
        before = self.total(ids[1])
        self.server.post(f'/api/sources/{ids[1]}/refresh')
        until(lambda: self.total(ids[1]) > before, 40)

    def test_both_while_feeds_come_in(self):
        ids = [self.add(f'f{n}') for n in range(6)]
        with ThreadPoolExecutor(6) as pool:
            for _ in range(3):
                before = {id: self.total(id) for id in ids}
                under_way = [pool.submit(self.add, f'n{time.monotonic_ns()}') for _ in range(3)]
                list(pool.map(lambda id: self.server.post(f'/api/sources/{id}/refresh'), ids))
                for zygote in children(self.server.process.pid):
                    for pid in children(zygote)[:1] + [zygote]:
                        try:
                            os.kill(pid, signal.SIGKILL)
                        except ProcessLookupError:
                            pass
                for one in under_way:
                    try:
                        one.result(20)
                    except AssertionError as failed:   # a document whose own worker was killed counts as crashed: that is told, not hidden
                        self.assertIn('SIGKILL', str(failed))
                def settled():
                    sources = {s['id']: s for s in self.server.get('/api/sources').json['sources']}
                    return all(sources[id]['total'] > before[id] or sources[id].get('error') for id in ids)   # or says what kept it
                until(settled, 20)
        self.refreshed(ids[0])

    def test_too_often_is_told_and_the_rest_goes_on(self):
        id = self.add('a')
        answer = None
        for n in range(8):
            os.kill(self.zygote(), signal.SIGKILL)
            until(lambda: not [p for p in children(self.server.process.pid) if (status(p) or {}).get('State', 'Z')[0] != 'Z'], 5)
            answer = self.server.post('/api/sources', {'url': f'{self.site.url}/again{n}'})
            if answer.status != 201:
                break
        self.assertEqual(answer.status, 503, answer)
        self.assertIn('too often', answer.json['error']['message'])
        self.assertEqual(self.server.get('/api/items').status, 200)
        self.server.post(f'/api/sources/{id}/refresh')
        until(lambda: 'too often' in self.server.get(f'/api/sources/{id}').json.get('error', ''), 5)
        self.assertEqual(self.server.get(f'/api/sources/{id}').json['health'], 'ok', 'our own trouble is not the source\'s')
        if os.environ.get('WEIR_LONG'):
            time.sleep(31)
            self.refreshed(id)


if __name__ == '__main__':
    unittest.main()
