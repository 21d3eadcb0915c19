"""XGBoost behind LitServe: python litserve_xgboost.py MODEL.json PORT"""

import sys

import litserve
import numpy as np
from xgboost import XGBClassifier


class Iris(litserve.LitAPI):
    def setup(self, device):
        self.model = XGBClassifier()
        self.model.load_model(sys.argv[1])

    def decode_request(self, request):
        return np.array(request["instances"], dtype=np.float32)

    def predict(self, rows):
        return self.model.predict(rows)

    def encode_response(self, labels):
        return {"predictions": labels.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Iris(api_path="/predictions"), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[2]), num_api_servers=1, generate_client_file=False,
        access_log=False, log_level="warning",
    )
