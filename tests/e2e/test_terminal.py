"""The terminal itself: completion in the three shells, help with examples, and Ctrl-C in the middle of what takes long: no half line, no half file, nothing lost."""
import json, os, pathlib, pty, re, select, shlex, shutil, signal, subprocess, tempfile, time, unittest

import weirtest
from weirtest import Server, need_binary, until, weir

COMMANDS = 'serve add import export fetch list read why like dislike star search sources user token model backup restore doctor bench parse encode rank'.split()
RSS = '<rss version="2.0"><channel><title>T</title>%s</channel></rss>'
ROW = '<item><guid isPermaLink="false">%d</guid><title>title %d</title><description>&lt;p&gt;%s&lt;/p&gt;</description></item>'


def setUpModule():
    need_binary()


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix='weir-terminal.'))
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.data = self.folder / 'dir'


class Completion(Folder):
    """A real shell at a real terminal: what is typed, a tab, and what the command then got."""
    SHELLS = {'bash': ("weir() { local IFS='|'; echo \"<<$*>>\"; }\nPS1='READY'\n", ['bash', '--rcfile', '{rc}', '-i']),
              'zsh from its folder': ("weir() { echo \"<<${(j:|:)@}>>\"; }\nPS1='READY'\nunsetopt zle_bracketed_paste 2>/dev/null\nfpath=($HOME/site $fpath)\nautoload -U compinit && compinit -u\n", ['zsh', '-i']),
              'zsh': ("weir() { echo \"<<${(j:|:)@}>>\"; }\nPS1='READY'\nunsetopt zle_bracketed_paste 2>/dev/null\n", ['zsh', '-i']),
              'fish': ("function weir; echo '<<'(string join '|' -- $argv)'>>'; end\nfunction fish_prompt; echo READY; end\n", ['fish', '--no-config', '-i', '-C', 'source {rc}'])}
    TYPED = [('weir tok\t', 'token'), ('weir token n\t', 'token|new'), ('weir token new --sc\t', 'token|new|--scope'), ('weir list --order ne\t', 'list|--order|newest'), ('weir search --order rel\t', 'search|--order|relevance'),
             ('weir --data /x sear\t', '--data|/x|search'), ('weir sources edit --keep\t', 'sources|edit|--keep-days'), ('weir sources ke\t', 'sources|keep'), ('weir sources keep --st\t', 'sources|keep|--starred-days'), ('weir completion z\t', 'completion|zsh'), ('weir parse feeds-of\t', 'parse|feeds-of-today.xml'),
             ('weir user add ann --password-file sec\t', 'user|add|ann|--password-file|secret.txt'), ('weir nothing-of-the-kin\t', 'nothing-of-the-kin')]

    def completed(self, shell):
        before, command = self.SHELLS[shell]
        script = weir('completion', shell.split()[0])[1]
        rc = self.folder / ('.zshrc' if shell.startswith('zsh') else 'rc')
        rc.write_text(before + script if ' ' not in shell else before)
        (self.folder / 'site').mkdir(exist_ok=True)
        (self.folder / 'site/_weir').write_text(script)  # where the package has it
        for name in ('feeds-of-today.xml', 'secret.txt'):
            (self.folder / name).write_text('x')
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(self.folder)
            env = dict(os.environ, TERM='xterm', HOME=str(self.folder), ZDOTDIR=str(self.folder), XDG_CONFIG_HOME=str(self.folder), XDG_DATA_HOME=str(self.folder), HISTFILE='')
            os.execvpe(command[0], [word.format(rc=rc) for word in command], env)
        seen = ''

        def wait(pattern, begin):
            nonlocal seen
            end = time.monotonic() + 20
            while not re.search(pattern, seen[begin:]):
                left = end - time.monotonic()
                self.assertGreater(left, 0, f'{shell}: no {pattern} in {seen[begin:]!r}')
                if select.select([terminal], [], [], left)[0]:
                    seen += os.read(terminal, 4096).decode(errors='replace')
            return re.search(pattern, seen[begin:])
        got = []
        try:
            wait('READY', 0)
            for typed, _ in self.TYPED:
                begin = len(seen)
                os.write(terminal, typed.encode())
                time.sleep(0.15)
                os.write(terminal, b'\r')
                got.append(wait(r'<<(.*?)>>[\s\S]*READY', begin)[1])
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(terminal)
        return got

    def test_each_shell(self):
        for shell in self.SHELLS:
            with self.subTest(shell=shell):
                if not shutil.which(shell.split()[0]):
                    self.skipTest(f'{shell} is not installed')
                self.assertEqual(self.completed(shell), [wanted for _, wanted in self.TYPED])

    def test_fish_shows_what_each_is(self):
        if not shutil.which('fish'):
            self.skipTest('fish is not installed')
        (self.folder / 'weir.fish').write_text(weir('completion', 'fish')[1])
        asked = lambda line: subprocess.run(['fish', '--no-config', '-c', f'source {self.folder}/weir.fish; complete -C {shlex.quote(line)}'], capture_output=True, text=True, cwd=self.folder,
                                            env=dict(os.environ, HOME=str(self.folder), XDG_CONFIG_HOME=str(self.folder), XDG_DATA_HOME=str(self.folder))).stdout.splitlines()
        self.assertEqual(dict(line.split('\t') for line in asked('weir token '))['list'], 'Your tokens, without their secrets')
        self.assertEqual({line.split('\t')[0] for line in asked('weir token ')}, {'new', 'list', 'remove'}, 'and no files')
        self.assertIn('--keep-days', [line.split('\t')[0] for line in asked('weir sources edit --')])
        self.assertLessEqual(set(COMMANDS), {line.split('\t')[0] for line in asked('weir ')})


class Help(unittest.TestCase):
    def test_every_command_has_examples_that_are_true(self):
        general = weir('--help')[1]
        for command in COMMANDS:
            with self.subTest(command=command):
                text = weir(command, '--help')[1]
                self.assertIn('Examples:\n', text)
                self.assertIn('Exit codes', text)
                shown = text.split('Examples:\n')[1].split('\n\n')[0]
                self.assertIn(f'weir', shown)
                for line in shown.splitlines():
                    self.assertLessEqual(len(line), 130)
                    inner = re.search(rf'weir {command} ([a-z]+)', line)
                    known = text + general + (weir(command, inner[1], '--help', check=False)[1] if inner else '')
                    for option in re.findall(r'(?<=\s)--[a-z-]+', line):
                        self.assertIn(option, known, line)
        for words in (['token', 'new'], ['sources', 'edit'], ['user', 'add'], ['model', 'fetch'], ['bench', 'parse']):
            self.assertIn('Options:', weir(*words, '--help')[1])


class CtrlC(Folder):
    """As a terminal sends it: to the whole process group."""

    def begin(self, *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=None):
        heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell without a terminal starts what is in its background deaf to it, and so all below
        process = subprocess.Popen([weirtest.BIN, '--data', self.data, *map(str, words)], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=heard, env=dict(os.environ, **(env or {})))
        self.addCleanup(lambda: (process.poll() is None and process.kill(), process.wait(), [pipe.close() for pipe in (process.stdin, process.stdout, process.stderr) if pipe]))
        return process

    def interrupt(self, process, within=5):
        os.killpg(process.pid, signal.SIGINT)
        began = time.monotonic()
        code = process.wait(within)
        self.assertLess(time.monotonic() - began, within)
        return code

    def whole_lines(self, data):
        self.assertTrue(data.endswith(b'\n'), data[-80:])
        return [json.loads(line) for line in data.splitlines()]

    def test_parse_of_a_folder(self):
        text = 'word ' * 400
        for n in range(8):
            (self.folder / f'{n}.xml').write_text(RSS % ''.join(ROW % (k, k, text) for k in range(300)))
        names = [self.folder / f'{n}.xml' for n in range(8)] * 100
        for pause in (0.1, 0.25):
            out = self.folder / 'out.jsonl'
            with open(out, 'wb') as file:
                process = self.begin('parse', *names, stdout=file)
                until(lambda: out.stat().st_size > 0)
                time.sleep(pause)
                self.assertEqual(self.interrupt(process), -signal.SIGINT, 'a loop in a shell ends too')
            documents = self.whole_lines(out.read_bytes())
            self.assertLess(len(documents), len(names))
            self.assertTrue(all(len(d['items']) == 300 for d in documents), 'and no parser was taken along')
        process = self.begin('parse', *names)  # into a pipe that is read late: the line that waits is still whole
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        self.whole_lines(process.stdout.read())
        self.assertEqual(process.wait(5), -signal.SIGINT)

    def test_a_second_one_ends_it_at_once(self):
        (self.folder / 'a.xml').write_text(RSS % ''.join(ROW % (k, k, 'word ' * 400) for k in range(300)))
        process = self.begin('parse', *[self.folder / 'a.xml'] * 50)
        time.sleep(0.3)  # the pipe is full, and nobody reads
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.1)
        self.assertIsNone(process.poll())
        self.assertEqual(self.interrupt(process), -signal.SIGINT)

    def test_filters_that_wait_for_input(self):
        for words in (['guard', 'scan'], ['rank'], ['encode', '--model', self.tiny()] if self.tiny() else ['guard', 'scan']):
            with self.subTest(words=words):
                process = self.begin('--no-model', *words, stdin=subprocess.PIPE)
                process.stdin.write(b'{"id":"1","title":"one"}\n{"id":"2","title":"two"}\n{"id":"3","ti')
                process.stdin.flush()
                if words[0] != 'rank':
                    self.assertEqual([json.loads(process.stdout.readline())['id'] for _ in range(2)], ['1', '2'])
                else:
                    time.sleep(0.3)
                code = self.interrupt(process)
                rest = process.stdout.read()
                self.assertEqual(code, -signal.SIGINT)
                self.assertEqual(rest, b'', 'of the line that was cut nothing; a ranking of some is none')

    def tiny(self):
        code, out, _ = weir('--json', 'model', 'list')
        return next((m['name'] for m in json.loads(out) if m['here']), None)

    def test_encode_in_the_middle(self):
        if not self.tiny():
            self.skipTest('no model is here: scripts/fetch model')
        lines = ''.join(json.dumps({'id': str(n), 'title': f'title {n}', 'content_text': 'the reader chooses what to read ' * 20}) + '\n' for n in range(20_000))
        (self.folder / 'items.jsonl').write_text(lines)
        out = self.folder / 'out.jsonl'
        with open(out, 'wb') as file:
            process = self.begin('encode', '--model', self.tiny(), self.folder / 'items.jsonl', stdout=file)
            until(lambda: out.stat().st_size > 0, 60)
            self.assertEqual(self.interrupt(process, 20), -signal.SIGINT)
        done = self.whole_lines(out.read_bytes())
        self.assertEqual([d['id'] for d in done], [str(n) for n in range(len(done))])
        self.assertLess(len(done), 20_000)
        self.assertTrue(all(d['_weir']['vector'] for d in done))

    def opml(self, n):
        file = self.folder / 'large.opml'
        file.write_text('<opml version="2.0"><body>' + ''.join(f'<outline type="rss" text="feed {k}" xmlUrl="http://127.0.0.1:9/{k}"/>' for k in range(n)) + '</body></opml>')
        return file

    def test_import(self):
        file, seen = self.opml(20_000), set()
        for pause in (0.05, 0.3, 0.6, 0.9):
            process = self.begin('--no-model', '--json', 'import', file)
            try:
                process.wait(pause)
            except subprocess.TimeoutExpired:
                self.interrupt(process)
            if (self.data / 'weir.db').exists():
                code, out, err = weir('--no-model', '--json', 'sources', data=self.data, check=False)
                seen.add(len(json.loads(out)['sources']) if code == 0 else 0)
        self.assertTrue(all(n % 500 == 0 for n in seen), f'whole transactions: {seen}')
        report = json.loads(weir('--no-model', '--json', 'import', file, data=self.data)[1])
        self.assertEqual(report['added'] + report['known'], 20_000)
        self.assertEqual(len(json.loads(weir('--no-model', '--json', 'sources', data=self.data)[1])['sources']), 20_000)
        thorough = json.loads(weir('--no-model', '--json', 'doctor', '--thorough', data=self.data)[1])['checks']
        self.assertIn('the database is whole', [one['text'] for one in thorough])

    def filled(self):
        weir('--no-model', 'user', 'add', 'ann', data=self.data)
        text = ' '.join(f'word{k}' for k in range(400))
        for part in range(4):
            (self.folder / f'{part}.xml').write_text(RSS.replace('>T<', f'>T{part}<') % ''.join(ROW % (part * 1000 + k, k, f'{k} {text}') for k in range(1000)))
            weir('--no-model', 'import', self.folder / f'{part}.xml', data=self.data)

    def test_backup_and_restore(self):
        self.filled()
        target, caught = self.folder / 'copy', 0
        for _ in range(12):
            process = self.begin('--no-model', 'backup', target)
            part = self.folder / 'copy.part'
            while process.poll() is None and not part.exists() and not target.exists():
                pass
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            caught += process.wait(10) == -signal.SIGINT
            self.assertFalse(part.exists(), 'nothing half-written')
            if target.exists():  # then it is whole
                shutil.rmtree(self.folder / 'back', True)
                weir('restore', target, data=self.folder / 'back')
                target.unlink()
        self.assertTrue(caught, 'not once in the middle')
        weir('--no-model', 'backup', target, data=self.data)
        caught, self.data = 0, self.folder / 'again'
        for _ in range(12):
            process = self.begin('restore', target)
            while process.poll() is None and not (self.data / 'weir.db.part').exists():
                pass
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            caught += process.wait(10) == -signal.SIGINT
            self.assertFalse((self.data / 'weir.db.part').exists(), 'nothing half-written')
            if (self.data / 'weir.db').exists():
                self.assertEqual(len(json.loads(weir('--no-model', '--json', 'list', '--limit', '1000', data=self.data)[1])['items']), 1000)
                shutil.rmtree(self.data)
        self.assertTrue(caught, 'not once in the middle')

    def test_fetch_and_add_of_what_hangs(self):
        import socket
        with socket.create_server(('127.0.0.1', 0)) as silent:
            url = f'http://127.0.0.1:{silent.getsockname()[1]}/feed'
            process = self.begin('--no-model', 'add', '--allow-net', '127.0.0.0/8', url)
            open_still = silent.accept()[0]
            open_still.recv(100)
            self.assertEqual(self.interrupt(process), -signal.SIGINT)
            open_still.close()
            self.assertEqual(json.loads(weir('--no-model', '--json', 'sources', data=self.data)[1])['sources'], [])
            (self.folder / 'one.opml').write_text(f'<opml version="2.0"><body><outline type="rss" text="o" xmlUrl="{url}"/></body></opml>')
            weir('--no-model', 'import', self.folder / 'one.opml', data=self.data)
            before = weir('--no-model', '--json', 'sources', data=self.data)[1]
            process = self.begin('--no-model', 'fetch', '--allow-net', '127.0.0.0/8')
            open_still = silent.accept()[0]
            open_still.recv(100)
            self.assertEqual(self.interrupt(process), -signal.SIGINT)
            self.assertEqual(weir('--no-model', '--json', 'sources', data=self.data)[1], before)
            open_still.close()

    def test_model_fetch(self):
        source = pathlib.Path(os.environ.get('WEIR_MODELS') or pathlib.Path.home() / '.cache/weir/models') / 'e5-small'
        if not source.exists():
            self.skipTest('no model is here: scripts/fetch model')
        env = {'WEIR_MODELS': str(self.folder / 'models')}
        there = lambda: [m['here'] for m in json.loads(weir('--json', 'model', 'list', env=env)[1]) if m['name'] == 'e5-small'][0]
        for pause in (0.02, 0.1):
            process = self.begin('model', 'fetch', 'e5-small', '--from', source, env=env)
            time.sleep(pause)
            if process.poll() is None:
                self.interrupt(process)
            self.assertEqual(there(), (self.folder / 'models/e5-small').exists(), 'all of it or nothing')
        weir('model', 'fetch', 'e5-small', '--from', source, env=env)
        self.assertTrue(there())
        self.assertEqual([file.name for file in (self.folder / 'models').iterdir()], ['e5-small'])


class FirstSteps(Folder):
    """Commands that find nothing yet do what serve would do first; one that fails leaves nothing behind."""

    def test_import_before_the_first_start(self):
        self.assertIn('42 sources added', weir('--no-model', 'import', '--starter', data=self.data)[2])
        self.assertIn('reader', weir('--no-model', 'user', 'list', data=self.data)[1])
        for starts in range(2):
            with Server(data=self.data) as server:
                self.assertEqual(len(server.get('/api/sources').json['sources']), 42)
                until(lambda: starts or 'sign in, once' in ''.join(server.errors))  # the first start has a way in, the others say nothing of it
            self.assertEqual(''.join(server.errors).count('/login?link='), 1 - starts)

    def test_a_user_without_a_password_is_not_made(self):
        short = self.folder / 'short'
        short.write_text('abc\n')
        for file in (short, self.folder / 'absent'):
            for words in (['user', 'add', 'ann', '--password-file', file], ['serve', '--listen', '127.0.0.1:0', '--set-password', f'ann={file}']):
                code, out, err = weir('--no-model', '--json', *words, data=self.data, check=False)
                self.assertNotEqual(code, 0)
                error = json.loads(err.splitlines()[-1])['error']
                self.assertTrue(error['message'] and error['where'] and error['remedy'], error)
        weir('--no-model', 'user', 'add', 'bo', data=self.data)
        self.assertNotIn('ann', weir('--no-model', 'user', 'list', data=self.data)[1])
        with Server(data=self.data) as server:
            for file in (short, self.folder / 'absent'):
                self.assertNotEqual(weir('user', 'add', 'ann', '--password-file', file, data=self.data, check=False)[0], 0)
            self.assertEqual(len(server.get('/api/users').json['users']), 1)

    def test_a_restored_database_is_not_changed_by_the_log_of_another(self):
        """After a crash: the broken file is moved away, as the message says, its log stays, the backup comes back."""
        server = Server(data=self.data).start()
        source = server.post('/api/sources', {'push': True, 'title': 'p'}).json['id']
        server.post(f'/api/sources/{source}/items', [{'id': 'a', 'title': 'one'}])
        weir('backup', self.folder / 'copy', data=self.data)
        for n in range(40):
            server.post(f'/api/sources/{source}/items', [{'id': f'b{n}', 'title': f'later {n}'}])
        server.kill()
        self.assertGreater((self.data / 'weir.db-wal').stat().st_size, 0)
        (self.data / 'weir.db').rename(self.data / 'broken.db')
        weir('restore', self.folder / 'copy', data=self.data)
        items = json.loads(weir('--no-model', '--json', 'list', '--state', 'all', data=self.data)[1])['items']
        self.assertEqual([item['id'] for item in items], ['a'])
        self.assertIn('the database is whole', weir('--no-model', 'doctor', '--thorough', data=self.data)[1])
        self.assertTrue((self.data / 'weir.db-wal.old').exists(), 'what belongs to the other one is kept')


if __name__ == '__main__':
    unittest.main()
