"""--monitor on the local stack: what was captured of the live model, beside what it was judged on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from zenml.client import Client
from zenml.enums import StackComponentType as Kind

from materializers.drift_reference import DriftReference
from materializers.drift_report import DriftReport
from materializers.evidence import run_output
from serving.capture_layout import CAPTURES, FEEDBACK, folder_of
from steps.monitoring.traffic.window import live_arm
from tests.captured import answers_like, lay, lay_answers, strip
from tests.stacks.apprise_alerter.webhook import Webhook, webhook_server
from tests.whole.captured import store_folder
from tests.whole.shop import IMPOSSIBLE, REFUSED, Outcome, Shop, altered

ENOUGH = ("monitor.drift.minimum_pictures=50", "monitor.performance.minimum_labels=50")
"""The shrunk model has 90 pictures that it did not learn from."""
AGO = timedelta(minutes=30)


@pytest.fixture(scope="module")
def hook() -> Iterator[Webhook]:
    """What alerts are posted to."""
    with webhook_server() as server:
        yield server


@pytest.fixture(scope="module")
def watched(open_shop: Callable[[str], Shop], local_stack: Client, hook: Webhook) -> Shop:
    """Version 1 is live in staging; alerts of the stack that it is looked at through go to the webhook."""
    shop, name = open_shop("watched"), "watched"
    shop.train()
    shop.deploy(1)
    found = local_stack.active_stack_model.components
    parts = {kind: some[0].id for kind, some in found.items()}
    local_stack.create_stack_component(name, "apprise", Kind.ALERTER, {"urls": hook.url})
    local_stack.create_stack(name, {**parts, Kind.ALERTER: name})
    return shop.on(name)


@pytest.fixture
def webhook(hook: Webhook) -> Webhook:
    """Nothing was posted yet."""
    hook.messages.clear()
    hook.kinds.clear()
    return hook


@pytest.fixture(autouse=True)
def no_traffic(watched: Shop) -> Iterator[None]:
    """Every test begins with no captured traffic of this model."""
    yield
    forget_traffic(watched)


def forget_traffic(shop: Shop) -> None:
    """Remove all that was captured of a model."""
    for kind in (CAPTURES, FEEDBACK):
        for path in (store_folder() / folder_of(kind, "staging", shop.model)).rglob("*.parquet"):
            path.unlink()


def reference_of(shop: Shop) -> DriftReference:
    """The live model's."""
    arm = live_arm(shop.model, "staging")
    return DriftReference.from_bytes((Path(arm.model_uri).parent / "drift_reference.arrow").read_bytes())


def rows_like(reference: DriftReference, shop: Shop, n: int, **changed: Any) -> list[dict[str, Any]]:
    """Captured answers like the reference's own."""
    version, at = live_arm(shop.model, "staging").version, datetime.now(UTC) - AGO
    about = {"model_name": shop.model, "version": version, "at": at}
    return answers_like(reference, n, **{**about, **changed})


def store(shop: Shop, kind: Literal["captures", "feedback"], rows: list[dict[str, Any]]) -> Path:
    """Lay rows into the artifact store as the shipper does."""
    return lay(store_folder(), kind, shop.model, rows)


def captured(
    shop: Shop, rows: list[dict[str, Any]], *, labels: bool = True, labelled_after: timedelta = AGO / 2
) -> None:
    """What was answered, and what was right."""
    lay_answers(store_folder(), shop.model, rows, labelled_after=labelled_after if labels else None)


def monitor(shop: Shop, *assignments: str) -> Outcome:
    """Look at staging."""
    return shop.run(*ENOUGH, *assignments, monitor=True)


def test_traffic_like_the_reference_is_no_drift(watched: Shop, webhook: Webhook) -> None:
    """The report has the figures of the window, nobody is told anything, and the tracker has them, too."""
    captured(watched, rows_like(reference_of(watched), watched, 80))
    outcome = monitor(watched)
    assert outcome.exit_code == 0, outcome.stderr
    told = outcome.last["monitoring"]
    assert (told["drift"], told["performance"], told["alarm"]) == ("no drift", "no drop", False)
    assert (told["num_predictions"], told["drift_share"]) == (80, 0.0)
    assert webhook.messages == []
    assert explained(outcome) is None
    tracked = tracked_figures(outcome)
    assert tracked["num_predictions"] == 80
    assert tracked["drift_share"] == 0.0
    assert tracked["current_accuracy"] == pytest.approx(told["current_accuracy"])


def test_drift_is_told_once_by_name_and_that_it_is_over(watched: Shop, webhook: Webhook) -> None:
    """Embeddings that lie elsewhere are drift; the message names the alert, model, version, signal and run.

    A second window that says the same is no news, one of which nothing can be said neither, a clean one is.
    """
    rows = rows_like(reference_of(watched), watched, 80)
    for row in rows:
        row["embedding"] = [value + 1 for value in row["embedding"]]
    captured(watched, rows)
    outcome = monitor(watched)
    assert (outcome.exit_code, outcome.last["monitoring"]["drift"]) == (0, "drift")
    assert monitor(watched).last["monitoring"]["drift"] == "drift"
    (message,) = webhook.messages
    head, window, *_, last = message.splitlines()
    assert head == "data_drift_detected (warning): watched in staging"
    assert window.startswith("watched version 1 in staging, ")
    assert "embeddings" in message
    page = explained(outcome)
    assert page is not None
    assert all(each in page for each in ("watched version 1 in staging", "embeddings", "drawDashboard"))
    status = watched.run(status=True).last
    (looked,) = status["monitoring"]
    assert (looked["environment"], looked["version"], looked["alarm"]) == ("staging", 1, True)
    assert (looked["drift"], looked["drifting"]) == ("drift", ["embeddings"])
    assert looked["age_hours"] < 1
    (alarm,) = (each for each in status["waiting"] if each["kind"] == "alarm")
    assert "The last look at staging" in alarm["reason"]
    assert last.startswith("Look at it")
    forget_traffic(watched)
    assert monitor(watched).last["monitoring"]["drift"] == "insufficient data"
    assert len(webhook.messages) == 1
    captured(watched, rows_like(reference_of(watched), watched, 80))
    assert monitor(watched).last["monitoring"]["drift"] == "no drift"
    (_, over) = webhook.messages
    assert over.startswith("data_drift_detected is over: watched in staging\nNot so in watched version 1")


def test_wrong_answers_are_a_drop(watched: Shop, webhook: Webhook) -> None:
    """Labels that say otherwise than the answers did raise the alert on accuracy."""
    rows = rows_like(reference_of(watched), watched, 80)
    for row in rows:
        row["truth"] = next(name for name in reference_of(watched).classes if name != row["label"])
    captured(watched, rows)
    assert monitor(watched).last["monitoring"]["performance"] == "drop"
    (message,) = webhook.messages
    assert message.startswith("model_accuracy_drop (critical): watched in staging\n")
    assert webhook.kinds == ["failure"]


def test_too_little_traffic_is_insufficient_data(watched: Shop, webhook: Webhook) -> None:
    """Neither drift nor that all is well; nobody is told, and the reasons say how many there were."""
    captured(watched, rows_like(reference_of(watched), watched, 10))
    outcome = monitor(watched)
    told = outcome.last["monitoring"]
    assert (told["drift"], told["performance"]) == ("insufficient data", "insufficient data")
    assert "the window has 10 such pictures, 50 at least are needed" in outcome.said
    assert webhook.messages == []


def test_no_traffic_at_all_is_insufficient_data(watched: Shop) -> None:
    """An empty store is told as that, not as a fault."""
    outcome = monitor(watched)
    assert outcome.exit_code == 0, outcome.said
    assert outcome.last["monitoring"]["drift"] == "insufficient data"
    assert outcome.last["monitoring"]["num_predictions"] == 0


def test_what_is_odd_about_the_traffic_is_named_and_stops_nothing(watched: Shop) -> None:
    """A file cut short, an unknown version, wrong clocks, labels of nobody's request, two labels of one."""
    rows = rows_like(reference_of(watched), watched, 80)
    captured(watched, rows)
    whole = store(watched, CAPTURES, [strip(row) for row in rows_like(reference_of(watched), watched, 5)])
    whole.write_bytes(whole.read_bytes()[:100])
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    ahead = rows_like(reference_of(watched), watched, 2, at=tomorrow)
    store(watched, CAPTURES, [strip(row) for row in ahead])
    unknown = rows_like(reference_of(watched), watched, 3, model_version="99", model_digest="9" * 64)
    store(watched, CAPTURES, [strip(row) for row in unknown])
    at = datetime.now(UTC) - AGO / 3
    another = next(name for name in reference_of(watched).classes if name != rows[0]["truth"])
    said = [
        {"request_id": "nobody", "at": at, "label": "tops"},
        {"request_id": rows[0]["request_id"], "at": at, "label": another},
    ]
    store(watched, FEEDBACK, said)
    outcome = monitor(watched)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.last["monitoring"]["num_predictions"] == 80
    for sentence in (
        "1 files of captures cannot be read",
        "versions that the registry does not know: 99 (3)",
        "1 labels are of no request that was captured",
        "1 pictures were given two labels",
        "2 answers are dated later than now: a clock goes ahead",
        "80 answers are dated before their model was registered: a clock is behind",
    ):
        assert sentence in outcome.said


ACCEPTED: dict[str, Any] = {"rebase_reference": True, "by": "Ada", "reason": "the new camera is here to stay"}
SOME = "monitor.reference.minimum_pictures=60"


def test_a_reference_of_too_little_traffic_is_refused_with_the_numbers(watched: Shop) -> None:
    """What was found, what is needed, and how one gets there; the model's own stays what is compared with."""
    captured(watched, rows_like(reference_of(watched), watched, 59), labels=False)
    outcome = watched.run(SOME, **ACCEPTED)
    assert outcome.exit_code == REFUSED
    assert "answered 59 pictures" in outcome.said
    assert "takes 60 at least" in outcome.said
    assert "--set monitor.reference.hours=336" in outcome.said
    assert monitor(watched).last["monitoring"]["compared_with"]["rebased"] is False


@pytest.mark.parametrize("act", [{"rebase_reference": True}, {"set_baseline": 1}], ids=str)
def test_what_later_windows_are_compared_with_moves_by_who_may_approve(
    watched: Shop, act: dict[str, Any]
) -> None:
    """Who may not could hide that a model got worse; nothing is logged."""
    captured(watched, rows_like(reference_of(watched), watched, 90), labels=False)
    by: dict[str, Any] = {"by": "Ada", "reason": "because"}
    outcome = watched.run(SOME, "approval.approvers=[ada@example.com]", **act, **by)
    assert outcome.exit_code == REFUSED
    assert "'default' may not approve; configured are: ada@example.com" in outcome.said
    entries = watched.run(audit=True).last["details"]["entries"]
    logged = {entry["act"] for entry in entries if entry["subject"].get("model") == watched.model}
    assert not logged & {"rebase-reference", "set-baseline"}


def test_nothing_is_accepted_where_nothing_is_live(open_shop: Callable[[str], Shop]) -> None:
    """There is no model whose traffic it would be."""
    outcome = open_shop("never-live").run(**ACCEPTED)
    assert outcome.exit_code == 2
    assert "--deploy" in outcome.said


def test_accepted_traffic_is_what_windows_are_compared_with_until_it_is_altered(watched: Shop) -> None:
    """The report says whose act it was and since when, the log has it; an altered one is refused by name."""
    rows = rows_like(reference_of(watched), watched, 90)
    for row in rows:
        row["embedding"] = [value + 1 for value in row["embedding"]]
    captured(watched, rows)
    assert monitor(watched).last["monitoring"]["drift"] == "drift"
    accepted = watched.run(SOME, **ACCEPTED)
    assert accepted.exit_code == 0, accepted.said

    outcome = monitor(watched)
    told = outcome.last["monitoring"]
    assert told["drift"] == "no drift", outcome.said
    about = told["compared_with"]
    assert (about["rebased"], about["by"], about["pictures"]) == (True, "Ada", 90)
    assert about["reference_digest"] == accepted.last["details"]["reference"]
    audited = watched.run(audit=True)
    entry = [one for one in audited.last["details"]["entries"] if one["act"] == "rebase-reference"][-1]
    assert (entry["by"], entry["reason"]) == ("Ada", ACCEPTED["reason"])
    assert entry["subject"]["reference"] == about["reference_digest"]
    assert datetime.fromisoformat(entry["at"]) == datetime.fromisoformat(about["since"])

    name, version = "watched-staging-reference", accepted.last["details"]["artifact"]
    stored = Path(Client().get_artifact_version(name, version).uri) / "drift_reference.arrow"
    table = DriftReference.from_bytes(stored.read_bytes())
    with altered(stored, table.without([table.rows["image_id"].iloc[0]]).to_bytes()):
        refused = monitor(watched)
    assert refused.exit_code == REFUSED
    assert "1 of its rows are missing, and the log has no erasure since" in refused.said
    assert "--rebase-reference --environment staging" in refused.said
    own = monitor(watched, "monitor.reference.use=own")
    assert (own.exit_code, own.last["monitoring"]["drift"]) == (0, "drift")


def test_the_baseline_moves_by_the_act_alone_to_what_passed(watched: Shop) -> None:
    """Without it there is none before production; a version that was refused, or is unknown, is none."""
    captured(watched, rows_like(reference_of(watched), watched, 80))
    assert report_of(monitor(watched)).performance.baseline is None
    act: dict[str, Any] = {"by": "Ada", "reason": "the first that was any good"}
    unknown = watched.run(set_baseline=7, **act)
    assert (unknown.exit_code, "has no version 7" in unknown.said) == (2, True)
    refused = watched.run(set_baseline=watched.train(IMPOSSIBLE, expected=REFUSED), **act)
    assert refused.exit_code == REFUSED
    assert "accuracy" in refused.said
    done = watched.run(set_baseline=1, **act)
    assert done.exit_code == 0, done.said
    accuracy = done.last["details"]["accuracy"]
    assert f"{accuracy:.4f}" == watched.versions()[1]["accuracy"]
    assert report_of(monitor(watched)).performance.baseline == accuracy


def test_a_business_figure_that_fell_is_told_by_name(watched: Shop, webhook: Webhook) -> None:
    """The first window with enough figures sets the baseline; the next is compared with that."""
    figures = ("monitor.business.minimum_values=20",)
    first = rows_like(reference_of(watched), watched, 30)
    captured(watched, first, labels=False)
    posted(watched, first, 10.0)
    told = monitor(watched, *figures).last["monitoring"]["business"]
    assert (told["outcome"], told["baseline"], told["mean"]["n"]) == ("no drop", pytest.approx(10), 30)
    for kind in (CAPTURES, FEEDBACK):
        for path in (store_folder() / folder_of(kind, "staging", watched.model)).rglob("*.parquet"):
            path.unlink()
    webhook.messages.clear()
    second = rows_like(reference_of(watched), watched, 30)
    captured(watched, second, labels=False)
    posted(watched, second, 8.0)
    outcome = monitor(watched, *figures)
    told = outcome.last["monitoring"]["business"]
    assert (told["outcome"], told["baseline"], told["limit"]) == ("drop", pytest.approx(10), pytest.approx(9))
    assert outcome.last["monitoring"]["alarm"]
    assert any("business_figure_drop" in message for message in webhook.messages)


def test_nothing_live_is_a_usage_error(open_shop: Callable[[str], Shop]) -> None:
    """There is no reference to compare with; the command that mends it is named."""
    outcome = open_shop("never-live").run(monitor=True)
    assert outcome.exit_code == 2
    assert "--deploy" in outcome.said


def posted(shop: Shop, rows: list[dict[str, Any]], value: float) -> None:
    """What people said that answers were worth, about this much."""
    at = datetime.now(UTC) - AGO / 2
    store(
        shop,
        FEEDBACK,
        [
            {"request_id": row["request_id"], "at": at, "value": value + (-0.1, 0.1)[number % 2]}
            for number, row in enumerate(rows)
        ],
    )


def report_of(outcome: Outcome) -> DriftReport:
    """The report of a run of monitoring."""
    report: DriftReport = run_output(outcome.last["run"], "drift_report")
    return report


def explained(outcome: Outcome) -> str | None:
    """The page that the dashboard shows of a run of monitoring."""
    run = Client().get_pipeline_run(outcome.last["run"])
    (page,) = run.steps["explain"].outputs["drift_page"]
    if page.load() is None:
        return None
    assert page.visualizations is not None
    (shown,) = page.visualizations
    return Path(shown.uri).read_text(encoding="utf-8")


def tracked_figures(outcome: Outcome) -> dict[str, float]:
    """What the experiment tracker has of a run of monitoring."""
    from materializers.evidence import registry_client

    client = registry_client()
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, f"attributes.run_name = '{outcome.last['run']}'")
    figures: dict[str, float] = runs[0].data.metrics
    return figures
