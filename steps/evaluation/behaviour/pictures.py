"""A sheet of pictures whose answer changed when nothing of the product did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from steps.evaluation.behaviour.asking import ENCODED, Probabilities, anew, changed, labels_of
from steps.evaluation.behaviour.comparing import drop, kept
from steps.evaluation.metrics import UNUSABLE

if TYPE_CHECKING:
    from steps.evaluation.behaviour.settings import BehaviourSettings
    from steps.evaluation.examined import Examined

EXAMPLES = 12
"""On a sheet at most."""


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
    from steps.evaluation.captioned_sheet import Tile, captioned_sheet

    tiles = []
    for each in broken:
        position = positions[each.row : each.row + 1]
        before, after = _pair(examined, position, each.transformation, settings)
        names = [_name(examined.classes, answer) for answer in (each.before, each.after)]
        lines = (f"{each.transformation}: {names[0]}", f"became {names[1]}")
        shows = (examined.image_ids[int(position[0])],)
        tiles.append(Tile(Image.fromarray(before), lines, shows, beside=Image.fromarray(after)))
    return captioned_sheet(tiles)


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
