"""weir doctor: each thing that can be wrong is made wrong for real, and is named with its remedy; with a server, without one, and when nothing opens."""
import json, os, pathlib, shutil, sqlite3, subprocess, tempfile, unittest

import weirtest
from weirtest import Server, need_binary, until, weir

ALWAYS = {'disk', 'rights', 'clock', 'dns', 'cpu', 'model', 'database'}


def setUpModule():
    need_binary()


class Doctor(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='weir-doctor.'))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.data = self.folder / 'dir'

    def made(self):
        weir('--no-model', 'user', 'add', 'ann', data=self.data)

    def doctor(self, *words, expect, env=None):
        code, out, _ = weir('--json', *words, 'doctor', data=self.data, check=False, env=env)
        checks = {one['name']: one for one in json.loads(out)['checks']}
        self.assertLessEqual(ALWAYS, set(checks))
        for check in checks.values():
            self.assertTrue(check['text'])
            self.assertTrue(check['state'] == 'ok' or check.get('remedy'), check)
        self.assertEqual(code, expect, out)
        self.assertEqual(code, int(any(check['state'] == 'bad' for check in checks.values())))
        return checks

    def test_all_is_well(self):
        self.made()
        with Server(data=self.data) as server:
            source = server.post('/api/sources', {'push': True, 'title': 'a'}).json['id']
            server.post(f'/api/sources/{source}/items', [{'id': '1', 'title': 'one', 'content_text': 'text'}])
            checks = self.doctor(expect=0)
            self.assertIn('1 items of 1 sources', checks['database']['text'])
            self.assertIn('database 0.', checks['disk']['text'])
            self.assertIn('are free', checks['disk']['text'])
            self.assertIn('seccomp on', checks['sandbox']['text'])
            self.assertNotIn('integrity', checks)
        thorough = json.loads(weir('--no-model', '--json', 'doctor', '--thorough', data=self.data)[1])['checks']
        self.assertIn('the database is whole', [one['text'] for one in thorough])
        self.assertIn('ok   rights', weir('--no-model', 'doctor', data=self.data)[1])

    def test_cpu_row(self):
        self.made()
        self.assertIn('the best of those that run here', self.doctor('--no-model', expect=0)['cpu']['text'])
        self.assertIn('as WEIR_CPU says', self.doctor('--no-model', expect=0, env={'WEIR_CPU': 'scalar'})['cpu']['text'])
        cpu = self.doctor('--no-model', expect=1, env={'WEIR_CPU': 'impossible'})['cpu']
        self.assertEqual(cpu['state'], 'bad')
        self.assertIn('WEIR_CPU=impossible is no CPU row', cpu['text'])
        self.assertIn('scalar', cpu['text'])
        with Server(data=self.data, env={'WEIR_CPU': 'impossible'}):  # the server's environment is what counts, and it still serves
            self.assertEqual(self.doctor(expect=1)['cpu']['state'], 'bad')

    def test_model(self):
        self.made()
        models = self.folder / 'models'
        env = {'WEIR_MODELS': str(models)}
        checks = self.doctor(expect=1, env=env)
        self.assertIn('weir model fetch e5-small', checks['model']['remedy'])
        (models / 'e5-small').mkdir(parents=True)
        with open(models / 'e5-small/e5-small-q4.bin', 'wb') as file:
            file.truncate(71_622_400)  # the right size, another hash
        model = self.doctor(expect=1, env=env)['model']
        self.assertIn('expected sha256', model['text'])
        self.assertIn('weir model fetch', model['remedy'])
        self.assertIn('--no-model', self.doctor('--no-model', expect=0, env=env)['model']['text'])

    def test_database(self):
        self.data.mkdir(mode=0o700)
        self.assertIn('no Weir lives here', self.doctor('--no-model', expect=1)['database']['text'])
        (self.data / 'weir.db').write_bytes(b'this is no database at all. ' * 1000)
        database = self.doctor('--no-model', expect=1)['database']
        self.assertIn('restore', database['remedy'])
        self.assertTrue((self.data / 'weir.db').read_bytes().startswith(b'this is no database'), 'nothing was changed')

    def test_a_database_that_is_taken_away_while_weir_runs(self):
        self.made()
        with Server(data=self.data) as server:
            self.assertEqual(server.get('/healthz').status, 200)
            (self.data / 'weir.db').rename(self.data / 'elsewhere')
            self.assertEqual(server.get('/healthz').status, 503)
            self.assertEqual(server.post('/api/sources', {'push': True, 'title': 'P'}).status, 503, 'what would be lost is not acknowledged')
            database = self.doctor(expect=1)['database']
            self.assertEqual((database['state'], database['remedy']), ('bad', 'stop Weir, put the file back, start again'))
            (self.data / 'elsewhere').rename(self.data / 'weir.db')
            self.assertEqual(server.post('/api/sources', {'push': True, 'title': 'P'}).status, 201)
            self.assertEqual(server.get('/healthz').status, 200)

    def test_rights(self):
        self.made()
        self.data.chmod(0o755)
        rights = self.doctor('--no-model', expect=1)['rights']
        self.assertEqual(rights['remedy'], f'chmod 700 {self.data}')

    def test_a_folder_that_cannot_be_written(self):
        self.made()
        self.folder.chmod(0o755)
        self.data.chmod(0o555)
        for file in self.data.iterdir():
            file.chmod(0o444)
        command = [weirtest.BIN]
        if os.geteuid() == 0:  # root may write everywhere: ask as nobody
            command = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', shutil.copy(weirtest.BIN, self.folder / 'weir')]
        done = subprocess.run([*command, '--data', self.data, '--json', '--no-model', 'doctor'], capture_output=True, text=True)
        checks = {one['name']: one for one in json.loads(done.stdout)['checks']}
        self.assertEqual(done.returncode, 1)
        self.assertIn('cannot be written', checks['rights']['text'])
        self.assertIn('chown', checks['rights']['remedy'])
        self.assertEqual(checks['database']['state'], 'bad')

    def test_a_disk_that_is_read_only_or_full(self):
        if os.geteuid() != 0:
            self.skipTest('needs root')
        self.data.mkdir(mode=0o700)
        if subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64m,mode=700', 'weir', self.data], capture_output=True).returncode:
            self.skipTest('needs root')
        try:
            self.made()
            self.assertIn('make room', self.doctor('--no-model', expect=1)['disk']['remedy'])
            subprocess.run(['mount', '-o', 'remount,ro', self.data], check=True)
            checks = self.doctor('--no-model', expect=1)
            self.assertIn('read-only', checks['rights']['remedy'])
            self.assertEqual(checks['database']['state'], 'bad')
        finally:
            subprocess.run(['umount', self.data], check=True)

    def test_names_and_time(self):
        with Server(data=self.data) as server:
            server.request('POST', '/api/import', '<opml version="2.0"><body><outline type="rss" text="x" xmlUrl="http://no-such-host.invalid/feed"/></body></opml>', headers={'Content-Type': 'text/x-opml'})
            dns = until(lambda: [check for check in server.get('/api/doctor').json['checks'] if check['name'] == 'dns' and 'does not know' in check['text']], 30)[0]
            self.assertIn('1 of 1 sources', dns['text'])
            self.assertEqual(dns['state'], 'bad')
            self.assertIn('resolv.conf', dns['remedy'])


    def test_before_anybody_reads_here(self):
        weir('--no-model', 'list', data=self.data, check=False)
        weir('--no-model', 'user', 'add', 'ann', data=self.data)
        with sqlite3.connect(self.data / 'weir.db') as db:
            db.execute('DELETE FROM users')
        db.close()
        self.assertEqual(self.doctor('--no-model', expect=0)['database']['state'], 'ok', 'nothing is wrong with the database')

    def test_a_clock_that_went_back(self):
        """An item that came in a year from now: the clock was ahead then, or is behind now."""
        self.made()
        with Server(data=self.data) as server:
            source = server.post('/api/sources', {'push': True, 'title': 'a'}).json['id']
            server.post(f'/api/sources/{source}/items', [{'id': '1', 'title': 'one'}])
            self.assertNotEqual(self.doctor(expect=0)['clock']['state'], 'bad')
        with sqlite3.connect(self.data / 'weir.db') as db:
            db.execute('UPDATE items SET received=received+?', (365 * 86400 * 1_000_000,))
        db.close()
        for expect in (self.doctor('--no-model', expect=1),):
            self.assertEqual(expect['clock']['state'], 'bad')
            self.assertIn('is before the last item', expect['clock']['text'])
            self.assertIn('set it right', expect['clock']['remedy'])
        with Server(data=self.data):
            self.assertEqual(self.doctor(expect=1)['clock']['state'], 'bad')

    def test_the_encoders_backlog(self):
        """Items that came without a model wait; doctor says how many, what is in the way, and that they go."""
        self.made()
        with Server(data=self.data) as server:
            source = server.post('/api/sources', {'push': True, 'title': 'a'}).json['id']
            for part in range(3):
                server.post(f'/api/sources/{source}/items', [{'id': f'{part}/{n}', 'title': f'title {n} of {part}', 'content_text': 'some words ' * 20} for n in range(500)])
            encoding = self.doctor(expect=0)['encoding']
            self.assertEqual((encoding['state'], encoding['text'].split(' items')[0]), ('ok', '1500'))
        without = {'WEIR_MODELS': str(self.folder / 'none')}
        with Server(data=self.data, model=True, env=without) as server:
            encoding = until(lambda: (lambda e: e if e['state'] == 'bad' else None)({c['name']: c for c in server.get('/api/doctor').json['checks']}['encoding']), 90)
            self.assertIn('1500 items wait', encoding['text'])
            self.assertIn('see model', encoding['remedy'])
            self.assertIn('weir model fetch', self.doctor(expect=1)['model']['remedy'])
        if not any(m['name'] == 'minilm' and m['here'] for m in json.loads(weir('--json', 'model', 'list')[1])):
            self.skipTest('the model minilm is not here: scripts/fetch model')
        (self.data / 'model').write_text('minilm\n')
        stopped = self.doctor(expect=0)['encoding']
        self.assertEqual(stopped['state'], 'note')
        self.assertIn('weir serve', stopped['remedy'])
        with Server(data=self.data, model=True, env={'WEIR_THREADS': '1'}) as server:
            queued = lambda: int({c['name']: c for c in server.get('/api/doctor').json['checks']}['encoding']['text'].split(' items')[0])
            first = until(lambda: (lambda n: n if n < 1500 else None)(queued()), 90)
            until(lambda: queued() < first, 60)


if __name__ == '__main__':
    unittest.main()
