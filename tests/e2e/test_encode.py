"""`weir encode` on the real models: what it needs, and what it says when something is wrong."""
import json, os, pathlib, subprocess, sys, tempfile, threading, unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from weirtest import BIN, need_binary, weir  # noqa: E402

MODELS = pathlib.Path(os.environ.get('WEIR_MODELS') or pathlib.Path.home() / '.cache/weir/models')


def setUpModule():
    need_binary()


def need_model(name):
    if not (MODELS / name).exists():
        raise unittest.SkipTest(f'the model {name} is not here: weir model fetch {name}')


def line(**item):
    return json.dumps({'id': 'x', **item}, ensure_ascii=False) + '\n'


class Needs(unittest.TestCase):
    def test_memory_and_start(self):
        """Resident: 60 MB for minilm, 160 MB for e5-small, 2 MB more a thread; the first vector within 0.3 s (of CPU, and half again: a machine that is busy)."""
        for name, megabytes in (('minilm', 60), ('e5-small', 160)):
            need_model(name)
            with subprocess.Popen([BIN, 'encode', '--model', name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ, WEIR_THREADS='2')) as child:
                child.stdin.write(line(title='The first of all').encode())
                child.stdin.flush()
                self.assertEqual(len(json.loads(child.stdout.readline())['_weir']['vector']), 384)
                fields = pathlib.Path(f'/proc/{child.pid}/stat').read_text().rsplit(')', 1)[1].split()
                seconds = (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')
                def feed():
                    for n in range(64):
                        child.stdin.write(line(content_text=f'{n} ' + 'word ' * (1000 if n % 2 else 10)).encode())
                    child.stdin.flush()
                feeder = threading.Thread(target=feed)
                feeder.start()
                for _ in range(64):
                    child.stdout.readline()
                feeder.join()
                status = pathlib.Path(f'/proc/{child.pid}/status').read_text()
                resident = int(status.split('VmRSS:')[1].split()[0]) / 1000
                child.stdin.close()
                self.assertEqual(child.wait(), 0)
            print(f'{name}: first vector after {seconds:.2f} s of CPU, {resident:.1f} MB resident with two threads')
            self.assertLessEqual(resident, megabytes + 4)
            self.assertLessEqual(seconds, 0.45)


class Wrong(unittest.TestCase):
    def refused(self, *words, exit=1, env=None, stdin=''):
        code, out, err = weir('--json', *words, stdin=stdin, check=False, env=env)
        self.assertEqual((code, out), (exit, ''), err)
        return json.loads(err.splitlines()[-1])['error']

    def test_rows_of_kernels(self):
        """An impossible CPU row is a clear error wherever rows are used."""
        for words in (['encode', '--model', 'minilm'], ['rank'], ['bench', 'kernels'], ['bench', 'attention'], ['bench', 'encode']):
            error = self.refused(*words, exit=2, env={'WEIR_CPU': 'z80'})
            self.assertEqual((error['code'], error['where']), ('invalid', 'WEIR_CPU'))
            self.assertIn('WEIR_CPU=z80 is no CPU row', error['message'])
            self.assertIn('avx2', error['remedy'])
        error = self.refused('encode', '--model', 'minilm', exit=2, env={'WEIR_CPU': 'neon' if os.uname().machine == 'x86_64' else 'avx2'})
        self.assertIn('cannot run on this machine', error['message'])

    def test_models(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            self.assertEqual(self.refused('encode', '--model', folder)['code'], 'not_found')
            (folder / 'config.json').write_text('{"model_type":"gpt2","n_embd":768}')
            error = self.refused('encode', '--model', folder)
            self.assertEqual((error['code'], error['where']), ('refused', str(folder / 'config.json')))
            self.assertIn('expected bert or distilbert, found gpt2', error['message'])
            (folder / 'config.json').write_bytes(b'{"model_type":"b\xffrt"}')
            self.assertEqual(self.refused('encode', '--model', folder)['code'], 'malformed')
            (folder / 'config.json').unlink()
            (folder / 'model.bin').write_bytes(b'GGUF' + bytes(100))
            error = self.refused('encode', '--model', folder)
            self.assertEqual((error['code'], error['where']), ('corrupt', str(folder / 'model.bin')))
            self.assertIn('expected the first bytes to be E5S1, found 47475546', error['message'])
            error = self.refused('model', 'fetch', 'e5-small', '--from', folder / 'model.bin', env={'WEIR_MODELS': name + '/models'})
            self.assertIn('expected 71622400 bytes, found 104', error['message'])
            error = self.refused('encode', '--model', 'e5-small', env={'WEIR_MODELS': name + '/models'})
            self.assertIn('weir model fetch e5-small', error['remedy'])
        self.assertIn('no model is named', self.refused('encode', '--model', 'gpt2')['message'])
        self.assertEqual(self.refused('encode', '--model', 'minilm', '--precision', 'int4', exit=2)['where'], '--precision')

    def test_input(self):
        need_model('minilm')
        self.assertEqual(weir('encode', '--model', 'minilm', stdin='')[1], '')  # an empty batch
        code, out, err = weir('encode', '--model', 'minilm', stdin=line(title='') + line(title=' \n') + line(title='a'))
        self.assertEqual(['vector' in json.loads(row)['_weir'] for row in out.splitlines()], [False, False, True])
        done = subprocess.run([BIN, '--json', 'encode', '--model', 'minilm'], input=b'{"id":"1","title":"one"}\n{"id":"2","title":"t\xffwo"}\n[]\n{"id":"3","title":"three"}\n', capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertEqual([json.loads(row)['id'] for row in done.stdout.splitlines()], ['1', '3'])
        reported = [json.loads(row)['error'] for row in done.stderr.splitlines()]
        self.assertEqual(len(reported), 2, reported)
        self.assertIn('2', reported[0]['where'])
        self.assertIn('3', reported[1]['where'])


if __name__ == '__main__':
    unittest.main()
