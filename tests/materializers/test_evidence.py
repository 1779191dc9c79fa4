"""What the registry could not do is one line; what it recorded of a version is typed."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from materializers.errors import ServiceUnreachable, UsageError
from materializers.evidence import (
    RegisteredVersion,
    model_names,
    read_version,
    read_versions,
    registry_errors,
    version_with_alias,
)
from tests.materializers.examples import MODEL, NOON


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("no answer\nwith a long trace"),
        OSError("no answer"),
        OperationalError("SELECT 1", {}, Exception("no answer")),
    ],
    ids=["MLflow", "network", "database"],
)
def test_what_the_registry_raises_is_one_line(error: Exception) -> None:
    """The line names the act, the first line of the cause, and where to look."""
    with pytest.raises(ServiceUnreachable) as raised, registry_errors("list the versions"):
        raise error
    said = str(raised.value)
    assert said.startswith("The model registry could not list the versions: ")
    assert "no answer" in said
    assert said.endswith("zenml stack describe")
    assert "\n" not in said


def test_a_fault_of_ours_is_not_blamed_on_the_registry() -> None:
    """Any other exception passes as it is."""
    with pytest.raises(ZeroDivisionError), registry_errors("list the versions"):
        _ = 1 / 0


def test_a_version_knows_the_run_that_made_it() -> None:
    """The run's id is a tag of the registry entry."""
    entry = RegisteredVersion(
        model_name=MODEL, version=3, created=NOON, aliases=(), tags={"zenml_run": "0a1b"}
    )
    assert entry.run_id == "0a1b"


def test_versions_that_others_registered_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's registry is open to anyone: a version without our tags is none of ours, whatever its alias."""
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setattr("materializers.evidence.registry_client", lambda: client)
    assert read_versions(MODEL) == []
    client.create_registered_model(MODEL)
    client.create_model_version(MODEL, source=str(tmp_path), tags={"identity": "a1", "zenml_run": "0a1b"})
    client.create_model_version(MODEL, source=str(tmp_path))
    client.set_registered_model_alias(MODEL, "champion", "2")
    client.set_registered_model_alias(MODEL, "staging", "1")
    assert [(entry.version, entry.run_id) for entry in read_versions(MODEL)] == [(1, "0a1b")]
    assert version_with_alias(MODEL, "champion") is None
    assert version_with_alias(MODEL, "staging") == read_version(MODEL, 1)
    with pytest.raises(UsageError, match="has no version 2"):
        read_version(MODEL, 2)


def test_all_registered_models_are_listed_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry gives a hundred at a time; the one beyond is served, too."""
    registry = MlflowClient(f"sqlite:///{tmp_path}/registry.db")
    monkeypatch.setattr("materializers.evidence.registry_client", lambda: registry)
    names = [f"model-{number:03d}" for number in range(101)]
    for name in reversed(names):
        registry.create_registered_model(name)
    assert model_names() == names
