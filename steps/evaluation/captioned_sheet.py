"""A sheet of pictures with a caption below each, from which each can be erased with its caption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from materializers.picture_sheet import Box, encode_sheet

SIDE = 96
"""Pixels of a picture; smaller where there are more than ``FULL_SIZE``, so that a sheet stays one size."""
FULL_SIZE = 12
PER_ROW = 6
"""Pictures in a row; a tile with two of them takes the room of two."""
CELL = 116
"""Pixels from a picture to the next; the caption has them."""
GAP = 4
FONT_SIZE, LINE = 11, 14
COLOURS = 128
"""Of the palette: a third of the bytes, and at this size nobody sees the difference."""


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet.

    Args:
        image: RGB, of any size.
        lines: below it; a line that is too long is cut.
        shows: the pictures, by ``image_id``, that are seen in it; none for one that was made of nothing.
        beside: RGB, what is seen to the right of it; in every tile of a sheet or in none.
    """

    image: Image.Image
    lines: tuple[str, ...]
    shows: tuple[str, ...] = ()
    beside: Image.Image | None = None

    @property
    def images(self) -> tuple[Image.Image, ...]:
        """From left to right."""
        return (self.image,) if self.beside is None else (self.image, self.beside)


def captioned_sheet(tiles: Sequence[Tile]) -> bytes:
    """Tiles in rows of ``PER_ROW`` pictures, as a PNG that says where it shows which picture.

    Args:
        tiles: at least one.
    """
    pictures = sum(len(tile.images) for tile in tiles)
    side = SIDE if pictures <= FULL_SIZE else int(SIDE * math.sqrt(FULL_SIZE / pictures))
    width = CELL * len(tiles[0].images)
    height = side + 6 + LINE * max(len(tile.lines) for tile in tiles)
    per_row = PER_ROW // len(tiles[0].images)
    rows = math.ceil(len(tiles) / per_row)
    canvas = Image.new("RGB", (min(per_row, len(tiles)) * width, rows * height), "white")
    draw, font = ImageDraw.Draw(canvas), caption_font()
    places: dict[str, list[Box]] = {}
    for number, tile in enumerate(tiles):
        left, top = number % per_row * width, number // per_row * height
        for place, image in enumerate(tile.images):
            canvas.paste(image.convert("RGB").resize((side, side)), (left + place * (side + GAP), top))
        for line, words in enumerate(tile.lines):
            draw.text(
                (left, top + side + 2 + line * LINE), cut(words, font, width - GAP), fill="black", font=font
            )
        for image_id in tile.shows:
            places.setdefault(image_id, []).append((left, top, left + width, top + height))
    return encode_sheet(canvas.quantize(COLOURS, dither=Image.Dither.FLOYDSTEINBERG), places)


def caption_font() -> ImageFont.FreeTypeFont:
    """The font that Matplotlib brings: Pillow's own has no arrow, and no letters but Latin ones."""
    import matplotlib as mpl

    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), FONT_SIZE)


def cut(words: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """As much of a line as there is room for, in pixels."""
    words = " ".join(words.split())  # a name with a line break would write over the next tile
    if font.getlength(words) <= width:
        return words
    while words and font.getlength(words + "…") > width:
        words = words[:-1]
    return words + "…"
