"""No credential of the remote stack stands in a log, a compiled pipeline, ZenML's metadata or a message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from benchmarks.kubeflow.story import Teller
from tests.kubeflow.conftest import Both
from tests.remote.site import Site
from tests.shrunk.delivery import cut_delivery

pytestmark = pytest.mark.timeout(1800)  # the first test tells the whole story, on both stacks

LOOKED_AT = ("kubeflow", "zenml", "mlflow", "client", "repository")
"""What the servers and clients keep: runs with their pipelines and logs, databases, the clients' folders."""
MAY_KNOW = {
    "basic_auth.ini": {"mlflow_admin"},
    "credentials.yaml": {"zenml_api_key"},
}
"""What a program keeps of its own login, in files that only its user reads."""


def test_no_credential_is_in_what_a_run_leaves(both: Both, remote_site: Site) -> None:
    """After every pipeline and act, in all files of the servers and the client.

    What is printed is searched at each call, also where it fails: see the fixture ``on_kubeflow``.
    """
    found = []
    for folder in LOOKED_AT:
        for path in (remote_site.home / folder).rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                may = MAY_KNOW.get(path.name, set())
                found += [
                    (str(path), name)
                    for name, value in remote_site.secrets().items()
                    if name not in may and value.encode() in content
                ]
    assert found == []


def test_no_credential_is_in_the_bucket(both: Both, remote_site: Site) -> None:
    """Artifacts and uploaded code may be read by whoever looks at a run."""
    client = remote_site.s3_client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="shutterline")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    assert keys
    for key in keys:
        content = client.get_object(Bucket="shutterline", Key=key)["Body"].read()
        hits = [name for name, value in remote_site.secrets().items() if value.encode() in content]
        assert (key, hits) == (key, [])


def test_a_compiled_pipeline_names_secrets_and_holds_none(
    remote_site: Site, on_kubeflow: Callable[[str], Teller], tmp_path: Path
) -> None:
    """``--compile`` writes what each step is given and starts nothing."""
    teller = on_kubeflow("compiled")
    delivery = cut_delivery(tmp_path / "delivery.zip", per_class=20)
    file = tmp_path / "pipeline.yaml"
    product = ("--set", "running.retries.count=3", "--set", "running.steps.train.gpus=2")
    told = teller.done("--train", "--source", str(delivery), *product, "--compile", str(file))
    assert told.last["run"] is None
    text = file.read_text()
    assert [name for name, value in remote_site.secrets().items() if value in text] == []
    assert "ZENML_STORE_API_TOKEN" not in text
    pipeline, platform = yaml.safe_load_all(text)
    executors = pipeline["deploymentSpec"]["executors"]
    assert set(executors) == {
        f"exec-{name}"
        for name in ("ingest", "validate", "split", "tune", "train", "evaluate", "gate", "register")
    }
    assert executors["exec-train"]["container"]["resources"]["accelerator"]["resourceCount"] == "2"
    assert {task["retryPolicy"]["maxRetryCount"] for task in pipeline["root"]["dag"]["tasks"].values()} == {3}
    wanted = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    carried = {
        name: {pair["envVar"] for entry in given["secretAsEnv"] for pair in entry["keyToEnv"]}
        for name, given in wanted.items()
    }
    every = {"ZENML_STORE_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SHUTTERLINE_ACTOR_KEY"}
    assert carried.pop("exec-gate") == {*every, "SHUTTERLINE_GATE_KEY"}
    assert set(carried) == {*executors} - {"exec-gate"}
    assert all(given == every for given in carried.values())
    status = teller.done("--status").last
    assert status["runs"] == []
