"""One example of each part of an evaluation, every number another one; names from outside are given."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import count

from materializers.evaluation.abstention import Abstention, CoveragePoint
from materializers.evaluation.behaviour import EASY, Behaviour, Invariance
from materializers.evaluation.calibration_quality import CalibrationQuality, ReliabilityBin
from materializers.evaluation.comparison import Against, Comparison, PairedRows
from materializers.evaluation.cost import Cost, Noise, Probe
from materializers.evaluation.discrimination import Discrimination
from materializers.evaluation.explanations import (
    Deletion,
    Explained,
    Explanations,
    FeatureImportance,
    Features,
    WeightRandomization,
)
from materializers.evaluation.fairness import Fairness, FairnessColumn
from materializers.evaluation.metric import Metric, Section
from materializers.evaluation.robustness import AtSeverity, Attacked, Corrupted, Robustness
from materializers.evaluation.security import (
    Advisory,
    BillOfMaterials,
    JudgedAdvisory,
    Security,
    UnexpectedFile,
)
from materializers.evaluation.slices import SlicedColumn, Slices
from materializers.evaluation.unknown_pictures import Detection, UnknownPictures
from materializers.evaluation.watermark import Watermark
from materializers.evaluation.worst_mistakes import Mistake, WorstMistakes

IMAGE = "5f" * 32


class Numbers:
    """Metrics, each with a value that no other has."""

    def __init__(self) -> None:
        self._counter = count(101)

    def metric(self, n: int = 450) -> Metric:
        """The next one, from 0.101 on."""
        value = next(self._counter) / 1000
        return Metric(value=value, low=value - 0.05, high=value + 0.05, n=n)

    def milliseconds(self) -> Metric:
        """The next one that is no share; its upper bound is unknown, as that of few requests."""
        value = next(self._counter) / 2
        return Metric(value=value, low=value - 1, n=120)


def comparison(numbers: Numbers, against: Against, name: str) -> Comparison:
    """Beside version 7: better on all rows, harmed in one class."""

    def rows(n: int, adjusted: float | None = None) -> PairedRows:
        return PairedRows(
            n=n,
            only_reference=3,
            only_challenger=9,
            reference=0.9,
            challenger=0.92,
            difference=numbers.metric(n).model_copy(update={"low": -0.031}),
            p=0.01,
            adjusted=adjusted,
        )

    return Comparison(
        against=against,
        version="7",
        model="ab" * 32,
        overall=rows(438),
        golden=rows(90, 0.411),
        new_rows=rows(61, 0.412),
        classes={name: rows(88, 0.013), "bags": rows(41)},
        compared_classes=(name, "bags"),
        new_classes=(f"new {name}",),
        dropped_classes=(f"old {name}",),
        left_out=12,
        decisions_on_this_test_set=4,
        margin=0.02,
        class_margin=0.05,
        subset_margin=0.0,
        min_n=50,
        alpha=0.025,
        harm_alpha=0.025,
        power=0.437,
    )


def discrimination(numbers: Numbers, name: str) -> Discrimination:
    """Of five classes, the areas of two."""
    averages = ("precision_macro", "recall_macro", "precision_weighted", "recall_weighted", "f1_weighted")
    return Discrimination(
        top_k=3,
        top_k_accuracy=numbers.metric(),
        roc_auc={name: numbers.metric(), "bags": numbers.metric()},
        **{each: numbers.metric() for each in averages},
    )


def uncertainty(numbers: Numbers, name: str) -> dict[str, Section]:
    """Calibration, abstention, unknown pictures and the worst mistakes."""

    def detection() -> Detection:
        return Detection(
            auroc=numbers.metric(), embedding_auroc=numbers.metric(), answered=numbers.metric(300)
        )

    return {
        "calibration": CalibrationQuality(
            temperature=1.734,
            expected_calibration_error=numbers.metric(),
            error_if_calibrated=0.0234,
            brier_score=numbers.metric(),
            bins=(
                ReliabilityBin(low=0.9, high=1.0, count=400, confidence=0.97, accuracy=numbers.metric(400)),
            ),
        ),
        "abstention": Abstention(
            threshold=0.61,
            risk_limit=0.03,
            coverage=numbers.metric(),
            selective_risk=numbers.metric(),
            area_under_risk_coverage=numbers.metric(),
            curve=(CoveragePoint(threshold=0.7, coverage=0.8, risk=numbers.metric(360)),),
        ),
        "unknown": UnknownPictures(
            known=300, near=detection(), far=detection(), kinds={"jigsaw": detection(), "noise": detection()}
        ),
        "worst_mistakes": WorstMistakes(
            wrong=26,
            mistakes=(
                Mistake(image_id=IMAGE, true=name, answered="bags", probability=0.986, abstained=True),
            ),
        ),
    }


def groups(numbers: Numbers, name: str) -> dict[str, Section]:
    """Slices by two columns, one of them without groups; fairness of one."""
    two = {name: numbers.metric(230), "studio": numbers.metric(220)}
    return {
        "slices": Slices(
            min_n=50,
            columns={
                name: SlicedColumn(
                    groups=two, too_few={f"few {name}": 3}, worst=name, gap=numbers.metric(220)
                ),
                "season": SlicedColumn(not_assessed=f"no season of {name}"),
            },
            left_out={"brightness": f"every brightness of {name} is alike"},
        ),
        "fairness": Fairness(
            min_n=50,
            min_class_n=20,
            columns={
                name: FairnessColumn(
                    groups={name: numbers.metric(230), "studio": numbers.metric(220)},
                    too_few={f"few {name}": 3},
                    gap=numbers.metric(220),
                    demographic_parity=numbers.metric(220),
                    demographic_parity_class=name,
                    equalized_odds=numbers.metric(220),
                    equalized_odds_class=name,
                    equalized_odds_note=f"says nothing about {name}",
                ),
                "age": FairnessColumn(not_assessed=f"one {name} alone"),
            },
        ),
    }


def robustness(numbers: Numbers) -> Robustness:
    """One corruption, one attack."""
    severities = tuple(
        AtSeverity(severity=each, accuracy=numbers.metric(200), relative_accuracy=numbers.metric(200))
        for each in (1, 2)
    )
    attack = Attacked(
        attack="FGSM",
        epsilon_255=2,
        accuracy=numbers.metric(100),
        answers_changed=numbers.metric(100),
        pictures_changed=numbers.metric(100),
    )
    return Robustness(
        accuracy=numbers.metric(200),
        relative_accuracy=numbers.metric(200),
        corruptions=(
            Corrupted(corruption="blur", relative_accuracy=numbers.metric(200), severities=severities),
        ),
        attacked_accuracy=numbers.metric(100),
        attacks=(attack,),
    )


def explanations(numbers: Numbers, name: str) -> Explanations:
    """Both methods, both tests."""
    measured = ("integrated_gradients", "grad_cam", "random", "margin", "margin_grad_cam")
    first = FeatureImportance(dimension=17, importance=0.182, share=0.0221, label=name)
    return Explanations(
        pictures=32,
        right=30,
        steps=32,
        completeness_error=0.0037,
        deletion=Deletion(share=0.2, random_draws=5, **{each: numbers.metric(32) for each in measured}),
        randomization=WeightRandomization(order=numbers.metric(16), sizes=numbers.metric(16)),
        features=Features(dimensions=128, total=8.2, first=(first,)),
        shown=(Explained(image_id=IMAGE, true=name, answered=name, probability=0.9),),
    )


def behaviour(numbers: Numbers, name: str) -> Behaviour:
    """One transformation; an easy picture that is wrong, a class that is never answered."""
    return Behaviour(
        pictures=200,
        invariances=(
            Invariance(
                transformation="flip", kept=numbers.metric(200), probability_change=numbers.metric(200)
            ),
        ),
        covering=numbers.metric(200),
        covering_drop=numbers.metric(200),
        easy=numbers.metric(12),
        easy_wrong=(IMAGE,),
        easy_unknown=("6e" * 32,),
        predicted_classes=numbers.metric(5),
        never_predicted=(name,),
        answer_entropy=0.998,
        true_entropy=0.999,
        twice=numbers.metric(200),
        another_batch=numbers.metric(200),
        largest_difference=0.000002,
        tolerance=0.00001,
        missing={EASY: f"no list of {name}"},
    )


def cost(numbers: Numbers, name: str) -> Cost:
    """Of a replica on a quiet machine."""
    return Cost(
        requests=1200,
        offered_per_s=10.0,
        latency_p50_ms=numbers.milliseconds(),
        latency_p99_ms=numbers.milliseconds(),
        request_errors=numbers.metric(120),
        highest_per_s=250.0,
        sustained_per_s=numbers.milliseconds(),
        sustained_p99_ms=numbers.milliseconds(),
        p99_limit_ms=500.0,
        tried=(
            Probe(rate_per_s=211.5, n=400, p50_ms=31.9, p99_ms=88.5, held=True),
            Probe(
                rate_per_s=263.5, n=400, p50_ms=None, p99_ms=None, held=False, reason=f"too slow for {name}"
            ),
        ),
        maximum_replicas=10,
        throughput_per_s=numbers.milliseconds(),
        memory_mb=numbers.milliseconds(),
        start_up_s=numbers.milliseconds(),
        model_mb=numbers.metric(2),
        price_per_hour=0.1,
        replicas=2,
        cost_per_1000=numbers.metric(400),
        cost_per_1000_busy=0.00017,
        noise=Noise(
            cores=2,
            calibration_ms=0.99,
            spread=0.04,
            drift=-0.01,
            load_before=0.3,
            load_after=1.1,
            others_busy=0.02,
            late_p99_ms=0.4,
            client_ms=0.3,
        ),
    )


def security(name: str) -> Security:
    """A file too many, one advisory that is accepted and one that nobody looked at."""
    accepted = Advisory(
        id="PYSEC-2026-7", aliases=("CVE-2026-1",), package=name, version="13.0.0", lock="requirements.lock"
    )
    unlisted = accepted.model_copy(update={"id": "PYSEC-2026-9", "fixed_in": ("13.0.1",)})
    return Security(
        files=3,
        unexpected=(UnexpectedFile(file=f"{name}.pkl", reason=f"no file of {name}"),),
        bills=(
            BillOfMaterials(
                lock="requirements.lock", lock_digest="1e" * 32, packages=286, sbom_digest="2e" * 32
            ),
        ),
        audited_at=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
        packages=331,
        advisories=(
            JudgedAdvisory(
                advisory=accepted, standing="accepted", reason=f"not for {name}", expires=date(2027, 3, 1)
            ),
            JudgedAdvisory(advisory=unlisted, standing="unlisted"),
        ),
    )


def every_part(name: str = "tops") -> dict[str, Section]:
    """All parts by the names of their fields.

    Args:
        name: what a delivery, a registry or an index of advisories calls things.
    """
    numbers = Numbers()
    return {
        "champion": comparison(numbers, "champion", name),
        "anchor": comparison(numbers, "anchor", name),
        "discrimination": discrimination(numbers, name),
        **uncertainty(numbers, name),
        **groups(numbers, name),
        "robustness": robustness(numbers),
        "explanations": explanations(numbers, name),
        "behaviour": behaviour(numbers, name),
        "cost": cost(numbers, name),
        "security": security(name),
        "watermark": Watermark(
            fingerprint="c0ffee0123456789", matches=numbers.metric(20), chance=0.2, p_value=0.00003
        ),
    }
