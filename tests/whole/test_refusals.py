"""A refused model is never served: every way to try ends with what was served before, untouched."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.whole.shop import (
    IMPOSSIBLE,
    REFUSED,
    SEED_1,
    Shop,
    alias_moved,
    altered,
    digest_of,
    edited,
    made_to_pass,
    one_bit_off,
    refused_release,
    registry_down,
    tag_edited,
)

UNREACHABLE = 4


def test_a_refused_model_is_not_the_first_to_be_served(open_shop: Callable[[str], Shop]) -> None:
    """With nothing deployed before, a refused version is a record: no alias, no release, no process."""
    from stacks.local_deployer import processes
    from steps.deployment.deployer import active_deployer

    shop = open_shop("refused-first")
    site = active_deployer().config.site  # type: ignore[attr-defined]
    before = set(processes.running(site))
    trained = shop.run(IMPOSSIBLE, train=True, source=str(shop.delivery), deploy=True)
    assert trained.exit_code == REFUSED
    assert [entry["pipeline"] for entry in trained.results] == ["training"]
    assert "Not done, because of this: --deploy" in trained.stderr
    assert (trained.last["verdict"], trained.last["version"]) == ("refused", 1)
    assert shop.versions()[1]["verdict"] == "refused"
    assert shop.aliases() == {}

    challenger = shop.run(IMPOSSIBLE, deploy=True)
    assert challenger.exit_code == REFUSED
    assert "No version of refused-first passed" in challenger.said
    assert "accuracy" in refused_release(shop, 1, IMPOSSIBLE)
    assert shop.served() is None
    assert active_deployer().current(shop.model, "staging") is None
    assert set(processes.running(site)) == before


def test_data_that_failed_validation_makes_no_version(untouched: Shop) -> None:
    """The rule on the data: refused data is learnt from by nobody, and the report says why."""
    outcome = untouched.run("validate.rows.limit=100000", train=True, source=str(untouched.delivery))
    assert (outcome.exit_code, outcome.last["version"], outcome.last["verdict"]) == (REFUSED, None, None)
    assert "100,000" in outcome.said


def test_data_that_cannot_be_split_as_configured_make_no_version(untouched: Shop) -> None:
    """Refused splits are trained on by nobody, and the result says what they lack."""
    outcome = untouched.run("split.by=time", train=True, source=str(untouched.delivery))
    assert (outcome.exit_code, outcome.last["version"], outcome.last["verdict"]) == (REFUSED, None, None)
    assert "No readable time in captured_at: " in outcome.said


NO_COLUMN = "labels.csv has no column origin, which is declared sensitive"


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("policy.rules.accuracy.min_n=100000", "a required rule of the policy needs 100,000 (min_n)"),
        ("evaluate.slices.sensitive=[origin]", f"{NO_COLUMN}: no gap between groups could be judged"),
    ],
)
def test_a_rule_that_could_never_be_assessed_is_said_before_anything_is_trained(
    untouched: Shop, assignment: str, said: str
) -> None:
    """More test pictures than there are, a column that the data lacks: no version, and no training either."""
    from zenml.client import Client

    before = untouched.versions()
    outcome = untouched.run(assignment, train=True, source=str(untouched.delivery))
    assert (outcome.exit_code, outcome.last["version"]) == (REFUSED, None)
    assert said in outcome.said
    run = Client().get_pipeline_run(outcome.last["run"])
    assert run.steps["train"].outputs["classifier"][0].load() is None
    assert untouched.versions() == before


def test_a_refused_version_does_not_replace_the_served_one(untouched: Shop) -> None:
    """With a model serving, the release of a refused version by its number is refused."""
    assert "accuracy" in refused_release(untouched, 3, IMPOSSIBLE)


def test_a_challenger_moved_by_hand_to_a_refused_version_is_refused(untouched: Shop) -> None:
    """An alias proves nothing: the verdict of what it names is read."""
    with alias_moved(untouched, "challenger", 3):
        outcome = untouched.run(IMPOSSIBLE, deploy=True)
    assert outcome.exit_code == REFUSED
    assert "accuracy" in outcome.said


def test_a_verdict_edited_to_pass_is_refused(untouched: Shop) -> None:
    """The recorded digest is of the verdict that the gate reached."""
    verdict = untouched.stored(3, "verdict")
    with altered(verdict, made_to_pass(verdict)):
        assert "altered" in refused_release(untouched, 3, IMPOSSIBLE)


def test_a_verdict_and_its_tags_edited_to_fit_are_refused(untouched: Shop) -> None:
    """Who edits the registry too still meets the run's record."""
    verdict = untouched.stored(3, "verdict")
    forged = made_to_pass(verdict)
    with (
        altered(verdict, forged),
        tag_edited(untouched, 3, "verdict_digest", digest_of(forged)),
        tag_edited(untouched, 3, "verdict", "passed"),
    ):
        assert "ZenML run recorded" in refused_release(untouched, 3, IMPOSSIBLE)


def test_another_versions_verdict_in_its_place_is_refused(untouched: Shop) -> None:
    """A verdict that passed says nothing about another model."""
    other = untouched.stored(1, "verdict").read_bytes()
    with altered(untouched.stored(2, "verdict"), other):
        assert refused_release(untouched, 2)
        with tag_edited(untouched, 2, "verdict_digest", digest_of(other)):
            assert refused_release(untouched, 2)
            # Even the run's own record: the verdict is about other bytes than those that would be served.
            with tag_edited(untouched, 2, "zenml_run", untouched.versions()[1]["zenml_run"]):
                assert "verdict is about model" in refused_release(untouched, 2)


@pytest.mark.parametrize("tag", ["report_digest", "policy_digest", "data_version", "code_digest"])
def test_evidence_other_than_the_registry_recorded_is_refused(untouched: Shop, tag: str) -> None:
    """Each digest that the verdict names is compared with the version's own registry entry."""
    with tag_edited(untouched, 2, tag, "0" * 64):
        assert tag.replace("_", " ") in refused_release(untouched, 2)


def test_an_unreadable_verdict_is_refused(untouched: Shop) -> None:
    """A verdict that cannot be read is no verdict."""
    with altered(untouched.stored(2, "verdict"), b"{"):
        assert "cannot be read" in refused_release(untouched, 2)


def test_a_swapped_report_is_refused(untouched: Shop) -> None:
    """The numbers that are there now must be those that were judged."""
    with altered(untouched.stored(2, "evaluation"), untouched.stored(1, "evaluation").read_bytes()):
        assert "report of version 2" in refused_release(untouched, 2)


def test_an_unreadable_report_is_refused(untouched: Shop) -> None:
    """A report that cannot be read is no evidence."""
    with altered(untouched.stored(2, "evaluation"), b""):
        assert "cannot be read" in refused_release(untouched, 2)


@pytest.mark.parametrize("name", ["model.onnx", "metadata.json"])
def test_a_changed_byte_of_the_model_is_refused(untouched: Shop, name: str) -> None:
    """What would be served must be what was evaluated, to the byte."""
    file = untouched.stored(2, "model") / name
    data = one_bit_off(file) if name == "model.onnx" else edited(file, classes=["a", "b", "c", "d", "e"])
    with altered(file, data):
        assert "changed after the gate" in refused_release(untouched, 2)


def test_a_policy_that_changed_since_the_verdict_refuses(untouched: Shop) -> None:
    """A version is released by the policy that it was judged by, or judged again."""
    assert "judged by policy" in refused_release(untouched, 2, "policy.rules.accuracy.limit=0.51")


@pytest.mark.parametrize("act", ["train", "deploy", "approve", "status"])
def test_a_registry_that_is_down_releases_nothing(untouched: Shop, act: str) -> None:
    """Without the registry nothing is trained, approved or released; the status still says what is live."""
    flags: dict[str, dict[str, Any]] = {
        "train": {"train": True, "source": str(untouched.delivery)},
        "deploy": {"deploy": True, "version": 2},
        "approve": {"approve": 2, "by": "Ada", "reason": "looked"},
        "status": {"status": True},
    }
    with registry_down():
        outcome = untouched.run(**flags[act])
        assert outcome.exit_code == UNREACHABLE
    if act == "status":
        assert [one["version"] for one in outcome.last["deployments"]] == [1]
        assert "registry" in outcome.stderr
    else:
        assert len(outcome.last["reasons"]) == 1
        assert "The model registry could not" in outcome.said


def test_a_registry_that_is_down_is_told_in_one_line(untouched: Shop) -> None:
    """As a process: exit code 4, and neither our nor MLflow's tracebacks on the terminal."""
    with registry_down():
        ended = untouched.process("--deploy", "--version", "2")
    assert ended.returncode == UNREACHABLE
    assert "The model registry could not" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert len(ended.stderr.splitlines()) < 4, ended.stderr


STRUCK = """
import sys
from benchmarks.warm import run, strike
strike("steps.registry.register:register_version", sys.argv[1], 9)
run(sys.argv[2:])
"""


@pytest.mark.parametrize(("when", "limit"), [("before", 0.998), ("after", 0.999)])
def test_a_refused_training_that_was_killed_is_refused_when_it_is_tried_again(
    untouched: Shop, when: str, limit: float
) -> None:
    """Whether its version was registered by then or not, what was left makes no release."""
    stricter, before = f"policy.rules.accuracy.limit={limit}", set(untouched.versions())
    flags = ("--set", SEED_1, "--set", stricter, "--train", "--source", str(untouched.delivery), "--deploy")
    command = untouched.command(*flags)
    killed = subprocess.run(
        [sys.executable, "-c", STRUCK, when, *command[2:]], capture_output=True, timeout=300, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert len(set(untouched.versions()) - before) == (when == "after")
    for version in (None, *sorted(set(untouched.versions()) - before)):
        outcome = untouched.run(SEED_1, stricter, deploy=True, version=version)
        assert outcome.exit_code == REFUSED, outcome.said
    again = untouched.train(SEED_1, stricter, expected=REFUSED)
    assert set(untouched.versions()) - before == {again}
    assert "accuracy" in refused_release(untouched, again, stricter)


def test_a_refused_version_cannot_be_approved(untouched: Shop) -> None:
    """A person cannot overrule the gate."""
    outcome = untouched.run(IMPOSSIBLE, approve=3, by="Ada", reason="I like it")
    assert outcome.exit_code == REFUSED
    assert "accuracy" in outcome.said
    assert "approval_digest" not in untouched.versions()[3]


@pytest.mark.parametrize(
    "besides",
    [(), ("approval.four_eyes=true",), ("approval.approvers=[nobody]",)],
    ids=["", "eyes", "account"],
)
def test_who_approves_a_refused_version_reads_the_verdict_first(
    untouched: Shop, besides: tuple[str, ...]
) -> None:
    """Whatever else forbids it, as that today's policy is another one: its outcome and what decided it."""
    outcome = untouched.run(*besides, approve=3, by="Ada", reason="I like it")
    assert outcome.exit_code == REFUSED
    assert outcome.said.startswith("The gate's verdict is refused: accuracy: ")
    assert "train another model: python run.py --config " in outcome.said
