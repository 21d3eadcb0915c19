"""Make the graph with an input of each kind that tests of refused values ask.

    python make.py

Needs the package onnx.
"""

from pathlib import Path

from onnx import TensorProto, checker, helper, save

HERE = Path(__file__).parent

COLUMNS = [
    ("vector", TensorProto.FLOAT, ["N", 3]),
    ("count", TensorProto.INT64, ["N"]),
    ("flag", TensorProto.BOOL, ["N"]),
    ("tile", TensorProto.UINT8, ["N", 2, 2]),
]


def main():
    """Each input comes back as it is, under its name and _back."""
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_back"]) for name, _, _ in COLUMNS],
        "typed",
        [helper.make_tensor_value_info(*column) for column in COLUMNS],
        [helper.make_tensor_value_info(f"{name}_back", dtype, shape) for name, dtype, shape in COLUMNS],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, HERE / "model.onnx")


if __name__ == "__main__":
    main()
