"""What people said lies beside the answers: one rule for all, whatever came late, twice or for nobody."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from serving.captured_line import Said
from serving.recording import Model
from steps.deployment.observing.moments import moment
from steps.deployment.observing.outcomes import outcomes_of
from steps.deployment.observing.shadow import paired_accuracy, paired_pictures
from steps.monitoring.traffic.captures import read_feedback
from steps.monitoring.traffic.labels import joined
from tests.captured import CLASSES, MODEL, NOON, answered, picture, said, shipped
from tests.steps.monitoring.conftest import HOUR, feedback_of, read


def test_labels_are_put_beside_answers(root: Path, tmp_path: Path) -> None:
    """By request and position; right or wrong, and how long it took until somebody said."""
    requests = [answered("a", picture(), picture(scores=(0, 1, 0))), answered("b"), answered("silent")]
    shipped(root, tmp_path / "1", requests)
    later = NOON + timedelta(minutes=10)
    labels = (Said(position=0, label="bags"), Said(position=1, label="tops"), Said(reward=0.5, value=9.9))
    feedback = feedback_of(
        root, tmp_path / "2", said("a", *labels, at=later), said("b", Said(label="bags"), at=later)
    )
    result = joined(read(), feedback)
    rows = result.rows.set_index(["request_id", "position"])
    labelled = [("a", 0), ("a", 1), ("b", 0)]
    assert [rows["truth"][key] for key in labelled] == ["bags", "tops", "bags"]
    assert [rows["correct"][key] for key in labelled] == [True, False, True]
    assert rows.loc[("silent", 0), ["truth", "correct", "delay_s", "reward"]].isna().all()
    assert rows["delay_s"]["a", 0] == 600
    assert (rows["reward"]["a", 1], rows["value"]["a", 1]) == (0.5, 9.9)
    assert (result.unmatched, result.conflicts) == (0, 0)


def test_the_first_of_two_labels_counts_and_a_conflict_is_counted(root: Path, tmp_path: Path) -> None:
    """The same label twice is none; both rows are kept."""
    shipped(root, tmp_path / "1", [answered("a"), answered("b")])
    feedback = feedback_of(
        root,
        tmp_path / "2",
        said("a", Said(position=0, label="tops"), at=NOON + 2 * HOUR),
        said("a", Said(label="bags"), at=NOON + HOUR),
        said("b", Said(label="bags"), at=NOON + HOUR),
        said("b", Said(label="bags"), at=NOON + 2 * HOUR),
    )
    assert len(feedback) == 4
    result = joined(read(), feedback)
    assert list(result.rows["truth"]) == ["bags", "bags"]
    assert list(result.rows["correct"]) == [True, True]
    assert list(result.rows["delay_s"]) == [3600, 3600]
    assert result.conflicts == 1


def test_feedback_that_means_no_picture_is_unmatched(root: Path, tmp_path: Path) -> None:
    """An unknown request, a position that it had not, and one label for a request of two pictures.

    What one message says beside its label counts with it.
    """
    shipped(root, tmp_path / "1", [answered("two", picture(), picture())])
    feedback = feedback_of(
        root,
        tmp_path / "2",
        said("unknown", Said(label="bags"), Said(reward=1.0)),
        said("two", Said(position=2, label="bags")),
        said("two", Said(label="bags")),
    )
    result = joined(read(), feedback)
    assert result.unmatched == 3
    assert result.rows["truth"].isna().all()
    assert len(result.rows) == 2


def test_a_label_is_put_beside_the_answer_of_each_version(root: Path, tmp_path: Path) -> None:
    """A shadow answers the same request."""
    other = Model(MODEL.name, "8", "8" * 64, CLASSES)
    shipped(root, tmp_path / "1", [answered("a")])
    shipped(root, tmp_path / "2", [answered("a", picture(scores=(0, 1, 0)))], model=other)
    feedback = feedback_of(root, tmp_path / "3", said("a", Said(label="dresses")))
    rows = joined(read(), feedback).rows.sort_values("model_version")
    assert list(rows["correct"]) == [False, True]


def test_joining_nothing_gives_nothing(root: Path) -> None:
    """Empty tables have every column, too."""
    nothing = read_feedback(MODEL.name, "staging", since=NOON)
    result = joined(read(), nothing)
    assert result.rows.empty
    assert {"truth", "correct", "delay_s", "reward", "value"} <= set(result.rows.columns)


def test_what_was_posted_at_one_moment_is_joined_alike_in_any_order(root: Path, tmp_path: Path) -> None:
    """The store has an order of its own."""
    shipped(root, tmp_path / "1", [answered("a")])
    both = (Said(label="tops"), Said(label="bags"), Said(reward=2.0, value=7.0), Said(reward=1.0, value=9.0))
    feedback = feedback_of(root, tmp_path / "2", said("a", *both, at=NOON + HOUR))
    for each in (feedback, feedback[::-1]):
        found = joined(read(), each)
        assert found.rows[["truth", "reward", "value"]].to_numpy().tolist() == [["bags", 1.0, 7.0]]
        assert found.conflicts == 1


def test_a_clock_that_is_behind_delays_nothing(root: Path, tmp_path: Path) -> None:
    """A label comes with the request at the earliest."""
    shipped(root, tmp_path / "1", [answered("a")])
    early = said("a", Said(label="bags"), Said(value=3.5), at=NOON - HOUR / 2)
    rows = joined(read(), feedback_of(root, tmp_path / "2", early)).rows
    assert rows["delay_s"].tolist() == [0.0]
    assert rows["labelled_at"].tolist() == rows["valued_at"].tolist() == rows["at"].tolist()


def test_an_id_of_two_requests_is_the_first_ones_for_feedback(root: Path, tmp_path: Path) -> None:
    """The later one had two pictures, and its second got no label by the first one's position."""
    later = answered("a", picture(), picture(), at=NOON + HOUR)
    shipped(root, tmp_path / "1", [answered("a"), later])
    feedback = feedback_of(root, tmp_path / "2", said("a", Said(label="bags"), Said(value=1.0)))
    result = joined(read(), feedback)
    assert result.rows["truth"].notna().tolist() == [True, False, False]
    assert result.rows["value"].notna().tolist() == [True, False, False]
    assert result.unmatched == 0


def test_a_rollout_counts_the_labels_that_monitoring_counts(root: Path, tmp_path: Path) -> None:
    """The first of two, none without the position that it needs: by requests, and by pairs of a shadow."""
    requests = [answered("a"), answered("b", picture(), picture()), answered("c", picture(), picture())]
    shipped(root, tmp_path / "1", requests)
    late = said("a", Said(label="tops"), at=NOON + 2 * HOUR)
    feedback = feedback_of(
        root,
        tmp_path / "2",
        late,
        said("a", Said(label="bags"), at=NOON + HOUR),
        said("b", Said(label="bags")),
        said("c", Said(position=0, label="tops"), Said(position=1, label="bags")),
    )
    captures = read()
    rows = joined(captures, feedback).rows
    assert rows["correct"].dropna().tolist() == [True, False, True]
    outcomes = outcomes_of(captures, feedback)
    assert outcomes.correct.tolist() == [True, False, False]
    assert outcomes.labelled_at[0] == moment(NOON + HOUR)
    accuracy = paired_accuracy(paired_pictures(captures, captures), rows)
    assert accuracy is not None
    assert accuracy.n == 3
    assert accuracy.champion == accuracy.shadow == pytest.approx(2 / 3)
