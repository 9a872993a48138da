"""No spelling of an address, no redirect, no name leads the fetcher to a private address (reliability: the SSRF matrix), proved by a trap that holds every
address there is. The trap is alive: with --allow-net it is reached."""
import json
import os
import pathlib
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import internet

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROBE = pathlib.Path(os.environ.get('WEIR_BUILD', ROOT / 'build')) / 'src/ingest/weir_fetch_probe'


def probe(urls, *options):
    """The fetcher's answer to each URL."""
    lines = ''.join(u.replace('\n', '') + '\n' for u in urls)
    done = subprocess.run([PROBE, '--delay', '0', *options], input=lines.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    if done.returncode:
        raise AssertionError(done.stderr.decode())
    return [json.loads(line) for line in done.stdout.splitlines()][:-1]


class Inside(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.net = internet.Internet().__enter__()

    def setUp(self):
        self.net.hits.clear()
        self.net.served.clear()

    def none_connects(self, urls, *options):
        answers = probe(urls, *options)
        self.net.settle()
        self.assertEqual(self.net.hits, [])
        self.assertEqual(len(answers), len(urls))
        for answer in answers:
            at_home = answer.get('status') == 404 and answer['final'].startswith('http://www.public.test/to/')  # "http:127.0.0.1/", relative to a page
            self.assertTrue(at_home or answer.get('code') in ('refused', 'invalid', 'malformed', 'io'), answer)
        return answers

    def test_the_matrix_is_large(self):
        self.assertGreaterEqual(len(internet.V4 + internet.V6 + internet.SPELLINGS + internet.WHOLE), 60)
        print(f'{len(internet.direct())} addresses, {len(internet.names())} names, {len(internet.redirects(internet.direct() + internet.names()))} redirects')

    def test_the_honest_server_is_reached(self):
        answers = probe(['http://www.public.test/', f'http://{internet.PUBLIC4}/', f'http://[{internet.PUBLIC6}]:8080/', 'http://half.test/'])
        self.assertEqual([a.get('status') for a in answers], [200] * 4, answers)
        self.net.settle()
        self.assertEqual(self.net.hits, [])

    def test_the_trap_is_alive(self):
        answers = probe(['http://10.0.0.1/', 'http://a-10-9-9-9.test:8080/', 'http://[fd00::1]/', 'http://192.168.0.1/'], '--allow-net', '10.0.0.0/8', '--allow-net', 'fd00::/8')
        self.assertEqual([a.get('status') for a in answers], [200, 200, 200, None], answers)
        self.assertEqual(answers[3]['code'], 'refused')
        self.net.settle()
        self.assertEqual(sorted(set(self.net.hits)), [('10.0.0.1', 80), ('10.9.9.9', 8080), ('fd00::1', 80)])

    def test_every_spelling(self):
        for purpose in ('feed', 'page', 'icon', 'media'):
            answers = self.none_connects(internet.direct(), '--purpose', purpose)
        literal = [a for a in answers if a['url'].removeprefix('http://').rstrip('/') in internet.V4]
        self.assertEqual({a['code'] for a in literal}, {'refused'})
        self.assertTrue(all('--allow-net' in a['message'] for a in literal))

    def test_every_redirect(self):
        answers = self.none_connects(internet.redirects(internet.direct() + internet.names()))
        self.assertGreaterEqual(len({path for _, _, path, _ in self.net.served}), len(internet.direct()))
        self.assertGreater(sum(a.get('code') == 'refused' for a in answers), len(answers) / 2)

    def test_every_name(self):
        answers = self.none_connects(internet.names())
        self.assertTrue({internet.name_of(a) for a in ('10.0.0.1', '::1')} <= set(self.net.dns.asked))
        self.assertGreater(sum(a.get('code') == 'refused' for a in answers), len(answers) / 2)

    def test_a_name_that_changes_its_mind(self):
        urls = [f'http://rebind-{i}.test/' for i in range(20)]
        self.assertEqual({a.get('status') for a in probe(urls)}, {200})
        self.assertEqual({a.get('code') for a in self.none_connects(urls)}, {'refused'})
        self.assertEqual({a.get('code') for a in self.none_connects(internet.redirects(urls))}, {'refused'})

    def test_a_name_server_that_hangs_holds_up_nobody(self):
        start = time.monotonic()
        answers = probe([f'http://hang-{i}.test/' for i in range(8)] + ['http://www.public.test/'] * 4, '--deadline', '1500')
        took = time.monotonic() - start
        self.assertEqual([a.get('status') for a in answers[8:]], [200] * 4)
        self.assertEqual({a.get('code') for a in answers[:8]}, {'timeout'})
        self.assertTrue(all(a['took_ms'] < 1000 for a in answers[8:]), answers[8:])
        self.assertLess(took, 4)


class Ssrf(unittest.TestCase):
    def test_in_an_internet_of_its_own(self):
        if not PROBE.exists():
            self.skipTest(f'{PROBE.name} is not built')
        try:
            code, text = internet.enter(__file__)
        except internet.Unavailable as why:
            self.skipTest(str(why))
        print(text)
        self.assertEqual(code, 0, text)


if internet.inside():
    del Ssrf
else:
    del Inside

if __name__ == '__main__':
    unittest.main()
