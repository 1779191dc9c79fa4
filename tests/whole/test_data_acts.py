"""Acts on data, as a person types them: readmit, compare, compact, collect, and forget for good."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import pytest
from PIL import Image, ImageOps

from tests.shrunk.delivery import cut_delivery, noise
from tests.whole.shop import Outcome, Shop

PER_CLASS = 60
A_WEEK_S = 7 * 24 * 3600


def own_picture(number: int, side: int = 56) -> bytes:
    """A picture that no delivery of another test has: the sample's bag, upside down and inverted."""
    with Image.open("data/photos/bag.png") as image:
        turned = ImageOps.invert(image.convert("RGB")).rotate(7 * number).resize((side, side))
    buffer = io.BytesIO()
    turned.save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class Trained:
    """A shop whose version 1 learnt from a delivery with one picture of this test in it."""

    shop: Shop
    data: str
    gone: str

    def collect(self, *, apply: bool = False) -> Outcome:
        """Ask what nothing refers to."""
        return self.shop.run(collect=True, apply=apply)


def store_root() -> Path:
    """The folder of the artifact store."""
    from zenml.client import Client

    return Path(Client().active_stack.artifact_store.path)


def collections(trained: Trained) -> list[str]:
    """The bytes that each collection removed by the audit log."""
    outcome = trained.shop.run(audit=True)
    assert outcome.exit_code == 0, outcome.said
    return [
        entry["subject"]["bytes_removed"]
        for entry in outcome.last["details"]["entries"]
        if entry["act"] == "collect"
    ]


def files_with(data: bytes) -> list[Path]:
    """The files below the store's root that hold these bytes."""
    paths = (path for path in store_root().rglob("*") if path.is_file())
    return [path for path in paths if data in path.read_bytes()]


@pytest.fixture(scope="module")
def trained(open_shop: Callable[[str], Shop], tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Version 1, released to staging."""
    from materializers.image_dataset import picture_digest

    target = tmp_path_factory.mktemp("acts") / "delivery.zip"
    archive = cut_delivery(target, per_class=PER_CLASS, bags={"own.png": own_picture(0)})
    shop = replace(open_shop("acts"), delivery=archive)
    assert shop.train() == 1
    gone = picture_digest(own_picture(0))
    return Trained(shop, shop.versions()[1]["data_version"], gone)


def keep_set_aside(data: bytes, *, label: str | None, reason: str) -> str:
    """Put a picture into a quarantine, as ingest does, and give its id."""
    from zenml import save_artifact

    from materializers.quarantine import QuarantineBuilder

    builder = QuarantineBuilder("sample-deliveries", max_bytes=10**6)
    digest = builder.add(data, path=f"{reason}.png", label=label, reason=reason, detail="8 × 8 pixels")
    save_artifact(builder.build(), name="quarantine")
    assert digest is not None
    return digest


def shown_in_a_run(outcome: Outcome, pipeline: str) -> str:
    """The digest of the report that the run shows which an act names."""
    from zenml.client import Client

    named = re.search(rf"Its page: the artifact report of run ({pipeline}-\S+), Visualization", outcome.said)
    assert named, outcome.said
    run = Client().get_pipeline_run(named[1])
    assert (str(run.status), run.pipeline.name if run.pipeline else None) == ("completed", pipeline)
    return str(run.steps["show"].inputs["report"][0].run_metadata["digest"])


def test_a_picture_is_readmitted_and_the_next_training_has_it(trained: Trained) -> None:
    """A new version, the newest parent, one picture more; the same again changes nothing."""
    from steps.data.parent import find_dataset, last_dataset

    digest = keep_set_aside(own_picture(1), label="bags", reason="too_small")
    outcome = trained.shop.run(readmit=digest[:12])
    assert outcome.exit_code == 0, outcome.said
    details = outcome.last["details"]
    assert (details["parent"], details["pictures"]) == (trained.data, PER_CLASS * 5 + 2)
    newest = last_dataset(trained.shop.model)
    assert newest is not None
    assert newest.version == details["data"] == find_dataset(details["data"][:16]).version
    assert newest.pictures([digest]) == [own_picture(1)]

    again = trained.shop.run(readmit=digest)
    assert (again.exit_code, again.last["details"]["data"]) == (0, details["data"])
    assert "in the data already" in again.said

    compared = trained.shop.run(data_diff=(trained.data[:12], details["data"][:12]))
    assert compared.exit_code == 0, compared.said
    counts = {row["name"]: (row["added"], row["withdrawn"]) for row in compared.last["details"]["classes"]}
    assert counts["bags"] == (1, 0)
    assert sum(sum(each) for each in counts.values()) == 1
    assert compared.last["details"]["pictures_named"][0]["image_id"] == digest
    assert shown_in_a_run(compared, "data_diff") == compared.last["details"]["digest"]


def test_a_comparison_that_no_run_can_show_is_done(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0 with the counts; beside them stands why the dashboard has no page, and where it lies."""

    def refuse(*_: object) -> None:
        raise OSError("the server takes no run")

    monkeypatch.setattr("pipelines.showing.create_placeholder_run", refuse)
    outcome = trained.shop.run(data_diff=(trained.data[:12], trained.data[:12]))
    assert (outcome.exit_code, outcome.last["status"]) == (0, "done")
    assert "0 added, 0 withdrawn, 0 relabelled" in outcome.said
    assert "(the server takes no run)" in outcome.said
    assert "Nothing changed" in Path(outcome.said.rpartition("open ")[2]).read_text()


def test_a_picture_that_still_fails_is_refused_and_nothing_changes(trained: Trained) -> None:
    """Too small by the limit of today, or without a label: exit code 3, measure and limit."""
    from steps.data.parent import last_dataset

    before = last_dataset(trained.shop.model)
    small = keep_set_aside(own_picture(2, side=16), label="bags", reason="too_small")
    refused = trained.shop.run("ingest.limits.min_side=20", readmit=small)
    assert refused.exit_code == 3
    assert "16 × 16 pixels; each side needs 20" in refused.said
    nameless = keep_set_aside(own_picture(3), label=None, reason="missing_label")
    refused = trained.shop.run(readmit=nameless)
    assert (refused.exit_code, "deliver it with one" in refused.said) == (3, True)
    assert trained.shop.run(readmit="00000000").exit_code == 2
    after = last_dataset(trained.shop.model)
    assert before is not None
    assert after is not None
    assert after.version == before.version


def test_versions_that_are_not_there_cannot_be_compared(trained: Trained) -> None:
    """Exit code 2, and the versions that there are."""
    outcome = trained.shop.run(data_diff=(trained.data[:12], "00000000"))
    assert (outcome.exit_code, "no dataset of version 00000000" in outcome.said) == (2, True)


def test_what_a_killed_run_left_is_collected_when_that_is_asked_for(trained: Trained) -> None:
    """Shown first; with --apply it goes, and what is trained and served is untouched."""
    folder = store_root() / "validate" / "dataset" / str(uuid4()) / "0a1b2c3d"
    shard = store_root() / "datasets" / "shards" / f"{'ab' * 32}.arrow"
    for path in (folder / "thumbnails.png", shard):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"left behind")
        os.utime(path, (time.time() - A_WEEK_S,) * 2)
    logged = collections(trained)
    shown = trained.collect()
    assert shown.exit_code == 0, shown.said
    names = {entry["name"] for entry in shown.last["details"]["found"]}
    assert names == {str(path.relative_to(store_root())) for path in (folder, shard)}
    assert folder.exists()
    assert shard.exists()
    applied = trained.collect(apply=True)
    assert (applied.exit_code, applied.last["details"]["bytes_removed"]) == (0, 22)
    assert not folder.exists()
    assert not shard.exists()
    assert trained.collect(apply=True).last["details"]["found"] == []
    assert collections(trained)[len(logged) :] == ["22"]


def test_a_manifest_that_cannot_be_read_stops_the_collection(trained: Trained) -> None:
    """Exit code 1, the dataset is named, and nothing is removed."""
    from materializers.image_dataset import ImageDataset
    from steps.data.stored import known_artifacts, of_type

    manifest = Path(of_type(known_artifacts(), ImageDataset)[0].uri) / "manifest.json"
    orphan = store_root() / "validate" / "dataset" / str(uuid4()) / "0a1b2c3d" / "thumbnails.png"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"left behind")
    os.utime(orphan, (time.time() - A_WEEK_S,) * 2)
    data = manifest.read_bytes()
    manifest.write_bytes(b"{")
    try:
        outcome = trained.collect(apply=True)
    finally:
        manifest.write_bytes(data)
    assert outcome.exit_code == 1
    assert str(manifest) in outcome.said
    assert "Nothing was removed" in outcome.said
    assert orphan.exists()
    orphan.unlink()


def test_compacting_keeps_every_version(trained: Trained) -> None:
    """The readmitted picture lies alone in a shard before, and beside others after; all are the same.

    Where another dataset of the store has most of the pictures, its shards are shared.
    """
    from materializers.image_dataset import picture_digest
    from steps.data.parent import last_dataset

    before = last_dataset(trained.shop.model)
    assert before is not None
    outcome = trained.shop.run(compact=True)
    assert outcome.exit_code == 0, outcome.said
    after = last_dataset(trained.shop.model)
    assert after is not None
    readmitted = picture_digest(own_picture(1))
    shards = [dataset.index.set_index("image_id")["shard"] for dataset in (before, after)]
    alone, beside = (int((shard == shard[readmitted]).sum()) for shard in shards)
    assert (alone, beside > alone) == (1, True)
    assert after.version == before.version
    ids = list(before.index["image_id"])
    assert after.pictures(ids) == before.pictures(ids)
    assert trained.shop.run(compact=True).last["details"]["datasets"] == []


def test_a_forgotten_picture_is_gone_and_the_model_is_still_released(trained: Trained) -> None:
    """By its path: no byte is left in the store, what learnt from it is named, and every check passes."""
    from materializers.erasure import forgotten_ids
    from steps.data.parent import find_dataset
    from steps.data.stored import active_store

    shop, data, path = trained.shop, own_picture(0), "own.png"
    middle = data[len(data) // 2 : len(data) // 2 + 64]
    assert files_with(middle)
    unknown = shop.run(forget=True, photos=("00000000",), by="Ada", reason="the customer asked")
    assert unknown.exit_code == 2
    assert files_with(middle)
    outcome = shop.run(forget=True, photos=(path,), by="Ada", reason="the customer asked")
    assert outcome.exit_code == 0, outcome.said
    assert files_with(middle) == []
    details = outcome.last["details"]
    assert (details["outcome"], details["found"], details["by"]) == ("erased", [], "Ada")
    models = {(each["model"], each["version"]) for each in details["models"]}
    assert models == {("acts", 1)}
    assert trained.gone in forgotten_ids(active_store())
    assert shown_in_a_run(outcome, "erasure") == details["digest"]

    dataset = find_dataset(trained.data)
    assert dataset.version == trained.data
    assert trained.gone not in set(dataset.index["image_id"])
    assert len(dataset.pictures(list(dataset.index["image_id"]))) == PER_CLASS * 5
    shop.deploy(1)
    assert shop.served() == (1, shop.versions()[1]["model_digest"])
    again = shop.run(forget=True, photos=(trained.gone,), by="Ada", reason="asked once more")
    assert (again.exit_code, again.last["details"]["shards_removed"]) == (0, 0)


def test_a_forgotten_picture_leaves_the_reference_for_drift_and_no_digest_changes(
    open_shop: Callable[[str], Shop], tmp_path: Path
) -> None:
    """The model keeps answers on all validation and test pictures, until one of these is erased."""
    from zenml.client import Client

    from materializers.drift_reference import REFERENCE_FILE, DriftReference
    from materializers.image_dataset import picture_digest
    from serving.model_directory import model_digest

    own = {f"noise-{number}.png": noise(6, 10, number) for number in range(16)}
    shop = replace(open_shop("referenced"), delivery=cut_delivery(tmp_path / "delivery.zip", bags=own))
    shop.train()
    model = shop.stored(1, "model")

    def kept() -> list[str]:
        reference = DriftReference.from_bytes((model.parent / REFERENCE_FILE).read_bytes())
        assert reference.model == shop.versions()[1]["model_digest"]
        ids: list[str] = reference.rows["image_id"].tolist()
        return ids

    run = Client().get_pipeline_run(shop.versions()[1]["zenml_run"])
    groups = run.steps["split"].outputs["splits"][0].load()
    before = kept()
    assert set(before) == {*groups.image_ids("validation"), *groups.image_ids("test")}
    gone = next(each for each in before if each in map(picture_digest, own.values()))
    outcome = shop.run(forget=True, photos=(gone,), by="Ada", reason="the customer asked")
    assert outcome.exit_code == 0, outcome.said
    assert kept() == [image_id for image_id in before if image_id != gone]
    assert model_digest(model) == shop.versions()[1]["model_digest"]
