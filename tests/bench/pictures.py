"""Pictures from above to make masks of, from seeds; needs numpy, Pillow, and tifffile for csmask."""

import io
import sys

from systems import ROOT

# Far from the seeds of training and of the samples.
SEED = 10_000_000


def pictures(model, count, size):
    """The content of `count` pictures of `size` × `size` by key."""
    sys.path.insert(0, str(ROOT / "models" / model))
    make, ending = {"clouds": (clouds, "png"), "csmask": (csmask, "tif")}[model]
    return {f"2026/scene-{number:03}.{ending}": make(SEED + number, size) for number in range(count)}


def clouds(seed, size):
    from PIL import Image

    import synthesis

    rgb, _ = synthesis.scene(seed, size, size)
    content = io.BytesIO()
    Image.fromarray(rgb).save(content, format="PNG")
    return content.getvalue()


def csmask(seed, size):
    import golden
    import tifffile

    content = io.BytesIO()
    tifffile.imwrite(content, golden.scene(seed, size, size, 0.3), photometric="minisblack", planarconfig="contig",
                     compression="zlib", metadata=None)
    return content.getvalue()
