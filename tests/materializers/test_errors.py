"""Each kind of failure has the exit code that run.py promises."""

import pytest

from materializers import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ShutterlineError, 1),
        (errors.ServiceFailed, 1),
        (errors.DamagedArtifact, 1),
        (errors.UsageError, 2),
        (errors.Refused, 3),
        (errors.ServiceUnreachable, 4),
        (errors.NoRoom, 4),
    ],
)
def test_each_failure_has_its_exit_code(kind: type[errors.ShutterlineError], code: int) -> None:
    """Codes are what scripts branch on; every kind can be caught as one."""
    assert kind.exit_code == code
    assert issubclass(kind, errors.ShutterlineError)


def test_a_failure_says_its_sentence() -> None:
    """The text of a failure is the sentence it was made with."""
    assert str(errors.Refused("Version 3 has no approval.")) == "Version 3 has no approval."
