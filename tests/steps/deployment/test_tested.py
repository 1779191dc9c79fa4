"""Production finds the end-to-end test of exactly this model, and takes no other."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from zenml import save_artifact
from zenml.client import Client

from materializers.end_to_end import EndToEnd
from materializers.errors import Refused
from steps.deployment.deployer import active_deployer
from steps.deployment.tested import end_to_end_artifact, keep_end_to_end, own_test, require_end_to_end
from steps.registry.presupposed import Presupposed
from tests.materializers.examples import NOON, arm, end_to_end, exchange, release

NAMES = (f"tested-{number}" for number in count())
PRESUPPOSED = Presupposed(declared="0" * 64, serving="1" * 64)
FAILED = exchange(answered="HTTP 500: no reason", outcome="refused")


@pytest.fixture
def model(signing: None) -> str:
    """A name that no version was tested under."""
    return next(NAMES)


def keep(test: EndToEnd, presupposed: Presupposed = PRESUPPOSED) -> None:
    """Keep a test of what is live in staging since noon."""
    keep_end_to_end(test, release(environment="staging"), presupposed)


def require(model: str, **known: Any) -> None:
    """Ask for the test of version 3."""
    hours = known.pop("hours", 24)
    trusted = active_deployer().trusted_keys()
    require_end_to_end(model, arm(**known), presupposed=PRESUPPOSED, hours=hours, trusted=trusted)


def stored(model: str) -> Path:
    """The file of the last test of version 3."""
    name = end_to_end_artifact(model, 3)
    newest = Client().list_artifact_versions(artifact=name, sort_by="desc:created", size=1).items[0]
    return Path(newest.uri) / "report.json"


def test_a_test_that_passed_lately_is_enough(model: str) -> None:
    """It is found by the version's name."""
    keep(end_to_end(model_name=model))
    require(model)


def test_without_a_test_the_command_that_makes_one_is_named(model: str) -> None:
    """Another version's, or another model's, is none."""
    keep(end_to_end(model_name=model, version=2))
    keep(end_to_end(model_name=f"{model}-other"))
    with pytest.raises(Refused, match=r"version 3 has no such test.*python run\.py --deploy --version 3"):
        require(model)


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "failed": ({"exchanges": (FAILED,)}, {}, "did not pass it: no image: expected HTTP 4xx"),
    "not loaded enough": ({"load": "not_assessed", "load_reasons": ("slow",)}, {}, "under load: slow"),
    "of another model": ({"model": "9" * 64}, {}, "was tested as the model 999999999999"),
    "elsewhere": ({"environment": "production"}, {}, "was tested in production"),
    "too long ago": ({}, {"hours": 1e-9}, "was tested 0.0 hours ago"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_test_that_does_not_count_is_refused(model: str, what: str) -> None:
    """With what is wrong with it, and the command."""
    about, asked, said = REFUSED[what]
    keep(end_to_end(model_name=model, **about))
    with pytest.raises(Refused, match=said + r".*python run\.py --deploy --version 3"):
        require(model, **asked)


def test_the_last_test_counts(model: str) -> None:
    """A later one that failed refuses, and a still later one that passed allows again."""
    keep(end_to_end(model_name=model))
    keep(end_to_end(model_name=model, exchanges=(FAILED,)))
    with pytest.raises(Refused, match="did not pass"):
        require(model)
    keep(end_to_end(model_name=model))
    require(model)


def test_a_load_at_another_peak_does_not_count(model: str) -> None:
    """It was light enough for anything; where no load was asked for, nothing depends on the peak."""
    light = PRESUPPOSED.model_copy(update={"serving": "2" * 64})
    keep(end_to_end(model_name=model), light)
    with pytest.raises(
        Refused, match=r"with another peak.*evaluate\.cost.*python run\.py --deploy --version 3"
    ):
        require(model)
    keep(end_to_end(model_name=model, load=None, load_test=None), light)
    require(model)


def test_a_release_has_the_tests_of_its_own_alone(model: str) -> None:
    """Not those of an earlier release of the same model, another version or environment; the last counts."""
    trusted = active_deployer().trusted_keys()
    live = release(model_name=model, environment="staging")
    assert own_test(live, trusted) is None
    keep(end_to_end(model_name=model))
    keep(end_to_end(model_name=model, exchanges=(FAILED,)))
    test = own_test(live, trusted)
    assert test is not None
    assert test.subject["outcome"] == "refused"
    for other in (
        {"since": NOON + timedelta(seconds=1)},
        {"candidate": arm(2)},
        {"environment": "production"},
    ):
        assert own_test(live.model_copy(update=other), trusted) is None, other


def test_a_test_that_was_made_to_pass_is_refused(model: str) -> None:
    """The audit log names what was stored."""
    keep(end_to_end(model_name=model, exchanges=(FAILED,)))
    made: EndToEnd = end_to_end(model_name=model)
    stored(model).write_text(made.model_dump_json())
    with pytest.raises(Refused, match=r"not what entry .* of the audit log names: it was altered"):
        require(model)


def test_a_test_made_by_hand_is_none(model: str) -> None:
    """An artifact alone, which nobody logged: with no entry at all, or in the place of one that failed."""
    save_artifact(end_to_end(model_name=model), name=end_to_end_artifact(model, 3))
    with pytest.raises(Refused, match="has no such test"):
        require(model)
    keep(end_to_end(model_name=model, exchanges=(FAILED,)))
    save_artifact(end_to_end(model_name=model), name=end_to_end_artifact(model, 3))
    with pytest.raises(Refused, match="it was altered"):
        require(model)


def test_an_entry_alone_is_none(model: str) -> None:
    """What it names has to be there, and readable."""
    keep(end_to_end(model_name=model))
    stored(model).unlink()
    with pytest.raises(Refused, match="cannot be read"):
        require(model)


def test_an_entry_that_nobody_signed_is_none(model: str) -> None:
    """Whoever writes to the store writes no entry that counts."""
    from materializers.audit_entry import AuditEntry
    from materializers.audit_log import log_name

    keep(end_to_end(model_name=model))
    newest = Client().list_artifact_versions(
        artifact=log_name(), version_number="gte:1", sort_by="desc:version_number", size=1
    )
    file = Path(newest.items[0].uri) / "report.json"
    entry = AuditEntry.model_validate_json(file.read_bytes())
    assert entry.act == "end-to-end"
    before = file.read_bytes()
    file.write_text(entry.model_copy(update={"reason": "all is well"}).model_dump_json())
    try:
        with pytest.raises(Refused, match="has no such test"):
            require(model)
    finally:
        file.write_bytes(before)
