"""Networks whose reasons are known, served as any model is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from materializers.blobs import write_file
from serving.model_directory import MODEL_FILE, ModelMetadata, Preprocessing, write_metadata
from serving.predictor import OUTPUTS, Predictor
from steps.training.export import to_onnx

SIDE = 16
CORNER = 5
"""The side of the square, upper left, that alone decides."""
CONTRAST = 80
SHARE = 0.1
"""Of the pixels: as many as the corner has."""


class Corner(nn.Module):
    """Looks at one corner, for a pattern of squares: ``plain`` or ``checked``."""

    def forward(self, images: Tensor) -> Tensor:
        rows = torch.arange(CORNER)
        signs = 1 - 2 * ((rows[:, None] + rows) % 2)
        grey = images[:, :CORNER, :CORNER].to(torch.float32).mean(dim=3)
        found = (grey * signs).mean(dim=(1, 2)) / CONTRAST
        return torch.stack([4 - 8 * found, 8 * found - 4], dim=1)


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
        classes=("plain", "checked"),
        preprocessing=Preprocessing(height=SIDE, width=SIDE),
        temperature=temperature,
    )
    write_metadata(directory, metadata)
    return Predictor.load(directory)


def with_checked_corner(count: int) -> NDArray[np.uint8]:
    """Noisy dark pictures ``(count, SIDE, SIDE, 3)`` whose upper left corner is lighter and checked."""
    pixels = np.random.default_rng(5).integers(60, 80, (count, SIDE, SIDE, 3))
    squares = 1 - 2 * (np.add.outer(np.arange(CORNER), np.arange(CORNER)) % 2)
    pixels[:, :CORNER, :CORNER] += CONTRAST + CONTRAST * squares[..., None]
    return pixels.astype(np.uint8)
