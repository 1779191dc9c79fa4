"""MLServer's two settings files, made for one release: what it listens on, and what it serves."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from serving.preprocess import DEFAULT_LIMITS
from serving.service import DEFAULT_MAX_BATCH

IMPLEMENTATION = "serving.mlserver.runtime.PictureRuntime"
SERVER_FILE, MODEL_FILE = "settings.json", "model-settings.json"


class Served(BaseModel):
    """The model that is served, and what is refused of a picture; as ``PictureClassifier`` takes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model_directory: str
    model_digest: str
    model_version: str
    model_name: str
    max_bytes: int = DEFAULT_LIMITS.max_bytes
    max_pixels: int = DEFAULT_LIMITS.max_pixels
    max_batch: int = DEFAULT_MAX_BATCH


class Listening(BaseModel):
    """Where MLServer listens, and how much it takes.

    Attributes:
        host: address of all three ports.
        http_port: the v2 protocol over HTTP.
        grpc_port: the same over gRPC.
        metrics_port: Prometheus, at ``/metrics``.
        max_body_bytes: of a request.
        workers: requests that are answered at a time.
        queue: requests that may wait for that.
        queue_wait_s: how long one waits at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    http_port: int
    grpc_port: int
    metrics_port: int
    max_body_bytes: int
    workers: int
    queue: int
    queue_wait_s: float


def server_settings(listening: Listening) -> dict[str, Any]:
    """``settings.json``: one process, whose own threads answer; a caller sees no stack trace."""
    return {
        "debug": False,
        "parallel_workers": 0,
        "host": listening.host,
        "http_port": listening.http_port,
        "grpc_port": listening.grpc_port,
        "grpc_max_message_length": listening.max_body_bytes,
        "metrics_port": listening.metrics_port,
        "gzip_enabled": False,
    }


def model_settings(served: Served, listening: Listening) -> dict[str, Any]:
    """``model-settings.json``: the runtime, and in ``extra`` what it is to serve and how."""
    return {
        "name": served.model_name,
        "implementation": IMPLEMENTATION,
        "platform": "shutterline",
        "parameters": {
            "version": served.model_version,
            "extra": {
                "served": served.model_dump(),
                "places": {
                    "count": listening.workers,
                    "queue": listening.queue,
                    "wait_s": listening.queue_wait_s,
                },
            },
        },
    }


def write_settings(folder: Path, served: Served, listening: Listening) -> None:
    """Write both files, as ``mlserver start FOLDER`` reads them."""
    for name, content in (
        (SERVER_FILE, server_settings(listening)),
        (MODEL_FILE, model_settings(served, listening)),
    ):
        (folder / name).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
