"""torch eager in FastAPI, as a tutorial writes it: an encoded picture in, labels out."""

from __future__ import annotations

import io

import numpy as np
import torch
from fastapi import FastAPI, Request
from PIL import Image

from benchmarks.serving.exporting import CLASSES, SIDE, network_of

torch.set_num_threads(1)
network = network_of("resnet18")
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> dict[str, object]:
    """Classify the picture in the body."""
    with Image.open(io.BytesIO(await request.body())) as image:
        pixels = np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    with torch.inference_mode():
        shares = network(torch.from_numpy(pixels.copy())[None])[0].softmax(dim=1)[0].tolist()
    return {"predictions": dict(zip(CLASSES, shares, strict=True))}
