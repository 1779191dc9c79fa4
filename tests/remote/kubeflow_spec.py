"""Read a compiled Kubeflow pipeline: its containers, what each depends on, retries, time-outs and secrets.

What is not imitated is refused, because a stub that ignored it would mislead.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OBEYED_IN_TASKS = {"componentRef", "dependentTasks", "retryPolicy", "taskInfo", "cachingOptions"}
OBEYED_IN_CONTAINERS = {"image", "command", "args", "env", "resources"}
OBEYED_ON_KUBERNETES = {"secretAsEnv", "fieldPathAsEnv", "activeDeadlineSeconds"}
IGNORED_ON_KUBERNETES = {
    "emptyDirMounts", "imagePullPolicy", "imagePullSecret", "nodeAffinity", "nodeSelector", "podMetadata",
    "securityContext", "tolerations",
}  # fmt: skip
"""A process has no image, node or mount: what depends on these behaves the same without them."""
RUN_LABEL = "metadata.labels['pipeline/runid']"
DURATION = re.compile(r"^([0-9.]+)s$")


class Unsupported(Exception):
    """The pipeline asks for something that this stub does not imitate."""


@dataclass(frozen=True)
class Retry:
    """How often a container is started again that failed, and how long after."""

    attempts: int = 0
    backoff_s: float = 0.0
    factor: float = 2.0
    longest_s: float = 3600.0

    def wait_s(self, failed: int) -> float:
        """Seconds between the ``failed``-th attempt, from 1, and the next."""
        return float(min(self.backoff_s * self.factor ** (failed - 1), self.longest_s))


@dataclass(frozen=True)
class SecretVariable:
    """A variable whose value a Kubernetes secret holds."""

    variable: str
    secret: str
    key: str
    optional: bool


@dataclass(frozen=True)
class Task:
    """One task of a pipeline, as compiled."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: tuple[SecretVariable, ...]
    after: tuple[str, ...]
    retry: Retry
    deadline_s: float | None


def read_pipeline(document: Mapping[str, Any]) -> list[Task]:
    """Read a pipeline as ``kfp.Client`` sends it, each task after those that it depends on.

    Raises:
        Unsupported: it has something that is not imitated; a stub that ignored it would mislead.
    """
    spec = document.get("pipeline_spec", document)
    platforms = document.get("platform_spec", {}).get("platforms", {})
    on_kubernetes = platforms.get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
    compiled = spec.get("root", {}).get("dag", {}).get("tasks", {})
    if not compiled:
        raise Unsupported("a pipeline without tasks")
    tasks = {}
    for name, task in compiled.items():
        _refuse_others(f"task {name}", task, OBEYED_IN_TASKS)
        executor = spec["components"][task["componentRef"]["name"]].get("executorLabel")
        container = spec["deploymentSpec"]["executors"].get(executor, {}).get("container")
        if container is None:
            raise Unsupported(f"task {name}: only containers are executed, no pipelines inside pipelines")
        tasks[name] = _task(name, task, container, on_kubernetes.get(executor, {}))
    order = graphlib.TopologicalSorter({name: task.after for name, task in tasks.items()}).static_order()
    return [tasks[name] for name in order]


def _task(
    name: str, task: Mapping[str, Any], container: Mapping[str, Any], kubernetes: Mapping[str, Any]
) -> Task:
    _refuse_others(f"the container of task {name}", container, OBEYED_IN_CONTAINERS)
    _refuse_others(f"task {name} on Kubernetes", kubernetes, OBEYED_ON_KUBERNETES | IGNORED_ON_KUBERNETES)
    environment = {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}
    for entry in kubernetes.get("fieldPathAsEnv", []):
        if entry["fieldPath"] != RUN_LABEL:
            raise Unsupported(f"task {name}: the field {entry['fieldPath']}")
        environment[entry["name"]] = "{{$.pipeline_job_uuid}}"
    secrets = [
        SecretVariable(pair["envVar"], _secret_name(entry), pair["secretKey"], bool(entry.get("optional")))
        for entry in kubernetes.get("secretAsEnv", [])
        for pair in entry["keyToEnv"]
    ]
    policy = task.get("retryPolicy", {})
    deadline = int(kubernetes.get("activeDeadlineSeconds", 0))
    return Task(
        name=name,
        image=container["image"],
        command=(*container.get("command", []), *container.get("args", [])),
        environment=environment,
        secrets=tuple(secrets),
        after=tuple(task.get("dependentTasks", [])),
        retry=Retry(
            attempts=int(policy.get("maxRetryCount", 0)),
            backoff_s=_seconds(policy.get("backoffDuration", "0s")),
            factor=float(policy.get("backoffFactor", Retry.factor)),
            longest_s=_seconds(policy.get("backoffMaxDuration", f"{Retry.longest_s}s")),
        ),
        deadline_s=deadline or None,
    )


def _secret_name(entry: Mapping[str, Any]) -> str:
    constant = entry.get("secretNameParameter", {}).get("runtimeValue", {}).get("constant")
    return str(constant or entry["secretName"])


def _seconds(duration: str) -> float:
    match = DURATION.match(duration)
    if match is None:
        raise Unsupported(f"the duration {duration!r}")
    return float(match[1])


def _refuse_others(where: str, given: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(given) - known):
        raise Unsupported(f"{where}: {', '.join(unknown)}")
