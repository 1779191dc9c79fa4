"""Decode, resize and screen pictures, beside Pillow doing the same."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
import simplejpeg
from PIL import Image

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.dataset.generated import jpeg
from benchmarks.dataset.photographs import photographs
from benchmarks.dataset.timing import ROUNDS, medians, wall_seconds
from serving.model_directory import Preprocessing
from serving.preprocess import DEFAULT_LIMITS, decode, open_checked
from steps.data.examining import examine, examiner
from steps.data.screening import in_order

SIDE, DECODED, SCREENED, CORES = 224, 64, 400, 2
LARGE = (4000, 3000)


def by_pillow(data: bytes) -> bytes:
    """The same definition with Pillow alone, as bytes."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR).tobytes()


def measure() -> list[Claim]:
    """The claims about one picture after the other, and about screening on two cores."""
    claims = _resized("256 px", [jpeg(number) for number in range(DECODED)])
    if photographs():
        claims += _resized("a photograph", photographs()[:DECODED])
    return [*claims, _large(), *_screened()]


def _resized(name: str, encoded: list[bytes]) -> list[Claim]:
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
            f"decode {name} and resize to 224: how many times less CPU than Pillow",
            taken["pillow"] / taken["ours"],
            1.15,
            "×",
        ),
        at_most(
            f"the same: of {DECODED} pictures, those that differ from Pillow's by a bit",
            differ,
            0,
            "pictures",
        ),
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


def _screened() -> list[Claim]:
    """Checking pictures beside Pillow's way to check them; and all that screening does, beside one core."""
    encoded = [jpeg(number) for number in range(SCREENED)]

    def checked(some: Sequence[bytes]) -> list[object]:
        return [open_checked(data) for data in some]

    def ours() -> None:
        for _ in in_order(checked, encoded, CORES):
            pass

    def pillow() -> None:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for data in encoded:
            with Image.open(io.BytesIO(data)) as image:
                image.verify()
            with Image.open(io.BytesIO(data)) as image:
                image.load()

    with examiner(CORES) as examine_some:

        def on_two() -> None:
            for _ in in_order(lambda some: examine_some(some, DEFAULT_LIMITS), encoded, 2 * CORES):
                pass

        ways = {
            "checked": ours,
            "pillow": pillow,
            "two": on_two,
            "one": lambda: examine(encoded, DEFAULT_LIMITS),
        }
        taken = medians(ways, measure=wall_seconds)
    return [
        at_least(
            f"check pictures on {CORES} cores (header, size, decoded in full, metadata cut): how many times "
            "faster than one core at Pillow's verify and load",
            taken["pillow"] / taken["checked"],
            1.6,
            "×",
        ),
        at_least(
            f"screen pictures (the same, measured and hashed) on {CORES} cores: how many times faster than "
            "on one",
            taken["one"] / taken["two"],
            1.6,
            "×",
        ),
    ]
