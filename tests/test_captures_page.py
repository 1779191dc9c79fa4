"""docs/captures.md says of rows, settings and feedback what the code does; its examples are tried here."""

from __future__ import annotations

import ast
import json
import re
import shlex

import pytest

from actions.request import Request, check_flags
from pipelines.config import load_config
from run import main
from serving.capture_layout import CAPTURES, PERSONAL, part_name, schema_of
from serving.feedback import KNOWN, SAID, TRUTHS, parse_feedback
from serving.synthetic import SYNTHETIC
from stacks.capturing import CapturingModelDeployerConfig
from stacks.local_deployer.flavor import SeldonLocalModelDeployerConfig
from stacks.seldon_deployer.flavor import SeldonClusterModelDeployerConfig
from stacks.seldon_deployer.shipper import (
    PATIENCE_S,
    RESOURCES,
    SELDON_WAITS_S,
    SHIPPER,
    SPOOL_FOLDER,
)
from tests.pages import commands_of, rows_of, text_of

PATH = "docs/captures.md"
PAGE = text_of(PATH)
CLASSES = ("bags", "dresses", "footwear", "tops", "trousers")


def section(title: str) -> str:
    """What stands below a heading, up to the next one of its kind."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(language: str) -> list[str]:
    """The code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def test_every_column_is_explained() -> None:
    """The table is the schema, in whatever order."""
    rows = rows_of(section("What is kept"))
    named = [name for columns, _ in rows for name in re.findall(r"`(\w+)`", columns)]
    assert sorted(named) == sorted(schema_of(CAPTURES).names)
    assert part_name("<digest>", pictures=True) in PAGE


@pytest.mark.parametrize("config", [SeldonLocalModelDeployerConfig, SeldonClusterModelDeployerConfig])
def test_the_settings_are_those_of_the_deployers(config: type[CapturingModelDeployerConfig]) -> None:
    """With their defaults, locally and on a cluster."""
    fields = config.model_fields
    listed = {name.strip("`"): value.strip("`") for name, value, _ in rows_of(section("Settings"))}
    assert listed == {
        name: str(field.default) for name, field in fields.items() if name.startswith("capture")
    }


def test_the_header_of_what_is_not_captured_is_the_services() -> None:
    """Whoever tests a service of theirs copies it from the page."""
    ((name, value),) = SYNTHETIC.items()
    assert f"`{name}: {value}`" in section("What is kept")


def test_a_clusters_shipper_is_given_what_the_page_says() -> None:
    """Memory, time to end, and its folder."""
    text = section("How it gets there").partition("### On a cluster")[2]
    megabytes = RESOURCES.requests["memory"].removesuffix("M")
    assert f"0.1 CPU and {megabytes} MB" in text
    assert RESOURCES.requests["cpu"] == "100m"
    assert f"up to {SELDON_WAITS_S + PATIENCE_S} s" in text
    assert f"`{SPOOL_FOLDER}`" in text
    assert f"-c {SHIPPER}`" in text


def test_how_long_it_stays_and_how_much_is_exported_are_the_configured_values() -> None:
    """A reader trusts the page."""
    config = load_config(None, ())
    for name, value in (
        ("keeping.captures_days", config.keeping.captures_days),
        ("keeping.captured_pictures_days", config.keeping.captured_pictures_days),
        ("labelling.pictures", config.labelling.pictures),
    ):
        assert f"`{name}` ({value:g})" in PAGE


def test_the_feedback_that_is_shown_is_understood() -> None:
    """In curl and in Python; the table names all that a message may say."""
    (curl,) = (command for command in commands_of(PATH) if command.startswith("curl"))
    words = shlex.split(curl)
    shown = json.loads(words[words.index("-d") + 1])
    first = parse_feedback(shown, classes=CLASSES, most_labels=16, at=0.0)
    assert json.loads(blocks("json")[0]) == {"meta": {"puid": first.request_id}}
    (said,) = re.findall(r"^said = (\{.*?^\})", blocks("python")[0], re.M | re.S)
    assert len(parse_feedback(ast.literal_eval(said), classes=CLASSES, most_labels=16, at=0.0).said) == 3
    table = " ".join(cell for row in rows_of(section("Say what was right")) for cell in row[:1])
    names = {name for path in re.findall(r"`([\w.]+)`", table) for name in path.split(".")}
    assert names == {*KNOWN, *TRUTHS, *SAID, "meta", "puid"}


@pytest.mark.parametrize("code", blocks("python"))
def test_the_python_that_is_shown_finds_what_it_imports(code: str) -> None:
    """Everything but the calls, which need a service."""
    statements: list[ast.stmt] = [
        each for each in ast.parse(code).body if isinstance(each, ast.Import | ast.ImportFrom)
    ]
    assert statements
    exec(compile(ast.Module(statements, []), PATH, "exec"), {})  # noqa: S102 - the page's own imports


@pytest.mark.parametrize("command", [each for each in commands_of(PATH) if each.startswith("python run.py")])
def test_the_commands_are_taken(command: str) -> None:
    """What they do is tried by the tests of their acts."""
    context = main.make_context("run.py", shlex.split(command)[2:])
    check_flags(Request(**context.params))


def test_what_an_erasure_takes_is_named() -> None:
    """All of it."""
    assert all(f"`{name}`" in section("Erasure") for name in PERSONAL)
