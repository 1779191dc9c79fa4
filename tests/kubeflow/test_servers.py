"""The servers of the remote stack are real where they can be, and the stub of Kubeflow does what it is told.

kfp reads the annotations of what it decorates, so that this file does not defer them.
"""

import base64
import errno
import json
import os
import socket
import sqlite3
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from click.testing import CliRunner
from kfp import Client, dsl, kubernetes
from kfp.compiler import Compiler
from kfp_server_api import ApiException

from benchmarks.main.home import free_port
from steps.evaluation.cost.replica import PYTHON_VARIABLE
from tests.remote import bucket_server, servers
from tests.remote.__main__ import main as remote
from tests.remote.kubeflow_state import ENDED, ApiError, cron_trigger
from tests.remote.site import BUCKET, USER, Site

ENDS_WITHIN_S = 60.0
BACKOFF_S = 60
SH = ["sh", "-c"]
NEVER = "0 0 0 29 2 *"
"""The next leap day, at midnight."""

Configure = Callable[[Any], Any]
Steps = Mapping[str, tuple[str | list[str], Configure]]


def answer(url: str, *, form: Mapping[str, str] | None = None, authorization: str = "") -> Any:
    """The status of a POST of a form, or of a GET, and the JSON that came with success."""
    request = urllib.request.Request(url, data=urllib.parse.urlencode(form).encode() if form else None)
    if authorization:
        request.add_header("Authorization", authorization)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, None


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def test_s3_refuses_a_wrong_secret(remote_site: Site) -> None:
    """Who has the key's name but not its secret reads nothing."""
    wrong = bucket_server.s3_client(remote_site.s3.url, key=remote_site.credentials.s3_key, secret="wrong")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.list_objects_v2(Bucket=BUCKET)


def test_s3_keeps_its_data_over_kill_9(remote_site: Site) -> None:
    """What was written is there, at the same address, when the killed server is started again."""
    client = remote_site.s3_client()
    content = bytes(range(256)) * 4096
    client.put_object(Bucket=BUCKET, Key="kept", Body=content)
    remote_site.s3.kill()
    with pytest.raises(BotoCoreError):
        client.list_objects_v2(Bucket=BUCKET)
    remote_site.s3.start()
    remote_site.s3.wait()
    assert client.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == content


def test_mlflow_asks_for_a_password_and_keeps_artifacts_in_the_bucket(remote_site: Site) -> None:
    """Without a login, or with a wrong one, 401; with it an artifact that is sent lands in the bucket."""
    experiment = f"{remote_site.mlflow.url}/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert answer(experiment)[0] == 401
    assert answer(experiment, authorization=basic(USER, "wrong"))[0] == 401
    login = basic(USER, remote_site.credentials.mlflow_user)
    assert answer(experiment, authorization=login)[0] == 200
    made = urllib.request.Request(
        f"{remote_site.mlflow.url}/api/2.0/mlflow/experiments/create",
        data=json.dumps({"name": "tried"}).encode(),
        headers={"Authorization": login, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(made, timeout=30) as response:
        path = f"{json.load(response)['experiment_id']}/proof.txt"
    artifact = f"{remote_site.mlflow.url}/api/2.0/mlflow-artifacts/artifacts/{path}"
    sent = urllib.request.Request(artifact, data=b"sent", method="PUT", headers={"Authorization": login})
    with urllib.request.urlopen(sent, timeout=30) as response:
        assert response.status == 200
    stored = remote_site.s3_client().get_object(Bucket=BUCKET, Key=f"mlflow/{path}")["Body"].read()
    assert stored == b"sent"


def test_zenml_lets_in_the_api_key_alone(remote_site: Site) -> None:
    """Without a key, or with a wrong password, 401; with the key the service account reads."""
    url = f"{remote_site.zenml.url}/api/v1"
    assert answer(f"{url}/stacks")[0] == 401
    assert answer(f"{url}/login", form={"username": "admin", "password": "wrong"})[0] == 401
    key = {"grant_type": "zenml-api-key", "password": remote_site.credentials.zenml_api_key}
    status, login = answer(f"{url}/login", form=key)
    assert status == 200
    status, user = answer(f"{url}/current-user", authorization=f"Bearer {login['access_token']}")
    assert (status, user["name"]) == (200, USER)


def test_zenml_encrypts_its_secrets(remote_site: Site) -> None:
    """The database holds the secret that the stack refers to, and not in plain text."""
    with sqlite3.connect(remote_site.home / "zenml" / "zenml.db") as database:
        kept = dict(database.execute('SELECT name, "values" FROM secret'))
    assert set(kept) >= {"shutterline_s3", "shutterline_mlflow", "shutterline_kubernetes"}
    plain = base64.b64encode(remote_site.credentials.s3_secret.encode()).decode()
    for text in (remote_site.credentials.s3_secret, plain):
        assert text not in str(kept) + base64.b64decode(kept["shutterline_s3"]).decode("latin-1")


@pytest.mark.debian("docker-registry")
def test_the_registry_is_there_for_images(remote_site: Site) -> None:
    """It answers as registries do, and keeps none yet."""
    assert answer(f"{remote_site.registry.url}/v2/_catalog") == (200, {"repositories": []})


def test_a_site_that_runs_is_left_alone(remote_site: Site) -> None:
    """Starting it again from its folder starts nothing, and gives the same environment."""
    again = Site.load(remote_site.home)
    before = [server.process() for server in remote_site.servers]
    again.up()
    assert [server.process() for server in again.servers] == before
    assert again.environment() == remote_site.environment()


def test_a_server_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    """Its process is gone and its port is free; a kill and a start find the same data."""
    port = free_port()
    server = servers.kubeflow_stub(tmp_path, port, client_token_file=tmp_path / "none")
    server.start()
    server.wait()
    made = Client(host=server.url, namespace="shutterline").create_experiment("kept")
    server.kill()
    server.start()
    server.wait()
    assert Client(host=server.url).get_experiment(experiment_name="kept").experiment_id == made.experiment_id
    process = server.process()
    server.stop()
    assert process is not None
    assert not process.is_running()
    with socket.socket() as probe:
        assert probe.connect_ex((servers.ADDRESS, port)) == errno.ECONNREFUSED


def test_a_process_that_took_over_the_id_is_left_alone(tmp_path: Path) -> None:
    """The id on record is that of this test, which started at another time: nothing is ended."""
    server = servers.kubeflow_stub(tmp_path, free_port(), client_token_file=tmp_path / "none")
    (tmp_path / "process.json").write_text(json.dumps({"pid": os.getpid(), "started_at": 1.0}))
    assert server.process() is None
    server.kill()


def test_nothing_is_ended_where_nothing_was_started(tmp_path: Path) -> None:
    """`down` says so, and what to give it."""
    outcome = CliRunner().invoke(remote, ["down", "--home", str(tmp_path / "none")])
    assert outcome.exit_code == 1
    assert "nothing was started" in outcome.output
    assert "--home" in outcome.output


@pytest.fixture
def kubeflow(remote_site: Site) -> Client:
    """A client of the stub; it writes what it did to standard output, and looks for no user's settings."""
    return Client(host=remote_site.kubeflow.url, namespace="shutterline")


def component(name: str, script: str | list[str]) -> Any:
    """A step of a pipeline: a container that runs a shell script, or a command."""

    def container() -> dsl.ContainerSpec:
        command, arguments = (SH, [script]) if isinstance(script, str) else (script[:1], script[1:])
        return dsl.ContainerSpec(image="registry.invalid/any:1", command=command, args=arguments)

    container.__name__ = name
    return dsl.container_component(container)


def compiled(folder: Path, steps: Steps, after: Mapping[str, str]) -> str:
    """Compile a pipeline of containers, each configured by its function, in the order of ``after``."""

    def pipeline() -> None:
        tasks: dict[str, Any] = {}
        for name, (script, configure) in steps.items():
            tasks[name] = component(name, script)()
            configure(tasks[name])
        for later, earlier in after.items():
            tasks[later].after(tasks[earlier])

    file = folder / "pipeline.yaml"
    Compiler().compile(dsl.pipeline(pipeline, name="tried"), str(file))
    return str(file)


def plain(task: Any) -> Any:
    return task


def eventually(done: Callable[[], Any], what: str) -> Any:
    """What ``done`` gives, once it gives something."""
    ends = time.monotonic() + ENDS_WITHIN_S
    while time.monotonic() < ends:
        if found := done():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {ENDS_WITHIN_S} s: {what}")


def ended(site: Site, run_id: str) -> dict[str, Any]:
    """The stub's record of a run, once it has ended."""

    def record() -> dict[str, Any] | None:
        found: dict[str, Any] = answer(f"{site.kubeflow.url}/test/runs/{run_id}")[1]
        return found if found["state"] in ENDED else None

    result: dict[str, Any] = eventually(record, f"run {run_id} ends")
    return result


def gone(pid: int) -> bool:
    """Whether a process has ended; one whose new parent does not ask for it stays listed."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def states(record: Mapping[str, Any]) -> dict[str, str]:
    return {task["display_name"]: task["state"] for task in record["run_details"]["task_details"]}


def test_a_pipeline_runs_in_the_order_of_its_dependencies(
    remote_site: Site, kubeflow: Client, tmp_path: Path
) -> None:
    """A step begins when the one before it has ended; its output, CPU time and memory are on record."""
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint('first')"
    steps: Steps = {"a-later": ("echo second", plain), "b-earlier": (["python", "-c", busy], plain)}
    file = compiled(tmp_path, steps, {"a-later": "b-earlier"})
    run = kubeflow.create_run_from_pipeline_package(
        file, arguments={}, run_name="in-order", enable_caching=False
    )
    record = ended(remote_site, run.run_id)
    assert kubeflow.get_run(run.run_id).state == "SUCCEEDED"
    assert [attempt["task"] for attempt in record["attempts"]] == ["b-earlier", "a-later"]
    assert [Path(attempt["log"]).read_text() for attempt in record["attempts"]] == ["first\n", "second\n"]
    assert 0.3 <= record["attempts"][0]["cpu_s"] <= record["attempts"][0]["wall_s"] + 1
    assert record["attempts"][0]["peak_rss_bytes"] > 4_000_000


def test_a_step_that_fails_is_tried_again_as_its_policy_says(
    remote_site: Site, kubeflow: Client, tmp_path: Path
) -> None:
    """Twice it fails, the third time it passes; it waits between, the second time twice as long."""
    count = tmp_path / "count"

    def retried(task: Any) -> None:
        task.set_retry(num_retries=3, backoff_duration=f"{BACKOFF_S}s", backoff_factor=2.0)

    script = f"date +%s.%N >> {count}; test $(wc -l < {count}) -ge 3"
    file = compiled(tmp_path, {"fails": (script, retried), "next": ("true", plain)}, {"next": "fails"})
    record = ended(remote_site, kubeflow.create_run_from_pipeline_package(file, arguments={}).run_id)
    assert record["state"] == "SUCCEEDED"
    assert [attempt["exit_code"] for attempt in record["attempts"]] == [1, 1, 0, 0]
    first, second, third = map(float, count.read_text().split())
    wait = BACKOFF_S * remote_site.time_scale
    assert second - first >= wait
    assert third - second >= 2 * wait


def test_a_step_that_always_fails_fails_the_run(remote_site: Site, kubeflow: Client, tmp_path: Path) -> None:
    """After the last attempt the run has failed, says by what, and nothing after the step ran."""
    steps = {"fails": ("exit 7", lambda task: task.set_retry(num_retries=1)), "next": ("true", plain)}
    file = compiled(tmp_path, steps, {"next": "fails"})
    record = ended(remote_site, kubeflow.create_run_from_pipeline_package(file, arguments={}).run_id)
    assert states(record) == {"fails": "FAILED", "next": "SKIPPED"}
    assert [attempt["exit_code"] for attempt in record["attempts"]] == [7, 7]
    run = kubeflow.get_run(record["run_id"])
    assert (run.state, run.error.message) == ("FAILED", "task fails failed in attempt 2: exit code 7")


def test_a_step_is_ended_at_its_deadline(remote_site: Site, kubeflow: Client, tmp_path: Path) -> None:
    """It and its children are killed after the seconds that the compiled pipeline gives it."""
    steps = {"slow": ("sleep 600", lambda task: kubernetes.set_timeout(task, 1))}
    record = ended(
        remote_site,
        kubeflow.create_run_from_pipeline_package(compiled(tmp_path, steps, {}), arguments={}).run_id,
    )
    assert record["state"] == "FAILED"
    assert record["attempts"][0]["reason"] == "DeadlineExceeded"
    assert 1 <= record["attempts"][0]["wall_s"] < 30


def test_a_step_gets_an_empty_directory_and_only_what_was_declared(
    remote_site: Site, kubeflow: Client, tmp_path: Path
) -> None:
    """Its variables are its own and its secret's; one that the stub has is not there."""
    assert "PYTHONUNBUFFERED" in remote_site.kubeflow.environment
    tell = (
        "import json, os; print(json.dumps([dict(os.environ), os.listdir(), os.listdir(os.environ['HOME']),"
        " os.listdir(os.environ['TMPDIR'])]))"
    )

    def configure(task: Any) -> None:
        task.set_env_variable("RUN", dsl.PIPELINE_JOB_NAME_PLACEHOLDER)
        task.set_env_variable("GREETING", "hello")
        kubernetes.use_secret_as_env(task, "told", {"word": "WORD"})
        kubernetes.use_field_path_as_env(task, "RUN_ID", "metadata.labels['pipeline/runid']")

    remote_site.set_kubernetes_secret("told", {"word": "aGVsbG8=", "other": "not asked for"})
    file = compiled(tmp_path, {"tells": (["python", "-c", tell], configure)}, {})
    run = kubeflow.create_run_from_pipeline_package(file, arguments={}, run_name="named")
    record = ended(remote_site, run.run_id)
    log = Path(record["attempts"][0]["log"]).read_text()
    assert record["state"] == "SUCCEEDED", log
    environment, *folders = json.loads(log)
    assert folders == [[], [], []]
    declared = {"RUN": "named", "GREETING": "hello", "WORD": "aGVsbG8=", "RUN_ID": run.run_id}
    assert environment.items() >= declared.items()
    image = {"PATH", "LANG", "PYTHONPATH", PYTHON_VARIABLE}  # what the images of steps have
    assert set(environment) - set(declared) == {*image, "HOME", "TMPDIR"}
    assert not Path(environment["HOME"]).exists()


def test_a_step_without_its_secret_does_not_start(
    remote_site: Site, kubeflow: Client, tmp_path: Path
) -> None:
    """The attempt says which secret is missing."""

    def configure(task: Any) -> None:
        kubernetes.use_secret_as_env(task, "no-such-secret", {"key": "KEY"})

    file = compiled(tmp_path, {"needs": ("true", configure)}, {})
    record = ended(remote_site, kubeflow.create_run_from_pipeline_package(file, arguments={}).run_id)
    assert record["state"] == "FAILED"
    assert "secret no-such-secret" in record["attempts"][0]["reason"]


def test_a_run_that_is_terminated_ends_with_its_processes(
    remote_site: Site, kubeflow: Client, tmp_path: Path
) -> None:
    """The process of the running step is gone, and its retries do not follow."""
    told = tmp_path / "pid"
    steps = {"waits": (f"echo $$ > {told}; sleep 600", lambda task: task.set_retry(num_retries=3))}
    run = kubeflow.create_run_from_pipeline_package(compiled(tmp_path, steps, {}), arguments={})
    eventually(lambda: told.exists() and told.read_text().strip(), "the step runs")
    kubeflow.terminate_run(run.run_id)
    record = ended(remote_site, run.run_id)
    assert (record["state"], len(record["attempts"])) == ("CANCELED", 1)
    assert gone(int(told.read_text()))


def test_a_recurring_run_runs_when_it_is_fired_until_it_is_deleted(
    remote_site: Site, kubeflow: Client, tmp_path: Path
) -> None:
    """Each firing is a run with its own name; it is listed, can be disabled, and is gone when deleted."""
    experiment = kubeflow.create_experiment("recurring").experiment_id
    file = compiled(
        tmp_path,
        {"says": ("echo $RUN", lambda task: task.set_env_variable("RUN", "{{$.pipeline_job_name}}"))},
        {},
    )
    made = kubeflow.create_recurring_run(
        experiment, "nightly", pipeline_package_path=file, cron_expression=NEVER
    )
    name = made.recurring_run_id
    said = []
    for _ in range(2):
        fire = f"{remote_site.kubeflow.url}/test/recurringruns/{name}/fire"
        with urllib.request.urlopen(urllib.request.Request(fire, method="POST"), timeout=30) as response:
            record = ended(remote_site, json.load(response)["run_id"])
        assert (record["state"], record["recurring_run_id"]) == ("SUCCEEDED", name)
        said.append(Path(record["attempts"][0]["log"]).read_text())
    assert len(set(said)) == 2
    kubeflow.disable_recurring_run(name)
    listed = kubeflow.list_recurring_runs(experiment_id=experiment).recurring_runs
    assert [(run.recurring_run_id, run.status) for run in listed] == [(name, "DISABLED")]
    kubeflow.delete_recurring_run(name)
    assert not kubeflow.list_recurring_runs(experiment_id=experiment).recurring_runs
    with pytest.raises(ApiException, match="404"):
        kubeflow.get_recurring_run(name)


def test_a_recurring_run_is_fired_by_the_clock_while_it_is_enabled(
    remote_site: Site, kubeflow: Client, tmp_path: Path
) -> None:
    """Every second it is due, but only one run of it goes on at a time."""
    experiment = kubeflow.create_experiment("by the clock").experiment_id
    release = tmp_path / "release"
    file = compiled(tmp_path, {"waits": (f"until test -e {release}; do sleep 0.1; done", plain)}, {})
    made = kubeflow.create_recurring_run(
        experiment, "often", pipeline_package_path=file, cron_expression="* * * * * *", max_concurrency=1
    )

    def runs() -> list[Any]:
        return kubeflow.list_runs(experiment_id=experiment).runs or []

    eventually(runs, "it is fired")
    time.sleep(2)
    assert len(runs()) == 1
    kubeflow.disable_recurring_run(made.recurring_run_id)
    release.touch()
    assert ended(remote_site, runs()[0].run_id)["state"] == "SUCCEEDED"
    kubeflow.delete_recurring_run(made.recurring_run_id)


def test_cron_is_read_as_kubeflow_reads_it() -> None:
    """Six fields begin with seconds; of five the first is seconds all the same, and the weekday is any."""
    saturday = datetime(2026, 11, 21, 12, tzinfo=UTC)
    six = cron_trigger({"cron": "0 0 2 * * 1"}).get_next_fire_time(None, saturday)
    five = cron_trigger({"cron": "0 2 * * 1"}).get_next_fire_time(None, saturday)
    assert six == datetime(2026, 11, 23, 2, tzinfo=UTC)
    assert five == datetime(2027, 1, 1, 0, 2, tzinfo=UTC)
    with pytest.raises(ApiError, match="cron expression"):
        cron_trigger({"cron": "0 2 * *"})


def test_kubeflow_refuses_who_lacks_its_token(remote_site: Site) -> None:
    """While it has one, a client without it, or with another, gets 401; with it the list."""
    remote_site.kubeflow_token_file.write_text("asked-for")
    try:
        for token in (None, "wrong"):
            with pytest.raises(ApiException) as refused:
                Client(
                    host=remote_site.kubeflow.url, existing_token=token, namespace="shutterline"
                ).list_runs()
            assert refused.value.status == 401
        allowed = Client(host=remote_site.kubeflow.url, existing_token="asked-for", namespace="shutterline")
        assert allowed.list_experiments() is not None
    finally:
        remote_site.kubeflow_token_file.unlink()


def test_what_the_stub_does_not_imitate_is_refused(kubeflow: Client, tmp_path: Path) -> None:
    """A pipeline that needs more than containers in order is not half executed."""

    @dsl.pipeline
    def looping() -> None:
        with dsl.ParallelFor([1, 2]):
            component("repeated", "true")()

    Compiler().compile(looping, str(tmp_path / "looping.yaml"))
    with pytest.raises(ApiException, match="does not imitate") as refused:
        kubeflow.create_run_from_pipeline_package(str(tmp_path / "looping.yaml"), arguments={})
    assert refused.value.status == 400


def test_kubeflow_remembers_over_a_restart(remote_site: Site, kubeflow: Client, tmp_path: Path) -> None:
    """Runs that ended are as they were; one that was running is failed, and its process has ended."""
    file = compiled(tmp_path, {"says": ("echo kept", plain)}, {})
    kept = ended(remote_site, kubeflow.create_run_from_pipeline_package(file, arguments={}).run_id)
    told = tmp_path / "pid"
    file = compiled(tmp_path, {"waits": (f"echo $$ > {told}; sleep 600", plain)}, {})
    cut = kubeflow.create_run_from_pipeline_package(file, arguments={}).run_id
    eventually(lambda: told.exists() and told.read_text().strip(), "the step runs")
    remote_site.kubeflow.kill()
    remote_site.kubeflow.start()
    remote_site.kubeflow.wait()
    assert ended(remote_site, kept["run_id"]) == kept
    assert kubeflow.get_run(cut).state == "FAILED"
    assert gone(int(told.read_text()))
