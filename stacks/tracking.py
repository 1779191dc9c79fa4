"""Make the active stack's MLflow tracker one that no step fails for, and that names the ZenML run.

ZenML's own tracker fails a step when MLflow does not answer before it or after it, and imports torch and
scikit-learn to disable what nothing here turns on. A flavor of our own would mend that, too, but ZenML's
MLflow registry takes only a tracker of the flavor ``mlflow``: the hooks of the component in use are replaced.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from zenml.client import Client
from zenml.metadata.metadata_types import Uri
from zenml.utils.dashboard_utils import get_run_url

from materializers.evidence import versions_were_logged
from materializers.redaction import redact
from materializers.tracking_database import make_whole

if TYPE_CHECKING:
    from zenml.config.step_run_info import StepRunInfo
    from zenml.metadata.metadata_types import MetadataType


def prepare_tracker() -> None:
    """Give the active stack's tracker the hooks of this file; one that is not MLflow's stays as it is."""
    tracker: Any = Client().active_stack.experiment_tracker
    if not hasattr(tracker, "disable_autologging"):
        return
    tracker.disable_autologging = lambda: None
    tracker.prepare_step_run = lambda info: _begin(tracker, info)
    tracker.get_step_run_metadata = lambda info: _described(tracker, info)
    tracker.cleanup_step_run = lambda info, step_failed: _end(tracker, info, step_failed)


def _begin(tracker: Any, info: StepRunInfo) -> None:
    """Open the run of this step, with the tags that lead to ZenML's; where MLflow is lost, none is open.

    What that means for the step, the step itself says: one that trains refuses to begin.
    """
    hooks = type(tracker)
    tags = {**hooks._get_internal_tags(), **_zenml_tags(info)}
    tracker._get_internal_tags = lambda: tags  # sent in the call that opens the run
    try:
        make_whole(tracker.get_tracking_uri(), is_known=versions_were_logged)
        hooks.prepare_step_run(tracker, info)
    except Exception:  # noqa: BLE001 - MLflow, its database, the network: each with exceptions of its own
        _leave_no_run_open()


def _zenml_tags(info: StepRunInfo) -> dict[str, str]:
    """The ZenML run that an MLflow run belongs to."""
    url = get_run_url(Client().get_pipeline_run(info.run_id, hydrate=False))
    named = {"zenml_run_id": str(info.run_id), "zenml_run_name": info.run_name}
    return {**named, "zenml_run_url": url} if url else named


def _described(tracker: Any, info: StepRunInfo) -> dict[str, MetadataType]:
    """What the ZenML step says of its MLflow run: its id, and its page where MLflow is a server."""
    described: dict[str, MetadataType] = type(tracker).get_step_run_metadata(tracker, info)
    address = tracker.get_tracking_uri(as_plain_text=False)
    run, experiment = described.get("mlflow_run_id"), described.get("mlflow_experiment_id")
    if run is not None and address.startswith(("http://", "https://")):
        page = f"{redact(address, {}).rstrip('/')}/#/experiments/{experiment}/runs/{run}"
        described["mlflow_run_url"] = Uri(page)
    return described


def _end(tracker: Any, info: StepRunInfo, step_failed: bool) -> None:
    """End the step's run. Where MLflow is lost it stays open there until its training is sent."""
    try:
        type(tracker).cleanup_step_run(tracker, info, step_failed)
    except Exception:  # noqa: BLE001 - as above
        _leave_no_run_open()


def _leave_no_run_open() -> None:
    """Let this process forget its MLflow runs, so that the next step does not log into this one's."""
    import mlflow

    while mlflow.active_run() is not None:
        with suppress(Exception):  # it is taken from the list before MLflow is told
            mlflow.end_run("FAILED")
    mlflow.set_tracking_uri("")


def tracking_address() -> str:
    """Where the active stack's runs are tracked, as MLflow's own commands take it."""
    tracker: Any = Client().active_stack.experiment_tracker
    return str(tracker.get_tracking_uri())


if __name__ == "__main__":
    sys.stdout.write(f"{tracking_address()}\n")
