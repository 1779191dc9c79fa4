"""What follows from a drop: nothing before it is confirmed, then what the policy says, and never more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from materializers.drift_report import DriftReport
from materializers.reaction import Policy, Reaction
from materializers.release import Release
from pipelines.config import load_config
from pipelines.notification import look_around
from steps.deployment.conclude import restore_release
from steps.monitoring import react
from steps.registry.audit import record
from tests.materializers.examples import NOON, arm, drift_report, release
from tests.stacks.apprise_alerter.webhook import Webhook
from tests.steps.deployment.conftest import held, signing
from tests.steps.deployment.held import HeldDeployer

__all__ = ["held", "signing"]

DAY = timedelta(days=1)


@pytest.fixture
def watched(held: HeldDeployer, monkeypatch: pytest.MonkeyPatch) -> HeldDeployer:
    """Version 3 is live in production since ten days, version 2 was before; nothing rolls out."""
    assert held.champion is not None
    known = {"model_name": held.champion.model_name, "environment": "production"}
    held.before, held.rolling = held.champion, None
    held.champion = release(**known, candidate=other_model(3), since=NOON - 10 * DAY)
    monkeypatch.setattr(react, "active_deployer", lambda: held)
    return held


def other_model(version: int, digest: str = "3" * 64) -> Any:
    """A version of a model of its own."""
    return arm(version).model_copy(update={"model_digest": digest})


def report(watched: HeldDeployer, days_ago: float, outcome: str = "drop", **captured: Any) -> DriftReport:
    """What a day that ended so long ago came to, of what is live."""
    live = watched.champion
    assert live is not None and live.candidate is not None
    example, until = drift_report(), NOON - days_ago * DAY
    about = {
        **{"model_name": live.model_name, "version": live.candidate.version, "since": until - DAY},
        **{"model_digest": live.candidate.model_digest, "until": until},
    }
    return example.model_copy(
        update={
            "captured": example.captured.model_copy(update=about | captured),
            "performance": example.performance.model_copy(update={"outcome": outcome}),
        }
    )


def reacted(
    monkeypatch: pytest.MonkeyPatch, newest: DriftReport, *past: DriftReport, policy: Policy = "ask"
) -> Reaction:
    """What follows from the newest report, after those before."""
    kept = [newest, *past]  # the run's own report is among those that are stored by then
    monkeypatch.setattr(
        react, "past_reports", lambda *_, since: [each for each in kept if each.captured.until >= since]
    )
    return react.react_to(newest, policy)


@pytest.mark.parametrize("outcome", ["no drop", "insufficient data"])
def test_without_a_drop_nothing_follows(
    watched: HeldDeployer, monkeypatch: pytest.MonkeyPatch, outcome: str
) -> None:
    """Whatever came before: too few labels are no reason to act, nor a sign that all is well."""
    past = [report(watched, days) for days in (1, 2)]
    found = reacted(monkeypatch, report(watched, 0, outcome), *past)
    assert found.outcome == "nothing"
    assert react.alert_of(found) is None
    assert ("too few labels" in found.reasons[0]) == (outcome == "insufficient data")


def test_a_drop_that_stands_alone_waits_for_a_second(
    watched: HeldDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one beside a window that overlaps, or that is of before it was live."""
    newest = report(watched, 0)
    for past in ((), (report(watched, 0.5),), (report(watched, 1, "no drop"), report(watched, 2))):
        assert reacted(monkeypatch, newest, *past).outcome == "unconfirmed"
    assert watched.champion is not None
    watched.champion = watched.champion.model_copy(update={"since": NOON - DAY / 2})
    assert reacted(monkeypatch, newest, report(watched, 1)).outcome == "unconfirmed"


def test_windows_of_before_a_version_went_live_again_do_not_count(
    watched: HeldDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was rolled back for them once; released again, it is judged by windows of its own."""
    assert watched.champion is not None
    watched.champion = watched.champion.model_copy(update={"since": NOON + timedelta(minutes=1)})
    found = reacted(monkeypatch, report(watched, 0), report(watched, 1), policy="automatic")
    assert found.outcome == "unconfirmed"


def test_the_drop_of_what_is_not_live_any_more_leads_to_nothing(
    watched: HeldDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody was faster."""
    gone = {"model_digest": "9" * 64}
    found = reacted(monkeypatch, report(watched, 0, **gone), report(watched, 1, **gone), policy="automatic")
    assert found.outcome == "nothing"
    assert "not live in production any more" in found.reasons[0]
    watched.champion = None
    assert react.react_to(found_report(), "automatic").outcome == "nothing"


def found_report() -> DriftReport:
    """A drop, of whatever."""
    return drift_report()


def test_a_rollback_that_was_cut_off_is_told_by_the_next_look_once(
    watched: HeldDeployer, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed once it was put back: nobody was told, whoever looks next tells it, and nobody else does."""

    def killed(before: Release, *, by: str, why: str) -> None:
        restore_release(before, by=by, why=why)
        raise KeyboardInterrupt

    monkeypatch.setattr(react, "put_back", killed)
    assert watched.champion is not None
    model = watched.champion.model_name
    newest, older = report(watched, 0), report(watched, 1)
    with pytest.raises(KeyboardInterrupt):
        reacted(monkeypatch, newest, older, policy="automatic")
    assert watched.champion.candidate is not None and watched.champion.candidate.version == 2
    assert hook.messages == []
    config = load_config(None, (f"product.model={model}",))
    for _ in range(2):
        look_around(config, registry=False)
    (told,) = hook.messages
    head, back, pending, why = told.splitlines()
    assert head == f"rolled_back (critical): {model} in production, version 3"
    assert back == "Version 2 is live in production again, in the place of 3."
    assert "does not know yet" in pending
    assert newest.digest in why and older.digest in why
    watched.champion = watched.champion.model_copy(update={"recorded": True})
    look_around(config, registry=False)
    assert len(hook.messages) == 1


def test_what_a_person_put_back_is_told_to_nobody(watched: HeldDeployer, hook: Webhook) -> None:
    """Whoever did it knows; so does who made a release whose service did not come up."""
    assert watched.before is not None
    for why in ("the bags look wrong", "what replaced it was taken out: it answered no picture"):
        restore_release(watched.before, by="Ada", why=why)
        react.tell_of_rollbacks(watched.before.model_name)
    assert hook.messages == []


def test_off_tells_of_the_drop_alone(watched: HeldDeployer, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the alert on the accuracy, which every such window raises."""
    found = reacted(monkeypatch, report(watched, 0), report(watched, 1), policy="off")
    assert (found.outcome, react.alert_of(found)) == ("told", None)


def test_ask_names_the_command_and_changes_nothing(
    watched: HeldDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version that would come back, and the reports that it goes by."""
    before, newest, older = watched.champion, report(watched, 0), report(watched, 1)
    found = reacted(monkeypatch, newest, older)
    assert (found.outcome, found.to_version, found.evidence) == ("proposed", 2, (newest.digest, older.digest))
    alert = react.alert_of(found)
    assert alert is not None
    assert (alert.name, alert.severity, alert.environment) == ("rollback_proposed", "critical", "production")
    assert "python run.py --rollback --environment production" in alert.text
    assert watched.champion is before


def test_ask_says_where_the_command_is_needed_twice(
    watched: HeldDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While something rolls out, the first ends that."""
    watched.rolling = rolling(watched, 4)
    found = reacted(monkeypatch, report(watched, 0), report(watched, 1))
    assert "twice: the first ends the rollout of version 4" in found.reasons[0]


def rolling(watched: HeldDeployer, version: int) -> Release:
    """Something that rolls out beside what is live."""
    assert watched.champion is not None
    return release(
        model_name=watched.champion.model_name,
        environment="production",
        status="rolling_out",
        mode="canary",
        share=0.1,
        rollout="another",
        candidate=other_model(version, "4" * 64),
    )


@pytest.mark.parametrize("policy", ["ask", "automatic"])
def test_with_nothing_to_go_back_to_people_are_told_and_nothing_changes(
    watched: HeldDeployer, monkeypatch: pytest.MonkeyPatch, policy: Policy
) -> None:
    """Neither was anything live before, nor is the same model a way back, nor one that was rejected since."""
    live, before = watched.champion, watched.before
    assert live is not None and before is not None and before.candidate is not None
    said = {}
    rejected = {"model": live.model_name, "version": "2"}
    for why in ("nothing", "same", "rejected"):
        watched.before = None if why == "nothing" else before
        if why == "same":
            watched.before = before.model_copy(update={"candidate": other_model(2)})
        if why == "rejected":
            record("reject", rejected, by="Bob", reason="the bags look wrong")
        found = reacted(monkeypatch, report(watched, 0), report(watched, 1), policy=policy)
        assert (found.outcome, watched.champion) == ("not_possible", live)
        alert = react.alert_of(found)
        assert alert is not None
        assert (alert.name, alert.severity) == ("rollback_not_possible", "critical")
        said[why] = alert.text
    assert "nothing that was live before it is kept" in said["nothing"]
    assert "is the same model" in said["same"]
    assert "rejected by Bob (the bags look wrong)" in said["rejected"]
