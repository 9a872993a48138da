"""The farm is what it says, and the fetcher is polite to it: every feed gets the answer it should, the second round is conditional wherever it can be, nobody gets
more than two requests at once."""
import json
import os
import pathlib
import subprocess
import sys
import unittest
import urllib.request
import xml.etree.ElementTree as ET

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from farm import READABLE, Farm

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get('WEIR_BUILD', ROOT / 'build'))
STATUS = {'ok': 200, 'slow': 200, 'moved': 200, 'lent': 200, 'malformed': 200, 'gone': 410, 'missing': 404, 'failing': 500, 'busy': 429}


def fetch(farm, *options):
    done = subprocess.run([BUILD / 'src/ingest/weir_fetch_probe', '--allow-net', '127.1.0.0/24', '--delay', '0', *options], input='\n'.join(f.url for f in farm.feeds) + '\n',
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class FarmTest(unittest.TestCase):
    def test_the_same_seed_is_the_same_farm(self):
        one, two, other = Farm(40, 7, port=0, start=1_800_000_000), Farm(40, 7, port=0, start=1_800_000_000), Farm(40, 8, start=1_800_000_000)
        look = lambda farm: [(f.kind, f.format, f.title, f.body().replace(str(farm.port).encode(), b'')) for f in farm.feeds]
        self.assertEqual(look(one), look(two))
        self.assertNotEqual(look(one), look(other))
        for farm in (one, two, other):
            for server in farm.servers:
                server.server_close()

    def test_every_format_parses_and_holds_its_entries(self):
        with Farm(120, 3, kinds=['ok']) as farm:
            self.assertEqual({f.format for f in farm.feeds}, {'rss', 'atom', 'rdf', 'json'})
            self.assertEqual({f.language for f in farm.feeds}, {'en', 'zh'})
            for feed in farm.feeds:
                body = urllib.request.urlopen(feed.url).read()
                if feed.format == 'json':
                    ids = [item['id'] for item in json.loads(body)['items']]
                else:
                    text = body.decode(feed.charset).replace(f'encoding="{feed.charset}"', 'encoding="utf-8"')  # ElementTree does not know gb18030
                    root = ET.fromstring(text.encode())
                    ids = [e.text for e in root.iter() if e.tag in ('guid', '{http://www.w3.org/2005/Atom}id') and e.text.startswith('tag:')]
                    ids += [e.get('{http://www.w3.org/1999/02/22-rdf-syntax-ns#}about') for e in root.iter('{http://purl.org/rss/1.0/}item')]
                self.assertEqual(ids, [e.id for e in feed.entries], feed.url)

    @unittest.skipUnless((BUILD / 'src/ingest/weir_fetch_probe').exists(), 'weir_fetch_probe is not built')
    def test_the_fetcher_on_the_farm(self):
        with Farm(200, 5, hosts=8, hang=3) as farm:
            lines = fetch(farm, '--poll', '--rounds', '2')
            for feed, line in zip(farm.feeds, lines):
                self.assertEqual(line.get('status', line.get('code')), STATUS.get(feed.kind, 'io'), (feed.kind, line))
                self.assertEqual(line.get('moved_to'), feed.final if feed.kind == 'moved' else None)
            readable = [f for f in farm.feeds if f.kind in READABLE]
            can = sum(bool(f.validators) for f in readable)
            self.assertGreater(can, 50)
            self.assertEqual(lines[-1]['status'].get('304'), can)
            stats = farm.stats()
            self.assertEqual(stats['conditional'], can)
            self.assertLessEqual(stats['most_at_once_on_a_host'], 2)

    def test_a_tick_changes_its_share(self):
        with Farm(100, 5, kinds=['ok']) as farm:
            before = {f.index: len(f.body()) for f in farm.feeds}
            self.assertGreater(farm.tick(0.2), 0)
            self.assertEqual(sum(len(f.body()) != before[f.index] for f in farm.feeds), 20)


if __name__ == '__main__':
    unittest.main()
