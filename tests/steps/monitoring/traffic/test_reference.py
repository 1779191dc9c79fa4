"""Accepted traffic counts by its entry in the log, for exactly its model, or is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from zenml import save_artifact
from zenml.client import Client

from materializers.drift_reference import REFERENCE_FILE
from materializers.errors import Refused
from materializers.release import Arm
from pipelines.session import prepare
from steps.monitoring.traffic.reference import drawn, rebased_reference, reference_name
from steps.registry.audit import record
from tests.materializers import examples
from tests.whole.shop import one_bit_off

IDS = tuple(f"{number:064x}" for number in range(6))
ARM: Arm = examples.arm(3).model_copy(update={"model_digest": examples.MODEL_DIGEST})


@pytest.fixture
def shop(local_stack: Client) -> str:
    """A model of which the audit log says nothing yet."""
    prepare(stack=None)
    return f"shop-{uuid4().hex[:8]}"


def accept(shop: str, *ids: str, logged: bool = True) -> Path:
    """Store what was answered on these pictures as accepted; the folder."""
    made = examples.rebased_reference(*(ids or IDS))
    stored = save_artifact(made, name=reference_name(shop, "production"))
    if logged:
        about = {"environment": "production", "version": "3", "model_digest": made.model_digest}
        subject = {"model": shop, **about, "reference": made.digest, "artifact": stored.version}
        record("rebase-reference", subject, by="Ada", reason="because")
    return Path(stored.uri)


def test_without_an_entry_there_is_none(shop: str) -> None:
    """As after a command that was killed before it was logged."""
    accept(shop, logged=False)
    assert rebased_reference(shop, "production", ARM) is None


def test_the_newest_counts_for_exactly_its_model_and_environment(shop: str) -> None:
    """What is live next is compared with its own pictures again."""
    accept(shop, *IDS[:5])
    accept(shop)
    found = rebased_reference(shop, "production", ARM)
    assert found is not None
    assert (len(found[0].reference), found[1].by) == (6, "Ada")
    assert rebased_reference(shop, "staging", ARM) is None
    assert rebased_reference(shop, "production", ARM.model_copy(update={"model_digest": "b" * 64})) is None


def edited_json(folder: Path) -> None:
    """Another person's name in it."""
    path = folder / "report.json"
    path.write_bytes(path.read_bytes().replace(b'"Ada"', b'"Eve"'))


def edited_table(folder: Path) -> None:
    """One bit of a score."""
    table = examples.drift_reference(*IDS)
    table.scores[0, 0] += 0.25
    (folder / REFERENCE_FILE).write_bytes(table.to_bytes())


def damaged_table(folder: Path) -> None:
    """It is no table any more."""
    path = folder / REFERENCE_FILE
    path.write_bytes(one_bit_off(path)[:100])


def lost_row(folder: Path) -> None:
    """One picture less, and nobody erased it."""
    (folder / REFERENCE_FILE).write_bytes(examples.drift_reference(*IDS).without(IDS[:1]).to_bytes())


def gone(folder: Path) -> None:
    """The file was removed."""
    (folder / "report.json").unlink()


@pytest.mark.parametrize("how", [edited_json, edited_table, damaged_table, lost_row, gone])
def test_what_is_not_what_the_entry_names_is_refused_by_name(shop: str, how: Callable[[Path], None]) -> None:
    """With whose it is, the entry, and both ways out; an older one does not take its place unseen."""
    accept(shop)
    folder = accept(shop)
    how(folder)
    with pytest.raises(Refused, match=r"Ada rebased .* version 3 in production .*cannot be used") as refused:
        rebased_reference(shop, "production", ARM)
    assert "--rebase-reference --environment production" in str(refused.value)
    assert "monitor.reference.use=own" in str(refused.value)


def test_a_picture_that_was_erased_by_the_log_leaves_it_usable(shop: str) -> None:
    """Who forgets a picture need not accept the traffic anew."""
    lost_row(accept(shop))
    record("forget", {"model": shop, "outcome": "erased"}, by="Ada", reason="the customer asked")
    found = rebased_reference(shop, "production", ARM)
    assert found is not None
    assert found[0].erased() == 1


def test_of_much_traffic_what_was_kept_comes_first_and_the_rest_by_chance() -> None:
    """In its order, the same rows each time; of little all."""
    rows = pd.DataFrame({"picture": [b"x" if number % 10 == 0 else None for number in range(1000)]})
    taken = drawn(rows, 300)
    assert len(taken) == 300
    assert taken["picture"].notna().sum() == 100
    assert taken.index.is_monotonic_increasing
    assert np.array_equal(taken.index, drawn(rows, 300).index)
    without = taken.index[taken["picture"].isna()]
    assert 350 < without.to_numpy().mean() < 650
    assert drawn(rows, 1000) is rows
