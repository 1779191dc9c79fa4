"""Studies: what is proposed, what is pruned, and that no trial is lost or doubled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from materializers.tuning_report import Trial
from steps.training.tuning.search import Choices, Range
from steps.training.tuning.study import Study, best_of, distributions, work
from tests.conftest import PROJECT
from tests.steps.training.studies import finished, point_material, search, task

TRIALS = 14


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    """The trials of a study that nobody killed."""
    return finished(task(tmp_path_factory.mktemp("study"), TRIALS)).finished()


def numbers(study: Study) -> list[int]:
    """The places that are finished, from 1."""
    return [trial.number for trial in study.finished()]


def test_a_study_has_as_many_trials_as_asked_for(uninterrupted: list[Trial]) -> None:
    """Each is complete or pruned, has parameters within their bounds, and an accuracy an epoch."""
    assert [trial.number for trial in uninterrupted] == list(range(1, TRIALS + 1))
    assert {trial.state for trial in uninterrupted} == {"complete", "pruned"}
    for trial in uninterrupted:
        assert 0.0001 <= trial.parameters["learning_rate"] <= 0.1  # type: ignore[operator]
        assert trial.parameters["batch_size"] in (8, 16, 32)
        assert (trial.score is None) == (trial.state == "pruned")
        assert len(trial.val_accuracy) == 9 if trial.state == "complete" else len(trial.val_accuracy) < 9
        assert trial.score in (None, max(trial.val_accuracy))


def test_the_same_seed_proposes_the_same(uninterrupted: list[Trial], tmp_path: Path) -> None:
    """A study run anew is equal, and one of another seed is not."""
    assert finished(task(tmp_path / "again", TRIALS)).finished() == uninterrupted
    assert finished(task(tmp_path / "other", 2, seed=1)).finished() != uninterrupted[:2]


def test_a_killed_study_goes_on_as_if_nothing_had_happened(
    uninterrupted: list[Trial], tmp_path: Path
) -> None:
    """Killed with -9 at ten random moments, it ends with the same trials: none lost, none doubled."""
    arguments = [sys.executable, "-m", "tests.steps.training.studies", str(tmp_path), str(TRIALS), "10"]
    subprocess.run(arguments, check=True, cwd=PROJECT)
    of = task(tmp_path / "study", TRIALS)
    before = Study(of)
    assert 0 < len(before.finished()) < TRIALS, "killed too early or too late to show anything"
    before.place.close()
    study = finished(of)
    assert study.finished() == uninterrupted
    states = Counter(trial.state for trial in study._study.get_trials())
    assert states[TrialState.COMPLETE] + states[TrialState.PRUNED] == TRIALS
    assert states[TrialState.FAIL] > 0
    assert not states[TrialState.RUNNING] + states[TrialState.WAITING]


def test_a_finished_study_runs_nothing(uninterrupted: list[Trial], tmp_path: Path) -> None:
    """The same command again finds every trial; with more trials asked for, only those are run."""
    finished(task(tmp_path, 3))
    study = Study(task(tmp_path, 3))
    assert study.claim() is None
    study.place.close()
    ran: list[int] = []
    study = Study(task(tmp_path, 5))
    work(study, point_material(), lambda: ran.append(1))
    study.place.close()
    assert len(ran) == 2
    assert study.finished() == uninterrupted[:5]


def test_a_trial_of_the_dead_is_run_again_once(tmp_path: Path) -> None:
    """Its parameters are the same; while its owner lives, nobody else takes it."""
    first = Study(task(tmp_path, 1))
    trial = first.claim()
    assert trial is not None
    second = Study(task(tmp_path, 1))
    assert second.claim() is None
    first.place.close()
    again = second.claim()
    assert again is not None
    assert (again.params, again.number) == (trial.params, trial.number + 1)
    assert second.claim() is None
    second.place.close()


def test_two_processes_share_the_trials(tmp_path: Path) -> None:
    """What one claims, the other does not; together they run as many as asked for."""
    one, other = Study(task(tmp_path, 5)), Study(task(tmp_path, 5))
    material = point_material()
    claimed = []
    for study in (one, other, one, other, one):
        trial = study.claim()
        assert trial is not None
        claimed.append((study, trial))
    assert one.claim() is None
    assert other.claim() is None
    for study, trial in claimed:
        study.run(trial, material)
    assert numbers(one) == numbers(other) == [1, 2, 3, 4, 5]
    assert len({json.dumps(trial.parameters) for trial in one.finished()}) == 5
    one.place.close()
    other.place.close()


@pytest.mark.parametrize("end", [b'{"op_code": 5, "trial', b'{"op_code": 5, "tri\n', b"\0\0\0\0\0\n"])
def test_a_damaged_end_of_the_journal_stops_nothing(
    uninterrupted: list[Trial], tmp_path: Path, end: bytes
) -> None:
    """A line that was not written to its end is left out, and the study ends as it would have."""
    finished(task(tmp_path, 3))
    with (tmp_path / "journal.log").open("ab") as journal:
        journal.write(end)
    assert finished(task(tmp_path, 4)).finished() == uninterrupted[:4]


def test_a_training_that_was_given_up_scores_nothing(tmp_path: Path) -> None:
    """A loss that is no number is 0, says why, and is never the best."""
    material = point_material()
    material.train.inputs.fill_(float("inf"))  # type: ignore[attr-defined]
    study = Study(task(tmp_path, 2))
    work(study, material)
    study.place.close()
    assert [trial.score for trial in study.finished()] == [0.0, 0.0]
    assert all(trial.failure and "loss" in trial.failure for trial in study.finished())
    assert best_of(study.finished()) == {}
    assert study.importances() == {}


def test_an_error_in_a_trial_leaves_it_to_be_run_again(tmp_path: Path) -> None:
    """Out of memory, say: the error is the user's to see, and the same command runs that trial."""
    material = point_material()

    def broken(_: Any) -> torch.nn.Module:
        raise MemoryError("none left")

    study = Study(task(tmp_path, 2))
    with pytest.raises(MemoryError):
        work(study, type(material)(material.train, material.validation, broken, material.everything))
    study.place.close()
    assert numbers(study) == []
    assert numbers(finished(task(tmp_path, 2))) == [1, 2]


@pytest.mark.parametrize("pruner", ["median", "none"])
def test_the_pruner_is_a_choice(tmp_path: Path, pruner: str) -> None:
    """Without one every trial trains all of its epochs; the median's prunes some."""
    study = finished(task(tmp_path, 10, pruner=pruner))
    states = {trial.state for trial in study.finished()}
    assert states == ({"complete"} if pruner == "none" else {"complete", "pruned"})


@pytest.mark.parametrize("pruner", ["hyperband", "median"])
def test_no_trial_ends_in_the_first_tenth_of_its_epochs(tmp_path: Path, pruner: str) -> None:
    """What is slow to begin with may still be the best: some are pruned, and none before."""
    study = finished(task(tmp_path, 12, pruner=pruner, epochs=40))
    ended = [len(trial.val_accuracy) for trial in study.finished() if trial.state == "pruned"]
    assert ended
    assert min(ended) >= 4


def test_the_best_is_the_first_of_the_highest() -> None:
    """Pruned trials and failed ones are out, whatever they had reached."""
    made = [
        Trial(number=1, state="complete", parameters={"hidden": 1}, val_accuracy=(0.5,), score=0.5),
        Trial(number=2, state="complete", parameters={"hidden": 2}, val_accuracy=(0.7,), score=0.7),
        Trial(number=3, state="complete", parameters={"hidden": 3}, val_accuracy=(0.7,), score=0.7),
        Trial(number=4, state="pruned", parameters={"hidden": 4}, val_accuracy=(0.9,), score=None),
        Trial(number=5, state="complete", parameters={"hidden": 5}, val_accuracy=(), score=0.0, failure="x"),
    ]
    assert best_of(made) == {"hidden": 2}


def test_importances_follow_from_the_seed(tmp_path: Path) -> None:
    """They sum to one, and the learning rate counts most here."""
    study = finished(task(tmp_path, 10, pruner="none"))
    shares = study.importances()
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda name: shares[name]) == "learning_rate"
    assert study.importances() == shares


def test_ranges_of_whole_parameters_are_whole() -> None:
    """A range has the type of its parameter, with its step; choices stay choices."""
    space = {
        "hidden": Range(low=64, high=512, step=64),
        "plateau_patience": Range(low=1, high=9),
        "weight_decay": Range(low=0.0001, high=0.1, log=True),
        "optimizer": Choices(choices=("adam", "adamw")),
    }
    assert distributions(search(search_space=space)) == {
        "hidden": IntDistribution(64, 512, step=64),
        "optimizer": CategoricalDistribution(("adam", "adamw")),
        "plateau_patience": IntDistribution(1, 9),
        "weight_decay": FloatDistribution(0.0001, 0.1, log=True),
    }
