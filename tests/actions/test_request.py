"""Wrong flags are refused before anything is imported or started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actions.request import Request, check_flags
from materializers.errors import UsageError
from tests.conftest import PROJECT


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, "Nothing was asked"),
        ({"predict": True}, "takes photographs"),
        ({"predict": True, "photos": ("not-there.png",)}, "no photograph at not-there.png"),
        ({"status": True, "photos": ("a.png",)}, "go with --predict"),
        ({"approve": 1, "reason": "fine"}, "give --by WHO"),
        ({"reject": 1, "by": "Ada", "reason": " "}, "give --reason"),
        ({"approve_change": "ab"}, "give --by WHO and --reason"),
        ({"rebase_reference": True}, "give --by WHO and --reason"),
        ({"rebase_reference": True, "by": "Ada"}, "give --reason"),
        ({"set_baseline": 1, "reason": "fine"}, "give --by WHO"),
        (
            {"set_baseline": 1, "by": "Ada", "reason": "fine", "schedule": "0 2 * * 1"},
            "--schedule goes with exactly one",
        ),
        ({"status": True, "by": "Ada"}, "--by and --reason go with --approve"),
        (
            {"continuous": True, "data": "x", "by": "Ada"},
            "--release-brake, --rollback, --set-baseline or --stop",
        ),
        ({"train": True, "source": "x", "reason": "why"}, "--by and --reason go with --approve"),
        ({"infer": True, "input": "x"}, "--infer takes"),
        ({"status": True, "output": "x.parquet"}, "go with --infer"),
        ({"deploy": True, "input": "x"}, "go with --infer"),
        ({"train": True}, "take one of --source"),
        ({"train": True, "source": "x", "data": "y"}, "take one of --source"),
        ({"train": True, "source": "x/*"}, "is a place with deliveries in it, which --continuous takes"),
        ({"continuous": True, "source": "x/a", "photos": ("x/b",)}, r"--source 'PATH/\*'"),
        ({"deploy": True, "source": "x"}, "go with --train or --continuous"),
        ({"status": True, "data": "x"}, "go with --train or --continuous"),
        ({"status": True, "version": 1}, "--version goes with --deploy"),
        ({"status": True, "wait": True}, "--wait goes with --deploy or --observe"),
        ({"train": True, "source": "x", "wait": True}, "--wait goes with --deploy or --observe"),
        ({"deploy": True, "wait": True, "schedule": "0 2 * * 1"}, "--wait and --schedule do not go together"),
        ({"deploy": True, "wait": True, "compile": Path("x")}, "--wait and --compile do not go together"),
        ({"observe": True, "version": 1}, "--version goes with --deploy"),
        ({"observe": True, "schedule": "0 2 * * 1"}, "--schedule goes with exactly one"),
        ({"schedule": "0 2 * * 1"}, "Nothing was asked"),
        ({"status": True, "schedule": "0 2 * * 1"}, "--schedule goes with exactly one of --train"),
        ({"deploy": True, "status": True, "schedule": "0 2 * * 1"}, "--schedule goes with exactly one"),
        (
            {"train": True, "source": "x", "deploy": True, "schedule": "0 2 * * 1"},
            "--schedule goes with exactly one",
        ),
        ({"deploy": True, "schedule": "daily"}, "has 1 fields"),
        ({"reproduce": 1, "source": "x"}, "--source and --data go with --train or --continuous"),
        ({"reproduce": 1, "version": 1}, "--version goes with --deploy"),
        ({"scheduler": True, "status": True}, "--scheduler goes alone"),
        ({"forget": True, "by": "Ada", "reason": "asked"}, "Which pictures"),
        ({"forget": True, "photos": ("5c0d1e7f",)}, "give --by WHO and --reason"),
        (
            {"forget": True, "predict": True, "photos": (__file__,), "by": "Ada", "reason": "asked"},
            "do not go together",
        ),
        ({"status": True, "photos": ("5c0d1e7f",)}, "ids and paths with --forget"),
        ({"status": True, "apply": True}, "--apply goes with --collect"),
        ({"data_diff": ("a", "b"), "readmit": "5c0d1e7f"}, "--data-diff and --readmit do not go together"),
        ({"data_diff": ("a", "b"), "compact": True, "collect": True}, "--data-diff and --compact and --coll"),
        ({"collect": True, "schedule": "0 2 * * 1"}, "--schedule goes with exactly one"),
        ({"approve": 1, "by": "Ad\udce9", "reason": "fine"}, "is not UTF-8"),
        ({"train": True, "source": "caf\udce9.zip"}, "is not UTF-8"),
        ({"status": True, "assignments": ("product.experiment=caf\udce9",)}, "is not UTF-8"),
    ],
    ids=str,
)
def test_flags_that_cannot_be_meant_are_refused(flags: dict[str, Any], said: str) -> None:
    """The line names the flag that is missing or too much."""
    with pytest.raises(UsageError, match=said):
        check_flags(Request(**flags))


@pytest.mark.parametrize(
    "flags",
    [
        {
            "train": True,
            "source": "x",
            "approve": 1,
            "by": "Ada",
            "reason": "fine",
            "deploy": True,
            "version": 1,
        },
        {"predict": True, "photos": (__file__,)},
        {"infer": True, "input": "x", "output": "y"},
        {"continuous": True, "data": "x"},
        {"continuous": True, "source": "x", "schedule": "0 2 * * 1"},
        {"pause": "a", "unschedule": "b", "schedules": True, "status": True},
        {"scheduler": True},
        {"reproduce": 1, "schedule": "0 2 * * 1"},
        {"forget": True, "photos": ("5c0d1e7f", "77aa88bb"), "by": "Ada", "reason": "asked"},
        {"readmit": "5c0d1e7f", "compact": True, "collect": True, "apply": True},
        {"deploy": True, "version": 1, "wait": True},
        {"observe": True, "wait": True},
    ],
    ids=str,
)
def test_flags_that_belong_together_are_taken(flags: dict[str, Any]) -> None:
    """Acts are combined with what each of them needs."""
    check_flags(Request(**flags))


def test_wrong_flags_are_found_before_a_pipeline_is_imported(tmp_path: Path) -> None:
    """One line on standard error, exit code 2, no store, and neither steps nor pipelines imported."""
    code = (
        "import sys; from actions.command import execute; from actions.request import Request; "
        "code = execute(Request(predict=True)); "
        "print([name for name in sys.modules if name.partition('.')[0] in ('steps', 'pipelines')]); "
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("--predict takes photographs")
    assert done.stdout.strip().endswith("[]")


def test_a_rollout_is_looked_at_with_the_configuration_that_began_it() -> None:
    """And with nothing else of the call: a schedule must not begin it again."""
    call = Request(
        train=True,
        source="x",
        deploy=True,
        version=2,
        wait=True,
        by="Ada",
        config=Path("shop.yaml"),
        assignments=("train.epochs=3",),
    )
    assert call.look == ("--observe", "--config", "shop.yaml", "--set", "train.epochs=3")
    assert Request(deploy=True).look == ("--observe",)
