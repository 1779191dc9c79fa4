"""The demo, shrunk, from the delivery to predictions; run again, it makes nothing new."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.shrunk.delivery import PROJECT
from tests.whole.shop import Outcome, Shop

PHOTOS = tuple(str(PROJECT / "data" / "photos" / name) for name in ("bag.png", "dress.png", "sneaker.png"))
PIPELINE_FIELDS = {
    "monitoring",
    "pipeline",
    "run",
    "status",
    "version",
    "verdict",
    "reasons",
    "metrics",
    "release",
    "decision",
}
STATUS_FIELDS = {
    *("stack", "models", "deployments", "rollouts", "runs", "schedules"),
    *("next_run", "monitoring", "waiting", "budget", "alerts"),
}
CLASSES = {"tops", "trousers", "dresses", "footwear", "bags"}


def demo(shop: Shop, no_cache: bool) -> Outcome:
    """Train, deploy and predict in one call."""
    return shop.run(
        train=True, source=str(shop.delivery), deploy=True, predict=True, photos=PHOTOS, no_cache=no_cache
    )


@pytest.fixture(scope="module")
def first(open_shop: Callable[[str], Shop]) -> tuple[Shop, Outcome]:
    """The demo, run once as a process of its own; its standard output is parsed as it is."""
    shop = open_shop("demo")
    ended = shop.process(
        "--json", "--source", str(shop.delivery), "--train", "--deploy", "--predict", *PHOTOS
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    return shop, Outcome(ended.returncode, json.loads(ended.stdout)["results"], ended.stderr)


def test_one_call_ends_with_predictions(first: tuple[Shop, Outcome]) -> None:
    """From the delivery to a served version that answers for photographs it was not trained on."""
    shop, outcome = first
    training, deployment, predict = outcome.results
    assert (training["status"], training["version"], training["verdict"]) == ("completed", 1, "passed")
    assert (deployment["status"], deployment["release"]["status"]) == ("completed", "live")
    assert shop.aliases() == {"challenger": 1, "staging": 1}
    assert shop.served() == (1, shop.versions()[1]["model_digest"])
    assert [answer["photo"] for answer in predict["details"]["predictions"]] == list(PHOTOS)
    for answer in predict["details"]["predictions"]:
        assert answer["label"] in CLASSES
        assert answer["model_version"] == "1"
        assert set(answer["probabilities"]) == CLASSES
        assert answer["latency_ms"] > 0


def test_a_pipelines_entry_has_the_promised_fields(first: tuple[Shop, Outcome]) -> None:
    """``results`` holds what others parse, null where it does not apply."""
    training, deployment, _ = first[1].results
    assert set(training) == set(deployment) == PIPELINE_FIELDS
    assert training["metrics"]["per_class"].keys() == CLASSES
    assert (training["release"], training["decision"], training["monitoring"]) == (None, None, None)
    assert (deployment["metrics"], deployment["verdict"], deployment["reasons"]) == (None, None, [])


def test_the_status_has_the_promised_fields(first: tuple[Shop, Outcome]) -> None:
    """``--status`` says what is registered, what is live and what ran."""
    shop, _ = first
    outcome = shop.run(status=True)
    assert outcome.exit_code == 0
    assert set(outcome.last) == STATUS_FIELDS
    assert (outcome.last["rollouts"], outcome.last["monitoring"]) == ([], [])
    [model] = outcome.last["models"]
    assert set(model) == {"version", "aliases", "verdict", "metrics"}
    assert (model["version"], model["verdict"]) == (1, "passed")
    [deployment] = outcome.last["deployments"]
    assert deployment == {
        "environment": "staging",
        "version": 1,
        "url": f"{shop.url()}/api/v1.0/predictions",
        "healthy": True,
        "since": deployment["since"],
        "data": shop.versions()[1]["data_version"],
    }
    assert datetime.fromisoformat(deployment["since"]) < datetime.now(UTC)
    [waiting] = outcome.last["waiting"]
    assert waiting["kind"] == "approval"
    assert f"--set product.model={shop.model} --approve 1 --by WHO" in waiting["reason"]


@pytest.mark.parametrize("no_cache", [False, True], ids=["cached", "no-cache"])
def test_the_same_again_makes_no_second_version(first: tuple[Shop, Outcome], no_cache: bool) -> None:
    """The same data, configuration and code end in the version that is there, with the same bytes."""
    from zenml.client import Client

    shop, _ = first
    before = shop.versions(), shop.aliases(), shop.served()
    outcome = demo(shop, no_cache=no_cache)
    assert outcome.exit_code == 0, outcome.said
    run = Client().get_pipeline_run(outcome.results[0]["run"])
    classifier = run.steps["train"].outputs["classifier"][0]
    assert classifier.run_metadata["digest"] == before[0][1]["model_digest"]
    assert outcome.results[0]["version"] == 1
    assert (shop.versions(), shop.aliases(), shop.served()) == before


def test_stopping_leaves_nothing_running(
    open_shop: Callable[[str], Shop], stack_with_deployer: Callable[..., str], tmp_path: Path
) -> None:
    """After ``--stop`` neither a process nor an address is left, and what was live can be deployed again."""
    from benchmarks.main.home import free_port
    from stacks.local_deployer import processes

    site, port = tmp_path / "site", free_port()
    shop = open_shop("stopped").on(stack_with_deployer(state_directory=str(site), port=port))
    shop.train()
    shop.deploy()
    url = f"http://127.0.0.1:{port}/seldon/staging/stopped/health/status"
    try:
        assert httpx.get(url, trust_env=False).status_code == 200
        assert len(processes.running(site)) == 3
    finally:
        outcome = shop.run(stop=True)
    assert outcome.exit_code == 0
    assert processes.running(site) == {}
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    assert shop.run(status=True).last["deployments"] == []
