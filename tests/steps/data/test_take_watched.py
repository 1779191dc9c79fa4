"""Tests of steps/data/take_watched.py: what a watched place has joins the data once, none is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from zenml import pipeline

from materializers.data_report import DataReport
from materializers.image_dataset import ImageDataset, picture_digest
from materializers.watched import Watched
from steps.data.files import FolderSource
from steps.data.ingest import ingest
from steps.data.intake import IngestSettings
from steps.data.parent import known_deliveries, last_dataset
from steps.data.validate import ValidateSettings, validate
from steps.data.watching import WatchSettings
from tests.bucket import BUCKET, BucketServer
from tests.steps.data.deliveries import (
    CLASSES,
    as_parquet,
    good_delivery,
    photograph,
    write_delivery,
    zipped,
)
from tests.steps.data.test_watching import mark, put

if TYPE_CHECKING:
    from zenml.client import Client

FEW = ValidateSettings.model_validate(
    {
        "rows": {"limit": 9, "severity": "refuse"},
        "pictures_per_class": {"limit": 3, "severity": "refuse"},
        "columns": {"colour": {"type": "text"}},
    }
)
"""Limits that a delivery of three pictures a class meets."""


@pipeline(enable_cache=False)
def taking_in(
    model: str, source: str | None, version: str | None, join: bool, settings: IngestSettings
) -> None:
    """The first two steps of every training."""
    delivery, screening, quarantine, parent, _ = ingest(
        model, "shop", settings, source, version, join, classes=CLASSES, checks=FEW
    )
    validate(delivery, screening, quarantine, parent, CLASSES, {}, [], FEW, "code")


class Shop:
    """A registered model that takes in what one place has."""

    def __init__(self, model: str, place: Path) -> None:
        self.model, self.place = model, place

    def take(
        self, source: object = None, *, version: str | None = None, join: bool = True, **watch: Any
    ) -> DataReport:
        """The report of a run on the place, or on something else."""
        from zenml.client import Client

        address = None if version else str(source or f"{self.place}/*")
        settings = IngestSettings(watch=WatchSettings(**watch))
        run = taking_in.with_options(tags=[f"model:{self.model}"])(
            self.model, address, version, join, settings
        )
        assert run is not None
        [report] = Client().get_pipeline_run(run.id).steps["validate"].outputs["data_report"]
        loaded: DataReport = report.load()
        return loaded

    @property
    def dataset(self) -> ImageDataset:
        """What the model may learn from now."""
        found = last_dataset(self.model)
        assert found is not None
        return found


@pytest.fixture
def shop(local_stack: Client, request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """A model of the test's own, whose place is there and empty."""
    (tmp_path / "incoming").mkdir()
    return Shop(request.node.name[:60], tmp_path / "incoming")


def names(addresses: tuple[str, ...]) -> list[str]:
    """The last parts of addresses."""
    return [address.rpartition("/")[2] for address in addresses]


def deliver(place: Path, name: str, first: int, per_class: int = 3) -> Path:
    """A complete archive, or a folder where the name has no ending, of pictures numbered from ``first``."""
    folder = good_delivery(place.parent / f"{first}" / name, per_class=per_class, first=first)
    path = zipped(folder, place / name) if name.endswith(".zip") else folder.rename(place / name)
    mark(place, name)
    return path


def test_what_is_complete_joins_and_what_was_taken_is_not_opened_again(shop: Shop) -> None:
    """All of it in one run, whatever its form; later its bytes may be anything behind the same stamp."""
    archive = deliver(shop.place, "a.zip", 0)
    deliver(shop.place, "b", 100)
    as_parquet(good_delivery(shop.place.parent / "c", per_class=3, first=200), shop.place / "c.parquet")
    mark(shop.place, "c.parquet")
    put(shop.place, "half.zip", number=300, complete=False)
    first = shop.take()
    assert names(first.watched.taken) == ["a.zip", "b", "c.parquet"]
    assert (first.outcome, first.rows, first.accepted) == ("passed", 27, 27)
    assert names(tuple(each.address for each in first.watched.incomplete)) == ["half.zip"]
    assert first.watched.newest_at == max(each.complete_at for each in first.watched.deliveries)
    before = shop.dataset.version

    stamp = archive.stat()
    archive.write_bytes(b"\0" * stamp.st_size)
    os.utime(archive, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    again = shop.take()
    assert (again.outcome, again.rows, again.accepted) == ("passed", 0, 27)
    assert again.watched.brings_nothing
    assert again.watched.said()[0] == f"Nothing new is complete in {shop.place}."
    assert again.watched.deliveries == first.watched.deliveries
    assert again.pictures == {}
    assert shop.dataset.version == before

    mark(shop.place, "half.zip")
    assert names(shop.take().watched.taken) == ["half.zip"]
    assert len(shop.dataset) == 30


def test_deliveries_join_in_the_order_of_their_markers(shop: Shop) -> None:
    """The later one corrects and withdraws what the earlier one brought, in the same run."""
    deliver(shop.place, "z-first.zip", 0, per_class=4)
    corrected, withdrawn = (picture_digest(photograph(number)) for number in (0, 1))
    rows = [
        {"image_path": "", "label": "toys", "image_id": corrected, "withdrawn": ""},
        {"image_path": "", "label": "", "image_id": withdrawn, "withdrawn": "true"},
        {"image_path": "new.png", "label": "books", "image_id": "", "withdrawn": ""},
        *(
            {"image_path": f"{number}.png", "label": "books", "image_id": "", "withdrawn": ""}
            for number in range(50, 53)
        ),
    ]
    pictures = {
        "new.png": photograph(60),
        **{f"{number}.png": photograph(number) for number in range(50, 53)},
    }
    write_delivery(shop.place / "a-second", rows, pictures)
    mark(shop.place, "a-second")
    assert names(shop.take().watched.taken) == ["z-first.zip", "a-second"]
    labels = dict(zip(shop.dataset.index["image_id"], shop.dataset.index["label"], strict=True))
    assert (labels[corrected], withdrawn in labels, len(labels)) == ("toys", False, 15)


def test_the_same_delivery_under_two_names_adds_nothing(shop: Shop) -> None:
    """Pictures are known by their content: both are taken, and the data are those of one."""
    deliver(shop.place, "a.zip", 0)
    deliver(shop.place, "b.zip", 0)
    assert names(shop.take().watched.taken) == ["a.zip", "b.zip"]
    assert len(shop.dataset) == 9
    version = shop.dataset.version
    deliver(shop.place, "c.zip", 0)
    assert names(shop.take().watched.taken) == ["c.zip"]
    assert shop.dataset.version == version


def test_a_bad_delivery_is_refused_alone_and_told_and_waits_until_it_changed(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong with it: the others join, and it is not taken again and again."""
    deliver(shop.place, "good.zip", 0)
    torn = deliver(shop.place, "torn.zip", 100)
    torn.write_bytes(torn.read_bytes()[:-200])
    (shop.place / "empty").mkdir()
    (shop.place / "empty" / "notes.txt").write_text("no pictures")
    mark(shop.place, "empty")
    rows = [{"image_path": f"{n}.png", "label": "hats", "colour": "red"} for n in range(9)]
    write_delivery(shop.place / "unknown", rows, {f"{n}.png": photograph(300 + n) for n in range(9)})
    mark(shop.place, "unknown")
    lacking = deliver(shop.place, "lacking", 400)
    for number in range(400, 405):
        (lacking / f"images/{number:05d}.png").unlink()
    bad = {"empty", "lacking", "torn.zip", "unknown"}

    report = shop.take()
    assert (report.outcome, names(report.watched.taken)) == ("passed", ["good.zip"])
    assert set(names(report.watched.refused)) == bad
    assert len(shop.dataset) == 9
    told = [line for line in caplog.text.splitlines() if "delivery_refused" in line]
    assert len(told) == 1
    assert all(name in told[0] for name in bad)
    said = "\n".join(report.watched.said())
    for reason in ("hats", "missing 5", "labels.csv", "ingest.watch.again=true"):
        assert reason in said
    assert said in report.page().replace("&#39;", "'") or all(name in report.page() for name in bad)

    caplog.clear()
    again = shop.take()
    assert (again.watched.taken, set(names(again.watched.refused))) == ((), bad)
    assert "delivery_refused" not in caplog.text
    assert set(names(shop.take(again=True).watched.refused)) == bad

    for number in range(400, 405):
        (lacking / f"images/{number:05d}.png").write_bytes(photograph(number))
    mended = shop.take()
    assert names(mended.watched.taken) == ["lacking"]
    assert mended.watched.changed == ()
    assert set(names(mended.watched.refused)) == bad - {"lacking"}
    assert len(shop.dataset) == 18


def test_a_delivery_that_is_still_being_written_is_left_to_the_next_run(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its marker came too early, and a file grew while it was read: it is refused by name, and not lost."""
    deliver(shop.place, "good.zip", 0)
    growing = deliver(shop.place, "growing", 100)
    read: Callable[..., bytes] = FolderSource._read

    def while_it_grows(source: FolderSource, path: str) -> bytes:
        data = read(source, path)
        if path == "labels.csv":
            with (growing / "labels.csv").open("a") as file:
                file.write("images/late.png,toys,red\n")
            (growing / "images/late.png").write_bytes(photograph(150))
        return data

    with monkeypatch.context() as patch:
        patch.setattr(FolderSource, "_read", while_it_grows)
        report = shop.take()
    assert names(report.watched.taken) == ["good.zip"]
    assert names(report.watched.refused) == ["growing"]
    assert "changed while it was read" in "\n".join(report.watched.said())
    assert names(shop.take().watched.taken) == ["growing"]
    assert len(shop.dataset) == 19


def test_a_delivery_that_changed_is_taken_again_and_named(shop: Shop) -> None:
    """The pictures that it has now join; those that it brought before stay."""
    path = deliver(shop.place, "a.zip", 0)
    shop.take()
    zipped(good_delivery(shop.place.parent / "other", per_class=3, first=50), path)
    report = shop.take()
    assert names(report.watched.taken) == names(report.watched.changed) == ["a.zip"]
    assert "Changed since an earlier run took it, and taken again: a.zip." in report.watched.said()
    assert len(shop.dataset) == 18


def test_an_empty_place_and_no_data_are_refused_with_what_is_missing(shop: Shop) -> None:
    """Nothing is there to learn from; the first delivery mends it."""
    report = shop.take()
    assert report.outcome == "refused"
    assert "0 pictures can be used" in report.reasons()[0]
    assert report.watched.said() == [f"Nothing new is complete in {shop.place}."]
    assert last_dataset(shop.model) is None
    deliver(shop.place, "a.zip", 0)
    assert shop.take().outcome == "passed"


def test_what_was_too_little_alone_is_taken_with_what_comes_later(shop: Shop) -> None:
    """A refusal of the whole dataset blames no delivery for good; until another one comes it waits."""
    deliver(shop.place, "small.zip", 0, per_class=2)
    first = shop.take()
    assert (first.outcome, names(first.watched.refused), first.watched.taken) == (
        "refused",
        ["small.zip"],
        (),
    )
    waiting = shop.take()
    assert (waiting.rows, names(waiting.watched.refused)) == (0, ["small.zip"])
    deliver(shop.place, "more.zip", 100, per_class=2)
    report = shop.take()
    assert (report.outcome, names(report.watched.taken)) == ("passed", ["small.zip", "more.zip"])
    assert len(shop.dataset) == 12
    assert shop.take().watched.refused == ()


def test_what_was_taken_is_known_by_the_data_that_have_it(shop: Shop) -> None:
    """It outlives other deliveries, goes with the data that another training replaces, and comes back."""
    deliver(shop.place, "a.zip", 0)
    shop.take()
    with_a = shop.dataset.version
    shop.take(good_delivery(shop.place.parent / "plain", per_class=3, first=100))
    assert shop.take().watched.brings_nothing

    shop.take(good_delivery(shop.place.parent / "alone", per_class=3, first=200), join=False)
    assert known_deliveries(shop.model, shop.dataset.version) == ()
    again = shop.take()
    assert (names(again.watched.taken), len(shop.dataset)) == (["a.zip"], 18)

    shop.take(version=with_a, join=False)
    assert shop.dataset.version == with_a
    assert shop.take().watched.brings_nothing


def test_of_two_runs_that_looked_at_once_none_loses_a_delivery(shop: Shop, local_stack: Client) -> None:
    """Whichever is taken as the last one: what its data lack is taken again."""
    from sqlalchemy import text

    deliver(shop.place, "a.zip", 0)
    looked_at_once = [
        ingest.entrypoint(
            shop.model,
            "shop",
            IngestSettings(),
            source=f"{shop.place}/*",
            join_parent=True,
            classes=CLASSES,
            checks=FEW,
        )
        for _ in range(2)
    ]
    assert len({dataset.version for dataset, *_ in looked_at_once}) == 1
    shop.take()
    deliver(shop.place, "b.zip", 100)
    assert names(shop.take().watched.taken) == ["b.zip"]
    both = shop.dataset.version
    # The first run is made the newer one: it was started later, and had looked at the place earlier.
    first, second = (
        run.id for run in local_stack.list_pipeline_runs(tags=f"model:{shop.model}", sort_by="asc:created")
    )
    store: Any = local_stack.zen_store
    later = datetime.now(UTC) + timedelta(seconds=5)
    with store.engine.begin() as database:
        database.execute(
            text("UPDATE pipeline_run SET created = :later WHERE id = :id"),
            {"later": f"{later:%Y-%m-%d %H:%M:%S.%f}", "id": first.hex},
        )
    assert second != first
    assert len(shop.dataset) == 9
    report = shop.take()
    assert names(report.watched.taken) == ["b.zip"]
    dataset = report.data
    assert dataset == both


def test_where_nobody_can_read_what_was_taken_all_of_it_is_taken_again(shop: Shop) -> None:
    """It is said, and adds nothing: no damaged report keeps a delivery out, or a run from going on."""
    from zenml.client import Client

    deliver(shop.place, "a.zip", 0)
    shop.take()
    version = shop.dataset.version
    [run] = Client().list_pipeline_runs(tags=f"model:{shop.model}", hydrate=True)
    [report] = run.steps["validate"].outputs["data_report"]
    (Path(report.uri) / "report.json").write_bytes(b"{")
    again = shop.take()
    assert names(again.watched.taken) == ["a.zip"]
    [said] = [check for check in again.checks if check.name == "previous_deliveries"]
    assert (said.outcome, said.severity) == ("not_assessed", "warn")
    assert "each is taken again" in said.reason
    assert (shop.dataset.version, again.outcome) == (version, "passed")


def test_small_deliveries_are_packed_together(shop: Shop) -> None:
    """Forty of them are one shard in the store, not forty, and a report that stays small."""
    for number in range(40):
        deliver(shop.place, f"{number:02d}.zip", 10 * number, per_class=3)
    report = shop.take()
    assert len(report.watched.taken) == 40
    assert len(shop.dataset) == 360
    assert len(shop.dataset.shards) == 1
    assert "00.zip, 01.zip, 02.zip, 03.zip, 04.zip and 35 more" in report.watched.said()[0]
    assert len({check.name for check in report.checks}) == len(report.checks)


def test_deliveries_in_a_bucket_are_taken_like_those_in_a_folder(
    shop: Shop, bucket: BucketServer, tmp_path: Path
) -> None:
    """A folder of objects and an archive; one whose marker came before its files is taken once they came."""
    deliver(shop.place, "a b", 0)
    deliver(shop.place, "c+d.zip", 100)
    (shop.place / "early._COMPLETE").touch()
    address = bucket.upload(shop.place, "taken/incoming")
    first = shop.take(f"{address}/*")
    assert set(names(first.watched.taken)) == {"a b", "c+d.zip"}
    assert [each.said.partition(" since")[0] for each in first.watched.incomplete] == [
        "early has no delivery"
    ]
    assert shop.take(f"{address}/*").watched.brings_nothing
    bucket.upload(good_delivery(tmp_path / "late", per_class=3, first=200), "taken/incoming/early")
    bucket.client.delete_object(Bucket=BUCKET, Key="taken/incoming/early/images/00208.png")
    lacking = shop.take(f"{address}/*")
    assert (lacking.watched.taken, names(lacking.watched.refused)) == ((), ["early"])
    bucket.upload(good_delivery(tmp_path / "late", per_class=3, first=200), "taken/incoming/early")
    assert names(shop.take(f"{address}/*").watched.taken) == ["early"]
    assert len(shop.dataset) == 27


def test_what_a_run_reports_of_nothing_is_nothing() -> None:
    """A delivery that was given by itself has no place to speak of."""
    assert Watched().said() == []
    assert not Watched().brings_nothing
    assert Watched().newest_at is None
