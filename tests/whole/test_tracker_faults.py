"""The experiment tracker is lost on the way: no training is lost with it, and it has each value once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from materializers.classifier import Classifier
from tests.whole.shop import (
    REFUSED,
    Outcome,
    Shop,
    refused_release,
    registry_down,
    registry_file,
    registry_read_only,
)

if TYPE_CHECKING:
    from mlflow.entities import Run
    from zenml.config.step_run_info import StepRunInfo

UNREACHABLE = 4
EPOCHS = [1, 2, 3, 4, 5, 6]
"""Of the shrunk configuration."""
TUNED = ("tune.trials=2", "tune.pruner=none", "cross_validate.folds=2")


class Tracked:
    """A shop whose runs are tracked in an experiment of its own, and whose training no other shop's is."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        # Changes no byte of the model, and ZenML remembers no other shop's training for it.
        seconds = 60 + sum(shop.model.encode())
        self.own = (f"product.experiment={shop.model}", f"train.checkpoint_seconds={seconds}")

    def train(self, *assignments: str) -> Outcome:
        """The command that is given again and again."""
        return self.shop.run(*self.own, *assignments, train=True, source=str(self.shop.delivery))

    def runs(self) -> list[Run]:
        """Its MLflow runs, the oldest first."""
        from materializers.evidence import registry_client

        client = registry_client()
        experiment = client.get_experiment_by_name(self.shop.model)
        if experiment is None:
            return []
        return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time"]))

    def trials(self) -> list[Run]:
        """Those of them that are trials, the oldest first."""
        return [run for run in self.runs() if "trial" in run.data.tags]

    def steps_of(self, metric: str) -> list[list[int]]:
        """The steps that each of its MLflow runs has of a metric."""
        from materializers.evidence import registry_client

        histories = [registry_client().get_metric_history(run.info.run_id, metric) for run in self.runs()]
        return [sorted(point.step for point in history) for history in histories]

    def models(self) -> int:
        """How many models were logged."""
        from materializers.evidence import registry_client

        return len(registry_client().search_logged_models([self.runs()[0].info.experiment_id]))


@pytest.fixture
def open_tracked(open_shop: Callable[[str], Shop]) -> Callable[[str], Tracked]:
    """Makes such shops."""
    return lambda model: Tracked(open_shop(model))


@pytest.fixture
def down(local_stack: object) -> Iterator[contextlib.ExitStack]:
    """What is entered here lasts until it is closed, at the latest until the test ends."""
    with contextlib.ExitStack() as faults:
        yield faults


def at_step(name: str, act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something just before the tracker is told of a step."""
    from stacks import tracking

    begin = tracking._begin

    def first(tracker: Any, info: StepRunInfo) -> None:
        if info.pipeline_step_name == name:
            act()
        begin(tracker, info)

    monkeypatch.setattr(tracking, "_begin", first)


def after_training(act: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something when the last epoch is over, and nothing of it was tracked."""
    from steps.training import train

    learn = train.train_classifier

    def then(*arguments: Any, **named: Any) -> Classifier:
        classifier = learn(*arguments, **named)
        act()
        return classifier

    monkeypatch.setattr(train, "train_classifier", then)


def after_comparing(act: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something once a model was compared with the champion, for which the registry is asked."""
    from steps.evaluation.comparison import assess

    compare = assess.assess_comparisons

    def then(*arguments: Any, **named: Any) -> Any:
        compared = compare(*arguments, **named)
        act()
        return compared

    monkeypatch.setattr(assess, "assess_comparisons", then)


def step_states(outcome: Outcome) -> dict[str, str]:
    """How each step of a run ended."""
    from zenml.client import Client

    run = Client().get_pipeline_run(outcome.last["run"])
    return {name: str(step.status) for name, step in run.steps.items()}


def no_training(*_: Any, **__: Any) -> Classifier:
    """Stands where training would."""
    raise AssertionError("it was trained again")


def test_a_tracker_that_is_down_before_the_training_lets_nothing_be_trained(
    open_tracked: Callable[[str], Tracked], down: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gone since the command began: exit code 4 before the first epoch, and the same command trains."""
    shop = open_tracked("lost-before")
    with monkeypatch.context() as patched:
        at_step("train", lambda: down.enter_context(registry_down()), patched)
        patched.setattr("steps.training.train.train_classifier", no_training)
        outcome = shop.train()
    assert outcome.exit_code == UNREACHABLE
    assert outcome.said.startswith("The experiment tracker could not begin a run"), outcome.said
    assert "nothing was trained" in outcome.said
    down.close()
    assert shop.train().last["version"] == 1
    assert shop.steps_of("loss") == [EPOCHS]


def test_a_tracker_that_is_lost_during_the_training_costs_no_training(
    open_tracked: Callable[[str], Tracked], down: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends at the registration, with 4; the same command sends, registers, and trains nothing.

    What could not be compared with the champion meanwhile is compared by the same command.
    """
    shop = open_tracked("lost-during")
    with monkeypatch.context() as patched:
        after_training(lambda: down.enter_context(registry_down()), patched)
        lost = shop.train()
    assert lost.exit_code == UNREACHABLE
    assert lost.said.startswith("The experiment tracker could not take"), lost.said
    states = step_states(lost)
    assert [states[name] for name in ("train", "evaluate", "gate")] == ["completed"] * 3
    assert states["register"] == "failed"
    told = [line.partition("): ")[2].partition(" is in")[0] for line in lost.stderr.splitlines()]
    assert [what for what in told if what] == ["this training", "this evaluation"]
    assert "was not closed" not in lost.stderr
    down.close()
    assert shop.shop.versions() == {}
    assert shop.steps_of("loss") == [[]]

    with monkeypatch.context() as patched:
        patched.setattr("steps.training.train.train_classifier", no_training)
        sent = shop.train()
        assert (sent.exit_code, sent.last["version"]) == (0, 1), sent.said
        assert step_states(sent)["train"] == "cached"
        first, second = shop.runs()
        assert shop.steps_of("loss") == [EPOCHS, []]
        assert "test_accuracy" in second.data.metrics
        assert second.data.tags["training_run"] == first.info.run_id
        assert {run.info.status for run in (first, second)} == {"FINISHED"}
        again = shop.train()
    assert (again.exit_code, again.last["version"]) == (0, 1)
    assert shop.steps_of("loss") == [EPOCHS, [], []]
    assert shop.models() == 1


def test_an_evaluation_that_the_tracker_lost_is_sent_by_the_registration(
    open_tracked: Callable[[str], Tracked], down: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back in time, it has all of the run, and the run ends as if nothing had been."""
    shop = open_tracked("lost-between")
    with monkeypatch.context() as patched:
        after_comparing(lambda: down.enter_context(registry_down()), patched)
        at_step("register", down.close, patched)
        outcome = shop.train()
    assert (outcome.exit_code, outcome.last["version"]) == (0, 1), outcome.said
    assert "this evaluation is in the artifact store" in outcome.stderr
    (run,) = shop.runs()
    assert {"val_accuracy", "test_accuracy"} <= run.data.metrics.keys()
    assert run.info.status == "FINISHED"


def test_what_was_not_compared_because_the_registry_was_away_is_not_released(
    open_tracked: Callable[[str], Tracked], down: contextlib.ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back before the registration: a version that nobody may release, until the same command compares it."""
    shop = open_tracked("lost-while-comparing")
    with monkeypatch.context() as patched:
        at_step("evaluate", lambda: down.enter_context(registry_down()), patched)
        at_step("register", down.close, patched)
        outcome = shop.train()
    assert (outcome.exit_code, outcome.last["verdict"]) == (REFUSED, "not_assessed"), outcome.said
    assert "The model registry could not list the versions" in outcome.said
    assert "the same command compares" in outcome.said
    assert shop.shop.aliases() == {}
    refused_release(shop.shop, 1)
    with monkeypatch.context() as patched:
        patched.setattr("steps.training.train.train_classifier", no_training)
        again = shop.train()
    assert (again.exit_code, again.last["version"]) == (0, 1), again.said
    assert shop.shop.aliases() == {"challenger": 1}


def test_a_registry_that_was_moved_away_is_not_begun_anew(open_tracked: Callable[[str], Tracked]) -> None:
    """Exit code 4 with how it comes back, and no empty one in its place; put back, all is as it was."""
    shop = open_tracked("moved-away")
    assert shop.train().exit_code == 0
    database = registry_file()
    elsewhere = database.with_name("elsewhere.db")
    database.rename(elsewhere)
    try:
        told = [shop.train(), shop.shop.run(deploy=True), shop.shop.run(status=True)]
        assert not database.exists()
    finally:
        elsewhere.rename(database)
    assert [outcome.exit_code for outcome in told] == [UNREACHABLE] * 3
    for said in (told[0].said, told[1].said, told[2].stderr):
        assert f"The tracker's database {database} is gone" in said
        assert "put it back" in said
    assert list(shop.shop.versions()) == [1]
    assert shop.shop.run(status=True).exit_code == 0


def test_a_tracker_that_takes_no_metrics_registers_nothing(
    open_tracked: Callable[[str], Tracked],
) -> None:
    """It answers, and refuses to write: tuned and trained all the same, and registered once it takes them.

    Trials and folds are then at the run that was open while it tuned, each once.
    """
    shop = open_tracked("read-only")
    with registry_read_only("metrics"):
        outcome = shop.train(*TUNED)
    assert outcome.exit_code == UNREACHABLE
    assert outcome.said.startswith("The experiment tracker could not take"), outcome.said
    assert "read-only" in outcome.said
    assert outcome.stderr.count("this tuning is in the artifact store") == 1
    assert shop.shop.versions() == {}
    assert [run.info.status for run in shop.trials()] == ["RUNNING"]
    sent = shop.train(*TUNED)
    assert sent.last["version"] == 1
    assert step_states(sent)["tune"] == "cached"
    assert shop.steps_of("loss")[0] == EPOCHS
    assert shop.models() == 1
    assert shop.steps_of("fold_accuracy")[0] == [1, 2]
    trials, first = shop.trials(), shop.runs()[0]
    assert [(run.data.tags["trial"], run.info.status) for run in trials] == [
        ("1", "FINISHED"),
        ("2", "FINISHED"),
    ]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {first.info.run_id}


def test_tracked_runs_and_zenml_runs_name_each_other(open_tracked: Callable[[str], Tracked]) -> None:
    """By tags there, by the steps' metadata here."""
    from zenml.client import Client

    shop = open_tracked("linked")
    outcome = shop.train()
    run = Client().get_pipeline_run(outcome.last["run"])
    (tracked,) = shop.runs()
    assert tracked.data.tags["zenml_run_id"] == str(run.id)
    assert tracked.data.tags["zenml_run_name"] == run.name
    for name in ("train", "evaluate", "register"):
        assert run.steps[name].run_metadata["mlflow_run_id"] == tracked.info.run_id
