"""kill -9 at a random moment of a whole running server under a mixed load of real clients and fetches, again and again on one folder: 0 lost, 0 invented, 0 twice.
Usually as many kills as fit into 45 s, at least 100; with WEIR_LONG=1 1,000, in ten folders. WEIR_SEED repeats the moments, not the machine."""
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
import server_load  # noqa: E402
import weirtest  # noqa: E402

ROUNDS, LEAST, BUDGET = (10, 100, 0) if os.environ.get('WEIR_LONG') else (1, 100, 45)


class ServerKill(unittest.TestCase):
    def setUp(self):
        weirtest.need_binary()

    def test_nothing_answered_is_lost(self):
        seed = int(os.environ.get('WEIR_SEED') or time.time())
        for turn in range(ROUNDS):
            self.one_folder(seed + turn)

    def test_the_oracle_sees_what_is_wrong(self):
        """The control: a row that goes, an ETag ahead of its items, a mark that goes back, each is seen."""
        ledger = server_load.Ledger()
        origin = server_load.Origin(ledger)
        self.addCleanup(origin.close)
        with tempfile.TemporaryDirectory(prefix='weir-server-kill.') as folder:
            folder = pathlib.Path(folder)
            with weirtest.Server(data=folder / 'data') as server:
                ids = [self.add(server, {'url': origin.url(source)}) for source in range(server_load.FEEDS)] + [self.add(server, {'push': True, 'title': 'Pushed'})]
                load = server_load.Load(server, ledger, ids, 1)
                time.sleep(0.5)
                server.kill()
                load.end()
                server.start()
            self.assertEqual(server_load.judge_file(folder / 'data', ids, ledger, folder), [])
            whole = (folder / 'data/weir.db').read_bytes()
            for sql, word in ((f"DELETE FROM items WHERE guid='{server_load.PUSHED}-0-1'", 'there in part'), ("UPDATE sources SET etag='\"99999\"' WHERE kind=0", 'ETag'),
                              ('DELETE FROM outbox WHERE stage=2 AND item=1', 'outbox 2'), ("DELETE FROM signals", 'signals'), ("UPDATE counts SET n=n+1 WHERE name='items'", 'counted')):
                db = sqlite3.connect(folder / 'data/weir.db')
                db.execute(sql)
                db.commit()
                db.close()
                self.assertIn(word, ' '.join(server_load.judge_file(folder / 'data', ids, ledger, folder)), sql)
                (folder / 'data/weir.db').write_bytes(whole)
            ledger.starred.add(f'{server_load.PUSHED}-0-2')
            ledger.acknowledged.add((server_load.PUSHED, 10**6))
            db = sqlite3.connect(folder / 'data/weir.db')
            db.execute('DELETE FROM starred')
            db.commit()
            db.close()
            with weirtest.Server(data=folder / 'data') as server:
                words = ' '.join(server_load.judge_server(server, ids, ledger)[0])
                for word in ('lost', 'no longer starred', 'counters'):
                    self.assertIn(word, words)

    def one_folder(self, seed):
        chance, ledger = random.Random(seed), server_load.Ledger()
        origin = server_load.Origin(ledger)
        self.addCleanup(origin.close)
        with tempfile.TemporaryDirectory(prefix='weir-server-kill.') as folder:
            folder = pathlib.Path(folder)
            data = folder / 'data'
            server = weirtest.Server(data=data).start()
            self.addCleanup(lambda: server.process.poll() is None and server.kill())
            ids = [self.add(server, {'url': origin.url(source)}) for source in range(server_load.FEEDS)] + [self.add(server, {'push': True, 'title': 'Pushed'})]
            began, kills, items, slowest = time.monotonic(), 0, 0, 0.0
            while kills < LEAST or time.monotonic() - began < BUDGET:
                load = server_load.Load(server, ledger, ids, chance.random())
                time.sleep(chance.uniform(0.05, 0.5))
                self.assertIsNone(server.process.poll(), f'seed {seed}, kill {kills}: the server ended by itself: {"".join(server.errors)[-2000:]}')
                if gently := chance.random() < 0.1:   # told to stop, in the middle of it all; at times killed while it does
                    server.process.send_signal(signal.SIGTERM)
                    if chance.random() < 0.5:
                        self.assertEqual(server.process.wait(12), 0, f'seed {seed}, kill {kills}')
                    else:
                        time.sleep(chance.uniform(0, 0.05))
                server.kill()
                load.end()
                kills += not gently
                if chance.random() < 0.15:   # and in the middle of its start
                    self.kill_while_starting(data, chance.uniform(0, 0.03))
                    kills += 1
                judge = kills % 10 < 2 or kills >= LEAST and time.monotonic() - began >= BUDGET
                if judge:
                    self.assertEqual(server_load.judge_file(data, ids, ledger, folder), [], f'seed {seed}, kill {kills}')
                at = time.monotonic()
                server.start()
                slowest = max(slowest, time.monotonic() - at)
                if judge:
                    wrong, items = server_load.judge_server(server, ids, ledger)
                    self.assertEqual(wrong, [], f'seed {seed}, kill {kills}')
            server.stop()
            counts = dict(sorted(ledger.counts.items()))
            for kind in ('POST /api/sources/N/items', 'PATCH /api/items/', 'GET /api/items', 'PUT /api/settings', 'POST /api/signals'):
                self.assertGreater(sum(n for k, n in counts.items() if k.startswith(kind.replace('N/items', ''))), kills, f'the load was too thin to say anything: {counts}')
            fetched = sum(s != server_load.PUSHED for s, _ in ledger.acknowledged)
            self.assertGreater(fetched, kills / 2, 'too few fetches')
            print(f'{kills} kills in {time.monotonic() - began:.0f} s, {sum(counts.values())} answers, {fetched} fetched and {len(ledger.acknowledged) - fetched} pushed batches acknowledged, '
                  f'{len(ledger.read)} marks, {items} items: 0 lost, 0 invented, 0 twice; slowest start {slowest * 1000:.0f} ms', file=sys.stderr)

    def add(self, server, body):
        answer = server.post('/api/sources', body)
        self.assertIn(answer.status, (200, 201), answer)
        return answer.json['id']

    def kill_while_starting(self, data, after):
        process = subprocess.Popen([weirtest.BIN, '--data', data, '--no-model', 'serve', '--listen', '127.0.0.1:0', '--allow-net', '127.0.0.0/8'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        process.wait()


if __name__ == '__main__':
    unittest.main()
