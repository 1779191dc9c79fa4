"""What steps ask of the stack's experiment tracker: an open run before, and numbers that arrive once.

A tracker that is lost on the way fails no step: what a step made is in the artifact store, and ``register``
sends what is missing, in the same words, before it registers anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from materializers.errors import ServiceUnreachable
from materializers.redaction import one_line

if TYPE_CHECKING:
    from mlflow import ActiveRun

logger = logging.getLogger("shutterline")

METRICS_A_CALL = 1000
"""MLflow takes no more in one."""
LONGEST_REASON = 300
"""Characters of what was lost that a line repeats."""


def require_run(act: str) -> ActiveRun | None:
    """The tracker's run that is open for this step; None where this is no step, or the stack tracks nothing.

    Args:
        act: what is not begun without it, as the error says it.

    Raises:
        ServiceUnreachable: the stack has a tracker, and it opened no run.
    """
    import mlflow
    from zenml.client import Client

    run = mlflow.active_run()
    if run is not None or not _tracked():
        return run
    with tracker_errors(act):
        # Asked once more, for the reason; it may have come back meanwhile.
        tracker: Any = Client().active_stack.experiment_tracker
        tracker.configure_mlflow()
        mlflow.MlflowClient().search_experiments(max_results=1)
    raise ServiceUnreachable(
        f"The experiment tracker did not answer when this step began, and does by now; it could not {act}. "
        "Run the same command again: it goes on from there"
    )


@contextmanager
def tracker_errors(act: str) -> Iterator[None]:
    """Turn what MLflow, its database and the network raise into one clear line.

    Raises:
        ServiceUnreachable: the tracker did not do ``act``.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise ServiceUnreachable(
            f"The experiment tracker could not {act}: {_in_short(error)}. Look at the stack: zenml stack "
            "describe; then run the same command again: what was trained is kept and not trained again"
        ) from error


def send(what: str, log: Callable[[], None]) -> bool:
    """Log to the run that is open; where the tracker is lost, say what will be sent later.

    Args:
        what: that is logged, as the line names it.
        log: does it. Whatever it raises is taken for a lost tracker: ``register`` does the same again, and
            there it counts.

    Returns:
        Whether nothing is left to be sent later.
    """
    import mlflow
    from zenml.exceptions import RunInterruptedException, RunStoppedException

    if mlflow.active_run() is None:
        lost = _tracked()
        if lost:
            _say_later(what, "it did not answer when this step began")
        return not lost
    try:
        log()
    except (RunInterruptedException, RunStoppedException):
        raise
    except Exception as error:  # noqa: BLE001 - no step fails for a lost tracker; register repeats it
        _say_later(what, _in_short(error))
        return False
    return True


def log_metrics(points: Iterable[tuple[str, float, int]]) -> None:
    """Log values to the run that is open: name, value, step.

    The time of each follows from the run's start and the step, so that the tracker, which keeps equal rows
    once, has each value once, however often a sending was broken off and repeated.
    """
    import mlflow
    from mlflow.entities import Metric

    run = mlflow.active_run()
    if run is None:
        return
    metrics = [Metric(name, value, run.info.start_time + step, step) for name, value, step in points]
    for begin in range(0, len(metrics), METRICS_A_CALL):
        # One call for many: it costs 40 ms, whatever it holds.
        mlflow.MlflowClient().log_batch(run.info.run_id, metrics=metrics[begin : begin + METRICS_A_CALL])


def _tracked() -> bool:
    """Whether this is a step that asks for an experiment tracker, on a stack that has one."""
    from zenml.client import Client
    from zenml.steps.step_context import StepContext

    context = StepContext.get()
    asked = context is not None and bool(context.step_run.config.experiment_tracker)
    return asked and Client().active_stack.experiment_tracker is not None


def _say_later(what: str, why: str) -> None:
    logger.warning(
        "The experiment tracker was lost (%s): %s is in the artifact store, and is sent before a version is "
        "registered.",
        why,
        what,
    )


def _in_short(error: BaseException) -> str:
    said = one_line(str(error)) or type(error).__name__
    return said if len(said) <= LONGEST_REASON else f"{said[:LONGEST_REASON]}…"
