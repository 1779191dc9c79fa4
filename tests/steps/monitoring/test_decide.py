"""The decision to retrain: which signals fire, what holds it back, what an interruption left."""

from __future__ import annotations

from materializers.trigger_decision import Evidence, Signal, Signals
from steps.monitoring.decide import decide_retraining
from steps.monitoring.signals import TriggerSettings

SETTINGS = TriggerSettings(new_rows=10, max_age_days=30, cooldown_hours=24)


def found(*, fired: bool, last: Evidence | None) -> Signals:
    signal = Signal(name="new_data", value=11, limit=10, fired=fired, reason="11 pictures are new")
    return Signals(signals=(signal,), last=last)


def evidence(**changes: object) -> Evidence:
    values = {
        "version": 1,
        "data": "old",
        "verdict": "passed",
        "origin": "train",
        "age_hours": 48.0,
        "released": True,
    }
    return Evidence.model_validate(values | changes)


def test_the_first_model_is_always_trained() -> None:
    """Without any version there is a reason to train."""
    decision = decide_retraining(found(fired=True, last=None), data="new", settings=SETTINGS)
    assert decision.retrain
    assert decision.reasons == ("11 pictures are new",)


def test_a_fired_signal_retrains_after_the_cooldown() -> None:
    """New data beyond the limit, two days after the last version, retrains."""
    assert decide_retraining(found(fired=True, last=evidence()), data="new", settings=SETTINGS).retrain


def test_no_signal_means_no_and_says_why() -> None:
    """Nothing fired: no retraining, and the reasons state what was measured."""
    decision = decide_retraining(found(fired=False, last=evidence()), data="new", settings=SETTINGS)
    assert not decision.retrain
    assert "11 pictures are new" in decision.reasons


def test_the_cooldown_holds_a_fired_signal_back() -> None:
    """One hour after the last version a fired signal waits; the reason names the cooldown."""
    decision = decide_retraining(found(fired=True, last=evidence(age_hours=1)), data="new", settings=SETTINGS)
    assert not decision.retrain
    assert "cooldown" in decision.reasons[0]


def test_a_person_overrides_the_cooldown() -> None:
    """``trigger.manual`` retrains in spite of the cooldown."""
    settings = SETTINGS.model_copy(update={"manual": True})
    assert decide_retraining(
        found(fired=True, last=evidence(age_hours=1)), data="new", settings=settings
    ).retrain


def test_the_same_data_is_not_learnt_from_twice() -> None:
    """A version that learnt from exactly this data is not trained again, however old it is."""
    decision = decide_retraining(found(fired=True, last=evidence()), data="old", settings=SETTINGS)
    assert not decision.retrain
    assert decision.finish_version is None


def test_an_interrupted_run_is_finished_instead_of_repeated() -> None:
    """A passed version of the same data that never reached staging is staged now."""
    left = evidence(origin="continuous", released=False, version=4)
    decision = decide_retraining(found(fired=True, last=left), data="old", settings=SETTINGS)
    assert not decision.retrain
    assert decision.finish_version == 4


def test_a_refused_version_is_never_finished() -> None:
    """What an interruption left is staged only if its verdict passed."""
    left = evidence(origin="continuous", released=False, verdict="refused")
    decision = decide_retraining(found(fired=True, last=left), data="old", settings=SETTINGS)
    assert decision.finish_version is None


def test_what_a_person_rejected_is_never_finished() -> None:
    """A rejected version is not staged by the next run on the same data."""
    left = evidence(origin="continuous", released=False, rejected=True)
    decision = decide_retraining(found(fired=True, last=left), data="old", settings=SETTINGS)
    assert not decision.retrain
    assert decision.finish_version is None


def test_a_version_trained_by_hand_is_not_staged_by_the_next_delivery() -> None:
    """``--train`` alone never deploys, not even through a later ``--continuous``."""
    left = evidence(origin="train", released=False)
    assert (
        decide_retraining(found(fired=True, last=left), data="old", settings=SETTINGS).finish_version is None
    )
