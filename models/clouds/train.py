"""Train the cloud segmenter on made scenes and write it as model.onnx.

    python train.py

A U-Net of three levels, some 120,000 weights, trained with Adam on binary cross-entropy. Random numbers come
from fixed seeds; on one kind of machine the result is the same each time, to the byte.
"""

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from reference import MEAN, OVERLAP, STD, THRESHOLD, TILE, iou
from synthesis import luma, scene

HERE = Path(__file__).parent
WIDTHS = (16, 32, 64)  # channels at full, half and quarter resolution
TRAINING_SCENES = 480  # of 256 x 256 pixels
HELD_OUT_SCENES = 60
HELD_OUT_SEED = 1_000_000
STEPS = 1000
BATCH = 12
CROP = 128
PEAK_RATE = 3e-3

# Every convolution in the order of the graph: name, channels in, channels out, kernel.
LAYERS = [
    ("down1a", 3, WIDTHS[0], 3),
    ("down1b", WIDTHS[0], WIDTHS[0], 3),
    ("down2a", WIDTHS[0], WIDTHS[1], 3),
    ("down2b", WIDTHS[1], WIDTHS[1], 3),
    ("deep_a", WIDTHS[1], WIDTHS[2], 3),
    ("deep_b", WIDTHS[2], WIDTHS[2], 3),
    ("up2a", WIDTHS[2] + WIDTHS[1], WIDTHS[1], 3),
    ("up2b", WIDTHS[1], WIDTHS[1], 3),
    ("up1a", WIDTHS[1] + WIDTHS[0], WIDTHS[0], 3),
    ("up1b", WIDTHS[0], WIDTHS[0], 3),
    ("head", WIDTHS[0], 1, 1),
]


def initial_weights(rng):
    """He initialisation: kernels f32[k, k, in, out], biases zero."""
    return {
        name: (
            (rng.standard_normal((k, k, c_in, c_out)) * np.sqrt(2 / (k * k * c_in))).astype(np.float32),
            np.zeros(c_out, np.float32),
        )
        for name, c_in, c_out, k in LAYERS
    }


def logits(weights, x):
    """f32[N, H, W, 3] to f32[N, H, W]; `to_onnx` builds the same graph."""

    def conv(name, x):
        kernel, bias = weights[name]
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")) + bias

    def twice(name, x):
        return jax.nn.relu(conv(f"{name}b", jax.nn.relu(conv(f"{name}a", x))))

    def halve(x):
        n, h, w, c = x.shape
        return x.reshape(n, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))

    def double(x):
        return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)

    full = twice("down1", x)
    half = twice("down2", halve(full))
    deep = twice("deep_", halve(half))
    half = twice("up2", jnp.concatenate([double(deep), half], axis=-1))
    full = twice("up1", jnp.concatenate([double(half), full], axis=-1))
    return conv("head", full)[..., 0]


def loss(weights, x, truth):
    z = logits(weights, x)
    return jnp.mean(jnp.maximum(z, 0) - z * truth + jnp.log1p(jnp.exp(-jnp.abs(z))))


@jax.jit
def step(weights, moments, t, x, truth):
    """One step of Adam; the rate warms up over 50 steps, then falls as a cosine."""
    rate = PEAK_RATE * jnp.minimum(1.0, t / 50) * 0.5 * (1 + jnp.cos(jnp.pi * t / (STEPS + 1)))
    value, gradient = jax.value_and_grad(loss)(weights, x, truth)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradient)
    second = jax.tree.map(lambda m, g: 0.999 * m + 0.001 * g * g, moments[1], gradient)
    weights = jax.tree.map(
        lambda w, m, v: w - rate * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8), weights, first, second
    )
    return weights, (first, second), value


def make_scenes(first_seed, count):
    """u8[count, 256, 256, 3] and bool[count, 256, 256]; every eighth scene is grey."""
    pictures, masks = [], []
    for number in range(count):
        rgb, mask = scene(first_seed + number, 256, 256)
        if number % 8 == 7:
            rgb = np.repeat(luma(rgb)[..., None], 3, axis=2)
        pictures.append(rgb)
        masks.append(mask)
    return np.stack(pictures), np.stack(masks)


def crops(rng, pictures, masks):
    """A batch of random crops, each in one of the eight ways to flip and turn it."""
    xs, ys = [], []
    for number in rng.integers(len(pictures), size=BATCH):
        top, left = rng.integers(0, 256 - CROP + 1, 2)
        x = pictures[number, top : top + CROP, left : left + CROP]
        y = masks[number, top : top + CROP, left : left + CROP]
        turns, flip = rng.integers(4), rng.random() < 0.5
        x, y = np.rot90(x, turns), np.rot90(y, turns)
        xs.append(x[:, ::-1] if flip else x)
        ys.append(y[:, ::-1] if flip else y)
    x = (np.stack(xs).astype(np.float32) / 255 - MEAN) / STD
    return x, np.stack(ys).astype(np.float32)


def train(pictures, masks):
    rng = np.random.default_rng(7)
    weights = initial_weights(rng)
    zeros = jax.tree.map(np.zeros_like, weights)
    moments, running = (zeros, zeros), None
    for t in range(1, STEPS + 1):
        weights, moments, value = step(weights, moments, float(t), *crops(rng, pictures, masks))
        running = float(value) if running is None else 0.98 * running + 0.02 * float(value)
        if t % 100 == 0:
            print(f"step {t}: loss {running:.4f}", flush=True)
    return jax.tree.map(np.asarray, weights)


def to_onnx(weights):
    """Opset 17, channels first: `pixels` f32[N, 3, H, W] to `probability` f32[N, 1, H, W]; H and W are multiples of 4."""
    nodes, initialisers = [], []

    def add(operator, inputs, output, **attributes):
        nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(name, array):
        initialisers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def conv(name, x, out):
        kernel, bias = weights[name]
        k = kernel.shape[0]
        inputs = [x, constant(f"{name}.weight", kernel.transpose(3, 2, 0, 1)), constant(f"{name}.bias", bias)]
        return add("Conv", inputs, out, kernel_shape=[k, k], pads=[k // 2] * 4, strides=[1, 1])

    def twice(name, x):
        for part in "ab":
            x = add("Relu", [conv(f"{name}{part}", x, f"{name}{part}.conv")], f"{name}{part}")
        return x

    def halve(name, x):
        return add("MaxPool", [x], name, kernel_shape=[2, 2], strides=[2, 2])

    scales = constant("scales", np.array([1, 1, 2, 2], np.float32))

    def double(name, x):
        how = dict(mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        return add("Resize", [x, "", scales], name, **how)

    full = twice("down1", "pixels")
    half = twice("down2", halve("half", full))
    deep = twice("deep_", halve("quarter", half))
    half = twice("up2", add("Concat", [double("half_again", deep), half], "join2", axis=1))
    full = twice("up1", add("Concat", [double("full_again", half), full], "join1", axis=1))
    add("Sigmoid", [conv("head", full, "head.conv")], "probability")

    graph = helper.make_graph(
        nodes,
        "clouds",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", 1, "H", "W"])],
        initialisers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="clouds")
    facts = {"mean": MEAN, "std": STD, "tile": TILE, "overlap": OVERLAP, "threshold": THRESHOLD}
    helper.set_model_props(model, {name: " ".join(str(v) for v in np.atleast_1d(value)) for name, value in facts.items()})
    onnx.checker.check_model(model)
    return model


def check(weights, pictures, masks):
    """The graph gives the trained network's answer; print how good it is on scenes that training never saw."""
    session = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])
    x = (pictures.astype(np.float32) / 255 - MEAN) / STD
    found, worst = [], 0.0
    for number in range(len(x)):
        ours = jax.nn.sigmoid(logits(weights, x[number : number + 1]))
        (graph,) = session.run(None, {"pixels": np.ascontiguousarray(x[number : number + 1].transpose(0, 3, 1, 2))})
        worst = max(worst, float(np.abs(graph[:, 0] - ours).max()))
        found.append(graph[0, 0] >= THRESHOLD)
    found = np.stack(found)
    print(f"ONNX Runtime and training differ by at most {worst:.1e}")
    assert worst < 1e-4
    print(f"held out: {len(masks)} scenes, IoU {iou(found, masks):.4f}, accuracy {(found == masks).mean():.4f}")
    grey = np.arange(len(masks)) % 8 == 7
    print(f"  colour {iou(found[~grey], masks[~grey]):.4f}, grey {iou(found[grey], masks[grey]):.4f}")
    # What needs no network: the darkest channel above one level, the best one for these very scenes.
    best = max(iou(pictures.min(axis=-1) >= level, masks) for level in range(100, 250, 5))
    print(f"  the best brightness threshold: {best:.4f}")


def main():
    start = time.monotonic()
    pictures, masks = make_scenes(0, TRAINING_SCENES)
    print(f"scenes made in {time.monotonic() - start:.0f} s, {masks.mean():.3f} of them cloud")
    scaled = pictures.reshape(-1, 3) / 255
    print(f"mean {scaled.mean(axis=0).round(3)}, deviation {scaled.std(axis=0).round(3)}: what MEAN and STD are rounded from")
    weights = train(pictures, masks)
    onnx.save(to_onnx(weights), HERE / "model.onnx")
    print(f"trained in {time.monotonic() - start:.0f} s: {sum(w.size + b.size for w, b in weights.values())} weights")
    check(weights, *make_scenes(HELD_OUT_SEED, HELD_OUT_SCENES))


if __name__ == "__main__":
    main()
