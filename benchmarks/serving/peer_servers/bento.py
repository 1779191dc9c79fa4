"""A service of BentoML, in its own environment: a picture in base64 in, probabilities out, by onnxruntime."""

import base64
import io
import os

import bentoml  # type: ignore[import-not-found]
import numpy as np
import onnxruntime
from PIL import Image


@bentoml.service(workers=1)
class Classifier:
    """Loads the network that the environment names."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options)
        _, self.height, self.width, _ = self.session.get_inputs()[0].shape

    @bentoml.api
    def classify(self, picture: str) -> list[float]:
        """Probabilities of a picture."""
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            pixels = np.asarray(
                image.convert("RGB").resize((self.width, self.height), Image.Resampling.BILINEAR)
            )
        logits = self.session.run(["logits"], {"images": pixels[np.newaxis]})[0][0]
        shares = np.exp(logits - logits.max())
        found: list[float] = (shares / shares.sum()).tolist()
        return found
