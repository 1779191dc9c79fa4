"""A year of monitoring and retraining, a day at a time by an injected clock.

Each night the functions that the pipelines call are called directly: what the live model answered is compared
with its reference (:func:`steps.monitoring.assess.assess_window`), in windows that begin where the product's
do although each look comes some seconds sooner or later; the decision is reached
(:func:`steps.monitoring.decide.decide_retraining`), and what was trained is judged by the product's policy
beside champion and anchor, as far as it is about accuracy. A person approves the morning after, and takes new
traffic as the reference where the decision asks for a look and late labels show no drop. The signals of age,
volume and schedule are off: only what is wrong may retrain.

Beside it, the same year is gone through by who retrains every week, and by who retrains on any p below 0.05.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from benchmarks.claim import Claim, at_most
from benchmarks.monitoring.shop_world import (
    BROKEN,
    CLASSES,
    DRIFTS,
    Model,
    Pictures,
    World,
    answers,
    joined,
    learn,
)
from materializers.captured_window import CapturedWindow
from materializers.drift_reference import DriftReference
from materializers.drift_report import Captured, DriftReport
from materializers.evaluation.metric import Measured, Metric
from materializers.evidence import GAIN, RegisteredVersion, was_live_tag
from materializers.verdict import Outcome, derive_outcome
from pipelines.config import load_config
from steps.evaluation.comparison.compare import Answers, Other, Rows, compare
from steps.evaluation.gate import apply_policy
from steps.evaluation.metrics import evaluate_answers
from steps.monitoring.assess import assess_window
from steps.monitoring.decide import decide_retraining
from steps.monitoring.performance import measure_performance
from steps.monitoring.signals import Situation, gather_signals
from steps.monitoring.traffic.window import begin_of
from steps.monitoring.triggers.budget import Spent, month_of
from steps.monitoring.triggers.settings import TriggerSettings
from steps.monitoring.triggers.traffic import Traffic

DAYS, QUICK_DAYS = 365, 110
BEGIN = datetime(2026, 1, 1, 2, tzinfo=UTC)
"""02:00 of the first day: every night's window is the day before."""
ASKED, DELIVERED = 300, 200
"""Pictures a day: captured with their embeddings, and delivered with their labels."""
DELAY = 2
"""Days from a picture to its label, and to its delivery."""
LABELLED = 0.3
"""Share of the answers that people label."""
BEFORE = 3000
"""Pictures that the first model learnt from and was tested on."""
TESTED = 0.3
LABEL_DAYS = 7
JITTER_S = 30.0
"""By which a look of a night comes sooner or later than that of another, standard deviation."""
ACCEPTED_DAYS = 3
"""Of traffic that a person takes as the reference."""
TRUTH = 4000
"""Pictures by which it is known how right a model truly is."""
TOLD = 0.02
"""A retraining is needed where the live model is truly so much less right than on its test pictures."""
IN_TIME_DAYS = 3
NEEDLESS = 2
RESAMPLES = 100
WEEK = 7
LEVEL = 0.05
DAY_S = 86_400.0
OURS = "ours"
Decider = Callable[["Year"], bool]


@dataclass
class Year:
    """What happened so far.

    Attributes:
        live: the model that serves.
        rebased: the traffic that a person took as its reference.
        anchor: the first one.
        versions: of the model, the newest first, as the registry has them.
        reports: of monitoring, the newest first.
        answered: of each day the digest of the live model and which pictures it had right.
        waiting: what passed and waits for a person.
        retrained: on which days, and whether the live model needed it.
        rebasings: the days on which a person took new traffic as the reference.
        worse: the days on which the live model was truly worse than the anchor beyond the margin.
        right: the share of each day's pictures that the live model truly answered right.
    """

    world: World
    draw: np.random.Generator
    day: int
    data: list[Pictures]
    tested: list[NDArray[np.bool_]]
    live: Model
    anchor: Model
    versions: list[RegisteredVersion]
    reports: list[DriftReport] = field(default_factory=list)
    answered: list[tuple[str, NDArray[np.bool_]]] = field(default_factory=list)
    waiting: Model | None = None
    rebased: DriftReference | None = None
    retrained: dict[int, bool] = field(default_factory=dict)
    verdicts: list[str] = field(default_factory=list)
    rebasings: list[int] = field(default_factory=list)
    worse: list[int] = field(default_factory=list)
    right: list[float] = field(default_factory=list)

    @property
    def now(self) -> datetime:
        """The night of today."""
        return BEGIN + timedelta(days=self.day)

    def delay_after(self, drift: int) -> float:
        """Days from a drift to the first retraining; infinite where there was none."""
        return min((day - drift for day in self.retrained if day >= drift), default=float("inf"))

    @property
    def needless(self) -> int:
        """Retrainings while the live model was as right as it had been."""
        return sum(not needed for needed in self.retrained.values())

    @property
    def most_a_month(self) -> int:
        """Retrainings in the month that had most of them."""
        months = [month_of(BEGIN + timedelta(days=day)) for day in self.retrained]
        return max((months.count(month) for month in months), default=0)


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about a year; quick: a good quarter, with one drift."""
    days = QUICK_DAYS if quick else DAYS
    config = load_config(None, ())
    ways: dict[str, Decider] = {
        OURS: _by_confirmed_alarms,
        "retrain weekly": lambda year: year.day % WEEK == 0,
        "p < 0.05": _by_any_p,
    }
    years = {name: _gone_through(decider, days, watched=name == OURS) for name, decider in ways.items()}
    ours, others = years.pop(OURS), years
    drifts = [drift for drift in DRIFTS if drift < days]

    def beside(figure: Callable[[Year], object]) -> str:
        return ", ".join(f"{name} {figure(year)}" for name, year in others.items())

    margin = config.policy.comparison.margin
    return [
        at_most(
            f"{days} days, a real drift at days {', '.join(map(str, drifts))}: days to the retraining, the "
            f"longer ({beside(lambda year: max(map(year.delay_after, drifts)))})",
            max(map(ours.delay_after, drifts)),
            IN_TIME_DAYS,
            "days",
        ),
        at_most(
            f"needless retrainings, of {len(ours.retrained)}; a feed is broken for {len(BROKEN)} days, and a "
            f"person took new traffic as the reference {len(ours.rebasings)} times "
            f"({beside(lambda year: f'{year.needless} of {len(year.retrained)}')})",
            ours.needless,
            NEEDLESS,
            "",
        ),
        at_most(
            f"retrainings in a month ({beside(lambda year: year.most_a_month)})",
            ours.most_a_month,
            config.trigger.budget.runs,
            "",
        ),
        at_most(
            f"days on which the live model is truly worse than the anchor by more than {margin:g} "
            f"({beside(lambda year: len(year.worse))}); right over the year "
            f"{np.mean(ours.right):.1%} ({beside(lambda year: f'{np.mean(year.right):.1%}')})",
            len(ours.worse),
            0,
            "days",
        ),
    ]


def _gone_through(decide: Decider, days: int, *, watched: bool) -> Year:
    """A year in which ``decide`` says each night whether to train; only who is watched has reports."""
    year = _begun()
    for day in range(1, days):
        year.day = day
        if year.waiting is not None:
            _promote(year, year.waiting)
        asked = year.world.pictures(day - 1, ASKED, year.draw)
        year.answered.append((year.live.digest, year.live.right(asked)))
        if watched:
            year.reports.insert(0, _looked_at(year, asked))
        if day > DELAY:
            _deliver(year, year.world.pictures(day - 1 - DELAY, DELIVERED, year.draw))
        truth = year.world.pictures(day, TRUTH, np.random.default_rng([7, day]), sound=True)
        right, anchored = (float(model.right(truth).mean()) for model in (year.live, year.anchor))
        year.right.append(right)
        if anchored - right > _POLICY.comparison.margin:
            year.worse.append(day)
        if decide(year):
            year.retrained[day] = year.live.accuracy - right > TOLD
            _retrain(year)
    return year


def _begun(seed: int = 0) -> Year:
    world, draw = World(seed), np.random.default_rng(seed)
    first = world.pictures(0, BEFORE, draw)
    tested = draw.random(BEFORE) < TESTED
    model = learn(1, 0, first, tested)
    return Year(
        world=world,
        draw=draw,
        day=0,
        data=[first],
        tested=[tested],
        live=model,
        anchor=model,
        versions=[_registered(model, {"verdict": "passed", was_live_tag("production"): "true"})],
    )


def _deliver(year: Year, pictures: Pictures) -> None:
    year.data.append(pictures)
    year.tested.append(year.draw.random(len(pictures)) < TESTED)


def _looked_at(year: Year, asked: Pictures) -> DriftReport:
    """What monitoring says of the day that ended tonight, and of the labels that came by now."""
    scores = year.live.probabilities(asked.vectors)
    recent = year.answered[-LABEL_DAYS:]
    right, labelled = [np.zeros(0, dtype=bool)], [np.zeros(0, dtype=bool)]
    for age, (digest, answered) in enumerate(reversed(recent)):
        if digest == year.live.digest:
            right.append(answered)
            labelled.append((year.draw.random(len(answered)) < LABELLED) & (age >= DELAY))
    correct = pd.Series(np.concatenate(right), dtype="boolean").where(np.concatenate(labelled))
    rows = pd.DataFrame({"correct": correct, "delay_s": DELAY * DAY_S})
    until = year.now + timedelta(seconds=float(year.draw.normal(0, JITTER_S)))
    ended = [report.captured.until for report in year.reports]
    since, labels_since = (begin_of(until, timedelta(days=days), ended) for days in (1, LABEL_DAYS))
    window = CapturedWindow(
        captured=Captured(
            model_name="shop",
            environment="production",
            version=year.live.number,
            model_digest=year.live.digest,
            since=since,
            until=until,
            pictures=len(asked),
            measured=len(asked),
            refused=0,
            failed=0,
            latency_p99_ms=None,
        ),
        performance=measure_performance(
            rows, year.anchor.accuracy, _CONFIG.monitor.performance, since=labels_since
        ),
        abstention_threshold=0.0,
        window=answers(asked, scores, year.live.digest),
        reference=year.rebased or year.live.reference,
    )
    return assess_window(window, _CONFIG.monitor.drift)


def _by_confirmed_alarms(year: Year) -> bool:
    """What ``--continuous`` decides."""
    month = month_of(year.now)
    used = [day for day in year.retrained if BEGIN + timedelta(days=day) >= month]
    traffic = Traffic(
        environment="production",
        version=year.live.number,
        model_digest=year.live.digest,
        reports=[
            each
            for each in year.reports
            if each.captured.until >= year.now - timedelta(days=_SETTINGS.alarm_days)
        ],
    )
    situation = Situation(
        now=year.now,
        changes=DELIVERED,
        learnt=sum(map(len, year.data)),
        versions=year.versions,
        traffic=traffic,
        spent=Spent(runs=len(used), gpu_hours=0.0, longest=0.0),
    )
    found = gather_signals(situation, _SETTINGS)
    asked = any("--rebase-reference" in signal.reason for signal in found.signals)
    if asked and year.reports[0].performance.outcome == "no drop":
        days = range(year.day - ACCEPTED_DAYS, year.day)
        accepted = joined([year.world.pictures(day, ASKED, year.draw) for day in days])
        year.rebased = answers(accepted, year.live.probabilities(accepted.vectors), year.live.digest)
        year.rebasings.append(year.day)
    return decide_retraining(found, data=f"day {year.day}", settings=_SETTINGS).retrain


def _by_any_p(year: Year) -> bool:
    """Any dimension or score whose Kolmogorov-Smirnov test says p < 0.05."""
    asked = year.world.pictures(year.day - 1, ASKED, np.random.default_rng([5, year.day]))
    was = year.live.reference
    pairs = (
        (np.hstack([was.embeddings, was.scores]).T),
        (np.hstack([asked.vectors, year.live.probabilities(asked.vectors)]).T),
    )
    return any(ks_2samp(before, now).pvalue < LEVEL for before, now in zip(*pairs, strict=True))


def _retrain(year: Year) -> None:
    """Train on everything delivered, judge it, and leave it to a person where it passed."""
    data, tested = joined(year.data), np.concatenate(year.tested)
    number = year.versions[0].version + 1
    model = learn(number, year.day, data, tested)
    verdict, gain = _judged(year, model, data.taken(tested))
    year.verdicts.append(verdict)
    year.versions.insert(0, _registered(model, {"verdict": verdict, GAIN: f"{gain:.4f}"}))
    if verdict == "passed":
        year.waiting = model


def _judged(year: Year, model: Model, tested: Pictures) -> tuple[Outcome, float]:
    """The verdict by the product's policy, as far as it is about accuracy, and the gain over the champion."""
    labels = np.array(CLASSES, dtype=object)
    scores = model.probabilities(tested.vectors)
    metrics = evaluate_answers(
        tested.true, scores.argmax(axis=1), scores.astype(np.float64), CLASSES, resamples=RESAMPLES, seed=0
    )
    found = [
        Measured(metric=name, value=Metric(value=1.0, n=len(tested)))
        for name in ("data_validation", "learning")
    ]
    found += [Measured(metric=name, value=getattr(metrics, name)) for name in ("accuracy", "f1_macro")]
    found += [
        Measured(metric=name, subject=label, value=getattr(metrics.per_class[label], name))
        for name in ("precision", "recall")
        for label in CLASSES
    ]
    rows = Rows(
        true=labels[tested.true],
        golden=np.zeros(len(tested), dtype=bool),
        new=tested.day > year.live.learnt_until,
    )
    gain = 0.0
    for against, other in (("champion", year.live), ("anchor", year.anchor)):
        compared = compare(
            rows,
            Answers(labels[scores.argmax(axis=1)], CLASSES),
            Other(
                Answers(labels[other.probabilities(tested.vectors).argmax(axis=1)], CLASSES),
                "champion" if against == "champion" else "anchor",
                version=str(other.number),
                model=other.digest,
            ),
            _POLICY.comparison,
        )
        found += compared.measured()
        if against == "champion" and compared.overall is not None:
            gain = compared.overall.difference.value or 0.0
    evidence: dict[str, list[Measured]] = {}
    for each in found:
        evidence.setdefault(each.metric, []).append(each)
    about_accuracy = {name: rule for name, rule in _POLICY.rules.items() if rule.metric in evidence}
    return derive_outcome(apply_policy(_POLICY.model_copy(update={"rules": about_accuracy}), evidence)), gain


def _promote(year: Year, model: Model) -> None:
    year.live, year.waiting, year.rebased = model, None, None
    year.versions = [
        each.model_copy(update={"tags": each.tags | {was_live_tag("production"): "true"}})
        if each.version == model.number
        else each
        for each in year.versions
    ]


def _registered(model: Model, tags: dict[str, str]) -> RegisteredVersion:
    known = {"origin": "continuous", "data_version": f"until {model.learnt_until}"}
    created = BEGIN + timedelta(days=model.born, minutes=30)
    return RegisteredVersion(
        model_name="shop", version=model.number, created=created, aliases=(), tags=known | tags
    )


_CONFIG = load_config(None, ())
_POLICY = _CONFIG.policy
_SETTINGS = TriggerSettings(signals=("drift", "performance"), budget=_CONFIG.trigger.budget)
