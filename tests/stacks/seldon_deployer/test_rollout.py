"""What a change that did not come up leaves: what served before it, and nothing that somebody slipped in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from materializers.errors import DamagedArtifact, NeverReady, UsageError
from serving.launching import PREDICTIONS, READINESS
from stacks.seldon_deployer import rollout as rollout_module
from stacks.seldon_deployer.manifest import specification
from stacks.seldon_deployer.rollout import Rollout
from stacks.seldon_deployer.state import Kept, Pending, State
from stacks.seldon_deployer.store import Held
from tests.remote.seldon_stub import NAMESPACE
from tests.stacks.answers import Answer, answering
from tests.stacks.local_deployer.conftest import DIGEST
from tests.stacks.seldon_deployer.conftest import CONFIG_MAP, KEY, NAME, KeptObjects, kept
from tests.stacks.seldon_deployer.foreign import ELSEWHERE, FOREIGN, altered


def begin(known: KeptObjects, rollout: Rollout, live: Kept) -> None:
    """Version 1 is live, as ``live`` has it, and the command that brings up version 2 was killed."""
    held = rollout.store.read(NAME)
    held = rollout.store.write(held, State(live=live), kept(1, known).specification)
    coming = kept(2, known)
    pending = Pending(token="t", beat=rollout.store.cluster.now, coming=coming, past=1)
    rollout.store.write(held, held.state.begun(pending), coming.specification)


def served(known: KeptObjects) -> dict[str, Any]:
    """The specification of the resource as it is now, without what the webhook fills in."""
    spec = known.objects.get(KEY)["spec"]
    for one in spec["predictors"]:
        one["graph"] = {key: one["graph"][key] for key in ("name", "type")}
    return dict(spec)


@pytest.mark.parametrize("change", FOREIGN)
def test_what_is_put_back_is_what_this_deployer_starts(
    kept_objects: KeptObjects, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A kept specification that was altered is made anew from the settings, whatever was altered."""
    monkeypatch.setattr(rollout_module, "DEAD_AFTER_S", -1)
    rollout, before = Rollout(kept_objects.config), kept(1, kept_objects)
    assert before.specification is not None
    foreign = before.model_copy(update={"specification": altered(before.specification, change)})
    begin(kept_objects, rollout, foreign)
    assert rollout.settled(NAME).state.pending is None
    assert served(kept_objects) == before.specification
    assert ELSEWHERE not in json.dumps(kept_objects.objects.get(KEY)["spec"])


def test_what_is_put_back_is_what_served(kept_objects: KeptObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the image and the memory of then, not of today."""
    monkeypatch.setattr(rollout_module, "DEAD_AFTER_S", -1)
    before = kept(1, kept_objects)
    begin(kept_objects, Rollout(kept_objects.config), before)
    today = kept_objects.config.model_copy(
        update={
            "image": "registry.example/serving:2",
            "staging": kept_objects.config.staging.model_copy(update={"memory_limit": "8G"}),
        }
    )
    Rollout(today).settled(NAME)
    assert served(kept_objects) == before.specification


def test_a_model_that_is_not_the_pinned_one_is_not_put_back(
    kept_objects: KeptObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither from what is kept nor from the settings: nobody can tell which of the two was live."""
    monkeypatch.setattr(rollout_module, "DEAD_AFTER_S", -1)
    rollout = Rollout(kept_objects.config)
    begin(kept_objects, rollout, kept(1, kept_objects).model_copy(update={"model_digest": "1" * 64}))
    now = served(kept_objects)
    with pytest.raises(DamagedArtifact, match=r"pins 111111111111.*python run\.py --stop"):
        rollout.settled(NAME)
    assert served(kept_objects) == now


def test_a_setting_that_kept_the_new_version_away_does_not_reach_the_old_one(
    kept_objects: KeptObjects,
) -> None:
    """The image of another registry, that cannot be pulled: what served comes back with its own."""
    store, before = Rollout(kept_objects.config).store, kept(1, kept_objects)
    store.write(store.read(NAME), State(live=before), before.specification)
    there = kept_objects.objects.get(KEY)["spec"]
    wrong = Rollout(kept_objects.config.model_copy(update={"image": "registry.exmaple/serving:1"}))
    coming = kept(2, kept_objects)
    new = specification(coming.release, coming.release.candidate or pytest.fail("none"), wrong._config)
    with pytest.raises(NeverReady, match="version 1 serves on"):
        wrong.roll_out(wrong.store.read(NAME), coming, new, past=1)
    assert kept_objects.objects.get(KEY)["spec"] == there
    assert wrong.store.read(NAME).state == State(live=before)


def test_nothing_is_begun_beside_a_config_map_of_somebody_else(kept_objects: KeptObjects) -> None:
    """It could not be taken down again: said before anything is changed, with what to do."""
    rollout, before = Rollout(kept_objects.config), kept(1, kept_objects)
    rollout.store.write(rollout.store.read(NAME), State(live=before), before.specification)
    foreign = kept_objects.objects.create(CONFIG_MAP, {"metadata": {"name": NAME}, "data": {"theirs": "1"}})
    there, coming = kept_objects.objects.get(KEY), kept(2, kept_objects)
    new = specification(coming.release, coming.release.candidate or pytest.fail("none"), kept_objects.config)
    with pytest.raises(UsageError, match=f"ConfigMap {NAME} in namespace {NAMESPACE} .* remove it, or give"):
        rollout.roll_out(rollout.store.read(NAME), coming, new, past=1)
    assert kept_objects.objects.get(KEY) == there
    assert kept_objects.objects.get(CONFIG_MAP) == foreign


@pytest.mark.parametrize(("status", "up"), [(200, True), (429, False), (500, False)])
def test_a_version_that_has_no_time_to_answer_yet_is_waited_for(
    kept_objects: KeptObjects, status: int, up: bool
) -> None:
    """It is not up, which ends no command: that asks again until its time is over."""
    base = f"/seldon/{NAMESPACE}/{NAME}"
    ready = {"jsonData": {"model_version": "2", "model_digest": DIGEST}}
    answer = {"jsonData": {"model_version": "2", "predictions": [{"label": "bags"}]}}
    routes = {f"{base}{READINESS}": Answer(200, ready), f"{base}{PREDICTIONS}": Answer(status, answer)}
    with answering(routes) as server:
        known = kept_objects._replace(
            config=kept_objects.config.model_copy(update={"ingress_url": server.url})
        )
        coming = kept(2, known)
        pending = Pending(token="t", beat=datetime.now(UTC), coming=coming, past=1)
        body = {"status": {"state": "Available"}, "spec": coming.specification}
        held = Held(NAME, body, State(live=kept(1, known)).begun(pending))
        assert Rollout(known.config)._is_up(held, pending) is up
