"""What a stack file points to, checked before anything is registered."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import pytest

from materializers.errors import ServiceUnreachable, UsageError
from stacks.checks import check_folder, check_port, check_sqlite, check_stack
from stacks.local_deployer import processes
from stacks.stack_file import load_stack_file

LISTENER = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(60)
"""
DEPLOYER = """
name: small
components:
  orchestrator: {flavor: local}
  artifact_store: {flavor: local, configuration: {path: "${FOLDER}/artifacts"}}
  model_deployer:
    flavor: seldon-local
    configuration: {state_directory: "${FOLDER}/deployer", port: "${PORT}", serving_environment: "${SERVING}"}
"""


def found(tmp_path: Path, kind: str, content: str, **variables: str) -> tuple[str, int]:
    """Give what the check of one component says, and the exit code that it asks for."""
    (tmp_path / "stack.yaml").write_text(content)
    stack = load_stack_file(tmp_path / "stack.yaml", {"FOLDER": str(tmp_path), **variables})
    finding = next(finding for finding in check_stack(stack) if finding.kind == kind)
    return finding.message, finding.error.exit_code if finding.error else 0


def drop_root() -> None:
    """Become an ordinary user, where this is root."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def test_a_setting_that_a_deployer_does_not_have_is_named_with_its_line(tmp_path: Path) -> None:
    """And with the one that is meant, as by the registrar; one with a wrong value has its line, too."""
    deployer, _, _ = DEPLOYER.partition("configuration: {state_directory")
    content = (
        f"{deployer}configuration:\n      state_directory: ${{FOLDER}}/deployer\n      capture_picture: 0.5\n"
    )
    message, code = found(tmp_path, "model_deployer", content)
    assert (code, message) == (
        2,
        "WRONG: no setting 'capture_picture': did you mean 'capture_pictures'? "
        f"({tmp_path / 'stack.yaml'}:10)",
    )
    wrong = content.replace("capture_picture: 0.5", "capture_pictures: many")
    message, code = found(tmp_path, "model_deployer", wrong)
    assert code == 2
    assert message.startswith("WRONG: capture_pictures: Input should be a valid number")
    assert message.endswith("stack.yaml:10)")


def test_a_folder_that_is_not_there_yet_is_good_and_stays_unmade(tmp_path: Path) -> None:
    """A check creates nothing."""
    assert check_folder(f"{tmp_path}/a/b") == f"{tmp_path}/a/b"
    assert list(tmp_path.iterdir()) == []


def test_a_relative_folder_is_refused() -> None:
    """It would move with the directory of each run."""
    with pytest.raises(UsageError, match="SHUTTERLINE_HOME"):
        check_folder("artifacts")


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    """The message names the file, not the folder below it."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="taken is no folder"):
        check_folder(f"{tmp_path}/taken/artifacts")


def test_a_folder_that_this_user_may_not_use_is_out_of_reach(tmp_path: Path) -> None:
    """Without the right to write, or even to look: both are said, neither is a traceback."""
    (tmp_path / "locked").mkdir(mode=0o000)
    # Root may do everything, so that the check runs as nobody.
    with get_context("fork").Pool(1, initializer=drop_root) as pool:
        for folder in ("/usr/shutterline", f"{tmp_path}/locked/artifacts"):
            with pytest.raises(ServiceUnreachable, match="set SHUTTERLINE_HOME"):
                pool.apply(check_folder, (folder,))


def test_a_database_opens_or_will_be_made(tmp_path: Path) -> None:
    """A check makes no database."""
    assert check_sqlite(f"sqlite:///{tmp_path}/mlflow.db").endswith("(made by the first run)")
    assert list(tmp_path.iterdir()) == []
    sqlite3.connect(tmp_path / "mlflow.db").execute("create table runs (id)")
    assert check_sqlite(f"sqlite:///{tmp_path}/mlflow.db") == f"{tmp_path}/mlflow.db"


def test_a_file_that_is_no_database_is_out_of_reach(tmp_path: Path) -> None:
    """It is named, and left as it is."""
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(ServiceUnreachable, match=r"mlflow\.db does not open"):
        check_sqlite(f"sqlite:///{tmp_path}/mlflow.db")
    assert (tmp_path / "mlflow.db").read_bytes() == b"no database" * 100


def test_a_port_is_free_until_somebody_listens() -> None:
    """Looking does not take it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not check_port("127.0.0.1", port)
    assert check_port("127.0.0.1", port)
    assert check_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    """192.0.2.1 is reserved for documentation: no machine has it."""
    with pytest.raises(UsageError, match=r"192\.0\.2\.1:8090 cannot be listened on"):
        check_port("192.0.2.1", 8090)


def test_the_deployers_own_ingress_may_hold_the_port(tmp_path: Path) -> None:
    """What the deployer of this very folder started is ours; the same program of another folder is not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    command = [sys.executable, "-c", LISTENER, port]
    variables = {"PORT": port, "SERVING": sys.prefix}
    child = processes.start(
        "ingress", command, site=tmp_path / "deployer", log=tmp_path / "log", cwd=tmp_path
    )
    try:
        deadline = time.monotonic() + 30
        while check_port("127.0.0.1", int(port)) and time.monotonic() < deadline:
            time.sleep(0.05)
        ours = found(tmp_path, "model_deployer", DEPLOYER, **variables)
        other = found(tmp_path, "model_deployer", DEPLOYER.replace("/deployer", "/other"), **variables)
    finally:
        child.kill()
        child.wait()
    assert ours == (f"ok: 127.0.0.1:{port} is served by this deployer", 0)
    assert other[1] == 2
    assert "taken by another program" in other[0]


def test_a_missing_serving_environment_is_named(tmp_path: Path) -> None:
    """The message says what builds it."""
    message, code = found(tmp_path, "model_deployer", DEPLOYER, PORT="18090", SERVING=f"{tmp_path}/none")
    assert code == 2
    assert "`make setup`" in message


def test_the_registry_needs_the_tracker(tmp_path: Path) -> None:
    """MLflow's registry without MLflow's tracker would fail in the first run: it is refused before."""
    content = DEPLOYER.split("  model_deployer", maxsplit=1)[0] + "  model_registry: {flavor: mlflow}\n"
    message, code = found(tmp_path, "model_registry", content)
    assert code == 2
    assert message.endswith("stack.yaml:6)")


def test_a_flavor_without_a_check_is_said_to_be_unchecked(tmp_path: Path) -> None:
    """What was not checked is never called good."""
    content = DEPLOYER.split("  model_deployer", maxsplit=1)[0] + "  alerter: {flavor: slack}\n"
    assert found(tmp_path, "alerter", content) == ("not checked: flavor slack", 0)
