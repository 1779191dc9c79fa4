"""The settings of the local deployer."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from zenml.config.global_config import GlobalConfiguration

from stacks.local_deployer.deployer import SeldonLocalModelDeployer
from stacks.local_deployer.flavor import (
    PROJECT,
    SeldonLocalModelDeployerConfig,
    SeldonLocalModelDeployerFlavor,
)
from stacks.stack_file import load_stack_file


def test_the_flavor_names_its_deployer() -> None:
    """ZenML finds the implementation under the flavor's name."""
    flavor = SeldonLocalModelDeployerFlavor()
    assert flavor.name == "seldon-local"
    assert flavor.implementation_class is SeldonLocalModelDeployer
    assert flavor.config_class is SeldonLocalModelDeployerConfig


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.2", "localhost", "::", "nonsense"])  # noqa: S104
def test_only_a_loopback_address_is_taken(host: str) -> None:
    """Every other host is refused by name."""
    with pytest.raises(ValidationError, match="loopback only"):
        SeldonLocalModelDeployerConfig(host=host)


def test_an_unknown_setting_is_refused() -> None:
    """A typo does not pass silently."""
    with pytest.raises(ValidationError, match="prot"):
        SeldonLocalModelDeployerConfig(prot=8090)  # type: ignore[call-arg]


def test_paths_are_below_zenml_and_the_project_by_default(tmp_path: Path) -> None:
    """Without settings nothing machine-specific is needed."""
    config = SeldonLocalModelDeployerConfig()
    assert config.site.is_relative_to(GlobalConfiguration().config_directory)
    assert config.serving_python == PROJECT / ".venv-serving" / "bin" / "python"
    assert SeldonLocalModelDeployerConfig(state_directory=str(tmp_path / "x")).site == tmp_path / "x"


def test_the_default_folder_is_the_local_stacks() -> None:
    """A deployer registered without settings finds what the stack of stacks/local.yaml deployed."""
    variables = {"ZENML_CONFIG_DIRECTORY": GlobalConfiguration().config_directory}
    components = load_stack_file(PROJECT / "stacks" / "local.yaml", variables).present().values()
    (deployer,) = (part for part in components if part.flavor == "seldon-local")
    assert SeldonLocalModelDeployerConfig().site == Path(deployer.configuration["state_directory"]).resolve()
