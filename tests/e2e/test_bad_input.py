"""What is malformed gets a clear error that names place and remedy, in --json too; nothing is lost or half-written: databases, folders, config, tokens, ids, dates, JSON."""
import json
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from weirtest import BIN, Server, need_binary, weir  # noqa: E402


def setUpModule():
    need_binary()


class Databases(unittest.TestCase):
    """Each kind of broken file, against every way in. The file stays as it lies."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix='weir-bad.'))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        with Server(data=cls.folder / 'data') as server:
            id = server.post('/api/sources', {'push': True, 'title': 'P'}).json['id']
            for batch in range(4):
                assert server.post(f'/api/sources/{id}/items', [{'id': f'{batch}-{n}', 'title': f'title {n}', 'content_text': f'{n} ' * 300} for n in range(300)]).status == 200
        cls.file = cls.folder / 'data/weir.db'
        cls.whole = cls.file.read_bytes()
        cls.backup = cls.folder / 'backup'
        weir('--no-model', 'backup', cls.backup, data=cls.folder / 'data')

    def put(self, data):
        for name in ('weir.db', 'weir.db-wal', 'weir.db-shm'):
            (self.folder / 'data' / name).unlink(missing_ok=True)
        self.file.write_bytes(data)

    def refused(self, code, word):
        before = self.file.read_bytes()
        for words in (['list'], ['sources'], ['serve', '--listen', '127.0.0.1:0'], ['add', 'http://127.0.0.1:1/'], ['backup', self.folder / 'never']):
            done = subprocess.run([BIN, '--data', self.folder / 'data', '--no-model', '--json', *words], capture_output=True, text=True, timeout=30)
            self.assertEqual((done.returncode, done.stdout), (1, ''), (words, done.stderr))
            error = json.loads(done.stderr)['error']
            self.assertEqual(error['code'], code, error)
            self.assertIn(word, error['message'])
            self.assertEqual(error['where'], str(self.file))
            self.assertTrue(error['remedy'])
            plain = subprocess.run([BIN, '--data', self.folder / 'data', '--no-model', *words], capture_output=True, text=True, timeout=30)
            self.assertIn(word, plain.stderr)
            self.assertIn(str(self.file), plain.stderr)
        checks = json.loads(weir('--no-model', '--json', 'doctor', data=self.folder / 'data', check=False)[1])['checks']   # the doctor sees the rest too
        self.assertTrue(any(c['state'] == 'bad' and word in c['text'] and c.get('remedy') for c in checks), checks)
        self.assertEqual(self.file.read_bytes(), before, 'nothing was changed')
        self.assertFalse((self.folder / 'never').exists())

    def restored(self):
        """The remedy that was printed is one."""
        for name in ('weir.db', 'weir.db-wal', 'weir.db-shm'):
            (self.folder / 'data' / name).unlink(missing_ok=True)
        weir('restore', self.backup, data=self.folder / 'data')
        self.assertEqual(len(json.loads(weir('--no-model', '--json', 'list', '--limit', '1000', data=self.folder / 'data')[1])['items']), 1000)

    def test_garbage(self):
        self.put(random.Random(1).randbytes(50_000))
        self.refused('corrupt', 'something else')
        self.restored()

    def test_cut_off(self):
        for size in (50, 100, 4096, 3 * 4096, len(self.whole) // 2 + 77):
            self.put(self.whole[:size])
            self.refused('corrupt', 'database')
        self.restored()

    def test_a_newer_version(self):
        self.put(self.whole[:60] + (77).to_bytes(4, 'big') + self.whole[64:])
        self.refused('refused', 'schema 77')
        self.refused('refused', 'knows up to')

    def test_another_programs(self):
        self.put(b'')
        self.file.unlink()
        db = sqlite3.connect(self.file)
        db.execute('CREATE TABLE cookies(x)')
        db.execute('PRAGMA user_version=4')
        db.close()
        self.refused('corrupt', "another program's")

    def test_noise_in_pages(self):
        noise = random.Random(2).randbytes(4096 * 12)
        self.put(self.whole[:4096 * 2] + noise + self.whole[4096 * 14:])
        self.refused('corrupt', 'malformed')
        # Where only texts lie: it may start, and then says so instead of showing wrong rows; doctor finds it.
        at = len(self.whole) // 4096 * 3 // 4 * 4096
        self.put(self.whole[:at] + noise + self.whole[at + len(noise):])
        try:
            with Server(data=self.folder / 'data') as server:
                seen, cursor = 0, ''
                while True:
                    page = server.get('/api/items?state=all&limit=100' + (f'&cursor={cursor}' if cursor else ''))
                    if page.status != 200:
                        self.assertIn(page.json['error']['code'], ('corrupt', 'internal'))
                        break
                    for item in page.json['items']:
                        n = item['id'].split('-')[1]
                        self.assertEqual((item['title'], item['content_text'].split()[0]), (f'title {n}', n))
                        seen += 1
                    cursor = page.json.get('cursor')
                    if not cursor:
                        break
                self.assertEqual(server.get('/healthz').status, 200)
                report = server.get('/api/doctor?thorough=true').json
                bad = [c for c in report['checks'] if c['name'] == 'integrity' and c['state'] == 'bad']
                self.assertTrue(bad and bad[0].get('remedy'), report)
        except AssertionError as refused:
            if 'did not start' not in str(refused) or 'malformed' not in str(refused):
                raise
        self.restored()

    def test_a_log_of_noise(self):
        self.put(self.whole)
        (self.folder / 'data/weir.db-wal').write_bytes(random.Random(3).randbytes(40_000))
        self.assertEqual(len(json.loads(weir('--no-model', '--json', 'list', '--state', 'all', '--limit', '1000', data=self.folder / 'data')[1])['items']), 1000)

    def test_no_backup_is_restored_that_is_none(self):
        for data, word in ((b'nonsense' * 1000, 'database'), (self.whole[:len(self.whole) // 2], 'malformed'), (b'', '')):
            bad = self.folder / 'bad-backup'
            bad.write_bytes(data)
            target = self.folder / 'fresh'
            code, out, err = weir('--json', 'restore', bad, data=target, check=False)
            self.assertEqual(code, 1, (out, err))
            self.assertIn(word, json.loads(err)['error']['message'])
            self.assertFalse((target / 'weir.db').exists(), 'nothing half-written')


class Folders(unittest.TestCase):
    def test_a_folder_that_is_none(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, 'file')
            file.write_text('x')
            for data, words in ((file, ['list']), (file, ['serve', '--listen', '127.0.0.1:0']), ('/proc/nowhere', ['serve', '--listen', '127.0.0.1:0']), (pathlib.Path(folder, 'absent'), ['list'])):
                code, out, err = weir('--no-model', '--json', *words, data=data, check=False)
                error = json.loads(err)['error']
                self.assertEqual(code, 1)
                self.assertIn(str(data), error['where'])
                self.assertTrue(error['remedy'], error)


class Config(unittest.TestCase):
    def test_each_mistake_names_the_file(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, 'weir.toml')
            for text, line in (('listen = 5\n', 1), ('\n\nallow_net = "10.0.0.0/8"\n', 3), ('allow_net = [1]', 1), ('model = true', 1), ('x.y = 1', 1), ('listen = "a"\nlisten = "b"', 2), ('[listen]', 1), ('listen', 1), ('listen = "127.0.0.1:99999"', 1), ('\nallow_net = ["10.0.0.0/8",\n"300.0.0.0/8"]', 3),
                               ('\xff\xfe', 1), ('\nmodel = \xc3\xa4', 2), ('\n\xef\xbb\xb5', 2), ('model = "\\\xc3\xa4"', 1), ('a = ' + '[' * 100_000, 1), ('a = "' + 'x' * 100_000, 1)):
                file.write_bytes(text.encode('latin-1'))
                for words in (['sources'], ['serve']):
                    code, out, err = weir('--json', '--config', file, *words, data=pathlib.Path(folder, 'data'), check=False)
                    error = json.loads(err)['error']
                    self.assertIn(code, (1, 2), text[:40])
                    self.assertEqual(error['where'].split(':')[0], str(file), error)
                    self.assertEqual(error['where'], f'{file}:{line}', text[:40])
            file.write_text('# 模型 "\nmodel = \'模型\'  # "\nlisten = "127.0.0.1:8088"\n', encoding='utf-8')
            weir('--config', file, 'model', 'list', data=pathlib.Path(folder, 'data'))
            for name in (pathlib.Path(folder, 'absent.toml'), pathlib.Path(folder)):
                code, out, err = weir('--json', '--config', name, 'sources', check=False)
                self.assertIn(code, (1, 2))
                self.assertEqual(json.loads(err)['error']['where'], str(name))
            self.assertFalse(pathlib.Path(folder, 'data').exists(), 'nothing was begun')


class Requests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()
        cls.addClassCleanup(lambda: cls.server.__exit__())
        cls.push = cls.server.post('/api/sources', {'push': True, 'title': 'P'}).json['id']
        assert cls.server.post(f'/api/sources/{cls.push}/items', [{'id': 'a', 'title': 'one'}]).status == 200
        cls.before = cls.state()

    @classmethod
    def state(cls):
        return [cls.server.get(path).json for path in ('/api/sources', '/api/items?state=all', '/api/settings')]

    def tearDown(self):
        self.assertEqual(self.state(), self.before, 'nothing changed')
        self.assertIsNone(self.server.process.poll())

    def refuses(self, method, target, body=None, statuses=(400, 422), **more):
        answer = self.server.request(method, target, body, **more)
        self.assertIn(answer.status, statuses, (method, target, str(body)[:80], answer))
        error = answer.json['error']
        self.assertTrue(error['code'] and error['message'], error)
        return error

    def test_json_bodies(self):
        head = {'Content-Type': 'application/json'}
        bodies = ['', '{', '[', 'nul', '"', '{"a":}', '[1,]', "{'a':1}", '{"a":1}x', '\xff\xfe', '{"a":"\\ud800"}', '[' * 100_000, '{"a":' * 50_000, '9' * 100_000, 'NaN', '\x00', '{"a":"\x01"}']
        for method, target in (('POST', '/api/sources'), ('PATCH', '/api/items/1'), ('POST', '/api/signals'), ('PUT', '/api/settings'), ('POST', '/api/items/mark-read'), ('POST', '/api/tokens'), ('PATCH', f'/api/sources/{self.push}')):
            for body in bodies:
                error = self.refuses(method, target, body.encode('latin-1'), headers=head, statuses=(400, 413, 422))
        error = self.refuses('PATCH', '/api/items/1', '{"read":\n tru}', headers=head)
        self.assertRegex(error.get('where', '') + error['message'], r'byte \d+|line \d+|\d+', 'the place')

    def test_members_of_the_wrong_kind(self):
        for method, target, body in (('POST', '/api/sources', {'url': 5}), ('POST', '/api/sources', {'url': ''}), ('POST', '/api/sources', {'url': 'x' * 60_000}), ('POST', '/api/sources', {}), ('POST', '/api/sources', []),
                                     ('POST', '/api/sources', {'push': 'yes'}), ('PATCH', '/api/items/1', {'read': 'yes'}), ('PATCH', '/api/items/1', {'read': None}), ('PATCH', '/api/items/1', {'unread': True}), ('POST', '/api/items/mark-read', {}),
                                     ('POST', '/api/items/mark-read', {'all': True, 'source': 1}), ('POST', '/api/items/mark-read', {'all': True, 'before': 'yesterday'}), ('POST', '/api/items/mark-read', {'all': True, 'before': '2026-13-01T00:00:00Z'}),
                                     ('POST', '/api/signals', {'item': '1', 'kind': 'like'}), ('POST', '/api/signals', {'item': 1, 'kind': 'shrug'}), ('POST', '/api/signals', {'item': 1, 'kind': 'like', 'at': 'now'}), ('POST', '/api/signals', [{'item': 1}]),
                                     ('POST', '/api/signals', {'item': 1.5, 'kind': 'like'}), ('POST', '/api/signals', {'item': 1, 'kind': 'open', 'dwell_s': 'long'}), ('POST', '/api/tokens', {'scope': 'god'}), ('POST', '/api/tokens', {'scope': 'ingest'}), ('PUT', '/api/settings', [1]), ('PUT', '/api/settings', {'keep_days': -5}),
                                     ('PATCH', f'/api/sources/{self.push}', {'keep_days': 'x'}), ('PATCH', f'/api/sources/{self.push}', {'title': 7}), ('PATCH', f'/api/sources/{self.push}', {'name': 'x'}), ('POST', '/api/users', {'name': ''}), ('POST', '/api/users', {'name': 'a\nb'})):
            with self.subTest(target=target, body=str(body)[:60]):
                self.refuses(method, target, body, statuses=(400, 404, 422))

    def test_pushed_items(self):
        target, head = f'/api/sources/{self.push}/items', {'Content-Type': 'application/json'}
        for body in ('', '{', '[1]', '["a"]', '[null]', '[[]]', '{"items":5}', '[{"id":"b","title":5}]', '[{"id":"b"},{"id":{}}]', '[{"id":"b"},]', '\xff', '[{"id":"b","date_published":"soon"}]'.replace('soon', '\x00')):
            with self.subTest(body=body):
                answer = self.server.post(target, body.encode('latin-1'), headers=head)
                self.assertIn(answer.status, (400, 422), answer)
                self.assertTrue(answer.json['error']['message'])
        answer = self.server.post(target, b'{"id":"b"}\nnot json\n{"id":"c"}\n', headers={'Content-Type': 'application/x-ndjson'})
        self.assertIn(answer.status, (400, 422), answer)
        self.assertIn('2', answer.json['error'].get('where', '') + answer.json['error']['message'], 'the line')
        answer = self.server.post(target, [{'id': str(n)} for n in range(5001)])
        self.assertIn(answer.status, (413, 422), answer)

    def test_ids_and_queries(self):
        for id in ('0', '-1', 'x', '1x', '99999999999999999999', '9223372036854775807', '1.0', '%00', '1%2F2', '', ' 1', '+1', '0x1'):
            for method, target in (('GET', f'/api/items/{id}'), ('GET', f'/api/items/{id}/why'), ('PATCH', f'/api/items/{id}'), ('GET', f'/api/sources/{id}'), ('DELETE', f'/api/sources/{id}'), ('DELETE', f'/api/tokens/{id}'), ('GET', f'/api/sources/{id}/icon')):
                if (method, id) == ('GET', ''):
                    continue   # the list
                self.refuses(method, target.replace(' ', '%20'), {'read': True} if method == 'PATCH' else None, statuses=(400, 404, 405, 422))
        for query in ('limit=0', 'limit=-1', 'limit=x', 'limit=100000', 'limit=1e3', 'order=sideways', 'state=lost', 'source=x', 'source=999', 'cursor=nonsense', 'cursor=r1', 'cursor=' + 'A' * 3000, 'folder=absent', 'q=%ff', 'q=%zz', 'q=%00', '%ff=1'):
            with self.subTest(query=query):
                self.refuses('GET', '/api/items?' + query, statuses=(400, 404, 422))

    def test_tokens(self):
        good = self.server.token
        for token in ('x', good[:-1], good + 'x', good[:-4] + 'AAAA', good.upper(), 'weir_1_', 'weir__', 'weir_99999999999999999999_' + 'a' * 43, 'Bearer', '\xe9', 'a' * 5000, good.replace('_', ' ')):
            with self.subTest(token=token[:20]):
                answer = self.server.get('/api/items', headers={'Authorization': f'Bearer {token}'.encode('latin-1')}, token=None)
                self.assertEqual(answer.status, 401, answer)
                self.assertTrue(answer.json['error']['message'])
                self.assertNotIn(good, answer.body.decode())
        for value in ('', 'Bearer', 'Basic ' + good, good, f'bearer\t{good}x', f'Token {good}'):
            self.assertEqual(self.server.get('/api/items', headers={'Authorization': value}, token=None).status, 401, value)

    def test_the_command_line(self):
        for words in (['read', 'x'], ['read', '999'], ['star', '-1'], ['why', '0'], ['sources', 'remove', '999'], ['sources', 'edit', 'x'], ['list', '--cursor', 'junk'], ['list', '--limit', 'x'], ['list', '--source', '999'], ['search', '""', '--order', 'x'],
                      ['token', 'new', '--scope', 'god'], ['token', 'remove', '999'], ['user', 'add', ''], ['import', '/nowhere.opml'], ['import', BIN], ['export', '/nowhere/x'], ['backup', '/nowhere/x'], ['add', 'not an address'], ['add', 'ftp://h/']):
            with self.subTest(words=words):
                code, out, err = weir('--json', *words, data=self.server.data, check=False)
                self.assertIn(code, (1, 2), (out, err))
                error = json.loads(err.strip().splitlines()[-1])['error']
                self.assertTrue(error['code'] and error['message'], error)
        for words in (['read', '-1'], ['read', '99999999999999999999'], ['like', '1', '0'], ['list', '--source', '0'], ['sources', 'remove', '-2']):
            self.assertEqual(weir(*words, data=self.server.data, check=False)[0], 2, words)

    def test_a_backup_to_nowhere(self):
        with tempfile.TemporaryDirectory() as folder:
            weir('--no-model', 'user', 'add', 'reader', data=folder)
            for data in (folder, self.server.data):  # without a server, and by the server
                code, out, err = weir('--json', '--no-model', 'backup', f'{folder}/no/x', data=data, check=False)
                self.assertEqual((code, json.loads(err)['error']['where']), (1, f'{folder}/no'), err)


class Files(unittest.TestCase):
    """What `parse`, `import`, `encode` and `rank` are given: names, feeds, pages, lists, dates, charsets, models, signals. Each error names the file; --json has it in parts."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix='weir-bad-files.'))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        cls.data = cls.folder / 'data'
        weir('--no-model', 'user', 'add', 'ann', data=cls.data)

    def put(self, name, content):
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def refused(self, *words, code=1, stdin='', env=None):
        got, out, err = weir('--no-model', '--json', *words, data=self.data, check=False, stdin=stdin, env=env)
        self.assertEqual(got, code, (words, out, err))
        error = json.loads(err.strip().splitlines()[-1])['error']
        plain = weir('--no-model', *words, data=self.data, check=False, stdin=stdin, env=env)[2]
        self.assertIn(error['message'].split(';')[0], plain)
        return error

    def test_parse_has_only_the_words_of_its_contract(self):
        secret = self.put('secret.xml', '<rss/>')
        cases = {self.folder / 'absent.xml': 'not_a_feed', self.folder: 'not_a_feed', self.put('words.txt', 'just words'): 'not_a_feed', self.put('empty.xml', ''): 'not_a_feed', self.put('noise.xml', random.Random(4).randbytes(4000)): None,
                 self.put('deep.xml', '<rss><channel>' + '<a>' * 5000): 'too_deep', self.put('many.xml', '<rss><channel>' + '<a/>' * 600_000): 'too_large', self.put('utf16.xml', b'\xff\xfe\x00\x00'): None, self.put('deep.json', '[' * 100_000): None,
                 self.put('cut.json', '{"version":"https://jsonfeed.org/version/1.1","items":[{"id":'): None}
        allowed = {'not_a_feed', 'too_large', 'too_deep', 'malformed', 'encoding', 'refused', 'crashed', 'timeout'}
        for file, wanted in cases.items():
            with self.subTest(file=file.name):
                code, out, err = weir('--json', 'parse', file, secret, check=False)
                self.assertEqual(code, 1)
                lines = [json.loads(line) for line in out.splitlines()]
                self.assertEqual([line['_weir']['file'] for line in lines], [str(file), str(secret)], 'the others are unharmed')
                inner, told = lines[0]['_weir']['error'], json.loads(err)['error']
                self.assertEqual((inner['code'], inner['message']), (told['code'], told['message']))
                self.assertIn(inner['code'], allowed)
                self.assertEqual(told['where'].split(', byte ')[0], str(file))
                if wanted:
                    self.assertEqual(inner['code'], wanted)
        command = [BIN, 'parse', secret]
        if os.geteuid() == 0:
            self.folder.chmod(0o755)
            secret.chmod(0)
            command = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', shutil.copy(BIN, self.folder / 'weir'), 'parse', secret]
        else:
            secret.chmod(0)
        done = subprocess.run(command, capture_output=True, text=True)
        secret.chmod(0o644)
        self.assertEqual(json.loads(done.stdout)['_weir']['error']['code'], 'refused')
        self.assertIn('give this user the right', done.stderr)
        self.assertEqual(self.refused('parse', '--base', 'nonsense', secret, code=2)['where'], '--base')

    def test_lists_and_feeds_to_import(self):
        before = weir('--no-model', '--json', 'sources', data=self.data)[1]
        for name, content, word in (('none.opml', '<opml version="2.0"><body><outline text="x"/></body></opml>', 'no feed'), ('cut.opml', '<opml><body><outline', 'no feed'), ('ftp.opml', '<opml version="2.0"><body><outline text="x" xmlUrl="ftp://u:secret@h/"/></body></opml>', 'no feed'),
                                    ('deep.opml', '<opml version="2.0"><body>' + '<outline text="f">' * 40, 'deep'), ('empty.opml', '', 'empty'), ('page.html', '<html><body>nothing</body></html>', 'web page'), ('words.txt', 'just words', 'no markup')):
            with self.subTest(name=name):
                file = self.put(name, content)
                error = self.refused('import', file)
                self.assertIn(word, error['message'])
                self.assertIn(name, error['where'])
                self.assertTrue(error.get('remedy') or ';' in error['message'], error)
        self.assertTrue(self.refused('import', self.folder / 'absent.opml')['remedy'])
        self.assertEqual(weir('--no-model', '--json', 'sources', data=self.data)[1], before, 'nothing half-written')
        some = self.put('some.opml', '<opml version="2.0"><body><outline text="old ftp" xmlUrl="ftp://u:secret@h/x"/><outline text="good" xmlUrl="http://127.0.0.1:9/good"/><outline text="lost"/></body></opml>')
        code, out, err = weir('--no-model', 'import', some, data=self.data)
        self.assertIn('1 sources added', err)
        self.assertIn('outline "old ftp": ftp://h/x is no http(s) address', err)
        self.assertIn('outline "lost": no address', err)
        self.assertNotIn('secret', err)

    def test_what_is_wrong_with_a_feed_says_in_which_file_and_where(self):
        inside = self.folder / 'folder'
        inside.mkdir()
        cut = inside / 'cut.json'
        cut.write_text('{"version":"https://jsonfeed.org/version/1.1","items":[{"id":"1"')
        for words in (['import', cut], ['import', inside], ['parse', cut]):
            code, out, err = weir('--no-model', '--json', *words, data=self.data, check=False)
            error = json.loads(err)['error']
            self.assertEqual((code, error['where']), (1, f'{cut}, byte 64'), err)
            self.assertTrue(error['remedy'] if words[0] == 'parse' else ';' in error['message'], error)
        deep = self.put('deep.xml', '<rss><channel>' + '<a>' * 300)
        self.assertIn(f'{deep}, byte 7', self.refused('import', deep)['where'])
        # What could be mended is, and that is said.
        mended = self.put('cut.xml', '<rss version="2.0"><channel><title>Cut</title><item><guid>a</guid><title>A</title></item><item><guid>b</guid><title>B')
        code, out, err = weir('--no-model', '--json', 'import', mended, data=self.data)
        self.assertEqual(json.loads(out)['stored'], 2)
        self.assertIn('ends inside', json.loads(out)['warnings'][0])
        self.assertIn('cut.xml:   the document ends inside', weir('--no-model', 'import', mended, data=self.data)[2])

    def test_two_feeds_of_one_name_stay_two(self):
        feed = '<rss version="2.0"><channel><title>Blog</title><link>https://{0}.example/</link><item><guid>1</guid><title>of {0}</title></item></channel></rss>'
        for name, stored in (('ann', 1), ('bob', 1), ('ann', 0)):
            code, out, err = weir('--no-model', '--json', 'import', self.put(f'{name}.xml', feed.format(name)), data=self.data)
            self.assertEqual(json.loads(out)['stored'], stored, name)
        titles = [item.get('title') for item in json.loads(weir('--no-model', '--json', 'list', '--state', 'all', data=self.data)[1])['items']]
        self.assertTrue({'of ann', 'of bob'} <= set(titles), titles)

    def test_names_of_any_bytes(self):
        """What a file is called need not be UTF-8; JSON is, always."""
        name = os.fsencode(str(self.folder)) + b'/\xff\xfe.xml'
        with open(name, 'wb') as file:
            file.write(b'<rss version="2.0"><channel><title>Odd</title><item><guid>odd</guid></item></channel></rss>')
        for words, code in (([b'parse', name], 0), ([b'--data', str(self.data).encode(), b'--json', b'import', name], 0), ([b'--json', b'parse', name + b'\xff'], 1), ([b'--json', b'import', name + b'\xff'], 1)):
            done = subprocess.run([BIN.encode(), b'--no-model'] + words, capture_output=True, timeout=60)
            self.assertEqual(done.returncode, code, done)
            for line in (done.stdout + done.stderr).splitlines():
                json.loads(line.decode('utf-8'))

    def test_a_list_in_utf_16(self):
        file = self.folder / 'wide.opml'
        file.write_bytes('<?xml version="1.0" encoding="utf-16"?><opml version="2.0"><body><outline text="x" xmlUrl="http://127.0.0.1:9/wide"/></body></opml>'.encode('utf-16'))
        self.assertIn('1 sources added', weir('--no-model', 'import', file, data=self.data)[2])

    def test_dates_and_charsets_in_feeds(self):
        """A date that is none is left out, a charset that is none is told apart by the bytes: both are said, and the rest of the feed is there."""
        feed = '<?xml version="1.0" encoding="klingon"?><rss version="2.0"><channel><title>T\xe9</title><item><guid>a</guid><title>A</title><pubDate>Mon, 32 Foo 2026 99:00</pubDate></item><item><guid>b</guid><pubDate>Mon, 23 Nov 2026 08:00:00 GMT</pubDate></item></channel></rss>'
        document = json.loads(weir('parse', self.put('dates.xml', feed.encode('latin-1')))[1])
        self.assertEqual([item.get('date_published') for item in document['items']], [None, '2026-11-23T08:00:00Z'])
        self.assertEqual(document['title'], 'T\xe9')
        self.assertTrue(any('klingon' in warning for warning in document['_weir']['warnings']), document['_weir'])
        self.assertTrue(any('32 Foo' in warning for warning in document['_weir']['warnings']), document['_weir'])
        self.assertEqual(self.refused('rank', '--now', 'yesterday', code=2)['where'], '--now')

    def test_models(self):
        """Cut, of another kind, lying about itself: before anything is encoded, with the file's name."""
        models = self.folder / 'models'
        (models / 'e5-small').mkdir(parents=True)
        env = {'WEIR_MODELS': str(models)}
        for content in (b'', b'E5S1', random.Random(5).randbytes(5000)):
            (models / 'e5-small/e5-small-q4.bin').write_bytes(content)
            error = self.refused('encode', '--model', 'e5-small', stdin='{"id":"1","title":"x"}', env=env)
            self.assertIn('e5-small-q4.bin', error['where'])
            self.assertIn('weir model fetch', error['remedy'])
        own = self.folder / 'own'
        own.mkdir()
        self.assertTrue(self.refused('encode', '--model', own, stdin='{}')['remedy'])
        config = {'model_type': 'bert', 'hidden_size': 8, 'num_hidden_layers': 1, 'num_attention_heads': 2, 'intermediate_size': 16, 'vocab_size': 6, 'max_position_embeddings': 8, 'type_vocab_size': 2, 'hidden_act': 'gelu', 'layer_norm_eps': 1e-12}
        files = {'config.json': json.dumps(config), 'vocab.txt': '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n', 'model.safetensors': (8).to_bytes(8, 'little') + b'{}      '}
        for broken, content in (('config.json', '{'), ('config.json', '[]'), ('vocab.txt', ''), ('model.safetensors', b''), ('model.safetensors', (1 << 60).to_bytes(8, 'little') + b'{}'), ('model.safetensors', files['model.safetensors'])):
            with self.subTest(broken=broken, content=content):
                for name, good in files.items():
                    self.put(f'own/{name}', content if name == broken else good)
                error = self.refused('encode', '--model', own, stdin='{"id":"1","title":"x"}')
                self.assertIn(str(own), error['where'], error)
        self.assertIn('e5-small', self.refused('model', 'fetch', 'e5-small', '--from', self.put('fake.bin', b'x' * 100), env=env)['where'])
        self.assertEqual((models / 'e5-small/e5-small-q4.bin').read_bytes(), random.Random(5).randbytes(5000), 'what was there stays')

    def test_lines_of_items_and_signals(self):
        for words in (['guard', 'scan'], ['rank']):
            self.assertTrue(self.refused(*words, self.folder / 'absent.jsonl')['where'].endswith('absent.jsonl'))
        items = self.put('items.jsonl', '{"id":"a","title":"A"}\n{"id":"b"\n{"id":"c","title":"C"}\n')
        code, out, err = weir('--no-model', '--json', 'rank', items, check=False)
        self.assertEqual((code, sorted(json.loads(line)['id'] for line in out.splitlines())), (1, ['a', 'c']))
        self.assertEqual(json.loads(err)['error']['where'], f'{items}:2')
        for line, word in (('{"item":"a","kind":"shrug"}', 'kind'), ('{"item":"z","kind":"like"}', 'z'), ('{"kind":"like"}', 'item'), ('{"item":"a","kind":"like","at":"now"}', 'at'), ('nonsense', ''), ('[]', 'object')):
            signals = self.put('signals.jsonl', '{"item":"a","kind":"like","at":"2026-11-01T00:00:00Z"}\n' + line + '\n')
            error = self.refused('rank', '--signals', signals, items)
            told = [json.loads(one)['error'] for one in weir('--no-model', '--json', 'rank', '--signals', signals, items, check=False)[2].splitlines()]
            self.assertIn(f'{signals}:2', [one['where'] for one in told])
            self.assertIn(word, ' '.join(one['message'] for one in told))


if __name__ == '__main__':
    unittest.main()
