"""Tests of steps/data/ingest.py: a delivery, or a stored version, and what only its reader can judge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from zenml import save_artifact

from materializers.blobs import list_folder
from materializers.data_report import Check, Screening
from materializers.errors import DamagedArtifact, UsageError
from materializers.image_dataset import ImageDataset, picture_digest
from materializers.shards import SHARDS_FOLDER, shard_uri
from serving.preprocess import DEFAULT_LIMITS, Limits
from steps.data.checks.freshness import DeliveryInterval, FreshnessSettings
from steps.data.class_changes import ClassChanges
from steps.data.ingest import ingest
from steps.data.intake import IngestSettings, newest_arrival
from steps.data.parent import keep_readmitted
from steps.data.personal_data.settings import PersonalDataSettings
from tests.steps.data.arrivals import let_age
from tests.steps.data.deliveries import CLASSES, dataset_of, good_delivery, photograph, write_delivery

if TYPE_CHECKING:
    from zenml.client import Client

DAILY = FreshnessSettings(delivery_interval=DeliveryInterval(limit=24))


def ingested(model: str, **given: Any) -> tuple[ImageDataset, Screening]:
    """What the step makes of a delivery of the supplier ``shop``, or of a stored version."""
    dataset, screening, *_ = ingest.entrypoint(model, "shop", IngestSettings(), **given)
    return dataset, screening


def check(screening: Screening, name: str) -> Check:
    """One of what only the reader of a delivery can judge."""
    return next(each for each in screening.checks if each.name == name)


@pytest.mark.parametrize("given", [{}, {"source": "x", "data_version": "0123abcd"}])
def test_exactly_one_of_source_and_version_is_needed(given: dict[str, str]) -> None:
    """Neither or both is wrong use."""
    with pytest.raises(UsageError, match="either a source or a stored version"):
        ingest.entrypoint("model", "shop", IngestSettings(), **given)


def test_the_step_reads_a_source(local_stack: Client, tmp_path: Path) -> None:
    """A model without a past has no parent and no previous splits."""
    folder = good_delivery(tmp_path, per_class=4)
    dataset, screening, quarantine, previous, splits = ingest.entrypoint(
        "a model without a past", "shop", IngestSettings(), source=str(folder), join_parent=True
    )
    assert (len(dataset), screening.rows, len(quarantine), previous, splits) == (12, 12, 0, None, None)


@pytest.mark.parametrize(
    ("name", "wider", "served"),
    [
        ("max_bytes", 10_000_001, "no more than 10000000"),
        ("max_pixels", 50_000_001, "no more than 50000000"),
        ("min_side", 7, "no less than 8"),
    ],
)
def test_limits_wider_than_what_is_served_are_refused(name: str, wider: int, served: str) -> None:
    """Evaluation and the service would refuse what was learned from; value, limit and mend are named."""
    with pytest.raises(ValidationError) as refused:
        IngestSettings.model_validate({"limits": {name: wider}})
    [error] = refused.value.errors()
    assert error["loc"] == ("limits",)
    assert f"{name} is {wider}, and may be {served}: evaluation and the service refuse" in error["msg"]
    assert f"--set ingest.limits.{name}={served.rpartition(' ')[2]}" in error["msg"]


@pytest.mark.parametrize("limits", [{"max_bytes": 9_000_000, "max_pixels": 1_000_000, "min_side": 28}, {}])
def test_limits_as_narrow_as_what_is_served_or_narrower_are_taken(limits: dict[str, int]) -> None:
    """A delivery may be asked for more than the service asks of a picture."""
    settings = IngestSettings.model_validate({"limits": limits})
    assert settings.limits == Limits(**{**DEFAULT_LIMITS.model_dump(), **limits})


def test_a_stored_version_is_fetched_as_it_is(local_stack: Client, tmp_path: Path) -> None:
    """Also for a model that has a newer dataset, and without a word of what it was screened for."""
    stored = dataset_of([*CLASSES, *CLASSES])
    save_artifact(stored, name="dataset")
    keep_readmitted(dataset_of(["toys"]), "fetching")
    dataset, screening = ingested("fetching", data_version=stored.version[:12])
    assert dataset.version == stored.version
    assert (screening.rows, screening.set_aside) == (6, ())
    assert check(screening, "data_age").outcome == "passed"


def test_what_a_delivery_that_is_taken_alone_leaves_behind_is_said(
    local_stack: Client, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """With the two ways back; a delivery that is joined, or that has all of it, leaves nothing."""
    parent = dataset_of(["toys"] * 20)
    keep_readmitted(parent, "left-behind")
    folder = good_delivery(tmp_path, per_class=3)
    caplog.set_level("WARNING", "shutterline")
    alone, _ = ingested("left-behind", source=str(folder))
    left = len(set(parent.index["image_id"]) - set(alone.index["image_id"]))
    assert left > 1
    assert f"ingest: {left} stored pictures are not in what --train takes alone" in caplog.text
    assert f"python run.py --continuous --source {folder}" in caplog.text
    assert f"python run.py --train --data {parent.version[:16]}" in caplog.text
    caplog.clear()
    ingested("left-behind", source=str(folder), join_parent=True)
    ingested("left-behind", data_version=parent.version)
    ingested("never-trained-before", source=str(folder))
    assert "takes alone" not in caplog.text


def test_a_stored_version_joins_the_parent_where_it_is_asked_for(local_stack: Client) -> None:
    """The joined one is nowhere stored yet, and is as old as the newer of the two."""
    stored, parent = dataset_of(["books", "toys", "toys"]), dataset_of(["toys"] * 5)
    save_artifact(stored, name="dataset")
    keep_readmitted(parent, "fetching-and-joining")
    let_age(local_stack, stored.version, 400)
    dataset, screening = ingested("fetching-and-joining", data_version=stored.version, join_parent=True)
    assert dataset.version == parent.join(stored).version not in {stored.version, parent.version}
    assert (check(screening, "data_age").outcome, check(screening, "data_age").measured) == ("passed", 0)


def test_classes_that_were_renamed_since_do_not_make_a_stored_version_ageless(local_stack: Client) -> None:
    """Its pictures came when they came, under whatever name."""
    stored = dataset_of(["novels", "toys", "hats"])
    save_artifact(stored, name="dataset")
    let_age(local_stack, stored.version, 7)
    changes = ClassChanges(renamed={"novels": "books"}, retired=("hats",))
    dataset, screening = ingested("renaming", data_version=stored.version, class_changes=changes)
    assert sorted(dataset.index["label"]) == ["books", "toys"]
    assert check(screening, "data_age").measured == 7


def test_a_stored_picture_of_a_class_nobody_configured_is_left_out_and_refuses_no_delivery(
    local_stack: Client, tmp_path: Path
) -> None:
    """It is told apart, with the version that has it; an unknown label of the delivery's own still counts."""
    parent = dataset_of([*CLASSES, "hats", "shoes", "bags"])
    keep_readmitted(parent, "unconfigured")
    header = {"image_path": "", "label": "", "image_id": ""}
    rows = [
        header | {"image_path": "new.png", "label": "belts"},
        header | {"image_id": picture_digest(photograph(4)), "label": "toys"},
        header | {"image_id": picture_digest(photograph(5)), "label": "belts"},
    ]
    dataset, screening = ingested(
        "unconfigured",
        source=str(write_delivery(tmp_path, rows, {"new.png": photograph(950)})),
        join_parent=True,
        classes=CLASSES,
    )
    assert sorted(dataset.index["label"]) == sorted([*CLASSES, "toys", "belts", "belts"])
    told = check(screening, "stored_labels")
    assert (told.outcome, told.severity, told.measured) == ("warned", "warn", 1)
    assert "1 stored picture left out, of a class that is not configured (hats)" in told.reason
    assert f"python run.py --continuous --data {parent.version[:16]}" in told.reason
    assert "product.class_changes.retired" in told.reason
    save_artifact(parent, name="dataset")
    hats = [*CLASSES, "hats"]
    back, screening = ingested("unconfigured", data_version=parent.version, join_parent=True, classes=hats)
    assert sorted(back.index["label"]) == sorted(hats)
    assert "(bags, shoes)" in check(screening, "stored_labels").reason


def test_a_stored_version_alone_leaves_out_what_nobody_configured(
    local_stack: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """The command that brings it back is the one that was typed; the log says it too."""
    caplog.set_level("WARNING", "shutterline")
    stored = dataset_of([*CLASSES, "hats"])
    save_artifact(stored, name="dataset")
    dataset, screening = ingested("alone-unconfigured", data_version=stored.version, classes=CLASSES)
    assert sorted(dataset.index["label"]) == sorted(CLASSES)
    assert f"python run.py --train --data {stored.version[:16]}" in check(screening, "stored_labels").reason
    assert "ingest: 1 stored picture left out, of a class that is not configured (hats)" in caplog.text
    caplog.clear()
    _, screening = ingested("alone-unconfigured", data_version=stored.version, classes=[*CLASSES, "hats"])
    assert "left out" not in caplog.text
    assert check(screening, "stored_labels").outcome == "passed"


def test_a_delivery_joins_the_parent_under_todays_names(local_stack: Client, tmp_path: Path) -> None:
    """What comes under an old name has the new one, and the quarantine does not take it for unknown."""
    keep_readmitted(dataset_of(["novels", "toys"]), "renaming-and-joining")
    rows = [{"image_path": "a.png", "label": "novels"}, {"image_path": "b.png", "label": "hats"}]
    folder = write_delivery(tmp_path, rows, {"a.png": photograph(91), "b.png": photograph(92)})
    dataset, _, quarantine, previous, _ = ingest.entrypoint(
        "renaming-and-joining",
        "shop",
        IngestSettings(),
        source=str(folder),
        join_parent=True,
        classes=["books", "toys"],
        class_changes=ClassChanges(renamed={"novels": "books"}, retired=("hats",)),
    )
    assert sorted(dataset.index["label"]) == ["books", "books", "toys"]
    assert len(quarantine) == 0
    assert previous is not None
    assert sorted(previous.index["label"]) == ["novels", "toys"]


def test_the_same_delivery_again_is_as_old_as_it_was(local_stack: Client, tmp_path: Path) -> None:
    """Delivered a second time, it is no fresher; anything new in it is."""
    folder = good_delivery(tmp_path / "first", per_class=3, first=600)  # old in this store from now on
    first, screening = ingested("ageing", source=str(folder))
    assert check(screening, "data_age").measured == 0
    save_artifact(first, name="dataset")
    let_age(local_stack, first.version, 400)
    again, screening = ingested("ageing", source=str(folder))
    assert again.version == first.version
    age = check(screening, "data_age")
    assert (age.outcome, age.measured, age.limit) == ("refused", 400, 365)
    _, screening = ingested("ageing", source=str(good_delivery(tmp_path / "second", per_class=4, first=600)))
    assert check(screening, "data_age").outcome == "passed"
    allowing = FreshnessSettings(allow_stale=True)
    _, screening = ingested("ageing", source=str(folder), freshness=allowing)
    assert check(screening, "data_age").outcome == "warned"


def test_a_delivery_that_is_late_is_found_by_the_age_of_the_last_one(
    local_stack: Client, tmp_path: Path
) -> None:
    """Also when the old one is read once more; the first one of a model cannot be late."""
    folder = good_delivery(tmp_path / "first", per_class=3, first=500)
    first, screening = ingested("late", source=str(folder), freshness=DAILY)
    assert check(screening, "delivery_interval").outcome == "passed"
    keep_readmitted(first, "late")
    let_age(local_stack, first.version, 2)
    _, screening = ingested("late", source=str(folder), join_parent=True, freshness=DAILY)
    late = check(screening, "delivery_interval")
    assert (late.outcome, late.measured) == ("warned", 48)


def test_the_newest_of_several_arrivals_counts(local_stack: Client) -> None:
    """What is nowhere stored says nothing."""
    first, second, nowhere = dataset_of(["a"]), dataset_of(["a", "b"]), dataset_of(["a", "b", "c", "d"])
    for dataset in (first, second):
        save_artifact(dataset, name="dataset")
    let_age(local_stack, first.version, 9)
    newest = let_age(local_stack, second.version, 5)
    assert newest_arrival([first, second, nowhere, None]) == newest
    assert newest_arrival([nowhere, None]) is None
    assert newest_arrival([second]) < datetime.now(UTC) - timedelta(days=4)  # type: ignore[operator]


def shard_files(client: Client) -> dict[str, int]:
    """The shards of the stack's store by name, with their sizes."""
    store = client.active_stack.artifact_store
    return {
        str(name): int(size or 0)
        for name, size in list_folder(store, f"{store.path}/{SHARDS_FOLDER}").items()
    }


@pytest.mark.parametrize("join_parent", [True, False], ids=["joined", "alone"])
def test_a_delivery_that_repeats_all_and_adds_three_writes_the_three(
    local_stack: Client, tmp_path: Path, join_parent: bool
) -> None:
    """Labels, paths and columns are the later ones, the version is that of the content, however it came."""
    model, start = ("repeating-joined", 700) if join_parent else ("repeating-alone", 750)
    first, _ = ingested(model, source=str(good_delivery(tmp_path / "first", per_class=4, first=start)))
    keep_readmitted(first, model)
    numbers = range(start, start + 15)
    rows = [{"image_path": f"again/{n}.png", "label": "books", "season": "spring"} for n in numbers]
    again = write_delivery(tmp_path / "again", rows, {f"again/{n}.png": photograph(n) for n in numbers})
    before = shard_files(local_stack)
    joined, _ = ingested(model, source=str(again), join_parent=join_parent)
    save_artifact(joined, name="dataset")
    after = shard_files(local_stack)
    [written] = after.keys() - before.keys()
    brought = sum(len(photograph(n)) for n in numbers[12:])
    assert brought < after[written] < brought + 2_000
    assert {name: after[name] for name in before} == before
    assert dict(joined.scan()) == {picture_digest(photograph(n)): photograph(n) for n in numbers}
    assert set(joined.index["source"]) == {f"shop/again/{n}.png" for n in numbers}
    assert set(joined.index["season"]) == {"spring"}
    relabelled = first.diff(joined).relabelled
    assert (len(relabelled), set(relabelled["new_label"])) == (8, {"books"})
    anew, _ = ingested("a model without a past", source=str(again))
    assert joined.version == anew.version


def test_a_picture_whose_shard_is_gone_is_mended_by_its_delivery(local_stack: Client, tmp_path: Path) -> None:
    """It is not taken to lie where nothing does; joined to, the damage is told, with what to do first."""
    folder = good_delivery(tmp_path, per_class=2, first=800)
    first, _ = ingested("mending", source=str(folder))
    keep_readmitted(first, "mending")
    [digest] = first.shards
    shard = Path(shard_uri(local_stack.active_stack.artifact_store, digest))
    shard.unlink()
    with pytest.raises(DamagedArtifact, match=r"is missing.*--train --source PATH"):
        ingested("mending", source=str(folder), join_parent=True)
    again, _ = ingested("mending", source=str(folder))
    save_artifact(again, name="dataset")
    assert shard.exists()
    joined, _ = ingested("mending", source=str(folder), join_parent=True)
    assert joined.version == again.version == first.version


def test_personal_data_in_a_correction_are_found_and_masked(local_stack: Client, tmp_path: Path) -> None:
    """A later delivery cannot say of a stored picture what it may not say of its own."""
    keep_readmitted(dataset_of(["toys"]), "correcting")
    row = {"image_path": "", "label": "books", "image_id": picture_digest(photograph(0))}
    folder = write_delivery(tmp_path, [{**row, "note": "write to anna@example.com"}], {})
    for policy, note, outcome in (
        ("warn", "write to anna@example.com", "warned"),
        ("mask", "write to [e-mail]", "warned"),
    ):
        settings = PersonalDataSettings.model_validate({"columns": policy})
        dataset, screening = ingested(
            "correcting", source=str(folder), join_parent=True, personal_data=settings
        )
        assert dataset.index[["label", "note"]].to_numpy().tolist() == [["books", note]]
        assert check(screening, "personal_data: columns").outcome == outcome
        assert (screening.changes.relabelled, screening.changes.amended) == (1, 1)


@pytest.mark.parametrize(
    ("known", "joined", "said"),
    [
        (True, False, "They are joined to what is stored: python run.py --continuous --source"),
        (False, False, "Nothing is stored yet that they could correct"),
        (False, True, "Nothing is stored yet that they could correct"),
    ],
)
def test_a_delivery_of_nothing_but_corrections_is_not_taken_alone(
    local_stack: Client, tmp_path: Path, known: bool, joined: bool, said: str
) -> None:
    """One sentence says where corrections go, in the place of a refusal by every check that counts."""
    model = f"alone-{known}-{joined}".lower()
    if known:
        keep_readmitted(dataset_of(["toys", "books"]), model)
    rows = [{"image_path": "", "label": "books", "image_id": picture_digest(photograph(0))}]
    with pytest.raises(UsageError, match="has 1 row to correct or withdraw") as refused:
        ingested(model, source=str(write_delivery(tmp_path, rows, {})), join_parent=joined)
    assert said in str(refused.value)


def test_the_log_says_what_became_of_corrections(
    local_stack: Client, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning where one matched nothing, a line where all did, no word where there was none."""
    keep_readmitted(dataset_of(["toys", "books"]), "told")
    known = {"image_path": "", "label": "books", "image_id": picture_digest(photograph(0))}
    rows = [known, known | {"image_id": "ab" * 32}]
    caplog.set_level("INFO", "shutterline")
    for number, (some, level, said) in enumerate(
        (
            (rows, "WARNING", "2 corrections: 1 relabelled, no stored picture matches 1 (abababababab)"),
            (rows[:1], "INFO", "1 correction: 1 relabelled"),
        )
    ):
        caplog.clear()
        ingested("told", source=str(write_delivery(tmp_path / str(number), some, {})), join_parent=True)
        told = [(each.levelname, each.message) for each in caplog.records if "correction" in each.message]
        assert told == [(level, f"ingest: {said}")]
    caplog.clear()
    ingested("told", source=str(good_delivery(tmp_path / "new", per_class=2, first=970)), join_parent=True)
    assert "correction" not in caplog.text


def test_a_delivery_that_brings_no_picture_is_compared_with_nothing(
    local_stack: Client, tmp_path: Path
) -> None:
    """Corrections alone are no drift, and nobody is refused for the pictures that they do not bring."""
    keep_readmitted(dataset_of(["toys", "books"]), "only-correcting")
    rows = [{"image_path": "", "label": "books", "image_id": picture_digest(photograph(0))}]
    settings = PersonalDataSettings(columns="refuse", pictures="refuse")
    dataset, screening = ingested(
        "only-correcting",
        source=str(write_delivery(tmp_path, rows, {})),
        join_parent=True,
        personal_data=settings,
    )
    assert dataset.index["label"].tolist() == ["books", "books"]
    assert not [each.name for each in screening.checks if each.refuses]
