"""Tests of steps/data/parent.py, and of the three steps as a ZenML pipeline, in a real store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from zenml import pipeline

from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset
from materializers.splits import Splits
from steps.data.ingest import ingest
from steps.data.intake import IngestSettings
from steps.data.parent import (
    find_dataset,
    first_stored_at,
    keep_readmitted,
    last_dataset,
    last_version,
    past_of,
)
from steps.data.split import SplitSettings, split
from steps.data.validate import ValidateSettings, validate
from tests.steps.data.arrivals import let_age
from tests.steps.data.deliveries import CLASSES, dataset_of, good_delivery

if TYPE_CHECKING:
    from zenml.client import Client


def last_accepted(model_name: str) -> tuple[ImageDataset | None, Splits | None]:
    """The dataset, and the splits, of the newest runs of this registered model that validation passed."""
    past = past_of(model_name, joined=False)
    return past.dataset, past.splits


@pipeline(enable_cache=False)
def data_steps(model: str, source: str | None, version: str | None, join: bool) -> None:
    """The first three steps of every training."""
    delivery, screening, quarantine, parent, previous = ingest(
        model, "shop", IngestSettings(), source, version, join
    )
    dataset, _ = validate(
        delivery, screening, quarantine, parent, CLASSES, {}, [], ValidateSettings(), "code"
    )
    split(dataset, previous, SplitSettings(), 0, "code")


def run(model: str, source: Path | None = None, version: str | None = None, join: bool = False) -> None:
    """Run the three steps for a registered model, tagged as the project's pipelines are."""
    tagged = data_steps.with_options(tags=[f"model:{model}"])
    tagged(model, str(source) if source else None, version, join)


def test_a_model_without_runs_has_no_parent(local_stack: Client) -> None:
    """The first training starts from nothing."""
    assert last_accepted("never trained") == (None, None)


def test_the_parent_is_the_newest_run_that_validation_passed(local_stack: Client, tmp_path: Path) -> None:
    """A refused delivery and another model's run are passed over."""
    run("parent-a", good_delivery(tmp_path / "first", per_class=34))
    run("parent-a", good_delivery(tmp_path / "second", per_class=35, first=1_000))
    run("parent-a", good_delivery(tmp_path / "too few", per_class=5, first=2_000))
    run("parent-b", good_delivery(tmp_path / "another", per_class=36, first=3_000))
    dataset, splits = last_accepted("parent-a")
    assert dataset is not None
    assert splits is not None
    assert len(dataset) == 105
    assert set(splits.members["image_id"]) == set(dataset.index["image_id"])


def test_a_joined_delivery_grows_the_parent_and_its_splits(local_stack: Client, tmp_path: Path) -> None:
    """Everything known stays on its side; the delivery's shards are all that is added."""
    run("joined", good_delivery(tmp_path / "first", per_class=34))
    parent, before = last_accepted("joined")
    run("joined", good_delivery(tmp_path / "second", per_class=10, first=1_000), join=True)
    dataset, after = last_accepted("joined")
    assert parent and before and dataset and after
    assert len(dataset) == 132
    assert after.parent == before.digest
    assert set(parent.shards) < set(dataset.shards)
    for name in ("train", "validation", "test"):
        assert set(before.image_ids(name)) <= set(after.image_ids(name))


def test_what_a_person_readmitted_is_the_parent_until_the_next_run(
    zenml_client: Client, tmp_path: Path
) -> None:
    """Of this model alone; a run that validation passes afterwards is newer."""
    run("readmitting", good_delivery(tmp_path / "first", per_class=34))
    before, _ = last_accepted("readmitting")
    assert before is not None
    joined = before.join(dataset_of(["toys"]))
    keep_readmitted(joined, "readmitting")
    newest, splits = last_accepted("readmitting")
    assert newest is not None
    assert splits is not None
    assert newest.version == joined.version != before.version
    assert set(splits.members["image_id"]) == set(before.index["image_id"])
    assert last_version("readmitting") == newest.version
    assert last_dataset("readmitting-another") is None
    assert last_version("readmitting-another") is None
    assert find_dataset(joined.version[:12]).version == joined.version
    run("readmitting", good_delivery(tmp_path / "second", per_class=35, first=1_000))
    after, _ = last_accepted("readmitting")
    assert after is not None
    assert len(after) == 105


def test_a_stored_version_is_found_by_its_digest_or_its_beginning(
    local_stack: Client, tmp_path: Path
) -> None:
    """Twice the same data is one version; its pictures are read from the store."""
    folder = good_delivery(tmp_path / "delivery", per_class=37)
    run("found", folder)
    run("found", folder)
    dataset, _ = last_accepted("found")
    assert dataset is not None
    for version in (dataset.version, dataset.version[:8], dataset.version[:20].upper()):
        found = find_dataset(version)
        assert found.version == dataset.version
    first = found.index["image_id"][:1].tolist()
    assert found.pictures(first) == dataset.pictures(first)


def test_a_stored_version_is_trained_on_again(local_stack: Client, tmp_path: Path) -> None:
    """``--data V`` gives the same dataset and the same splits as the run that stored it."""
    run("again", good_delivery(tmp_path / "delivery", per_class=38))
    first, splits = last_accepted("again")
    assert first and splits
    run("again", version=first.version[:12])
    again, splits_again = last_accepted("again")
    assert again and splits_again
    assert (again.version, splits_again.digest) == (first.version, splits.digest)


def test_a_version_that_is_not_stored_is_wrong_use(local_stack: Client, tmp_path: Path) -> None:
    """The message names versions that there are, of which model, from what, when, and the flag."""
    run("known", good_delivery(tmp_path / "delivery", per_class=39))
    dataset, _ = last_accepted("known")
    assert dataset is not None
    wrong = {
        "00000000": "no dataset of version 00000000",
        "123": "no data version",
        "latest": "no data version",
    }
    for version, said in wrong.items():
        with pytest.raises(UsageError, match=said) as error:
            find_dataset(version)
        about = f"{dataset.version[:12]} (known, data_steps, {datetime.now(UTC):%Y-%m-}"
        assert about in str(error.value)
        assert f"UTC, {len(dataset)} pictures)" in str(error.value)
        assert str(error.value).endswith("Give --data one of them.")
    readmitted = dataset.join(dataset_of(["toys"]))
    keep_readmitted(readmitted, "known")
    with pytest.raises(UsageError, match="Give --data-diff one of them") as error:
        find_dataset("00000000", flag="--data-diff")
    assert f"{readmitted.version[:12]} (known, readmitted, " in str(error.value)


def test_a_version_is_as_old_as_its_first_copy(local_stack: Client, tmp_path: Path) -> None:
    """Stored again, it is no younger; times are in UTC, and of a version that is not stored there is none."""
    folder = good_delivery(tmp_path / "delivery", per_class=36, first=4_000)
    before = datetime.now(UTC)
    run("stored-first", folder)
    dataset, _ = last_accepted("stored-first")
    assert dataset is not None
    stored = first_stored_at(dataset.version)
    assert stored is not None
    assert before - timedelta(seconds=1) <= stored <= datetime.now(UTC)
    aged = let_age(local_stack, dataset.version, 3)
    run("stored-first-again", folder)
    assert first_stored_at(dataset.version) == aged
    assert first_stored_at(dataset.version[:-1]) is None
    assert first_stored_at("0" * 64) is None
