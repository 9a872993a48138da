#!/usr/bin/env python3
"""What a precision costs in quality, and what a model costs in memory, told for both models in every precision.

  bench/encode_quality.py DATA [--weir build/weir] [--models minilm,e5-small] [--pairs N]

DATA holds the unpacked sets stsbenchmark_en and cnsd_sts_zh; their dev parts are used. A line a model and precision: Spearman × 100 on each, the cosine to the
same model's f32 over all their texts (mean, first percentile, least), the resident memory and the time of `weir encode` (loading and all).
"""
import argparse
import json
import math
import os
import pathlib
import subprocess
import time


def pairs(data):
    english = (line.rstrip("\n").split("\t") for line in open(data / "stsbenchmark_en/sts-dev.csv", encoding="utf-8"))
    chinese = (line.rstrip("\n").split("||") for line in open(data / "cnsd_sts_zh/cnsd-sts-dev.txt", encoding="utf-8"))
    return {"STS-B en": [(float(r[4]), r[5], r[6]) for r in english if len(r) > 6], "CNSD zh": [(float(r[3]), r[1], r[2]) for r in chinese if len(r) > 3]}


def ranks(values):
    """Ranks, ties at their mean."""
    order, out, i = sorted(range(len(values)), key=values.__getitem__), [0.0] * len(values), 0
    while i < len(order):
        j = i
        while j + 1 < len(order) and values[order[j + 1]] == values[order[i]]:
            j += 1
        for k in range(i, j + 1):
            out[order[k]] = (i + j) / 2
        i = j + 1
    return out


def spearman(a, b):
    a, b = ranks(a), ranks(b)
    mean = (len(a) - 1) / 2
    return sum((x - mean) * (y - mean) for x, y in zip(a, b)) / math.sqrt(sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b))


def encode(weir, model, precision, texts):
    """(vectors by text, resident MB of the process that encodes once it has, seconds)"""
    lines = "".join(json.dumps({"id": str(i), "title": t, "content_text": ""}) + "\n" for i, t in enumerate(texts)).encode()
    began = time.monotonic()
    child = subprocess.Popen([weir, "encode", "--model", model, "--precision", precision], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if os.fork() == 0:  # feeds the child while this process reads
        child.stdout.close()
        child.stdin.write(lines)
        child.stdin.close()
        os._exit(0)
    vectors = [json.loads(child.stdout.readline())["_weir"].get("vector") for _ in texts]
    seconds = time.monotonic() - began
    resident = next(int(line.split()[1]) / 1000 for line in open(f"/proc/{child.pid}/status") if line.startswith("VmRSS"))
    child.stdin.close()
    os.wait()
    status = child.wait()
    if status != 0 or len(vectors) != len(texts):
        raise SystemExit(f"weir encode failed for {model} {precision}")
    return dict(zip(texts, vectors)), resident, seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--weir", default="build/weir")
    parser.add_argument("--models", default="minilm,e5-small")
    parser.add_argument("--pairs", type=int, default=10**9, help="of each set, the first N")
    a = parser.parse_args()
    sets = {name: rows[:a.pairs] for name, rows in pairs(a.data).items()}
    texts = sorted({t for rows in sets.values() for r in rows for t in r[1:]})
    print(f"{len(texts)} texts; pairs: " + ", ".join(f"{n} {len(r)}" for n, r in sets.items()))
    print("| model | precision | " + " | ".join(sets) + " | cosine to f32: mean / p1 / least | resident MB | seconds |\n|---|---|" + "---|" * (len(sets) + 3))
    for model in a.models.split(","):
        exact = None
        for precision in ("f32", "bf16", "int8", "int8-portable"):
            vectors, megabytes, seconds = encode(a.weir, model, precision, texts)
            exact = exact or vectors
            dot = lambda x, y: math.sumprod(x, y) if hasattr(math, "sumprod") else sum(map(float.__mul__, x, y))
            cosines = sorted(dot(exact[t], vectors[t]) for t in texts if exact[t] and vectors[t])
            scores = [f"{100 * spearman([r[0] for r in rows], [dot(vectors[r[1]], vectors[r[2]]) for r in rows]):.2f}" for rows in sets.values()]
            print(f"| {model} | {precision} | " + " | ".join(scores) + f" | {sum(cosines) / len(cosines):.6f} / {cosines[len(cosines) // 100]:.5f} / {cosines[0]:.5f} | {megabytes:.0f} | {seconds:.1f} |", flush=True)


main()
