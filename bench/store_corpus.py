#!/usr/bin/env python3
"""bench/store_corpus.py DATA OUT: makes OUT/{en,zh}.txt (a document a line, sentences parted by US, 0x1f) and OUT/{en,zh}_titles.txt for weir_store_bench.

DATA holds the unpacked sets 20news_bydate, bbc_summary, huffpost, thucnews and clge_zh_summarisation. Nothing of it is kept in the repository.
"""
import json, pathlib, random, re, sys

data, out = map(pathlib.Path, sys.argv[1:3])
out.mkdir(parents=True, exist_ok=True)
documents, titles = {'en': [], 'zh': []}, {'en': [], 'zh': []}


def sentences(text):
    return [s for s in re.split(r'(?<=[.!?。！？])\s*(?=\S)', ' '.join(text.split())) if len(s) > 3]


for path in sorted(data.glob('20news_bydate/**/*')):
    if not path.is_file():
        continue
    head, _, body = path.read_text('utf-8', 'replace').replace('\t', '\n').partition('\n\n')
    subject = re.search(r'^Subject: (?:Re: )*(.+)$', head, re.M)
    if subject:
        titles['en'].append(subject[1])
    body = '\n'.join(line for line in body.split('\n') if not re.match(r'\s*[>|:]|.*writes:$|-- ?$', line))
    if 200 < len(body) < 20000:
        documents['en'].append(sentences(body))
for path in sorted(data.glob('bbc_summary/News Articles/*/*.txt')):
    title, *body = path.read_text('utf-8', 'replace').split('\n\n')
    titles['en'].append(title)
    documents['en'].append(sentences(' '.join(body)))
for path in sorted(data.glob('huffpost/*.jsonl')):
    for line in path.open():
        entry = json.loads(line)
        titles['en'].append(entry.get('raw') or entry.get('text') or entry.get('title') or '')
for path in sorted(data.glob('thucnews/*.tsv')):
    for line in path.open():
        titles['zh'].append(line.split('\t')[0])
pieces = []
for path in sorted(data.glob('clge_zh_summarisation/**/*')):
    if path.suffix in ('.tsv', '.json', '.jsonl'):
        pieces += [cell for line in path.open() for cell in line.rstrip('\n').split('\t') if len(cell) > 40]
random.Random(1).shuffle(pieces)
for i in range(0, len(pieces), 4):  # news-length: about four short texts each
    documents['zh'].append([s for piece in pieces[i:i + 4] for s in sentences(piece)])

for language in ('en', 'zh'):
    random.Random(2).shuffle(documents[language])
    random.Random(3).shuffle(titles[language])
    kept = [d for d in documents[language] if sum(map(len, d)) > 150]
    (out / f'{language}.txt').write_text('\n'.join('\x1f'.join(d) for d in kept))
    (out / f'{language}_titles.txt').write_text('\n'.join(' '.join(t.split()) for t in titles[language] if len(t.strip()) > 5))
    print(f'{language}: {len(kept)} documents, {len(titles[language])} titles', file=sys.stderr)
