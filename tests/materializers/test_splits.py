"""Splits are stored with their digest, which is of the pictures' sides alone."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from zenml.artifact_stores import BaseArtifactStore
from zenml.artifact_stores.local_artifact_store import LocalArtifactStore

from materializers.errors import DamagedArtifact
from materializers.splits import Splits, SplitsMaterializer
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


def test_pictures_of_a_split_are_sorted_and_counted() -> None:
    """Who asks for a split gets its ids in one order; the table has a row a class and all three columns."""
    shuffled = Splits(members=splits().members.sample(frac=1, random_state=3))
    assert shuffled.image_ids("test") == [f"{number:064x}" for number in (17, 18, 19)]
    assert list(shuffled.counts().loc["tops"]) == [7, 2, 1]
    only_train = Splits(members=splits().members.head(4))
    assert list(only_train.counts().loc["bags"]) == [2, 0, 0]


def rewrite(path: Path, change: Any) -> None:
    """Replace a Parquet file by an altered one."""
    frame = pd.read_parquet(path)
    change(frame)
    frame.to_parquet(path, index=False)


def move_a_test_picture(frame: pd.DataFrame) -> None:
    """Let training see a picture of the test split."""
    frame.loc[frame["split"] == "test", "split"] = "train"


def forget_the_format(frame: pd.DataFrame) -> None:
    """Write as code before the format had a version."""
    frame.attrs = {"parent": None}


@pytest.mark.parametrize(
    ("change", "said"),
    [(move_a_test_picture, "they were altered"), (forget_the_format, "format None, not 1")],
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


def test_metadata_and_the_table_count_the_splits(disk: LocalArtifactStore) -> None:
    """The dashboard shows the sizes, and the table of classes."""
    materializer = materializer_of(disk)
    metadata = materializer.extract_metadata(splits())
    assert metadata == {"digest": splits().digest, "train": 14, "validation": 3, "test": 3}
    assert materializer.compute_content_hash(splits()) == splits().digest
    (uri,) = materializer.save_visualizations(splits())
    table = pd.read_csv(io.BytesIO(Path(uri).read_bytes()), index_col=0)
    assert list(table.loc["bags"]) == [7, 1, 2]
