"""Make the small graphs that tests and benchmarks use.

    python make.py

Needs the package onnx.
"""

from pathlib import Path

from onnx import TensorProto, checker, helper, save

HERE = Path(__file__).parent


def identity():
    """y = x, f32[N, 4]: a graph that does nothing, so that a call's own cost shows."""
    row = ["N", 4]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, row)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, row)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, HERE / "identity" / "model.onnx")


def echo():
    """y = x, string[N]: strings go in and come out as they are."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "echo",
        [helper.make_tensor_value_info("x", TensorProto.STRING, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.STRING, ["N"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    (HERE / "echo").mkdir(exist_ok=True)
    save(model, HERE / "echo" / "model.onnx")


if __name__ == "__main__":
    identity()
    echo()
