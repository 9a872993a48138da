"""Makes goldens.json: token ids by the published tokenizers, vectors by a plain float64 transformer over the stored weights.

  python -m venv V && V/bin/pip install numpy tokenizers
  V/bin/python src/encode/goldens/make.py ~/.cache/weir/models E5_TOKENIZER_JSON > src/encode/goldens/goldens.json

E5_TOKENIZER_JSON is the published tokenizer of multilingual-e5-small (docs/models.md says where it is). No text here holds a control word.
"""
import base64
import hashlib
import json
import math
import struct
import sys

import numpy as np
from tokenizers import Tokenizer

TEXTS = [
    "",
    "   \n\t ",
    "a",
    "Hello, world!",
    "The central bank raised interest rates by a quarter point on Wednesday, citing persistent inflation.",
    "Scientists report the first direct image of a planet forming around a young star 370 light-years away.",
    "Rust 1.85 released: async closures, edition 2024",
    "How attention works in transformers: queries, keys and values explained",
    "C++23's std::expected<T, E> vs. exceptions -- a benchmark (2024-11-24)",
    "Breaking: magnitude 6.8 earthquake strikes off the coast; no tsunami warning issued.",
    "email me at someone@example.org or visit https://example.org/path?q=1&lang=en#top",
    "$1,234.56 is 12.5% more than €1.100,00; ½ of it is £617.28",
    "注意力机制是深度学习的核心。",
    "中国科学家在月球背面发现了新的矿物，研究结果发表在《自然》杂志上。",
    "北京时间11月24日，国家队以3比1战胜对手，提前一轮出线。",
    "苹果公司发布了新款 iPhone 手机，售价 5,999 元起。",
    "繁體中文測試：資訊流的注意力引擎",
    "東京は日本の首都です。カタカナ、ひらがな、ﾊﾝｶｸ。",
    "서울은 대한민국의 수도입니다.",
    "Москва — столица России. Ёлка и йод.",
    "Ελληνικά: η Αθήνα είναι η πρωτεύουσα; ΟΔΟΣ",
    "مرحبا بالعالم، كيف حالك؟",
    "שָׁלוֹם עוֹלָם",
    "नमस्ते दुनिया, यह एक परीक्षण है।",
    "สวัสดีชาวโลก",
    "Tiếng Việt có dấu: Hà Nội, phở, Đà Nẵng",
    "café naïve résumé Ünïcödé İstanbul straße",
    "cafe\u0301 nai\u0308ve e\u0302\u0301 a\u0323\u0302 q\u0307\u0323 \u212b \ufb01ne \u2460",
    "Ａ\u0301 ｆｕｌｌｗｉｄｔｈ １２３　ideographic space ㍿ ㎏",
    "😀 🎉🎉 👩‍👩‍👧‍👦 👍🏽 🇨🇳 ❤️ ☃",
    "<p>Some <b>HTML</b> remnants &amp; entities &nbsp;&lt;br/&gt; <a href=\"x\">link</a></p>",
    "{\"json\": [1, 2.5e-3, null], 'code': `x = y[i] ** 2;`}",
    "zero\u200bwidth soft\u00adhyphen no\u00a0break \u2028line \ufeffbom",
    "control \x01\x02\x7f characters \x1b[31mred\x1b[0m \u0085 \ufffd end",
    "“Smart quotes” — dashes – ellipsis… ‘single’ «guillemets» 「括弧」",
    "supercalifragilisticexpialidocious antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "x" * 99 + " " + "y" * 100 + " " + "z" * 101,
    "α∈ℝ, ∑ᵢ xᵢ² ≤ ‖x‖², ∀ε>0 ∃δ: H₂O, E=mc²",
    "ALL CAPS HEADLINE WITH NUMBERS 123456789 AND-HYPHENS under_score",
    "混合 mixed 语言 language テスト test — 2026年11月24日",
    "\U00020000\U0002a6d6 rare ideographs 豈更車 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛",
    "title\nbody follows after a line feed.\r\n\r\nSecond paragraph.",
    "The stream never ends; what ends is the reader's day. " * 60,
    "信息流没有尽头，读者的时间却有限。" * 60,
]


def f16(b):
    return struct.unpack("<e", b)[0]


def read_safetensors(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, t in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__" and t["dtype"] == "F32":
            out[name] = np.frombuffer(raw, np.float32, math.prod(t["shape"]), 8 + n + t["data_offsets"][0]).reshape(t["shape"])
    return out


def minilm(folder):
    w = read_safetensors(folder + "/model.safetensors")
    e, l = "embeddings.", "encoder.layer.{}."
    layers = [{k: (w[l.format(i) + n + ".weight"], w[l.format(i) + n + ".bias"]) for k, n in
               (("q", "attention.self.query"), ("k", "attention.self.key"), ("v", "attention.self.value"), ("o", "attention.output.dense"),
                ("on", "attention.output.LayerNorm"), ("u", "intermediate.dense"), ("d", "output.dense"), ("dn", "output.LayerNorm"))} for i in range(6)]
    tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    return dict(word=w[e + "word_embeddings.weight"].__getitem__, pos=w[e + "position_embeddings.weight"], type=w[e + "token_type_embeddings.weight"][0],
                norm=(w[e + "LayerNorm.weight"], w[e + "LayerNorm.bias"]), layers=layers, eps=1e-12, heads=12, ids=lambda t: tokenizer.encode(t).ids)


def e5(folder, tokenizer_json):
    raw = open(folder + "/e5-small-q4.bin", "rb").read()
    hidden, nl, heads, inner, voc, maxp, tvs, eps, qk = struct.unpack_from("<7ifi", raw, 8)
    at = 8 + 36
    pieces, bos, eos, pad, unk, blob = struct.unpack_from("<5iQ", raw, at)
    at += 28 + 4 * (pieces + 1) + 4 * pieces + blob
    _, nbytes = struct.unpack_from("<iI", raw, at)
    at += 8 + nbytes
    count, = struct.unpack_from("<i", raw, at)
    at += 4
    tensors = {}
    for _ in range(count):
        n, = struct.unpack_from("<H", raw, at)
        name = raw[at + 2:at + 2 + n].decode()
        dtype, elements, offset, size = struct.unpack_from("<BIQQ", raw, at + 2 + n)
        at += 2 + n + 21
        tensors[name] = (dtype, elements, offset, size)

    def dequantise(b):
        blocks = np.frombuffer(b, np.uint8).reshape(-1, 18)
        d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        q = blocks[:, 2:]
        return (np.concatenate([q & 15, q >> 4], 1).astype(np.float32) - 8) * d

    def get(name, columns=None):
        dtype, n, offset, size = tensors[name]
        v = np.frombuffer(raw, np.float32, n, offset) if dtype == 0 else dequantise(raw[offset:offset + size]).reshape(-1)
        return v.reshape(-1, columns) if columns else v

    def word(ids):
        row = hidden // 32 * 18
        return np.stack([dequantise(raw[tensors["emb.word"][2] + i * row:tensors["emb.word"][2] + (i + 1) * row]).reshape(-1) for i in ids])

    layers = [{k: (get(f"l{i}.{n}.w", c), get(f"l{i}.{n}.b")) for k, n, c in
               (("q", "q", hidden), ("k", "k", hidden), ("v", "v", hidden), ("o", "ao", hidden), ("on", "aln", None), ("u", "fi", hidden), ("d", "fo", inner),
                ("dn", "oln", None))} for i in range(nl)]
    tokenizer = Tokenizer.from_file(tokenizer_json)
    tokenizer.enable_truncation(512)
    return dict(word=word, pos=get("emb.pos", hidden), type=get("emb.type", hidden)[0], norm=(get("emb.ln.w"), get("emb.ln.b")), layers=layers, eps=eps,
                heads=heads, ids=lambda t: tokenizer.encode("query: " + t).ids)


def norm(x, p, eps):
    m = x.mean(-1, keepdims=True)
    return (x - m) / np.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + eps) * p[0].astype(np.float64) + p[1]


def linear(x, p):
    return x @ p[0].astype(np.float64).T + p[1]


ERF = np.vectorize(math.erf)


def encode(m, ids):
    x = norm(m["word"](ids).astype(np.float64) + m["pos"][:len(ids)] + m["type"], m["norm"], m["eps"])
    n, hidden = x.shape
    h = m["heads"]
    split = lambda t: t.reshape(n, h, hidden // h).transpose(1, 0, 2)
    for layer in m["layers"]:
        q, k, v = (split(linear(x, layer[r])) for r in "qkv")
        s = q @ k.transpose(0, 2, 1) / math.sqrt(hidden // h)
        p = np.exp(s - s.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        x = norm(x + linear((p @ v).transpose(1, 0, 2).reshape(n, hidden), layer["o"]), layer["on"], m["eps"])
        u = linear(x, layer["u"])
        x = norm(x + linear(u * 0.5 * (1 + ERF(u / math.sqrt(2))), layer["d"]), layer["dn"], m["eps"])
    v = x.mean(0)
    return v / np.linalg.norm(v)


def main(models, tokenizer_json):
    digest = hashlib.sha256(open(tokenizer_json, "rb").read()).hexdigest()
    assert digest == "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39", digest
    sources = {"minilm": minilm(models + "/minilm"), "e5-small": e5(models + "/e5-small", tokenizer_json)}
    rows = []
    for text in TEXTS:
        row = {"text": text}
        for name, m in sources.items():
            ids = m["ids"](text)
            row[name] = {"ids": ids, "vector": base64.b64encode(encode(m, ids).astype("<f4").tobytes()).decode()}
        rows.append(json.dumps(row, ensure_ascii=True, separators=(",", ":")))
    print("[\n" + ",\n".join(rows) + "\n]")


main(*sys.argv[1:])
