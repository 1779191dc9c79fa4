"""The trained network as torch has it, rebuilt from a classifier's weights: only gradients need it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from materializers.classifier import WEIGHTS, Classifier, TrainingRecord
from materializers.errors import ShutterlineError
from materializers.report import counted
from serving.model_directory import read_metadata
from steps.training.networks.network import Network, build_network
from steps.training.settings import TrainSettings

AGAIN = "Train again: python run.py --train --source PATH"
AGREEMENT = 1e-3
"""How far a logit of the torch network may be from the served one, absolute and relative to its size: ten
times what the export allows, since another machine may be at work now."""
QUANTIZED_AGREEMENT = 0.25
"""The same for a network that is served in int8: the root mean square of the differences, in standard
deviations of the served logits. Of another network it is 1 or more, of its own 0.03 to 0.15."""
BATCH = 64
"""Pictures that it is asked for at once."""


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


def served_network(classifier: Classifier, pixels: NDArray[np.uint8], served: NDArray[np.float32]) -> Logits:
    """The network of a model's weights, once it is sure that it speaks for what is served.

    Args:
        classifier: the model.
        pixels: ``(n, height, width, 3)``, n > 0.
        served: ``(n, k)``, the logits that its serving directory gives for them.

    Raises:
        NoTorchNetwork: it cannot be rebuilt, or answers otherwise than what is served.
    """
    network = load_network(classifier)
    with torch.inference_mode():
        ours = torch.cat([network(batch) for batch in torch.split(torch.from_numpy(pixels), BATCH)]).numpy()
    if read_metadata(classifier.serving_directory).precision == "int8":
        difference, limit = float(np.sqrt(np.mean((ours - served) ** 2)) / served.std()), QUANTIZED_AGREEMENT
    else:
        difference = float(np.max(np.abs(ours - served) / np.maximum(1, np.abs(served))))
        limit = AGREEMENT
    if not difference <= limit:  # NaN is no agreement
        raise NoTorchNetwork(
            f"The network of {WEIGHTS} is not the one that is served: a logit differs by {difference:.2g}, "
            f"and the limit is {limit:g}. {AGAIN}"
        )
    return network


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
    network = untrained_network(record)
    try:
        weights = load_file(classifier.directory / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise NoTorchNetwork(f"{WEIGHTS} cannot be read ({error}). {AGAIN}") from error
    differing = sorted({name for name, _ in _shapes(network.network.state_dict()) ^ _shapes(weights)})
    if differing:
        raise NoTorchNetwork(
            f"{WEIGHTS} does not fit a {record.architecture} of today's code: "
            f"{counted(len(differing), 'tensor')} missing, unknown or of another shape, such as "
            f"{differing[0]}. {AGAIN}"
        )
    network.network.load_state_dict(weights)
    return network


def untrained_network(record: TrainingRecord, seed: int = 0) -> Logits:
    """A network built as the trained one was, with weights as a training begins with.

    Args:
        record: how the trained one was made.
        seed: of the weights.

    Returns:
        On the CPU, in ``eval()``; no parameter asks for a gradient. Torch's random state stays as it is.

    Raises:
        NoTorchNetwork: the record is of format 1 and lacks the settings, or today's code does not know them.
    """
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
        torch.manual_seed(seed)
        network = build_network(bare, len(record.classes))
    return Logits(network.requires_grad_(False)).eval()


def _shapes(weights: Mapping[str, Tensor]) -> set[tuple[str, tuple[int, ...]]]:
    return {(name, tuple(tensor.shape)) for name, tensor in weights.items()}
