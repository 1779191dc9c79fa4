"""Commands that are killed, interrupted or started twice end where an uninterrupted one would have ended.

The second delivery lies in a watched place. Two homes, each the other's reference: in the first every command
but the second delivery's is struck, in the second that one is. After each strike the same command goes on,
up to the next point.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.commands import Strike
from benchmarks.main.bookkeeping import TRAINING_STEPS
from benchmarks.main.home import Home, Outcome
from tests.shrunk.delivery import cut_delivery

pytestmark = pytest.mark.timeout(1500)  # the first test waits for a whole story

WAITS_FOR_THE_SERVICE = "stacks.local_deployer.microservice:wait_until_it_answers"

# Before a step is the same as after the one before it; `python -m benchmarks main` strikes at both.
TRAIN_AND_DEPLOY = [
    Strike.step("data.ingest", "before"),
    *(Strike.step(step, "after") for step in TRAINING_STEPS[:3]),
    Strike.step("training.train", "before", signal.SIGINT),
    Strike.step("training.train", "after"),
    Strike("materializers.classifier:ClassifierMaterializer.save", "after"),
    *(Strike.step(step, "after") for step in TRAINING_STEPS[4:-1]),
    Strike("steps.registry.register:register_version", "before"),
    Strike("mlflow.tracking.client:MlflowClient.create_registered_model", "after"),
    Strike("mlflow.tracking.client:MlflowClient.create_model_version", "after"),
    Strike("steps.registry.register:link_zenml_version", "before"),
    Strike("steps.registry.register:link_artifact_version_to_model_version", "before"),
    Strike.step("registry.register", "after"),
    Strike.step("deployment.candidate", "after"),
    Strike("stacks.local_deployer.microservice:start", "before"),
    Strike(WAITS_FOR_THE_SERVICE, "before"),
    Strike(WAITS_FOR_THE_SERVICE, "after", signal.SIGINT),
    Strike("stacks.local_deployer.ingress:Ingress.publish", "after"),
    # What the interrupted release left is recorded first: the alias is set, the deployer not told yet.
    Strike("stacks.local_deployer.site:Site.save_live", "before"),
    Strike.step("deployment.release", "after"),
    *(Strike.step(step, "after") for step in ("deployment.observe", "deployment.conclude")),
]
CONTINUOUS = [
    *(
        Strike.step(step, "after")
        for step in ("data.ingest", "data.validate", "monitoring.signals", "monitoring.decide")
    ),
    Strike.step("training.train", "before", signal.SIGINT),
    Strike.step("training.train", "after"),
    Strike.step("registry.register", "after"),
    Strike.step("deployment.staging", "before"),
    Strike(WAITS_FOR_THE_SERVICE, "before"),
    Strike(WAITS_FOR_THE_SERVICE, "after", signal.SIGINT),
    Strike("stacks.local_deployer.site:Site.save_live", "before"),
    Strike.step("deployment.staging", "after"),
]


class Story:
    """What came of the commands of one home, by the name of the moment."""

    def __init__(self, folder: Path, deliveries: tuple[Path, Path]) -> None:
        self.folder = folder
        self.first, self.second = str(deliveries[0]), f"{deliveries[1]}/*"
        self.states: dict[str, dict[str, Any]] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.twice: list[Outcome] = []
        self.interrupted: list[tuple[Strike, Outcome, dict[str, Any]]] = []

    def struck_training(self) -> Story:
        """The first delivery under strikes, the second undisturbed; a struck rollback."""
        train_and_deploy = ("--source", self.first, "--train", "--deploy")
        with Home(self.folder) as home:
            self._strike(home, train_and_deploy, TRAIN_AND_DEPLOY)
            self._finish(home, "first delivery", train_and_deploy)
            self._finish(home, "second delivery", ("--source", self.second, "--continuous"))
            back = ("--rollback",)
            self._strike(home, back, [Strike("stacks.local_deployer.site:Site.change", "after")])
            self._finish(home, "rolled back", back)
        return self

    def struck_continuous(self) -> Story:
        """The first delivery undisturbed, the second under strikes; then two commands at once."""
        with Home(self.folder) as home:
            self._finish(home, "first delivery", ("--source", self.first, "--train", "--deploy"))
            continuous = ("--source", self.second, "--continuous")
            self._strike(home, continuous, CONTINUOUS)
            self._finish(home, "second delivery", continuous)
            another = ("--source", self.first, "--train", "--deploy", "--set", "train.seed=7")
            self.twice = home.run_twice_at_once(*another)
            self.states["twice at once"] = home.state()
        return self

    def _strike(self, home: Home, command: tuple[str, ...], strikes: list[Strike]) -> None:
        for strike in strikes:
            outcome = home.run(*command, strike=strike)
            expected = 130 if strike.signum == signal.SIGINT else -strike.signum
            assert outcome.exit_code == expected, f"{strike}: {outcome}"
            if strike.signum == signal.SIGINT:
                self.interrupted.append((strike, outcome, home.state()))

    def _finish(self, home: Home, moment: str, command: tuple[str, ...]) -> None:
        self.outcomes[moment] = home.run(*command)
        self.states[moment] = home.state()


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Future[Story], Future[Story]]]:
    """Both homes, at the same time: one a core."""
    folder = tmp_path_factory.mktemp("faults")
    place = folder / "incoming"
    place.mkdir()
    cut_delivery(place / "second.zip", archive="second-delivery.zip", per_class=12)
    (place / "second.zip._COMPLETE").touch()
    deliveries = (cut_delivery(folder / "first.zip"), place)
    with ThreadPoolExecutor(2) as pool:
        yield (
            pool.submit(Story(folder / "training", deliveries).struck_training),
            pool.submit(Story(folder / "continuous", deliveries).struck_continuous),
        )


@pytest.fixture
def training(stories: tuple[Future[Story], Future[Story]]) -> Story:
    """The home in which training and deployment were struck."""
    return stories[0].result()


@pytest.fixture
def continuous(stories: tuple[Future[Story], Future[Story]]) -> Story:
    """The home in which continuous training was struck."""
    return stories[1].result()


def test_a_killed_training_and_release_end_as_if_nothing_had_happened(
    training: Story, continuous: Story
) -> None:
    """After kill -9 at each step of ``--train --deploy``: same versions, digests, aliases, thing live."""
    undisturbed = continuous.states["first delivery"]
    assert undisturbed["versions"][0]["aliases"] == ["challenger", "staging"]
    assert undisturbed["live"][0]["healthy"] and undisturbed["live"][0]["recorded"]
    assert undisturbed["zenml_versions"] == ["v1"]
    assert training.states["first delivery"] == undisturbed
    assert training.outcomes["first delivery"].exit_code == 0


def test_a_killed_continuous_training_ends_as_if_nothing_had_happened(
    training: Story, continuous: Story
) -> None:
    """After kill -9 at each step of ``--continuous``: same versions, digests, aliases, thing live."""
    undisturbed = training.states["second delivery"]
    assert [version["version"] for version in undisturbed["versions"]] == [2, 1]
    assert undisturbed["live"][0]["version"] == 2
    assert undisturbed["live"][0]["healthy"]
    assert continuous.states["second delivery"] == undisturbed
    assert continuous.outcomes["second delivery"].exit_code == 0


@pytest.mark.parametrize("moment", ["first delivery", "second delivery"])
def test_nothing_is_left_running(training: Story, continuous: Story, moment: str) -> None:
    """No run is open in ZenML or MLflow, and only the ingress and one service run."""
    version = 1 if moment == "first delivery" else 2
    for story in (training, continuous):
        state = story.states[moment]
        assert state["open_runs"] == state["open_tracked"] == []
        assert state["processes"] == ["envoy", "shipper", f"staging-v{version}"]


def test_a_killed_rollback_goes_back_once(training: Story) -> None:
    """The same ``--rollback`` after kill -9 concludes the one that was begun."""
    outcome, state = training.outcomes["rolled back"], training.states["rolled back"]
    assert outcome.exit_code == 0, outcome.log
    assert outcome.results[0]["details"]["version"] == 1
    assert outcome.results[0]["details"]["from_version"] == 2
    assert [live["version"] for live in state["live"]] == [1]
    assert {version["version"]: version["aliases"] for version in state["versions"]} == {
        1: ["staging"],
        2: ["challenger"],
    }
    assert state["processes"] == ["envoy", "shipper", "staging-v1"]


def test_ctrl_c_closes_the_run_and_leaves_what_is_served(training: Story, continuous: Story) -> None:
    """Interrupted in train and in a release: exit code 130, nothing open, the served model untouched."""
    for story, served in ((training, []), (continuous, [1])):
        assert len(story.interrupted) == 2
        for strike, outcome, state in story.interrupted:
            assert "Interrupted" in outcome.log, strike
            assert state["open_runs"] == state["open_tracked"] == [], strike
            assert [live["version"] for live in state["live"]] == served, strike
            assert all(live["healthy"] for live in state["live"]), strike
            assert state["processes"] == (["envoy", "shipper", "staging-v1"] if served else []), strike


def test_two_commands_at_once_wait_for_each_other(continuous: Story) -> None:
    """The same command in two processes: one waits, both end with 0, there is one new version."""
    assert [outcome.exit_code for outcome in continuous.twice] == [0, 0], continuous.twice
    assert any("Another run is going" in outcome.log for outcome in continuous.twice)
    state = continuous.states["twice at once"]
    assert [version["version"] for version in state["versions"]] == [3, 2, 1]
    assert [live["version"] for live in state["live"]] == [3]
    assert state["processes"] == ["envoy", "shipper", "staging-v3"]
