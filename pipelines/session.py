"""What every command does first: choose the stack, close what died, finish what was left pending."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from materializers.carried_run import end_as_failed
from materializers.errors import ServiceUnreachable, UsageError
from materializers.redaction import one_line

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

PROJECT = Path(__file__).resolve().parent.parent
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SERVER_TIMEOUT_S = 5.0
CHOSEN_BY = "ZENML_STORE_URL"
"""The variable that chooses a ZenML server for one terminal."""

logger = logging.getLogger("shutterline")


def prepare(stack: str | None) -> None:
    """Make ZenML ready for this process: source root, stack, no integrations that no step asked for.

    Raises:
        UsageError: there is no such stack.
        ServiceUnreachable: the ZenML server does not answer.
    """
    from zenml.integrations.registry import integration_registry
    from zenml.utils.source_utils import set_custom_source_root

    logging.getLogger("zenml").setLevel(logging.CRITICAL)
    set_custom_source_root(str(PROJECT))
    # Activation imports torch, mlflow and scikit-learn in every process, for materializers that no type of
    # ours uses; the stack's own components are imported when the stack is read.
    integration_registry.activate_integrations = lambda: None  # type: ignore[method-assign]
    _refuse_dead_server()
    if stack is not None:
        _choose_stack(stack)
    _lead_to_keys()


def _lead_to_keys() -> None:
    """Let this process sign with the keys that the stack has on this machine; the caller's own come first."""
    from steps.orchestrator import find_orchestrator

    orchestrator = find_orchestrator()
    if orchestrator is not None:
        for variable, path in orchestrator.signing_environment().items():
            os.environ.setdefault(variable, path)


def _refuse_dead_server() -> None:
    """Ask the ZenML server whether it is there and takes us; ZenML itself would retry for half a minute.

    Raises:
        ServiceUnreachable: it is not, or refuses the credentials.
    """
    import httpx
    from zenml.config.global_config import GlobalConfiguration
    from zenml.enums import StoreType
    from zenml.exceptions import AuthorizationException, CredentialsNotValid

    store: Any = GlobalConfiguration().store_configuration
    if store.type != StoreType.REST:
        return
    local = httpx.URL(store.url).host in LOOPBACK
    try:
        # Only whether anyone answers: what the certificate is worth, ZenML checks by its own settings.
        httpx.get(f"{store.url}/health", timeout=SERVER_TIMEOUT_S, trust_env=not local, verify=False)  # noqa: S501
    except httpx.HTTPError as error:
        if os.environ.get(CHOSEN_BY):
            mend = f"start it (make kubeflow-up, where it is that one), or unset {CHOSEN_BY} to do without it"
        elif local:
            mend = "start it: zenml login --local; then, to do without it: zenml logout --local"
        else:
            mend = f"look at it, or connect again: zenml login {store.url}"
        raise ServiceUnreachable(
            f"The ZenML server at {store.url} does not answer ({error}); {mend}"
        ) from error
    try:
        GlobalConfiguration().zen_store  # noqa: B018 - logs in
    except (CredentialsNotValid, AuthorizationException) as error:
        raise ServiceUnreachable(
            f"The ZenML server at {store.url} refuses the credentials ({one_line(str(error))}); connect "
            f"again: zenml login {store.url}, or set ZENML_STORE_API_KEY to another key"
        ) from error


def _choose_stack(name: str) -> None:
    """Use a stack for this process alone.

    Raises:
        UsageError: there is none of this name.
    """
    from zenml.client import Client
    from zenml.constants import ENV_ZENML_ACTIVE_STACK_ID

    client = Client()
    known = {entry.name: entry.id for entry in client.list_stacks(size=100)}
    if name not in known:
        raise UsageError(
            f"There is no stack {name!r} (there is: {', '.join(sorted(known))}): python -m stacks.apply "
            "stacks/NAME.yaml registers one, where its ZenML server is the one of this terminal"
        )
    os.environ[ENV_ZENML_ACTIVE_STACK_ID] = str(known[name])


def new_run_name(pipeline: str) -> str:
    """A name for a run that no other run has."""
    return f"{pipeline}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid4().hex[:6]}"


def dashboard() -> str:
    """Where ZenML's dashboard is: the server's address, or the command that starts one here."""
    from zenml.config.global_config import GlobalConfiguration
    from zenml.enums import StoreType

    store: Any = GlobalConfiguration().store_configuration
    return str(store.url) if store.type == StoreType.REST else "make dashboard"


def close_dead_runs() -> list[str]:
    """Mark runs as failed that nobody carries any more, in ZenML and in MLflow, and return their names.

    The active stack's orchestrator knows which these are; where it is not this project's, none are closed.

    Raises:
        ServiceUnreachable: whoever carries the runs does not answer.
    """
    from zenml.client import Client

    from steps.orchestrator import find_orchestrator

    orchestrator = find_orchestrator()
    if orchestrator is None:
        return []
    closed = []
    for status in ("running", "initializing", "provisioning"):
        for run in Client().list_pipeline_runs(status=status, size=100, hydrate=True):
            if orchestrator.ended(run):
                try:
                    close_run(run)
                except ServiceUnreachable as error:
                    logger.warning("%s; the next command tries again.", error)
                else:
                    closed.append(run.name)
    return closed


def close_run(run: PipelineRunResponse) -> None:
    """End a run that nobody carries any more: its MLflow runs, then itself and its open steps.

    MLflow's first: until then it is found as open; whoever is killed in between leaves it to the next.

    Raises:
        ServiceUnreachable: MLflow cannot be written; the run is as it was.
    """
    _close_tracked(run)
    end_as_failed(run.id)


def _close_tracked(run: PipelineRunResponse) -> None:
    """End the MLflow runs that a ZenML run left open."""
    if not any(step_run.config.experiment_tracker for step_run in run.steps.values()):
        return
    from materializers.evidence import registry_client, registry_errors

    with registry_errors(f"close what run {run.name} tracked"):
        client = registry_client()
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        open_runs = client.search_runs(experiments, "attributes.status = 'RUNNING'")
        for tracked in open_runs:
            if run.name in tracked.info.run_name:
                client.set_terminated(tracked.info.run_id, status="KILLED")


@contextmanager
def one_run_at_a_time(act: str) -> Iterator[None]:
    """Hold the store's run lock; while another process holds it, say what and since when, and wait.

    Args:
        act: what it is held for, as others are told it.
    """
    from zenml.config.global_config import GlobalConfiguration

    path = Path(GlobalConfiguration().config_directory) / "shutterline-run.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            said = (
                f"Another run is going: {lock.read().strip()}. {act} begins once it has ended; "
                "Ctrl-C gives up, and nothing of it was begun."
            )
            print(said, file=sys.stderr)  # noqa: T201
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(f"{act}, process {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        lock.flush()
        yield
