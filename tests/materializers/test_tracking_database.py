"""A local stack's MLflow database is there whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from materializers.errors import ServiceUnreachable
from materializers.tracking_database import make_whole

MAKE = (
    "import sys; from materializers.tracking_database import make_whole; "
    "make_whole(sys.argv[1], is_known=lambda: False)"
)


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
    make_whole(address, is_known=lambda: False)
    assert MlflowClient(address).search_registered_models() == []


def test_a_database_that_is_there_and_a_server_are_left_alone(tmp_path: Path) -> None:
    """Whatever the file holds is for MLflow to judge."""
    (tmp_path / "mlflow.db").write_bytes(b"what somebody has")
    make_whole(f"sqlite:///{tmp_path / 'mlflow.db'}", is_known=lambda: True)
    make_whole("http://127.0.0.1:1", is_known=lambda: True)
    assert (tmp_path / "mlflow.db").read_bytes() == b"what somebody has"
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_database_that_held_something_and_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    """Whoever moved it away is told how it comes back, and how one begins without it."""
    path = tmp_path / "mlflow.db"
    with pytest.raises(ServiceUnreachable, match=f"{path} is gone.*put it back.*touch {path}"):
        make_whole(f"sqlite:///{path}", is_known=lambda: True)
    assert list(tmp_path.iterdir()) == []
