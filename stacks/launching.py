"""The arguments of the microservice: ``python -m serving.launcher …``, the same wherever it runs."""

from __future__ import annotations

import json

from materializers.release import Arm

LAUNCHER = ("-m", "serving.launcher")


def launcher_arguments(
    arm: Arm,
    *,
    model_name: str,
    model_directory: str,
    host: str,
    port: int,
    metrics_port: int,
    max_body_bytes: int,
) -> list[str]:
    """What the launcher is told, so that it serves exactly this version and this model."""
    values = {
        "model_directory": model_directory,
        "model_digest": arm.model_digest,
        "model_version": str(arm.version),
        "model_name": model_name,
    }
    parameters = [{"name": name, "value": value, "type": "STRING"} for name, value in values.items()]
    options = {
        "--host": host,
        "--port": port,
        "--metrics-port": metrics_port,
        "--max-body-bytes": max_body_bytes,
        "--parameters": json.dumps(parameters),
    }
    return [str(part) for pair in options.items() for part in pair]
