"""Deliveries as a person brings them: corrected, withdrawn, stale, telling too much, and in every form."""

from __future__ import annotations

import csv
import io
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image, ImageOps

from materializers.image_dataset import ImageDataset, picture_digest
from tests.shrunk.delivery import cut_delivery
from tests.steps.data.deliveries import write_delivery, write_parquet
from tests.steps.data.planted import PlantedJpeg, planted_jpeg
from tests.whole.shop import SEED_1, Outcome, Shop

if TYPE_CHECKING:
    from materializers.data_report import DataReport

REFUSED = 3
PER_CLASS = 40
TODAY = "product.classes=[tops, trousers, footwear, handbags, hats]"
CHANGES = "product.class_changes={renamed: {bags: handbags}, retired: [dresses]}"
ALLOW_STALE = "validate.freshness.allow_stale=true"


@dataclass(frozen=True)
class Sample:
    """Some pictures of each class of the sample: path → label and bytes."""

    labels: dict[str, str]
    data: dict[str, bytes]

    def rows(self, **said: str) -> list[dict[str, str]]:
        """A row a picture, each of which says the same besides its label."""
        return [{"image_path": path, "label": label, **said} for path, label in self.labels.items()]

    def ids(self, label: str) -> list[str]:
        """The pictures of a class, in the order of delivery."""
        return [picture_digest(self.data[path]) for path, each in self.labels.items() if each == label]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Pictures of five classes."""
    target = tmp_path_factory.mktemp("sample") / "sample.zip"
    with zipfile.ZipFile(cut_delivery(target, per_class=PER_CLASS)) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))
        labels = {row["image_path"]: row["label"] for row in rows}
        return Sample(labels, {path: archive.read(path) for path in labels})


@pytest.fixture(scope="module")
def live(open_shop: Callable[[str], Shop], sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Version 1 learnt from the sample and is in staging."""
    folder = write_delivery(tmp_path_factory.mktemp("first"), sample.rows(), sample.data)
    shop = replace(open_shop("deliveries"), delivery=folder)
    assert shop.train() == 1
    shop.deploy(1)
    return shop


def output(outcome: Outcome, step: str, name: str) -> Any:
    """What a step of the run returned."""
    from zenml.client import Client

    return Client().get_pipeline_run(outcome.last["run"]).steps[step].outputs[name][0].load()


def hat(number: int) -> bytes:
    """A picture of a class that the sample lacks: a bag upside down, its colours exchanged."""
    with Image.open("data/photos/bag.png") as image:
        turned = ImageOps.invert(image.convert("RGB")).rotate(5 * number).resize((28, 28))
    buffer = io.BytesIO()
    turned.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_delivery_corrects_withdraws_and_brings_a_new_class(
    live: Shop, sample: Sample, tmp_path: Path
) -> None:
    """One is relabelled, three leave, one class has a new name, one is retired, and a new one is learnt."""
    hats = {f"hats/{number}.png": hat(number) for number in range(30)}
    corrected, by_id, replaced = sample.ids("tops")[0], sample.ids("tops")[1], sample.ids("tops")[2]
    paths = {picture_digest(data): path for path, data in sample.data.items()}
    nothing = {"image_path": "", "label": "", "image_id": "", "withdrawn": ""}
    hats[paths[replaced]] = hat(40)
    rows = [
        *({**nothing, "image_path": path, "label": "hats"} for path in hats),
        {**nothing, "image_id": corrected, "label": "trousers"},
        {**nothing, "image_id": by_id, "withdrawn": "yes"},
        {**nothing, "image_path": f"./{paths[replaced]}", "withdrawn": "true"},
        {**nothing, "image_id": "0" * 64, "withdrawn": "1"},
    ]
    folder = write_delivery(tmp_path / "second", rows, hats)
    outcome = live.run(TODAY, CHANGES, "trigger.manual=true", continuous=True, source=str(folder))
    assert outcome.exit_code in {0, REFUSED}, outcome.said  # what the gate makes of it is another test's
    assert outcome.last["version"] == 2
    dataset: ImageDataset = output(outcome, "validate", "dataset")
    labels = dict(zip(dataset.index["image_id"], dataset.index["label"], strict=True))
    assert {by_id, replaced, *sample.ids("dresses")}.isdisjoint(labels)
    assert labels[corrected] == "trousers"
    assert {labels[each] for each in sample.ids("bags")} == {"handbags"}
    assert {label for each, label in labels.items() if each in map(picture_digest, hats.values())} == {"hats"}
    report: DataReport = output(outcome, "validate", "data_report")
    assert report.per_class == {
        "tops": PER_CLASS - 3,
        "trousers": PER_CLASS + 1,
        "footwear": PER_CLASS,
        "handbags": PER_CLASS,
        "hats": 31,
    }
    changes = output(outcome, "ingest", "screening").changes
    assert (changes.relabelled, changes.withdrawn, changes.unknown) == (1, 2, ("0" * 64,))
    assert report.changes is not None
    assert report.changes.renamed == {"bags": "handbags"}
    assert report.changes.retired == ("dresses",)
    assert [(each.old, each.new, each.pictures) for each in report.changes.relabelled] == [
        ("tops", "trousers", 1)
    ]
    assert "unknown_pictures" in {check.name for check in report.checks if check.outcome == "warned"}
    assert len(output(outcome, "ingest", "quarantine")) == 0


def test_a_stored_version_is_trained_on_as_it_was(live: Shop) -> None:
    """Whatever came since: the version that was asked for, to the row."""
    first = live.versions()[1]["data_version"]
    outcome = live.run(SEED_1, train=True, data=first[:12])
    assert outcome.exit_code == 0, outcome.said
    assert live.versions()[outcome.last["version"]]["data_version"] == first
    assert output(outcome, "validate", "dataset").version == first


def test_a_version_is_linked_with_what_was_set_aside_and_how_it_was_split(live: Shop) -> None:
    """Who looks at a model in the dashboard finds the quarantine and the report of its splits."""
    from zenml.client import Client

    version = Client().get_model_version("deliveries", "v1")
    linked = {each for each in version.data_artifact_ids} | {each for each in version.model_artifact_ids}
    assert {"quarantine", "dataset", "data_report", "splits", "split_report", "verdict"} <= linked


def test_stale_data_are_not_trained_on_unless_it_is_asked_for(
    live: Shop, sample: Sample, tmp_path: Path
) -> None:
    """Exit code 3 with the age, the limit and the setting that mends it; with it, a version."""
    before = live.versions()
    folder = write_delivery(tmp_path, sample.rows(captured_at="2020-02-29T12:00:00Z"), sample.data)
    outcome = live.run(train=True, source=str(folder))
    assert (outcome.exit_code, outcome.last["version"]) == (REFUSED, None)
    assert "was taken on 2020-02-29" in outcome.said
    assert "the limit is 365 days" in outcome.said
    assert f"--set {ALLOW_STALE}" in outcome.said
    assert live.versions() == before
    outcome = live.run(ALLOW_STALE, train=True, source=str(folder))
    assert outcome.exit_code == 0, outcome.said
    assert outcome.last["version"] not in before


def test_addresses_in_a_delivery_refuse_it_and_what_is_served_goes_on(
    live: Shop, sample: Sample, tmp_path: Path
) -> None:
    """Exit code 3; the message says where and how many, and no address."""
    before = live.served(), live.aliases(), live.versions()
    rows = sample.rows(note="soft")
    for number, row in enumerate(rows[:7]):
        row["note"] = f"ask customer{number}.planted@example.com"
    folder = write_delivery(tmp_path, rows, sample.data)
    outcome = live.run("validate.personal_data.columns=refuse", train=True, source=str(folder))
    assert (outcome.exit_code, outcome.last["version"]) == (REFUSED, None)
    assert "note: e-mail in 7 rows" in outcome.said
    assert "planted@example.com" not in outcome.said + outcome.stderr
    assert (live.served(), live.aliases(), live.versions()) == before


@dataclass(frozen=True)
class Planted:
    """A model that learnt from photographs with metadata, and when its training began."""

    shop: Shop
    pictures: Mapping[str, PlantedJpeg]
    labels: Mapping[str, str]
    began: float


@pytest.fixture(scope="module")
def planted(
    open_shop: Callable[[str], Shop], sample: Sample, tmp_path_factory: pytest.TempPathFactory
) -> Planted:
    """Two hundred photographs with a position, a serial number and a thumbnail, in a folder a class."""
    folder, pictures, labels = tmp_path_factory.mktemp("folders"), {}, {}
    for number, (path, label) in enumerate(sample.labels.items()):
        with Image.open(io.BytesIO(sample.data[path])) as image:
            name = f"{label}/{number}.jpg"
            pictures[name] = planted_jpeg(number, image.convert("RGB"))
        labels[name] = label
        (folder / label).mkdir(exist_ok=True)
        (folder / name).write_bytes(pictures[name].data)
    shop = replace(open_shop("class-folders"), delivery=folder)
    began = time.time()
    assert shop.train() == 1
    return Planted(shop, pictures, labels, began)


def test_nothing_that_metadata_told_is_in_the_store(planted: Planted) -> None:
    """None of 200 positions, serial numbers and thumbnails, in whatever file the whole training wrote."""
    from zenml.client import Client

    assert len(planted.pictures) == 5 * PER_CLASS
    root = Path(Client().active_stack.artifact_store.path)
    files = [path for path in root.rglob("*") if path.is_file()]
    recent = [path for path in files if path.stat().st_mtime >= planted.began - 2]
    written = {path: path.read_bytes() for path in recent if "quarantine" not in path.parts}
    assert len(written) > 20
    secrets = [secret for picture in planted.pictures.values() for secret in picture.secrets.values()]
    assert [path for path, data in written.items() for secret in secrets if secret in data] == []


def test_a_table_of_the_same_pictures_is_the_same_data(planted: Planted, tmp_path: Path) -> None:
    """Parquet or a folder a class: the same version of the data, and the same version of the model."""
    columns = {
        "image": [{"bytes": each.data, "path": path} for path, each in planted.pictures.items()],
        "label": list(planted.labels.values()),
    }
    table = write_parquet(tmp_path / "table" / "pictures.parquet", columns)
    outcome = planted.shop.run(train=True, source=str(table.parent))
    assert (outcome.exit_code, outcome.last["version"]) == (0, 1), outcome.said
    dataset: ImageDataset = output(outcome, "validate", "dataset")
    assert len(dataset) == len(planted.pictures)
    delivered = {picture_digest(each.data) for each in planted.pictures.values()}
    assert set(dataset.index["source_digest"]) == delivered
