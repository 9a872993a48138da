#!/usr/bin/env python3
"""tests/run.py [--all] [--step=ok|FAIL:SECONDS:NAME]… [WORD…]: runs every test there is, two programs at a time, and closes with "N passed, N failed,
N skipped" alone on a line. A step is what scripts/test did before, counted as one test.

What is a test: every gtest program of the two builds, every fuzz target's replay of its corpus, tests/*/test_*.py (unittest), **/*.test.mjs and *.test.js
(node's own runner), and the lints. A program prints one line when it ends; what it printed itself is shown when it failed. A skip shows its reason.

WEIR_LONG=1 runs them at their full length. --all does so, and runs more: the unit tests built by clang; those of engine, store, http and of pools and the
server's own under ThreadSanitizer; a minute of libFuzzer a target (WEIR_FUZZ_SECONDS; an input that crashes stays in build-fuzz/found/); clang-tidy; the
neon kernels under emulation; scripts/test on a bare Debian. It prints a line a part, with the seconds that its programs took together.
"""
import functools, json, os, pathlib, re, shutil, subprocess, sys, tempfile, time, traceback
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get('WEIR_CACHE') or pathlib.Path.home() / '.cache' / 'weir')
NODE = str(CACHE / 'deps/node/bin/node') if (CACHE / 'deps/node/bin/node').exists() else shutil.which('node')
# A home and a temporary folder of the run's own, which go when it ends: what a browser or a test leaves behind is in them.
HOME = tempfile.TemporaryDirectory(prefix='weir-run.', ignore_cleanup_errors=True)
os.chmod(HOME.name, 0o755)  # some tests run as another user
# Sandbox limits, vector kernels and seconds of CPU mean something only without a sanitizer: these run from the release build too.
RELEASE_TOO = ('ingest', 'html', 'math', 'encode', 'attention')
# What has threads, for ThreadSanitizer (scripts/test builds these). Not encode: two models under it take more than half an hour; its pool is engine's.
THREADED = ('base', 'engine', 'http', 'store')
ENV = dict(os.environ, WEIR_BIN=str(ROOT / 'build/weir'), WEIR_BUILD=str(ROOT / 'build'), WEIR_ROOT=str(ROOT), PYTHONPATH=str(ROOT / 'tests'), NO_COLOR='1',
           ASAN_OPTIONS='detect_stack_use_after_return=0:allocator_may_return_null=1', UBSAN_OPTIONS='print_stacktrace=1', NODE_PATH=str(CACHE / 'deps/node_modules'),
           HOME=HOME.name, TMPDIR=HOME.name, WEIR_CACHE=str(CACHE), WEIR_MODELS=os.environ.get('WEIR_MODELS') or str(CACHE / 'models'),
           CCACHE_DIR=os.environ.get('CCACHE_DIR') or str(CACHE / 'ccache'), PYTHONDONTWRITEBYTECODE='1')
for name in ('XDG_DATA_HOME', 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME'):
    ENV.pop(name, None)
COLOUR = sys.stdout.isatty() and 'NO_COLOR' not in os.environ


class Outcome:
    def __init__(self):
        self.passed, self.failed, self.skips, self.text = 0, 0, [], ''


def run(command, limit, **more):
    limit *= 4 if ENV.get('WEIR_LONG') else 1
    try:
        done = subprocess.run(command, cwd=ROOT, env={k: v for k, v in dict(ENV, **more).items() if v is not None}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors='replace', timeout=limit)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        out = late.stdout.decode(errors='replace') if isinstance(late.stdout, bytes) else late.stdout or ''
        return 124, f'{out}\nstopped after {limit} s'


def gtest(program, limit=2400, **env):
    out = Outcome()
    with tempfile.NamedTemporaryFile(suffix='.json') as report:
        code, out.text = run([program, f'--gtest_output=json:{report.name}', '--gtest_brief=1'], limit, **env)
        try:
            suites = json.loads(pathlib.Path(report.name).read_text() or '{}').get('testsuites', [])
        except ValueError:
            suites = []
    reasons = iter(re.findall(r': Skipped\n(.*)', out.text))   # gtest 1.12 leaves them out of its JSON
    for suite in suites:
        for case in suite['testsuite']:
            name = f"{suite['name']}.{case['name']}"
            if case.get('failures'):
                out.failed += 1
            elif case.get('result') == 'SKIPPED':
                out.skips.append((name, next(reasons, '')))
            elif case.get('status') == 'RUN':
                out.passed += 1
    if code and not out.failed:
        out.failed += 1
    if out.failed:  # what failed, not what was skipped
        out.text = re.sub(r'.*: Skipped\n.*\n+', '', out.text)
    return out


def unittest_file(file, limit=1500, **env):
    out = Outcome()
    with tempfile.NamedTemporaryFile(suffix='.json') as report:
        code, out.text = run([sys.executable, ROOT / 'tests/unittest_json.py', file, report.name], limit, **env)
        try:
            data = json.loads(pathlib.Path(report.name).read_text() or '{}')
        except ValueError:
            data = {}
    out.passed, out.failed, out.skips = data.get('passed', 0), data.get('failed', 0), [tuple(s) for s in data.get('skipped', [])]
    if code and not out.failed:
        out.failed = 1
    return out


def node_test(file, limit=900):
    out = Outcome()
    code, out.text = run([NODE, '--test', '--test-reporter=tap', file], limit)
    for line in out.text.splitlines():
        match = re.match(r'\s*(not )?ok \d+ - (.*)', line)
        if not match or re.match(r'.*\.(mjs|js)$', match[2].split(' # ')[0].strip()):
            continue
        if ' # SKIP' in line:
            out.skips.append((match[2].split(' # ')[0], line.split('# SKIP', 1)[1].strip()))
        elif match[1]:
            out.failed += 1
        else:
            out.passed += 1
    if out.failed:  # what failed, not what came last
        out.text = '\n'.join(re.findall(r'^ *not ok .*(?:\n(?! *(?:not )?ok ).*)*', out.text, re.M)) or out.text
    if code and not out.failed:
        out.failed = 1
    return out


def command(words, limit=600, **env):
    out = Outcome()
    code, out.text = run(words, limit, **env)
    if code == 77:                               # what a script that cannot run here ends with; its last line says why
        out.skips = [(pathlib.Path(words[0]).name, (out.text.strip().splitlines() or [''])[-1])]
    elif code == 0:
        out.passed = 1
    else:
        out.failed = 1
    return out


def thread_sanitized(test, argument):
    """A test under ThreadSanitizer: what it reports fails, also that of a server which the test only talks to."""
    with tempfile.TemporaryDirectory(prefix='weir-tsan.') as folder:
        out = test(argument, WEIR_BIN=str(ROOT / 'build-tsan/weir'), WEIR_BUILD=str(ROOT / 'build-tsan'), WEIR_LONG=None,
                   TSAN_OPTIONS=f'halt_on_error=0:exitcode=66:log_path={folder}/report')
        for report in sorted(pathlib.Path(folder).iterdir()):
            out.failed += 1
            out.text += report.read_text(errors='replace')[:8000]
    return out


def fuzz(program):
    """libFuzzer from our corpus on, for a while; what it finds new is not kept, what crashes is. (Its own exit code for a crash is 77, a skip's.)"""
    name, seconds = program.name.removeprefix('weir_').removesuffix('_fuzz'), int(os.environ.get('WEIR_FUZZ_SECONDS') or 60)
    found = ROOT / 'build-fuzz/found'
    found.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='weir-fuzz.') as corpus:
        return command([program, f'-max_total_time={seconds}', '-error_exitcode=1', '-timeout=20', '-rss_limit_mb=2500', '-max_len=65536', '-print_final_stats=1', f'-artifact_prefix={found}/{name}-',
                        corpus, ROOT / 'fuzz/corpus' / name], seconds + 120)


def executables(folder, pattern):
    return sorted(p for p in (ROOT / folder).rglob(pattern) if p.is_file() and os.access(p, os.X_OK))


def long_jobs():
    """What only --all runs, from the builds that it makes."""
    sanitized = functools.partial(functools.partial, thread_sanitized)
    usual = functools.partial(gtest, WEIR_LONG=None)  # the sanitizers' build runs them at full length
    found = [(f'clang {file.name}', usual, file, False) for file in executables('build-clang', 'weir_*_test')]
    found += [(f'tsan {file.name}', sanitized(gtest), file, False) for file in executables('build-tsan', 'weir_*_test') if file.name[5:-5] in THREADED]
    if (ROOT / 'build-tsan/weir').exists():
        found += [(f'tsan {file.relative_to(ROOT)}', sanitized(unittest_file), file, False) for file in sorted((ROOT / 'tests/http').glob('test_*.py'))]
    found += [(f'fuzz {file.name}', fuzz, file, False) for file in executables('build-fuzz/fuzz', '*_fuzz')]
    return found + [('scripts/check-tidy', lambda _: command([ROOT / 'scripts/check-tidy'], 3600), None, False),
                    ('scripts/check-neon', lambda _: command([ROOT / 'scripts/check-neon']), None, False),
                    ('scripts/test-bare', lambda _: command([ROOT / 'scripts/test-bare'], 2 * 3600, HOME=str(pathlib.Path.home()), WEIR_LONG=None), None, True)]


def part(name):
    """What a job's line is summed under: its build, its folder, or the script that it is."""
    return name if name.startswith('scripts/') else name.split()[0] if ' ' in name else name.rpartition('/')[0]


def jobs(everything):
    """(name, function, argument, exclusive): long ones first, so that two workers end together."""
    found = long_jobs() if everything else []
    for file in sorted((ROOT / 'tests').glob('*/test_*.py')):
        found.append((file.relative_to(ROOT).as_posix(), unittest_file, file, 'perf' in file.name))
    for file in sorted((ROOT / 'tests').glob('*/*.test.mjs')) + sorted((ROOT / 'src/ui').glob('**/*.test.*js')):
        if 'node_modules' not in file.parts:
            found.append((file.relative_to(ROOT).as_posix(), node_test, file, 'budget' in file.name))
    for file in executables('build-asan', 'weir_*_test'):
        found.append((f'asan {file.name}', gtest, file, False))
    for file in executables('build', 'weir_*_test'):
        if file.name[5:-5] in RELEASE_TOO:
            found.append((f'release {file.name}', gtest, file, False))
    for file in executables('build-asan/fuzz', '*_fuzz'):
        found.append((f'replay {file.name}', lambda f: command([f, ROOT / 'fuzz/corpus' / f.name.removesuffix('_fuzz')]), file, False))
    for lint in ('check-includes', 'check-sockets', 'check-format'):
        if (ROOT / 'scripts' / lint).exists():
            found.append((f'scripts/{lint}', lambda l: command([ROOT / 'scripts' / l]), lint, False))
    return found


def main(arguments):
    everything = '--all' in arguments
    if everything:
        ENV['WEIR_LONG'] = '1'
    words = [a for a in arguments if not a.startswith('-')]
    todo = [job for job in jobs(everything) if not words or any(word in job[0] for word in words)]
    total, began, skips, broken, parts = Outcome(), time.monotonic(), [], [], {}

    def one(job):
        name, function, argument, _ = job
        t0 = time.monotonic()
        try:
            out = function(argument)
        except Exception:  # of one that cannot be run at all the others are not the worse
            out = Outcome()
            out.failed, out.text = 1, traceback.format_exc()
        seconds = time.monotonic() - t0
        mark = 'FAIL' if out.failed else 'ok  '
        if COLOUR:
            mark = f'\033[3{1 if out.failed else 2}m{mark}\033[0m'
        print(f'{mark} {name}: {out.passed} passed' + (f', {out.failed} failed' if out.failed else '') +
              (f', {len(out.skips)} skipped' if out.skips else '') + f' ({seconds:.1f} s)', flush=True)
        if out.failed:
            print('\n'.join('    ' + line for line in out.text.splitlines()[-60:]), flush=True)
        return name, out, seconds

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(one, [job for job in todo if not job[3]]))
    results += [one(job) for job in todo if job[3]]          # those that measure have the machine to themselves
    for step in reversed([a.removeprefix('--step=') for a in arguments if a.startswith('--step=')]):
        mark, seconds, name = step.split(':', 2)
        out = Outcome()
        out.passed, out.failed = (1, 0) if mark == 'ok' else (0, 1)
        results.insert(0, (f'step {name}', out, float(seconds)))
    for name, out, seconds in results:
        sums = parts.setdefault(name if name.startswith('step ') else part(name), [0, 0, 0, 0.0])
        for i, more in enumerate((out.passed, out.failed, len(out.skips), seconds)):
            sums[i] += more
        total.passed += out.passed
        total.failed += out.failed
        skips += [(f'{name}: {case}', reason) for case, reason in out.skips]
        broken += [name] if out.failed else []
    allowed = [line.strip() for line in (ROOT / 'tests/allowed-skips').read_text().splitlines() if line.strip() and not line.startswith('#')]
    for name, reason in skips:
        print(f'skip {name}: {reason}')
        if os.environ.get('CI') == 'true' and not any(text in reason for text in allowed):
            print(f'FAIL {name}: this reason to skip is not in tests/allowed-skips: {reason}')
            total.failed += 1
    if not results:
        print('no test has such a name')
        total.failed += 1
    if everything:
        for name, (passed, failed, skipped, seconds) in parts.items():
            print(f'part {name}: {passed} passed, {failed} failed, {skipped} skipped, {seconds:.0f} s')
    if broken:
        print('failed: ' + ', '.join(broken))
    print(f'after {time.monotonic() - began:.0f} s')
    print(f'{total.passed} passed, {total.failed} failed, {len(skips)} skipped')
    return 1 if total.failed else 0


sys.exit(main(sys.argv[1:]))
