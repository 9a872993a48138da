"""kill -9 at a random moment of a mixed load, again and again on one database: 0 lost, 0 invented, 0 twice."""
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from oracle import DRIVER, Findings, Ledger, need_driver  # noqa: E402

KILLS = 1000 if os.environ.get('WEIR_LONG') else 100


class Kill(unittest.TestCase):
    def test_nothing_acknowledged_is_lost(self):
        need_driver()
        seed = int(os.environ.get('WEIR_SEED') or time.time())
        chance = random.Random(seed)
        with tempfile.TemporaryDirectory(prefix='weir-kill.') as folder:
            ledger, data = Ledger(), pathlib.Path(folder) / 'data'
            log = pathlib.Path(folder) / 'log'
            pushed = 0
            for kill in range(KILLS):
                pushed += ledger.unanswered_push() >= 0
                with log.open('w') as out:
                    process = subprocess.Popen([DRIVER, 'load', str(data), str(ledger.next_batch()), str(ledger.unanswered_push())], stdout=out, stderr=subprocess.PIPE, text=True)
                    time.sleep(chance.uniform(0.02, 0.4))
                    self.assertIsNone(process.poll(), f'seed {seed}, kill {kill}: it ended by itself')
                    process.send_signal(signal.SIGKILL)
                    process.communicate()
                ledger.take(log.read_text())
                if kill % 10 == 9 or kill == KILLS - 1:
                    found = Findings(ledger, data)
                    self.assertEqual((found.lost, found.invented, found.twice, found.unsound), (0, 0, 0, []), f'seed {seed}, kill {kill}')
            self.assertGreater(len(ledger.acknowledged), KILLS, 'the load was too thin to say anything')
            print(f'{KILLS} kills, {pushed} pushes sent again, {len(ledger.acknowledged)} batches acknowledged, {found.items} items: 0 lost, 0 invented, 0 twice', file=sys.stderr)


if __name__ == '__main__':
    unittest.main()
