"""Power cuts under the whole server: its folder is a file system in an image; under load the server is stopped, the image copied as it lies, and the copy mounted. What a
process has only handed to the kernel is not in it. What was answered must be. (That such a cut can be seen at all: the control in test_powercut.py.)"""
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
import server_load  # noqa: E402
import weirtest  # noqa: E402

CUTS = int(os.environ.get('WEIR_CUTS') or 20)


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


class ServerPowerCut(unittest.TestCase):
    def setUp(self):
        weirtest.need_binary()
        if not os.environ.get('WEIR_LONG'):
            self.skipTest('power cuts take minutes: set WEIR_LONG=1')
        if os.geteuid() != 0 or not shutil.which('mkfs.ext4'):
            self.skipTest('needs root and mkfs.ext4, to mount images')
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='weir-powercut.'))
        self.addCleanup(shutil.rmtree, self.folder, True)

    def cut(self, seed):
        """One cut; how many batches were acknowledged before it."""
        image, copy, mount = self.folder / 'image', self.folder / 'copy', self.folder / 'mount'
        scratch = self.folder / 'scratch'
        for folder in (mount, scratch):
            folder.mkdir(exist_ok=True)
        for file in (image, copy):
            file.unlink(missing_ok=True)
        run('truncate', '-s', '96M', image)
        run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=1,nodiscard', image)
        try:
            run('mount', '-o', 'loop', image, mount)
        except subprocess.CalledProcessError as error:
            self.skipTest(f'needs root that may mount images: {error.stderr.decode().strip()}')
        chance, ledger = random.Random(seed), server_load.Ledger()
        origin = server_load.Origin(ledger)
        server = weirtest.Server(data=mount / 'data')
        try:
            server.start()
            ids = [server.post('/api/sources', {'url': origin.url(source)}).json['id'] for source in range(server_load.FEEDS)] + [server.post('/api/sources', {'push': True, 'title': 'Pushed'}).json['id']]
            load = server_load.Load(server, ledger, ids, seed)
            time.sleep(chance.uniform(0.3, 1.0))
            server.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WNOWAIT)
            run('cp', '--sparse=always', image, copy)
            server.kill()
            load.end()
        finally:
            origin.close()
            if server.process and server.process.poll() is None:
                server.kill()
            time.sleep(0.1)   # its parsers end with it
            run('umount', mount)
        run('mount', '-o', 'loop', copy, mount)
        try:
            self.assertEqual(server_load.judge_file(mount / 'data', ids, ledger, scratch), [], f'seed {seed}')
            server.start()
            wrong, _ = server_load.judge_server(server, ids, ledger)
            server.stop()
            self.assertEqual(wrong, [], f'seed {seed}')
        finally:
            if server.process.poll() is None:
                server.kill()
            time.sleep(0.1)
            run('umount', mount)
        return len(ledger.acknowledged)

    def test_what_was_answered_is_there(self):
        seed = int(os.environ.get('WEIR_SEED') or time.time())
        acknowledged = sum(self.cut(seed + n) for n in range(CUTS))
        self.assertGreater(acknowledged, CUTS * 5, 'the load was too thin to say anything')
        print(f'{CUTS} power cuts of the whole server, {acknowledged} batches acknowledged: 0 lost', file=sys.stderr)


if __name__ == '__main__':
    unittest.main()
