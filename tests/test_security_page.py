"""docs/security.md: its commands run here, in a ZenML store of their own; what it shows is accepted."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks.main.home import own_variables
from materializers.signatures import PrivateKey, Signer, public_keys, verify
from pipelines.config import load_config
from stacks.trusted_keys import trusted_keys
from steps.evaluation.catalogue import CATALOGUE
from steps.evaluation.security.settings import SecuritySettings
from tests.pages import commands_of, make_recipe, rows_of, source_of, text_of, yaml_blocks_of
from tests.shrunk.delivery import PROJECT

PAGE = "docs/security.md"
ELSEWHERE = "python -m stacks.apply stacks/kubeflow.yaml --dry-run"
"""Run by tests/kubeflow/test_docs.py, which takes it from the head of the stack file."""
DIGEST = "ab" * 32


@dataclass
class Reader:
    """Somebody who has a local stack and types what the page says, in its order."""

    home: Path
    own: dict[str, str]
    said: dict[str, str] = field(default_factory=dict)

    def type(self, command: str) -> None:
        """Run a command, which has to succeed, and keep what it said."""
        meant = make_recipe("stack") if command == "make stack" else command
        done = subprocess.run(
            ["bash", "-c", meant],
            cwd=PROJECT,
            env={**os.environ, **self.own, "HOME": str(self.home), "SHUTTERLINE_HOME": str(self.state)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.said[command] = done.stdout

    @property
    def state(self) -> Path:
        """The folder of the local stack."""
        return self.home / "state"

    def signed(self, folder: str) -> str:
        """A signature by the account's key in a folder of keys."""
        key = PrivateKey.from_pem((self.state / folder / "actor.pem").read_text(), named=folder)
        return Signer("default", key).sign("approval", DIGEST)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Has typed every command of the page."""
    home = tmp_path_factory.mktemp("security")
    typed = Reader(home, own_variables(home))
    typed.type("make stack")
    for command in commands_of(PAGE):
        if command != ELSEWHERE:
            typed.type(command)
    return typed


def test_the_keys_of_a_team_are_made(reader: Reader) -> None:
    """A pair a name, of which the private half is its owner's alone."""
    made = reader.home / "shutterline-keys"
    pairs = {f"{name}{half}" for name in ("gate", "steps", "ada") for half in (".pem", ".pub.pem")}
    assert {path.name for path in made.iterdir()} == pairs
    assert {path.stat().st_mode & 0o777 for path in made.glob("*.pem") if ".pub" not in path.name} == {0o600}


def test_the_command_that_compares_the_keys_is_run_with_the_cluster() -> None:
    """It stands on the page and in the head of the stack file, from which another test takes it."""
    assert ELSEWHERE in commands_of(PAGE)
    assert f"#   {ELSEWHERE} " in text_of("stacks/kubeflow.yaml")
    assert "STACK_FILE, re.M)" in source_of(
        "tests/kubeflow/test_docs.py", "test_the_registrars_commands_do_what_is_said_of_them"
    )


def test_keys_are_exchanged_and_what_was_signed_holds(reader: Reader) -> None:
    """After the page's commands new keys sign, the new public half comes first, and old signatures verify."""
    assert "demo key pair gate: (none) → " in reader.said["make stack"]
    keys, before = reader.state / "keys", reader.state / "keys-before"
    trusted = trusted_keys(str(keys / "gate.pub.pem"), {"default": str(keys / "actor.pub.pem")})
    for folder in ("keys", "keys-before"):
        verify(
            trusted, account="default", statement="approval", digest=DIGEST, signature=reader.signed(folder)
        )
    old = (before / "gate.pub.pem").read_text()
    new = PrivateKey.from_pem((keys / "gate.pem").read_text(), named="gate")
    assert public_keys(trusted.gate) == (new.public_pem, *public_keys(old))


@pytest.mark.parametrize("configured", [True, False])
def test_whoever_set_no_folder_exchanges_the_keys_that_are_in_use(tmp_path: Path, configured: bool) -> None:
    """The first line names the folder in which the stack file looks, wherever ZENML keeps its own."""
    (line,) = (command for command in commands_of(PAGE) if command.startswith("export SHUTTERLINE_HOME="))
    unset = {"SHUTTERLINE_HOME", "ZENML_CONFIG_PATH", "XDG_CONFIG_HOME"}
    own = {name: value for name, value in os.environ.items() if name not in unset}
    own |= {"HOME": str(tmp_path)} | ({"ZENML_CONFIG_PATH": str(tmp_path / "zenml")} if configured else {})
    show = "from zenml.utils.io_utils import get_global_config_directory as folder; print(folder())"
    done = subprocess.run(
        ["bash", "-c", f'{line}; echo "$SHUTTERLINE_HOME"; python -c "{show}"'],
        env=own,
        capture_output=True,
        text=True,
        check=True,
    )
    named, kept = done.stdout.splitlines()[-2:]
    assert named == f"{kept.rstrip('/')}/shutterline"


def test_the_example_of_an_accepted_advisory_is_accepted(tmp_path: Path) -> None:
    """It has every key that one takes, and no other."""
    shown, _ = yaml_blocks_of(PAGE)
    (tmp_path / "accepted.yaml").write_text(shown)
    (accepted,) = load_config(tmp_path / "accepted.yaml", ()).evaluate.security.accepted
    assert accepted.package == "pillow"


def test_the_example_of_a_watermark_makes_its_rule_a_required_one(tmp_path: Path) -> None:
    """Which advises where none is configured."""
    _, shown = yaml_blocks_of(PAGE)
    (tmp_path / "marked.yaml").write_text(shown)
    for path, requirement in ((tmp_path / "marked.yaml", "required"), (None, "advisory")):
        assert load_config(path, ()).policy.rules["watermark_matches"].requirement == requirement


def test_the_checks_and_settings_are_those_of_the_code() -> None:
    """Rules that the page names are metrics; numbers that it gives are the configured ones."""
    text = text_of(PAGE)
    rules = re.findall(r"\(`(\w+)`\)", " ".join(row[0] for row in rows_of(text)))
    assert set(rules) == {"unexpected_files", "signature_valid", "unlisted_advisories"} & set(CATALOGUE)
    settings = load_config(None, ()).evaluate.security
    for name in ("audit_again_after_hours", "oldest_audit_days"):
        assert f"`{name}` ({getattr(settings, name):g})" in text
    named = re.findall(r"`evaluate\.security\.(\w+)`", text)
    assert named
    assert set(named) <= set(SecuritySettings.model_fields)
