"""What is compared is what both versions were asked since the present share began, and nothing else."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from zenml.client import Client

from materializers.release import Arm, Release
from serving.capture_layout import CAPTURES, folder_of, folder_of_hour, part_name, to_parquet
from steps.deployment.comparing import compare, last_observation
from steps.deployment.observing.settings import ObserveSettings
from steps.deployment.settings import DeploymentSettings
from tests.materializers.examples import NOON
from tests.steps.deployment.held import HeldDeployer

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
    content = to_parquet(CAPTURES, rows)
    place = f"{folder_of(CAPTURES, release.environment, release.model_name)}/{folder_of_hour(begin)}"
    folder = Path(Client().active_stack.artifact_store.path) / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / part_name(hashlib.sha256(content).hexdigest(), pictures=False)).write_bytes(content)


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


@pytest.mark.parametrize("missing", ["stage_since", "champion"])
def test_a_record_that_says_not_beside_what_is_compared_with_nothing(
    held: HeldDeployer, missing: str
) -> None:
    """Somebody edited it."""
    assert compare(rolling_in(held, **{missing: None}), SETTINGS, now=LATER) is None


def test_without_a_look_there_is_no_last_one(held: HeldDeployer) -> None:
    """Nobody ran one yet."""
    assert last_observation(rolling_in(held)) is None
