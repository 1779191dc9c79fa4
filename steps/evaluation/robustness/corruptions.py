"""Corruptions of pictures at five severities, as the network's input has them.

After Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (2019). Their severities are made for one size of pictures, so that they give two sets of
numbers: CIFAR-10-C's for 32 pixels and ImageNet-C's for 224. A blur that the large picture hardly shows
destroys the small one. Here a number between the two goes with the logarithm of the picture's shorter side;
smaller and larger pictures have the numbers of 32 and of 224.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from steps.evaluation.robustness.fog import fog
from steps.evaluation.robustness.settings import Corruption
from steps.training.fitting.chance import drawing_from

SMALL, LARGE = 32, 224
"""The shorter sides, in pixels, that the two sets of numbers are for."""
KERNEL_DEVIATIONS = 3
"""How far a Gaussian kernel reaches to each side, in its standard deviations; 0.3 % of it lie outside."""


@dataclass(frozen=True)
class Strengths:
    """What the severities 1 to 5 are.

    Args:
        small: for pictures of 32 pixels.
        large: for pictures of 224 pixels.
    """

    small: tuple[float, float, float, float, float]
    large: tuple[float, float, float, float, float]

    def at(self, severity: int, side: int) -> float:
        """The number for a severity from 1 to 5 and a picture whose shorter side has so many pixels."""
        small, large = self.small[severity - 1], self.large[severity - 1]
        share = math.log(min(max(side, SMALL), LARGE) / SMALL) / math.log(LARGE / SMALL)
        return small + share * (large - small)


BLUR = Strengths((0.4, 0.6, 0.7, 0.8, 1.0), (1.0, 2.0, 3.0, 4.0, 6.0))
"""Standard deviation of a Gaussian, pixels."""
NOISE = Strengths((0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38))
"""Standard deviation of a normal distribution, of values from 0 to 1."""
JPEG = Strengths((80, 65, 58, 50, 40), (25, 18, 15, 10, 7))
"""Quality, 1 to 100."""
BRIGHTNESS = Strengths((1.1, 1.2, 1.3, 1.4, 1.6), (1.2, 1.4, 1.6, 1.8, 2.0))
"""A factor, as of a longer exposure. The paper adds to each pixel's value instead, 0.05 to 0.3 and 0.1 to
0.5; these factors add as much to one of 0.5."""
CONTRAST = Strengths((0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05))
"""The share that is left of the distance from the picture's mean."""
FOG_THICKNESS = Strengths((0.2, 0.5, 0.75, 1.0, 1.5), (1.5, 2.0, 2.5, 2.5, 3.0))
FOG_DECAY = Strengths((3.0, 3.0, 2.5, 2.0, 1.75), (2.0, 2.0, 1.7, 1.5, 1.4))
"""As :func:`steps.evaluation.robustness.fog.fog` takes them."""
ROTATION = (6.0, 12.0, 18.0, 24.0, 30.0)
"""Degrees, either way, for every size. The paper's benchmark of accuracy does not rotate: these are ours, up
to twice the 15 degrees that training turns pictures by (``train.augmentation.rotation``)."""


def corrupt(
    images: NDArray[np.uint8], corruption: Corruption, severity: int, seeds: Sequence[int]
) -> NDArray[np.uint8]:
    """Corrupt each picture by itself: what else is in the batch changes nothing.

    Args:
        images: ``(n, height, width, 3)``, RGB.
        corruption: which.
        severity: 1 to 5.
        seeds: n. One seed is one pattern, which a higher severity makes stronger.

    Returns:
        New pictures of the same shape.
    """
    return CHANGES[corruption](images, severity, seeds)


def picture_seed(image_id: str, seed: int) -> int:
    """A seed of 32 bits for one picture: another picture, or another ``seed``, has another pattern."""
    return zlib.crc32(f"{seed} {image_id}".encode())


def _blurred(images: NDArray[np.uint8], severity: int, seeds: Sequence[int]) -> NDArray[np.uint8]:
    side = _side(images)
    deviation = BLUR.at(severity, side)
    # The edges are mirrored, which needs a picture that is wider than the kernel's reach.
    reach = min(math.ceil(KERNEL_DEVIATIONS * deviation), side - 1)
    return _images(v2.gaussian_blur(_pixels(images), [2 * reach + 1] * 2, [deviation] * 2))


def _noisy(images: NDArray[np.uint8], severity: int, seeds: Sequence[int]) -> NDArray[np.uint8]:
    deviation = NOISE.at(severity, _side(images))
    noisy = []
    for picture, seed in zip(_pixels(images), seeds, strict=True):
        with drawing_from(torch.Generator().manual_seed(seed)):
            noisy.append(v2.gaussian_noise(picture, sigma=deviation))
    return _images(torch.stack(noisy))


def _compressed(images: NDArray[np.uint8], severity: int, seeds: Sequence[int]) -> NDArray[np.uint8]:
    return _images(v2.jpeg(_pixels(images), round(JPEG.at(severity, _side(images)))))


def _brighter(images: NDArray[np.uint8], severity: int, seeds: Sequence[int]) -> NDArray[np.uint8]:
    return _images(v2.adjust_brightness(_pixels(images), BRIGHTNESS.at(severity, _side(images))))


def _flatter(images: NDArray[np.uint8], severity: int, seeds: Sequence[int]) -> NDArray[np.uint8]:
    return _images(v2.adjust_contrast(_pixels(images), CONTRAST.at(severity, _side(images))))


def _rotated(images: NDArray[np.uint8], severity: int, seeds: Sequence[int]) -> NDArray[np.uint8]:
    """Half the pictures to the left and half to the right, their edges continued outwards."""
    height, width = images.shape[1:3]
    beyond = math.ceil((math.hypot(height, width) - min(height, width)) / 2)
    wider = v2.pad(_pixels(images), [beyond], padding_mode="edge")
    left, right = (
        v2.rotate(wider, angle, InterpolationMode.BILINEAR)
        for angle in (ROTATION[severity - 1], -ROTATION[severity - 1])
    )
    to_the_left = torch.tensor([seed % 2 == 0 for seed in seeds])[:, None, None, None]
    return _images(v2.center_crop(torch.where(to_the_left, left, right), [height, width]))


def _foggy(images: NDArray[np.uint8], severity: int, seeds: Sequence[int]) -> NDArray[np.uint8]:
    side = _side(images)
    return fog(images, FOG_THICKNESS.at(severity, side), FOG_DECAY.at(severity, side), seeds)


CHANGES: dict[Corruption, Callable[[NDArray[np.uint8], int, Sequence[int]], NDArray[np.uint8]]] = {
    "blur": _blurred,
    "noise": _noisy,
    "jpeg": _compressed,
    "brightness": _brighter,
    "contrast": _flatter,
    "rotation": _rotated,
    "fog": _foggy,
}


def _side(images: NDArray[np.uint8]) -> int:
    """The shorter side, pixels."""
    side: int = min(images.shape[1:3])
    return side


def _pixels(images: NDArray[np.uint8]) -> Tensor:
    """As torchvision takes them, ``(n, 3, height, width)``."""
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def _images(pixels: Tensor) -> NDArray[np.uint8]:
    """As serving takes them."""
    return np.ascontiguousarray(pixels.numpy().transpose(0, 2, 3, 1))
