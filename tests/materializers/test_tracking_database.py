"""A local stack's MLflow database is there whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from materializers.tracking_database import make_whole

MAKE = "import sys; from materializers.tracking_database import make_whole; make_whole(sys.argv[1])"


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0])
def test_a_process_that_is_killed_while_it_makes_it_leaves_none(tmp_path: Path, seconds: float) -> None:
    """MLflow itself would leave a part of its tables, and never open them again."""
    from mlflow import MlflowClient

    address = f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}"
    maker = subprocess.Popen([sys.executable, "-c", MAKE, address], env=dict(os.environ))
    ends = time.monotonic() + 60
    while not list(tmp_path.glob("store/.mlflow-*/mlflow.db")):
        assert maker.poll() is None, "it was made before anybody saw it"
        assert time.monotonic() < ends
        time.sleep(0.01)
    time.sleep(seconds)
    maker.send_signal(signal.SIGKILL)
    maker.wait()
    make_whole(address)
    assert MlflowClient(address).search_registered_models() == []


def test_a_database_that_is_there_and_a_server_are_left_alone(tmp_path: Path) -> None:
    """Whatever the file holds is for MLflow to judge."""
    (tmp_path / "mlflow.db").write_bytes(b"what somebody has")
    make_whole(f"sqlite:///{tmp_path / 'mlflow.db'}")
    make_whole("http://127.0.0.1:1")
    assert (tmp_path / "mlflow.db").read_bytes() == b"what somebody has"
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
