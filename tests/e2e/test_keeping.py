"""How long items stay: by default, by a reader's own setting, by source; stars; and that what went does not come back with the next fetch."""
import json, pathlib, shutil, sqlite3, tempfile, time, unittest

from weirtest import Server, need_binary, until, weir

DAY = 86400 * 1_000_000


def setUpModule():
    need_binary()


class Keeping(unittest.TestCase):
    def test_each_rule(self):
        """Time passes by making what is there older: 40 and 400 days."""
        data = pathlib.Path(tempfile.mkdtemp(prefix='weir-keeping.'))
        self.addCleanup(shutil.rmtree, data, True)
        names = ['default', 'a week', 'for ever', 'back to mine']
        with Server(data=data) as server:
            ids = {}
            for name in names:
                ids[name] = server.post('/api/sources', {'push': True, 'title': name}).json['id']
                self.assertEqual(server.post(f'/api/sources/{ids[name]}/items', self.items(name, 4)).json['stored'], 4)
            by = {item['id']: item['_weir']['id'] for item in server.get('/api/items?limit=100').json['items']}
            for name in names:
                server.request('PATCH', f'/api/items/{by[name + "/3"]}', {'starred': True})
            for name, days in (('a week', '7'), ('for ever', '0'), ('back to mine', '7')):
                weir('sources', 'edit', ids[name], '--keep-days', days, data=data)
            weir('sources', 'edit', ids['back to mine'], '--days-as-all', data=data)
            self.assertEqual([(one['title'], one['keep_days']) for one in self.keep(data)['sources']], [('a week', 7), ('for ever', 0)])
        self.age(data, 40)
        with Server(data=data) as server:
            self.purged(server, 13)
            self.assertEqual(self.left(server), {'default': 4, 'a week': 1, 'for ever': 4, 'back to mine': 4})
            self.assertTrue(all(item['_weir']['starred'] for item in server.get(f'/api/items?source={ids["a week"]}&state=all').json['items']))
            self.assertEqual(server.post(f'/api/sources/{ids["a week"]}/items', self.items('a week', 5)).json, {'stored': 1, 'duplicates': 4}, 'removed ids are remembered')
            self.assertEqual(self.left(server)['a week'], 2)
            server.request('PUT', '/api/settings', {'theme': 'dark'})
            self.assertEqual(self.keep(data)['keep_days'], 365)
            self.assertEqual(self.keep(data, '--days', 30)['keep_days'], 30)
            self.assertEqual(server.get('/api/settings').json, {'theme': 'dark', 'keep_days': 30}, 'the other settings are as they were')
        with Server(data=data) as server:  # in all: a month
            self.purged(server, 8)
            self.assertIn('30 days     all sources', weir('sources', 'keep', data=data)[1])
            code, _, said = weir('sources', 'keep', '--days', -1, data=data, check=False)
            self.assertEqual((code, self.keep(data)['keep_days']), (2, 30), said)
            self.assertEqual(self.left(server), {'default': 1, 'a week': 2, 'for ever': 4, 'back to mine': 1})
            self.assertEqual(server.request('PUT', '/api/settings', {}).status, 200)
        self.age(data, 400)
        with Server(data=data) as server:  # by default a year, stars for ever
            self.purged(server, 7)
            self.assertEqual(self.left(server), {'default': 1, 'a week': 1, 'for ever': 4, 'back to mine': 1})
            for name in names:
                self.assertEqual(server.post(f'/api/sources/{ids[name]}/items', self.items(name, 4)).json, {'stored': 0, 'duplicates': 4})
            self.assertEqual(server.get('/api/me').json['counts'], {'unread': 7, 'starred': 4, 'total': 7})
        self.assertIn('the database is whole', weir('--no-model', 'doctor', '--thorough', data=data)[1])

    def keep(self, data, *words):
        return json.loads(weir('--json', 'sources', 'keep', *words, data=data)[1])

    def items(self, name, n):
        return [{'id': f'{name}/{k}', 'title': f'{name} {k}'} for k in range(n)]

    def age(self, data, days):
        with sqlite3.connect(data / 'weir.db') as db:
            db.execute('UPDATE items SET received=received-?', (days * DAY,))
        db.close()

    def purged(self, server, left):
        """The housekeeper looks five seconds after a start; what is stored wakes it."""
        push = server.post('/api/sources', {'push': True, 'title': 'waker'}).json['id']
        for n in range(120):
            server.post(f'/api/sources/{push}/items', [{'id': str(time.time_ns())}])
            if sum(count for name, count in self.left(server).items()) == left:
                server.request('DELETE', f'/api/sources/{push}')
                return
            time.sleep(0.3)
        self.fail(f'{self.left(server)} instead of {left}')

    def left(self, server):
        return {source['title']: source['total'] for source in server.get('/api/sources').json['sources'] if source['title'] != 'waker'}


if __name__ == '__main__':
    unittest.main()
