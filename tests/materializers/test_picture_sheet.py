"""A sheet says what it shows, so that one picture goes and the others stay."""

import io

import pytest
from matplotlib.figure import Figure
from PIL import Image

from materializers.errors import DamagedArtifact
from materializers.picture_sheet import encode_sheet, erase_from_sheet, may_show, places_of
from tests.materializers.examples import png

PLACES = {"aa": [(0, 0, 10, 10)], "bb": [(10, 0, 20, 10), (0, 10, 10, 20)]}


def sheet() -> bytes:
    """Four cells: one red of ``aa``, two green of ``bb``, a blue one of nobody."""
    image = Image.new("RGB", (20, 20), "blue")
    image.paste("red", (0, 0, 10, 10))
    image.paste("green", (10, 0, 20, 10))
    image.paste("green", (0, 10, 10, 20))
    return encode_sheet(image, PLACES)


def colours(data: bytes) -> list[object]:
    """The colours of the four cells."""
    with Image.open(io.BytesIO(data)) as image:
        return [image.getpixel(place) for place in ((5, 5), (15, 5), (5, 15), (15, 15))]


def test_a_sheet_says_what_it_shows() -> None:
    """Every box of every picture, in the PNG itself."""
    assert places_of(sheet()) == PLACES
    assert may_show(sheet(), ["bb", "cc"])
    assert not may_show(sheet(), ["cc"])


def test_a_picture_is_erased_wherever_the_sheet_shows_it() -> None:
    """White in its boxes, the rest as it was, and the sheet says so."""
    left = erase_from_sheet(sheet(), ["bb", "cc"])
    assert left is not None
    white, red, blue = (255, 255, 255), (255, 0, 0), (0, 0, 255)
    assert colours(left) == [red, white, white, blue]
    assert places_of(left) == {"aa": [(0, 0, 10, 10)]}
    assert erase_from_sheet(left, ["bb"]) == left


def test_another_name_of_an_erased_place_goes_with_it() -> None:
    """A picture that is known by two digests is forgotten by both."""
    twice = encode_sheet(Image.new("RGB", (20, 20), "blue"), {**PLACES, "other name of bb": PLACES["bb"]})
    left = erase_from_sheet(twice, ["bb"])
    assert left is not None
    assert places_of(left) == {"aa": [(0, 0, 10, 10)]}


def test_a_chart_shows_no_picture() -> None:
    """What matplotlib drew stays."""
    buffer = io.BytesIO()
    Figure().savefig(buffer, format="png")
    assert places_of(buffer.getvalue()) == {}
    assert not may_show(buffer.getvalue(), ["aa"])


def test_what_does_not_say_may_show_anything() -> None:
    """A PNG of another program cannot be erased from: it has to go."""
    assert may_show(png(1), ["aa"])
    assert erase_from_sheet(png(1), ["aa"]) is None


def test_what_is_no_png_is_named() -> None:
    """A damaged file is no sheet without pictures."""
    with pytest.raises(DamagedArtifact, match="no PNG"):
        places_of(b"text")
