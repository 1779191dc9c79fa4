"""A confirmed drop of what is live, under the policy automatic, on the local stack."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from zenml.client import Client
from zenml.enums import StackComponentType as Kind

from serving.capture_layout import CAPTURES, FEEDBACK, folder_of
from tests.stacks.apprise_alerter.webhook import Webhook, webhook_server
from tests.whole.captured import store_folder
from tests.whole.shop import SEED_1, Outcome, Shop, altered
from tests.whole.test_monitoring import captured, monitor, reference_of, rows_like

APART_S = 30
"""Of two windows of labels that do not overlap; each is so long."""
AUTOMATIC = (
    "monitor.performance.rollback=automatic",
    f"monitor.window={{settling_minutes: 0, label_days: {APART_S / 86_400}}}",
)
NAME = "rolled-back"


@pytest.fixture(scope="module")
def hook() -> Iterator[Webhook]:
    """What alerts are posted to."""
    with webhook_server() as server:
        yield server


@pytest.fixture(scope="module")
def two_versions(open_shop: Callable[[str], Shop], local_stack: Client, hook: Webhook) -> Shop:
    """Two versions that passed, looked at through a stack whose alerts go to the webhook."""
    shop = open_shop(NAME)
    shop.train()
    shop.train(SEED_1)
    found = local_stack.active_stack_model.components
    parts = {kind: some[0].id for kind, some in found.items()}
    local_stack.create_stack_component(NAME, "apprise", Kind.ALERTER, {"urls": hook.url})
    local_stack.create_stack(NAME, {**parts, Kind.ALERTER: NAME})
    return shop.on(NAME)


@pytest.fixture
def second_live(two_versions: Shop, hook: Webhook) -> Iterator[Shop]:
    """Version 2 is live in staging, 1 was before; and no window says anything of 2 yet."""
    served = two_versions.served()
    if served is None:
        two_versions.deploy(1)
    elif served[0] == 2:
        assert two_versions.run(rollback=True).exit_code == 0
    two_versions.deploy(2)
    hook.messages.clear()
    yield two_versions
    forget_traffic(two_versions)


def look(shop: Shop, *, again: bool = False) -> Outcome:
    """Look at answers of this moment, all said to be wrong; again: on a window of its own."""
    if again:
        time.sleep(APART_S)
    reference, now = reference_of(shop), datetime.now(UTC)
    rows = rows_like(reference, shop, 80)
    for row in rows:
        row["at"] = now
        row["truth"] = next(name for name in reference.classes if name != row["label"])
    captured(shop, rows, labelled_after=timedelta(0))
    return monitor(shop, *AUTOMATIC)


def forget_traffic(shop: Shop) -> None:
    """Nothing was captured of this model."""
    for kind in (CAPTURES, FEEDBACK):
        for path in (store_folder() / folder_of(kind, "staging", shop.model)).rglob("*.parquet"):
            path.unlink()


def reaction(outcome: Outcome) -> tuple[str, int | None]:
    """What followed, and what is live by it."""
    assert outcome.exit_code == 0, (outcome.results, outcome.stderr)
    found = outcome.last["monitoring"]["reaction"]
    return found["outcome"], found["to_version"]


def entries(shop: Shop, *acts: str) -> list[dict[str, object]]:
    """The audit log's entries of these acts on the model, the oldest first."""
    audited = shop.run(audit=True)
    assert audited.exit_code == 0, audited.said
    found = audited.last["details"]["entries"]
    return [each for each in found if each["act"] in acts and each["subject"].get("model") == shop.model]


def test_the_second_drop_in_a_row_rolls_back_once_audited_and_told(second_live: Shop, hook: Webhook) -> None:
    """The release before answers again, by a pipeline, on both reports; what is live then is judged anew."""
    shop = second_live
    assert reaction(look(shop)) == ("unconfirmed", None)
    assert shop.served() == (2, shop.versions()[2]["model_digest"])
    outcome = look(shop, again=True)
    assert reaction(outcome) == ("rolled_back", 1)
    assert "Version 1 is live in staging again, in the place of 2" in outcome.said
    assert shop.served() == (1, shop.versions()[1]["model_digest"])
    assert shop.aliases()["staging"] == 1

    entry = entries(shop, "rollback")[-1]
    assert entry["by"] == "a pipeline"
    evidence = outcome.last["monitoring"]["reaction"]["evidence"]
    assert len(set(evidence)) == 2
    assert all(digest in str(entry["reason"]) for digest in evidence)
    (told,) = [message for message in hook.messages if "rolled_back" in message]
    assert "critical" in told

    hook.messages.clear()
    assert reaction(look(shop)) == ("unconfirmed", None)
    assert reaction(look(shop, again=True)) == ("not_possible", None)
    assert shop.served() == (1, shop.versions()[1]["model_digest"])
    assert any("rollback_not_possible" in message for message in hook.messages)


def test_a_release_before_that_was_altered_is_not_served(second_live: Shop, hook: Webhook) -> None:
    """What is live stays, people are told why; and what rolled out meanwhile is not what they get either."""
    from steps.deployment.deployer import active_deployer

    shop, digest = second_live, second_live.versions()[1]["model_digest"]
    site: Path = active_deployer().config.site  # type: ignore[attr-defined]
    copy, stored = site / "models" / digest / "model.onnx", shop.stored(1, "model") / "model.onnx"
    other = (shop.stored(2, "model") / "model.onnx").read_bytes()
    before = shop.served(), shop.aliases(), len(entries(shop, "rollback"))
    look(shop)
    with altered(stored, other), altered(copy, other):
        outcome = look(shop, again=True)
    assert reaction(outcome) == ("not_possible", None)
    assert "altered" in outcome.said
    assert (shop.served(), shop.aliases(), len(entries(shop, "rollback"))) == before
    (told,) = [message for message in hook.messages if "rollback_not_possible" in message]
    assert "version 2 stays live in staging" in told


def test_what_rolls_out_is_ended_in_order_first(second_live: Shop) -> None:
    """The log has its end, by a pipeline, before the rollback; nothing rolls out beside what is put back."""
    from steps.deployment.deployer import active_deployer

    shop = second_live
    begun = shop.run("deployment.staging={mode: canary, stages: [0.5]}", deploy=True, version=1)
    assert begun.exit_code == 0, begun.said
    assert active_deployer().rolling_out(shop.model, "staging") is not None
    look(shop)
    assert reaction(look(shop, again=True)) == ("rolled_back", 1)
    assert active_deployer().rolling_out(shop.model, "staging") is None
    ended, back = entries(shop, "end-rollout", "rollback")[-2:]
    assert (ended["act"], ended["by"], back["act"], back["by"]) == (
        *("end-rollout", "a pipeline"),
        *("rollback", "a pipeline"),
    )
    assert shop.served() == (1, shop.versions()[1]["model_digest"])
