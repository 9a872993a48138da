"""`weir bench attention`: every form has its rows, the figures are figures, mistakes are named."""
import json, unittest

from weirtest import need_binary, weir


class BenchAttention(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need_binary()

    def test_every_form(self):
        rows = [json.loads(line) for line in weir('--json', 'bench', 'attention', '--lengths', '5,16', '--heads', '1,4', '--head-columns', '8', '--seconds', '0.01')[1].splitlines()]
        rows = [row for row in rows if 'left_out' not in row]  # on a busy machine 16 tokens may; the first length never is
        self.assertEqual({row['heads'] for row in rows}, {1, 4})
        self.assertEqual({row['tokens'] for row in rows}, {5, 16})
        names = {row['form'] for row in rows}
        self.assertLessEqual({'dot_product', 'multi_head', 'dot_pooling', 'additive', 'multi_head_pooling', 'candidate_pooling', 'fastformer', 'linear', 'performer', 'time_decayed',
                              'dot_product causal', 'dot_product gqa', 'dot_product rope', 'dot_product sparsemax', 'multi_head mqa', 'linear decay'}, names)
        for row in rows:
            self.assertTrue(0 < row['forward_ns'] < 1e9 and 0 < row['backward_ns'] < 1e9 and row['scratch_bytes'] >= 0, row)
            if 'push_ns' in row:
                self.assertTrue(row['push_ns'] > 0 and row['state_bytes'] > 0, row)
        window = [row for row in rows if row['form'] == 'dot_product window 64' and row['heads'] == 1]
        self.assertEqual({row['state_bytes'] for row in window}, {65 * 2 * 8 * 4}, 'the window and the key itself, keys and values')

    def test_one_form_in_words(self):
        out = weir('bench', 'attention', '--forms', 'dot_product causal', '--lengths', '16', '--heads', '2', '--no-backward')[1].splitlines()
        self.assertEqual(len(out), 3, out)
        self.assertTrue(out[2].startswith('dot_product causal'), out)

    def test_what_takes_too_long_says_so(self):
        rows = [json.loads(line) for line in weir('--json', 'bench', 'attention', '--forms', 'additive', '--lengths', '64,4096', '--heads', '1', '--seconds', '0.001')[1].splitlines()]
        self.assertEqual([row['tokens'] for row in rows], [64, 4096])
        self.assertIn('more than --seconds 0.001', rows[1]['left_out'])

    def test_mistakes(self):
        code, _, error = weir('bench', 'attention', '--forms', 'nothing', check=False)
        self.assertEqual((code, error), (2, 'weir: --forms: no such form (dot_product, "dot_product causal", …: as the table of all names them)\n'))
        code, _, error = weir('bench', 'attention', '--width', '100', '--heads', '3', check=False)
        self.assertEqual(code, 2)
        self.assertIn('100 columns do not part into 3 heads', error)


if __name__ == '__main__':
    unittest.main()
