#!/usr/bin/env python3
"""A farm of feeds on loopback, for tests: RSS 2.0, Atom, RSS 1.0 (RDF) and JSON Feed, in English and Chinese, with validators, gzip, redirects, and the sources
that every long subscription list has: gone, missing, failing, busy, malformed, slow, hanging. The same seed gives the same farm.

    with farm.Farm(n=60, seed=1) as f:             # as a library
        f.opml()                                    # its OPML, with folders
        f.feeds[3].url, .kind, .format, .language, .entries   # what a reader must find: entries are (id, title, link, html, time, author, tags)
        f.expected()                                # {url: [entry ids]} of the feeds that can be read
        f.tick(0.2)                                 # a fifth of the readable feeds gets new entries; the others answer 304
        f.stats()                                   # requests, statuses, conditional ones, the most at once on one host
        f.page_url                                  # an HTML page that names a feed in its head

    farm.py [-n 60] [--seed 1] [--hosts 8] [--port 0] [--kinds ok,moved]     # as a program: prints its OPML, then serves until it is stopped;
                                                    # POST /_farm/tick?share=0.2, GET /_farm/stats, GET /_farm/opml on the first host

Everything that a feed points at (site, article, picture) is on the farm itself. Standard library only.
"""
import argparse
import collections
import email.utils
import gzip
import hashlib
import json
import random
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape, quoteattr

Entry = collections.namedtuple('Entry', 'id title link html time author tags')
FORMATS = {'rss': (55, 'application/rss+xml'), 'atom': (28, 'application/atom+xml'), 'rdf': (6, 'application/rdf+xml'), 'json': (11, 'application/feed+json')}
KINDS = {'ok': 78, 'slow': 4, 'moved': 4, 'lent': 3, 'gone': 2, 'missing': 2, 'failing': 2, 'busy': 2, 'malformed': 2, 'hanging': 1}
READABLE = ('ok', 'slow', 'moved', 'lent', 'malformed')
SUBJECTS = 'The council|A small telescope|Our reading group|The harbour|This compiler|A late train|The garden|An old map|The orchestra|The new bridge|A quiet village'.split('|')
VERBS = 'opens|rebuilds|measures|remembers|explains|loses|repairs|questions|welcomes|surprises|outlasts'.split('|')
OBJECTS = 'its river|the winter timetable|a forgotten archive|the third edition|every lighthouse|the school kitchen|a proof by hand|the night market|two satellites|its own history'.split('|')
CHINESE = '城市的清晨|一座旧桥|新的编译器|山间小站|图书馆|夜市|航天器|老地图|合唱团|秋天的菜园'.split('|')
CHINESE_DOES = '重新开放|经过修缮|记录数据|讲述历史|迎来读者|改变路线|完成实验|等待雨季'.split('|')
TAGS = {'en': 'science|culture|transport|software|food'.split('|'), 'zh': '科技|文化|交通|软件|美食'.split('|')}
PNG = bytes.fromhex('89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082')


def pick(random_source, shares):
    return random_source.choices(list(shares), weights=[s[0] if isinstance(s, tuple) else s for s in shares.values()])[0]


class Feed:
    def __init__(self, farm, index, kind):
        self.random = random.Random(f'{farm.seed}/{index}')
        self.index, self.kind, self.farm = index, kind, farm
        self.format = pick(self.random, FORMATS)
        self.language = 'zh' if self.random.random() < 0.3 else 'en'
        self.charset = self.random.choice(['utf-8', 'utf-8', 'utf-8', 'utf-8', 'gb18030' if self.language == 'zh' else 'iso-8859-1']) if self.format in ('rss', 'rdf') else 'utf-8'
        self.validators = self.random.choice([('etag',), ('date',), ('etag', 'date'), ('etag', 'date'), ()])
        self.zipped = self.random.random() < 0.7
        self.site = f'{farm.origin(index)}/s/{index}/'
        self.path = f'/f/{index}.{ {"rss": "xml", "atom": "atom", "rdf": "rdf", "json": "json"}[self.format] }'
        self.url = farm.origin(index) + (f'/m/{index}' if kind in ('moved', 'lent') else self.path)  # what is subscribed to
        self.final = farm.origin(index) + self.path
        self.title = f'{self.random.choice(CHINESE)} · 第{index}号' if self.language == 'zh' else f'{self.random.choice(OBJECTS).capitalize()}, no. {index}'
        self.folder = self.random.choice(TAGS[self.language])
        self.entries, self.version, self.made = [], 0, 0
        self.changed = farm.start - 3600 * self.random.randrange(1, 200)
        for _ in range(self.random.randrange(3, 25)):
            self._add(farm.start - 86400 * 3 + self.made * 3000)

    def _sentence(self):
        r = self.random
        if self.language == 'zh':
            return f'{r.choice(CHINESE)}{r.choice(CHINESE_DOES)}，{r.choice(CHINESE)}{r.choice(CHINESE_DOES)}。'
        return f'{r.choice(SUBJECTS)} {r.choice(VERBS)} {r.choice(OBJECTS)}, and {r.choice(SUBJECTS).lower()} {r.choice(VERBS)} {r.choice(OBJECTS)}.'

    def _add(self, at):
        self.made += 1
        r = self.random
        title = self._sentence().split(',')[0].split('，')[0] + (' & <more>' if r.random() < 0.1 else '')
        link = f'{self.site}{self.made}'
        paragraphs = ''.join(f'<p>{" ".join(self._sentence() for _ in range(r.randrange(1, 5)))}</p>' for _ in range(r.randrange(1, 6)))
        html = paragraphs + (f'<p><img src="{self.farm.origin(self.index)}/i/{self.made}.png" alt=""> <a href="{link}">{link}</a></p>' if r.random() < 0.5 else '')
        self.entries.insert(0, Entry(f'tag:farm,2026:{self.index}/{self.made}', title, link, html, int(at), f'Author {r.randrange(9)}', r.sample(TAGS[self.language], 2)))

    def tick(self, now):
        for _ in range(self.random.randrange(1, 5)):
            self._add(now)
        del self.entries[40:]
        self.version += 1
        self.changed = now

    def body(self):
        text = getattr(self, '_' + self.format)()
        if self.kind == 'malformed' and self.format != 'json':
            text = text[:text.rindex('</')].replace('&amp;', '&')  # bare ampersands, and the end is missing
        return text.encode(self.charset, 'xmlcharrefreplace')

    def _rss(self):
        rfc822 = email.utils.formatdate
        items = ''.join(f'<item><title>{escape(e.title)}</title><link>{e.link}</link><guid isPermaLink="false">{e.id}</guid><pubDate>{rfc822(e.time)}</pubDate><dc:creator>{e.author}</dc:creator>'
                        + ''.join(f'<category>{t}</category>' for t in e.tags) + f'<description>{escape(e.html)}</description></item>\n' for e in self.entries)
        return (f'<?xml version="1.0" encoding="{self.charset}"?>\n<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>{escape(self.title)}</title><link>{self.site}</link>'
                f'<description>farm</description><language>{self.language}</language>\n{items}</channel></rss>')

    def _atom(self):
        stamp = lambda t: time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(t))
        items = ''.join(f'<entry><id>{e.id}</id><title>{escape(e.title)}</title><link href={quoteattr(e.link)}/><updated>{stamp(e.time)}</updated><published>{stamp(e.time)}</published>'
                        f'<author><name>{e.author}</name></author>' + ''.join(f'<category term={quoteattr(t)}/>' for t in e.tags) + f'<content type="html">{escape(e.html)}</content></entry>\n' for e in self.entries)
        return (f'<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="{self.language}"><id>{self.final}</id><title>{escape(self.title)}</title>'
                f'<link href="{self.site}"/><link rel="self" href="{self.final}"/><updated>{stamp(self.changed)}</updated>\n{items}</feed>')

    def _rdf(self):
        stamp = lambda t: time.strftime('%Y-%m-%dT%H:%M:%S+00:00', time.gmtime(t))
        items = ''.join(f'<item rdf:about="{e.id}"><title>{escape(e.title)}</title><link>{e.link}</link><dc:date>{stamp(e.time)}</dc:date><dc:creator>{e.author}</dc:creator>'
                        + ''.join(f'<dc:subject>{t}</dc:subject>' for t in e.tags) + f'<description>{escape(e.html)}</description></item>\n' for e in self.entries)
        return (f'<?xml version="1.0" encoding="{self.charset}"?>\n<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/">'
                f'<channel rdf:about="{self.final}"><title>{escape(self.title)}</title><link>{self.site}</link><description>farm</description></channel>\n{items}</rdf:RDF>')

    def _json(self):
        stamp = lambda t: time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(t))
        items = [{'id': e.id, 'url': e.link, 'title': e.title, 'content_html': e.html, 'date_published': stamp(e.time), 'authors': [{'name': e.author}], 'tags': e.tags} for e in self.entries]
        return json.dumps({'version': 'https://jsonfeed.org/version/1.1', 'title': self.title, 'home_page_url': self.site, 'feed_url': self.final, 'language': self.language, 'items': items}, ensure_ascii=False)


class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 512

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # a reader that goes away is no news
            super().handle_error(request, client_address)


class Farm:
    def __init__(self, n=60, seed=1, hosts=8, port=0, kinds=None, hang=20.0, slow=0.3, start=None):
        """kinds: the only kinds there may be, in their usual shares. start: the farm's time in seconds; now, to the hour, unless said."""
        self.seed, self.hosts, self.hang, self.slow = seed, max(1, min(hosts, 200)), hang, slow
        self.start = int(time.time()) // 3600 * 3600 if start is None else int(start)
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.servers = self._listen(port)
        self.port = self.servers[0].server_port
        shares = {k: v for k, v in KINDS.items() if kinds is None or k in kinds}
        chooser = random.Random(seed)
        self.feeds = [Feed(self, i, pick(chooser, shares)) for i in range(n)]
        self.page_url = next((f.site for f in self.feeds if f.kind == 'ok'), None)
        self.reset()

    def _listen(self, port):
        farm = self
        handler = type('FarmHandler', (Handler,), {'farm': farm})
        for _ in range(20):
            servers = []
            try:
                for i in range(self.hosts):
                    servers.append(Server((f'127.1.0.{i + 1}', servers[0].server_port if servers else port), handler))
                return servers
            except OSError:
                for server in servers:
                    server.server_close()
                if port:
                    raise
        raise OSError('no port is free on all hosts of the farm')

    def __enter__(self):
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def origin(self, index):
        return f'http://127.1.0.{index % self.hosts + 1}:{self.port}'

    def opml(self):
        folders = collections.defaultdict(list)
        for feed in self.feeds:
            folders[feed.folder].append(feed)
        lines = ''.join(f'<outline text={quoteattr(name)}>\n' + ''.join(
            f'<outline type="rss" text={quoteattr(f.title)} title={quoteattr(f.title)} xmlUrl={quoteattr(f.url)} htmlUrl={quoteattr(f.site)}/>\n' for f in feeds) + '</outline>\n'
            for name, feeds in folders.items())
        return f'<?xml version="1.0" encoding="utf-8"?>\n<opml version="2.0"><head><title>Farm</title></head><body>\n{lines}</body></opml>\n'

    def expected(self):
        """Readable feeds: address subscribed to → ids of the entries that stand in it now. A malformed JSON feed is as good as any."""
        return {f.url: [e.id for e in f.entries] for f in self.feeds if f.kind in READABLE}

    def tick(self, share=0.2):
        """New entries in that share of the readable feeds; how many there are."""
        with self.lock:
            readable = [f for f in self.feeds if f.kind in READABLE]
            before = sum(f.made for f in readable)
            self.ticks = getattr(self, 'ticks', 0) + 1
            for feed in random.Random(f'{self.seed}/tick/{self.ticks}').sample(readable, round(share * len(readable))):
                feed.tick(self.start + self.ticks)
            return sum(f.made for f in readable) - before

    def reset(self):
        with self.lock:
            self.counts = {'requests': 0, 'conditional': 0, 'status': collections.Counter(), 'feeds': collections.Counter()}
            self.busy, self.most = collections.Counter(), 0

    def stats(self):
        with self.lock:
            return {'requests': self.counts['requests'], 'conditional': self.counts['conditional'], 'status': dict(self.counts['status']),
                    'feeds': dict(self.counts['feeds']), 'most_at_once_on_a_host': self.most}


class Handler(BaseHTTPRequestHandler):
    protocol_version, farm = 'HTTP/1.1', None

    def log_message(self, *_):
        pass

    def answer(self, status, headers=(), body=b''):
        with self.farm.lock:
            self.farm.counts['status'][str(status)] += 1
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        url = urlsplit(self.path)
        if url.path == '/_farm/tick':
            new = self.farm.tick(float(parse_qs(url.query).get('share', ['0.2'])[0]))
            return self.answer(200, [('Content-Type', 'application/json')], json.dumps({'new': new}).encode())
        if url.path == '/_farm/reset':
            self.farm.reset()
            return self.answer(204)
        return self.answer(404)

    def do_GET(self):
        farm, path = self.farm, urlsplit(self.path).path
        if path == '/_farm/opml':
            return self.answer(200, [('Content-Type', 'text/x-opml')], farm.opml().encode())
        if path == '/_farm/stats':
            return self.answer(200, [('Content-Type', 'application/json')], json.dumps(farm.stats()).encode())
        host = self.server.server_address[0]
        with farm.lock:
            farm.counts['requests'] += 1
            farm.busy[host] += 1
            farm.most = max(farm.most, farm.busy[host])
        try:
            self.serve(path)
        finally:
            with farm.lock:
                farm.busy[host] -= 1

    def serve(self, path):
        kind, _, rest = path.lstrip('/').partition('/')
        number = rest.split('/')[0].split('.')[0]
        feed = self.farm.feeds[int(number)] if number.isdecimal() and int(number) < len(self.farm.feeds) else None
        if kind == 'favicon.ico' or kind == 'i':
            return self.answer(200, [('Content-Type', 'image/png')], PNG)
        if feed is None:
            return self.answer(404)
        if kind == 's':  # the site; below it the articles
            page = (f'<!doctype html><html lang="{feed.language}"><head><meta charset="utf-8"><title>{escape(feed.title)}</title><link rel="icon" href="/favicon.ico">'
                    f'<link rel="alternate" type="{FORMATS[feed.format][1]}" title="feed" href="{feed.path}"></head><body><article>{feed.entries[0].html}</article></body></html>')
            return self.answer(200, [('Content-Type', 'text/html; charset=utf-8')], page.encode())
        if kind == 'm' and feed.kind in ('moved', 'lent'):
            return self.answer(301 if feed.kind == 'moved' else 302, [('Location', feed.path)])
        if kind == 'f':
            return self.serve_feed(feed)
        return self.answer(404)

    def serve_feed(self, feed):
        with self.farm.lock:
            self.farm.counts['feeds'][str(feed.index)] += 1
            body, version, changed = feed.body(), feed.version, feed.changed
        plain = {'gone': 410, 'missing': 404, 'failing': 500}.get(feed.kind)
        if plain:
            return self.answer(plain, body=b'no')
        if feed.kind == 'busy':
            return self.answer(429, [('Retry-After', '3600')])
        if feed.kind == 'slow':
            self.farm.stopping.wait(self.farm.slow)
        if feed.kind == 'hanging':
            self.farm.stopping.wait(self.farm.hang)
            self.close_connection = True
            return None
        etag = 'W/"' + hashlib.sha256(f'{self.farm.seed}/{feed.index}/{version}'.encode()).hexdigest()[:16] + '"'
        modified = email.utils.formatdate(changed, usegmt=True)
        headers = [('Content-Type', FORMATS[feed.format][1] + (f'; charset={feed.charset}' if feed.index % 2 else ''))]
        asked = None
        if 'etag' in feed.validators:
            headers.append(('ETag', etag))
            asked = None if self.headers['If-None-Match'] is None else self.headers['If-None-Match'] == etag
        if 'date' in feed.validators:
            headers.append(('Last-Modified', modified))
            if asked is None and self.headers['If-Modified-Since'] is not None:
                asked = self.headers['If-Modified-Since'] == modified
        if asked is not None:
            with self.farm.lock:
                self.farm.counts['conditional'] += 1
        if asked:
            return self.answer(304, headers)
        if feed.zipped and 'gzip' in self.headers.get('Accept-Encoding', ''):
            headers.append(('Content-Encoding', 'gzip'))
            body = gzip.compress(body, 5, mtime=0)
        return self.answer(200, headers, body)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('-n', type=int, default=60)
    for name, default in (('seed', 1), ('hosts', 8), ('port', 0)):
        parser.add_argument(f'--{name}', type=int, default=default)
    parser.add_argument('--kinds', help='only these, e.g. ok,slow: ' + ' '.join(KINDS))
    options = parser.parse_args()
    with Farm(options.n, options.seed, options.hosts, options.port, options.kinds.split(',') if options.kinds else None) as farm:
        print(farm.opml(), flush=True)
        print(f'{len(farm.feeds)} feeds, {sum(map(len, farm.expected().values()))} entries; {farm.origin(0)}/_farm/opml; needs --allow-net 127.1.0.0/24', file=sys.stderr, flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            threading.Event().wait()
        except (KeyboardInterrupt, SystemExit):
            pass


if __name__ == '__main__':
    main()
