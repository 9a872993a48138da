"""A disk that is full under a running server: what cannot be stored is refused with a clear error and leaves nothing behind, reading goes on, and when there is room
again so does writing, without a restart. And one that may only be read."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from weirtest import Server, need_binary, until, weir  # noqa: E402

INSIDE = os.environ.get('WEIR_DISK') == 'inside'
SIZE = 40


def run(*words):
    subprocess.run(words, check=True, capture_output=True)


class Inside(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='weir-disk.'))
        run('mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', self.folder)
        self.server = Server(data=self.folder / 'data').start()
        self.addCleanup(lambda: self.server.process.poll() is None and self.server.kill())
        self.source = self.server.post('/api/sources', {'push': True, 'title': 'P'}).json['id']
        self.sent, self.acknowledged = 0, set()

    def push(self):
        """One batch; its answer."""
        batch, self.sent = self.sent, self.sent + 1
        answer = self.server.post(f'/api/sources/{self.source}/items', [{'id': f'{batch}-{n}', 'title': f't {n}', 'content_text': os.urandom(500).hex()} for n in range(SIZE)])
        if answer.status == 200:
            self.acknowledged.add(batch)
        return answer

    def judge(self):
        ids, cursor = [], ''
        while True:
            page = self.server.get('/api/items?state=all&bodies=false&limit=1000' + (f'&cursor={cursor}' if cursor else ''))
            self.assertEqual(page.status, 200, page)
            ids += [item['id'] for item in page.json['items']]
            cursor = page.json.get('cursor')
            if not cursor:
                break
        self.assertEqual(len(ids), len(set(ids)), 'twice')
        there = {int(id.split('-')[0]) for id in ids}
        self.assertEqual(len(ids), len(there) * SIZE, 'a batch in part')
        self.assertEqual(there, self.acknowledged, 'what was answered, all of it and nothing else')
        self.assertEqual(self.server.get('/api/me').json['counts']['total'], len(ids))

    def refused(self, answer):
        self.assertEqual(answer.status, 503, answer)
        self.assertTrue(answer.headers['Retry-After'])
        error = answer.json['error']
        self.assertTrue(error['message'] and error['code'], error)
        self.assertRegex(json.dumps(error), 'disk|full|space|read-only|readonly|written', error)

    def test_full_then_room_again(self):
        for _ in range(5):
            self.assertEqual(self.push().status, 200)
        filler = self.folder / 'filler'
        with filler.open('wb') as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
            except OSError:
                pass
        answer = None
        for _ in range(200):
            answer = self.push()
            if answer.status != 200:
                break
        self.refused(answer)
        for _ in range(3):
            self.refused(self.push())
        self.judge()
        self.assertIn(self.server.get('/healthz').status, (200, 503))
        report = self.server.get('/api/doctor').json['checks']
        disk = next(c for c in report if c['name'] == 'disk')
        self.assertTrue(disk['state'] != 'ok' and disk.get('remedy'), disk)
        filler.unlink()
        until(lambda: self.push().status == 200, 5)
        for _ in range(5):
            self.assertEqual(self.push().status, 200)
        self.judge()
        self.server.kill()
        self.server.start()
        self.judge()
        self.server.stop()

    def test_a_disk_that_may_only_be_read(self):
        self.assertEqual(self.push().status, 200)
        self.server.stop()
        run('mount', '-o', 'remount,ro', self.folder)
        for words in (['list'], ['sources'], ['star', '1'], ['serve', '--listen', '127.0.0.1:0']):
            code, out, err = weir('--no-model', '--json', *words, data=self.folder / 'data', check=False)
            error = json.loads(err)['error']
            self.assertEqual((code, out), (1, ''), (words, err))
            self.assertIn(str(self.folder), error['where'])
            self.assertTrue(error['remedy'], error)
        run('mount', '-o', 'remount,rw', self.folder)
        self.server.start()
        self.assertEqual(self.push().status, 200)
        self.judge()
        self.server.stop()


class Disk(unittest.TestCase):
    def test_on_a_disk_of_its_own(self):
        need_binary()
        probe = subprocess.run(['unshare', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'], capture_output=True, text=True)
        if probe.returncode:
            self.skipTest('needs root, to mount a disk: ' + probe.stderr.strip())
        done = subprocess.run(['unshare', '--mount', sys.executable, '-W', 'ignore', __file__], env=dict(os.environ, WEIR_DISK='inside'), capture_output=True, text=True, timeout=200)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if INSIDE:
    del Disk
else:
    del Inside

if __name__ == '__main__':
    unittest.main()
