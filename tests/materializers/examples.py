"""One example of each stored type, with numbers as a run has them."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from PIL import Image

from materializers.approval import Approval, Change
from materializers.classifier import CURVES, WEIGHTS, Classifier, EpochMetrics, TrainingRecord
from materializers.data_report import Check, DataReport, Screening, SetAside
from materializers.evaluation_report import ClassMetrics, EvaluationReport, Latency, Metric
from materializers.image_dataset import ImageDataset, Picture
from materializers.predictions import Predictions
from materializers.release import Arm, Release
from materializers.splits import Splits
from materializers.trigger_decision import Evidence, Signal, Signals, TriggerDecision
from materializers.verdict import Direction, EvidenceDigests, Requirement, RuleResult, Verdict, judge

CLASSES = ("bags", "dresses", "footwear", "tops", "trousers")
MODEL = "product-classifier"
MODEL_DIGEST = "a1" * 32
EVIDENCE = EvidenceDigests(
    model=MODEL_DIGEST, report="b2" * 32, policy="c3" * 32, data="d4" * 32, code="e5" * 32
)
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def png(number: int, side: int = 8) -> bytes:
    """A small picture; another number is another picture."""
    buffer = io.BytesIO()
    colour = (number % 256, number // 256 % 256, number // 65_536 % 256)
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


def picture(number: int, label: str = "tops", **known: Any) -> Picture:
    """One labelled picture on its way into a dataset."""
    about: dict[str, Any] = {
        "width": 8,
        "height": 8,
        "orientation": 1,
        "source": f"shop/{number}.png",
    } | known
    return Picture(data=png(number), label=label, **about)


def dataset(*numbers: int, label: str = "tops") -> ImageDataset:
    """A dataset of these pictures."""
    return ImageDataset.from_pictures(picture(number, label) for number in numbers)


def rule(
    measured: float | None,
    limit: float = 0.8,
    direction: Direction = ">=",
    requirement: Requirement = "required",
    **known: Any,
) -> RuleResult:
    """One rule with the outcome that its numbers give."""
    about: dict[str, Any] = {"rule": "accuracy", "outcome": judge(measured, limit, direction)} | known
    return RuleResult(measured=measured, limit=limit, direction=direction, requirement=requirement, **about)


def verdict(*rules: RuleResult, **known: Any) -> Verdict:
    """A verdict over these rules; over a passing one when none is given."""
    about: dict[str, Any] = {"model_name": MODEL, "outcome": "passed", "evidence": EVIDENCE} | known
    return Verdict(compared="point", rules=rules or (rule(0.934, 0.85),), **about)


def full_verdict(outcome: Literal["passed", "refused"] = "passed") -> Verdict:
    """A verdict with every kind of rule; a refused one has a class that is too weak."""
    recall = {name: 0.9 + position / 100 for position, name in enumerate(CLASSES)}
    if outcome == "refused":
        recall["tops"] = 0.7444
    rules = (
        rule(1.0, 1.0, rule="data_validation", n=3000),
        rule(0.934, 0.85, interval=(0.9088, 0.9555), n=450),
        *(rule(recall[name], rule="recall", subject=name, interval=(0.7, 0.99), n=90) for name in CLASSES),
        rule(12.41, 500, "<=", rule="latency_p99_ms", n=450),
        rule(None, 0.85, requirement="advisory", rule="roc_auc_macro", reason="a class has no test picture"),
    )
    return verdict(*rules, outcome=outcome)


def approval(**known: Any) -> Approval:
    """A person's approval of version 3 on the evidence of :func:`verdict`."""
    about: dict[str, Any] = {
        "decision": "approved",
        "model_name": MODEL,
        "version": 3,
        "model_digest": EVIDENCE.model,
        "report_digest": EVIDENCE.report,
        "policy_digest": EVIDENCE.policy,
        "actor": "default",
        "by": "Anna Weber",
        "reason": "looked at the mistakes: all are two kinds of dress",
        "at": NOON,
    }
    return Approval(**(about | known))


def change_approval() -> Approval:
    """A person's approval of a change, before any version has it."""
    change = Change(architecture="resnet50", source_name="product-images", policy="f6" * 32)
    nothing = dict.fromkeys(("version", "model_digest", "report_digest", "policy_digest"))
    return approval(change=change, **nothing)


def set_aside(count: int) -> tuple[SetAside, ...]:
    """Pictures that nobody trains on."""
    return tuple(
        SetAside(
            path=f"pictures/{number}.png", label="tops", reason="unreadable", detail="it is no picture: text"
        )
        for number in range(count)
    )


def data_report(outcome: Literal["passed", "refused"] = "passed", left: int = 3) -> DataReport:
    """The checks of a delivery of 3,000 rows."""
    share = left / 3000
    checks = (
        Check(name="rows", outcome="passed", measured=3000 - left, limit=100, reason="Enough can be used."),
        Check(
            name="set_aside",
            outcome=outcome,
            measured=share,
            limit=0.05,
            reason=f"{left} pictures are set aside: {share:.1%} of the delivery; at most 5.0% may be.",
        ),
        Check(name="captured_at", outcome="warned", measured=2, limit=0, reason="2 values are no time."),
    )
    return DataReport(
        outcome=outcome,
        source_name="product-images",
        data=EVIDENCE.data,
        rows=3000,
        accepted=3000 - left,
        per_class=dict.fromkeys(CLASSES, 600),
        checks=checks,
        set_aside=set_aside(left),
        duplicates=1,
    ).with_pictures({f"{number:02d} {name}": png(number, 96) for number, name in enumerate(CLASSES)})


def screening() -> Screening:
    """What reading a delivery found."""
    return Screening(
        source_name="product-images",
        rows=3000,
        duplicate_rows=1,
        conflicts=("pictures/17.png",),
        missing_values={"label": 1, "group": 2990},
        set_aside=set_aside(4),
    )


def evaluation_report() -> EvaluationReport:
    """The numbers of a model on 450 test pictures."""
    metric = Metric(value=0.934, low=0.9088, high=0.9555, n=450)
    each = ClassMetrics(precision=metric, recall=metric, f1_score=metric)
    undefined = Metric(value=None, low=None, high=None, n=0)
    return EvaluationReport(
        model=EVIDENCE.model,
        data=EVIDENCE.data,
        splits="ab" * 32,
        n=450,
        accuracy=metric,
        f1_macro=Metric(value=0.9338, low=0.908, high=0.955, n=450),
        roc_auc_macro=Metric(value=0.9931, low=0.989, high=0.996, n=450),
        per_class={name: each for name in CLASSES}
        | {"bags": each.model_copy(update={"precision": undefined})},
        classes=CLASSES,
        confusion=tuple(tuple(86 if row == column else 1 for column in range(5)) for row in range(5)),
        latency=Latency(p50_ms=3.127, p99_ms=12.41, n=450),
        model_bytes=1_234_567,
        set_aside=1,
    ).with_pictures({"confusion matrix": png(1, 200), "roc curves": png(2, 200)})


def arm(version: int = 3, **known: Any) -> Arm:
    """One version in a release."""
    about: dict[str, Any] = {"verdict": full_verdict(), "approval": approval()} | known
    return Arm(version=version, model_digest=MODEL_DIGEST, model_uri="s3://store/model/serving", **about)


def release(**known: Any) -> Release:
    """A release of version 3, live in production in place of version 2."""
    about: dict[str, Any] = {
        "model_name": MODEL,
        "environment": "production",
        "candidate": arm(),
        "champion": arm(2),
        "status": "live",
        "url": "http://127.0.0.1:8080/seldon/shutterline/product-classifier/api/v1.0/predictions",
        "since": NOON,
        "recorded": True,
    }
    return Release(**(about | known))


def signals() -> Signals:
    """Two signals, one of which fired."""
    return Signals(signals=trigger_decision().signals, last=LAST_VERSION)


LAST_VERSION = Evidence(
    version=2, data="ef" * 32, verdict="passed", origin="train", age_hours=31.26, released=True
)


def trigger_decision() -> TriggerDecision:
    """A decision to retrain."""
    new_data = "600 pictures are new since the last version, the limit is 500"
    age = "the last version is 1.3 days old, the limit is 30"
    return TriggerDecision(
        retrain=True,
        signals=(
            Signal(name="new_data", value=600, limit=500, fired=True, reason=new_data),
            Signal(name="model_age", value=1.3025, limit=30, fired=False, reason=age),
            Signal(name="manual", value=0, limit=None, fired=False, reason="nobody asked for it"),
        ),
        reasons=(new_data,),
        data=EVIDENCE.data,
    )


def splits(parent: str | None = "9f" * 32) -> Splits:
    """Twenty pictures in three splits."""
    frame = pd.DataFrame(
        {
            "image_id": [f"{number:064x}" for number in range(20)],
            "split": ["train"] * 14 + ["validation"] * 3 + ["test"] * 3,
            "label": ["tops", "bags"] * 10,
        }
    )
    return Splits(members=frame, parent=parent)


def classifier(folder: Path) -> Classifier:
    """A model on disk whose files are not a network's: storing does not look inside."""
    (folder / "serving").mkdir(parents=True)
    (folder / "serving" / "model.onnx").write_bytes(b"network")
    (folder / "serving" / "metadata.json").write_text('{"format_version": 1}')
    (folder / WEIGHTS).write_bytes(b"weights")
    (folder / CURVES).write_bytes(png(5))
    epochs = tuple(
        EpochMetrics(
            epoch=number,
            learning_rate=0.001,
            loss=0.5 / number,
            accuracy=0.9,
            val_loss=0.4,
            val_accuracy=0.9 + number / 100,
            precision=0.9,
            recall=0.9,
            f1_score=0.9,
        )
        for number in (1, 2)
    )
    record = TrainingRecord(
        architecture="small_cnn",
        classes=CLASSES,
        threads=2,
        seed=7,
        data=EVIDENCE.data,
        splits="ab" * 32,
        configuration="cd" * 32,
        code=EVIDENCE.code,
        model_digest=MODEL_DIGEST,
        best_epoch=2,
        epochs=epochs,
    )
    return Classifier(directory=folder, record=record)


def predictions() -> Predictions:
    """One picture that was classified, one that could not be read."""
    rows = [
        {"path": "a.png", "model_version": 3, "label": "tops", "probability": 0.9, "abstained": False},
        {"path": "b.png", "model_version": 3, "error": "truncated: the picture ends early"},
    ]
    columns = ["path", "model_version", "label", "probability", "abstained", "error"]
    return Predictions(rows=pd.DataFrame(rows, columns=columns))
