#!/usr/bin/env python3
"""bench/farm.py FARM_OPML_URL [--hour SECONDS]: a farm of feeds read whole, by `weir --no-model serve`: import, first refresh, a fifth changed, nothing changed; until
everything is searchable. Prints a JSON line a step: wall seconds, CPU seconds of all processes of Weir (looked at five times a second; a parser child lives
ten seconds after its last document, so none is missed), items, resident kB.

--hour: after the first refresh a fifth of the feeds changes, every feed gets its time within the hour that follows, evenly, and that many seconds of it are
lived through as they are: what polling costs, idle hours and parser children that come and go among it, as a share of a core.

  ../shared/tools/peers/farm: go build -o farm . && ./farm -n 1000 -port 7070 &
  bench/farm.py http://127.0.0.1:7070/_farm/opml
"""
import argparse, json, os, pathlib, shutil, sqlite3, sys, tempfile, threading, time, urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'tests'))
from weirtest import Server, children, weir

class Cpu:
    """CPU seconds of a process and of all that ever descended from it."""

    def __init__(self, pid):
        self.pid, self.seen = pid, {}
        threading.Thread(target=self.watch, daemon=True).start()

    def look(self):
        tick = os.sysconf('SC_CLK_TCK')
        for pid in [self.pid] + children(self.pid):
            try:
                fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
                self.seen[pid] = (int(fields[11]) + int(fields[12])) / tick
            except (FileNotFoundError, ProcessLookupError):
                pass

    def watch(self):
        while True:
            try:
                self.look()
            except (FileNotFoundError, ProcessLookupError):
                pass
            time.sleep(0.2)

    def __call__(self):
        self.look()
        return sum(self.seen.values())


def metric(server, name):
    for line in server.get('/metrics').body.decode().splitlines():
        if line.startswith(name + ' '):
            return float(line.split()[1])


def settle(server):
    """Until no fetch is under way and the search index has everything, three looks in a row."""
    quiet = 0
    while quiet < 3:
        time.sleep(1)
        busy = metric(server, 'weir_fetch_in_flight') or metric(server, 'weir_search_queued')
        quiet = 0 if busy else quiet + 1


def spread(database, seconds=3600):
    """Every feed's next poll at its own time in the hour that begins now, whatever its rhythm is. The server does not run meanwhile."""
    with sqlite3.connect(database) as connection:
        feeds = [row[0] for row in connection.execute('SELECT id FROM sources WHERE next IS NOT NULL ORDER BY id')]
        now = time.time()
        connection.executemany('UPDATE sources SET next=? WHERE id=?', [(int((now + (n + 1) * seconds / len(feeds)) * 1e6), id) for n, id in enumerate(feeds)])
    connection.close()
    return len(feeds)


def main(url, hour):
    base = url.split('/_farm')[0]
    folder = pathlib.Path(tempfile.mkdtemp(prefix='weir-farm.'))
    (folder / 'farm.opml').write_bytes(urllib.request.urlopen(url).read())
    server = Server(data=folder / 'dir').start()
    cpu = Cpu(server.process.pid)

    def step(name, work, done=settle):
        t0, c0 = time.monotonic(), cpu()
        work()
        done(server)
        print(json.dumps({'step': name, 'cpu_s': round(cpu() - c0, 2), 'wall_s': round(time.monotonic() - t0, 1), 'items': int(metric(server, 'weir_items')), 'resident_kb': server.resident_kb(),
                          'database_mb': round(metric(server, 'weir_database_bytes') / 1e6, 1)}), flush=True)

    post = lambda target: server.post(target, {})
    step('import and first refresh', lambda: weir('import', folder / 'farm.opml', data=folder / 'dir'))
    urllib.request.urlopen(urllib.request.Request(f'{base}/_farm/tick?frac=0.2', method='POST'))
    if hour:
        server.stop()
        feeds = spread(folder / 'dir/weir.db')
        server.start()
        time.sleep(3)
        cpu, polls, begun = Cpu(server.process.pid), metric(server, 'weir_fetches_total'), time.monotonic()
        c0, p0 = cpu(), polls
        time.sleep(hour)
        used, polled, wall = cpu() - c0, metric(server, 'weir_fetches_total') - p0, time.monotonic() - begun
        print(json.dumps({'step': f'{feeds} feeds an hour', 'seconds': round(wall), 'polls': int(polled), 'cpu_s': round(used, 2), 'percent_of_a_core': round(100 * used / wall, 2),
                          'cpu_ms_a_poll': round(1e3 * used / polled, 2), 'items': int(metric(server, 'weir_items')), 'resident_kb': server.resident_kb()}), flush=True)
        server.stop()
        shutil.rmtree(folder)
        return
    step('a fifth changed', lambda: post('/api/refresh'))
    step('nothing changed', lambda: post('/api/refresh'))
    server.stop()
    shutil.rmtree(folder)


parser = argparse.ArgumentParser()
parser.add_argument('url')
parser.add_argument('--hour', type=float, default=0)
arguments = parser.parse_args()
main(arguments.url, arguments.hour)
