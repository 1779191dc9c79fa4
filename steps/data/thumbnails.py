"""Sheets of thumbnails for the page of a ``DataReport``: few, small, and each knows what it shows.

A sheet is a PNG with a palette: a third of the bytes, and at this size nobody sees the difference.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from PIL import Image

from materializers.data_report import SuspiciousLabel
from materializers.image_dataset import ImageDataset
from materializers.picture_sheet import Box, encode_sheet
from materializers.thumbnails import thumbnail

SIDE = 76
"""Pixels of a thumbnail, so that a dozen lie beside each other on the page."""
PAIR_SIDE = 112
"""Pixels where two are compared."""
COLOURS = 128
PER_CLASS = 12
CLASSES = 30
PER_PAGE = 150
"""Thumbnails of classes on a page: with many classes each has fewer."""
LEAST_PER_CLASS = 3
GROUPS = 12
PER_GROUP = 4
SUSPICIOUS = 12
SEPARATE = 4
"""Pixels between pictures that are compared."""


def class_sheets(accepted: ImageDataset, classes: Sequence[str]) -> dict[str, bytes]:
    """A strip of thumbnails for each class that has pictures, at most ``CLASSES``.

    Args:
        accepted: the pictures.
        classes: in the order of the report; its number is in the name of a strip.

    Returns:
        ``class 01 tops`` → PNG.
    """
    shown = list(classes)[:CLASSES]
    each = max(LEAST_PER_CLASS, min(PER_CLASS, PER_PAGE // max(1, len(shown))))
    sheets = {}
    by_class = accepted.index.groupby("label")["image_id"]
    some = {str(label): ids.head(each).tolist() for label, ids in by_class}
    for number, label in enumerate(shown, 1):
        if label in some:
            sheets[f"class {number:02d} {_file_name(label)}"] = sheet(accepted, some[label])
    return sheets


def group_sheets(accepted: ImageDataset, groups: Sequence[Sequence[str]]) -> dict[str, bytes]:
    """Near-duplicates side by side, a sheet a group; ``near-duplicates 01`` is the first of ``groups``."""
    return {
        f"near-duplicates {number:02d}": sheet(accepted, group[:PER_GROUP], side=PAIR_SIDE, gap=SEPARATE)
        for number, group in enumerate(groups[:GROUPS], 1)
    }


def suspicious_sheets(accepted: ImageDataset, suspicious: Sequence[SuspiciousLabel]) -> dict[str, bytes]:
    """Each suspicious picture beside one of its label and one of the likely label, in this order.

    ``suspicious 01`` is the first of ``suspicious``. An example is no suspicious picture itself.
    """
    doubted = {each.image_id for each in suspicious}
    trusted = accepted.index[~accepted.index["image_id"].isin(doubted)]
    example = {str(label): str(ids.iloc[0]) for label, ids in trusted.groupby("label")["image_id"]}
    sheets = {}
    for number, each in enumerate(suspicious[:SUSPICIOUS], 1):
        examples = [example[label] for label in (each.label, each.likely) if label in example]
        ids = [each.image_id, *examples]
        sheets[f"suspicious {number:02d}"] = sheet(accepted, ids, side=PAIR_SIDE, gap=SEPARATE)
    return sheets


def unknown_sheet(delivery: ImageDataset, accepted: ImageDataset) -> dict[str, bytes]:
    """The first pictures that have a label which nobody configured."""
    unknown = delivery.index[~delivery.index["image_id"].isin(accepted.index["image_id"])]
    if unknown.empty:
        return {}
    return {"unknown labels": sheet(delivery, unknown["image_id"].head(PER_CLASS).tolist())}


def sheet(dataset: ImageDataset, image_ids: Sequence[str], *, side: int = SIDE, gap: int = 0) -> bytes:
    """These pictures in a row, upright, each in a square.

    Args:
        dataset: has them.
        image_ids: in the order in which they are shown.
        side: of a square, in pixels.
        gap: between squares, in pixels.
    """
    ids = list(image_ids)
    step = side + gap
    canvas = Image.new("RGB", (max(1, len(ids)) * step - gap, side), "white")
    places: dict[str, list[Box]] = {}
    pictures = zip(ids, dataset.pictures(ids), dataset.orientations(ids), strict=True)
    for place, (image_id, data, orientation) in enumerate(pictures):
        left = place * step
        canvas.paste(thumbnail(data, orientation, side), (left, 0))
        places.setdefault(image_id, []).append((left, 0, left + side, side))
    return encode_sheet(canvas.quantize(COLOURS, dither=Image.Dither.FLOYDSTEINBERG), places)


def _file_name(label: str) -> str:
    return re.sub(r"[^\w -]", "_", label)  # a title is a file's name too
