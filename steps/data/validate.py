"""Check a delivery before anyone trains on it: each check says what was measured, the limit and the mend.

A refusal is a result: the report says why, and there is no dataset. What is checked lies in ``checks/``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Self

import pandas as pd
from pydantic import Field, model_validator
from zenml import step

from materializers.data_report import (
    Check,
    Comparison,
    DataReport,
    Quantiles,
    Relabelled,
    Screening,
    SetAside,
    Sizes,
)
from materializers.image_dataset import ImageDataset
from materializers.quarantine import Quarantine
from materializers.report import Record
from serving.preprocess import FIRST_TURNED_ORIENTATION
from steps.data.checks.capture_times import capture_times
from steps.data.checks.counts import (
    check_absent_classes,
    check_class_balance,
    check_groups_of_one_label,
    check_groups_per_class,
    check_label_conflicts,
    check_missing_values,
    check_needed_values,
    check_pictures_per_class,
    check_rows,
    check_set_aside,
    check_several_classes,
    check_unknown_labels,
    check_unknown_pictures,
)
from steps.data.checks.delivery_drift import DriftSettings
from steps.data.checks.freshness import FreshnessSettings, check_times
from steps.data.checks.limits import CheckLimit, CountLimit, NeededLimit, ShareLimit
from steps.data.checks.schema import ColumnRule, Rule, check_schema
from steps.data.checks.sensitive import check_sensitive_columns
from steps.data.findings import Findings, PictureSettings, look_at, with_clusters
from steps.data.personal_data.settings import PersonalDataSettings
from steps.data.thumbnails import class_sheets, group_sheets, suspicious_sheets, unknown_sheet


class NoneMissing(NeededLimit):
    """Not one may be beyond it."""

    limit: float = Field(default=0, ge=0, le=0)


class TwoOrMore(NeededLimit):
    """Fewer than two classes are nothing to tell apart."""

    limit: float = Field(default=2, ge=2, allow_inf_nan=False)


class GroupsLimit(CheckLimit):
    """Fewer than three groups cannot be in three splits."""

    limit: float = Field(ge=3, allow_inf_nan=False)


class BalanceLimit(CheckLimit):
    """How many times the smallest class the largest may be."""

    limit: float = Field(ge=1, allow_inf_nan=False)


class ValidateSettings(Record):
    """What is asked of a delivery: a key a check; shares are of the delivery's rows.

    What there is no training without is a ``NeededLimit``: its severity cannot be lowered.
    """

    rows: CountLimit = CountLimit(limit=100, severity="refuse")
    needed_values: NoneMissing = NoneMissing()
    set_aside: ShareLimit = ShareLimit(limit=0.05, severity="refuse")
    unknown_labels: ShareLimit = ShareLimit(limit=0.05, severity="refuse")
    absent_classes: NoneMissing = NoneMissing()
    several_classes: TwoOrMore = TwoOrMore()
    pictures_per_class: CountLimit = CountLimit(limit=7, severity="refuse")
    """Seven are the fewest of which 15 %, a test split, is a whole picture."""
    groups_per_class: GroupsLimit = GroupsLimit(limit=3, severity="refuse")
    class_balance: BalanceLimit = BalanceLimit(limit=20, severity="warn")
    groups_of_one_label: CountLimit = CountLimit(limit=0, severity="warn")
    label_conflicts: CountLimit = CountLimit(limit=0, severity="warn")
    unknown_pictures: CountLimit = CountLimit(limit=0, severity="warn")
    missing_values: ShareLimit = ShareLimit(limit=0.10, severity="warn")
    """Of a column that may be empty; reaching it is beyond it."""
    captured_at: CountLimit = CountLimit(limit=0, severity="warn")
    freshness: FreshnessSettings = FreshnessSettings()
    pictures: PictureSettings = PictureSettings()
    drift: DriftSettings = DriftSettings()
    """Of the delivery from what the champion learnt from."""
    personal_data: PersonalDataSettings = PersonalDataSettings()
    columns: dict[str, ColumnRule] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="after")
    def _distinct_rules(self) -> Self:
        twice = sorted(name for name, count in Counter(rule.name for rule in self.rules).items() if count > 1)
        if twice:
            raise ValueError(f"each rule has a name of its own, these share one: {', '.join(twice)}")
        return self


NOTHING_FOUND = Findings()


def check_alone(
    delivery: ImageDataset, screening: Screening, classes: Sequence[str], settings: ValidateSettings
) -> tuple[Check, ...]:
    """What can be judged of one of several deliveries before it joins, so that none hides behind another.

    Args:
        delivery: its usable pictures, under today's names of the classes.
        screening: what reading it found.
        classes: the configured classes.
        settings: the limits.
    """
    index = delivery.index
    return (
        check_set_aside(screening, settings.set_aside),
        check_unknown_labels(index[~index["label"].isin(list(classes))], screening, settings.unknown_labels),
        *check_schema(index, settings.columns, settings.rules),
    )


def set_unknown_aside(
    delivery: ImageDataset, classes: Sequence[str]
) -> tuple[ImageDataset, tuple[SetAside, ...]]:
    """The pictures of the configured classes, and what has another label."""
    known = delivery.index["label"].isin(list(classes))
    accepted = delivery if known.all() else delivery.select(delivery.index.loc[known, "image_id"])
    detail = f"the label is none of {', '.join(classes)}"
    unknown = delivery.index.loc[~known, ["source", "label"]]
    return accepted, tuple(
        SetAside(path=str(source).partition("/")[2], label=str(label), reason="unknown_label", detail=detail)
        for source, label in unknown.itertuples(index=False, name=None)
    )


def check_delivery(
    delivery: ImageDataset,
    screening: Screening,
    classes: Sequence[str],
    settings: ValidateSettings,
    *,
    findings: Findings = NOTHING_FOUND,
    previous: ImageDataset | None = None,
    renamed: Mapping[str, str] | None = None,
    sensitive: Sequence[str] = (),
) -> tuple[ImageDataset, DataReport]:
    """Set the pictures of unknown classes aside, and check the rest as a whole.

    Args:
        delivery: the usable pictures, with those of the parent dataset when it was joined.
        screening: what reading the delivery found.
        classes: the configured classes.
        settings: the limits.
        findings: what looking at the accepted pictures found.
        previous: the dataset that this one grew from, or None where there is none.
        renamed: old name → new name of the classes that were renamed since ``previous``.
        sensitive: columns whose groups are to be treated alike.

    Returns:
        The pictures of known classes, and the report; whoever trains obeys its ``outcome``.
    """
    accepted, unknown = set_unknown_aside(delivery, classes)
    index = accepted.index
    others = delivery.index[~delivery.index["label"].isin(list(classes))]
    per_class = {name: int((index["label"] == name).sum()) for name in classes}
    checks = (
        check_rows(index, settings.rows),
        check_needed_values(index, settings.needed_values),
        check_set_aside(screening, settings.set_aside),
        check_unknown_labels(others, screening, settings.unknown_labels),
        check_absent_classes(per_class, settings.absent_classes),
        check_several_classes(per_class, settings.several_classes),
        check_pictures_per_class(per_class, settings.pictures_per_class),
        check_groups_per_class(index, settings.groups_per_class),
        check_class_balance(per_class, settings.class_balance),
        check_groups_of_one_label(index, settings.groups_of_one_label),
        check_label_conflicts(screening, settings.label_conflicts),
        check_unknown_pictures(screening, settings.unknown_pictures),
        *check_missing_values(screening, settings.missing_values),
        check_times(index, settings.captured_at),
        *check_schema(index, settings.columns, settings.rules),
        *check_sensitive_columns(index, sensitive, NoneMissing()),
        *screening.checks,
        *findings.checks,
    )
    refusing = [check.reason for check in checks if check.refuses]
    times = capture_times(index).dropna()
    watched = screening.watched
    report = DataReport(
        outcome="refused" if refusing else "passed",
        source_name=screening.source_name,
        data=accepted.version,
        rows=screening.rows,
        accepted=len(accepted),
        per_class=per_class,
        checks=checks,
        set_aside=(*screening.set_aside, *unknown),
        duplicates=screening.duplicate_rows,
        quarantined=findings.quarantined,
        sizes=sizes_of(index),
        near_duplicates=findings.near_duplicates,
        suspicious_labels=findings.suspicious_labels,
        changes=None if previous is None else compare(previous, accepted, renamed or {}),
        watched=watched.refused_together(refusing) if refusing else watched,
        newest_captured_at=times.max().floor("us").to_pydatetime() if len(times) else None,
    )
    return accepted, report


def compare(previous: ImageDataset, accepted: ImageDataset, renamed: Mapping[str, str]) -> Comparison:
    """What changed from one dataset to the one that grew from it; a renamed class is no relabelling."""
    difference = previous.diff(accepted)
    old = difference.relabelled["old_label"].map(lambda label: renamed.get(label, label))
    pairs = Counter(
        (was, now) for was, now in zip(old, difference.relabelled["new_label"], strict=True) if was != now
    ).most_common()
    before, after = previous.index["label"], accepted.index["label"]
    gone = pd.concat([difference.withdrawn["label"], difference.forgotten["label"]])
    return Comparison(
        previous=previous.version,
        added=_counted(difference.added["label"]),
        withdrawn=_counted(gone),
        relabelled=tuple(Relabelled(old=was, new=now, pictures=count) for (was, now), count in pairs),
        renamed=dict(renamed),
        retired=tuple(sorted(set(before) - set(after) - set(renamed))),
        per_class=_counted(before),
    )


def sizes_of(index: pd.DataFrame) -> Sizes | None:
    """How width and height of the upright pictures are spread; None of no picture."""
    if index.empty:
        return None
    turned = index["orientation"] >= FIRST_TURNED_ORIENTATION
    width = index["width"].where(~turned, index["height"])
    height = index["height"].where(~turned, index["width"])
    return Sizes(width=_quantiles(width), height=_quantiles(height))


def sheets(
    accepted: ImageDataset, delivery: ImageDataset, screening: Screening, report: DataReport
) -> dict[str, bytes]:
    """The pictures of the report's page, by title: classes, what was set aside, what looks alike or wrong."""
    return (
        class_sheets(accepted, tuple(report.per_class))
        | group_sheets(accepted, report.near_duplicates)
        | suspicious_sheets(accepted, report.suspicious_labels)
        | unknown_sheet(delivery, accepted)
        | screening.pictures
    )


def _counted(labels: pd.Series) -> dict[str, int]:
    return {str(label): int(count) for label, count in labels.value_counts().sort_index().items()}


def _quantiles(values: pd.Series) -> Quantiles:
    least, lower, median, upper, most = values.astype("float64").quantile([0, 0.25, 0.5, 0.75, 1]).tolist()
    return Quantiles(least=least, lower=lower, median=median, upper=upper, most=most)


@step
def validate(
    delivery: ImageDataset,
    screening: Screening,
    quarantine: Quarantine,
    previous: ImageDataset | None,
    classes: list[str],
    renamed: dict[str, str],
    sensitive: list[str],
    settings: ValidateSettings,
    code: str,  # the digest of the code: ZenML's cache does not see the modules that a step imports
) -> tuple[Annotated[ImageDataset | None, "dataset"], Annotated[DataReport, "data_report"]]:
    """Check the delivery; a refused one has a report and no dataset."""
    clustered, findings = set_unknown_aside(delivery, classes)[0], NOTHING_FOUND
    came = not screening.watched.brings_nothing  # else the pictures were looked at when they came
    if came:
        clustered = with_clusters(clustered, previous, settings.pictures.duplicates)
        findings = look_at(clustered, screening, settings.pictures)
    findings = findings.model_copy(update={"quarantined": int(quarantine.readmittable.sum())})
    accepted, report = check_delivery(
        delivery,
        screening,
        classes,
        settings,
        findings=findings,
        previous=previous,
        renamed=renamed,
        sensitive=sensitive,
    )
    accepted = accepted.with_measures(clustered.index[["image_id", "cluster"]])
    if came:
        report = report.with_pictures(sheets(accepted, delivery, screening, report))
    return accepted if report.outcome == "passed" else None, report
