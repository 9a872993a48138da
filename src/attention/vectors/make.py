#!/usr/bin/env python3
"""src/attention/vectors/make.py: writes vectors.json beside it: what every form gives and what its gradients are, by formulas of its own.

    python3 -m venv /tmp/v && /tmp/v/bin/pip install torch && /tmp/v/bin/python src/attention/vectors/make.py

Needs torch ≥ 2.5, a peer and no part of Weir. Each case is computed in float64 by an explicit formula written here from the paper; gradients are
torch's autograd over that formula with a fixed d_out. Where torch has the form itself (scaled_dot_product_attention with is_causal, a boolean mask,
enable_gqa; nn.MultiheadAttention with key_padding_mask and attn_mask), it must agree to 1e-11 in outputs and gradients before a number is written,
and the case names it as its `judge`.

No input is stored: entry i of the tensor NAME of the case CASE is drawn(CASE "/" NAME, i), a multiple of 1/256 in [-2, 2) that float holds exactly.
What is large is stored as a digest: 16 sums Σ tensor[i]·drawn("digest/k", i), k = 0…15.
"""
import json, math, pathlib

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
M64 = (1 << 64) - 1
NEVER = -math.inf


def drawn(name, i):
    """splitmix64 (Steele 2014) from the FNV-1a hash of the name; ten bits of it."""
    h = 0xcbf29ce484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001b3 & M64
    z = h + (i + 1) * 0x9e3779b97f4a7c15 & M64
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9 & M64
    z = (z ^ z >> 27) * 0x94d049bb133111eb & M64
    return (((z ^ z >> 31) >> 54) - 512) / 256


def tensor(name, rows, columns):
    return torch.tensor([drawn(name, i) for i in range(rows * columns)]).reshape(rows, columns)


# ---- formulas -------------------------------------------------------------------------------------------------------------------------------------

def split(x, heads):
    """[T × heads·d] → [heads × T × d]"""
    return x.reshape(x.shape[0], heads, -1).transpose(0, 1)


def join(x):
    return x.transpose(0, 1).reshape(x.shape[1], -1)


def visible(case, queries, keys):
    """The mask as a table [Tq × Tk] of what may be seen."""
    mask = case.get('mask', {})
    i, j = torch.arange(queries)[:, None], torch.arange(keys)[None, :]
    see = torch.ones(queries, keys, dtype=torch.bool)
    free = (i < mask.get('globals', 0)) | (j < mask.get('globals', 0))
    if mask.get('window'):
        see &= ((i - j).abs() <= mask['window']) | free
    if mask.get('block'):
        see &= (i // mask['block'] == j // mask['block']) | free
    if mask.get('causal'):
        see &= j <= i
    if 'keys' in mask:
        see &= torch.tensor(mask['keys'], dtype=torch.bool)[None, :]
    if 'pairs' in mask:
        see &= torch.tensor(mask['pairs'], dtype=torch.bool).reshape(queries, keys)
    return see


def softmax(z):
    """Zeros in a row where nothing may be seen."""
    top = z.max(-1, keepdim=True).values.detach()
    e = torch.exp(z - torch.where(top == NEVER, torch.zeros_like(top), top))
    total = e.sum(-1, keepdim=True)
    return e / torch.where(total == 0, torch.ones_like(total), total)


def by_support(z, tau_of, weigh):
    """Sparsemax and entmax-1.5: sort, find how many are in, then weigh(z − τ); τ stays differentiable. −∞ never enters."""
    rows = []
    for row in z.reshape(-1, z.shape[-1]):
        inside = row[row > NEVER]
        if not len(inside):
            rows.append(row * 0 if not torch.isinf(row).any() else torch.zeros_like(row))
            continue
        ordered = inside.sort(descending=True).values
        for count in range(len(ordered), 0, -1):
            tau = tau_of(ordered[:count])
            if tau is not None and tau < ordered[count - 1]:
                break
        safe = torch.where(row > NEVER, row, tau.detach() - 1)
        rows.append(weigh((safe - tau).clamp(min=0)))
    return torch.stack(rows).reshape(z.shape)


def sparsemax(z):
    return by_support(z, lambda top: (top.sum() - 1) / len(top), lambda x: x)


def entmax15(z):
    def tau(top):   # Σ (zᵢ/2 − τ)² = 1, the smaller root
        mean, square = top.mean(), (top * top).mean()
        rest = 1 / len(top) - (square - mean * mean)
        return mean - torch.sqrt(rest) if rest >= 0 else None
    return by_support(z / 2, tau, lambda x: x * x)


def top_k(z, k):
    order = torch.sort(z.detach(), dim=-1, descending=True, stable=True).indices[..., :k]
    keep = torch.zeros_like(z, dtype=torch.bool).scatter(-1, order, True)
    return softmax(torch.where(keep, z, torch.full_like(z, NEVER)))


def normalise(z, settings):
    return {'softmax': softmax, 'sparsemax': sparsemax, 'entmax15': entmax15, 'sigmoid': torch.sigmoid,
            'top_k': lambda x: top_k(x, settings.get('top_k', 8))}[settings.get('normaliser', 'softmax')](z)


def rope(x):
    """[heads × T × d], the pair (x₂ₖ, x₂ₖ₊₁) turned by position·10000^(−2k/d)"""
    d = x.shape[-1]
    angle = torch.arange(x.shape[1])[:, None] * 10000.0 ** (-torch.arange(0, d, 2) / d)[None, :]
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()), -1).flatten(-2)


def looked_at(case, logits, see, v):
    """logits [H × Tq × Tk], v [H × Tk × dv] → out, weights, by the case's normaliser."""
    logits = torch.where(see, logits, torch.full_like(logits, NEVER))
    weights = normalise(logits, case['settings'])
    return weights @ v, weights


def qk(case, q, k, bias=None):
    s = case['settings']
    heads, d = q.shape[0], q.shape[-1]
    if s.get('position') == 'rope':
        q, k = rope(q), rope(k)
    z = q @ k.transpose(1, 2) * s.get('scale', 1 / math.sqrt(d))
    if s.get('position') == 'alibi':
        slope = 2.0 ** (-8 * torch.arange(1, heads + 1) / heads)
        z = z - slope[:, None, None] * (torch.arange(q.shape[1])[:, None] - torch.arange(k.shape[1])[None, :]).abs()
    if bias is not None:
        z = z + bias
    return z / s.get('temperature', 1)


def grouped(x, heads, groups):
    return split(x, groups).repeat_interleave(heads // groups, 0)


def dot_product(case, t):
    s = case['settings']
    heads = s.get('heads', 1)
    groups = s.get('kv_heads', heads)
    q, k, v = split(t['q'], heads), grouped(t['k'], heads, groups), grouped(t['v'], heads, groups)
    out, weights = looked_at(case, qk(case, q, k, t.get('bias')), visible(case, q.shape[1], k.shape[1]), v)
    return join(out), weights


def multi_head(case, t):
    q, k, v = (t[x] @ t['w' + x].T + t['w' + x + '.bias'] for x in 'qkv')
    out, weights = dot_product(case, dict(t, q=q, k=k, v=v))
    return out @ t['wo'].T + t['wo.bias'], weights


def dot_pooling(case, t):
    s = case['settings']
    z = t['a'] @ t['k'].T * s.get('scale', 1) / s.get('temperature', 1)
    out, weights = looked_at(case, z[None], visible(case, 1, len(t['k'])), t.get('v', t['k'])[None])
    return out[0], weights


def additive(case, t):
    inside = torch.tanh((t['k'] @ t['w'].T)[None, :, :] + (t['q'] @ t['u'].T)[:, None, :] + t['b'])
    z = (inside @ t['v_a'].T)[..., 0] / case['settings'].get('temperature', 1)
    out, weights = looked_at(case, z[None], visible(case, len(t['q']), len(t['k'])), t.get('v', t['k'])[None])
    return out[0], weights


def multi_head_pooling(case, t):
    z = t['w2'] @ torch.tanh(t['w1'] @ t['k'].T) / case['settings'].get('temperature', 1)
    out, weights = looked_at(case, z[:, None, :], visible(case, 1, len(t['k'])), t.get('v', t['k'])[None])
    return out[:, 0], weights


def candidate_pooling(case, t):
    q, k = t['q'][:, None, :], t['k'][None, :, :]
    q, k = torch.broadcast_tensors(q, k)
    inside = torch.cat((k, q, k * q, k - q), -1) @ t['w1'].T + t['b1']
    z = (torch.tanh(inside) @ t['w2'].T)[..., 0] / case['settings'].get('temperature', 1)
    out, weights = looked_at(case, z[None], visible(case, len(t['q']), len(t['k'])), t.get('v', t['k'])[None])
    return out[0], weights


def fastformer(case, t):
    heads = case['settings'].get('heads', 1)
    q, k, v = (split(t[x], heads) for x in 'qkv')                     # [H × T × d]
    d = q.shape[-1]
    there = visible(case, 1, q.shape[1])[0]
    alpha = softmax(torch.where(there, (q * t['wq'][:, None, :]).sum(-1) / math.sqrt(d), NEVER))
    everyone = (alpha[..., None] * q).sum(1, keepdim=True)
    p = everyone * k
    beta = softmax(torch.where(there, (p * t['wk'][:, None, :]).sum(-1) / math.sqrt(d), NEVER))
    key = (beta[..., None] * p).sum(1, keepdim=True)
    out = join(key * v) @ t['w'].T + t['w.bias'] + t['q']
    return out * there[:, None], None


def kernelled(case, t, fq, fk):
    """Σ γ^(i−j) φ(qᵢ)·φ(kⱼ) vⱼ over what may be seen, by what these sum to."""
    s = case['settings']
    a = fq @ fk.transpose(1, 2)
    i, j = torch.arange(a.shape[1])[:, None], torch.arange(a.shape[2])[None, :]
    a = a * s.get('decay', 1) ** (i - j).clamp(min=0).to(a)
    a = a * visible(case, *a.shape[1:])
    total = a.sum(-1, keepdim=True)
    return a / torch.where(total == 0, torch.ones_like(total), total)


def linear(case, t):
    s = case['settings']
    heads = s.get('heads', 1)
    groups = s.get('kv_heads', heads)
    q, k, v = split(t['q'], heads), grouped(t['k'], heads, groups), grouped(t['v'], heads, groups)
    weights = kernelled(case, t, F.elu(q) + 1, F.elu(k) + 1)
    return join(weights @ v), weights


def performer(case, t):
    s = case['settings']
    heads = s.get('heads', 1)
    groups = s.get('kv_heads', heads)
    q, k, v = split(t['q'], heads), grouped(t['k'], heads, groups), grouped(t['v'], heads, groups)
    root = math.sqrt(s.get('scale', 1 / math.sqrt(q.shape[-1])))

    def features(x):
        x = x * root
        return torch.exp(x @ t['omega'].T - (x * x).sum(-1, keepdim=True) / 2) / math.sqrt(t['omega'].shape[0])
    weights = kernelled(case, t, features(q), features(k))
    return join(weights @ v), weights


def time_decayed(case, t):
    s = case['settings']
    heads = s.get('heads', 1)
    groups = s.get('kv_heads', heads)
    q, k, v = split(t['q'], heads), grouped(t['k'], heads, groups), grouped(t['v'], heads, groups)
    z = q @ k.transpose(1, 2) * s.get('scale', 1 / math.sqrt(q.shape[-1]))
    if t.get('bias') is not None:
        z = z + t['bias']
    if s.get('tau'):
        z = z - t['age'] / t['tau']
    if 'importance' in t:
        z = z + torch.log(t['importance'])
    see = visible(case, *z.shape[1:])
    temperature = t['temperature'].expand(z.shape[0], z.shape[1])
    if s.get('effective_keys'):
        temperature = torch.stack([torch.stack([chosen(row[see[i]], s['effective_keys']) for i, row in enumerate(head)]) for head in z])
        t['chosen'] = temperature.detach()
    out, weights = looked_at(case, z / temperature[..., None], see, v)
    return join(out), weights


def chosen(z, target):
    """The temperature at which exp(entropy) is the target: bisection of its logarithm to the last bit; then a step of Newton's from there, which
    changes nothing and has the derivative of what was found."""
    def entropy(temperature):
        return torch.special.entr(torch.softmax(z / temperature, 0)).sum()
    low, high = math.log(1e-9), math.log(1e9)
    with torch.no_grad():
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if torch.exp(entropy(math.exp(middle))) < target else (low, middle)
    found = torch.tensor(math.exp((low + high) / 2), requires_grad=True)
    slope, = torch.autograd.grad(entropy(found), found, retain_graph=True)
    return found.detach() - (entropy(found.detach()) - math.log(target)) / slope.detach()


# ---- torch's own --------------------------------------------------------------------------------------------------------------------------------

def sdpa(case, t):
    s = case['settings']
    heads = s.get('heads', 1)
    groups = s.get('kv_heads', heads)
    mask = case.get('mask', {})
    q, k, v = split(t['q'], heads)[None], split(t['k'], groups)[None], split(t['v'], groups)[None]
    more = {'enable_gqa': True} if groups != heads else {}
    if set(mask) == {'causal'}:
        more['is_causal'] = True                                       # torch aligns it at the top left
    elif mask:
        more['attn_mask'] = visible(case, q.shape[2], k.shape[2])      # True: keep
    if t.get('bias') is not None:
        see = more.pop('attn_mask', torch.ones(q.shape[2], k.shape[2], dtype=torch.bool))
        more['attn_mask'] = torch.where(see, t['bias'], torch.full_like(t['bias'], NEVER))
    return join(F.scaled_dot_product_attention(q, k, v, **more)[0]), None


def nn_multi_head(case, t):
    s = case['settings']
    module = torch.nn.MultiheadAttention(s['model'], s['heads'], batch_first=True)
    names = {'in_proj_weight': torch.cat((t['wq'], t['wk'], t['wv'])), 'out_proj.weight': t['wo'], 'out_proj.bias': t['wo.bias'][0],
             'in_proj_bias': torch.cat((t['wq.bias'][0], t['wk.bias'][0], t['wv.bias'][0]))}
    mask, more = case.get('mask', {}), {}
    if 'keys' in mask:
        more['key_padding_mask'] = torch.tensor([[not x for x in mask['keys']]])   # True: ignore
    if mask.get('causal'):
        more['attn_mask'] = ~visible({'mask': {'causal': True}}, len(t['q']), len(t['k']))   # True: ignore
    out, weights = torch.func.functional_call(module, names, (t['q'][None], t['k'][None], t['v'][None]), dict(more, average_attn_weights=False))
    return out[0], weights[0]


JUDGES = {'dot_product': sdpa, 'multi_head': nn_multi_head}
JUDGE_NAMES = {'dot_product': 'torch.nn.functional.scaled_dot_product_attention', 'multi_head': 'torch.nn.MultiheadAttention'}
FORMULAS = {f.__name__: f for f in (dot_product, multi_head, dot_pooling, additive, multi_head_pooling, candidate_pooling, fastformer, linear, performer,
                                    time_decayed)}


# ---- cases --------------------------------------------------------------------------------------------------------------------------------------

def case(name, form, inputs, parameters=None, judge=True, gain=1, mask=None, digest=False, **settings):
    c = {'name': name, 'settings': {'form': form, **settings}, 'inputs': inputs}
    for key, value in (('parameters', parameters), ('mask', mask)):
        if value:
            c[key] = value
    if gain != 1:
        c['gain'] = gain          # q (or k where there is no q) is multiplied by it
    if digest:
        c['digest'] = True
    if judge and form in JUDGES and not set(settings) - {'heads', 'kv_heads', 'model'}:
        c['judge'] = JUDGE_NAMES[form]
    return c


def qkv(tq, tk, q, k, v, **more):
    return {'q': [tq, q], 'k': [tk, k], 'v': [tk, v], **more}


def mha(n):
    return {**{'w' + x: [n, n] for x in 'qkvo'}, **{'w' + x + '.bias': [1, n] for x in 'qkvo'}}


def pairs(name, tq, tk, empty_row=None):
    """Two thirds of all pairs; a row of nothing on demand."""
    return [int(drawn('mask/' + name, i) > -0.7 and i // tk != empty_row) for i in range(tq * tk)]


CASES = [
    case('one of each', 'dot_product', qkv(1, 1, 1, 1, 1)),
    case('two heads', 'dot_product', qkv(5, 7, 6, 6, 8), heads=2),
    case('causal', 'dot_product', qkv(5, 5, 6, 6, 4), heads=2, mask={'causal': True}),
    case('causal, more keys than queries', 'dot_product', qkv(3, 5, 4, 4, 3), mask={'causal': True}),
    case('padding', 'dot_product', qkv(3, 5, 6, 6, 4), heads=2, mask={'keys': [1, 0, 1, 1, 0]}),
    case('pairs, one query sees nothing', 'dot_product', qkv(4, 5, 6, 6, 4), heads=2, mask={'pairs': pairs('a', 4, 5, 2)}),
    case('all masked', 'dot_product', qkv(2, 3, 4, 4, 2), heads=2, mask={'keys': [0, 0, 0]}),
    case('bias', 'dot_product', qkv(3, 5, 6, 6, 4, bias=[3, 5]), heads=2, mask={'keys': [1, 1, 0, 1, 1]}),
    case('multi-query', 'dot_product', qkv(3, 5, 12, 4, 3), heads=3, kv_heads=1),
    case('grouped queries, causal', 'dot_product', qkv(5, 5, 12, 6, 4), heads=4, kv_heads=2, mask={'causal': True}),
    case('logits ×50', 'dot_product', qkv(4, 6, 8, 8, 4), heads=2, gain=50),
    case('logits ×50, causal', 'dot_product', qkv(5, 5, 8, 8, 4), heads=2, gain=50, mask={'causal': True}),
    case('eight heads, 64 × 64', 'dot_product', qkv(64, 64, 512, 512, 512), heads=8, digest=True),
    case('eight heads, 64 × 64, causal', 'dot_product', qkv(64, 64, 512, 512, 512), heads=8, mask={'causal': True}, digest=True),
    case('long keys', 'dot_product', qkv(3, 1037, 16, 16, 16), heads=2, digest=True),
    case('window', 'dot_product', qkv(7, 7, 4, 4, 3), mask={'window': 2}),
    case('window, global keys, causal', 'dot_product', qkv(7, 7, 4, 4, 3), mask={'window': 1, 'globals': 2, 'causal': True}),
    case('blocks', 'dot_product', qkv(7, 7, 4, 4, 3), mask={'block': 3}),
    case('scale and temperature', 'dot_product', qkv(3, 5, 6, 6, 4), heads=2, scale=0.25, temperature=0.5),
    case('alibi', 'dot_product', qkv(5, 6, 8, 8, 4), heads=4, position='alibi'),
    case('rope', 'dot_product', qkv(5, 6, 8, 8, 4), heads=2, position='rope'),
    case('rope, causal, grouped', 'dot_product', qkv(5, 5, 16, 8, 4), heads=4, kv_heads=2, position='rope', mask={'causal': True}),
    case('sparsemax', 'dot_product', qkv(4, 6, 8, 8, 4), heads=2, normaliser='sparsemax'),
    case('sparsemax, padding', 'dot_product', qkv(4, 6, 8, 8, 4), heads=2, normaliser='sparsemax', mask={'keys': [1, 0, 1, 1, 0, 1]}),
    case('entmax-1.5', 'dot_product', qkv(4, 6, 8, 8, 4), heads=2, normaliser='entmax15'),
    case('entmax-1.5, pairs', 'dot_product', qkv(4, 6, 8, 8, 4), heads=2, normaliser='entmax15', mask={'pairs': pairs('b', 4, 6, 1)}),
    case('top 3', 'dot_product', qkv(4, 7, 8, 8, 4), heads=2, normaliser='top_k', top_k=3),
    case('sigmoid', 'dot_product', qkv(4, 6, 8, 8, 4), heads=2, normaliser='sigmoid', mask={'keys': [1, 0, 1, 1, 1, 1]}),
    case('multi-head', 'multi_head', qkv(4, 5, 6, 6, 6), mha(6), heads=2, model=6),
    case('multi-head, padding', 'multi_head', qkv(3, 5, 6, 6, 6), mha(6), heads=3, model=6, mask={'keys': [1, 1, 0, 1, 0]}),
    case('multi-head, causal', 'multi_head', qkv(4, 4, 4, 4, 4), mha(4), heads=2, model=4, mask={'causal': True}),
    case('multi-head, grouped', 'multi_head', qkv(4, 5, 8, 8, 8), dict(mha(8), wk=[4, 8], wv=[4, 8], **{'wk.bias': [1, 4], 'wv.bias': [1, 4]}), heads=4, kv_heads=2, model=8, judge=False),
    case('multi-head, 64 × 64', 'multi_head', qkv(64, 64, 64, 64, 64), mha(64), heads=8, model=64, digest=True),
    case('dot pooling', 'dot_pooling', {'k': [7, 5]}, {'a': [1, 5]}, model=5),
    case('dot pooling, values, padding', 'dot_pooling', {'k': [5, 4], 'v': [5, 3]}, {'a': [1, 4]}, model=4, mask={'keys': [1, 1, 0, 1, 0]}),
    case('dot pooling, all masked', 'dot_pooling', {'k': [3, 2]}, {'a': [1, 2]}, model=2, mask={'keys': [0, 0, 0]}),
    case('dot pooling, logits ×50', 'dot_pooling', {'k': [6, 4], 'v': [6, 2]}, {'a': [1, 4]}, model=4, gain=50),
    case('dot pooling, sparsemax', 'dot_pooling', {'k': [6, 4], 'v': [6, 2]}, {'a': [1, 4]}, model=4, normaliser='sparsemax'),
    case('additive', 'additive', qkv(3, 5, 4, 6, 3), {'w': [5, 6], 'u': [5, 4], 'b': [1, 5], 'v_a': [1, 5]}, model=6, query=4, hidden=5),
    case('additive, padding', 'additive', qkv(3, 5, 4, 4, 3), {'w': [4, 4], 'u': [4, 4], 'b': [1, 4], 'v_a': [1, 4]}, model=4, mask={'keys': [0, 1, 1, 0, 1]}),
    case('additive, values are keys', 'additive', {'q': [2, 4], 'k': [6, 4]}, {'w': [3, 4], 'u': [3, 4], 'b': [1, 3], 'v_a': [1, 3]}, model=4, hidden=3),
    case('multi-head pooling', 'multi_head_pooling', {'k': [6, 4]}, {'w1': [5, 4], 'w2': [3, 5]}, heads=3, model=4, hidden=5),
    case('multi-head pooling, padding', 'multi_head_pooling', {'k': [5, 4], 'v': [5, 2]}, {'w1': [4, 4], 'w2': [2, 4]}, heads=2, model=4, mask={'keys': [1, 1, 0, 1, 0]}),
    case('candidate pooling', 'candidate_pooling', qkv(2, 6, 4, 4, 3), {'w1': [5, 16], 'b1': [1, 5], 'w2': [1, 5]}, model=4, hidden=5),
    case('candidate pooling, padding', 'candidate_pooling', qkv(3, 5, 3, 3, 3), {'w1': [3, 12], 'b1': [1, 3], 'w2': [1, 3]}, model=3, mask={'keys': [1, 0, 0, 1, 1]}),
    case('fastformer', 'fastformer', qkv(5, 5, 8, 8, 8), {'wq': [2, 4], 'wk': [2, 4], 'w': [8, 8], 'w.bias': [1, 8]}, heads=2, model=8),
    case('fastformer, padding', 'fastformer', qkv(5, 5, 4, 4, 4), {'wq': [1, 4], 'wk': [1, 4], 'w': [4, 4], 'w.bias': [1, 4]}, model=4, mask={'keys': [1, 1, 0, 1, 0]}),
    case('linear', 'linear', qkv(4, 6, 8, 8, 6), heads=2),
    case('linear, causal', 'linear', qkv(5, 5, 6, 6, 4), heads=2, mask={'causal': True}),
    case('linear, causal, decay', 'linear', qkv(6, 6, 4, 4, 3), decay=0.875, mask={'causal': True}),
    case('linear, padding', 'linear', qkv(3, 5, 4, 4, 3), mask={'keys': [1, 0, 1, 1, 0]}),
    case('performer', 'performer', qkv(4, 6, 8, 8, 6), {'omega': [5, 4]}, heads=2, model=8, features=5),
    case('performer, causal', 'performer', qkv(5, 5, 4, 4, 3), {'omega': [6, 4]}, model=4, features=6, mask={'causal': True}),
    case('time-decayed', 'time_decayed', qkv(3, 6, 8, 8, 4, age=[1, 6], importance=[1, 6]), heads=2, tau=3),
    case('time-decayed, padding', 'time_decayed', qkv(2, 5, 4, 4, 3, age=[1, 5]), tau=1.5, temperature=0.75, mask={'keys': [1, 1, 0, 1, 0]}),
    case('time-decayed, 2.5 effective keys', 'time_decayed', qkv(2, 6, 8, 8, 4, age=[1, 6], importance=[1, 6]), heads=2, tau=3, effective_keys=2.5),
]


def inputs_of(c):
    t = {}
    for name, (rows, columns) in {**c['inputs'], **c.get('parameters', {})}.items():
        t[name] = tensor(f"{c['name']}/{name}", rows, columns)
        if name in ('age', 'importance'):
            t[name] = t[name][0].abs() + 1 / 256           # positive
    first = 'q' if 'q' in c['inputs'] else 'k'
    t[first] = t[first] * c.get('gain', 1)
    if c['settings']['form'] == 'time_decayed':
        t['temperature'] = torch.tensor(float(c['settings'].get('temperature', 1)))
        t['tau'] = torch.tensor(float(c['settings'].get('tau', 0)))
    for x in t.values():
        x.requires_grad_(True)
    return t


def run(c, f):
    t = inputs_of(c)
    names = list(t)
    out, weights = f(c, t)
    d_out = tensor(c['name'] + '/d_out', *out.shape)
    result = {'out': out.detach()}
    if weights is not None:
        result['weights'] = weights.detach()
    if 'chosen' in t:
        result['temperature'] = t['chosen']
    for name, grad in zip(names, torch.autograd.grad(out, [t[n] for n in names], d_out, allow_unused=True)):
        if grad is None:
            grad = torch.zeros_like(t[name])
        if name in ('tau', 'temperature') and (c['settings'].get('effective_keys') and name == 'temperature' or name == 'tau' and not c['settings'].get('tau')):
            continue
        result['d_' + name] = grad
    return result


def close(a, b):
    return (a - b).abs().max() <= 1e-11 * max(1, b.abs().max()) if a.numel() else True


def number(x):
    x = round(float(x), 12)   # what is 0 in exact arithmetic (a bias that softmax does not see) is rounding beyond that
    return int(x) if x == int(x) and abs(x) < 1e6 else float(f'{x:.11g}')


def main():
    lines = []
    for c in CASES:
        result = run(c, FORMULAS[c['settings']['form']])
        assert all(torch.isfinite(x).all() for x in result.values()), c['name']
        if 'judge' in c:
            for name, judged in run(c, JUDGES[c['settings']['form']]).items():
                # a row that sees nothing: zeros here; nn.MultiheadAttention gives NaN there, so that no case of it has one
                assert close(result[name], judged), (c['name'], name, (result[name] - judged).abs().max())
        if c.get('digest'):
            result = {name: torch.stack([(x.flatten() * tensor(f'digest/{k}', 1, x.numel())[0]).sum() for k in range(16)]) for name, x in result.items()
                      if name != 'weights'}
        lines.append(json.dumps({**c, 'expect': {name: [number(v) for v in x.flatten()] for name, x in result.items()}}, ensure_ascii=False, separators=(',', ':')))
    path = pathlib.Path(__file__).with_name('vectors.json')
    path.write_text('{"made by":"make.py, torch ' + torch.__version__.split('+')[0] + '","cases":[\n' + ',\n'.join(lines) + '\n]}\n')
    print(f'{path}: {len(lines)} cases, {sum("judge" in c for c in CASES)} judged by torch, {path.stat().st_size} bytes')


if __name__ == '__main__':
    main()
