"""docs/kubeflow.md and docs/servers.md: their commands run here, or say the same as what runs here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from actions.request import Request, check_flags
from benchmarks.kubeflow.story import Teller, register
from materializers.signatures import ACTOR_KEY, GATE_KEY, PrivateKey, public_keys
from run import main
from stacks.kubernetes_check import NEEDS
from stacks.seldon_deployer.resource import S3_KEYS
from tests.remote.__main__ import _default_home
from tests.remote.site import Site
from tests.shrunk.delivery import PROJECT

STACK_FILE = (PROJECT / "stacks" / "kubeflow.yaml").read_text(encoding="utf-8")
ROLE = PROJECT / "docs" / "kubernetes" / "deployer-role.yaml"


def commands(page: str, start: str = "") -> list[str]:
    """The commands of a page's ``sh`` blocks that begin so."""
    text = (PROJECT / "docs" / page).read_text(encoding="utf-8")
    lines = "".join(re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)).splitlines()
    return [line for line in lines if line.startswith(start)]


def test_every_variable_is_one_of_the_stack_file() -> None:
    """What the page exports is referred to in ``stacks/kubeflow.yaml``; what has no default is there.

    A person's own key is for no component: her commands take it as it is.
    """
    exported = {line.split("=")[0].removeprefix("export ") for line in commands("kubeflow.md", "export ")}
    referred = set(re.findall(r"\$\{(SHUTTERLINE_\w+)", STACK_FILE))
    needed = set(re.findall(r"\$\{(SHUTTERLINE_\w+)\}", STACK_FILE))
    assert exported - {ACTOR_KEY} <= referred
    assert needed <= exported


def test_every_secret_of_zenml_is_one_of_the_stack_file() -> None:
    """Names and keys of ``zenml secret create``."""
    made = set()
    for command in commands("kubeflow.md", "zenml secret create "):
        name, *keys = shlex.split(command)[3:]
        made |= {f"{{{{{name}.{key.removeprefix('--').split('=')[0]}}}}}" for key in keys}
    assert (
        set(re.findall(r"\{\{shutterline_(?:s3|mlflow|kubernetes|serving|alerts)\.\w+\}\}", STACK_FILE))
        == made
    )


def test_every_secret_of_kubernetes_is_one_of_the_stack_file() -> None:
    """Names and keys of ``kubectl create secret``; the stub has the same for the tests."""
    made = {}
    for command in commands("kubeflow.md", "kubectl -n shutterline create secret"):
        words = shlex.split(command)
        made[words[6]] = [word.split("=")[1] for word in words if word.startswith("--from-")]
    assert made == {
        "shutterline-zenml": ["api_key"],
        "shutterline-s3": list(S3_KEYS),
        "shutterline-keys": ["gate", "actor"],
        "shutterline-serving-token": ["token"],
    }
    assert all(f":-{name}}}" in STACK_FILE for name in made)


def test_the_gates_key_is_the_gates_alone() -> None:
    """The secret's keys are given as the page says: one to each step, one to the gate."""
    settings = yaml.safe_load(STACK_FILE)["components"]["orchestrator"]["configuration"]
    assert settings["environment_secrets"][ACTOR_KEY].endswith(":-shutterline-keys}.actor")
    assert list(settings["step_secrets"]) == ["gate"]
    assert settings["step_secrets"]["gate"][GATE_KEY].endswith(":-shutterline-keys}.gate")
    assert GATE_KEY not in settings["environment_secrets"]


def test_the_keys_are_made_and_exported_as_the_page_says(tmp_path: Path) -> None:
    """Private halves that their owner alone can read, public ones as the stack file takes them."""
    (make,) = commands("kubeflow.md", "python -m stacks.key_pairs")
    names = ("GATE_PUBLIC_KEY", "STEPS_PUBLIC_KEY", "ACTOR_KEY")
    exports = [line for name in names for line in commands("kubeflow.md", f"export SHUTTERLINE_{name}=")]
    shown = [f'printf "%s\\0" "$SHUTTERLINE_{name}"' for name in names]
    environment = {**os.environ, "HOME": str(tmp_path)}
    script = "\n".join(["set -e", f"{make} >&2", *exports, *shown])
    said = subprocess.run(
        ["bash", "-c", script], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    ).stdout
    gate, steps, ada = said.split("\0")[:3]
    keys = tmp_path / "shutterline-keys"
    for public, private in {gate: "gate", steps: "steps"}.items():
        key = PrivateKey.from_pem((keys / f"{private}.pem").read_text(), named=private)
        assert public_keys(public) == (key.public_pem,)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ACTOR_KEY, ada)
        assert PrivateKey.from_environment(ACTOR_KEY).public_pem == (keys / "ada.pub.pem").read_text()


def test_the_role_allows_what_is_needed_and_no_more() -> None:
    """What the registrar's check asks for, to the verb."""
    role = next(part for part in yaml.safe_load_all(ROLE.read_text()) if part["kind"] == "Role")
    allowed = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert allowed == {
        (need.group, need.resource + (f"/{need.part}" if need.part else "")): set(need.verbs)
        for need in NEEDS
    }
    assert any(ROLE.name in command for command in commands("kubeflow.md", "kubectl"))


def test_the_remote_stack_on_one_machine_is_found_where_the_page_says() -> None:
    """``make kubeflow-up`` without a folder writes the file that the page sources."""
    (command,) = commands("kubeflow.md", "source ~")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XDG_STATE_HOME", raising=False)
        assert Path(command.removeprefix("source ")).expanduser() == _default_home() / "environment.sh"


@pytest.mark.parametrize("command", commands("kubeflow.md", "python run.py"))
def test_every_call_of_run_py_is_one_that_it_takes(command: str) -> None:
    """Flags and their combinations; the story, the schedules and ``--compile`` run them."""
    with main.make_context("run.py", shlex.split(command)[2:]) as context:
        check_flags(Request(**context.params))


def said_by(command: str, environment: Mapping[str, str]) -> str:
    """What a command says that must succeed."""
    words = shlex.split(command)
    done = subprocess.run(
        words, env=dict(environment), cwd=PROJECT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_registrars_commands_do_what_is_said_of_them(on_kubeflow: Callable[[str], Teller]) -> None:
    """Each as the page or the file's head has it: two write nothing, one writes, and does it once.

    Somebody has registered the stack with an address for alerts, and the next one has none.
    """
    head = re.findall(r"^#   (python -m stacks\.apply \S+(?: --\S+)?)", STACK_FILE, re.M)
    written = {*commands("kubeflow.md", "python -m stacks.apply"), *head}
    *others, apply = sorted(written, key=len, reverse=True)
    others_said = {
        "--check": "alerter: ok: no targets: messages go to the log\n",
        "--dry-run": "kubeflow: nothing written: run it without --dry-run\n",
    }
    difference = "alerter kubeflow: urls: (hidden) → (none)\n"
    registered = on_kubeflow("docs").environment
    without_alerts = {key: value for key, value in registered.items() if key != "SHUTTERLINE_ALERT_URLS"}
    try:
        for command in others:
            said = said_by(command, without_alerts)
            assert others_said.pop(shlex.split(command)[-1]) in said
            assert (difference in said) is ("--dry-run" in command)
        assert not others_said
        changed, warned = said_by(apply, without_alerts).splitlines(keepends=True)
        assert changed == difference
        assert warned.startswith("WARNING: alerter: people are told of nothing any more")
        assert said_by(apply, without_alerts) == "kubeflow: no change\n"
    finally:
        register(registered, PROJECT / "stacks" / "kubeflow.yaml")


def test_the_stack_is_chosen_as_zenml_users_do(on_kubeflow: Callable[[str], Teller]) -> None:
    """``zenml stack set kubeflow``, as the page has it."""
    (command,) = commands("kubeflow.md", "zenml stack set")
    said_by(command, on_kubeflow("docs").environment)


@pytest.mark.parametrize(("server", "page"), [("mlflow", "servers.md"), ("zenml", "servers.md")])
def test_the_servers_are_started_as_here(remote_site: Site, server: str, page: str) -> None:
    """The page's variables and options are those of the server that runs here, but for the database."""
    started = getattr(remote_site, server)
    lines = commands(page)
    heads = {"mlflow": "mlflow server", "zenml": "python -m uvicorn"}
    (command,) = [line for line in lines if line.startswith(heads[server])]
    written = {word for word in shlex.split(command)[2:] if word.startswith("--")}
    assert written <= set(started.command)
    prefix = {"mlflow": ("MLFLOW_",), "zenml": ("ZENML_",)}[server]
    exported = {line.split("=")[0].removeprefix("export ") for line in lines if line.startswith("export ")}
    ours = {name for name in exported if name.startswith(prefix)}
    assert ours
    assert ours <= set(started.environment)
    assert {"MLFLOW_FLASK_SERVER_SECRET_KEY", "ZENML_SECRETS_STORE_ENCRYPTION_KEY"} & ours
