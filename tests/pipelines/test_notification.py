"""Runs that failed without a word are told by the next command, each once."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from zenml import pipeline, step
from zenml.enums import StackComponentType as Kind
from zenml.orchestrators.step_launcher import StepLauncher
from zenml.orchestrators.step_runner import StepRunner

from materializers.alert import Alert
from materializers.errors import ServiceUnreachable
from pipelines.config import load_config
from pipelines.notification import look_around, notify_failed_runs
from pipelines.session import close_run
from stacks.kubeflow_orchestrator.recurring import describe
from steps.monitoring.alerts.alert import raise_alert, tell_untold
from steps.monitoring.alerts.failure import notify_failure
from steps.monitoring.alerts.missing import missing_delivery
from tests.stacks.answers import Answer, answering
from tests.stacks.apprise_alerter.webhook import Webhook, stack_with_alerter, webhook_server

if TYPE_CHECKING:
    from zenml.client import Client

KUBEFLOW = "stacks.kubeflow_orchestrator.flavor.ShutterlineKubeflowOrchestratorFlavor"


@step(enable_cache=False)
def fails() -> None:
    """Fail."""
    raise ValueError("no such bucket")


@step(enable_cache=False)
def succeeds() -> None:
    """Do nothing."""


@step(enable_cache=False)
def interrupted() -> None:
    """As Ctrl+C does."""
    raise KeyboardInterrupt


@pipeline
def failing() -> None:
    """One step that fails."""
    fails()


broken: set[str] = set()
"""The models whose runs of ``sometimes`` fail."""


@step(enable_cache=False)
def breaks(model: str) -> None:
    """Fail while it is broken."""
    if model in broken:
        raise OSError("no such bucket")


@pipeline
def sometimes(model: str) -> None:
    """One step that fails until it is mended."""
    breaks(model)


@pipeline
def succeeding() -> None:
    """One step that does nothing."""
    succeeds()


@pipeline
def half_done() -> None:
    """Two steps, the second of which the test keeps from starting."""
    succeeds()
    succeeds(id="never_starts", after="succeeds")


@pipeline
def stopped() -> None:
    """One step that is interrupted."""
    interrupted()


@pytest.fixture
def hook(zenml_client: Client) -> Iterator[Webhook]:
    """A webhook that the active stack's alerter posts to."""
    with webhook_server() as server, stack_with_alerter(zenml_client, server.url):
        yield server


@pytest.fixture
def model() -> str:
    """A model that no other test has."""
    return f"model-{uuid4().hex[:8]}"


def run_to_its_end(what: object, of: str, *, on_failure: object = None, **arguments: str) -> str:
    """The name of the run on a model, whatever became of it."""
    name = f"{of}-{uuid4().hex[:6]}"
    hooks = {} if on_failure is None else {"on_failure": on_failure}
    with suppress(Exception, KeyboardInterrupt):
        what.with_options(run_name=name, tags=[f"model:{of}"], **hooks)(**arguments)  # type: ignore[attr-defined]
    return name


def test_a_failed_run_is_told_once(zenml_client: Client, hook: Webhook, model: str) -> None:
    """With its step and reason; finding it again, or a run of another model, tells nothing."""
    name = run_to_its_end(failing, model)
    run_to_its_end(succeeding, model)
    assert notify_failed_runs("another-model") == []
    assert notify_failed_runs(model) == [name]
    assert notify_failed_runs(model) == []
    (message,) = hook.messages
    assert message.splitlines()[:3] == [
        f"run_failed (warning): {model}, pipeline failing, step fails, ValueError",
        f"Run {name} failed",
        "ValueError: no such bucket",
    ]


def test_what_the_hook_told_is_not_told_again(zenml_client: Client, hook: Webhook, model: str) -> None:
    """One message a run, whoever sends it."""
    run_to_its_end(failing, model, on_failure=notify_failure)
    assert notify_failed_runs(model) == []
    assert len(hook.messages) == 1


def test_what_the_hook_could_not_deliver_is_told_by_the_next_command(
    zenml_client: Client, hook: Webhook, model: str
) -> None:
    """A chat that was down for a while loses no failure."""
    config = load_config(None, (f"product.model={model}",))
    hook.status = 500
    name = run_to_its_end(failing, model, on_failure=notify_failure)
    look_around(config, registry=False)
    hook.status = 200
    for _ in range(2):
        look_around(config, registry=False)
    (message,) = hook.messages
    assert f"Run {name} failed" in message


def test_a_look_tells_that_runs_end_well_again(zenml_client: Client, hook: Webhook, model: str) -> None:
    """Once, whoever started the run; until then one message stands for all that fail alike."""
    config = load_config(None, (f"product.model={model}",))
    broken.add(model)
    names = [run_to_its_end(sometimes, model, model=model) for _ in range(3)]
    run_to_its_end(succeeding, model)
    for _ in range(2):
        look_around(config, registry=False)
    assert len(hook.messages) == 1
    assert f"Run {names[0]} failed" in hook.messages[0]
    broken.remove(model)
    good = run_to_its_end(sometimes, model, model=model)
    for _ in range(2):
        look_around(config, registry=False)
    (_, over) = hook.messages
    assert over.startswith(f"run_failed is over: {model}, pipeline sometimes, step breaks, OSError\n")
    assert f"\nRun {good} ended well.\n" in over


def test_finders_at_once_send_one_message(zenml_client: Client, hook: Webhook, model: str) -> None:
    """All see the run untold, one of them posts."""
    hook.delay_s = 0.5
    name = run_to_its_end(failing, model)
    barrier = threading.Barrier(3)

    def find() -> list[str]:
        barrier.wait(timeout=30)
        return notify_failed_runs(model)

    with ThreadPoolExecutor(3) as pool:
        told = [future.result() for future in [pool.submit(find) for _ in range(3)]]
    assert sorted(told) == [[], [], [name]]
    assert len(hook.messages) == 1


def test_a_container_that_died_before_python_is_said_so(
    zenml_client: Client, hook: Webhook, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run failed, and no step of it that ever reported anything did."""

    def never_starts(launcher: StepLauncher) -> None:
        if launcher._invocation_id == "never_starts":
            raise RuntimeError("the image cannot be pulled")
        launch(launcher)

    launch = StepLauncher.launch
    monkeypatch.setattr(StepLauncher, "launch", never_starts)
    name = run_to_its_end(half_done, model)
    close_run(zenml_client.get_pipeline_run(name))
    assert set(zenml_client.get_pipeline_run(name).steps) == {"succeeds"}
    assert notify_failed_runs(model) == [name]
    assert f"pipeline half_done\nRun {name} failed\nthe container ended before Python" in hook.messages[0]


def test_a_step_that_left_no_exception_is_named(
    zenml_client: Client, hook: Webhook, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, say: the step is known, and that it gave no reason."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the step could not be prepared")

    monkeypatch.setattr(StepRunner, "run", broken)
    name = run_to_its_end(succeeding, model)
    assert notify_failed_runs(model) == [name]
    assert f"step succeeds\nRun {name} failed\nit ended without saying why" in hook.messages[0]


def test_an_interrupted_run_is_told_to_nobody(zenml_client: Client, hook: Webhook, model: str) -> None:
    """Also where its steps have no hook; it is looked at once."""
    run_to_its_end(stopped, model)
    assert notify_failed_runs(model) == []
    assert hook.messages == []
    assert zenml_client.list_pipeline_runs(tags=[f"model:{model}", "startswith:notified-"]).total == 1


def test_nothing_to_tell_costs_one_list_call(
    zenml_client: Client, hook: Webhook, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command begins with it: no run is read in full, no stack is read, no claim is tried."""
    run_to_its_end(failing, model, on_failure=notify_failure)
    calls: list[str] = []

    def noted(name: str) -> Callable[..., None]:
        return lambda *_, **__: calls.append(name)

    listed = zenml_client.list_pipeline_runs

    def list_runs(**filters: Any) -> Any:
        calls.append("list")
        return listed(**filters)

    monkeypatch.setattr(zenml_client, "list_pipeline_runs", list_runs)
    for name in ("get_pipeline_run", "create_tag", "get_tag"):
        monkeypatch.setattr(zenml_client, name, noted(name))
    assert notify_failed_runs(model) == []
    assert calls == ["list"]


@pytest.mark.usefixtures("own_stack")
def test_a_stack_without_alerter_tells_nobody(zenml_client: Client, model: str) -> None:
    """Nothing is claimed: the day an alerter is added, it is told."""
    name = run_to_its_end(failing, model)
    assert notify_failed_runs(model) == []
    run = zenml_client.get_pipeline_run(name)
    assert not zenml_client.list_tags(name=f"notified-{run.id}")


@pytest.fixture
def kubeflow(zenml_client: Client, hook: Webhook, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The active stack is one on a Kubeflow in which a run of a schedule failed; the name of that run.

    The answers are Kubeflow's; tests/kubeflow has the same with containers that do not start.
    """
    name = f"training-scheduled-{uuid4().hex[:8]}"
    description = describe("training", "0 2 * * 1", uuid4())
    recurring = {"recurring_run_id": "nightly", "display_name": "nightly", "description": description}
    run = {
        "run_id": str(uuid4()),
        "recurring_run_id": "nightly",
        "display_name": name,
        "state": "FAILED",
        "created_at": datetime.now(UTC).isoformat(),
    }
    routes = {
        "/apis/v2beta1/healthz": Answer(body={"multi_user": False}),
        "/apis/v2beta1/recurringruns": Answer(body={"recurringRuns": [recurring]}),
        "/apis/v2beta1/runs": Answer(body={"runs": [run]}),
    }
    zenml_client.create_flavor(KUBEFLOW, Kind.ORCHESTRATOR)
    with answering(routes) as server:
        settings = {"kubeflow_hostname": server.url, "image": "any:1", "api_key_secret": "zenml"}
        zenml_client.create_stack_component(name, "shutterline-kubeflow", Kind.ORCHESTRATOR, settings)
        alerter = zenml_client.active_stack_model.components[Kind.ALERTER][0].name
        parts = {Kind.ORCHESTRATOR: name, Kind.ARTIFACT_STORE: "default", Kind.ALERTER: alerter}
        stack = zenml_client.create_stack(name, parts)
        with monkeypatch.context() as environment:
            environment.setenv("ZENML_ACTIVE_STACK_ID", str(stack.id))
            yield name
    with warnings.catch_warnings():  # ZenML deletes the rows of the composition twice
        warnings.simplefilter("ignore")
        zenml_client.delete_stack(stack.id)
    zenml_client.delete_stack_component(name, Kind.ORCHESTRATOR)
    zenml_client.delete_flavor("shutterline-kubeflow")


def test_a_lost_run_of_a_schedule_is_told_once(kubeflow: str, hook: Webhook, model: str) -> None:
    """Among the alerts of the model that the command is for: nobody knows whose run it was."""
    assert notify_failed_runs(model) == [kubeflow]
    assert notify_failed_runs("another-model") == []
    (message,) = hook.messages
    assert message.startswith(f"run_failed (warning): {model}, pipeline training, ")
    assert f"\nRun {kubeflow} failed, of its schedule\n" in message


def test_a_lost_run_is_told_once_the_chat_is_back(kubeflow: str, hook: Webhook, model: str) -> None:
    """While it is down, the message waits."""
    hook.status = 500
    assert notify_failed_runs(model) == [kubeflow]
    hook.status = 200
    tell_untold(model)
    assert len(hook.messages) == 1


def test_quiet_hours_leave_failed_runs_to_the_first_look_after_them(zenml_client: Client, model: str) -> None:
    """The hook posts nothing, nor does whoever finds them; whatever time it is when this is tried."""
    config = load_config(None, (f"product.model={model}",))
    now = datetime.now(UTC)
    hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    with webhook_server() as server, stack_with_alerter(zenml_client, server.url, quiet_hours=hours):
        run_to_its_end(failing, model, on_failure=notify_failure)
        look_around(config, registry=False, now=now + timedelta(hours=1))
        assert server.messages == []
        look_around(config, registry=False, now=now + timedelta(hours=3))
        assert len(server.messages) == 1


def test_a_look_around_is_kept_from_nothing_by_what_does_not_answer(
    hook: Webhook, model: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be read is said in a line; what waits is told, and the other looks are made."""

    def unreachable() -> None:
        raise ServiceUnreachable("Kubeflow does not answer")

    hook.status = 500
    waiting = Alert(name="rolled_back", severity="warning", model_name=model, reasons=("as configured",))
    raise_alert(waiting)
    raise_alert(missing_delivery(model, "shop", "none came"))
    hook.status = 200
    monkeypatch.setattr("steps.monitoring.alerts.missing.find_orchestrator", unreachable)
    config = load_config(None, (f"product.model={model}",))  # which expects no deliveries any more
    with caplog.at_level(logging.WARNING, logger="shutterline"):
        look_around(config)
    assert [message.splitlines()[0].partition(" (")[0] for message in hook.messages] == [
        "rolled_back",
        "delivery_missing",
        f"delivery_missing is over: {model}, deliveries of shop",
    ]
    assert "Whether runs are missing is not known: Kubeflow does not answer" in caplog.messages


def test_a_command_looks_around(
    zenml_client: Client, hook: Webhook, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was asked, people are told first what they were not told yet."""
    from actions.command import _put_in_order

    hook.status = 500
    raise_alert(Alert(name="rolled_back", severity="warning", model_name=model, reasons=("so",)))
    hook.status = 200
    config = load_config(None, (f"product.model={model}",))
    said: list[str] = []
    done = _put_in_order(
        config, always_allowed=True, without_deployer=True, rejected=None, registry=False, say=said.append
    )
    assert len(hook.messages) == 1
    assert done == []
    assert [line for line in said if "model deployer" not in line] == []
