"""Random changes to a batch of training pictures, drawn for each picture.

torchvision's v2 transforms draw once for a whole batch, and picture by picture they cost more than a small
network's training step. Here each picture has an affine map of its own (flip, rotation, crop), which one
look-up of pixels applies, and factors of its own (brightness, contrast, saturation). Hue and RandAugment are
torchvision's own, picture by picture.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from steps.training.fitting.chance import drawing_from

if TYPE_CHECKING:
    from steps.training.settings import Augmentation

LUMA = (0.2989, 0.587, 0.114)
"""Red, green and blue of grey, as torchvision weighs them."""


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Change each picture at random.

    Args:
        images: ``(n, height, width, 3)`` uint8.
        augmentation: how far.
        generator: a CPU generator; the same state gives the same changes on any device.

    Returns:
        Pictures of the same shape and type.
    """
    if not augmentation.active:
        return images
    pixels = images.permute(0, 3, 1, 2)
    if augmentation.flip or augmentation.rotation or augmentation.crop < 1:
        pixels = _moved(pixels, augmentation, generator)
    if augmentation.brightness or augmentation.contrast or augmentation.saturation:
        pixels = _coloured(pixels, augmentation, generator)
    if pixels.dtype != torch.uint8:
        pixels = pixels.round_().clamp_(0, 255).to(torch.uint8)
    if augmentation.hue:
        pixels = _turned(pixels, augmentation.hue, generator)
    if augmentation.rand_augment:
        pixels = rand_augment(pixels, augmentation, generator)
    return pixels.permute(0, 2, 3, 1)


def affine_maps(count: int, aspect: float, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """One map a picture from output to input places, both from −1 to 1: crop, then rotate, then flip.

    Args:
        count: the number of pictures.
        aspect: width over height, so that a rotation of an oblong picture does not shear it.
        augmentation: how far.
        generator: where chance comes from.

    Returns:
        ``(count, 2, 3)`` float32.
    """
    uniform = torch.rand(5, count, generator=generator)
    angle = (uniform[0] * 2 - 1) * math.radians(augmentation.rotation)
    side = torch.sqrt(augmentation.crop + uniform[1] * (1 - augmentation.crop))
    mirror = torch.where(uniform[2] < augmentation.flip, -1.0, 1.0)
    shift = (uniform[3:] * 2 - 1) * (1 - side)
    cos, sin = torch.cos(angle) * side, torch.sin(angle) * side
    rows = [cos * mirror, -sin / aspect, shift[0], sin * mirror * aspect, cos, shift[1]]
    return torch.stack(rows, dim=1).reshape(count, 2, 3)


def rand_augment(pixels: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """RandAugment (Cubuk et al. 2020), torchvision's, drawn for each picture.

    Args:
        pixels: ``(n, 3, height, width)`` uint8.
        augmentation: the number of operations and their magnitude.
        generator: where chance comes from.

    Returns:
        The same shape and type.
    """
    from torchvision.transforms import v2

    transform = v2.RandAugment(augmentation.rand_augment, augmentation.rand_augment_magnitude)
    with drawing_from(generator):
        return torch.stack([transform(picture) for picture in pixels])


def _moved(pixels: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    maps = affine_maps(len(pixels), pixels.shape[3] / pixels.shape[2], augmentation, generator)
    grid = functional.affine_grid(maps.to(pixels.device), list(pixels.shape), align_corners=False)
    whole = pixels.to(torch.float32)
    return functional.grid_sample(whole, grid, padding_mode="border", align_corners=False)


def _coloured(pixels: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Brightness scales, contrast stretches around the picture's mean, saturation around its own grey."""
    spreads = (augmentation.brightness, augmentation.contrast, augmentation.saturation)
    brightness, contrast, saturation = (
        _drawn(len(pixels), spread, generator).to(pixels.device) for spread in spreads
    )
    bright = pixels * brightness
    mean = bright.mean(dim=(1, 2, 3), keepdim=True)
    stretched = torch.lerp(mean, bright, contrast)
    if not augmentation.saturation:
        return stretched
    luma = torch.tensor(LUMA, device=pixels.device).reshape(1, 3, 1, 1)
    return torch.lerp((stretched * luma).sum(dim=1, keepdim=True), stretched, saturation)


def _turned(pixels: Tensor, hue: float, generator: torch.Generator) -> Tensor:
    from torchvision.transforms.v2 import functional as v2

    turns = ((torch.rand(len(pixels), generator=generator) * 2 - 1) * hue).tolist()
    return torch.stack([v2.adjust_hue(one, turn) for one, turn in zip(pixels, turns, strict=True)])


def _drawn(count: int, spread: float, generator: torch.Generator) -> Tensor:
    """Factors from 1 − spread to 1 + spread, ``(count, 1, 1, 1)``."""
    return (1 + (torch.rand(count, generator=generator) * 2 - 1) * spread).reshape(count, 1, 1, 1)
