"""Made scenes and the masks that the published package gives for them.

    python fetch.py && python golden.py

Writes golden/NAME.tif (f32, 4 bands, pixel-interleaved, Deflate), golden/NAME.png (class: 0 clear, 1 cloud,
2 cloud shadow), golden/NAME.valid.png (1 valid, 0 not) and golden/golden.json (digests, class histograms). It also
runs the recipe of PIPELINE.md as written there and fails if that differs from the package in more than one pixel
in a thousand, or if a class hardly occurs. The weights are f16; golden.json also says how many pixels change their
class when the same graph runs in f32, as it does in engines that have no f16.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import scipy
import tifffile
from onnx import TensorProto, numpy_helper
from PIL import Image
from ukis_csmask.mask import CSmask

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "clouds"))
from synthesis import clouds, noise, within  # noqa: E402  (the neighbour's fractal noise and clouds)

BANDS = ["blue", "green", "red", "nir"]
# Reflectances at the top of the atmosphere, by band.
FOREST = np.array([0.09, 0.08, 0.06, 0.26])
SOIL = np.array([0.13, 0.15, 0.18, 0.27])
WATER = np.array([0.10, 0.07, 0.04, 0.02])
CLOUD = np.array([0.62, 0.62, 0.63, 0.68])

# Name, seed, height, width, share of cloud. The last is smaller than a tile and has a corner without data (all bands 0).
SCENES = [
    ("square", 20, 256, 256, 0.25),
    ("fields", 26, 300, 420, 0.3),
    ("coast", 22, 512, 400, 0.3),
    ("small", 22, 140, 180, 0.3),
]


def main():
    (HERE / "golden").mkdir(exist_ok=True)
    as_published = session((HERE / "model_4b_l1c.onnx").read_bytes())
    in_f32 = session(single_precision(onnx.load(HERE / "model_4b_l1c.onnx")).SerializeToString())
    answers, counts = {}, np.zeros(3, int)
    for name, seed, height, width, cover in SCENES:
        image = scene(seed, height, width, cover)
        if name == "small":
            image[:30, -40:] = 0.0
        path = HERE / "golden" / f"{name}.tif"
        tifffile.imwrite(path, image, photometric="minisblack", planarconfig="contig", compression="zlib", compressionargs={"level": 9}, metadata=None)

        result = CSmask(image.copy(), BANDS, product_level="l1c", nodata_value=0, providers=["CPUExecutionProvider"])
        classes, valid = result.csm[..., 0], result.valid[..., 0]
        Image.fromarray(classes).save(HERE / "golden" / f"{name}.png", optimize=True)
        Image.fromarray(valid).save(HERE / "golden" / f"{name}.valid.png", optimize=True)

        ours, ours_valid = recipe(image, as_published)
        agreement = (ours == classes).mean(), (ours_valid == valid).mean()
        single, single_valid = recipe(image, in_f32)
        histogram = np.bincount(classes.ravel(), minlength=3)
        counts += histogram
        print(f"{name}: clear, cloud, shadow {histogram}; recipe agrees on {agreement[0]:.6f}, valid mask {agreement[1]:.6f}")
        assert min(agreement) >= 0.999
        answers[name] = {
            "height": height,
            "width": width,
            "input_sha256": hashlib.sha256(image.astype("<f4").tobytes()).hexdigest(),
            "classes_sha256": hashlib.sha256(classes.tobytes()).hexdigest(),
            "pixels_by_class": histogram.tolist(),
            "valid_pixels": int(valid.sum()),
            "f32_changes_classes": int((single != classes).sum()),
            "f32_changes_valid": int((single_valid != valid).sum()),
        }
    print(f"together: clear, cloud, shadow {counts / counts.sum()}")
    assert (counts / counts.sum()).min() > 0.02
    (HERE / "golden" / "golden.json").write_text(json.dumps(answers, indent=2) + "\n")


def scene(seed, height, width, cover):
    """Land, water, clouds and their shadows: f32[height, width, 4], reflectance in steps of 1/128."""
    rng = np.random.default_rng(seed)
    relief = noise(rng, height, width, reach=120, roughness=2.6)
    detail = noise(rng, height, width, reach=8, roughness=1.5)
    ground = FOREST + np.clip(0.5 + 0.4 * relief, 0, 1)[..., None] * (SOIL - FOREST)
    ground *= (1 + 0.06 * detail)[..., None]
    ground[within(noise(rng, height, width, reach=140, roughness=2.8), 0.15)] = WATER
    cloud = clouds(rng, height, width, cover)
    # The sun stands so that shadows fall down and to the right; the sky lights the blue most.
    shadow = np.pad(cloud, ((18, 0), (24, 0)))[:height, :width]
    ground *= 1 - shadow[..., None] * np.array([0.25, 0.35, 0.45, 0.6])
    bright = np.clip(1 + 0.15 * noise(rng, height, width, reach=40, roughness=1.8), 0.6, 1.4)[..., None] * CLOUD
    image = ground + cloud[..., None] * (bright - ground)
    return (np.rint(image * 128) / 128).astype(np.float32)


def session(model):
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def single_precision(model):
    """The same graph with every f16 weight, constant and cast made f32."""
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    tensors = [attribute.t for attribute in attributes if attribute.type == onnx.AttributeProto.TENSOR]
    for tensor in [*model.graph.initializer, *tensors]:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    del model.graph.value_info[:]
    return model


def recipe(image, session):
    """PIPELINE.md, step by step: f32[H, W, 4] to classes u8[H, W] and validity u8[H, W]."""
    classes = classify(image, session)
    invalid = (classes != 0) | (image == 0).all(axis=2)
    near = scipy.ndimage.distance_transform_cdt(~invalid, metric="taxicab") <= 4 if invalid.any() else invalid
    return classes, (~near).astype(np.uint8)


def classify(image, session):
    """Its first part: f32[H, W, 4] to classes u8[H, W]."""
    statistics = json.loads((HERE / "model_4b_l1c.json").read_text())["data"]["dataset_statistics"]["img"]
    height, width, _ = image.shape
    tile, stride, margin = 256, 204, 51

    normal = (image - np.float32(statistics[0])) / np.float32(statistics[1])
    ramp = np.array([0.5 * (1 - np.cos(np.pi * min(i, 255 - i, margin) / margin)) for i in range(tile)])
    total = np.zeros((height, width, 3))
    for row in range(-(-(height + 104) // stride)):
        for column in range(-(-(width + 104) // stride)):
            # Where the tile's pixels lie in the picture, and what stands in for those outside.
            y, x = row * stride - margin + np.arange(tile), column * stride - margin + np.arange(tile)
            tile_in = normal[mirror(y, height)][:, mirror(x, width)].transpose(2, 0, 1)[None]
            (logits,) = session.run(None, {"input": tile_in})
            share = np.exp(logits[0] - logits[0].max(axis=0))
            share = share / share.sum(axis=0)
            inside_y, inside_x = (y >= 0) & (y < height), (x >= 0) & (x < width)
            weighted = (share * ramp[:, None] * ramp[None, :]).transpose(1, 2, 0)
            total[np.ix_(y[inside_y], x[inside_x])] += weighted[np.ix_(inside_y, inside_x)]
    return total.astype(np.float32).argmax(axis=2).astype(np.uint8)


def mirror(index, size):
    """The pixel that stands in for `index`: mirrored at both edges, the edge itself repeated, as often as needed."""
    index = index % (2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


if __name__ == "__main__":
    main()
