"""The sequential test: all looks that there were until now, taken again in the order of time.

Nothing is remembered from one call to the next. What was stored says when which look was due, what it saw and
what it decided, so that whoever is killed loses nothing, and asking more often gives no further looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from materializers.observation import Look
from steps.deployment.observing.figures import Arm, Levels, of_labels, of_requests, of_values
from steps.deployment.observing.moments import MICRO, moment, time_of
from steps.deployment.observing.outcomes import Outcomes, united
from steps.deployment.observing.spending import spent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from materializers.observation import Answer, Because, Clock, Compared, Plan
    from materializers.release import Mode
    from steps.deployment.observing.settings import ObserveSettings

CLOCKS: tuple[Clock, ...] = ("requests", "labels", "values")


class Due(NamedTuple):
    """A look that is due: when, by which clock, which one, at how many of the candidate, on what levels."""

    at: int
    clock: Clock
    number: int
    n_candidate: int
    levels: Levels
    last: bool


class Replayed(NamedTuple):
    """What became of a stage by now: the answer, why, when that was, and the looks until then."""

    answer: Answer
    because: Because
    at: int | None
    looks: tuple[Look, ...]


@dataclass(frozen=True)
class Stage:
    """Champion and candidate since a stage began, and by what they are judged.

    Args:
        champion: its outcomes; those of before the begin do not count.
        candidate: likewise.
        settings: margins and policy.
        plan: looks and error rates.
        mode: of the release; an A/B test looks at business figures, too.
        begin: microseconds since 1970.
        unreadable: the parts of captures and feedback that could not be read: what is left of damaged records
            can show harm, and not that there is none.
        bounded: whether looks get bounds for a picture; the decision does not need them.
    """

    champion: Outcomes
    candidate: Outcomes
    settings: ObserveSettings
    plan: Plan
    mode: Mode
    begin: int
    unreadable: tuple[str, ...] = ()
    bounded: bool = True

    @property
    def deadline(self) -> int:
        """When the policy decides."""
        return self.begin + round(self.settings.maximum_s * MICRO)

    @cached_property
    def arms(self) -> tuple[Arm, Arm]:
        """Champion and candidate, counted up."""
        champion, candidate = self.champion.since(self.begin), self.candidate.since(self.begin)
        of_champion, of_candidate, _ = united(champion, candidate)
        return Arm(champion, of_champion), Arm(candidate, of_candidate)

    @cached_property
    def classes(self) -> int:
        """Of both versions."""
        return len({*self.champion.classes, *self.candidate.classes})

    def times(self, arm: Arm, clock: Clock) -> NDArray[np.int64]:
        """When requests, labels or values came, ascending."""
        if clock == "requests":
            return arm.outcomes.at
        return arm.labelled[0] if clock == "labels" else arm.valued[0]

    def count(self, arm: Arm, clock: Clock, until: int) -> int:
        """How many there were at a moment."""
        return int(np.searchsorted(self.times(arm, clock), until, side="right"))


def replay(stage: Stage, now: datetime) -> Replayed:
    """Take every look that was due until now, and stop at the first that decides.

    A candidate is rolled back as soon as a look shows that it is worse in one figure by more than is
    tolerated (the error rate is divided between figures, stages and looks), and promoted as soon as the
    last look at each figure shows that it is not (no division between figures is needed where all have to
    be shown: Berger 1982, Technometrics 24, 295–300). Both by tests that are valid at their look by
    themselves.

    Args:
        stage: what was captured, and by what it is judged.
        now: with a time zone; where it is before the begin, nothing has happened yet.

    Returns:
        The same for every ``now`` from the moment of a decision on, as long as the records are the same.
    """
    until = seen_until(stage, now)
    minimum = stage.begin + round(stage.settings.minimum_s * MICRO)
    due = sorted(looks_due(stage, until), key=lambda each: (each.at, CLOCKS.index(each.clock), each.number))
    looks: list[Look] = []
    state: dict[Clock, tuple[Due, tuple[Compared, ...]]] = {}
    for place, each in enumerate(due):
        look = _take(stage, each)
        looks.append(look)
        state[each.clock] = (each, look.compared)
        if any(compared.harmful for compared in look.compared):
            return Replayed("roll back", "harm", each.at, tuple(looks))
        when = max(each.at, minimum)
        before_next = when <= until if place == len(due) - 1 else when < due[place + 1].at
        because = _because(stage, state, when) if before_next else None
        if because is not None:
            return Replayed(_answer(stage, because), because, when, tuple(looks))
    if until < stage.deadline:
        return Replayed("continue", "not decided yet", None, tuple(looks))
    because = "insufficient data" if _lacks(stage, state) else "undecided"
    return Replayed(_answer(stage, because), because, stage.deadline, tuple(looks))


def seen_until(stage: Stage, now: datetime) -> int:
    """Up to when records count: those that had time to be stored, and none after the deadline."""
    return min(moment(now) - round(stage.settings.settling_s * MICRO), stage.deadline)


def asks_for(stage: Stage, clock: Clock, when: int) -> bool:
    """Whether a promotion at a moment needs what feedback says: of labels, or of business figures."""
    settings = stage.settings
    if clock == "labels" and settings.labels != "as they come":
        return settings.labels == "required"
    return stage.count(stage.arms[1], clock, when) >= settings.minimum_labels


def looks_due(stage: Stage, until: int) -> Iterator[Due]:
    """The looks by each clock, and one more at the deadline, at what there is then, with all that is left."""
    plan, settings = stage.plan, stage.settings
    parts = plan.figures * plan.stages
    total = spent(np.asarray(plan.looks) / plan.planned_requests, settings.alpha)
    harm = spent(np.asarray(plan.looks) / plan.planned_requests, settings.alpha / parts)
    for clock in _clocks(stage):
        times = stage.times(stage.arms[1], clock)
        spent_harm = spent_level = 0.0
        number = 0
        for number, count in enumerate(plan.looks, start=1):
            if count > len(times) or times[count - 1] > until:
                break
            levels = Levels(float(harm[number - 1]) - spent_harm, float(total[number - 1]) - spent_level)
            spent_harm, spent_level = float(harm[number - 1]), float(total[number - 1])
            yield Due(int(times[count - 1]), clock, number, count, levels, last=number == len(plan.looks))
        else:
            continue
        rest = int(np.searchsorted(times, until, side="right"))
        if until == stage.deadline and rest:
            levels = Levels(settings.alpha / parts - spent_harm, settings.alpha - spent_level)
            yield Due(until, clock, number, rest, levels, last=True)


def _take(stage: Stage, due: Due) -> Look:
    champion, candidate = stage.arms
    sizes = (stage.count(champion, due.clock, due.at), due.n_candidate)
    margins = stage.settings.margins
    compared: tuple[Compared, ...]
    if due.clock == "requests":
        compared = of_requests(
            champion,
            candidate,
            sizes,
            margins,
            due.levels,
            classes=stage.classes,
            bounded=stage.bounded,
        )
    elif due.clock == "labels":
        compared = of_labels(champion, candidate, sizes, margins.accuracy, due.levels, bounded=stage.bounded)
    else:
        gain = stage.settings.value_is == "gain"
        compared = of_values(champion, candidate, sizes, margins.value, due.levels, gain=gain)
    return Look(
        clock=due.clock,
        number=due.number,
        at=time_of(due.at),
        n_candidate=sizes[1],
        n_champion=sizes[0],
        harm_level=due.levels.harm,
        level=due.levels.level,
        compared=compared,
    )


def _because(stage: Stage, state: dict[Clock, tuple[Due, tuple[Compared, ...]]], when: int) -> Because | None:
    """Why a stage ends at a moment, by the last look of each clock; None: it goes on."""
    if "requests" not in state or state["requests"][0].n_candidate < stage.plan.minimum_requests:
        return None
    for clock in CLOCKS:
        if clock != "requests" and not (clock in _clocks(stage) and asks_for(stage, clock, when)):
            continue
        if clock not in state:
            return None
        due, compared = state[clock]
        if not all(each.shown for each in compared):
            lacks = bool(stage.unreadable) or any(each.lacking for each in compared)
            return ("insufficient data" if lacks else "undecided") if due.last else None
    return None if stage.unreadable else "shown"


def _clocks(stage: Stage) -> tuple[Clock, ...]:
    return CLOCKS if stage.mode == "ab" else CLOCKS[:2]


def _lacks(stage: Stage, state: dict[Clock, tuple[Due, tuple[Compared, ...]]]) -> bool:
    """Whether at the deadline there is too little to say that anything is undecided."""
    if stage.unreadable:
        return True
    if "requests" not in state or state["requests"][0].n_candidate < stage.plan.minimum_requests:
        return True
    if stage.settings.labels == "required" and "labels" not in state:
        return True
    return any(each.lacking for _, compared in state.values() for each in compared)


def _answer(stage: Stage, because: Because) -> Answer:
    """What becomes of a candidate; without data it is never promoted."""
    if because == "shown":
        return "promote"
    undecided = stage.settings.undecided
    return "roll back" if because == "insufficient data" and undecided == "promote" else undecided
