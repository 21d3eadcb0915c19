"""Train the small network that the benchmark serves, and write its answers.

    python make_mlp.py

Needs numpy, onnx, onnxruntime and scikit-learn (models/requirements.txt). Writes into mlp/:
  model.onnx      `features` f32[N,4], 16 neurons, `probabilities` f32[N,3]: operators of the default domain only
  reference.json  all 150 flowers with ONNX Runtime's probabilities, in the form of iris's reference.json

A network beside the trees shows what serving costs where the model itself costs next to nothing, and takes the
engine's other path. It is seeded: run twice, the same files.
"""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier

FOLDER = Path(__file__).parent / "mlp"
TOLERANCE = 1e-6  # absolute, on a probability; scikit-learn computes in f64


def main():
    features, labels = load_iris(return_X_y=True)
    features = features.astype(np.float32)
    classifier = MLPClassifier((16,), solver="lbfgs", alpha=0.1, max_iter=1000, random_state=42)
    classifier.fit(features.astype(np.float64), labels)

    model = to_onnx(classifier)
    onnx.save(model, FOLDER / "model.onnx")

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (probabilities,) = session.run(None, {"features": features})
    assert probabilities.dtype == np.float32
    assert np.abs(probabilities - classifier.predict_proba(features.astype(np.float64))).max() <= TOLERANCE
    answers = {
        "instances": shortest(features),
        "labels": probabilities.argmax(axis=1).tolist(),
        "probabilities": shortest(probabilities),
    }
    (FOLDER / "reference.json").write_text(json.dumps(answers).replace("], [", "],\n    [") + "\n")
    print(f"{int((probabilities.argmax(axis=1) == labels).sum())} of {len(labels)} flowers right")


def to_onnx(classifier):
    weights = {
        "w1": classifier.coefs_[0], "b1": classifier.intercepts_[0],
        "w2": classifier.coefs_[1], "b2": classifier.intercepts_[1],
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "w1"], ["product1"]),
            helper.make_node("Add", ["product1", "b1"], ["sum1"]),
            helper.make_node("Relu", ["sum1"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "w2"], ["product2"]),
            helper.make_node("Add", ["product2", "b2"], ["sum2"]),
            helper.make_node("Softmax", ["sum2"], ["probabilities"], axis=1),
        ],
        "mlp",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def shortest(rows):
    """Each number as the shortest decimal that reads back as the same f32."""
    return [[float(str(value)) for value in row] for row in rows]


if __name__ == "__main__":
    main()
