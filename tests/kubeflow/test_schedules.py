"""Schedules become recurring runs of Kubeflow, and the flags of ``run.py`` act there."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kubeflow.story import Teller, recorded
from tests.remote.site import Site
from tests.shrunk.delivery import cut_delivery
from tests.stacks.apprise_alerter.webhook import Webhook

NAME = "training-scheduled"
FIRED_WITHIN_S = 300


@pytest.fixture(scope="module")
def scheduled(on_kubeflow: Callable[[str], Teller], tmp_path_factory: pytest.TempPathFactory) -> Teller:
    """A training every Monday at 02:00."""
    teller = on_kubeflow("scheduled")
    delivery = cut_delivery(tmp_path_factory.mktemp("delivery") / "delivery.zip")
    teller.done("--train", "--source", str(delivery), "--schedule", "0 2 * * 1")
    return teller


def in_kubeflow(site: Site, name: str = NAME) -> list[dict[str, Any]]:
    """The recurring runs, as Kubeflow's own API has them."""
    with urllib.request.urlopen(f"{site.kubeflow.url}/apis/v2beta1/recurringruns?page_size=100") as answer:
        found: list[dict[str, Any]] = json.load(answer).get("recurringRuns", [])
    return [one for one in found if one["display_name"] == name]


def fire(site: Site) -> dict[str, Any]:
    """Let the schedule begin a run now; that run, as Kubeflow has it."""
    (found,) = in_kubeflow(site)
    url = f"{site.kubeflow.url}/test/recurringruns/{found['recurring_run_id']}/fire"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST", data=b"")) as answer:
        run: dict[str, Any] = json.load(answer)
    return run


def state(site: Site, run_id: str) -> str:
    """Kubeflow's word for how a run stands."""
    with urllib.request.urlopen(f"{site.kubeflow.url}/apis/v2beta1/runs/{run_id}") as answer:
        return str(json.load(answer)["state"])


def wait_until(condition: Callable[[], bool]) -> None:
    """Ask again and again, for as long as a fire may take."""
    ends = time.monotonic() + FIRED_WITHIN_S
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(1)


def test_a_schedule_is_a_recurring_run(remote_site: Site, scheduled: Teller) -> None:
    """With seconds, which Kubeflow's cron begins with, without catching up, and one run at a time."""
    (found,) = in_kubeflow(remote_site)
    assert found["trigger"]["cron_schedule"]["cron"] == "0 0 2 * * mon"
    assert (found["no_catchup"], int(found["max_concurrency"])) == (True, 1)
    (listed,) = scheduled.done("--schedules").last["details"]["schedules"]
    assert (listed["name"], listed["cron"], listed["paused"]) == (NAME, "0 2 * * 1", False)


def test_a_schedule_is_paused_and_resumed(remote_site: Site, scheduled: Teller) -> None:
    """Kubeflow has it disabled, and enabled again."""
    scheduled.done("--pause", NAME)
    assert in_kubeflow(remote_site)[0]["status"] == "DISABLED"
    scheduled.done("--pause", NAME)
    assert in_kubeflow(remote_site)[0]["status"] == "ENABLED"


def test_each_fire_is_a_run_of_its_own(remote_site: Site, scheduled: Teller) -> None:
    """Two fires are two runs of ZenML, with nobody waiting for them."""

    def completed() -> list[str]:
        return [run["name"] for run in recorded(scheduled)["runs"] if run["status"] == "completed"]

    fire(remote_site)
    wait_until(lambda: len(completed()) == 1)
    fire(remote_site)
    wait_until(lambda: len(completed()) == 2)
    runs = recorded(scheduled)["runs"]
    assert [run["pipeline"] for run in runs] == ["training", "training"]
    assert len({run["name"] for run in runs}) == 2


def test_a_lost_run_is_told_once_by_the_next_command(
    remote_site: Site, webhook: Webhook, scheduled: Teller
) -> None:
    """No container of it started Python and nobody waited for it, so that ZenML knows nothing of it."""
    known = recorded(scheduled)["runs"]
    webhook.messages.clear()
    remote_site.set_kubernetes_secret("shutterline-zenml", {"another_key": "x"})
    try:
        lost = fire(remote_site)
        wait_until(lambda: state(remote_site, lost["run_id"]) == "FAILED")
    finally:
        remote_site.set_kubernetes_secret(
            "shutterline-zenml", {"api_key": remote_site.credentials.zenml_api_key}
        )
    assert webhook.messages == []
    for _ in range(2):
        scheduled.done("--status")
    (message,) = webhook.messages
    assert message.startswith("run_failed (warning): ")
    assert f"\nRun {lost['display_name']} failed, of its schedule\n" in message
    assert recorded(scheduled)["runs"] == known


def test_scheduling_again_replaces(remote_site: Site, scheduled: Teller, tmp_path: Any) -> None:
    """One schedule a pipeline and model: the new one, and then none."""
    delivery = cut_delivery(tmp_path / "delivery.zip", per_class=20)
    scheduled.done("--train", "--source", str(delivery), "--schedule", "30 4 * * *")
    (found,) = in_kubeflow(remote_site)
    assert found["trigger"]["cron_schedule"]["cron"] == "0 30 4 * * *"
    scheduled.done("--unschedule", NAME)
    assert in_kubeflow(remote_site) == []
    told = scheduled.run("--unschedule", NAME)
    assert told.exit_code == 2
    assert "there is" in told.said


def test_a_scheduler_has_nothing_to_do_here(scheduled: Teller) -> None:
    """Kubeflow fires by itself; the command says so and ends."""
    assert "itself" in scheduled.done("--scheduler").said


def test_the_timetable_becomes_recurring_runs(remote_site: Site, scheduled: Teller, tmp_path: Path) -> None:
    """Applied once; what a person paused stays so; that they would run otherwise is a difference."""
    name = "weekly-training-scheduled"
    delivery = cut_delivery(tmp_path / "delivery.zip", per_class=2)
    own = ("--set", f"schedules.source={delivery}", "--schedules", "--apply")
    told = scheduled.done(*own)
    assert len(told.last["details"]["differences"]) == 3
    (weekly,) = in_kubeflow(remote_site, name)
    assert weekly["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * sun"
    (daily,) = in_kubeflow(remote_site, "daily-check-scheduled")
    assert daily["description"].endswith("; of production")
    assert scheduled.done(*own).last["details"]["differences"] == []
    scheduled.done("--pause", name)
    changed = scheduled.done("--set", "train.seed=7", *own).last["details"]["differences"]
    assert [(each["act"], each["why"]) for each in changed] == [("change", ["what it runs"])] * 3
    (weekly,) = in_kubeflow(remote_site, name)
    assert weekly["status"] == "DISABLED"
    zone = scheduled.run("--set", "schedules.time_zone=Europe/Berlin", *own)
    assert zone.exit_code == 2
    assert "Kubeflow fires a schedule with time_zone UTC and no other" in zone.said
    rows = ("daily-ingestion", "daily-check", "weekly-training")
    off = [part for row in rows for part in ("--set", f"schedules.rows.{row}.enabled=false")]
    assert len(scheduled.done(*off, *own).last["details"]["differences"]) == 3
    assert [in_kubeflow(remote_site, f"{row}-scheduled") for row in rows] == [[], [], []]


def test_predictions_of_a_schedule_do_not_go_to_the_callers_disk(scheduled: Teller, tmp_path: Any) -> None:
    """Nobody would be there to write them."""
    told = scheduled.run(
        "--infer",
        "--input",
        "data/photos",
        "--output",
        str(tmp_path / "p.parquet"),
        "--schedule",
        "0 2 * * *",
    )
    assert told.exit_code == 2
