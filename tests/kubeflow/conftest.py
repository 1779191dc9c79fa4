"""The whole remote stack, started once for all tests of this folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.kubeflow.story import Chronicle, Teller, chronicle, clean_environment, register
from benchmarks.main.home import PROJECT, own_variables
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
    try:
        site.up()
        yield site
    finally:
        site.down()
        shutil.rmtree(site.home)


@dataclass(frozen=True)
class Both:
    """The same story on both stacks."""

    local: Chronicle
    kubeflow: Chronicle


@pytest.fixture(scope="session")
def webhook() -> Iterator[Webhook]:
    """Where the remote stack's alerts go."""
    with webhook_server() as hook:
        yield hook


@pytest.fixture(scope="session")
def on_kubeflow(remote_site: Site, webhook: Webhook) -> Callable[[str], Teller]:
    """Makes people who use the remote stack, each with a model of their own; the stack is registered."""
    environment = clean_environment(
        **remote_site.environment(),
        ZENML_REPOSITORY_PATH=str(remote_site.home / "repository"),
        SHUTTERLINE_ALERT_URLS=webhook.url,
    )
    (remote_site.home / "repository" / ".zen").mkdir(parents=True)
    register(environment, STACKS / "kubeflow.yaml")
    return lambda model: Teller(environment, model)


@pytest.fixture(scope="session")
def both(on_kubeflow: Callable[[str], Teller], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The story on the local stack, then on the remote one."""
    home = tmp_path_factory.mktemp("local")
    local = Teller(clean_environment(**own_variables(home)), "story")
    register(local.environment, STACKS / "local.yaml")
    try:
        yield Both(chronicle(local, home), chronicle(on_kubeflow("story"), tmp_path_factory.mktemp("remote")))
    finally:
        local.run("--stop")
