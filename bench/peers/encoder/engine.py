"""One peer in a process of its own: engine.py NAME THREADS SECONDS CACHE [vectors] prints a JSON object with the samples of each figure, in tokens a second.

Peers get token ids, made and padded outside the timed part. `many` runs feeds as the engine likes best when it has several streams.
"""
import glob
import json
import os
import pathlib
import sys
import time

ENGINES = {  # in the order of the table; the last word of OpenVINO's is its streams
    "ort-f32": "ort f32", "ort-int8": "ort int8",
    "ov-f32": "ov f32 f32 1", "ov-bf16": "ov f32 bf16 1", "ov-int8": "ov int8 f32 1", "ov-int8-bf16": "ov int8 bf16 1",
    "ov-bf16 2 streams": "ov f32 bf16 2", "ov-int8 2 streams": "ov int8 f32 2", "ov-int8-bf16 2 streams": "ov int8 bf16 2",
    "torch-f32": "torch f32", "torch-bf16": "torch bf16", "torch-int8": "torch int8",
    "llama-f16": "llama f16", "llama-q8_0": "llama q8_0",
}
LENGTHS = (16, 64, 128, 256)


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


class Ort(Engine):
    def __init__(self, threads, cache, model):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = onnxruntime.InferenceSession(str(cache / f"{model}.onnx"), options, providers=["CPUExecutionProvider"])
        self.run = lambda f: session.run(None, {"input_ids": f[0], "attention_mask": f[1]})[0]
        self.version, self.isa = onnxruntime.__version__, "its own dispatch"


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
        kinds = " ".join(str(getattr(o.get_rt_info()["primitiveType"], "value", o.get_rt_info()["primitiveType"])) for o in compiled.get_runtime_model().get_ops())
        self.version, self.isa = openvino.__version__.split("-")[0], "avx512" if "avx512" in kinds else "avx2" if "avx2" in kinds else "?"


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
        self.version, self.isa = torch.__version__.split("+")[0], torch.backends.cpu.get_cpu_capability().lower()


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
        self.version, self.isa = l.__version__, "avx512" if b"AVX512 = 1" in l.llama_print_system_info() else "avx2"


def sample(engine, feeds, tokens, seconds, at_least):
    """Tokens a second of each pass over the feeds."""
    engine.many(feeds[:2])
    out, began = [], time.perf_counter()
    while len(out) < at_least or time.perf_counter() - began < seconds:
        a = time.perf_counter()
        engine.many(feeds)
        out.append(tokens / (time.perf_counter() - a))
        if time.perf_counter() - began > 4 * seconds + 2:
            break
    return out


def main():
    name, threads, seconds, cache = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), pathlib.Path(sys.argv[4])
    os.environ["OMP_NUM_THREADS"] = str(threads)
    kind, *arguments = ENGINES[name].split()
    engine = {"ort": Ort, "ov": OpenVino, "torch": Torch, "llama": Llama}[kind](threads, cache, *arguments)
    ids = json.loads((cache / "ids.json").read_text())
    out = {"version": engine.version, "isa": engine.isa, "figures": {}}
    for n in LENGTHS:
        texts = [[101] + [(r * 31 + c * 7919) % 29000 + 1000 for c in range(n - 2)] + [102] for r in range(32)]
        for b in engine.batches:
            feeds = [engine.feed(texts[:b])] * (1 if engine.streams == 1 else 4)
            out["figures"][f"{n}/{b}"] = sample(engine, feeds, n * b * len(feeds), seconds / 24, 5)
    stream = ids["stream"]
    ordered = sorted(stream, key=len)
    for schedule, order, b in (("single", stream, 1), ("arrival-32", stream, 32), ("sorted-32", ordered, 32), ("sorted-8", ordered, 8)):
        if b > max(engine.batches):
            continue
        feeds = [engine.feed(order[i:i + b]) for i in range(0, len(order), b)]
        out["figures"][f"ragged/{schedule}"] = sample(engine, feeds, sum(map(len, stream)), seconds / 8, 2)
    if len(sys.argv) > 5:
        import numpy as np
        for what in ("stream", "sts"):
            if ids[what]:
                vectors = np.stack([engine.vector(e) for e in ids[what]])
                np.save(cache / f"{name} {what}.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    print(json.dumps(out))


if __name__ == "__main__":
    main()
