"""A sheet of captioned pictures is small, and lets go of each of them."""

import io

import numpy as np
import pytest
from PIL import Image

from materializers.picture_sheet import erase_from_sheet, places_of
from steps.evaluation.captioned_sheet import CELL, PER_ROW, SIDE, Tile, captioned_sheet


def noisy(seed: int) -> Image.Image:
    """A picture that no format makes small."""
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("count", [1, 12, 24])
def test_a_sheet_is_small_however_many_pictures_it_shows(count: int) -> None:
    """The worst pictures there are stay below 150 kB, and each has a place of its own."""
    sheet = captioned_sheet([Tile(noisy(seed), ("one", "two"), (f"{seed:02d}",)) for seed in range(count)])
    assert len(sheet) < 150_000
    places = places_of(sheet)
    assert places is not None
    assert sorted(places) == [f"{seed:02d}" for seed in range(count)]
    assert len({tuple(boxes[0]) for boxes in places.values()}) == count


def test_an_erased_picture_takes_its_caption_along_and_leaves_the_others() -> None:
    """Also where it is seen in two tiles."""
    tiles = [
        Tile(noisy(0), ("a", "b"), ("aa",)),
        Tile(noisy(1), ("c", "d"), ("bb",)),
        Tile(noisy(2), ("e", "f"), ("aa", "bb")),
        Tile(noisy(3), ("g", "h")),
    ]
    before = captioned_sheet(tiles)
    after = erase_from_sheet(before, ["aa"])
    assert after is not None
    shown, left = pixels(before), pixels(after)
    cells = [
        (left[:, place : place + CELL], shown[:, place : place + CELL]) for place in range(0, 4 * CELL, CELL)
    ]
    assert (cells[0][0] == 255).all()
    assert (cells[2][0] == 255).all()
    assert (cells[1][0] == cells[1][1]).all()
    assert (cells[3][0] == cells[3][1]).all()
    assert set(places_of(after) or ()) == {"bb"}


def test_a_long_caption_stays_below_its_picture() -> None:
    """It is cut where the next tile begins; a line break in a name is a space."""
    plain = Image.new("RGB", (8, 8), "white")
    sheet = pixels(captioned_sheet([Tile(plain, ("long name\n" * 20,)), Tile(plain, ("",))]))
    assert (sheet[:, :CELL] < 128).any()
    assert (sheet[:, CELL:] > 128).all()


def test_an_arrow_and_letters_of_other_scripts_are_drawn() -> None:
    """Two letters look different: neither is the box that stands for what a font lacks."""
    plain = Image.new("RGB", (8, 8), "white")
    drawn = [pixels(captioned_sheet([Tile(plain, (letter,))])) for letter in ("→", "…", "ж", "ü", "\ufffe")]
    assert len({each.tobytes() for each in drawn}) == 5


def test_a_picture_has_another_beside_it_and_both_are_erased() -> None:
    """A pair takes the room of two pictures, so that rows are as wide as ever."""
    pairs = [Tile(noisy(n), (f"{n}",), (f"{n:02d}",), beside=noisy(n + 9)) for n in range(PER_ROW // 2 + 1)]
    sheet = captioned_sheet(pairs)
    shown = pixels(sheet)
    assert shown.shape[1] == PER_ROW * CELL
    assert (shown[: SIDE // 2, CELL : SIDE + CELL] != 255).any()
    erased = erase_from_sheet(sheet, ["00"])
    assert erased is not None
    left = pixels(erased)
    line = SIDE // 2
    assert (left[:line, : 2 * CELL] == 255).all()
    assert (left[:line, 2 * CELL :] == shown[:line, 2 * CELL :]).all()


def test_a_row_is_full_before_the_next_begins() -> None:
    """Seven pictures take two rows."""
    sheet = pixels(captioned_sheet([Tile(noisy(seed), ("a",)) for seed in range(PER_ROW + 1)]))
    assert sheet.shape[1] == PER_ROW * CELL
    assert sheet.shape[0] > 2 * SIDE
