#!/usr/bin/env python3
"""Makes the pictures, arrays and cases beside this script: the reference for `tests/image_golden.rs`.

Needs pillow 13, numpy 2, tifffile, scipy and ukis-csmask 1.0.0. Everything is seeded: run twice, it
writes the same bytes as long as those libraries encode alike.

`cases.json` lists what is tested; an array is named there with its shape and dtype and lies in
`arrays/` as raw little-endian bytes.
"""

import io
import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageFile, ImageOps
from scipy.signal.windows import tukey
from ukis_csmask.utils import tile_array, untile_array

HERE = Path(__file__).parent
RNG = np.random.default_rng(20240607)
CASES = {}
ARRAYS = {}


def main():
    for folder in ("files", "hostile", "arrays"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
        (HERE / folder).mkdir()
    png_files()
    jpeg_files()
    webp_files()
    tiff_files()
    turned_files()
    hostile_files()
    resizes()
    frames()
    tensors()
    grids()
    jpeg_corpus()
    text = ",\n".join(
        f'"{kind}": [\n' + ",\n".join("  " + json.dumps(case) for case in cases) + "\n]"
        for kind, cases in CASES.items()
    )
    (HERE / "cases.json").write_text("{\n" + text + "\n}\n")


def case(kind, **fields):
    CASES.setdefault(kind, []).append(fields)


def array(values):
    """Stores an array once and says where it is."""
    values = np.ascontiguousarray(values)
    values = values.astype(values.dtype.newbyteorder("<"))
    key = (values.tobytes(), values.dtype.str, values.shape)
    if key not in ARRAYS:
        ARRAYS[key] = f"{len(ARRAYS):03}.bin"
        (HERE / "arrays" / ARRAYS[key]).write_bytes(key[0])
    dtype = {"|u1": "u8", "<u2": "u16", "<f4": "f32"}[values.dtype.str]
    return {"array": ARRAYS[key], "shape": list(values.shape), "dtype": dtype}


def picture(height, width, bands, top=255, dtype=np.uint8):
    """A smooth picture with some noise and hard edges, from 0 to `top`."""
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for band in range(bands):
        plane = 0.5 + 0.4 * np.sin(x / (3 + band) + band) * np.cos(y / (4 + band))
        plane[height // 3 : height // 2, width // 4 : width // 2] = band % 2
        planes.append(np.clip(plane + RNG.normal(0, 0.02, plane.shape), 0, 1) * top)
    values = np.stack(planes, axis=-1)
    return values.astype(dtype) if dtype == np.float32 else np.rint(values).astype(dtype)


def decodes(name, values, within=0, mode="as-is", orientation="as-stored"):
    values = values if values.ndim == 3 else values[:, :, None]
    case("decode", file=name, mode=mode, orientation=orientation, within=within, expected=array(values))


def pillow(name, mode, **options):
    """A file as Pillow reads it, in Pillow's mode RGB or L."""
    with Image.open(HERE / "files" / name) as image:
        decodes(name, np.asarray(image.convert(mode)), mode={"RGB": "rgb", "L": "grey"}[mode], **options)


# PNG: written here, because Pillow writes neither interlaced files nor 16 bits in colour.


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_rows(samples, depth):
    """Packed and filtered rows of (height, width, bands), the five filters in turn."""
    height, width, bands = samples.shape
    if width == 0 or height == 0:
        return b""
    step = max(1, bands * depth // 8)
    previous, out = None, bytearray()
    for row, line in enumerate(samples):
        if depth == 16:
            packed = line.astype(">u2").tobytes()
        else:
            bits = (line.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1
            packed = np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()
        up = previous or bytes(len(packed))
        filtered = bytearray()
        for i, value in enumerate(packed):
            left = packed[i - step] if i >= step else 0
            corner = up[i - step] if i >= step else 0
            estimate = left + up[i] - corner
            paeth = min((left, up[i], corner), key=lambda near: abs(estimate - near))
            guess = (0, left, up[i], (left + up[i]) // 2, paeth)[row % 5]
            filtered.append((value - guess) & 255)
        out += bytes([row % 5]) + filtered
        previous = packed
    return bytes(out)


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, color, depth, interlaced=False, between=()):
    height, width, _ = samples.shape
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    rows = b"".join(png_rows(samples[y::dy, x::dx], depth) for x, y, dx, dy in passes)
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced))
    chunks = [png_chunk(b"IHDR", header), *between, png_chunk(b"IDAT", zlib.compress(rows, 9)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def save(name, data, folder="files"):
    (HERE / folder / name).write_bytes(data)


def png_files():
    for color, bands, depths in [(0, 1, (1, 2, 4, 8, 16)), (2, 3, (8, 16)), (4, 2, (8, 16)), (6, 4, (8, 16))]:
        for depth in depths:
            top = 2**depth - 1
            samples = picture(13, 11, bands, top, np.uint16)
            stretched = samples if depth == 16 else (samples * (255 // top)).astype(np.uint8)
            for interlaced in (False, True):
                name = f"png-color{color}-{depth}{'-adam7' if interlaced else ''}.png"
                save(name, png(samples, color, depth, interlaced))
                decodes(name, stretched)
                # Pillow keeps 16-bit grey, and clips it when it converts.
                if not (color in (0, 4) and depth == 16):
                    pillow(name, "RGB")
                    pillow(name, "L")
    for depth in (1, 2, 4, 8):
        colors = RNG.integers(0, 256, (2**depth, 3), dtype=np.uint8)
        indices = picture(13, 11, 1, 2**depth - 1, np.uint16)
        for interlaced in (False, True):
            name = f"png-palette-{depth}{'-adam7' if interlaced else ''}.png"
            save(name, png(indices, 3, depth, interlaced, [png_chunk(b"PLTE", colors.tobytes())]))
            decodes(name, colors[indices[:, :, 0]])
            pillow(name, "RGB")
            pillow(name, "L")
    alpha = np.array([0, 128, 255, 7], dtype=np.uint8)
    plte, trns = png_chunk(b"PLTE", colors[:4].tobytes()), png_chunk(b"tRNS", alpha.tobytes())
    indices = picture(9, 11, 1, 3, np.uint16)
    save("png-palette-alpha.png", png(indices, 3, 2, False, [plte, trns]))
    decodes("png-palette-alpha.png", np.concatenate([colors[:4], alpha[:, None]], axis=1)[indices[:, :, 0]])
    pillow("png-palette-alpha.png", "RGB")
    grey = picture(9, 11, 1, 3, np.uint16)
    save("png-grey-clear.png", png(grey, 0, 2, False, [png_chunk(b"tRNS", b"\0\1")]))
    decodes("png-grey-clear.png", np.concatenate([grey * 85, (grey != 1) * 255], axis=-1).astype(np.uint8))
    pillow("png-grey-clear.png", "RGB")


def jpeg_files():
    color, grey = picture(37, 45, 3), picture(23, 17, 1)[:, :, 0]
    for name, values, options in [
        ("444", color, dict(quality=90, subsampling=0)),
        ("422", color, dict(quality=90, subsampling=1)),
        ("420", color, dict(quality=90, subsampling=2)),
        ("420-coarse", color, dict(quality=40, subsampling=2)),
        ("progressive-444", color, dict(quality=90, subsampling=0, progressive=True)),
        ("progressive-420", color, dict(quality=90, subsampling=2, progressive=True)),
        ("restarts", color, dict(quality=90, subsampling=2, restart_marker_blocks=2)),
        ("grey", grey, dict(quality=90)),
        ("progressive-grey", grey, dict(quality=90, progressive=True)),
    ]:
        name = f"jpeg-{name}.jpg"
        Image.fromarray(values).save(HERE / "files" / name, **options)
        pillow(name, "L" if values is grey else "RGB", within=JPEG_WITHIN)
    inks = Image.fromarray(picture(23, 17, 4), mode="CMYK")
    inks.save(HERE / "files/jpeg-cmyk.jpg", quality=95, subsampling=0)
    pillow("jpeg-cmyk.jpg", "RGB", within=JPEG_WITHIN)


# Where libjpeg's own code paths for different processors would differ, they may do so by this.
JPEG_WITHIN = 1


def webp_files():
    for name, bands, options in [
        ("lossless", 3, dict(lossless=True)),
        ("lossless-alpha", 4, dict(lossless=True, exact=True)),
        ("lossy", 3, dict(quality=80)),
        ("lossy-alpha", 4, dict(quality=80)),
    ]:
        values = picture(29, 35, bands)
        name = f"webp-{name}.webp"
        Image.fromarray(values).save(HERE / "files" / name, **options)
        with Image.open(HERE / "files" / name) as image:
            read = np.asarray(image)
        assert "lossy" in name or (read == values).all()
        decodes(name, read)


def tiff_files():
    def written(name, values, tags=None, **options):
        name = f"tiff-{name}.tif"
        tifffile.imwrite(HERE / "files" / name, values, metadata=None, software=False, **options)
        decodes(name, np.moveaxis(values, 0, -1) if options.get("planarconfig") == "separate" else values)

    grey, color, six = picture(23, 17, 1)[:, :, 0], picture(23, 17, 3), picture(23, 17, 6)
    deep, deep_six = picture(23, 17, 1, 65535, np.uint16)[:, :, 0], picture(23, 17, 6, 10000, np.uint16)
    real = picture(23, 17, 2, 1.5, np.float32) - np.float32(0.25)
    written("grey", grey, photometric="minisblack", rowsperstrip=5)
    written("white-is-zero", 255 - grey, photometric="miniswhite")
    CASES["decode"][-1]["expected"] = array(grey[:, :, None])
    written("rgb", color, photometric="rgb", rowsperstrip=7)
    written("rgb-big-endian", color, photometric="rgb", byteorder=">", bigtiff=True)
    written("rgb-infrared", picture(23, 17, 4), photometric="rgb", extrasamples=["unspecified"])
    written("u16-big-endian", deep, photometric="minisblack", byteorder=">")
    written("u16-six", deep_six, photometric="minisblack", planarconfig="contig", compression="zlib", rowsperstrip=4)
    written("u16-rgb-and-three", deep_six, photometric="rgb", planarconfig="contig", extrasamples=["unspecified"] * 3)
    written("f32-two", real, photometric="minisblack", planarconfig="contig", bigtiff=True)
    written("f32-big-endian", real, photometric="minisblack", planarconfig="contig", byteorder=">", tile=(16, 16))
    planes = np.moveaxis(six, -1, 0)
    written("six-planar", planes, photometric="minisblack", planarconfig="separate", rowsperstrip=6)
    written("six-planar-tiles", planes, photometric="minisblack", planarconfig="separate", tile=(16, 16), compression="zlib")
    written("six-tiles", six, photometric="minisblack", planarconfig="contig", tile=(16, 32), compression="zlib")
    written("thirteen", picture(9, 11, 13, 10000, np.uint16), photometric="minisblack", planarconfig="contig")

    # libtiff, which Pillow writes with, has the codecs that tifffile lacks.
    for codec in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_deflate"):
        for label, values in [("rgb", picture(23, 17, 3)), ("u16", deep), ("f32", real[:, :, 0])]:
            for predictor in (1, 2, 3):
                if predictor == 3 and label != "f32" or predictor > 1 and codec in ("packbits", "tiff_deflate"):
                    continue
                name = f"tiff-{codec.removeprefix('tiff_')}-{label}-{predictor}.tif"
                Image.fromarray(values).save(HERE / "files" / name, compression=codec, tiffinfo={317: predictor})
                decodes(name, values)


def turned_files():
    values = picture(23, 17, 3)
    for tag in range(1, 9):
        exif = Image.Exif()
        exif[274] = tag
        name = f"turned-{tag}.png"
        Image.fromarray(values).save(HERE / "files" / name, exif=exif)
        with Image.open(HERE / "files" / name) as image:
            decodes(name, np.asarray(ImageOps.exif_transpose(image)), orientation="upright")
    exif = Image.Exif()
    exif[274] = 6
    for name, options in [("turned.jpg", dict(quality=90, subsampling=0)), ("turned.webp", dict(lossless=True))]:
        Image.fromarray(values).save(HERE / "files" / name, exif=exif, **options)
        with Image.open(HERE / "files" / name) as image:
            within = JPEG_WITHIN if name.endswith("jpg") else 0
            decodes(name, np.asarray(image.convert("RGB")), within=within)
            decodes(name, np.asarray(ImageOps.exif_transpose(image)), within=within, orientation="upright")
    tifffile.imwrite(HERE / "files/turned.tif", values, photometric="rgb", metadata=None, software=False, extratags=[(274, 3, 1, 6, True)])
    decodes("turned.tif", values)
    decodes("turned.tif", np.rot90(values, -1), orientation="upright")


# Files that must be refused, with a part of the message; an empty part where the file is merely odd
# and must be read.


def refused(name, data, message):
    save(name, data, "hostile")
    case("hostile", file=name, message=message)


def hostile_files():
    small = np.zeros((2, 2, 1), dtype=np.uint16)
    plain = png(small, 0, 8)

    def with_header(width, height, color=0, depth=8):
        header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
        return plain[:8] + png_chunk(b"IHDR", header) + plain[33:]

    refused("bomb.png", with_header(65535, 65535, 2), "at most 67108864 pixels, got 65535 x 65535")
    refused("bomb-2-31.png", with_header(2**31 - 1, 2**31 - 1, 6, 16), "got 2147483647 x 2147483647")
    refused("wide.png", with_header(2**20, 1), "at most 65535 x 65535, got 1048576 x 1")
    refused("deep.png", with_header(8000, 8000, 6, 16), "at most 268435456 bytes of samples")
    refused("zero.png", with_header(0, 7), "PNG")
    refused("checksum.png", plain[:20] + b"\1" + plain[21:], "PNG")
    refused("no-palette.png", with_header(2, 2, 3), "PNG")
    refused("no-data.png", plain[:33] + png_chunk(b"IEND", b""), "PNG")
    refused("short-data.png", with_header(200, 200), "PNG")
    refused("depth.png", with_header(2, 2, 2, 4), "PNG")
    fctl = png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 2, 2, 0, 0, 1, 1, 0, 0))
    refused("animated.png", png(small, 0, 8, False, [png_chunk(b"acTL", struct.pack(">II", 2, 0)), fctl]), "APNG")
    text = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 22), 9))
    refused("text-bomb.png", png(small, 0, 8, False, [text]), "")

    coded = io.BytesIO()
    Image.fromarray(picture(16, 16, 3)).save(coded, "jpeg", subsampling=0)
    coded = coded.getvalue()
    frame = coded.index(b"\xff\xc0")

    def patched(at, values):
        return coded[: frame + at] + bytes(values) + coded[frame + at + len(values) :]

    refused("bomb.jpg", patched(5, [255] * 4), "at most 67108864 pixels, got 65535 x 65535")
    refused("zero.jpg", patched(5, [0, 0]), "the picture is empty")
    refused("missing.jpg", patched(5, [32, 0]), "it ends before its picture does")
    refused("twelve-bits.jpg", patched(4, [12]), "expected 8 bits, got 12 bits")
    refused("two-components.jpg", patched(9, [2]), "got 2 components")
    refused("arithmetic.jpg", patched(1, [0xC9]), "got SOF 9")
    refused("lossless.jpg", patched(1, [0xC3]), "got SOF 3")
    refused("no-end.jpg", coded[:-2], "JPEG is truncated")
    refused("sampling.jpg", patched(11, [0]), "JPEG")
    refused("table.jpg", patched(12, [9]), "JPEG")

    def riff(*chunks):
        body = b"WEBP" + b"".join(k + struct.pack("<I", len(b)) + b + b"\0" * (len(b) % 2) for k, b in chunks)
        return b"RIFF" + struct.pack("<I", len(body)) + body

    def canvas(width, height):
        return b"VP8X", b"\0\0\0\0" + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")

    lossy = b"\x10\2\0\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383) + bytes(64)
    refused("bomb.webp", riff((b"VP8 ", lossy)), "at most 67108864 pixels, got 16383 x 16383")
    lossless = b"\x2f" + struct.pack("<I", 16382 | 16382 << 14) + bytes(64)
    refused("bomb-lossless.webp", riff((b"VP8L", lossless)), "got 16383 x 16383")
    refused("bomb-canvas.webp", riff(canvas(1 << 24, 1 << 7), (b"VP8 ", lossy)), "the picture is too large")
    refused("bomb-frame.webp", riff(canvas(10, 10), (b"VP8 ", lossy)), "a frame of (16383, 16383)")
    refused("bomb-frame-lossless.webp", riff(canvas(10, 10), (b"VP8L", lossless)), "WebP")
    refused("no-frame.webp", riff(canvas(10, 10)), "WebP")
    moving = io.BytesIO()
    frames = [Image.fromarray(picture(8, 8, 3)) for _ in range(2)]
    frames[0].save(moving, "webp", save_all=True, append_images=frames[1:], lossless=True)
    refused("animated.webp", moving.getvalue(), "got an animated WebP")

    def tiff(next_directory=0, data=bytes(12), order="<", **changes):
        """A 4 × 3 grey picture behind its directory, with fields replaced or, by None, left out."""
        fields = {256: (3, [4]), 257: (3, [3]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1])}
        fields |= {273: (4, [256]), 277: (3, [1]), 278: (3, [3]), 279: (4, [len(data)])}
        fields |= {int(tag.removeprefix("t")): field for tag, field in changes.items()}
        out = struct.pack("<2sHIH", b"II", 42, 8, sum(field is not None for field in fields.values()))
        for tag, field in sorted(fields.items()):
            if field is None:
                continue
            kind, values, *count = field
            packed = b"".join(struct.pack("<H" if kind == 3 else "<I", value) for value in values)
            out += struct.pack("<HHI4s", tag, kind, count[0] if count else len(values), packed[:4])
        return (out + struct.pack("<I", next_directory)).ljust(256, b"\0") + data

    for name, data, message in [
        ("plain", tiff(), ""),
        ("loop", tiff(next_directory=8), ""),
        ("bomb", tiff(t256=(4, [2**31]), t257=(4, [2**31])), "got 2147483648 x 2147483648"),
        ("bomb-bands", tiff(t277=(4, [2**32 - 1]), t258=(3, [8])), "bytes of samples"),
        ("zero", tiff(t256=(3, [0])), "the picture is empty"),
        ("no-width", tiff(t256=None), "no field Width"),
        ("directory-outside", b"II*\0" + struct.pack("<I", 10**6) + bytes(64), "lies beyond its end"),
        ("directory-short", b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(64), "lies beyond its end"),
        ("values-outside", tiff(t273=(4, [10**6], 5)), "lies beyond its end"),
        ("values-endless", tiff(t273=(4, [8], 2**32 - 1)), "lies beyond its end"),
        ("no-values", tiff(t256=(3, [], 0)), "field Width is empty"),
        ("strip-outside", tiff(t273=(4, [2**32 - 1])), "lies beyond its end"),
        ("strip-short", tiff(data=bytes(11)), "too short"),
        ("strips-missing", tiff(t278=(3, [1])), "fewer strips"),
        ("strips-empty", tiff(t278=(3, [0])), "are empty"),
        ("tiles-empty", tiff(t322=(3, [0]), t323=(3, [16]), t324=(4, [256]), t325=(4, [12])), "are empty"),
        ("tiles-huge", tiff(t322=(4, [2**31]), t323=(4, [2**31]), t324=(4, [256]), t325=(4, [12])), "too large"),
        ("tiles-missing", tiff(t322=(3, [1]), t323=(3, [1]), t324=(4, [256]), t325=(4, [12])), "fewer strips or tiles"),
        ("bits-mixed", tiff(t277=(3, [2]), t258=(3, [8, 16])), "one value of BitsPerSample"),
        ("signed", tiff(t339=(3, [2])), "got 8-bit signed samples"),
        ("one-bit", tiff(t258=(3, [1])), "got 1-bit unsigned samples"),
        ("palette", tiff(t262=(3, [3])), "got a palette"),
        ("inks", tiff(t262=(3, [5])), "got inks"),
        ("jpeg-inside", tiff(t259=(3, [7])), "got JPEG (7)"),
        ("predictor", tiff(t317=(3, [9])), "predictor 9"),
        ("predictor-float", tiff(t317=(3, [3])), "predictor 3"),
        ("type", tiff(t256=(5, [4])), "has type 5"),
        ("deflate-garbage", tiff(t259=(3, [8])), "TIFF"),
        ("deflate-short", tiff(t259=(3, [8]), data=zlib.compress(bytes(11))), "TIFF"),
        ("deflate-bomb", tiff(t259=(3, [8]), data=zlib.compress(bytes(1 << 20))), ""),
        ("lzw-garbage", tiff(t259=(3, [5]), data=b"\xff" * 12), "TIFF"),
        ("lzw-empty", tiff(t259=(3, [5]), data=b"\x80\x40\x40"), "TIFF"),
        ("packbits-short", tiff(t259=(3, [32773]), data=b"\x05abc"), "too short"),
        ("packbits-nothing", tiff(t259=(3, [32773]), data=b"\x80" * 12), "too short"),
    ]:
        refused(f"{name}.tif", data, message)

    for name, data, message in [
        ("empty", b"", "got an empty file"),
        ("one-byte", b"\x89", "starts like none of them"),
        ("text", b"hello, picture", "starts like none of them"),
        ("gif", b"GIF89a" + bytes(20), "expected PNG, JPEG, WebP or TIFF, got GIF"),
        ("bmp", b"BM" + bytes(20), "got BMP"),
        ("svg", b"<svg/>", "got markup"),
        ("heif", b"\0\0\0\x18ftypheic" + bytes(20), "got HEIF"),
        ("riff", b"RIFF\4\0\0\0WAVE", "starts like none of them"),
    ]:
        refused(name, data, message)


FILTERS = dict(nearest=Image.NEAREST, bilinear=Image.BILINEAR, bicubic=Image.BICUBIC, lanczos=Image.LANCZOS)


def resized(values, size, resample):
    """Band by band: Pillow would weight the bands of RGBA by the last. Rows before columns: Pillow up
    to 12 does so by itself, 13 takes whichever order is cheaper."""

    def one(band):
        image = Image.fromarray(np.ascontiguousarray(band))
        if resample != Image.NEAREST:
            image = image.resize((size[0], image.height), resample)
        return np.asarray(image.resize(size, resample))

    return np.stack([one(band) for band in np.moveaxis(values, -1, 0)], axis=-1).astype(values.dtype)


def resizes():
    for values in [
        picture(23, 17, 1),
        picture(30, 40, 3),
        picture(13, 19, 5),
        # Below the full range: Pillow does not clip 16 bits that overshoot.
        picture(17, 23, 1, 40000, np.uint16),
        picture(19, 21, 2, 3.0, np.float32) - np.float32(1),
    ]:
        for size in [(24, 18), (31, 29), (9, 40), (1, 1)]:
            for name, resample in FILTERS.items():
                expected = resized(values, size, resample)
                case("resize", filter=name, input=array(values), expected=array(expected))
    for _ in range(20):
        before, after = (int(side) for side in RNG.integers(1, 400, 2))
        # Pillow has one way for 16 bits and another for the rest.
        for dtype in (np.uint16, np.float32):
            values = np.arange(before, dtype=dtype)[:, None, None]
            expected = resized(values, (1, after), Image.NEAREST)
            case("nearest", before=before, dtype=np.dtype(dtype).name, expected=array(expected.astype(np.uint16)))


def frames():
    large, tiny = picture(23, 17, 3), picture(5, 4, 3)
    for values, border in [(large, (3, 4, 5, 6)), (large, (0, 0, 1, 0)), (tiny, (20, 15, 10, 17))]:
        left, top, right, bottom = border
        for mode in ("constant", "edge", "reflect"):
            extra = dict(constant_values=7) if mode == "constant" else {}
            expected = np.pad(values, ((top, bottom), (left, right), (0, 0)), mode=mode, **extra)
            step = dict(left=left, top=top, right=right, bottom=bottom, mode=mode, value=7.0)
            case("pad", step=step, input=array(values), expected=array(expected))
    for size in [(32, 32), (20, 41), (64, 10), (11, 50)]:
        for name in ("nearest", "bilinear"):
            expected = ImageOps.pad(Image.fromarray(large), size, FILTERS[name], color=(114, 114, 114))
            step = dict(width=size[0], height=size[1], filter=name, value=114.0)
            case("fit", step=step, input=array(large), expected=array(np.asarray(expected)))


def tensors():
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    for values, scale in [(picture(11, 13, 3), 1 / 255), (picture(11, 13, 3, 10000, np.uint16), 1e-4)]:
        x = (values.astype(np.float32) * np.float32(scale) - np.float32(mean)) / np.float32(std)
        step = dict(scale=scale, mean=mean, std=std)
        case("tensor", step=step | dict(layout="nhwc"), input=array(values), expected=array(x[None]))
        case("tensor", step=step | dict(layout="nchw"), input=array(values), expected=array(np.moveaxis(x, -1, 0)[None]))


def answers(shape):
    """Numbers from 0 to 1 that the test computes too: Knuth's multiplicative hash of the index."""
    index = np.arange(np.prod(shape), dtype=np.uint64)
    hashed = (index * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)
    return ((hashed >> np.uint64(8)).astype(np.float32) / np.float32(2**24)).reshape(shape)


def grids():
    def numbered(height, width):
        return np.arange(height * width, dtype=np.float32).reshape(height, width)

    def written(step, size, tiles, blended):
        # Both diagonals of a tile tell where all its rows and columns come from.
        diagonals = np.stack([np.diagonal(way, axis1=1, axis2=2) for way in (tiles, tiles[:, :, ::-1])], axis=1)
        case("tiles", step=step, width=size[1], height=size[0], expected=array(diagonals.astype(np.uint16)), blended=array(blended.astype(np.float32)))

    for size, tile, overlap in [
        ((23, 31), 16, 5), ((23, 31), 16, 0), ((23, 31), 16, 8), ((23, 31), 16, 13), ((32, 16), 16, 0),
        ((5, 41), 16, 4), ((1, 1), 8, 2), ((9, 8), 16, 3), ((8, 9), 16, 3), ((23, 31), 1, 0), ((12, 17), 7, 6),
    ]:
        stride = tile - overlap
        counts = [1 + max(0, -(-(side - tile) // stride)) for side in size]
        padded = numbered(*size)
        for axis, (side, count) in enumerate(zip(size, counts)):
            missing = (count - 1) * stride + tile - side
            widths = [(0, 0), (0, 0)]
            widths[axis] = (0, missing)
            padded = np.pad(padded, widths, mode="reflect" if missing < side else "edge")
        places = [(y * stride, x * stride) for y in range(counts[0]) for x in range(counts[1])]
        tiles = np.stack([padded[y : y + tile, x : x + tile] for y, x in places])
        i = np.arange(tile)
        ramp = np.minimum(np.minimum(i + 1, tile - i), overlap) / overlap if overlap else np.ones(tile)
        window = np.outer(ramp, ramp)
        given = answers((len(places), 2, tile, tile))
        sums, weights = np.zeros((2, *padded.shape)), np.zeros(padded.shape)
        for (y, x), answer in zip(places, given):
            sums[:, y : y + tile, x : x + tile] += answer * window
            weights[y : y + tile, x : x + tile] += window
        blended = (sums / weights)[:, : size[0], : size[1]]
        written(dict(size=tile, overlap=overlap, window="linear"), size, tiles, blended)

    for size, tile, overlap in [
        ((4, 130), 256, 0.2), ((31, 47), 40, 0.2), ((19, 35), 32, 0.25), ((19, 35), 33, 0.1),
        ((20, 21), 16, 0.5), ((20, 33), 16, 0.0), ((3, 5), 32, 0.2),
    ]:
        tiles = tile_array(numbered(*size)[:, :, None], tile, tile, overlap)
        given = np.moveaxis(answers((len(tiles), 2, tile, tile)), 1, -1)
        blended = untile_array(given, (*size, 2), overlap, smooth_blending=True)
        written(dict(size=tile, overlap=overlap, window="tukey"), size, tiles[:, :, :, 0], np.moveaxis(blended, -1, 0))


# JPEG by kind of coding and sampling, in sizes of all remainders. Pillow doesn't write every kind: some are
# made of others by a change of the header, under which the same blocks are another picture.


def jpeg_segments(data):
    """(marker, start, end) up to the first scan's header."""
    at, marker = 2, None
    while marker != 0xDA:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, at, end
        at = end


def jpeg_segment(data, *markers):
    return next((start, end) for marker, start, end in jpeg_segments(data) if marker in markers)


def sampled(data, factors, width, height):
    """With other sampling factors of the first component, and another size."""
    start, _ = jpeg_segment(data, 0xC0, 0xC2)
    size = struct.pack(">HH", height, width)
    return data[: start + 5] + size + data[start + 9 : start + 11] + bytes([factors]) + data[start + 12 :]


def adobe(data, transform):
    """With Adobe's mark instead of JFIF's or its own."""
    start, end = jpeg_segment(data, 0xE0, 0xEE)
    return data[:start] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]) + data[end:]


def apart(planes):
    """A scan of its own for each component, of which each has its restart markers."""
    coded = [jpeg_bytes(plane, quality=70, restart_marker_blocks=2) for plane in planes]
    start, end = jpeg_segment(coded[0], 0xC0)
    frame = coded[0][start + 4 : start + 9] + b"\3" + b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    out = coded[0][:start] + b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame
    for number, data in enumerate(coded, start=1):
        scan, entropy = jpeg_segment(data, 0xDA)
        if number == 1:
            out += data[end:scan]
        out += data[scan : scan + 5] + bytes([number]) + data[scan + 6 : entropy] + data[entropy:-2]
    return out + b"\xff\xd9"


def without(data, marker):
    for kind, start, end in reversed(list(jpeg_segments(data))):
        data = data[:start] + data[end:] if kind == marker else data
    return data


def jpeg_bytes(values, **options):
    out = io.BytesIO()
    image = Image.fromarray(values, mode="CMYK") if values.shape[2:] == (4,) else Image.fromarray(values)
    image.save(out, "jpeg", **options)
    return out.getvalue()


def jpeg_corpus():
    rng = np.random.default_rng(20250119)
    ImageFile.MAXBLOCK = 1 << 20  # Pillow's own guess is too small for a progressive file of few pixels.

    def photo(height, width, bands):
        y, x = np.mgrid[0:height, 0:width]
        planes = []
        for band in range(bands):
            plane = 0.5 + 0.3 * np.sin(x / (5 + 3 * band) + band) * np.cos(y / (7 + band)) + x / width / 5 - 0.1
            plane[height // 3 : height // 2, width // 4 : width // 2] = band % 2
            planes.append(plane + rng.normal(0, (0.02, 0.1, 0.25)[band % 3], plane.shape))
        return np.rint(np.clip(np.stack(planes, axis=-1), 0, 1) * 255).astype(np.uint8)

    def read_back(name, data, mode="RGB"):
        save(f"jpeg-{name}.jpg", data)
        pillow(f"jpeg-{name}.jpg", mode, within=JPEG_WITHIN)

    qualities = [30, 50, 75, 85, 95]
    for width, height in [(1, 1), (3, 5), (5, 3), (8, 16), (17, 15), (67, 43)]:
        for kind in ("baseline", "progressive"):
            size = f"{width}x{height}-{kind}"
            options = dict(quality=qualities[0], progressive=kind == "progressive")
            qualities = qualities[1:] + qualities[:1]
            for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
                data = jpeg_bytes(photo(height, width, 3), subsampling=subsampling, **options)
                read_back(f"{subsampling.replace(':', '')}-{size}", data)
            read_back(f"grey-{size}", jpeg_bytes(photo(height, width, 1)[:, :, 0], **options), "L")
            # Whole units, because the last blocks of a progressive scan depend on the size.
            across, down, cut = -(-width // 16), -(-height // 16), 5 if kind == "baseline" else 0
            data = jpeg_bytes(photo(down * 16, across * 16, 3), subsampling="4:2:2", **options)
            read_back(f"440-{size}", sampled(data, 0x12, across * 8 - cut, down * 32 - cut))
            data = jpeg_bytes(photo(down * 16, across * 16, 3), subsampling="4:2:0", **options)
            read_back(f"411-{size}", sampled(data, 0x41, across * 32 - cut, down * 8 - cut))
            read_back(f"tall-{size}", sampled(data, 0x14, across * 8 - cut, down * 32 - cut))
            if width in (1, 17):
                for subsampling in ("4:4:4", "4:2:0"):
                    name = f"{subsampling.replace(':', '')}-{size}"
                    data = jpeg_bytes(photo(height, width, 4), subsampling=subsampling, **options)
                    read_back(f"inks-{name}", data)
                    read_back(f"chroma-inks-{name}", adobe(data, 2))
                data = jpeg_bytes(photo(height, width, 3), subsampling="4:4:4", **options)
                read_back(f"rgb-{size}", adobe(data, 0))
                read_back(f"adobe-chroma-{size}", adobe(data, 1))
    for kind in (False, True):
        for interval in (dict(restart_marker_blocks=1), dict(restart_marker_rows=1), dict(restart_marker_blocks=7)):
            data = jpeg_bytes(photo(33, 40, 3), subsampling="4:2:0", progressive=kind, **interval)
            read_back(f"restart-{'progressive' if kind else 'baseline'}-{'-'.join(map(str, interval.values()))}-{next(iter(interval))[-4:]}", data)
    whole = jpeg_bytes(photo(20, 26, 3), subsampling="4:2:0", quality=60)
    read_back("no-tables", without(whole, 0xC4))
    read_back("unmarked-inks", without(jpeg_bytes(photo(9, 13, 4)), 0xEE))
    scans = apart([photo(20, 26, 1)[:, :, 0] for _ in range(3)])
    read_back("apart", scans)

    _, entropy = jpeg_segment(whole, 0xDA)
    scan, _ = jpeg_segment(whole, 0xDA)
    refused("scan-twice.jpg", whole[:-2] + whole[scan:], "a scan doesn't go on where another ended")
    refused("scan-missing.jpg", scans[: scans.index(b"\xff\xda\0\x08\1\2")] + b"\xff\xd9", "a component is missing")
    refused("scan-short.jpg", whole[: entropy + (len(whole) - entropy) // 2] + b"\xff\xd9", "it ends before its picture does")
    refused("no-steps.jpg", without(whole, 0xDB), "a quantisation table is missing")
    refused("no-frame.jpg", without(whole, 0xC0), "its frame is missing")
    refused("no-scan.jpg", whole[:scan] + b"\xff\xd9", "a component is missing")
    refused("fourteen-blocks.jpg", sampled(whole, 0x43, 26, 20), "more than 10 blocks in a unit")
    thirds, at = sampled(whole, 0x31, 26, 20), jpeg_segment(whole, 0xC0)[0] + 14
    refused("thirds.jpg", thirds[:at] + b"\x21" + thirds[at + 1 :], "factors that divide the largest, 3 x 1, got 2 x 1")
    at = jpeg_segment(whole, 0xC0)[0] + 10
    none = b"".join(bytes([number, 0, 0]) for number in (1, 2, 3))
    refused("no-factors.jpg", whole[:at] + none + whole[at + 9 :], "a sampling factor is none of 1 to 4")
    marked = jpeg_bytes(photo(20, 26, 3), restart_marker_blocks=1)
    at = marked.index(b"\xff\xd1")
    refused("restart-missing.jpg", marked[:at] + marked[at + 2 :], "a restart marker is missing")
    codes, _ = jpeg_segment(whole, 0xC4)
    refused("codes-overfull.jpg", whole[: codes + 5] + b"\3" + whole[codes + 6 :], "a Huffman table")


if __name__ == "__main__":
    main()
