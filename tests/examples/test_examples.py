"""The attention library as others get it: installed into an empty prefix, found by find_package(weir), and the programs of examples/ built and run on it."""
import csv, os, pathlib, random, re, shutil, subprocess, tempfile, unittest

from weirtest import ROOT, need_shared

BUILD = pathlib.Path(os.environ.get('WEIR_BUILD') or ROOT / 'build')


def run(*words, **more):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=600, **more)
    if done.returncode:
        raise AssertionError(f'{" ".join(map(str, words))}: exit {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}')
    return done.stdout


class Examples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not (BUILD / 'libweir_attention.a').exists():
            raise unittest.SkipTest(f'no library in {BUILD}: scripts/build makes it')
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix='weir-examples.'))
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        cls.prefix = cls.dir / 'prefix'
        run('cmake', '--install', BUILD, '--component', 'attention', '--prefix', cls.prefix)
        run('cmake', '-S', ROOT / 'examples', '-B', cls.dir / 'build', f'-DCMAKE_PREFIX_PATH={cls.prefix}', '-G', 'Ninja')
        run('cmake', '--build', cls.dir / 'build', '-j2')

    def example(self, name, *words, **more):
        return run(self.dir / 'build' / name, *words, **more)

    def test_what_is_installed(self):
        files = sorted(p.relative_to(self.prefix).as_posix() for p in self.prefix.rglob('*') if p.is_file())
        self.assertIn('include/weir/attention/attention.h', files)
        self.assertEqual([f for f in files if f.startswith('bin/')], [], 'the component attention brings no program')
        self.assertEqual(len([f for f in files if f.endswith('.a')]), 1)
        for header in self.prefix.rglob('*.h'):   # nothing inside points out of the prefix
            for name in re.findall(r'#include "([^"]+)"', header.read_text()):
                self.assertTrue((self.prefix / 'include' / name).exists(), f'{header.name} includes {name}')

    def test_it_needs_the_language_alone(self):
        needs = run('readelf', '-d', self.dir / 'build/classifier')
        self.assertLessEqual(set(re.findall(r'NEEDED.*\[(\w+)', needs)), {'libstdc', 'libm', 'libgcc_s', 'libc', 'ld'})

    def test_another_version_is_refused(self):
        project = self.dir / 'newer'
        project.mkdir()
        (project / 'CMakeLists.txt').write_text('cmake_minimum_required(VERSION 3.25)\nproject(p CXX)\nfind_package(weir 7 REQUIRED)\n')
        done = subprocess.run(['cmake', '-S', project, '-B', project / 'build', f'-DCMAKE_PREFIX_PATH={self.prefix}'], capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('version: 0.1.0', done.stderr)

    def test_a_program_of_somebody_elses(self):
        """Every header by itself, without a warning, by both compilers, beside macros of the same names as ours inside; two files that include all."""
        project = self.dir / 'outside'
        project.mkdir()
        headers = sorted(p.relative_to(self.prefix / 'include').as_posix() for p in self.prefix.rglob('*.h'))
        self.assertEqual(headers, [f'weir/{h}.h' for h in ('attention/attention', 'base/executor', 'base/result', 'math/view', 'types/matrix')])
        for n, header in enumerate(headers):   # twice: it may be included again
            (project / f'h{n}.cc').write_text(f'#include <{header}>\n#include <{header}>\n')
        (project / 'main.cc').write_text('''#define TRY(x) mine
#define CHECK(x) mine
#include <weir/attention/attention.h>
#define fail_if(x) if (x) return 1
int more();
#undef TRY
#undef CHECK
#define TRY(x) mine
#define CHECK(x) mine
int main() {
  using namespace weir::attention;
  Array<float> x(3, 8);
  const auto seen = forward<float>({.heads = 2}, {}, {.q = x, .k = x, .v = x});
  fail_if(!seen || !backward<float>({.heads = 2}, {}, {.q = x, .k = x, .v = x}, *seen, seen->out));
  Array<double> wrong(3, 7);
  const auto refused = forward<double>({.heads = 2}, {}, {.q = wrong, .k = wrong, .v = wrong});
  fail_if(refused || refused.error().code != weir::Code::invalid);
  return more();
}
''')
        (project / 'more.cc').write_text('#include <weir/attention/attention.h>\nint more();\nint more() { return weir::attention::forms().size() == 10 ? 0 : 2; }\n')
        (project / 'CMakeLists.txt').write_text('''cmake_minimum_required(VERSION 3.25)
project(outside CXX)
set(CMAKE_NO_SYSTEM_FROM_IMPORTED ON)   # their headers' warnings, too
find_package(weir 0.1 REQUIRED)
file(GLOB sources *.cc)
add_executable(outside ${sources})
target_compile_options(outside PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Werror)
target_link_libraries(outside PRIVATE weir::attention)
''')
        for compiler in filter(shutil.which, ('g++', 'clang++-19')):
            with self.subTest(compiler=compiler):
                build = project / compiler
                run('cmake', '-S', project, '-B', build, f'-DCMAKE_PREFIX_PATH={self.prefix}', f'-DCMAKE_CXX_COMPILER={compiler}', '-G', 'Ninja')
                run('cmake', '--build', build, '-j2')
                run(build / 'outside')

    def test_ten_lines(self):
        for name in ('self_attention', 'additive'):
            with self.subTest(name=name):
                lines = (ROOT / f'examples/{name}.cc').read_text().split('int main')[1].strip().splitlines()
                self.assertLessEqual(len(lines), 10, 'all of main')

    def test_an_impossible_row_is_an_error(self):
        for row, words in (('z80', 'WEIR_CPU: WEIR_CPU=z80 is no CPU row'), ('neon' if os.uname().machine == 'x86_64' else 'avx2', 'cannot run on this machine')):
            done = subprocess.run([self.dir / 'build/self_attention'], capture_output=True, text=True, env=dict(os.environ, WEIR_CPU=row))
            self.assertEqual(done.returncode, 1)
            self.assertIn(words, done.stderr)
        self.example('self_attention', env=dict(os.environ, WEIR_CPU='scalar'))

    def looks(self, lines):
        """Rows "word  0.31 other  …": the queries and the weights of the three keys each looks at most."""
        rows = [re.fullmatch(r'  (\S+)((?:\s+[\d.]+ \S+)+)', line) for line in lines]
        self.assertTrue(all(rows), lines)
        return [m[1] for m in rows], [[float(w) for w in re.findall(r'([\d.]+) \S+', m[2])] for m in rows]

    def test_self_attention(self):
        out = self.example('self_attention', 'Rivers carry rain, 河 carries rain').splitlines()
        heads = [line for line in out if line.startswith('head ')]
        self.assertEqual(heads, [f'head {i}' for i in (1, 2, 3, 4)])
        seen = []
        for head in range(4):
            words, weights = self.looks(out[head * 7 + 1:head * 7 + 7])
            self.assertEqual(words, ['rivers', 'carry', 'rain', '河', 'carries', 'rain'])
            for row in weights:
                self.assertEqual(row, sorted(row, reverse=True))
                self.assertGreaterEqual(sum(row), 0.5 - 0.002)       # three of six, the greatest
                self.assertLessEqual(sum(row), 1.002)
            self.assertEqual(weights[2], weights[5], 'one word at two places, no positions: the same row')
            seen.append(weights)
        self.assertNotEqual(seen[0], seen[1])

    def test_additive(self):
        words, weights = self.looks(self.example('additive', 'where to', 'down to the sea').splitlines())
        self.assertEqual(words, ['where', 'to'])
        for row in weights:
            self.assertGreaterEqual(sum(row), 0.75 - 0.002)

    def accuracy(self, out):
        m = re.search(r'held out: (\d+) of (\d+) right', out)
        return int(m[1]) / int(m[2])

    def test_classifier(self):
        out = self.example('classifier', ROOT / 'examples/lines.txt', '--show', '35')
        self.assertIn('141 lines to learn from, 35 held out, 4 labels', out)
        self.assertGreaterEqual(self.accuracy(out), 0.7)   # 0.25 is chance; 141 lines are few
        drawn = re.findall(r'^(\w+), not (\w+), by ([+-][\d.]+)( \(wrong: \w+\))?:(.*) \| ([+-][\d.]+)$', out, re.M)
        self.assertEqual(len(drawn), 35)
        for first, second, margin, _, words, bias in drawn:   # the words' parts and the bias are the margin
            parts = [float(x) for x in re.findall(r'([+-]\d+\.\d\d)(?= |$)', words)]
            self.assertAlmostEqual(sum(parts) + float(bias), float(margin), delta=0.006 * (len(parts) + 2))
            self.assertNotEqual(first, second)
        self.assertTrue(any(re.search(r'[\u4e00-\u9fff]', d[4]) for d in drawn) and any(re.search(r'[a-z]{3}', d[4]) for d in drawn), 'both languages')
        self.assertNotIn('\033', out)
        losses = [float(x) for x in re.findall(r'loss ([\d.]+)', out)]
        self.assertLess(losses[-1], losses[0] / 4)
        self.assertEqual(out, self.example('classifier', ROOT / 'examples/lines.txt', '--show', '35'), 'the same seed, the same run')

    def test_every_pooling_learns(self):
        for form, heads in (('mean', 1), ('additive', 1), ('multi_head_pooling', 3)):
            with self.subTest(form=form):
                out = self.example('classifier', ROOT / 'examples/lines.txt', '--form', form, '--heads', heads, '--show', 2)
                self.assertGreaterEqual(self.accuracy(out), 0.65)

    def test_a_layer_lets_words_look_at_each_other(self):
        """No word alone says the label: "where c is a2 c4 h1 e2" is 4."""
        draw, file = random.Random(1), self.dir / 'recall.txt'
        with file.open('w') as lines:
            for _ in range(5000):
                keys, values, asked = draw.sample('abcdefgh', 4), [draw.choice('1234') for _ in range(4)], draw.randrange(4)
                lines.write(f'{values[asked]}\twhere {keys[asked]} is {" ".join(k + v for k, v in zip(keys, values))}\n')
        words = file, '--columns', 24, '--epochs', 8, '--hide', 0, '--show', 0
        self.assertGreaterEqual(self.accuracy(self.example('classifier', *words, '--layer', 'multi_head', '--layer-heads', 1)), 0.9)
        self.assertLessEqual(self.accuracy(self.example('classifier', *words)), 0.6)

    def test_mistakes_are_named(self):
        bad = self.dir / 'bad.txt'
        bad.write_text('no label here\n')
        for words, expected in ((['nowhere.txt'], 'nowhere.txt: no such file'), ([bad], f'{bad}:1: expected label<TAB>text'),
                                ([ROOT / 'examples/lines.txt', '--form', 'magic'], '--form or --layer: expected one of dot_pooling'), ([], 'expected a file'),
                                ([ROOT / 'examples/lines.txt', '--heads', '0'], 'expected at least 1 head')):
            done = subprocess.run([self.dir / 'build/classifier', *words], capture_output=True, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn(expected, done.stderr)

    def learn(self, rows, at_least):
        random.Random(1).shuffle(rows)
        file = self.dir / 'real.txt'
        file.write_text(''.join(f'{label}\t{" ".join(text.split())}\n' for label, text in rows))
        out = self.example('classifier', file, '--epochs', 4)
        print(out.splitlines()[0], '|', re.search('held out:.*', out)[0])
        self.assertGreaterEqual(self.accuracy(out), at_least)

    def test_english_news(self):
        with open(need_shared('ag_news') / 'ag_news/half_odd.csv', newline='') as file:
            self.learn([(row[0], ' '.join(row[1:])) for row in csv.reader(file)], 0.8)

    def test_chinese_titles(self):
        rows = []
        for file in sorted((need_shared('thucnews') / 'thucnews').glob('*.tsv')):
            rows += [tuple(reversed(line.split('\t'))) for line in file.read_text().splitlines() if re.fullmatch(r'.+\t\d+', line)]
        random.Random(2).shuffle(rows)
        self.learn(rows[:10000], 0.75)


if __name__ == '__main__':
    unittest.main()
