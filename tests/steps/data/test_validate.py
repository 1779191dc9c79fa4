"""Tests of steps/data/validate.py: each check, passed and refused."""

from collections.abc import Sequence

import pandas as pd
import pytest
from pydantic import ValidationError

from materializers.data_report import Check, Corrections, DataReport, Screening, SetAside, SuspiciousLabel
from materializers.image_dataset import ImageDataset
from materializers.quarantine import Quarantine, QuarantineBuilder
from steps.data.checks.limits import ShareLimit
from steps.data.findings import Findings
from steps.data.validate import ValidateSettings, check_delivery, compare, sizes_of, validate
from tests.steps.data.deliveries import CLASSES, dataset_of, photograph

GOOD = CLASSES * 40


def screening_of(rows: int, **found: object) -> Screening:
    """What reading ``rows`` good rows finds, but for ``found``."""
    nothing: dict[str, object] = {"duplicate_rows": 0, "conflicts": (), "missing_values": {}, "set_aside": ()}
    return Screening.model_validate({"source_name": "shop", "rows": rows, **nothing, **found})


def checked(
    labels: Sequence[str] = GOOD,
    groups: Sequence[str | None] | None = None,
    classes: Sequence[str] = CLASSES,
    **found: object,
) -> tuple[ImageDataset, DataReport]:
    """Check a dataset of these labels as a delivery of its own."""
    dataset = dataset_of(labels, groups)
    return check_delivery(dataset, screening_of(len(labels), **found), classes, ValidateSettings())


def refused(report: DataReport) -> dict[str, Check]:
    """The checks that refused, by name."""
    return {check.name: check for check in report.checks if check.outcome == "refused"}


def warned(report: DataReport) -> set[str]:
    """The names of the checks that warned."""
    return {check.name for check in report.checks if check.outcome == "warned"}


def test_a_good_delivery_passes() -> None:
    """The report counts each class and names the dataset's version."""
    dataset, report = checked()
    assert report.outcome == "passed"
    assert report.reasons() == []
    assert warned(report) == set()
    assert report.per_class == {"clothing": 40, "books": 40, "toys": 40}
    assert (report.data, report.accepted) == (dataset.version, 120)


def test_too_few_rows_are_refused() -> None:
    """99 are refused, 102 are not."""
    _, report = checked(CLASSES * 33)
    assert refused(report).keys() == {"rows"}
    assert report.reasons() == [
        "99 pictures can be used; at least 100 are needed. "
        "Deliver more pictures: python run.py --train --source PATH."
    ]
    assert checked(CLASSES * 34)[1].outcome == "passed"


def test_pictures_of_unknown_classes_are_set_aside() -> None:
    """A few of them cost themselves alone."""
    dataset, report = checked([*GOOD, "shoes", "hats"])
    assert report.outcome == "passed"
    assert {(each.path, each.label, each.reason) for each in report.set_aside} == {
        ("120.png", "shoes", "unknown_label"),
        ("121.png", "hats", "unknown_label"),
    }
    assert sorted(dataset.index["label"].unique()) == sorted(CLASSES)
    assert report.data == dataset.version


def test_many_pictures_of_unknown_classes_are_refused() -> None:
    """Seven of 127 are more than 5 %: somebody forgot to configure a class."""
    _, report = checked([*GOOD, *["shoes"] * 7])
    assert refused(report).keys() == {"unknown_labels"}
    check = refused(report)["unknown_labels"]
    assert check.measured == pytest.approx(7 / 127)
    assert check.limit == 0.05
    assert "(shoes): 5.5% of the delivery's 127 rows" in check.reason


def test_the_advised_setting_mends_unknown_classes() -> None:
    """They count in their own check alone, so that no second limit refuses what this one allows."""
    dataset = dataset_of([*GOOD, *["shoes"] * 7])
    settings = ValidateSettings(unknown_labels=ShareLimit(limit=0.06, severity="refuse"))
    accepted, report = check_delivery(dataset, screening_of(127), CLASSES, settings)
    assert (report.outcome, len(accepted), len(report.set_aside)) == ("passed", 120, 7)


def test_a_small_delivery_is_not_hidden_in_a_large_parent() -> None:
    """Shares are of the delivery's rows: 2 of 20 are 10 %, however many pictures were joined."""
    dataset = dataset_of([*GOOD, "shoes", "shoes"])
    _, report = check_delivery(dataset, screening_of(20), CLASSES, ValidateSettings())
    assert refused(report)["unknown_labels"].measured == pytest.approx(0.1)


def test_many_bad_pictures_are_refused() -> None:
    """The reasons are counted in the sentence."""
    bad = [SetAside(path=f"{n}.png", label="toys", reason="truncated", detail="x") for n in range(6)]
    dataset = dataset_of(GOOD[:-6])
    _, report = check_delivery(dataset, screening_of(114, set_aside=bad), CLASSES, ValidateSettings())
    assert refused(report).keys() == {"set_aside"}
    assert "6 pictures set aside (truncated 6): 5.3%" in report.reasons()[0]
    _, report = check_delivery(dataset, screening_of(120, set_aside=bad), CLASSES, ValidateSettings())
    assert report.outcome == "passed"


def test_a_class_without_pictures_is_refused() -> None:
    """The class is named."""
    _, report = checked(["clothing", "books"] * 60)
    assert refused(report).keys() == {"absent_classes"}
    assert "(missing: toys)" in report.reasons()[0]


def test_one_class_only_is_refused() -> None:
    """There is nothing to tell apart, even when only one is configured."""
    assert {"absent_classes", "several_classes"} <= refused(checked(["books"] * 120)[1]).keys()
    assert refused(checked(["books"] * 120, classes=["books"])[1]).keys() == {"several_classes"}


def test_a_class_with_two_pictures_is_refused() -> None:
    """It can be in no three splits."""
    _, report = checked([*["clothing", "books"] * 60, "toys", "toys"])
    assert refused(report).keys() == {"pictures_per_class", "groups_per_class"}
    assert "toys has 2" in refused(report)["groups_per_class"].reason


def test_a_class_with_two_groups_is_refused() -> None:
    """Forty pictures of two products are two, where a group stays together."""
    groups = [str(number % 6) if label == "toys" else None for number, label in enumerate(GOOD)]
    _, report = checked(GOOD, groups)
    assert refused(report).keys() == {"groups_per_class"}
    assert refused(report)["groups_per_class"].measured == 2


def test_a_group_of_two_labels_is_a_warning() -> None:
    """It is allowed, and named."""
    groups = ["bundle", "bundle", *[None] * (len(GOOD) - 2)]
    _, report = checked(GOOD, groups)
    assert report.outcome == "passed"
    assert warned(report) == {"groups_of_one_label"}


def test_gaps_in_other_columns_are_a_warning_from_ten_percent_on() -> None:
    """Eleven of 120 are below, twelve are not; the needed columns are counted elsewhere."""
    gaps = {"image_path": 60, "label": 60, "price": 12, "colour": 11}
    _, report = checked(missing_values=gaps)
    assert report.outcome == "passed"
    assert warned(report) == {"missing_values: price"}


def test_conflicting_rows_are_a_warning() -> None:
    """Their pictures are named."""
    _, report = checked(conflicts=("a.png",))
    assert warned(report) == {"label_conflicts"}


def test_a_time_that_is_none_is_a_warning() -> None:
    """ISO times of any precision pass; ``yesterday`` does not."""
    dataset = dataset_of(GOOD)
    times = ["2026-11-21", "2026-11-21T14:00:00Z", "2026-11-21 14:00:00+01:00", "yesterday"]
    index = dataset.index.assign(captured_at=pd.Series([*times, *[None] * (len(GOOD) - 4)]))
    _, report = check_delivery(
        ImageDataset(index, dataset.shards), screening_of(len(GOOD)), CLASSES, ValidateSettings()
    )
    assert warned(report) == {"captured_at"}
    assert [c.measured for c in report.checks if c.name == "captured_at"] == [1]


def test_a_delivery_of_bad_pictures_only_is_refused() -> None:
    """Nothing is left to count, and nothing falls over."""
    bad = [SetAside(path=f"{n}.png", label="toys", reason="truncated", detail="x") for n in range(5)]
    screening = screening_of(5, set_aside=bad)
    dataset, report = check_delivery(dataset_of([]), screening, CLASSES, ValidateSettings())
    assert len(dataset) == 0
    assert {"rows", "set_aside", "absent_classes", "several_classes"} <= refused(report).keys()


NOTHING_ASIDE = QuarantineBuilder("shop", max_bytes=1000).build()


def run_step(
    delivery: ImageDataset, screening: Screening, classes: list[str], quarantine: Quarantine = NOTHING_ASIDE
) -> tuple[ImageDataset | None, DataReport]:
    """Validate a first delivery."""
    ended: tuple[ImageDataset | None, DataReport] = validate.entrypoint(
        delivery, screening, quarantine, None, classes, {}, [], ValidateSettings(), "code"
    )
    return ended


def test_the_step_returns_the_accepted_dataset_and_its_pictures() -> None:
    """A sheet for each class and one of what has no class; a slash in a label is no folder."""
    labels = [*[label.replace("toys", "toys/games") for label in GOOD], "shoes"]
    dataset, report = run_step(dataset_of(labels), screening_of(121), ["clothing", "books", "toys/games"])
    assert dataset is not None and len(dataset) == 120
    assert list(report.pictures) == [
        "class 01 clothing",
        "class 02 books",
        "class 03 toys_games",
        "unknown labels",
    ]
    assert all(picture.startswith(b"\x89PNG") for picture in report.pictures.values())


def test_the_step_returns_no_dataset_for_a_refused_delivery() -> None:
    """A refusal is a report."""
    dataset, report = run_step(dataset_of(CLASSES), screening_of(3), CLASSES)
    assert dataset is None
    assert report.outcome == "refused"


def test_only_pictures_that_can_be_put_back_count_as_such() -> None:
    """A file that was missing lies in the quarantine as a row, and no command brings it back."""
    builder = QuarantineBuilder("shop", max_bytes=1000)
    builder.add(b"", path="gone.png", label="toys", reason="missing")
    builder.add(photograph(7), path="hat.png", label="hats", reason="unknown_label")
    _, report = run_step(dataset_of(GOOD), screening_of(122), CLASSES, builder.build())
    assert report.quarantined == 1


def test_a_check_that_is_told_to_warn_refuses_nobody() -> None:
    """The severity decides, and the report still says that the limit was passed."""
    settings = ValidateSettings.model_validate({"rows": {"limit": 1000, "severity": "warn"}})
    _, report = check_delivery(dataset_of(GOOD), screening_of(120), CLASSES, settings)
    assert (report.outcome, warned(report)) == ("passed", {"rows"})


def test_a_class_many_times_larger_than_another_is_a_warning() -> None:
    """21 times as many are more than 20; 20 times are not."""
    few = ["clothing"] * 7 + ["books"] * 7
    assert warned(checked([*few, *["toys"] * 147])[1]) == {"class_balance"}
    assert warned(checked([*few, *["toys"] * 140])[1]) == set()


def test_corrections_of_unknown_pictures_are_a_warning() -> None:
    """The row changed nothing, so somebody should know."""
    _, report = checked(changes=Corrections(unknown=("ab" * 32,)))
    assert warned(report) == {"unknown_pictures"}


def test_what_the_reader_found_counts() -> None:
    """A delivery that was stale when it was read is refused here."""
    stale = Check(name="data_age", outcome="refused", measured=400, limit=365, reason="Stale.")
    assert refused(checked(checks=(stale,))[1]).keys() == {"data_age"}


def test_columns_and_rules_are_checked_as_configured() -> None:
    """A range and a rule across fields, each with the path of an example."""
    settings = ValidateSettings.model_validate(
        {
            "columns": {"price": {"type": "number", "minimum": 0}},
            "rules": [{"name": "sale", "left": "sale", "is": "<=", "right": "price", "severity": "warn"}],
        }
    )
    dataset = dataset_of(GOOD)
    index = dataset.index.assign(price="-1", sale="2")
    _, report = check_delivery(
        ImageDataset(index, dataset.shards), screening_of(len(GOOD)), CLASSES, settings
    )
    assert refused(report).keys() == {"column: price"}
    assert warned(report) == {"rule: sale"}


def test_settings_go_to_a_step_and_come_back() -> None:
    """ZenML hands them over as JSON; rules have two forms and keys that are no Python names."""
    settings = ValidateSettings.model_validate(
        {
            "columns": {"bought": {"type": "time", "earliest": "2020-01-01"}},
            "rules": [
                {"name": "a", "left": "sale", "is": "<=", "right": "price"},
                {"name": "b", "where": {"column": "label", "equals": "shoes"}, "needs": "size"},
            ],
        }
    )
    assert ValidateSettings.model_validate_json(settings.model_dump_json()) == settings


def test_two_rules_of_one_name_are_refused() -> None:
    """The report names a rule: it has to be one."""
    rule = {"name": "a", "left": "b", "is": "<", "right": "c"}
    with pytest.raises(ValidationError, match="these share one: a"):
        ValidateSettings.model_validate({"rules": [rule, rule]})


def test_what_must_be_assessed_and_was_not_refuses_the_delivery() -> None:
    """Findings of the pictures themselves go into the report, and obey their severity."""
    check = Check(
        name="faces", outcome="not_assessed", severity="refuse", measured=None, limit=0, reason="No detector."
    )
    dataset = dataset_of(GOOD)
    ids = dataset.index["image_id"].tolist()
    doubt = SuspiciousLabel(image_id=ids[0], label="toys", likely="books", confidence=0.9)
    findings = Findings(
        checks=(check,), near_duplicates=((ids[0], ids[1]),), suspicious_labels=(doubt,), quarantined=2
    )
    _, report = check_delivery(dataset, screening_of(120), CLASSES, ValidateSettings(), findings=findings)
    assert (report.outcome, report.reasons()) == ("refused", ["No detector."])
    assert (report.near_duplicates, report.suspicious_labels, report.quarantined) == (
        ((ids[0], ids[1]),),
        (doubt,),
        2,
    )


def test_a_dataset_is_compared_with_the_one_it_grew_from() -> None:
    """New, withdrawn and relabelled pictures; a renamed class is no relabelling, a lost one is named."""
    before = dataset_of(["tops", "tops", "shoes", "shoes", "hats"])
    later = before.join(dataset_of(["tops", "bags", "footwear", "footwear"]))
    gone = later.select(later.index.loc[later.index["label"] != "hats", "image_id"])
    changes = compare(before, gone, {"shoes": "footwear"})
    assert [(one.old, one.new, one.pictures) for one in changes.relabelled] == [("tops", "bags", 1)]
    assert (changes.added, changes.withdrawn, changes.retired) == ({}, {"hats": 1}, ("hats",))
    assert (changes.renamed, changes.previous) == ({"shoes": "footwear"}, before.version)
    assert changes.per_class == {"hats": 1, "shoes": 2, "tops": 2}
    assert compare(gone, before.join(gone), {}).added == {"hats": 1}


def test_sizes_are_of_upright_pictures() -> None:
    """A phone's portrait is stored on its side: its width is what is stored as height."""
    index = dataset_of(["tops"] * 4).index.assign(width=40, height=30, orientation=[1, 6, 6, 6])
    sizes = sizes_of(index)
    assert sizes is not None
    assert (sizes.width.least, sizes.width.median, sizes.width.most) == (30, 30, 40)
    assert sizes.height.median == 40
    assert sizes_of(index.head(0)) is None
