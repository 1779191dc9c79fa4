"""Splits are stored with their digest, which is of the pictures' sides alone."""

import hashlib
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from materializers.errors import DamagedArtifact
from materializers.splits import APART, Splits, SplitsMaterializer
from tests.materializers.examples import splits


def materializer_of(store: BaseArtifactStore) -> SplitsMaterializer:
    """A materializer that stores splits in a store."""
    return SplitsMaterializer(f"{store.path}/splits/1", store)


@pytest.mark.parametrize("parent", ["9f" * 32, None])
def test_splits_read_back_as_they_were(parent: str | None, store: BaseArtifactStore) -> None:
    """Rows, digest and parent are what was saved."""
    before, materializer = splits(parent), materializer_of(store)
    materializer.save(before)
    after = materializer.load(Splits)
    pd.testing.assert_frame_equal(after.members, before.members)
    assert (after.digest, after.parent) == (before.digest, parent)


def test_the_digest_is_of_the_sides_alone() -> None:
    """Order, parent and labels do not change it; one picture on another side does."""
    before = splits()
    shuffled = Splits(members=before.members.sample(frac=1, random_state=3), parent=None)
    relabelled = Splits(members=before.members.assign(label="tops"))
    moved = before.members.copy()
    moved.loc[0, "split"] = "test"
    assert shuffled.digest == relabelled.digest == before.digest
    assert Splits(members=moved).digest != before.digest


def golden_splits() -> Splits:
    """Twenty pictures, one set apart, two golden, and one golden picture that is away."""
    members = splits().members.assign(golden=[False] * 18 + [True] * 2)
    members.loc[0, "split"] = APART
    away = pd.DataFrame({"image_id": ["f" * 64], "split": ["test"], "label": ["bags"], "golden": [True]})
    return Splits(members=members, parent="9f" * 32, remembered=away)


def test_golden_pictures_and_those_set_apart_read_back(store: BaseArtifactStore) -> None:
    """With what is remembered of pictures that are away."""
    before, materializer = golden_splits(), materializer_of(store)
    materializer.save(before)
    after = materializer.load(Splits)
    pd.testing.assert_frame_equal(after.members, before.members)
    pd.testing.assert_frame_equal(after.remembered, before.remembered)
    assert after.digest == before.digest
    assert list(after.frozen["image_id"]) == [f"{18:064x}", f"{19:064x}", "f" * 64]
    assert materializer.extract_metadata(after)["set_apart"] == 1


def test_the_digest_covers_the_golden_set_and_its_labels() -> None:
    """One golden picture more or less, or another label of one, is another digest."""
    before = golden_splits()
    fewer, relabelled = before.members.copy(), before.members.copy()
    fewer.loc[19, "golden"] = False
    relabelled.loc[19, "label"] = "tops" if relabelled.loc[19, "label"] == "bags" else "bags"
    assert len({before.digest, Splits(members=fewer).digest, Splits(members=relabelled).digest}) == 3


def test_pictures_are_found_on_their_side() -> None:
    """Also those that are away; who was never placed has -1."""
    asked = pd.Series([f"{0:064x}", f"{1:064x}", "f" * 64, "never"])
    assert [int(side) for side in golden_splits().sides_of(asked)] == [3, 0, 2, -1]
    assert list(Splits(members=splits().members.head(0)).sides_of(asked)) == [-1] * 4


def test_splits_of_format_1_are_read(disk: LocalArtifactStore) -> None:
    """A model that was split before there was a golden set goes on from those splits, with their digest."""
    rows = pd.DataFrame(
        {
            "image_id": [f"{number:064x}" for number in range(4)],
            "split": ["train", "train", "test", "validation"],
            "label": ["tops"] * 4,
        }
    )
    lines = (f"{image_id} {split}" for image_id, split in rows[["image_id", "split"]].to_numpy()[:3])
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    away = hashlib.sha256(f"{3:064x} validation".encode()).hexdigest()
    frame = rows.assign(remembered=[False, False, False, True])
    frame.attrs = {"format_version": 1, "digest": digest, "remembered": away, "parent": None}
    materializer = materializer_of(disk)
    path = Path(materializer.uri) / "splits.parquet"
    path.parent.mkdir(parents=True)
    frame.to_parquet(path, index=False)
    loaded = materializer.load(Splits)
    assert (loaded.digest, len(loaded.members), len(loaded.frozen)) == (digest, 3, 0)
    assert loaded.remembered["split"].tolist() == ["validation"]


def test_pictures_of_a_split_are_sorted_and_counted() -> None:
    """Who asks for a split gets its ids in one order; the table has a row a class and all four columns."""
    shuffled = Splits(members=splits().members.sample(frac=1, random_state=3))
    assert shuffled.image_ids("test") == [f"{number:064x}" for number in (17, 18, 19)]
    assert list(shuffled.counts().loc["tops"]) == [7, 2, 1, 0]
    only_train = Splits(members=splits().members.head(4))
    assert list(only_train.counts().loc["bags"]) == [2, 0, 0, 0]


def rewrite(path: Path, change: Any) -> None:
    """Replace a Parquet file by an altered one."""
    frame = pd.read_parquet(path)
    change(frame)
    frame.to_parquet(path, index=False)


def move_a_test_picture(frame: pd.DataFrame) -> None:
    """Let training see a picture of the test split."""
    frame.loc[frame["split"] == "test", "split"] = "train"


def add_a_golden_picture(frame: pd.DataFrame) -> None:
    """Let a later picture enter the golden set."""
    frame.loc[frame["split"] == "test", "golden"] = True


def forget_the_format(frame: pd.DataFrame) -> None:
    """Write as code before the format had a version."""
    frame.attrs = {"parent": None}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (move_a_test_picture, "they were altered"),
        (add_a_golden_picture, "they were altered"),
        (forget_the_format, "format None, not 1 or 2"),
    ],
)
def test_altered_splits_are_named(change: Any, said: str, disk: LocalArtifactStore) -> None:
    """A picture that was moved to another side, or a file of another format, is not used."""
    materializer = materializer_of(disk)
    materializer.save(splits())
    rewrite(Path(materializer.uri) / "splits.parquet", change)
    with pytest.raises(DamagedArtifact, match=f"splits.parquet have .*{said}"):
        materializer.load(Splits)


@pytest.mark.parametrize("data", [b"", b"PAR1 no parquet PAR1", None])
def test_unreadable_splits_are_named(data: bytes | None, disk: LocalArtifactStore) -> None:
    """An empty, damaged or missing file is said to be so, with the command that mends it."""
    materializer = materializer_of(disk)
    materializer.save(splits())
    path = Path(materializer.uri) / "splits.parquet"
    path.unlink() if data is None else path.write_bytes(data)
    with pytest.raises(DamagedArtifact, match=r"splits\.parquet cannot be read .*python run.py --train"):
        materializer.load(Splits)


def test_a_picture_that_is_only_remembered_makes_other_splits_for_the_cache(disk: LocalArtifactStore) -> None:
    """An erased picture is no member any more: what was learnt with it is not taken from the cache."""
    materializer, before = materializer_of(disk), splits()
    after = Splits(members=before.members.iloc[1:], remembered=before.members.iloc[:1])
    assert materializer.compute_content_hash(before) == materializer.compute_content_hash(splits())
    assert materializer.compute_content_hash(after) != materializer.compute_content_hash(before)


def test_metadata_and_the_table_count_the_splits(disk: LocalArtifactStore) -> None:
    """The dashboard shows the sizes, and the table of classes."""
    materializer = materializer_of(disk)
    metadata = materializer.extract_metadata(splits())
    assert metadata == {
        "digest": splits().digest,
        **{"train": 14, "validation": 3, "test": 3, "set_apart": 0, "golden": 0},
    }
    (uri,) = materializer.save_visualizations(splits())
    table = pd.read_csv(io.BytesIO(Path(uri).read_bytes()), index_col=0)
    assert list(table.loc["bags"]) == [7, 1, 2, 0]
