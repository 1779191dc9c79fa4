"""Write what the active stack's orchestrator would be given to run, and run nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

from zenml.client import Client

from materializers.blobs import write_file
from materializers.errors import UsageError
from pipelines.results import PipelineResult
from steps.orchestrator import active_orchestrator


def write_compiled(pipeline: Any, arguments: dict[str, Any], file: Path) -> PipelineResult:
    """Compile a pipeline into ``file``.

    Args:
        pipeline: the ZenML pipeline with all its options.
        arguments: the pipeline's own.
        file: where it goes; its folder is made.

    Raises:
        UsageError: the orchestrator compiles nothing, or the file cannot be written.
        ServiceUnreachable: the code cannot be uploaded.
    """
    orchestrator = active_orchestrator()
    pipeline.prepare(**arguments)
    snapshot = pipeline.create_snapshot(name=f"compiled-{uuid4().hex[:8]}")
    try:
        text = orchestrator.compiled(snapshot)
    finally:
        Client().delete_snapshot(snapshot.id)
    try:
        write_file(file.absolute(), text.encode())
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written ({error.strerror}): give --compile another one"
        ) from error
    return PipelineResult(
        pipeline=pipeline.name,
        run=None,
        status="compiled",
        reasons=(f"Compiled to {file}. The code that it names was uploaded; nothing was started.",),
    )
