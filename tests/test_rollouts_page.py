"""docs/rollouts.md says of figures, margins, plans and settings what the code does; it runs no command."""

from __future__ import annotations

import re

import pytest

from pipelines.config import load_config
from steps.deployment.observe import PATIENCE_S
from steps.deployment.observing.planning import figures_of, make_plan
from steps.deployment.observing.settings import Margins
from tests.pages import rows_of, text_of

PAGE = text_of("docs/rollouts.md")
SETTINGS = load_config(None, ()).deployment.observe


def section(title: str) -> str:
    """What stands below a heading, up to the next one."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_figure_is_listed_with_what_is_tolerated() -> None:
    """Each margin of the configuration, by its name and with its value."""
    listed: dict[str, float] = {}
    signals = set()
    for figure, _, tolerated, names in rows_of(section("What is compared")):
        signals.add(re.split(r"[:,]| of ", figure)[0])
        values = re.findall(r"([\d.]+) (points|%|ms)", tolerated)
        for name, (number, unit) in zip(re.findall(r"`(\w+)`", names), values, strict=True):
            listed[name] = float(number) / (1 if unit == "ms" else 100)
    assert listed == pytest.approx(SETTINGS.margins.model_dump())
    assert set(listed) == set(Margins.model_fields)
    assert {"business figure" if name == "value" else name for name, _ in figures_of("ab")} == signals


def test_what_is_planned_is_what_the_page_says() -> None:
    """Of three shares, by the shipped settings."""
    rows = rows_of(section("How many requests it takes"))
    assert len(rows) == 3
    for share, ours, both, days in rows:
        plan = make_plan(SETTINGS, mode="canary", share=float(share.removesuffix(" %")) / 100)
        assert int(ours.replace(",", "")) == plan.planned_requests
        assert int(both.replace(",", "")) == round(plan.planned_requests / plan.share)
        assert days == f"{plan.days:.1f}"


def test_how_long_a_candidate_is_asked_is_what_the_page_says() -> None:
    """Before it is believed that it does not answer."""
    assert f"for {PATIENCE_S:g} s on end" in section("Two questions")


def test_the_values_beside_settings_are_the_shipped_ones() -> None:
    """``name (value)`` wherever it stands."""
    named = re.findall(r"`(\w+)` \(([\d.,]+)\)", PAGE)
    assert len(named) > 6
    for name, value in named:
        assert float(value.replace(",", "")) == getattr(SETTINGS, name), name
