#!/usr/bin/env python3
"""bench/million.py DIR [--rates 200,500] [--seconds 10] [--only REGEX] [--no-stream] [--no-first-touch]: a reader's million items through sockets, as `weir_store_bench load DIR TEXT 1000000`
made them (500 sources, 95 % unread), by `weir --no-model serve` on a copy of DIR.

50 connections (weir_http_load_bench, an open loop) ask one question at a time, while 350 items a second are pushed and indexed. Then marking all; then the
first touch: the server stopped, the page cache dropped (as root: /proc/sys/vm/drop_caches; else POSIX_FADV_DONTNEED on the database), started, asked once.
Server and client share the machine. Prints a line a measurement, times in ms. WEIR_BIN, WEIR_BUILD name the program and the build.
"""
import argparse, http.client, itertools, json, os, pathlib, random, re, shutil, subprocess, sys, threading, time, urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'tests'))
from weirtest import Server  # noqa: E402

CLIENT = pathlib.Path(os.environ.get('WEIR_BUILD') or ROOT / 'build') / 'bench/weir_http_load_bench'
BATCH, EVERY = 35, 0.1           # 350 items a second
SLOW = {'search: prefix': (20,), 'search: best': (50,)}  # milliseconds of a core each: two cores do not answer 500 a second


def item(number, text):
    return {'id': f'pushed-{number}', 'url': f'https://pushed.example/{number}', 'title': f'{text[:60]} {number}', 'content_html': f'<p>{text[:2700]}</p>'}


class Stream(threading.Thread):
    """Pushes items until it is stopped; the times of its requests are in `times`, in ms, from when each was due."""

    def __init__(self, server, sources, texts):
        super().__init__(daemon=True)
        self.server, self.sources, self.texts, self.times, self.going = server, sources, texts, [], True

    def run(self):
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=60)
        head = {'Authorization': f'Bearer {self.server.token}', 'Content-Type': 'application/json'}
        begin, n, salt = time.perf_counter(), 0, random.randrange(1 << 40)
        while self.going:
            body = json.dumps([item(f'{salt}-{n}-{k}', self.texts[(n * BATCH + k) % len(self.texts)]) for k in range(BATCH)]).encode()
            due = begin + n * EVERY
            time.sleep(max(0, due - time.perf_counter()))
            connection.request('POST', f'/api/sources/{self.sources[n % len(self.sources)]}/items', body, head)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()
            self.times.append((time.perf_counter() - due) * 1e3)
            n += 1

    def stop(self):
        self.going = False
        self.join()
        return sorted(self.times)


def metric(server, name):
    return next(float(line.split()[1]) for line in server.get('/metrics').body.decode().splitlines() if line.startswith(name + ' '))


def ask(server, target):
    answer = server.get(target, timeout=60)
    assert answer.status == 200, (target, answer)
    return answer.json


def phrases(texts, n):
    """Two or three words that stand side by side in some text, of any rarity: what nobody has asked before."""
    random_, out = random.Random(2), []
    while len(out) < n:
        words = re.findall(r"[A-Za-z]+(?: [A-Za-z]+)+", random_.choice(texts))
        words = random_.choice(words).split() if words else []
        if len(words) > 3:
            at = random_.randrange(len(words) - 3)
            out.append('"' + ' '.join(words[at:at + random_.choice((2, 3))]) + '"')
    return out


def questions(server, texts):
    """name: the targets that are asked in turn."""
    search = lambda *words, more='': [f'/api/items?q={urllib.parse.quote(word)}&limit=20{more}' for word in words]
    deep, cursor = [], ''
    for _ in range(40):          # 40,000 items down, a stop every thousand
        page = ask(server, '/api/items?state=unread&bodies=false&limit=1000' + (f'&cursor={cursor}' if cursor else ''))
        cursor = urllib.parse.quote(page['cursor'])
        deep.append(f'/api/items?state=unread&cursor={cursor}')
    sources = [one['id'] for one in ask(server, '/api/sources')['sources'] if one['kind'] == 'feed']
    named = {
        'newest 50': ['/api/items?state=unread'],
        'newest 100': ['/api/items?state=unread&limit=100'],
        'deep page': deep,
        'one source': [f'/api/items?state=unread&source={one}' for one in sources],
        'one folder': [f'/api/items?state=unread&folder=Folder%20{n}' for n in range(20)],
        'starred': ['/api/items?state=starred'],
        'sources with counters': ['/api/sources'],
        'search: words': search('people', 'government', 'market bank', 'river', 'election vote'),
        'search: phrases': search('"prime minister"', '"the first time"'),
        'search: 300 different phrases': search(*phrases(texts, 300)),
        'search: Chinese words': search('中国', '公司', '北京 房价', '人工智能'),
        'search: one character': search('能', '的', '水'),
        'search: prefix': search('govern*'),
        'search: best': search('people', 'market bank', '"prime minister"', '中国', '能', more='&order=relevance'),
    }
    # What readers do: mostly lists, one request in ten a search, of these one in five by relevance.
    share = {'newest 50': 5, 'deep page': 1, 'one source': 2, 'one folder': 1, 'search: words': .4, 'search: phrases': .1, 'search: Chinese words': .2, 'search: one character': .1, 'search: best': .2}
    turns, random_ = {name: itertools.cycle(targets) for name, targets in named.items()}, random.Random(1)
    named['a mix'] = [next(turns[name]) for name in random_.choices(list(share), list(share.values()), k=2000)]
    return named


def load(server, targets, rate, seconds, connections=50):
    lines = ''.join((target if target[0] != '/' else f'GET {target}') + '\n' for target in targets)
    cpu = server.cpu_seconds()
    done = subprocess.run([CLIENT, f'{server.host}:{server.port}', server.token, str(rate), str(connections), str(seconds)], input=lines, capture_output=True, text=True, check=True)
    out = json.loads(done.stdout)
    out['server_ms_a_request'] = round((server.cpu_seconds() - cpu) / out['requests'] * 1e3, 2)
    return out


def forget_pages(data):
    os.sync()
    try:
        pathlib.Path('/proc/sys/vm/drop_caches').write_text('3')
        return 'drop_caches'
    except OSError:
        for file in data.iterdir():
            with open(file, 'rb') as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return 'fadvise'


def say(what, **figures):
    print(json.dumps({'what': what, **{name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()}}, ensure_ascii=False), flush=True)


def marks(server):
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)

    def mark(body):
        begun = time.perf_counter()
        connection.request('POST', '/api/items/mark-read', json.dumps(body), {'Authorization': f'Bearer {server.token}', 'Content-Type': 'application/json'})
        answer = connection.getresponse()
        marked = json.loads(answer.read())['marked']
        return marked, (time.perf_counter() - begun) * 1e3

    for name, bodies in {'mark all of a source': [{'source': n} for n in range(3, 40)], 'mark all of a folder': [{'folder': f'Folder {n}'} for n in range(3)],
                         'mark all before a day': [{'all': True, 'before': '2026-06-01T00:00:00Z'}], 'mark all': [{'all': True}]}.items():
        done = [mark(body) for body in bodies]
        say(name, marked=sum(count for count, _ in done), worst=max(ms for _, ms in done))


def big_pushes(server, source, texts):
    """5,000 items at once, while another connection marks an item again and again."""
    first, waits, going = ask(server, '/api/items?limit=1')['items'][0]['_weir']['id'], [], True

    def send(connection, method, path, body):
        begun = time.perf_counter()
        connection.request(method, path, json.dumps(body), {'Authorization': f'Bearer {server.token}', 'Content-Type': 'application/json'})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
        return (time.perf_counter() - begun) * 1e3

    def other():
        connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
        while going:
            waits.append(send(connection, 'PATCH', f'/api/items/{first}', {'read': len(waits) % 2 == 0}))
            time.sleep(0.002)

    thread = threading.Thread(target=other)
    thread.start()
    connection, salt = http.client.HTTPConnection(server.host, server.port, timeout=60), random.randrange(1 << 40)
    took = [send(connection, 'POST', f'/api/sources/{source}/items', [item(f'{salt}-{n}-{k}', texts[k % len(texts)]) for k in range(5_000)]) for n in range(3)]
    going = False
    thread.join()
    waits.sort()
    say('pushes of 5,000', took=[round(ms) for ms in took], others_p50=waits[len(waits) // 2], others_p99=waits[len(waits) * 99 // 100], others_worst=waits[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('dir', type=pathlib.Path)
    parser.add_argument('--rates', default='200,500')
    parser.add_argument('--seconds', type=float, default=10)
    parser.add_argument('--only', default='')
    parser.add_argument('--no-stream', action='store_true')
    parser.add_argument('--no-first-touch', action='store_true')
    arguments = parser.parse_args()
    copy = arguments.dir.with_name(arguments.dir.name + '.run')
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(mode=0o700)
    subprocess.run(['cp', '--reflink=auto', arguments.dir / 'weir.db', copy], check=True)
    os.sync()
    texts = (arguments.dir.parent / 'corpus/en.txt').read_text().replace('\x1f', ' ').split('\n')[:3000]
    with Server(data=copy) as server:
        while metric(server, 'weir_fetch_in_flight') or not metric(server, 'weir_fetches_total'):
            time.sleep(1)        # the corpus' sources are not there: each has been tried once
        pushed = [server.post('/api/sources', {'push': True, 'title': f'stream {n}'}).json['id'] for n in range(10)]
        asked = {name: targets for name, targets in questions(server, texts).items() if re.search(arguments.only, name)}
        say('items', items=int(metric(server, 'weir_items')), resident_mb=server.resident_kb() / 1024)
        stream = None
        if not arguments.no_stream:
            stream = Stream(server, pushed, texts)
            stream.start()
            time.sleep(3)
        for name, targets in asked.items():
            load(server, targets, 50, 1)
            for rate in SLOW.get(name) or map(int, arguments.rates.split(',')):
                say(name, rate=rate, **load(server, targets, rate, arguments.seconds))
        if re.search(arguments.only, 'marks'):
            marks(server)
        if re.search(arguments.only, 'pushes'):
            big_pushes(server, pushed[0], texts)
        if stream:
            times = stream.stop()
            say('pushes of 35', n=len(times), p50=times[len(times) // 2], p99=times[len(times) * 99 // 100], worst=times[-1])
            say('commits', n=int(metric(server, 'weir_commits_total')), longest=metric(server, 'weir_longest_commit_seconds') * 1e3, longest_checkpoint=metric(server, 'weir_longest_checkpoint_seconds') * 1e3)
        say('resident', mb=server.resident_kb() / 1024)
    shutil.rmtree(copy)
    if arguments.no_first_touch:
        return
    copy.mkdir(mode=0o700)
    subprocess.run(['cp', '--reflink=auto', arguments.dir / 'weir.db', copy], check=True)
    token = Server(data=copy).new_token('operator')
    for name, targets in asked.items():
        server = Server(data=copy)
        server.token = token
        how = forget_pages(copy)
        begun = time.perf_counter()
        server.start()
        started = time.perf_counter() - begun
        times = []
        for target in targets[:3]:
            begun = time.perf_counter()
            ask(server, target)
            times.append((time.perf_counter() - begun) * 1e3)
        say(f'first touch: {name}', start=started * 1e3, first=times[0], then=[round(ms, 1) for ms in times[1:]], forgot_by=how)
        server.stop()
    shutil.rmtree(copy)


main()
