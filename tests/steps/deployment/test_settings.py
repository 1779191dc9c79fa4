"""How much of the traffic a candidate gets at first, and after that."""

from __future__ import annotations

from typing import Any

import pytest

from materializers.errors import UsageError
from pipelines.config import load_config
from steps.deployment.settings import DeploymentSettings, EnvironmentSettings
from tests.materializers.examples import release


@pytest.mark.parametrize(("mode", "share"), [("full", 1.0), ("canary", 0.05), ("ab", 0.3), ("shadow", 0.0)])
def test_a_candidate_begins_with_what_its_mode_gives_it(mode: Any, share: float) -> None:
    """A canary with its first stage, an A/B test with its arm, a shadow with no answer at all."""
    assert EnvironmentSettings(mode=mode, stages=(0.05, 0.5), ab_share=0.3).first_share() == share


@pytest.mark.parametrize(
    ("mode", "share", "following"),
    [
        ("canary", 0.05, 0.5),
        ("canary", 0.5, 1.0),
        ("canary", 0.2, 0.5),  # the stages were others when it began
        ("canary", 0.05000000000000001, 0.5),
        ("ab", 0.2, 1.0),
        ("shadow", 0.0, 1.0),
    ],
)
def test_after_its_share_comes_the_next_larger_stage_and_then_all(
    mode: Any, share: float, following: float
) -> None:
    """Only a canary has stages."""
    settings = EnvironmentSettings(mode="canary", stages=(0.05, 0.5))
    rolling = release(status="rolling_out", mode=mode, share=share)
    assert settings.next_share(rolling) == following


def test_each_environment_has_its_own() -> None:
    """Staging takes a version at once, production a little at a time."""
    settings = DeploymentSettings()
    assert settings.of("staging").mode == "full"
    assert settings.of("production").mode == "canary"


def test_every_whole_percent_is_a_stage_of_its_own() -> None:
    """Neighbours too: none is skipped, and none is taken for the one before it."""
    for percent in range(1, 99):
        before, after = percent / 100, (percent + 1) / 100
        settings = EnvironmentSettings(mode="canary", stages=(before, after))
        for share, following in ((before, after), (after, 1.0)):
            rolling = release(status="rolling_out", mode="canary", share=share)
            assert settings.next_share(rolling) == following


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("deployment.production.stages=[0.1, 0.125]", "0.125 is 12.5 percent, and traffic is divided in"),
        ("deployment.production.ab_share=0.001", "write 0.01, or another whole percent"),
        ("deployment.production.mode=blue", "'full', 'canary', 'ab' or 'shadow'"),
        ("deployment.production.stages=[0.5, 0.1]", "a larger share than the one before it, as in"),
        ("deployment.production.stages=[1.5]", "less than 1"),
        ("deployment.production.ab_share=0", "greater than 0"),
        ("deployment.mode=canary", "unknown key 'deployment.mode'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(assignment: str, said: str) -> None:
    """An unknown mode with the four, a share with its bounds."""
    with pytest.raises(UsageError, match="configuration: ") as error:
        load_config(None, (assignment,))
    assert said in str(error.value)
