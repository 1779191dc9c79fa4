"""The whole remote stack, started once for all tests of this folder."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.commands import WarmCommands
from benchmarks.kubeflow.story import Chronicle, Teller, chronicle, clean_environment, register
from benchmarks.main.home import own_variables
from benchmarks.warm import PROJECT
from tests.remote.site import Site
from tests.stacks.apprise_alerter.webhook import Webhook, webhook_server

STACKS = PROJECT / "stacks"
TIME_SCALE = 0.01
"""Kubeflow waits 0.6 s before a retry, not 60."""


@pytest.fixture(scope="session")
def remote_site() -> Iterator[Site]:
    """S3, MLflow, ZenML, a registry and the stubs of Kubernetes and Kubeflow; ended with the session.

    A test that ends a server, or changes a secret, puts it back.
    """
    if shutil.which("docker-registry") is None:
        pytest.skip("apt-get install docker-registry")
    # A short path: sockets of the steps lie below it.
    site = Site.make(Path(tempfile.mkdtemp(prefix="shutterline-remote-")), time_scale=TIME_SCALE)
    site.warm = True
    try:
        site.up()
        yield site
    finally:
        site.down()
        shutil.rmtree(site.home)


@dataclass(frozen=True)
class Both:
    """The same story on both stacks, and how Kubeflow's own runs of it ended."""

    local: Chronicle
    kubeflow: Chronicle
    kubeflow_states: tuple[str, ...]


@pytest.fixture(scope="session")
def webhook() -> Iterator[Webhook]:
    """Where the remote stack's alerts go."""
    with webhook_server() as hook:
        yield hook


@pytest.fixture(scope="session")
def on_kubeflow(
    remote_site: Site, webhook: Webhook, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Teller]]:
    """Makes people who use the remote stack, each with a model of their own; the stack is registered.

    No credential of the site may be in what they are told, whatever fails, nor in an alert.
    """
    environment = clean_environment(
        **remote_site.environment(),
        SHUTTERLINE_ALERT_URLS=webhook.url,
    )
    register(environment, STACKS / "kubeflow.yaml")
    secrets = remote_site.secrets()
    # ZenML reads it when it is imported, before a command can set it.
    quiet = environment | {"ZENML_LOGGING_VERBOSITY": "ERROR"}
    with WarmCommands(tmp_path_factory.mktemp("commands"), quiet) as warm:
        yield lambda model: Teller(environment, model, secrets, warm)
    assert [name for name, value in secrets.items() if value in "\n".join(webhook.messages)] == []


@pytest.fixture(scope="session")
def both(
    remote_site: Site, on_kubeflow: Callable[[str], Teller], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    """The story on the local stack, then on the remote one."""
    before = kubeflow_runs(remote_site)
    home = tmp_path_factory.mktemp("local")
    environment = clean_environment(**own_variables(home))
    register(environment, STACKS / "local.yaml")
    with WarmCommands(tmp_path_factory.mktemp("commands"), environment) as warm:
        local = Teller(environment, "story", warm=warm)
        try:
            told = (
                chronicle(local, home),
                chronicle(on_kubeflow("story"), tmp_path_factory.mktemp("remote")),
            )
            ended = {name: state for name, state in kubeflow_runs(remote_site).items() if name not in before}
            yield Both(*told, kubeflow_states=tuple(ended.values()))
        finally:
            local.run("--stop")


def kubeflow_runs(site: Site) -> dict[str, str]:
    """How each of Kubeflow's runs stands, by its id."""
    with urllib.request.urlopen(f"{site.kubeflow.url}/apis/v2beta1/runs?page_size=100") as answer:
        return {run["run_id"]: run["state"] for run in json.load(answer).get("runs", [])}
