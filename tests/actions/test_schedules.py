"""Schedules as a person uses them: the commands of docs/schedules.md, and one that really fires."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actions.request import Request, check_flags
from materializers.schedule import check_cron
from run import main
from stacks.local_orchestrator.schedule_file import ScheduleFile
from tests.shrunk.delivery import PROJECT, SHRUNK_CONFIG, cut_delivery
from tests.stacks.local_orchestrator.stack import make_scheduled_stack
from tests.terminal import run_py
from tests.whole.shop import Outcome, Shop

if TYPE_CHECKING:
    from zenml.client import Client

PAGE = PROJECT / "docs" / "schedules.md"
STACK = MODEL = "scheduled"
PATIENCE_S = 240.0
SAID = (
    ("--schedule ", "continuous-scheduled: 0 2 * * 1 (UTC), next "),
    ("--schedules", "continuous-scheduled  continuous  0 2 * * 1  active"),
    ("--schedules", "daily-check-scheduled: to add"),
    ("--apply", "daily-check-scheduled      monitoring  30 5 * * 1-5 in Europe/Berlin  active"),
    ("--pause", "is paused; the same command resumes it"),
    ("--pause", "is resumed, next "),
    ("--unschedule", "continuous-scheduled is removed"),
    ("--scheduler", None),
    ("--why", None),
)
"""The commands of the page in their order, and what each says; of the last two the first is run as a process
below, the other by tests/test_readme.py."""


def blocks(language: str) -> list[str]:
    """The page's blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def book(local_stack: Client, tmp_path_factory: pytest.TempPathFactory) -> ScheduleFile:
    """The schedules of a stack like the local one, with rows of its own; it is not the active one."""
    return make_scheduled_stack(local_stack, STACK, tmp_path_factory.mktemp("schedules"))


@pytest.fixture
def shop(book: ScheduleFile, tmp_path: Path) -> Iterator[Shop]:
    """A model that was never trained, with nothing scheduled before and after."""
    assert book.rows() == ()
    shop = Shop(MODEL, cut_delivery(tmp_path / "delivery.zip"), stack=STACK)
    yield shop
    for row in book.rows():
        assert shop.run(unschedule=row.name).exit_code == 0


def schedule(shop: Shop, cron: str = "0 2 * * 1", **flags: Any) -> Outcome:
    """Schedule a training on the shop's delivery."""
    return shop.run(train=True, source=str(shop.delivery), schedule=cron, **flags)


def test_the_commands_of_the_page_do_what_it_says(shop: Shop, tmp_path: Path) -> None:
    """In their order; only configuration, model, stack and the deliveries differ from the page."""
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == len(SAID)
    overlay = tmp_path / "demo.yaml"
    overlay.write_text(SHRUNK_CONFIG.read_text().replace("model: shrunk", f"model: {MODEL}"))
    (timetable,) = blocks("yaml")
    shop_yaml = tmp_path / "shop.yaml"
    shop_yaml.write_text(
        overlay.read_text() + timetable.replace("s3://bucket/deliveries", str(shop.delivery))
    )
    for command, (flag, said) in zip(commands, SAID, strict=True):
        assert flag in f"{command} "
        if said is None:
            continue
        meant = command.replace("configs/demo", str(overlay)).replace("product-classifier-demo", MODEL)
        meant = meant.replace("shop.yaml", str(shop_yaml))
        code, printed = run_py(meant.replace("run.py", f"run.py --stack {STACK}", 1))
        assert code == 0, f"{command}\n{printed}"
        assert said in printed, f"{command}\n{printed}"


def test_a_schedule_fires_a_real_run(shop: Shop, book: ScheduleFile) -> None:
    """``--scheduler``, the page's last command, makes up for a missed training and ends when it is told to.

    A second one is refused meanwhile, and ``--status`` says that nothing fires only where that is so. The
    delivery is too small, so that the run ends without learning anything.
    """
    cut_delivery(shop.delivery, per_class=2)
    assert schedule(shop).exit_code == 0
    (row,) = book.rows()
    assert "No scheduler runs" in shop.run(status=True).stderr
    book.put(row.model_copy(update={"since": datetime(2026, 1, 1, tzinfo=UTC)}))
    output = shop.delivery.with_name("scheduler.log")
    with output.open("wb") as log:
        scheduler = subprocess.Popen(
            shop.command("--stack", STACK, "--scheduler"), stdout=log, stderr=subprocess.STDOUT, cwd="/"
        )
    try:
        deadline = time.monotonic() + PATIENCE_S
        while book.row(row.name).last_exit_code is None:
            assert scheduler.poll() is None and time.monotonic() < deadline, output.read_text()
            time.sleep(0.2)
        status = shop.run(status=True)
        assert "No scheduler runs" not in status.stderr
        second = shop.run(scheduler=True)
        assert second.exit_code == 2
        assert f"Process {scheduler.pid} is the scheduler" in second.said
        scheduler.send_signal(signal.SIGTERM)
        assert scheduler.wait(60) == 0
    finally:
        scheduler.kill()
        scheduler.wait()
    said = output.read_text()
    assert book.row(row.name).last_exit_code == 3, said
    (listed,) = status.last["schedules"]
    assert (listed["name"], listed["cron"], listed["paused"]) == ("training-scheduled", "0 2 * * 1", False)
    assert listed["last_fire"] > "2026-11"
    assert [run["pipeline"] for run in status.last["runs"]] == ["training"]
    assert "training-scheduled: training: refused" in said
    assert "The scheduler was ended; it fired 1 times." in said


def test_a_scheduler_that_is_killed_in_a_training_loses_and_doubles_nothing(
    book: ScheduleFile, tmp_path: Path
) -> None:
    """After kill -9 its training goes on; the next scheduler's waits for it, and registers nothing new."""
    shop = Shop("killed-scheduler", cut_delivery(tmp_path / "delivery.zip"), stack=STACK)
    assert schedule(shop).exit_code == 0
    (row,) = book.rows()
    book.put(row.model_copy(update={"since": datetime(2026, 1, 1, tzinfo=UTC)}))

    def until(condition: Callable[[], bool], *processes: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            alive = all(one.poll() is None for one in processes)
            assert alive and time.monotonic() < deadline, output.read_text()
            time.sleep(0.2)

    output = tmp_path / "scheduler.log"
    with output.open("ab") as log:
        command = shop.command("--stack", STACK, "--scheduler")
        first = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd="/")
        try:
            until(lambda: bool(shop.run(status=True).last["runs"]), first)
        finally:
            first.kill()
            first.wait()
        assert book.row(row.name).begun is not None
        second = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd="/")
        try:
            until(lambda: book.row(row.name).last_exit_code is not None, second)
            second.send_signal(signal.SIGTERM)
            assert second.wait(60) == 0
        finally:
            second.kill()
            second.wait()
    said = output.read_text()
    assert book.row(row.name).last_exit_code == 0, said
    assert "was cut off and comes now" in said
    assert shop.aliases() == {"challenger": 1}
    runs = shop.run(status=True).last["runs"]
    assert [run["status"] for run in runs] == ["completed", "completed"], said
    trained = [entry["act"] for entry in shop.run(lineage=1).last["details"]["history"]]
    assert trained.count("train") == 1
    assert shop.run(unschedule=row.name).exit_code == 0


def test_the_command_that_is_repeated_is_the_one_that_was_given(shop: Shop, book: ScheduleFile) -> None:
    """Run again without its schedule, it asks for the same."""
    outcome = schedule(shop, "*/5 1-3 * * *", no_cache=True)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.last["action"] == "schedule"
    assert outcome.last["details"]["cron"] == "*/5 1-3 * * *"
    (row,) = book.rows()
    with main.make_context("run.py", [*row.command, "--stack", row.stack]) as context:
        request = Request(**context.params)
    check_flags(request)
    assert request == Request(
        train=True,
        source=str(shop.delivery),
        config=SHRUNK_CONFIG,
        assignments=(f"product.model={MODEL}",),
        no_cache=True,
        stack=STACK,
    )


def test_what_is_refused_is_not_scheduled(shop: Shop, book: ScheduleFile) -> None:
    """A source that is not there, a cron expression that is none: exit code 2 and the reason."""
    absent = shop.run(train=True, source="not-there.zip", schedule="0 2 * * 1")
    assert absent.exit_code == 2
    assert "There is no source not-there.zip" in absent.said
    wrong = schedule(shop, "0 2 * * 9")
    assert wrong.exit_code == 2
    assert "'9' is no weekday" in wrong.said
    assert book.rows() == ()


def test_a_watched_place_is_scheduled_where_it_is_there_though_nothing_is_in_it(
    shop: Shop, book: ScheduleFile, tmp_path: Path
) -> None:
    """Deliveries come later; a place that is not there is a mistake, and would stay one every night."""
    place = tmp_path / "incoming"
    absent = shop.run(continuous=True, source=f"{place}/*", schedule="0 1 * * *")
    assert (absent.exit_code, book.rows()) == (2, ())
    assert f"There is no folder {place} to watch" in absent.said
    place.mkdir()
    outcome = shop.run(continuous=True, source=f"{place}/*", schedule="0 1 * * *")
    assert outcome.exit_code == 0, outcome.stderr
    (row,) = book.rows()
    assert row.command[row.command.index("--source") + 1] == f"{place}/*"


def test_an_unknown_name_is_wrong_use(shop: Shop) -> None:
    """With those that there are."""
    assert schedule(shop).exit_code == 0
    unknown: tuple[dict[str, Any], ...] = ({"pause": "none-such"}, {"unschedule": "none-such"})
    for flags in unknown:
        outcome = shop.run(**flags)
        assert outcome.exit_code == 2
        assert "There is no schedule 'none-such' (there is: training-scheduled)" in outcome.said


def test_zenmls_own_stack_says_what_is_missing(shop: Shop) -> None:
    """A plain look works there; an act on schedules names the command that mends it."""
    other = shop.on("default")
    for flags in ({"schedules": True}, {"pause": "a"}, {"unschedule": "a"}, {"scheduler": True}):
        outcome = other.run(**flags)
        assert outcome.exit_code == 2, outcome.stderr
        assert "make stack" in outcome.said


def test_the_unit_and_the_crontab_line_of_the_page_can_be_read() -> None:
    """The unit is one that systemd's format takes, and both call run.py with flags that there are."""
    (unit,) = blocks("ini")
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit)
    (line,) = blocks("text")
    minute, hour, day, month, weekday, crontab = line.strip().split(maxsplit=5)
    check_cron(" ".join((minute, hour, day, month, weekday)))
    for command in (parser["Service"]["ExecStart"], crontab.partition(">>")[0]):
        flags = shlex.split(command.partition("run.py ")[2])
        with main.make_context("run.py", flags) as context:
            request = Request(**context.params)
        check_flags(request)
        assert request.scheduler
    assert {"Unit", "Service", "Install"} == set(parser.sections())
    assert parser["Service"]["KillMode"] == "mixed"  # else the run gets the signal past the scheduler


@pytest.mark.debian("systemd")
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="apt-get install systemd")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Where there is one to ask."""
    unit = tmp_path / "shutterline.service"
    text = blocks("ini")[0].replace("/srv/shutterline/.venv/bin/python", sys.executable)
    unit.write_text(text.replace("User=shutterline\n", ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert str(unit) not in done.stderr
