"""Set-up: the environments from their lock files, refused early, repaired when killed.

A copy of the project's script works in an empty project whose lock files name two tiny packages, against a
package index on loopback. uv is the real one.
"""

import ast
import base64
import contextlib
import hashlib
import io
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from stacks import environments

ROOT = environments.ROOT
SCRIPT = Path(environments.__file__)
UV = shutil.which("uv", path=f"{ROOT}/.venv/bin{os.pathsep}{os.environ['PATH']}") or "uv"


def make_wheel(name: str, version: str, files: dict[str, str]) -> bytes:
    """Make a wheel that installs ``files``."""
    info = f"{name}-{version}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            member = zipfile.ZipInfo(path)
            member.external_attr = 0o100755 << 16
            archive.writestr(member, text)
    return buffer.getvalue()


class Index:
    """A package index on loopback that counts its requests and can hold back one wheel."""

    def __init__(self) -> None:
        self.wheels = {
            "alpha-1.0-py3-none-any.whl": make_wheel("alpha", "1.0", {"alpha.py": "VERSION = '1.0'\n"}),
            "alpha-2.0-py3-none-any.whl": make_wheel(
                "alpha", "2.0", {"alpha.py": "VERSION = '2.0'  # newer\n"}
            ),
            "beta-1.0-py3-none-any.whl": make_wheel("beta", "1.0", {"beta.py": "VERSION = '1.0'\n"}),
            "uv-1.0-py3-none-any.whl": make_wheel(
                "uv", "1.0", {"uv-1.0.data/scripts/uv": f'#!/bin/sh\nexec {UV} "$@"\n'}
            ),
        }
        self.requests: list[str] = []
        self.held_back = ""
        self.asked_for_held_back = threading.Event()
        self.let_go = threading.Event()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.answer(self)

            def do_HEAD(self) -> None:
                index.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Serve a page of links or a wheel."""
        self.requests.append(request.path)
        name = request.path.rstrip("/").rpartition("/")[2]
        if name == self.held_back:
            self.asked_for_held_back.set()
            self.let_go.wait(60)
        links = [
            f'<a href="/files/{wheel}">{wheel}</a>' for wheel in self.wheels if wheel.startswith(f"{name}-")
        ]
        body = self.wheels.get(name, "".join(links).encode())
        with contextlib.suppress(ConnectionError):
            request.send_response(200 if body else 404)
            request.send_header("Content-Type", "application/zip" if name in self.wheels else "text/html")
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            if request.command == "GET":
                request.wfile.write(body)


@pytest.fixture
def index() -> Iterator[Index]:
    """Give a package index of its own."""
    index = Index()
    yield index
    index.let_go.set()
    index.server.shutdown()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make an empty project whose pipelines need alpha and whose service needs beta."""
    root = tmp_path / "project"
    (root / "stacks").mkdir(parents=True)
    (root / "serving/mlserver").mkdir(parents=True)
    shutil.copy(SCRIPT, root / "stacks")
    (root / "requirements.txt").write_text("alpha>=1.0\n")
    (root / "requirements.lock").write_text("alpha==1.0\nuv==1.0\n")
    (root / "serving/requirements.txt").write_text("beta>=1.0\n")
    (root / "serving/requirements.lock").write_text("beta==1.0\n")
    (root / "serving/mlserver/requirements.txt").write_text("beta>=1.0\n")
    (root / "serving/mlserver/requirements.lock").write_text("beta==1.0\n")
    return root


def environ(project: Path, index: str, *, path: str | None = None, **more: str) -> dict[str, str]:
    """Give the variables of a user who has nothing configured but the index."""
    path = path or f"{Path(UV).parent}{os.pathsep}{os.defpath}"
    home = str(project.parent)
    return {"PATH": path, "HOME": home, "UV_CACHE_DIR": f"{home}/cache", "UV_DEFAULT_INDEX": index, **more}


def run_act(
    project: Path, variables: dict[str, str], act: str = "setup", *, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Run the project's script as make does."""
    command = [python, "stacks/environments.py", act]
    return subprocess.run(
        command, cwd=project, env=variables, capture_output=True, text=True, check=False, timeout=120
    )


def version_in(project: Path, environment: str, package: str) -> str:
    """Ask an environment's own Python which version of a package it imports."""
    command = [f"{project}/{environment}/bin/python", "-c", f"import {package}; print({package}.VERSION)"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def test_setup_builds_both_environments_and_then_has_nothing_to_do(project: Path, index: Index) -> None:
    """The first run installs what the locks name; the second asks nobody and ends within a second."""
    first = run_act(project, environ(project, index.url))
    assert first.returncode == 0, first.stderr
    assert (version_in(project, ".venv", "alpha"), version_in(project, ".venv-serving", "beta")) == (
        "1.0",
        "1.0",
    )
    assert version_in(project, ".venv", "beta") == ""
    begins, *parts = first.stdout.splitlines()
    assert begins.startswith("Setting up .venv, .venv-serving and .venv-mlserver: one to three minutes")
    fetching = parts.index("  .venv-serving: fetching and compiling what serving/requirements.lock names …")
    assert re.fullmatch(r"  \.venv-serving holds serving/requirements\.lock: \d+\.\d s", parts[fetching + 1])

    index.requests.clear()
    start = time.monotonic()
    second = run_act(project, environ(project, index.url))
    assert time.monotonic() - start < 1.0
    assert (second.returncode, second.stdout, second.stderr, index.requests) == (0, "", "", [])


def test_uv_comes_with_pip_where_there_is_none(project: Path, index: Index) -> None:
    """Without uv on PATH, the uv of the lock file is installed into .venv and installs the rest."""
    result = run_act(project, environ(project, index.url, path=os.defpath))
    assert result.returncode == 0, result.stderr
    assert "uv==1.0 installed: " in result.stdout
    assert (project / ".venv/bin/uv").read_text().startswith("#!/bin/sh")
    assert version_in(project, ".venv", "alpha") == "1.0"


def test_packages_are_compiled_even_where_the_user_forbids_python_to(project: Path, index: Index) -> None:
    """PYTHONDONTWRITEBYTECODE doubles every import; set-up does not inherit it."""
    run_act(project, environ(project, index.url, PYTHONDONTWRITEBYTECODE="1"))
    assert list((project / ".venv").rglob("__pycache__/alpha.*.pyc"))


def test_a_changed_lock_changes_only_its_environment(project: Path, index: Index) -> None:
    """The new version is installed and the other environment is left as it is."""
    run_act(project, environ(project, index.url))
    kept = (project / ".venv-serving/shutterline.json").stat().st_mtime_ns
    (project / "requirements.lock").write_text("alpha==2.0\nuv==1.0\n")
    result = run_act(project, environ(project, index.url))
    assert result.returncode == 0, result.stderr
    assert version_in(project, ".venv", "alpha") == "2.0"
    assert ".venv-serving" not in result.stdout
    assert (project / ".venv-serving/shutterline.json").stat().st_mtime_ns == kept


def test_a_killed_setup_is_repaired_by_running_again(project: Path, index: Index) -> None:
    """What a killed run left half done is not taken for finished, and the next run completes it."""
    index.held_back = "beta-1.0-py3-none-any.whl"
    command = [sys.executable, "stacks/environments.py", "setup"]
    variables = environ(project, index.url)
    with subprocess.Popen(command, cwd=project, env=variables, start_new_session=True) as child:
        assert index.asked_for_held_back.wait(60)
        os.killpg(child.pid, signal.SIGKILL)
    (project / ".venv-serving/lib/python3.11/site-packages/half.py").touch()
    index.held_back = ""
    index.let_go.set()
    result = run_act(project, variables)
    assert result.returncode == 0, result.stderr
    assert (version_in(project, ".venv", "alpha"), version_in(project, ".venv-serving", "beta")) == (
        "1.0",
        "1.0",
    )
    assert not list((project / ".venv-serving").rglob("half.py"))


def test_a_killed_change_is_noticed_after_the_lock_is_put_back(project: Path, index: Index) -> None:
    """An environment that was being changed is not trusted, even when its lock says again what it said."""
    variables = environ(project, index.url)
    run_act(project, variables)
    (project / "requirements.lock").write_text("alpha==2.0\nuv==1.0\n")
    index.held_back = "alpha-2.0-py3-none-any.whl"
    command = [sys.executable, "stacks/environments.py", "setup"]
    with subprocess.Popen(command, cwd=project, env=variables, start_new_session=True) as child:
        assert index.asked_for_held_back.wait(60)
        os.killpg(child.pid, signal.SIGKILL)
    (project / "requirements.lock").write_text("alpha==1.0\nuv==1.0\n")
    result = run_act(project, variables)
    assert result.returncode == 0, result.stderr
    assert ".venv created" in result.stdout
    assert version_in(project, ".venv", "alpha") == "1.0"


def test_a_second_setup_waits_for_the_first(project: Path, index: Index) -> None:
    """Two terminals at once: the second says that it waits, and both end well."""
    index.held_back = "alpha-1.0-py3-none-any.whl"
    command = [sys.executable, "stacks/environments.py", "setup"]
    variables = environ(project, index.url)
    with subprocess.Popen(command, cwd=project, env=variables, stdout=subprocess.DEVNULL) as first:
        assert index.asked_for_held_back.wait(60)
        with subprocess.Popen(
            command, cwd=project, env=variables, stdout=subprocess.PIPE, text=True
        ) as second:
            assert second.stdout is not None
            assert "waiting" in second.stdout.readline()
            index.held_back = ""
            index.let_go.set()
            assert second.wait(60) == 0
            assert second.stdout.read() == ""
        assert first.wait(60) == 0


def test_a_failed_installation_is_an_error_and_not_stamped(project: Path, index: Index) -> None:
    """A lock that names what the index lacks ends with 1 and uv's reason; mended, the command goes on."""
    (project / "serving/requirements.lock").write_text("beta==9.9\n")
    result = run_act(project, environ(project, index.url))
    assert result.returncode == 1
    assert "beta==9.9" in result.stderr
    (project / "serving/requirements.lock").write_text("beta==1.0\n")
    assert run_act(project, environ(project, index.url)).returncode == 0


def test_cpu_torch_leaves_out_what_only_the_lock_names_and_is_remembered(project: Path, index: Index) -> None:
    """With UV_TORCH_BACKEND the requirements are installed in the lock's versions, later runs included.

    The index of CPU-only torch cannot be reached from here, so beta stands for the CUDA packages of the lock.
    """
    (project / "requirements.lock").write_text("alpha==1.0\nbeta==1.0\nuv==1.0\n")
    result = run_act(project, environ(project, index.url, UV_TORCH_BACKEND="cpu"))
    assert result.returncode == 0, result.stderr
    again = run_act(project, environ(project, index.url))
    assert (again.returncode, again.stdout) == (0, "")
    assert (version_in(project, ".venv", "alpha"), version_in(project, ".venv", "beta")) == ("1.0", "")


def test_an_unreachable_index_is_refused_before_anything_is_built(project: Path) -> None:
    """Exit 4 and one line that names the index without its credentials, and nothing on disk."""
    user = "someone:hidden"
    result = run_act(project, environ(project, f"http://{user}@127.0.0.1:9/simple"))
    assert result.returncode == 4
    assert "http://127.0.0.1:9/simple does not answer" in result.stderr
    assert "UV_DEFAULT_INDEX" in result.stderr
    assert "hidden" not in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (project / ".venv").exists()


def test_an_address_that_is_no_index_is_refused(project: Path, index: Index) -> None:
    """A server that does not know the package uv is not where the locks' packages come from."""
    del index.wheels["uv-1.0-py3-none-any.whl"]
    result = run_act(project, environ(project, index.url))
    assert result.returncode == 4
    assert "answers 404" in result.stderr


@pytest.mark.parametrize("name", ["UV_INDEX_URL", "PIP_INDEX_URL"])
def test_the_index_of_an_older_variable_is_used(project: Path, index: Index, name: str) -> None:
    """A user who configured uv or pip by its older variable needs no other."""
    variables = environ(project, index.url)
    variables[name] = variables.pop("UV_DEFAULT_INDEX")
    result = run_act(project, variables)
    assert result.returncode == 0, result.stderr
    assert "/files/alpha-1.0-py3-none-any.whl" in index.requests


def test_too_little_disk_is_refused_only_when_something_is_to_be_installed(
    project: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2 names what is free and what is needed; finished environments are left in peace."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(20 * 10**9, 17 * 10**9, 3 * 10**9))
    with pytest.raises(environments.SetupError, match=r"3\.0 GB of disk are free .* need 10 GB") as refusal:
        environments.set_up(project)
    assert refusal.value.exit_code == 2
    assert not (project / ".venv").exists()
    assert run_act(project, environ(project, index.url)).returncode == 0
    environments.set_up(project)


def test_another_python_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 before anything else, with the version found, the one needed and the command that mends it."""
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    with pytest.raises(SystemExit) as refusal:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert refusal.value.code == 2
    message = capsys.readouterr().err
    assert "3.11 only" in message
    assert "make setup PYTHON=" in message
    assert message.count("\n") == 1


def test_an_old_python_can_parse_the_script_up_to_its_refusal() -> None:
    """The refusal is of use only where the file parses: Python 3.6's grammar is enough."""
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))


def test_lock_writes_all_files_without_an_address_and_names_make_lock(project: Path, index: Index) -> None:
    """`make lock` resolves anew, and what it writes holds on any index."""
    (project / "requirements.lock").write_text("")
    result = run_act(project, environ(project, index.url), "lock")
    assert result.returncode == 0, result.stderr
    names = [environment.lock for environment in environments.ENVIRONMENTS]
    locks = [(project / name).read_text() for name in names]
    assert ["alpha==2.0" in locks[0], "beta==1.0" in locks[1], "beta==1.0" in locks[2]] == [True] * 3
    for lock in locks:
        assert "make lock" in lock
        assert "127.0.0.1" not in lock


def read_pins(lock: str) -> dict[str, str]:
    """Read the exact versions of one of the project's lock files."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / lock).read_text(), re.MULTILINE))


def read_requirements(name: str) -> list[Requirement]:
    """Read one of the project's requirement files."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line]


def test_all_locks_agree_on_what_decodes_and_runs_a_picture() -> None:
    """Training and serving give the same bytes only with the same decoders and the same runtime."""
    pipelines, *services = (read_pins(environment.lock) for environment in environments.ENVIRONMENTS)
    for serving in services:
        for package in ("onnxruntime", "pillow", "simplejpeg"):
            assert pipelines[package] == serving[package]
        assert not {"torch", "zenml"} & serving.keys()
    assert "uv" in pipelines


@pytest.mark.parametrize("folder", ["", "serving/", "serving/mlserver/"])
def test_a_lock_holds_what_its_requirements_ask_for(folder: str) -> None:
    """Every requirement has a bound below and a pin that satisfies it."""
    pins = read_pins(f"{folder}requirements.lock")
    for requirement in read_requirements(f"{folder}requirements.txt"):
        assert any(bound.operator in (">=", "==", "~=") for bound in requirement.specifier), requirement
        assert requirement.specifier.contains(pins[requirement.name.lower()]), requirement


def test_the_environment_that_runs_this_holds_its_lock() -> None:
    """What is tested is what the lock file names."""
    assert environments.read_stamp(ROOT / ".venv") == environments.wanted_stamp(ROOT, environments.PIPELINES)
