"""The trained network as torch has it, rebuilt from a classifier's weights: only gradients need it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from materializers.classifier import WEIGHTS, Classifier
from materializers.errors import ShutterlineError
from materializers.report import counted
from steps.training.networks.network import Network, build_network
from steps.training.settings import TrainSettings

AGAIN = "Train again: python run.py --train"


class NoTorchNetwork(ShutterlineError):
    """The network cannot be rebuilt; the message is the reason, for a part that is not assessed."""


class Logits(nn.Module):
    """A network that answers with its logits alone.

    Args:
        network: what was trained; its layers are ``network.backbone`` and ``network.head``.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Classify.

        Args:
            images: ``(n, height, width, 3)``, RGB, float32 from 0 to 255, or uint8.

        Returns:
            Logits ``(n, k)`` float32, without the temperature; through them a gradient reaches float images.
        """
        logits: Tensor = self.network(images)[0]
        return logits


def load_network(classifier: Classifier) -> Logits:
    """Rebuild the network that the served model was exported from.

    Args:
        classifier: its record says how the network is built, its ``weights.safetensors`` what it learnt.

    Returns:
        On the CPU, in ``eval()``; no parameter asks for a gradient. Torch's random state stays as it is.

    Raises:
        NoTorchNetwork: the record is of format 1 and lacks the settings, today's code does not know them, or
            the weights do not fit.
    """
    record = classifier.record
    if record.settings is None:
        raise NoTorchNetwork(
            f"The model's record lacks the settings of its training, which came with format 2. {AGAIN}"
        )
    try:
        settings = TrainSettings.model_validate(record.settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise NoTorchNetwork(
            f"Today's code does not know the settings of its training ({key}: {first['msg']}). {AGAIN}"
        ) from error
    # Where pretrained weights came from is of no interest any more: all that it knows is in its own.
    bare = settings.model_copy(update={"weights": None, "weights_sha256": None})
    with torch.random.fork_rng(devices=[]):
        network = build_network(bare, len(record.classes))
    try:
        weights = load_file(classifier.directory / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise NoTorchNetwork(f"{WEIGHTS} cannot be read ({error}). {AGAIN}") from error
    differing = sorted({name for name, _ in _shapes(network.state_dict()) ^ _shapes(weights)})
    if differing:
        raise NoTorchNetwork(
            f"{WEIGHTS} does not fit a {record.architecture} of today's code: "
            f"{counted(len(differing), 'tensor')} missing, unknown or of another shape, such as "
            f"{differing[0]}. {AGAIN}"
        )
    network.load_state_dict(weights)
    return Logits(network.requires_grad_(False)).eval()


def _shapes(weights: Mapping[str, Tensor]) -> set[tuple[str, tuple[int, ...]]]:
    return {(name, tuple(tensor.shape)) for name, tensor in weights.items()}
