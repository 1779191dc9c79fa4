"""What a version was trained from is found in what was recorded of it, or it is refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from materializers.errors import Refused
from materializers.evidence import RegisteredVersion
from steps.training import recalling
from steps.training.settings import TrainSettings
from tests.materializers.examples import MODEL, NOON
from tests.steps.training.examples import dataset, settings, splits

ENTRY = RegisteredVersion(model_name=MODEL, version=3, created=NOON, aliases=(), tags={})


def record(**said: Any) -> Any:
    """A record that has these fields beside the digest of its code."""
    return SimpleNamespace(code="e5" * 32, **said)


def step_run(recorded: TrainSettings) -> Any:
    """A step that was called with these settings."""
    return SimpleNamespace(config=SimpleNamespace(parameters={"settings": recorded.model_dump(mode="json")}))


def test_the_settings_are_those_of_the_record() -> None:
    """They are what was trained with, whatever the run was called with before it was tuned."""
    tuned, called = settings(dropout=0.45), settings(dropout=0.1)
    said = record(settings=tuned.model_dump(mode="json"))
    assert recalling._settings(ENTRY, said, step_run(called)) == tuned


@pytest.mark.parametrize("said", [{}, {"settings": None}], ids=["format 1", "read from format 1"])
def test_a_record_that_lacks_them_has_a_run_that_does_not(said: dict[str, Any]) -> None:
    """Nothing was tuned when records had no settings yet."""
    called = settings(dropout=0.1)
    assert recalling._settings(ENTRY, record(**said), step_run(called)) == called


def test_settings_of_another_code_are_refused() -> None:
    """The key, and the digest of the code that knows it."""
    said = record(settings=settings().model_dump(mode="json") | {"momentum": 0.9})
    with pytest.raises(Refused, match=r"does not know its settings \(momentum: .*digest is e5e5e5e5e5e5"):
        recalling._settings(ENTRY, said, step_run(settings()))


def test_forgotten_pictures_count_where_they_were_learnt_from() -> None:
    """Also where they chose the epoch; a test picture changes nothing of a model."""
    pictures = dataset()
    groups = splits(pictures)
    tested = pictures.without(groups.image_ids("test"))
    recalling._refuse_forgotten(ENTRY, tested, groups)
    one = tested.without(groups.image_ids("validation")[:1])
    with pytest.raises(
        Refused, match=r"^Version 3 of .*: 1 of the 48 pictures that it learnt from or was chosen by was"
    ):
        recalling._refuse_forgotten(ENTRY, one, groups)
