"""The race's inputs: texts, their token ids, and MiniLM in each peer's own form, made from the same weights. All lands in the cache, once."""
import csv
import hashlib
import json
import os
import pathlib
import random
import sys

HOME = pathlib.Path(os.environ.get("WEIR_MODELS", pathlib.Path.home() / ".cache/weir/models")) / "minilm"
LAYERS, HEADS, HIDDEN, INNER = 6, 12, 384, 1536


def weights():
    import numpy as np
    raw = open(HOME / "model.safetensors", "rb").read()
    n = int.from_bytes(raw[:8], "little")
    out = {}
    for name, t in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__" and t["dtype"] == "F32":
            out[name] = np.frombuffer(raw, np.float32, -1 if not t["shape"] else int(np.prod(t["shape"])), 8 + n + t["data_offsets"][0]).reshape(t["shape"])
    return out


def stream(data, n):
    """A stream as a reader's feeds send it: a third bare titles, a half titles with a lead, the rest the beginnings of articles; shuffled."""
    rng = random.Random(11)
    if data is None:
        words = "the river carries what people read every day and some of it matters to nobody while other parts move markets".split()
        return [" ".join(rng.choices(words, k=max(8, min(250, round(rng.lognormvariate(4.2, .61)))))) for _ in range(n)]
    titles = [json.loads(line) for line in open(data / "gdelt/before_20250427.jsonl", encoding="utf-8")]
    titles = [t["title"] for t in titles if t.get("title") and t["title"].isascii()]
    leads = [f"{row[1]}. {row[2]}" for row in csv.reader(open(data / "ag_news/half_odd.csv", encoding="utf-8"))]
    articles = [" ".join(p.read_text(encoding="latin-1").split())[:1400] for p in sorted((data / "bbc_summary/News Articles").rglob("*.txt"))]
    for texts in (titles, leads, articles):
        rng.shuffle(texts)
    out = titles[:n * 3 // 10] + leads[:n // 2] + articles[:n - n * 3 // 10 - n // 2]
    rng.shuffle(out)
    return [" ".join(t.split()) for t in out]


def pairs(data):
    """STS-B, dev: (score, a, b)."""
    if data is None:
        return []
    rows = (line.rstrip("\n").split("\t") for line in open(data / "stsbenchmark_en/sts-dev.csv", encoding="utf-8"))
    return [(float(r[4]), r[5], r[6]) for r in rows if len(r) > 6]


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
    shape, flat = const(np.array([0, 0, HEADS, HIDDEN // HEADS], np.int64)), const(np.array([0, 0, HIDDEN], np.int64))
    for i in range(LAYERS):
        p = f"encoder.layer.{i}."
        q, k, v = (op("Reshape", linear(x, p + "attention.self." + n), shape) for n in ("query", "key", "value"))
        scores = op("MatMul", op("Transpose", q, perm=[0, 2, 1, 3]), op("Transpose", k, perm=[0, 2, 3, 1]))
        a = op("Softmax", op("Add", op("Div", scores, const(np.float32((HIDDEN / HEADS) ** .5))), mask), axis=-1)
        a = op("Reshape", op("Transpose", op("MatMul", a, op("Transpose", v, perm=[0, 2, 1, 3])), perm=[0, 2, 1, 3]), flat)
        x = norm(op("Add", linear(a, p + "attention.output.dense"), x), p + "attention.output.LayerNorm")
        u = linear(x, p + "intermediate.dense")
        u = op("Mul", op("Mul", u, op("Add", op("Erf", op("Div", u, const(np.float32(2 ** .5)))), const(np.float32(1)))), const(np.float32(.5)))
        x = norm(op("Add", linear(u, p + "output.dense"), x), p + "output.LayerNorm")
    nodes.append(helper.make_node("Identity", [x], ["states"]))
    ids = [helper.make_tensor_value_info(n, TensorProto.INT64, ["b", "s"]) for n in ("input_ids", "attention_mask")]
    graph = helper.make_graph(nodes, "minilm", ids, [helper.make_tensor_value_info("states", TensorProto.FLOAT, ["b", "s", HIDDEN])], initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


def make_gguf(path, kind):
    """llama.cpp's form: matrices in `kind`, vectors in f32."""
    import gguf
    w = weights()
    out = gguf.GGUFWriter(path, "bert")
    out.add_name("minilm")
    out.add_context_length(512)
    out.add_embedding_length(HIDDEN)
    out.add_feed_forward_length(INNER)
    out.add_block_count(LAYERS)
    out.add_head_count(HEADS)
    out.add_layer_norm_eps(1e-12)
    out.add_causal_attention(False)
    out.add_pooling_type(gguf.PoolingType.MEAN)
    words = (HOME / "vocab.txt").read_text(encoding="utf-8").splitlines()
    out.add_tokenizer_model("bert")
    out.add_token_list([t[2:] if t.startswith("##") else t if t.startswith("[") and t.endswith("]") else "▁" + t for t in words])
    out.add_token_types([gguf.TokenType.CONTROL if t.startswith("[") and t.endswith("]") else gguf.TokenType.NORMAL for t in words])
    out.add_token_type_count(2)
    for name, token in (("bos", 101), ("eos", 102), ("sep", 102), ("unk", 100), ("pad", 0), ("mask", 103)):
        getattr(out, f"add_{name}_token_id")(token)
    type_ = {"f16": gguf.GGMLQuantizationType.F16, "q8_0": gguf.GGMLQuantizationType.Q8_0, "f32": gguf.GGMLQuantizationType.F32}[kind]
    tensors = {"token_embd": "embeddings.word_embeddings", "position_embd": "embeddings.position_embeddings", "token_types": "embeddings.token_type_embeddings",
               "token_embd_norm": "embeddings.LayerNorm"}
    for i in range(LAYERS):
        for to, source in (("attn_q", "attention.self.query"), ("attn_k", "attention.self.key"), ("attn_v", "attention.self.value"), ("attn_output", "attention.output.dense"),
                           ("attn_output_norm", "attention.output.LayerNorm"), ("ffn_up", "intermediate.dense"), ("ffn_down", "output.dense"),
                           ("layer_output_norm", "output.LayerNorm")):
            tensors[f"blk.{i}.{to}"] = f"encoder.layer.{i}.{source}"
    for to, source in tensors.items():
        for part in ("weight", "bias"):
            if f"{source}.{part}" not in w:
                continue
            value = w[f"{source}.{part}"]
            t = type_ if value.ndim == 2 and to.startswith(("blk", "token_embd")) else gguf.GGMLQuantizationType.F32
            out.add_tensor(f"{to}.{part}", gguf.quants.quantize(value, t), raw_dtype=t)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def prepare(cache, data, count):
    """(ids of the stream, pairs). Models are made once; texts and ids each time."""
    from tokenizers import Tokenizer
    cache.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(HOME / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    texts, sts = stream(data, max(count, 256)), pairs(data)
    texts_of_pairs = [t for p in sts for t in p[1:]]
    calibration = [tokenizer.encode(t).ids for t in texts]  # of all; the race may run over fewer
    texts, ids = texts[:count], calibration[:count]
    (cache / "texts.txt").write_text("\n".join(texts) + "\n")
    (cache / "sts.txt").write_text("".join(t + "\n" for t in texts_of_pairs))
    (cache / "ids.json").write_text(json.dumps({"stream": ids, "sts": [tokenizer.encode(t).ids for t in texts_of_pairs]}))

    def once(name, make):
        if (cache / name).exists():
            return
        try:
            make(cache / name)
        except Exception as e:  # a peer less: the race goes on
            (cache / name).unlink(missing_ok=True)
            print(f"race: {name} cannot be made: {type(e).__name__}: {str(e)[:150]}", file=sys.stderr)

    def quantised(path):
        from onnxruntime.quantization import QuantType, quantize_dynamic
        quantize_dynamic(str(cache / "f32.onnx"), str(path), per_channel=True, weight_type=QuantType.QInt8)

    def converted(path):
        import openvino
        openvino.save_model(openvino.convert_model(str(cache / "f32.onnx")), str(path), compress_to_fp16=False)

    def calibrated(path):
        import nncf
        import numpy as np
        import openvino
        feeds = nncf.Dataset(calibration, lambda e: {"input_ids": np.array([e], np.int64), "attention_mask": np.ones((1, len(e)), np.int64)})
        model = openvino.convert_model(str(cache / "f32.onnx"))
        openvino.save_model(nncf.quantize(model, feeds, model_type=nncf.ModelType.TRANSFORMER, preset=nncf.QuantizationPreset.MIXED, subset_size=len(calibration)), str(path))

    once("f32.onnx", lambda p: make_onnx(str(p)))
    once("int8.onnx", quantised)
    once("f32.xml", converted)
    once(f"int8-{hashlib.sha256(json.dumps(calibration).encode()).hexdigest()[:8]}.xml", calibrated)
    for kind in ("f16", "q8_0"):
        once(f"{kind}.gguf", lambda p: make_gguf(str(p), kind))
    return ids, sts
