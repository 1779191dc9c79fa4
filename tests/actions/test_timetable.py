"""``--schedules --apply`` makes the stack's schedules agree with the configuration, and touches no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actions.request import Request, check_flags
from actions.timetable import FOUND
from pipelines.config import CONFIGS
from run import main
from stacks.local_orchestrator.schedule_file import ScheduleFile
from tests.shrunk.delivery import SHRUNK_CONFIG, cut_delivery
from tests.stacks.local_orchestrator.stack import make_scheduled_stack
from tests.whole.shop import Outcome, Shop

if TYPE_CHECKING:
    from zenml.client import Client

STACK = MODEL = "timetabled"
NAMES = [f"daily-check-{MODEL}", f"daily-ingestion-{MODEL}", f"weekly-training-{MODEL}"]
AS_CONFIGURED = "The schedules are as the configuration says; nothing was changed."


@pytest.fixture(scope="module")
def book(local_stack: Client, tmp_path_factory: pytest.TempPathFactory) -> ScheduleFile:
    """The schedules of a stack like the local one; it is not the active one."""
    return make_scheduled_stack(local_stack, STACK, tmp_path_factory.mktemp("schedules"))


@pytest.fixture
def shop(book: ScheduleFile, tmp_path: Path) -> Iterator[Shop]:
    """A model that was never trained, with nothing scheduled before and after."""
    assert book.rows() == ()
    shop = Shop(MODEL, cut_delivery(tmp_path / "delivery.zip", per_class=2), stack=STACK)
    yield shop
    for row in book.rows():
        assert shop.run(unschedule=row.name).exit_code == 0


def apply(shop: Shop, *assignments: str) -> Outcome:
    """Make the schedules those of the product's timetable, on the shop's delivery."""
    return shop.run(f"schedules.source={shop.delivery}", *assignments, schedules=True, apply=True)


def applied(shop: Shop, *assignments: str) -> list[tuple[str, str, list[str]]]:
    """What that changed."""
    outcome = apply(shop, *assignments)
    assert outcome.exit_code == 0, outcome.said
    return [(each["act"], each["name"], each["why"]) for each in outcome.last["details"]["differences"]]


def repeated(book: ScheduleFile, name: str) -> Request:
    """What a schedule asks run.py for."""
    row = book.row(name)
    with main.make_context("run.py", [*row.command, "--stack", row.stack]) as context:
        request = Request(**context.params)
    check_flags(request)
    return request


def test_the_products_timetable_is_applied_once(shop: Shop, book: ScheduleFile) -> None:
    """Ingestion and the check each day, training each week; the second call changes not one byte."""
    assert [act for act, *_ in applied(shop)] == ["add"] * 3
    assert [(row.name, row.pipeline, row.cron) for row in book.rows()] == [
        (NAMES[0], "monitoring", "0 2 * * *"),
        (NAMES[1], "continuous", "0 3 * * *"),
        (NAMES[2], "continuous", "0 4 * * 0"),
    ]
    check, ingestion, training = (repeated(book, name) for name in NAMES)
    assert (check.monitor, check.environment) == (True, "production")
    assert ingestion.continuous and ingestion.source == str(shop.delivery)
    assert training.assignments == (*ingestion.assignments, "trigger.max_age_days=6")
    assert training.config == SHRUNK_CONFIG
    before = book.path.read_bytes()
    again = apply(shop)
    assert AS_CONFIGURED in again.said
    assert again.last["details"]["differences"] == []
    assert book.path.read_bytes() == before


def test_a_change_of_a_row_changes_its_schedule_alone(shop: Shop, book: ScheduleFile) -> None:
    """With what differs named; a look says so before, and changes nothing."""
    applied(shop)
    others = [book.row(name) for name in NAMES[1:]]
    changes = ("schedules.rows.daily-check.cron=30 3 * * *", "schedules.rows.daily-check.overlap=skip")
    why = ["cron 0 2 * * * → 30 3 * * *", "overlap queue → skip"]
    before = book.path.read_bytes()
    looked = shop.run(f"schedules.source={shop.delivery}", *changes, schedules=True)
    assert looked.exit_code == 0
    assert f"{NAMES[0]}: to change ({'; '.join(why)})" in looked.said
    assert "--schedules --apply" in looked.said
    assert book.path.read_bytes() == before
    assert applied(shop, *changes) == [("change", NAMES[0], why)]
    assert (book.row(NAMES[0]).cron, book.row(NAMES[0]).overlap) == ("30 3 * * *", "skip")
    assert [book.row(name) for name in NAMES[1:]] == others


def test_what_a_run_would_be_given_is_a_difference(shop: Shop, book: ScheduleFile, tmp_path: Path) -> None:
    """Another source, another setting of one row's runs."""
    applied(shop)
    other = cut_delivery(tmp_path / "other.zip", per_class=2)
    changes = (f"schedules.rows.weekly-training.source={other}",)
    assert applied(shop, *changes) == [("change", NAMES[2], ["what it runs"])]
    assert repeated(book, NAMES[2]).source == str(other)


def test_a_row_that_is_gone_or_off_takes_its_schedule_along(shop: Shop, book: ScheduleFile) -> None:
    """And no other: not a person's, not that of another model's timetable."""
    other = Shop("other-shop", shop.delivery, stack=STACK)
    applied(shop)
    applied(other)
    theirs = shop.run(train=True, source=str(shop.delivery), schedule="0 5 * * *")
    assert theirs.exit_code == 0, theirs.said
    assert applied(shop, "schedules.rows.daily-check.enabled=false") == [("remove", NAMES[0], [])]
    assert applied(shop, "schedules.rows.daily-check.enabled=false") == []
    names = {row.name for row in book.rows()}
    assert names >= {f"training-{MODEL}", "daily-check-other-shop", *NAMES[1:]}
    assert NAMES[0] not in names


def test_what_a_person_paused_stays_paused(shop: Shop, book: ScheduleFile) -> None:
    """Also when its row is changed; what a person removed comes back."""
    applied(shop)
    assert shop.run(pause=NAMES[0]).exit_code == 0
    assert applied(shop) == []
    applied(shop, "schedules.rows.daily-check.cron=30 3 * * *")
    assert (book.row(NAMES[0]).paused, book.row(NAMES[0]).cron) == (True, "30 3 * * *")
    assert not book.row(NAMES[1]).paused
    assert shop.run(unschedule=NAMES[1]).exit_code == 0
    assert ("add", NAMES[1], []) in applied(shop, "schedules.rows.daily-check.cron=30 3 * * *")


def logged(shop: Shop) -> list[tuple[str, str, str]]:
    """Each change of the timetable's schedules as the audit log has it, the oldest first."""
    entries = shop.run(audit=True).last["details"]["entries"]
    mine = [entry for entry in entries if entry["subject"].get("name") in NAMES]
    return [(entry["act"], entry["subject"]["name"], entry["reason"]) for entry in mine]


def test_each_change_stands_in_the_audit_log(shop: Shop) -> None:
    """Who scheduled what, as by hand; a call that changes nothing writes nothing."""
    before = len(logged(shop))
    applied(shop)
    applied(shop)
    applied(shop, "schedules.rows.daily-check.enabled=false")
    said = "by the configuration"
    assert sorted(logged(shop)[before:]) == sorted(
        [("schedule", name, said) for name in NAMES] + [("unschedule", NAMES[0], said)]
    )


def test_what_a_killed_call_did_is_logged_by_the_next_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a schedule was added, changed or removed and before that was logged; nothing twice."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def cut_off(*assignments: str) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("actions.timetable.log_act", killed)
            assert apply(shop, *assignments).exit_code == 130

    daily = "schedules.rows.daily-check"
    rows = ["daily-ingestion", "weekly-training"]
    alone = tuple(f"schedules.rows.{row}.enabled=false" for row in rows)
    before = len(logged(shop))
    for change in ((), (f"{daily}.cron=30 3 * * *",), (f"{daily}.enabled=false",)):
        cut_off(*alone, *change)
        assert applied(shop, *alone, *change) == []
        assert applied(shop, *alone, *change) == []
    assert logged(shop)[before:] == [
        ("schedule", NAMES[0], FOUND),
        ("schedule", NAMES[0], FOUND),
        ("unschedule", NAMES[0], FOUND),
    ]


def test_what_a_killed_call_did_is_logged_before_what_comes_after(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the configuration says something else by then."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    alone = tuple(f"schedules.rows.{row}.enabled=false" for row in ("daily-ingestion", "weekly-training"))
    before = len(logged(shop))
    with monkeypatch.context() as patch:
        patch.setattr("actions.timetable.log_act", killed)
        assert apply(shop, *alone).exit_code == 130
    ((act, *_),) = applied(shop, *alone, "schedules.rows.daily-check.cron=30 3 * * *")
    assert act == "change"
    assert [reason for *_, reason in logged(shop)[before:]] == [FOUND, "by the configuration"]


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("schedules.rows.daily-check.cron=0 0 30 2 *", "daily-check: The cron expression '0 0 30 2 *' never"),
        (
            "schedules.rows.daily-check.cron=0 2 * *",
            "daily-check: The cron expression '0 2 * *' has 4 fields",
        ),
        (
            "schedules.time_zone=Europe/Berlim",
            "There is no time zone 'Europe/Berlim'; did you mean 'Europe/B",
        ),
        ("schedules.rows.weekly-training.time_zone=Mars", "weekly-training: There is no time zone 'Mars'"),
        ("schedules.rows.daily-check.pipeline=monitor", "daily-check.pipeline: Input should be 'training', "),
        (
            "schedules.rows.daily-check.corn=0 2 * * *",
            "'schedules.rows.daily-check.corn'; did you mean 'cron'",
        ),
        ("schedules.rows.daily-check.overlap=both", "daily-check.overlap: Input should be 'queue' or 'skip'"),
        ("schedules.rows.daily-check.source=x.zip", "daily-check: --source and --data go with --train or"),
        (
            "schedules.rows.weekly-training.settings=[trigger.age=1]",
            "weekly-training: configuration: unknown",
        ),
        (
            "schedules.rows.weekly-training.settings=[product.model=kb]",
            "weekly-training: its settings set product.model to kb, and this is the timetable of timetabled",
        ),
        ("schedules.rows.weekly-training.source=none.zip", "weekly-training: There is no source none.zip"),
        (
            "schedules.source=null",
            "schedules.rows.daily-ingestion: which deliveries? Set schedules.source or ",
        ),
        ("schedules.rows.training={pipeline: training, cron: 0 2 * * *}", "'training' is what schedules of "),
        ("schedules.rows.a_b={pipeline: training, cron: 0 2 * * *}", "schedules.rows.a_b"),
    ],
)
def test_a_row_that_cannot_be_meant_is_named_and_nothing_is_applied(
    shop: Shop, book: ScheduleFile, assignment: str, said: str
) -> None:
    """Exit code 2, and the rows before it are not there either."""
    outcome = apply(shop, assignment)
    assert outcome.exit_code == 2
    assert said in outcome.said
    assert book.rows() == ()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            "pipeline: deployment, version: 99",
            f"schedules.rows.late: {MODEL} has no version 99 (there is: none)",
        ),
        (
            "pipeline: inference, input: {input}, output: late.parquet",
            f"schedules.rows.late: Nothing of {MODEL} is live in staging",
        ),
        ("pipeline: inference, input: {input}, output: /nowhere/late.parquet", "schedules.rows.late: "),
    ],
)
def test_a_row_that_its_pipeline_refuses_changes_no_other(
    shop: Shop, book: ScheduleFile, tmp_path: Path, row: str, said: str
) -> None:
    """Exit code 2 before anything is added, changed or removed, though other rows are to be."""
    applied(shop)
    before = book.path.read_bytes()
    (tmp_path / "pictures").mkdir()
    outcome = apply(
        shop,
        "schedules.rows.daily-check.enabled=false",
        "schedules.rows.daily-ingestion.cron=30 3 * * *",
        f"schedules.rows.late={{cron: 0 5 * * *, {row.replace('{input}', str(tmp_path / 'pictures'))}}}",
    )
    assert outcome.exit_code == 2
    assert said in outcome.said
    assert book.path.read_bytes() == before


def test_two_rows_of_one_name_are_refused(shop: Shop, book: ScheduleFile, tmp_path: Path) -> None:
    """Plain YAML would take the last of them without a word."""
    text = (CONFIGS / "schedules.yaml").read_text()
    overlay = tmp_path / "twice.yaml"
    overlay.write_text(text.replace("weekly-training:", "daily-check:"))
    outcome = shop.run(config=overlay, schedules=True, apply=True)
    assert outcome.exit_code == 2
    assert "the key 'daily-check' stands there twice" in outcome.said
    assert book.rows() == ()


def test_a_schedule_that_the_timetable_did_not_make_is_not_replaced(shop: Shop, book: ScheduleFile) -> None:
    """Such as that of another model whose name and row come to the same."""
    other = Shop(f"ingestion-{MODEL}", shop.delivery, stack=STACK)
    row = "schedules.rows.daily={pipeline: monitoring, cron: 0 2 * * *}"
    applied(other, row)
    before = book.path.read_bytes()
    outcome = apply(shop)
    assert outcome.exit_code == 2
    assert f"there is a schedule {NAMES[1]} that the configuration of {MODEL} did not make" in outcome.said
    assert f"--unschedule {NAMES[1]}" in outcome.said
    assert book.path.read_bytes() == before


def test_a_change_of_kind_that_nobody_approved_is_not_scheduled(
    shop: Shop, book: ScheduleFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3, with the command that approves it; the rows before it are not there either."""
    refusal = "nobody approved that"
    monkeypatch.setattr("pipelines.launch.unapproved_change", lambda *_: refusal)
    outcome = apply(shop)
    assert outcome.exit_code == 3
    assert f"schedules.rows.daily-ingestion: {refusal}" in outcome.said
    assert book.rows() == ()


def test_a_time_zone_is_kept_and_listed(shop: Shop, book: ScheduleFile) -> None:
    """The timetable's own, unless a row says another one."""
    berlin: Any = ("schedules.time_zone=Europe/Berlin", "schedules.rows.daily-check.time_zone=Asia/Tokyo")
    applied(shop, *berlin)
    assert [row.time_zone for row in book.rows()] == ["Asia/Tokyo", "Europe/Berlin", "Europe/Berlin"]
    listed = {each["name"]: each for each in shop.run(schedules=True).last["details"]["schedules"]}
    assert listed[NAMES[0]]["next_fire"].endswith("T17:00:00Z")  # 02:00 in Tokyo, all year


def test_apply_goes_with_what_it_applies() -> None:
    """Alone it says nothing."""
    from materializers.errors import UsageError

    with pytest.raises(UsageError, match="--apply goes with --collect or --schedules"):
        check_flags(Request(status=True, apply=True))
    check_flags(Request(schedules=True, apply=True))
