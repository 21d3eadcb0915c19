"""A bucket's pictures become masks as tutorials have it, one object after another: get, decode, run, encode, put, delete.

    python article.py clouds|csmask INPUT_BUCKET OUTPUT_BUCKET

The endpoint and credentials come from the AWS variables. Prints {"objects": N, "seconds": S}; the clock starts when the
model is loaded. ONNX Runtime takes as many threads as it likes.
"""

import io
import json
import sys
import time
from pathlib import Path

import boto3
import numpy as np
from PIL import Image

MODELS = Path(__file__).resolve().parents[3] / "models"


def main():
    name, source, target = sys.argv[1:]
    predict = {"clouds": clouds, "csmask": csmask}[name]()
    s3 = boto3.client("s3")
    start = time.perf_counter()
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=source)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    for key in keys:
        content = s3.get_object(Bucket=source, Key=key)["Body"].read()
        mask = io.BytesIO()
        Image.fromarray(predict(io.BytesIO(content))).save(mask, format="PNG")
        s3.put_object(Bucket=target, Key=f"{key}.png", Body=mask.getvalue(), ContentType="image/png")
        s3.delete_object(Bucket=source, Key=key)
    print(json.dumps({"objects": len(keys), "seconds": time.perf_counter() - start}))


def clouds():
    """From a PNG to its mask, u8[H, W], as `models/clouds/reference.py` does it."""
    import onnxruntime

    sys.path.insert(0, str(MODELS / "clouds"))
    import reference

    session = onnxruntime.InferenceSession(MODELS / "clouds/model.onnx", providers=["CPUExecutionProvider"])
    return lambda picture: np.where(
        reference.probability(session, reference.read_rgb(picture)) >= reference.THRESHOLD, 255, 0
    ).astype(np.uint8)


def csmask():
    """From a TIFF of four bands to its classes, u8[H, W], as `models/csmask/golden.py` does it."""
    import tifffile

    sys.path.insert(0, str(MODELS / "csmask"))
    import golden

    session = golden.session((MODELS / "csmask/model_4b_l1c.onnx").read_bytes())
    return lambda picture: golden.classify(tifffile.imread(picture), session)


main()
