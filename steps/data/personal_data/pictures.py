"""Find faces and readable text in pictures, and mask them: one interface, whatever finds them.

A detector whose package is not installed is no detector that finds nothing: what it would look for is
``not_assessed``.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from serving.preprocess import FIRST_TURNED_ORIENTATION, UNLIMITED, open_checked, upright
from serving.strip_metadata import FORMATS
from steps.data.personal_data.settings import Policy

PictureKind = Literal["faces", "texts"]

LEAST_SIDE = 64
"""Pixels of the shorter side from which a picture is examined; below, neither detector is reliable."""
EXAMINED_SIDE = 640
"""Pixels of the longer side at which a picture is examined; a larger one is scaled down."""
GROWN = 0.15
"""Share of its size by which a box grows to each side before it is masked: detectors cut chins off."""
MOSAIC = 3
"""Cells a side of what is left in a masked box: 27 numbers, far too few to know a face or a word by."""
QUALITY = 95
"""Of a WebP that is written anew. A JPEG keeps its own tables, and a PNG loses nothing."""
KEPT_INFO = ("icc_profile", "transparency", "progressive", "dpi", "adobe", "adobe_transform", "jfif", "gamma")


class Box(NamedTuple):
    """A part of the upright picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


class Detector(Protocol):
    """Finds one kind of personal data; may be called from several threads."""

    name: str

    def find(self, image: NDArray[np.uint8]) -> list[Box]:
        """Find it in an upright picture ``(h, w, 3)``, RGB."""


@dataclass(frozen=True)
class NotInstalled:
    """A detector that cannot run here; ``package`` is what is missing."""

    package: str
    reason: str


@dataclass(frozen=True)
class PicturesFindings:
    """What was found in one picture. None: nobody looked, which ``not_examined`` explains."""

    faces: tuple[Box, ...] | None
    texts: tuple[Box, ...] | None
    not_examined: str = ""

    @property
    def boxes(self) -> tuple[Box, ...]:
        """All parts that a masked picture does not show."""
        return (*(self.faces or ()), *(self.texts or ()))


@cache
def detectors() -> Mapping[PictureKind, Detector | NotInstalled]:
    """The detector of each kind, made at the first call: that imports OpenCV and onnxruntime."""
    return {"faces": _faces(), "texts": _texts()}


def missing_detectors() -> dict[PictureKind, NotInstalled]:
    """The kinds that nothing looks for here."""
    return {kind: found for kind, found in detectors().items() if isinstance(found, NotInstalled)}


def examined(image_ids: Sequence[str], limit: int, policy: Policy) -> list[str]:
    """Choose the pictures to examine.

    Args:
        image_ids: those of a delivery.
        limit: at most so many where the policy is ``warn``; the others need all.
        policy: what happens to a picture with a finding.

    Returns:
        Some of ``image_ids`` in their order: of the same pictures the same ones, whatever their order.
    """
    if policy != "warn" or len(image_ids) <= limit:
        return list(image_ids)
    # A digest of its own: splits and the golden set go by the order of image_id.
    order = sorted(set(image_ids), key=lambda each: hashlib.sha256(f"personal data {each}".encode()).digest())
    chosen = set(order[:limit])
    return [each for each in image_ids if each in chosen]


def find_personal_data(
    image: NDArray[np.uint8], using: Mapping[PictureKind, Detector | NotInstalled] | None = None
) -> PicturesFindings:
    """Look for faces and readable text.

    Args:
        image: ``(h, w, 3)``, uint8, RGB, upright.
        using: the detectors; those that are installed when None.

    Returns:
        Boxes in the pixels of ``image``; None for what was not looked for.
    """
    height, width = image.shape[:2]
    if min(height, width) < LEAST_SIDE:
        reason = f"{width} × {height} pixels; from {LEAST_SIDE} on the shorter side a picture is examined"
        return PicturesFindings(None, None, reason)
    scale = max(1.0, max(height, width) / EXAMINED_SIDE)
    if scale > 1:
        size = max(1, round(width / scale)), max(1, round(height / scale))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    found: dict[PictureKind, tuple[Box, ...] | None] = {}
    missing = []
    for kind, detector in (using or detectors()).items():
        if isinstance(detector, NotInstalled):
            found[kind] = None
            missing.append(f"{detector.package} is not installed")
        else:
            found[kind] = tuple(_scaled(box, scale) for box in detector.find(image))
    return PicturesFindings(found.get("faces"), found.get("texts"), "; ".join(missing))


def examine_picture(
    data: bytes, orientation: int, using: Mapping[PictureKind, Detector | NotInstalled] | None = None
) -> PicturesFindings:
    """Decode a stored picture, and look for faces and readable text.

    Args:
        data: a JPEG, PNG or WEBP that screening took.
        orientation: 1 to 8, from the index.
        using: as :func:`find_personal_data` takes them.

    Returns:
        Boxes in the pixels of the upright picture.
    """
    picture, image = open_checked(data, UNLIMITED, least=(EXAMINED_SIDE, EXAMINED_SIDE))
    found = find_personal_data(np.asarray(upright(image, orientation)), using)
    scale = max(picture.width, picture.height) / max(image.size)
    if scale == 1:
        return found

    def full(boxes: tuple[Box, ...] | None) -> tuple[Box, ...] | None:
        return None if boxes is None else tuple(_scaled(box, scale) for box in boxes)

    return PicturesFindings(full(found.faces), full(found.texts), found.not_examined)


def mask_picture(data: bytes, orientation: int, boxes: Sequence[Box]) -> bytes:
    """Fill parts of a picture beyond recovery, and encode it anew.

    The only place where a picture is encoded anew, and only because the policy says ``mask``.

    Args:
        data: a JPEG, PNG or WEBP file without metadata.
        orientation: 1 to 8, from the index; it stays what it is.
        boxes: in the pixels of the upright picture.

    Returns:
        A file of the same format, size and colour profile; a JPEG has the same tables, so that what is not
        masked hardly changes. ``data`` itself when there is no box.
    """
    if not boxes:
        return data
    image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    image.load()
    form = "JPEG" if image.format == "MPO" else str(image.format)
    options = _encoding(image, data)
    kept: dict[str | tuple[int, int], Any] = {
        name: image.info[name] for name in KEPT_INFO if name in image.info
    }
    if image.mode in ("1", "P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        kept.pop("transparency", None)
    image.info = dict(kept)
    for box in boxes:
        _fill(image, _stored(box, orientation, image.size))
    file = io.BytesIO()
    image.save(file, form, icc_profile=kept.get("icc_profile"), **options)
    return file.getvalue()


def _encoding(image: Image.Image, data: bytes) -> dict[str, Any]:
    """How to encode a picture as it was: with a JPEG's own tables, or losslessly what is lossless."""
    if image.format == "JPEG":
        return {"quality": "keep", "progressive": "progressive" in image.info}
    if image.format == "WEBP":
        return {"lossless": _is_lossless_webp(data), "quality": QUALITY, "exact": True}
    return {"quality": QUALITY} if image.format == "MPO" else {}


def _is_lossless_webp(data: bytes) -> bool:
    """Whether the pixels of a WebP stand in a chunk ``VP8L``; chunks follow a header of 12 bytes."""
    position = 12
    while position + 8 <= len(data):
        if data[position : position + 4] in (b"VP8L", b"VP8 "):
            return data[position : position + 4] == b"VP8L"
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
    return False


def _faces() -> Detector | NotInstalled:
    try:
        from steps.data.personal_data.faces import HaarFaces

        return HaarFaces()
    except ImportError as error:
        return NotInstalled("opencv-python-headless", str(error))


def _texts() -> Detector | NotInstalled:
    try:
        from steps.data.personal_data.texts import RapidTexts

        return RapidTexts()
    except ImportError as error:
        return NotInstalled("rapidocr", str(error))


def _scaled(box: Box, scale: float) -> Box:
    return Box(*(round(edge * scale) for edge in box))


def _stored(box: Box, orientation: int, size: tuple[int, int]) -> Box:
    """Where a box of the upright picture lies in the picture as it is stored, ``size`` wide and high."""
    left, top, width, height = box
    stored_width, stored_height = size
    if orientation < FIRST_TURNED_ORIENTATION:
        from_right, from_bottom = stored_width - left - width, stored_height - top - height
        return Box(
            from_right if orientation in (2, 3) else left,
            from_bottom if orientation in (3, 4) else top,
            width,
            height,
        )
    from_right, from_bottom = stored_width - top - height, stored_height - left - width
    return Box(
        from_right if orientation in (7, 8) else top,
        from_bottom if orientation in (6, 7) else left,
        height,
        width,
    )


def _fill(image: Image.Image, box: Box) -> None:
    """Leave a mosaic of few cells where the box, grown, lies."""
    grow_x, grow_y = round(box.width * GROWN), round(box.height * GROWN)
    left, top = max(0, box.left - grow_x), max(0, box.top - grow_y)
    right = min(image.width, box.left + box.width + grow_x)
    bottom = min(image.height, box.top + box.height + grow_y)
    if right <= left or bottom <= top:
        return
    part = image.crop((left, top, right, bottom))
    cells = part.resize((MOSAIC, MOSAIC), Image.Resampling.BOX)
    image.paste(cells.resize(part.size, Image.Resampling.NEAREST), (left, top))
