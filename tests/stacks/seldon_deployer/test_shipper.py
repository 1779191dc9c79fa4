"""The shipper of a pod: what it is told, by which keys it writes, and that each pod of REST has its own."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pytest

from materializers.errors import UsageError
from materializers.release import Mode
from serving import shipper as process
from serving.capture_options import CaptureSettings, add_capture_arguments, capture_settings
from stacks.local_deployer.flavor import PROJECT
from stacks.seldon_deployer.sharing import ROUTER
from stacks.seldon_deployer.shipper import SHIPPER, captures_root
from tests.bucket import SECRET
from tests.stacks.seldon_deployer.conftest import CAPTURES_ROOT
from tests.stacks.seldon_deployer.test_manifest import component, manifest, service
from tests.stacks.seldon_deployer.test_sharing import made as shared


def shipper(**settings: Any) -> dict[str, Any]:
    """The container."""
    _, found = component("staging", **settings)["spec"]["containers"]
    return dict(found)


def mounts(container: dict[str, Any]) -> dict[str, str]:
    """Where a container has which volume."""
    return {one["name"]: one["mountPath"] for one in container["volumeMounts"]}


def test_it_ships_the_services_spool_to_the_stacks_store() -> None:
    """From the same volume, as a program of the same image."""
    made = shipper()
    assert (made["name"], made["image"]) == (SHIPPER, service("staging")["image"])
    assert made["command"] == ["python", "-m", "serving.shipper"]
    told = process._arguments(made["args"])
    assert (str(told.spool), told.to) == (mounts(made)["spool"], CAPTURES_ROOT)
    assert mounts(made)["spool"] == mounts(service("staging"))["spool"]
    assert {"name": "spool", "emptyDir": {}} in component("staging")["spec"]["volumes"]


def test_the_service_captures_as_the_settings_say() -> None:
    """All of them, read by its own command line."""
    settings = {
        "capture_pictures": 0.25,
        "capture_embeddings": False,
        "capture_flush_s": 0.5,
        "capture_rotate_s": 5.0,
        "capture_limit_bytes": 1_000,
    }
    container = service("production", **settings)
    parser = argparse.ArgumentParser()
    add_capture_arguments(parser)
    options, _ = parser.parse_known_args(container["args"])
    assert capture_settings(options) == CaptureSettings(
        spool=Path(mounts(container)["spool"]),
        environment="production",
        pictures=0.25,
        embeddings=False,
        flush_s=0.5,
        rotate_s=5.0,
        limit_bytes=1_000,
    )


def test_it_alone_has_the_keys_and_only_by_the_secrets_name() -> None:
    """The address and the region are those of the bucket; Amazon's needs no address."""
    variables = {
        one["name"]: one for one in shipper(s3_endpoint="https://s3.example", s3_secret="ours")["env"]
    }
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert variables[key]["valueFrom"] == {"secretKeyRef": {"name": "ours", "key": key}}
    assert variables["AWS_ENDPOINT_URL_S3"]["value"] == "https://s3.example"
    assert variables["AWS_REGION"]["value"] == "us-east-1"
    assert "AWS_ENDPOINT_URL_S3" not in [one["name"] for one in shipper(s3_region="eu-central-1")["env"]]
    assert not service("staging").get("env")
    assert SECRET not in json.dumps(manifest("staging"))


def test_it_ends_after_the_service_and_before_its_time_is_up() -> None:
    """It waits as long as Seldon has the service wait, then as long as that gives requests in flight."""
    # Only the serving environment can import it.
    source = (PROJECT / "serving" / "server.py").read_text(encoding="utf-8")
    [graceful] = re.findall(r"^GRACEFUL_TIMEOUT_S = (\d+)$", source, re.M)
    pod, made = component("staging")["spec"], shipper()
    waits = int(made["lifecycle"]["preStop"]["exec"]["command"][-1])
    patience = process._arguments(made["args"]).patience_s
    assert patience > int(graceful)
    assert waits + patience < pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("mode", ["canary", "shadow", "ab"])
def test_each_version_that_answers_has_its_own(mode: Mode) -> None:
    """A router keeps nothing."""
    pods = [one.spec for each in shared(mode).predictors for one in each.component_specs]
    names = [[container.name for container in pod.containers] for pod in pods]
    assert [beside for unit, *beside in names if unit != ROUTER] == [[SHIPPER], [SHIPPER]]
    assert [beside for unit, *beside in names if unit == ROUTER] == ([[]] if mode == "ab" else [])


def test_where_nothing_is_captured_there_is_none() -> None:
    """No container, no volume, and the service is told nothing of it."""
    pod = component("staging", capture=False)["spec"]
    assert len(pod["containers"]) == 1
    assert "spool" not in [one["name"] for one in pod["volumes"]]
    assert "spool" not in json.dumps(pod)


def test_a_store_that_no_pod_can_write_is_refused(zenml_client: Any) -> None:
    """As that of the stack that ZenML begins with."""
    with pytest.raises(UsageError, match=r"no pod can write.*capture: false.*python -m stacks\.apply"):
        captures_root()
