"""Take what is complete in a watched place, and join it to what was there, the oldest first.

Each delivery is judged by itself before it joins, as far as that can be: a bad one is refused and named, and
keeps none of the others out.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from materializers.data_report import Check, Screening
from materializers.errors import UsageError
from materializers.image_dataset import COMPACT_SHARE, ImageDataset
from materializers.quarantine import Quarantine
from materializers.shards import SHARD_BYTES
from materializers.watched import Watched, WatchedDelivery
from steps.data.champion import champion_of, drift_from_champion
from steps.data.intake import (
    Intake,
    Taken,
    newest_arrival,
    no_quarantine,
    nothing_but_corrections,
    take_in,
    tell_corrections,
)
from steps.data.joining import join_delivery
from steps.data.parent import Past
from steps.data.validate import ValidateSettings, check_alone
from steps.data.watching import Choice, Complete, choose, look, tell_incomplete, tell_refused

logger = logging.getLogger("shutterline")

BADNESS = ("passed", "warned", "not_assessed", "refused")


class Joining:
    """Watched deliveries on their way into the dataset, one after another, each judged by itself first.

    Attributes:
        dataset: what there is so far; None where there is nothing.
        taken: the deliveries that joined.
        refused: those that did not, with the reasons.
    """

    def __init__(self, intake: Intake, checks: ValidateSettings) -> None:
        self.dataset = intake.parent
        self.taken: list[WatchedDelivery] = []
        self.refused: list[WatchedDelivery] = []
        self.screenings: dict[str, Screening] = {}
        self.quarantines: list[Quarantine] = []
        self.brought: set[str] = set()
        """The ``image_id`` of each picture that one of them brings."""
        self.said: set[str] = set()
        """Of each whose label is the word of one of them."""
        self.checks: dict[str, list[tuple[str, Check]]] = defaultdict(list)
        """What each of them came to, by the name of the check."""
        self._intake, self._limits = intake, checks
        self._packed: set[str] = set() if self.dataset is None else set(self.dataset.shards)
        self._loose_bytes = 0

    def add(self, delivery: Complete) -> None:
        """Read a delivery, and join it unless it is refused; what cannot be read is refused like the rest.

        Raises:
            ServiceUnreachable: the bucket, the artifact store or the registry does not answer.
        """
        name = delivery.known_as.address.rpartition("/")[2]
        try:
            reasons = self._join(delivery.address, name)
        except UsageError as error:
            reasons = [str(error)]
        if reasons:
            logger.warning("ingest: %s is not taken: %s", delivery.known_as.address, " ".join(reasons))
            self.refused.append(
                delivery.known_as.model_copy(update={"outcome": "refused", "reasons": tuple(reasons)})
            )
        else:
            self.taken.append(delivery.known_as)

    def _join(self, address: str, name: str) -> list[str]:
        intake = self._intake
        read, checks = take_in(address, intake)
        if self.dataset is None and read.labels.rows and not read.labels.pictures:
            raise UsageError(nothing_but_corrections(address, len(read.labels.rows), None))
        alone: tuple[Check, ...] = ()
        if intake.classes is not None:
            named = intake.named_today(read.dataset)
            alone = check_alone(named, read.screening, intake.classes, self._limits)
        if refusing := [check.reason for check in (*checks, *alone) if check.refuses]:
            return refusing
        self.dataset, changes = join_delivery(self.dataset, read.dataset, read.labels, intake.source_name)
        tell_corrections(changes)
        self.brought |= {*read.dataset.index["image_id"]}
        self.said |= {*read.dataset.index["image_id"], *read.labels.relabelled()}
        self.screenings[name] = read.screening.model_copy(update={"changes": changes})
        self.quarantines.append(read.quarantine)
        for check in checks:
            self.checks[check.name].append((name, check))
        self._loose_bytes += int(read.dataset.index["byte_count"].sum())
        if self._loose_bytes > SHARD_BYTES:
            self._pack()
        return []

    def _pack(self) -> None:
        """Pack the pictures of small deliveries together: else each is a shard, in memory and stored."""
        if self.dataset is None:
            return
        index = self.dataset.index
        loose = index[~index["shard"].isin(list(self._packed))]
        sizes = loose.groupby("shard")["byte_count"].sum()
        small = sizes.index[sizes < COMPACT_SHARE * SHARD_BYTES].tolist()
        if len(small) > 1:
            self.dataset = self.dataset.compacted(small)
        self._packed, self._loose_bytes = set(self.dataset.shards), 0

    def joined(self) -> ImageDataset:
        """The dataset that all of them made; an empty one where there is nothing at all."""
        self._pack()
        return ImageDataset.from_pictures(()) if self.dataset is None else self.dataset

    def worst(self) -> list[Check]:
        """Each check once, as the delivery has it that came off worst; it is named where it did not pass."""
        return [_worst(found) for found in self.checks.values()]


def _worst(found: Sequence[tuple[str, Check]]) -> Check:
    name, check = max(found, key=lambda each: BADNESS.index(each[1].outcome))
    if check.outcome == "passed":
        return check
    return check.model_copy(update={"reason": f"{name}: {check.reason}"})


def take_watched(address: str, intake: Intake, checks: ValidateSettings, *, now: datetime) -> Taken:
    """Take what is complete in a watched place and no run took before, and join it, the oldest first.

    Raises:
        UsageError: there is no such place.
        ServiceUnreachable: the bucket, the artifact store or the registry does not answer.
    """
    settings = intake.settings
    place = look(address, settings.watch, connections=settings.connections)
    choice = choose(place, intake.past.deliveries, again=settings.watch.again)
    tell_incomplete(choice.incomplete, place.address, intake.model_name, settings.watch, now=now)
    joining = Joining(intake, checks)
    for delivery in choice.waiting:
        joining.add(delivery)
    tell_refused(joining.refused, intake.model_name)
    joined = joining.joined()
    found = joining.worst()
    if joining.taken:
        found += drift_from_champion(
            joined.select(joining.brought),
            None if intake.past.version is None else champion_of(intake.model_name),
            intake.drift,
            previous=intake.past.dataset,
            renamed=intake.class_changes.renamed,
            retired=intake.class_changes.retired,
        )
    dataset, left_out = intake.without_unconfigured(
        intake.named_today(joined), [intake.parent], said=joining.said
    )
    screening = Screening.of_all(intake.source_name, joining.screenings)
    watched = _watched(place.address, choice, joining, intake.past)
    return Taken(
        dataset=dataset,
        screening=screening.model_copy(update={"watched": watched}),
        quarantine=Quarantine.of_all(joining.quarantines) if joining.quarantines else no_quarantine(intake),
        checks=found + left_out,
        arrived_at=newest_arrival([intake.of_classes(dataset)]) or (now if joining.taken else None),
    )


def _watched(place: str, choice: Choice, joining: Joining, past: Past) -> Watched:
    """What is known now: of a delivery that was known before, what this run made of it."""
    before = {each.address: each for each in past.deliveries}
    now = {each.address: each for each in (*joining.taken, *joining.refused)}
    return Watched(
        place=place,
        parent=past.version,
        deliveries=tuple((before | now).values()),
        taken=tuple(each.address for each in joining.taken),
        changed=tuple(each.address for each in joining.taken if each.address in choice.changed),
        refused=(*choice.refused, *(each.address for each in joining.refused)),
        incomplete=choice.incomplete,
    )
