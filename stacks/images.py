"""Build the images that a cluster runs: the steps', the service's, and the service's by the v2 protocol.

    python -m stacks.images build --dry-run     print the commands, run nothing
    python -m stacks.images build               build all
    python -m stacks.images build --push        build all and push them

What follows ``--`` goes to ``docker build`` as it is: ``-- --secret id=netrc,src=$HOME/.netrc``.
Standard output holds the names of the images and nothing else; what Docker says goes to standard error.
Exit codes: 0 done; 1 a build failed; 2 wrong use; 4 Docker, the base image or the registry is out of reach.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from materializers.errors import ServiceFailed, ServiceUnreachable, ShutterlineError, UsageError

PROJECT = Path(__file__).resolve().parents[1]
BASE = "python:3.11-slim-bookworm"
REGISTRY_VARIABLE = "SHUTTERLINE_CONTAINER_REGISTRY"
TAG_VARIABLE = "SHUTTERLINE_IMAGE_TAG"
COMMIT_LENGTH = 12
# What Docker takes: host[:port] and folders in lower case; a tag.
REGISTRY = re.compile(r"[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
CREDENTIALS = re.compile(r"://[^/\s]*@")


@dataclass(frozen=True)
class Image:
    """An image of the project; files as paths under the project's root."""

    name: str
    dockerfile: str
    lock: str


TRAINING = Image("shutterline-training", "stacks/docker/training.Dockerfile", "requirements.lock")
SERVING = Image("shutterline-serving", "serving/Dockerfile", "serving/requirements.lock")
MLSERVER = Image("shutterline-mlserver", "serving/mlserver/Dockerfile", "serving/mlserver/requirements.lock")
IMAGES = (TRAINING, SERVING, MLSERVER)


@dataclass(frozen=True)
class Build:
    """What the images of one call have in common.

    ``registry`` is empty or ends with a slash; ``revision`` is the whole commit, ``-dirty`` where it is not
    exactly that; ``more`` goes to ``docker build``.
    """

    registry: str
    tag: str
    base: str
    revision: str
    version: str
    cuda: bool
    more: tuple[str, ...]

    def reference(self, image: Image) -> str:
        """Name the image as Docker and Kubernetes do."""
        return f"{self.registry}{image.name}:{self.tag}"

    def command(self, image: Image) -> list[str]:
        """Give the command that builds the image, to be run in the project's root."""
        arguments = {
            "BASE": self.base,
            "REVISION": self.revision,
            "VERSION": self.version,
            "LOCK_DIGEST": hashlib.sha256((PROJECT / image.lock).read_bytes()).hexdigest(),
        }
        if image is TRAINING:
            arguments["TORCH_BACKEND"] = "" if self.cuda else "cpu"
        given = [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
        names = ["--file", image.dockerfile, "--tag", self.reference(image)]
        return ["docker", "build", *names, *given, *self.more, "."]


def main(arguments: Sequence[str] | None = None) -> int:
    """Build as the command line asks and give the exit code."""
    options = _parser().parse_args(arguments)
    try:
        build = plan(options)
        if options.dry_run:
            sys.stdout.writelines(f"{line}\n" for line in dry_run(build, push=options.push))
            return 0
        check_docker()
        bring_base(build.base)
        for image in IMAGES:
            build_image(build, image)
        for image in IMAGES if options.push else ():
            push_image(build.reference(image))
        sys.stdout.writelines(f"{build.reference(image)}\n" for image in IMAGES)
        sys.stderr.write(f"For stacks/kubeflow.yaml: export {TAG_VARIABLE}={build.tag}\n")
    except ShutterlineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: the same command goes on where Docker's cache ends.\n")
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stacks.images", description="Build the images.")
    acts = parser.add_subparsers(required=True, metavar="build")
    build = acts.add_parser("build", help="build the training image and both serving images")
    build.add_argument("--push", action="store_true", help="push them to the registry afterwards")
    build.add_argument("--cuda", action="store_true", help="training with torch as the lock has it, for GPUs")
    build.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")
    build.add_argument("--registry", metavar="HOST/FOLDER", help=f"default: ${REGISTRY_VARIABLE}")
    build.add_argument(
        "--tag", help="of all images (default: the commit, -dirty where files differ from it, -cuda)"
    )
    build.add_argument("--base", default=BASE, help="a Debian with Python 3.11 (default: %(default)s)")
    build.add_argument("more", nargs="*", metavar="-- OPTION", help="options of `docker build`")
    return parser


def plan(options: argparse.Namespace) -> Build:
    """Turn the command line into a build.

    Raises:
        UsageError: a value that Docker would not take, credentials where everybody can read them, nowhere to
            push to, or no git checkout to name the images after.
    """
    registry = (options.registry or os.environ.get(REGISTRY_VARIABLE, "")).rstrip("/")
    if options.push and not registry:
        raise UsageError(f"--push needs a registry: --registry HOST/FOLDER, or {REGISTRY_VARIABLE}")
    if registry and not REGISTRY.fullmatch(registry):
        raise UsageError(
            "The registry is no host[:port]/folder in lower case, without scheme and credentials: "
            f"mend --registry or {REGISTRY_VARIABLE}; `docker login HOST` takes the credentials"
        )
    if any(CREDENTIALS.search(part) for part in (*options.more, options.base)):
        raise UsageError(
            "A build argument with credentials is refused: whoever has the build's cache can read it; "
            "name the address without them and add -- --secret id=netrc,src=$HOME/.netrc"
        )
    revision = commit()
    cut = f"{revision[:COMMIT_LENGTH]}{'-dirty' if revision.endswith('-dirty') else ''}"
    tag = options.tag or f"{cut}{'-cuda' if options.cuda else ''}"
    if not TAG.fullmatch(tag):
        raise UsageError(f"{tag!r} is no image tag: up to 128 letters, digits, '_', '.' and '-'")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return Build(
        registry=f"{registry}/" if registry else "",
        tag=tag,
        base=options.base,
        revision=revision,
        version=project["version"],
        cuda=options.cuda,
        more=tuple(options.more),
    )


def commit() -> str:
    """Give the checkout's commit, with ``-dirty`` where a file differs from it or is new.

    Raises:
        UsageError: this is no git checkout.
    """
    said = []
    for command in (["git", "rev-parse", "HEAD"], ["git", "status", "--porcelain"]):
        try:
            done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UsageError(
                f"{PROJECT} is no git checkout, so that an image could not say what it was built from: "
                "build from a clone"
            ) from error
        said.append(done.stdout.strip())
    revision, changes = said
    return f"{revision}-dirty" if changes else revision


def dry_run(build: Build, *, push: bool) -> Iterator[str]:
    """Give the commands as one would type them in the project's root."""
    yield shlex.join(["docker", "pull", build.base])
    for image in IMAGES:
        yield f"DOCKER_BUILDKIT=1 {shlex.join(build.command(image))}"
    for image in IMAGES if push else ():
        yield shlex.join(["docker", "push", build.reference(image)])


def _reason(command: list[str]) -> str | None:
    """Run a command; None when it succeeded, else the last line that it wrote about why not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = f"{done.stdout}\n{done.stderr}".split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"exit {done.returncode}")


def check_docker() -> None:
    """Ask the daemon for its version.

    Raises:
        ServiceUnreachable: there is no docker command, or no daemon answers.
    """
    reason = _reason(["docker", "version", "--format", "{{.Server.Version}}"])
    if reason is not None:
        raise ServiceUnreachable(
            f"Docker does not answer ({reason}): start it or name another in DOCKER_HOST; nothing was built"
        )


def bring_base(base: str) -> None:
    """Have the base image: the one that is there already, or else the registry's.

    Raises:
        ServiceUnreachable: it cannot be pulled.
    """
    if _reason(["docker", "image", "inspect", base]) is None:
        return
    sys.stderr.write(f"docker pull {base}\n")
    reason = _reason(["docker", "pull", base])
    if reason is not None:
        raise ServiceUnreachable(
            f"The base image {base} cannot be pulled ({reason}): name one that can with --base; "
            "nothing was built"
        )


def build_image(build: Build, image: Image) -> None:
    """Build one image; what Docker says is shown.

    Raises:
        ServiceFailed: it ended with an error.
    """
    command = build.command(image)
    variables = {**os.environ, "DOCKER_BUILDKIT": "1"}
    ended = subprocess.run(command, cwd=PROJECT, env=variables, stdout=2, check=False).returncode
    if ended != 0:
        raise ServiceFailed(
            f"The build of {build.reference(image)} ended with {ended}, Docker says above why; "
            "nothing was pushed"
        )


def push_image(reference: str) -> None:
    """Push one image.

    Raises:
        ServiceUnreachable: the registry did not take it.
    """
    sys.stderr.write(f"docker push {reference}\n")
    reason = _reason(["docker", "push", reference])
    if reason is not None:
        raise ServiceUnreachable(
            f"{reference} could not be pushed ({reason}): `docker login {reference.partition('/')[0]}`, "
            "then the same command; the image itself is built"
        )


if __name__ == "__main__":
    sys.exit(main())
