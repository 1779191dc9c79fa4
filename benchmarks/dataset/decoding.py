"""Decode, resize and screen pictures, beside Pillow doing the same."""

from __future__ import annotations

import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import simplejpeg
from PIL import Image

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.dataset.generated import jpeg
from benchmarks.dataset.timing import ROUNDS, medians, wall_seconds
from serving.model_directory import Preprocessing
from serving.preprocess import decode, open_checked

SIDE, DECODED, SCREENED, CORES = 224, 64, 400, 2
LARGE = (4000, 3000)


def by_pillow(data: bytes) -> bytes:
    """The same definition with Pillow alone, as bytes."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR).tobytes()


def measure() -> list[Claim]:
    """The claims about one picture after the other, and about screening on two cores."""
    return [*_resized(), _large(), _screened()]


def _resized() -> list[Claim]:
    encoded = [jpeg(number) for number in range(DECODED)]
    settings = Preprocessing(height=SIDE, width=SIDE, decode_scale=0)

    def ours() -> None:
        for data in encoded:
            decode(data, settings)

    def pillow() -> None:
        for data in encoded:
            by_pillow(data)

    taken = medians({"ours": ours, "pillow": pillow}, rounds=2 * ROUNDS)
    differ = sum(decode(data, settings).tobytes() != by_pillow(data) for data in encoded)
    return [
        at_least(
            "decode 256 px and resize to 224: how many times less CPU than Pillow",
            taken["pillow"] / taken["ours"],
            1.15,
            "×",
        ),
        at_most(f"of {DECODED} pictures, those that differ from Pillow's by a bit", differ, 0, "pictures"),
    ]


def _large() -> Claim:
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (300, 400, 3), dtype=np.uint8))
    picture = np.asarray(coarse.resize(LARGE, Image.Resampling.BICUBIC))
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=90, colorsubsampling="420")
    scaled = Preprocessing(height=SIDE, width=SIDE)
    taken = medians({"ours": lambda: decode(data, scaled), "full": lambda: by_pillow(data)})
    return at_least(
        "decode 12 MP and resize to 224: how many times less CPU than a full decode",
        taken["full"] / taken["ours"],
        4,
        "×",
    )


def _screened() -> Claim:
    encoded = [jpeg(number) for number in range(SCREENED)]

    def ours() -> None:
        with ThreadPoolExecutor(CORES) as pool:
            for _ in pool.map(open_checked, encoded):
                pass

    def pillow() -> None:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for data in encoded:
            with Image.open(io.BytesIO(data)) as image:
                image.verify()
            with Image.open(io.BytesIO(data)) as image:
                image.load()

    taken = medians({"ours": ours, "pillow": pillow}, measure=wall_seconds)
    return at_least(
        f"screening on {CORES} cores: how many times faster than one core at Pillow's verify and load",
        taken["pillow"] / taken["ours"],
        1.6,
        "×",
    )
