"""One registered model of the session's store, used as a person would use it: through ``run.py``'s entry."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from actions.command import execute
from actions.request import Request
from tests.shrunk.delivery import PROJECT, SHRUNK_CONFIG

if TYPE_CHECKING:
    from materializers.release import Release

REFUSED = 3
"""The exit code of whatever a gate, a missing approval or altered evidence forbids."""
FILES = {"signature": "data.json", "splits": "splits.parquet"}
"""Those that are no report."""
SEED_1 = "train.seed=1"
"""Gives a model of other bytes that passes too."""
IMPOSSIBLE = "policy.rules.accuracy.limit=1.0"
"""A limit that no shrunk model meets."""


@dataclass(frozen=True)
class Outcome:
    """What one call of ``run.py`` came to."""

    exit_code: int
    results: list[dict[str, Any]]
    stderr: str

    @property
    def last(self) -> dict[str, Any]:
        """The entry of what was done last."""
        return self.results[-1]

    @property
    def said(self) -> str:
        """All reasons of the last entry."""
        return "\n".join(self.last["reasons"])


@dataclass(frozen=True)
class Shop:
    """One model name, the delivery that it learns from, and the stack that it is used on."""

    model: str
    delivery: Path
    stack: str | None = None

    def on(self, stack: str) -> Shop:
        """The same model through another stack."""
        return replace(self, stack=stack)

    def run(self, *assignments: str, config: Path = SHRUNK_CONFIG, **flags: Any) -> Outcome:
        """Call ``run.py`` in this process, with ``--json``."""
        request = Request(
            config=config,
            assignments=(f"product.model={self.model}", *assignments),
            stack=self.stack,
            as_json=True,
            **flags,
        )
        out, err = io.StringIO(), io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                exit_code = execute(request)
        finally:
            os.environ.pop("ZENML_ACTIVE_STACK_ID", None)
        assert "Traceback" not in err.getvalue(), err.getvalue()
        return Outcome(exit_code, json.loads(out.getvalue())["results"], err.getvalue())

    def command(self, *flags: str, python: tuple[str, ...] = ()) -> list[str]:
        """The command line of ``run.py`` for this model."""
        program = (sys.executable, *python, str(PROJECT / "run.py"))
        return [*program, "--config", str(SHRUNK_CONFIG), "--set", f"product.model={self.model}", *flags]

    def process(self, *flags: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Call ``run.py`` as a process of its own."""
        return subprocess.run(
            self.command(*flags, python=python), capture_output=True, text=True, check=False, timeout=300
        )

    def train(self, *assignments: str, expected: int = 0, **flags: Any) -> int:
        """Train on the delivery and return the version."""
        outcome = self.run(*assignments, train=True, source=str(self.delivery), **flags)
        assert outcome.exit_code == expected, (outcome.results, outcome.stderr)
        version: int = outcome.last["version"]
        return version

    def deploy(self, version: int | None = None, environment: str = "staging") -> None:
        """Release a version, tested in staging and with an approval where they are needed."""
        if environment == "production":
            if not self.tests(version or 0):
                self.deploy(version)
            approved = self.run(approve=version, by="Ada", reason="looked at the report")
            assert approved.exit_code == 0, approved.said
        outcome = self.run(deploy=True, version=version, environment=environment)
        assert outcome.exit_code == 0, (outcome.results, outcome.stderr)

    def tests(self, version: int) -> list[Any]:
        """The artifacts of the end-to-end tests of a version, the newest first."""
        from zenml.client import Client

        from steps.deployment.tested import end_to_end_artifact

        name = end_to_end_artifact(self.model, version)
        return list(Client().list_artifact_versions(artifact=name, sort_by="desc:created").items)

    def url(self, environment: str = "staging") -> str:
        """Where the model is served in an environment, whether or not it is."""
        return f"http://127.0.0.1:{os.environ['SHUTTERLINE_PORT']}/seldon/{environment}/{self.model}"

    def served(self, environment: str = "staging") -> tuple[int, str] | None:
        """Version and digest of the model that answers at the URL; None where nothing does."""
        try:
            answer = httpx.get(f"{self.url(environment)}/health/status", trust_env=False, timeout=10)
        except httpx.ConnectError:
            return None
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        status = answer.raise_for_status().json()["jsonData"]
        return int(status["model_version"]), status["model_digest"]

    def versions(self) -> dict[int, dict[str, str]]:
        """Tags of every registered version."""
        from materializers.evidence import read_versions

        return {entry.version: entry.tags for entry in read_versions(self.model)}

    def aliases(self) -> dict[str, int]:
        """The registry's aliases."""
        from materializers.evidence import read_versions

        return {alias: entry.version for entry in read_versions(self.model) for alias in entry.aliases}

    def stored(self, version: int, output: str) -> Path:
        """The file that holds what a version's run returned, or the model directory."""
        from zenml.client import Client

        tags = self.versions()[version]
        if output == "model":
            return Path(tags["model_uri"])
        run = Client().get_pipeline_run(tags["zenml_run"])
        uris = [s.outputs[output][0].uri for s in run.steps.values() if output in s.outputs]
        return Path(uris[0]) / FILES.get(output, "report.json")


def kill_service(release: Release) -> None:
    """End the microservice of a release as a crash does, and wait until its address says so."""
    from stacks.local_deployer import processes
    from steps.deployment.deployer import active_deployer

    deployer: Any = active_deployer()
    assert release.candidate is not None
    mine = f"{release.environment}-v{release.candidate.version}-"
    for name, found in processes.running(deployer.config.site).items():
        if name.startswith(mine):
            for process in found:
                process.kill()
                process.wait(10)
    assert not deployer.healthy(release)


def refused_release(shop: Shop, version: int, *assignments: str, environment: str = "staging") -> str:
    """Try to release a version; return why it was refused."""
    outcome = shop.run(*assignments, deploy=True, version=version, environment=environment)
    assert (outcome.exit_code, outcome.last["status"]) == (REFUSED, "refused"), outcome
    assert outcome.last["release"]["url"] is None
    return outcome.said


def edited(path: Path, **changes: object) -> bytes:
    """A report's JSON with other values."""
    return json.dumps({**json.loads(path.read_bytes()), **changes}, indent=2).encode()


def one_bit_off(path: Path) -> bytes:
    """A file's bytes with one bit in the middle flipped."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    return bytes(data)


def made_to_pass(verdict: Path) -> bytes:
    """A refused verdict whose limits and outcome were edited so that its own numbers agree."""
    rules = json.loads(verdict.read_bytes())["rules"]
    for rule in rules:
        rule.update(limit=0.0 if rule["direction"] == ">=" else 1e9, outcome="passed")
    return edited(verdict, rules=rules, outcome="passed")


def digest_of(verdict: bytes) -> str:
    """The digest of a verdict as it is stored."""
    from materializers.verdict import Verdict

    return Verdict.model_validate_json(verdict).digest


@contextlib.contextmanager
def altered(path: Path, data: bytes) -> Iterator[None]:
    """Put other bytes into a file for a while, as someone would who does not go through the project."""
    before = path.read_bytes()
    assert data != before
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)


@contextlib.contextmanager
def alias_moved(shop: Shop, alias: str, version: int) -> Iterator[None]:
    """Let a registry alias name another version for a while, moved by hand."""
    from materializers.evidence import registry_client

    before = shop.aliases().get(alias)
    assert before != version
    client = registry_client()
    client.set_registered_model_alias(shop.model, alias, str(version))
    try:
        yield
    finally:
        client.delete_registered_model_alias(shop.model, alias)
        if before is not None:
            client.set_registered_model_alias(shop.model, alias, str(before))


@contextlib.contextmanager
def tag_edited(shop: Shop, version: int, key: str, value: str) -> Iterator[None]:
    """Let a registered version's tag say something else for a while, edited by hand."""
    from materializers.evidence import registry_client

    before = shop.versions()[version][key]
    client = registry_client()
    client.set_model_version_tag(shop.model, str(version), key, value)
    try:
        yield
    finally:
        client.set_model_version_tag(shop.model, str(version), key, before)


def registry_file() -> Path:
    """The database of the stack's registry."""
    from zenml.client import Client

    return Path(Client().active_stack.artifact_store.path) / "mlflow.db"


@contextlib.contextmanager
def registry_down() -> Iterator[None]:
    """Let the registry's database be garbage for a while."""
    with altered(registry_file(), b"this is no database\n" * 1000):
        yield


@contextlib.contextmanager
def registry_read_only(table: str) -> Iterator[None]:
    """Let the registry's database refuse every write to one table for a while."""
    from materializers.evidence import registry_client

    acts = ("INSERT", "UPDATE")
    registry_client().search_experiments(max_results=1)  # the first client of a store makes its tables
    with contextlib.closing(sqlite3.connect(registry_file())) as database:
        for act in acts:
            database.execute(
                f"CREATE TRIGGER no_{act} BEFORE {act} ON {table} BEGIN SELECT RAISE(ABORT, 'read-only'); END"
            )
        database.commit()
        try:
            yield
        finally:
            for act in acts:
                database.execute(f"DROP TRIGGER no_{act}")
            database.commit()
