"""gofeed's translator tests: a feed and the document that gofeed makes of it, field by field against ours. Measured, not a promise: gofeed keeps markup in
titles, invents nothing but also drops little, and where the two differ by design docs/formats.md says why."""
import datetime, json, sys, unittest

import corpora
from test_feedparser import words


def same_time(a, b):
    at = lambda t: datetime.datetime.fromisoformat(t.replace('Z', '+00:00')).timestamp() if t else None
    return at(a) == at(b)


def pairs(want, got):
    """(field, right?) for every field that the expected document has and ours has a place for."""
    text = lambda a, *b: any(words(a or '') == words(x or '') for x in b)
    for theirs, ours in (('title', 'title'), ('description', 'description'), ('link', 'home_page_url'), ('feedLink', 'feed_url'), ('language', 'language')):
        if want.get(theirs): yield theirs, text(want[theirs], got.get(ours))
    if (want.get('image') or {}).get('url'): yield 'image', want['image']['url'] == got.get('icon')
    if want.get('authors'):
        names = [a.get('name') or a.get('email') for a in want['authors'] if a]
        yield 'authors', names == [a.get('name') for a in got.get('authors', [])]
    theirs, ours = want.get('items') or [], got.get('items', [])
    if len(theirs) != len(ours): yield 'items', False; return
    for w, g in zip(theirs, ours):
        body = [g.get(n) for n in ('content_html', 'content_text', 'summary')]
        for name in ('title',):
            if w.get(name): yield name, text(w[name], g.get(name))
        for name in ('description', 'content'):
            if w.get(name): yield name, text(w[name], *body)
        if w.get('link'): yield 'link', w['link'] == g.get('url')
        if w.get('guid'): yield 'guid', w['guid'] == g.get('id')
        if w.get('publishedParsed'): yield 'published', same_time(w['publishedParsed'], g.get('date_published') or g.get('date_modified'))
        if w.get('updatedParsed'): yield 'updated', same_time(w['updatedParsed'], g.get('date_modified') or g.get('date_published'))
        if w.get('authors'): yield 'authors', [a.get('name') or a.get('email') for a in w['authors'] if a] == [a.get('name') for a in g.get('authors', [])]
        if w.get('categories'): yield 'categories', w['categories'] == g.get('tags')
        if w.get('enclosures'): yield 'enclosures', [e.get('url') for e in w['enclosures'] if e.get('url')] == [a['url'] for a in g.get('attachments', [])]


class Gofeed(unittest.TestCase):
    def test_fields(self):
        folder = corpora.unpack('gofeed_tests') / 'testdata' / 'translator'
        files = [f for f in sorted(folder.rglob('*.xml')) if f.with_suffix('.json').exists()]
        files += [f for f in sorted(folder.rglob('*.json')) if f.with_name(f.stem + '_expected.json').exists()]
        got = corpora.parse(files, raw=True)
        right = wrong = 0
        failed = []
        for file in files:
            want = json.loads((file.with_suffix('.json') if file.suffix == '.xml' else file.with_name(file.stem + '_expected.json')).read_text())
            if 'error' in got[str(file)]['_weir']: failed.append(f'{file.name}: {got[str(file)]["_weir"]["error"]}'); wrong += 1; continue
            for name, good in pairs(want, got[str(file)]):
                right, wrong = right + good, wrong + (not good)
                if not good: failed.append(f'{file.name}: {name}')
        share = right / (right + wrong)
        print(f'gofeed: {right} of {right + wrong} fields in {len(files)} files, {share:.4f}', *failed, sep='\n  ', file=sys.stderr)
        self.assertGreater(right, 120)
        self.assertGreaterEqual(share, 0.9)


class Miniflux(unittest.TestCase):
    """Its files of awkward charsets and sizes: each is read, in the charset that it is in."""
    def test_files(self):
        folder = corpora.unpack('miniflux_tests') / 'internal' / 'reader'
        charsets = {'iso-8859-1.xml': 'windows-1252', 'koi8r.xml': 'koi8-r', 'windows-1252.xml': 'windows-1252', 'utf8.xml': 'utf-8', 'encoding_WINDOWS-1251.xml': 'windows-1251',
                    'encoding_ISO-8859-1.xml': 'windows-1252', 'no_encoding_ISO-8859-1.xml': 'windows-1252', 'rdf_UTF8.xml': 'utf-8', 'urdu_UTF8.xml': 'utf-8', 'utf8-incorrect-prolog.xml': None,
                    'windows-1252-incorrect-prolog.xml': None, 'invalid-prolog.xml': None, 'large_atom.xml': 'utf-8', 'large_rss.xml': 'utf-8', 'small_atom.xml': 'utf-8'}
        files = sorted(f for f in folder.rglob('*.xml') if '/xml/' not in str(f))
        got = corpora.parse(files)
        self.assertEqual(len(got), len(files))
        for file in files:
            document = got[str(file)]
            with self.subTest(file.name):
                if file.parent.parent.name == 'parser': self.assertGreater(len(document['items']), 0)
                if 'error' in document['_weir']: self.assertEqual(document['_weir']['error']['code'], 'not_a_feed'); continue
                if charsets.get(file.name): self.assertEqual(document['_weir']['encoding'], charsets[file.name])
                self.assertNotIn('\ufffd', json.dumps(document, ensure_ascii=False))


if __name__ == '__main__':
    unittest.main()
