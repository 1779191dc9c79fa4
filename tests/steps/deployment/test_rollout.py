"""Each share and the end of a rollout stand in the log, and whoever is killed in between is gone on from."""

from __future__ import annotations

import pytest

from materializers.audit_entry import AuditEntry
from materializers.audit_log import sound_entries
from materializers.errors import Refused, ServiceUnreachable
from materializers.release import Release
from steps.deployment import rollout
from steps.deployment.rollout import (
    advance,
    ended_before,
    log_end,
    log_lost_end,
    log_stage,
    rollouts,
    take_out,
)
from steps.deployment.settings import EnvironmentSettings
from tests.steps.deployment.held import HeldDeployer

TWO_STAGES = EnvironmentSettings(mode="canary", stages=(0.1, 0.5))


def rolling_in(held: HeldDeployer) -> Release:
    """What is rolling out."""
    assert held.rolling is not None
    return held.rolling


def entries(held: HeldDeployer, release: Release) -> list[AuditEntry]:
    """Everything that the log says of the rollouts of a model, the oldest first."""
    about = {"model": release.model_name}
    found = [
        entry for act in ("roll-out", "end-rollout") for entry in sound_entries(act, about, held.trusted)
    ]
    return sorted(found, key=lambda entry: entry.number)


def test_each_share_is_logged_once(held: HeldDeployer) -> None:
    """With version, evidence, mode, share and what it serves beside; looking again adds nothing."""
    rolling = rolling_in(held)
    log_stage(rolling)
    log_stage(rolling)
    (entry,) = entries(held, rolling)
    assert entry.act == "roll-out"
    told = {key: entry.subject[key] for key in ("version", "mode", "share", "stage", "beside", "rollout")}
    assert told == {
        "version": "3",
        "mode": "canary",
        "share": "0.1",
        "stage": "0",
        "beside": "2",
        "rollout": rolling.rollout,
    }
    further = advance(rolling, TWO_STAGES)
    log_stage(further)
    assert [entry.subject["share"] for entry in entries(held, rolling)] == ["0.1", "0.5"]


def test_a_candidate_gets_stage_after_stage_and_then_all(held: HeldDeployer) -> None:
    """The attempt stays the same one, and the last step is a release in mode full."""
    rolling = rolling_in(held)
    further = advance(rolling, TWO_STAGES)
    assert (further.status, further.mode, further.share, further.stage) == ("rolling_out", "canary", 0.5, 1)
    assert (further.rollout, further.since) == (rolling.rollout, rolling.since)
    live = advance(further, TWO_STAGES)
    assert (live.status, live.mode, live.share) == ("live", "full", 1.0)
    assert f"after its rollout {rolling.rollout} in mode canary" in live.why
    assert held.rolling is None


def test_what_is_refused_goes_no_further(held: HeldDeployer) -> None:
    """The deployer says why."""
    held.refuses = "Version 3 was rejected"
    with pytest.raises(Refused, match="rejected"):
        advance(rolling_in(held), TWO_STAGES)


def test_what_somebody_ended_goes_no_further(held: HeldDeployer) -> None:
    """The log has who and why, although whoever logged it has not taken the candidate out yet."""
    rolling = rolling_in(held)
    log_end(rolling, "a complaint", by="Ada")
    with pytest.raises(Refused, match="ended by Ada: a complaint"):
        advance(rolling, TWO_STAGES)
    assert held.applied == []
    assert held.rolling == rolling


def test_the_end_is_logged_with_its_reasons_before_the_candidate_goes(held: HeldDeployer) -> None:
    """And by whom; what is returned says it, too."""
    rolling = rolling_in(held)
    ended = take_out(rolling, ("It is slower.", "It errs."), by="Ada")
    assert (ended.status, ended.reasons) == ("rolled_back", ("It is slower.", "It errs."))
    assert held.rolling is None
    (entry,) = entries(held, rolling)
    assert (entry.act, entry.by, entry.reason) == ("end-rollout", "Ada", "It is slower. It errs.")


def test_who_was_killed_between_the_log_and_the_end_is_gone_on_from(held: HeldDeployer) -> None:
    """The candidate is still there, and the log says why it has to go; it is logged once."""
    rolling = rolling_in(held)
    log_end(rolling, "It errs.", by="a pipeline")
    before = ended_before(rolling)
    assert before is not None
    assert before.reason == "It errs."
    assert take_out(rolling, (before.reason,)).status == "rolled_back"
    assert len(entries(held, rolling)) == 1


def test_a_later_attempt_is_not_ended_by_the_end_of_an_earlier_one(held: HeldDeployer) -> None:
    """Whoever tries the same version again begins anew."""
    log_end(rolling_in(held), "It errs.", by="a pipeline")
    assert ended_before(rolling_in(held).model_copy(update={"rollout": "second"})) is None


def test_a_candidate_goes_also_where_the_log_cannot_be_written(
    held: HeldDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is worse does not stay for want of a log; the next look logs that it went."""
    rolling = rolling_in(held)
    log_stage(rolling)

    def unreachable(*args: object, **known: object) -> None:
        raise ServiceUnreachable("The artifact store does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(rollout, "record", unreachable)
        with pytest.raises(ServiceUnreachable, match=r"was ended \(It errs\.\), but stands in no log yet"):
            take_out(rolling, ("It errs.",))
    assert held.rolling is None
    log_lost_end(rolling.model_name, "production")
    log_lost_end(rolling.model_name, "production")
    assert [entry.act for entry in entries(held, rolling)] == ["roll-out", "end-rollout"]
    assert entries(held, rolling)[-1].subject["rollout"] == rolling.rollout


def test_what_another_command_ended_is_not_ended_again(held: HeldDeployer) -> None:
    """The other one's answer stands."""
    rolling = rolling_in(held)
    held.rolling = None
    ended = take_out(rolling, ("It errs.",))
    assert ended.status == "refused"
    assert "another command ended that" in ended.reasons[0]


def test_what_cannot_be_changed_goes_on(held: HeldDeployer) -> None:
    """The fault is told, and the log says what the next look has to do."""
    held.out_of_reach = True
    rolling = rolling_in(held)
    with pytest.raises(ServiceUnreachable, match="ingress"):
        take_out(rolling, ("It errs.",))
    assert held.rolling is not None
    assert ended_before(rolling) is not None


def test_nothing_is_logged_as_lost_that_goes_on_or_ended_well(held: HeldDeployer) -> None:
    """While it is rolling out, and once it has all the traffic."""
    rolling = rolling_in(held)
    log_stage(rolling)
    log_lost_end(rolling.model_name, "production")
    advance(rolling, EnvironmentSettings(mode="canary"))
    log_lost_end(rolling.model_name, "production")
    assert [entry.act for entry in entries(held, rolling)] == ["roll-out"]


def test_everything_that_rolls_out_is_listed(held: HeldDeployer) -> None:
    """Beside what is live; nothing where nothing does."""
    assert rollouts() == [rolling_in(held)]
    held.rolling = None
    assert rollouts() == []
