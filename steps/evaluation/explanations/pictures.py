"""The pictures of the explanations: a sheet of answers with their maps, and a chart of the features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from materializers.evaluation.explanations import Explained, FeatureImportance
from materializers.picture_sheet import Box, encode_chart, encode_sheet
from steps.evaluation.captioned_sheet import caption_font, cut
from steps.evaluation.explanations.answers import ExplainedAnswers

MOST_BYTES = 150_000
SIDES = (96, 72, 48, 32)
"""Pixels of a tile; photographs that are too many bytes are shown smaller."""
COLOURS = 128
GAP, LINE = 4, 16
HEAD = 3 * LINE + GAP
BLOCK_GAP = 24
"""Between right answers and wrong ones."""
STRONGEST = 99.0
"""The percentile of a map's sizes that has the full colour: one pixel alone must not fade the others."""
FOR, AGAINST = np.array([200.0, 20.0, 30.0]), np.array([20.0, 60.0, 200.0])
"""Red and blue."""
PALE = 0.25
"""How much of the picture is left under a map."""
LEGEND = "red: for the answer · blue: against it"
RIGHT, WRONG = "right answers", "wrong answers"
COLUMNS = ("picture", "Integrated Gradients", "Grad-CAM")


@dataclass(frozen=True)
class Tile:
    """One answer on the sheet: what is written below it, its picture and its maps, ``(h, w, 3)`` uint8."""

    said: Explained
    pictures: tuple[NDArray[np.uint8], ...]


def explanation_sheet(said: Sequence[Explained], shown: ExplainedAnswers) -> bytes:
    """Pictures beside what speaks for their answers, red, and against them, blue; right answers to the left.

    Args:
        said: what is written below each of the n pictures; one at least.
        shown: the n answers, in the same order.

    Returns:
        A PNG of at most ``MOST_BYTES`` that says which pictures it shows, so that one can be erased from it.
    """
    maps = [shown.gradients] if shown.cam is None else [shown.gradients, shown.cam]
    tiles = [
        Tile(each, (pixels, *(coloured(pixels, of_all[row]) for of_all in maps)))
        for row, (each, pixels) in enumerate(zip(said, shown.pixels, strict=True))
    ]
    sheets = (_sheet(tiles, side) for side in SIDES)
    return next((png for png in sheets if len(png) <= MOST_BYTES), None) or _sheet(tiles, SIDES[-1])


def coloured(pixels: NDArray[np.uint8], attribution: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A map over its pale grey picture: red where it is above 0, blue below, the stronger the fuller.

    Args:
        pixels: ``(height, width, 3)``.
        attribution: ``(height, width)``.
    """
    grey = 255 - PALE * (255 - pixels.mean(axis=2, keepdims=True))
    full = np.percentile(np.abs(attribution), STRONGEST) or np.abs(attribution).max() or 1.0
    strength = np.clip(np.abs(attribution) / full, 0, 1)[..., None]
    colour = np.where(attribution[..., None] > 0, FOR, AGAINST)
    return np.asarray(grey * (1 - strength) + colour * strength).astype(np.uint8)


def importance_picture(importance: Sequence[FeatureImportance]) -> bytes:
    """A bar for each of the most important dimensions, with the answer that it adds most to."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 1.2 + 0.24 * len(importance)), layout="constrained")
    axes = figure.subplots()
    names = [f"{each.dimension} · {each.label}" for each in importance]
    axes.barh(range(len(importance)), [each.share for each in importance], color="#3b6ea5")
    axes.set_yticks(range(len(importance)), names, parse_math=False)  # a name may have a $ in it
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:.1%}")
    axes.set(
        title="Dimension of the embedding · answer that it adds most to",
        xlabel="share of what all dimensions add to the answers or take from them",
    )
    return encode_chart(figure)


def _sheet(tiles: Sequence[Tile], side: int) -> bytes:
    """The sheet with pictures whose longer side has so many pixels."""
    height, width = tiles[0].pictures[0].shape[:2]
    size = (max(1, side * width // max(height, width)), max(1, side * height // max(height, width)))
    columns = COLUMNS[: len(tiles[0].pictures)]
    block = len(columns) * (size[0] + GAP)
    step = size[1] + 2 * LINE + 2 * GAP
    groups = _by_answer(tiles)
    rows = max(len(group) for group in groups.values())
    canvas = Image.new("RGB", (len(groups) * (block + BLOCK_GAP), HEAD + rows * step), "white")
    font = caption_font()
    places: dict[str, list[Box]] = {}
    for number, (title, group) in enumerate(groups.items()):
        left = number * (block + BLOCK_GAP)
        _write(canvas, (title, " · ".join(columns), LEGEND), (left, 0), block + BLOCK_GAP, font)
        for row, tile in enumerate(group):
            top = HEAD + row * step
            for column, picture in enumerate(_side_by_side(tile, size)):
                canvas.paste(picture, (left + column * (size[0] + GAP), top))
            places.setdefault(tile.said.image_id, []).append((left, top, left + block, top + size[1]))
            _write(canvas, _caption(tile.said), (left, top + size[1]), block, font)
    return encode_sheet(canvas.quantize(COLOURS, dither=Image.Dither.NONE), places)


def _side_by_side(tile: Tile, size: tuple[int, int]) -> Iterator[Image.Image]:
    """The picture and its maps: larger with their pixels to be seen, or smaller by the means of pixels."""
    for pixels in tile.pictures:
        how = Image.Resampling.NEAREST if size[0] > pixels.shape[1] else Image.Resampling.BOX
        yield Image.fromarray(pixels).resize(size, how)


def _caption(said: Explained) -> tuple[str, str]:
    return f"answered {said.answered} ({said.probability:.2f})", f"true {said.true}"


def _by_answer(tiles: Sequence[Tile]) -> dict[str, list[Tile]]:
    groups: dict[str, list[Tile]] = {}
    for tile in tiles:
        right = tile.said.answered == tile.said.true
        groups.setdefault(RIGHT if right else WRONG, []).append(tile)
    return groups


def _write(
    canvas: Image.Image,
    lines: Sequence[str],
    place: tuple[int, int],
    width: int,
    font: ImageFont.FreeTypeFont,
) -> None:
    """One line below the other; what is wider than so many pixels is cut."""
    for number, line in enumerate(lines):
        below = (place[0], place[1] + number * LINE)
        ImageDraw.Draw(canvas).text(below, cut(line, font, width), fill="black", font=font)
