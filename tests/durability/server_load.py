"""A load on a whole running server, and what must hold after it was killed. The ledger is the clients' own: outside the fault's reach.

An item's id names its place: "S-B-I" is item I of batch B of source S. Sources FEEDS are fetched from an origin that serves each version once, so an ETag that is
stored without its items loses them for good; one more is pushed to. Document B of a feed holds batch B and, as real feeds do, batch B-1 again."""
import collections
import http.client
import http.server
import json
import random
import shutil
import sqlite3
import threading
import time

FEEDS, SIZE = 3, 5
PUSHED = FEEDS          # the number of the source that is pushed to
WORDS = ['river', 'weir', 'attention', 'budget', '河流', '注意力']


class Ledger:
    """What was sent and what was answered. Any thread."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sent, self.acknowledged = set(), set()             # (source, batch)
        self.read, self.starred = set(), set()                  # item ids, answered
        self.signals_sent, self.signals = set(), set()          # signal ids
        self.setting_sent = self.setting = 0
        self.counts = collections.Counter()                     # answers, by kind
        self.wrong = []                                         # answers that should not have been

    def next_batch(self, source):
        with self.lock:
            batch = 1 + max((b for s, b in self.sent if s == source), default=-1)
            self.sent.add((source, batch))
            return batch

    def unanswered(self, source):
        with self.lock:
            return sorted((s, b) for s, b in self.sent - self.acknowledged if s == source)


def title(source, batch, i):
    return f'title of {source}-{batch}-{i} {WORDS[(batch + i) % len(WORDS)]}'


class Origin:
    """The feeds' web server: every request for /S gets the next version; a request that names ETag B has told that batch B is stored."""

    def __init__(self, ledger):
        self.ledger, origin = ledger, self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                body, headers = origin.answer(self.path, self.headers)
                self.send_response(200 if body else 404)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 128

            def handle_error(self, *_):
                pass  # readers that are killed in the middle of an answer

        self.server = Server(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()

    def url(self, source):
        return f'http://127.0.0.1:{self.server.server_port}/{source}'

    def answer(self, path, headers):
        if path[1:] not in map(str, range(FEEDS)):
            return b'', []
        source = int(path[1:])
        known = (headers.get('If-None-Match') or '').strip('"')
        if known:
            with self.ledger.lock:
                self.ledger.acknowledged.add((source, int(known)))
                if (source, int(known)) not in self.ledger.sent:
                    self.ledger.wrong.append(f'source {source}: ETag {known} was never served')
        batch = self.ledger.next_batch(source)
        items = ''.join(f'<item><guid isPermaLink="false">{source}-{b}-{i}</guid><title>{title(source, b, i)}</title><description>&lt;p&gt;text {"y" * (b * 37 % 900)}&lt;/p&gt;</description></item>'
                        for b in ([batch] if batch == 0 else [batch, batch - 1]) for i in range(SIZE))
        return (f'<?xml version="1.0"?><rss version="2.0"><channel><title>Feed {source}</title><link>{self.url(source)}</link><description>d</description>{items}</channel></rss>'.encode(),
                [('ETag', f'"{batch}"'), ('Content-Type', 'application/rss+xml')])

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Load:
    """Clients of one life of the server: each a thread with a connection of its own, which ends when the server does."""

    def __init__(self, server, ledger, ids, seed):
        self.server, self.ledger, self.ids, self.stopping = server, ledger, ids, threading.Event()
        self.chance = random.Random(seed)
        self.threads = [threading.Thread(target=self.client, args=(step,), daemon=True) for step in (self.fetch, self.push, self.read, self.star, self.look, self.keep)]
        for thread in self.threads:
            thread.start()

    def client(self, step):
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=20)
        ask = lambda method, target, body=None: self.ask(connection, method, target, body)
        try:
            while not self.stopping.is_set():
                step(ask)
        except (OSError, http.client.HTTPException):
            pass  # killed
        finally:
            connection.close()

    def ask(self, connection, method, target, body):
        connection.request(method, target, None if body is None else json.dumps(body), {'Authorization': f'Bearer {self.server.token}', 'Content-Type': 'application/json'})
        answer = connection.getresponse()
        text = answer.read()
        with self.ledger.lock:
            self.ledger.counts[f'{method} {target.split("?")[0].rstrip("0123456789")}'] += 1
            if answer.status >= 400:
                self.ledger.wrong.append(f'{method} {target}: {answer.status} {text[:200]!r}')
        return json.loads(text) if text else None

    def end(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(20)

    # ---- one step of each client

    def fetch(self, ask):
        ask('POST', f'/api/sources/{self.ids[self.chance.randrange(FEEDS)]}/refresh')
        time.sleep(0.004)

    def push(self, ask):
        again = self.ledger.unanswered(PUSHED)   # as a client does that got no answer
        batch = again[0][1] if again else self.ledger.next_batch(PUSHED)
        ask('POST', f'/api/sources/{self.ids[PUSHED]}/items', [{'id': f'{PUSHED}-{batch}-{i}', 'title': title(PUSHED, batch, i), 'content_html': f'<p>{"z" * (batch * 53 % 900)}</p>'} for i in range(SIZE)])
        with self.ledger.lock:
            self.ledger.acknowledged.add((PUSHED, batch))

    def read(self, ask):
        items = ask('GET', f'/api/items?state=unread&bodies=false&limit=20&order={self.chance.choice(["newest", "oldest"])}')['items']
        for item in self.chance.sample(items, min(3, len(items))):
            ask('PATCH', f'/api/items/{item["_weir"]["id"]}', {'read': True})
            with self.ledger.lock:
                self.ledger.read.add(item['id'])
        if self.chance.random() < 0.05:
            source = self.chance.randrange(FEEDS + 1)
            seen = {item['id'] for item in items if item['id'].startswith(f'{source}-')}
            ask('POST', '/api/items/mark-read', {'source': self.ids[source]})
            with self.ledger.lock:
                self.ledger.read |= seen

    def star(self, ask):
        items = ask('GET', '/api/items?state=all&bodies=false&limit=10')['items']
        if not items:
            return
        item = self.chance.choice(items)
        ask('PATCH', f'/api/items/{item["_weir"]["id"]}', {'starred': True})
        with self.ledger.lock:
            self.ledger.starred.add(item['id'])
            again = sorted(self.ledger.signals_sent - self.ledger.signals)
            signal = again[0] if again else f'signal-{len(self.ledger.signals_sent)}'
            self.ledger.signals_sent.add(signal)
        ask('POST', '/api/signals', {'item': item['_weir']['id'], 'kind': 'like', 'id': signal})
        with self.ledger.lock:
            self.ledger.signals.add(signal)

    def look(self, ask):
        ask('GET', '/api/items?limit=30')
        ask('GET', f'/api/items?limit=10&q={self.chance.choice(["river", "weir", "%E6%B2%B3%E6%B5%81"])}')
        ask('GET', '/api/sources')
        time.sleep(0.01)

    def keep(self, ask):
        with self.ledger.lock:
            n = self.ledger.setting_sent = self.ledger.setting_sent + 1
        ask('PUT', '/api/settings', {'n': n})
        with self.ledger.lock:
            self.ledger.setting = n
        time.sleep(0.01)


# ---- the oracle

def in_words(sets):
    return '; '.join(f'{len(found)} {what}, e.g. {sorted(found)[:3]}' for what, found in sets.items() if found)


def judge_file(folder, ids, ledger, scratch):
    """What is wrong with the database as the kill left it (a copy: the next start must find the original as it lies)."""
    copy = scratch / 'copy'
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in ('weir.db', 'weir.db-wal'):
        if (folder / name).exists():
            shutil.copyfile(folder / name, copy / name)
    db = sqlite3.connect(copy / 'weir.db')
    try:
        rows = lambda sql: db.execute(sql).fetchall()
        wrong = [f'integrity: {row[0]}' for row in rows('PRAGMA integrity_check') if row[0] != 'ok']
        stored = collections.Counter(rows('SELECT source, guid FROM items'))
        wrong += [f'{guid} is there {n} times' for (_, guid), n in stored.items() if n > 1]
        batches = collections.defaultdict(set)
        for source, guid in stored:
            s, b, i = map(int, guid.split('-'))
            batches[s, b].add(i)
            if ids[s] != source:
                wrong.append(f'{guid} is in source {source}')
        missing, extra = ledger.acknowledged - set(batches), set(batches) - ledger.sent
        wrong += [f'batches: {text}' for text in [in_words({'lost': missing, 'invented': extra, 'there in part': {k for k, v in batches.items() if len(v) != SIZE}})] if text]
        for source in range(FEEDS):
            etag, fetched, following = rows(f'SELECT etag, fetched, next FROM sources WHERE id={ids[source]}')[0]
            etag = (etag.decode() if isinstance(etag, bytes) else etag).strip('"')
            newest = max((b for s, b in batches if s == source), default=-1)
            if etag != (str(newest) if newest >= 0 else ''):
                wrong.append(f'source {source}: ETag {etag!r} beside items of batch {newest}')
            if newest >= 0 and not (fetched and following and following > fetched):
                wrong.append(f'source {source}: fetched {fetched}, next {following}')
        counts = dict(rows('SELECT name, n FROM counts'))
        if counts['items'] != len(stored):
            wrong.append(f'{counts["items"]} items counted, {len(stored)} there')
        # Without a model nothing takes vectors' work away: each item has its row, once, and nothing else has one.
        for stage in (1, 2):
            queued = {item for (item,) in rows(f'SELECT item FROM outbox WHERE stage={stage}')}
            items = {item for (item,) in rows('SELECT id FROM items')}
            if queued - items or stage == 2 and items - queued or counts[f'queued{stage}'] != len(queued):
                wrong.append(f'outbox {stage}: {len(queued)} rows, {counts[f"queued{stage}"]} counted, {len(queued - items)} of no item, {len(items - queued)} of {len(items)} items without one')
        signals = collections.Counter(id for (id,) in rows('SELECT id FROM signals'))
        text = in_words({'lost': ledger.signals - set(signals), 'invented': set(signals) - ledger.signals_sent, 'twice': {id for id, n in signals.items() if n > 1}})
        return wrong + (['signals: ' + text] if text else [])
    finally:
        db.close()


def every_item(server, query):
    items, cursor = [], ''
    while True:
        page = server.get(f'/api/items?{query}&bodies=false&limit=500' + (f'&cursor={cursor}' if cursor else '')).json
        items += page['items']
        cursor = page.get('cursor', '')
        if not cursor:
            return items


def judge_server(server, ids, ledger):
    """What is wrong with what a reader sees. The load rests."""
    wrong = list(ledger.wrong)
    items = every_item(server, 'state=all&order=oldest')
    names = [item['id'] for item in items]
    stored = set(names)
    promised = {f'{s}-{b}-{i}' for s, b in ledger.acknowledged for i in range(SIZE)}
    sent = {f'{s}-{b}-{i}' for s, b in ledger.sent for i in range(SIZE)}
    read, starred = {i['id'] for i in items if i['_weir']['read']}, {i['id'] for i in items if i['_weir']['starred']}
    text = in_words({'lost': promised - stored, 'invented': stored - sent, 'twice': {n for n, times in collections.Counter(names).items() if times > 1},
                     'unread again': ledger.read - read, 'no longer starred': ledger.starred - starred})
    wrong += [text] if text else []
    counts = server.get('/api/me').json['counts']
    counted = {'unread': len(stored - read), 'starred': len(starred), 'total': len(stored)}
    if counts != counted:
        wrong.append(f'counters {counts}, recount {counted}')
    n = server.get('/api/settings').json.get('n', 0)
    if not ledger.setting <= n <= ledger.setting_sent:
        wrong.append(f'settings of write {n}, answered {ledger.setting}, sent {ledger.setting_sent}')
    for source in server.get('/api/sources').json['sources']:
        mine = [i for i in items if i['_weir']['source'] == source['id']]
        if (source['unread'], source['total']) != (sum(not i['_weir']['read'] for i in mine), len(mine)):
            wrong.append(f'source {source["id"]}: {source["unread"]} unread of {source["total"]}, recount {sum(not i["_weir"]["read"] for i in mine)} of {len(mine)}')
    # The word index, once it has caught up, finds every item once.
    end = time.monotonic() + 20
    while 'weir_search_queued 0\n' not in server.get('/metrics').body.decode() and time.monotonic() < end:
        time.sleep(0.05)
    found = [item['id'] for item in every_item(server, 'state=all&order=newest&q=title')]
    if collections.Counter(found) != collections.Counter(names):
        wrong.append(f'search finds {len(found)} ({len(set(found))} different), {len(names)} are there')
    return wrong, len(items)
