"""Attributions add up to the answer, and show where a network looks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from serving.model_directory import Preprocessing
from steps.evaluation.explanations import attributions
from steps.evaluation.explanations.attributions import (
    blurred,
    grad_cam,
    integrated_gradients,
    last_map_layer,
)
from steps.evaluation.torch_network import Logits
from steps.training.networks.network import build_network
from tests.steps.evaluation.explanations.examples import CORNER, Corner, with_checked_corner
from tests.steps.training.examples import settings

# Architecture, side of the pictures, the layer that Grad-CAM explains; None: there is none.
FAMILIES = [
    ("small_cnn", 16, "10"),
    ("efficientnet_lite0", 64, "bn1"),
    ("convnext_tiny", 64, "features"),
    ("densenet121", 64, "features"),
    ("googlenet", 64, "inception5b"),
    ("mnasnet0_5", 64, "layers"),
    ("mobilenet_v3_small", 64, "features"),
    ("regnet_y_400mf", 64, "trunk_output"),
    ("resnet18", 64, "layer4"),
    ("shufflenet_v2_x0_5", 64, "conv5"),
    ("squeezenet1_1", 64, "classifier.2"),
    ("swin_t", 64, "permute"),
    ("vit_b_32", 64, None),
]


def network(architecture: str = "small_cnn", side: int = 16) -> Logits:
    """One with random weights, as one is rebuilt."""
    chosen = settings(architecture=architecture, preprocessing=Preprocessing(height=side, width=side))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return Logits(build_network(chosen, 3).requires_grad_(False)).eval()


def noise(count: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_integrated_gradients_sum_to_the_difference_of_the_logits() -> None:
    """Of the picture and of the blurred one, for the class that was asked for."""
    explained, pixels, answered = network(), noise(6), np.array([0, 1, 2, 2, 1, 0])
    missing = blurred(pixels)
    maps = integrated_gradients(explained, pixels, missing, answered, steps=200)
    whole, without = (
        explained(torch.from_numpy(each)).numpy()[np.arange(6), answered] for each in (pixels, missing)
    )
    assert np.abs(whole - without).min() > 1e-4
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), whole - without, rtol=0.02, atol=1e-5)


@pytest.mark.parametrize("side", [28, 224])
def test_what_is_missing_has_no_texture_and_no_outline(side: int) -> None:
    """At any size: squares are gone, and a disc fades into its background; its colour stays where it was."""
    rows = np.arange(side)
    squares = np.add.outer(rows * 28 // side, rows * 28 // side) % 2 * 200
    disc = np.where(np.hypot(*np.meshgrid(rows - side / 2, rows - side / 2)) < side / 3, 250, 0)
    pixels = np.stack([squares, disc])[..., None].repeat(3, axis=3).astype(np.uint8)
    missing = blurred(pixels).astype(int)
    middle = slice(side // 4, -side // 4)
    assert np.ptp(missing[0, middle, middle]) < 40
    assert np.abs(np.diff(missing[1], axis=0)).max() < 250 / 2
    assert missing[1, side // 2, side // 2].min() > 200
    assert missing[1, 0, 0].max() < 10


def test_a_pixel_that_blurring_leaves_as_it_is_adds_nothing() -> None:
    """It is what a missing pixel is."""
    pixels = np.full((1, 16, 16, 3), 90, dtype=np.uint8)
    pixels[:, :4, :4] = 200
    missing = blurred(pixels)
    maps = integrated_gradients(network(), pixels, missing, np.array([1]), steps=8)
    assert (maps[:, 12:, 12:] == 0).all()
    assert np.count_nonzero(maps[:, :4, :4]) > 5


def test_the_corner_that_decides_has_all_the_attribution() -> None:
    """Positive where it speaks for the answer, negative where it speaks against it."""
    pixels = with_checked_corner(4)
    for answer, sign in ((1, 1), (0, -1)):
        maps = integrated_gradients(Corner(), pixels, blurred(pixels), np.full(4, answer), steps=4)
        assert (sign * maps[:, :CORNER, :CORNER] > 0).all()
        assert (maps[:, CORNER:] == 0).all()


@pytest.mark.parametrize("pixels_at_a_time", [1, 256, 700])
def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch, pixels_at_a_time: int) -> None:
    """Pictures or steps one at a time give what all at once give."""
    explained, pixels, answered = network(), noise(5), np.array([0, 1, 2, 0, 1])
    layer = last_map_layer(explained, pixels[0])
    assert layer is not None

    def maps() -> tuple[np.ndarray, np.ndarray]:
        gradients = integrated_gradients(explained, pixels, blurred(pixels), answered, steps=4)
        return gradients, grad_cam(explained, layer, pixels, answered)

    whole = maps()
    monkeypatch.setattr(attributions, "PIXELS_AT_A_TIME", pixels_at_a_time)
    for once, batched in zip(whole, maps(), strict=True):
        np.testing.assert_allclose(batched, once, atol=1e-5 * np.abs(once).max())


class Bright(nn.Module):
    """Answers with the mean of a convolution that finds what is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 1, 3, padding=1, bias=False)
        nn.init.constant_(self.convolution.weight, 1 / 27)
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        places = self.relu(self.convolution(images.permute(0, 3, 1, 2).float()) - 120)
        found = places.mean(dim=(2, 3))
        return torch.cat([-found, found], dim=1)


def test_grad_cam_is_highest_where_the_network_found_its_reason() -> None:
    """As large as the picture, and against the answer where the class is the other one."""
    explained, pixels = Bright(), with_checked_corner(4)
    for answer, sign in ((1, 1), (0, -1)):
        maps = sign * grad_cam(explained, explained.relu, pixels, np.full(4, answer))
        assert maps.shape == (4, 16, 16)
        rows, columns = np.unravel_index(maps.reshape(4, -1).argmax(axis=1), (16, 16))
        assert (rows < CORNER).all()
        assert (columns < CORNER).all()
        assert maps.max() > 0


@pytest.mark.parametrize(("architecture", "side", "expected"), FAMILIES)
def test_the_layer_of_each_family_is_its_last_map(architecture: str, side: int, expected: str | None) -> None:
    """After the last convolution, and not the patches that a transformer begins with."""
    explained = network(architecture, side)
    pixels = noise(2, side)
    layer = last_map_layer(explained, pixels[0])
    if expected is None:
        assert layer is None
        return
    assert layer is explained.network.backbone.get_submodule(expected)
    maps = grad_cam(explained, layer, pixels, np.array([0, 1]))
    assert maps.shape == (2, side, side)
    assert maps.std(axis=(1, 2)).min() > 0


def test_a_layer_that_is_used_twice_is_none() -> None:
    """Its answers have several places in the network, and only the last would be seen."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again = nn.Conv2d(3, 3, 1), nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            places = self.again(self.first(images.permute(0, 3, 1, 2).float()))
            logits: Tensor = self.again(places * 2).mean(dim=(2, 3))
            return logits

    explained = Twice()
    assert last_map_layer(explained, noise(1)[0]) is explained.first


def test_no_hook_stays_behind() -> None:
    """The network is as it was."""
    explained = network()
    last_map_layer(explained, noise(1)[0])
    assert not any(layer._forward_hooks for layer in explained.modules())
