"""Networks of a few operations whose behaviour is known, exported and served like trained ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from materializers.classifier import Classifier, TrainingRecord
from materializers.image_dataset import ImageDataset, Picture
from serving.model_directory import ModelMetadata, Preprocessing, model_digest, write_metadata
from serving.predictor import OUTPUTS, Predictor
from steps.evaluation.answers import answers
from steps.evaluation.examined import Examined
from steps.training.export import to_onnx
from tests.serving.pictures import encode

CLASSES = ("left", "right")
SIDE = 16


class Halves(nn.Module):
    """Answers with the brighter half of a picture."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures ``(n, side, side, 3)`` to logits ``(n, 2)`` and an embedding."""
        grey = images.to(torch.float32).mean(dim=3) / 20
        half = grey.shape[2] // 2
        logits = torch.stack([grey[:, :, :half].mean(dim=(1, 2)), grey[:, :, half:].mean(dim=(1, 2))], dim=1)
        return self.changed(logits), logits

    def changed(self, logits: Tensor) -> Tensor:
        """What becomes of the logits."""
        return logits


class AlwaysLeft(Halves):
    """Answers ``left`` whatever it sees."""

    def changed(self, logits: Tensor) -> Tensor:
        """The same for every picture."""
        return logits * 0 + torch.tensor([1.0, 0.0])


class DropoutLeftOn(Halves):
    """Was exported while it still draws at random."""

    def changed(self, logits: Tensor) -> Tensor:
        """Noise on top, too little to change an answer."""
        return logits + torch.rand_like(logits) / 100


class BatchStatistics(Halves):
    """Was exported while it still takes the statistics of the batch."""

    def changed(self, logits: Tensor) -> Tensor:
        """Less the mean answer of the batch."""
        return logits - logits.mean(dim=0, keepdim=True)


def halves(brighter: str, seed: int, side: int = SIDE) -> NDArray[np.uint8]:
    """A picture one of whose halves is brighter."""
    pixels = np.random.default_rng(seed).integers(40, 60, (side, side, 3))
    columns = slice(0, side // 2) if brighter == "left" else slice(side // 2, side)
    pixels[:, columns] += 60
    return pixels.astype(np.uint8)


def examined(
    folder: Path,
    network: nn.Module,
    pictures: Sequence[tuple[bytes, str]],
    classes: Sequence[str] = CLASSES,
    **settings: object,
) -> Examined:
    """A network as it is served, asked for these pictures.

    Args:
        folder: empty; gets the served directory.
        network: pictures to logits and embedding.
        pictures: encoded ones, each with its label.
        classes: the names.
        settings: what the record says that it was trained with.
    """
    serving = folder / "serving"
    serving.mkdir(parents=True)
    blank = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    (serving / "model.onnx").write_bytes(to_onnx(network.eval(), blank, OUTPUTS))
    write_metadata(
        serving,
        ModelMetadata(
            architecture="simple",
            classes=tuple(classes),
            preprocessing=Preprocessing(height=SIDE, width=SIDE),
        ),
    )
    predictor = Predictor.load(serving)
    dataset = ImageDataset.from_pictures(
        Picture(data, label, SIDE, SIDE, 1, f"{number}.png") for number, (data, label) in enumerate(pictures)
    )
    image_ids = sorted(dataset.index["image_id"])
    true = np.array([list(classes).index(label) for label in dataset.labels(image_ids)])
    predicted, probabilities = answers(predictor, dataset, image_ids, true, batch_size=64)
    return Examined(
        classifier=Classifier(folder, record(model_digest(serving), classes, **settings)),
        predictor=predictor,
        dataset=dataset,
        image_ids=tuple(image_ids),
        true=true,
        predicted=predicted,
        probabilities=probabilities,
    )


def record(digest: str, classes: Sequence[str] = CLASSES, **settings: object) -> TrainingRecord:
    """How such a network was made."""
    return TrainingRecord(
        architecture="simple",
        classes=tuple(classes),
        threads=1,
        seed=0,
        data="a" * 64,
        splits="b" * 64,
        configuration="c" * 64,
        code="d" * 64,
        model_digest=digest,
        best_epoch=0,
        epochs=(),
        settings=dict(settings),
    )


def both_halves(count: int = 20) -> list[tuple[bytes, str]]:
    """As many pictures of either class."""
    return [
        (encode(Image.fromarray(halves(label, seed))), label)
        for number, label in enumerate(CLASSES)
        for seed in range(number * 1000, number * 1000 + count)
    ]
