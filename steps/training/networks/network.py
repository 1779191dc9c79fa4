"""A backbone that ends in one vector a picture, and a head on it.

The whole network takes pictures as serving hands them over, ``(n, height, width, 3)`` uint8, and normalises
inside, so that nothing about its input can differ between training and serving.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from materializers.errors import UsageError
from steps.training.networks.backbones import blocks, build_backbone
from steps.training.networks.weights import load_weights

if TYPE_CHECKING:
    from steps.training.settings import TrainSettings


class Network(nn.Module):
    """Normalisation, backbone and head.

    Args:
        backbone: ``(n, 3, height, width)`` float32 to ``(n, features)``.
        features: the length of the backbone's vector.
        classes: the number of classes.
        settings: the head, and the mean and deviation of each colour in [0, 1].
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: nn.Module, features: int, classes: int, settings: TrainSettings) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = build_head(settings, features, classes)
        self.frozen = settings.freeze_backbone
        self.learning_layers: list[nn.Module] = []
        """Of a frozen backbone, those that learn all the same."""
        if self.frozen:
            self.backbone.requires_grad_(False)
        self.register_buffer("mean", _per_colour(settings.mean))
        self.register_buffer("deviation", _per_colour(settings.deviation))

    def train(self, mode: bool = True) -> Network:
        """Switch the mode; what is frozen keeps the statistics that it was trained with."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
            for layer in self.learning_layers:
                layer.train(mode)
        return self

    def embed(self, images: Tensor) -> Tensor:
        """The backbone's vectors.

        Args:
            images: ``(n, height, width, 3)`` uint8, RGB.

        Returns:
            ``(n, features)`` float32.
        """
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        embedding: Tensor = self.backbone((pixels - self.mean) / self.deviation)
        return embedding

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Classify.

        Args:
            images: ``(n, height, width, 3)`` uint8, RGB.

        Returns:
            Logits ``(n, classes)`` and the embedding, the backbone's vector ``(n, features)``, float32.
        """
        embedding = self.embed(images)
        return self.head(embedding), embedding


class HeadOnly(nn.Module):
    """A network's head on features that were computed before; both share its parameters.

    Args:
        head: ``(n, features)`` float32 to ``(n, classes)``.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(n, classes)`` and the features ``(n, features)`` as they came, float32."""
        return self.head(features), features


def build_network(settings: TrainSettings, classes: int) -> Network:
    """The network that the settings name, its head initialised from torch's random state.

    Raises:
        UsageError: the weights are missing, have another digest or belong to another network.
        ServiceUnreachable: the server that keeps them does not answer.
    """
    preprocessing = settings.preprocessing
    backbone = build_backbone(settings.architecture, preprocessing.height, preprocessing.width)
    if settings.weights is not None:
        load_weights(backbone, settings.architecture, settings.weights, settings.weights_sha256)
    return Network(backbone.module, backbone.features, classes, settings)


def build_head(settings: TrainSettings, features: int, classes: int) -> nn.Module:
    """What turns features into logits, initialised from torch's random state.

    Args:
        settings: ``head``, ``hidden`` and ``dropout``.
        features: the length of a vector.
        classes: the number of classes.

    Returns:
        ``(n, features)`` float32 to ``(n, classes)``; for ``ridge`` an ``nn.Linear``, which
        :func:`steps.training.fitting.ridge.fit_ridge` fits.
    """
    if settings.head == "ridge":
        return nn.Linear(features, classes)
    if settings.head == "linear":
        return nn.Sequential(nn.Dropout(settings.dropout), nn.Linear(features, classes))
    return nn.Sequential(
        nn.Dropout(settings.dropout),
        nn.Linear(features, settings.hidden),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.hidden, classes),
    )


def check_blocks(network: Network, count: int) -> None:
    """Refuse to fine-tune more blocks than there are.

    Raises:
        UsageError: the backbone has fewer.
    """
    found = len(blocks(network.backbone))
    if count > found:
        raise UsageError(
            f"train.fine_tuning.blocks is {count}, and the backbone has {found}. Ask for as many at "
            f"most: --set train.fine_tuning.blocks={found}"
        )


def unfreeze_last(network: Network, count: int) -> None:
    """Let the last blocks of a frozen backbone learn, for fine-tuning; the others stay as they are.

    Args:
        network: its backbone is frozen.
        count: of blocks, from the head; all of them: the whole backbone.

    Raises:
        UsageError: the backbone has fewer.
    """
    check_blocks(network, count)
    found = blocks(network.backbone)
    network.backbone.requires_grad_(count == len(found))
    network.learning_layers = [layer for block in found[len(found) - count :] for layer in block]
    for layer in network.learning_layers:
        layer.requires_grad_(True)
    network.train(network.training)


def backbone_digest(network: Network) -> str:
    """The sha256 (hex) of all that decides what the backbone makes of pictures, by name, type and shape."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if not name.startswith("head."):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _per_colour(values: Sequence[float]) -> Tensor:
    """Values for [0, 1] as a tensor that broadcasts over ``(n, 3, height, width)`` of 0 to 255."""
    return torch.tensor(values, dtype=torch.float32).mul(255).reshape(3, 1, 1)
