"""The same records give the same answer, and the answer is right about as often as it says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from materializers.observation import Compared
from steps.deployment.observing.moments import moment
from steps.deployment.observing.planning import make_plan
from steps.deployment.observing.replay import Replayed, Stage, asks_for, replay
from steps.deployment.observing.settings import Labels, ObserveSettings, Undecided
from tests.steps.deployment.observing.traffic import (
    BEGIN,
    DAY_S,
    at,
    captures,
    labels_for,
    outcomes,
    posted,
    values_for,
)

SETTINGS = ObserveSettings(settling_s=0)
AFTER = BEGIN + timedelta(days=1)
"""All that was drawn has come; the deadline is days away."""
DEADLINE = BEGIN + timedelta(days=8)


def stage(
    candidate: pd.DataFrame,
    champion: pd.DataFrame | None = None,
    feedback: pd.DataFrame | None = None,
    *,
    settings: ObserveSettings = SETTINGS,
    mode: Any = "canary",
    share: float = 0.10,
    stages: int = 1,
) -> Stage:
    """A stage at a tenth of the traffic, beside a champion of nine times the requests."""
    beside = captures(9 * len(candidate), seed=99, prefix="h") if champion is None else champion
    return Stage(
        champion=outcomes(beside, feedback),
        candidate=outcomes(candidate, feedback),
        settings=settings,
        plan=make_plan(settings, mode=mode, share=share, stages=stages),
        mode=mode,
        begin=moment(BEGIN),
        bounded=False,
    )


def labelled(candidate: pd.DataFrame, champion: pd.DataFrame, **known: Any) -> pd.DataFrame:
    """Labels of all requests of both."""
    return pd.concat([labels_for(candidate, **known), labels_for(champion, **known)], ignore_index=True)


def harmful(replayed: Replayed) -> list[tuple[str, str]]:
    """The figures that were shown to be worse."""
    return [(each.signal, each.figure) for each in replayed.looks[-1].compared if each.harmful]


def last(replayed: Replayed, signal: str) -> Compared:
    """What the last look at a signal saw."""
    found = [each for look in replayed.looks for each in look.compared if each.signal == signal]
    return found[-1]


def settings(**known: Any) -> ObserveSettings:
    """Settings that wait for nothing to settle."""
    return ObserveSettings(**({"settling_s": 0} | known))


def test_a_candidate_that_is_as_good_is_promoted() -> None:
    """Before all that is planned has come."""
    found = replay(stage(captures(4000)), AFTER)
    assert (found.answer, found.because) == ("promote", "shown")
    assert all(each.shown for each in found.looks[-1].compared)
    assert found.looks[-1].n_candidate < 4000


@pytest.mark.parametrize(
    ("worse", "figure", "within"),
    [
        ({"errors": 0.02}, ("errors", "share"), 4000),
        ({"rejections": 0.10}, ("rejections", "share"), 1000),
        ({"slower": 3.0}, ("latency", "95th percentile"), 40),
        ({"abstention": 0.15}, ("abstention", "share"), 1000),
        ({"only": "bags"}, ("scores", "class shares"), 120),
        ({"confidence": 1.0}, ("scores", "top probability"), 120),
    ],
)
def test_a_candidate_that_is_worse_is_rolled_back(
    worse: dict[str, Any], figure: tuple[str, str], within: int
) -> None:
    """For what it is worse in, and long before the end where it is much worse."""
    found = replay(stage(captures(4000, **worse)), AFTER)
    assert (found.answer, found.because) == ("roll back", "harm")
    assert figure in harmful(found)
    assert found.looks[-1].n_candidate <= within


def test_a_candidate_that_is_five_points_less_accurate_is_rolled_back_for_that() -> None:
    """By labels that came; without them nobody can know."""
    candidate, champion = captures(4000, accuracy=0.85), captures(36_000, seed=9, prefix="h")
    found = replay(stage(candidate, champion, labelled(candidate, champion)), DEADLINE)
    assert (found.answer, harmful(found)) == ("roll back", [("accuracy", "share")])
    assert replay(stage(candidate, champion), DEADLINE).answer == "promote"


def test_a_candidate_that_is_slower_by_less_than_is_tolerated_is_promoted() -> None:
    """A fifth slower, where half is tolerated."""
    assert replay(stage(captures(4000, slower=1.2)), AFTER).answer == "promote"


def test_a_tail_that_is_slow_is_found_where_the_median_is_not() -> None:
    """Every tenth request takes five times as long."""
    candidate = captures(4000)
    candidate.loc[::10, "latency_ms"] *= 5
    found = replay(stage(candidate), AFTER)
    assert found.answer == "roll back"
    assert harmful(found) == [("latency", "95th percentile")]


def test_a_millisecond_more_is_no_harm_where_a_request_takes_half_of_one() -> None:
    """Three times as slow, and nobody notices; a margin without milliseconds does."""
    candidate, champion = captures(4000), captures(36_000, seed=9, prefix="h")
    candidate["latency_ms"], champion["latency_ms"] = 1.2, 0.4
    assert replay(stage(candidate, champion), AFTER).answer == "promote"
    strict = settings(margins={"latency_ms": 0})
    assert replay(stage(candidate, champion, settings=strict), AFTER).answer == "roll back"


def test_the_answer_is_the_same_from_the_moment_of_the_decision_on_and_continue_before() -> None:
    """Whoever is killed and asks again, at any moment, with what was stored until then."""
    candidate = captures(4000, errors=0.02)
    champion = captures(36_000, seed=9, prefix="h")
    feedback = labelled(candidate, champion, later_s=600)
    whole = replay(stage(candidate, champion, feedback), AFTER)
    assert whole.at is not None
    moments = [moment(look.at) for look in whole.looks]
    cuts = {each + off for each in (*moments, whole.at) for off in (-1, 0, 1)}
    cuts |= set(np.random.default_rng(0).integers(moment(BEGIN), moment(AFTER), 10).tolist())
    for cut in sorted(cuts):
        now = BEGIN + timedelta(microseconds=cut - moment(BEGIN))
        known = [rows[rows["at"] <= now].reset_index(drop=True) for rows in (candidate, champion, feedback)]
        found = replay(stage(*known), now)
        if cut >= whole.at:
            assert found == whole
        else:
            assert found.answer == "continue"
            assert list(found.looks) == [look for look in whole.looks if moment(look.at) <= cut]


def test_a_promotion_is_the_same_after_a_cut_anywhere() -> None:
    """With labels an hour late, and business figures."""
    candidate, champion = captures(4600), captures(18_400, seed=9, prefix="h")
    feedback = labelled(candidate, champion, later_s=3600)
    feedback["value"] = np.random.default_rng(1).gamma(2.0, 10.0, len(feedback))
    whole = replay(stage(candidate, champion, feedback, mode="ab", share=0.2), AFTER + timedelta(hours=2))
    assert (whole.answer, whole.because) == ("promote", "shown")
    assert whole.at is not None
    assert {look.clock for look in whole.looks} == {"requests", "labels", "values"}
    for off in (-1, 0, 1, 3_600_000_000):
        now = BEGIN + timedelta(microseconds=whole.at + off - moment(BEGIN))
        found = replay(stage(candidate, champion, feedback, mode="ab", share=0.2), now)
        assert found.answer == ("continue" if off < 0 else "promote")
        assert off < 0 or found == whole


def test_the_order_in_which_records_are_stored_does_not_matter() -> None:
    """Parts come from many processes."""
    candidate, champion = captures(1500, errors=0.01), captures(13_500, seed=9, prefix="h")
    feedback = labelled(candidate, champion)
    shuffled = [rows.sample(frac=1, random_state=1) for rows in (candidate, champion, feedback)]
    assert replay(stage(*shuffled), AFTER) == replay(stage(candidate, champion, feedback), AFTER)


def test_asking_more_often_gives_no_further_looks() -> None:
    """They are at the counts that were fixed before, and nowhere else."""
    running = stage(captures(4000, accuracy=0.9))
    now = BEGIN + timedelta(hours=3)
    first, again = replay(running, now), replay(running, now + timedelta(seconds=1))
    assert [look.n_candidate for look in first.looks] == [20, 36, 64, 116, 208, 374]
    assert first.looks == again.looks


def test_nothing_is_promoted_before_five_minutes_and_then_without_a_further_request() -> None:
    """Much traffic in one minute; at the fifth the answer is there."""
    running = stage(captures(4000, seconds=60), captures(36_000, seed=9, prefix="h", seconds=60))
    assert replay(running, at(299)).answer == "continue"
    found = replay(running, at(300))
    assert (found.answer, found.at) == ("promote", moment(at(300)))


def test_nothing_is_promoted_on_fewer_requests_than_are_asked_for() -> None:
    """However clear it is: the next look that has as many decides."""
    patient = replay(stage(captures(4000), settings=settings(minimum_requests=3000)), AFTER)
    usual = replay(stage(captures(4000)), AFTER)
    assert (usual.answer, usual.looks[-1].n_candidate) == ("promote", 2186)
    assert (patient.answer, patient.looks[-1].n_candidate) == ("promote", 3937)


def test_harm_does_not_wait_for_five_minutes() -> None:
    """What always fails is out after twenty requests."""
    champion = captures(36_000, seed=9, prefix="h", seconds=60)
    found = replay(stage(captures(4000, seconds=60, errors=1.0), champion), at(30))
    assert (found.answer, found.because) == ("roll back", "harm")
    assert found.looks[-1].n_candidate == 20


def test_what_is_too_young_is_not_looked_at_yet() -> None:
    """It may be stored of one version and not of the other; then it is."""
    waiting = settings(settling_s=120)
    running = stage(captures(4000, seconds=60, errors=1.0), settings=waiting)
    assert replay(running, at(100)).looks == ()
    assert replay(running, at(200)).answer == "roll back"


@pytest.mark.parametrize(
    ("undecided", "answer"), [("roll back", "roll back"), ("promote", "promote"), ("ask", "ask")]
)
def test_what_is_not_decided_within_the_plan_is_decided_by_the_policy(
    undecided: Undecided, answer: str
) -> None:
    """A candidate that is worse by just what is tolerated, when the last planned request has come."""
    candidate = captures(4000, errors=0.005, seed=4)
    found = replay(stage(candidate, settings=settings(undecided=undecided)), AFTER)
    assert (found.answer, found.because) == (answer, "undecided")
    assert found.at == moment(candidate["at"].iloc[found.looks[-1].n_candidate - 1])


@pytest.mark.parametrize("undecided", ["roll back", "promote", "ask"])
@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (0, 900), (100, 0), (100, 900)])
def test_at_the_deadline_too_few_requests_are_never_promoted(
    undecided: Undecided, ours: int, theirs: int
) -> None:
    """None at all, those of one version only, or fewer than are asked for; before it one waits."""
    running = stage(
        captures(ours), captures(theirs, seed=9, prefix="h"), settings=settings(undecided=undecided)
    )
    assert replay(running, AFTER).answer == "continue"
    found = replay(running, DEADLINE)
    assert found.because == "insufficient data"
    assert found.answer == ("ask" if undecided == "ask" else "roll back")
    assert found.at == running.deadline


def test_at_the_deadline_there_is_a_last_look_with_all_that_is_left() -> None:
    """So that 1,300 requests, a third of what was planned, suffice to promote what is as good."""
    running = stage(captures(1300, seed=5))
    assert replay(running, AFTER).answer == "continue"
    found = replay(running, DEADLINE)
    assert (found.answer, found.looks[-1].n_candidate) == ("promote", 1300)
    assert sum(look.level for look in found.looks) == pytest.approx(SETTINGS.alpha)
    per_figure = SETTINGS.alpha / running.plan.figures
    assert sum(look.harm_level for look in found.looks) == pytest.approx(per_figure)


def test_nobody_is_promoted_where_all_requests_of_both_fail() -> None:
    """Neither is worse, and nothing was answered: there is nothing to promote on."""
    running = stage(captures(4000, errors=1.0), captures(36_000, seed=9, prefix="h", errors=1.0))
    found = replay(running, DEADLINE)
    assert found.answer == "roll back"
    assert found.because == "insufficient data"
    assert last(found, "errors").shown
    assert last(found, "latency").lacking


def test_records_of_before_the_stage_do_not_count() -> None:
    """Also those of a clock that went back; they would be the answers of another share."""
    candidate, champion = captures(4000), captures(36_000, seed=9, prefix="h")
    before = captures(500, seed=3, prefix="b", errors=1.0)
    before["at"] -= timedelta(days=2)
    early = pd.concat([before, candidate], ignore_index=True)
    assert replay(stage(early, champion), AFTER) == replay(stage(candidate, champion), AFTER)


def test_a_clock_that_goes_back_gives_the_answer_of_the_time_that_it_shows() -> None:
    """Before the begin nothing has happened; forward again, all is as it was."""
    running = stage(captures(4000))
    whole = replay(running, AFTER)
    assert replay(running, BEGIN - timedelta(hours=1)) == Replayed("continue", "not decided yet", None, ())
    assert replay(running, at(60)).answer == "continue"
    assert replay(running, AFTER) == whole


def test_the_clock_of_one_version_that_lags_is_no_harm() -> None:
    """Its requests count as if they had come earlier."""
    candidate, champion = captures(4000), captures(36_000, seed=9, prefix="h")
    champion["at"] += timedelta(minutes=10)
    found = replay(stage(candidate, champion), AFTER + timedelta(hours=1))
    assert found.answer == "promote"


@pytest.mark.parametrize(
    ("labels", "count", "answer"),
    [
        ("as they come", 0, "promote"),
        ("as they come", 99, "promote"),
        ("as they come", 100, "continue"),
        ("required", 0, "continue"),
        ("harm only", 2000, "promote"),
    ],
)
def test_a_promotion_waits_for_labels_where_they_come_or_are_asked_for(
    labels: Labels, count: int, answer: str
) -> None:
    """What is as good in all else, with few labels."""
    candidate, champion = captures(4000), captures(36_000, seed=9, prefix="h")
    feedback = pd.concat(
        [labels_for(candidate.head(count)), labels_for(champion.head(9 * count))], ignore_index=True
    )
    running = stage(candidate, champion, feedback, settings=settings(labels=labels))
    assert replay(running, AFTER).answer == answer


def test_labels_that_are_required_and_never_come_end_at_the_deadline() -> None:
    """Without a promotion, whatever the policy says of what is undecided."""
    required = settings(labels="required", undecided="promote")
    found = replay(stage(captures(4000), settings=required), DEADLINE)
    assert (found.answer, found.because) == ("roll back", "insufficient data")


def test_labels_that_come_days_late_still_decide() -> None:
    """The candidate is five points worse; all requests came on the first day, labels on the third."""
    candidate, champion = captures(4000, accuracy=0.85), captures(36_000, seed=9, prefix="h")
    feedback = labelled(candidate, champion, later_s=2 * DAY_S)
    required = settings(labels="required")
    running = stage(candidate, champion, feedback, settings=required)
    assert replay(running, BEGIN + timedelta(days=1.9)).answer == "continue"
    found = replay(running, DEADLINE)
    assert (found.answer, found.because) == ("roll back", "harm")
    assert found.at is not None
    assert moment(BEGIN + timedelta(days=2)) < found.at < moment(BEGIN + timedelta(days=3))


def test_labels_given_twice_and_for_nobody_change_nothing() -> None:
    """Retries of who posts them."""
    candidate, champion = captures(3000), captures(27_000, seed=9, prefix="h")
    once = labelled(candidate, champion)
    later = once.assign(at=once["at"] + timedelta(hours=1), label="bags")
    strange = posted([(f"unknown {number}", at(number), "bags", None) for number in range(500)])
    more = pd.concat([once, once, later, strange], ignore_index=True)
    assert replay(stage(candidate, champion, more), AFTER) == replay(stage(candidate, champion, once), AFTER)


def test_a_business_figure_that_falls_rolls_an_a_b_test_back_and_no_canary() -> None:
    """By a fifth; of a cost it would be a gain."""
    candidate, champion = captures(4600), captures(18_400, seed=9, prefix="h")
    feedback = pd.concat([values_for(candidate, 8.0), values_for(champion, 10.0)], ignore_index=True)
    found = replay(stage(candidate, champion, feedback, mode="ab", share=0.2), AFTER)
    assert (found.answer, harmful(found)) == ("roll back", [("value", "mean")])
    assert replay(stage(candidate, champion, feedback, share=0.2), AFTER).answer == "promote"
    cost = settings(value_is="cost")
    cheaper = stage(candidate, champion, feedback, mode="ab", share=0.2, settings=cost)
    assert replay(cheaper, AFTER).answer == "promote"


def test_an_a_b_test_asks_for_business_figures_where_they_come() -> None:
    """From as many on as labels."""
    candidate = captures(4600)
    feedback = values_for(candidate.head(150), 1.0)
    running = stage(candidate, captures(18_400, seed=9, prefix="h"), feedback, mode="ab", share=0.2)
    early, late = (moment(candidate["at"].iloc[number]) for number in (98, 99))
    assert [asks_for(running, "values", when) for when in (early, late)] == [False, True]


def test_more_stages_ask_for_more_evidence_of_harm_and_for_no_more_of_a_promotion() -> None:
    """A good candidate must not be rolled back in any of them; a bad one has to pass all."""
    once, thrice = (replay(stage(captures(4000), stages=count), AFTER) for count in (1, 3))
    assert thrice.looks[0].harm_level == pytest.approx(once.looks[0].harm_level / 3, rel=1e-3)
    assert thrice.looks[0].level == once.looks[0].level


def test_a_candidate_that_is_equal_is_hardly_ever_rolled_back() -> None:
    """Of 25; and one that is worse by just what is tolerated is hardly ever promoted."""
    rolled_back = promoted = 0
    for seed in range(25):
        champion = captures(9000, seed=1000 + seed, prefix="h")
        for slower in (1.0, 1.5):
            found = replay(stage(captures(1000, seed=seed, slower=slower), champion), DEADLINE)
            rolled_back += found.answer == "roll back" and slower == 1
            promoted += found.answer == "promote" and slower > 1
    assert rolled_back <= 2
    assert promoted <= 2
