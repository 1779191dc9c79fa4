"""MLflow's database of a local stack, made whole before anybody opens it."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

LOCAL = "sqlite:///"


def make_whole(address: str) -> None:
    """Make the database of a local tracker where there is none yet; any other address is left alone.

    MLflow makes its tables one by one, each for good: killed meanwhile, it would never open them again. So
    they are made in a file of another name.

    Args:
        address: as MLflow takes it.
    """
    path = Path(address.removeprefix(LOCAL))
    if not address.startswith(LOCAL) or path.exists():
        return
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
