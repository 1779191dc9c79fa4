"""Measure what a picture looks like, once, when it arrives: light, contrast, sharpness, colour, and its hash.

Everything comes from the decoded picture and reduced copies of it, so that it costs a fraction of decoding.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from serving.preprocess import upright

HASHED_SIDE = 64
"""Pixels. The hash of a smaller picture says little: of 3,000 Fashion-MNIST pictures (28 px), it clustered
294 different products."""
HASHED_CONTRAST = 8.0
"""Standard deviation of luma. Below it, the hash says where the noise of a flat picture lies, and pictures of
nothing hash alike. The flattest of 3,781 photographs (``clothing-dataset-small``) has 10.9."""
SOURCE_SIDE = 256
"""The shorter side of a larger picture is reduced by a whole factor to no less than this before it is hashed:
the hash looks at 32 × 32 pixels, and a photograph of 12 MP costs 4 times as much whole."""
SHARPNESS_SIDE = 256
"""The shorter side at which sharpness is measured, so that pictures of all sizes compare; none is enlarged.
At 128, more than half of 3,781 photographs that were blurred by 2 pixels of 256 were as sharp as others;
here, one in a hundred was."""
SATURATION_REDUCTION = 64
"""The shorter side that is left, at least, when saturation is measured."""


@dataclass(frozen=True)
class PictureMeasures:
    """What a picture looks like; the names are the columns of a dataset's index."""

    brightness: float
    """Mean luma, 0 to 255."""
    contrast: float
    """Standard deviation of luma, 0 to 127.5."""
    sharpness: float
    """Variance of the Laplacian of luma, at a shorter side of 256."""
    saturation: float
    """Mean saturation (HSV), 0 to 255."""
    phash: str | None
    """The perceptual hash, 64 bits in 16 hex digits; None where it would say nothing: the
    shorter side is under 64 pixels, or the picture is flat."""


def measure(image: Image.Image, orientation: int = 1) -> PictureMeasures:
    """Measure a decoded picture.

    Args:
        image: RGB, of any size, as it is stored.
        orientation: EXIF's, 1 to 8: the hash is that of the upright picture.
    """
    reduced = _reduced(image, SOURCE_SIDE)
    luma = reduced.convert("L")
    brightness, contrast = _moments(luma)
    hashed = contrast >= HASHED_CONTRAST and min(image.size) >= HASHED_SIDE
    return PictureMeasures(
        brightness=brightness,
        contrast=contrast,
        sharpness=_sharpness(luma),
        saturation=_moments(_reduced(reduced, SATURATION_REDUCTION).convert("HSV").getchannel("S"))[0],
        phash=_hash(luma, orientation) if hashed else None,
    )


def _reduced(image: Image.Image, side: int) -> Image.Image:
    """The picture with its shorter side divided by a whole number, to no less than ``side``."""
    factor = min(image.size) // side
    return image.reduce(factor) if factor > 1 else image


def _moments(channel: Image.Image) -> tuple[float, float]:
    """Mean and standard deviation of an 8-bit channel."""
    counts = np.asarray(channel.histogram(), dtype=np.float64)
    levels = np.arange(256.0)
    mean = float(counts @ levels / counts.sum())
    return mean, float(np.sqrt(counts @ (levels - mean) ** 2 / counts.sum()))


def _sharpness(luma: Image.Image) -> float:
    """Variance of the Laplacian (its four neighbours less the pixel) of the picture at a fixed size.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000.
    """
    scale = SHARPNESS_SIDE / min(luma.size)
    if scale < 1:
        size = (round(luma.width * scale), round(luma.height * scale))
        luma = luma.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(luma).astype(np.int16)
    if min(pixels.shape) < 3:  # noqa: PLR2004 (no pixel has all its neighbours)
        return 0.0
    middle = pixels[1:-1:2, 1:-1:2]  # every fourth pixel says as much, in a quarter of the time
    around = pixels[:-2:2, 1:-1:2] + pixels[2::2, 1:-1:2] + pixels[1:-1:2, :-2:2] + pixels[1:-1:2, 2::2]
    return float((around - 4 * middle).var())


def _hash(luma: Image.Image, orientation: int) -> str:
    """The pHash of imagehash: which of the 64 lowest frequencies lie above their median."""
    import imagehash

    return str(imagehash.phash(upright(luma, orientation)))
