"""Train the iris classifier and write it in both forms, with its answers.

    python train.py

Writes beside itself:
  model.json      XGBoost's own format
  model.onnx      the same trees as one ai.onnx.ml TreeEnsembleClassifier
  reference.json  all 150 flowers with XGBoost's labels and probabilities

and fails if ONNX Runtime and XGBoost differ anywhere that is looked at: on all flowers, on rows that
sit exactly on a split's threshold or one float beside it, and on rows with a missing value.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import xgboost
from onnxmltools import convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

HERE = Path(__file__).parent
TOLERANCE = 1e-6  # absolute, on a probability


def main():
    iris = load_iris()
    # Float32 from here on: it is what a split compares in.
    features, labels = iris.data.astype(np.float32), iris.target
    train_x, test_x, train_y, test_y = train_test_split(features, labels, test_size=0.2, random_state=42)

    classifier = xgboost.XGBClassifier(n_estimators=100, max_depth=3)
    classifier.fit(train_x, train_y)
    classifier.save_model(HERE / "model.json")

    graph = to_onnx(classifier)
    onnx.save(graph, HERE / "model.onnx")

    check_weights(graph)
    check_answers(classifier, features)
    write_reference(classifier, features)
    for name, x, y in [("held out", test_x, test_y), ("training", train_x, train_y)]:
        right = int((classifier.predict(x) == y).sum())
        print(f"accuracy, {name}: {right} of {len(y)}")


def to_onnx(classifier):
    """The ensemble as ONNX: `features` f32[N,4] to `label` i64[N] and `probabilities` f32[N,3]."""
    inputs = [("features", FloatTensorType([None, 4]))]
    graph = convert_xgboost(classifier, name="iris", initial_types=inputs, target_opset=15)
    for value in [*graph.graph.input, *graph.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    # The converter names ai.onnx.ml alone, and some readers ask for the default domain too.
    if not any(opset.domain == "" for opset in graph.opset_import):
        graph.opset_import.append(onnx.helper.make_opsetid("", 15))
    graph.ir_version = 8
    onnx.checker.check_model(graph, full_check=True)
    assert [output.name for output in graph.graph.output] == ["label", "probabilities"]
    return graph


def check_weights(graph):
    """Thresholds, leaves and base scores are the same floats in both files.

    XGBoost 3 fits one base score per class; a converter that reads a single 0.5 shifts every answer.
    A split sends a row left when `x < threshold`, in f32: ONNX must say BRANCH_LT, not BRANCH_LEQ.
    """
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in graph.graph.node[0].attribute}
    learner = json.loads((HERE / "model.json").read_text())["learner"]
    trees = learner["gradient_booster"]["model"]["trees"]

    split, leaf = [], []
    for tree in trees:
        for child, value in zip(tree["left_children"], tree["split_conditions"]):
            (leaf if child == -1 else split).append(np.float32(value))
    modes = np.array(attributes["nodes_modes"])
    values = np.array(attributes["nodes_values"], np.float32)
    # Both files hold the same trees but number the nodes of a tree differently, so compare sorted.
    assert np.array_equal(np.sort(values[modes != b"LEAF"]), np.sort(split))
    assert np.array_equal(np.sort(np.array(attributes["class_weights"], np.float32)), np.sort(leaf))
    base = np.array(json.loads(learner["learner_model_param"]["base_score"]), np.float32)
    assert np.array_equal(np.array(attributes["base_values"], np.float32), base)
    assert set(modes) == {b"BRANCH_LT", b"LEAF"}


def check_answers(classifier, features):
    session = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])
    rows = {"flowers": features, "on thresholds": threshold_rows(features), "missing values": missing_rows(features)}
    for name, x in rows.items():
        label, probability = session.run(["label", "probabilities"], {"features": x})
        worst = np.abs(probability - classifier.predict_proba(x)).max()
        others = int((label != classifier.predict(x)).sum())
        print(f"ONNX Runtime and XGBoost, {name}: {len(x)} rows, worst difference {worst:.1e}, other labels {others}")
        assert worst <= TOLERANCE and others == 0


def threshold_rows(features):
    """For each threshold in the ensemble: rows whose feature is the threshold, one float below and one above."""
    trees = json.loads((HERE / "model.json").read_text())["learner"]["gradient_booster"]["model"]["trees"]
    splits = {
        (feature, np.float32(value))
        for tree in trees
        for feature, value, child in zip(tree["split_indices"], tree["split_conditions"], tree["left_children"])
        if child != -1
    }
    rows = []
    for feature, value in sorted(splits):
        for near in (np.nextafter(value, np.float32(-np.inf)), value, np.nextafter(value, np.float32(np.inf))):
            some = features[::10].copy()
            some[:, feature] = near
            rows.append(some)
    return np.concatenate(rows)


def missing_rows(features):
    """The flowers with each of the 15 sets of one to four features missing (NaN)."""
    rows = []
    for missing in range(1, 16):
        some = features.copy()
        some[:, [bool(missing >> bit & 1) for bit in range(4)]] = np.nan
        rows.append(some)
    return np.concatenate(rows)


def write_reference(classifier, features):
    """Numbers are printed as the shortest decimal that reads back as the same f32, also by way of f64."""
    labels, probabilities = classifier.predict(features), classifier.predict_proba(features)

    def rows(array):
        assert array.dtype == np.float32
        lines = ["[" + ", ".join(str(value) for value in row) + "]" for row in array]
        assert np.array_equal(np.array([json.loads(line) for line in lines]).astype(np.float32), array)
        return "[\n    " + ",\n    ".join(lines) + "\n  ]"

    (HERE / "reference.json").write_text(
        "{\n"
        f'  "instances": {rows(features)},\n'
        f'  "labels": {json.dumps(labels.tolist())},\n'
        f'  "probabilities": {rows(probabilities)}\n'
        "}\n"
    )


if __name__ == "__main__":
    main()
