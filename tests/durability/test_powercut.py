"""Power cuts: the disk is a file system in an image; the writer is stopped, the image copied as it lies, and the copy mounted. What a process has only
handed to the kernel is not in it. synchronous=FULL must lose nothing, and as the control that the test can see loss, NORMAL must lose in some cut."""
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

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from oracle import DRIVER, Findings, Ledger, need_driver  # noqa: E402

CUTS = int(os.environ.get('WEIR_CUTS') or 20)


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


class PowerCut(unittest.TestCase):
    def setUp(self):
        need_driver()
        if not os.environ.get('WEIR_LONG'):
            self.skipTest('power cuts take minutes: set WEIR_LONG=1')
        if os.geteuid() != 0 or not shutil.which('mkfs.ext4'):
            self.skipTest('needs root and mkfs.ext4, to mount images')
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='weir-powercut.'))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.chance = random.Random(int(os.environ.get('WEIR_SEED') or 3))

    def cut(self, mode):
        """One cut; what the oracle finds after it."""
        image, copy, mount = self.folder / 'image', self.folder / 'copy', self.folder / 'mount'
        mount.mkdir(exist_ok=True)
        for file in (image, copy):
            file.unlink(missing_ok=True)
        run('truncate', '-s', '64M', image)
        run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=1,nodiscard', image)
        try:
            run('mount', '-o', 'loop', image, mount)
        except subprocess.CalledProcessError as error:
            self.skipTest(f'needs root that may mount images: {error.stderr.decode().strip()}')
        log = self.folder / 'log'
        try:
            with log.open('w') as out:
                process = subprocess.Popen([DRIVER, 'load', str(mount / 'data'), '0'] + ([mode] if mode == 'normal' else []), stdout=out)
                time.sleep(self.chance.uniform(0.3, 0.8))
                process.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, process.pid, os.WSTOPPED)
                run('cp', '--sparse=always', image, copy)
                process.send_signal(signal.SIGKILL)
                process.wait()
        finally:
            run('umount', mount)
        ledger = Ledger()
        ledger.take(log.read_text())
        run('mount', '-o', 'loop', copy, mount)
        try:
            return ledger, Findings(ledger, mount / 'data')
        finally:
            run('umount', mount)

    def test_full_loses_nothing_and_normal_does(self):
        lossy, acknowledged = {}, {}
        for mode in ('full', 'normal'):
            lossy[mode] = acknowledged[mode] = 0
            for cut in range(CUTS):
                ledger, found = self.cut(mode)
                acknowledged[mode] += len(ledger.acknowledged)
                lossy[mode] += found.lost > 0
                if mode == 'full':
                    self.assertEqual((found.lost, found.invented, found.twice, found.unsound), (0, 0, 0, []), f'cut {cut}')
        print(f'{CUTS} cuts each: full lost in {lossy["full"]} ({acknowledged["full"]} batches acknowledged), normal in {lossy["normal"]} ({acknowledged["normal"]})', file=sys.stderr)
        self.assertGreater(acknowledged['full'], CUTS, 'the load was too thin to say anything')
        self.assertGreater(lossy['normal'], 0, 'the control lost nothing: this test cannot see loss')


if __name__ == '__main__':
    unittest.main()
