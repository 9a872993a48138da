"""An internet of its own, for tests of where a program connects to.

In a network namespace every IPv4 and IPv6 address there is belongs to this machine, so a connection to any of them succeeds and is seen. One of them
(PUBLIC4, PUBLIC6, named *.public.test) is an honest web server; all others, and the honest one on a port that no fetch may use, are the trap. Names
under .test are answered by a real DNS server on UDP.

    if not internet.inside():
        internet.enter(__file__)                 # runs this file again inside; raises Unavailable with the reason where that cannot be
    with internet.Internet() as net:
        …                                        # start the program under test, make it fetch net.direct(), net.redirects(), net.names()
        assert not net.hits, net.hits            # (address, port, first bytes)

Needs root (or unprivileged user namespaces) and iproute2. Standard library only.
"""
import base64
import os
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from urllib.parse import unquote

PUBLIC4, PUBLIC6 = '93.184.216.34', '2606:2800:220:1::34'
PORTS = (80, 8080)                                      # of the honest server, and of the trap everywhere else
CLOSED_PORTS = (22, 25, 4222, 5432, 6379, 11211, 27017)  # the trap on every address
FEED = (b'<?xml version="1.0"?><rss version="2.0"><channel><title>Public</title><link>http://www.public.test/</link><description>d</description>'
        b'<item><guid>1</guid><title>One</title><link>http://www.public.test/1</link><description>text</description></item></channel></rss>')


class Unavailable(Exception):
    pass


def inside():
    return os.environ.get('WEIR_INTERNET') == 'inside'


def enter(script, *args, timeout=600):
    """Runs `script` again in a namespace of its own; returns its exit code and what it printed."""
    flags = ['--net', '--mount'] if os.geteuid() == 0 else ['--user', '--map-root-user', '--net', '--mount']
    probe = subprocess.run(['unshare', *flags, 'ip', 'link', 'set', 'lo', 'up'], capture_output=True, text=True)
    if probe.returncode != 0:
        raise Unavailable('needs root, or user namespaces, and iproute2: ' + probe.stderr.strip())
    done = subprocess.run(['unshare', *flags, sys.executable, script, *args], env=dict(os.environ, WEIR_INTERNET='inside'),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace', timeout=timeout)
    return done.returncode, done.stdout


# ---- the matrix: ways to write an address that nobody may reach

V4 = ['127.0.0.1', '127.255.255.254', '0.0.0.0', '10.0.0.1', '10.255.255.255', '100.64.0.1', '100.127.255.254', '169.254.169.254', '169.254.0.1', '172.16.0.1',
      '172.31.255.254', '192.0.0.8', '192.0.2.1', '192.88.99.1', '192.168.0.1', '192.168.255.254', '198.18.0.1', '198.19.255.254', '198.51.100.1', '203.0.113.1',
      '224.0.0.1', '239.255.255.250', '240.0.0.1', '255.255.255.255']
V6 = ['::', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', '::ffff:a9fe:a9fe', '0:0:0:0:0:ffff:0a00:0001', '::127.0.0.1', '::a9fe:a9fe', '::ffff:0:7f00:1',
      '64:ff9b::7f00:1', '64:ff9b::169.254.169.254', '64:ff9b:1::a00:1', '100::1', '2001::7f00:1', '2001:0:a9fe:a9fe::1', '2001:2::1', '2001:10::1', '2001:20::1',
      '2001:db8::1', '2002:7f00:1::1', '2002:a9fe:a9fe::', '3fff::1', '4000::1', '5f00::1', 'fc00::1', 'fd00:ec2::254', 'fe80::1', 'fec0::1', 'ff02::1', 'ff05::2']
SPELLINGS = ['127.1', '127.0.1', '0x7f.1', '0x7f000001', '0x7f.0x0.0x0.0x1', '0177.1', '0177.0.0.1', '017700000001', '2130706433', '0', '0x0', '127.0.0.1.',
             '0xa9fea9fe', '2852039166', '0251.0376.0251.0376', '169.254.43518', '0x0a000001', '012.1', '10.1', '192.168.257', '%31%32%37.0.0.1', '127%2E0%2E0%2E1',
             '\u2460\u2461\u2466.\u24ea.\u24ea.\u2460', '127\u30020\u30020\u30021', '\uff11\uff12\uff17.0.0.1', 'localhost', 'LOCALHOST', 'localhost.', 'feeds.localhost']
WHOLE = ['http://user@127.0.0.1/', 'http://www.public.test@127.0.0.1/', 'http://www.public.test:80@127.0.0.1/', 'http://127.0.0.1\\@www.public.test/', 'http:127.0.0.1/',
         'http:///127.0.0.1/', 'http:\\\\127.0.0.1\\', 'http://127.0.0.1#@www.public.test/', 'http://127.0.0.1?@www.public.test/', 'HtTp://127.0.0.1:080/', '  http://127.0.0.1/  ',
         'http://[fe80::1%25lo]/', 'https://127.0.0.1:8080/', 'https://169.254.169.254/', 'http://127.0.0.1:8080/']
SCHEMES = ['file:///etc/passwd', 'file://localhost/etc/passwd', 'gopher://127.0.0.1:6379/_INFO', 'dict://127.0.0.1:11211/stats', 'ftp://127.0.0.1/', 'tftp://127.0.0.1/x', 'ldap://127.0.0.1/',
           'smb://127.0.0.1/x', 'telnet://127.0.0.1:22/', 'imap://127.0.0.1/', 'smtp://127.0.0.1:25/', 'rtsp://127.0.0.1/', 'scp://127.0.0.1/x', 'unix:///run/weir.sock', 'jar:http://127.0.0.1!/',
           'data:text/xml;base64,' + base64.b64encode(FEED).decode()]


def name_of(address):
    """The name that resolves to this address: a-10-0-0-1.test, six-<32 hex digits>.test."""
    if ':' in address:
        return f'six-{socket.inet_pton(socket.AF_INET6, address).hex()}.test'
    return 'a-' + address.replace('.', '-') + '.test'


def direct():
    """Every URL that must not lead to a connection."""
    urls = [f'http://{a}/' for a in V4 + SPELLINGS] + [f'http://[{a}]/' for a in V6] + WHOLE + SCHEMES
    urls += [f'http://{PUBLIC4}:{port}/' for port in CLOSED_PORTS] + [f'http://[{PUBLIC6}]:6379/', 'http://www.public.test:22/', 'http://www.public.test:5432/']
    return urls


def names():
    """The same addresses behind names: A, AAAA, CNAME, several of them at once, and a port that is closed."""
    urls = [f'http://{name_of(a)}/' for a in V4 + V6 if '.' not in a or ':' not in a]
    urls += ['http://alias.test/', 'http://many.test/', 'http://A-10-0-0-1.TEST./', 'http://user:secret@a-127-0-0-1.test:8080/']
    return urls


def redirects(urls, statuses=(301, 302, 303, 307, 308)):
    """Public addresses that lead to each of them: the first by every status, the others by one; and by two hops."""
    out = []
    for i, url in enumerate(urls):
        target = base64.urlsafe_b64encode(url.encode()).decode()
        out.append(f'http://www.public.test/to/{statuses[i % len(statuses)]}/{target}')
        if i % 7 == 0:
            again = base64.urlsafe_b64encode(out[-1].encode()).decode()
            out.append(f'http://www.public.test/to/302/{again}')
    return out


# ---- the network

def _ip(*words):
    subprocess.run(['ip', *words], check=True, capture_output=True, text=True)


class Dns(threading.Thread):
    """Answers A and AAAA under .test, everything with a lifetime of 0. `asked` has every name that was asked for."""

    def __init__(self, where='127.0.0.53'):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((where, 53))
        self.asked, self.turns = [], {}

    def addresses(self, name, v6):
        if name.startswith('a-'):
            return [] if v6 else ['.'.join(name.split('.')[0][2:].split('-'))]
        if name.startswith('six-'):
            return [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(name.split('.')[0][4:]))] if v6 else []
        if name.endswith('public.test'):
            return [PUBLIC6] if v6 else [PUBLIC4]
        if name == 'many.test':
            return ['::1', 'fd00::1'] if v6 else ['10.0.0.1', '192.168.0.1', '127.0.0.1']
        if name == 'half.test':     # one of two is public: that one may be dialled
            return [] if v6 else ['10.0.0.1', PUBLIC4]
        if name.startswith('rebind'):  # public when first asked, private ever after
            if v6:
                return []
            self.turns[name] = self.turns.get(name, 0) + 1
            return [PUBLIC4] if self.turns[name] == 1 else ['10.0.0.1']
        return []

    def run(self):
        while True:
            query, sender = self.socket.recvfrom(512)
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode('latin-1'))
                at += 1 + query[at]
            kind = struct.unpack('>H', query[at + 1:at + 3])[0]
            name = '.'.join(labels).lower()
            self.asked.append(name)
            if name.startswith('hang'):
                continue
            question, answers = query[12:at + 5], []
            if name == 'alias.test':
                target = b'\x09a-10-0-0-1\x04test\x00'.replace(b'\x09', bytes([len('a-10-0-0-1')]), 1)
                answers.append(b'\xc0\x0c' + struct.pack('>HHIH', 5, 1, 0, len(target)) + target)
                if kind == 1:
                    answers.append(target + struct.pack('>HHIH', 1, 1, 0, 4) + socket.inet_aton('10.0.0.1'))
            elif kind in (1, 28):
                family = socket.AF_INET if kind == 1 else socket.AF_INET6
                for address in self.addresses(name, kind == 28):
                    data = socket.inet_pton(family, address)
                    answers.append(b'\xc0\x0c' + struct.pack('>HHIH', kind, 1, 0, len(data)) + data)
            flags = 0x8580 if answers or name.endswith('.test') else 0x8583
            self.socket.sendto(query[:2] + struct.pack('>HHHHH', flags, 1, len(answers), 0, 0) + question + b''.join(answers), sender)


class Internet:
    def __enter__(self):
        _ip('link', 'set', 'lo', 'up')
        _ip('route', 'add', 'local', '0.0.0.0/0', 'dev', 'lo')
        _ip('-6', 'route', 'add', 'local', '::/0', 'dev', 'lo')
        files = tempfile.mkdtemp()
        for name, text in (('resolv.conf', 'nameserver 127.0.0.53\noptions timeout:5 attempts:2\n'), ('hosts', '127.0.0.1 localhost\n::1 localhost\n'),
                           ('nsswitch.conf', 'hosts: files dns\n')):
            with open(os.path.join(files, name), 'w') as file:
                file.write(text)
            subprocess.run(['mount', '--bind', os.path.join(files, name), os.path.realpath(f'/etc/{name}')], check=True)
        self.hits, self.served, self.allowed = [], [], set()
        self.dns = Dns()
        self.dns.start()
        self.selector = selectors.DefaultSelector()
        for port in PORTS + CLOSED_PORTS + (443,):
            listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(('::', port))
            listener.listen(512)
            self.selector.register(listener, selectors.EVENT_READ)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        pass  # the namespace ends with this process

    def settle(self):
        time.sleep(0.3)

    def _accept(self):
        while True:
            for key, _ in self.selector.select():
                connection, _ = key.fileobj.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        address, port = connection.getsockname()[:2]
        address = address.removeprefix('::ffff:')
        honest = address in (PUBLIC4, PUBLIC6) and port in PORTS or address in self.allowed
        connection.settimeout(2)
        if not honest:
            self.hits.append((address, port))
        try:
            request = connection.recv(65536).decode('latin-1')
            if honest and request:
                path = request.split(' ')[1]
                self.served.append((address, port, path, request))
                connection.sendall(self.reply(path))
            elif request:
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\nContent-Length: %d\r\nConnection: close\r\n\r\n' % len(FEED) + FEED)
        except OSError:
            pass
        connection.close()

    def reply(self, path):
        """What the honest server says: a redirect under /to/STATUS/BASE64, what `page` holds for the path, else a feed."""
        if path.startswith('/to/'):
            _, _, status, target = path.split('/', 3)
            try:
                where = base64.urlsafe_b64decode(unquote(target))
            except ValueError:  # "http:127.0.0.1/" is relative to where it stands: it leads back here
                return b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
            return b'HTTP/1.1 ' + status.encode() + b' Moved\r\nLocation: ' + where + b'\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
        kind, body = self.pages.get(path, ('application/rss+xml', FEED))
        return f'HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n'.encode() + body

    pages = {}  # path: (content type, bytes); a sweep over all sinks puts its pages, feeds and OPML here
