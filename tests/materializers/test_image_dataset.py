"""Data is named by its content, joined and selected without copies, and never half written."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from materializers import image_dataset, image_manifest, shards
from materializers.blobs import list_folder, write_blob
from materializers.errors import DamagedArtifact
from materializers.image_dataset import (
    THUMBNAIL,
    Difference,
    ImageDataset,
    ImageDatasetMaterializer,
    picture_digest,
    thumbnail,
    thumbnail_sheet,
)
from materializers.image_index import PLACE_COLUMNS
from materializers.shards import SHARDS_FOLDER
from tests.materializers.examples import dataset, picture, png
from tests.materializers.stores import disk_store

FORMAT_1 = Path(__file__).parent / "data" / "format_1"
"""What commit 26652d5 stored: five pictures of two deliveries, with a column of the name ``format``."""
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
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)
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
    known = "d8872e25af501af50fe553afdb5b0abd1218f7a7579ba6bcec96ccb2e6e8cd35"
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


@QUICK
@given(pictures=DELIVERIES, data=st.data())
def test_without_removes_exactly_the_withdrawn(
    pictures: list[image_dataset.Picture], data: st.DataObject
) -> None:
    """What is left and what was withdrawn are the two halves of the whole."""
    whole = ImageDataset.from_pictures(pictures)
    ids = list(whole.index["image_id"])
    gone = data.draw(st.lists(st.sampled_from(ids), unique=True) if ids else st.just([]))
    rest = whole.without([*gone, "unknown"])
    assert set(rest.index["image_id"]) == set(ids) - set(gone)
    assert rest.version == whole.select(rest.index["image_id"]).version
    assert rest.join(whole.select(gone)).version == whole.version
    assert set(rest.shards) == set(rest.index["shard"])


def applied(before: ImageDataset, difference: Difference) -> ImageDataset:
    """The version that a difference leads to, made from what the difference says alone."""
    index = before.without(difference.withdrawn["image_id"]).index
    rows = pd.concat([index, difference.added]).set_index("image_id")
    for image_id, label in difference.relabelled[["image_id", "new_label"]].itertuples(index=False):
        rows.loc[image_id, "label"] = label
    for image_id, column, new in difference.changed[["image_id", "column", "new"]].itertuples(index=False):
        rows.loc[image_id, column] = new
    return ImageDataset(rows.reset_index(), {digest: before for digest in set(rows["shard"])})  # type: ignore[misc]


@QUICK
@given(a=DELIVERIES, b=DELIVERIES)
def test_a_difference_leads_from_one_version_to_the_other(
    a: list[image_dataset.Picture], b: list[image_dataset.Picture]
) -> None:
    """Whatever two versions are, the difference says all that one has to change to become the other."""
    before, after = ImageDataset.from_pictures(a), ImageDataset.from_pictures(b)
    difference = before.diff(after)
    assert applied(before, difference).version == after.version
    assert bool(difference) == (before.version != after.version)
    back = after.diff(before)
    assert set(back.added["image_id"]) == set(difference.withdrawn["image_id"])
    assert len(back.relabelled) == len(difference.relabelled)


def test_a_difference_names_what_changed() -> None:
    """Added, withdrawn and relabelled pictures, and other columns with their old and new values."""
    before = ImageDataset.from_pictures([picture(1, group="g"), picture(2), picture(3)])
    after = ImageDataset.from_pictures([picture(1, extra={"price": "9"}), picture(2, "bags"), picture(4)])
    difference = before.diff(after)
    one, two, three, four = (picture_digest(png(number)) for number in range(1, 5))
    assert difference.added["image_id"].tolist() == [four]
    assert difference.withdrawn["image_id"].tolist() == [three]
    assert difference.relabelled.to_dict("records") == [
        {"image_id": two, "old_label": "tops", "new_label": "bags"}
    ]
    assert difference.changed.fillna("none").to_dict("records") == [
        {"image_id": one, "column": "group", "old": "g", "new": "none"},
        {"image_id": one, "column": "price", "old": "none", "new": "9"},
    ]


# --- What rows say ----------------------------------------------------------------------------------------


def test_a_correction_changes_what_it_names_alone() -> None:
    """A label and a new column are corrected by picture; a missing value leaves what the row said."""
    before = ImageDataset.from_pictures(picture(number, group="g") for number in range(3))
    one, two, three = before.index["image_id"].tolist()
    corrections = pd.DataFrame(
        {"image_id": [one, two, one], "label": ["bags", None, None], "season": [None, "winter", "summer"]}
    )
    after = before.amend(corrections)
    assert after.index["label"].tolist() == ["bags", "tops", "tops"]
    assert after.index["season"].fillna("none").tolist() == ["summer", "winter", "none"]
    assert after.index["group"].tolist() == ["g"] * 3
    assert after.pictures([three]) == before.pictures([three])
    assert after.version == ImageDataset(after.index.drop(columns="row_digest"), after.shards).version
    assert before.amend(corrections[["image_id"]]).version == before.version


@pytest.mark.parametrize("name", ["width", "source", "brightness"])
def test_what_follows_from_a_picture_cannot_be_corrected(name: str) -> None:
    """A delivery may say what a picture shows, not how large it is or where it lies."""
    one = dataset(1)
    with pytest.raises(ValueError, match=name):
        one.amend(pd.DataFrame({"image_id": one.index["image_id"], name: ["7"]}))


def test_a_correction_of_an_unknown_picture_is_named() -> None:
    """Who corrects a picture that is not there hears so."""
    with pytest.raises(KeyError, match="unknown"):
        dataset(1).amend(pd.DataFrame({"image_id": ["unknown"], "label": ["bags"]}))


def test_classes_are_renamed_and_merged() -> None:
    """Two classes that get one name become one; the version is that of pictures delivered so."""
    both = dataset(1, label="tops").join(dataset(2, label="shirts")).join(dataset(3, label="bags"))
    renamed = both.rename_labels({"tops": "clothing", "shirts": "clothing", "unknown": "none"})
    delivered = dataset(1, 2, label="clothing").join(dataset(3, label="bags"))
    assert renamed.version == delivered.version


def test_measures_are_set_without_a_new_version() -> None:
    """What is computed from pictures is carried along, also as a missing value, in the type of its column."""
    before = ImageDataset.from_pictures(
        [picture(1, measures={"brightness": 7.5, "phash": "ab" * 8}), picture(2)]
    )
    ids = before.index["image_id"].tolist()
    assert sorted(before.index["brightness"].fillna(0)) == [0, 7.5]
    after = before.with_measures(pd.DataFrame({"image_id": ids, "brightness": [None, 3], "faces": [2, None]}))
    assert after.version == before.version
    assert after.index["brightness"].isna().tolist() == [True, False]
    assert after.index["faces"].tolist() == [2, pd.NA]
    assert after.index.dtypes.astype(str)[["brightness", "faces", "phash"]].tolist() == [
        "float64",
        "Int64",
        "string",
    ]
    with pytest.raises(ValueError, match="price is no measure"):
        before.with_measures(pd.DataFrame({"image_id": ids, "price": [1, 2]}))
    with pytest.raises(ValueError, match="price is no measure"):
        ImageDataset.from_pictures([picture(1, measures={"price": 1})])


def test_no_two_rows_are_written_alike() -> None:
    """Where a value ends and which column it is of is part of what a row says."""
    said = [{"a": "1", "b": "2"}, {"a": "12"}, {"a": "1", "b": "2 "}, {"b": "1", "a": "2"}, {"a": "11:b1:2"}]
    versions = {ImageDataset.from_pictures([picture(1, extra=dict(each))]).version for each in said}
    assert len(versions) == len(said)


def test_orientations_come_in_the_order_asked() -> None:
    """A decoder gets the orientation of each picture from the index."""
    turned = ImageDataset.from_pictures(picture(number, orientation=number) for number in range(1, 9))
    ids = [picture_digest(png(number)) for number in (8, 1, 3)]
    assert turned.orientations(ids) == [8, 1, 3]


# --- Erased -----------------------------------------------------------------------------------------------


def test_a_forgotten_picture_leaves_the_version_as_it_was(store: BaseArtifactStore) -> None:
    """Its row is a tombstone, its bytes are in no shard any more, and neither comes back by a delivery."""
    before = dataset(*range(4))
    materializer = materializer_of(store)
    materializer.save(before)
    loaded = materializer.load(ImageDataset)
    gone, *kept = before.index["image_id"].tolist()
    after = loaded.forget([gone])
    materializer.rewrite(after)
    again = materializer.load(ImageDataset)
    assert again.version == before.version
    assert again.tombstones["image_id"].tolist() == [gone]
    assert again.pictures(kept) == before.pictures(kept)
    erased = before.pictures([gone])[0]
    assert all(erased not in shard.whole() for shard in again.shards.values())
    assert gone not in set(again.join(before).index["image_id"])
    assert gone not in set(before.join(again).index["image_id"])
    assert again.join(dataset(9)).select(kept).tombstones["image_id"].tolist() == [gone]
    assert before.diff(again).forgotten["image_id"].tolist() == [gone]
    assert not len(before.diff(again).withdrawn)


def test_versions_that_share_a_shard_share_the_one_without_the_picture() -> None:
    """A shard is written anew with all its other pictures, whichever of them a version names."""
    whole = dataset(*range(5))
    gone, *kept = whole.index["image_id"].tolist()
    part = whole.without([gone, kept[0]])
    (old,) = whole.shards
    assert set(part.forget([gone], holding=[old]).shards) == set(whole.forget([gone]).shards)
    assert part.forget([gone], holding=[old]).version == part.version
    assert len(part.forget([gone], holding=[old]).tombstones) == 0
    assert set(part.forget([gone]).shards) == {old}
    everything = whole.forget(whole.index["image_id"])
    assert (len(everything), dict(everything.shards), everything.version) == (0, {}, whole.version)


@QUICK
@given(a=DELIVERIES, b=DELIVERIES, c=DELIVERIES, data=st.data())
def test_tombstones_are_joined_like_rows(
    a: list[image_dataset.Picture],
    b: list[image_dataset.Picture],
    c: list[image_dataset.Picture],
    data: st.DataObject,
) -> None:
    """Erasing keeps the version; joining erased versions depends on no brackets and brings nothing back."""
    parts = []
    for each in (a, b, c):
        whole = ImageDataset.from_pictures(each)
        ids = list(whole.index["image_id"])
        gone = data.draw(st.lists(st.sampled_from(ids), unique=True) if ids else st.just([]))
        parts.append(whole.forget(gone))
        assert parts[-1].version == whole.version
    first, second, third = parts
    left, right = first.join(second).join(third), first.join(second.join(third))
    assert left.version == right.version
    assert left.join(left).version == left.version
    assert not set(left.index["image_id"]) & {i for part in parts for i in part.tombstones["image_id"]}


# --- Packed anew ------------------------------------------------------------------------------------------


def test_small_shards_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards that are less than half full are packed together, the others are left; the version stays."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 12 * len(png(0)))
    many = dataset(*range(10))
    for number in range(10, 14):
        many = many.join(dataset(number))
    ids = many.index["image_id"].tolist()
    compact = many.compacted()
    assert (len(many.shards), len(compact.shards)) == (5, 2)
    assert compact.version == many.version
    assert compact.pictures(ids) == many.pictures(ids)
    assert set(compact.compacted().shards) == set(compact.shards)
    assert len(many.compacted(list(many.shards)).shards) == 2


def test_many_pictures_wait_on_disk_until_nobody_holds_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the first full shard on, packed pictures lie in a temporary folder; it goes with the dataset."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    small = dataset(*range(5))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(shards, "SHARD_BYTES", 2 * len(png(0)))
    large = dataset(*range(5))
    assert len(list(tmp_path.glob("*/*.arrow"))) == len(large.shards) >= 3
    ids = small.index["image_id"].tolist()
    part = large.select(ids[:1])
    assert large.pictures(ids) == small.pictures(ids)
    del large
    assert part.pictures(ids[:1]) == small.pictures(ids[:1])
    del part
    assert list(tmp_path.iterdir()) == []


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


def test_a_delivery_that_repeats_all_writes_what_is_new_in_it(store: BaseArtifactStore) -> None:
    """What is stored stays where it lies; the version is that of the same content packed at once."""
    first, later = range(20), [picture(number, "bags", source=f"again/{number}.png") for number in range(23)]
    materializer_of(store).save(dataset(*first))
    parent = materializer_of(store).load(ImageDataset)
    before = list_folder(store, f"{store.path}/{SHARDS_FOLDER}")
    again = ImageDataset.from_pictures(later, stored=parent)
    materializer_of(store, "dataset/2").save(parent.join(again))
    after = list_folder(store, f"{store.path}/{SHARDS_FOLDER}")
    [(_, written)] = after.items() - before.items()
    assert before.items() < after.items()
    assert written == next(iter(ImageDataset.from_pictures(later[20:]).shards.values())).size
    whole = ImageDataset.from_pictures(later)
    stored = materializer_of(store, "dataset/2").load(ImageDataset)
    assert stored.version == again.version == whole.version
    assert dict(stored.scan()) == dict(whole.scan())
    assert set(stored.index["source"]) == {f"again/{number}.png" for number in range(23)}


@QUICK
@given(before=DELIVERIES, later=DELIVERIES)
def test_a_delivery_beside_what_is_stored_is_the_delivery(
    before: list[image_dataset.Picture], later: list[image_dataset.Picture]
) -> None:
    """Rows and pictures are those that it has alone; no picture that is stored is packed."""
    stored, alone = ImageDataset.from_pictures(before), ImageDataset.from_pictures(later)
    beside = ImageDataset.from_pictures(later, stored=stored)
    assert beside.version == alone.version
    assert dict(beside.scan()) == dict(alone.scan())
    said = [name for name in alone.index.columns if name not in PLACE_COLUMNS]
    pd.testing.assert_frame_equal(beside.index[said], alone.index[said])
    known = set(stored.index["image_id"])
    lies = beside.index.set_index("image_id")["shard"].to_dict()
    assert all((lies[image_id] in stored.shards) == (image_id in known) for image_id in lies)


def test_measures_stay_with_a_picture_that_comes_again_unless_it_is_turned() -> None:
    """Neither is it looked at again nor its cluster lost; what was never measured comes from the new row."""
    known = {"brightness": 1.0, "phash": "0f", "faces": 2, "cluster": "c"}
    stored = ImageDataset.from_pictures([picture(1, measures=known), picture(2, measures=known), picture(3)])
    seen = {"brightness": 7.0, "phash": "70", "saturation": 7.0}
    later = [picture(1, measures=seen), picture(2, orientation=6, measures=seen), picture(3, measures=seen)]
    index = ImageDataset.from_pictures(later, stored=stored).index.set_index("source")
    columns = ["orientation", "brightness", "saturation", "phash", "faces", "cluster"]
    rows = index[columns].astype(object).T.to_dict("list")
    found = {source: [None if pd.isna(value) else value for value in row] for source, row in rows.items()}
    assert found["shop/1.png"] == [1, 1.0, 7.0, "0f", 2, "c"]
    assert found["shop/2.png"] == [6, 7.0, 7.0, "70", None, None]
    assert found["shop/3.png"] == [1, 7.0, 7.0, "70", None, None]


def test_what_was_erased_from_what_is_stored_is_no_part_of_a_delivery_taken_alone() -> None:
    """Its version is that of its own content; joined, what was erased stays so."""
    stored = dataset(1, 2, 3).forget(dataset(1).index["image_id"])
    alone = ImageDataset.from_pictures([picture(2), picture(4)], stored=stored)
    assert alone.version == dataset(2, 4).version
    assert stored.join(alone).version == dataset(1, 2, 3).join(dataset(2, 4)).version


def test_labels_are_read_without_a_picture(disk: LocalArtifactStore) -> None:
    """With its shard gone a version still loads and gives its labels; only a picture is missed."""
    materializer_of(disk).save(dataset(1, 2))
    shards_of(disk)[0].unlink()
    loaded = materializer_of(disk).load(ImageDataset)
    ids = list(loaded.index["image_id"])
    assert loaded.labels(ids) == ["tops", "tops"]
    with pytest.raises(DamagedArtifact, match=r"Shard .*\.arrow cannot be read .*python run.py --train"):
        loaded.pictures(ids)


@pytest.fixture
def format_1(tmp_path: Path) -> LocalArtifactStore:
    """A store with a dataset that an earlier version of this project stored."""
    return disk_store(Path(shutil.copytree(FORMAT_1, tmp_path / "format_1")))


def test_format_1_is_read(format_1: LocalArtifactStore) -> None:
    """What was stored before is read as it was."""
    before = ImageDataset.from_pictures(
        picture(
            number,
            group="g" if number else None,
            captured_at="2026-11-21" if number == 2 else None,
            extra={"price": str(number), "format": "large"},
        )
        for number in range(4)
    ).join(ImageDataset.from_pictures([picture(7, label="bags", orientation=6)]))
    after = materializer_of(format_1).load(ImageDataset)
    ids = before.index["image_id"].tolist()
    assert after.version == before.version
    assert after.pictures(ids) == before.pictures(ids)
    assert dict(after.scan()) == dict(before.scan())
    assert after.orientations(ids) == before.orientations(ids)


def test_format_1_is_rewritten_as_format_2(format_1: LocalArtifactStore) -> None:
    """Packed anew or with a picture erased, it is stored as what is written today."""
    materializer = materializer_of(format_1)
    before = materializer.load(ImageDataset)
    gone, *kept = before.index["image_id"].tolist()
    materializer.rewrite(before.forget([gone]).compacted())
    after = materializer.load(ImageDataset)
    assert json.loads((Path(materializer.uri) / "manifest.json").read_text())["format_version"] == 2
    assert after.version == before.version
    assert after.pictures(kept) == before.pictures(kept)
    assert (after.index["shard_offset"] > 0).all()
    assert not (Path(materializer.uri) / "index.parquet").exists()


def test_an_altered_format_1_is_named(format_1: LocalArtifactStore) -> None:
    """Its version is computed by its own rule."""
    materializer = materializer_of(format_1)
    edit(version="00" * 32)(Path(materializer.uri) / "manifest.json")
    with pytest.raises(DamagedArtifact, match="its manifest says 000000000000: it was altered"):
        materializer.load(ImageDataset)


def test_a_version_is_rewritten_in_place(disk: LocalArtifactStore) -> None:
    """The same rows with other measures take the place of the stored ones; another version is refused."""
    materializer = materializer_of(disk)
    materializer.save(dataset(1, 2))
    before = materializer.load(ImageDataset)
    clusters = before.index[["image_id"]].assign(cluster=before.index["image_id"].min())
    materializer.rewrite(before.with_measures(clusters))
    after = materializer.load(ImageDataset)
    assert after.index["cluster"].notna().all()
    assert len(list(Path(materializer.uri).glob("index-*.parquet"))) == 1
    materializer.rewrite(after)
    assert materializer.load(ImageDataset).version == before.version
    with pytest.raises(ValueError, match="cannot take its place"):
        materializer.rewrite(dataset(1))


def test_a_reader_survives_a_rewrite(disk: LocalArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who read the manifest before it was replaced reads the new one when the old index is gone."""
    materializer = materializer_of(disk)
    materializer.save(dataset(1, 2))
    read = image_manifest.read_manifest
    before = materializer.load(ImageDataset)
    calls: list[str] = []

    def read_and_be_late(store: BaseArtifactStore, uri: str) -> image_manifest.Manifest:
        found = read(store, uri)
        if not calls:
            calls.append(uri)
            later = before.index[["image_id"]].assign(brightness=1.0)
            materializer_of(disk).rewrite(before.with_measures(later))
        return found

    monkeypatch.setattr(image_manifest, "read_manifest", read_and_be_late)
    assert materializer.load(ImageDataset).index["brightness"].tolist() == [1.0, 1.0]


def relabel(materializer: ImageDatasetMaterializer) -> None:
    """Alter a label, and make the digests of the files right again, but not the version."""
    manifest = image_manifest.read_manifest(materializer.artifact_store, materializer.uri)
    path = Path(materializer.uri) / manifest.index_file
    table = pq.read_table(path)
    labels = pa.array(["bags", *table["label"].to_pylist()[1:]])
    pq.write_table(table.set_column(table.column_names.index("label"), "label", labels), path)
    edit(index=picture_digest(path.read_bytes()))(path.with_name("manifest.json"))


def lose_a_shard(materializer: ImageDatasetMaterializer) -> None:
    """Name a shard less than the rows do."""
    edit(shards=[])(Path(materializer.uri) / "manifest.json")


@pytest.mark.parametrize("alter", [relabel, lose_a_shard])
def test_an_altered_row_is_found_though_every_file_has_its_digest(
    alter: Callable[[ImageDatasetMaterializer], None], disk: LocalArtifactStore
) -> None:
    """What the rows say is digested again whenever they are read."""
    materializer = materializer_of(disk)
    materializer.save(dataset(1, 2))
    alter(materializer)
    with pytest.raises(DamagedArtifact, match="it was altered"):
        materializer.load(ImageDataset)


def test_a_shard_that_was_cut_is_written_again(store: BaseArtifactStore) -> None:
    """Delivering its pictures again mends a shard of another size; a whole one is not written twice."""
    before = dataset(1, 2, 3)
    materializer = materializer_of(store)
    materializer.save(before)
    (shard,) = materializer.load(ImageDataset).shards.values()
    write_blob(store, shard.uri, shard.whole()[:-100])
    materializer_of(store, "dataset/2").save(dataset(1, 2, 3))
    ids = before.index["image_id"].tolist()
    assert materializer.load(ImageDataset).pictures(ids) == before.pictures(ids)


def test_a_version_is_copied_to_another_store(
    disk: LocalArtifactStore, bucket_store: BaseArtifactStore, tmp_path: Path
) -> None:
    """A dataset of one store is stored in another with its shards, verified on the way."""
    materializer_of(disk).save(dataset(1, 2))
    first = materializer_of(disk).load(ImageDataset)
    materializer_of(bucket_store).save(first)
    second = materializer_of(bucket_store).load(ImageDataset)
    assert dict(second.scan()) == dict(first.scan())
    flip(shards_of(disk)[0])
    with pytest.raises(DamagedArtifact, match="is damaged: the file"):
        materializer_of(disk_store(tmp_path / "third")).save(first)


def flip(path: Path, at: int | None = None) -> None:
    """Change one bit of a file, in its middle where nothing else is said."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    path.write_bytes(data)


def swap_two_pictures(path: Path) -> None:
    """Let each of two rows point at the other's picture, which no digest of rows would show."""
    frame = pd.read_parquet(path)
    for name in ("shard_row", "shard_offset", "byte_count"):
        frame[name] = frame[name].to_numpy()[::-1]
    frame.to_parquet(path, index=False)


def edit(**fields: object) -> Callable[[Path], None]:
    """Change keys of the manifest."""

    def change(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("index-*.parquet", flip, ".parquet is damaged"),
        ("index-*.parquet", swap_two_pictures, ".parquet is damaged"),
        ("index-*.parquet", Path.unlink, ".parquet cannot be read"),
        ("manifest.json", Path.unlink, "manifest.json"),
        ("manifest.json", lambda path: path.write_text("{"), "cannot be read"),
        ("manifest.json", lambda path: path.write_text("[]"), "cannot be read"),
        ("manifest.json", edit(format_version=3), "format_version"),
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
    (path,) = Path(materializer.uri).glob(name)
    damage(path)
    with pytest.raises(DamagedArtifact, match=re.escape(said)) as raised:
        materializer.load(ImageDataset)
    assert materializer.uri in str(raised.value)
    assert "python run.py --train --source PATH" in str(raised.value)


def test_a_damaged_shard_is_named_and_mended_by_its_delivery(disk: LocalArtifactStore) -> None:
    """One changed bit in a shard is found before a picture is used; the message's remedy works."""
    materializer = materializer_of(disk)
    materializer.save(dataset(1, 2, 3))
    (shard,) = shards_of(disk)
    ids = list(dataset(1).index["image_id"])
    about = materializer.load(ImageDataset).select(ids).index.iloc[0]
    flip(shard, about["shard_offset"] + about["byte_count"] // 2)
    with pytest.raises(
        DamagedArtifact, match=f"Shard {shard} is damaged: picture {ids[0][:12]} .* Remove it."
    ):
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


# --- Shown ------------------------------------------------------------------------------------------------


def test_metadata_and_cache_key_name_the_version(disk: LocalArtifactStore) -> None:
    """The dashboard shows digest and counts; ZenML's cache goes by the version."""
    both = dataset(1, 2).join(dataset(3, label="bags"))
    assert materializer_of(disk).extract_metadata(both) == {
        "digest": both.version,
        "pictures": 3,
        "per_class": {"bags": 1, "tops": 2},
        "shards": 2,
        "tombstones": 0,
    }
    assert materializer_of(disk).compute_content_hash(both) == both.version
    # An erasure leaves the version; the cache must not answer with what was learnt before it.
    erased = both.forget(both.index["image_id"].tolist()[:1])
    assert erased.version == both.version
    key = materializer_of(disk).compute_content_hash(erased)
    assert key not in (both.version, both.without(erased.tombstones["image_id"]).version)


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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_thumbnail_is_turned_by_the_index(orientation: int) -> None:
    """A picture whose metadata was cut is shown as one whose orientation is in its metadata."""
    image = Image.new("RGB", (40, 20), "blue")
    image.paste("red", (0, 0, 15, 8))
    buffer, known = io.BytesIO(), Image.Exif()
    known[0x0112] = orientation
    image.save(buffer, "PNG", exif=known)
    upright = ImageOps.exif_transpose(Image.open(buffer))
    expected = ImageOps.pad(upright, (THUMBNAIL, THUMBNAIL), color="white")
    assert thumbnail(buffer.getvalue(), orientation).tobytes() == expected.tobytes()
