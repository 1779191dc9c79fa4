"""What a run came to, read from its artifacts and from ZenML's exception information."""

from __future__ import annotations

import importlib
import re
import tempfile
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field
from zenml.config.global_config import GlobalConfiguration

from materializers.data_report import DataReport
from materializers.drift_report import DriftReport
from materializers.errors import ShutterlineError
from materializers.evaluation_report import EvaluationReport
from materializers.predictions import PredictionCounts
from materializers.reaction import Reaction
from materializers.redaction import one_line
from materializers.release import Release
from materializers.report import Record
from materializers.reproduction import Reproduction
from materializers.split_report import SplitReport
from materializers.trigger_decision import TriggerDecision
from materializers.verdict import Verdict
from pipelines.session import dashboard

if TYPE_CHECKING:
    from zenml.models import PipelineRunResponse

DONE, FAILED, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 3, 4, 130

NOTHING_REQUIRED = "no rule of the policy is required: require one in policy.rules"

SAYS = {"data_report": "outcome", "split_report": "outcome", "verdict": "outcome", "release": "status"}
"""The metadata by which a report says what a run came to."""

FULL_DISK = re.compile(r"\[Errno (?:28|122)\]|disk is full")
"""What Python and SQLite say of a disk, or a user's share of it, that takes no more."""
OUTSIDE_SERVICES = ("mlflow.exceptions.", "sqlalchemy.exc.", "botocore.exceptions.", "requests.exceptions.")
"""Exceptions of the libraries that speak to the stack's services."""


class PipelineResult(Record):
    """One pipeline's entry in ``results``."""

    pipeline: str
    run: str | None
    status: Literal["completed", "refused", "failed", "skipped", "compiled", "differs"]
    version: int | None = None
    verdict: Literal["passed", "refused", "not_assessed"] | None = None
    reasons: tuple[str, ...] = ()
    metrics: dict[str, Any] | None = None
    release: dict[str, Any] | None = None
    decision: dict[str, Any] | None = None
    monitoring: dict[str, Any] | None = None
    """What a window of traffic came to: drift, performance, and the figures that the tracker has."""
    exit_code: int = Field(exclude=True, default=DONE)
    full_verdict: Verdict | None = Field(exclude=True, default=None)
    data: str | None = Field(exclude=True, default=None)
    """The version of the dataset that the run accepted; None where it accepted none, or asked for none."""
    approved: bool = Field(exclude=True, default=False)
    """Whether a person approved the version that is released for production."""

    @classmethod
    def of_exception(cls, pipeline: str, error: BaseException, *, run: str | None = None) -> Self:
        """The result of a pipeline that could not be started, or whose run left no trace of its fault."""
        source = f"{type(error).__module__}.{type(error).__qualname__}"
        return cls.of_fault(pipeline, reason_of(str(error)) or source, exit_code_of(source), run=run)

    @classmethod
    def of_fault(cls, pipeline: str, reason: str, exit_code: int, *, run: str | None = None) -> Self:
        """The result of a pipeline that was refused or failed before it came to anything else."""
        return cls(
            pipeline=pipeline,
            run=run,
            status="refused" if exit_code == REFUSED else "failed",
            reasons=(reason,),
            exit_code=exit_code,
        )


def reason_of(message: str) -> str:
    """What an exception says, in one line; where a library only says that a disk is full, with what to do."""
    line = one_line(message)
    if not FULL_DISK.search(line):
        return line
    places = f"{GlobalConfiguration().config_directory} {tempfile.gettempdir()}"
    return (
        f"{line}: something that is kept on the way has no room; what was stored before is as it was. Make "
        f"room, see df -h {places}, and run the same command again: it goes on from there."
    )


def exit_code_of(source: str) -> int:
    """The exit code of an exception, by the import path of its class as ZenML records it."""
    if source.startswith(OUTSIDE_SERVICES):
        return UNREACHABLE
    if source.startswith("builtins.KeyboardInterrupt"):
        return INTERRUPTED
    module_name, _, class_name = source.rpartition(".")
    if module_name != ShutterlineError.__module__:
        return FAILED
    raised: type[ShutterlineError] = getattr(importlib.import_module(module_name), class_name)
    return raised.exit_code


def read_result(pipeline: str, run: PipelineRunResponse) -> PipelineResult:
    """Derive a result from a finished run: alike for a run that was carried here and one on a cluster."""
    for step_run in run.steps.values():
        if step_run.exception_info is not None and step_run.exception_info.source is not None:
            info = step_run.exception_info
            message = reason_of(info.message or info.source or "")
            reason, exit_code = f"{step_run.name}: {message}", exit_code_of(info.source or "")
            return PipelineResult.of_fault(pipeline, reason, exit_code, run=run.name)
    if not run.status.is_successful:
        reason = f"The run ended as {run.status}. Look at it in the dashboard: {dashboard()}"
        return PipelineResult.of_fault(pipeline, reason, FAILED, run=run.name)
    outputs = _outputs(run)
    reproduction: Reproduction | None = outputs.get("reproduction")
    if reproduction is not None:
        return _of_reproduction(pipeline, run.name, reproduction)
    counts = _predicted(run)
    if counts is not None:
        return PipelineResult(
            pipeline=pipeline,
            run=run.name,
            status="completed",
            reasons=(counts.sentence,),
            metrics=counts.model_dump(),
        )
    return _summarise(pipeline, run.name, outputs)


def was_refused(run: PipelineRunResponse) -> bool:
    """Whether a run that ended well came to a refusal, by what its reports say of themselves in ZenML."""
    if not run.status.is_successful:
        return False
    outcomes = {
        str(artifacts[0].run_metadata.get(SAYS[name]))
        for step_run in run.steps.values()
        for name, artifacts in step_run.outputs.items()
        if name in SAYS
    }
    return not outcomes.isdisjoint(("refused", "rolled_back", "not_assessed"))


def _outputs(run: PipelineRunResponse) -> dict[str, Any]:
    """The outputs that a result is derived from, by name."""
    wanted = (
        *("data_report", "split_report", "evaluation", "verdict", "version", "release", "decision"),
        *("reproduction", "drift_report", "reaction"),
    )
    return {
        name: artifacts[0].load()
        for step_run in run.steps.values()
        for name, artifacts in step_run.outputs.items()
        if name in wanted
    }


def _predicted(run: PipelineRunResponse) -> PredictionCounts | None:
    """What the pictures of a run came to, by the metadata of its predictions; None where it made none."""
    for step_run in run.steps.values():
        for artifact in step_run.outputs.get("predictions", ()):
            said = artifact.run_metadata
            return PredictionCounts.model_validate(
                {name: said[name] for name in PredictionCounts.model_fields}
            )
    return None


def _summarise(pipeline: str, run: str, outputs: dict[str, Any]) -> PipelineResult:
    data: DataReport | None = outputs.get("data_report")
    splits: SplitReport | None = outputs.get("split_report")
    evaluation: EvaluationReport | None = outputs.get("evaluation")
    verdict: Verdict | None = outputs.get("verdict")
    release: Release | None = outputs.get("release")
    decision: TriggerDecision | None = outputs.get("decision")
    watched: DriftReport | None = outputs.get("drift_report")
    reaction: Reaction | None = outputs.get("reaction")

    refused_data = data is not None and data.outcome == "refused"
    refused_splits = splits is not None and splits.outcome == "refused"
    refused_model = verdict is not None and verdict.outcome != "passed"
    refused_release = release is not None and release.status in ("refused", "rolled_back")
    reasons: list[str] = []
    if data is not None and refused_data:
        # Where nothing was there to take, that is why; what checks say of no pictures follows from it.
        reasons += [*data.watched.said(), *data.reasons()]
    if splits is not None and refused_splits:
        reasons += splits.reasons()
    if verdict is not None and refused_model:
        reasons += verdict.reasons() or [NOTHING_REQUIRED]
    if release is not None and not (refused_release and refused_model):  # it says the verdict's reasons again
        reasons += release.reasons
        if release.status == "live" and release.why and not release.restored:
            reasons.append(f"{release.why[0].upper()}{release.why[1:]}.")
    refused = refused_data or refused_splits or refused_model or refused_release
    skipped = decision is not None and not decision.retrain and release is None and not refused
    if decision is not None and not refused:
        reasons += decision.reasons
    if data is not None and not refused_data:
        reasons += data.watched.said()
    reasons += _said_of_traffic(watched, reaction)
    version = outputs.get("version")
    if version is None and release is not None and release.candidate is not None:
        version = release.candidate.version
    return PipelineResult(
        pipeline=pipeline,
        run=run,
        status="refused" if refused else "skipped" if skipped else "completed",
        version=version,
        verdict=verdict.outcome if verdict else None,
        reasons=tuple(reasons),
        metrics=_metrics(evaluation),
        release=_release(release),
        decision=_json(decision),
        monitoring=_monitoring(watched, reaction),
        exit_code=REFUSED if refused else DONE,
        full_verdict=verdict,
        data=data.data if data is not None and not refused_data else None,
        approved=release is not None and release.candidate is not None and release.candidate.approved,
    )


def _said_of_traffic(watched: DriftReport | None, reaction: Reaction | None) -> list[str]:
    """What a window came to, and what followed."""
    if watched is None:
        return []
    about = watched.captured
    said = [f"{watched.found}: {about.sentence}", *watched.reasons, *about.notes]
    if not about.pictures:
        until = f"{about.until:%Y-%m-%d %H:%M} UTC"
        said.append(f"what was answered after {until} is for the next look: monitor.window.settling_minutes")
    return said if reaction is None or reaction.outcome == "nothing" else [*said, *reaction.reasons]


def _of_reproduction(pipeline: str, run: str, reproduction: Reproduction) -> PipelineResult:
    """Equal is done. A difference is an answer, not a fault: nothing is broken that trying again may mend."""
    equal = reproduction.outcome == "equal"
    return PipelineResult(
        pipeline=pipeline,
        run=run,
        status="completed" if equal else "differs",
        version=reproduction.version,
        reasons=reproduction.reasons,
        exit_code=DONE if equal else REFUSED,
    )


def _metrics(evaluation: EvaluationReport | None) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    per_class = {
        name: {"precision": m.precision.value, "recall": m.recall.value, "f1_score": m.f1_score.value}
        for name, m in evaluation.per_class.items()
    }
    return {
        "n": evaluation.n,
        "accuracy": evaluation.accuracy.value,
        "f1_macro": evaluation.f1_macro.value,
        "roc_auc_macro": evaluation.roc_auc_macro.value,
        **evaluation.latency_ms,
        "model_bytes": evaluation.model_bytes,
        "per_class": per_class,
    }


def _monitoring(watched: DriftReport | None, reaction: Reaction | None) -> dict[str, Any] | None:
    if watched is None:
        return None
    signals = [
        signal.model_dump(mode="json", include={"name", "outcome", "value", "threshold", "p", "n_window"})
        for signal in watched.signals
    ]
    return {
        "alarm": watched.alarm,
        "drift": watched.outcome,
        "performance": watched.performance.outcome,
        "num_predictions": watched.captured.pictures,
        "drift_share": watched.drift_share,
        "current_accuracy": watched.performance.accuracy.value,
        "compared_with": _json(watched.captured.reference),
        "business": _json(watched.business),
        "reaction": _json(reaction),
        "signals": signals,
    }


def _json(record: Record | None) -> dict[str, Any] | None:
    return None if record is None else record.model_dump(mode="json")


def _release(release: Release | None) -> dict[str, Any] | None:
    if release is None:
        return None
    return {
        "environment": release.environment,
        "status": release.status,
        "version": release.candidate.version if release.candidate else None,
        "url": release.url,
        "mode": release.mode,
        "share": release.share,
        "stage": release.stage,
        "rollout": release.rollout or None,
    }
