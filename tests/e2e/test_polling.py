"""What sources ask of those who poll them, and whether the server does it: redirects, 410, Retry-After, validators, Cache-Control, ttl, skipHours, skipDays, its own rhythm, jitter, a stored next poll; and icons."""
import datetime, email.utils, gzip, hashlib, http.server, json, pathlib, shutil, sqlite3, sys, tempfile, threading, time, unittest

from weirtest import Server, need_binary, until, weir

PNG = bytes.fromhex('89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082')
HOUR = 3600


def setUpModule():
    need_binary()


def rss(title='F', extra='', items=(('a', None),)):
    rows = ''.join(f'<item><guid isPermaLink="false">{guid}</guid><title>{guid}</title>{f"<pubDate>{email.utils.formatdate(at)}</pubDate>" if at else ""}</item>' for guid, at in items)
    return f'<rss version="2.0"><channel><title>{title}</title>{extra}{rows}</channel></rss>'.encode()


class Site:
    """A web server that answers each path as it is told: (status, headers, body), or a function of the request's headers that gives one."""

    def __enter__(self):
        site = self
        self.paths, self.asked = {}, []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                site.asked.append((self.path, self.headers))
                answer = site.paths.get(self.path, (404, {}, b''))
                status, headers, body = answer(self.headers) if callable(answer) else answer
                self.send_response(status)
                for name, value in headers.items():
                    self._headers_buffer.append(f'{name}: '.encode() + (value if isinstance(value, bytes) else str(value).encode()) + b'\r\n')
                if status != 304:
                    self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f'http://127.0.0.1:{self.server.server_address[1]}'
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def count(self, path):
        return sum(1 for asked, _ in self.asked if asked == path)


class Polling(unittest.TestCase):
    def setUp(self):
        self.site = Site().__enter__()
        self.addCleanup(self.site.__exit__)
        self.seen = {}
        self.server = Server().start()
        self.addCleanup(self.server.__exit__)

    def source(self, id):
        return self.server.get(f'/api/sources/{id}').json

    def imported(self, *paths):
        """Sources as a list brings them: polled, not fetched by hand. Answers their ids, when each was asked for."""
        rows = ''.join(f'<outline type="rss" text="{path}" xmlUrl="{self.site.url}{path}"/>' for path in paths)
        self.server.post('/api/import', f'<opml version="2.0"><body>{rows}</body></opml>', headers={'Content-Type': 'text/x-opml'})
        ids = {one['url']: one['id'] for one in self.server.get('/api/sources').json['sources']}
        return [ids[self.site.url + path] for path in paths]

    def polled(self, id, path, times):
        """That source once its `times`-th request for `path` was answered and stored."""
        def ready():
            if self.site.count(path) < times:
                return None
            now = self.source(id)
            return now if now['health'] != 'ok' or now.get('fetched_at', '') > self.seen.get(id, '') else None
        got = until(ready)
        self.seen[id] = got.get('fetched_at', '')
        return got

    def again(self, id, path):
        times = self.site.count(path) + 1
        until(lambda: self.server.post(f'/api/sources/{id}/refresh').status == 202 and (time.sleep(0.05), self.site.count(path) >= times)[1])  # while one is being stored, another is not begun
        return self.polled(id, path, times)

    def wait_of(self, source):
        moment = lambda text: datetime.datetime.fromisoformat(text.replace('Z', '+00:00'))
        return (moment(source['next_at']) - datetime.datetime.now(datetime.timezone.utc)).total_seconds()

    def test_permanent_redirects_are_stored_and_others_are_not(self):
        to = lambda status, path: (status, {'Location': self.site.url + path}, b'')
        self.site.paths |= {'/moved': to(301, '/there'), '/lent': to(302, '/there2'), '/mixed': to(301, '/lent'), '/moved308': to(308, '/there3'), '/there': (200, {}, rss('M')), '/there2': (200, {}, rss('L')), '/there3': (200, {}, rss('E'))}
        ids = self.imported('/moved', '/lent', '/mixed', '/moved308')
        for id, wanted in zip(ids, ('/there', '/lent', '/mixed', '/there3')):
            until(lambda: self.source(id).get('fetched_at'))
            self.assertEqual(self.source(id)['url'], self.site.url + wanted)
        # By hand, too; and when what is there has not changed since.
        self.site.paths |= {'/old': (200, {'ETag': '"1"'}, rss('O')), '/new': lambda head: (304, {}, b'') if head.get('If-None-Match') == '"1"' else (200, {'ETag': '"1"'}, rss('O'))}
        id = self.server.post('/api/sources', {'url': self.site.url + '/old'}).json['id']
        self.site.paths['/old'] = to(301, '/new')
        self.server.post(f'/api/sources/{id}/refresh')
        until(lambda: self.source(id)['url'] == self.site.url + '/new')
        self.assertEqual(self.source(id)['health'], 'ok')

    def test_what_came_cut_off_is_asked_for_again(self):
        guids = {hashlib.sha256(bytes([i])).hexdigest() for i in range(40)}
        whole = rss(items=[(guid, None) for guid in guids])
        packed = gzip.compress(whole)
        self.site.paths['/cut'] = self.site.paths['/cut2'] = (200, {'ETag': '"1"', 'Content-Encoding': 'gzip'}, packed[:len(packed) * 2 // 3])
        for id in self.imported('/cut') + [self.server.post('/api/sources', {'url': self.site.url + '/cut2'}).json['id']]:
            until(lambda: self.source(id).get('fetched_at'))
            missing = lambda: guids - {item.get('title') for item in self.server.get(f'/api/items?source={id}&limit=1000').json['items']}
            self.assertIn(len(missing()), range(1, 40))
            path = self.source(id)['url'].removeprefix(self.site.url)
            self.site.paths[path] = lambda head: (304, {}, b'') if head.get('If-None-Match') else (200, {'ETag': '"1"'}, whole)
            self.again(id, path)
            until(lambda: not missing())

    def test_added_by_hand_what_is_down_and_what_is_there_already(self):
        self.site.paths |= {'/down': (503, {'Retry-After': '60'}, b''), '/busy': (429, {}, b''), '/gone': (404, {}, b''), '/place': (200, {}, rss('P'))}
        add = lambda path: self.server.post('/api/sources', {'url': self.site.url + path})
        for path, code, remedy in (('/down', 'io', 'later'), ('/busy', 'io', 'later'), ('/gone', 'not_found', 'check the address')):
            answer = add(path)
            self.assertEqual((answer.status, answer.json['error']['code']), (422, code), path)
            self.assertIn(remedy, answer.json['error']['message'])
        self.assertEqual((add('/place#top').status, add('/place').status), (201, 409), 'a fragment makes no other feed')

    def test_410_stops(self):
        self.site.paths['/gone'] = (410, {}, b'gone')
        [id] = self.imported('/gone')
        source = until(lambda: (lambda s: s if s['health'] == 'gone' else None)(self.source(id)))
        self.assertNotIn('next_at', source)
        self.assertIn('410', source['error'])
        self.site.paths['/gone'] = (200, {}, rss())
        self.server.post(f'/api/sources/{id}/refresh')  # whoever asks for it by hand finds out that it came back
        source = until(lambda: (lambda s: s if s['health'] == 'ok' else None)(self.source(id)))
        self.assertIn('next_at', source)

    def test_retry_after(self):
        self.site.paths |= {'/429': (429, {'Retry-After': 5 * HOUR}, b''), '/503': (503, {'Retry-After': email.utils.formatdate(time.time() + 9 * HOUR, usegmt=True)}, b''), '/500': (500, {}, b'')}
        for id, least, most in zip(self.imported('/429', '/503', '/500'), (5, 9, 0.25), (5.6, 10, 0.3)):
            source = until(lambda: (lambda s: s if s['health'] == 'failing' else None)(self.source(id)))
            self.assertGreater(self.wait_of(source), least * HOUR - 20, source)
            self.assertLess(self.wait_of(source), most * HOUR, source)

    def test_validators_are_bytes(self):
        strange = [b'W/"\xe9\xff\x01 ;, \\"', b'"\xe4\xb8\xad\xe6\x96\x87"', b"no quotes at all", b'"' + b'x' * 4000 + b'"']
        for n, etag in enumerate(strange):
            got = []
            def answer(head, etag=etag, got=got):
                sent = head.get('If-None-Match', '').encode('latin-1')
                got.append((sent, head.get('If-Modified-Since', '').encode('latin-1')))
                return (304, {}, b'') if sent == etag else (200, {'ETag': etag, 'Last-Modified': b'yesterday, \xfcber noon'}, rss(str(n)))
            self.site.paths[f'/{n}'] = answer
            [id] = self.imported(f'/{n}')
            self.polled(id, f'/{n}', 1)
            for _ in range(2):  # a 304 forgets nothing
                self.assertEqual(self.again(id, f'/{n}')['health'], 'ok')
            self.assertEqual(got, [(b'', b''), (etag, b'yesterday, \xfcber noon'), (etag, b'yesterday, \xfcber noon')])

    def test_what_publishers_ask_is_obeyed_after_a_304_too(self):
        hour = datetime.datetime.now(datetime.timezone.utc).hour
        open_hour = (hour + 6) % 24
        asks = {'/age': ({'Cache-Control': 'public, max-age=28800'}, '', 8, 9), '/ttl': ({}, '<ttl>600</ttl>', 10, 11.1), '/sy': ({}, '<sy:updatePeriod xmlns:sy="http://purl.org/rss/1.0/modules/syndication/">daily</sy:updatePeriod><sy:updateFrequency xmlns:sy="http://purl.org/rss/1.0/modules/syndication/">2</sy:updateFrequency>', 12, 13.3),
                '/hours': ({}, '<skipHours>' + ''.join(f'<hour>{h}</hour>' for h in range(24) if h != open_hour) + '</skipHours>', 4.9, 6.2),
                '/days': ({}, '<skipDays>' + ''.join(f'<day>{d}</day>' for d in 'Monday Tuesday Wednesday Thursday Friday Saturday Sunday'.split() if d != (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(3)).strftime('%A')) + '</skipDays>', 48, 73.2)}
        for path, (headers, extra, _, _) in asks.items():
            body = rss(path, extra, [(f'{path}{k}', time.time() - k * 600) for k in range(1, 12)])  # by its own rhythm it would be every quarter of an hour
            self.site.paths[path] = lambda head, headers=headers, body=body: (304, headers, b'') if head.get('If-None-Match') else (200, headers | {'ETag': '"e"'}, body)
        ids = self.imported(*list(asks)[:3]) + [self.server.post('/api/sources', {'url': self.site.url + path}).json['id'] for path in list(asks)[3:]]
        for id, (path, (_, _, least, most)) in zip(ids, asks.items()):
            with self.subTest(asks=path):
                first = self.polled(id, path, 1)
                for source in (first, self.again(id, path), self.again(id, path)):
                    self.assertEqual(source['health'], 'ok')
                    self.assertGreater(self.wait_of(source), least * HOUR - 60, source)
                    self.assertLess(self.wait_of(source), most * HOUR, source)
                self.assertEqual([head.get('If-None-Match') for asked, head in self.site.asked if asked == path], [None, '"e"', '"e"'])

    def test_the_interval_follows_the_feeds_own_rhythm_and_a_304_does_not_forget_it(self):
        for path, gap, least, most in (('/often', 1200, 0.25, 0.3), ('/daily', 86400, 8, 15), ('/weekly', 7 * 86400, 24, 26.5)):
            body = rss(path, '', [(f'{path}{k}', time.time() - k * gap) for k in range(1, 12)])
            self.site.paths[path] = lambda head, body=body: (304, {}, b'') if head.get('If-None-Match') else (200, {'ETag': '"e"'}, body)
            id = self.server.post('/api/sources', {'url': self.site.url + path}).json['id']
            for source in [self.source(id)] + [self.again(id, path) for _ in range(3)]:
                self.assertGreater(self.wait_of(source), least * HOUR - 30, source)
                self.assertLess(self.wait_of(source), most * HOUR, source)

    def test_not_in_step_and_not_again_after_a_restart(self):
        paths = [f'/step{n}' for n in range(12)]
        self.site.paths |= {path: (200, {}, rss(path, '<ttl>300</ttl>')) for path in paths}
        ids = self.imported(*paths)
        until(lambda: all(self.source(id).get('fetched_at') for id in ids))
        before = [self.source(id)['next_at'] for id in ids]
        waits = sorted(round(self.wait_of(self.source(id))) for id in ids)
        self.assertGreater(waits[-1] - waits[0], 300, 'jitter')
        self.server.stop()
        asked = len(self.site.asked)
        self.server.start()
        time.sleep(1.5)
        self.assertEqual([self.source(id)['next_at'] for id in ids], before)
        self.assertEqual(len(self.site.asked), asked, 'nothing is polled again')

    def test_a_time_that_only_a_wrong_clock_can_have_set(self):
        """After a clock that was ten years ahead: the doctor says so, and sources do not wait for ten years."""
        self.site.paths['/f'] = (200, {}, rss())
        id = self.server.post('/api/sources', {'url': self.site.url + '/f'}).json['id']
        self.server.stop()
        years = 10 * 365 * 86400 * 1_000_000
        with sqlite3.connect(self.server.data / 'weir.db') as db:
            db.execute('UPDATE sources SET next=next+?, fetched=fetched+?', (years, years))
        db.close()
        clock = [one for one in json.loads(weir('--no-model', '--json', 'doctor', data=self.server.data, check=False)[1])['checks'] if one['name'] == 'clock'][0]
        self.assertEqual(clock['state'], 'bad')
        self.assertIn('clock', clock['remedy'])
        asked = self.site.count('/f')
        self.server.start()
        server = self.server
        self.assertEqual([c['state'] for c in server.get('/api/doctor').json['checks'] if c['name'] == 'clock'], ['bad'])
        until(lambda: server.post('/api/refresh').status == 202 and self.site.count('/f') > asked)
        until(lambda: self.wait_of(self.source(id)) < 25 * HOUR)
        self.assertNotEqual([c['state'] for c in server.get('/api/doctor').json['checks'] if c['name'] == 'clock'], ['bad'], 'and it is well again')

    def test_icons(self):
        icon = lambda id: self.server.get(f'/api/sources/{id}/icon')
        self.site.paths |= {f'/feed{n}': (200, {}, rss(f'f{n}')) for n in range(3)}
        slow = threading.Event()
        self.site.paths['/favicon.ico'] = lambda head: (slow.wait(10), (200, {}, PNG))[1]
        ids = self.imported('/feed0', '/feed1', '/feed2')
        until(lambda: all(self.source(i).get('fetched_at') for i in ids) and self.site.count('/favicon.ico'))
        slow.set()
        for id in ids:  # all three asked while the one answer was on its way
            until(lambda: icon(id).status == 200)
            self.assertEqual(icon(id).body, PNG)
        self.assertEqual(self.site.count('/favicon.ico'), 1, 'one look for all feeds of a host')

    def test_an_icon_that_only_the_page_names(self):
        self.site.paths |= {'/': (200, {'Content-Type': 'text/html'}, b'<html><head><link rel="icon" href="/broken.png"><link rel="icon" href="/i/mark.png"><link rel="alternate" type="application/rss+xml" href="/feed"></head><body>x</body></html>'),
                            '/feed': (200, {}, rss()), '/i/mark.png': (200, {'Content-Type': 'text/plain'}, PNG), '/broken.png': (200, {'Content-Type': 'image/png'}, b'<svg onload=alert(1)>')}
        id = self.server.post('/api/sources', {'url': self.site.url + '/'}).json['id']
        until(lambda: self.server.get(f'/api/sources/{id}/icon').status == 200)
        self.assertEqual(self.server.get(f'/api/sources/{id}/icon').body, PNG)

    def test_one_bad_feed_harms_no_other(self):
        self.site.paths |= {'/good': (200, {}, rss('good')), '/html': (200, {'Content-Type': 'text/html'}, b'<html><body>moved away</body></html>'), '/cut': (200, {}, rss('cut')[:60]), '/empty': (200, {}, b''), '/noise': (200, {}, bytes(range(256)) * 20),
                            '/deep': (200, {}, b'<rss><channel>' + b'<a>' * 100_000)}
        bad = ['/html', '/empty', '/noise', '/deep']
        ids = self.imported('/good', *bad)
        self.assertEqual(self.polled(ids[0], '/good', 1)['total'], 1)
        for id, path in zip(ids[1:], bad):
            source = until(lambda: (lambda s: s if s['health'] != 'ok' else None)(self.source(id)))
            self.assertTrue(source['error'], path)
            self.assertIn('next_at', source, 'it is tried again')
        self.assertEqual([i['title'] for i in self.server.get('/api/items').json['items']], ['a'])


if __name__ == '__main__':
    unittest.main()
