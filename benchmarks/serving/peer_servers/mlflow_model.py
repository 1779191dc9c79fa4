"""A pyfunc model of MLflow, as code: a picture in base64 in, probabilities out, by onnxruntime."""

import base64
import io
import os
from typing import Any

import mlflow
import numpy as np
import onnxruntime
from PIL import Image


class Classifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """Loads the network that the environment names."""

    def load_context(self, context: Any) -> None:
        """Open the network with one thread."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options)
        _, self.height, self.width, _ = self.session.get_inputs()[0].shape

    def predict(self, context: Any, model_input: list[str]) -> list[list[float]]:
        """Probabilities of each picture."""
        images = [self._decoded(each) for each in model_input]
        logits = self.session.run(["logits"], {"images": np.stack(images)})[0]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        found: list[list[float]] = (shares / shares.sum(axis=1, keepdims=True)).tolist()
        return found

    def _decoded(self, text: str) -> Any:
        with Image.open(io.BytesIO(base64.b64decode(text))) as image:
            size = (self.width, self.height)
            return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))


mlflow.models.set_model(Classifier())
