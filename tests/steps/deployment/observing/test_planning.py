"""What a rollout may take is known before it begins."""

from __future__ import annotations

import numpy as np
import pytest

from steps.deployment.observing.planning import figures_of, make_plan, requests_needed
from steps.deployment.observing.rates import as_bad_p
from steps.deployment.observing.settings import Margins, ObserveSettings
from steps.deployment.observing.spending import fractions, levels

SETTINGS = ObserveSettings()


def test_the_product_decides_within_40000_requests_at_a_share_of_ten_percent() -> None:
    """In four days of 10,000 each, at looks from twenty requests on."""
    plan = make_plan(SETTINGS, mode="canary", share=0.10)
    assert plan.planned_requests <= 4000
    assert plan.days == pytest.approx(plan.planned_requests / 0.10 / 10_000)
    assert plan.looks[0] == 20
    assert plan.looks[-1] == plan.planned_requests
    assert sorted(set(plan.looks)) == list(plan.looks)


def test_what_is_planned_is_what_the_figure_needs_that_needs_most() -> None:
    """Accuracy, by the product's margins; a wider one needs less."""
    needs = {need.signal: need.requests for need in requests_needed(SETTINGS, share=0.10)}
    assert max(needs, key=lambda signal: needs[signal]) == "accuracy"
    assert make_plan(SETTINGS, mode="canary", share=0.10).planned_requests == needs["accuracy"]
    wide = SETTINGS.model_copy(update={"margins": Margins(accuracy=0.05)})
    assert make_plan(wide, mode="canary", share=0.10).planned_requests < needs["accuracy"] / 2


def test_an_equal_share_needs_more_of_the_candidate_and_less_of_all() -> None:
    """The champion's requests help less where they are fewer."""
    small, half = (make_plan(SETTINGS, mode="canary", share=share) for share in (0.1, 0.5))
    assert half.planned_requests > small.planned_requests
    assert half.days < small.days


def test_the_planned_requests_have_the_power_that_they_were_planned_for() -> None:
    """Of 4,000 candidates that are as good as the champion, 98 % are shown to be so at the last look."""
    plan = make_plan(SETTINGS, mode="canary", share=0.10)
    generator, n = np.random.default_rng(0), plan.planned_requests
    wrong = generator.binomial(n, 0.15, 4000), generator.binomial(9 * n, 0.15, 4000)
    level = levels(fractions(SETTINGS.looks, SETTINGS.first_look), SETTINGS.alpha)[-1]
    shown = as_bad_p(wrong[0], n, wrong[1], 9 * n, SETTINGS.margins.accuracy) <= level
    assert shown.mean() == pytest.approx(0.98, abs=0.012)


def test_what_is_set_is_planned() -> None:
    """And the looks follow from it."""
    plan = make_plan(ObserveSettings(planned_requests=1000), mode="canary", share=0.25)
    assert plan.planned_requests == plan.looks[-1] == 1000
    assert plan.days == pytest.approx(0.4)


def test_a_plan_of_few_requests_has_fewer_looks() -> None:
    """No two at one request."""
    plan = make_plan(ObserveSettings(planned_requests=20, minimum_requests=5), mode="canary", share=0.5)
    assert len(plan.looks) < SETTINGS.looks
    assert len(set(plan.looks)) == len(plan.looks)


def test_a_business_figure_is_compared_in_an_a_b_test_alone() -> None:
    """So that a canary does not share its error rate with it."""
    assert figures_of("ab") == (*figures_of("canary"), ("value", "mean"))


@pytest.mark.parametrize("share", [0.0, 1.0, 1.5])
def test_beside_a_candidate_there_has_to_be_a_champion(share: float) -> None:
    """Or there is nothing to compare with."""
    with pytest.raises(ValueError, match="beside it the champion has to"):
        make_plan(SETTINGS, mode="canary", share=share)


def test_a_shadow_gets_a_copy_of_everything() -> None:
    """So all traffic counts for both."""
    plan = make_plan(SETTINGS, mode="shadow", share=0.0)
    assert plan.days == pytest.approx(plan.planned_requests / 10_000)
