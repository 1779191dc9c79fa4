"""The registrar, as a user runs it: in a copy of the project, with a ZenML store of its own."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.main.home import free_port
from tests.keys import ACTOR_PUBLIC, GATE_PUBLIC
from tests.pages import commands_of, make_recipe

PROJECT = Path(__file__).resolve().parents[2]
STACK = """\
name: small
components:
  orchestrator:
    flavor: local
  artifact_store:
    flavor: local
    configuration:
      path: ${SHUTTERLINE_HOME}/artifacts
  experiment_tracker:
    flavor: mlflow
  model_deployer:
    flavor: seldon-local
    source: stacks.local_deployer.flavor.SeldonLocalModelDeployerFlavor
    configuration:
      state_directory: ${SHUTTERLINE_HOME}/deployer
      port: ${SHUTTERLINE_PORT}
"""
SERVERS = ("KUBEFLOW", "MLFLOW", "KUBERNETES", "INGRESS")
TRACKER = "  experiment_tracker:\n    flavor: mlflow\n"

# Runs the registrar for each act in one process (importing ZenML anew each time would take most of the
# time) and reports what it answered and what the store holds then.
DRIVER = """
import contextlib, io, json, sys
from pathlib import Path
from stacks.apply import main

def store():
    from zenml.client import Client
    client = Client()
    stacks = {stack.name: stack for stack in client.list_stacks(hydrate=True)}
    small = stacks["small"].components if "small" in stacks else {}
    parts = {kind.value: parts[0] for kind, parts in small.items() if parts}
    every = client.list_stack_components(size=100)
    return {
        "stacks": sorted(stacks),
        "small": {kind: [part.name, part.flavor_name] for kind, part in parts.items()},
        "settings": {kind: part.configuration for kind, part in parts.items()},
        "components": sorted(f"{part.type.value} {part.name}" for part in every),
        "active": client.active_stack_model.name if client.root else None,
    }

answers = []
for act in json.load(sys.stdin):
    if "before" in act:
        exec(act["before"])
    Path("small.yaml").write_text(act["file"])
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["small.yaml", *act["options"]])
    answers.append({"code": code, "out": out.getvalue(), "err": err.getvalue(), **store()})
print(json.dumps(answers), file=sys.__stdout__)
"""
MEDDLE = """
from zenml.client import Client
from zenml.enums import StackComponentType as Kind
from zenml.models import FlavorUpdate
client = Client()
"""
OUTDATED = (
    MEDDLE
    + """
flavor = client.get_flavor_by_name_and_type("seldon-local", Kind.MODEL_DEPLOYER)
client.zen_store.update_flavor(flavor.id, FlavorUpdate(config_schema={"title": "of an older release"}))
"""
)
KILLED = (
    MEDDLE
    + """
part = client.get_stack_component(Kind.ORCHESTRATOR, "small")
client.update_stack_component(part.id, part.type, name="small-replaced-1", labels={"stack_file": "small"})
"""
)
PLANTED = (
    MEDDLE
    + """
part = client.get_stack_component(Kind.EXPERIMENT_TRACKER, "small")
planted = {"tracking_username": "ada", "tracking_password": "marked-password-41", "experiment_name": "old"}
client.update_stack_component(part.id, part.type, configuration=planted)
"""
)
CHOSEN = (
    MEDDLE
    + """
client.create_stack("mine", {Kind.ORCHESTRATOR: "small", Kind.ARTIFACT_STORE: "default"})
client.activate_stack("mine")
"""
)
PICKY = """
Path("picky.py").write_text('''
from pydantic import model_validator
from zenml.experiment_trackers.base_experiment_tracker import (
    BaseExperimentTracker, BaseExperimentTrackerConfig, BaseExperimentTrackerFlavor
)

class PickyConfig(BaseExperimentTrackerConfig):
    region: str

    @model_validator(mode="after")
    def _known(self):
        {"us": 1}[self.region]
        return self

class Picky(BaseExperimentTrackerFlavor):
    name = "picky"
    config_class = PickyConfig
    implementation_class = BaseExperimentTracker
''')
"""
TOLD = (
    STACK
    + """\
  alerter:
    flavor: apprise
    source: stacks.apprise_alerter.flavor.AppriseAlerterFlavor
    configuration:
      urls: ${SHUTTERLINE_ALERT_URLS:-}
      critical_urls: ${SHUTTERLINE_CRITICAL_URLS:-}
"""
)
EXPORTED = """
import os
os.environ["SHUTTERLINE_ALERT_URLS"] = os.environ["SHUTTERLINE_CRITICAL_URLS"] = "json://127.0.0.1:9/alerts"
"""
ANOTHER_SHELL = """
import os
del os.environ["SHUTTERLINE_ALERT_URLS"], os.environ["SHUTTERLINE_CRITICAL_URLS"]
"""
A_THIRD_SHELL = """
import os
os.environ["SHUTTERLINE_CRITICAL_URLS"] = "json://127.0.0.1:9/alerts"
"""
ACTS: dict[str, dict[str, Any]] = {
    "dry run": {"file": STACK, "options": ["--dry-run"]},
    "first": {"file": STACK, "options": []},
    "again": {"file": STACK, "options": []},
    "moved": {"file": STACK.replace("/artifacts", "/pictures"), "options": []},
    "removed": {"file": STACK.replace(TRACKER, ""), "options": []},
    "replaced": {
        "file": STACK.replace("orchestrator:\n    flavor: local", "orchestrator:\n    flavor: local_docker"),
        "options": [],
    },
    "back": {"file": STACK, "options": []},
    "outdated": {"file": STACK, "options": [], "before": OUTDATED},
    "killed": {"file": STACK, "options": [], "before": KILLED},
    "planted": {"file": STACK, "options": [], "before": PLANTED},
    "typo in a flavor": {"file": STACK.replace("flavor: mlflow", "flavor: mflow"), "options": []},
    "typo in a setting": {"file": STACK.replace("      port:", "      prot:"), "options": ["--dry-run"]},
    "typo in an optional setting": {
        "file": STACK.replace("      port:", "      prot: ${SHUTTERLINE_NEVER_SET:-}\n      port:"),
        "options": ["--dry-run"],
    },
    "missing secret": {
        "file": STACK.replace(
            TRACKER,
            TRACKER
            + """    configuration:
      tracking_uri: https://mlflow.shop.example
      tracking_username: "{{nowhere.username}}"
      tracking_password: "{{nowhere.password}}"
""",
        ),
        "options": ["--dry-run"],
    },
    "flavor that fails": {
        "file": STACK.replace(
            TRACKER,
            TRACKER.replace("mlflow", "picky\n    source: picky.Picky\n    configuration: {region: eu}"),
        ),
        "options": ["--dry-run"],
        "before": PICKY,
    },
    "wrong setting": {"file": STACK.replace("${SHUTTERLINE_PORT}", "http"), "options": ["--dry-run"]},
    "wrong path": {"file": STACK.replace("${SHUTTERLINE_HOME}/art", "s3://x/art"), "options": ["--dry-run"]},
    "wrong class": {
        "file": STACK.replace("DeployerFlavor", "Deployer"),
        "options": [],
    },
    "chosen": {"file": STACK, "options": [], "before": CHOSEN},
    "shared": {
        "file": STACK.replace("orchestrator:\n    flavor: local", "orchestrator:\n    flavor: local_docker"),
        "options": [],
    },
    "told": {"file": TOLD, "options": [], "before": EXPORTED},
    "told if absent": {"file": TOLD, "options": ["--if-absent"], "before": ANOTHER_SHELL},
    "not told dry": {"file": TOLD, "options": ["--dry-run"]},
    "alerter gone dry": {"file": STACK, "options": ["--dry-run"]},
    "not told of some": {"file": TOLD, "options": [], "before": A_THIRD_SHELL},
    "absent": {"file": STACK.replace("name: small", "name: other"), "options": ["--if-absent"]},
}

TRACKED = """
import mlflow
from zenml import pipeline, step
from zenml.integrations.registry import integration_registry
integration_registry.activate_integrations = lambda: None

@step(experiment_tracker=True, enable_cache=False)
def track() -> None:
    mlflow.log_metric("accuracy", 0.5)
    mlflow.log_text("kept", "note.txt")

@pipeline
def tracked() -> None:
    track()

tracked()
"""


class Project:
    """A copy of what the registrar needs, with its own home and store, as after `git clone`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root.parent / "home"
        for folder in ("stacks", "materializers", "serving", "steps"):
            shutil.copytree(PROJECT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        (root / ".venv-serving").symlink_to(PROJECT / ".venv-serving")
        self.port = free_port()
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith(("ZENML_", "PYTHON"))
        }
        self.environment = {
            **inherited,
            "ZENML_CONFIG_PATH": str(root.parent / "zenml"),
            "ZENML_ANALYTICS_OPT_IN": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "SHUTTERLINE_HOME": str(self.home),
            "SHUTTERLINE_PORT": str(self.port),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def run(self, *command: str, cwd: str = ".", **kwargs: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root / cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            **kwargs,
        )

    def apply(self, *options: str, file: str = "stacks/local.yaml") -> subprocess.CompletedProcess[str]:
        return self.run("python", "-m", "stacks.apply", file, *options)

    def digest(self) -> str:
        """The digest of the store and of the repository's settings."""
        files = [self.root.parent / "zenml" / "local_stores" / "default_zen_store" / "zenml.db"]
        files.append(self.root / ".zen" / "config.yaml")
        return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the registrar answered to each of ACTS, one after the other on one store."""
    project = Project(tmp_path_factory.mktemp("acts") / "project")
    done = project.run("python", "-c", DRIVER, input=json.dumps(list(ACTS.values())))
    assert done.returncode == 0, done.stderr
    return dict(zip(ACTS, json.loads(done.stdout), strict=True)) | {"home": str(project.home)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose local stack is registered."""
    project = Project(tmp_path_factory.mktemp("local") / "project")
    done = project.apply()
    assert (done.returncode, done.stderr) == (0, "")
    return project


def test_a_dry_run_shows_the_difference_and_writes_nothing(answers: dict[str, Any]) -> None:
    """It says each component that would be made; the store still has ZenML's own stack only."""
    dry = answers["dry run"]
    assert "model_deployer small: (none) → flavor seldon-local" in dry["out"]
    assert "nothing written" in dry["out"]
    assert (dry["code"], dry["stacks"], dry["active"]) == (0, ["default"], None)


def test_the_store_agrees_with_the_file_afterwards(answers: dict[str, Any]) -> None:
    """Components, their settings and the active stack are those of the file; the flavor is registered too."""
    first = answers["first"]
    assert first["code"] == 0
    assert first["small"] == {
        "orchestrator": ["small", "local"],
        "artifact_store": ["small", "local"],
        "experiment_tracker": ["small", "mlflow"],
        "model_deployer": ["small", "seldon-local"],
    }
    assert first["settings"]["artifact_store"] == {"path": f"{answers['home']}/artifacts"}
    assert isinstance(first["settings"]["model_deployer"]["port"], int)
    assert first["active"] == "small"


def test_a_second_time_nothing_changes(answers: dict[str, Any]) -> None:
    """The registrar says so in one line."""
    assert answers["again"]["out"] == "small: no change\n"


def test_a_changed_setting_is_shown_as_old_and_new(answers: dict[str, Any]) -> None:
    """Only that setting is in the difference, and the component keeps its name."""
    home, moved = answers["home"], answers["moved"]
    assert moved["out"] == f"artifact_store small: path: {home}/artifacts → {home}/pictures\n"
    assert moved["settings"]["artifact_store"] == {"path": f"{home}/pictures"}


def test_a_component_that_left_the_file_leaves_the_stack_and_the_store(answers: dict[str, Any]) -> None:
    """ZenML's own default components stay, though no file names them."""
    removed = answers["removed"]
    assert "experiment_tracker" not in removed["small"]
    assert "experiment_tracker small" not in removed["components"]
    assert {"orchestrator default", "artifact_store default"} <= set(removed["components"])


def test_a_component_of_another_flavor_is_replaced(answers: dict[str, Any]) -> None:
    """The new one has the old one's name and place; nothing of the old one is left."""
    replaced = answers["replaced"]
    assert "orchestrator small: flavor: local → local_docker\n" in replaced["out"]
    assert replaced["small"]["orchestrator"] == ["small", "local_docker"]
    orchestrators = [name for name in replaced["components"] if name.startswith("orchestrator")]
    assert orchestrators == ["orchestrator default", "orchestrator small"]
    assert answers["back"]["small"] == answers["first"]["small"]


def test_an_outdated_flavor_is_brought_up_to_date(answers: dict[str, Any]) -> None:
    """When a flavor of ours takes other settings than the registered one, the store learns them, once."""
    assert answers["outdated"]["out"].splitlines() == [
        "flavor seldon-local (model_deployer): the settings it takes: as registered → as in the code"
    ]


def test_a_secret_that_changes_is_not_printed(answers: dict[str, Any]) -> None:
    """One that stood in the store in plain text goes, and only that it does is said."""
    planted = answers["planted"]
    assert planted["out"].splitlines() == [
        "experiment_tracker small: experiment_name: old → (none)",
        "experiment_tracker small: tracking_password: (hidden) → (none)",
        "experiment_tracker small: tracking_username: (hidden) → (none)",
    ]
    assert planted["settings"]["experiment_tracker"] == {}


def test_after_a_kill_between_two_acts_the_next_run_ends_the_work(answers: dict[str, Any]) -> None:
    """Killed while replacing a component, the old one set aside: the same end as without the kill."""
    killed = answers["killed"]
    assert killed["small"] == answers["first"]["small"]
    assert killed["components"] == answers["back"]["components"]


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("typo in a flavor", "small.yaml:10: no experiment_tracker flavor 'mflow': did you mean 'mlflow'?"),
        ("typo in a setting", "small.yaml:16: seldon-local has no setting 'prot': did you mean 'port'?"),
        (
            "typo in an optional setting",
            "small.yaml:16: seldon-local has no setting 'prot': did you mean 'port'?",
        ),
        (
            "missing secret",
            "small.yaml:13: ZenML has no secret nowhere with username: zenml secret create nowhere --user",
        ),
        ("flavor that fails", "small.yaml:12: experiment_tracker refused: PickyConfig fails on these"),
        (
            "wrong setting",
            "small.yaml:16: model_deployer setting 'port' refused: Input should be a valid integer",
        ),
        ("wrong path", "small.yaml:7: artifact_store refused: The path 's3://x/artifacts'"),
        ("wrong class", "small.yaml:13: 'stacks.local_deployer.flavor.SeldonLocalModelDeployer' refused"),
    ],
)
def test_what_a_flavor_does_not_take_is_refused(answers: dict[str, Any], act: str, said: str) -> None:
    """One line that names the file's line; the store is as before."""
    answer = answers[act]
    assert answer["code"] == 2
    assert answer["err"].startswith(said)
    assert answer["err"].count("\n") == 1
    assert answer["out"] == ""
    assert answer["small"] == answers["killed"]["small"]


def test_the_stack_that_the_user_chose_stays_active(answers: dict[str, Any]) -> None:
    """`zenml stack set` decides; running the registrar again does not switch back."""
    assert answers["chosen"]["active"] == "mine"
    assert answers["chosen"]["out"] == "small: no change\n"


def test_a_component_that_another_stack_uses_is_not_replaced(answers: dict[str, Any]) -> None:
    """The other stack keeps what it has; the message says how to go on."""
    shared = answers["shared"]
    assert shared["code"] == 2
    assert "'mine' uses" in shared["err"] and "`name:` of its own" in shared["err"]
    assert shared["small"]["orchestrator"] == ["small", "local"]


def test_if_absent_registers_a_stack_once_and_then_leaves_it(answers: dict[str, Any]) -> None:
    """Also from a shell that exports other things: what it was registered with stays, whom to tell too."""
    told, kept = answers["told"], answers["told if absent"]
    assert set(told["settings"]["alerter"]) == {"urls", "critical_urls"}
    assert (
        kept["out"] == "small: registered, and left as it is: python -m stacks.apply small.yaml changes it\n"
    )
    assert (kept["code"], kept["settings"]) == (0, told["settings"])
    absent = answers["absent"]
    assert absent["code"] == 0
    assert "other" in absent["stacks"] and "other" not in kept["stacks"]


def test_a_change_that_takes_alert_targets_away_is_said_aloud(answers: dict[str, Any]) -> None:
    """All of them or some, the alerter itself too; with the variables that bring them back."""
    dry = answers["not told dry"]["out"]
    assert (
        "WARNING: alerter: people are told of nothing any more: export SHUTTERLINE_ALERT_URLS and "
        "SHUTTERLINE_CRITICAL_URLS, or set urls and critical_urls (small.yaml:20), and run the command"
    ) in dry
    assert "WARNING: alerter: people are told of nothing any more: " in answers["alerter gone dry"]["out"]
    some = answers["not told of some"]
    assert (
        "WARNING: alerter: whom urls named are told of nothing any more: export SHUTTERLINE_ALER"
        in some["out"]
    )
    assert set(some["settings"]["alerter"]) == {"critical_urls"}
    assert "WARNING" not in answers["told"]["out"]


def test_what_begins_with_a_stack_leaves_one_that_is_there(project: Project) -> None:
    """`make dashboard`, `make demo` and `make mlflow` ask for one, and leave every byte of it."""
    for target in ("dashboard", "demo", "mlflow"):
        printed = subprocess.run(
            ["make", "-n", target], cwd=PROJECT, capture_output=True, text=True, check=True
        ).stdout
        registrar = [line for line in printed.splitlines() if "stacks.apply" in line]
        assert registrar == [make_recipe("registered")], target
    before = project.digest()
    kept = project.apply("--if-absent")
    assert (kept.returncode, kept.stderr) == (0, "")
    assert kept.stdout.startswith("local: registered, and left as it is")
    assert project.digest() == before


def test_another_checkout_uses_a_stack_that_is_there(project: Project) -> None:
    """It is made a ZenML repository with this stack as its own, though nothing of the stack changes."""
    shutil.rmtree(project.root / ".zen")
    kept = project.apply("--if-absent")
    assert kept.returncode == 0, kept.stderr
    assert f"active stack of {project.root}: default → local" in kept.stdout
    assert (project.root / ".zen" / "config.yaml").is_file()


def test_applying_the_local_stack_again_leaves_every_byte(project: Project) -> None:
    """One process, under 20 CPU-seconds, and neither store nor repository is written."""
    before, used = project.digest(), os.times().children_user
    done = project.apply()
    assert (done.returncode, done.stdout, done.stderr) == (0, "local: no change\n", "")
    assert project.digest() == before
    assert os.times().children_user - used < 20


def test_the_zenml_command_finds_our_flavors_from_any_folder_of_the_project(project: Project) -> None:
    """Its own process, without the project on its path, imports the deployer of the active stack."""
    done = project.run("zenml", "model-deployer", "models", "list", cwd="serving")
    assert done.returncode == 0, done.stderr
    assert "No served models" in done.stdout + done.stderr


def test_the_commands_of_the_docs_run(project: Project) -> None:
    """Each command of docs/stacks.md succeeds; --check says of each component that all is well."""
    blocks = (PROJECT / "docs" / "stacks.md").read_text().split("```sh\n")[1:]
    commands = [line for block in blocks for line in block.split("```", maxsplit=1)[0].splitlines()]
    outputs = {}
    for command in commands:
        done = project.run(*command.split())
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        outputs[command] = done.stdout
    assert len(outputs) == 4
    checked = outputs["python -m stacks.apply stacks/local.yaml --check"].splitlines()
    kinds = [line.split(": ok: ")[0] for line in checked]
    assert kinds == [
        "orchestrator",
        "artifact_store",
        "experiment_tracker",
        "model_registry",
        "model_deployer",
        "alerter",
    ]
    assert checked[-2].endswith(f"127.0.0.1:{project.port} is free")


def test_the_commands_of_the_alerts_page_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that registers whom to tell succeeds; --check says how many there are, and who is told of what."""
    commands = [each for each in commands_of("docs/alerts.md") if not each.startswith("python run.py")]
    outputs = {}
    monkeypatch.setattr(project, "environment", dict(project.environment))
    for command in commands:
        if command.startswith("export "):
            name, _, value = shlex.split(command)[1].partition("=")
            project.environment[name] = value
            continue
        done = project.run(*shlex.split(command))
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        outputs[command] = done.stdout
    checked = outputs["python -m stacks.apply stacks/local.yaml --check"].splitlines()
    assert "alerter: ok: 2 targets: json, json (critical alone); nothing was sent" in checked
    applied = outputs["python -m stacks.apply stacks/local.yaml"]
    assert "critical_urls" in applied
    assert "127.0.0.1:9000" not in applied


def test_a_failed_check_keeps_the_store_unwritten(project: Project) -> None:
    """A port in use is exit 2, a database that is none is exit 4, and the worst of them is the answer."""
    before = project.digest()
    database = project.home / "artifacts" / "mlflow.db"
    with socket.socket() as other:
        other.bind(("127.0.0.1", project.port))
        other.listen()
        taken = project.apply("--check")
        assert taken.returncode == 2
        assert f"model_deployer: WRONG: 127.0.0.1:{project.port} is taken" in taken.stdout
        database.parent.mkdir(parents=True, exist_ok=True)
        database.write_bytes(b"no database" * 100)
        both = project.apply()
        database.unlink()
    assert both.returncode == 4
    assert both.stdout == ""
    assert [line.split(":")[0] for line in both.stderr.splitlines()] == [
        "experiment_tracker",
        "model_deployer",
    ]
    assert project.digest() == before


def test_a_store_that_does_not_open_is_exit_4(project: Project, tmp_path: Path) -> None:
    """One line, no traceback."""
    store = tmp_path / "zenml" / "local_stores" / "default_zen_store" / "zenml.db"
    store.parent.mkdir(parents=True)
    store.write_bytes(b"no database" * 100)
    project.environment["ZENML_CONFIG_PATH"] = str(tmp_path / "zenml")
    done = project.apply("--dry-run")
    project.environment["ZENML_CONFIG_PATH"] = str(project.root.parent / "zenml")
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("ZenML's store cannot be read or written (")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", [[], ["--check"], ["--dry-run"]], ids=str)
def test_a_zenml_server_that_is_down_is_exit_4_within_seconds(project: Project, option: list[str]) -> None:
    """One line that names it, where ZenML itself goes on asking for half a minute; nothing is written."""
    before, address = project.digest(), f"http://127.0.0.1:{free_port()}"
    project.environment["ZENML_STORE_URL"] = address
    try:
        started = time.monotonic()
        done = project.apply(*option)
        took = time.monotonic() - started
    finally:
        del project.environment["ZENML_STORE_URL"]
    assert done.returncode == 4
    said = done.stdout if option == ["--check"] else done.stderr
    assert f"ZenML at {address} does not answer (" in said.splitlines()[0]
    assert "Traceback" not in done.stderr
    assert took < 20
    assert project.digest() == before


def test_a_remote_stack_is_not_registered_in_a_database_of_this_machine(project: Project) -> None:
    """All that is wrong is said, one line each; what has no address to ask yet is not called good."""
    before, nobody = project.digest(), f"127.0.0.1:{free_port()}"
    remote = {
        "SHUTTERLINE_S3_PATH": "s3://models/zenml",
        "SHUTTERLINE_CONTAINER_REGISTRY": nobody,
        "SHUTTERLINE_IMAGE_TAG": "1.0.0",
        "SHUTTERLINE_GATE_PUBLIC_KEY": GATE_PUBLIC,
        "SHUTTERLINE_STEPS_PUBLIC_KEY": ACTOR_PUBLIC,
        **{f"SHUTTERLINE_{name}_URL": f"http://{nobody}" for name in SERVERS},
    }
    project.environment.update(remote)
    try:
        done = project.apply(file="stacks/kubeflow.yaml")
        checked = project.apply("--check", file="stacks/kubeflow.yaml")
    finally:
        for name in remote:
            del project.environment[name]
    assert done.returncode == checked.returncode == 4
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "zenml_server",
        "orchestrator",
        "container_registry",
    ]
    assert "zenml_server: ZenML keeps what it knows in a database of this machine" in done.stderr
    said = {line.split(": ")[0]: line.split(": ", maxsplit=1)[1] for line in checked.stdout.splitlines()}
    assert said["artifact_store"] == said["model_deployer"]
    assert said["artifact_store"] == "not checked: its secrets lie in the ZenML server"
    assert said["image_builder"] == "not checked: images are built by `make images`"
    assert f"Kubeflow at http://{nobody} does not answer" in said["orchestrator"]
    assert project.digest() == before


def test_what_a_run_tracks_stays_out_of_the_project(project: Project) -> None:
    """MLflow's database and artifacts lie under the home, none in the folder that the run was started in."""
    (project.root / "tracked.py").write_text(TRACKED)
    present = {path.name for path in project.root.iterdir()}
    done = project.run("python", "tracked.py")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in project.root.iterdir()} == present
    with sqlite3.connect(project.home / "artifacts" / "mlflow.db") as rows:
        assert rows.execute("select value from metrics").fetchall() == [(0.5,)]
    kept = [path for path in project.home.rglob("note.txt") if path.read_text() == "kept"]
    assert len(kept) == 1
