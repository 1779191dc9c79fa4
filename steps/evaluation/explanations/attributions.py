"""How much each pixel speaks for an answer: Integrated Gradients and Grad-CAM, as captum has them.

Both explain the logit of the answered class. A missing pixel has the colour of the blurred picture, for
Integrated Gradients as for the deletion test, so that one asks what the other tests. Without the fifth of
its pixels that Integrated Gradients puts first, an answer of the demo's small_cnn loses 0.56 of its
probability, without random ones 0.02, without those of a network with random weights 0.06. A constant
colour does damage just by being there: random pixels take 0.44 where they get the picture's mean colour,
0.76 where white. Black is no absence where the background is black: there a network with random weights
takes 0.57, random pixels 0.21.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from torch import Tensor, nn

Maps = NDArray[np.float64]
"""``(n, height, width)``: what each pixel adds to the logit; below 0 it speaks against the answer."""
PIXELS_AT_A_TIME = 16 * 224 * 224
"""In one batch of gradients: a ResNet-50 keeps about 1.5 GB for it."""
BLUR = 1 / 14
"""The standard deviation of the blur, in times of the shorter side: 2 pixels of 28, 16 of 224."""
PLACES = 2
"""Axes of a map: height and width."""


def blurred(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What missing pixels look like: the pictures ``(n, height, width, 3)``, without outlines and texture."""
    radius = BLUR * min(pixels.shape[1:3])
    how = ImageFilter.GaussianBlur(radius)
    return np.stack([np.asarray(Image.fromarray(each).filter(how)) for each in pixels])


def integrated_gradients(
    network: nn.Module,
    pixels: NDArray[np.uint8],
    missing: NDArray[np.uint8],
    answered: NDArray[np.int64],
    *,
    steps: int,
) -> Maps:
    """Integrated Gradients on the way to the picture (Sundararajan, Taly and Yan, 2017).

    Args:
        network: ``(n, height, width, 3)`` float32 from 0 to 255 to logits ``(n, k)``; in ``eval()``.
        pixels: ``(n, height, width, 3)``, RGB.
        missing: the same pictures with every pixel missing, where the way begins.
        answered: ``(n,)``, the class numbers whose logits are explained.
        steps: gradients along the way, at the places of Gauss and Legendre.

    Returns:
        The sum of the three colours' attributions. A picture's whole map sums to its logit less that of
        ``missing``, but for the error of so few steps.
    """
    import torch
    from captum.attr import IntegratedGradients

    method = IntegratedGradients(network)
    at_a_time = max(1, PIXELS_AT_A_TIME // pixels[0, ..., 0].size)
    maps = [
        method.attribute(
            torch.from_numpy(pixels[rows]).float(),
            baselines=torch.from_numpy(missing[rows]).float(),
            target=torch.from_numpy(answered[rows]),
            n_steps=steps,
            internal_batch_size=at_a_time,
        )
        for rows in _batches(len(pixels), max(1, at_a_time // steps))
    ]
    return _numbers(torch.cat(maps).sum(dim=-1))


def grad_cam(
    network: nn.Module, layer: nn.Module, pixels: NDArray[np.uint8], answered: NDArray[np.int64]
) -> Maps:
    """Grad-CAM (Selvaraju et al., 2017), scaled up to the picture, with what speaks against the answer too.

    Args:
        network: as for :func:`integrated_gradients`.
        layer: of the network; gives ``(n, channels, h, w)``. See :func:`last_map_layer`.
        pixels: ``(n, height, width, 3)``, RGB.
        answered: ``(n,)``, the class numbers whose logits are explained.
    """
    import torch
    from captum.attr import LayerAttribution, LayerGradCam

    method = LayerGradCam(network, layer)
    size = (pixels.shape[1], pixels.shape[2])
    maps = []
    for rows in _batches(len(pixels), max(1, PIXELS_AT_A_TIME // (size[0] * size[1]))):
        images = torch.from_numpy(pixels[rows]).float().requires_grad_()
        places = method.attribute(images, target=torch.from_numpy(answered[rows]))
        maps.append(LayerAttribution.interpolate(places.detach(), size, "bilinear")[:, 0])
    return _numbers(torch.cat(maps))


def last_map_layer(network: nn.Module, picture: NDArray[np.uint8]) -> nn.Module | None:
    """The last layer of a convolutional network that still tells places of a picture apart.

    Found by asking the network: the last one to answer with ``(n, channels, h, w)`` of more than one place,
    so that it is found in any architecture, after the activation and the residual sum where these are layers.

    Args:
        network: ``(n, height, width, 3)`` float32 to logits.
        picture: ``(height, width, 3)`` uint8.

    Returns:
        None where places come last in another form, such as the tokens of a vision transformer.
    """
    import torch
    from torch import Tensor

    shapes: dict[nn.Module, tuple[int, ...]] = {}
    again: set[nn.Module] = set()

    def note(layer: nn.Module, _: object, answer: object) -> None:
        if isinstance(answer, Tensor):
            if layer in shapes:
                again.add(layer)  # its answers have several places in the network
            shapes.pop(layer, None)
            shapes[layer] = tuple(answer.shape)

    hooks = [layer.register_forward_hook(note) for layer in network.modules()]
    try:
        with torch.no_grad():
            network(torch.from_numpy(picture[None].copy()).float())
    finally:
        for hook in hooks:
            hook.remove()
    for layer, shape in reversed(shapes.items()):
        if layer not in again and len(shape) > PLACES and np.prod(shape[PLACES:]) > 1:
            return layer if len(shape) == PLACES + PLACES else None
    return None


def _batches(n: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, n, size))


def _numbers(maps: Tensor) -> Maps:
    return np.asarray(maps.detach().double().numpy())
