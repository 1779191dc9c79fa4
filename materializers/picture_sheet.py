"""The PNGs of a report: each says which pictures it shows and where, so that one can be erased from it.

What a sheet of thumbnails shows stands in a text chunk of the PNG: digests of pictures, each with its boxes.
A chart shows none, and Matplotlib, which drew it, says so in a chunk of its own.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image, PngImagePlugin

from materializers.errors import DamagedArtifact

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWS = "shows"
"""The text chunk's name."""
ERASED = "white"
CHART_DPI = 90
"""Of a chart, whose sizes are given in inches: readable on a page, and some 20 kB."""
Box = tuple[int, int, int, int]
"""Left, upper, right, lower, in pixels."""


def encode_sheet(sheet: Image.Image, places: Mapping[str, Sequence[Box]]) -> bytes:
    """A PNG that says what it shows.

    Args:
        sheet: the picture of thumbnails.
        places: where each picture, by its digest, is shown; nothing for a chart.
    """
    about = PngImagePlugin.PngInfo()
    about.add_text(SHOWS, json.dumps(dict(places), sort_keys=True), zip=True)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", pnginfo=about)
    return buffer.getvalue()


def encode_chart(figure: Figure) -> bytes:
    """A figure as a PNG that says who drew it, so that nobody takes it for a photograph."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=CHART_DPI)
    return buffer.getvalue()


def places_of(png: bytes) -> dict[str, list[Box]] | None:
    """What a PNG says that it shows; an empty mapping for a chart, None where it does not say.

    Raises:
        DamagedArtifact: it is no PNG, or what it says is damaged.
    """
    with _opened(png) as image:
        said = image.text
    if SHOWS in said:
        try:
            shown = json.loads(said[SHOWS])
            return {str(digest): [tuple(box) for box in boxes] for digest, boxes in shown.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise DamagedArtifact(f"A picture of a report does not say what it shows: {error}") from error
    return {} if said.get("Software", "").startswith("Matplotlib") else None


def may_show(png: bytes, digests: Collection[str]) -> bool:
    """Whether a PNG shows one of these pictures, or does not say what it shows."""
    places = places_of(png)
    return places is None or any(digest in places for digest in digests)


def erase_from_sheet(png: bytes, digests: Collection[str]) -> bytes | None:
    """The PNG with white in the place of these pictures; None where it does not say what it shows.

    What else it calls a picture in such a place goes, too.
    """
    places = places_of(png)
    if places is None:
        return None
    with _opened(png) as image:
        sheet = image.convert("RGB")
    gone = {box for digest in digests for box in places.get(digest, ())}
    for box in gone:
        sheet.paste(ERASED, box)
    kept = {digest: [box for box in boxes if box not in gone] for digest, boxes in places.items()}
    return encode_sheet(sheet, {digest: boxes for digest, boxes in kept.items() if boxes})


def _opened(png: bytes) -> PngImagePlugin.PngImageFile:
    try:
        image = Image.open(io.BytesIO(png), formats=("PNG",))
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DamagedArtifact(f"A picture of a report is no PNG: {error}") from error
    if not isinstance(image, PngImagePlugin.PngImageFile):
        raise DamagedArtifact("A picture of a report is no PNG.")
    return image
