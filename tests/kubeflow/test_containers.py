"""Each step of a pipeline as a container: no root, a folder of its own, its limits kept, nothing left."""

import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.kubeflow.story import Teller, recorded, register
from benchmarks.main.home import free_port
from tests.docker_daemon import HARDENED, Docker, docker, mounts
from tests.kubeflow.test_servers import answer
from tests.remote import servers
from tests.remote.__main__ import main as remote
from tests.remote.kubeflow_containers import OWNER, DockerExecutor
from tests.remote.kubeflow_runs import Container, ContainerError, Ended, Limits
from tests.remote.servers import Containers, Server
from tests.remote.site import Site
from tests.shrunk.delivery import cut_delivery
from tests.stacks.apprise_alerter.webhook import Webhook
from tests.stacks.dockerfiles import ROOT, TRAINING

__all__ = ["docker"]

pytestmark = [pytest.mark.docker, pytest.mark.debian("docker.io")]

IMAGE = "training"
STACK = "containers"
STEP = """
import json, os, pathlib
import mlflow, onnxruntime, torch
import shutterline_step
refused = []
for folder in ("/", "/opt/venv", "/usr"):
    try:
        pathlib.Path(folder, "written").touch()
    except OSError:
        refused.append(folder)
pathlib.Path("written").touch()
print(json.dumps({
    "uid": os.getuid(),
    "cwd": os.getcwd(),
    "refused": refused,
    "options": sorted(shutterline_step.StepEntrypoint.get_entrypoint_options()),
    "shape": list(torch.nn.Linear(2, 1)(torch.zeros(3, 2)).shape),
}))
"""
BUSY = "import time\nwhile time.process_time() < 1: pass"
SPENDS = f"taken = bytearray(50_000_000)\n{BUSY}\ntime.sleep(2.5)"
"""Docker tells once a second what was spent."""
ENDS_ON_REQUEST = ["sh", "-c", "trap 'exit 3' TERM; echo waits; sleep 600 & wait"]
GIGABYTE = 10**9


@pytest.fixture(scope="module", autouse=True)
def image(docker: Docker) -> None:
    """Make the training image."""
    docker.import_image(IMAGE, TRAINING)


def test_a_step_has_its_packages_and_a_folder_of_its_own(docker: Docker) -> None:
    """torch, ZenML, MLflow and the step's entry point load as user 1000, with nothing writable but /tmp."""
    step = [f"--volume={ROOT}/stacks/docker:/opt/step:ro", "--env=PYTHONPATH=/opt/step"]
    options = [*HARDENED, *mounts(ROOT / ".venv"), *step]
    said = json.loads(docker("run", "--rm", *options, IMAGE, "python", "-c", STEP))
    assert said == {
        "uid": 1000,
        "cwd": "/tmp",  # noqa: S108
        "refused": ["/", "/opt/venv", "/usr"],
        "options": ["entrypoint_config_source", "snapshot_id", "step_name"],
        "shape": [3, 1],
    }


@pytest.fixture
def executor(docker: Docker, tmp_path: Path) -> DockerExecutor:
    """What the stub of Kubeflow runs containers with."""
    return DockerExecutor.connect(docker.address, fallback=IMAGE, image_paths=[], home=tmp_path)


def executed(
    executor: DockerExecutor,
    log: Path,
    command: list[str],
    *,
    limits: Limits | None = None,
    deadline_s: float | None = None,
    cancelled: bool = False,
) -> Ended:
    """How a container of this command ended; its image is one that the daemon does not have."""
    run_ended = threading.Event()
    if cancelled:
        run_ended.set()
    container = Container("registry.invalid/any:1", command, {"GIVEN": "to it"}, limits or Limits())
    return executor.run(container, log=log, deadline_s=deadline_s, cancelled=run_ended)


def left(docker: Docker) -> str:
    """The containers that the daemon has, running or not."""
    return docker("ps", "--all", "--quiet")


@pytest.mark.parametrize("path", ["/written", "/usr/written", "/opt/venv/written"])
def test_a_step_that_writes_outside_tmp_fails(
    executor: DockerExecutor, docker: Docker, tmp_path: Path, path: str
) -> None:
    """Its own folder takes a file; what stands elsewhere is read-only."""
    script = f"echo $GIVEN > /tmp/written && cat written && pwd && echo x > {path}"
    ended = executed(executor, tmp_path / "log", ["sh", "-c", script])
    said = (tmp_path / "log").read_text().splitlines()
    assert ended.exit_code != 0
    assert set(said) == {"to it", "/tmp", f"sh: 1: cannot create {path}: Read-only file system"}  # noqa: S108
    assert left(docker) == ""


def test_a_step_holds_no_rights(executor: DockerExecutor, tmp_path: Path) -> None:
    """User 1000, no capability that it has or could get."""
    script = "id -u; grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status"
    assert executed(executor, tmp_path / "log", ["sh", "-c", script]).exit_code == 0
    words = (tmp_path / "log").read_text().split()
    assert words == ["1000", "CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"]


def test_what_a_step_spends_is_on_record(executor: DockerExecutor, tmp_path: Path) -> None:
    """Seconds of CPU, memory and time, as Docker saw them last; more CPUs than there are is no fault.

    What a process took before Docker put it into the container is its own, not the container's.
    """
    limits = Limits(cpus=64, memory_bytes=GIGABYTE)
    ended = executed(executor, tmp_path / "log", ["python", "-c", SPENDS], limits=limits)
    assert (ended.exit_code, ended.reason) == (0, "")
    assert ended.cpu_s is not None
    assert ended.peak_rss_bytes is not None
    assert 0.9 <= ended.cpu_s <= ended.wall_s
    assert 50_000_000 <= ended.peak_rss_bytes <= 200_000_000


def test_a_step_gets_no_more_cpu_than_its_limit(executor: DockerExecutor, tmp_path: Path) -> None:
    """A second of CPU at a quarter of a CPU takes four."""
    limits = Limits(cpus=0.25)
    ended = executed(executor, tmp_path / "log", ["python", "-c", BUSY], limits=limits)
    assert ended.wall_s >= 3


@pytest.mark.parametrize(
    ("deadline_s", "cancelled", "reason"), [(1, False, "DeadlineExceeded"), (None, True, "Terminated")]
)
def test_a_step_is_asked_to_end_at_its_deadline_and_with_its_run(
    executor: DockerExecutor,
    docker: Docker,
    tmp_path: Path,
    deadline_s: float | None,
    cancelled: bool,
    reason: str,
) -> None:
    """SIGTERM first: what hears it ends by itself; the reason is kept, the container is not."""
    ended = executed(executor, tmp_path / "log", ENDS_ON_REQUEST, deadline_s=deadline_s, cancelled=cancelled)
    assert (ended.exit_code, ended.reason) == (3, reason)
    assert left(docker) == ""


def test_a_step_that_does_not_hear_is_killed(
    executor: DockerExecutor, docker: Docker, tmp_path: Path
) -> None:
    """As in a pod, a first process without a handler does not hear SIGTERM."""
    ended = executed(executor, tmp_path / "log", ["sleep", "600"], deadline_s=0.5)
    assert (ended.exit_code, ended.reason) == (137, "DeadlineExceeded")
    assert ended.wall_s < 15
    assert left(docker) == ""


def test_a_step_whose_program_is_absent_does_not_start(
    executor: DockerExecutor, docker: Docker, tmp_path: Path
) -> None:
    """Docker's own words stand in the log."""
    ended = executed(executor, tmp_path / "log", ["no-such-program"])
    assert (ended.exit_code, ended.reason) == (127, "StartError")
    assert "no-such-program" in (tmp_path / "log").read_text()
    assert left(docker) == ""


def test_an_image_that_is_not_there_is_told(docker: Docker, tmp_path: Path) -> None:
    """Nothing is pulled: without an image to fall back to, the container is not made."""
    executor = DockerExecutor.connect(docker.address, fallback=None, image_paths=[], home=tmp_path)
    with pytest.raises(ContainerError, match=r"ErrImagePull: .*registry\.invalid/any:1"):
        executed(executor, tmp_path / "log", ["true"])


def test_what_a_killed_stub_left_is_removed(docker: Docker, tmp_path: Path) -> None:
    """By the next with the same home, and only that."""
    for home in (tmp_path, tmp_path / "another"):
        docker("create", f"--label={OWNER}={home}", "--name", home.name, IMAGE)
    DockerExecutor.connect(docker.address, fallback=IMAGE, image_paths=[], home=tmp_path)
    try:
        assert docker("ps", "--all", "--format", "{{.Names}}") == "another"
    finally:
        docker("rm", "another")


@pytest.mark.parametrize(
    ("daemon", "image", "said"),
    [("unix:///absent", None, "Docker at unix:///absent"), ("", "absent", "No such image: absent")],
)
def test_a_stub_without_docker_does_not_start(
    docker: Docker, tmp_path: Path, daemon: str, image: str | None, said: str
) -> None:
    """It ends at once, and its last line says what is missing."""
    containers = Containers(daemon or docker.address, image)
    none = tmp_path / "none"
    stub = servers.kubeflow_stub(tmp_path, free_port(), client_token_file=none, containers=containers)
    stub.start()
    with pytest.raises(RuntimeError, match="does not answer"):
        stub.wait()
    assert said in stub.log.read_text().strip().splitlines()[-1]


def test_an_image_needs_a_daemon(tmp_path: Path) -> None:
    """`up` refuses the one option without the other, before it makes anything."""
    home = tmp_path / "site"
    outcome = CliRunner().invoke(remote, ["up", "--home", str(home), "--docker-image", IMAGE])
    assert outcome.exit_code == 2
    assert "--docker-host" in outcome.output
    assert not home.exists()


@pytest.fixture(scope="module")
def kubeflow(remote_site: Site, docker: Docker) -> Iterator[Server]:
    """A second Kubeflow of the remote stack, which runs each step as a container."""
    with tempfile.TemporaryDirectory(prefix="shutterline-containers-") as folder:
        stub = remote_site.kubeflow_at(Path(folder), free_port(), Containers(docker.address, IMAGE))
        try:
            stub.start()
            stub.wait()
            yield stub
        finally:
            stub.stop()


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> str:
    """60 pictures of each class."""
    return str(cut_delivery(tmp_path_factory.mktemp("delivery") / "delivery.zip"))


@pytest.fixture(scope="module")
def in_containers(
    on_kubeflow: Callable[[str], Teller], kubeflow: Server, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Teller]:
    """Makes people who find a stack whose Kubeflow is that one, and all else of the remote stack."""
    file = tmp_path_factory.mktemp("stack") / "containers.yaml"
    text = (ROOT / "stacks" / "kubeflow.yaml").read_text()
    file.write_text(text.replace("name: kubeflow", f"name: {STACK}"))
    register({**on_kubeflow(STACK).environment, "SHUTTERLINE_KUBEFLOW_URL": kubeflow.url}, file)
    return on_kubeflow


def newest_run(kubeflow: Server) -> dict[str, Any]:
    """The stub's record of the run that began last."""
    newest = f"{kubeflow.url}/apis/v2beta1/runs?sort_by=created_at%20desc&page_size=1"
    run: dict[str, Any] = answer(newest)[1]["runs"][0]
    return run


def died(docker: Docker, kubeflow: Server) -> list[str]:
    """The exit codes of the containers of a stub, from the daemon's own record, oldest first."""
    shown = ("--filter", "event=die", "--format", "{{.Actor.Attributes.exitCode}}")
    between = ("--since", "0", "--until", docker("info", "--format", "{{.SystemTime}}"))
    return docker("events", *between, "--filter", f"label={OWNER}={kubeflow.folder}", *shown).split()


def test_a_training_runs_in_containers(
    in_containers: Callable[[str], Teller], docker: Docker, kubeflow: Server, delivery: str
) -> None:
    """Every step is one: it has its code, its secrets and the servers, and the verdict is as ever."""
    teller = in_containers("in-containers")
    before = len(died(docker, kubeflow))
    told = teller.done("--stack", STACK, "--train", "--source", delivery, "--no-cache")
    assert told.last["verdict"] == "passed"
    (run,) = recorded(teller)["runs"]
    assert run["status"] == "completed"
    record = newest_run(kubeflow)
    assert len(record["attempts"]) == len(run["steps"])
    assert died(docker, kubeflow)[before:] == ["0"] * len(run["steps"])
    assert all(attempt["cpu_s"] > 1 for attempt in record["attempts"])
    assert all(attempt["peak_rss_bytes"] < 2 * GIGABYTE for attempt in record["attempts"])
    assert left(docker) == ""


def test_a_step_that_takes_more_memory_than_its_limit_is_killed_and_told(
    in_containers: Callable[[str], Teller], docker: Docker, kubeflow: Server, webhook: Webhook, delivery: str
) -> None:
    """The limit is that of the configuration; exit code 1, one message, and Kubeflow has the reason."""
    webhook.messages.clear()
    limit = ("--set", "running.step.memory_request=64M", "--set", "running.step.memory_limit=64M")
    flags = ("--stack", STACK, "--train", "--source", delivery, "--no-cache")
    told = in_containers("out-of-memory").run(*flags, *limit)
    assert told.exit_code == 1
    assert "Kubeflow's run" in told.said
    record = newest_run(kubeflow)
    assert record["run_id"] in told.said
    assert record["error"]["message"].endswith("failed in attempt 1: OOMKilled")
    assert record["attempts"][-1]["exit_code"] == 137
    (message,) = webhook.messages
    assert "before Python started" in message
    assert left(docker) == ""
