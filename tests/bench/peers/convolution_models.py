"""Makes the two shapes of model that convolutions.py times beside the published ones, with seeded random weights.

    python convolution_models.py FOLDER

resnet50.onnx has the layers of ResNet-50 (He et al., 2015; stride in the 3 × 3, batch norm folded as exporters do),
mobilenet.onnx those of MobileNetV2 (Sandler et al., 2018; batch norm kept as its own operator).
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Layers:
    """Collects nodes and weights; every method returns the name of its output."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.nodes = []
        self.weights = []

    def weight(self, values):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, operator, *inputs, **attributes):
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def conv(self, x, inputs, outputs, size, stride=1, group=1, bias=True):
        spread = np.sqrt(2 / (inputs // group * size * size))
        shape = (outputs, inputs // group, size, size)
        parts = [x, self.weight((self.random.normal(size=shape) * spread).astype(np.float32))]
        if bias:
            parts.append(self.weight((self.random.normal(size=outputs) * 0.1).astype(np.float32)))
        side = size // 2
        return self.node(
            "Conv",
            *parts,
            kernel_shape=[size, size],
            strides=[stride, stride],
            pads=[side] * 4,
            group=group,
        )

    def norm(self, x, channels):
        values = [
            self.random.uniform(0.8, 1.2, channels),
            self.random.normal(size=channels) * 0.1,
            self.random.normal(size=channels) * 0.1,
            self.random.uniform(0.8, 1.2, channels),
        ]
        return self.node("BatchNormalization", x, *(self.weight(v.astype(np.float32)) for v in values))

    def clip(self, x):
        low, high = self.weight(np.float32(0)), self.weight(np.float32(6))
        return self.node("Clip", x, low, high)

    def head(self, x, channels, classes):
        x = self.node("Flatten", self.node("GlobalAveragePool", x), axis=1)
        weights = (self.random.normal(size=(classes, channels)) / np.sqrt(channels)).astype(np.float32)
        bias = self.weight(np.zeros(classes, np.float32))
        return self.node("Gemm", x, self.weight(weights), bias, transB=1)

    def save(self, path, output):
        self.nodes[-1].output[0] = "scores"
        assert self.nodes[-1].name == output
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 224, 224])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1000])],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def resnet50(path):
    net = Layers(50)
    x = net.node("Relu", net.conv("image", 3, 64, 7, stride=2))
    x = net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            shortcut = net.conv(x, channels, width * 4, 1, stride) if block == 0 else x
            y = net.node("Relu", net.conv(x, channels, width, 1))
            y = net.node("Relu", net.conv(y, width, width, 3, stride))
            y = net.conv(y, width, width * 4, 1)
            x = net.node("Relu", net.node("Add", y, shortcut))
            channels = width * 4
    net.save(path, net.head(x, channels, 1000))


def mobilenet(path):
    net = Layers(2)

    def block(x, inputs, outputs, size, stride=1, group=1):
        return net.norm(net.conv(x, inputs, outputs, size, stride, group, bias=False), outputs)

    x = net.clip(block("image", 3, 32, 3, 2))
    channels = 32
    # Expansion, channels, repeats, stride: table 2 of the paper.
    for expand, width, repeats, first in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]:
        for repeat in range(repeats):
            stride = first if repeat == 0 else 1
            y, inner = x, channels * expand
            if expand > 1:
                y = net.clip(block(y, channels, inner, 1))
            y = net.clip(block(y, inner, inner, 3, stride, group=inner))
            y = block(y, inner, width, 1)
            x = net.node("Add", x, y) if stride == 1 and channels == width else y
            channels = width
    x = net.clip(block(x, channels, 1280, 1))
    net.save(path, net.head(x, 1280, 1000))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    resnet50(folder / "resnet50.onnx")
    mobilenet(folder / "mobilenet.onnx")
