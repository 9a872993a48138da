"""One peer in a process of its own: engine.py NAME THREADS CACHE, driven by lines on its input, each answered by a JSON object in a line.

The first object tells its version. `round SECONDS` measures every figure once more (samples in tokens a second), `vectors` writes what accuracy needs into the
cache, `proof` runs one batch for the sake of the log and tells which implementations ran, as far as the engine itself tells it. A schedule that the first round
found slower than two thirds of the best is not measured again, but for sorted-32. Token ids are made, and padded, outside the timed part.
`many` runs feeds as the engine likes best when it has several streams.
"""
import collections
import glob
import json
import os
import pathlib
import sys
import time

ENGINES = {  # in the order of the table; the last word of OpenVINO's is its streams
    "ort-f32": "ort f32", "ort-int8": "ort int8",
    "ov-f32": "ov f32 f32 1", "ov-bf16": "ov f32 bf16 1", "ov-int8": "ov int8 f32 1", "ov-int8-bf16": "ov int8 bf16 1",
    "ov-f32 2 streams": "ov f32 f32 2", "ov-bf16 2 streams": "ov f32 bf16 2", "ov-int8 2 streams": "ov int8 f32 2", "ov-int8-bf16 2 streams": "ov int8 bf16 2",
    "torch-f32": "torch f32", "torch-bf16": "torch bf16", "torch-int8": "torch int8",
    "llama-f16": "llama f16", "llama-q8_0": "llama q8_0",
}
LENGTHS, ALONE = (16, 64, 128, 256), (8, 32, 128)


def padded(group):
    import numpy as np
    i = np.zeros((len(group), max(map(len, group))), np.int64)
    m = np.zeros_like(i)
    for r, e in enumerate(group):
        i[r, :len(e)], m[r, :len(e)] = e, 1
    return i, m


class Engine:
    streams, batches, feed = 1, (1, 8, 32), staticmethod(padded)

    def vector(self, ids):
        return self.run(self.feed([ids]))[0].mean(0)

    def many(self, feeds):
        for f in feeds:
            self.run(f)

    def parts(self):
        """Implementations by name and how many nodes each has, where the engine can tell it better than its log."""
        return {}


class Ort(Engine):
    def __init__(self, threads, cache, model):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = onnxruntime.InferenceSession(str(cache / f"{model}.onnx"), options, providers=["CPUExecutionProvider"])
        self.run = lambda f: session.run(None, {"input_ids": f[0], "attention_mask": f[1]})[0]
        self.version = onnxruntime.__version__


class OpenVino(Engine):
    def __init__(self, threads, cache, model, precision, streams):
        import openvino
        self.streams = int(streams)
        path = max(glob.glob(str(cache / "int8-*.xml")), key=os.path.getmtime) if model == "int8" else str(cache / "f32.xml")
        compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": self.streams,
                                                               "INFERENCE_PRECISION_HINT": precision, "ENABLE_CPU_PINNING": False})
        request, queue = compiled.create_infer_request(), openvino.AsyncInferQueue(compiled, self.streams)
        inputs = lambda f: {"input_ids": f[0], "attention_mask": f[1]}
        self.run = lambda f: request.infer(inputs(f), share_inputs=True, share_outputs=True)[0]

        def many(feeds):
            for f in feeds:
                queue.start_async(inputs(f), share_inputs=True)
            queue.wait_all()
        if self.streams > 1:
            self.many = many
        # Held to AVX2 its int8 softmax fails ("could not execute a primitive") if the first batch that a stream sees is of an odd length.
        self.many([padded([[101] * 16])] * 8 * self.streams)
        self.run(padded([[101] * 16]))
        self.version, self.compiled = openvino.__version__.split("-")[0], compiled

    def parts(self):
        found = collections.Counter()
        for node in self.compiled.get_runtime_model().get_ops():
            kind, how = (getattr(node.get_rt_info()[k], "value", node.get_rt_info()[k]) for k in ("layerType", "primitiveType"))
            if not how.startswith("unknown"):
                found[f"{kind} {how}"] += 1
        return found


class Torch(Engine):
    def __init__(self, threads, cache, precision):
        import warnings
        import models
        import torch
        import transformers
        warnings.simplefilter("ignore")
        torch.set_num_threads(threads)
        config = transformers.BertConfig.from_json_file(str(models.HOME / "config.json"))
        model = transformers.BertModel(config, add_pooling_layer=False).eval()
        model.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in models.weights().items()}, strict=False)
        if precision == "bf16":
            model = model.bfloat16()
        if precision == "int8":
            model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)

        def run(f):
            with torch.inference_mode():
                return model(input_ids=torch.from_numpy(f[0]), attention_mask=torch.from_numpy(f[1])).last_hidden_state.float().numpy()
        self.run = run
        self.version = torch.__version__.split("+")[0]
        self.parts = lambda: {f"ATen {torch.backends.cpu.get_cpu_capability().lower()}": 1}


class Llama(Engine):
    batches = (1, 8)  # sequences of a call attend through one mask: more of them cost more

    def __init__(self, threads, cache, kind):
        import ctypes
        import llama_cpp as l
        import numpy as np
        l.llama_backend_init()
        log = l.llama_log_callback(lambda *a: None)
        self.keep = log
        l.llama_log_set(log, None)
        model = l.llama_model_load_from_file(str(cache / f"{kind}.gguf").encode(), l.llama_model_default_params())
        p = l.llama_context_default_params()
        p.n_ctx = p.n_batch = p.n_ubatch = 2048
        p.n_seq_max, p.n_threads, p.n_threads_batch, p.embeddings, p.kv_unified = 8, threads, threads, True, True
        context = l.llama_init_from_model(model, p)

        def feed(group):
            batch = l.llama_batch_init(sum(map(len, group)), 0, 1)
            at = 0
            for s, ids in enumerate(group):
                for i, token in enumerate(ids):
                    batch.token[at], batch.pos[at], batch.n_seq_id[at], batch.seq_id[at][0], batch.logits[at] = token, i, 1, s, 1
                    at += 1
            batch.n_tokens = at
            return batch, len(group)

        def run(f):
            if l.llama_encode(context, f[0]) != 0:
                raise RuntimeError("llama_encode")
            return [np.ctypeslib.as_array(l.llama_get_embeddings_seq(context, s), (1, 384)) for s in range(f[1])]
        self.feed, self.run = feed, run
        self.version = l.__version__


def sample(engine, feeds, tokens, seconds, at_least):
    """Tokens a second of each pass over the feeds."""
    engine.many(feeds[:2])
    out, began = [], time.perf_counter()
    while len(out) < at_least or time.perf_counter() - began < seconds:
        a = time.perf_counter()
        engine.many(feeds)
        out.append(tokens / (time.perf_counter() - a))
    return out


class Bench:
    def __init__(self, engine, ids):
        self.engine, self.slow = engine, set()
        self.work = {}  # what a figure's prefix is made of: schedule to (feeds, tokens)
        texts = {n: [[101] + [(r * 31 + c * 7919) % 29000 + 1000 for c in range(n - 2)] + [102] for r in range(32)] for n in {*LENGTHS, *ALONE}}
        times = 1 if engine.streams == 1 else 4
        for n in LENGTHS:
            self.work[str(n)] = {str(b): ([engine.feed(texts[n][:b])] * times, n * b * times) for b in engine.batches if n * b <= 4096}
        for n in ALONE:
            self.work[f"one text of {n}"] = {"1": ([engine.feed(texts[n][:1])], n)}
        stream, ordered = ids["stream"], sorted(ids["stream"], key=len)
        self.work["ragged"] = {name: ([engine.feed(order[i:i + b]) for i in range(0, len(order), b)], sum(map(len, stream)))
                               for name, order, b in (("single", stream, 1), ("arrival-32", stream, 32), ("sorted-32", ordered, 32), ("sorted-8", ordered, 8))
                               if b <= max(engine.batches)}

    def round(self, seconds):
        out = {}
        for what, schedules in self.work.items():
            for name, (feeds, tokens) in schedules.items():
                if f"{what}/{name}" not in self.slow:
                    out[f"{what}/{name}"] = sample(self.engine, feeds, tokens, seconds / 24, 1 if what == "ragged" else 2)
            best = max(max(v) for k, v in out.items() if k.startswith(what + "/"))
            self.slow |= {k for k, v in out.items() if k.startswith(what + "/") and max(v) < best * 2 / 3 and not k.endswith("sorted-32")}
        return out


def main():
    name, threads, cache = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
    kind, *arguments = ENGINES[name].split()
    engine = {"ort": Ort, "ov": OpenVino, "torch": Torch, "llama": Llama}[kind](threads, cache, *arguments)
    ids = json.loads((cache / "ids.json").read_text())
    bench = Bench(engine, ids)
    print(json.dumps({"version": engine.version}), flush=True)
    for line in sys.stdin:
        word, *values = line.split()
        answer = {}
        if word == "round":
            answer = bench.round(float(values[0]))
        elif word == "proof":
            engine.run(engine.feed(ids["stream"][:4]))
            answer = engine.parts()
        elif word == "vectors":
            import numpy as np
            for what in filter(ids.get, ("stream", "sts")):
                vectors = np.stack([engine.vector(e) for e in ids[what]])
                np.save(cache / f"{name} {what}.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
