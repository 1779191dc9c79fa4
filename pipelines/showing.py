"""Leave the report of a person's act in a run, so that ZenML's dashboard shows its page.

The dashboard opens an artifact only in the graph of a run. The run is carried by this process, whatever the
stack is: an act takes seconds, and waits for no container.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zenml.execution.context import setup_execution_context
from zenml.execution.step.utils import launch_step
from zenml.pipelines.run_utils import create_placeholder_run
from zenml.utils.dashboard_utils import get_run_url

from materializers.carried_run import PROCESS_KEY, this_process
from pipelines.results import reason_of
from pipelines.session import dashboard, new_run_name

if TYPE_CHECKING:
    from zenml.models import ArtifactVersionResponse, PipelineRunResponse


def show_in_run(pipeline: Any, report: ArtifactVersionResponse) -> str:
    """Show a stored report in a run of its own, and say where to look, or what came in between.

    Nothing is raised but an interruption: the act itself is done, and is not to be called failed for this.

    Args:
        pipeline: the ZenML pipeline that takes the id of an artifact and shows it.
        report: the artifact.

    Returns:
        A line for a person.
    """
    try:
        run = _carry(pipeline, report)
    except Exception as error:  # noqa: BLE001 - whatever it was, the report is stored
        return (
            f"All of that is done, and its report is stored; only the dashboard does not show it, for no run "
            f"could be made ({reason_of(str(error)) or type(error).__name__}): open {report.uri}/page.html"
        )
    where = get_run_url(run) or dashboard()
    return f"Its page: the artifact report of run {run.name}, Visualization, in the dashboard: {where}"


def _carry(pipeline: Any, report: ArtifactVersionResponse) -> PipelineRunResponse:
    """Run the pipeline's one step here, and give its run."""
    name = new_run_name(pipeline.name)
    configured = pipeline.with_options(
        run_name=name, enable_step_logs=False, extra={PROCESS_KEY: this_process()}
    )
    configured.prepare(artifact=report.id)
    snapshot = configured.create_snapshot(name=name)
    run = create_placeholder_run(snapshot)
    (step,) = snapshot.step_configurations.values()
    with setup_execution_context(run):
        launch_step(snapshot, step, orchestrator_run_id=str(run.id))
    return run
