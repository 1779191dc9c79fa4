"""Two processes that train together, beside one: ``small_cnn`` on the sample's first delivery.

3,000 pictures of 28 × 28, of which every fifth of a class chooses the epoch, in one process of two threads
and in two of one thread each. Batch normalisation uses the statistics of a share of 16 instead of the batch
of 32, so that the weights differ; the accuracy may not.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from benchmarks.claim import Claim, at_most
from materializers.image_dataset import ImageDataset, Picture
from serving.model_directory import Preprocessing
from steps.training.settings import Augmentation, TrainSettings

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "first-delivery.zip"
SEEDS, FEW_SEEDS = 5, 2
POINTS = 1.0
"""How much lower or higher the mean accuracy of two processes may be, percentage points."""
SIDE = 28
VALIDATION = 5
"""Every so many pictures of a class, one is for validation."""
SETTINGS = TrainSettings(
    architecture="small_cnn",
    freeze_backbone=False,
    preprocessing=Preprocessing(height=SIDE, width=SIDE),
    augmentation=Augmentation(rotation=0, crop=1.0, brightness=0.0, contrast=0.0),
    learning_rate=0.002,
    epochs=6,
    threads=2,
)


def measure(*, quick: bool) -> list[Claim]:
    """The distance of the mean best validation accuracies over the seeds."""
    seeds = range(FEW_SEEDS if quick else SEEDS)
    alone = [100 * best_accuracy(1, seed) for seed in seeds]
    together = [100 * best_accuracy(2, seed) for seed in seeds]
    return [
        at_most(
            f"small_cnn in two processes ({mean(together):.2f} %) beside one ({mean(alone):.2f} %), "
            f"validation accuracy, mean of {len(seeds)} seeds",
            abs(mean(together) - mean(alone)),
            POINTS,
            "points",
        )
    ]


def best_accuracy(processes: int, seed: int) -> float:
    """Train in so many processes; the validation accuracy of the best epoch, from 0 to 1."""
    from steps.training.fitting.loop import reproducible
    from steps.training.inputs.batches import Pictures
    from steps.training.networks.network import build_network
    from steps.training.processes.parallel import fit_parallel

    chosen = SETTINGS.model_copy(update={"processes": processes, "seed": seed})
    dataset = ImageDataset.from_pictures(pictures())
    classes = sorted(set(dataset.index["label"]))
    place = dataset.index.groupby("label").cumcount() % VALIDATION
    learnt, checked = (
        Pictures(dataset, dataset.index["image_id"][rows].tolist(), classes, chosen)
        for rows in (place > 0, place == 0)
    )
    with reproducible(seed, chosen.threads):
        result = fit_parallel(build_network(chosen, len(classes)), learnt, checked, chosen)
    return result.epochs[result.best_epoch - 1].val_accuracy


def pictures() -> Iterator[Picture]:
    """Those of the delivery."""
    with zipfile.ZipFile(SAMPLE) as delivery:
        rows = csv.DictReader(io.StringIO(delivery.read("labels.csv").decode()))
        for row in rows:
            path = row["image_path"]
            yield Picture(delivery.read(path), row["label"], SIDE, SIDE, 1, path)
