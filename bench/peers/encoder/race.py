"""The race of encoders (see ./run). Each engine runs in a process of its own, `rounds` times, in turns. A figure is the median of its passes, of the engine's
best schedule: one text at a time, batches of 8 or 32 of equal length; for the stream also batches of 32 in order of arrival, and of 8 or 32 sorted by length.

Peers get token ids, ours gets texts and tokenizes them too. Accuracy, one text at a time: the cosine to ONNX Runtime f32 over the stream, Spearman over STS-B.
The avx2 row caps peers by the environment; who cannot be capped, or fails when capped, is left out with the reason.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import models
from engine import ENGINES, LENGTHS

OURS = ("f32", "bf16", "int8", "int8-portable")
CAPS = {"avx512": {}, "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2"}}
UNCAPPED = {"ort": "its kernels follow cpuid, no switch caps them", "llama": "built for this CPU"}


def peer(name, row, a, threads, vectors):
    command = [sys.executable, str(pathlib.Path(__file__).with_name("engine.py")), name, str(threads), str(a.seconds), str(a.cache)] + (["vectors"] if vectors else [])
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": str(threads), **CAPS[row]}, capture_output=True, text=True, timeout=240)
    if done.returncode != 0:
        lines = (done.stderr or "no word").strip().splitlines()
        raise RuntimeError(next((line for line in reversed(lines) if line.strip()), "failed")[:140])
    return json.loads(done.stdout.splitlines()[-1])


def ours(precision, row, a, threads, vectors):
    env, base = {**os.environ, "WEIR_CPU": row}, [a.ours, "--model", str(models.HOME), "--precision", precision, "--threads", str(threads)]
    if vectors:
        for what, file in (("stream", "texts.txt"), ("sts", "sts.txt")):
            if (a.cache / file).stat().st_size:
                subprocess.run(base + ["--encode", str(a.cache / file), "--vectors", str(a.cache / f"weir-{precision} {what}.f32")], env=env, check=True, capture_output=True)
    done = subprocess.run(base + ["--json", "1", "--seconds", str(a.seconds / 2), "--texts", str(a.cache / "texts.txt")], env=env, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def ranks(values):
    import numpy as np
    values = np.asarray(values)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2)[inverse]


def accuracy(name, a, sts):
    """(mean, first percentile of the cosine to f32; Spearman × 100 or None)"""
    import numpy as np

    def load(engine, what):
        file = a.cache / f"{engine} {what}.npy"
        return np.load(file).astype(np.float64) if file.exists() else np.fromfile(file.with_suffix(".f32"), np.float32).reshape(-1, 384).astype(np.float64)
    cosine = (load(name, "stream") * load("ort-f32", "stream")).sum(1)
    spearman = None
    if sts:
        v = load(name, "sts")
        spearman = 100 * float(np.corrcoef(ranks([p[0] for p in sts]), ranks((v[0::2] * v[1::2]).sum(1)))[0, 1])
    return float(cosine.mean()), float(np.percentile(cosine, 1)), spearman


def best(samples, prefix):
    """(median, schedule, spread %) of the fastest schedule."""
    figures = {k[len(prefix):]: v for k, v in samples.items() if k.startswith(prefix)}
    if not figures:
        return None
    k = max(figures, key=lambda k: statistics.median(figures[k]))
    return one(figures[k]) + (k,)


def one(values):
    values = sorted(values)
    cut = len(values) // 10
    return statistics.median(values), 100 * (values[-1 - cut] - values[cut]) / statistics.median(values)


def run_part(row, threads, a, sts):
    peers = [e for e in ENGINES if not any(e.startswith(w) for w in a.without.split(",") if w) and not (threads == 1 and "streams" in e)]
    part, left_out = {}, {}
    for r in range(a.rounds):
        for name in peers + [f"weir-{p}" for p in OURS]:
            began = time.monotonic()
            if row != "avx512" and name.split("-")[0] in UNCAPPED:
                left_out[name] = UNCAPPED[name.split("-")[0]]
                continue
            try:
                vectors = r == 0 and threads > 1
                got = ours(name[5:], row, a, threads, vectors) if name.startswith("weir-") else peer(name, row, a, threads, vectors)
                if row == "avx2" and got["isa"] not in ("avx2", "default"):
                    raise RuntimeError(f"it runs {got['isa']} code all the same")
            except (RuntimeError, subprocess.SubprocessError, IndexError) as e:
                left_out[name] = str(e)
                continue
            kept = part.setdefault(name, {"version": got["version"], "figures": {}})
            for k, v in got["figures"].items():
                kept["figures"].setdefault(k, []).extend(v)
            if vectors:
                try:
                    kept["accuracy"] = accuracy(name, a, sts)
                except FileNotFoundError:
                    pass
            print(f"  {row}, {threads} thread(s): {name} {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    for name, reason in left_out.items():
        print(f"  {row}: {name} left out: {reason}", file=sys.stderr)
    return {"engines": part, "left_out": left_out, "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime())}


def table(row, threads, part, stream):
    engines = part["engines"]
    print(f"\n{row}, {threads} thread(s), {part['when']} UTC\n\n| engine | " + " | ".join(map(str, LENGTHS)) + " | ragged, best schedule | sorted-32 | arrival-32 | cosine mean / p1 | STS-B |\n" + "|---" * (len(LENGTHS) + 6) + "|")
    for name, e in engines.items():
        f = e["figures"]
        cells = []
        for n in LENGTHS:
            b = best(f, f"{n}/")
            cells.append(f"{b[0] / 1e3:.1f}k ±{b[1] / 2:.0f} %")
        b = best(f, "ragged/")
        cells.append(f"{b[0] / 1e3:.1f}k ±{b[1] / 2:.0f} % {b[2]}")
        cells += [f"{statistics.median(f['ragged/' + s]) / 1e3:.1f}k" if f"ragged/{s}" in f else "–" for s in ("sorted-32", "arrival-32")]
        accurate = e.get("accuracy")
        cells.append(f"{accurate[0]:.6f} / {accurate[1]:.5f}" if accurate else "")
        cells.append(f"{accurate[2]:.2f}" if accurate and accurate[2] is not None else "")
        print(f"| {name} {e['version']} | " + " | ".join(cells) + " |")
    peers = {n: e["figures"] for n, e in engines.items() if not n.startswith("weir-")}
    print()
    for name, e in engines.items():
        if not name.startswith("weir-") or not peers:
            continue
        mine, against = e["figures"], []
        for key, label in [(f"{n}/", str(n)) for n in LENGTHS] + [("ragged/", "ragged, each peer's best schedule"), ("ragged/sorted-32", "ragged, peers sorted-32")]:
            rates = {n: best(f, key) for n, f in peers.items()}
            rates = {n: b[0] for n, b in rates.items() if b}
            if rates:
                fastest = max(rates, key=rates.get)
                against.append(f"{label} {best(mine, 'ragged/' if key.startswith('ragged') else key)[0] / rates[fastest]:.2f}× ({fastest})")
        print(f"{name} against the fastest peer of any precision: " + ", ".join(against))
    for name, reason in part["left_out"].items():
        print(f"left out: {name}: {reason}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--only", default="avx512:2,avx512:1,avx2:2,avx2:1", help="parts to run: CPU row : threads, with commas; empty: the table alone")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6, help="about what an engine's timed part takes in a round")
    parser.add_argument("--texts", type=int, default=256, help="of the ragged stream")
    parser.add_argument("--without", default="", help="engines to leave out, by the beginning of their names, with commas")
    a = parser.parse_args()
    ids, sts = models.prepare(a.cache, a.data, a.texts)
    file = a.cache / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for part in filter(None, a.only.split(",")):
        row, threads = part.split(":")
        results[part] = run_part(row, int(threads), a, sts)
        file.write_text(json.dumps(results))
    lengths = sorted(map(len, ids))
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    print(f"{cpu}, {os.cpu_count()} cores; tokens a second, median of passes ± half the spread from the 10th to the 90th percentile; ragged: {len(ids)} texts, "
          f"{statistics.mean(lengths):.0f} tokens on average, {lengths[0]} to {lengths[-1]}")
    for part, result in results.items():
        table(*part.split(":"), result, ids)


main()
