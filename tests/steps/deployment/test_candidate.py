"""What a verdict was reached beside has to be what is in production when its version is released."""

from __future__ import annotations

import pytest

from materializers.errors import Refused
from materializers.evidence import registry_client
from materializers.verdict import Opponent
from steps.deployment.candidate import in_production, require_judged_against
from steps.registry.aliases import CHAMPION
from steps.registry.register import register_version
from tests.materializers.examples import MODEL_DIGEST, arm, verdict

FIRST, SECOND = Opponent(version=1, model="1" * 64), Opponent(version=2, model="2" * 64)
SAME_MODEL = Opponent(version=2, model=MODEL_DIGEST)


@pytest.mark.parametrize(
    ("judged", "now"), [(FIRST, FIRST), (None, None), (None, SAME_MODEL), (FIRST, SAME_MODEL)]
)
def test_what_was_judged_beside_what_is_live_may_take_its_place(
    judged: Opponent | None, now: Opponent | None
) -> None:
    """Also where nothing is live yet; and a model takes its own place, whatever it was judged beside."""
    require_judged_against(now, arm(verdict=verdict(champion=judged)))


@pytest.mark.parametrize(
    ("judged", "now", "said"),
    [
        (FIRST, SECOND, r"against version 1 \(model 111111111111\), production is version 2 \(model 2222"),
        (None, SECOND, r"against no version, production is version 2 \(model 222222222222\) now"),
        (FIRST, None, r"against version 1 \(model 111111111111\), production is empty now"),
        (FIRST, Opponent(version=1, model="3" * 64), r"production is version 1 \(model 333333333333\) now"),
    ],
)
def test_what_was_judged_beside_something_else_is_judged_again(
    judged: Opponent | None, now: Opponent | None, said: str
) -> None:
    """The refusal names both and the command; the same number with another model is something else."""
    with pytest.raises(Refused, match=said + ".*judge it again: python run.py --train"):
        require_judged_against(now, arm(verdict=verdict(champion=judged)))


@pytest.mark.usefixtures("local_stack")
def test_with_nothing_live_the_last_champion_is_what_counts() -> None:
    """What is live counts first; after ``--stop`` no version becomes the first one anew."""
    name = "was-in-production"
    assert in_production(name, None) is None
    tags = {"identity": "one", "verdict": "passed", "model_uri": "store/model", "model_digest": "1" * 64}
    register_version(name, tags)
    assert in_production(name, None) is None
    registry_client().set_registered_model_alias(name, CHAMPION, "1")
    assert in_production(name, None) == FIRST
    assert in_production(name, arm(3)) == Opponent(version=3, model=MODEL_DIGEST)
