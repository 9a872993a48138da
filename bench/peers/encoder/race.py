"""The race of encoders (see ./run). Each engine runs in a process of its own, `rounds` times, in turns; figures are medians of rounds, the spread beside.

Peers get token ids, ours gets texts and tokenizes them too. A figure is the best of the engine's own schedules: one text at a time, batches of 32 in order of
arrival, batches of 8 or 32 sorted by length. Accuracy is the cosine to ONNX Runtime f32, one text at a time.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HOME = pathlib.Path(os.environ.get("WEIR_MODELS", pathlib.Path.home() / ".cache/weir/models")) / "minilm"
LENGTHS = (16, 64, 128, 256)
ENGINES = {"ort-f32": "ort f32", "ort-int8": "ort int8", "ov-f32": "ov f32 f32", "ov-bf16": "ov f32 bf16", "ov-int8": "ov int8 f32", "ov-int8-bf16": "ov int8 bf16",
           "torch-f32": "torch f32", "torch-bf16": "torch bf16"}


def weights():
    import numpy as np
    raw = open(HOME / "model.safetensors", "rb").read()
    n = int.from_bytes(raw[:8], "little")
    out = {}
    for name, t in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__" and t["dtype"] == "F32":
            out[name] = np.frombuffer(raw, np.float32, -1 if not t["shape"] else int(np.prod(t["shape"])), 8 + n + t["data_offsets"][0]).reshape(t["shape"])
    return out


def make_onnx(path):
    """The graph as the model's own exporters write it: unfused, which ONNX Runtime's optimiser does best with."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    w, initial, nodes = weights(), [], []

    def const(value, name=None):
        name = name or f"c{len(initial)}"
        initial.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(kind, *inputs, **attributes):
        out = f"v{len(nodes)}"
        nodes.append(helper.make_node(kind, list(inputs), [out], name=f"n{len(nodes)}", **attributes))
        return out

    def norm(x, prefix):
        return op("LayerNormalization", x, const(w[prefix + ".weight"]), const(w[prefix + ".bias"]), epsilon=1e-12, axis=-1)

    def linear(x, prefix):
        return op("Add", op("MatMul", x, const(w[prefix + ".weight"].T, prefix)), const(w[prefix + ".bias"]))

    e = "embeddings."
    length = op("Gather", op("Shape", "input_ids"), const(np.array([1], np.int64)))
    positions = op("Slice", const(w[e + "position_embeddings.weight"]), const(np.array([0], np.int64)), length, const(np.array([0], np.int64)))
    x = op("Add", op("Gather", const(w[e + "word_embeddings.weight"]), "input_ids"), const(w[e + "token_type_embeddings.weight"][0]))
    x = norm(op("Add", x, positions), e + "LayerNorm")
    mask = op("Cast", "attention_mask", to=TensorProto.FLOAT)
    mask = op("Mul", op("Sub", const(np.float32(1)), op("Unsqueeze", mask, const(np.array([1, 2], np.int64)))), const(np.float32(-1e9)))
    shape, flat = const(np.array([0, 0, 12, 32], np.int64)), const(np.array([0, 0, 384], np.int64))
    for i in range(6):
        p = f"encoder.layer.{i}."
        q, k, v = (op("Reshape", linear(x, p + "attention.self." + n), shape) for n in ("query", "key", "value"))
        scores = op("MatMul", op("Transpose", q, perm=[0, 2, 1, 3]), op("Transpose", k, perm=[0, 2, 3, 1]))
        a = op("Softmax", op("Add", op("Div", scores, const(np.float32(32 ** .5))), mask), axis=-1)
        a = op("Reshape", op("Transpose", op("MatMul", a, op("Transpose", v, perm=[0, 2, 1, 3])), perm=[0, 2, 1, 3]), flat)
        x = norm(op("Add", linear(a, p + "attention.output.dense"), x), p + "attention.output.LayerNorm")
        u = linear(x, p + "intermediate.dense")
        u = op("Mul", op("Mul", u, op("Add", op("Erf", op("Div", u, const(np.float32(2 ** .5)))), const(np.float32(1)))), const(np.float32(.5)))
        x = norm(op("Add", linear(u, p + "output.dense"), x), p + "output.LayerNorm")
    nodes.append(helper.make_node("Identity", [x], ["states"]))
    ids = [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "s"]) for n in ("input_ids", "attention_mask")]
    graph = helper.make_graph(nodes, "minilm", ids, [helper.make_tensor_value_info("states", TensorProto.FLOAT, ["b", "s", 384])], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


def prepare(cache, texts):
    from tokenizers import Tokenizer
    cache.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(HOME / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    ids = [tokenizer.encode(t).ids for t in texts]
    (cache / "ids.json").write_text(json.dumps(ids))
    (cache / "texts.txt").write_text("\n".join(texts) + "\n")
    if not (cache / "f32.onnx").exists():
        make_onnx(str(cache / "f32.onnx"))
    if not (cache / "int8.onnx").exists():
        from onnxruntime.quantization import QuantType, quantize_dynamic
        quantize_dynamic(str(cache / "f32.onnx"), str(cache / "int8.onnx"), per_channel=True, weight_type=QuantType.QInt8)
    if not (cache / "int8.xml").exists():
        import nncf
        import numpy as np
        import openvino
        model = openvino.convert_model(str(cache / "f32.onnx"))
        openvino.save_model(model, str(cache / "f32.xml"), compress_to_fp16=False)
        data = nncf.Dataset(ids[:300], lambda e: {"input_ids": np.array([e], np.int64), "attention_mask": np.ones((1, len(e)), np.int64)})
        quantised = nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER, preset=nncf.QuantizationPreset.MIXED, subset_size=300)
        openvino.save_model(quantised, str(cache / "int8.xml"))
    return ids


def engine(kind, arguments, threads, cache):
    """(run(ids, mask) → states, version)"""
    if kind == "ort":
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = onnxruntime.InferenceSession(str(cache / f"{arguments[0]}.onnx"), options, providers=["CPUExecutionProvider"])
        return lambda i, m: session.run(None, {"input_ids": i, "attention_mask": m})[0], onnxruntime.__version__
    if kind == "ov":
        import openvino
        compiled = openvino.Core().compile_model(str(cache / f"{arguments[0]}.xml"), "CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
                                                                                          "INFERENCE_PRECISION_HINT": arguments[1], "ENABLE_CPU_PINNING": False})
        request = compiled.create_infer_request()
        return lambda i, m: request.infer({"input_ids": i, "attention_mask": m}, share_inputs=True, share_outputs=True)[0], openvino.__version__.split("-")[0]
    import torch
    import transformers
    torch.set_num_threads(threads)
    config = transformers.BertConfig.from_json_file(str(HOME / "config.json"))
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    model.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights().items()}, strict=False)
    if arguments[0] == "bf16":
        model = model.bfloat16()

    def run(i, m):
        with torch.inference_mode():
            return model(input_ids=torch.from_numpy(i), attention_mask=torch.from_numpy(m)).last_hidden_state.float().numpy()
    return run, torch.__version__


def one(name, threads, cache, seconds):
    """One round of one peer: a JSON object on stdout."""
    import numpy as np
    os.environ["OMP_NUM_THREADS"] = str(threads)
    kind, *arguments = ENGINES[name].split()
    run, version = engine(kind, arguments, threads, cache)
    ids = json.loads((cache / "ids.json").read_text())

    def feed(group):
        longest = max(map(len, group))
        i, m = np.zeros((len(group), longest), np.int64), np.zeros((len(group), longest), np.int64)
        for r, e in enumerate(group):
            i[r, :len(e)], m[r, :len(e)] = e, 1
        return i, m

    def rate(feeds, budget):
        tokens = sum(int(m.sum()) for _, m in feeds)
        for f in feeds[:2]:
            run(*f)
        best = [1e9] * len(feeds)
        began = time.perf_counter()
        while True:
            for k, f in enumerate(feeds):
                a = time.perf_counter()
                run(*f)
                best[k] = min(best[k], time.perf_counter() - a)
            if time.perf_counter() - began > budget:
                return tokens / sum(best)

    out = {"engine": name, "version": version}
    for n in LENGTHS:
        texts = [[101] + [(r * 31 + c * 7919) % 29000 + 1000 for c in range(n - 2)] + [102] for r in range(32)]
        out[str(n)] = max(rate([feed(texts[:b])], seconds / 12) for b in (1, 8, 32))
    ordered = sorted(ids, key=len)
    schedules = {"single": (ids, 1), "arrival-32": (ids, 32), "sorted-32": (ordered, 32), "sorted-8": (ordered, 8)}
    rates = {k: rate([feed(order[i:i + b]) for i in range(0, len(order), b)], seconds / 8) for k, (order, b) in schedules.items()}
    out |= {"ragged": max(rates.values()), "best schedule": max(rates, key=rates.get), **rates}
    vectors = np.stack([run(*feed([e]))[0].mean(0) for e in ids])
    np.save(cache / f"{name}.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    print(json.dumps(out))


def ours(program, precision, threads, cache, seconds):
    text = subprocess.run([program, "--precision", precision, "--threads", str(threads), "--seconds", str(seconds), "--texts", str(cache / "texts.txt"),
                           "--vectors", str(cache / f"weir-{precision}.f32")], check=True, capture_output=True, text=True).stdout
    out = {"engine": f"weir-{precision}", "version": text.split(" on ")[1].split(",")[0], "best schedule": "as they arrive"}
    for line in text.splitlines():
        head = line[:16].strip()
        if head in {*map(str, LENGTHS), "ragged"}:
            out[head] = float(line.split("tok/s median")[1].split()[0])  # the best, as for the peers
    out["arrival-32"] = out["ragged"]
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--texts", type=pathlib.Path, help="a text a line; else headlines and paragraphs made from a list of words")
    parser.add_argument("--without", default="", help="engines to leave out, by the beginning of their names, with commas")
    parser.add_argument("--one")
    a = parser.parse_args()
    if a.one:
        return one(a.one, a.threads, a.cache, a.seconds)
    import numpy as np
    if a.texts:
        texts = [t for t in a.texts.read_text().splitlines() if t.strip()][:512]
    else:
        rng = np.random.RandomState(11)
        words = "the river carries what people read every day and some of it matters to nobody while other parts move markets".split()
        sizes = np.clip(np.round(rng.lognormal(4.2045, .614, 512)), 8, 250).astype(int)
        texts = [" ".join(rng.choice(words, n)) for n in sizes]
    ids = prepare(a.cache, texts)
    lengths = sorted(map(len, ids))
    left_out = [w for w in a.without.split(",") if w]
    peers = [e for e in ENGINES if not any(e.startswith(w) for w in left_out)]
    results = {}
    for _ in range(a.rounds):
        for name in peers + ["weir-f32", "weir-bf16", "weir-int8", "weir-int8-portable"]:
            try:
                if name.startswith("weir-"):
                    r = ours(a.ours, name[5:], a.threads, a.cache, a.seconds)
                else:
                    text = subprocess.run([sys.executable, __file__, "--cache", str(a.cache), "--ours", "-", "--one", name, "--threads", str(a.threads), "--seconds", str(a.seconds)],
                                          check=True, capture_output=True, text=True).stdout
                    r = json.loads(text.splitlines()[-1])
            except (subprocess.CalledProcessError, IndexError) as e:
                print(f"{name}: left out ({(getattr(e, 'stderr', '') or str(e)).strip().splitlines()[-1][:120]})", file=sys.stderr)
                continue
            results.setdefault(name, []).append(r)
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    print(f"\n{cpu}, {a.threads} thread(s), {a.rounds} rounds; tokens/s, median of rounds (spread %); ragged: {len(ids)} texts, {statistics.mean(lengths):.0f} tokens on average, longest {lengths[-1]}\n")
    print("| engine | " + " | ".join(map(str, LENGTHS)) + " | ragged, best schedule | sorted-32 | arrival-32 | cosine mean / p1 / min |\n" + "|---" * (len(LENGTHS) + 5) + "|")
    reference = np.load(a.cache / "ort-f32.npy") if "ort-f32" in results else None

    def figure(rounds, key):
        values = [r[key] for r in rounds if key in r]
        if not values:
            return "–"
        middle = statistics.median(values)
        return f"{middle / 1e3:.1f}k ({100 * (max(values) - min(values)) / middle:.0f})"

    for name, rounds in results.items():
        file = a.cache / (f"{name}.f32" if name.startswith("weir-") else f"{name}.npy")
        vectors = np.fromfile(file, np.float32).reshape(len(ids), 384) if file.suffix == ".f32" else np.load(file)
        cosine = (vectors.astype(np.float64) * reference).sum(1) if reference is not None else np.ones(1)
        print(f"| {name} {rounds[0]['version']} | " + " | ".join(figure(rounds, str(n)) for n in LENGTHS) +
              f" | {figure(rounds, 'ragged')} {rounds[0]['best schedule']} | {figure(rounds, 'sorted-32')} | {figure(rounds, 'arrival-32')}"
              f" | {cosine.mean():.6f} / {np.percentile(cosine, 1):.5f} / {cosine.min():.5f} |")
    print()
    best = {k: max((statistics.median([r[k] for r in rounds]), n) for n, rounds in results.items() if not n.startswith("weir-")) for k in [*map(str, LENGTHS), "ragged"]}
    for name, rounds in results.items():
        if name.startswith("weir-"):
            print(f"{name} against the fastest peer of any precision: " + ", ".join(f"{k}: {statistics.median([r[k] for r in rounds]) / v:.2f}× ({n})" for k, (v, n) in best.items()))


main()
