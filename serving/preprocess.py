"""The one way from an encoded picture to the network's input, for training, evaluation and serving.

Screen, decode, turn upright, make RGB, resize. Its settings travel with the model (``Preprocessing``), and
the decoders have the same versions in both environments: the same picture gives the same bytes everywhere.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field

from serving.model_directory import Preprocessing

FORMATS = ("JPEG", "PNG", "WEBP")
# Pillow's name for a JPEG with further pictures behind the first one, as telephones write them.
JPEG_FORMATS = ("JPEG", "MPO")

RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
FIRST_TURNED_ORIENTATION = 5  # from here on width and height change places

Reason = Literal["empty", "not_an_image", "truncated", "too_many_pixels", "too_many_bytes", "too_small"]


class Limits(BaseModel):
    """What a picture may weigh and measure before anything is decoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(default=10_000_000, ge=1)
    max_pixels: int = Field(default=50_000_000, ge=1)
    min_side: int = Field(default=8, ge=1)


DEFAULT_LIMITS = Limits()


class BadPicture(ValueError):
    """A picture that cannot be used: ``reason``, a code, and ``message``, with the measure and the limit."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message


@dataclass(frozen=True)
class PictureInfo:
    """A usable picture: ``width`` and ``height`` as encoded, before ``orientation`` (1 to 8) is applied."""

    format: Literal["JPEG", "PNG", "WEBP"]
    width: int
    height: int
    orientation: int


def decode(data: bytes, preprocessing: Preprocessing, limits: Limits = DEFAULT_LIMITS) -> NDArray[np.uint8]:
    """Turn an encoded picture into the network's input.

    Args:
        data: a JPEG, PNG or WEBP file.
        preprocessing: the model's own settings.
        limits: what is refused before anything is decoded.

    Returns:
        ``(height, width, 3)`` uint8, RGB, upright; transparency lies over white; the sides are scaled apart.

    Raises:
        BadPicture: the picture cannot be used. No other exception comes from the bytes.
    """
    image = _screen(data, limits)
    with _as_bad_picture():
        orientation = _orientation(image)
        size = (preprocessing.width, preprocessing.height)
        if preprocessing.decode_scale and image.format in JPEG_FORMATS:
            turned = size[::-1] if orientation >= FIRST_TURNED_ORIENTATION else size
            width, height = (side * preprocessing.decode_scale for side in turned)
            image.draft(image.mode, (width, height))
        rgb = _fast_jpeg(data, image) or _to_rgb(image)
        if orientation in UPRIGHT:
            rgb = rgb.transpose(UPRIGHT[orientation])
        return np.array(rgb.resize(size, RESAMPLING[preprocessing.resample]))


def inspect(data: bytes, limits: Limits = DEFAULT_LIMITS) -> PictureInfo:
    """Check a picture as ``decode`` does, decoding it in full.

    Raises:
        BadPicture: the picture cannot be used.
    """
    image = _screen(data, limits)
    with _as_bad_picture():
        image.load()
        format_: Literal["JPEG", "PNG", "WEBP"] = "JPEG"
        if image.format == "PNG":
            format_ = "PNG"
        elif image.format == "WEBP":
            format_ = "WEBP"
        return PictureInfo(format_, image.width, image.height, _orientation(image))


def _screen(data: bytes, limits: Limits) -> ImageFile.ImageFile:
    """Open a picture whose header is within the limits and whose checksums are right; decode no pixel."""
    if not data:
        raise BadPicture("empty", "the picture is empty (0 bytes)")
    if len(data) > limits.max_bytes:
        raise BadPicture(
            "too_many_bytes", f"the picture has {len(data):,} bytes; the limit is {limits.max_bytes:,}"
        )
    with _as_bad_picture():
        image = _open(data)
        width, height = image.size
        if width * height > limits.max_pixels:
            raise BadPicture(
                "too_many_pixels",
                f"the picture has {width} × {height} pixels; the limit is {limits.max_pixels:,} in all",
            )
        if min(width, height) < limits.min_side:
            raise BadPicture(
                "too_small",
                f"the picture has {width} × {height} pixels; each side needs {limits.min_side} at least",
            )
        image.verify()  # reads the checksums, and leaves the picture unusable
        return _open(data)


def _open(data: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data), formats=FORMATS)


@contextmanager
def _as_bad_picture() -> Iterator[None]:
    """Turn whatever Pillow raises on bad bytes into a ``BadPicture``."""
    try:
        yield
    except BadPicture:
        raise
    except UnidentifiedImageError as error:
        raise BadPicture("not_an_image", f"the bytes are no {', '.join(FORMATS)} picture") from error
    except Image.DecompressionBombError as error:
        raise BadPicture("too_many_pixels", f"the picture has too many pixels: {error}") from error
    except Exception as error:  # its parsers raise whatever they trip over, struct.error to MemoryError
        raise BadPicture("truncated", f"the picture is truncated or damaged: {error}") from error


def _orientation(image: ImageFile.ImageFile) -> int:
    """Read the EXIF orientation, 1 to 8; what cannot be read counts as upright."""
    if image.format not in JPEG_FORMATS:
        image.load()  # their EXIF may stand behind the pixels
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - a damaged EXIF block says nothing about the pixels
        return 1
    return value if value in UPRIGHT else 1


def _fast_jpeg(data: bytes, image: ImageFile.ImageFile) -> Image.Image | None:
    """Decode a baseline colour JPEG at the size that ``image`` was drafted to, or return None.

    The bytes are Pillow's (``tests/serving/test_preprocess.py`` compares them), in two thirds of its time for
    a picture of 256 × 256.
    """
    if image.format != "JPEG" or image.mode != "RGB" or "progressive" in image.info:
        return None
    try:
        _, _, colours, subsampling = simplejpeg.decode_jpeg_header(data)
        if colours != "YCbCr" or subsampling not in ("444", "422", "420"):
            return None
        pixels = simplejpeg.decode_jpeg(data, min_height=image.height, min_width=image.width)
    except ValueError:  # Pillow decides whether the picture is damaged
        return None
    return Image.fromarray(pixels) if pixels.shape == (image.height, image.width, 3) else None


def _to_rgb(image: ImageFile.ImageFile) -> Image.Image:
    """Decode to RGB: transparency over white, the upper byte of 16-bit greys, CMYK and palettes converted."""
    image.load()
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
