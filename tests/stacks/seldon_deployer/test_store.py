"""The ConfigMap that keeps the history of what was taken down: only that of this deployer is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from materializers.errors import UsageError
from stacks.seldon_deployer.cluster import Cluster
from stacks.seldon_deployer.manifest import MANAGED_BY
from stacks.seldon_deployer.resource import PLURAL
from stacks.seldon_deployer.state import HISTORY, History, State
from stacks.seldon_deployer.store import Store
from tests.remote.seldon_stub import NAMESPACE
from tests.stacks.seldon_deployer.conftest import CONFIG_MAP, KEY, NAME, KeptObjects, kept

ACTS: dict[str, Callable[[Store], Any]] = {
    "read": lambda store: store.read(NAME),
    "forget": lambda store: store.forget_what_was_taken_down(NAME),
    "remove damaged": lambda store: store.remove_damaged(NAME, timeout_s=1),
}


@pytest.fixture
def store(kept_objects: KeptObjects) -> Store:
    """A store that holds nothing yet."""
    return Store(Cluster(kept_objects.config))


@pytest.mark.parametrize("act", sorted(ACTS))
@pytest.mark.parametrize("labels", [None, {"app.kubernetes.io/managed-by": "helm"}])
def test_a_config_map_of_somebody_else_is_neither_believed_nor_changed(
    kept_objects: KeptObjects, store: Store, act: str, labels: dict[str, str] | None
) -> None:
    """Its history is not read, and it is neither deleted nor replaced; it is named, with what to do."""
    metadata = {"name": NAME, **({"labels": labels} if labels else {})}
    history = json.dumps({"format_version": 1, "releases": [], "forgotten": 7})
    there = kept_objects.objects.create(CONFIG_MAP, {"metadata": metadata, "data": {"history": history}})
    with pytest.raises(UsageError, match=f"ConfigMap {NAME} in namespace {NAMESPACE} .* remove it, or give"):
        ACTS[act](store)
    assert kept_objects.objects.get(CONFIG_MAP) == there


def test_what_serves_is_not_taken_down_where_its_history_cannot_be_kept(
    kept_objects: KeptObjects, store: Store
) -> None:
    """Neither it nor the ConfigMap of somebody else is changed."""
    live = kept(1, kept_objects)
    held = store.write(store.read(NAME), State(live=live), live.specification)
    there = kept_objects.objects.create(CONFIG_MAP, {"metadata": {"name": NAME}, "data": {"theirs": "1"}})
    with pytest.raises(UsageError, match=f"ConfigMap {NAME} "):
        store.remove(held, held.state.down(remember=True), timeout_s=1)
    assert kept_objects.objects.get(CONFIG_MAP) == there
    assert store.read(NAME) == held


def test_the_history_of_this_deployer_is_kept_replaced_and_forgotten(
    kept_objects: KeptObjects, store: Store
) -> None:
    """Taken down twice, its history is the last one; live again, it has none beside the resource."""
    for version in (1, 2):
        live = kept(version, kept_objects)
        before = State(live=live, history=History(forgotten=version))
        held = store.write(store.read(NAME), before, live.specification)
        store.remove(held, held.state.down(remember=True), timeout_s=1)
        assert kept_objects.objects.find(PLURAL, NAMESPACE, NAME) is None
        assert kept_objects.objects.get(CONFIG_MAP)["metadata"]["labels"] == MANAGED_BY
        state = store.read(NAME).state
        assert (state.history.forgotten, state.history.releases) == (version, (live,))
        assert set(state.annotations()) == {HISTORY}
    store.forget_what_was_taken_down(NAME)
    assert kept_objects.objects.find(*CONFIG_MAP) is None
    store.forget_what_was_taken_down(NAME)
    assert kept_objects.objects.find(*KEY) is None
