"""Writes ../unicode_tables.inc: what the reference tokenizers do to each code point, found by asking them. Needs: pip install tokenizers regex.

  python src/encode/goldens/unicode_tables.py > src/encode/unicode_tables.inc
"""
import unicodedata

import regex
import tokenizers
from tokenizers import normalizers, pre_tokenizers

ALL = [c for c in range(0x80, 0x110000) if not 0xD800 <= c < 0xE000]
BMP = [c for c in ALL if c < 0x10000]


def ranges(points):
    out = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def lines(items, per_line=8):
    texts = ["{" + ", ".join(f"0x{v:x}" if v >= 0 else str(v) for v in item) + "}" for item in items]
    return "\n".join("    " + ", ".join(texts[i:i + per_line]) + "," for i in range(0, len(texts), per_line))


def table(comment, name, kind, items):
    print(f"// {comment}\nconstexpr {kind} {name}[] = {{\n{lines(items)}\n}};\n")


bert = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True)
words = pre_tokenizers.BertPreTokenizer()
out = {c: bert.normalize_str(chr(c)) for c in ALL}
cjk = [c for c in ALL if len(out[c]) == 3 and out[c][0] == out[c][2] == " "]
for c in cjk:
    out[c] = out[c][1]
hangul = range(0xAC00, 0xD7A4)
assert all(out[c] == unicodedata.normalize("NFD", chr(c)) for c in hangul)
mapped = {c: o for c, o in out.items() if o not in (chr(c), "", " ") and c not in hangul}

runs = []  # first, last, stride, delta: code points first, first + stride, … map to themselves + delta
for c, o in sorted(mapped.items()):
    if len(o) > 1:
        continue
    delta = ord(o) - c
    if runs and runs[-1][3] == delta:
        first, last, stride, _ = runs[-1]
        if first == last and c - first <= 2:
            runs[-1] = [first, c, c - first, delta]
            continue
        if first != last and c - last == stride:
            runs[-1][1] = c
            continue
    runs.append([c, c, 1, delta])

grapheme = regex.compile(r"\X")
# Pairs as SentencePiece's NFKC table holds them: a base without a decomposition of its own, and a mark or a singleton that stands for that mark.
same_mark = {}
for c in ALL:
    d = unicodedata.decomposition(chr(c))
    if d and d[0] != "<" and len(d.split()) == 1:
        same_mark.setdefault(int(d, 16), []).append(c)
composed = []
for c in ALL:
    d = unicodedata.decomposition(chr(c))
    if d and d[0] != "<" and len(d.split()) == 2 and unicodedata.normalize("NFC", chr(c)) == chr(c):
        a, b = (int(x, 16) for x in d.split())
        if unicodedata.decomposition(chr(a)) == "":
            composed += [(a, m, c) for m in [b] + same_mark.get(b, []) if len((chr(a) + chr(m)).encode()) < 6]

print(f"// Made by goldens/unicode_tables.py from tokenizers {tokenizers.__version__} and regex {regex.__version__}. Code points below 0x80 are in code.\n")
table("Removed by BERT's cleaning: controls, private use, non-spacing marks (after canonical decomposition).", "bert_removed", "Span", ranges(c for c in ALL if out[c] == ""))
table("White space to BERT.", "bert_spaces", "Span", ranges(c for c in ALL if out[c] == " "))
table("Chinese characters to BERT: a space on both sides.", "bert_chinese", "Span", ranges(cjk))
table("A word of its own to BERT.", "bert_punctuation", "Span", ranges(c for c in ALL if len(words.pre_tokenize_str("a" + chr(c) + "b")) == 3 and c not in set(cjk)))
table("Lower case without marks, one code point: first, last, stride, delta.", "bert_runs", "Run", runs)
table("The same where it is two or three.", "bert_long", "Long", [[c] + [ord(x) for x in o] for c, o in sorted(mapped.items()) if len(o) > 1])
table("Joins the code point before it in an extended grapheme cluster (UAX #29: Extend, SpacingMark, ZWJ).", "cluster_extend", "Span", ranges(c for c in BMP if len(grapheme.findall("a" + chr(c))) == 1))
table("Nothing joins these (UAX #29: Control).", "cluster_control", "Span", ranges(c for c in BMP if len(grapheme.findall(chr(c) + "\u0301")) == 2))
table("These join what follows (UAX #29: Prepend).", "cluster_prepend", "Span", ranges(c for c in BMP if len(grapheme.findall(chr(c) + "a")) == 1))
table("Canonical pairs shorter than six bytes: first, second, composed.", "composed_pairs", "Pair", sorted(composed))
