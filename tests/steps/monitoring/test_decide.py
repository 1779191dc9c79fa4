"""The decision to retrain: which signals fire, what holds it back, what an interruption left."""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

import pytest
from zenml import pipeline, step

from materializers.audit_log import sound_entries
from materializers.image_dataset import ImageDataset
from materializers.trigger_decision import Evidence, Hold, HoldName, Signal, Signals
from steps.monitoring.alerts.alert import open_alerts
from steps.monitoring.decide import BRAKED, EXHAUSTED, decide, decide_retraining, tell_held
from steps.monitoring.triggers.settings import TriggerSettings
from tests.keys import TRUSTED
from tests.materializers.examples import dataset

SETTINGS = TriggerSettings(new_rows=10, max_age_days=30, cooldown_hours=24)
HOLDS: tuple[HoldName, ...] = ("cooldown", "budget_runs", "budget_gpu_hours", "brake")


def found(
    *, fired: bool, last: Evidence | None, held: HoldName | None = None, version: int | None = None
) -> Signals:
    signal = Signal(name="new_data", value=11, limit=10, fired=fired, reason="11 pictures are new")
    holds = tuple(
        Hold(name=name, value=3, limit=3, holds=name == held, reason=f"{name} holds", version=version)
        for name in HOLDS
    )
    return Signals(signals=(signal,), last=last, holds=holds if held else ())


def fired(*names: str) -> Signals:
    """These signals fire, and no others."""
    signals = tuple(
        Signal(name=name, value=1, limit=1, fired=name in names, reason=f"{name} said so")
        for name in ("new_data", "model_age", "drift", "manual")
    )
    return Signals(signals=signals, last=evidence())


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


def test_the_first_model_is_trained_whatever_the_policy() -> None:
    """Without any version there is a reason to train, also where one signal of two fired."""
    settings = TriggerSettings(policy="all", signals=("new_data", "drift"))
    decision = decide_retraining(found(fired=True, last=None), data="new", settings=settings)
    assert decision.retrain
    assert decision.reasons == ("11 pictures are new",)


@pytest.mark.parametrize("name", ["budget_runs", "budget_gpu_hours", "brake"])
def test_the_first_model_is_held_back_like_any_other(name: HoldName) -> None:
    """A first training that crashes each time is not begun without end."""
    decision = decide_retraining(found(fired=True, last=None, held=name), data="new", settings=SETTINGS)
    assert (decision.retrain, decision.held_by) == (False, (name,))
    assert decision.reasons == (f"{name} holds", "11 pictures are new")


def test_a_fired_signal_retrains_after_the_cooldown() -> None:
    """New data beyond the limit, two days after the last version, retrains."""
    assert decide_retraining(found(fired=True, last=evidence()), data="new", settings=SETTINGS).retrain


def test_no_signal_means_no_and_says_why() -> None:
    """Nothing fired: no retraining, and the reasons state what was measured."""
    decision = decide_retraining(found(fired=False, last=evidence()), data="new", settings=SETTINGS)
    assert not decision.retrain
    assert "11 pictures are new" in decision.reasons


@pytest.mark.parametrize("name", HOLDS)
def test_what_holds_keeps_a_fired_signal_from_retraining(name: HoldName) -> None:
    """The reason comes first, then what asked for it; a decision that was held back says so."""
    decision = decide_retraining(found(fired=True, last=evidence(), held=name), data="new", settings=SETTINGS)
    assert not decision.retrain
    assert decision.held_by == (name,)
    assert decision.reasons == (f"{name} holds", "11 pictures are new")


NOT_ASKED_FOR = [
    (found(fired=False, last=evidence(), held="brake", version=7), "new"),
    (found(fired=True, last=evidence(), held="brake", version=7), "old"),
]


@pytest.mark.parametrize(("signals", "data"), NOT_ASKED_FOR, ids=["no signal", "learnt from already"])
def test_what_nothing_asked_for_is_not_held_back(signals: Signals, data: str) -> None:
    """The hold holds all the same, and is shown."""
    decision = decide_retraining(signals, data=data, settings=SETTINGS)
    assert (decision.retrain, decision.held_by) == (False, ())
    assert [hold.name for hold in decision.holds if hold.holds] == ["brake"]


@pytest.fixture
def model(artifacts: object, tracker: object, log: object) -> str:
    """A model that no other test has, in a store whose audit log is empty."""
    return f"model-{uuid4().hex[:8]}"


def alerts(model: str) -> dict[str, str]:
    """Those that go on, with their severity."""
    return {each.alert.name: each.severity for each in open_alerts(model).open}


def brakings(model: str) -> list[str]:
    """The newest version of each row that the brake held for, by the audit log."""
    return [entry.subject["version"] for entry in sound_entries("brake", {"model": model}, TRUSTED)]


def held_at(model: str, held: HoldName | None, version: int | None = None) -> None:
    """People are told of what a fired signal came to."""
    asked = found(fired=True, last=evidence(), held=held, version=version)
    tell_held(decide_retraining(asked, data="new", settings=SETTINGS), model, SETTINGS)


@pytest.mark.parametrize(("signals", "data"), NOT_ASKED_FOR, ids=["no signal", "learnt from already"])
def test_people_are_told_of_no_retraining_that_nothing_asked_for(
    model: str, signals: Signals, data: str
) -> None:
    """A night without anything new raises nothing critical; what was told before goes on while it holds."""
    tell_held(decide_retraining(signals, data=data, settings=SETTINGS), model, SETTINGS)
    assert (alerts(model), brakings(model)) == ({}, [])
    held_at(model, "brake", 7)
    tell_held(decide_retraining(signals, data=data, settings=SETTINGS), model, SETTINGS)
    assert alerts(model) == {BRAKED: "critical"}


def test_people_are_told_of_a_budget_that_holds_and_of_its_end(model: str) -> None:
    """For either part of it; a cooldown passes by itself."""
    held_at(model, "cooldown")
    assert alerts(model) == {}
    for name in ("budget_runs", "budget_gpu_hours"):
        held_at(model, name)
        assert alerts(model) == {EXHAUSTED: "warning"}
        held_at(model, None)
        assert alerts(model) == {}


def test_each_braking_is_logged_once(model: str) -> None:
    """The next row of as many, after a release, is another one; the same row each night is not."""
    held_at(model, "brake", 3)
    held_at(model, "brake", 3)
    assert brakings(model) == ["3"]
    held_at(model, None)
    held_at(model, "brake", 6)
    assert brakings(model) == ["3", "6"]


@step(enable_cache=False)
def gather() -> tuple[Annotated[ImageDataset, "dataset"], Annotated[Signals, "found"]]:
    """What a first training of always the same pictures is decided on."""
    return dataset(1, 2), found(fired=True, last=None)


@pipeline(enable_cache=False)
def deciding(model: str) -> None:
    """The end of what comes before the training steps."""
    joined, signals = gather()
    decide(joined, signals, settings=SETTINGS, model_name=model)


def test_each_runs_decision_is_logged_also_one_like_another(model: str) -> None:
    """Otherwise the same first training, begun anew each night, would count once against the budget."""
    names = [run.name for run in (deciding(model), deciding(model)) if run is not None]
    logged = sound_entries("decide", {"model": model, "retrain": "yes"}, TRUSTED)
    assert [entry.subject["run"] for entry in logged] == names
    assert len({entry.subject["decision_digest"] for entry in logged}) == 1


def test_the_brake_and_the_budget_hold_a_persons_wish_too() -> None:
    """A wish may stand in a schedule's command; who means it releases the brake or trains by hand."""
    settings = SETTINGS.model_copy(update={"manual": True})
    for name in ("brake", "budget_runs"):
        asked = found(fired=True, last=evidence(), held=name)
        assert not decide_retraining(asked, data="new", settings=settings).retrain


@pytest.mark.parametrize(
    ("policy", "names", "retrain"),
    [
        ({"policy": "any"}, ("drift",), True),
        ({"policy": "any"}, (), False),
        ({"policy": "any", "signals": ["new_data", "model_age"]}, ("drift",), False),
        ({"policy": "all", "signals": ["new_data", "drift"]}, ("new_data",), False),
        ({"policy": "all", "signals": ["new_data", "drift"]}, ("new_data", "drift"), True),
        ({"policy": "all", "signals": ["new_data", "drift"]}, ("manual",), True),
        ({"policy": "weighted", "weights": {"new_data": 0.4, "drift": 0.6}}, ("new_data",), False),
        ({"policy": "weighted", "weights": {"new_data": 0.4, "drift": 0.6}}, ("new_data", "drift"), True),
        ({"policy": "weighted", "weights": {"new_data": 0.4}}, ("model_age",), True),
        ({"policy": "weighted", "weights": {"new_data": 0.4}}, ("manual",), True),
    ],
)
def test_the_policy_says_how_many_have_to_fire(
    policy: dict[str, object], names: tuple[str, ...], retrain: bool
) -> None:
    """One of those that count, all of them, or enough weight; a person's wish is enough."""
    settings = TriggerSettings.model_validate(policy)
    decision = decide_retraining(fired(*names), data="new", settings=settings)
    assert decision.retrain is retrain
    assert len(decision.signals) == 4
    if names and not retrain:
        assert f"{names[0]} said so" in decision.reasons


def test_what_does_not_count_is_no_reason_to_retrain() -> None:
    """It is shown among the signals; where nothing else fired, it is said that it does not count."""
    settings = TriggerSettings(signals=("drift",))
    yes = decide_retraining(fired("new_data", "drift"), data="new", settings=settings)
    assert (yes.retrain, yes.reasons) == (True, ("drift said so",))
    no = decide_retraining(fired("new_data"), data="new", settings=settings)
    assert no.reasons == ("no signal that counts fired (trigger.signals)", "new_data said so")


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"signals": []}, "nothing would ever retrain"),
        (
            {"policy": "weighted", "signals": ["drift"], "weights": {"drift": 0.5}},
            "nothing would ever retrain",
        ),
        ({"weights": {"drift": -1}}, "weight of drift is -1"),
    ],
)
def test_a_policy_by_which_nothing_would_ever_retrain_is_refused(about: dict[str, object], said: str) -> None:
    """When it is read, with the reason."""
    with pytest.raises(ValueError, match=said):
        TriggerSettings.model_validate(about)


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
