"""ZenML's own commands on what is served."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from zenml.services import BaseService

from materializers.release import Arm
from stacks.local_deployer.deployer import SeldonLocalModelDeployer
from tests.stacks.local_deployer.conftest import (
    MODEL_NAME,
    answering_version,
    release_of,
    rollout_of,
    serving,
)


def test_zenml_commands_tell_the_truth(
    zenml_stack: Path, deployer: SeldonLocalModelDeployer, first: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`models list`, `describe`, `get-url`, `logs`, `stop`, `start` and `delete` work on the live release."""
    from zenml.cli.cli import cli
    from zenml.client import Client

    client, runner = Client(), CliRunner()
    before = client.active_stack_model
    components = {kind: found[0].id for kind, found in before.components.items()}
    stack = client.create_stack(f"with-{deployer.name}", {**components, deployer.type: deployer.id})
    monkeypatch.setenv("COLUMNS", "300")

    def zenml(*words: str) -> str:
        done = runner.invoke(cli, ["model-deployer", "models", *words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    live = deployer.apply(release_of(first))
    assert live.url
    [service] = deployer.find_model_server()
    uuid = str(service.uuid)
    client.activate_stack(stack.id)
    try:
        assert service.is_running
        assert uuid in zenml("list")
        described = zenml("describe", uuid)
        assert first.model_digest in described
        assert "staging" in described
        assert live.url in zenml("get-url", uuid)
        assert "ready" in zenml("logs", uuid, "--raw")
        zenml("stop", uuid)
        assert not deployer.healthy(live)
        [stopped] = deployer.find_model_server()
        assert not stopped.is_running
        zenml("start", uuid)
        assert answering_version(live) == str(first.version)
        [started] = deployer.find_model_server()
        zenml("delete", str(started.uuid))
        assert serving(deployer) == {}
        assert deployer.find_model_server() == []
        assert deployer.live() == []
    finally:
        client.activate_stack(before.id)
        client.delete_stack(stack.id)


def test_what_rolls_out_is_listed_beside_what_is_live(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """The candidate is stopped, started and deleted alone, and is what is live once it is promoted."""
    live = deployer.apply(release_of(first))

    def candidate() -> BaseService:
        """The record of what rolls out."""
        [found] = [one for one in deployer.find_model_server() if one.config.name.endswith("-candidate")]
        return found

    out = deployer.apply(rollout_of(second, first))
    assert len(deployer.find_model_server()) == 2
    assert candidate().is_running
    assert candidate().config.model_version == str(second.version)
    deployer.stop_model_server(candidate().uuid)
    assert [deployer.healthy(release) for release in (live, out)] == [True, False]
    assert not candidate().is_running
    deployer.start_model_server(candidate().uuid)
    assert deployer.verify(out)
    assert deployer.rolling_out(MODEL_NAME, "staging") == out
    deployer.delete_model_server(candidate().uuid)
    assert deployer.rolling_out(MODEL_NAME, "staging") is None
    assert deployer.healthy(live)
    deployer.apply(rollout_of(second, first))
    deployer.apply(release_of(second, champion=first))
    [promoted] = deployer.find_model_server()
    assert promoted.is_running
    assert promoted.config.name == f"staging-{MODEL_NAME}"
    assert deployer.get_model_server_info(promoted)["PREDICTION_URL"] == live.url


def test_services_of_another_deployer_are_not_listed(
    deployer: SeldonLocalModelDeployer, lasting_deployer: SeldonLocalModelDeployer, first: Arm
) -> None:
    """Two stacks on one store: each lists, and so stops or deletes, what it serves itself."""
    lasting_deployer.apply(release_of(first))
    assert len(lasting_deployer.find_model_server()) == 1
    assert deployer.find_model_server() == []


def test_zenmls_generic_deploy_is_refused(deployer: SeldonLocalModelDeployer) -> None:
    """A call that carries no verdict serves nothing."""
    from stacks.local_deployer.service import SeldonLocalService, SeldonLocalServiceConfig

    config = SeldonLocalServiceConfig(
        model_name=MODEL_NAME, environment="staging", model_digest="", replica="", base_url="", site=""
    )
    with pytest.raises(RuntimeError, match="with its verdict only"):
        deployer.deploy_model(config, SeldonLocalService.SERVICE_TYPE)
    assert serving(deployer) == {}
