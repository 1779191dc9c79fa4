"""What run.py does with the streams that it is given, and what it says in JSON of acts that end early."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actions.request import Request
from tests.conftest import PROJECT
from tests.shrunk.delivery import SHRUNK_CONFIG
from tests.whole.shop import Outcome, Shop, registry_down

if TYPE_CHECKING:
    from zenml.client import Client

RUN = (sys.executable, str(PROJECT / "run.py"))
FAILED, WRONG_USE, REFUSED, UNREACHABLE, INTERRUPTED = 1, 2, 3, 4, 130
SHOP = Shop("never-trained", PROJECT / "data" / "first-delivery.zip")
"""No test here comes to a run."""
PIPELINES = {
    "train": "training",
    "deploy": "deployment",
    "observe": "deployment",
    "continuous": "continuous",
    "infer": "inference",
    "monitor": "monitoring",
    "reproduce": "reproduction",
}
ASKED: dict[str, dict[str, Any]] = {
    "train": {"train": True, "source": str(SHOP.delivery)},
    "deploy": {"deploy": True},
    "observe": {"observe": True},
    "continuous": {"continuous": True, "source": str(SHOP.delivery)},
    "infer": {"infer": True, "input": "data/photos", "output": "never-written.parquet"},
    "monitor": {"monitor": True},
    "reproduce": {"reproduce": 1},
}


def test_json_onto_a_full_disk_is_one_line() -> None:
    """The exit code of the work stays, and one line says that nobody can read about it."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*RUN, "--json"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == WRONG_USE
    assert "Standard output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_json_into_a_pipe_that_nobody_reads_is_one_line() -> None:
    """As in ``run.py --json | true``."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*RUN, "--json"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.returncode == WRONG_USE
    assert "Standard output cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_change_no_exit_code(closed: str) -> None:
    """A closed stream takes nothing, and nothing fails for that."""
    line = f'"$0" "$1" --json {closed}'
    done = subprocess.run(["bash", "-c", line, *RUN], capture_output=True, text=True, check=False)
    assert done.returncode == WRONG_USE
    assert "Traceback" not in done.stdout + done.stderr


INTERRUPTED_AS_IF = """
import os, signal, sys, time, weakref
import pipelines.config
from actions.command import execute
from actions.request import Request

def press():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)

def becomes_a_fault(*_):
    try:
        press()
    except KeyboardInterrupt as error:
        raise ImportError("initialization failed") from error

def is_dropped(*_):
    class Part: pass
    part = Part()
    kept = weakref.ref(part, lambda _: press())
    del part
    time.sleep(10)
    raise AssertionError("the interruption was lost")

def is_amid_a_transaction(*_):
    ended = []
    code = "os.kill(os.getpid(), signal.SIGINT); time.sleep(0.5); ended.append(1)"
    try:
        exec(code, {{**globals(), "__name__": "zenml.zen_stores.sql_zen_store", "ended": ended}})
        time.sleep(10)
    except KeyboardInterrupt:
        if not ended:
            os._exit(99)
        raise
    raise AssertionError("the interruption was lost")

pipelines.config.load_config = {how}
sys.exit(execute(Request(status=True, as_json=True)))
"""


@pytest.mark.parametrize("how", ["becomes_a_fault", "is_dropped", "is_amid_a_transaction"])
def test_an_interruption_that_gets_lost_is_one(how: str) -> None:
    """In a C++ module's import Ctrl-C becomes an ImportError, in a weak reference's callback nothing: 130.

    And a transaction is not cut, for its lock would be held for good: it ends first.
    """
    done = subprocess.run(
        ["env", "--default-signal=INT", sys.executable, "-c", INTERRUPTED_AS_IF.format(how=how)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == INTERRUPTED, done.stderr
    assert done.stderr.splitlines()[-1].startswith("Interrupted; the same command goes on")
    assert "Traceback" not in done.stderr


def test_text_that_a_terminal_cannot_show_is_escaped() -> None:
    """A Latin-1 argument in a terminal that knows ASCII alone."""
    done = subprocess.run(
        [*RUN, "--json", "--train", "--source", os.fsdecode(b"caf\xe9.zip")],
        env={**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == WRONG_USE
    [result] = json.loads(done.stdout)["results"]
    assert "is not UTF-8" in result["reasons"][0]
    assert "Traceback" not in done.stderr


def check_fault(outcome: Outcome, act: str, exit_code: int, said: str) -> None:
    """The one entry is the pipeline's, with every promised field, and says what was wrong."""
    [entry] = outcome.results
    [reason] = entry["reasons"]
    assert said in reason
    assert outcome.exit_code == exit_code
    assert entry == {
        "pipeline": PIPELINES[act],
        "run": None,
        "status": "refused" if exit_code == REFUSED else "failed",
        "version": None,
        "verdict": None,
        "reasons": [reason],
        "metrics": None,
        "release": None,
        "decision": None,
        "monitoring": None,
    }


def test_acts_are_told_by_the_name_of_their_pipeline() -> None:
    """A fault before the run has the same ``pipeline`` as the run's own entry would have."""
    from actions import command
    from pipelines.continuous import continuous
    from pipelines.deployment import deployment
    from pipelines.inference import inference
    from pipelines.monitoring import monitoring
    from pipelines.reproduction import reproduction
    from pipelines.training import training

    assert command.PIPELINES == PIPELINES
    pipelines: list[Any] = [training, deployment, continuous, inference, monitoring, reproduction]
    assert [pipeline.name for pipeline in pipelines] == list(dict.fromkeys(PIPELINES.values()))


@pytest.mark.parametrize("act", PIPELINES)
def test_wrong_flags_are_an_entry_of_the_pipeline(act: str) -> None:
    """Told before anything of ZenML's is looked at."""
    check_fault(SHOP.run(**ASKED[act], by="Ada"), act, WRONG_USE, "--by and --reason go with")


@pytest.mark.parametrize("act", PIPELINES)
def test_a_wrong_configuration_is_an_entry_of_the_pipeline(act: str) -> None:
    """A key that nothing reads."""
    outcome = SHOP.run("train.epoch=1", **ASKED[act])
    check_fault(outcome, act, WRONG_USE, "unknown key 'train.epoch'")


@pytest.mark.parametrize("act", PIPELINES)
def test_an_unknown_stack_is_an_entry_of_the_pipeline(zenml_client: Client, act: str) -> None:
    """``--stack`` with a name that is not there."""
    outcome = SHOP.on("no-such-stack").run(**ASKED[act])
    check_fault(outcome, act, WRONG_USE, "There is no stack 'no-such-stack'")


@pytest.mark.parametrize("act", ["train", "continuous"])
def test_what_cannot_be_trained_is_an_entry_of_the_pipeline(local_stack: Client, act: str) -> None:
    """A frozen backbone without weights, found before a run exists."""
    outcome = SHOP.run("train.freeze_backbone=true", **ASKED[act])
    check_fault(outcome, act, WRONG_USE, "train.freeze_backbone is true")


@pytest.mark.parametrize("act", ["train", "continuous", "reproduce"])
def test_a_registry_out_of_reach_is_an_entry_of_the_pipeline(local_stack: Client, act: str) -> None:
    """What is live is asked for before a run exists."""
    assert SHOP.versions() == {}  # makes the registry's file
    with registry_down():
        outcome = SHOP.run(**ASKED[act])
    check_fault(outcome, act, UNREACHABLE, "The model registry could not list the versions")


@pytest.mark.parametrize("act", PIPELINES)
def test_a_difference_from_the_registry_is_an_entry_of_the_pipeline(
    local_stack: Client, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """Refused, and so it is told."""
    monkeypatch.setattr("actions.status.differences", lambda model: [f"The registry disagrees on {model}."])
    check_fault(SHOP.run(**ASKED[act]), act, REFUSED, "The registry disagrees on never-trained.")


def test_a_fault_of_no_kind_is_an_entry_of_the_pipeline(
    local_stack: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a library raises before a run exists."""

    def out_of_luck(*_: object, **__: object) -> None:
        raise ZeroDivisionError("out of luck")

    monkeypatch.setattr("pipelines.launch.infer", out_of_luck)
    check_fault(SHOP.run(**ASKED["infer"]), "infer", FAILED, "ZeroDivisionError: out of luck")


def test_an_interrupted_pipeline_has_its_entry(local_stack: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C before a run exists."""

    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.launch.train", press)
    check_fault(SHOP.run(**ASKED["train"]), "train", INTERRUPTED, "Interrupted; the same command goes on")


@pytest.mark.parametrize("failing", ["deploy", "predict"])
def test_a_fault_is_told_of_the_act_that_was_running(
    local_stack: Client, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """What was done before keeps its entry, and what was to come after has none."""
    from materializers.errors import ServiceFailed
    from pipelines.results import PipelineResult

    def done(pipeline: str) -> Any:
        return lambda *_, **__: PipelineResult(pipeline=pipeline, run="r", status="completed", version=1)

    def fails(*_: object, **__: object) -> None:
        raise ServiceFailed("It does not answer.")

    acts = {"train": "pipelines.launch.train", "deploy": "pipelines.launch.deploy"}
    for act, place in {**acts, "predict": "actions.predict.predict_photos"}.items():
        monkeypatch.setattr(place, fails if act == failing else done(PIPELINES.get(act, act)))
    outcome = SHOP.run(**ASKED["train"], deploy=True, predict=True, photos=(__file__,))
    told = [(entry.get("pipeline") or entry["action"], entry["status"]) for entry in outcome.results]
    before = [("training", "completed"), ("deployment", "completed")]
    assert (
        told
        == {
            "deploy": [before[0], ("deployment", "failed")],
            "predict": [*before, ("predict", "failed")],
        }[failing]
    )
    assert outcome.results[-1]["reasons"] == ["It does not answer."]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({**ASKED["train"], "deploy": True, "predict": True}, "training"),
        ({"status": True, "stop": True, "version": 1}, "status"),
        ({"approve": 1, **ASKED["deploy"]}, "approve"),
        ({}, "run"),
    ],
    ids=str,
)
def test_a_fault_before_any_act_is_told_of_the_first(flags: dict[str, Any], told: str) -> None:
    """Of the call itself where nothing was asked for."""
    outcome = SHOP.run(**flags)
    assert outcome.exit_code == WRONG_USE
    [entry] = outcome.results
    assert (entry.get("pipeline") or entry["action"], entry["status"]) == (told, "failed")


def test_what_is_not_begun_after_a_fault_is_named(local_stack: Client) -> None:
    """An act that was begun and could not be done leaves those after it; wrong flags begin nothing."""
    outcome = SHOP.run(readmit="00000000", compact=True, status=True)
    assert outcome.exit_code == WRONG_USE
    assert outcome.stderr.endswith("Not done, because of this: --compact, --status\n")
    assert "Not done" not in SHOP.run(readmit="00000000", data_diff=("a", "b")).stderr


def test_the_commands_of_a_refusal_work_as_they_are_pasted(local_stack: Client) -> None:
    """With the caller's configuration, in JSON as well, and once."""
    outcome = SHOP.run("trigger.manual=true", deploy=True)
    assert outcome.exit_code == REFUSED
    given = f"--config {SHRUNK_CONFIG} --set product.model=never-trained --set trigger.manual=true"
    assert outcome.said.endswith(f"Train one: python run.py {given} --train --source PATH")
    unknown = SHOP.run(readmit="00000000")
    assert unknown.said.count("--config") == unknown.said.count("python run.py")


def test_the_commands_of_a_warning_work_as_they_are_pasted() -> None:
    """What steps log while they run in this process."""
    from actions.command import Visible

    request = Request(config=Path("my shop.yaml"), stack="local")
    record = logging.makeLogRecord({"msg": "Go back: %s", "args": ("python run.py --train --data 0f",)})
    line = Visible(request).format(record)
    assert line == "Go back: python run.py --config 'my shop.yaml' --stack local --train --data 0f"
