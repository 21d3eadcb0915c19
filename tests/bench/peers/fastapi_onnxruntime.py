"""ONNX Runtime behind FastAPI: python fastapi_onnxruntime.py MODEL.onnx PORT"""

import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Request(BaseModel):
    instances: list[list[float]]


@app.get("/health")
async def health():
    return {"status": "ok"}


# Not handed to the thread pool, which only costs time where there is one core.
@app.post("/predictions")
async def predictions(request: Request):
    (labels,) = session.run(["label"], {"features": np.array(request.instances, dtype=np.float32)})
    return {"predictions": labels.tolist()}


uvicorn.run(app, port=int(sys.argv[2]), loop="uvloop", http="httptools", access_log=False, log_level="warning")
