"""What tests of the whole program share: a real `weir` (WEIR_BIN), its server on a free port over a DIR of its own, requests to it."""
import http.client, json, os, pathlib, re, shutil, signal, socket, subprocess, tempfile, threading, time, unittest

ROOT = pathlib.Path(os.environ.get('WEIR_ROOT') or pathlib.Path(__file__).resolve().parent.parent)
BIN = os.environ.get('WEIR_BIN') or str(ROOT / 'build/weir')
SHARED = ROOT.parent / 'shared'


def need_binary():
    if not os.access(BIN, os.X_OK):
        raise unittest.SkipTest(f'no program at {BIN}: scripts/build makes it')


def need_shared(*sets):
    """A folder with the named data sets unpacked; skips where ../shared is absent."""
    if not (SHARED / 'data').exists():
        raise unittest.SkipTest('../shared is absent')
    to = pathlib.Path(os.environ.get('WEIR_CACHE') or pathlib.Path.home() / '.cache/weir') / 'test-data'
    missing = [name for name in sets if not (to / name).exists()]
    if missing:
        to.mkdir(parents=True, exist_ok=True)
        subprocess.run([SHARED / 'data/unpack', *missing, '--to', to], check=True, stdout=subprocess.DEVNULL)
    return to


def weir(*words, data=None, stdin=None, check=True, env=None, timeout=120):
    """One command; answers (exit code, stdout, stderr)."""
    command = [BIN] + (['--data', str(data)] if data else []) + [str(w) for w in words]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, env=dict(os.environ, **(env or {})))
    if check and done.returncode:
        raise AssertionError(f'{" ".join(command)}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}')
    return done.returncode, done.stdout, done.stderr


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f'<{self.status} {self.body[:300]!r}>'


class Server:
    """A running `weir serve`. With a token of the operator; use as a context, or start() and stop()."""

    def __init__(self, *options, data=None, model=False, allow=('127.0.0.0/8',), env=None, port=0):
        self.own = data is None
        self.data = pathlib.Path(data or tempfile.mkdtemp(prefix='weir-test.'))
        self.options, self.model, self.allow, self.env, self.wanted = options, model, allow, env or {}, port
        self.process = self.token = None
        self.errors = []

    def start(self):
        command = [BIN, '--data', str(self.data)] + ([] if self.model else ['--no-model']) + ['serve', '--listen', f'127.0.0.1:{self.wanted}']
        for net in self.allow:
            command += ['--allow-net', net]
        self.process = subprocess.Popen(command + list(self.options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, **self.env))
        threading.Thread(target=lambda p=self.process: self.errors.extend(p.stderr), daemon=True).start()
        line = self.process.stdout.readline()
        match = re.fullmatch(r'listening on http://([\d.]+):(\d+)\n', line)
        if not match:
            self.process.wait(10)
            time.sleep(0.2)
            raise AssertionError(f'the server did not start: {line!r} {"".join(self.errors)[-2000:]}')
        self.host, self.port = match[1], int(match[2])
        self.address = f'http://{self.host}:{self.port}'
        if not self.token:
            self.token = self.new_token('operator')
        return self

    def new_token(self, scope, user=None):
        return weir('token', 'new', '--scope', scope, *(['--user', user] if user else []), data=self.data)[1].strip()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self, expect=0):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(15)
            self.process.stdout.close()
            if expect is not None and code != expect:
                raise AssertionError(f'exit {code} on SIGTERM: {"".join(self.errors)[-2000:]}')

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()
            if self.own:
                shutil.rmtree(self.data, ignore_errors=True)

    def request(self, method, target, body=None, token='', headers=None, timeout=30):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            head = dict(headers or {})
            if token is not None:
                head.setdefault('Authorization', f'Bearer {token or self.token}')
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
                head.setdefault('Content-Type', 'application/json')
            connection.request(method, target, body.encode() if isinstance(body, str) else body, head)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, target, **more):
        return self.request('GET', target, **more)

    def post(self, target, body=None, **more):
        return self.request('POST', target, body, **more)

    def resident_kb(self):
        """VmRSS of the server and its children together."""
        total = 0
        for pid in [self.process.pid] + children(self.process.pid):
            try:
                match = re.search(r'VmRSS:\s+(\d+)', pathlib.Path(f'/proc/{pid}/status').read_text())
                total += int(match[1]) if match else 0
            except FileNotFoundError:
                pass
        return total

    def cpu_seconds(self):
        total, tick = 0.0, os.sysconf('SC_CLK_TCK')
        for pid in [self.process.pid] + children(self.process.pid):
            try:
                fields = pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
                total += (int(fields[11]) + int(fields[12]) + (int(fields[13]) + int(fields[14]))) / tick
            except FileNotFoundError:
                pass
        return total


def children(pid):
    out = []
    for task in pathlib.Path(f'/proc/{pid}/task').glob('*/children'):
        for child in task.read_text().split():
            out += [int(child)] + children(int(child))
    return out


def until(condition, seconds=20, every=0.05):
    """Waits until condition() is true and answers it; fails after that many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f'not within {seconds} s')
        time.sleep(every)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]
