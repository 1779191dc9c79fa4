"""Random changes to a batch of training pictures, drawn for each picture.

torchvision's v2 transforms draw once for a whole batch, and picture by picture they cost more than a small
network's training step. Here each picture has an affine map of its own (flip, rotation, crop), and one
look-up of pixels applies them all.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from steps.training.settings import Augmentation


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
    pixels = images.permute(0, 3, 1, 2).to(torch.float32)
    maps = affine_maps(len(images), images.shape[2] / images.shape[1], augmentation, generator)
    grid = functional.affine_grid(maps.to(images.device), list(pixels.shape), align_corners=False)
    pixels = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    brightness = _factors(len(images), augmentation.brightness, generator).to(images.device)
    contrast = _factors(len(images), augmentation.contrast, generator).to(images.device)
    pixels = pixels * brightness
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = mean + (pixels - mean) * contrast
    return pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


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


def _factors(count: int, spread: float, generator: torch.Generator) -> Tensor:
    drawn = 1 + (torch.rand(count, generator=generator) * 2 - 1) * spread
    return drawn.reshape(count, 1, 1, 1)
