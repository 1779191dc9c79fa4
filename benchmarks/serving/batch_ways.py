"""Two ways to classify a folder of pictures, and what their networks alone cost, each a process of its own.

``python -m benchmarks.serving.batch_ways WAY FOLDER`` classifies FOLDER/pictures and prints what that cost as
JSON. Its children count; what is imported before it begins does not. Nothing heavy is imported on top: worker
processes import it too.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ARCHITECTURE, SIDE, VERSION = "resnet18", 224, 1
EAGER_BATCH, EAGER_PICTURES = 32, 1500
"""Each costs it as much as the next, so that its rate needs no more of them."""
WORKERS = 2
"""Of the DataLoader."""
STORE = "store"


def ours(folder: Path) -> dict[str, Any]:
    """As ``--infer`` does it, without ZenML's run around it."""
    from materializers.finished_shards import FinishedShards, ShardKey
    from materializers.predictions import PredictionCounts, PredictionProvenance
    from serving.model_directory import model_digest
    from steps.data.sources import open_source
    from steps.inference.classify import classify_source
    from steps.inference.classifying import Model
    from steps.inference.settings import InferenceSettings
    from tests.materializers.stores import disk_store

    (folder / STORE).mkdir(exist_ok=True)
    store, settings = disk_store(folder / STORE), InferenceSettings()
    directory = folder / "model" / "serving"
    digest = model_digest(directory)
    model = Model(str(directory), digest, VERSION, settings.threads, settings.batch_size)
    key = ShardKey(model_digest=digest, model_version=VERSION, code="", settings={})
    before = _used()
    with open_source(str(folder / "pictures")) as source:
        done = classify_source(source, model, FinishedShards(store, key))
    now, counts = datetime.now(UTC), PredictionCounts.of(done.writer.tally)
    predictions = done.writer.finish(
        PredictionProvenance(
            model_name=ARCHITECTURE,
            environment="staging",
            model_version=VERSION,
            model_digest=digest,
            verdict="",
            code="",
            source="pictures",
            began=now,
            ended=now,
            counts=counts,
            taken_over=done.taken_over,
        )
    )
    return _cost(before) | {
        "pictures": counts.classified,
        "taken_over": done.taken_over,
        "paths": predictions.rows["path"].tolist(),
    }


def eager(folder: Path) -> dict[str, Any]:
    """As it is usually written: Pillow, a DataLoader with workers, torch eager, batches."""
    import numpy as np
    import torch
    from PIL import Image
    from torch import Tensor
    from torch.utils.data import DataLoader, Dataset

    from benchmarks.serving.exporting import network_of

    class Pictures(Dataset[Tensor]):
        def __init__(self, paths: list[Path]) -> None:
            self.paths = paths

        def __len__(self) -> int:
            return len(self.paths)

        def __getitem__(self, row: int) -> Tensor:
            with Image.open(self.paths[row]) as image:
                resized = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            return torch.from_numpy(np.asarray(resized).copy())

    torch.set_num_threads(1)
    network = network_of(ARCHITECTURE)
    before = _used()
    classified = 0
    paths = sorted((folder / "pictures").iterdir())[:EAGER_PICTURES]
    loader = DataLoader(Pictures(paths), batch_size=EAGER_BATCH, num_workers=WORKERS)
    with torch.inference_mode():
        for images in loader:
            classified += len(network(images)[0].softmax(dim=1).argmax(dim=1).tolist())
    del loader
    return _cost(before) | {"pictures": classified}


def alone(folder: Path) -> dict[str, Any]:
    """CPU ms a picture of each way's network, and of our decoding: what is left where nothing is wasted.

    They take turns, in one thread, each with batches of the size that its way has.
    """
    import numpy as np
    import torch

    from benchmarks.dataset.timing import medians
    from benchmarks.serving.exporting import network_of
    from serving.predictor import Predictor
    from serving.preprocess import decode
    from steps.inference.settings import InferenceSettings

    torch.set_num_threads(1)
    network, predictor = network_of(ARCHITECTURE), Predictor.load(folder / "model" / "serving")
    encoded = [path.read_bytes() for path in sorted((folder / "pictures").iterdir())[:EAGER_BATCH]]

    def decoded() -> np.ndarray[Any, np.dtype[np.uint8]]:
        return np.stack([decode(each, predictor.metadata.preprocessing) for each in encoded])

    images = decoded()
    tensor, batch_size = torch.from_numpy(images), InferenceSettings().batch_size
    with torch.inference_mode():
        taken = medians(
            {
                "ours": lambda: predictor.scores(images, batch_size),
                "eager": lambda: network(tensor),
                "decoding": decoded,
            }
        )
    return {part: 1000 * cpu_s / len(encoded) for part, cpu_s in taken.items()}


def _used() -> tuple[float, float]:
    """CPU seconds of this process and of its children that ended, and the time."""
    of = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in of), time.perf_counter()


def _cost(before: tuple[float, float]) -> dict[str, Any]:
    cpu_s, now = _used()
    return {"cpu_s": cpu_s - before[0], "wall_s": now - before[1]}


if __name__ == "__main__":
    print(json.dumps({"ours": ours, "eager": eager, "alone": alone}[sys.argv[1]](Path(sys.argv[2]))))  # noqa: T201 - the answer to the process that started this one
