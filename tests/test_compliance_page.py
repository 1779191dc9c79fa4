"""docs/compliance.md: every command of its tables is one that run.py takes, and is tried by a test."""

from __future__ import annotations

import re
import shlex

import pytest

from actions.request import Request, check_flags
from pipelines.config import load_config
from run import main
from tests.pages import commands_of, rows_of, source_of, text_of
from tests.shrunk.delivery import PROJECT

PAGE = text_of("docs/compliance.md")
LAWS = ("GDPR, Regulation (EU) 2016/679", "HIPAA, 45 CFR Part 164", "SOX, Sarbanes-Oxley Act of 2002")

WHOLE = PROJECT / "tests" / "whole"
TRIED = {
    "--set validate.personal_data.columns=refuse --train --source PATH": (
        "test_addresses_in_a_delivery_refuse_it_and_what_is_served_goes_on",
        "live.run('validate.personal_data.columns=refuse', train=True, source=str(folder))",
    ),
    "--set validate.personal_data.pictures=refuse --train --source PATH": (
        "test_pictures_in_which_nobody_can_look_for_faces_are_refused",
        "shop.run('validate.personal_data.pictures=refuse', train=True, source=str(shop.delivery))",
    ),
    "--continuous --source PATH": (
        "test_a_delivery_corrects_withdraws_and_brings_a_new_class",
        "continuous=True, source=str(folder))",
    ),
    "--data-diff A B": (
        "test_a_picture_is_readmitted_and_the_next_training_has_it",
        "trained.shop.run(data_diff=(trained.data[:12], details['data'][:12]))",
    ),
    "--collect --apply": (
        "test_what_a_killed_run_left_is_collected_when_that_is_asked_for",
        "trained.collect(apply=True)",
    ),
    "--forget PATH --by WHO --reason TEXT": (
        "test_an_erasure_is_proven_logged_and_in_the_lineage",
        "shop.run(forget=True, photos=('customer.png',), by='Ada', reason='the customer asked')",
    ),
    "--train --source PATH": (
        "test_the_card_of_a_version_is_in_dashboard_and_tracker",
        "shop.train()",
    ),
    "--reject N --by WHO --reason TEXT": (
        "test_the_last_decision_counts",
        "guarded.run(reject=2, by='Bob', reason='the bags look wrong')",
    ),
    "--set evaluate.slices.sensitive=[COLUMN] --train --source PATH": (
        "test_a_sensitive_column_makes_fairness_a_required_rule",
        "shop.run('evaluate.slices.sensitive=[article]', ",
    ),
    "--lineage N": (
        "test_the_lineage_leads_from_pictures_to_what_is_live",
        "shop.run(lineage=1)",
    ),
    "--audit": ("test_an_erasure_is_proven_logged_and_in_the_lineage", "shop.run(audit=True)"),
    "--rollback --environment production": (
        "test_production_goes_back_whatever_the_policy_is_now",
        "shop.run(OTHER_POLICY, rollback=True, environment='production')",
    ),
    "--status": (
        "test_the_status_is_shown_when_a_champion_was_moved_by_hand",
        "guarded.run(status=True)",
    ),
    "--deploy --version N": (
        "test_a_changed_byte_of_the_model_is_refused",
        "refused_release(untouched, 2)",
    ),
    "--reproduce N": (
        "test_a_model_that_was_altered_in_the_store_differs",
        "shop.run(reproduce=1)",
    ),
    "--set approval.approvers=[ACCOUNT] --approve N --by WHO --reason TEXT": (
        "test_only_a_configured_account_approves",
        "guarded.run(NOT_AN_APPROVER, approve=2, by='ada@example.com', reason='looked')",
    ),
    "--approve-change DIGEST --by WHO --reason TEXT": (
        "test_an_approved_change_trains",
        "guarded.run(change, approve_change=digest, by='Ada', reason='a little stricter')",
    ),
    "--set approval.four_eyes=true --approve N --by WHO --reason TEXT": (
        "test_four_eyes_are_not_there_where_everyone_has_one_account",
        "guarded.run('approval.four_eyes=true', approve=2, by='Ada', reason='looked')",
    ),
    "--deploy --version N --environment production": (
        "refused_in_production",
        "shop.run(deploy=True, version=2, environment='production')",
    ),
}
"""The test that tries each command of run.py, or what it calls for that, and the call, quoted as by
``ast.unparse``."""
REGISTRAR = "python -m stacks.apply stacks/kubeflow.yaml --check"
"""Tried by tests/kubeflow/test_docs.py, as every command of the registrar on docs/kubeflow.md."""


def rows() -> list[list[str]]:
    """Every row of the three tables: requirement, command, evidence, yours."""
    return [row for law in LAWS for row in rows_of(PAGE.partition(f"\n## {law}\n")[2].partition("\n## ")[0])]


def commands() -> list[str]:
    """The commands, each once."""
    return list(dict.fromkeys(command.strip("`") for _, command, *_ in rows()))


def of_run_py() -> list[str]:
    """What they give run.py."""
    start = "python run.py "
    return [command.removeprefix(start) for command in commands() if command.startswith(start)]


def test_every_row_has_a_requirement_a_command_and_its_evidence() -> None:
    """A requirement is an article or section, or the one above, and a command is one."""
    assert len(rows()) > 25
    for requirement, command, evidence, _ in rows():
        assert re.match(r"Art\. \d|§ \d|the same", requirement), requirement
        assert re.fullmatch(r"`python (run\.py|-m stacks\.apply) [^`]+`", command), command
        assert evidence, requirement


def test_every_command_is_tried_by_a_test() -> None:
    """And none is said to be tried that the page has not."""
    assert {*of_run_py()} == {*TRIED}
    assert {*commands()} - {f"python run.py {command}" for command in TRIED} == {REGISTRAR}
    assert REGISTRAR in commands_of("docs/kubeflow.md")


@pytest.mark.parametrize("command", TRIED)
def test_the_test_that_is_named_tries_it(command: str) -> None:
    """It has the call."""
    function, call = TRIED[command]
    (file,) = [path for path in WHOLE.glob("test_*.py") if f"\ndef {function}(" in path.read_text()]
    assert call in source_of(str(file.relative_to(PROJECT)), function)


@pytest.mark.parametrize("command", TRIED)
def test_run_py_takes_it(command: str) -> None:
    """Flags and their combination; a number stands where the page has N."""
    words = shlex.split(command.replace(" N", " 1"))
    with main.make_context("run.py", words) as context:
        check_flags(Request(**context.params))


def test_the_time_in_quarantine_is_the_configured_one() -> None:
    """The page says after how many days it ends."""
    assert f"`ingest.quarantine_days` ({load_config(None, ()).ingest.quarantine_days:g})" in PAGE
