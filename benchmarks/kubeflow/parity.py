"""One story on both stacks: what ran, whether the outcome is the same, and the CPU time of the steps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.claim import Claim, at_least, at_most
from benchmarks.kubeflow.story import Chronicle, Teller, chronicle, clean_environment, register
from benchmarks.main.home import own_variables
from benchmarks.warm import PROJECT

STACKS = PROJECT / "stacks"
PIPELINES = ("training", "deployment", "continuous", "inference")
HEAVY = frozenset(
    {
        *("train", "evaluate", "register", "signals", "staging"),
        *("candidate", "release", "observe", "conclude", "champion"),
    }
)
"""Steps that use torch or speak to MLflow."""
ACTS = ("approved", "rejected", "rolled_back", "status")
"""Chapters of the story that start no container."""
AFTER_A_NO = frozenset({"split", "tune", "train", "evaluate", "gate", "register", "staging"})
"""What a ``--continuous`` that does not retrain starts to do nothing."""
LIGHT_S = 8.0
"""CPU time of a step that imports neither torch nor MLflow."""
COMMAND_LIMIT_S = 1500.0


class Attempt(NamedTuple):
    """A container that ran a step: of which run, and its CPU seconds."""

    run: str
    step: str
    cpu_s: float


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """Tell the story on both stacks; when not quick, run the tests of the remote stack, too."""
    with remote_stack(folder / "site") as environment:
        local = Teller(clean_environment(**own_variables(folder / "local")), "story")
        remote = Teller(environment, "story")
        register(local.environment, STACKS / "local.yaml")
        register(remote.environment, STACKS / "kubeflow.yaml")
        claims = [_registrar(remote)]
        (folder / "deliveries").mkdir()
        try:
            both = (
                chronicle(local, folder / "deliveries" / "local"),
                chronicle(remote, folder / "deliveries" / "remote"),
            )
            kubeflow = environment["SHUTTERLINE_KUBEFLOW_URL"]
            claims += [*_sameness(*both), *_seconds(both[1]), *_cpu(_attempts(kubeflow))]
            claims += _a_no(local, remote, folder / "deliveries", kubeflow)
        finally:
            local.run("--stop")
    return claims if quick else [*claims, *_tests()]


@contextmanager
def remote_stack(home: Path) -> Iterator[dict[str, str]]:
    """The remote stack of `make kubeflow-up`, on free ports; what a shell needs to use it."""
    command = [sys.executable, "-m", "tests.remote"]
    subprocess.run([*command, "up", "--home", str(home)], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    try:
        lines = (home / "environment.sh").read_text(encoding="utf-8").splitlines()
        pairs = (line.removeprefix("export ").partition("=") for line in lines)
        variables = {name: value.strip("'") for name, _, value in pairs}
        yield clean_environment(**variables)
    finally:
        subprocess.run(
            [*command, "down", "--home", str(home)], cwd=PROJECT, check=True, stdout=subprocess.DEVNULL
        )


def _registrar(teller: Teller) -> Claim:
    """How long the registrar takes when there is nothing to do; infinite where it found something."""
    began = time.perf_counter()
    said = register(teller.environment, STACKS / "kubeflow.yaml")
    seconds = time.perf_counter() - began
    nothing = said.strip() == "kubeflow: no change"
    return at_most("registrar, second run, no change", seconds if nothing else float("inf"), 20, "s")


def _sameness(local: Chronicle, remote: Chronicle) -> list[Claim]:
    """What ran to its end, and how many steps, types, verdicts and weights differ."""
    runs = [one.recorded["runs"] for one in (local, remote)]
    ended = sum(
        any(run["pipeline"] == name and run["status"] == "completed" for run in found)
        for name in PIPELINES
        for found in runs
    )
    steps = [
        {
            (number, name): (step["outputs"], step.get("verdict"))
            for number, run in enumerate(found)
            for name, step in run["steps"].items()
        }
        for found in runs
    ]
    differing = sum(steps[0].get(key) != steps[1].get(key) for key in steps[0] | steps[1])
    weights = [
        [step["weights"] for run in found for step in run["steps"].values() if "weights" in step]
        for found in runs
    ]
    other = sum(one != another for one, another in zip(*weights, strict=True))
    uris = [uri for run in runs[1] for step in run["steps"].values() for uri in step["uris"].values()]
    outside = sum(not uri.startswith("s3://") for uri in uris)
    return [
        at_least("pipelines x stacks that ran to the end", ended, len(PIPELINES) * len(runs), ""),
        at_most("steps whose name, artifact types or verdict differ", differing, 0, ""),
        at_most(f"models of {len(weights[0])} whose weights differ by a byte", other, 0, ""),
        at_most(f"artifacts of {len(uris)} that are not in the bucket", outside, 0, ""),
    ]


def _seconds(remote: Chronicle) -> list[Claim]:
    """How long a person's acts take on the remote stack, the command's start included."""
    slowest = max((getattr(remote.story, act).seconds, act) for act in ACTS)
    return [at_most(f"slowest act of a person on kubeflow ({slowest[1]})", slowest[0], 30, "s")]


def _cpu(attempts: Iterable[Attempt]) -> list[Claim]:
    """The most CPU time that a whole step took: imports, and its work on 300 pictures."""
    spent: dict[bool, list[tuple[float, str]]] = {True: [], False: []}
    for attempt in attempts:
        spent[attempt.step in HEAVY].append((attempt.cpu_s, attempt.step))
    light, heavy = max(spent[False]), max(spent[True])
    return [
        at_most(f"CPU of a step without torch and MLflow, at most ({light[1]})", light[0], LIGHT_S, "s"),
        at_most(f"CPU of a step with torch or MLflow, at most ({heavy[1]})", heavy[0], 22, "s"),
    ]


def _a_no(local: Teller, remote: Teller, deliveries: Path, kubeflow: str) -> list[Claim]:
    """What a ``--continuous`` costs that decides no; on the cluster a container starts for each step."""
    before = {attempt.run for attempt in _attempts(kubeflow)}
    told = [
        teller.done("--continuous", "--source", str(deliveries / name / "second"))
        for teller, name in ((local, "local"), (remote, "remote"))
    ]
    retrained = sum(one.last["decision"]["retrain"] for one in told)
    after = [one for one in _attempts(kubeflow) if one.run not in before and one.step in AFTER_A_NO]
    cpu_s, step = max((one.cpu_s, one.step) for one in after)
    return [
        at_most("decisions on data that were learnt from already, to retrain", retrained, 0, ""),
        at_most("--continuous that decides no, local", told[0].seconds, 60, "s"),
        at_most("--continuous that decides no, kubeflow", told[1].seconds, 180, "s"),
        at_most(f"CPU of a step after a no, of {len(after)}, at most ({step})", cpu_s, LIGHT_S, "s"),
        at_most("CPU of all steps after a no", sum(one.cpu_s for one in after), len(after) * LIGHT_S, "s"),
    ]


def _attempts(kubeflow: str) -> Iterator[Attempt]:
    """Every container that ran a step."""
    for run in _ask(f"{kubeflow}/apis/v2beta1/runs?page_size=100")["runs"]:
        for attempt in _ask(f"{kubeflow}/test/runs/{run['run_id']}")["attempts"]:
            yield Attempt(run["run_id"], attempt["task"], attempt["cpu_s"])


def _tests() -> list[Claim]:
    """What `make test-kubeflow` and the check of the syntax tree find, and how long the first takes."""
    agnostic = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/test_imports.py"], cwd=PROJECT, check=False
    )
    began = time.perf_counter()
    # As CI runs it: a test that is skipped for want of a server fails the run.
    environment = {**os.environ, "SHUTTERLINE_CI": "1"}
    tests = subprocess.run(["make", "test-kubeflow"], cwd=PROJECT, env=environment, check=False)
    return [
        at_most("test runs that found a step asking for its stack", float(agnostic.returncode != 0), 0, ""),
        at_most("test runs of the remote stack that failed", float(tests.returncode != 0), 0, ""),
        at_most("make test-kubeflow", time.perf_counter() - began, COMMAND_LIMIT_S, "s"),
    ]


def _ask(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - an address of loopback
        return json.load(answer)
