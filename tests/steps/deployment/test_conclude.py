"""What a rollout comes to by what was observed: it goes on, gets more of the traffic, or goes."""

from __future__ import annotations

import pytest

from materializers.audit_log import sound_entries
from materializers.errors import ServiceFailed, ServiceUnreachable
from materializers.release import Release
from materializers.schedule import Schedule
from steps.deployment import observe, schedule
from steps.deployment.conclude import conclude_any, conclude_rollout
from steps.deployment.rollout import log_stage, take_out
from steps.deployment.settings import DeploymentSettings, EnvironmentSettings
from tests.materializers.examples import arm, release
from tests.steps.deployment.held import HeldDeployer

TWO_STAGES = EnvironmentSettings(mode="canary", stages=(0.1, 0.5))


class Schedules:
    """An orchestrator that keeps schedules in memory."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def ended(self) -> bool:
        """What this project's orchestrators have."""
        return False

    def schedules(self) -> list[Schedule]:
        """All of them."""
        return [Schedule(name=name, pipeline="deployment", cron="*/5 * * * *") for name in self.names]

    def remove(self, name: str) -> None:
        """One less."""
        self.names.remove(name)


@pytest.fixture
def schedules(held: HeldDeployer, monkeypatch: pytest.MonkeyPatch) -> Schedules:
    """The one that looks at the rollout, and another."""
    kept = Schedules(schedule.look_name(rolling_in(held).model_name, "production"), "weekly")
    monkeypatch.setattr(schedule, "find_orchestrator", lambda: kept)
    return kept


def rolling_in(held: HeldDeployer) -> Release:
    """What is rolling out."""
    assert held.rolling is not None
    return held.rolling


def concluded(held: HeldDeployer, applied: Release | None, answer: str, *reasons: str) -> Release | None:
    """What the step returns."""
    assert held.champion is not None
    return conclude_any(
        applied,
        answer,
        reasons,
        model_name=held.champion.model_name,
        environment="production",
        settings=DeploymentSettings(production=TWO_STAGES),
    )


def test_what_is_not_decided_goes_on_as_it_is(held: HeldDeployer, schedules: Schedules) -> None:
    """The schedule stays, and why is told."""
    release = concluded(held, rolling_in(held), "continue", "12 of 500 requests so far")
    assert release is not None
    assert (release.status, release.share) == ("rolling_out", 0.1)
    assert release.reasons == ("12 of 500 requests so far",)
    assert held.applied == []
    assert len(schedules.names) == 2


def test_what_holds_at_a_stage_gets_the_next(held: HeldDeployer, schedules: Schedules) -> None:
    """Not all of it while there is a larger share before that."""
    release = concluded(held, rolling_in(held), "promote", "it is no worse")
    assert release is not None
    assert (release.status, release.mode, release.share) == ("rolling_out", "canary", 0.5)
    assert held.champion is not None
    assert held.champion.candidate is not None
    assert held.champion.candidate.version == 2
    assert len(schedules.names) == 2


def test_what_is_worse_goes_and_nothing_looks_at_it_any_more(
    held: HeldDeployer, schedules: Schedules
) -> None:
    """Exit code 3 follows from the status; other schedules stay."""
    release = concluded(held, rolling_in(held), "roll back", "it errs")
    assert release is not None
    assert (release.status, release.reasons) == ("rolled_back", ("it errs",))
    assert held.rolling is None
    assert schedules.names == ["weekly"]


def test_what_may_not_get_more_goes(held: HeldDeployer, schedules: Schedules) -> None:
    """A promotion that the deployer refuses rolls back, with its reason."""
    held.refuses = "Version 3 was rejected by Bob"
    release = concluded(held, rolling_in(held), "promote")
    assert release is not None
    assert (release.status, release.reasons) == ("rolled_back", ("Version 3 was rejected by Bob",))
    assert held.rolling is None
    assert schedules.names == ["weekly"]


def test_what_was_proposed_beside_another_champion_goes(held: HeldDeployer, schedules: Schedules) -> None:
    """What it was compared with is not live any more, so that it says nothing of what is."""
    held.champion = release(model_name=rolling_in(held).model_name, candidate=arm(4))
    ended = concluded(held, rolling_in(held), "promote")
    assert ended is not None
    assert ended.status == "rolled_back"
    assert "proposed beside version 2; now version 4 is live" in ended.reasons[0]
    assert (held.applied, held.rolling) == ([], None)


def test_what_is_refused_goes_on_as_it_is(held: HeldDeployer, schedules: Schedules) -> None:
    """Exit code 3 follows from the status; the schedule looks at it again."""
    before = held.rolling
    refused = concluded(held, rolling_in(held), "refuse", "the policy is another now")
    assert refused is not None
    assert (refused.status, refused.reasons) == ("refused", ("the policy is another now",))
    assert (held.applied, held.rolling) == ([], before)
    assert len(schedules.names) == 2


@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize("stage", [0, 1])
def test_what_was_ended_since_it_was_observed_stays_ended(
    held: HeldDeployer, schedules: Schedules, logged: bool, stage: int
) -> None:
    """Whether its end stands in the log or not: the look is refused, and changes nothing."""
    held.rolling = rolling_in(held).model_copy(update={"share": TWO_STAGES.stages[stage], "stage": stage})
    observed, champion = rolling_in(held), held.champion
    log_stage(observed)
    if logged:
        assert take_out(observed, ("a complaint",), by="Ada").status == "rolled_back"
    held.rolling = None
    release = concluded(held, observed, "promote", "it is no worse")
    assert release is not None
    assert release.status == "refused"
    assert "another command ended that" in " ".join(release.reasons)
    assert (held.applied, held.rolling, held.champion) == ([], None, champion)
    assert schedules.names == ["weekly"]
    about = {"model": observed.model_name, "rollout": observed.rollout}
    assert len(sound_entries("end-rollout", about, held.trusted)) == 1


def test_a_fault_leaves_the_schedule_with_what_is_still_rolling_out(
    held: HeldDeployer, schedules: Schedules
) -> None:
    """The next look tries again."""
    held.out_of_reach = True
    with pytest.raises(ServiceUnreachable):
        concluded(held, rolling_in(held), "roll back", "it errs")
    assert len(schedules.names) == 2


def test_a_look_after_the_end_removes_the_schedule_that_was_left(
    held: HeldDeployer, schedules: Schedules
) -> None:
    """Whoever took the candidate out was killed before that; the log gets the end that it lacks."""
    rolling = rolling_in(held)
    log_stage(rolling)
    held.rolling = None
    assert concluded(held, None, "nothing to observe") is None
    assert schedules.names == ["weekly"]
    about = {"model": rolling.model_name, "rollout": rolling.rollout}
    assert len(sound_entries("end-rollout", about, held.trusted)) == 1


def test_who_was_killed_between_a_stage_and_its_entry_is_gone_on_from(held: HeldDeployer) -> None:
    """The deployer has the larger share already; the next look logs it."""
    rolling = rolling_in(held)
    log_stage(rolling)
    held.apply(rolling.model_copy(update={"share": 0.5, "stage": 1}))
    conclude_rollout(rolling_in(held), "continue", (), TWO_STAGES)
    about = {"model": rolling.model_name}
    assert [entry.subject["share"] for entry in sound_entries("roll-out", about, held.trusted)] == [
        "0.1",
        "0.5",
    ]


def test_a_schedule_that_cannot_be_removed_does_not_hide_what_was_done(
    held: HeldDeployer,
    schedules: Schedules,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is said, with the command; it finds nothing to do."""

    def unreachable(name: str) -> None:
        raise ServiceUnreachable("Kubeflow does not answer")

    monkeypatch.setattr(schedules, "remove", unreachable)
    release = concluded(held, rolling_in(held), "roll back", "it errs")
    assert release is not None
    assert release.status == "rolled_back"
    assert "python run.py --unschedule observe-production-" in caplog.text


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("continue", "rolling_out"),
        ("refuse", "refused"),
        ("roll back", "rolled_back"),
        ("promote", "rolling_out"),
    ],
)
def test_a_champion_that_died_is_brought_up_whatever_becomes_of_the_candidate(
    held: HeldDeployer, schedules: Schedules, monkeypatch: pytest.MonkeyPatch, answer: str, status: str
) -> None:
    """The look says so, beside its own reasons; another look finds nothing to say."""
    monkeypatch.setattr(observe, "PATIENCE_S", 0.0)
    held.champion_answers = False
    looked = concluded(held, rolling_in(held), answer, "so far")
    assert looked is not None
    assert looked.status == status
    assert looked.reasons[0] == "so far"
    assert "Version 2 is live in production, and" in looked.reasons[1]
    assert looked.reasons[1].endswith("did not answer as that version; it was brought up again.")
    assert held.champion_answers
    if held.rolling is not None:
        again = concluded(held, held.rolling, "continue", "so far")
        assert again is not None
        assert again.reasons == ("so far",)


@pytest.mark.parametrize("answer", ["continue", "roll back"])
def test_a_champion_that_does_not_come_up_fails_the_look(
    held: HeldDeployer, schedules: Schedules, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """With the command that tries again, and with why the candidate went, which is out all the same."""
    monkeypatch.setattr(observe, "PATIENCE_S", 0.0)
    held.champion_answers = held.comes_up = False
    with pytest.raises(ServiceFailed) as failed:
        concluded(held, rolling_in(held), answer, "It errs.")
    assert str(failed.value).startswith("It errs. Version 2 is live in production, and")
    assert "Its service did not come up" in str(failed.value)
    assert str(failed.value).endswith("python run.py --deploy --environment production --version 2")
    assert (held.rolling is None) == (answer == "roll back")


@pytest.mark.parametrize(("answer", "told"), [("continue", True), ("promote", True), ("roll back", False)])
def test_what_a_proposal_said_of_another_mode_is_told_where_the_rollout_goes_on(
    held: HeldDeployer, schedules: Schedules, answer: str, told: bool
) -> None:
    """It is why nothing began anew, and not why a candidate goes."""
    proposed = rolling_in(held).model_copy(update={"reasons": ("It goes on in mode canary.",)})
    release = concluded(held, proposed, answer, "so far")
    assert release is not None
    assert release.reasons == (("It goes on in mode canary.",) if told else ()) + ("so far",)
