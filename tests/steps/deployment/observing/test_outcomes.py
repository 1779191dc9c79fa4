"""Captures and feedback become one row a request, whatever came late, twice or for nobody."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from steps.deployment.observing.moments import NEVER, moment
from steps.deployment.observing.outcomes import CAPTURED, NO_LABEL, united
from tests.steps.deployment.observing.traffic import at, captures, labels_for, outcomes, posted


def picture(
    request: str,
    second: float,
    label: str | None,
    *,
    position: int = 0,
    status: int = 200,
    digest: str | None = None,
) -> dict[str, object]:
    """A row of captures."""
    return {
        "request_id": request,
        "position": position,
        "at": at(second),
        "latency_ms": 50.0,
        "status": status,
        "input_digest": digest,
        "label": label,
        "probability": 0.9 if label else None,
        "abstained": False if label else None,
    }


def rows(*pictures: dict[str, object]) -> pd.DataFrame:
    """Captures of these pictures."""
    return pd.DataFrame(list(pictures), columns=list(CAPTURED))


def test_requests_are_in_the_order_in_which_they_came() -> None:
    """In whichever order the store has them, and two at one moment always alike."""
    drawn = captures(50)
    drawn.loc[10, "at"] = drawn.loc[11, "at"]
    shuffled = drawn.sample(frac=1, random_state=3)
    found, again = outcomes(drawn), outcomes(shuffled)
    assert (np.diff(found.at) >= 0).all()
    assert found.request_id.tolist() == again.request_id.tolist()


def test_of_a_request_with_several_pictures_the_first_answer_counts() -> None:
    """Three pictures of one request are no three requests; the first of them could not be used."""
    found = outcomes(
        rows(
            picture("a", 1, "shoes", position=2),
            picture("a", 1, "bags", position=1),
            picture("a", 1, None, position=0),
            picture("b", 2, None, status=503),
        )
    )
    assert found.request_id.tolist() == ["a", "b"]
    assert found.answered.tolist() == [True, False]
    assert [found.classes[found.label[0]], found.label[1]] == ["bags", NO_LABEL]


def test_the_first_label_of_a_request_counts_and_a_later_one_changes_nothing() -> None:
    """Or a look that was taken would have seen something else."""
    answered = rows(picture("a", 1, "bags"))
    feedback = posted(
        [("a", at(90), "shoes", None), ("a", at(60), "bags", None), ("a", at(60), "bags", None)]
    )
    found = outcomes(answered, feedback)
    assert (found.correct[0], found.labelled_at[0]) == (True, moment(at(60)))


def test_feedback_on_unknown_and_on_failed_requests_belongs_to_nothing() -> None:
    """Nobody answered there what could be right or wrong."""
    answered = rows(picture("a", 1, "bags"), picture("b", 2, None, status=500))
    found = outcomes(answered, posted([("x", at(9), "bags", 1.0), ("b", at(9), "bags", None)]))
    assert (found.labelled_at == NEVER).all()
    assert (found.valued_at == NEVER).all()
    assert not found.correct.any()


def test_feedback_of_a_clock_that_is_behind_came_with_the_request_at_the_earliest() -> None:
    """Nobody knows the label of a picture that was not sent yet."""
    found = outcomes(rows(picture("a", 100, "bags")), posted([("a", at(40), "bags", 3.5)]))
    assert found.labelled_at[0] == found.valued_at[0] == found.at[0]
    assert found.value[0] == 3.5


def test_an_id_that_two_requests_have_is_the_first_ones_for_feedback() -> None:
    """A client that sends one id for all has requests that count, and one label."""
    answered = rows(*(picture("same", second, "bags") for second in range(5)))
    found = outcomes(answered, posted([("same", at(60), "bags", None)]))
    assert len(found) == 5
    assert found.correct.tolist() == [True, False, False, False, False]
    assert (found.labelled_at < NEVER).sum() == 1


def test_a_request_that_the_ingress_sent_again_counts_once() -> None:
    """Under its id with the same pictures, and as it was first; with another picture it is another one."""
    sent = (picture("a", 1, "bags", digest="x"), picture("a", 1, "tops", digest="y", position=1))
    again = (picture("a", 4, "shoes", digest="x"), picture("a", 4, "tops", digest="y", position=1))
    others = (picture("b", 2, "bags", digest="x"), picture("a", 5, "bags", digest="z"))
    found = outcomes(rows(*sent, *again, *others), posted([("b", at(60), "bags", None)]))
    assert found.request_id.tolist() == ["a", "b", "a"]
    assert found.at.tolist() == [moment(at(second)) for second in (1, 2, 5)]
    assert found.classes == ("bags",)


def test_feedback_on_another_picture_of_a_request_is_not_that_of_the_one_that_counts() -> None:
    """Position 1 is another picture; without a position nobody knows which of two is meant."""
    answered = rows(picture("a", 1, "bags"), picture("a", 1, "shoes", position=1))
    feedback = posted([("a", at(5), "hats", None), ("a", at(6), "hats", None), ("a", at(7), "bags", None)])
    feedback["position"] = pd.Series([1, None, 0], dtype=object)
    found = outcomes(answered, feedback)
    assert (found.correct[0], found.labelled_at[0]) == (True, moment(at(7)))


def test_only_what_is_right_is_correct() -> None:
    """By the labels that were drawn."""
    drawn = captures(2000, accuracy=0.8, errors=0.1)
    found = outcomes(drawn, labels_for(drawn))
    assert found.correct.sum() / found.answered.sum() == pytest.approx(0.8, abs=0.03)
    assert found.abstained.sum() > 0
    assert not found.abstained[~found.answered].any()


def test_no_capture_is_no_request() -> None:
    """An empty frame has no types to speak of."""
    assert len(outcomes(captures(3).head(0))) == 0
    assert len(outcomes(rows())) == 0


def test_what_came_before_a_moment_is_left_out() -> None:
    """Of a stage that began later."""
    found = outcomes(captures(100))
    later = found.since(int(found.at[40]))
    assert later.request_id.tolist() == found.request_id[40:].tolist()
    assert len(later.label) == len(later.valued_at) == 60
    assert found.since(0) is found


def test_classes_of_two_versions_are_numbered_alike() -> None:
    """Also where one has a class that the other lacks, and for requests without an answer."""
    first = outcomes(rows(picture("a", 1, "bags"), picture("b", 2, "tops"), picture("c", 3, None)))
    second = outcomes(rows(picture("d", 1, "shoes"), picture("e", 2, "tops")))
    ours, theirs, names = united(first, second)
    assert names == ("bags", "shoes", "tops")
    assert (ours.tolist(), theirs.tolist()) == ([0, 2, NO_LABEL], [1, 2])


def test_a_moment_without_a_time_zone_is_none() -> None:
    """It could be any of 24."""
    with pytest.raises(ValueError, match="no time zone"):
        moment(datetime(2026, 11, 1))
