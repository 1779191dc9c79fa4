"""Read a delivery, or fetch a stored version, and join it to what was there.

A picture that cannot be used is set aside with a reason; only what makes the whole delivery unusable raises.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from pydantic import Field, field_validator

from materializers.data_report import Check, Corrections, Screening
from materializers.erasure import forgotten_ids
from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset
from materializers.quarantine import KEPT_DAYS, Quarantine, QuarantineBuilder
from materializers.report import Record, counted
from materializers.watched import Watched
from serving.preprocess import Limits
from steps.data.champion import champion_of, drift_from_champion
from steps.data.checks.counts import check_stored_labels
from steps.data.checks.delivery_drift import DriftSettings
from steps.data.class_changes import ClassChanges
from steps.data.files import DEFAULT_LIMITS, Source, SourceLimits
from steps.data.joining import join_delivery, with_classes
from steps.data.parent import Past, deliveries_of, find_dataset, first_stored_at
from steps.data.personal_data.settings import PersonalDataSettings
from steps.data.personal_data.treatment import check_stored, treat_personal_data
from steps.data.screening import Delivery, screen_delivery, screen_stored
from steps.data.sources import CONNECTIONS, open_source
from steps.data.stored import active_store
from steps.data.watching import WatchSettings

logger = logging.getLogger("shutterline")

MOST_DAYS = 36_500
"""A hundred years; where dates end nothing can be kept until."""
SERVED_LIMITS = Limits()
"""What evaluation, batch inference and the service take: they know no other limits."""


class IngestSettings(Record):
    """How a delivery is read."""

    limits: Limits = Limits()
    max_labels_bytes: int = Field(default=DEFAULT_LIMITS.labels_bytes, ge=1)
    threads: int = Field(default=2, ge=1)
    """That read pictures of a disk."""
    processes: int = Field(default=0, ge=0)
    """That examine pictures; 1: the step's own alone; 0: that, or one a core for a large delivery."""
    connections: int = Field(default=CONNECTIONS, ge=1)
    """Requests to a bucket at the same time: there, waiting costs more than decoding."""
    watch: WatchSettings = WatchSettings()
    """Of a place that deliveries are put into."""
    earlier_run_s: float = Field(default=600.0, ge=0, le=86_400, allow_inf_nan=False)
    """How long a run that joins waits for an earlier one that does; less than its step may take."""
    quarantine_days: float = Field(default=KEPT_DAYS, ge=1, le=MOST_DAYS, allow_inf_nan=False)
    """How long the bytes of what is set aside are kept."""

    @field_validator("limits")
    @classmethod
    def _within_served(cls, limits: Limits) -> Limits:
        """Refuse limits wider than the served ones: a model would learn from pictures that it never gets."""
        for name, value in limits:
            served: float = getattr(SERVED_LIMITS, name)
            least = name.startswith("min_")
            if value < served if least else value > served:
                raise ValueError(
                    f"{name} is {value}, and may be {'no less' if least else 'no more'} than {served}: "
                    "evaluation and the service refuse the pictures in between, so none is trained on; "
                    f"--set ingest.limits.{name}={served}"
                )
        return limits


def read_delivery(
    source: Source,
    source_name: str,
    settings: IngestSettings,
    *,
    classes: Collection[str] | None = None,
    forgotten: Collection[str] = frozenset(),
    stored: ImageDataset | None = None,
) -> Delivery:
    """Screen a delivery as the settings say; see :func:`steps.data.screening.screen_delivery`."""
    return screen_delivery(
        source,
        source_name,
        limits=settings.limits,
        threads=settings.connections if source.waits_for_network else settings.threads,
        processes=settings.processes,
        kept_days=settings.quarantine_days,
        classes=classes,
        forgotten=forgotten,
        stored=stored,
    )


def newest_arrival(datasets: Iterable[ImageDataset | None]) -> datetime | None:
    """When the latest of these was first stored; None where none is."""
    times = [first_stored_at(dataset.version) for dataset in datasets if dataset is not None]
    return max((time for time in times if time is not None), default=None)


@dataclass(frozen=True)
class Intake:
    """What is taken in on which terms, and what was there before; fields as the step takes them."""

    model_name: str
    source_name: str
    settings: IngestSettings
    classes: list[str] | None
    class_changes: ClassChanges
    drift: DriftSettings
    personal_data: PersonalDataSettings
    past: Past
    """The model's last accepted dataset and splits, as far as they can be read."""
    parent: ImageDataset | None
    """What is joined to: the last dataset, or None."""

    def named_today(self, dataset: ImageDataset) -> ImageDataset:
        """The dataset under today's names of the classes."""
        return with_classes(dataset, self.class_changes.renamed, self.class_changes.retired)

    def without_unconfigured(
        self, joined: ImageDataset, stored: Sequence[ImageDataset | None], *, said: Collection[str] = ()
    ) -> tuple[ImageDataset, list[Check]]:
        """Leave out stored pictures whose class nobody configured (any more), and warn of them.

        They are no fault of the delivery that joins them, and no part of its shares.

        Args:
            joined: under today's names of the classes.
            stored: what was joined from the store; None where there was nothing.
            said: the ``image_id`` of each picture whose label is the delivery's word.
        """
        holders = [dataset for dataset in stored if dataset is not None]
        if self.classes is None or not holders:
            return joined, []
        index = joined.index
        out = index.loc[~index["label"].isin(self.classes) & ~index["image_id"].isin(said)]
        holder = next((one for one in holders if one.index["image_id"].isin(out["image_id"]).any()), None)
        pipeline = "--train" if self.parent is None else "--continuous"
        again = f"python run.py {pipeline} --data {(holder or holders[0]).version[:16]}"
        check = check_stored_labels(out["label"], again)
        if out.empty:
            return joined, [check]
        logger.warning("ingest: %s", check.reason)
        return joined.without(out["image_id"]), [check]

    def of_classes(self, dataset: ImageDataset) -> ImageDataset:
        """What validation keeps: its version is the one that was stored before."""
        if self.classes is None:
            return dataset
        return dataset.select(dataset.index.loc[dataset.index["label"].isin(self.classes), "image_id"])


class Taken(NamedTuple):
    """What was taken in, joined to what was there."""

    dataset: ImageDataset
    screening: Screening
    quarantine: Quarantine
    checks: list[Check]
    arrived_at: datetime | None


def take_delivery(source: str, intake: Intake, *, now: datetime) -> Taken:
    """Read a delivery, treat its personal data, compare it with what is live, and join it.

    Raises:
        UsageError: it cannot be used, or it brings no picture and is joined to nothing.
        ServiceUnreachable: the bucket, the artifact store or the registry does not answer.
    """
    read, checks = take_in(source, intake)
    if intake.parent is None and read.labels.rows and not read.labels.pictures:
        raise UsageError(nothing_but_corrections(source, len(read.labels.rows), intake.past.version))
    checks += drift_from_champion(
        read.dataset,
        None if intake.past.version is None else champion_of(intake.model_name),
        intake.drift,
        previous=intake.past.dataset,
        renamed=intake.class_changes.renamed,
        retired=intake.class_changes.retired,
    )
    joined, changes = join_delivery(intake.parent, read.dataset, read.labels, intake.source_name)
    tell_corrections(changes)
    said = {*read.dataset.index["image_id"], *read.labels.relabelled()}
    dataset, left_out = intake.without_unconfigured(intake.named_today(joined), [intake.parent], said=said)
    known = () if intake.parent is None else intake.past.deliveries
    screening = read.screening.model_copy(update={"changes": changes, "watched": Watched(deliveries=known)})
    # The same again is as old as it was; what is new came now.
    arrived_at = newest_arrival([intake.of_classes(dataset)]) or now
    return Taken(dataset, screening, read.quarantine, checks + left_out, arrived_at)


def nothing_but_corrections(source: str, rows: int, stored: str | None) -> str:
    """Why a delivery that brings no picture cannot be taken alone, and what is typed instead."""
    if stored is None:
        go_on = (
            "Nothing is stored yet that they could correct. Deliver pictures first: python run.py --train "
            "--source PATH"
        )
    else:
        go_on = f"They are joined to what is stored: python run.py --continuous --source {source}"
    return (
        f"{source} has {counted(rows, 'row')} to correct or withdraw stored pictures and 0 that bring one; "
        f"1 is needed at least where a delivery is taken alone. {go_on}"
    )


def tell_left_behind(dataset: ImageDataset, previous: ImageDataset | None, source: str | None) -> None:
    """Warn that stored pictures are no part of what is taken alone, and that the next delivery joins that.

    Args:
        dataset: what was taken.
        previous: the last accepted dataset, which a joined delivery would have grown.
        source: the delivery; None where a stored version was taken.
    """
    if previous is None:
        return
    left = int((~previous.index["image_id"].isin(dataset.index["image_id"])).sum())
    if left:
        together = (
            "" if source is None else f"To train on both: python run.py --continuous --source {source}. "
        )
        logger.warning(
            "ingest: %s not in what --train takes alone; once that is accepted, it is what --continuous "
            "joins to. %sTo go back: python run.py --train --data %s",
            f"{counted(left, 'stored picture')} {'is' if left == 1 else 'are'}",
            together,
            previous.version[:16],
        )


def tell_corrections(changes: Corrections) -> None:
    """Log what became of the rows that correct or withdraw: a warning where some matched nothing."""
    if changes.rows:
        logger.log(logging.WARNING if changes.unknown else logging.INFO, "ingest: %s", changes.said)


def take_in(source: str, intake: Intake) -> tuple[Delivery, list[Check]]:
    """Read a delivery and treat its personal data, so that no forgotten picture is in what is left.

    One that was masked before it was stored may be known by what masking makes of it alone, and one may be
    forgotten while the delivery is read: then it is read again, and that picture set aside as it came.

    Raises:
        UsageError: the source cannot be used.
        ServiceUnreachable: the bucket or the artifact store does not answer.
    """
    settings, classes = intake.settings, intake.classes
    limits = SourceLimits(picture_bytes=settings.limits.max_bytes, labels_bytes=settings.max_labels_bytes)
    known_labels = None if classes is None else intake.class_changes.known(classes)
    store = active_store()
    stored = intake.past.stored
    forgotten = forgotten_ids(store)
    while True:
        with open_source(source, limits, connections=settings.connections) as opened:
            read = read_delivery(
                opened,
                intake.source_name,
                settings,
                classes=known_labels,
                forgotten=forgotten,
                stored=stored,
            )
        treated, labels, checks = treat_personal_data(read.dataset, read.labels, stored, intake.personal_data)
        since = forgotten_ids(store) - forgotten
        index = treated.index
        masked = index.loc[index["image_id"].isin(forgotten | since), "unmasked_digest"].dropna()
        if not since and masked.empty:
            return replace(read, dataset=treated, labels=labels), checks
        forgotten |= since | frozenset(masked)


def no_quarantine(intake: Intake) -> Quarantine:
    """A quarantine in which nothing is."""
    return QuarantineBuilder(intake.source_name, max_bytes=intake.settings.limits.max_bytes).build()


def take_stored(version: str, intake: Intake) -> Taken:
    """Fetch a stored version, and join it.

    Raises:
        UsageError: there is none.
        DamagedArtifact: it cannot be read.
    """
    found = find_dataset(version)
    joined = found if intake.parent is None else intake.parent.join(found)
    known = intake.past.deliveries if intake.parent is not None else deliveries_of(found.version)
    screening = screen_stored(found, intake.source_name)
    dataset, left_out = intake.without_unconfigured(intake.named_today(joined), [found, intake.parent])
    return Taken(
        dataset=dataset,
        screening=screening.model_copy(update={"watched": Watched(deliveries=known)}),
        quarantine=no_quarantine(intake),
        checks=check_stored(found, intake.personal_data) + left_out,
        arrived_at=newest_arrival([found, intake.parent]),
    )
