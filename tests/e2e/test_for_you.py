"""For you, on real input with the real encoder: likes teach, the reasons are there and sum to the score."""
import json, os, pathlib, time, unittest

import weirtest
from weirtest import Server, need_binary, until, weir

SPORT = ['The striker scored twice as the team won the cup final', 'Coach praises defence after a narrow league win', 'Tennis champion reaches another semi-final in straight sets', 'The club signs a young goalkeeper before the season',
         'Marathon runner breaks the course record in the rain', 'Late penalty decides the derby in front of full stands', 'National team names its squad for the qualifiers', 'Cyclist takes the stage after a long mountain climb']
SPACE = ['Telescope finds water in the air of a distant planet', 'Probe lands near the south pole of the Moon', 'Astronomers map dark matter around a cluster of galaxies', 'Rocket carries a new weather satellite into orbit',
         'A comet from another star passes the Sun', 'Rover drills into rock on Mars and sends first pictures', 'Two black holes merge and shake space itself', 'Space station crew returns after six months in orbit']


def setUpModule():
    need_binary()
    code, out, _ = weir('--json', 'model', 'list')
    if not any(m['name'] == 'e5-small' and m['here'] for m in json.loads(out)):
        raise unittest.SkipTest('the model e5-small is not here: scripts/fetch model')


class ForYou(unittest.TestCase):
    def test_likes_teach_and_why_adds_up(self):
        with Server(model=True) as server:
            source = server.post('/api/sources', {'push': True, 'title': 'Mixed'}).json['id']
            items = [{'id': f'{kind}{n}', 'title': title, 'content_text': title, 'date_published': '2026-11-20T00:00:00Z'} for kind, titles in (('sport', SPORT), ('space', SPACE)) for n, title in enumerate(titles)]
            self.assertEqual(server.post(f'/api/sources/{source}/items', items).json, {'stored': 16, 'duplicates': 0})
            page = server.get('/api/items?limit=50').json['items']
            number = {item['id']: item['_weir']['id'] for item in page}
            teach = [{'item': number[f'space{n}'], 'kind': 'like'} for n in range(6)] + [{'item': number[f'sport{n}'], 'kind': 'dislike'} for n in range(6)]
            before = server.get(f'/api/items/{number["space6"]}/why').json
            self.assertFalse(before['enough'])
            self.assertEqual(server.post('/api/signals', teach).status, 200)

            def why(item):
                answer = server.get(f'/api/items/{number[item]}/why').json
                self.assertAlmostEqual(sum(part['value'] for part in answer['why']), answer['score'], delta=1e-5)
                return answer
            taught = until(lambda: (lambda a: a if any(p['part'].startswith('taste') for p in a['why']) else None)(why('space7')), 60)
            self.assertTrue(taught['enough'])
            until(lambda: b'weir_encode_queued 0\n' in server.get('/metrics').body, 60)
            figures = dict(line.rsplit(' ', 1) for line in server.get('/metrics').body.decode().splitlines() if line.startswith('weir_encode_cache'))
            self.assertEqual(float(figures['weir_encode_cache_misses_total']), 16, figures)
            self.assertEqual(float(figures['weir_encode_cache_entries']), 16, figures)
            again = [dict(item, id=item['id'] + '-copy') for item in items[:5]]
            self.assertEqual(server.post(f'/api/sources/{source}/items', again).json['stored'], 5)
            until(lambda: b'weir_encode_cache_hits_total 5\n' in server.get('/metrics').body, 60)
            for liked in ('space6', 'space7'):
                for disliked in ('sport6', 'sport7'):
                    self.assertGreater(why(liked)['score'], why(disliked)['score'])
            causes = [cause['item'] for part in why('space7')['why'] if part['part'].startswith('taste') for cause in part.get('from', [])]
            self.assertTrue(causes)
            ranked = [item['id'] for item in server.get('/api/items?order=ranked&state=all&limit=50').json['items']]
            self.assertLess(max(ranked.index('space6'), ranked.index('space7')), min(ranked.index('sport6'), ranked.index('sport7')))


if __name__ == '__main__':
    unittest.main()
