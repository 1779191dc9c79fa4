"""Tell Prometheus of pipelines, drift and schedules: ``python -m observability.exporter --port 9105``.

The figures are read in the background and kept, so that an answer takes milliseconds however slow the stores
are. A source that cannot be read leaves its last figures and ``shutterline_source_up`` 0.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import click
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from materializers.errors import ShutterlineError
from materializers.redaction import one_line
from observability.reading import (
    Families,
    MonitoringReports,
    gauge,
    read_registry,
    read_runs,
    read_schedules,
)
from observability.servers import ADDRESS

EVERY_S = 30.0
Read = Callable[[str], Families]

logger = logging.getLogger("shutterline.exporter")


def sources() -> Mapping[str, Read]:
    """What is read, by name."""
    return MappingProxyType(
        {
            "runs": read_runs,
            "monitoring": MonitoringReports().read,
            "registry": read_registry,
            "schedules": read_schedules,
        }
    )


class KeptFigures(Collector):
    """The figures of the last reading, whenever they are asked for."""

    def __init__(self, model_name: str, read: Mapping[str, Read]) -> None:
        """Nothing is read yet; every source is down until it was."""
        self._model_name = model_name
        self._read = read
        self._lock = threading.Lock()
        self._families: dict[str, Families] = {}
        self._up = dict.fromkeys(read, False)
        self._read_at: dict[str, float] = {}

    def refresh(self) -> None:
        """Read every source once; one that cannot be read is said in the log and stops no other."""
        for name, read in self._read.items():
            try:
                families = read(self._model_name)
            except Exception as error:  # noqa: BLE001 - stores raise anything, and come back
                logger.warning(
                    "The %s cannot be read: %s", name, one_line(f"{type(error).__name__}: {error}")
                )
                with self._lock:
                    self._up[name] = False
            else:
                with self._lock:
                    self._up[name], self._families[name] = True, families
                    self._read_at[name] = time.time()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What Prometheus gets."""
        with self._lock:
            kept = [family for families in self._families.values() for family in families]
            up, read_at = dict(self._up), dict(self._read_at)
        yield from kept
        yield gauge("source_up", "Whether a source could be read", _by_source(up))
        yield gauge("source_read_timestamp_seconds", "When a source was read last", _by_source(read_at))


def _by_source(values: Mapping[str, float]) -> list[tuple[dict[str, str], float]]:
    return [({"source": name}, value) for name, value in values.items()]


def serve(figures: KeptFigures, port: int, *, every_s: float, stop: threading.Event) -> None:
    """Answer on loopback, and read again and again, until ``stop`` is set.

    Raises:
        OSError: the port cannot be listened on.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(figures)
    server, thread = start_http_server(port, addr=ADDRESS, registry=registry)
    try:
        while True:
            figures.refresh()
            if stop.wait(every_s):
                return
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="Of loopback.")
@click.option("--every", "every_s", type=click.FloatRange(min=0.1), default=EVERY_S, show_default=True)
@click.option("--config", type=click.Path(path_type=Path), help="As of run.py.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="As of run.py.")
@click.option("--stack", metavar="NAME", help="Use this ZenML stack.")
def main(
    port: int, every_s: float, config: Path | None, assignments: tuple[str, ...], stack: str | None
) -> None:
    """Answer at http://127.0.0.1:PORT/metrics until it is ended."""
    from pipelines.config import load_config

    # SIGTERM ends it at once, whatever it reads: nothing is written here.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")

    try:
        model_name = load_config(config, assignments).product.model
    except ShutterlineError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    figures = KeptFigures(model_name, {"store": _prepared(stack), **sources()})
    try:
        serve(figures, port, every_s=every_s, stop=threading.Event())
    except OSError as error:
        sys.stderr.write(f"Port {port} of {ADDRESS} cannot be used: {error.strerror}\n")
        sys.exit(2)


def _prepared(stack: str | None) -> Read:
    """Makes ZenML ready for this process, once it answers."""
    ready = False

    def prepare_once(_: str) -> Families:
        nonlocal ready
        if not ready:
            from pipelines.session import prepare

            prepare(stack=stack)
            ready = True
        return []

    return prepare_once


if __name__ == "__main__":
    main()
