"""Data is named by its content, joined and selected without copies, and never half written."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from materializers import image_dataset
from materializers.errors import DamagedArtifact
from materializers.image_dataset import (
    THUMBNAIL,
    ImageDataset,
    ImageDatasetMaterializer,
    picture_digest,
    thumbnail_sheet,
)
from tests.materializers import saves_and_dies
from tests.materializers.examples import dataset, picture, png

PROJECT = Path(__file__).resolve().parents[2]
QUICK = settings(deadline=None, max_examples=40)
LABELS = st.sampled_from(["bags", "tops"])
DELIVERIES = st.lists(
    st.builds(
        picture,
        st.integers(0, 30),
        label=LABELS,
        group=st.none() | st.just("g"),
        extra=st.dictionaries(st.sampled_from(["price", "season"]), st.none() | st.sampled_from(["1", "ä"])),
    ),
    max_size=12,
)


def once_each(pictures: list[image_dataset.Picture]) -> list[image_dataset.Picture]:
    """The pictures without repetitions, so that no order is needed to say which label stands."""
    return list({each.data: each for each in pictures}.values())


def materializer_of(store: BaseArtifactStore, name: str = "dataset/1") -> ImageDatasetMaterializer:
    """A materializer that stores one version in a store."""
    return ImageDatasetMaterializer(f"{store.path}/{name}", store)


def shards_of(store: BaseArtifactStore) -> list[Path]:
    """The shard files of a store on disk."""
    return sorted((Path(store.path) / "datasets" / "shards").iterdir())


# --- The version ------------------------------------------------------------------------------------------


@QUICK
@given(pictures=DELIVERIES, data=st.data())
def test_the_version_does_not_depend_on_order(
    pictures: list[image_dataset.Picture], data: st.DataObject
) -> None:
    """The same pictures and labels in any order are the same version."""
    unique = once_each(pictures)
    shuffled = data.draw(st.permutations(unique))
    assert ImageDataset.from_pictures(shuffled).version == ImageDataset.from_pictures(unique).version


@QUICK
@given(pictures=DELIVERIES, cut=st.integers(0, 12))
def test_the_version_does_not_depend_on_how_pictures_were_delivered(
    pictures: list[image_dataset.Picture], cut: int
) -> None:
    """Two deliveries that are joined are the version of one delivery of both; the later label stands."""
    joined = ImageDataset.from_pictures(pictures[:cut]).join(ImageDataset.from_pictures(pictures[cut:]))
    whole = ImageDataset.from_pictures(pictures)
    assert joined.version == whole.version
    ids = list(whole.index["image_id"])
    assert joined.labels(ids) == whole.labels(ids)
    assert joined.pictures(ids) == whole.pictures(ids)


def test_the_version_does_not_depend_on_packing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One shard or ten, the same pictures are the same version and are found."""
    one = dataset(*range(10))
    monkeypatch.setattr(image_dataset, "SHARD_BYTES", 1)
    ten = dataset(*range(10))
    ids = list(one.index["image_id"])
    assert (len(one.shards), len(ten.shards)) == (1, 10)
    assert ten.version == one.version
    assert ten.pictures(ids) == one.pictures(ids)


def test_the_version_is_the_same_on_any_machine() -> None:
    """A version that was written down is the version that is computed."""
    fixed = [
        image_dataset.Picture(b"one", "tops", 8, 8, 1, "a/1", group="g", extra={"price": "9"}),
        image_dataset.Picture(b"two", "bags", 8, 8, 1, "a/2"),
    ]
    known = "ee5b8bed91cc9ec09ba75923c7adcc689bb462c55a0371584cf2784197d48fed"
    assert ImageDataset.from_pictures(fixed).version == known


@pytest.mark.parametrize(
    "other",
    [
        picture(1, label="bags"),
        picture(2),
        picture(1, group="g"),
        picture(1, captured_at="2026-11-21"),
        picture(1, extra={"price": "9"}),
    ],
    ids=["label", "picture", "group", "time", "a column of the delivery"],
)
def test_the_version_changes_with_what_a_row_says(other: image_dataset.Picture) -> None:
    """Whatever someone may learn from a row is part of the version."""
    assert ImageDataset.from_pictures([other]).version != dataset(1).version


@pytest.mark.parametrize("known", [{"source": "elsewhere/1.png"}, {"extra": {"price": None}}])
def test_the_version_does_not_change_with_where_a_row_came_from(known: dict[str, Any]) -> None:
    """Neither the path of a delivery nor a column without a value is part of the version."""
    assert ImageDataset.from_pictures([picture(1, **known)]).version == dataset(1).version


# --- Join and select --------------------------------------------------------------------------------------


@QUICK
@given(a=DELIVERIES, b=DELIVERIES, c=DELIVERIES)
def test_joining_does_not_depend_on_which_two_are_joined_first(
    a: list[image_dataset.Picture], b: list[image_dataset.Picture], c: list[image_dataset.Picture]
) -> None:
    """Three deliveries in their order give one version, and joining one twice changes nothing."""
    first, second, third = (ImageDataset.from_pictures(each) for each in (a, b, c))
    left, right = first.join(second).join(third), first.join(second.join(third))
    assert left.version == right.version
    assert left.join(third).version == left.version


@QUICK
@given(pictures=DELIVERIES, data=st.data())
def test_selected_pictures_are_those_asked_for(
    pictures: list[image_dataset.Picture], data: st.DataObject
) -> None:
    """A selection has exactly the known ids, with their labels and bytes, and joins back to the whole."""
    whole = ImageDataset.from_pictures(pictures)
    ids = list(whole.index["image_id"])
    some = data.draw(st.lists(st.sampled_from(ids), unique=True) if ids else st.just([]))
    part = whole.select([*some, "unknown"])
    assert sorted(part.index["image_id"]) == sorted(some)
    assert part.pictures(some) == whole.pictures(some)
    assert part.labels(some) == whole.labels(some)
    assert set(part.shards) == set(part.index["shard"])
    assert part.join(whole).version == whole.version


def test_a_later_delivery_relabels_and_brings_no_second_copy() -> None:
    """The later label stands, and the shard whose pictures nobody names any more is let go."""
    first, later = dataset(1, 2), dataset(1, 2, 3, label="bags")
    joined = first.join(later)
    assert joined.labels([picture_digest(png(1))]) == ["bags"]
    assert len(joined) == 3
    assert set(joined.shards) == set(later.shards)


def test_an_unknown_picture_is_a_key_error() -> None:
    """Who asks for a picture that is not there hears so."""
    with pytest.raises(KeyError, match="unknown"):
        dataset(1).pictures(["unknown"])


def test_pictures_come_in_the_order_asked() -> None:
    """Random access by id: bytes as they were delivered, never re-encoded."""
    numbers = [3, 1, 2, 1]
    assert dataset(1, 2, 3).pictures([picture_digest(png(number)) for number in numbers]) == [
        png(number) for number in numbers
    ]


# --- Stored -----------------------------------------------------------------------------------------------


def test_a_stored_version_reads_back_as_it_was(store: BaseArtifactStore) -> None:
    """Rows, version and the bytes of every picture, from disk and from a bucket."""
    before = ImageDataset.from_pictures(
        picture(number, group="g" if number else None, extra={"price": str(number)}) for number in range(5)
    )
    materializer = materializer_of(store)
    materializer.save(before)
    after = materializer.load(ImageDataset)
    pd.testing.assert_frame_equal(after.index, before.index)
    ids = list(before.index["image_id"])
    assert after.version == before.version
    assert after.pictures(ids) == before.pictures(ids)


def test_an_empty_version_reads_back(store: BaseArtifactStore) -> None:
    """A delivery of which nothing can be used is stored too: its report says why."""
    materializer = materializer_of(store)
    materializer.save(dataset())
    after = materializer.load(ImageDataset)
    assert (len(after), after.version, after.pictures([])) == (0, dataset().version, [])


def test_a_second_delivery_writes_its_own_pictures_alone(disk: LocalArtifactStore) -> None:
    """Shards are shared: the joined version brings one new shard, and the old one is untouched."""
    materializer_of(disk).save(dataset(*range(20)))
    (first,) = shards_of(disk)
    written = first.stat().st_mtime_ns
    parent = materializer_of(disk).load(ImageDataset)
    joined = parent.join(dataset(50))
    materializer_of(disk, "dataset/2").save(joined)
    assert len(shards_of(disk)) == 2
    assert first.stat().st_mtime_ns == written
    assert len(materializer_of(disk, "dataset/2").load(ImageDataset)) == 21


def test_labels_are_read_without_a_picture(disk: LocalArtifactStore) -> None:
    """With its shard gone a version still loads and gives its labels; only a picture is missed."""
    materializer_of(disk).save(dataset(1, 2))
    shards_of(disk)[0].unlink()
    loaded = materializer_of(disk).load(ImageDataset)
    ids = list(loaded.index["image_id"])
    assert loaded.labels(ids) == ["tops", "tops"]
    with pytest.raises(DamagedArtifact, match=r"Shard .*\.arrow cannot be read .*python run.py --train"):
        loaded.pictures(ids)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def swap_two_pictures(path: Path) -> None:
    """Let each of two rows point at the other's picture, which no digest of rows would show."""
    frame = pd.read_parquet(path)
    frame["row"] = frame["row"].to_numpy()[::-1]
    frame.to_parquet(path, index=False)


def edit(**fields: object) -> Callable[[Path], None]:
    """Change keys of the manifest."""

    def change(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("index.parquet", flip, "index.parquet is damaged"),
        ("index.parquet", swap_two_pictures, "index.parquet is damaged"),
        ("index.parquet", Path.unlink, "index.parquet"),
        ("manifest.json", Path.unlink, "manifest.json"),
        ("manifest.json", lambda path: path.write_text("{"), "cannot be read"),
        ("manifest.json", lambda path: path.write_text("[]"), "cannot be read"),
        ("manifest.json", edit(format_version=2), "format_version"),
        ("manifest.json", edit(version="00" * 32), "its manifest says 000000000000: it was altered"),
        ("manifest.json", edit(surprise=1), "surprise"),
    ],
)
def test_a_damaged_version_is_named(
    name: str, damage: Callable[[Path], None], said: str, disk: LocalArtifactStore
) -> None:
    """A changed bit, a swapped row, a lost file: the error says which, and how to mend it."""
    materializer = materializer_of(disk)
    materializer.save(dataset(1, 2, 3))
    damage(Path(materializer.uri) / name)
    with pytest.raises(DamagedArtifact, match=re.escape(said)) as raised:
        materializer.load(ImageDataset)
    assert materializer.uri in str(raised.value)
    assert "python run.py --train --source PATH" in str(raised.value)


def test_a_damaged_shard_is_named_and_mended_by_its_delivery(disk: LocalArtifactStore) -> None:
    """One changed bit in a shard is found before a picture is used; the message's remedy works."""
    materializer = materializer_of(disk)
    materializer.save(dataset(1, 2, 3))
    (shard,) = shards_of(disk)
    flip(shard)
    ids = list(dataset(1).index["image_id"])
    with pytest.raises(DamagedArtifact, match=f"Shard {shard} is damaged: .* Remove it."):
        materializer.load(ImageDataset).pictures(ids)
    shard.unlink()
    materializer_of(disk, "dataset/2").save(dataset(1, 2, 3))
    assert materializer.load(ImageDataset).pictures(ids) == [png(1)]


def test_a_damaged_shard_in_a_bucket_is_named(bucket_store: BaseArtifactStore) -> None:
    """Bytes from a bucket are checked as bytes from a disk are."""
    materializer = materializer_of(bucket_store)
    materializer.save(dataset(1))
    loaded = materializer.load(ImageDataset)
    (shard,) = loaded.shards.values()
    with bucket_store.open(str(shard.uri), "wb") as file:
        file.write(b"something else")
    with pytest.raises(DamagedArtifact, match=f"Shard {shard.uri} is damaged"):
        loaded.pictures(list(loaded.index["image_id"]))


def test_a_killed_save_leaves_the_previous_version_and_can_be_repeated(disk: LocalArtifactStore) -> None:
    """Killed before any of its files took its name, a save leaves no version, and harms none."""
    materializer_of(disk, "earlier").save(dataset(*range(10)))
    done = subprocess.run(
        [sys.executable, saves_and_dies.__file__, disk.path],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    killed = int(done.stdout)
    assert killed == 3  # the shard, the index, the manifest
    for number in range(1, killed + 1):
        with pytest.raises(DamagedArtifact, match=r"manifest\.json"):
            materializer_of(disk, f"killed-{number}").load(ImageDataset)
        earlier = materializer_of(disk, "earlier").load(ImageDataset)
        assert earlier.pictures([picture_digest(png(3))]) == [png(3)]
        again = materializer_of(disk, f"killed-{number}")
        delivery = saves_and_dies.delivery(number)
        again.save(dataset(*delivery))
        ids = [picture_digest(png(each)) for each in delivery]
        assert again.load(ImageDataset).pictures(ids) == [png(each) for each in delivery]


# --- Shown ------------------------------------------------------------------------------------------------


def test_metadata_and_cache_key_name_the_version(disk: LocalArtifactStore) -> None:
    """The dashboard shows digest and counts; ZenML's cache goes by the version."""
    both = dataset(1, 2).join(dataset(3, label="bags"))
    assert materializer_of(disk).extract_metadata(both) == {
        "digest": both.version,
        "pictures": 3,
        "per_class": {"bags": 1, "tops": 2},
        "shards": 2,
    }
    assert materializer_of(disk).compute_content_hash(both) == both.version


def test_the_thumbnail_sheet_has_a_row_a_class(disk: LocalArtifactStore) -> None:
    """Rows in the order of class names, at most twelve pictures each, in their colours."""
    white = picture(0xFFFFFF, label="bags")
    sheet = ImageDataset.from_pictures([white]).join(dataset(*(255 for _ in range(3)), label="tops"))
    (uri,) = materializer_of(disk).save_visualizations(sheet)
    with Image.open(io.BytesIO(Path(uri).read_bytes())) as image:
        assert image.size == (12 * THUMBNAIL, 2 * THUMBNAIL)
        middle = THUMBNAIL // 2
        assert image.getpixel((middle, middle)) == (255, 255, 255)
        assert image.getpixel((middle, THUMBNAIL + middle)) == (255, 0, 0)
    assert thumbnail_sheet(dataset())[1:4] == b"PNG"
