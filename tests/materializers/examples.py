"""One example of each stored type, with numbers as a run has them."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from materializers.approval import Approval, Change
from materializers.audit_entry import AuditEntry
from materializers.classifier import (
    CHARTS,
    WEIGHTS,
    Calibration,
    Classifier,
    EpochMetrics,
    TrainingRecord,
)
from materializers.data_diff import ChangedPicture, ClassDifference, DataDiff, Move
from materializers.data_report import (
    Check,
    Comparison,
    Corrections,
    DataReport,
    Quantiles,
    Relabelled,
    Screening,
    SetAside,
    Sizes,
    SuspiciousLabel,
)
from materializers.drift_reference import MEASURED, REFERENCE_FILE, DriftReference
from materializers.drift_report import (
    BusinessFigure,
    Captured,
    ComparedWith,
    DriftOutcome,
    DriftReport,
    DriftSignal,
    Fixed,
    Performance,
    ServiceFigures,
)
from materializers.end_to_end import EndToEnd, Exchange
from materializers.erasure import ErasedDataset, Erasure, TrainedModel
from materializers.evaluation.metric import Metric
from materializers.evaluation.security import Advisory, AdvisoryAudit
from materializers.evaluation_report import ClassMetrics, EvaluationReport, Latency
from materializers.image_dataset import ImageDataset, Picture
from materializers.load_test import LoadTest
from materializers.prediction_table import prediction_schema
from materializers.predictions import (
    PredictionCounts,
    PredictionProvenance,
    Predictions,
    PredictionsWriter,
)
from materializers.reaction import Reaction, ReactionOutcome
from materializers.rebased_reference import RebasedReference
from materializers.release import Arm, Release
from materializers.reproduction import Compared, Reproduction, TensorDifference, WeightsDifference
from materializers.split_report import MergedGroup, PictureApart, SplitReport
from materializers.splits import Splits
from materializers.trigger_decision import Evidence, Signal, Signals, TriggerDecision
from materializers.tuning_report import CrossValidation, Fold, Spread, Trial, TuningReport, Value
from materializers.verdict import Direction, EvidenceDigests, Requirement, RuleResult, Verdict, judge
from materializers.watched import IncompleteDelivery, Watched, WatchedDelivery
from tests.keys import ACTOR
from tests.materializers.evaluation.examples import every_part

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


SIGNATURES: dict[str, str] = {}


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
    return _signed(Approval(**(about | known)))


def _signed(unsigned: Approval) -> Approval:
    """Signed once: a second signature of the same would be another one."""
    digest = unsigned.signed_digest
    signature = SIGNATURES.setdefault(digest, ACTOR.sign("approval", digest))
    return unsigned.model_copy(update={"signature": signature})


def change_approval() -> Approval:
    """A person's approval of a change, before any version has it."""
    change = Change(architecture="resnet50", source_name="product-images", policy="f6" * 32)
    nothing = dict.fromkeys(("version", "model_digest", "report_digest", "policy_digest"))
    return approval(change=change, **nothing)


def audit_entry(**known: Any) -> AuditEntry:
    """The second entry of a log, not signed: a person's approval of version 3."""
    about: dict[str, Any] = {
        "number": 2,
        "previous": "9f" * 32,
        "act": "approve",
        "subject": {"model": MODEL, "version": "3", "approval": "7d" * 32},
        "actor": "default",
        "by": "Anna Weber",
        "reason": "looked at the mistakes: all are two kinds of dress",
        "at": NOON,
    }
    return AuditEntry(**(about | known))


def advisory_audit(**known: Any) -> AdvisoryAudit:
    """An audit of both lock files that found one advisory."""
    advisory = Advisory(
        id="PYSEC-2026-7",
        aliases=("CVE-2026-1",),
        package="pillow",
        version="13.0.0",
        lock="requirements.lock",
        fixed_in=("13.0.1",),
    )
    about: dict[str, Any] = {
        "at": NOON,
        "source": "pypi",
        "locks": {"requirements.lock": "1e" * 32, "serving/requirements.lock": "2e" * 32},
        "packages": 331,
        "found": (advisory,),
    }
    return AdvisoryAudit(**(about | known))


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
            reason=f"{left} pictures set aside: {share:.1%} of the delivery; at most 5.0% may be.",
        ),
        Check(
            name="captured_at",
            outcome="warned",
            severity="warn",
            measured=2,
            limit=0,
            reason="2 values are no time.",
        ),
        Check(
            name="faces",
            outcome="not_assessed",
            severity="warn",
            measured=None,
            limit=0,
            reason="No detector of faces is installed.",
        ),
    )
    width = Quantiles(least=256, lower=256, median=320, upper=341, most=455)
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
        quarantined=left,
        sizes=Sizes(width=width, height=width.model_copy(update={"most": 600.0})),
        near_duplicates=(("1a" * 32, "2b" * 32),),
        suspicious_labels=(
            SuspiciousLabel(image_id="3c" * 32, label="tops", likely="dresses", confidence=0.953),
        ),
        changes=Comparison(
            previous="9a" * 32,
            added={"bags": 31},
            withdrawn={"tops": 4},
            relabelled=(Relabelled(old="tops", new="dresses", pictures=17),),
            renamed={"shoes": "footwear"},
            retired=("hats",),
            per_class={"bags": 569, "hats": 3},
        ),
    ).with_pictures(
        {f"class {number:02d} {name}": png(number, 96) for number, name in enumerate(CLASSES, 1)}
        | {"near-duplicates 01": png(7, 96), "set aside": png(8, 96), "suspicious 01": png(9, 96)}
    )


def watched(refused: int, incomplete: int) -> Watched:
    """What is known of a bucket's prefix: one delivery was there before, one is taken now."""
    at = datetime(2026, 11, 29, 8, tzinfo=UTC)

    def delivery(name: str, outcome: Literal["taken", "refused"], *reasons: str) -> WatchedDelivery:
        address = f"s3://shop/incoming/{name}.zip"
        return WatchedDelivery(
            address=address,
            stamp="5e" * 32,
            files=1,
            size=7,
            complete_at=at,
            outcome=outcome,
            reasons=reasons,
        )

    bad = [delivery(f"refused-{number}", "refused", "It is no archive.") for number in range(refused)]
    taken = delivery("taken", "taken")
    return Watched(
        place="s3://shop/incoming",
        deliveries=(delivery("there", "taken"), taken, *bad),
        taken=(taken.address,),
        refused=tuple(each.address for each in bad),
        incomplete=tuple(
            IncompleteDelivery(address=f"s3://shop/incoming/late-{number}.zip", since=at, lacks="marker")
            for number in range(incomplete)
        ),
    )


def screening() -> Screening:
    """What reading a delivery found."""
    return Screening(
        source_name="product-images",
        rows=3000,
        duplicate_rows=1,
        conflicts=("pictures/17.png",),
        missing_values={"label": 1, "group": 2990},
        set_aside=set_aside(4),
        changes=Corrections(relabelled=5, withdrawn=2, unknown=("4d" * 32,)),
        checks=(Check(name="data_age", outcome="passed", measured=3, limit=365, reason="3 days old."),),
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
    ).with_pictures({"confusion_matrix": png(1, 200), "roc_curves": png(2, 200)})


PICTURES_OF_PARTS = {
    "champion": ("champion_comparison",),
    "anchor": ("anchor_comparison",),
    "calibration": ("reliability_test",),
    "abstention": ("risk_coverage_test",),
    "unknown": ("unknown_scores", "unknown_pictures"),
    "worst_mistakes": ("worst_mistakes",),
    "slices": ("slices",),
    "robustness": ("relative_accuracy", "corruptions"),
    "explanations": ("feature_importance", "model_explainability_reports"),
    "behaviour": ("broken_invariances",),
    "cost": ("cost",),
}


def full_evaluation_report(name: str = "tops") -> EvaluationReport:
    """The same model with every part and picture; ``name`` is what others call things."""
    short = evaluation_report()
    pictures = [each for names in PICTURES_OF_PARTS.values() for each in names]
    per_class = dict.fromkeys((name, "bags"), short.per_class["tops"])
    parts = {"latency": None, "classes": tuple(per_class), "per_class": per_class, **every_part(name)}
    return short.model_copy(update=parts).with_pictures(
        {each: png(number, 100) for number, each in enumerate(pictures, 20)}
    )


def load_test(**known: Any) -> LoadTest:
    """Version 3 in staging, which is too slow."""
    about: dict[str, Any] = {
        "model_name": MODEL,
        "version": 3,
        "model": MODEL_DIGEST,
        "environment": "staging",
        "url": "http://127.0.0.1:8080/seldon/shutterline/product-classifier/api/v1.0/predictions",
        "outcome": "refused",
        "rules": (
            rule(0.0, 0.0, "<=", rule="request_errors", n=120),
            rule(612.5, 500, "<=", rule="latency_p99_ms", interval=(590.0, 640.0), n=120),
        ),
        "cost": every_part()["cost"],
    }
    return LoadTest(**(about | known)).with_pictures({"cost": png(5, 100)})


def end_to_end(**known: Any) -> EndToEnd:
    """Version 3 in staging, which answers right and refuses what it should."""
    about: dict[str, Any] = {
        "model_name": MODEL,
        "version": 3,
        "model": MODEL_DIGEST,
        "environment": "staging",
        "url": "http://127.0.0.1:8080/seldon/staging/product-classifier/api/v1.0/predictions",
        "at": NOON,
        "exchanges": (
            exchange(
                sent="test pictures", expected="version 3's own answer", answered="20 of 20", requests=20
            ),
            exchange(),
        ),
        "load": "passed",
        "load_test": "5a" * 32,
    }
    return EndToEnd(**(about | known))


def exchange(**known: Any) -> Exchange:
    """A request that was no image, and was refused."""
    about: dict[str, Any] = {
        "sent": "no image",
        "expected": "HTTP 4xx with a reason",
        "answered": "HTTP 400: not_an_image",
        "outcome": "passed",
    }
    return Exchange(**(about | known))


def data_diff() -> DataDiff:
    """Two pictures added, one withdrawn, one relabelled."""
    tops = ClassDifference(
        name="tops", before=1600, after=1600, added=2, withdrawn=1, relabelled_from=1, relabelled_to=0
    )
    changes = (
        ChangedPicture(image_id="aa" * 32, change="added", before=None, after="tops"),
        ChangedPicture(image_id="bb" * 32, change="withdrawn", before="tops", after=None),
        ChangedPicture(image_id="cc" * 32, change="relabelled", before="tops", after="bags"),
    )
    return DataDiff(
        before="ab" * 32,
        after=EVIDENCE.data,
        rows_before=3000,
        rows_after=3001,
        added=2,
        withdrawn=1,
        relabelled=1,
        forgotten=1,
        classes=(tops,),
        moves=(Move(before="tops", after="bags", pictures=1),),
        columns={"price": 4},
        pictures_named=changes,
    ).with_pictures({"01 added tops": png(1, 56)})


def reproduction(**known: Any) -> Reproduction:
    """Version 3 trained again with other code, on a machine that nobody recorded; equal unless it is said."""
    differs = known.get("outcome") == "differs"
    model = MODEL_DIGEST if not differs else "f6" * 32
    worst = TensorDifference(name="head.1.weight", shape=(512, 64), absolute=3.1e-05, relative=0.00042)
    about: dict[str, Any] = {
        "model_name": MODEL,
        "version": 3,
        "run": "training-2026-11-21",
        "outcome": "equal",
        "inputs": (
            Compared(name="data", recorded=EVIDENCE.data, here=EVIDENCE.data),
            Compared(name="code", recorded=EVIDENCE.code, here="0c" * 32),
            Compared(name="platform", recorded=None, here="x86-64 with AVX-512"),
        ),
        "results": (Compared(name="model", recorded=MODEL_DIGEST, here=model),),
        "weights": WeightsDifference(
            tensors=30,
            differing=24 if differs else 0,
            absolute=worst.absolute if differs else 0.0,
            relative=worst.relative if differs else 0.0,
            worst=(worst,) if differs else (),
            unmatched=("head.2.bias",) if differs else (),
        ),
        "reasons": ("Version 3 was trained again.", "The code is another one."),
    }
    return Reproduction(**(about | known))


def erasure(**known: Any) -> Erasure:
    """One picture that a live model learnt from."""
    about: dict[str, Any] = {
        "outcome": "erased",
        "image_ids": ("aa" * 32,),
        "by": "Anna Weber",
        "actor": "default",
        "reason": "the customer asked",
        "at": NOON,
        "datasets": (ErasedDataset(uri="s3://store/dataset/1", version=EVIDENCE.data, pictures=1),),
        "shards_removed": 1,
        "quarantine_removed": 1,
        "pages": 3,
        "scanned_files": 1234,
        "scanned_bytes": 1_600_000_000,
        "found": (),
        "archives": 1,
        "models": (TrainedModel(model=MODEL, version=3, data=EVIDENCE.data, aliases=("champion",)),),
    }
    return Erasure(**(about | known))


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


def drift_report(outcome: DriftOutcome = "drift") -> DriftReport:
    """A window in which the pictures became brighter, and of which few were kept."""
    drifts = outcome == "drift"
    return DriftReport(
        captured=Captured(
            **{"model_name": MODEL, "environment": "production", "version": 3, "model_digest": MODEL_DIGEST},
            **{"since": NOON - timedelta(days=1), "until": NOON, "pictures": 9_812, "measured": 104},
            **{"refused": 12, "failed": 3, "latency_p99_ms": 41.5, "other_versions": {"2": 20}},
            **{"unknown_versions": {"99": 3}, "unreadable": ("captures/production/part-1.parquet",)},
            **{"repeated": 12, "unmatched_labels": 2, "conflicting_labels": 1},
            **{"dated_ahead": 4, "dated_before": 5},
            reference=ComparedWith(
                **{"rebased": True, "pictures": 900, "since": NOON - timedelta(days=9)},
                **{"reference_digest": "5e" * 32, "by": "Ada", "erased": 1},
            ),
            service=ServiceFigures(
                **{"url": "http://127.0.0.1:9090", "latency_limit_ms": 1_000.0, "error_limit": 0.05},
                **{"requests": 9_900.0, "error_rate": 0.002, "latency_p99_ms": 1_240.0},
            ),
        ),
        signals=(
            DriftSignal(
                **{"name": "brightness", "kind": "input", "outcome": outcome, "value": 0.31},
                **{"threshold": 0.2, "p": 0.001, "n_reference": 900, "n_window": 104},
                fixed=Fixed(measure="population stability index", value=0.4, threshold=0.1),
            ),
            DriftSignal(
                **{"name": "embeddings", "kind": "input", "outcome": "insufficient data", "value": None},
                **{"threshold": None, "p": None, "n_reference": 900, "n_window": 20},
                lacking="the window has 20 such pictures, 100 at least are needed",
            ),
        ),
        performance=Performance(
            **{"outcome": "drop", "floor": 0.8, "baseline": 0.93, "baseline_share": 0.95},
            **{"coverage": 0.04, "delay_s": 5400.0},
            accuracy=Metric(value=0.79, low=0.75, high=0.83, n=400),
            reasons=("accuracy 79 % (75 % to 83 %) is below 95 % of the baseline's 93 %",),
        ),
        business=BusinessFigure(
            **{"outcome": "drop", "figure": "value", "value_is": "gain", "baseline": 4.2, "decline": 0.1},
            **{"baseline_set": NOON - timedelta(days=30), "limit": 3.78},
            mean=Metric(value=3.1, low=2.9, high=3.3, n=512),
            reasons=("mean value 3.1 (2.9 to 3.3) is beyond 3.78",),
        ),
        **{"decided_by": "calibrated", "false_alarms": 0.025, "permutations": 1000, "outcome": outcome},
        reasons=("brightness: 0.31, above 0.2",)
        if drifts
        else ("no signal exceeds what chance makes of it",),
    )


def reaction(outcome: ReactionOutcome = "proposed") -> Reaction:
    """Two windows confirmed a drop."""
    return Reaction(
        outcome=outcome,
        policy="automatic" if outcome == "rolled_back" else "ask",
        model_name=MODEL,
        environment="production",
        version=3,
        model_digest=MODEL_DIGEST,
        to_version=2 if outcome in ("proposed", "rolled_back") else None,
        evidence=("a1" * 32, "b2" * 32),
        reasons=("The drop is confirmed.",),
    )


def rebased_reference(*image_ids: str) -> RebasedReference:
    """What version 3 answered on these pictures, accepted."""
    table = drift_reference(*image_ids)
    return RebasedReference(
        model_name=MODEL,
        environment="production",
        version=3,
        model_digest=MODEL_DIGEST,
        since=NOON - timedelta(days=7),
        until=NOON,
        answered=9_812,
        measured=104,
        by="Ada",
        reason="the new camera is here to stay",
        at=NOON,
        rows=table.row_digests(),
    ).with_reference(table)


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


def split_report(outcome: Literal["passed", "refused"] = "passed") -> SplitReport:
    """How 3,000 pictures were split, two of them apart."""
    refused = outcome == "refused"
    checks = (
        Check(name="group_leakage", outcome="passed", measured=0, limit=0, reason="0 groups leak."),
        Check(name="cluster_leakage", outcome="not_assessed", measured=None, limit=0, reason="Unknown."),
        Check(
            name="set_apart",
            outcome="refused" if refused else "passed",
            measured=0.4 if refused else 0.0007,
            limit=0.05,
            reason="1,200 pictures are set apart." if refused else "2 pictures are set apart.",
        ),
    )
    return SplitReport(
        outcome=outcome,
        by="groups",
        data=EVIDENCE.data,
        splits="9f" * 32,
        parent=None,
        rows=3000,
        checks=checks,
        counts={name: {"train": 420, "validation": 90, "test": 89, "set_apart": 1} for name in CLASSES},
        configured_shares={"train": 0.7, "validation": 0.15, "test": 0.15},
        shares={"train": 0.701, "validation": 0.15, "test": 0.149},
        new=300,
        set_apart=tuple(
            PictureApart(
                image_id=f"{number:064x}",
                label="bags",
                group="vase",
                was="train",
                reason="It was in train and belongs together with pictures in test.",
            )
            for number in range(2)
        ),
        set_apart_count=2,
        merged_groups=(MergedGroup(name="vase", kept="test", set_apart={"train": 2}),),
        golden=90,
        golden_away=1,
        golden_relabelled=3,
    )


def classifier(folder: Path) -> Classifier:
    """A model on disk whose files are not a network's: storing does not look inside."""
    (folder / "serving").mkdir(parents=True)
    (folder / "serving" / "model.onnx").write_bytes(b"network")
    (folder / "serving" / "metadata.json").write_text('{"format_version": 1}')
    (folder / WEIGHTS).write_bytes(b"weights")
    for number, name in enumerate(CHARTS, 5):
        (folder / name).write_bytes(png(number))
    reference = drift_reference(*(f"{number:064x}" for number in range(6)))
    (folder / REFERENCE_FILE).write_bytes(reference.to_bytes())
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
        calibration=calibration(),
        reference_rows=len(reference),
        settings={"architecture": "small_cnn", "learning_rate": 0.001},
        runtime="onnxruntime",
        lock="fe" * 32,
        platform="x86_64 AVX2, cpu, torch 2.14.0, onnxruntime 1.26.0",
    )
    return Classifier(directory=folder, record=record)


def calibration(**known: Any) -> Calibration:
    """What 450 validation pictures chose: a network that was too sure, and a risk of 3 %."""
    about: dict[str, Any] = {
        "temperature": 1.734,
        "threshold": 0.6125,
        "n": 450,
        "nll_before": 0.2817,
        "nll_after": 0.2204,
        "ece_before": 0.0411,
        "ece_after": 0.0127,
        "coverage": 0.9,
        "selective_risk": 0.0074,
        "risk_bound": 0.0291,
        "risk": 0.03,
        "confidence": 0.95,
    }
    return Calibration(**(about | known))


def drift_reference(*image_ids: str, embedded: int = 4) -> DriftReference:
    """Answers on these pictures, alternately validation and test, the first of them with embeddings."""
    n = len(image_ids)
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "image_id": sorted(image_ids),
            "split": [("validation", "test")[number % 2] for number in range(n)],
            "label": [CLASSES[number % len(CLASSES)] for number in range(n)],
            "embedded": np.arange(n) < embedded,
            **{name: generator.uniform(1, 200, n) for name in MEASURED},
        }
    )
    rows.loc[rows.index[-1], "brightness"] = np.nan
    scores = generator.dirichlet(np.ones(len(CLASSES)), n).astype(np.float32)
    embeddings = generator.normal(size=(min(n, embedded), 3)).astype(np.float32)
    return DriftReference(rows, scores, embeddings, CLASSES, MODEL_DIGEST)


def predictions() -> Predictions:
    """One picture that was classified, one that could not be read."""
    schema = prediction_schema(("bags", "tops"))
    rows = [
        {
            **{"path": "a.png", "input_digest": "a" * 64, "model_version": 3, "label": "tops"},
            **{"probability": 0.9, "abstained": False, "probability_bags": 0.1, "probability_tops": 0.9},
        },
        {"path": "b.png", "model_version": 3, "error": "truncated: the picture ends early"},
    ]
    writer = PredictionsWriter(schema)
    writer.add(pa.Table.from_pylist(rows, schema=schema))
    return writer.finish(
        PredictionProvenance(
            model_name="shrunk",
            environment="staging",
            model_version=3,
            model_digest=MODEL_DIGEST,
            verdict="e" * 64,
            code="c" * 64,
            source="photos",
            began=datetime(2026, 1, 1, tzinfo=UTC),
            ended=datetime(2026, 1, 1, 1, tzinfo=UTC),
            counts=PredictionCounts.of(writer.tally),
            taken_over=0,
        )
    )


def tuning_report(**differences: Any) -> TuningReport:
    """Three trials and two folds."""
    trials = (
        Trial(number=1, state="complete", parameters=_tried(0.001, 16), val_accuracy=(0.5, 0.81), score=0.81),
        Trial(number=2, state="pruned", parameters=_tried(0.01, 32), val_accuracy=(0.42,), score=None),
        Trial(
            number=3,
            state="complete",
            parameters=_tried(0.0099, 64),
            val_accuracy=(),
            score=0.0,
            failure="Epoch 1: the training loss is nan",
        ),
    )
    folds = CrossValidation(
        folds=tuple(
            Fold(number=k, n=120, accuracy=0.8 + k / 100, f1_macro=0.78 + k / 100, epochs=20 + k)
            for k in (1, 2)
        ),
        accuracy=Spread(mean=0.815, deviation=0.0071),
        f1_macro=Spread(mean=0.795, deviation=0.0071),
        parameters=_tried(0.001, 16),
    )
    report = TuningReport(
        data="ab" * 32,
        splits="cd" * 32,
        configuration="ef" * 32,
        code="01" * 32,
        learnt_from="features",
        pruner="hyperband",
        search_space={"batch_size": "16, 32, 64", "learning_rate": "0.0001 to 0.01, by orders of magnitude"},
        trials=trials,
        best=trials[0].parameters,
        importances={"learning_rate": 0.83, "batch_size": 0.17},
        cross_validation=folds,
    )
    return report.model_copy(update=differences).with_pictures({"1 history": png(1), "2 importances": png(2)})


def _tried(learning_rate: float, batch_size: int) -> dict[str, Value]:
    return {"batch_size": batch_size, "learning_rate": learning_rate}
