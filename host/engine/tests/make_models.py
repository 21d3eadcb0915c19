"""Makes the models in `models/` and what ONNX Runtime answers for them in `answers/`: python3 make_models.py

Needs numpy, onnx, onnxruntime, onnxmltools, skl2onnx, scikit-learn and xgboost. Seeded: run twice, the same files.
A case: {"runs": [{"inputs": [tensor], "outputs": [tensor]}]}, a tensor {"name", "dtype", "shape", "values"}.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

HERE = Path(__file__).parent
RANDOM = np.random.default_rng(20250301)
F32, F16, I64, BOOL = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.BOOL
F64 = TensorProto.DOUBLE


def normal(*shape, dtype=np.float32):
    return RANDOM.standard_normal(shape).astype(dtype)


def model(nodes, inputs, outputs, weights=(), value_info=(), opset=13):
    infos = [[helper.make_tensor_value_info(*one) for one in group] for group in (inputs, outputs, value_info)]
    tensors = [numpy_helper.from_array(array, name) for name, array in dict(weights).items()]
    graph = helper.make_graph(nodes, "graph", infos[0], infos[1], tensors, value_info=infos[2])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="make_models")


def tensor(name, array):
    names = {"object": "string", "float16": "f16", "float32": "f32", "float64": "f64", "int64": "i64", "bool": "bool"}
    dtype = names[str(array.dtype)]
    values = array.ravel().tolist()
    if dtype.startswith("f"):
        # The shortest digits that name the number; JSON has no nan and inf.
        values = [float(str(v)) if np.isfinite(v) else str(v) for v in array.ravel()]
    return {"name": name, "dtype": dtype, "shape": list(array.shape), "values": values}


def save(name, onnx_model, *runs):
    data = onnx_model.SerializeToString()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    case = []
    for inputs in runs:
        outputs = [np.asarray(o) for o in session.run(None, inputs)]
        case.append({
            "inputs": [tensor(n, a) for n, a in inputs.items()],
            "outputs": [tensor(n, a) for n, a in zip(names, outputs)],
        })
    (HERE / "models" / f"{name}.onnx").write_bytes(data)
    (HERE / "answers" / f"{name}.json").write_text(json.dumps({"runs": case}) + "\n")


def linear():
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    m = model(nodes, [("x", F32, ["N", 4])], [("y", F32, ["N", 3])], {"w": normal(4, 3), "b": normal(3)})
    helper.set_model_props(m, {"labels": "a,b,c"})
    save("linear", m, {"x": normal(1, 4)}, {"x": normal(5, 4)})


def mlp():
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h1"]), helper.make_node("Add", ["h1", "b1"], ["h2"]),
        helper.make_node("Relu", ["h2"], ["h3"]), helper.make_node("Gemm", ["h3", "w2", "b2"], ["h4"]),
        helper.make_node("Softmax", ["h4"], ["y"], axis=1),
    ]
    weights = {"w1": normal(4, 16), "b1": normal(16), "w2": normal(16, 3), "b2": normal(3)}
    save("mlp", model(nodes, [("x", F32, ["batch-size", 4])], [("y", F32, [None, 3])], weights),
         {"x": normal(1, 4)}, {"x": normal(7, 4)})


def cnn(dtype=np.float32, code=F32, **changes):
    """Three channels in, two out, at half the size and back."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("ConvTranspose", ["r1", "w2"], ["u1"], strides=[2, 2]),
        helper.make_node("Concat", ["u1", "x"], ["k1"], axis=1),
        helper.make_node("Conv", ["k1", "w3"], ["y"], kernel_shape=[1, 1]),
    ]
    w = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 4, 2, 2), "w3": (2, 7, 1, 1)}
    weights = {name: 0.3 * normal(*shape) for name, shape in w.items()}
    weights = {name: array.astype(dtype) for name, array in weights.items()}
    arguments = {"inputs": [("x", code, ["N", 3, "H", "W"])], "outputs": [("y", code, ["N", 2, "H", "W"])]}
    return model(nodes, weights=weights, **(arguments | changes))


def images():
    shapes = [(1, 3, 8, 8), (2, 3, 4, 6), (3, 3, 2, 2)]
    save("cnn", cnn(), *({"x": normal(*s)} for s in shapes))
    wrong = {"outputs": [("y", F32, ["N", 5, 7, 7])], "value_info": [("c1", F32, ["N", 8, 3, 3])]}
    save("cnn_wrong_dims", cnn(**wrong), {"x": normal(1, 3, 8, 8)})
    fixed = {"inputs": [("x", F32, [1, 3, 8, 8])]}
    save("cnn_fixed", cnn(**fixed), {"x": normal(1, 3, 8, 8)})
    save("cnn_f16", cnn(np.float16, F16), {"x": normal(1, 3, 8, 8, dtype=np.float16)})
    # f32 outside, f16 within
    m = cnn(np.float16, F16, inputs=[("x32", F32, ["N", 3, "H", "W"])], outputs=[("y32", F32, ["N", 2, "H", "W"])])
    m.graph.node.insert(0, helper.make_node("Cast", ["x32"], ["x"], to=F16))
    m.graph.node.append(helper.make_node("Cast", ["y"], ["y32"], to=F32))
    save("cnn_f16_within", m, {"x32": normal(2, 3, 8, 8)})


def several():
    nodes = [
        helper.make_node("Where", ["mask", "a", "b"], ["picked"]), helper.make_node("Greater", ["a", "b"], ["more"]),
        helper.make_node("Gather", ["table", "at"], ["rows"]), helper.make_node("Shape", ["a"], ["shape"]),
    ]
    inputs = [("a", F32, ["N", 3]), ("b", F32, ["N", 3]), ("mask", BOOL, ["N", 3]), ("at", I64, ["K"])]
    outputs = [("picked", F32, ["N", 3]), ("more", BOOL, ["N", 3]), ("rows", F32, ["K", 2]), ("shape", I64, [2])]
    m = model(nodes, inputs, outputs, {"table": normal(4, 2)})
    save("several", m, {"a": normal(2, 3), "b": normal(2, 3), "mask": normal(2, 3) > 0, "at": np.array([3, 0, 1, 3])})


def lstm():
    nodes = [helper.make_node("LSTM", ["x", "w", "r"], ["", "h"], hidden_size=3)]
    weights = {"w": normal(1, 12, 2), "r": normal(1, 12, 3)}
    m = model(nodes, [("x", F32, ["T", 1, 2])], [("h", F32, [1, 1, 3])], weights)
    x = normal(4, 1, 2)
    save("lstm", m, {"x": x}, {"x": x}, {"x": normal(6, 1, 2)})


def iris():
    x, y = load_iris(return_X_y=True)
    x = x.astype(np.float32)
    trees = XGBClassifier(n_estimators=100, max_depth=3, random_state=0).fit(x, y)
    m = convert_xgboost(trees, initial_types=[("input", FloatTensorType([None, 4]))], target_opset=15)
    gaps = x[:12].copy()
    gaps[np.arange(12), np.arange(12) % 4] = np.nan
    m.graph.name = "trees"  # instead of a random one
    save("iris_trees", m, {"input": x}, {"input": x[:1]}, {"input": gaps})
    peer = {"labels": trees.predict(x).tolist(), "probabilities": tensor("p", trees.predict_proba(x))["values"]}
    (HERE / "answers" / "iris_trees_xgboost.json").write_text(json.dumps(peer) + "\n")

    logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    save("iris_logistic", to_onnx(logistic, x[:1], options={"zipmap": False}, target_opset=15), {"X": x[::10]}, {"X": x[:1]})

    x, y = load_breast_cancer(return_X_y=True)
    x, y = x.astype(np.float32), np.array(["malignant", "benign"])[y]
    logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    save("cancer_logistic", to_onnx(logistic, x[:1], options={"zipmap": False}, target_opset=15), {"X": x[::40]})


def shape(kind):
    """Rows of node, child if true, child if false; no children: a leaf."""
    if kind == "full":
        return [(0, 1, 2), (1, 3, 4), (2, 5, 6), (3, 0, 0), (4, 0, 0), (5, 0, 0), (6, 0, 0)]
    chain = [((2 * i, 2 * i + 1, 2 * i + 2), (2 * i + 1, 0, 0)) for i in range(12)]
    return [row for pair in chain for row in pair] + [(24, 0, 0)]


def random_linear(scores, classes, transform):
    labels = {"classlabels_ints": list(range(10, 10 + classes))}
    weights = {"coefficients": normal(3 * scores).tolist(), "intercepts": normal(scores).tolist()}
    return labels | weights | {"post_transform": transform}


def random_trees(kind, scores, sided, positive, prefix, count=2):
    """Attributes of trees over 3 features that take values in steps of 0.5, so that ties occur."""
    modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
    names = "treeids nodeids truenodeids falsenodeids featureids values modes missing_value_tracks_true"
    nodes = {f"nodes_{name}": [] for name in names.split()}
    leaves = {f"{prefix}_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}

    def append(columns, row):
        for values, value in zip(columns.values(), row):
            values.append(value)

    for tree in range(count):
        for node, yes, no in shape(kind):
            split = [int(RANDOM.integers(3)), float(RANDOM.integers(-3, 4)) / 2, str(RANDOM.choice(modes)), int(RANDOM.integers(2))]
            if yes:
                append(nodes, [tree, node, yes, no, *split])
                continue
            append(nodes, [tree, node, 0, 0, 0, 0.0, "LEAF", 0])
            for score in {"one": [tree % scores], "both": range(scores), "first": [0], "second": [1]}[sided]:
                weight = float(RANDOM.random() / count) if positive else float(RANDOM.standard_normal())
                append(leaves, [tree, node, score, weight])
    return nodes | leaves


def forests():
    """The conventions of TreeEnsemble* (every comparison, missing and base values, transforms, few classes) and LinearClassifier."""
    ties = (RANDOM.integers(-4, 5, (35, 3)) / 2).astype(np.float32)
    finite = ties[:7].copy() * 5
    ties[8], ties[9, 1], ties[10] = [np.inf, -np.inf, 0], np.nan, np.nan
    cases = []
    transforms = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]
    for transform in transforms:
        for sided in ("first", "second", "both"):
            for positive in (True, False):
                for base in ([], [0.1], [0.1, 0.25]):
                    if base == [0.1] and sided == "second":
                        continue  # ONNX Runtime leaves what was in memory
                    cases.append(("Classifier", 2, sided, positive, base, transform, {}))
        for base in ([], [0.1, -0.2, 0.3]):
            cases += [("Classifier", 3, sided, False, base, transform, {}) for sided in ("one", "both")]
            cases.append(("Regressor", 3, "both", False, base, transform, {}))
    cases.append(("Classifier", 3, "one", True, [], "PROBIT", {}))
    cases.append(("Classifier", 2, "both", True, [], "PROBIT", {}))
    for how in ("SUM", "AVERAGE", "MIN", "MAX"):
        cases.append(("Regressor", 1, "one", False, [0.5], "NONE", {"aggregate_function": how}))
        cases.append(("Regressor", 2, "both", False, [0.5, 1.0], "NONE", {"aggregate_function": how}))
    for transform in transforms:
        cases += [("Linear", 2, None, None, [1], transform, {}), ("Linear", 2, None, None, [2], transform, {})]
        cases.append(("Linear", 3, None, None, [3], transform, {}))
    answers, stream = [], bytearray()
    for kind, scores, sided, positive, base, transform, more in cases:
        prefix = "target" if kind == "Regressor" else "class"
        if kind == "Linear":
            attributes, operator, x = random_linear(base[0], scores, transform), "LinearClassifier", finite
        else:
            form = "full" if len(answers) % 8 else "chain"
            attributes = random_trees(form, scores, sided, positive, prefix) | {"post_transform": transform} | more
            attributes |= {"base_values": base} if base else {}
            attributes |= {"classlabels_int64s": list(range(scores))} if prefix == "class" else {"n_targets": scores}
            operator, x = f"TreeEnsemble{kind}", ties
        names = ["scores"] if kind == "Regressor" else ["label", "scores"]
        node = helper.make_node(operator, ["x"], names, domain="ai.onnx.ml", **attributes)
        outputs = [("label", I64, ["N"]), ("scores", F32, ["N", scores])][-len(names):]
        data = model([node], [("x", F32, ["N", 3])], outputs).SerializeToString()
        session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
        title = f"{kind} {scores} {sided} positive={positive} base={base} {transform} {more}"
        answers.append({
            "title": title, "length": len(data), "inputs": "finite" if kind == "Linear" else "ties",
            "outputs": [tensor(n, np.asarray(o)) for n, o in zip(names, session.run(None, {"x": x}))],
        })
        stream += data
    (HERE / "models" / "forests.bin").write_bytes(stream)
    (HERE / "answers" / "forests.json").write_text(json.dumps({"ties": [tensor("x", ties)], "finite": [tensor("x", finite)], "runs": answers}) + "\n")


def as_doubles(attributes):
    """The same trees with their numbers in doubles, which f32 can't tell apart."""
    doubles = {}
    for name, values in attributes.items():
        if name.endswith(("values", "weights")):
            values = np.array(values, np.float64)
            values += RANDOM.integers(-2, 3, values.shape) * 2e-16 * np.abs(values)
            doubles[f"{name}_as_tensor"] = numpy_helper.from_array(values, name)
        else:
            doubles[name] = values
    return doubles


def doubles():
    """Ensembles in doubles."""
    ties = RANDOM.integers(-4, 5, (35, 3)) / 2
    ties[8], ties[9, 1], ties[10] = [np.inf, -np.inf, 0], np.nan, np.nan
    ties[20:] *= 1 + RANDOM.integers(-1, 2, (15, 3)) * 2e-16
    cases = []
    for form in ("full", "chain"):
        for how in ("SUM", "AVERAGE", "MIN", "MAX"):
            attributes = as_doubles(random_trees(form, 2, "both", False, "target") | {"base_values": [0.5, 0.1]})
            attributes |= {"n_targets": 2, "aggregate_function": how}
            cases.append(("TreeEnsembleRegressor", 2, attributes))
        for classes, transform in ((2, "NONE"), (3, "NONE"), (3, "SOFTMAX"), (2, "LOGISTIC")):
            attributes = as_doubles(random_trees(form, classes, "both", False, "class"))
            attributes |= {"classlabels_int64s": list(range(classes)), "post_transform": transform}
            cases.append(("TreeEnsembleClassifier", classes, attributes))
    answers, stream = [], bytearray()
    for operator, scores, attributes in cases:
        names = ["label", "scores"] if operator == "TreeEnsembleClassifier" else ["scores"]
        node = helper.make_node(operator, ["x"], names, domain="ai.onnx.ml", **attributes)
        outputs = [("label", I64, ["N"]), ("scores", F32, ["N", scores])][-len(names):]
        data = model([node], [("x", F64, ["N", 3])], outputs).SerializeToString()
        session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
        answers.append({
            "title": f"{operator} {len(answers)}", "length": len(data), "inputs": "ties",
            "outputs": [tensor(n, np.asarray(o)) for n, o in zip(names, session.run(None, {"x": ties}))],
        })
        stream += data
    (HERE / "models" / "doubles.bin").write_bytes(stream)
    (HERE / "answers" / "doubles.json").write_text(json.dumps({"ties": [tensor("x", ties)], "runs": answers}) + "\n")


for folder in ("models", "answers"):
    (HERE / folder).mkdir(exist_ok=True)
for make in (linear, mlp, images, several, lstm, iris, forests, doubles):
    make()
