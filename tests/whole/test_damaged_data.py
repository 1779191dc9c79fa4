"""Stored data that were damaged: named, done without where that can be, mended by what is printed."""

from __future__ import annotations

import re
import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.conftest import PROJECT
from tests.serving.pictures import encode, gradient
from tests.shrunk.delivery import cut_delivery
from tests.whole.shop import Outcome, Shop

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

FAILED, REFUSED = 1, 3


def delivery_of_its_own(folder: Path, archive: str, per_class: int) -> Path:
    """A delivery whose shard no other test has, as it holds one picture more."""
    seed = zlib.crc32(f"{folder.parent.name}/{folder.name}/{archive}".encode())
    bags = {f"{archive}.png": encode(gradient(28, 28, seed=seed))}
    folder.mkdir(exist_ok=True)
    return cut_delivery(folder / archive, archive=archive, per_class=per_class, bags=bags)


def check_learnt(outcome: Outcome, *, version: int | None = None) -> None:
    """A run ended with a judged version; whether so small a model passed is not asked."""
    assert outcome.last["verdict"] in ("passed", "refused"), (outcome.results, outcome.stderr)
    if version is not None:
        assert outcome.last["version"] == version


@pytest.fixture
def shop(open_shop: Callable[[str], Shop], tmp_path: Path) -> Shop:
    """Version 1 learnt from a delivery."""
    shop = replace(
        open_shop(f"damaged-{uuid4().hex[:8]}"),
        delivery=delivery_of_its_own(tmp_path, "first-delivery.zip", 60),
    )
    check_learnt(shop.run(train=True, source=str(shop.delivery)), version=1)
    return shop


@pytest.fixture
def kept() -> Iterator[dict[Path, bytes]]:
    """Files as they were before a test damages them, and are again after it: others share the store."""
    files: dict[Path, bytes] = {}
    yield files
    for path, data in files.items():
        if path.parent.is_dir():
            path.write_bytes(data)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """60 pictures a class that the first delivery does not have."""
    return delivery_of_its_own(tmp_path, "second-delivery.zip", 60)


def last_run(shop: Shop) -> PipelineRunResponse:
    """The newest run of the model."""
    from zenml.client import Client

    runs = Client().list_pipeline_runs(
        tags=f"model:{shop.model}", sort_by="desc:created", size=1, hydrate=True
    )
    return runs.items[0]


def output(shop: Shop, step: str, name: str) -> Any:
    """What a step of the newest run returned."""
    return last_run(shop).steps[step].outputs[name][0]


def damage(shop: Shop, what: str, kept: dict[Path, bytes]) -> Path:
    """Cut, or take away, a file of what the model learnt from last, and give its path."""
    dataset = output(shop, "validate", "dataset")
    if what == "splits":
        path = Path(output(shop, "split", "splits").uri) / "splits.parquet"
    elif what == "shard":
        loaded = dataset.load()
        own = loaded.index[loaded.index["source"].str.endswith(".zip.png")].sort_values("source")
        path = Path(loaded.shards[own["shard"].iloc[-1]].uri)
    else:
        (path,) = Path(dataset.uri).glob(f"{what}*")
    kept[path] = path.read_bytes()
    if what in ("index", "splits"):
        path.write_bytes(path.read_bytes()[:-10])
    else:
        path.unlink()
    return path


def said(outcome: Outcome, path: Path) -> bool:
    """Whether a file is named, on the terminal or in the reasons."""
    return str(path) in outcome.stderr + outcome.said


@pytest.mark.parametrize("what", ["index", "splits", "shard"])
def test_a_training_that_joins_nothing_does_without_what_is_damaged(
    shop: Shop, second: Path, kept: dict[Path, bytes], what: str
) -> None:
    """Another delivery is trained on, with a warning that names the file, in the report too; and once."""
    path = damage(shop, what, kept)
    outcome = shop.run(train=True, source=str(second))
    check_learnt(outcome, version=2)
    assert said(outcome, path)
    assert "taken as absent" in outcome.stderr
    report = output(shop, "validate", "data_report").load()
    [check] = [each for each in report.checks if each.name.startswith("previous_")]
    assert (check.name, check.outcome) == (
        "previous_splits" if what == "splits" else "previous_dataset",
        "not_assessed",
    )
    assert str(path) in check.reason
    again = shop.run(train=True, source=str(second))
    check_learnt(again)
    assert not said(again, path)


def test_a_version_whose_pictures_are_damaged_is_not_trained_again(
    shop: Shop, kept: dict[Path, bytes]
) -> None:
    """That is an answer, exit code 3, which names the file."""
    path = damage(shop, "shard", kept)
    whole = kept[path]
    flipped = len(whole) // 2  # of the same size: only a digest tells
    path.write_bytes(whole[:flipped] + bytes([whole[flipped] ^ 1]) + whole[flipped + 1 :])
    outcome = shop.run(reproduce=1)
    assert outcome.exit_code == REFUSED, outcome.results
    assert "The version cannot be trained again: " in outcome.said
    assert said(outcome, path)


@pytest.mark.parametrize("what", ["index", "splits"])
def test_the_same_delivery_again_mends_what_is_damaged(
    shop: Shop, kept: dict[Path, bytes], what: str
) -> None:
    """No step answers with the damaged bytes from the cache; version and splits are what they were."""
    before = output(shop, "validate", "dataset").load().version, output(shop, "split", "splits").load().digest
    path = damage(shop, what, kept)
    for _ in range(2):
        outcome = shop.run(train=True, source=str(shop.delivery))
        check_learnt(outcome)
        after = output(shop, "validate", "dataset").load(), output(shop, "split", "splits").load()
        assert (after[0].version, after[1].digest) == before
        assert after[0].pictures(after[0].index["image_id"].tolist())
    assert not said(outcome, path)


def check_joined(shop: Shop, outcome: Outcome) -> None:
    """The delivery was joined to what was there, and learnt from."""
    check_learnt(outcome)
    before = set(output(shop, "ingest", "previous_dataset").load().index["image_id"])
    assert before < set(output(shop, "validate", "dataset").load().index["image_id"])


@pytest.mark.parametrize("what", ["splits", "shard"])
def test_what_a_delivery_is_joined_to_has_to_be_whole_and_the_printed_command_mends_it(
    shop: Shop, second: Path, kept: dict[Path, bytes], tmp_path: Path, what: str
) -> None:
    """Refused with the file's name; trained on the version that is named, the same command joins."""
    assert shop.run(continuous=True, source=str(second)).last["version"] == 2
    path = damage(shop, what, kept)
    third = str(delivery_of_its_own(tmp_path / "third", "second-delivery.zip", 70))
    refused = shop.run(continuous=True, source=third)
    assert (refused.exit_code, refused.last["status"]) == (FAILED, "failed")
    assert said(refused, path)
    [version] = re.findall(r"python run\.py \S.* --train --data ([0-9a-f]{16})", refused.said)
    mended = shop.run(train=True, data=version)
    check_learnt(mended)
    check_joined(shop, shop.run("trigger.manual=true", continuous=True, source=third))


def test_a_delivery_again_mends_where_no_other_version_is_whole(
    shop: Shop, second: Path, kept: dict[Path, bytes]
) -> None:
    """The other command that is printed; what is joined afterwards is joined to it."""
    damage(shop, "index", kept)
    refused = shop.run(continuous=True, source=str(second))
    assert refused.exit_code == FAILED
    assert "--data" not in refused.said
    assert "--train --source PATH" in refused.said
    check_learnt(shop.run(train=True, source=str(shop.delivery)))
    check_joined(shop, shop.run(continuous=True, source=str(second)))


def test_a_shard_with_other_bytes_is_removed_as_printed_and_delivered_again(shop: Shop) -> None:
    """Its size tells nothing; whoever reads it says how to remove it, and the delivery brings it again."""
    dataset = output(shop, "validate", "dataset").load()
    (shard,) = (Path(each.uri) for each in dataset.shards.values())
    before = shard.read_bytes()
    middle = len(before) // 2
    shard.write_bytes(
        before[:middle]
        + bytes(each ^ 255 for each in before[middle : middle + 2000])
        + before[middle + 2000 :]
    )
    refused = shop.run(train=True, source=str(shop.delivery), no_cache=True)
    assert refused.exit_code == FAILED
    [command] = re.findall(r"Remove it: (rm \S+\.arrow)\.", refused.said)
    subprocess.run(["bash", "-c", command], check=True)
    mended = shop.run(train=True, source=str(shop.delivery), no_cache=True)
    check_learnt(mended)
    assert shard.read_bytes() == before


def test_a_damaged_manifest_stops_a_collection_until_its_runs_are_deleted_as_printed(
    shop: Shop, second: Path, kept: dict[Path, bytes]
) -> None:
    """The commands name the runs and the artifact; afterwards collecting goes on, and the model learns on."""
    assert shop.run(continuous=True, source=str(second)).last["version"] == 2
    path = damage(shop, "manifest", kept)
    refused = shop.run(collect=True)
    assert refused.exit_code == FAILED
    assert "Nothing was removed" in refused.said
    assert said(refused, path)
    commands = re.findall(r"zenml [a-z ]+ delete \S+ -y", refused.said)
    assert len(commands) > 1
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    collected = shop.run(collect=True)
    assert collected.exit_code == 0, collected.said
    check_joined(shop, shop.run("trigger.manual=true", continuous=True, source=str(second)))
