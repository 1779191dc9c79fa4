"""docs/gate.md says of metrics, policy, power and log what the code does; its commands test_readme runs."""

from __future__ import annotations

import ast
import re
from operator import attrgetter
from pathlib import Path

import yaml

from actions.logged import LOGGED
from pipelines.config import load_config
from steps.evaluation.catalogue import CATALOGUE
from steps.evaluation.comparison.paired import power_if_equal
from steps.evaluation.comparison.settings import ComparisonSettings
from steps.evaluation.policy import Rule
from tests.pages import rows_of, text_of, yaml_blocks_of
from tests.shrunk.delivery import PROJECT

PAGE = text_of("docs/gate.md")


def section(title: str) -> str:
    """What stands below a heading, up to the next one of its kind."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_metric_is_listed_with_its_direction_and_what_it_needs() -> None:
    """The tables are the catalogue, in its order."""
    better = {">=": "more", "<=": "less"}
    listed = [
        (name.strip("`"), way, tuple(re.findall(r"`([\w.]+)`", needs)))
        for name, meaning, way, needs in rows_of(section("What is measured"))
        if meaning
    ]
    assert listed == [(name, better[entry.direction], entry.needs) for name, entry in CATALOGUE.items()]


def test_what_is_off_is_said() -> None:
    """The settings that the product gives no value are those that the page excepts."""
    excepted = re.search(r"all but (.+) are on", PAGE)
    assert excepted
    needed = {setting for entry in CATALOGUE.values() for setting in entry.needs}
    off = {setting for setting in needed if not attrgetter(setting)(load_config(None, ()))}
    assert set(re.findall(r"`([\w.]+)`", excepted[1])) == off


def test_every_key_of_a_rule_is_explained() -> None:
    """What a line of the policy may say, and what counts where it does not."""
    rows = {key.strip("`"): default for key, _, default in rows_of(section("A line of the policy"))}
    assert set(rows) == {"the name", *Rule.model_fields}
    for name, field in Rule.model_fields.items():
        if not field.is_required():
            assert rows[name].strip("`") == str(field.default).lower(), name


def test_the_lines_shown_are_lines_of_a_policy(tmp_path: Path) -> None:
    """They are accepted, and the first is the product's."""
    (shown,) = yaml_blocks_of("docs/gate.md")
    (tmp_path / "shown.yaml").write_text(f"{shown}\nproduct: {{classes: [bags, trousers]}}\n")
    rules = load_config(tmp_path / "shown.yaml", ()).policy.rules
    of_one_class = rules["trousers_found"]
    assert (of_one_class.metric, of_one_class.subject, of_one_class.min_n) == ("recall", "trousers", 50)
    assert rules["fairness_gap"] == load_config(None, ()).policy.rules["fairness_gap"]


def test_every_setting_of_the_comparison_is_named() -> None:
    """With the product's margins, in points, and error rate."""
    table = "".join(" ".join(row) for row in rows_of(section("Against the version in production")))
    assert set(ComparisonSettings.model_fields) <= set(re.findall(r"`(\w+)`", table))
    policy = load_config(None, ()).policy
    compared = policy.comparison
    assert f"a loss of {100 * compared.margin:g} points or more" in table
    assert f"a loss of more than {100 * compared.class_margin:g} points" in table
    assert f"α {100 * compared.alpha:g} %" in table
    assert f"(`min_n`, {compared.min_n})" in PAGE
    demo = load_config(PROJECT / "configs" / "demo", ()).policy.comparison
    assert f"as the demo does ({100 * demo.margin:g} points)" in PAGE


def test_the_power_is_that_of_the_test() -> None:
    """Every percentage of the table."""
    head = re.search(r"^\| test pictures \|(.+)\|$", PAGE, re.M)
    assert head
    shares = [int(share) / 100 for share in re.findall(r"(\d+) %", head[1])]
    rows = [
        row for row in rows_of(section("Against the version in production")) if len(row) == 1 + len(shares)
    ]
    assert len(rows) == 5
    settings = ComparisonSettings()
    for size, *percentages in rows:
        n = int(size.replace(",", ""))
        powers = [power_if_equal(n, round(n * share), settings.margin, settings.alpha) for share in shares]
        assert percentages == [f"{100 * power:.0f} %" for power in powers], size


def test_every_act_that_is_logged_is_named() -> None:
    """Those of persons, and those that the steps and the rollback record."""
    named = re.search(r"Logged are (.+?);", PAGE)
    assert named
    recorded = {act for act, _ in LOGGED.values()} | acts_recorded_by_steps()
    assert set(re.findall(r"`([\w-]+)`", named[1])) == recorded


def acts_recorded_by_steps() -> set[str]:
    """The first argument of each call of ``record`` below ``steps/``."""
    found = set()
    for path in (PROJECT / "steps").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "record":
                found |= {
                    each.value
                    for each in ast.walk(node.args[0])
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
    return found


def test_the_approval_settings_are_named() -> None:
    """Each key of configs/approval.yaml."""
    settings = yaml.safe_load((PROJECT / "configs" / "approval.yaml").read_text())["approval"]
    assert all(f"`approval.{key}`" in section("Who may do what") for key in settings)


def test_the_settings_that_ask_for_an_approval_are_those_of_the_page() -> None:
    """Each of them changes what a person approves before it is trained."""
    table = rows_of(section("A change of kind is approved before it is trained"))
    named = [name for _, cell in table for name in _settings(cell)]
    values = {
        "approval.approvers": "[ada]",
        "approval.four_eyes": "true",
        "evaluate.security.accepted": "[{id: X, package: pillow, reason: never called, expires: 2099-01-01}]",
        "evaluate.slices.sensitive": "[shop]",
        "evaluate.behaviour.easy_list": "[aa]",
        "evaluate.cost.offered_total_per_s": "50",
        "evaluate.cost.maximum_replicas": "9",
        "evaluate.cost.minimum_replicas": "1",
        "evaluate.cost.price_per_hour": "0.2",
        "evaluate.cost.p99_limit_ms": "400",
    }
    assert named == list(values)
    for name, value in values.items():
        changed = load_config(None, (f"{name}={value}",)).change
        assert changed.compliance != load_config(None, ()).change.compliance, name


def _settings(cell: str) -> list[str]:
    """The settings that a cell names, those after a colon below the one before it."""
    above, colon, below = cell.partition(": ")
    names = re.findall(r"`([\w.]+)`", below if colon else cell)
    return [f"{above.strip('`')}.{name}" for name in names] if colon else names
