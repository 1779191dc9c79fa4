"""Commands that are killed, interrupted or started twice end where an uninterrupted one would have ended.

The second delivery lies in a watched place. Two homes, each the other's reference: in the first every command
but the second delivery's and the look at its traffic is struck, in the second these are. After each strike
the same command goes on, up to the next point.
"""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.commands import Strike
from benchmarks.main.bookkeeping import TRAINING_STEPS
from benchmarks.main.home import SHRUNK_MODEL, Home, Outcome
from materializers.drift_reference import DriftReference
from tests.captured import answers_like, lay_answers
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
    *(Strike.step(step, "after") for step in ("deployment.release", "deployment.observe")),
    # What the interrupted release left was tested, and is recorded first: the alias is set, the deployer not
    # told yet.
    Strike("stacks.local_deployer.site:Site.save_live", "before"),
    Strike.step("deployment.conclude", "after"),
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
MONITOR = (
    *("--monitor", "--set", "monitor.drift.minimum_pictures=50"),
    *("--set", "monitor.performance.minimum_labels=50", "--set", "monitor.window.settling_minutes=0"),
)
MONITORING = [
    Strike.step(f"monitoring.{step}", "after")
    for step in ("traffic.window", "assess", "tell", "react", "explain")
]
ALARMS = ("data_drift_detected", "model_accuracy_drop")
APART = timedelta(seconds=10)
"""Between two windows of labels that do not overlap; the second is so long."""
ROLL_BACK = (
    *(*MONITOR, "--set", "monitor.performance.rollback=automatic"),
    *("--set", f"monitor.window.label_days={APART / timedelta(days=1)}"),
)


class Story:
    """What came of the commands of one home, by the name of the moment."""

    def __init__(self, folder: Path, deliveries: tuple[Path, Path]) -> None:
        self.folder = folder
        self.first, self.second = str(deliveries[0]), f"{deliveries[1]}/*"
        self.states: dict[str, dict[str, Any]] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.logs: dict[str, list[str]] = {}
        self.status: dict[str, dict[str, Any]] = {}
        self.entries: dict[str, list[dict[str, Any]]] = {}
        self.twice: list[Outcome] = []
        self.interrupted: list[tuple[Strike, Outcome, dict[str, Any]]] = []

    def struck_training(self) -> Story:
        """The first delivery under strikes, the second undisturbed; a struck rollback."""
        train_and_deploy = ("--source", self.first, "--train", "--deploy")
        with Home(self.folder) as home:
            self._strike(home, train_and_deploy, TRAIN_AND_DEPLOY)
            self._finish(home, "first delivery", train_and_deploy)
            self._finish(home, "second delivery", ("--source", self.second, "--continuous"))
            capture_wrong_answers(home)
            self._finish(home, "looked at", MONITOR)
            self._look(home, "looked at", [])
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
            capture_wrong_answers(home)
            looks = self._strike(home, MONITOR, MONITORING)
            self._finish(home, "looked at", MONITOR)
            self._look(home, "looked at", looks)
            time.sleep(APART.total_seconds())
            capture_wrong_answers(home, later=timedelta(minutes=2))
            looks = self._strike(home, ROLL_BACK, [Strike.step("monitoring.react", "after")])
            self._finish(home, "went back", ROLL_BACK)
            self._look(home, "went back", looks)
            another = ("--source", self.first, "--train", "--deploy", "--set", "train.seed=7")
            self.twice = home.run_twice_at_once(*another)
            self.states["twice at once"] = home.state()
        return self

    def _strike(self, home: Home, command: tuple[str, ...], strikes: list[Strike]) -> list[str]:
        """What each struck command wrote beside its results."""
        logs = []
        for strike in strikes:
            outcome = home.run(*command, strike=strike)
            expected = 130 if strike.signum == signal.SIGINT else -strike.signum
            assert outcome.exit_code == expected, f"{strike}: {outcome}"
            if strike.signum == signal.SIGINT:
                self.interrupted.append((strike, outcome, home.state()))
            logs.append(outcome.log)
        return logs

    def _finish(self, home: Home, moment: str, command: tuple[str, ...]) -> None:
        self.outcomes[moment] = home.run(*command)
        self.states[moment] = home.state()

    def _look(self, home: Home, moment: str, struck: list[str]) -> None:
        """Note what ``--status`` and the audit log say, and what the commands up to now wrote."""
        self.logs[moment] = [*struck, self.outcomes[moment].log]
        self.status[moment] = home.run("--status").results[-1]
        self.entries[moment] = home.run("--audit").results[-1]["details"]["entries"]


def capture_wrong_answers(home: Home, *, later: timedelta = timedelta(0)) -> None:
    """Lay drifted answers of what is live, each labelled otherwise, into a home's artifact store.

    Args:
        home: where something is live.
        later: for so long answers go on to come, more in each window of :data:`APART` than are needed.
    """
    (live,) = home.state()["live"]
    root = home.site.parent / "artifacts"
    paths = root.rglob("drift_reference.arrow")
    stored = (DriftReference.from_bytes(path.read_bytes()) for path in paths)
    reference = next(each for each in stored if each.model == live["model_digest"])
    at = datetime.now(UTC)
    for number in range(1 + int(later / (APART / 2))):
        then = at + number * APART / 2
        rows = answers_like(reference, 80, model_name=SHRUNK_MODEL, version=live["version"], at=then)
        for row in rows:
            row["embedding"] = [value + 1 for value in row["embedding"]]
            row["truth"] = next(name for name in reference.classes if name != row["label"])
        lay_answers(root, SHRUNK_MODEL, rows, labelled_after=timedelta(0))


def told(story: Story, moment: str, *names: str) -> Counter[str]:
    """How often people were told of each alert, by the commands that led to a moment."""
    said = "\n".join(story.logs[moment])
    return Counter({name: len(re.findall(rf"\b{name} \((?:warning|critical)\): ", said)) for name in names})


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


def test_a_killed_look_at_the_traffic_ends_as_if_nothing_had_happened(
    training: Story, continuous: Story
) -> None:
    """After kill -9 in each step of ``--monitor``: the same report, and each alarm open and told once."""
    found = []
    for story in (training, continuous):
        outcome, status = story.outcomes["looked at"], story.status["looked at"]
        assert outcome.exit_code == 0, outcome.log
        seen = outcome.results[-1]["monitoring"]
        assert [(each["environment"], each["drift"]) for each in status["monitoring"]] == [
            ("staging", "drift")
        ]
        assert sorted(each["name"] for each in status["alerts"] if each["name"] in ALARMS) == sorted(ALARMS)
        assert told(story, "looked at", *ALARMS) == dict.fromkeys(ALARMS, 1)
        assert story.states["looked at"] == story.states["second delivery"]
        names = ("alarm", "drift", "performance", "num_predictions", "current_accuracy", "signals")
        found.append([{name: seen[name] for name in names}, seen["reaction"]["outcome"]])
    assert found[0] == found[1]
    assert found[0][0]["num_predictions"] == 80


def test_a_killed_rollback_by_performance_is_one(continuous: Story) -> None:
    """Killed when it was done and not stored yet: the same command finds it done, and leaves it so."""
    outcome, state = continuous.outcomes["went back"], continuous.states["went back"]
    assert outcome.exit_code == 0, outcome.log
    assert outcome.results[-1]["monitoring"]["reaction"]["outcome"] == "nothing"
    (live,) = state["live"]
    assert (live["version"], live["healthy"], live["recorded"]) == (1, True, True)
    assert state["open_runs"] == state["open_tracked"] == []
    assert told(continuous, "went back", "rolled_back") == {"rolled_back": 1}
    back = [entry for entry in continuous.entries["went back"] if entry["act"] == "rollback"]
    assert [(entry["by"], entry["subject"]["version"]) for entry in back] == [("a pipeline", "1")]


def test_what_a_killed_continuous_training_did_is_logged_once(training: Story, continuous: Story) -> None:
    """One training, verdict and release, as without a kill; every decision was on the same data."""
    for story in (training, continuous):
        entries = [(each["act"], each["subject"]) for each in story.entries["looked at"]]
        acts = Counter(act for act, about in entries if about.get("version") == "2")
        assert {act: acts[act] for act in ("train", "gate", "release")} == {
            "train": 1,
            "gate": 1,
            "release": 1,
        }
        decided = {about["data_version"] for act, about in entries if act == "decide"}
        assert decided == {training.states["second delivery"]["versions"][0]["data_version"]}


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
        2: [],
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
