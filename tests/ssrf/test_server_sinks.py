"""Every place where a running `weir serve` dials, times every way to write an address that nobody may reach: subscribing, discovery on a page, import and
polling, redirects, icons (named by the feed, or its site's own), a changed address, what is pushed, and a command without a server. No connection arrives at a
trap that holds every address there is; with --allow-net the trap is reached, and the log says so."""
import json
import os
import pathlib
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from xml.sax.saxutils import escape, quoteattr

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]
import internet
import weirtest

# Not even what the environment says makes it dial elsewhere: a proxy would dial for us.
PROXIES = {name: 'http://10.0.0.2:8080' for name in ('http_proxy', 'https_proxy', 'HTTPS_PROXY', 'ALL_PROXY', 'all_proxy')}
URLS = internet.direct() + internet.names()
PRIVATE_NAMES = {internet.name_of(a) for a in ('10.0.0.1', '169.254.169.254', '127.0.0.1', '::1', 'fd00:ec2::254')}


def feed(title, home='http://www.public.test/', icon=''):
    return ('application/atom+xml', f'<feed xmlns="http://www.w3.org/2005/Atom"><title>{title}</title><id>urn:{title}</id>{f"<icon>{escape(icon)}</icon>" if icon else ""}<link href={quoteattr(home)}/>'
            f'<entry><id>urn:{title}:1</id><title>One</title><updated>2026-11-23T00:00:00Z</updated><content type="html">&lt;img src="http://10.0.0.1/x.png"&gt;text</content></entry></feed>'.encode())


class Inside(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.net = internet.Internet().__enter__()

    def setUp(self):
        self.net.hits.clear()
        self.net.dns.asked.clear()
        self.net.pages.clear()
        self.server = weirtest.Server(allow=(), env=PROXIES)
        self.server.start()
        self.addCleanup(lambda: self.server.__exit__())

    def for_each(self, function, things):
        with ThreadPoolExecutor(8) as pool:   # the server does four of these at once, and queues some
            return list(pool.map(function, things))

    def add(self, url):
        return self.server.post('/api/sources', {'url': url})

    def nobody_came(self):
        """Nothing is under way any more, and nothing has arrived at the trap."""
        idle = lambda: '\nweir_fetch_in_flight 0\n' in self.server.get('/metrics').body.decode() and not time.sleep(0.15)
        weirtest.until(lambda: all(idle() for _ in range(4)), 60)
        self.net.settle()
        self.assertEqual(self.net.hits, [])
        self.assertIsNone(self.server.process.poll())

    def all_refused(self, answers, urls):
        for answer, url in zip(answers, urls):
            self.assertGreaterEqual(answer.status, 400, (url, answer))
            self.assertIn('code', answer.json['error'], url)
        self.assertGreater(sum(a.json['error']['code'] == 'refused' for a in answers), len(urls) / 2)

    def test_subscribing(self):
        urls = [u for u in URLS if u not in ('http:127.0.0.1/',)] + internet.redirects(URLS)
        answers = self.for_each(self.add, urls)
        at_home = [a for a in answers if a.status < 400]
        self.assertEqual(at_home, [])
        self.all_refused(answers, urls)
        literal = [a for a, u in zip(answers, urls) if u.removeprefix('http://').rstrip('/') in internet.V4]
        self.assertEqual([a for a in literal if '--allow-net' not in a.json['error']['message']], [])
        self.assertLessEqual(PRIVATE_NAMES, set(self.net.dns.asked))
        at = time.monotonic()
        self.add('http://many.test/')
        self.assertLess(time.monotonic() - at, 3, 'a name of which no address may be dialled is refused at once')
        own = self.add(f'{self.server.address}/')   # and Weir itself
        self.assertEqual(own.json['error']['code'], 'refused', own)
        self.nobody_came()

    def test_discovery_on_a_page(self):
        for n, url in enumerate(URLS):
            self.net.pages[f'/page/{n}'] = ('text/html', f'<html><head><title>p</title><link rel="alternate" type="application/rss+xml" href={quoteattr(url)}></head><body><a href={quoteattr(url)}>RSS feed</a></body></html>'.encode())
        answers = self.for_each(self.add, [f'http://www.public.test/page/{n}' for n in range(len(URLS))])
        for answer, url in zip(answers, URLS):
            # What is usual on a site is tried too: the honest one answers with a feed.
            self.assertTrue(answer.status >= 400 or answer.json['url'].startswith('http://www.public.test/'), (url, answer))
        self.assertLessEqual(PRIVATE_NAMES, set(self.net.dns.asked))
        self.nobody_came()

    def test_import_polling_and_redirects(self):
        urls = URLS + internet.redirects(URLS[::8])   # polls of one host stand apart: by hand, above, all of them
        outlines = ''.join(f'<outline type="rss" text="o{n}" xmlUrl={quoteattr(url)}/>' for n, url in enumerate(urls))
        answer = self.server.post('/api/import', f'<opml version="2.0"><body>{outlines}</body></opml>', headers={'Content-Type': 'text/x-opml'})
        self.assertEqual(answer.status, 200, answer)
        before = {s['id']: s['url'] for s in self.server.get('/api/sources').json['sources']}
        self.assertGreater(len(before), len(urls) * 0.8)
        self.for_each(lambda id: self.server.post(f'/api/sources/{id}/refresh'), before)
        def done():
            self.sources = self.server.get('/api/sources').json['sources']
            return all(s['health'] != 'ok' or s.get('fetched_at') for s in self.sources)
        weirtest.until(done, 120, 0.3)
        self.nobody_came()
        for source in self.sources:
            at_home = source['health'] == 'failing' and '404' in source.get('error', '')
            self.assertTrue(at_home or source['health'] == 'failing' and source['total'] == 0, source)
            self.assertEqual(source['url'], before[source['id']], 'a refused redirect changes no address')
        self.assertGreater(sum('not on the public internet' in s['error'] for s in self.sources), len(before) / 2)
        self.assertLessEqual(PRIVATE_NAMES, set(self.net.dns.asked))

    def test_icons_that_feeds_name(self):
        self.icons('icon')

    def test_icons_of_their_sites(self):
        self.icons('home')

    def icons(self, way):
        urls = [u for u in URLS if u.startswith('http')]
        for n, url in enumerate(urls):
            self.net.pages[f'/{way}/{n}'] = feed(f'{way}{n}', **{way: url})
        answers = self.for_each(self.add, [f'http://www.public.test/{way}/{n}' for n in range(len(urls))])
        self.assertEqual({a.status for a in answers}, {201}, [a for a in answers if a.status != 201][:2])
        self.nobody_came()
        self.assertLessEqual(PRIVATE_NAMES, set(self.net.dns.asked), 'the sink is alive')

    def test_a_changed_address_and_what_is_pushed(self):
        id = self.add('http://www.public.test/').json['id']
        for url in URLS[::6]:
            changed = self.server.request('PATCH', f'/api/sources/{id}', {'url': url})
            if changed.status < 400:
                self.server.post(f'/api/sources/{id}/refresh')
                time.sleep(0.03)
        push = self.server.post('/api/sources', {'push': True, 'title': 'Pushed'}).json['id']
        items = [{'id': str(n), 'url': url, 'image': url, 'external_url': url, 'content_html': f'<img src={quoteattr(url)}><iframe src={quoteattr(url)}></iframe>', 'attachments': [{'url': url, 'mime_type': 'image/png'}]}
                 for n, url in enumerate(URLS)]
        answer = self.server.post(f'/api/sources/{push}/items', items)
        self.assertEqual(answer.json.get('stored'), len(items), answer)
        self.server.get('/api/items?state=all&limit=500')
        self.nobody_came()

    def test_a_name_that_changes_its_mind(self):
        names = [f'http://rebind-{n}.test/' for n in range(8)]
        answers = self.for_each(self.add, names)
        self.assertEqual({a.status for a in answers}, {201}, 'public when first asked')
        self.server.stop()      # and with it what the fetcher remembers of names
        self.net.hits.clear()
        self.server.start()
        for answer in answers:
            self.server.post(f'/api/sources/{answer.json["id"]}/refresh')
        weirtest.until(lambda: all(s['health'] == 'failing' for s in self.server.get('/api/sources').json['sources']), 20)
        for source in self.server.get('/api/sources').json['sources']:
            self.assertIn('not on the public internet', source['error'])
            self.assertEqual(source['total'], 1, 'what came before stays')
        self.nobody_came()

    def test_a_command_without_a_server(self):
        self.server.stop()
        for url in URLS[::12] + internet.redirects(URLS[::40]):
            code, out, err = weirtest.weir('--no-model', '--json', 'add', '--', url, data=self.server.data, env=PROXIES, check=False)
            self.assertIn(code, (1, 2), (url, out, err))
            json.loads(err.strip().splitlines()[-1])
        self.net.settle()
        self.assertEqual(self.net.hits, [])
        self.server.start()

    def test_the_operator_opens_a_range_and_the_log_says_so(self):
        with weirtest.Server(allow=('10.0.0.0/8', 'fd00::/8')) as server:
            add = lambda url: server.post('/api/sources', {'url': url})
            self.assertEqual([add(u).status for u in ('http://10.0.0.1/', 'http://a-10-9-9-9.test:8080/', 'http://[fd00::1]/')], [201] * 3)
            for url in ('http://192.168.0.1/', 'http://127.0.0.1/', 'http://169.254.169.254/', 'http://10.0.0.1:6379/', 'http://[::1]/'):
                self.assertEqual(add(url).json['error']['code'], 'refused', url)
            self.net.settle()
            self.assertEqual({h[0] for h in self.net.hits}, {'10.0.0.1', '10.9.9.9', 'fd00::1'}, 'the trap is alive')
            for text in ('10.0.0.0/8', 'fd00::/8'):
                self.assertTrue(any(text in line and '--allow-net' in line for line in server.errors), server.errors)


class ServerSinks(unittest.TestCase):
    def test_in_an_internet_of_its_own(self):
        weirtest.need_binary()
        try:
            code, text = internet.enter(__file__)
        except internet.Unavailable as why:
            self.skipTest(str(why))
        print(text)
        self.assertEqual(code, 0, text)


if internet.inside():
    del ServerSinks
else:
    del Inside

if __name__ == '__main__':
    unittest.main()
