"""Networks whose reasons are known, served as any model is, and a trained model under examination."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from materializers.blobs import write_file
from materializers.classifier import Classifier
from materializers.image_dataset import ImageDataset
from materializers.splits import TEST, Splits
from serving.model_directory import MODEL_FILE, ModelMetadata, Preprocessing, write_metadata
from serving.predictor import OUTPUTS, Predictor
from steps.evaluation.answers import answers
from steps.evaluation.examined import Examined
from steps.training.export import to_onnx

SIDE = 16
CORNER = 5
"""The side of the square, upper left, that alone decides."""
SHARE = 0.1
"""Of the pixels: as many as the corner has."""


class Corner(nn.Module):
    """Looks at one corner: ``dark`` or ``light``."""

    def forward(self, images: Tensor) -> Tensor:
        brightness = images[:, :CORNER, :CORNER].to(torch.float32).mean(dim=(1, 2, 3)) / 255
        return torch.stack([4 - 8 * brightness, 8 * brightness - 4], dim=1)


class Deaf(nn.Module):
    """Says the same whatever it is shown."""

    def forward(self, images: Tensor) -> Tensor:
        nothing = images.to(torch.float32).mean(dim=(1, 2, 3)) * 0
        return torch.stack([nothing, nothing + 1], dim=1)


class WithEmbedding(nn.Module):
    """As a model directory has to answer: logits, and an embedding."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(images)
        return logits, logits * 1


def served(network: nn.Module, directory: Path, temperature: float = 1.0) -> Predictor:
    """A network of two classes, exported into a directory and loaded from there."""
    example = np.zeros((2, SIDE, SIDE, 3), dtype=np.uint8)
    write_file(directory / MODEL_FILE, to_onnx(WithEmbedding(network).eval(), example, OUTPUTS))
    metadata = ModelMetadata(
        architecture="small_cnn",
        classes=("dark", "light"),
        preprocessing=Preprocessing(height=SIDE, width=SIDE),
        temperature=temperature,
    )
    write_metadata(directory, metadata)
    return Predictor.load(directory)


def with_light_corner(count: int) -> NDArray[np.uint8]:
    """Noisy dark pictures ``(count, SIDE, SIDE, 3)`` with a light corner."""
    pixels = np.random.default_rng(5).integers(0, 120, (count, SIDE, SIDE, 3))
    pixels[:, :CORNER, :CORNER] += 130
    return pixels.astype(np.uint8)


def examined(classifier: Classifier, dataset: ImageDataset, splits: Splits) -> Examined:
    """A classifier with its answers on the test pictures."""
    predictor = Predictor.load(classifier.serving_directory)
    image_ids = splits.image_ids(TEST)
    classes = predictor.metadata.classes
    true = np.array([classes.index(label) for label in dataset.labels(image_ids)])
    predicted, probabilities = answers(predictor, dataset, image_ids, true, batch_size=64)
    return Examined(
        classifier=classifier,
        predictor=predictor,
        dataset=dataset,
        image_ids=tuple(image_ids),
        true=true,
        predicted=predicted,
        probabilities=probabilities,
    )
