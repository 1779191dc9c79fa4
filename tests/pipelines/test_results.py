"""Exit codes come from artifacts and from the exception that ZenML recorded."""

from __future__ import annotations

import pytest

from pipelines.results import exit_code_of


@pytest.mark.parametrize(
    ("source", "exit_code"),
    [
        ("materializers.errors.UsageError", 2),
        ("materializers.errors.Refused", 3),
        ("materializers.errors.ServiceUnreachable", 4),
        ("materializers.errors.ServiceFailed", 1),
        ("mlflow.exceptions.MlflowException", 4),
        ("sqlalchemy.exc.OperationalError", 4),
        ("builtins.KeyboardInterrupt", 130),
        ("builtins.ZeroDivisionError", 1),
        ("", 1),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(source: str, exit_code: int) -> None:
    """The recorded class decides, alike for a run that was carried here and one on a cluster."""
    assert exit_code_of(source) == exit_code
