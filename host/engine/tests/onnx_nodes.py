"""Writes ONNX's backend node cases for `onnx_nodes.rs`: python onnx_nodes.py FOLDER

`cases.json` names them, `cases.bin` holds models and tensors. Seeded: run twice, the same files. A tensor's bytes are
little-endian and row-major, an element narrower than a byte takes a byte; strings stand in the JSON.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")
np.random.seed(20250301)

import onnx  # noqa: E402
from onnx import TensorProto, numpy_helper  # noqa: E402
from onnx.backend.test.case.node import collect_testcases  # noqa: E402  (cases are made on import)

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
stream = bytearray()


def span(data):
    stream.extend(data)
    return [len(stream) - len(data), len(data)]


def tensor(info, value):
    """`None` for what is no tensor: sequences, optional values and maps."""
    if isinstance(value, TensorProto):
        value = numpy_helper.to_array(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        return None
    array = np.asarray(value)
    one = {"name": info.name, "dtype": str(array.dtype), "shape": list(array.shape)}
    if array.dtype.kind in "OUS":
        texts = [v.decode() if isinstance(v, bytes) else str(v) for v in array.ravel()]
        return one | {"dtype": "string", "strings": texts}
    return one | {"bytes": span(np.ascontiguousarray(array).tobytes())}


def kind(case):
    """What a case is about. Optimisers, and the dropout and batch normalisation of a training run, are training."""
    graph = case.model.graph
    if any(node.domain == "ai.onnx.preview.training" for node in graph.node) or "training_" in case.name:
        return "training"
    values = [info.type.WhichOneof("value") for info in [*graph.input, *graph.output]]
    operators = [node.op_type for node in graph.node]
    if any(value != "tensor_type" for value in values) or any("Sequence" in o or "Optional" in o for o in operators):
        return "sequence or optional"
    return "inference"


def fixed(case):
    """The same with all inputs but the first as constants in the file, as exporters write them."""
    graph, (inputs, outputs) = case.model.graph, case.data_sets[0]
    if kind(case) != "inference" or len(graph.input) < 2 or any(value is None for value in inputs):
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    del model.graph.input[1:]
    for info, value in zip(graph.input[1:], inputs[1:]):
        proto = value if isinstance(value, TensorProto) else numpy_helper.from_array(np.asarray(value))
        constant = model.graph.initializer.add()
        constant.CopyFrom(proto)
        constant.name = info.name
    return model, inputs[:1], outputs


cases = []


def add(name, kind, operators, model, inputs, outputs, case):
    cases.append({
        "name": name,
        "kind": kind,
        "operators": operators,
        "rtol": case.rtol,
        "atol": case.atol,
        "model": span(model.SerializeToString(deterministic=True)),
        "inputs": [tensor(info, value) for info, value in zip(model.graph.input, inputs)],
        "outputs": [tensor(info, value) for info, value in zip(model.graph.output, outputs)],
    })


for case in sorted(collect_testcases(None), key=lambda case: case.name):
    ((inputs, outputs),) = case.data_sets
    name, operators = case.name.removeprefix("test_"), sorted({node.op_type for node in case.model.graph.node})
    add(name, kind(case), operators, case.model, inputs, outputs, case)
    if twin := fixed(case):
        add(f"{name} (constants)", "inference, with constants", operators, *twin, case)
(folder / "cases.bin").write_bytes(stream)
(folder / "cases.json").write_text(json.dumps(cases))
