"""What the registry could not do is one line; what it recorded of a version is typed."""

import pytest
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from materializers.errors import ServiceUnreachable
from materializers.evidence import RegisteredVersion, registry_errors
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
