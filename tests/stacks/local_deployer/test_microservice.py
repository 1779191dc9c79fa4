"""One microservice process: its start, and what it must show before it gets traffic."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.main.home import free_port
from materializers.errors import ServiceFailed, UsageError
from materializers.release import Arm
from stacks.local_deployer import microservice
from stacks.local_deployer.deployer import SeldonLocalModelDeployer
from tests.stacks.local_deployer.conftest import (
    MODEL_NAME,
    answering_version,
    change_a_byte,
    make_deployer,
    release_of,
    serving,
)


def test_a_copy_that_changes_before_it_is_loaded_never_becomes_ready(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process recomputes the digest: it ends, its reason is shown, and the old version keeps serving."""
    live = deployer.apply(release_of(first))
    before = serving(deployer)
    start = microservice.start

    def start_on_changed_bytes(replica, arm, *, model, **settings):  # type: ignore[no-untyped-def]
        change_a_byte(model / "model.onnx")
        return start(replica, arm, model=model, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(microservice, "start", start_on_changed_bytes)
        with pytest.raises(ServiceFailed, match=r"has digest .* the release names"):
            deployer.apply(release_of(second))
    assert serving(deployer) == before
    assert deployer.current(MODEL_NAME, "staging") == live
    assert answering_version(live) == str(first.version)
    assert answering_version(deployer.apply(release_of(second))) == str(second.version)


def test_readiness_is_of_exactly_one_version_and_model(
    deployer: SeldonLocalModelDeployer, first: Arm
) -> None:
    """Another version or model at the same URL is not ready, nor is nothing at all."""
    live = deployer.apply(release_of(first))
    assert live.url
    base_url = live.url.removesuffix("/api/v1.0/predictions")
    assert microservice.is_ready(base_url, str(first.version), first.model_digest)
    assert not microservice.is_ready(base_url, "999", first.model_digest)
    assert not microservice.is_ready(base_url, str(first.version), "0" * 64)
    assert not microservice.is_ready(
        f"http://127.0.0.1:{free_port()}", str(first.version), first.model_digest
    )


def test_a_missing_serving_environment_is_a_configuration_error(
    zenml_stack: Path, tmp_path: Path, first: Arm
) -> None:
    """The error names the path and the command that builds it."""
    deployer = make_deployer(tmp_path / "site", serving_environment=str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"nowhere/bin/python.*make setup"):
        deployer.apply(release_of(first))
    assert serving(deployer) == {}
    assert deployer.live() == []
