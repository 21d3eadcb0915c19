"""Makes `extremes.txt`, the operators that there are and the numbers that they take beside their inputs: python3 make_extremes.py

Needs onnx==1.23.2. A line for each: the domain, the name, and its attributes of every version of the operator, `name` where one is
a whole number, `name[]` where it is a list of them, `name.` and `name.[]` where they are floats.
"""

from pathlib import Path

import onnx

KINDS = {"INT": "", "INTS": "[]", "FLOAT": ".", "FLOATS": ".[]"}
# Those of com.microsoft that tract has, as ONNX Runtime documents them (docs/ContribOperators.md).
MICROSOFT = {
    "BiasGelu": "",
    "FastGelu": "",
    "GatherBlockQuantized": "bits block_size gather_axis quantize_axis",
    "GroupQueryAttention": "do_rotary kv_num_heads local_window_size num_heads rotary_interleaved scale. smooth_softmax softcap.",
    "MatMulNBits": "K N accuracy_level bits block_size",
    "MultiHeadAttention": "mask_filter_value. num_heads scale. unidirectional",
    "QuickGelu": "alpha.",
    "RotaryEmbedding": "interleaved is_packed_batching num_heads rotary_embedding_dim scale. scale",
    "SimplifiedLayerNormalization": "axis epsilon.",
    "SkipLayerNormalization": "epsilon.",
}

operators = {}
for schema in onnx.defs.get_all_schemas_with_history():
    if schema.domain in ("", "ai.onnx.ml"):
        attributes = operators.setdefault((schema.domain or "ai.onnx", schema.name), set())
        for name, attribute in schema.attributes.items():
            kind = KINDS.get(attribute.type.name)
            if kind is not None:
                attributes.add(name + kind)
for name, attributes in MICROSOFT.items():
    operators["com.microsoft", name] = set(attributes.split())
lines = [" ".join([*key, *sorted(attributes)]) for key, attributes in sorted(operators.items())]
(Path(__file__).parent / "extremes.txt").write_text("\n".join(lines) + "\n")
