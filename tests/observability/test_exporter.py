"""The exporter answers at once, whatever the stores do, and says which of them it cannot read."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from benchmarks.main.home import free_port
from observability.exporter import KeptFigures, serve
from observability.reading import Families, gauge
from tests.observability.conftest import wait_until
from tests.shrunk.delivery import PROJECT

PATIENCE_S = 30.0


def figure(value: float) -> Families:
    """One family with one value."""
    return [gauge("versions", "Registered versions", [({"model_name": "shop"}, value)])]


@contextmanager
def exporting(figures: KeptFigures, *, every_s: float = 0.05) -> Iterator[Callable[[], str]]:
    """Serve until the block ends; the metrics as they are now."""
    port, stop = free_port(), threading.Event()
    thread = threading.Thread(target=serve, args=(figures, port), kwargs={"every_s": every_s, "stop": stop})
    thread.start()

    def metrics() -> str:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=PATIENCE_S).text

    try:
        wait_until(lambda: _answers(port))
        yield metrics
    finally:
        stop.set()
        thread.join()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def test_a_store_that_goes_down_leaves_its_last_figures_and_comes_back() -> None:
    """One source's fault is told by its own metric; the others go on."""
    broken = threading.Event()

    def registry(_: str) -> Families:
        if broken.is_set():
            raise ConnectionError("the registry is down")
        return figure(3)

    figures = KeptFigures("shop", {"registry": registry, "runs": lambda _: []})
    up, down = 'shutterline_source_up{source="registry"} 1.0', 'shutterline_source_up{source="registry"} 0.0'
    with exporting(figures) as metrics:
        wait_until(lambda: up in metrics())
        broken.set()
        wait_until(lambda: down in metrics())
        assert 'shutterline_versions{model_name="shop"} 3.0' in metrics()
        assert 'shutterline_source_up{source="runs"} 1.0' in metrics()
        broken.clear()
        wait_until(lambda: up in metrics())


def test_a_slow_store_does_not_keep_prometheus_waiting() -> None:
    """Answers come from memory, also before anything was read: every source is down until then."""
    begun, over = threading.Event(), threading.Event()

    def slow(_: str) -> Families:
        begun.set()
        over.wait(3 * PATIENCE_S)  # for longer than anybody waits for the exporter
        return figure(1)

    with exporting(KeptFigures("shop", {"registry": slow})) as metrics:
        assert begun.wait(PATIENCE_S)
        assert 'shutterline_source_up{source="registry"} 0.0' in metrics()
        over.set()
        wait_until(lambda: 'shutterline_versions{model_name="shop"} 1.0' in metrics())


def test_the_stores_are_not_asked_when_prometheus_asks() -> None:
    """However often it does: they are read at intervals of the exporter's own."""
    asked: list[str] = []

    def registry(model_name: str) -> Families:
        asked.append(model_name)
        return figure(len(asked))

    with exporting(KeptFigures("shop", {"registry": registry}), every_s=3600) as metrics:
        wait_until(lambda: 'shutterline_versions{model_name="shop"} 1.0' in metrics())
        for _ in range(20):
            assert 'shutterline_versions{model_name="shop"} 1.0' in metrics()
    assert asked == ["shop"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "product.modell=x"), "modell"),
        ((), "cannot be used"),
    ],
)
def test_what_it_cannot_start_with_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    """A key nobody knows, a port that is taken: exit code 2."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [sys.executable, "-m", "observability.exporter", "--port", port, *arguments],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert said in done.stderr
