"""Prometheus, Alertmanager and the exporter of one machine, all on loopback, in a folder of their own.

What starts them again, or ends them, needs only that folder: the ports are in its ``site.json``.
"""

from __future__ import annotations

import os
import shutil
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, ValidationError

from materializers.blobs import write_file
from materializers.errors import ShutterlineError, UsageError
from materializers.report import Record
from materializers.web_address import WebAddress
from observability.rendering import (
    ALERTMANAGER,
    PROMETHEUS,
    Addresses,
    Times,
    rendered_rules,
    rendered_servers,
    write_rendered,
)
from observability.servers import ADDRESS, PROJECT, Server, answers
from serving.launching import free_port

if TYPE_CHECKING:
    from pipelines.config import Config

PACKAGES = {"prometheus": "prometheus", "prometheus-alertmanager": "prometheus-alertmanager"}
"""Debian's packages, and the program of each."""
TARGETS = "targets.json"
KEPT_FOR = "15d"


class Ports(Record):
    """Where each listens."""

    prometheus: int = Field(ge=1, le=65535)
    alertmanager: int = Field(ge=1, le=65535)
    exporter: int = Field(ge=1, le=65535)

    @classmethod
    def from_first(cls, first: int | None) -> Self:
        """Three in a row; free ones where none is given."""
        if first is not None:
            return cls(prometheus=first, alertmanager=first + 1, exporter=first + 2)
        found: set[int] = set()
        while len(found) < len(cls.model_fields):  # nothing listens on any yet: one may be given twice
            found.add(free_port(ADDRESS))
        return cls(**dict(zip(cls.model_fields, found, strict=True)))


class Options(Record):
    """How a site is started; what differs from before ends what runs and starts it anew."""

    times: Times = Times()
    webhook: WebAddress | None = None
    critical_webhook: WebAddress | None = None
    targets: Path | None = None
    """The list of what serves; None: that of the active stack's deployer."""
    exporter: tuple[str, ...] = ()
    """Its further arguments: which model, which stack."""


def program(package: str) -> str:
    """The program of a Debian package.

    Raises:
        UsageError: it is not installed.
    """
    found = shutil.which(PACKAGES[package])
    if found is None:
        raise UsageError(f"There is no {PACKAGES[package]} on this machine: apt-get install {package}")
    return found


class MonitoringSite:
    """A folder with its three servers."""

    def __init__(self, home: Path, ports: Ports, options: Options | None = None) -> None:
        self.home, self.ports = home, ports
        self.options = options or Options()

    @classmethod
    def make(cls, home: Path, options: Options, *, first_port: int | None = None) -> Self:
        """The site of this folder, on the ports it has or, where it is new, on free ones or these.

        Raises:
            UsageError: it has other ports, or was made by another version.
        """
        home = home.absolute()
        try:
            known: Ports | None = cls.load(home).ports
        except FileNotFoundError:
            known = None
        ports = known or Ports.from_first(first_port)
        if first_port is not None and ports != Ports.from_first(first_port):
            raise UsageError(
                f"{home} has the ports {ports.prometheus}, {ports.alertmanager} and {ports.exporter}: give "
                "another --home, or: make monitoring-down, and remove it"
            )
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(home / "site.json", ports.model_dump_json().encode())
        return cls(home, ports, options)

    @classmethod
    def load(cls, home: Path) -> Self:
        """The site of this folder.

        Raises:
            FileNotFoundError: there is none.
            UsageError: another version of this program made it.
        """
        try:
            ports = Ports.model_validate_json((home.absolute() / "site.json").read_bytes())
        except ValidationError as error:
            raise UsageError(
                f"{home} was made by another version: end what runs there and remove it"
            ) from error
        return cls(home.absolute(), ports)

    @property
    def servers(self) -> tuple[Server, Server, Server]:
        """Each after those that it talks to."""
        return self.exporter, self.alertmanager, self.prometheus

    @cached_property
    def exporter(self) -> Server:
        """What ZenML, the registry and the deployer know."""
        url = f"http://{ADDRESS}:{self.ports.exporter}"
        command = [sys.executable, "-m", "observability.exporter", "--port", str(self.ports.exporter)]
        command += self.options.exporter
        # The caller's ZenML store, stack and credentials are the exporter's.
        return Server(
            "The exporter",
            self.home / "exporter",
            url,
            command,
            dict(os.environ) | {"PYTHONPATH": str(PROJECT)},
            lambda: answers(f"{url}/metrics"),
        )

    @cached_property
    def alertmanager(self) -> Server:
        """Debian's Alertmanager, alone."""
        url = f"http://{ADDRESS}:{self.ports.alertmanager}"
        folder = self.home / "alertmanager"
        command = [
            program("prometheus-alertmanager"),
            f"--config.file={self.configuration / ALERTMANAGER}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address={ADDRESS}:{self.ports.alertmanager}",
            "--cluster.listen-address=",
        ]
        return Server("Alertmanager", folder, url, command, _environment(), lambda: answers(f"{url}/-/ready"))

    @cached_property
    def prometheus(self) -> Server:
        """Debian's Prometheus."""
        url = f"http://{ADDRESS}:{self.ports.prometheus}"
        folder = self.home / "prometheus"
        command = [
            program("prometheus"),
            f"--config.file={self.configuration / PROMETHEUS}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--storage.tsdb.retention.time={KEPT_FOR}",
            f"--web.listen-address={ADDRESS}:{self.ports.prometheus}",
        ]
        return Server("Prometheus", folder, url, command, _environment(), lambda: answers(f"{url}/-/ready"))

    @property
    def configuration(self) -> Path:
        """What is rendered lies there."""
        return self.home / "configuration"

    def up(self, config: Config) -> bool:
        """Start what does not run, and anew what runs with other settings; whether all of it ran so already.

        Raises:
            UsageError: a package is not installed; nothing was started.
            RuntimeError: a server does not answer; its log's end is in the message.
        """
        servers = self.servers
        changed = write_rendered(self.configuration, self._files(config))
        already = not changed
        for server in servers:
            running = server.process()
            if running is not None and (changed or running.cmdline()[1:] != list(server.command[1:])):
                server.stop()
                running = None
            already = already and running is not None
            server.start()
        for server in servers:
            server.wait()
        return already

    def down(self) -> bool:
        """End what runs, by its own process ids; whether anything did. What was measured stays.

        One whose record is damaged is known by its port.

        Raises:
            TimeoutError: a process does not end.
        """
        found = False
        for name in ("prometheus", "alertmanager", "exporter"):
            url = f"http://{ADDRESS}:{getattr(self.ports, name)}"
            server = Server(name, self.home / name, url, (), {}, lambda: True)
            found = found or server.process() is not None
            server.stop()
        return found

    def _files(self, config: Config) -> dict[str, str]:
        addresses = Addresses(
            alertmanager=f"{ADDRESS}:{self.ports.alertmanager}",
            exporter=f"{ADDRESS}:{self.ports.exporter}",
            targets=str(self._targets()),
            webhook=self.options.webhook,
            critical_webhook=self.options.critical_webhook,
        )
        times = self.options.times
        return {**rendered_rules(config, times), **rendered_servers(times, addresses)}

    def _targets(self) -> Path:
        """The list of what serves; one to be filled in by hand where nobody keeps one."""
        found = self.options.targets or _of_deployer()
        if found is None:
            found = self.home / TARGETS
            if not found.exists():
                write_file(found, b"[]")
        return found.absolute()


def _of_deployer() -> Path | None:
    """The list that the active stack's deployer keeps up to date; None where it keeps none."""
    from steps.deployment.deployer import active_deployer

    deployer = active_deployer()
    try:
        deployer.live()  # a deployer of before these lists writes one when it is asked
    except ShutterlineError as error:
        raise UsageError(f"{error} Or give --targets") from error
    return deployer.metrics_targets()


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": str(Path.home())}
