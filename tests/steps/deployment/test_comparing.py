"""What is compared is what both versions were asked since the present share began, and nothing else."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from zenml.client import Client

from materializers.release import Arm, Release
from serving.capture_layout import (
    CAPTURES,
    FEEDBACK,
    Kind,
    folder_of,
    folder_of_hour,
    part_name,
    to_parquet,
)
from steps.data.class_changes import NO_CHANGES, ClassChanges
from steps.deployment.comparing import compare, last_observation
from steps.deployment.observing.settings import ObserveSettings
from steps.deployment.settings import DeploymentSettings
from tests.materializers.examples import NOON
from tests.steps.deployment.held import HeldDeployer

RENAMED = ClassChanges(renamed={"bags": "handbags"})
LATER = NOON + timedelta(minutes=20)
SETTINGS = DeploymentSettings(
    observe=ObserveSettings(minimum_requests=20, planned_requests=40, looks=2, first_look=0.5)
)


def captured(release: Release, arm: Arm | None, n: int, **known: Any) -> None:
    """Store what one version answered to n requests, one a second from the begin of the stage on."""
    assert arm is not None
    begin = known.pop("begin", NOON + timedelta(seconds=1))
    rows = [
        {
            "request_id": f"{known.get('model_version', arm.version)}-{number}",
            "position": 0,
            "at": begin + timedelta(seconds=number),
            "latency_ms": 40.0 + number % 7,
            "model_name": release.model_name,
            "model_version": str(arm.version),
            "model_digest": arm.model_digest,
            "status": 200,
            "label": "bags",
            "probability": 0.9,
            "abstained": False,
            **known,
        }
        for number in range(n)
    ]
    put(CAPTURES, release, to_parquet(CAPTURES, rows))


def put(kind: Kind, release: Release, content: bytes) -> Path:
    """Store a part of the hour of noon; the file."""
    place = f"{folder_of(kind, release.environment, release.model_name)}/{folder_of_hour(NOON)}"
    folder = Path(Client().active_stack.artifact_store.path) / place
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / part_name(hashlib.sha256(content).hexdigest(), pictures=False)
    file.write_bytes(content)
    return file


def labelled(release: Release, **labels: str) -> None:
    """Store the label that was posted for each of these requests."""
    rows = [
        {"request_id": request.replace("_", "-"), "at": NOON, "label": label}
        for request, label in labels.items()
    ]
    put(FEEDBACK, release, to_parquet(FEEDBACK, rows))


def rolling_in(held: HeldDeployer, **known: Any) -> Release:
    """What is rolling out."""
    assert held.rolling is not None
    return held.rolling.model_copy(update=known)


def test_each_versions_own_answers_are_counted(held: HeldDeployer) -> None:
    """Those of another version, of another model under the number, and of before the share are left out."""
    rolling = rolling_in(held)
    captured(rolling, rolling.champion, 90)
    captured(rolling, rolling.candidate, 10)
    captured(rolling, rolling.candidate, 7, model_version="4")
    captured(rolling, rolling.candidate, 6, model_digest="9" * 64, request_id="other")
    captured(rolling, rolling.candidate, 5, begin=NOON - timedelta(seconds=30))
    compared = compare(rolling, SETTINGS, now=LATER)
    assert compared is not None
    seen = compared.observation
    assert (seen.requests_champion, seen.requests_candidate, seen.answer) == (90, 10, "continue")
    assert (compared.ab_report, compared.shadow_report) == (None, None)


def test_a_candidate_that_fails_is_to_be_rolled_back_with_a_picture(held: HeldDeployer) -> None:
    """The figures over time lie beside the report."""
    rolling = rolling_in(held)
    captured(rolling, rolling.champion, 300)
    captured(rolling, rolling.candidate, 60, status=500, label=None, probability=None, abstained=None)
    compared = compare(rolling, SETTINGS, now=LATER)
    assert compared is not None
    assert compared.observation.answer == "roll back"
    assert compared.observation.pictures
    again = compare(rolling, SETTINGS, now=LATER + timedelta(hours=5))
    assert again is not None
    assert again.observation.decided_at == compared.observation.decided_at


@pytest.mark.parametrize("mode", ["ab", "shadow"])
def test_an_ab_test_and_a_shadow_have_a_report_of_their_own(held: HeldDeployer, mode: str) -> None:
    """Beside what should become of them."""
    rolling = rolling_in(held, mode=mode, share=0.0 if mode == "shadow" else 0.2)
    captured(rolling, rolling.champion, 30, request_id="both")
    captured(rolling, rolling.candidate, 30, request_id="both")
    compared = compare(rolling, SETTINGS, now=LATER)
    assert compared is not None
    assert (compared.ab_report is not None, compared.shadow_report is not None) == (
        mode == "ab",
        mode == "shadow",
    )


@pytest.mark.parametrize("mode", ["canary", "ab"])
def test_a_class_that_was_renamed_is_the_same_class(held: HeldDeployer, mode: str) -> None:
    """Whichever version or label still has the old name; else the same answers would be rolled back."""
    rolling = rolling_in(held, mode=mode)
    captured(rolling, rolling.champion, 300, label="bags")
    captured(rolling, rolling.candidate, 60, label="handbags")
    names = ["bags", "handbags"] * 15
    labelled(rolling, **{f"{arm}_{place}": name for arm in (2, 3) for place, name in enumerate(names)})
    unmapped, mapped = (compare(rolling, SETTINGS, changes, now=LATER) for changes in (NO_CHANGES, RENAMED))
    assert unmapped is not None
    assert mapped is not None
    assert (unmapped.observation.answer, unmapped.observation.because) == ("roll back", "harm")
    found = {(each.signal, each.figure): each for each in mapped.observation.latest}
    assert found["scores", "class shares"].worse == 0
    accuracy = found["accuracy", "share"]
    assert (accuracy.n_candidate, accuracy.candidate, accuracy.champion) == (20, 1.0, 1.0)


def test_a_shadow_agrees_where_a_class_was_renamed(held: HeldDeployer) -> None:
    """And both are right by a label of either name."""
    rolling = rolling_in(held, mode="shadow", share=0.0)
    captured(rolling, rolling.champion, 1, label="bags", request_id="one")
    captured(rolling, rolling.candidate, 1, label="handbags", request_id="one")
    labelled(rolling, one="bags")
    compared = compare(rolling, SETTINGS, RENAMED, now=LATER)
    assert compared is not None
    assert compared.shadow_report is not None
    seen = compared.shadow_report
    assert (seen.agreement.value, seen.changed) == (1.0, ())
    assert seen.accuracy is not None
    assert (seen.accuracy.champion, seen.accuracy.shadow) == (1.0, 1.0)


@pytest.mark.parametrize("mode", ["canary", "ab", "shadow"])
@pytest.mark.parametrize("kind", [CAPTURES, FEEDBACK])
def test_a_part_that_cannot_be_read_is_named(held: HeldDeployer, mode: str, kind: Kind) -> None:
    """What is left of the records is compared, and whoever reads the look knows that it is not all."""
    rolling = rolling_in(held, mode=mode, share=0.0 if mode == "shadow" else 0.1)
    captured(rolling, rolling.champion, 30)
    captured(rolling, rolling.candidate, 30)
    compared = compare(rolling, SETTINGS, now=LATER)
    assert compared is not None
    assert "cannot be read" not in " ".join(compared.observation.missing)
    damaged = put(kind, rolling, b"half a part")
    compared = compare(rolling, SETTINGS, now=LATER)
    assert compared is not None
    assert "1 part of captures and feedback cannot be read" in compared.observation.missing[0]
    assert damaged.name in compared.observation.missing[0]
    assert compared.observation.requests_champion == 30


@pytest.mark.parametrize("missing", ["stage_since", "champion"])
def test_a_record_that_says_not_beside_what_is_compared_with_nothing(
    held: HeldDeployer, missing: str
) -> None:
    """Somebody edited it."""
    assert compare(rolling_in(held, **{missing: None}), SETTINGS, now=LATER) is None


def test_without_a_look_there_is_no_last_one(held: HeldDeployer) -> None:
    """Nobody ran one yet."""
    assert last_observation(rolling_in(held)) is None
