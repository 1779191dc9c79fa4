"""A rejection that the signed log has holds, for the version and for its model under another number."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from zenml.client import Client

from materializers.audit_entry import Act
from materializers.audit_log import log_name, rejection_of
from materializers.errors import ServiceUnreachable
from materializers.signatures import ACTOR_KEY, make_key_pair
from steps.registry.audit import record
from tests.keys import TRUSTED
from tests.steps.registry.conftest import artifacts, tracker

__all__ = ["artifacts", "tracker"]
SHOP, MODEL, OTHER = "shop", "a" * 64, "b" * 64

pytestmark = pytest.mark.usefixtures("artifacts", "tracker")


def decided(act: Act, version: int, model_digest: str = MODEL, model: str = SHOP) -> Path:
    """What a person's command logs; the entry's file."""
    subject = {"model": model, "version": str(version), "model_digest": model_digest}
    entry = record(act, subject, by="Bob", reason="the bags look wrong")
    assert entry is not None
    page = Client().list_artifact_versions(artifact=log_name(), version=str(entry.number))
    return Path(page.items[0].uri) / "report.json"


def rejection(version: int, model_digest: str = MODEL) -> int | None:
    """The number of the entry that holds for a version of the shop's."""
    found = rejection_of(SHOP, version, model_digest, TRUSTED)
    return None if found is None else found.number


def test_what_nobody_rejected_is_not() -> None:
    """An empty log says nothing, and neither does a rejection of another version or model."""
    assert rejection(3) is None
    decided("reject", 4, OTHER)
    decided("reject", 3, model="another")
    decided("approve", 3)
    assert rejection(3) is None


def test_the_last_decision_on_a_version_holds() -> None:
    """A rejection after an approval does, and a person may think again."""
    decided("approve", 3)
    decided("reject", 3)
    assert rejection(3) == 2
    decided("approve", 3)
    assert rejection(3) is None
    decided("reject", 3)
    assert rejection(3) == 4


def test_a_rejected_model_stays_so_under_each_number_until_somebody_decides_on_that() -> None:
    """Whichever way the decision on its own number went, it counts before that on the other."""
    decided("reject", 3)
    assert (rejection(4), rejection(4, OTHER)) == (1, None)
    decided("approve", 4)
    assert (rejection(3), rejection(4), rejection(5)) == (1, None, 1)
    decided("approve", 3)
    assert (rejection(3), rejection(5)) == (None, None)


def test_a_rejection_that_nobody_trusted_signed_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes to the store rejects nothing."""
    monkeypatch.setenv(ACTOR_KEY, make_key_pair()[0])
    decided("reject", 3)
    assert rejection(3) is None


@pytest.mark.parametrize("what", ["gone", "damaged", "made an approval"])
def test_a_rejection_that_is_not_to_be_read_any_more_clears_nobody(what: str) -> None:
    """It may be of any version: nothing that was not approved since can be shown not to be rejected."""
    file = decided("reject", 3)
    whole = file.read_text()
    if what == "gone":
        file.unlink()
    else:
        file.write_text("{" if what == "damaged" else json.dumps(json.loads(whole) | {"act": "approve"}))
    for version in (3, 4):
        with pytest.raises(ServiceUnreachable, match=r"Entry 1 of the audit log, a rejection, .* --approve"):
            rejection(version, OTHER)
    decided("approve", 4, OTHER)
    assert rejection(4, OTHER) is None
    decided("reject", 4, OTHER)
    assert rejection(4, OTHER) == 3
    file.write_text(whole)
    assert (rejection(3), rejection(5, "c" * 64)) == (1, None)


def test_a_long_log_costs_no_more() -> None:
    """What is no decision is not even read: it may lie where nobody can."""
    for act in ("train", "gate", "release"):
        file = decided(act, 3)
        file.unlink()
        file.mkdir()  # whoever reads it meets an error
    decided("reject", 3)
    assert rejection(3) == 4
