"""The whole remote stack, started once for all tests of this folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.main.home import PROJECT, own_variables
from tests.kubeflow.story import Story, Teller, clean_environment, tell
from tests.remote.site import Site
from tests.stacks.apprise_alerter.webhook import Webhook, webhook_server

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
class Chronicle:
    """One stack: who used it, how the story went there, and what was recorded of it."""

    teller: Teller
    story: Story
    recorded: dict[str, Any]


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
    register(environment, "kubeflow")
    return lambda model: Teller(environment, model)


@pytest.fixture(scope="session")
def both(on_kubeflow: Callable[[str], Teller], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """The story on the local stack, then on the remote one."""
    home = tmp_path_factory.mktemp("local")
    local = Teller(clean_environment(**own_variables(home)), "story")
    register(local.environment, "local")
    try:
        yield Both(chronicle(local, home), chronicle(on_kubeflow("story"), tmp_path_factory.mktemp("remote")))
    finally:
        local.run("--stop")


def chronicle(teller: Teller, folder: Path) -> Chronicle:
    """Tell the story and look at what was recorded."""
    story = tell(teller, folder)
    return Chronicle(teller, story, recorded(teller))


def recorded(teller: Teller) -> dict[str, Any]:
    """What ZenML and the artifact store hold of the teller's model."""
    command = [sys.executable, str(Path(__file__).parent / "recorded.py"), teller.model]
    done = subprocess.run(command, env=dict(teller.environment), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def register(environment: Mapping[str, str], name: str) -> None:
    """Make the environment's ZenML server agree with a stack file."""
    command = [sys.executable, "-m", "stacks.apply", str(PROJECT / "stacks" / f"{name}.yaml")]
    done = subprocess.run(
        command, env=dict(environment), cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
