"""Models of the session that are trained and served once, and looked at by many tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from benchmarks.main.home import free_port
from tests.shrunk.delivery import cut_delivery
from tests.whole.shop import IMPOSSIBLE, SEED_1, Shop

if TYPE_CHECKING:
    from zenml.client import Client


@pytest.fixture(scope="session")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures of each class."""
    return cut_delivery(tmp_path_factory.mktemp("delivery") / "delivery.zip")


@pytest.fixture(scope="session")
def open_shop(local_stack: Client, delivery: Path) -> Callable[[str], Shop]:
    """Makes shops: each has a registered model of its own, empty so far."""
    return lambda model: Shop(model, delivery)


@pytest.fixture(scope="session")
def serving(open_shop: Callable[[str], Shop]) -> Shop:
    """Version 1 is live in staging, 2 passed and is the challenger, 3 is 2 refused by a stricter policy.

    Tests must leave all of this as it is.
    """
    shop = open_shop("serving")
    assert shop.train() == 1
    shop.deploy(1)
    assert shop.train(SEED_1) == 2
    assert shop.train(SEED_1, IMPOSSIBLE, expected=3) == 3
    assert shop.aliases() == {"staging": 1, "challenger": 2}
    return shop


@pytest.fixture
def untouched(serving: Shop) -> Any:
    """Fails the test when what ``serving`` serves, or its aliases, are others after it than before."""
    before = serving.served(), serving.aliases()
    assert before[0] is not None
    yield serving
    assert (serving.served(), serving.aliases()) == before


@contextmanager
def own_services(client: Client, name: str, folder: Path, **settings: Any) -> Iterator[None]:
    """A stack like the local one, active meanwhile, whose services are no other test's and end with it.

    Args:
        client: with the local stack active.
        name: of the stack and its deployer.
        folder: of the deployer's state.
        settings: of the deployer, where they differ.
    """
    from zenml.enums import StackComponentType as Kind

    from steps.deployment.deployer import active_deployer

    port, before = free_port(), client.active_stack_model
    parts = {kind: found[0].id for kind, found in before.components.items()}
    present = before.components[Kind.MODEL_DEPLOYER][0].configuration
    own = {**present, "state_directory": str(folder), "port": port, **settings}
    client.create_stack_component(name, "seldon-local", Kind.MODEL_DEPLOYER, own)
    client.create_stack(name, {**parts, Kind.MODEL_DEPLOYER: name})
    client.activate_stack(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHUTTERLINE_PORT", str(port))
        yield
        active_deployer().stop()
    client.activate_stack(before.id)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that does not answer is believed to be dead at once."""
    monkeypatch.setattr("steps.deployment.observe.PATIENCE_S", 0.0)


@pytest.fixture
def stack_with_deployer(local_stack: Client) -> Callable[..., str]:
    """Registers a stack like the local one, but for the settings of its deployer, and returns its name."""

    def register(**settings: Any) -> str:
        from zenml.enums import StackComponentType as Kind

        name = f"other-{uuid4().hex[:8]}"
        parts = local_stack.active_stack_model.components
        present = parts[Kind.MODEL_DEPLOYER][0].configuration
        local_stack.create_stack_component(name, "seldon-local", Kind.MODEL_DEPLOYER, {**present, **settings})
        components = {kind: parts[kind][0].id for kind in parts}
        local_stack.create_stack(name, {**components, Kind.MODEL_DEPLOYER: name})
        return name

    return register
