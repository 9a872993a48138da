"""The race of encoders (see ./run). Each peer is a process that is loaded once and stopped while it is not its turn; ours starts anew each time. A round asks every
engine once, the next one in the opposite order, so that what else the machine does hits all alike.

A figure is the median of the passes of an engine's best schedule: one text at a time, batches of 8 or 32 of equal length; for the stream also batches of 32 in
order of arrival, and of 8 or 32 sorted by length. A ratio is taken in each round, its median and range are told. Peers get token ids, ours gets texts and
tokenizes them too. Accuracy, one text at a time: the cosine to ONNX Runtime f32 over the stream, Spearman over STS-B.

In a row below the CPU's own the peers are capped: by the environment, and those which ask cpuid whatever it says by an answer without what the row has not
(cap.py). Before anything is timed each of them runs one batch with its log on, kept in the cache; what the log shows beyond the row is left out with the reason.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import threading
import time

import cap
import models
from engine import ALONE, ENGINES, LENGTHS

OURS = ("f32", "bf16", "int8", "int8-portable")
ROWS = {"avx2": ("avx2", "AVX2", "avx2"), "avx2-vnni": ("avx_vnni", "AVX2_VNNI", "avx2"), "avx512": ("avx512_vnni", "AVX512_CORE_BF16", "avx512"),
        "amx": ("amx_tile", "AVX10_1_512_AMX", "avx512")}  # the CPU's flag, oneDNN's name, ATen's
FLAGS = next(line.split() for line in open("/proc/cpuinfo") if line.startswith("flags"))
HERE = pathlib.Path(__file__).parent


def below(row):
    """Whether the CPU has more than the row."""
    return any(ROWS[r][0] in FLAGS for r in list(ROWS)[list(ROWS).index(row) + 1:])


def capped(name, row, a):
    """The environment that holds a peer to the row."""
    if not below(row):
        return {}
    if name.startswith("llama"):
        raise RuntimeError("built for this CPU")
    _, onednn, aten = ROWS[row]
    answered = {**cap.prepare(a.cache), "CAP_ROW": row} if name.startswith(("ort", "ov")) else {}
    return {**answered, "ONEDNN_MAX_CPU_ISA": onednn, "ATEN_CPU_CAPABILITY": aten, "MKL_ENABLE_INSTRUCTIONS": aten.upper(), "FBGEMM_ENABLE_INSTRUCTIONS": aten.upper()}


class Peer:
    def __init__(self, name, row, threads, a, log="err", **env):
        self.log = a.cache / f"{log} {row} {name}.txt"
        self.process = subprocess.Popen([sys.executable, str(HERE / "engine.py"), name, str(threads), str(a.cache)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=open(self.log, "w"), text=True, env={**os.environ, "OMP_NUM_THREADS": str(threads), **capped(name, row, a), **env})
        self.said = []
        self.version = self.answer()["version"]

    def answer(self):
        """The next object on its output; what libraries print before it is kept."""
        alarm = threading.Timer(600, self.process.kill)
        alarm.start()
        try:
            for line in self.process.stdout:
                if line.startswith("{"):
                    self.process.send_signal(signal.SIGSTOP)
                    return json.loads(line)
                self.said.append(line)
        finally:
            alarm.cancel()
        self.process.wait()
        lines = [line for line in self.log.read_text().splitlines() if line.strip()] or [f"ended with {self.process.returncode}"]
        raise RuntimeError(lines[-1].strip()[:160])

    def ask(self, line):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        """Kills it; what it printed and nobody read."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.stdin.close()
            self.said += self.process.stdout.readlines()
            self.process.wait()


def proof(name, row, threads, a):
    """What its log says that ran, and why it does not count in this row, or None."""
    peer = Peer(name, row, threads, a, "log", ONEDNN_VERBOSE="1", MKL_VERBOSE="1")
    ran = collections.Counter(peer.ask("proof"))
    peer.end()
    with open(peer.log, "a") as log:
        log.writelines(peer.said)
    of_nodes = any(" " in k and not k.startswith("ATen") for k in ran)
    for line in peer.said:
        fields = line.rstrip().split(",")
        if fields[0] == "onednn_verbose" and "exec" in fields and not of_nodes:
            ran[" ".join(fields[fields.index("cpu") + 1:][:2])] += 1
        if m := re.search(r"cpu,isa:(.*)", line):
            ran["oneDNN for " + m[1]] = 1
        if m := re.match(r"MKL_VERBOSE (\w*GEMM\w*)\(", line):
            ran["MKL " + m[1]] += 1
    if answered := "cap: asks cpuid" in peer.log.read_text():
        ran[f"cpuid answered for {row}"] = 1
    beyond = re.compile("amx|avx10" if row == "avx512" else "amx|avx10|avx512", re.I)
    products = [k for k in ran if re.search("gemm|matmul|inner_product|fullyconnected|brg", k, re.I)]
    why = [f"{k} ×{ran[k]}" for k in products if beyond.search(k) or "mlas" in k and not answered]
    if "bf16" in name and not any("bf16" in k.lower() for k in products):
        why.append("no bf16 in this row, it runs f32")
    told = ", ".join(f"{k} ×{n}" for k, n in ran.most_common() if k in products or beyond.search(k) or " for " in k or "ATen" in k)
    if not products:
        told += "; of its products the log says nothing"
    return told, ", ".join(why) if why else None


def ours(precision, row, threads, a, vectors):
    env, base = {**os.environ, **({"WEIR_CPU": row} if below(row) else {})}, [a.ours, "--model", str(models.HOME), "--precision", precision, "--threads", str(threads)]
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


def run_part(row, threads, rounds, a, sts):
    names = [e for e in ENGINES if not any(e.startswith(w) for w in a.without.split(",") if w) and not (threads == 1 and "streams" in e)]
    engines, left_out, peers = {}, {}, {}

    def tell(what):
        print(f"  {row}, {threads} thread(s), {time.strftime('%H:%M:%S')}: {what}", file=sys.stderr, flush=True)
    try:
        for name in names:
            try:
                if below(row):
                    told, why = proof(name, row, threads, a)
                    if why:
                        raise RuntimeError(why)
                    engines[name] = {"proof": told}
                peers[name] = Peer(name, row, threads, a)
                engines.setdefault(name, {}).update(version=peers[name].version, figures={})
                if threads > 1 and "streams" not in name:  # an engine's vectors do not depend on its threads or streams
                    peers[name].ask("vectors")
                tell(f"{name} is ready")
            except (RuntimeError, OSError, subprocess.SubprocessError) as e:
                engines.pop(name, None)
                left_out[name] = str(e)
                tell(f"{name} left out: {e}")
        everyone = list(peers) + [f"weir-{p}" for p in OURS]
        for r in range(rounds):
            for name in everyone if r % 2 == 0 else reversed(everyone):
                if name in left_out:
                    continue
                began = time.monotonic()
                try:
                    if name.startswith("weir-"):
                        got = ours(name[5:], row, threads, a, r == 0 and threads > 1)
                        engines.setdefault(name, {"version": f"{got['version']} {got['isa']}", "figures": {}})
                        got = got["figures"]
                    else:
                        got = peers[name].ask(f"round {a.seconds}")
                except (RuntimeError, OSError, subprocess.SubprocessError) as e:
                    engines.pop(name, None)
                    left_out[name] = str(e)
                    tell(f"{name} left out: {e}")
                    continue
                for k, v in got.items():
                    engines[name]["figures"].setdefault(k, {})[r] = v
                tell(f"round {r + 1}: {name} {time.monotonic() - began:.0f} s")
    finally:
        for peer in peers.values():
            peer.process.kill()
    for name in engines if threads > 1 else ():
        try:
            engines[name]["accuracy"] = accuracy(name.split(" ")[0], a, sts)
        except FileNotFoundError:
            pass
    return {"engines": engines, "left_out": left_out, "rounds": rounds, "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime())}


def passes(rounds):
    return sorted(v for samples in rounds.values() for v in samples)


def best(figures, prefix):
    """(median, half the spread from the 10th to the 90th percentile in %, key) of the fastest schedule, or None."""
    keys = [k for k in figures if k == prefix or k.startswith(prefix + "/")]
    if not keys:
        return None
    key = max(keys, key=lambda k: statistics.median(passes(figures[k])))
    values = passes(figures[key])
    cut = len(values) // 10
    return statistics.median(values), 50 * (values[-1 - cut] - values[cut]) / statistics.median(values), key


def ratio(mine, theirs):
    """Of two figures by rounds: median and range."""
    found = sorted(statistics.median(mine[r]) / statistics.median(theirs[r]) for r in mine if r in theirs)
    return f"{statistics.median(found):.2f}× ({found[0]:.2f}–{found[-1]:.2f})"


def against(name, engines, peers, title):
    """A line of ratios: ours to the fastest of these peers, at each length and on the stream."""
    mine, cells = engines[name]["figures"], []
    for own, key, label in [(str(n), str(n), str(n)) for n in LENGTHS] + [("ragged", "ragged", "ragged, best schedule"), ("ragged", "ragged/sorted-32", "ragged, sorted-32")]:
        rates = {p: b for p in peers if (b := best(engines[p]["figures"], key))}
        if not rates or not best(mine, own):
            return
        fastest = max(rates, key=lambda p: rates[p][0])
        cells.append(f"{label} {ratio(mine[best(mine, own)[2]], engines[fastest]['figures'][rates[fastest][2]])} to {fastest}")
    print(f"- {name} against {title}: " + "; ".join(cells))


def table(part, result):
    row, threads = part.split(":")
    engines = result["engines"]
    for e in engines.values():  # JSON made strings of the rounds
        e["figures"] = {k: {int(r): v for r, v in rounds.items()} for k, rounds in e["figures"].items()}
    print(f"\n### {row}, {threads} thread{'s' * (threads != '1')}\n\n{result['when']} UTC, {result['rounds']} rounds\n\n| engine | " + " | ".join(map(str, LENGTHS)) +
          " | ragged, best schedule | sorted-32 | arrival-32 | " + " | ".join(f"one text of {n}, ms" for n in ALONE) + " | cosine mean / p1 | STS-B |")
    print("|---" * (len(LENGTHS) + len(ALONE) + 6) + "|")
    for name, e in engines.items():
        f = e["figures"]

        def cell(key, schedule=False):
            b = best(f, key)
            return f"{b[0] / 1e3:.1f}k ±{b[1]:.0f} %" + (" " + b[2].split("/")[1] if schedule and "/" in b[2] else "") if b else "–"
        cells = [cell(str(n)) for n in LENGTHS] + [cell("ragged", True), cell("ragged/sorted-32"), cell("ragged/arrival-32")]
        alone = [best(f, f"one text of {n}") for n in ALONE]
        cells += [f"{n / b[0] * 1e3:.2f}" if b else "–" for n, b in zip(ALONE, alone)]
        accurate = e.get("accuracy")
        cells.append(f"{accurate[0]:.6f} / {accurate[1]:.5f}" if accurate else "")
        cells.append(f"{accurate[2]:.2f}" if accurate and accurate[2] is not None else "")
        print(f"| {name} {e['version']} | " + " | ".join(cells) + " |")
    peers = [n for n in engines if not n.startswith("weir-")]
    print()
    for p in OURS:
        if f"weir-{p}" in engines and peers:
            against(f"weir-{p}", engines, peers, "the fastest peer of any precision")
            same = [n for n in peers if n.split(" ")[0].split("-", 1)[1] in {"bf16": ("bf16",), "f32": ("f32",)}.get(p, ())]
            if same:
                against(f"weir-{p}", engines, same, f"the fastest {p} peer")
    for name, e in engines.items():
        if "proof" in e:
            print(f"- held to {row}: {name}, its log: {e['proof']}")
    for name, reason in result["left_out"].items():
        print(f"- left out: {name}: {reason}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--data", type=pathlib.Path)
    own = next(r for r in reversed(ROWS) if ROWS[r][0] in FLAGS)
    parser.add_argument("--only", default=f"{own}:2,{own}:1,avx2:2,avx2:1", help="parts to run: CPU row : threads [: rounds], with commas; empty: the table alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="about what the timed part of a fast engine takes in a round")
    parser.add_argument("--texts", type=int, default=128, help="of the ragged stream")
    parser.add_argument("--without", default="", help="engines to leave out, by the beginning of their names, with commas; gemm leaves the second table out")
    a = parser.parse_args()
    ids, sts = models.prepare(a.cache, a.data, a.texts)
    file = a.cache / "results of rounds.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for part in filter(None, a.only.split(",")):
        row, threads, *rounds = part.split(":")
        results[f"{row}:{threads}"] = json.loads(json.dumps(run_part(row, int(threads), int(rounds[0]) if rounds else a.rounds, a, sts)))
        file.write_text(json.dumps(results))
    lengths = sorted(map(len, ids))
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    print(f"{cpu}, {os.cpu_count()} cores; tokens a second, median of passes ± half the spread from the 10th to the 90th percentile; ratios: medians of rounds (range); "
          f"ragged: {len(ids)} texts, {statistics.mean(lengths):.0f} tokens on average, {lengths[0]} to {lengths[-1]}", flush=True)
    for part, result in results.items():
        table(part, result)
    if "gemm" not in a.without.split(","):
        print("\n### Products\n", flush=True)
        subprocess.run([str(HERE.parent / "gemm/run")])


main()
