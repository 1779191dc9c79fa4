"""What is down, refuses or dies: one clear line, exit code 4, nothing half done; the service answers on."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.kubeflow.story import Teller, Told, recorded, register
from tests.remote.site import BUCKET, USER, Site
from tests.shrunk.delivery import PROJECT, cut_delivery
from tests.stacks.apprise_alerter.webhook import Webhook

ENDS_WITHIN_S = 300
PHOTO = PROJECT / "data" / "photos" / "dress.png"


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> str:
    """60 pictures of each class."""
    return str(cut_delivery(tmp_path_factory.mktemp("delivery") / "delivery.zip"))


@pytest.fixture(scope="module")
def shop(on_kubeflow: Callable[[str], Teller], delivery: str) -> Teller:
    """A model with version 1 live in staging, and version 2 registered."""
    teller = on_kubeflow("faults")
    teller.done("--train", "--source", delivery)
    # Before anything is live: what a delivery is compared with is another input of its checks.
    teller.done("--train", "--source", delivery, "--set", "train.seed=1")
    teller.done("--deploy", "--version", "1")
    return teller


def answer(site: Site, model: str) -> dict[str, Any]:
    """What the service in staging says to a photograph."""
    url = f"{site.environment()['SHUTTERLINE_INGRESS_URL']}/seldon/shutterline/staging-{model}"
    headers = {
        "content-type": "application/octet-stream",
        "authorization": f"Bearer {site.credentials.service_token}",
    }
    response = httpx.post(
        f"{url}/api/v1.0/predictions",
        content=PHOTO.read_bytes(),
        headers=headers,
        trust_env=False,
        timeout=30,
    )
    told: dict[str, Any] = response.raise_for_status().json()["jsonData"]
    return told


@contextmanager
def nothing_changes(site: Site, shop: Teller) -> Iterator[None]:
    """The same version answers, and the registry holds the same versions and aliases, after as before."""

    def look() -> tuple[Any, Any]:
        status = shop.done("--status").last
        models = [(entry["version"], entry["aliases"]) for entry in status["models"]]
        return answer(site, shop.model)["model_version"], (models, status["deployments"])

    before = look()
    yield
    assert look() == before


def revoked_key(shop: Teller) -> str:
    """A key of the same account that the server does not take: another secret in the same form."""
    head, _, encoded = shop.environment["ZENML_STORE_API_KEY"].partition("_")
    key = json.loads(base64.b64decode(encoded))
    return f"{head}_{base64.b64encode(json.dumps(key | {'key': '0' * 64}).encode()).decode()}"


def assert_one_line(told: Told, *words: str) -> None:
    """Exit code 4, and one reason that names what is wrong and what to do."""
    assert told.exit_code == 4, (told.results, told.stderr)
    (reason,) = told.last["reasons"]
    assert "\n" not in reason
    for word in words:
        assert word in reason, reason


def assert_none_is_open(shop: Teller) -> None:
    """ZenML has no run that nobody carries. Asked before any other command, which would close one."""
    assert {run["status"] for run in recorded(shop)["runs"]} <= {"completed", "failed"}


def test_pure_steps_are_cached_and_the_others_never(shop: Teller) -> None:
    """The second training had the same pictures and another seed; it remembered the splits of the first."""
    second = [run for run in recorded(shop)["runs"] if run["pipeline"] == "training"][1]
    cached = {name for name, step in second["steps"].items() if step["status"] == "cached"}
    assert cached == {"validate"}


def test_wrong_use_ends_a_run_at_its_first_attempt(
    webhook: Webhook, on_kubeflow: Callable[[str], Teller], tmp_path: Path
) -> None:
    """A delivery without labels.csv is not tried again, although faults would be three times."""
    teller = on_kubeflow("wrong-use")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no labels")
    webhook.messages.clear()
    told = teller.run("--train", "--source", str(tmp_path / "empty"), "--set", "running.retries.count=3")
    assert told.exit_code == 2, told.results
    assert "labels.csv" in told.said
    (run,) = recorded(teller)["runs"]
    assert (run["status"], run["steps"]["ingest"]["attempts"]) == ("failed", 1)
    assert len(webhook.messages) == 1


def test_a_wrong_s3_secret_stops_a_run(remote_site: Site, shop: Teller, delivery: str) -> None:
    """The delivery cannot be brought, and that is said."""
    right = {"key": remote_site.credentials.s3_key, "secret": remote_site.credentials.s3_secret}
    with nothing_changes(remote_site, shop):
        remote_site.set_zenml_secret("shutterline_s3", {**right, "secret": "wrong"})
        try:
            told = shop.run("--train", "--source", delivery, "--set", "train.seed=2")
        finally:
            remote_site.set_zenml_secret("shutterline_s3", right)
    assert_one_line(told, "s3://shutterline/artifacts", "--check")


def test_a_wrong_s3_secret_stops_a_step(remote_site: Site, shop: Teller, delivery: str) -> None:
    """The delivery is in the bucket already, so that a step is the first to be refused, at each attempt."""
    key, secret = remote_site.credentials.s3_key, remote_site.credentials.s3_secret
    right = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret}
    remote_site.s3_client().upload_file(delivery, BUCKET, "uploaded/delivery.zip")
    source = f"s3://{BUCKET}/uploaded/delivery.zip"
    with nothing_changes(remote_site, shop):
        remote_site.set_kubernetes_secret("shutterline-s3", {**right, "AWS_SECRET_ACCESS_KEY": "wrong"})
        try:
            told = shop.run("--train", "--source", source, "--set", "running.retries.count=1")
        finally:
            remote_site.set_kubernetes_secret("shutterline-s3", right)
        assert_none_is_open(shop)
    assert_one_line(told, "ingest", source, "AWS_SECRET_ACCESS_KEY")
    assert secret not in told.said
    run = recorded(shop)["runs"][-1]
    assert (run["name"], run["status"]) == (told.last["run"], "failed")
    assert {name: step["attempts"] for name, step in run["steps"].items()} == {"ingest": 2}


def test_a_registry_that_is_down_stops_a_release(remote_site: Site, shop: Teller) -> None:
    """Without the registry nobody knows what may be served, so nothing is released."""
    with nothing_changes(remote_site, shop):
        remote_site.mlflow.stop()
        try:
            told = shop.run("--deploy", "--version", "2")
            assert answer(remote_site, shop.model)["model_version"] == "1"
        finally:
            remote_site.mlflow.start()
            remote_site.mlflow.wait()
    assert_one_line(told, "registry")


def test_a_revoked_key_of_zenml_stops_everything(remote_site: Site, shop: Teller, delivery: str) -> None:
    """The server is named, and how to connect again."""
    folder = {"ZENML_CONFIG_PATH": f"{shop.environment['ZENML_CONFIG_PATH']}-revoked"}
    with nothing_changes(remote_site, shop):
        told = shop.run(
            "--train", "--source", delivery, environment={"ZENML_STORE_API_KEY": revoked_key(shop), **folder}
        )
    assert_one_line(told, remote_site.zenml.url)


def test_kubeflow_that_refuses_gets_no_run(remote_site: Site, shop: Teller, delivery: str) -> None:
    """The address is named; ZenML has no run that nobody carries."""
    with nothing_changes(remote_site, shop):
        remote_site.kubeflow_token_file.write_text("a token that nobody has")
        try:
            told = shop.run("--train", "--source", delivery, "--set", "train.seed=2", "--no-cache")
        finally:
            remote_site.kubeflow_token_file.unlink()
        assert_none_is_open(shop)
    assert_one_line(told, "Kubeflow", "401", "--check")


def test_kubeflow_that_is_down_gets_no_run(remote_site: Site, shop: Teller, delivery: str) -> None:
    """The same when nothing listens there; what is served needs no Kubeflow."""
    with nothing_changes(remote_site, shop):
        remote_site.kubeflow.stop()
        try:
            told = shop.run("--train", "--source", delivery, "--set", "train.seed=2", "--no-cache")
            assert answer(remote_site, shop.model)["model_version"] == "1"
        finally:
            remote_site.kubeflow.start()
            remote_site.kubeflow.wait()
        assert_none_is_open(shop)
    assert_one_line(told, "Kubeflow", "Connection refused", "--check")


def test_a_service_that_is_never_ready_is_not_released(
    remote_site: Site, shop: Teller, tmp_path: Path
) -> None:
    """The pod's own reason is told, and the release before it goes on answering, at once and afterwards."""
    kubeflow, impatient = PROJECT / "stacks" / "kubeflow.yaml", tmp_path / "impatient.yaml"
    text = kubeflow.read_text().replace("/shutterline-serving:", "/never-ready:")
    impatient.write_text(text.replace("      s3_secret:", "      ready_timeout_s: 5\n      s3_secret:"))
    register(shop.environment, impatient)
    try:
        with nothing_changes(remote_site, shop):
            told = shop.run("--deploy", "--version", "2")
    finally:
        register(shop.environment, kubeflow)
    assert_one_line(told, "within 5 s", "version 1 serves on", "never-ready")


def test_the_s3_server_may_die_during_a_training(
    remote_site: Site, on_kubeflow: Callable[[str], Teller], delivery: str
) -> None:
    """Killed with kill -9 and started again: the step is tried again, and the run ends as it would have."""
    teller = on_kubeflow("s3-dies")
    retries = ("--set", "running.retries.count=3", "--set", "running.retries.delay_s=1000")
    before = logs_of(remote_site, "train")
    running = subprocess.Popen(
        teller.command("--train", "--source", delivery, *retries, "--set", "train.epochs=12"),
        env=dict(teller.environment),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(
        lambda: any("has started" in log.read_text() for log in logs_of(remote_site, "train") - before)
    )
    (log,) = logs_of(remote_site, "train") - before
    remote_site.s3.kill()
    wait_until(lambda: "Failed to run step" in log.read_text())
    remote_site.s3.start()
    remote_site.s3.wait()
    out, err = running.communicate(timeout=ENDS_WITHIN_S)
    assert running.returncode == 0, err
    assert json.loads(out)["results"][0]["verdict"] == "passed"
    (run,) = recorded(teller)["runs"]
    assert run["status"] == "completed"
    assert run["steps"]["train"]["attempts"] > 1


@pytest.mark.timeout(1800)  # two trainings, and MLflow starts twice
def test_the_tracker_may_die_during_a_training(
    remote_site: Site, on_kubeflow: Callable[[str], Teller], delivery: str
) -> None:
    """Killed with kill -9: the training ends and is kept; the same command later sends and registers it."""
    teller = on_kubeflow("tracker-dies")
    # A seed of its own: a training of the same pictures and settings would be remembered, not done.
    settings = [
        f"--set={text}" for text in ("product.experiment=tracker-dies", "train.epochs=12", "train.seed=8")
    ]
    command = ("--train", "--source", delivery, *settings)
    running = subprocess.Popen(
        teller.command(*command),
        env=dict(teller.environment),
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: bool(tracked_runs(remote_site, "tracker-dies")))
    remote_site.mlflow.kill()
    try:
        out, err = running.communicate(timeout=ENDS_WITHIN_S)
    finally:
        remote_site.mlflow.start()
        remote_site.mlflow.wait()
    assert running.returncode == 4, err
    (reason,) = json.loads(out)["results"][0]["reasons"]
    assert reason.startswith("register: The experiment tracker could not take what this run made"), reason
    (lost,) = recorded(teller)["runs"]
    assert {name: step["status"] for name, step in lost["steps"].items()}["train"] == "completed"
    (open_run,) = tracked_runs(remote_site, "tracker-dies")
    assert open_run["info"]["status"] == "RUNNING"

    told = teller.done(*command)
    assert told.last["version"] == 1
    assert recorded(teller)["runs"][-1]["steps"]["train"]["status"] == "cached"
    runs = {run["info"]["run_id"]: run for run in tracked_runs(remote_site, "tracker-dies")}
    assert {run["info"]["status"] for run in runs.values()} == {"FINISHED"}
    run_id = open_run["info"]["run_id"]
    query = f"metrics/get-history?run_id={run_id}&metric_key=val_loss"
    history = asked_of_mlflow(remote_site, "GET", query)["metrics"]
    assert sorted(int(point["step"]) for point in history) == list(range(1, 13))
    tags = {tag["key"]: tag["value"] for tag in runs[run_id]["data"]["tags"]}
    assert tags["zenml_run_url"].startswith(remote_site.zenml.url)
    assert tags["zenml_run_url"].endswith(tags["zenml_run_id"])
    (other,) = runs.keys() - {run_id}
    known = {tag["key"]: tag["value"] for tag in runs[other]["data"]["tags"]}
    assert known["training_run"] == run_id


def test_a_failed_run_is_told_once(webhook: Webhook, on_kubeflow: Callable[[str], Teller]) -> None:
    """By the step's hook after its last retry; the commands that follow tell it no second time."""
    teller = on_kubeflow("told-once")
    webhook.messages.clear()
    told = teller.run("--train", "--source", "s3://no-such-bucket/x", "--set", "running.retries.count=1")
    assert told.exit_code == 4
    (run,) = recorded(teller)["runs"]
    assert run["steps"]["ingest"]["attempts"] == 2
    teller.run("--status")
    (message,) = webhook.messages
    assert told.last["run"] in message
    assert "Traceback" not in message


def test_a_run_whose_container_never_started_python_is_told_once(
    remote_site: Site, webhook: Webhook, on_kubeflow: Callable[[str], Teller], delivery: str
) -> None:
    """The waiting client tells it, with what is known; nobody else does."""
    teller = on_kubeflow("no-python")
    webhook.messages.clear()
    remote_site.set_kubernetes_secret("shutterline-zenml", {"another_key": "x"})
    try:
        told = teller.run("--train", "--source", delivery)
    finally:
        remote_site.set_kubernetes_secret(
            "shutterline-zenml", {"api_key": remote_site.credentials.zenml_api_key}
        )
    assert told.exit_code == 1
    assert "Kubeflow's run" in told.said
    teller.run("--status")
    (message,) = webhook.messages
    assert "before Python started" in message
    assert {run["status"] for run in recorded(teller)["runs"]} == {"failed"}


def logs_of(site: Site, step: str) -> set[Path]:
    """What the first attempts of a step have written, in all runs."""
    return set((site.home / "kubeflow" / "runs").glob(f"*/{step}-1.log"))


def asked_of_mlflow(site: Site, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """What MLflow's own API answers to the user that pipelines log in as."""
    response = httpx.request(
        method,
        f"{site.mlflow.url}/api/2.0/mlflow/{path}",
        json=body,
        auth=(USER, site.credentials.mlflow_user),
        trust_env=False,
        timeout=60,
    )
    return response.raise_for_status().json()


def tracked_runs(site: Site, experiment: str) -> list[dict[str, Any]]:
    """MLflow's runs of an experiment; none where there is no such experiment yet."""
    found = asked_of_mlflow(site, "POST", "experiments/search", {"max_results": 1000}).get("experiments", [])
    ids = [one["experiment_id"] for one in found if one["name"] == experiment]
    if not ids:
        return []
    runs: list[dict[str, Any]] = asked_of_mlflow(site, "POST", "runs/search", {"experiment_ids": ids}).get(
        "runs", []
    )
    return runs


def wait_until(condition: Callable[[], bool]) -> None:
    """Ask again and again, for as long as a command may take."""
    ends = time.monotonic() + ENDS_WITHIN_S
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.2)
