"""XGBoost behind MLServer: MLSERVER_HTTP_PORT=PORT mlserver start mlserver/"""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri
from xgboost import XGBClassifier


class Iris(MLModel):
    async def load(self) -> bool:
        self.model = XGBClassifier()
        self.model.load_model(await get_model_uri(self.settings))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        labels = self.model.predict(NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("label", labels)])
