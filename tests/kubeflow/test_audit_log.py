"""The audit log over ZenML's REST server, S3 and MLflow's server: the same chain, whoever races."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.kubeflow.story import Teller
from benchmarks.warm import PROJECT

pytestmark = pytest.mark.timeout(600)
RACERS, ENTRIES = 3, 3

VERIFY = """
import json
from pipelines.session import prepare
prepare(None)
from steps.deployment.deployer import active_deployer
from steps.registry.audit import record, verify_log
last = record("release", {"last": "of all"}, by="Ada", reason="to note the end")
entries, findings = verify_log(active_deployer().trusted_keys())
print(json.dumps([last.number, [entry.number for entry in entries], findings]))
"""


def test_processes_that_race_over_rest_leave_a_chain_without_gaps(
    on_kubeflow: Callable[[str], Teller], tmp_path: Path
) -> None:
    """A number that the server gave once is given to nobody else; the end is noted in MLflow's server."""
    environment = dict(on_kubeflow("audited").environment)
    command = [sys.executable, "-m", "tests.steps.registry.audit_process", str(ENTRIES)]
    racers = []
    for number in range(RACERS):
        # ZenML's configuration is not read atomically.
        repository = tmp_path / f"repository-{number}"
        shutil.copytree(environment["ZENML_REPOSITORY_PATH"], repository)
        own = environment | {
            "ZENML_CONFIG_PATH": str(tmp_path / f"racer-{number}"),
            "ZENML_REPOSITORY_PATH": str(repository),
        }
        racers.append(
            subprocess.Popen(
                command, cwd=PROJECT, env=own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        )
    got: list[int] = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        got += json.loads(racer.communicate()[0].splitlines()[-1])
    done = subprocess.run(
        [sys.executable, "-c", VERIFY],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    last, numbers, findings = json.loads(done.stdout.splitlines()[-1])
    assert sorted(got) == list(range(last - RACERS * ENTRIES, last))
    assert numbers == list(range(1, last + 1))
    assert findings == []
