"""Two alarms in a row on what is live fire; one, an answered one, or one of another model does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from materializers.drift_report import DriftReport, Fixed
from materializers.evidence import RegisteredVersion, was_live_tag
from materializers.trigger_decision import Signal
from steps.monitoring.triggers.settings import TriggerSettings
from steps.monitoring.triggers.traffic import Traffic, traffic_signals
from tests.materializers.examples import drift_report

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
LIVE, OTHER = "a" * 64, "b" * 64
ALARM, CLEAN, NOTHING = ("drift", "drop"), ("no drift", "no drop"), ("insufficient data",) * 2


def report(outcomes: tuple[str, str], days_ago: float, *, digest: str = LIVE) -> DriftReport:
    """A window of a day that ended so long ago."""
    example, until = drift_report(), NOON - timedelta(days=days_ago)
    drift, performance = outcomes
    return example.model_copy(
        update={
            "captured": example.captured.model_copy(
                update={"since": until - timedelta(days=1), "until": until, "model_digest": digest}
            ),
            "outcome": drift,
            "performance": example.performance.model_copy(update={"outcome": performance}),
        }
    )


def version(number: int, days_ago: float, **tags: str) -> RegisteredVersion:
    """A registered version of so long ago."""
    created = NOON - timedelta(days=days_ago)
    known = {"verdict": "passed", "origin": "continuous", "data_version": "d"}
    return RegisteredVersion(
        model_name="m", version=number, created=created, aliases=(), tags={**known, **tags}
    )


LIVE_VERSION = version(3, 60)


def asked(reports: list[DriftReport], *since: RegisteredVersion) -> dict[str, Signal]:
    """Each signal, with version 3 live in production and others trained since, the newest first."""
    traffic = Traffic(environment="production", version=3, model_digest=LIVE, reports=reports)
    found = traffic_signals(traffic, [*since, LIVE_VERSION], TriggerSettings(), retrain_at=0.25)
    return {signal.name: signal for signal in found}


@pytest.mark.parametrize("name", ["drift", "performance"])
def test_two_alarms_in_a_row_fire_and_name_their_windows(name: str) -> None:
    """With what the newer one measured."""
    signal = asked([report(ALARM, 0), report(ALARM, 1)])[name]
    assert (signal.fired, signal.value, signal.limit) == (True, 2, 2)
    assert "version 3 in production, windows until 2026-03-09 12:00 and 2026-03-10 12:00 UTC" in signal.reason
    assert ("brightness" if name == "drift" else "accuracy") in signal.reason


@pytest.mark.parametrize("name", ["drift", "performance"])
@pytest.mark.parametrize(
    ("reports", "said"),
    [
        ([], "lately: python run.py --monitor --environment production"),
        ([report(NOTHING, 0)], "nothing could be said"),
        ([report(CLEAN, 0), report(ALARM, 1), report(ALARM, 2)], "no alarm in its newest window"),
        ([report(ALARM, 0)], "confirms yet"),
        ([report(ALARM, 0), report(CLEAN, 1), report(ALARM, 2)], "confirms yet"),
        ([report(ALARM, 0), report(ALARM, 1, digest=OTHER)], "confirms yet"),
        ([report(ALARM, 0, digest=OTHER), report(ALARM, 1, digest=OTHER)], "nothing could be said"),
    ],
)
def test_anything_less_does_not_fire(name: str, reports: list[DriftReport], said: str) -> None:
    """And says what is lacking."""
    signal = asked(reports)[name]
    assert not signal.fired
    assert said in signal.reason


def test_where_nothing_is_live_nothing_fires() -> None:
    """There is no traffic."""
    for signal in traffic_signals(None, [LIVE_VERSION], TriggerSettings(), retrain_at=0.25):
        assert (signal.fired, signal.reason) == (False, "nothing is live that could be watched")


ALARMS = [report(ALARM, days) for days in range(12)]
"""A spell that began twelve days ago."""
NO_ANSWER = [
    {"verdict": "refused"},
    {"verdict": "not_assessed"},
    {"decision": "rejected by Ada: no"},
    {was_live_tag("production"): "true"},
]


def test_a_version_that_passed_and_waits_is_the_answer() -> None:
    """While a person has not decided on it, nothing is trained for the same alarm; the command is named."""
    signal = asked(ALARMS, version(4, 9))["drift"]
    assert not signal.fired
    assert "version 4, trained since, passed and waits" in signal.reason
    assert "--approve 4" in signal.reason


@pytest.mark.parametrize("tags", NO_ANSWER, ids=["refused", "not assessed", "rejected", "rolled back"])
def test_a_version_that_is_no_answer_is_followed_by_one_more_after_a_wait(tags: dict[str, str]) -> None:
    """Pictures of the new kind have to be labelled first: a week, by default."""
    assert asked(ALARMS, version(4, 7, **tags))["drift"].fired
    early = asked(ALARMS, version(4, 6.9, **tags))["drift"]
    assert not early.fired
    assert "version 4 was trained for it already: not again before 2026-03-10 14:24 UTC" in early.reason


def test_a_spell_retrains_so_often_and_no_more() -> None:
    """After the second a person has to look; what was trained before the spell began does not count."""
    refused = [version(5, 7.5, verdict="refused"), version(4, 9, verdict="refused")]
    signal = asked(ALARMS, *refused)["drift"]
    assert not signal.fired
    assert "--rebase-reference --environment production --by WHO --reason TEXT" in signal.reason
    assert asked(ALARMS[:8], *refused)["drift"].fired


def test_a_window_without_an_alarm_ends_a_spell() -> None:
    """Alarms after it are new ones, whatever was trained before."""
    reports = [report(ALARM, 0), report(ALARM, 1), report(CLEAN, 2), report(ALARM, 3), report(ALARM, 4)]
    assert asked(reports, version(4, 3.5, verdict="refused"))["drift"].fired


def test_a_new_version_does_not_begin_a_new_spell() -> None:
    """Alarms of the version before it, up to the day that it went live, are part of the same."""
    before = [report(ALARM, days, digest=OTHER) for days in (2, 3, 4)]
    reports = [report(ALARM, 0), report(ALARM, 1), *before]
    trained = version(3, 2.5, **{was_live_tag("production"): "true"})
    traffic = Traffic(environment="production", version=3, model_digest=LIVE, reports=reports)
    signal, *_ = traffic_signals(traffic, [trained], TriggerSettings(), retrain_at=0.25)
    assert not signal.fired
    assert "version 3 was trained for it already" in signal.reason


@pytest.mark.parametrize(("value", "fired"), [(0.2, False), (0.3, True)])
def test_fixed_thresholds_retrain_at_the_higher_one(value: float, fired: bool) -> None:
    """Above 0.1 people are told, above 0.25 one trains again."""
    found = []
    for each in (report(ALARM, 0), report(ALARM, 1)):
        signal = each.signals[0].model_copy(
            update={"fixed": Fixed(measure="population stability index", value=value, threshold=0.1)}
        )
        found.append(each.model_copy(update={"decided_by": "fixed", "signals": (signal,)}))
    assert asked(found)["drift"].fired is fired
