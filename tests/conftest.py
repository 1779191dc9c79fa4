"""Every test process has its own ZenML store, stacks, ports and home: nothing of the user's is touched."""

from __future__ import annotations

import functools
import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from benchmarks.main.home import own_variables
from benchmarks.warm import leave_flushing_to_the_system
from tests.bucket import bucket, bucket_server

if TYPE_CHECKING:
    from zenml.client import Client

__all__ = ["bucket", "bucket_server"]

PROJECT = Path(__file__).resolve().parent.parent
HOME = Path(tempfile.mkdtemp(prefix="shutterline-tests-"))
LONG = (
    "tests/kubeflow/test_parity.py",
    "tests/kubeflow/test_faults.py",
    "tests/test_faults.py",
    "tests/whole/",
    "tests/test_readme.py",
    "tests/stacks/",
)
"""What takes longest, in this order."""
SHARING = (
    (
        "tests/whole/test_bad_input.py",
        "tests/whole/test_every_rule.py",
        "tests/whole/test_forged.py",
        "tests/whole/test_inference.py",
        "tests/whole/test_never_cached.py",
        "tests/whole/test_not_learning.py",
        "tests/whole/test_observability.py",
        "tests/whole/test_refusals.py",
    ),
    ("tests/stacks/local_deployer/",),
    ("tests/kubeflow/test_parity.py", "tests/kubeflow/test_secrets_stay_secret.py"),
    ("tests/kubeflow/seldon_deployer/",),
)
"""Files that share a session fixture that takes many seconds to make."""


# Before anything imports ZenML: its configuration is read at import.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.pop("ZENML_ACTIVE_STACK_ID", None)
os.environ.update(
    own_variables(HOME),
    OMP_NUM_THREADS="1",  # beside other tests, threads that wait for each other take twice as long
    OMP_WAIT_POLICY="PASSIVE",
    PYTHONPATH=str(PROJECT),
    COLUMNS="300",  # rich reads it once: tables in messages stay on one line
)
event.listen(Engine, "connect", leave_flushing_to_the_system)


@pytest.fixture(scope="session", autouse=True)
def sources_are_read_once() -> Iterator[None]:
    """What ZenML asks of source code again and again takes a seventh of the time of all tests.

    It reads the source of every frame, of pytest's too, to say where a warning is from; and parses a step's
    module for the cache key of each run.
    """
    from zenml.utils import source_code_utils
    from zenml.utils.warnings.controller import WarningController

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WarningController, "_resolve_call_details", staticmethod(lambda: ("zenml", 0)))
        read = functools.cache(source_code_utils.get_source_code)
        patch.setattr(source_code_utils, "get_source_code", read)
        yield


@pytest.fixture(scope="session", autouse=True)
def garbage_is_looked_for_less_often() -> None:
    """All that the packages keep in memory is gone through each time: 6 % of the time of all tests."""
    gc.set_threshold(50_000, 20, 100)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    items.sort(key=lambda item: [item.nodeid.startswith(long) for long in LONG], reverse=True)


class FileByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives each file one process, and files that share a fixture the same."""

    def _split_scope(self, nodeid: str) -> str:
        group = next((files for files in SHARING if nodeid.startswith(files)), None)
        return str(group or super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileByFile:
    """What ``-n`` distributes the tests by."""
    return FileByFile(config, log)


@pytest.fixture(autouse=True)
def what_is_logged_is_seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """By ``caplog``, although a command that ran in this process sends it to stderr alone."""
    logger = logging.getLogger("shutterline")
    level = logger.level
    monkeypatch.setattr(logger, "propagate", True)
    logger.setLevel(logging.INFO)  # a command quiets ZenML, and with it the root of all loggers
    yield
    logger.setLevel(level)


def pytest_sessionfinish() -> None:
    """Remove the home of this test process."""
    shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def zenml_client() -> Client:
    """A ZenML client on a fresh store of this test process, with ZenML's default stack."""
    from pipelines.session import prepare

    prepare(stack=None)
    from zenml.client import Client

    return Client()


@pytest.fixture
def own_stack(zenml_client: Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes ZenML's own stack this test's, whatever a test before it in this process made active; its id."""
    stack_id = str(zenml_client.get_stack("default", allow_name_prefix_match=False).id)
    monkeypatch.setenv("ZENML_ACTIVE_STACK_ID", stack_id)
    return stack_id


@pytest.fixture(scope="session")
def local_stack(zenml_client: Client) -> Iterator[Client]:
    """The project's ``local`` stack, registered in the fresh store and active; its services end here."""
    from stacks.apply import main as apply_stack

    assert apply_stack([str(PROJECT / "stacks" / "local.yaml")]) == 0
    yield zenml_client
    from steps.deployment.deployer import active_deployer

    active_deployer().stop()
