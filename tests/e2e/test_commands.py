"""Every command of people, with a server and without one, on real input: the way from a source to a reader at the terminal."""
import http.server, json, os, pathlib, re, shutil, signal, subprocess, tempfile, threading, time, unittest

import weirtest
from weirtest import Server, need_binary, until, weir

RSS = '''<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>River News &amp; 河流</title><link>http://HOST/</link><description>d</description>
%s</channel></rss>'''
ITEM = '<item><guid isPermaLink="false">g%d</guid><link>http://HOST/a/%d</link><title>%s</title><description>&lt;p&gt;%s&lt;/p&gt;&lt;script&gt;alert(1)&lt;/script&gt;</description><pubDate>Mon, 23 Nov 2026 0%d:00:00 GMT</pubDate></item>'
ITEMS = [('Attention is a budget', 'the reader chooses what to read'), ('注意力机制的新进展', '研究人员提出了新的注意力机制'), ('Rivers and weirs', 'a weir holds the flow to what can be read')]


class Site:
    """A real web server with one feed, a page that links to it, and things that are no feed."""

    def __enter__(self):
        site = self
        self.items, self.hits = list(ITEMS), []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                site.hits.append((self.path, dict(self.headers)))
                body, kind, status = site.answer(self.path, self.headers)
                self.send_response(status)
                self.send_header('Content-Type', kind)
                self.send_header('Content-Length', str(len(body)))
                if status == 200:
                    self.send_header('ETag', f'"v{len(site.items)}"')
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.host = f'127.0.0.1:{self.server.server_address[1]}'
        self.url = f'http://{self.host}'
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    def answer(self, path, headers):
        if path == '/the-news.xml':
            if headers.get('If-None-Match') == f'"v{len(self.items)}"':
                return b'', 'application/rss+xml', 304
            rows = '\n'.join(ITEM % (n, n, title, text, n) for n, (title, text) in enumerate(self.items))
            return (RSS % rows).replace('HOST', self.host).encode(), 'application/rss+xml', 200
        if path == '/page':
            return b'<html><head><title>P</title><link rel="alternate" type="application/rss+xml" href="/the-news.xml"></head><body>hello</body></html>', 'text/html', 200
        if path == '/plain':
            return b'<html><body><p>nothing here</p></body></html>', 'text/html', 200
        return b'no', 'text/plain', 404


def setUpModule():
    need_binary()


class Commands(unittest.TestCase):
    def setUp(self):
        self.data = pathlib.Path(tempfile.mkdtemp(prefix='weir-cli.')) / 'dir'
        self.addCleanup(shutil.rmtree, self.data.parent, True)

    def walk(self, site, local):
        """The same steps, whoever does the work."""
        run = lambda *words, **more: weir('--no-model', *words, data=self.data, **more)
        allow = ['--allow-net', '127.0.0.0/8'] if local else []
        code, _, err = run('add', *allow, f'{site.url}/page')
        self.assertIn('River News', err)
        code, _, err = run('add', *allow, f'{site.url}/page', check=False)
        self.assertEqual(code, 0)
        self.assertIn('is there already', err)
        code, _, err = run('--json', 'add', *allow, f'{site.url}/plain', check=False)
        self.assertEqual(code, 1)
        self.assertEqual(json.loads(err.strip().splitlines()[-1])['error']['code'], 'not_a_feed')

        page = json.loads(run('--json', 'list')[1])
        self.assertEqual(len(page['items']), 3)
        newest = page['items'][0]
        self.assertEqual(newest['title'], 'Rivers and weirs')
        self.assertNotIn('script', newest['content_html'])
        self.assertEqual(newest['date_published'], '2026-11-23T02:00:00Z')
        ident = newest['_weir']['id']

        self.assertIn('a weir holds the flow', run('read', ident)[1])
        self.assertEqual(len(json.loads(run('--json', 'list')[1])['items']), 2, 'reading marks read')
        run('star', ident)
        self.assertEqual([i['_weir']['id'] for i in json.loads(run('--json', 'list', '--state', 'starred')[1])['items']], [ident])
        run('star', '--undo', ident)
        self.assertEqual(json.loads(run('--json', 'list', '--state', 'starred')[1])['items'], [])
        run('like', ident)
        why = json.loads(run('--json', 'why', ident)[1])
        self.assertFalse(why['enough'])
        self.assertEqual(why['signals'], 1)
        self.assertAlmostEqual(sum(part['value'] for part in why['why']), why['score'], places=5)
        self.assertIn('does not know enough yet', run('why', ident)[1])

        search = lambda text: [i['title'] for i in until(lambda: json.loads(run('--json', 'search', text)[1])['items'], 10)]
        self.assertEqual(search('weir'), ['Rivers and weirs'])
        self.assertEqual(search('注意力'), ['注意力机制的新进展'])
        self.assertEqual(search('"reader chooses"'), ['Attention is a budget'])

        site.items.append(('A fourth', 'came later'))
        run('fetch', *allow)
        until(lambda: len(json.loads(run('--json', 'list', '--state', 'all')[1])['items']) == 4)
        self.assertIn(('/the-news.xml', '"v3"'), [(path, head.get('If-None-Match')) for path, head in site.hits])

        opml = run('export')[1]
        self.assertIn(f'xmlUrl="{site.url}/the-news.xml"', opml)
        source = json.loads(run('--json', 'sources')[1])
        source = source if isinstance(source, list) else source['sources']
        run('sources', 'edit', source[0]['id'], '--folder', 'Water')
        self.assertIn('Water', run('sources')[1])
        self.assertEqual(run('doctor', check=False)[0], 0)
        backup = self.data.parent / f'backup-{local}'
        run('backup', backup)
        restored = self.data.parent / f'restored-{local}'
        weir('restore', backup, data=restored)
        self.assertEqual(len(json.loads(weir('--no-model', '--json', 'list', '--state', 'all', data=restored)[1])['items']), 4)
        run('sources', 'remove', source[0]['id'])
        self.assertEqual(json.loads(run('--json', 'list', '--state', 'all')[1])['items'], [])
        # A feed in a file, and a list of feeds.
        (self.data.parent / 'file.xml').write_bytes(site.answer('/the-news.xml', {})[0])
        self.assertIn('4 items stored', run('import', self.data.parent / 'file.xml')[2])
        self.assertIn('0 items stored, 4 known', run('import', self.data.parent / 'file.xml')[2])
        self.assertIn('42 sources added', run('import', '--starter')[2])

    def test_without_a_server(self):
        with Site() as site:
            weir('--no-model', 'user', 'add', 'ann', data=self.data)
            self.walk(site, True)

    def test_with_a_server(self):
        with Site() as site, Server(data=self.data):
            self.walk(site, False)

    def test_a_folder_with_a_long_name(self):
        with tempfile.TemporaryDirectory() as folder:
            data = f'{folder}/{"x" * 120}'
            with Server(data=data) as server:  # which asks it for a token, by the socket in that folder
                self.assertEqual(weir('--json', 'sources', data=data)[1], '{"sources":[]}\n')
                self.assertEqual(server.get('/api/me').status, 200)

    def test_serving_twice(self):
        with Server(data=self.data) as server:
            code, _, err = weir('serve', '--listen', '127.0.0.1:0', data=self.data, check=False)
            self.assertEqual(code, 1)
            self.assertIn(str(server.process.pid), err)
            code, out, _ = weir('serve', '--by-script', '--listen', '127.0.0.1:0', data=self.data)
            self.assertEqual(out, f'listening on {server.address}\n')

    def test_wrong_use_is_2_and_says_what(self):
        for words in (['nonsense'], ['read'], ['list', '--order', 'sideways'], ['--config', '/nowhere.toml', 'list', '--limit', '0']):
            code, _, err = weir(*words, data=self.data, check=False)
            self.assertEqual(code, 2, words)
            self.assertTrue(err.strip(), words)
        code, _, err = weir('list', data=self.data, check=False)
        self.assertEqual(code, 1)
        self.assertIn('weir serve', err)

    def test_config_errors_name_file_and_line(self):
        config = self.data.parent / 'weir.toml'
        for text, line in (('listen = "127.0.0.1:0"\nnonsense = 1\n', 2), ('a = [\n', 1)):
            config.write_text(text)
            code, _, err = weir('--config', config, 'sources', data=self.data, check=False)
            self.assertIn(f'{config}:', err)
            self.assertNotEqual(code, 0)

    def test_a_link_names_the_address_that_is_configured(self):
        weir('user', 'add', 'ann', data=self.data)
        self.assertRegex(weir('user', 'link', data=self.data)[1], r'^http://127\.0\.0\.1:8088/login\?link=\S+\n$')
        (self.data / 'weir.toml').write_text('listen = "127.0.0.9:18099"\n')
        self.assertRegex(weir('user', 'link', data=self.data)[1], r'^http://127\.0\.0\.9:18099/login\?link=\S+\n$')
        with Server(data=self.data) as server:  # its own address, whatever the file says
            self.assertTrue(weir('user', 'link', data=self.data)[1].startswith(server.address + '/login?link='))

    def test_completion_and_help(self):
        for shell in ('bash', 'zsh', 'fish'):
            text = weir('completion', shell)[1]
            self.assertIn('export', text)
        script = weir('completion', 'bash')[1]
        done = subprocess.run(['bash', '-n'], input=script, text=True)
        self.assertEqual(done.returncode, 0)
        asked = lambda *words: subprocess.run(['bash', '-c', 'source /dev/stdin; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _weir; echo "${COMPREPLY[*]}"', 'bash', 'weir', *words],
                                              input=script, text=True, capture_output=True).stdout.split()
        self.assertEqual(asked('tok'), ['token'])
        self.assertEqual(asked('token', 'n'), ['new'])
        self.assertEqual(asked('token', 'new', '--sc'), ['--scope'])
        self.assertEqual(asked('--data', '/x', 'sear'), ['search'])
        self.assertEqual(set(asked('list', '--order', '')), {'newest', 'oldest', 'ranked'})
        self.assertEqual(set(asked('completion', '')) - {'--help'}, {'bash', 'zsh', 'fish'})
        for command in re.findall(r'^  ([a-z]+) ', weir('--help')[1].split('Subcommands:')[1], re.M):
            self.assertIn('-h', weir(command, '--help')[1], command)
        self.assertIn('Apache License', weir('--licenses')[1])

    def test_an_empty_weir_offers_the_starter_list(self):
        with tempfile.TemporaryDirectory() as data:
            weir('--no-model', 'user', 'add', 'me', data=data)
            for command in ('sources', 'list', 'fetch'):
                self.assertIn('weir import --starter', weir('--no-model', command, data=data)[2], command)
            weir('--no-model', 'import', '--starter', data=data)
            self.assertGreaterEqual(len(json.loads(weir('--no-model', '--json', 'sources', data=data)[1])['sources']), 38)
            self.assertIn('nothing here', weir('--no-model', 'list', data=data)[2])
            self.assertIn('does not know enough about you yet: 0 of 10', weir('--no-model', 'list', '--order', 'ranked', data=data)[2])

    def test_every_command_answers_in_json(self):
        """One JSON document a line on stdout, or an error as JSON on stderr; wrong use too."""
        with Site() as site, Server(data=self.data):
            def run(*words, code=0):
                got, out, err = weir('--json', *words, data=self.data, check=False)
                self.assertEqual(got, code, (words, out, err))
                return [json.loads(line) for line in (out if code == 0 else err).splitlines()]
            self.assertEqual(run('add', f'{site.url}/page')[0]['title'], 'River News & 河流')
            self.assertTrue(run('add', f'{site.url}/page')[0]['known'])
            (self.data.parent / 'one.opml').write_text(f'<opml version="2.0"><body><outline type="rss" text="o" xmlUrl="{site.url}/other.xml"/></body></opml>')
            self.assertEqual(run('import', self.data.parent / 'one.opml')[0]['added'], 1)
            self.assertEqual(run('import', '--starter')[0]['added'], 42)
            item = run('list')[0]['items'][0]['_weir']['id']
            source = [one['id'] for one in run('sources')[0]['sources'] if one['title'].startswith('River')][0]
            for words in (['search', 'weir'], ['read', item], ['why', item], ['like', item], ['dislike', item], ['star', item], ['fetch', source], ['doctor'], ['model', 'list'], ['token', 'list'], ['user', 'list'],
                          ['token', 'new'], ['user', 'add', 'bo'], ['user', 'link', 'bo'], ['sources', 'push', 'p'], ['sources', 'edit', source, '--folder', 'F']):
                self.assertTrue(run(*words), words)
            self.assertEqual(run('user', 'remove', 'bo'), [{'done': True}])
            self.assertEqual(run('sources', 'remove', source), [{'removed': source}])
            self.assertTrue(run('export')[0]['opml'].startswith('<?xml'))
            self.assertRegex(weir('token', 'list', data=self.data)[1], r'^ID +SCOPE +LAST USED +NAME\n')
            self.assertEqual(run('export', self.data.parent / 'out.opml')[0]['file'], str(self.data.parent / 'out.opml'))
            self.assertEqual(run('backup', self.data.parent / 'copy')[0]['file'], str(self.data.parent / 'copy'))
            self.assertIn('data', json.loads(weir('--json', 'restore', self.data.parent / 'copy', data=self.data.parent / 'back')[1]))
            for code, words in ((1, ['read', 99999]), (1, ['sources', 'remove', 99999]), (1, ['restore', '/nowhere']), (1, ['model', 'fetch', 'none']), (1, ['parse', '/nowhere']), (2, ['nonsense']), (2, ['read']), (2, ['list', '--order', 'x'])):
                error = run(*words, code=code)[0]['error']
                self.assertTrue(error['message'] and error['code'], words)

    def test_ctrl_c_ends_well(self):
        server = Server(data=self.data).start()
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.process.wait(10), 0)


class Filters(unittest.TestCase):
    def test_parse_keeps_the_order_and_names_what_is_no_feed(self):
        with tempfile.TemporaryDirectory() as folder, Site() as site:
            good, bad = pathlib.Path(folder, 'a.xml'), pathlib.Path(folder, 'b.txt')
            good.write_bytes(site.answer('/the-news.xml', {})[0])
            bad.write_text('just words')
            code, out, err = weir('parse', good, bad, good, check=False)
            self.assertEqual(code, 1)
            documents = [json.loads(line) for line in out.splitlines()]
            self.assertEqual([d['_weir']['file'] for d in documents], [str(good), str(bad), str(good)])
            self.assertEqual(documents[0]['_weir']['format'], 'rss2.0')
            self.assertEqual(documents[0]['_weir']['encoding'], 'utf-8')
            self.assertEqual(documents[1]['_weir']['error']['code'], 'not_a_feed')
            raw = json.loads(weir('parse', '--raw', good)[1])
            self.assertIn('<script>', raw['items'][0]['content_html'])

    def test_guard_scan(self):
        out = weir('guard', 'scan', stdin='{"id":"1","url":"https://u:secretpw@h.example/"}\nplain\n')[1].splitlines()
        self.assertEqual(json.loads(out[0])['_weir']['findings'][0]['field'], 'url')
        self.assertEqual(json.loads(out[1])['_weir']['findings'], [])

    def test_bad_lines_are_told_and_passed_over(self):
        code, out, err = weir('--no-model', 'rank', '--now', '2026-11-24T00:00:00Z', check=False,
                              stdin='{"id":"old","date_published":"2026-11-01T00:00:00Z"}\nnot json\n[]\n{"id":"new","date_published":"2026-11-23T00:00:00Z"}\n')
        self.assertEqual(code, 1)
        self.assertEqual([json.loads(line)['id'] for line in out.splitlines()], ['new', 'old'])
        self.assertIn('line 2', err)
        self.assertIn('line 3', err)


if __name__ == '__main__':
    unittest.main()
