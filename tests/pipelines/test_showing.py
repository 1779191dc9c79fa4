"""What a person's act made is shown in a run, and the act stands where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from zenml import save_artifact
from zenml.client import Client
from zenml.models import ArtifactVersionResponse, PipelineRunResponse

from pipelines import showing
from pipelines.data_diff import data_diff
from pipelines.erasure import erasure
from tests.materializers import examples


@pytest.fixture
def stored(own_stack: str) -> ArtifactVersionResponse:
    """A report as an act stores it, outside of any run."""
    return save_artifact(examples.data_diff(), name="shown_report")


def runs_of(pipeline: str) -> Iterator[PipelineRunResponse]:
    """The runs of a pipeline, the newest first."""
    yield from Client().list_pipeline_runs(pipeline_name=pipeline, sort_by="desc:created", hydrate=True)


@pytest.mark.parametrize("pipeline", [data_diff, erasure], ids=lambda pipeline: str(pipeline.name))
def test_each_report_is_shown_in_a_run_of_its_own(stored: ArtifactVersionResponse, pipeline: Any) -> None:
    """The line names the run, whose one step has the artifact with its page; the cache never answers."""
    for _ in range(2):
        said = showing.show_in_run(pipeline, stored)
        run = next(runs_of(pipeline.name))
        assert f"the artifact report of run {run.name}, Visualization" in said
        assert said.endswith("in the dashboard: make dashboard")  # the store of the tests has no server
        ((name, step_run),) = run.steps.items()
        assert (name, str(step_run.status), str(run.status)) == ("show", "completed", "completed")
        (report,) = step_run.inputs["report"]
        assert report.id == stored.id
        assert [Path(page.uri).name for page in report.visualizations or []] == ["page.html"]
        assert step_run.run_metadata["digest"] == examples.data_diff().digest


def test_a_report_that_cannot_be_shown_is_said_to_be_stored(
    stored: ArtifactVersionResponse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are said, why there is no run and where the page lies; nothing is raised."""

    def refuse(*_: object) -> None:
        raise RuntimeError("no more runs today")

    monkeypatch.setattr(showing, "create_placeholder_run", refuse)
    before = [run.id for run in runs_of("data_diff")]
    said = showing.show_in_run(data_diff, stored)
    assert "is done, and its report is stored" in said and "no run could be made (no more runs today)" in said
    page = Path(said.rpartition("open ")[2])
    assert page.read_text() == examples.data_diff().page()
    assert [run.id for run in runs_of("data_diff")] == before
