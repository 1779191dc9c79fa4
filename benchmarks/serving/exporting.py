"""Networks as they are served, and photographs to ask about: random weights cost what real ones do."""

from __future__ import annotations

from pathlib import Path

from benchmarks.dataset.generated import jpeg
from benchmarks.dataset.photographs import photographs
from serving.model_directory import ModelMetadata, Preprocessing
from steps.training.export import export
from steps.training.networks.network import Network, build_network
from steps.training.settings import TrainSettings

SIDE = 224
CLASSES = ("electronics", "clothing", "home", "books", "toys")


def network_of(architecture: str, side: int = SIDE) -> Network:
    """A network with weights that are the same each time, in ``eval()``."""
    import torch

    torch.manual_seed(0)
    settings = TrainSettings(
        architecture=architecture,
        freeze_backbone=architecture != "small_cnn",
        preprocessing=Preprocessing(height=side, width=side),
    )
    return build_network(settings, len(CLASSES)).eval()


def exported(architecture: str, folder: Path, side: int = SIDE) -> Path:
    """The directory by which a network is served, made in ``folder`` where it is not there."""
    directory = folder / "serving"
    if not directory.exists():
        export(
            network_of(architecture, side),
            ModelMetadata(
                format_version=1,
                architecture=architecture,
                classes=CLASSES,
                preprocessing=Preprocessing(height=side, width=side),
                runtime="onnxruntime",
            ),
            folder,
        )
    return directory


def encoded(count: int) -> tuple[str, list[bytes]]:
    """What the pictures are called, and so many of them: photographs, again and again, or generated ones."""
    real = photographs()
    if not real:
        return "JPEGs of 256 × 256", [jpeg(number) for number in range(count)]
    return "photographs", [real[number % len(real)] for number in range(count)]
