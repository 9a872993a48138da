#!/usr/bin/env python3
"""bench/start.py [--dir DIR] [--times 10]: from the command `weir --no-model serve` to its line `listening on …`, each time on an empty DIR (or on DIR as it
is), and the resident memory of all its processes: idle, and after 1,000 requests for lists of 50 over 50 connections. Times in ms. WEIR_BIN, WEIR_BUILD name
the program and the build."""
import argparse, json, os, pathlib, shutil, statistics, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'tests'))
from weirtest import Server  # noqa: E402

CLIENT = pathlib.Path(os.environ.get('WEIR_BUILD') or ROOT / 'build') / 'bench/weir_http_load_bench'


class Timed(Server):
    def new_token(self, scope, user=None):
        """Called when the line has come: before anything else is done."""
        self.took = (time.perf_counter() - self.begun) * 1e3
        return super().new_token(scope, user)

    def start(self):
        self.begun, self.token = time.perf_counter(), None
        return super().start()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--dir', type=pathlib.Path)
    parser.add_argument('--times', type=int, default=10)
    arguments = parser.parse_args()
    took = []
    for _ in range(arguments.times):
        with Timed(data=arguments.dir) as server:
            took.append(server.took)
    print(json.dumps({'start': round(statistics.median(took), 1), 'best': round(min(took), 1), 'worst': round(max(took), 1), 'of': len(took)}))
    data = arguments.dir or pathlib.Path(tempfile.mkdtemp(prefix='weir-start.'))
    with Timed(data=data) as server:
        if not arguments.dir:
            source = server.post('/api/sources', {'push': True, 'title': 'a'}).json['id']
            text = 'Weir takes everything in and works out what each reader\'s attention should go to, and says why. ' * 25
            for first in range(0, 2000, 500):
                server.post(f'/api/sources/{source}/items', [{'id': str(n), 'title': f'Item {n}', 'content_html': f'<p>{text}</p>'} for n in range(first, first + 500)])
        time.sleep(12)           # parser children end when they are idle
        idle = server.resident_kb() / 1024
        subprocess.run([CLIENT, f'{server.host}:{server.port}', server.token, '250', '50', '4'], input='GET /api/items\n', text=True, check=True, stdout=subprocess.DEVNULL)
        print(json.dumps({'items': 2000 if not arguments.dir else str(arguments.dir), 'resident_mb_idle': round(idle, 1), 'after_1000_lists': round(server.resident_kb() / 1024, 1)}))
    if not arguments.dir:
        shutil.rmtree(data)


main()
