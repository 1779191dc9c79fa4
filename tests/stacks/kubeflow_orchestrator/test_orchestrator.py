"""What the orchestrator makes of Kubeflow's answers, and what it does not take for Kubeflow's."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
import requests
from zenml import pipeline, step
from zenml.enums import StackComponentType
from zenml.models import ScheduleRequest, ScheduleUpdate

from benchmarks.main.home import free_port
from materializers.carried_run import LostRun
from materializers.errors import ServiceUnreachable, UsageError
from materializers.schedule import Planned, Schedule, Terms
from stacks.kubeflow_orchestrator.flavor import ShutterlineKubeflowOrchestratorConfig
from stacks.kubeflow_orchestrator.orchestrator import ShutterlineKubeflowOrchestrator
from stacks.kubeflow_orchestrator.recurring import describe
from tests.stacks.answers import Answer, answering

if TYPE_CHECKING:
    from zenml.client import Client
    from zenml.models import PipelineRunResponse

API = "/apis/v2beta1"
HEALTHY = {f"{API}/healthz": Answer(body={"multi_user": False})}


@step(enable_cache=False)
def nothing() -> None:
    """Do nothing."""


@pipeline
def tiny() -> None:
    """One step."""
    nothing()


@pytest.fixture(scope="module")
def run(zenml_client: Client) -> PipelineRunResponse:
    """A run of ZenML's; :func:`orchestrator` passes for the one that carries it."""
    name = f"tiny-{uuid4().hex[:8]}"
    with pytest.MonkeyPatch.context() as environment:
        stack = zenml_client.get_stack("default", allow_name_prefix_match=False)
        environment.setenv("ZENML_ACTIVE_STACK_ID", str(stack.id))
        tiny.with_options(run_name=name)()
    return zenml_client.get_pipeline_run(name)


def orchestrator(url: str, carried: PipelineRunResponse | None = None) -> ShutterlineKubeflowOrchestrator:
    """One that finds Kubeflow at this address, with the id of the orchestrator of a run."""
    config = ShutterlineKubeflowOrchestratorConfig(
        kubeflow_hostname=url, image="registry.example/training:1", api_key_secret="zenml"
    )
    own = uuid4()
    if carried is not None:
        assert carried.stack is not None
        own = carried.stack.components[StackComponentType.ORCHESTRATOR][0].id
    now = datetime.now(UTC)
    return ShutterlineKubeflowOrchestrator(
        "kubeflow", own, config, "shutterline-kubeflow", StackComponentType.ORCHESTRATOR, None, now, now
    )


def kubeflow_id(run: PipelineRunResponse) -> str:
    """The run of Kubeflow that carries it."""
    assert run.orchestrator_run_id is not None
    return run.orchestrator_run_id


def absent(run_id: str, *, code: int = 5) -> Answer:
    """As Kubeflow answers for a run that it does not have."""
    said = f"Failed to get a run: ResourceNotFoundError: Run {run_id} not found."
    return Answer(404, {"error": said, "code": code, "message": said, "details": []})


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        ("PENDING", False),
        ("RUNNING", False),
        ("CANCELING", False),
        ("SUCCEEDED", True),
        ("FAILED", True),
        ("CANCELED", True),
    ],
)
def test_a_run_has_ended_when_kubeflow_says_so(run: PipelineRunResponse, state: str, ended: bool) -> None:
    """By its own word for the state."""
    found = Answer(body={"run_id": kubeflow_id(run), "state": state})
    with answering({**HEALTHY, f"{API}/runs/{kubeflow_id(run)}": found}) as server:
        assert orchestrator(server.url, run).ended(run) is ended


def test_a_run_that_kubeflow_lost_has_ended(run: PipelineRunResponse) -> None:
    """Kubeflow itself says that it has none, and names it."""
    with answering({**HEALTHY, f"{API}/runs/{kubeflow_id(run)}": absent(kubeflow_id(run))}) as server:
        assert orchestrator(server.url, run).ended(run)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, "<html>404 Not Found</html>"),
        Answer(404, ""),
        Answer(404, "[]"),
        Answer(404, {"kind": "Status", "message": 'services "ml-pipeline" not found', "code": 404}),
        Answer(404, {"code": 5, "message": "Not Found", "details": []}),
        absent("another-run"),
        Answer(503, "no healthy upstream"),
        Answer(401, "Unauthorized"),
    ],
)
def test_what_stands_before_kubeflow_ends_no_run(run: PipelineRunResponse, answer: Answer) -> None:
    """The 404 of an ingress, of Kubernetes' proxy or of another gateway says nothing of a run."""
    with (
        answering({**HEALTHY, f"{API}/runs/{kubeflow_id(run)}": answer}) as server,
        pytest.raises(ServiceUnreachable, match=rf"did not say how run .*\({answer.status} .*--check"),
    ):
        orchestrator(server.url, run).ended(run)


def test_a_server_that_is_not_kubeflow_is_said_not_to_answer(run: PipelineRunResponse) -> None:
    """Every path is a 404 there, also what a client asks when it is made."""
    with (
        answering({}) as server,
        pytest.raises(ServiceUnreachable, match=rf"Kubeflow at {server.url} did not say how run .*404"),
    ):
        orchestrator(server.url, run).ended(run)


def test_why_kubeflow_cannot_be_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one line, without secrets of the environment that the library repeats."""
    monkeypatch.setenv("PROXY_TOKEN", "127.0.0.1")
    with pytest.raises(ServiceUnreachable) as raised:
        orchestrator(f"http://127.0.0.1:{free_port()}").schedules()
    message = str(raised.value)
    assert "Connection refused" in message
    assert "host='***'" in message
    assert "\n" not in message


def test_a_full_disk_is_not_kubeflows_fault(
    run: PipelineRunResponse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as it is, and Kubeflow gets nothing."""

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert run.snapshot is not None
    stack: Any = None
    with answering(HEALTHY) as server:
        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            orchestrator(server.url).submit_pipeline(run.snapshot, stack, {}, {"nothing": {}})
    assert server.asked == []


def recurring(name: str, zenml_id: UUID, planned: Planned | None = None, **about: Any) -> dict[str, Any]:
    """One of our schedules, as Kubeflow has it."""
    description = describe("training", "0 2 * * 1", zenml_id, planned, about.pop("environment", None))
    given = {"recurring_run_id": name, "display_name": name, "description": description, "status": "ENABLED"}
    return {**given, **about}


def listed(entries: list[dict[str, Any]], carried: PipelineRunResponse | None = None) -> list[Schedule]:
    """The schedules of an orchestrator whose Kubeflow has these recurring runs."""
    with answering({**HEALTHY, f"{API}/recurringruns": Answer(body={"recurringRuns": entries})}) as server:
        return orchestrator(server.url, carried).schedules()


def test_who_made_a_schedule_is_read_back() -> None:
    """The timetable of a model, with the digest of what it said; or a person, whose schedule has no mark."""
    mark = Planned(model="shop", content="0a" * 32)
    entries = [recurring("weekly-shop", uuid4(), mark), recurring("training-shop", uuid4())]
    weekly, training = listed(entries)
    assert (weekly.name, weekly.pipeline, weekly.planned) == ("weekly-shop", "training", mark)
    assert (weekly.cron, weekly.time_zone) == ("0 2 * * 1", "UTC")
    assert (training.name, training.planned) == ("training-shop", None)


def test_the_environment_of_a_schedule_is_read_back() -> None:
    """Of a check of production, by whomever it was scheduled; None where its runs have none."""
    mark = Planned(model="shop", content="0a" * 32)
    entries = [
        recurring("daily-shop", uuid4(), mark, environment="production"),
        recurring("by-hand", uuid4(), environment="staging"),
        recurring("training", uuid4(), mark),
    ]
    assert [each.environment for each in listed(entries)] == ["production", "staging", None]


def test_a_schedule_counts_from_when_it_was_made_or_resumed(
    zenml_client: Client, run: PipelineRunResponse
) -> None:
    """Not from its last fire, which changes Kubeflow's ``updated_at``, too: no run would ever be missing."""
    made, fired = "2026-06-01T02:00:00Z", "2026-06-08T02:00:00Z"
    assert run.stack is not None
    request = ScheduleRequest(
        project=zenml_client.active_project.id,
        name=f"nightly-{uuid4().hex[:8]}",
        active=True,
        cron_expression="0 2 * * 1",
        orchestrator_id=run.stack.components[StackComponentType.ORCHESTRATOR][0].id,
        pipeline_id=None,
    )
    known = zenml_client.zen_store.create_schedule(request)
    times: dict[str, Any] = {"created_at": made, "updated_at": fired}
    fires, resumed = listed([recurring("a", uuid4(), **times), recurring("b", known.id, **times)], run)
    assert fires.since == datetime(2026, 6, 1, 2, tzinfo=UTC)
    assert resumed.since == known.updated.replace(tzinfo=UTC)
    later = zenml_client.zen_store.update_schedule(known.id, ScheduleUpdate(active=True))
    assert later.updated > known.updated
    (again,) = listed([recurring("b", known.id, **times)], run)
    assert again.since == later.updated.replace(tzinfo=UTC)
    zenml_client.zen_store.delete_schedule(known.id, soft=False)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"time_zone": "Europe/Berlin"}, "time_zone UTC and no other .given: Europe/Berlin."),
        ({"overlap": "skip"}, "overlap queue and no other .given: skip."),
        ({"missed": "skip"}, "missed once and no other .given: skip."),
    ],
)
def test_what_kubeflow_would_fire_otherwise_is_refused(asked: dict[str, str], said: str) -> None:
    """Before anything is sent; what it does by itself is taken."""
    with answering({}) as server:
        ours = orchestrator(server.url)
        ours.check_terms(Terms())
        with pytest.raises(UsageError, match=said):
            ours.check_terms(Terms.model_validate(asked))
    assert server.asked == []


def test_a_zenml_server_that_is_down_is_not_kubeflows_fault(
    zenml_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own error is told; by then Kubeflow has paused the schedule."""

    def down(*_: Any) -> None:
        raise requests.ConnectionError("the ZenML server is down")

    monkeypatch.setattr(type(zenml_client.zen_store), "update_schedule", down)
    routes = {
        **HEALTHY,
        f"{API}/recurringruns": Answer(body={"recurringRuns": [recurring("nightly", uuid4())]}),
        f"{API}/recurringruns/nightly:disable": Answer(body={}),
    }
    with (
        answering(routes) as server,
        pytest.raises(requests.ConnectionError, match="the ZenML server is down"),
    ):
        orchestrator(server.url).pause("nightly")
    assert server.asked[-1].path == f"{API}/recurringruns/nightly:disable"


def test_runs_of_schedules_that_failed_unseen_are_found(run: PipelineRunResponse) -> None:
    """Those that failed since then, of our schedules, and of which ZenML has no run."""
    now = datetime.now(UTC)

    def fired(run_id: str, *, state: str = "FAILED", by: str | None = "nightly", days: int = 0) -> Any:
        created = (now - timedelta(days=days)).isoformat()
        fire = {} if by is None else {"recurring_run_id": by}
        return {
            "run_id": run_id,
            "display_name": f"{by}-{run_id}",
            "state": state,
            "created_at": created,
            **fire,
        }

    runs = [
        fired("lost"),
        fired(kubeflow_id(run)),
        fired("started by hand", by=None),
        fired("of somebody else", by="another"),
        fired("good", state="SUCCEEDED"),
        fired("long ago", days=8),
    ]
    others = {"recurring_run_id": "another", "display_name": "another", "description": "not ours"}
    schedules = [recurring("nightly", uuid4()), others]
    routes = {
        **HEALTHY,
        f"{API}/recurringruns": Answer(body={"recurringRuns": schedules}),
        f"{API}/runs": Answer(body={"runs": runs}),
    }
    with answering(routes) as server:
        found = orchestrator(server.url).unseen_failures(now - timedelta(days=7))
    assert found == [LostRun(id="lost", name="nightly-lost", pipeline="training")]
