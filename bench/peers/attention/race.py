"""The race of attention (see ./run): nanoseconds a token, the best run of a round, medians of rounds; ratio = PyTorch's time / ours. PyTorch has scaled_dot_product_attention and
MultiheadAttention itself; the other forms are what one writes in it. No gradient is kept in the forward figures; backward is backward alone."""
import argparse
import csv
import json
import os
import random
import re
import statistics
import subprocess
import tempfile
import time

import torch
import torch.nn.functional as F

LENGTHS = (16, 64, 256, 1024, 4096)


def sdpa(heads, d, **more):
    def make(n):
        q, k, v = (torch.randn(1, heads, n, d, requires_grad=True) for _ in 'qkv')
        return lambda: F.scaled_dot_product_attention(q, k, v, **more), (q, k, v)
    return make


def grouped(heads, d):
    def make(n):
        q, k, v = (torch.randn(1, h, n, d, requires_grad=True) for h in (heads, heads // 4, heads // 4))
        return lambda: F.scaled_dot_product_attention(q, k, v, enable_gqa=True), (q, k, v)
    return make


def multi_head(heads, d):
    def make(n):
        layer = torch.nn.MultiheadAttention(heads * d, heads, batch_first=True)
        x = torch.randn(1, n, heads * d, requires_grad=True)
        return lambda: layer(x, x, x, need_weights=False)[0], (x, *layer.parameters())
    return make


def dot_pooling(heads, d):
    def make(n):
        x, a = torch.randn(n, d, requires_grad=True), torch.randn(d, requires_grad=True)
        return lambda: torch.softmax(x @ a, 0) @ x, (x, a)
    return make


def additive(heads, d):
    def make(n):
        q, k, w, u = torch.randn(n, d), torch.randn(n, d), torch.randn(d, d), torch.randn(d, d)
        b, v = torch.randn(d), torch.randn(d)
        for x in (q, k, w, u, b, v):
            x.requires_grad_(True)
        return lambda: torch.softmax(torch.tanh((k @ w.T)[None] + (q @ u.T)[:, None] + b) @ v, -1) @ k, (q, k, w, u, b, v)
    return make


def linear(heads, d):
    def make(n):
        q, k, v = (torch.randn(1, heads, n, d, requires_grad=True) for _ in 'qkv')

        def run():
            a, b = F.elu(q) + 1, F.elu(k) + 1
            return a @ (b.transpose(-1, -2) @ v) / (a @ b.sum(-2).unsqueeze(-1))
        return run, (q, k, v)
    return make


# our name, heads, columns of a head, PyTorch's way
RACES = [('dot_product', 12, 32, sdpa(12, 32)), ('dot_product', 8, 64, sdpa(8, 64)), ('dot_product causal', 12, 32, sdpa(12, 32, is_causal=True)),
         ('dot_product gqa', 12, 32, grouped(12, 32)), ('multi_head', 12, 32, multi_head(12, 32)), ('dot_pooling', 1, 384, dot_pooling(1, 384)),
         ('additive', 1, 64, additive(1, 64)), ('linear', 12, 32, linear(12, 32))]


def timed(f, budget):
    """The best run: whatever else the machine does only adds."""
    times, began = [], time.perf_counter()
    while len(times) < 3 and sum(times) < 10 * budget or time.perf_counter() - began < budget:
        a = time.perf_counter()
        f()
        times.append(time.perf_counter() - a)
    return min(times)


def theirs(make, n, budget):
    run, inputs = make(n)
    with torch.no_grad():
        forward = timed(run, budget)
    out = run()
    d_out = torch.randn_like(out)
    backward = timed(lambda: torch.autograd.grad(out, inputs, d_out, retain_graph=True), budget)
    return forward / n * 1e9, backward / n * 1e9


def speed(a):
    cpu = None
    print(f'PyTorch {torch.__version__}, f32; nanoseconds a token, the best run of a round, medians of {a.rounds} rounds; ratio = theirs / ours')
    print(f'{"form":<20} {"heads":>5} {"d":>4} {"tokens":>6} {"threads":>7} | {"ours":>8} {"torch":>8} {"ratio":>6} | {"ours back":>9} {"torch":>8} {"ratio":>6}')
    for threads in map(int, a.threads.split(',')):
        torch.set_num_threads(threads)
        for name, heads, d, make in RACES:
            found, left_out = {n: ([], [], [], []) for n in LENGTHS}, {}
            for _ in range(a.rounds):
                text = subprocess.run([a.weir, '--json', 'bench', 'attention', '--forms', name, '--heads', str(heads), '--head-columns', str(d), '--threads', str(threads),
                                       '--lengths', ','.join(map(str, LENGTHS)), '--seconds', '1'], check=True, capture_output=True, text=True).stdout
                rows = [json.loads(line) for line in text.splitlines()]
                cpu = rows[0]['cpu']
                for row in rows:
                    if row['form'] != name:
                        continue
                    n = row['tokens']
                    if 'left_out' in row:
                        left_out[n] = row['left_out']
                        continue
                    forward, backward = theirs(make, n, 0.02)
                    for kept, figure in zip(found[n], (row['forward_ns'], forward, row['backward_ns'], backward)):
                        kept.append(figure)
            for n in LENGTHS:
                if not found[n][0]:
                    print(f'{name:<20} {heads:>5} {d:>4} {n:>6} {threads:>7} | left out: {left_out[n]}', flush=True)
                    continue
                f, tf, b, tb = (statistics.median(x) for x in found[n])
                print(f'{name:<20} {heads:>5} {d:>4} {n:>6} {threads:>7} | {f:>8.0f} {tf:>8.0f} {tf / f:>6.2f} | {b:>9.0f} {tb:>8.0f} {tb / b:>6.2f}', flush=True)
    print(f'on {cpu}, {os.cpu_count()} CPUs')


def labelled(data, folder):
    """Half of AG News's test split, as the classifier reads it."""
    file = os.path.join(folder, 'ag_news_half_odd.tsv')
    with open(os.path.join(data, 'ag_news/half_odd.csv'), encoding='utf-8') as rows, open(file, 'w', encoding='utf-8') as out:
        out.writelines(f'{label}\t{" ".join(" ".join(texts).split())}\n' for label, *texts in csv.reader(rows))
    return file


def held_out(a, title, file, ways, *more):
    print(f'\nheld-out accuracy on every fifth line of {title}, mean ± half the range of {a.seeds} seeds')
    for way, words in ways:
        right = []
        for seed in range(1, a.seeds + 1):
            out = subprocess.run([a.classifier, file, '--show', '0', '--seed', str(seed), *more, *words], check=True, capture_output=True, text=True).stdout
            m = re.search(r'held out: (\d+) of (\d+) right', out)
            right.append(100 * int(m[1]) / int(m[2]))
        print(f'{way:<40} {statistics.mean(right):5.1f} ± {(max(right) - min(right)) / 2:.1f} %', flush=True)


MEAN, POOLINGS = ('pooling: mean', ['--form', 'mean']), [('pooling: dot_pooling', []), ('pooling: additive', ['--form', 'additive'])]
HEADS = [(f'pooling: multi_head_pooling, {h} heads', ['--form', 'multi_head_pooling', '--heads', str(h)]) for h in (1, 2, 4, 8, 12)]
LAYERS = [(f'layer: {layer}, {h} heads', ['--layer', layer, '--layer-heads', str(h)]) for layer in ('multi_head', 'fastformer') for h in (1, 2, 4, 12)]


def recall_lines(n):
    """A made task in which no word alone says the label: "where c is a2 c4 h1 e2" is 4. Whoever takes words one by one can only guess among the four."""
    draw = random.Random(1)
    for _ in range(n):
        keys = draw.sample('abcdefgh', 4)
        values = [draw.choice('1234') for _ in keys]
        asked = draw.randrange(4)
        yield f'{values[asked]}\twhere {keys[asked]} is {" ".join(k + v for k, v in zip(keys, values))}\n'


def recall(a):
    with tempfile.NamedTemporaryFile('w', suffix='.txt') as file:
        file.writelines(recall_lines(5000))
        file.flush()
        held_out(a, '5,000 made questions', file.name, [MEAN, *POOLINGS, HEADS[2], *LAYERS], '--columns', '24', '--epochs', '8', '--hide', '0')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--weir', required=True)
    parser.add_argument('--classifier', required=True)
    parser.add_argument('--threads', default='1,2')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--recall', choices=('yes', 'no'), default='yes')
    parser.add_argument('--accuracy', help='a file of lines "label<TAB>text"')
    parser.add_argument('--data', help='a folder with unpacked ag_news: its lines instead of such a file')
    parser.add_argument('--speed', choices=('yes', 'no'), default='yes')
    a = parser.parse_args()
    if a.speed == 'yes':
        speed(a)
    if a.recall == 'yes':
        recall(a)
    with tempfile.TemporaryDirectory() as folder:
        if a.data:
            a.accuracy = labelled(a.data, folder)
        if a.accuracy:
            held_out(a, os.path.basename(a.accuracy), a.accuracy, [MEAN, *POOLINGS, *HEADS, *LAYERS], '--columns', '48', '--epochs', '4')


main()
