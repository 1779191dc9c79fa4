"""Tests of steps/data/near_duplicates.py: pairs are those of brute force, and clusters are no chains."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from serving.preprocess import UPRIGHT
from steps.data import near_duplicates
from steps.data.near_duplicates import clusters, compared_thumbnail, confirm, find_clusters, propose_pairs
from steps.data.picture_measures import measure
from tests.steps.data.scenes import copies, cropped, jpeg, scene

ROOT = Path(__file__).resolve().parents[3]
CLOTHING = ROOT.parent / "shared/data/clothing"

Hashes = NDArray[np.uint64]


def brute_force(hashes: Hashes, max_distance: int) -> NDArray[np.int64]:
    """Compare each hash with each other one."""
    found = [np.empty((0, 2), dtype=np.int64)]
    for one in range(len(hashes)):
        near = np.flatnonzero(np.bitwise_count(hashes[one] ^ hashes[one + 1 :]) <= max_distance)
        found.append(np.stack([np.full(len(near), one), near + one + 1], axis=1))
    return np.concatenate(found)


def flipped(rng: np.random.Generator, hashes: Hashes, bits: int) -> Hashes:
    """Flip up to so many bits of each."""
    for _ in range(bits):
        hashes = hashes ^ (np.uint64(1) << rng.integers(0, 64, len(hashes)).astype(np.uint64))
    return hashes


def clustered(seed: int, n: int) -> Hashes:
    """Random hashes, some near each other, some the same many times, in any order."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 2**64, n // 5, dtype=np.uint64)
    near = [flipped(rng, base, bits) for bits in (1, 3, 5)]
    same = np.concatenate([np.full(n // 10, base[0]), np.repeat(base[1 : 1 + n // 20], 2)])
    return rng.permutation(np.concatenate([base, *near, same]))[:n]


@pytest.mark.parametrize("max_distance", [0, 1, 4, 6])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_pairs_are_those_of_brute_force(seed: int, max_distance: int) -> None:
    """5,000 hashes, with 500 equal ones among them: every pair, once, sorted."""
    hashes = clustered(seed, 5000)
    assert len(hashes) == 5000
    assert np.array_equal(propose_pairs(hashes, max_distance), brute_force(hashes, max_distance))


def test_hashes_that_agree_in_most_bits_are_told_apart_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket too large for its band is split by the bands of its other bits; the pairs stay the same."""
    rng = np.random.default_rng(2)
    hashes = rng.integers(0, 2**20, 3000, dtype=np.uint64) << np.uint64(30)
    expected = brute_force(hashes, 4)
    assert len(expected) > 100
    for bucket in (1, 50, 10**9):
        monkeypatch.setattr(near_duplicates, "LARGE_BUCKET", bucket)
        assert np.array_equal(propose_pairs(hashes, 4), expected)


@pytest.mark.parametrize("hashes", [[], [7], [255, 2**63]])
def test_few_hashes_have_no_pairs(hashes: list[int]) -> None:
    """None, one, and two that are far apart."""
    assert propose_pairs(np.array(hashes, dtype=np.uint64)).shape == (0, 2)


def test_the_highest_bit_counts_like_any_other() -> None:
    """Hashes are unsigned."""
    assert propose_pairs(np.array([0, 2**63], dtype=np.uint64)).tolist() == [[0, 1]]


def test_too_many_equal_hashes_are_paired_as_a_star(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest group gives way first; smaller ones are paired in full."""
    monkeypatch.setattr(near_duplicates, "MAX_PAIRS", 30)
    hashes = np.array([9] * 20 + [2**40 - 1] * 3 + [8], dtype=np.uint64)  # 8 is near 9
    pairs = propose_pairs(hashes)
    star = [[0, other] for other in range(1, 20)]
    assert pairs.tolist() == [*star, [0, 23], [20, 21], [20, 22], [21, 22]]


def test_100_000_hashes_take_under_60_seconds_and_1_gb() -> None:
    """One core; 40,000 of them are equal, and half of the rest is near another one."""
    script = """
import numpy as np, time
from benchmarks.dataset.timing import peak_memory_mb
from steps.data.near_duplicates import propose_pairs
rng = np.random.default_rng(0)
base = rng.integers(0, 2**64, 30_000, dtype=np.uint64)
near = base ^ (np.uint64(1) << rng.integers(0, 64, len(base)).astype(np.uint64))
hashes = rng.permutation(np.concatenate([base, near, np.full(40_000, base[0])]))
begun = time.process_time()
pairs = propose_pairs(hashes)
print(len(pairs), time.process_time() - begun, peak_memory_mb())
"""
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment
    )
    pairs, seconds, megabytes = (float(value) for value in ran.stdout.split())
    assert pairs >= 30_000 + 40_000 - 1
    assert seconds < 60
    assert megabytes < 1000


def of(pictures: list[Image.Image]) -> Callable[[int], NDArray[np.uint8]]:
    """The thumbnails of these pictures."""
    return lambda position: compared_thumbnail(jpeg(pictures[position]))


def test_the_thumbnails_decide() -> None:
    """A copy is confirmed, another product is not, whatever the hashes said."""
    image = scene(0)
    brighter = image.point(lambda level: min(255, round(level * 1.2)))
    pictures = [image, cropped(image, 0.01), brighter, scene(1)]
    pairs = np.array([[0, 1], [0, 2], [0, 3], [1, 3]])
    assert confirm(pairs, of(pictures)).tolist() == [[0, 1], [0, 2]]
    assert confirm(pairs, of(pictures), max_difference=255).tolist() == pairs.tolist()
    assert confirm(pairs[:0], of([])).tolist() == []


def test_the_same_product_in_another_colour_is_another_product() -> None:
    """The brightness is evened out, the colour is not."""
    image = scene(2)
    red, green, blue = image.split()
    recoloured = Image.merge("RGB", (blue, red, green))
    assert len(confirm(np.array([[0, 1]]), of([image, recoloured]))) == 0


def test_each_thumbnail_is_asked_for_once() -> None:
    """A picture with a hundred neighbours is decoded once."""
    asked: list[int] = []

    def thumbnail_of(position: int) -> NDArray[np.uint8]:
        asked.append(position)
        return np.full((32, 32, 3), 100, dtype=np.uint8)

    pairs = np.stack(np.triu_indices(60, 1), axis=1)
    assert len(confirm(pairs, thumbnail_of)) == len(pairs)
    assert sorted(asked) == list(range(60))


def test_a_chain_of_slightly_changing_pictures_is_not_one_cluster() -> None:
    """57 pictures, each confirmed against the next two: nobody is with a picture it was not compared with."""
    pairs = np.array([[one, one + step] for one in range(57) for step in (1, 2) if one + step < 57])
    labels = clusters(57, pairs)
    confirmed = {tuple(pair) for pair in pairs.tolist()}
    for picture, representative in enumerate(labels):
        low, high = sorted((picture, int(representative)))
        assert low == high or (low, high) in confirmed
    assert np.bincount(labels).max() == 5


def test_a_chain_of_real_pictures_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """57 pictures between two products: the ends are in different clusters, and every member is confirmed."""
    first, last = scene(3), scene(4)
    pictures = {f"{step:02}": jpeg(Image.blend(first, last, step / 56)) for step in range(57)}
    index = indexed(pictures)
    index["cluster"] = find_clusters(index, loading(pictures))
    assert index["cluster"].nunique() > 3
    named = index.set_index("image_id")["cluster"]
    assert named["00"] != named["56"]
    positions = {name: position for position, name in enumerate(index["image_id"])}
    links = [
        sorted((positions[one], positions[other])) for one, other in named.dropna().items() if one != other
    ]
    thumbnails = [compared_thumbnail(pictures[name]) for name in index["image_id"]]
    assert len(confirm(np.array(links), thumbnails.__getitem__)) == len(links) > 20


def test_a_representative_gathers_what_is_not_alike_among_itself() -> None:
    """An original with three copies, each like the original alone, is one cluster."""
    assert clusters(5, np.array([[0, 2], [1, 2], [2, 4]])).tolist() == [2, 2, 2, 3, 2]


def test_clusters_found_before_stay() -> None:
    """A new picture joins the representative that it was confirmed against, and moves nobody."""
    before = np.array([1, 1, -1, 3, 3, -1, -1])
    pairs = np.array([[1, 2], [0, 5], [2, 3], [5, 6]])
    assert clusters(7, pairs, before).tolist() == [1, 1, 1, 3, 3, 5, 5]


def indexed(pictures: dict[str, bytes], orientation: int = 1) -> pd.DataFrame:
    """An index as ingest makes it."""
    rows = []
    for name, data in pictures.items():
        with Image.open(io.BytesIO(data)) as image:
            phash = measure(image.convert("RGB"), orientation).phash
        rows.append({"image_id": name, "phash": phash, "orientation": orientation})
    return pd.DataFrame(rows)


def loading(pictures: dict[str, bytes], asked: list[str] | None = None) -> Callable[[list[str]], list[bytes]]:
    """Load by name, and note what was asked for."""

    def load(names: list[str]) -> list[bytes]:
        if asked is not None:
            asked.extend(names)
        return [pictures[name] for name in names]

    return load


def test_copies_are_found_and_products_are_kept_apart() -> None:
    """40 products with seven copies each are 40 clusters; a product alone has none."""
    pictures = {f"{n}": jpeg(scene(n)) for n in range(60)}
    for number in range(40):
        pictures |= {f"{number} {name}": data for name, data in copies(scene(number)).items()}
    index = indexed(pictures)
    found = find_clusters(index, loading(pictures))
    product = index["image_id"].str.split(" ").str[0]
    assert found[product.astype(int) >= 40].isna().all()
    same = found.fillna("-") == product.map(dict(zip(index["image_id"], found, strict=True))).fillna("+")
    copied = index["image_id"].str.contains(" ")
    assert same[copied].mean() >= 0.95
    assert product.groupby(found).nunique().max() == 1


def test_a_turned_copy_is_found() -> None:
    """One is stored on its side with its orientation beside it."""
    image = scene(5)
    turned = {"turned": jpeg(image.transpose(UPRIGHT[8]))}
    pictures = {"upright": jpeg(image), **turned}
    index = pd.concat([indexed({"upright": jpeg(image)}), indexed(turned, orientation=6)], ignore_index=True)
    assert find_clusters(index, loading(pictures)).tolist() == ["upright", "upright"]


def test_small_and_flat_pictures_are_alone() -> None:
    """They have no hash: only equal bytes are the same picture, and those are one row."""
    pictures = {"a": jpeg(scene(6, size=(28, 28))), "b": jpeg(scene(6, size=(29, 29)))}
    asked: list[str] = []
    assert find_clusters(indexed(pictures), loading(pictures, asked)).isna().all()
    assert asked == []


def test_a_delivery_costs_what_is_new_in_it() -> None:
    """Old pictures keep their clusters, are not loaded for each other's sake, and take new copies in."""
    old = {f"{n}": jpeg(scene(n)) for n in range(10)} | {"0 copy": jpeg(cropped(scene(0), 0.01))}
    before = indexed(old)
    before["cluster"] = find_clusters(before, loading(old))
    new = {"1 copy": jpeg(scene(1), 40), "0 late": jpeg(scene(0), 40), "new": jpeg(scene(99))}
    index = pd.concat([before, indexed(new)], ignore_index=True)
    asked: list[str] = []
    after = find_clusters(index, loading(old | new, asked), known=set(old))
    named = dict(zip(index["image_id"], after, strict=True))
    assert named["0"] == named["0 copy"] == named["0 late"] == before["cluster"].iloc[0]
    assert named["1"] == named["1 copy"]
    assert pd.isna(named["new"])
    assert set(asked) == {"0", "0 copy", "0 late", "1", "1 copy"}
    asked.clear()
    index["cluster"] = after
    again = find_clusters(index, loading(old | new, asked), known=set(old | new))
    assert again.equals(after)
    assert asked == []


def test_a_cluster_without_its_representative_is_found_anew() -> None:
    """A withdrawn picture represents nobody."""
    pictures = {f"{n}": jpeg(scene(0), 60 + n) for n in range(4)}
    index = indexed(pictures)
    index["cluster"] = find_clusters(index, loading(pictures))
    [representative] = index["cluster"].unique()
    left = index[index["image_id"] != representative]
    found = find_clusters(left, loading(pictures))
    assert found.nunique() == 1
    assert representative not in set(found)
    assert found.index.equals(left.index)


@pytest.mark.shared_data
@pytest.mark.skipif(not CLOTHING.exists(), reason=f"there is no {CLOTHING}")
def test_photographs_of_clothing() -> None:
    """The one pair of 3,781 that is the same photograph is found; of copies of 100, ≥ 95 % of each kind."""
    pictures = {path.name: path.read_bytes() for path in sorted((CLOTHING / "images").iterdir())}
    index = indexed(pictures)
    found = find_clusters(index, loading(pictures))
    assert set(index["image_id"][found.notna()]) == {"10fe7620d088.jpg", "13506df81cd3.jpg"}
    copied: dict[str, bytes] = {}
    for name in list(pictures)[::38]:
        with Image.open(io.BytesIO(pictures[name])) as image:
            copied |= {f"{name} {kind}": data for kind, data in copies(image.convert("RGB")).items()}
    both = pd.concat([index, indexed(copied)], ignore_index=True)
    both["cluster"] = find_clusters(both, loading(pictures | copied))
    of_original = both.set_index("image_id")["cluster"]
    made = both[both["image_id"].isin(copied.keys())]
    original, kind = made["image_id"].str.split(" ", n=1).str[0], made["image_id"].str.split(" ", n=1).str[1]
    together = made["cluster"].fillna("-").to_numpy() == of_original[original].fillna("+").to_numpy()
    assert pd.Series(together).groupby(kind.to_numpy()).mean().min() >= 0.95
