"""What the dataset's benchmark measures on is what it says, and its cheap claims are made for real."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.dataset import content
from benchmarks.dataset.generated import SIDE, TEXTURES, jpeg
from benchmarks.dataset.scale import brute_force, hashes
from benchmarks.dataset.timing import medians, peak_memory_mb


def test_generated_pictures_are_unique_valid_and_of_16_kb() -> None:
    """Also those that share a texture decode to other pixels."""
    numbers = [*range(TEXTURES), *range(0, 40 * TEXTURES, TEXTURES)]
    encoded = {number: jpeg(number) for number in numbers}
    images = {number: Image.open(io.BytesIO(data)) for number, data in encoded.items()}
    assert {image.size for image in images.values()} == {(SIDE, SIDE)}
    assert len(set(encoded.values())) == len(encoded)
    assert len({image.tobytes() for image in images.values()}) == len(encoded)
    mean = sum(len(jpeg(number)) for number in range(TEXTURES)) / TEXTURES
    assert 15_000 <= mean <= 17_500


def test_planted_metadata_is_there_before_it_is_cut_and_none_is_stored(tmp_path: Path) -> None:
    """The pictures have positions, serial numbers and thumbnails; the claims say that the store has none."""
    data, looked_for = content.planted(7)
    assert all(trace in data for trace in looked_for.values())
    claims = content.measure(tmp_path)
    assert len(claims) == 5
    assert all(claim.holds and claim.ours == 0 for claim in claims)


def test_brute_force_finds_the_near_pairs_and_no_others() -> None:
    """It is what the fast way is compared with."""
    drawn = np.array([0b0, 0b1111, 0b11111, 2**63], dtype=np.uint64)
    assert brute_force(drawn, 4) == {(0, 1), (1, 2), (0, 3)}
    assert len(brute_force(hashes(500), 4)) > 0


def test_medians_leave_the_first_round_out() -> None:
    """The first call of each way warms up."""
    calls: list[str] = []
    taken = medians({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert calls == ["a", "b"] * 4
    assert taken.keys() == {"a", "b"}
    assert peak_memory_mb() > 1
