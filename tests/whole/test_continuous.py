"""Continuous training: a delivery joins what is there and leads to a staged model, or to a reason why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from steps.monitoring.alerts.alert import open_alerts
from tests.shrunk.delivery import cut_delivery
from tests.whole.shop import IMPOSSIBLE, Shop

MANUAL = "trigger.manual=true"


@pytest.fixture(scope="module")
def second_delivery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 pictures of each class that the first delivery does not have."""
    target = tmp_path_factory.mktemp("second") / "second.zip"
    return cut_delivery(target, archive="second-delivery.zip", per_class=20)


@pytest.fixture(scope="module")
def watching(open_shop: Callable[[str], Shop]) -> Shop:
    """A model that learnt from the first delivery."""
    shop = open_shop("no-news")
    shop.train()
    return shop


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A place that deliveries are put into, in which nothing is complete."""
    place = tmp_path / "incoming"
    (place / "half").mkdir(parents=True)
    (place / "half" / "labels.csv").write_text("image_path,label\n")
    return place


@pytest.mark.parametrize("watched", [False, True])
def test_without_new_data_nothing_is_trained_and_torch_is_not_imported(
    watching: Shop, place: Path, watched: bool
) -> None:
    """The same delivery, or a place with nothing new: skipped, by a process that imports nothing heavy."""
    shop = watching
    before = shop.versions(), shop.aliases()
    source = f"{place}/*" if watched else str(shop.delivery)
    ended = shop.process(*("--json", "--continuous", "--source", source), python=("-X", "importtime"))
    assert ended.returncode == 0, ended.stderr[-2000:]
    [entry] = json.loads(ended.stdout)["results"]
    assert (entry["status"], entry["version"], entry["verdict"]) == ("skipped", None, None)
    assert "learnt from exactly this data" in entry["reasons"][0]
    if watched:
        assert entry["reasons"][1] == f"Nothing new is complete in {place}."
        assert entry["reasons"][2].startswith("Not complete: half has no marker since 20")
    assert entry["decision"]["retrain"] is False
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if "|" in line}
    assert "steps.monitoring.decide" in imported
    assert not {"torch", "torchvision", "onnxruntime", "sklearn", "matplotlib"} & imported
    assert (shop.versions(), shop.aliases()) == before


def test_a_watched_delivery_is_learnt_from_once_by_two_commands_at_once(
    watching: Shop, place: Path, second_delivery: Path
) -> None:
    """One waits for the other and finds nothing new: one training, one version, and it is in staging."""
    shop = watching
    (place / "second.zip").write_bytes(second_delivery.read_bytes())
    (place / "second.zip._COMPLETE").touch()
    before = set(shop.versions())
    with ThreadPoolExecutor(2) as pool:
        flags = ("--json", "--continuous", "--source", f"{place}/*")
        both = [pool.submit(shop.process, *flags) for _ in range(2)]
    ended = [one.result() for one in both]
    assert [one.returncode for one in ended] == [0, 0], [one.stderr[-2000:] for one in ended]
    assert any("Another run is going" in one.stderr for one in ended)
    entries = [json.loads(one.stdout)["results"][0] for one in ended]
    skipped, done = sorted(entries, key=lambda entry: str(entry["status"]), reverse=True)
    assert (skipped["status"], done["status"], done["verdict"]) == ("skipped", "completed", "passed")
    assert "100 pictures are new" in " ".join(done["reasons"])
    assert f"Taken from {place}: second.zip." in done["reasons"]
    assert f"Nothing new is complete in {place}." in skipped["reasons"]
    versions = shop.versions()
    assert set(versions) - before == {done["version"]}
    assert shop.served() == (done["version"], versions[done["version"]]["model_digest"])


def test_new_data_are_learnt_from_and_staged(open_shop: Callable[[str], Shop], second_delivery: Path) -> None:
    """A second delivery joins the first, and the model that learnt from both replaces the one in staging."""
    from zenml.client import Client

    shop = open_shop("news")
    shop.train()
    shop.deploy()
    outcome = shop.run(continuous=True, source=str(second_delivery))
    assert outcome.exit_code == 0, outcome.said
    assert (outcome.last["status"], outcome.last["version"], outcome.last["verdict"]) == (
        "completed",
        2,
        "passed",
    )
    assert outcome.last["decision"]["retrain"] is True
    assert outcome.last["release"]["status"] == "live"
    assert "100 pictures are new" in outcome.said
    versions = shop.versions()
    assert shop.served() == (2, versions[2]["model_digest"])
    assert shop.aliases() == {"staging": 2, "challenger": 2}
    run = Client().get_pipeline_run(versions[2]["zenml_run"])
    parent = Client().get_pipeline_run(versions[1]["zenml_run"])
    now, before = (one.steps["split"].outputs["splits"][0].load().members for one in (run, parent))
    moved = before.merge(now, on="image_id", suffixes=("_before", "_now"))
    assert (len(now), len(moved)) == (400, 300)
    assert (moved["split_before"] == moved["split_now"]).all()


def test_the_cooldown_holds_back_unless_a_person_asks(
    open_shop: Callable[[str], Shop], second_delivery: Path
) -> None:
    """New data within the cooldown train nothing and say so; the delivery is kept for the next time."""
    shop = open_shop("cooling")
    shop.train()
    outcome = shop.run("trigger.cooldown_hours=24", continuous=True, source=str(second_delivery))
    assert (outcome.exit_code, outcome.last["status"], outcome.last["version"]) == (0, "skipped", None)
    assert "cooldown" in outcome.said
    assert "trigger.manual=true" in outcome.said
    assert set(shop.versions()) == {1}

    asked = shop.run("trigger.cooldown_hours=24", MANUAL, continuous=True, source=str(shop.delivery))
    assert (asked.exit_code, asked.last["version"]) == (0, 2), asked.said
    assert shop.versions()[2]["data_version"] != shop.versions()[1]["data_version"]
    assert shop.served() == (2, shop.versions()[2]["model_digest"])


def test_a_refused_retraining_leaves_staging_untouched(
    open_shop: Callable[[str], Shop], second_delivery: Path
) -> None:
    """A retrained model that the gate refuses is recorded and told, and the one before goes on serving."""
    shop = open_shop("worse")
    shop.train()
    shop.deploy()
    before = shop.served(), shop.aliases()
    outcome = shop.run(IMPOSSIBLE, continuous=True, source=str(second_delivery))
    assert (outcome.exit_code, outcome.last["status"]) == (3, "refused")
    assert (outcome.last["version"], outcome.last["verdict"]) == (2, "refused")
    assert "accuracy" in outcome.said
    assert shop.versions()[2]["verdict"] == "refused"
    assert (shop.served(), shop.aliases()) == before
    told = {state.alert.name: state.alert for state in open_alerts(shop.model).open}["model_refused"]
    assert told.subject == "version 2"
    assert any(reason.startswith("accuracy: ") for reason in told.reasons)
    assert told.link is not None
