"""The sheet of pictures whose answer changed."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from materializers.picture_sheet import erase_from_sheet, places_of
from steps.evaluation.behaviour.pictures import Broken, broken_sheet, choose
from steps.evaluation.behaviour.settings import BehaviourSettings
from steps.evaluation.captioned_sheet import CELL, GAP, SIDE
from steps.evaluation.examined import Examined
from tests.serving.pictures import encode
from tests.steps.evaluation.simple_networks import Halves, both_halves, examined

SETTINGS = BehaviourSettings()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """Answers with the brighter half of a picture."""
    return examined(tmp_path_factory.mktemp("model"), Halves(), both_halves(6))


def test_every_transformation_is_shown_with_its_worst_first() -> None:
    """In turns, so that one that breaks much leaves room for the others."""
    before = np.tile([0.9, 0.1], (30, 1))
    flipped, shifted = before[:, ::-1].copy(), before.copy()
    flipped[4] = [0.0, 1.0]
    shifted[9] = [0.4, 0.6]
    found = choose(before, {"flip": flipped, "shift": shifted, "png": before})
    assert found[0] == Broken("flip", 4, 0, 1)
    assert found[1] == Broken("shift", 9, 0, 1)
    assert len(found) == 12
    assert choose(before, {"flip": before}) == []


def test_a_sheet_shows_both_pictures_and_can_be_erased_from(model: Examined) -> None:
    """The picture as it was stands beside its mirror image, and both are white once it is forgotten."""
    png = broken_sheet(model, np.array([2, 5]), [Broken("flip", 1, 0, 1)], SETTINGS)
    image_id = model.image_ids[5]
    with Image.open(io.BytesIO(png)) as sheet:
        assert places_of(png) == {image_id: [(0, 0, 2 * CELL, sheet.height)]}

    def pair(data: bytes) -> tuple[np.ndarray, np.ndarray]:
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("L"), dtype=np.int64)
        return pixels[:SIDE, :SIDE], pixels[:SIDE, SIDE + GAP : 2 * SIDE + GAP]

    before, after = pair(png)
    assert np.abs(before[:, ::-1] - after).mean() < 3
    assert np.abs(before - after).mean() > 30
    erased = erase_from_sheet(png, [image_id])
    assert erased is not None
    assert all((each == 255).all() for each in pair(erased))


@pytest.mark.parametrize("name", ["shift", "darker", "jpeg", "png"])
def test_what_was_encoded_anew_is_shown_too(model: Examined, name: str) -> None:
    """As the network takes it."""
    png = broken_sheet(model, np.array([3]), [Broken(name, 0, 1, -1)], SETTINGS)
    assert list(places_of(png) or ()) == [model.image_ids[3]]


def test_a_full_sheet_is_small_whatever_it_shows(tmp_path: Path) -> None:
    """Twelve pictures of noise, which no format compresses, stay below 120 kB."""
    generator = np.random.default_rng(0)
    noise = [
        (encode(Image.fromarray(generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))), "left")
        for _ in range(12)
    ]
    model = examined(tmp_path, Halves(), noise)
    broken = [Broken("flip", row, 0, 1) for row in range(12)]
    assert len(broken_sheet(model, np.arange(12), broken, SETTINGS)) < 120_000
