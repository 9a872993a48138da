"""What must hold after a fault, told by a ledger outside the fault's reach (acknowledged is stored, stored was sent, nothing twice)."""
import os
import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(os.environ.get('WEIR_ROOT') or pathlib.Path(__file__).resolve().parents[2])
DRIVER = os.environ.get('WEIR_STORE_DRIVER') or str(ROOT / 'build/src/store/weir_store_driver')
BATCH, PUSHED = 5, 2     # source PUSHED is pushed to, in pieces


def need_driver():
    if not os.access(DRIVER, os.X_OK):
        raise unittest.SkipTest(f'no program at {DRIVER}: scripts/build makes it')


class Ledger:
    def __init__(self):
        self.sent, self.acknowledged, self.read = set(), set(), set()

    def take(self, output):
        """Lines of a driver that was killed; the last one may be cut off."""
        for line in output.split('\n')[:-1]:
            kind, *rest = line.split()
            if kind == 's':
                self.sent.add((int(rest[0]), int(rest[1])))
            elif kind == 'a':
                self.acknowledged.add((int(rest[0]), int(rest[1])))
            elif kind == 'r':
                self.read.add(int(rest[0]))

    def next_batch(self):
        return max((b for _, b in self.sent), default=-1) + 1

    def unanswered_push(self):
        return max((b for s, b in self.sent - self.acknowledged if s == PUSHED), default=-1)


class Findings:
    """lost, invented, twice: counts of items; unsound: what else is wrong, in words."""

    def __init__(self, ledger, directory):
        done = subprocess.run([DRIVER, 'dump', str(directory)], capture_output=True, text=True, timeout=300)
        self.unsound = [] if done.returncode == 0 and done.stdout.endswith('ok\n') else [f'dump: exit {done.returncode}: {done.stderr.strip()}']
        items, etags, counts, found = [], {}, {}, None
        for line in done.stdout.splitlines():
            kind, *rest = line.split()
            if kind == 'i':
                items.append((rest[0], int(rest[1]), rest[2] == '1'))
            elif kind == 'e':
                etags[int(rest[0])], counts[int(rest[0])] = int(rest[1]), (int(rest[2]), int(rest[3]))
            elif kind == 'n':
                found = (int(rest[0]), int(rest[1]))
        self.items = len(items)
        names = [guid for guid, _, _ in items]
        stored = {tuple(map(int, guid.split('-'))) for guid in names}
        promised = {(s, b, i) for s, b in ledger.acknowledged for i in range(BATCH)}
        self.lost = len(promised - stored)
        self.invented = len({(s, b) for s, b, _ in stored} - ledger.sent)
        self.twice = len(names) - len(set(names))
        if self.unsound:
            return
        by_batch = {}
        for s, b, i in stored:
            by_batch.setdefault((s, b), set()).add(i)
        self.expect(all(len(v) == BATCH for (s, _), v in by_batch.items() if s != PUSHED), 'a batch is there in part')
        self.in_part = sum(len(v) < BATCH for v in by_batch.values())
        for source, etag in etags.items():
            newest = max((b for s, b, _ in stored if s == source), default=-1)
            self.expect(etag == (-1 if source == PUSHED else newest), f'source {source}: ETag {etag} beside items of batch {newest}')
            mine = [(guid, read) for guid, _, read in items if guid.startswith(f'{source}-')]
            self.expect(counts[source] == (sum(not read for _, read in mine), len(mine)), f'source {source}: counters {counts[source]} for {len(mine)} items')
        self.expect(found == (len(items), len(items)), f'search finds and outbox holds {found} of {len(items)}')
        back = ledger.read - {item for _, item, read in items if read}
        self.expect(not back, f'{len(back)} items are unread again')

    def expect(self, holds, words):
        if not holds:
            self.unsound.append(words)
