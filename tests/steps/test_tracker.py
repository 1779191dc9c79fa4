"""What steps ask of the experiment tracker; tests/whole/test_tracker_faults.py asks in pipelines."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError
from zenml.exceptions import RunInterruptedException

from materializers.errors import ServiceUnreachable
from steps.tracker import LONGEST_REASON, log_metrics, require_run, send, tracker_errors
from tests.steps.tracking_run import tracking_run


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged for a person."""
    caplog.set_level(logging.WARNING, logger="shutterline")
    return caplog


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("no answer\nwith more of it"),
        ConnectionError("refused"),
        OperationalError("SELECT", {}, Exception("locked")),
    ],
    ids=["MLflow", "network", "database"],
)
def test_what_the_tracker_raises_is_one_line(error: Exception) -> None:
    """Exit code 4, what it could not do, and what to do."""
    with pytest.raises(ServiceUnreachable) as caught, tracker_errors("begin a run"):
        raise error
    line = str(caught.value)
    assert line.startswith("The experiment tracker could not begin a run: ")
    assert "\n" not in line
    assert "run the same command again" in line


def test_a_tracker_that_is_lost_fails_no_step(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    """One line says what will be sent later, and not everything that a library had to say."""

    def lost() -> None:
        raise MlflowException("lost " * 1000)

    with tracking_run(tmp_path):
        assert not send("this training", lost)
    (line,) = [record.getMessage() for record in said.records]
    assert "this training is in the artifact store, and is sent before a version is registered" in line
    assert len(line) < LONGEST_REASON + 200


def test_an_interruption_is_no_lost_tracker(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    """Ctrl-C, which ZenML raises as an exception, ends the step, and nothing is said of the tracker."""

    def interrupted() -> None:
        raise RunInterruptedException("The execution was interrupted.")

    with pytest.raises(RunInterruptedException), tracking_run(tmp_path):
        send("this training", interrupted)
    assert said.records == []


def test_outside_a_step_nothing_is_tracked_and_nothing_said(said: pytest.LogCaptureFixture) -> None:
    """A step's function can be called without a stack."""
    sent: list[str] = []
    assert send("this training", lambda: sent.append("training"))
    assert (sent, said.records, require_run("begin a run")) == ([], [], None)


def test_equal_points_arrive_once(tmp_path: Path) -> None:
    """Whoever sends again after a sending that was broken off sends all, and nothing is there twice."""
    import mlflow

    with tracking_run(tmp_path) as run_id:
        log_metrics([("loss", 0.5, 1)])
        log_metrics([("loss", 0.5, 1), ("loss", 0.25, 2)])
        history = mlflow.MlflowClient().get_metric_history(run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25)]
