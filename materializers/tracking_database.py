"""MLflow's database of a local stack, made whole before anybody opens it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from materializers.errors import ServiceUnreachable

LOCAL = "sqlite:///"


def make_whole(address: str, *, is_known: Callable[[], bool]) -> None:
    """Make the database of a local tracker where there is none yet; any other address is left alone.

    MLflow makes its tables one by one, each for good: killed meanwhile, it would never open them again. So
    they are made in a file of another name.

    Args:
        address: as MLflow takes it.
        is_known: whether somebody else knows of something that it held; asked where there is none.

    Raises:
        ServiceUnreachable: there is none, and it held something: it was moved away or lost.
    """
    path = Path(address.removeprefix(LOCAL))
    if not address.startswith(LOCAL) or path.exists():
        return
    if is_known():
        raise ServiceUnreachable(
            f"The tracker's database {path} is gone, and with it the model registry, while the audit log has "
            "versions of it: put it back from where it was moved, or from a backup. To begin anew without "
            f"them: touch {path}"
        )
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    # Another process was faster; or the folder takes nothing, which whoever opens the database is told.
    with suppress(MlflowException, SQLAlchemyError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".mlflow-") as folder:
            made = Path(folder) / path.name
            MlflowClient(f"{LOCAL}{made}").search_experiments(max_results=1)
            os.link(made, path)
