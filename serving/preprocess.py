"""The one way from an encoded picture to the network's input, for training, evaluation and serving.

Screen, decode, turn upright, make RGB, resize. Its settings travel with the model (``Preprocessing``), and
the decoders have the same versions in both environments: the same picture gives the same bytes everywhere.
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field

from serving.bad_picture import BadPicture
from serving.model_directory import Preprocessing
from serving.strip_metadata import FORMATS, Stripped, strip_metadata

__all__ = ("BadPicture", "Limits", "decode", "open_checked", "upright")

RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
JPEG_SCALES = (8, 4, 2)  # the divisors that Pillow uses
MOST_KEPT_BYTES = 4 * 2**20
"""What a thread keeps for its next picture: 1.4 million pixels."""
_this_thread = threading.local()
FIRST_TURNED_ORIENTATION = 5  # from here on width and height change places


class Limits(BaseModel):
    """What a picture may weigh and measure before anything is decoded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(default=10_000_000, ge=1)
    max_pixels: int = Field(default=50_000_000, ge=1)
    min_side: int = Field(default=8, ge=1)
    max_aspect_ratio: float = Field(default=20.0, ge=1)
    """Of the longer side to the shorter one: what is longer is a banner or a strip, and no product."""


DEFAULT_LIMITS = Limits()
UNLIMITED = Limits(max_bytes=2**40, max_pixels=2**40, min_side=1, max_aspect_ratio=2**40)
"""For stored pictures: ingest has set aside what its own limits refuse."""


def decode(
    data: bytes,
    preprocessing: Preprocessing,
    limits: Limits = DEFAULT_LIMITS,
    *,
    orientation: int | None = None,
) -> NDArray[np.uint8]:
    """Turn an encoded picture into the network's input.

    Args:
        data: a JPEG, PNG or WEBP file.
        preprocessing: the model's own settings.
        limits: what is refused before anything is decoded.
        orientation: 1 to 8, of a stored picture, whose EXIF block was cut out; None: what the file says.

    Returns:
        ``(height, width, 3)`` uint8, RGB, upright, read-only; transparency lies over white; the sides are
        scaled apart.

    Raises:
        BadPicture: the picture cannot be used. No other exception comes from the bytes.
    """
    picture = _screen(data, limits)
    with _as_bad_picture():
        if orientation is None:
            orientation = picture.orientation
        size = (preprocessing.width, preprocessing.height)
        least = None
        if preprocessing.decode_scale:
            turned = size[::-1] if orientation >= FIRST_TURNED_ORIENTATION else size
            least = (turned[0] * preprocessing.decode_scale, turned[1] * preprocessing.decode_scale)
        rgb = upright(_to_rgb(picture, least), orientation)
        return np.asarray(rgb.resize(size, RESAMPLING[preprocessing.resample]))


def open_checked(
    data: bytes, limits: Limits = DEFAULT_LIMITS, *, least: tuple[int, int] | None = None
) -> tuple[Stripped, Image.Image]:
    """Check a picture as ``decode`` does, and decode it.

    Args:
        data: a JPEG, PNG or WEBP file.
        limits: what is refused before anything is decoded.
        least: width and height below which a JPEG is not scaled down while it is decoded; None: not at all.

    Returns:
        The picture without its metadata, with what its header says, and its pixels: RGB, as encoded and not
        turned; without ``least`` in full size.

    Raises:
        BadPicture: the picture cannot be used.
    """
    picture = _screen(data, limits)
    with _as_bad_picture():
        return picture, _to_rgb(picture, least)


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a picture that lies as EXIF's number of its orientation, 1 to 8, says."""
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def _screen(data: bytes, limits: Limits) -> Stripped:
    """Take a picture apart and refuse it by its header; decode no pixel.

    The decoders are given what is left without the metadata, as it is stored: nothing in an EXIF block or a
    text can spoil or burden them, and a request and a stored picture go the same way.
    """
    if len(data) > limits.max_bytes:
        raise BadPicture(
            "too_many_bytes", f"the picture has {len(data):,} bytes; the limit is {limits.max_bytes:,}"
        )
    picture = strip_metadata(data)
    _check_size(picture.width, picture.height, limits)
    return picture


def _check_size(width: int, height: int, limits: Limits) -> None:
    """Refuse a picture by the size that its header states.

    Raises:
        BadPicture: it has too many pixels, for these limits or for Pillow, which warns of a bomb from
            ``MAX_IMAGE_PIXELS`` on; or it is too small, or too long for its other side.
    """
    most = min(limits.max_pixels, Image.MAX_IMAGE_PIXELS or limits.max_pixels)
    if width * height > most:
        raise BadPicture(
            "too_many_pixels", f"the picture has {width} × {height} pixels; the limit is {most:,} in all"
        )
    shorter, longer = sorted((width, height))
    if shorter < limits.min_side:
        raise BadPicture(
            "too_small",
            f"the picture has {width} × {height} pixels; each side needs {limits.min_side} at least",
        )
    if longer > limits.max_aspect_ratio * shorter:
        raise BadPicture(
            "odd_shape",
            f"the picture has {width} × {height} pixels: one side is {longer / shorter:.1f} times the other; "
            f"the limit is {limits.max_aspect_ratio:g} times",
        )


def _open(picture: Stripped) -> ImageFile.ImageFile:
    """Open a picture with Pillow; its checksums are right, where its format has some."""
    image = Image.open(io.BytesIO(picture.data), formats=FORMATS)
    if image.size != (picture.width, picture.height):
        raise BadPicture(
            "truncated",
            f"the picture is damaged: it has {image.width} × {image.height} pixels, and its header says "
            f"{picture.width} × {picture.height}",
        )
    if picture.format == "PNG":  # there is nothing that Pillow could verify in the others
        image.verify()  # leaves the picture unusable
        image = Image.open(io.BytesIO(picture.data), formats=FORMATS)
    return image


@contextmanager
def _as_bad_picture() -> Iterator[None]:
    """Turn whatever Pillow raises on bad bytes into a ``BadPicture``."""
    try:
        yield
    except BadPicture:
        raise
    except UnidentifiedImageError as error:
        raise BadPicture("not_an_image", f"the bytes are no {', '.join(FORMATS)} picture") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadPicture("too_many_pixels", f"the picture has too many pixels: {error}") from error
    except Exception as error:  # its parsers raise whatever they trip over, struct.error to MemoryError
        raise BadPicture("truncated", f"the picture is truncated or damaged: {error}") from error


def _to_rgb(picture: Stripped, least: tuple[int, int] | None = None) -> Image.Image:
    """Decode to RGB: transparency over white, the upper byte of 16-bit greys, CMYK and palettes converted.

    Args:
        picture: what ``_screen`` let through.
        least: width and height below which a JPEG is not scaled down while it is decoded; None: not at all.
    """
    pixels = _fast_jpeg(picture, least)
    if pixels is not None:
        return Image.fromarray(pixels)  # a copy: the buffer is used again
    image = _open(picture)
    if least is not None:
        image.draft(image.mode, least)
    image.load()
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _fast_jpeg(picture: Stripped, least: tuple[int, int] | None = None) -> NDArray[np.uint8] | None:
    """Decode a colour JPEG, scaled down to no less than ``least`` as Pillow does it, or return None.

    The pixels, which the thread's next picture overwrites, are Pillow's:
    ``tests/serving/test_preprocess.py`` compares them. Without Pillow's header parser and with memory that is
    there already it takes three quarters of Pillow's time for a picture of 256 × 256. What it refuses, and be
    it for a warning, Pillow decides: nothing is accepted that Pillow would refuse.
    """
    if picture.format != "JPEG":
        return None
    width, height = picture.width, picture.height
    scale = 1
    if least is not None:
        most = min(width // least[0], height // least[1])
        scale = next((step for step in JPEG_SCALES if step <= most), 1)
    width, height = -(-width // scale), -(-height // scale)
    try:
        _, _, colours, subsampling = simplejpeg.decode_jpeg_header(picture.data)
        if colours != "YCbCr" or subsampling not in ("444", "422", "420"):
            return None
        pixels = simplejpeg.decode_jpeg(
            picture.data, min_height=height, min_width=width, buffer=_buffer(width * height * 3)
        )
    except ValueError:
        return None
    return pixels if pixels.shape == (height, width, 3) else None


def _buffer(size: int) -> NDArray[np.uint8]:
    """A thread's own memory for pixels: fresh memory would cost half as much as decoding into it."""
    if size > MOST_KEPT_BYTES:
        return np.empty(size, np.uint8)
    kept: NDArray[np.uint8] | None = getattr(_this_thread, "buffer", None)
    if kept is None or len(kept) < size:
        kept = _this_thread.buffer = np.empty(size, np.uint8)
    return kept
