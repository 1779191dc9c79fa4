"""Read and write what the cluster holds of one model in one environment.

While something is live it is the SeldonDeployment with its annotations. What was taken down leaves its
history in a ConfigMap of the same name, so that it can come back; where there is a SeldonDeployment, that
counts.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from copy import deepcopy
from typing import NamedTuple

from materializers.errors import ServiceFailed, ServiceUnreachable, UsageError
from stacks.seldon_deployer.cluster import Cluster, ConflictError, Json
from stacks.seldon_deployer.manifest import MANAGED_BY, programs
from stacks.seldon_deployer.reasons import pods_of, pods_of_version
from stacks.seldon_deployer.resource import PLURAL, Metadata, SeldonDeployment, Specification
from stacks.seldon_deployer.state import HISTORY, LIVE, PENDING, ROLLING, State, read_state

OURS = (LIVE, ROLLING, HISTORY, PENDING)
CONFIG_MAPS = "configmaps"
INTERFACE_LABEL = "shutterline/interface"
"""Of a SeldonDeployment that only is another way to ask for what is live."""
# Seldon writes the status of a resource now and then, which makes a write that is based on a read fail.
WRITES = 10
POLL_S = 0.5


class Held(NamedTuple):
    """What the cluster holds under one name; ``body`` is None where there is no SeldonDeployment."""

    name: str
    body: Json | None
    state: State

    @property
    def available(self) -> bool:
        """Whether Seldon says that everything is up."""
        return bool(self.body) and (self.body or {}).get("status", {}).get("state") == "Available"

    @property
    def unaltered(self) -> bool:
        """Whether the cluster is told to run what is kept of what comes up, or else rolls out, or is live."""
        pending = self.state.pending
        known = pending.coming if pending else self.state.serving
        if self.body is None or known is None or known.specification is None:
            return False
        return programs(self.body["spec"]) == programs(known.specification)


class Store:
    """The SeldonDeployments that this deployer made in one namespace."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def names(self) -> list[str]:
        """The names of all that were made here and are there now, but other ways to ask for one of them."""
        return sorted(one["metadata"]["name"] for one in self._made() if not _is_interface(one))

    def interfaces(self) -> dict[str, Json]:
        """The other ways to ask for something live that were made here and are there now, by name."""
        return {one["metadata"]["name"]: one for one in self._made() if _is_interface(one)}

    def interface(self, name: str) -> Json | None:
        """One of them as it is; None where there is none of that name.

        Raises:
            UsageError: something else has that name.
            ServiceUnreachable: the cluster cannot be asked.
        """
        there = self.cluster.get(PLURAL, name)
        if there is not None:
            self._require_ours(self._where(name), there)
            if not _is_interface(there):
                raise UsageError(
                    f"{self._where(name)} serves another model, and is the name by which one more interface "
                    "was to be asked: take that out of the model deployer's interfaces, or give the model "
                    "another name"
                )
        return there

    def put_interface(self, before: Json | None, body: Json) -> None:
        """Make a way to ask for what is live, or replace it.

        Args:
            before: as it is now; None where there is none.
            body: what it is to be.

        Raises:
            ConflictError: another command changed it.
            ServiceUnreachable: the cluster cannot be reached, or refuses it.
        """
        if before is None:
            self.cluster.create(PLURAL, body)
            return
        metadata = {**body["metadata"], "resourceVersion": before["metadata"]["resourceVersion"]}
        self.cluster.replace(PLURAL, {**body, "metadata": metadata})

    def remove_interface(self, name: str) -> None:
        """Delete a way to ask for something; its pods end without us.

        Raises:
            ServiceUnreachable: the cluster cannot be reached, or refuses it.
        """
        self.cluster.delete(PLURAL, name)

    def remove_interfaces(self, *, timeout_s: float) -> None:
        """Take every other way to ask for something down, and wait until its pods are gone.

        Raises:
            ServiceFailed: pods do not end within ``timeout_s``.
            ServiceUnreachable: the cluster cannot be reached, or refuses it.
        """
        names = sorted(self.interfaces())
        for name in names:
            self.remove_interface(name)
        for name in names:
            self.wait_until_gone(name, timeout_s)

    def _made(self) -> list[Json]:
        (selector,) = (f"{key}={value}" for key, value in MANAGED_BY.items())
        return self.cluster.list(PLURAL, labelSelector=selector)

    def read(self, name: str) -> Held:
        """What is held under ``name`` now.

        Raises:
            DamagedArtifact: its annotations are not what this deployer wrote.
            UsageError: somebody else made a SeldonDeployment of that name.
            ServiceUnreachable: the cluster cannot be asked.
        """
        body = self.cluster.get(PLURAL, name)
        if body is None:
            return Held(name, None, self._history_of_what_was_taken_down(name))
        if _is_interface(body):
            raise UsageError(
                f"{self._where(name)} is one more way to ask for another model: give this one another name"
            )
        return Held(name, body, read_state(self._where(name), self._annotations(body)))

    def damaged(self, name: str) -> dict[str, str]:
        """Our annotations as they are, sound or not."""
        body = self.cluster.get(PLURAL, name) or {"metadata": {"name": name, "labels": MANAGED_BY}}
        return {key: value for key, value in self._annotations(body).items() if key in OURS}

    def write(self, held: Held, state: State, specification: Json | None = None) -> Held:
        """Replace what is held, in one act; what serves stays without a ``specification``.

        Raises:
            ConflictError: another command changed it since ``held`` was read.
            ServiceUnreachable: the cluster cannot be reached, or refuses it.
        """
        annotations = state.annotations()
        if held.body is None:
            if specification is None:
                raise ConflictError(f"{held.name} is gone")
            new = SeldonDeployment(
                metadata=Metadata(
                    name=held.name,
                    namespace=self.cluster.namespace,
                    labels=MANAGED_BY,
                    annotations=annotations,
                ),
                spec=Specification.model_validate(specification),
            )
            return self._as_held(self.cluster.create(PLURAL, new.as_json()))
        body = held.body
        for _ in range(WRITES):
            changed = deepcopy(body)
            changed.pop("status", None)
            others = {k: v for k, v in self._annotations(body).items() if k not in OURS}
            changed["metadata"]["annotations"] = {**others, **annotations}
            if specification is not None:
                changed["spec"] = specification
            try:
                return self._as_held(self.cluster.replace(PLURAL, changed))
            except ConflictError:
                body = self._unchanged(held)
        raise ConflictError(f"{held.name} changes all the time")

    def remove(self, held: Held, state: State, *, timeout_s: float | None) -> None:
        """Take down what serves; ``state``'s history stays.

        Without a ``timeout_s`` its pods are not waited for.

        Raises:
            ConflictError: another command changed it since ``held`` was read.
            UsageError: the history cannot be kept, for somebody else made a ConfigMap of that name.
            ServiceFailed: its pods do not end within ``timeout_s``.
            ServiceUnreachable: the cluster cannot be reached, or refuses it.
        """
        # First: a command that is killed in between has changed nothing.
        self._keep_history(held.name, {HISTORY: state.annotations()[HISTORY]})
        body = held.body
        for _ in range(WRITES):
            if body is None:
                break
            try:
                version = body["metadata"]["resourceVersion"]
                self.cluster.delete(PLURAL, held.name, resource_version=version)
                break
            except ConflictError:
                body = self._unchanged(held)
        if timeout_s is not None:
            self.wait_until_gone(held.name, timeout_s)

    def remove_damaged(self, name: str, *, timeout_s: float) -> None:
        """Take down what serves although nobody can tell what it is; the damaged record is kept beside.

        Raises:
            UsageError: it cannot be kept, for somebody else made a ConfigMap of that name.
            ServiceFailed: its pods do not end within ``timeout_s``.
            ServiceUnreachable: the cluster cannot be reached, or refuses it.
        """
        kept = json.dumps(self.damaged(name))
        self._keep_history(name, {"damaged": kept})
        self.cluster.delete(PLURAL, name)
        self.wait_until_gone(name, timeout_s)

    def forget_what_was_taken_down(self, name: str) -> None:
        """Remove the history of a time when nothing was live; the resource has it now.

        Raises:
            ConflictError: another command changed it just now.
            UsageError: somebody else made a ConfigMap of that name.
            ServiceUnreachable: the cluster cannot be reached, or refuses it.
        """
        found = self.taken_down(name)
        if found is not None:
            version = found["metadata"]["resourceVersion"]
            self.cluster.delete(CONFIG_MAPS, name, resource_version=version)

    def taken_down(self, name: str) -> Json | None:
        """The ConfigMap with the history of what was taken down; None where there is none.

        Raises:
            UsageError: somebody else made a ConfigMap of that name.
            ServiceUnreachable: the cluster cannot be asked.
        """
        found = self.cluster.get(CONFIG_MAPS, name)
        if found is not None:
            self._require_ours(self._config_map(name), found)
        return found

    def _as_held(self, body: Json) -> Held:
        name = body["metadata"]["name"]
        return Held(name, body, read_state(self._where(name), self._annotations(body)))

    def _unchanged(self, held: Held) -> Json:
        """The resource as it is now, if only its status changed since it was read.

        Raises:
            ConflictError: more changed.
        """
        now, then = self.cluster.get(PLURAL, held.name), held.body or {}
        if now is None or now["spec"] != then.get("spec") or self._ours(now) != self._ours(then):
            raise ConflictError(f"{held.name} was changed by another command")
        return now

    def _ours(self, body: Json) -> dict[str, str]:
        return {k: v for k, v in self._annotations(body).items() if k in OURS}

    def _annotations(self, body: Json) -> dict[str, str]:
        metadata = body.get("metadata", {})
        self._require_ours(self._where(str(metadata.get("name"))), body)
        return dict(metadata.get("annotations", {}))

    def _require_ours(self, where: str, body: Json) -> None:
        if not MANAGED_BY.items() <= (body.get("metadata", {}).get("labels") or {}).items():
            raise UsageError(
                f"{where} is there and was not made by this deployer: "
                "remove it, or give the model deployer another namespace"
            )

    def _where(self, name: str) -> str:
        return f"SeldonDeployment {name} in namespace {self.cluster.namespace}"

    def _config_map(self, name: str) -> str:
        return f"ConfigMap {name} in namespace {self.cluster.namespace}"

    def _history_of_what_was_taken_down(self, name: str) -> State:
        data = (self.taken_down(name) or {}).get("data") or {}
        kept = {HISTORY: data["history"]} if "history" in data else {}
        return read_state(self._config_map(name), kept)

    def _keep_history(self, name: str, kept: dict[str, str]) -> None:
        """Keep it in the ConfigMap; whatever is kept there of an earlier time gives way."""
        data = {key.removeprefix("shutterline/"): value for key, value in kept.items()}
        metadata = {"name": name, "namespace": self.cluster.namespace, "labels": MANAGED_BY}
        for _ in range(WRITES):
            found = self.taken_down(name)
            # Only what was looked at is replaced.
            version = {"resourceVersion": found["metadata"]["resourceVersion"]} if found else {}
            body = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {**metadata, **version},
                "data": data,
            }
            with suppress(ConflictError):
                if found:
                    self.cluster.replace(CONFIG_MAPS, body)
                else:
                    self.cluster.create(CONFIG_MAPS, body)
                return
        raise given_up(name, ConflictError(f"{self._config_map(name)} changes all the time"))

    def wait_until_no_pod_of(self, name: str, version: int, timeout_s: float) -> None:
        """Wait until a version has no pod under ``name`` any more.

        Raises:
            ServiceFailed: its pods do not end within ``timeout_s``.
            ServiceUnreachable: the cluster cannot be reached.
        """
        deadline = time.monotonic() + timeout_s
        while pods_of_version(self.cluster, name, version):
            self._require_time(deadline, f"version {version} in {self._where(name)}", timeout_s)
            time.sleep(POLL_S)

    def wait_until_gone(self, name: str, timeout_s: float) -> None:
        """Wait until a SeldonDeployment that was deleted is gone, and has no pod any more.

        Raises:
            ServiceFailed: its pods do not end within ``timeout_s``.
            ServiceUnreachable: the cluster cannot be reached.
        """
        deadline = time.monotonic() + timeout_s
        while self.cluster.get(PLURAL, name) is not None or pods_of(self.cluster, name):
            self._require_time(deadline, self._where(name), timeout_s)
            time.sleep(POLL_S)

    def _require_time(self, deadline: float, whose: str, timeout_s: float) -> None:
        if time.monotonic() > deadline:
            raise ServiceFailed(
                f"The pods of {whose} do not end within {timeout_s:g} s (setting "
                f"stop_timeout_s): kubectl --namespace {self.cluster.namespace} get pods"
            )


def _is_interface(body: Json) -> bool:
    """Whether a SeldonDeployment only is another way to ask for what another one serves."""
    return INTERFACE_LABEL in (body["metadata"].get("labels") or {})


def given_up(name: str, error: ConflictError) -> ServiceUnreachable:
    """What is said when other commands keep changing what this one wants to change."""
    return ServiceUnreachable(
        f"Another command keeps changing what serves {name} ({error}). "
        "Try again when it has ended: python run.py --status"
    )
