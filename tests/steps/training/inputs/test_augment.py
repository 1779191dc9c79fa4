"""Random changes to training pictures."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from steps.training.inputs.augment import augment
from steps.training.settings import Augmentation

NOTHING = Augmentation(flip=0, rotation=0, crop=1, brightness=0, contrast=0)


def changed(images: Tensor, seed: int = 0, **differences: float) -> Tensor:
    augmentation = NOTHING.model_copy(update=differences)
    return augment(images, augmentation, torch.Generator().manual_seed(seed))


@pytest.fixture
def images() -> Tensor:
    """Six pictures of 20 × 30 with smooth colours."""
    rows, columns = torch.meshgrid(torch.arange(20), torch.arange(30), indexing="ij")
    one = torch.stack([rows * 8 + 20, columns * 6 + 20, rows * 2 + columns * 4 + 20], dim=2)
    return one.to(torch.uint8).repeat(6, 1, 1, 1)


def test_nothing_changes_when_nothing_is_configured(images: Tensor) -> None:
    """Without any change the pictures are the same bytes."""
    assert torch.equal(changed(images), images)


def test_a_flip_mirrors_exactly(images: Tensor) -> None:
    """Every pixel is where a mirror puts it."""
    assert torch.equal(changed(images, flip=1.0), images.flip(2))


@pytest.mark.parametrize(
    "change",
    [
        {"flip": 0.5},
        {"rotation": 15},
        {"crop": 0.5},
        {"brightness": 0.2},
        {"contrast": 0.2},
        {"saturation": 0.5},
        {"hue": 0.5},
        {"rand_augment": 2},
    ],
)
def test_each_picture_is_changed_in_its_own_way(images: Tensor, change: dict[str, Any]) -> None:
    """Equal pictures of a batch come out different, and stay uint8 of the same shape."""
    result = changed(images, **change)
    assert result.shape == images.shape
    assert result.dtype == torch.uint8
    assert len({picture.numpy().tobytes() for picture in result}) > 1


def test_the_same_seed_gives_the_same_changes(images: Tensor) -> None:
    """Another seed gives others."""
    everything: dict[str, Any] = {
        "flip": 0.5,
        "rotation": 15,
        "crop": 0.8,
        "brightness": 0.2,
        "contrast": 0.2,
        "saturation": 0.2,
        "hue": 0.1,
        "rand_augment": 2,
    }
    assert torch.equal(changed(images, 3, **everything), changed(images, 3, **everything))
    assert not torch.equal(changed(images, 3, **everything), changed(images, 4, **everything))


def test_a_rotation_turns_an_oblong_picture_without_shearing_it() -> None:
    """A disc in the middle of an oblong picture is the same disc at any angle."""
    rows, columns = torch.meshgrid(torch.arange(41) - 20.0, torch.arange(81) - 40.0, indexing="ij")
    disc = (255 * torch.exp(-(rows**2 + columns**2) / 100)).to(torch.uint8)
    images = disc[None, :, :, None].repeat(4, 1, 1, 3)
    difference = changed(images, rotation=180).to(torch.int64) - images
    assert difference.abs().max() <= 6


def test_brightness_and_contrast_stay_within_their_limits() -> None:
    """A grey picture scales by at most the configured share; contrast leaves the mean alone."""
    grey = torch.full((64, 4, 4, 3), 100, dtype=torch.uint8)
    bright = changed(grey, brightness=0.2).to(torch.int64)
    assert 80 <= bright.min() < 90
    assert 110 < bright.max() <= 120
    assert torch.equal(changed(grey, contrast=0.2), grey)


def test_saturation_and_hue_do_what_torchvisions_do() -> None:
    """Grey stays grey; a saturation factor blends with torchvision's grey, a hue turns as far as drawn."""
    grey = torch.full((8, 4, 4, 3), 100, dtype=torch.uint8)
    assert torch.equal(changed(grey, saturation=0.9), grey)
    assert torch.equal(changed(grey, hue=0.5), grey)
    colour = torch.tensor([200, 100, 50], dtype=torch.uint8).expand(64, 4, 4, 3)
    pixels = changed(colour, saturation=0.5)[:, 0, 0].to(torch.float32)
    ends = [v2.adjust_saturation(colour[0].permute(2, 0, 1), factor)[0, 0, 0] for factor in (0.5, 1.5)]
    assert ends[0] - 1 <= pixels[:, 0].min() < ends[0] + 10
    assert ends[1] - 10 < pixels[:, 0].max() <= ends[1] + 1
    turned = changed(colour, hue=0.1)
    assert turned.to(torch.int64).sum(dim=3).min() > 200
    assert turned[..., 0].min() >= 150  # a tenth of a turn leaves red the strongest


def test_torchs_own_random_state_stays_as_it_was(images: Tensor) -> None:
    """RandAugment draws from the given generator, so that dropout draws what it would without it."""
    torch.manual_seed(4)
    expected = torch.rand(1)
    torch.manual_seed(4)
    changed(images, rand_augment=2)
    assert torch.equal(torch.rand(1), expected)


def test_a_crop_keeps_at_least_the_configured_area() -> None:
    """In a picture whose values are its columns, a crop to half the area spans at least 70 % of them."""
    ramp = torch.arange(100, dtype=torch.uint8).reshape(1, 1, 100, 1).repeat(32, 100, 1, 3)
    cropped = changed(ramp, crop=0.5)[:, 50, :, 0].to(torch.int64)
    spans = cropped[:, -1] - cropped[:, 0] + 1
    assert spans.min() >= 70
    assert spans.min() < 90
