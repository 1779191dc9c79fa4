"""Acts of a person on data, where steps run elsewhere: what they show starts no container."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from benchmarks.kubeflow.story import Teller
from benchmarks.warm import PROJECT
from tests.kubeflow.conftest import kubeflow_runs
from tests.remote.site import Site

pytestmark = pytest.mark.timeout(600)

STORE = """
from pipelines.session import prepare
prepare(None)
from zenml import save_artifact
from tests.actions.kept import dataset, photograph
from materializers.image_dataset import picture_digest
for stored in (dataset(1, 2), dataset(1, 2, 3)):
    save_artifact(stored, name="dataset")
    print(stored.version)
print(picture_digest(photograph(3)))
"""
LOOK = """
import sys
from zenml.client import Client
run = Client().get_pipeline_run(sys.argv[1])
print(run.status, run.orchestrator_run_id, run.steps["show"].inputs["report"][0].run_metadata["digest"])
"""


def python(teller: Teller, code: str, *arguments: str) -> list[str]:
    """The last words that a process of its own prints, which uses the teller's stack."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command, env=dict(teller.environment), cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-3:]


def test_what_was_compared_and_erased_is_shown_without_a_container(
    remote_site: Site, on_kubeflow: Callable[[str], Teller]
) -> None:
    """A run of each is in the server's dashboard, with the report in its graph; Kubeflow has no run more."""
    teller = on_kubeflow("kept")
    before, after, gone = python(teller, STORE)
    known = kubeflow_runs(remote_site)
    acts = {
        "data_diff": ("--data-diff", before[:12], after[:12]),
        "erasure": ("--forget", gone, "--by", "Ada", "--reason", "asked"),
    }
    for pipeline, flags in acts.items():
        told = teller.done(*flags)
        named = re.search(rf"report of run ({pipeline}-\S+), .* dashboard: (\S+)", told.said)
        assert named, told.said
        assert named[2].startswith(f"{teller.environment['ZENML_STORE_URL']}/projects/")
        assert python(teller, LOOK, named[1]) == ["completed", "None", told.last["details"]["digest"]]
    assert kubeflow_runs(remote_site) == known
