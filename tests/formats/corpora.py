"""What the corpus tests share: unpacking a set of public test data, and running `weir parse` over many files."""
import json, os, pathlib, subprocess, unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / 'shared' / 'data'
if not SHARED.exists():
    SHARED = ROOT.parent.parent / 'shared' / 'data'
BUILD = pathlib.Path(os.environ.get('WEIR_BUILD') or ROOT / 'build')


def unpack(name):
    """The folder of a data set; skips the test where the sets are not."""
    if not (SHARED / f'{name}.tar.zst').exists():
        raise unittest.SkipTest(f'no ../shared/data/{name}')
    to = pathlib.Path(os.environ.get('WEIR_CACHE') or pathlib.Path.home() / '.cache/weir') / 'test-data'
    if not (to / name).exists():
        to.mkdir(parents=True, exist_ok=True)
        subprocess.run([SHARED / 'unpack', name, '--to', to], check=True)
    return to / name


def parse(files, raw=False, base=None):
    """{file: document} from `weir parse`, or from the bench program where the command is not built."""
    files = [str(f) for f in files]
    weir = pathlib.Path(os.environ.get('WEIR_BIN') or BUILD / 'weir')
    bench = BUILD / 'bench' / 'weir_parse_bench'
    if weir.exists():
        command = [weir, 'parse'] + (['--raw'] if raw else [])
    elif bench.exists():
        command = [bench, '--dump', '--mode', 'raw' if raw else 'clean']
    else:
        raise unittest.SkipTest('neither weir nor weir_parse_bench is built')
    command += ['--base', base] if base else []
    out = {}
    for at in range(0, len(files), 500):
        done = subprocess.run(command + files[at:at + 500], stdout=subprocess.PIPE, check=False)
        for line in done.stdout.decode('utf-8').splitlines():
            document = json.loads(line)
            out[document['_weir']['file']] = document
    return out
