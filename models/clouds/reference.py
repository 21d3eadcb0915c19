"""From a picture to its cloud mask, with ONNX Runtime: the reference that every other implementation is held to.

    python reference.py

Writes reference/NAME.png (255 cloud, 0 clear, at the picture's size) for every sample scene and
reference/metrics.json. README.md of this folder says the same steps in words.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

HERE = Path(__file__).parent

# Mean and deviation of R, G, B over the training scenes, of pixels scaled to 0..1.
MEAN = np.array([0.53, 0.54, 0.50], np.float32)
STD = np.array([0.28, 0.27, 0.30], np.float32)
TILE = 128
OVERLAP = 32
THRESHOLD = 0.5


def read_rgb(path):
    """The picture as u8[height, width, 3]: grey is repeated, alpha is dropped (not blended)."""
    return np.asarray(Image.open(path).convert("RGB"))


def normalise(rgb):
    """u8[H, W, 3] to f32[3, H, W]."""
    scaled = rgb.astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((scaled - MEAN) / STD).transpose(2, 0, 1))


def padded_size(size):
    """The smallest tile + n * stride, n >= 0, that holds `size` pixels."""
    stride = TILE - OVERLAP
    return TILE + max(0, -(-(size - TILE) // stride)) * stride


def pad(pixels):
    """Fill up at the bottom and right: mirrored without repeating the edge, or the edge itself where there is too little."""
    for axis in (1, 2):
        size = pixels.shape[axis]
        more = padded_size(size) - size
        widths = [(0, 0)] * 3
        widths[axis] = (0, more)
        pixels = np.pad(pixels, widths, mode="reflect" if more < size else "edge")
    return pixels


def window():
    """The weight of each pixel of a tile, f32[TILE, TILE]: a linear ramp over the overlap on every side."""
    i = np.arange(TILE)
    ramp = np.minimum(np.minimum(i + 1, TILE - i), OVERLAP).astype(np.float32) / np.float32(OVERLAP)
    return ramp[:, None] * ramp[None, :]


def probability(session, rgb):
    """How likely each pixel is cloud, f32[H, W]."""
    height, width = rgb.shape[:2]
    pixels = pad(normalise(rgb))
    total = np.zeros(pixels.shape[1:], np.float32)
    weight = np.zeros(pixels.shape[1:], np.float32)
    for top in range(0, pixels.shape[1] - TILE + 1, TILE - OVERLAP):
        for left in range(0, pixels.shape[2] - TILE + 1, TILE - OVERLAP):
            at = np.s_[top : top + TILE, left : left + TILE]
            (tile,) = session.run(["probability"], {"pixels": pixels[None, :, at[0], at[1]]})
            total[at] += tile[0, 0] * window()
            weight[at] += window()
    return (total / weight)[:height, :width]


def iou(mask, truth):
    """Intersection over union; 1 where both are empty."""
    union = int((mask | truth).sum())
    return int((mask & truth).sum()) / union if union else 1.0


def main():
    session = onnxruntime.InferenceSession(HERE / "model.onnx", providers=["CPUExecutionProvider"])
    (HERE / "reference").mkdir(exist_ok=True)
    scenes, both, either = {}, 0, 0
    for path in sorted((HERE / "scenes").glob("*.*")):
        mask = probability(session, read_rgb(path)) >= THRESHOLD
        truth = np.asarray(Image.open(HERE / "truth" / f"{path.stem}.png")) >= 128
        Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(HERE / "reference" / f"{path.stem}.png", optimize=True)
        both += int((mask & truth).sum())
        either += int((mask | truth).sum())
        scenes[path.name] = {
            "width": mask.shape[1],
            "height": mask.shape[0],
            "cloud_fraction": round(float(mask.mean()), 6),
            "iou": round(iou(mask, truth), 4),
        }
    metrics = {"scenes": scenes, "iou": round(both / either, 4)}
    (HERE / "reference" / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    main()
