"""Sheets of small pictures for the dashboard."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from materializers.picture_sheet import Box, encode_sheet

if TYPE_CHECKING:
    from materializers.image_dataset import ImageDataset

THUMBNAIL, THUMBNAILS_PER_CLASS = 56, 12
ORIENTATION_TAG = 0x0112
"""EXIF's."""


def thumbnail_sheet(dataset: ImageDataset) -> bytes:
    """A PNG with a row of up to 12 thumbnails for each class, in the order of the class names."""
    by_class = {str(label): rows["image_id"] for label, rows in dataset.index.groupby("label")}
    size = (THUMBNAILS_PER_CLASS * THUMBNAIL, max(1, len(by_class)) * THUMBNAIL)
    sheet = Image.new("RGB", size, "white")
    places: dict[str, list[Box]] = {}
    for line, image_ids in enumerate(by_class.values()):
        shown = image_ids[:THUMBNAILS_PER_CLASS].tolist()
        turned = zip(shown, dataset.pictures(shown), dataset.orientations(shown), strict=True)
        for column, (image_id, data, orientation) in enumerate(turned):
            left, top = column * THUMBNAIL, line * THUMBNAIL
            sheet.paste(thumbnail(data, orientation), (left, top))
            places[image_id] = [(left, top, left + THUMBNAIL, top + THUMBNAIL)]
    return encode_sheet(sheet, places)


def thumbnail(data: bytes, orientation: int = 1, side: int = THUMBNAIL) -> Image.Image:
    """An encoded picture, upright and padded to a square.

    Args:
        data: as it is stored.
        orientation: 1 to 8, as EXIF numbers them.
        side: of the square, in pixels.

    Returns:
        RGB, ``side`` × ``side``.
    """
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (side, side))
        rgb = image.convert("RGB")
        rgb.getexif()[ORIENTATION_TAG] = orientation  # the index's, whatever the file says
        return ImageOps.pad(ImageOps.exif_transpose(rgb), (side, side), color="white")
