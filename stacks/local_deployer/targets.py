"""Where Prometheus finds the site's services: a list that follows releases and rollouts.

Every replica has ports of its own, which change with each release. Prometheus reads the list by itself when
it is replaced (``file_sd_configs``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from materializers.blobs import write_file
from materializers.errors import ServiceUnreachable
from stacks.local_deployer.state import HOST, Replica, State
from stacks.served import Entry

TARGETS = "prometheus-targets.json"


def targets_file(site: Path) -> Path:
    """The list of a site."""
    return site / TARGETS


def list_targets(site: Path, state: State) -> None:
    """Let the list name exactly what runs, with whose it is; an unchanged one is not written.

    Raises:
        ServiceUnreachable: it cannot be written.
    """
    found = [_target(replica.metrics_port, entry) for replica, entry in _running(state)]
    content = json.dumps(found, indent=1, sort_keys=True).encode()
    path = targets_file(site)
    try:
        if not path.exists() or path.read_bytes() != content:
            write_file(path, content)
    except OSError as error:
        raise ServiceUnreachable(
            f"{path} says what Prometheus is to ask and cannot be written: {error}"
        ) from error


def _running(state: State) -> list[tuple[Replica, Entry]]:
    return [each for _, one in sorted(state.deployments.items()) for each in one.running]


def _target(port: int, entry: Entry) -> dict[str, Any]:
    release = entry.release
    return {
        "targets": [f"{HOST}:{port}"],
        "labels": {
            "environment": release.environment,
            "model_name": release.model_name,
            "model_version": str(entry.served[0]),
            "role": "candidate" if release.status == "rolling_out" else "live",
        },
    }
