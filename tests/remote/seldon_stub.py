"""Start the Kubernetes API stub for tests, and ask it as its administrator."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.main.home import free_port
from benchmarks.warm import PROJECT

STARTS_WITHIN_S = 120.0
TOKEN = "the-token-of-the-tests"
SERVICE_TOKEN = "the-token-of-a-service"
NAMESPACE = "shutterline"
SCHEMA = PROJECT.parent / "shared" / "data" / "seldon" / "seldondeployment-v1.schema.json"
SELDON_PATH = f"/apis/machinelearning.seldon.io/v1/namespaces/{NAMESPACE}/seldondeployments"
CORE_PATH = f"/api/v1/namespaces/{NAMESPACE}"


@dataclass
class KubernetesStub:
    """The stub, running or not."""

    home: Path
    deny: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    ingress_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ingress_url(self) -> str:
        """Where predictions are asked for."""
        return f"http://127.0.0.1:{self.ingress_port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.home.mkdir(parents=True, exist_ok=True)
        token = self.home / "token"
        token.write_text(TOKEN)
        options = {
            "--port": self.port,
            "--ingress-port": self.ingress_port,
            "--home": self.home,
            "--token-file": token,
            "--schema": SCHEMA,
        }
        words = [str(part) for pair in options.items() for part in pair]
        denied = [f"--deny={one}" for one in self.deny]
        with (self.home / "stub.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.remote.kubernetes_api", *words, *denied],
                cwd=PROJECT,
                stdout=log,
                stderr=log,
            )
        ends = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < ends and self.process.poll() is None:
            try:
                httpx.get(f"{self.url}/version")
            except httpx.HTTPError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError((self.home / "stub.log").read_text())

    def stop(self) -> None:
        """End it, and every process that it started."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask with the token, and require success."""
        answer = httpx.request(
            method, f"{self.url}{path}", json=body, headers={"authorization": f"Bearer {TOKEN}"}
        )
        return answer.raise_for_status().json()

    def keep_secret(self, name: str, values: dict[str, str]) -> None:
        """Make a Kubernetes secret."""
        body = {"metadata": {"name": name}, "stringData": values}
        self.ask("POST", f"{CORE_PATH}/secrets", body)

    def resource(self, name: str) -> dict[str, Any]:
        """A SeldonDeployment as it is held."""
        found: dict[str, Any] = self.ask("GET", f"{SELDON_PATH}/{name}")
        return found

    def asked(self) -> dict[str, int]:
        """How many requests that are more than a look each version got by now, over all its pods."""
        counts: dict[str, int] = {}
        for one in self.ask("GET", f"{CORE_PATH}/pods")["items"]:
            version = one["metadata"]["labels"].get("shutterline/version", "")
            counts[version] = counts.get(version, 0) + int(one["metadata"]["annotations"]["stub/asked"])
        return counts

    def pods(self) -> list[str]:
        """The names of all pods."""
        return sorted(one["metadata"]["name"] for one in self.ask("GET", f"{CORE_PATH}/pods")["items"])


@contextmanager
def kubernetes_stub(home: Path, deny: tuple[str, ...] = ()) -> Iterator[KubernetesStub]:
    """A running stub; nothing of it is left afterwards."""
    stub = KubernetesStub(home, deny)
    stub.start()
    try:
        yield stub
    finally:
        stub.stop()
