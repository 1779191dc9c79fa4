"""A sheet of pictures whose answer changed when nothing of the product did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from materializers.picture_sheet import Box, encode_sheet
from steps.evaluation.behaviour.asking import ENCODED, Probabilities, anew, changed, labels_of
from steps.evaluation.behaviour.comparing import drop, kept
from steps.evaluation.metrics import UNUSABLE

if TYPE_CHECKING:
    from steps.evaluation.behaviour.settings import BehaviourSettings
    from steps.evaluation.examined import Examined

EXAMPLES, COLUMNS = 12, 3
SIDE, GAP, CAPTION = 76, 4, 30
"""Pixels: of a picture, between two of them, and of the two lines below."""
CELL = (2 * SIDE + 5 * GAP, SIDE + CAPTION)
COLOURS = 64
"""Of the palette. With it the sheet stays below 120 kB whatever it shows."""
LONGEST = 24
"""Characters of a line."""


class Broken(NamedTuple):
    """One answer that changed: where it stands in the sample, and from what class to what."""

    transformation: str
    row: int
    before: int
    after: int


def choose(before: Probabilities, after: Mapping[str, Probabilities]) -> list[Broken]:
    """The answers that changed most, of each transformation in turn, ``EXAMPLES`` at most.

    Args:
        before: ``(m, k)``, of the pictures as they were.
        after: the same by transformation.
    """
    queues = []
    for name, rows in after.items():
        changes = np.flatnonzero(~kept(before, rows))
        worst = changes[np.argsort(-drop(before, rows)[changes], kind="stable")][:EXAMPLES]
        answered, now = labels_of(before), labels_of(rows)
        queues.append([Broken(name, row, int(answered[row]), int(now[row])) for row in worst.tolist()])
    turns = [queue[turn] for turn in range(EXAMPLES) for queue in queues if turn < len(queue)]
    return turns[:EXAMPLES]


def broken_sheet(
    examined: Examined, positions: NDArray[np.int64], broken: Sequence[Broken], settings: BehaviourSettings
) -> bytes:
    """Each picture as it was beside what it was changed to, with both answers below.

    Args:
        examined: the model and its pictures.
        positions: ``(m,)``, the sample.
        broken: one at least.
        settings: how far the changes go.

    Returns:
        A PNG that says which pictures it shows, and where.
    """
    lines = -(-len(broken) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * CELL[0], lines * CELL[1]), "white")
    draw = ImageDraw.Draw(sheet)
    places: dict[str, list[Box]] = {}
    for number, each in enumerate(broken):
        left, top = number % COLUMNS * CELL[0], number // COLUMNS * CELL[1]
        position = positions[each.row : each.row + 1]
        for column, pixels in enumerate(_pair(examined, position, each.transformation, settings)):
            start = left + column * (SIDE + GAP)
            sheet.paste(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX), (start, top))
            box = (start, top, start + SIDE, top + SIDE)
            places.setdefault(examined.image_ids[int(position[0])], []).append(box)
        names = [_name(examined.classes, answer) for answer in (each.before, each.after)]
        draw.text((left, top + SIDE + 2), f"{each.transformation}: {names[0]}"[:LONGEST], fill="black")
        draw.text((left, top + SIDE + 15), f"became {names[1]}"[:LONGEST], fill="black")
    return encode_sheet(sheet.quantize(COLOURS, dither=Image.Dither.NONE), places)


def _pair(
    examined: Examined, position: NDArray[np.int64], name: str, settings: BehaviourSettings
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture and what it was changed to, as the network takes them."""
    from serving.preprocess import decode

    before = examined.pixels(position)
    if name in ENCODED:
        (data,) = anew(name, examined, position, settings)
        return before[0], decode(data, examined.predictor.metadata.preprocessing)
    return before[0], changed(name, before, position, settings)[0]


def _name(classes: Sequence[str], answer: int) -> str:
    return "no answer" if answer == UNUSABLE else classes[answer]
