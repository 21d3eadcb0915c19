"""XGBoost behind BentoML: MODEL=model.json bentoml serve bentoml_service:Iris --port PORT"""

import os

import bentoml
import numpy as np
from xgboost import XGBClassifier


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Iris:
    def __init__(self):
        self.model = XGBClassifier()
        self.model.load_model(os.environ["MODEL"])

    # Not handed to the thread pool, which only costs time where there is one core.
    @bentoml.api(route="/predictions")
    async def predictions(self, instances: list[list[float]]) -> dict[str, list[int]]:
        return {"predictions": self.model.predict(np.array(instances, dtype=np.float32)).tolist()}
