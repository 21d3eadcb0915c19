"""XGBoost behind FastAPI, the usual way to serve such a model: python fastapi_xgboost.py MODEL.json PORT"""

import sys

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from xgboost import XGBClassifier

model = XGBClassifier()
model.load_model(sys.argv[1])
app = FastAPI()


class Request(BaseModel):
    instances: list[list[float]]


@app.get("/health")
async def health():
    return {"status": "ok"}


# Not handed to the thread pool, which only costs time where there is one core.
@app.post("/predictions")
async def predictions(request: Request):
    return {"predictions": model.predict(np.array(request.instances, dtype=np.float32)).tolist()}


uvicorn.run(app, port=int(sys.argv[2]), loop="uvloop", http="httptools", access_log=False, log_level="warning")
