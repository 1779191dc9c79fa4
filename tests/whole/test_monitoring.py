"""--monitor on the local stack: what was captured of the live model, beside what it was judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
import pytest
from zenml.client import Client
from zenml.enums import StackComponentType as Kind

from materializers.drift_reference import DriftReference
from serving.capture_layout import CAPTURES, FEEDBACK, folder_of, folder_of_hour, part_name, to_parquet
from steps.inference.champion import live_release
from tests.stacks.apprise_alerter.webhook import Webhook, webhook_server
from tests.whole.captured import store_folder
from tests.whole.shop import Outcome, Shop

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
    return hook


@pytest.fixture(autouse=True)
def no_traffic(watched: Shop) -> Iterator[None]:
    """Every test begins with no captured traffic of this model."""
    yield
    for kind in (CAPTURES, FEEDBACK):
        for path in (store_folder() / folder_of(kind, "staging", watched.model)).rglob("*.parquet"):
            path.unlink()


def reference_of(shop: Shop) -> DriftReference:
    """The live model's."""
    arm = live_release(shop.model, "staging").candidate
    assert arm is not None
    return DriftReference.from_bytes((Path(arm.model_uri).parent / "drift_reference.arrow").read_bytes())


def rows_like(reference: DriftReference, shop: Shop, n: int, **changed: Any) -> list[dict[str, Any]]:
    """Captured answers like the reference's own."""
    draw = np.random.default_rng(0)
    at, (version,) = datetime.now(UTC) - AGO, shop.versions()
    embedded = reference.rows["embedded"].to_numpy().nonzero()[0]
    rows = []
    for number in draw.choice(len(embedded), n):
        scores = reference.scores[embedded[number]]
        rows.append(
            {
                **{"request_id": uuid4().hex, "position": 0, "at": at, "latency_ms": 5.0, "status": 200},
                **{"model_name": shop.model, "model_version": str(version)},
                **{"model_digest": reference.model, "classes": list(reference.classes)},
                **{"input_digest": uuid4().hex, "scores": scores.tolist(), "abstained": False},
                **{"label": reference.classes[int(scores.argmax())], "probability": float(scores.max())},
                "embedding": reference.embeddings[number].tolist(),
                "truth": str(reference.rows["label"].iloc[embedded[number]]),
                **changed,
            }
        )
    return rows


def store(shop: Shop, kind: Literal["captures", "feedback"], rows: list[dict[str, Any]]) -> Path:
    """Lay rows into the artifact store as the shipper does."""
    content = to_parquet(kind, rows)
    folder = store_folder() / folder_of(kind, "staging", shop.model) / folder_of_hour(rows[0]["at"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / part_name(hashlib.sha256(content).hexdigest(), pictures=False)
    path.write_bytes(content)
    return path


def captured(shop: Shop, rows: list[dict[str, Any]], *, labels: bool = True) -> None:
    """What was answered, and what was right."""
    store(shop, CAPTURES, [strip(row) for row in rows])
    if labels:
        said = [
            {"request_id": row["request_id"], "at": row["at"] + AGO / 2, "label": row["truth"]}
            for row in rows
        ]
        store(shop, FEEDBACK, said)


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


def test_drift_is_told_once_a_run_by_name(watched: Shop, webhook: Webhook) -> None:
    """Embeddings that lie elsewhere are drift; the message names the alert, model, version and signal."""
    rows = rows_like(reference_of(watched), watched, 80)
    for row in rows:
        row["embedding"] = [value + 1 for value in row["embedding"]]
    captured(watched, rows)
    outcome = monitor(watched)
    assert (outcome.exit_code, outcome.last["monitoring"]["drift"]) == (0, "drift")
    (message,) = webhook.messages
    assert "data_drift_detected" in message
    assert "watched version 1 in staging" in message
    assert "embeddings" in message
    page = explained(outcome)
    assert page is not None
    assert all(each in page for each in ("watched version 1 in staging", "embeddings", "drawDashboard"))


def test_wrong_answers_are_a_drop(watched: Shop, webhook: Webhook) -> None:
    """Labels that say otherwise than the answers did raise the alert on accuracy."""
    rows = rows_like(reference_of(watched), watched, 80)
    for row in rows:
        row["truth"] = next(name for name in reference_of(watched).classes if name != row["label"])
    captured(watched, rows)
    assert monitor(watched).last["monitoring"]["performance"] == "drop"
    assert "model_accuracy_drop" in webhook.messages[0]


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
    """A file cut short, an unknown version, labels of nobody's request and two labels of one picture."""
    rows = rows_like(reference_of(watched), watched, 80)
    captured(watched, rows)
    whole = store(watched, CAPTURES, [strip(row) for row in rows_like(reference_of(watched), watched, 5)])
    whole.write_bytes(whole.read_bytes()[:100])
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
        "1 labels are of requests that were not captured",
        "1 pictures were given two labels",
    ):
        assert sentence in outcome.said


def test_nothing_live_is_a_usage_error(open_shop: Callable[[str], Shop]) -> None:
    """There is no reference to compare with; the command that mends it is named."""
    outcome = open_shop("never-live").run(monitor=True)
    assert outcome.exit_code == 2
    assert "--deploy" in outcome.said


def strip(row: dict[str, Any]) -> dict[str, Any]:
    """A captured row without what only the tests know of it."""
    return {key: value for key, value in row.items() if key != "truth"}


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
