"""Makes the deep models in `models/` that tract can't plan whole or that compute in narrow numbers: python3 make_deep.py

Needs numpy, onnx and onnxruntime. Seeded: run twice, the same files. Answers are ONNX Runtime's, and those of ONNX's
reference evaluator where ONNX Runtime has no bfloat16. A case is as in `make_models.py`.
"""

import json
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

HERE = Path(__file__).parent
RANDOM = np.random.default_rng(20250302)
F32, I64, BOOL, BF16 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL, TensorProto.BFLOAT16
NODE = helper.make_node


def normal(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def graph(nodes, inputs, outputs, weights=(), name="graph"):
    infos = [[helper.make_tensor_value_info(*one) for one in group] for group in (inputs, outputs)]
    tensors = [numpy_helper.from_array(array, key) for key, array in dict(weights).items()]
    return helper.make_graph(nodes, name, *infos, tensors)


def model(*arguments, opset=17):
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph(*arguments), opset_imports=opsets, ir_version=9, producer_name="make_deep")


def tensor(name, array):
    dtype = {"float32": "f32", "int64": "i64", "bool": "bool"}[str(array.dtype)]
    values = [float(str(v)) for v in array.ravel()] if dtype == "f32" else array.ravel().tolist()
    return {"name": name, "dtype": dtype, "shape": list(array.shape), "values": values}


def save(name, onnx_model, *runs, reference=False):
    data = onnx_model.SerializeToString(deterministic=True)
    session = ReferenceEvaluator(onnx_model) if reference else ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in onnx_model.graph.output]
    case = []
    for inputs in runs:
        outputs = [np.asarray(o) for o in session.run(None, inputs)]
        case.append({
            "inputs": [tensor(n, a) for n, a in inputs.items()],
            "outputs": [tensor(n, a) for n, a in zip(names, outputs)],
        })
    (HERE / "models" / f"{name}.onnx").write_bytes(data)
    (HERE / "answers" / f"{name}.json").write_text(json.dumps({"runs": case}) + "\n")


class Samples(CalibrationDataReader):
    def __init__(self, *shape):
        self.left = iter([{"x": normal(*shape)} for _ in range(16)])

    def get_next(self):
        return next(self.left, None)


def quantized(onnx_model, shape, **settings):
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(onnx_model, source)
        quantize_static(source, target, Samples(*shape), **settings)
        return onnx.load(target)


def int8():
    nodes = [
        NODE("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1], name="first"), NODE("Relu", ["c1"], ["r1"], name="relu"),
        NODE("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2], name="pool"),
        NODE("Conv", ["p1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1], name="second"), NODE("Relu", ["c2"], ["r2"], name="relu2"),
        NODE("GlobalAveragePool", ["r2"], ["g"], name="mean"), NODE("Flatten", ["g"], ["f"], name="flat"),
        NODE("Gemm", ["f", "w3", "b3"], ["y"], name="head"),
    ]
    weights = {"w1": 0.3 * normal(8, 3, 3, 3), "b1": normal(8), "w2": 0.2 * normal(12, 8, 3, 3), "b2": normal(12),
               "w3": normal(12, 5), "b3": normal(5)}
    cnn = model(nodes, [("x", F32, ["N", 3, 16, 16])], [("y", F32, ["N", 5])], weights)
    types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    qdq = quantized(cnn, (1, 3, 16, 16), quant_format=QuantFormat.QDQ, per_channel=True, **types)
    save("qdq_cnn", qdq, {"x": normal(1, 3, 16, 16)}, {"x": normal(3, 3, 16, 16)})

    nodes = [NODE("MatMul", ["x", "w1"], ["h"], name="first"), NODE("Add", ["h", "b1"], ["a"], name="add"),
             NODE("Relu", ["a"], ["r"], name="relu"), NODE("MatMul", ["r", "w2"], ["y"], name="second")]
    mlp = model(nodes, [("x", F32, ["N", 8])], [("y", F32, ["N", 4])], {"w1": normal(8, 16), "b1": normal(16), "w2": normal(16, 4)})
    operators = quantized(mlp, (4, 8), quant_format=QuantFormat.QOperator, **types)
    save("qoperator_mlp", operators, {"x": normal(5, 8)}, {"x": normal(1, 8)})


def bf16():
    weights = {"w": normal(6, 4).astype(ml_dtypes.bfloat16), "b": normal(4).astype(ml_dtypes.bfloat16)}
    nodes = [NODE("Cast", ["x"], ["narrow"], to=BF16), NODE("MatMul", ["narrow", "w"], ["h"]),
             NODE("Add", ["h", "b"], ["a"]), NODE("Relu", ["a"], ["r"]), NODE("Cast", ["r"], ["y"], to=F32)]
    save("bf16", model(nodes, [("x", F32, ["N", 6])], [("y", F32, ["N", 4])], weights),
         {"x": normal(1, 6)}, {"x": normal(5, 6)}, reference=True)


def branches():
    yes = graph([NODE("MatMul", ["x", "w"], ["up"])], [], [("up", F32, ["N", 3])], name="yes")
    no = graph([NODE("Neg", ["x"], ["down"])], [], [("down", F32, ["N", 3])], name="no")
    nodes = [NODE("ReduceSum", ["x"], ["s"], keepdims=0), NODE("Greater", ["s", "zero"], ["more"]),
             NODE("If", ["more"], ["y"], then_branch=yes, else_branch=no)]
    m = model(nodes, [("x", F32, ["N", 3])], [("y", F32, ["N", 3])], {"w": normal(3, 3), "zero": np.float32(0)})
    save("if", m, {"x": abs(normal(2, 3))}, {"x": -abs(normal(4, 3))})


def loops():
    """Doubles until the sum exceeds a limit, and collects each step; the number of steps depends on the values."""
    body = graph(
        [NODE("Add", ["state", "state"], ["next"]), NODE("ReduceSum", ["next"], ["sum"], keepdims=0),
         NODE("Less", ["sum", "limit"], ["going"]), NODE("Identity", ["next"], ["seen"])],
        [("at", I64, []), ("was", BOOL, []), ("state", F32, [2])],
        [("going", BOOL, []), ("next", F32, [2]), ("seen", F32, [2])], name="body")
    nodes = [NODE("Loop", ["most", "", "x"], ["last", "steps"], body=body)]
    m = model(nodes, [("x", F32, [2]), ("limit", F32, [])], [("last", F32, [2]), ("steps", F32, ["T", 2])], {"most": np.int64(20)})
    x = np.array([1, 0.5], np.float32)
    save("loop", m, {"x": x, "limit": np.array(30, np.float32)}, {"x": x, "limit": np.array(1, np.float32)}, {"x": x, "limit": np.array(1e30, np.float32)})


def scans():
    body = graph(
        [NODE("MatMul", ["state", "r"], ["h"]), NODE("Add", ["h", "row"], ["a"]), NODE("Tanh", ["a"], ["next"]),
         NODE("Identity", ["next"], ["seen"])],
        [("state", F32, [1, 3]), ("row", F32, [1, 3])], [("next", F32, [1, 3]), ("seen", F32, [1, 3])], name="body")
    nodes = [NODE("Scan", ["start", "x"], ["last", "all"], body=body, num_scan_inputs=1)]
    m = model(nodes, [("x", F32, ["T", 1, 3])], [("last", F32, [1, 3]), ("all", F32, ["T", 1, 3])],
              {"r": normal(3, 3), "start": np.zeros((1, 3), np.float32)})
    save("scan", m, {"x": normal(5, 1, 3)}, {"x": normal(2, 1, 3)})


def sizes():
    """A picture enlarged to the size that another input gives, between two convolutions."""
    nodes = [NODE("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), NODE("Shape", ["c"], ["whole"]),
             NODE("Slice", ["whole", "zero", "two"], ["front"]), NODE("Concat", ["front", "size"], ["sizes"], axis=0),
             NODE("Resize", ["c", "", "", "sizes"], ["r"], mode="linear"), NODE("Conv", ["r", "v"], ["y"])]
    weights = {"w": normal(4, 3, 3, 3), "v": normal(2, 4, 1, 1), "zero": np.array([0]), "two": np.array([2])}
    m = model(nodes, [("x", F32, ["N", 3, "H", "W"]), ("size", I64, [2])], [("y", F32, ["N", 2, "P", "Q"])], weights)
    x = normal(1, 3, 6, 5)
    save("sizes", m, {"x": x, "size": np.array([9, 10])}, {"x": x, "size": np.array([6, 7])}, {"x": normal(2, 3, 4, 4), "size": np.array([8, 8])})


def names():
    """Names with what is markup elsewhere."""
    first, second = "<script>alert('1')</script> & \"more\"", "line\nbreak \x01 ]]>"
    nodes = [NODE("MatMul", ["x", "w"], ["h"], name=first), NODE("Softmax", ["h"], ["y"], name=second, axis=-1)]
    save("names", model(nodes, [("x", F32, [2, 3])], [("y", F32, [2, 3])], {"w": normal(3, 3)}), {"x": normal(2, 3)})


for make in (int8, bf16, branches, loops, scans, sizes, names):
    make()
