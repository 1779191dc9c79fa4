"""The baseline is the first version in production, until a person sets another; promotions do not move it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

import pytest
from zenml import pipeline, step
from zenml.client import Client

from materializers.errors import Refused
from materializers.evaluation.metric import Metric
from materializers.evaluation_report import EvaluationReport
from materializers.evidence import RegisteredVersion
from pipelines.session import prepare
from steps.monitoring.baseline import baseline_of
from steps.registry.audit import record
from tests.materializers.examples import evaluation_report


@pytest.fixture
def shop(local_stack: Client) -> str:
    """A model of which the audit log says nothing yet."""
    prepare(stack=None)
    return f"shop-{uuid4().hex[:8]}"


def report(accuracy: float) -> EvaluationReport:
    """Of a model that had such a share of its test pictures right."""
    return evaluation_report().model_copy(update={"accuracy": Metric(value=accuracy, low=0, high=1, n=450)})


@step(enable_cache=False)
def measure(accuracy: float) -> Annotated[EvaluationReport, "evaluation"]:
    """What a model came to."""
    return report(accuracy)


@pipeline(enable_cache=False)
def measuring(accuracy: float) -> None:
    """The part of a training that the baseline looks at."""
    measure(accuracy)


def version(number: int, accuracy: float, run: str = "") -> RegisteredVersion:
    """What the registry says of a version."""
    tags = {"accuracy": f"{accuracy:.4f}", "zenml_run": run}
    return RegisteredVersion(
        model_name="shop", version=number, created=datetime.now(UTC), aliases=(), tags=tags
    )


def judged(shop: str, number: int, accuracy: float) -> RegisteredVersion:
    """A version that was measured by a run and judged by the gate."""
    run = measuring(accuracy)
    assert run is not None
    subject = {"model": shop, "version": str(number), "report_digest": report(accuracy).digest}
    record("gate", subject, by="a pipeline", reason="passed")
    return version(number, accuracy, str(run.id))


def release(shop: str, *versions: int, environment: str = "production") -> None:
    """The entries of their releases in the audit log."""
    for number in versions:
        subject = {"model": shop, "version": str(number), "environment": environment}
        subject["model_digest"] = evaluation_report().model
        record("release", subject, by="Ada", reason="looked at the report")


def set_to(shop: str, number: int, accuracy: float) -> None:
    """The entry that ``--set-baseline`` leaves."""
    subject = {"model": shop, "version": str(number), "accuracy": str(accuracy)}
    record("set-baseline", subject, by="Ada", reason="measured anew")


def test_without_a_version_in_production_there_is_none(shop: str) -> None:
    """Staging is none."""
    release(shop, 2, environment="staging")
    assert baseline_of(shop, [version(2, 0.92)]) is None


def test_neither_promotions_nor_tags_move_it(shop: str) -> None:
    """The first one stays, however many follow, at what the gate judged of it; since it went there."""
    first = judged(shop, 2, 0.92)
    others = [version(3, 0.95), version(1, 0.9)]
    release(shop, 2, 3)
    found = baseline_of(shop, [*others, first])
    assert found is not None
    release(shop, 1)
    tampered = first.model_copy(update={"tags": {**first.tags, "accuracy": "0.5000"}})
    assert baseline_of(shop, [*others, tampered]) == found
    assert (found.version, found.accuracy) == (2, 0.92)


def test_a_report_that_the_gate_did_not_judge_is_no_baseline(shop: str) -> None:
    """That of another run, of another model, or of a run that is gone: the act that sets another is named."""
    first, worse = judged(shop, 2, 0.92), judged(shop, 3, 0.5)
    release(shop, 2)
    gone = str(uuid4())
    for run, said in (worse.run_id, "is none that the gate judged"), (gone, "cannot be read any more"):
        moved = first.model_copy(update={"tags": {**first.tags, "zenml_run": run}})
        with pytest.raises(Refused, match=f"version 2, the first in production.*{said}.*--set-baseline N"):
            baseline_of(shop, [moved])


def test_the_newest_act_counts_and_of_no_other_model(shop: str) -> None:
    """Also before anything was in production."""
    versions = [version(3, 0.95), version(2, 0.92), version(1, 0.9)]
    set_to(f"{shop}-other", 1, 0.1)
    assert baseline_of(shop, versions) is None
    set_to(shop, 1, 0.9)
    release(shop, 2)
    set_to(shop, 3, 0.9512)
    found = baseline_of(shop, versions)
    assert found is not None
    assert (found.version, found.accuracy) == (3, 0.9512)
