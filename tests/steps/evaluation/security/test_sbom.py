"""A bill of materials lists every locked package, and is the same each time."""

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from steps.evaluation.security.locks import PROJECT, pinned
from steps.evaluation.security.sbom import bill_of_materials
from steps.evaluation.security.settings import SecuritySettings

LOCK = "serving/requirements.lock"


def test_the_bill_is_valid_complete_and_reproducible() -> None:
    """By CycloneDX's own schema; each pinned package with its version; twice the same bytes."""
    bill, made = bill_of_materials(LOCK)
    assert bill_of_materials(LOCK) == (bill, made)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(made.decode()) is None
    listed = {(each["name"], each["version"]) for each in json.loads(made)["components"]}
    assert listed == set(pinned(LOCK))
    assert ("onnxruntime", "1.26.0") in listed
    assert (bill.lock, bill.packages) == (LOCK, len(listed))
    about = json.loads(made)["metadata"]["component"]
    assert (about["name"], about["hashes"][0]["content"]) == (LOCK, bill.lock_digest)


def test_another_lock_has_another_bill() -> None:
    """Each is named by digests of what they are about."""
    bills = [bill_of_materials(lock)[0] for lock in SecuritySettings().locks]
    assert len({bill.sbom_digest for bill in bills}) == len({bill.lock_digest for bill in bills}) == 3
    assert bills[0].packages > 200


def test_a_lock_that_is_not_there_is_an_error() -> None:
    """Nothing is made up for it."""
    with pytest.raises(FileNotFoundError):
        bill_of_materials("none.lock")
    assert not (PROJECT / "none.lock").exists()
