"""docs/alerts.md says of alerts and settings what the code does; its commands for the stack run elsewhere."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator

from actions.request import Request, check_flags
from materializers.alert import SEVERITIES, AlertSettings
from run import main
from stacks.apprise_alerter.alerter import BACK_OFF, FIRST_WAIT_S, POST_TIMEOUT_S
from stacks.apprise_alerter.flavor import AppriseAlerterConfig
from stacks.apprise_alerter.targets import MINIMUM
from steps.monitoring import react, tell
from steps.monitoring.alerts import failure, missing, refused, waiting
from steps.monitoring.alerts.alert import LONGEST_REASON, MOST_ATTEMPTS
from steps.monitoring.traffic import prometheus
from tests.conftest import PROJECT
from tests.pages import commands_of, rows_of, text_of

PATH = "docs/alerts.md"
PAGE = text_of(PATH)
LISTED = {
    name: severity
    for names, severity, *_ in rows_of(PAGE.partition("\n## ")[0])
    for name in re.findall(r"`(\w+)`", names)
}
RAISED_IN = ("actions", "pipelines", "steps")


def section(title: str) -> str:
    """What stands below a heading."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def raised() -> Iterator[tuple[str, str]]:
    """Name and severity of each alert that some code makes, where it says them as they are."""
    for folder in RAISED_IN:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            module = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Alert":
                    given = {each.arg: each.value for each in node.keywords}
                    name, severity = given.get("name"), given.get("severity")
                    if isinstance(severity, ast.Constant):
                        yield _value(name, module), str(severity.value)


def _value(node: ast.expr | None, module: str) -> str:
    """A constant, by itself or by its name."""
    if isinstance(node, ast.Name):
        return str(getattr(importlib.import_module(module), node.id))
    assert isinstance(node, ast.Constant)
    return str(node.value)


def test_every_alert_is_listed_with_its_severity() -> None:
    """Whatever the code raises, and those of monitoring and of failed runs, which it raises by other ways."""
    assert (
        dict(raised())
        | tell.SEVERITY
        | prometheus.SEVERITY
        | react.SEVERITY
        | {failure.RUN_FAILED: failure.SEVERITY}
        == LISTED
    )
    assert set(LISTED.values()) <= set(SEVERITIES)
    names = (missing.RUN_MISSING, missing.DELIVERY_MISSING, refused.MODEL_REFUSED, waiting.APPROVAL_WAITING)
    assert set(names) <= set(LISTED)


def test_the_settings_are_those_of_the_alerter() -> None:
    """Each with its value and the variable that both stack files read it from."""
    fields, rows = AppriseAlerterConfig.model_fields, rows_of(section("When to tell"))
    listed = {name.strip("`"): (variable.strip("`"), value) for name, variable, value, _ in rows}
    assert {name for name in fields if name not in MINIMUM} == set(listed)
    for name, (variable, value) in listed.items():
        default = fields[name].default
        assert value == ("none" if default is None else str(default)), name
        for stack in ("local", "kubeflow"):
            written = f"      {name}: ${{{variable}:-}}\n" in text_of(f"stacks/{stack}.yaml")
            assert written == (variable != "–"), (stack, name)
    assert AppriseAlerterConfig().alert_settings == AlertSettings()


def test_the_settings_of_addresses_are_routed_by_severity() -> None:
    """Each with the variable that both stack files read it from."""
    rows = rows_of(section("Whom to tell"))
    assert [name.strip("`") for name, *_ in rows] == list(MINIMUM)
    for name, variable, _ in rows:
        for stack in ("local", "kubeflow"):
            assert f"{name.strip('`')}: ${{{variable.strip('`')}:-}}" in text_of(f"stacks/{stack}.yaml")


def test_the_numbers_are_those_of_the_code() -> None:
    """How long, how often, how much."""
    assert f"{missing.PERIODS} × its period" in PAGE
    assert f"at most {LONGEST_REASON} characters" in PAGE
    assert f"nothing in {MOST_ATTEMPTS} attempts" in PAGE
    assert f"{POST_TIMEOUT_S:g} s for all targets" in PAGE
    assert f"after {FIRST_WAIT_S:g} s and then three times as long" in PAGE
    assert BACK_OFF == 3


def test_the_commands_are_taken() -> None:
    """Those that register the stack are run by tests/stacks/test_apply.py."""
    ours = [shlex.split(each) for each in commands_of(PATH) if each.startswith("python run.py")]
    assert ours
    for words in ours:
        check_flags(Request(**main.make_context("run.py", words[2:]).params))


def test_the_message_that_is_shown_is_like_one_that_is_sent() -> None:
    """Its first line, its window, its last line."""
    from materializers.alert import Alert

    shown = re.findall(r"^```text\n(.*?)\n```", PAGE, re.M | re.S)[0].splitlines()
    alert = Alert(
        name=tell.DRIFT,
        severity=tell.SEVERITY[tell.DRIFT],
        model_name="product-classifier",
        environment="production",
        reasons=tuple(shown[1:-1]),
        link=shown[-1],
    )
    assert alert.text.splitlines() == shown
