"""Print what ZenML and the artifact store recorded of a model's runs, as one line of JSON.

    python -m benchmarks.kubeflow.recorded MODEL

A process of its own, because a ZenML client belongs to one server for as long as it lives.
"""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC
from typing import Any

from zenml.client import Client

from pipelines.session import prepare
from steps.run_tags import model_tag


def describe(model: str) -> dict[str, Any]:
    """Runs by name, newest last: their steps, the types of the artifacts, verdicts and digests of weights."""
    prepare(stack=None)
    runs = Client().list_pipeline_runs(tags=model_tag(model), sort_by="asc:created", size=100, hydrate=True)
    return {
        "stack": Client().active_stack_model.name,
        "runs": [_run(run) for run in runs.items],
    }


def _run(run: Any) -> dict[str, Any]:
    steps: dict[str, Any] = {}
    for name, step in run.steps.items():
        outputs = {output: artifacts[0] for output, artifacts in step.outputs.items()}
        steps[name] = {
            "status": str(step.status),
            "attempts": step.version,
            "outputs": {output: artifact.data_type.import_path for output, artifact in outputs.items()},
            "uris": {output: artifact.uri for output, artifact in outputs.items()},
        }
        for output, artifact in outputs.items():
            if output == "verdict" and "outcome" in artifact.run_metadata:
                steps[name]["verdict"] = artifact.run_metadata["outcome"]
            if output == "classifier" and "digest" in artifact.run_metadata:
                steps[name]["weights"] = _sha256(f"{artifact.uri}/weights.safetensors")
                steps[name]["model_digest"] = artifact.run_metadata["digest"]
    return {
        "name": run.name,
        "pipeline": run.pipeline.name,
        "status": str(run.status),
        "created": run.created.replace(tzinfo=UTC).isoformat(),
        "tags": [tag.name for tag in run.tags],
        "steps": steps,
    }


def _sha256(uri: str) -> str:
    with Client().active_stack.artifact_store.open(uri, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def main(arguments: list[str]) -> None:
    """Print it."""
    (model,) = arguments
    sys.stdout.write(json.dumps(describe(model)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
