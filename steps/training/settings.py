"""What is trained and how, as ``configs/training.yaml`` sets it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from materializers.errors import UsageError
from materializers.report import Record
from serving.model_directory import Preprocessing

Architecture = Literal["small_cnn", "resnet18", "resnet50"]
Colour = tuple[float, float, float]
SMALLEST_SIDE = {"small_cnn": 8, "resnet18": 32, "resnet50": 32}
"""Below it nothing is left after the network's poolings, pixels."""
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Augmentation(Record):
    """How training pictures vary."""

    flip: float = Field(default=0.5, ge=0, le=1)
    """The share of pictures that is mirrored."""
    rotation: float = Field(default=15.0, ge=0, le=180)
    """The largest angle either way, degrees."""
    crop: float = Field(default=0.8, gt=0, le=1)
    """The smallest share of the picture's area that a crop keeps."""
    brightness: float = Field(default=0.2, ge=0, lt=1)
    contrast: float = Field(default=0.2, ge=0, lt=1)
    """Factors are drawn from 1 − value to 1 + value."""

    @property
    def active(self) -> bool:
        """Whether anything changes at all."""
        return bool(self.flip or self.rotation or self.crop < 1 or self.brightness or self.contrast)


class TrainSettings(Record):
    """What is trained and how."""

    architecture: Architecture = "resnet50"
    weights: str | None = None
    """A safetensors file: a path, a file:// or an http(s):// URL; None: random."""
    weights_sha256: str | None = Field(default=None, pattern="^[0-9a-fA-F]{64}$")
    freeze_backbone: bool = True
    """Whether the head alone learns."""
    preprocessing: Preprocessing = Preprocessing(height=224, width=224)
    mean: Colour = IMAGENET_MEAN
    deviation: Colour = IMAGENET_DEVIATION
    """Of red, green and blue, from 0 to 1."""
    hidden: int = Field(default=512, ge=1, le=65_536)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    augmentation: Augmentation = Augmentation()
    batch_size: int = Field(default=32, ge=2, le=65_536)
    optimizer: Literal["adam"] = "adam"
    learning_rate: float = Field(default=0.001, gt=0, le=1)
    epochs: int = Field(default=50, ge=1, le=10_000)
    plateau_patience: int = Field(default=5, ge=0)
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    early_stopping_patience: int = Field(default=10, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    threads: int = Field(default=2, ge=1, le=1024)
    """Of a CPU; part of the configuration, because another number gives other weights."""
    memory_mb: int = Field(default=4096, ge=0)
    """What a split's decoded pictures may take; above it they are decoded batch by batch."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.weights is None) != (self.weights_sha256 is None):
            raise ValueError("weights and weights_sha256 go together: nothing is loaded unchecked")
        side = min(self.preprocessing.height, self.preprocessing.width)
        if side < SMALLEST_SIDE[self.architecture]:
            raise ValueError(
                f"preprocessing gives pictures of {side} pixels; {self.architecture} needs "
                f"{SMALLEST_SIDE[self.architecture]} at least"
            )
        if any(value <= 0 for value in self.deviation):
            raise ValueError(f"deviation is {self.deviation}; each colour's must be above 0")
        return self


def check_trainable(settings: TrainSettings) -> None:
    """Refuse what could never learn, before anything starts.

    Raises:
        UsageError: the backbone is frozen and has no weights.
    """
    if settings.freeze_backbone and settings.weights is None:
        raise UsageError(
            f"train.freeze_backbone is true and train.weights is not set: the backbone of a random "
            f"{settings.architecture} learns nothing. Name pretrained weights with their sha256, or train it "
            "all: --set train.freeze_backbone=false"
        )
