"""Say whether a version that was trained again came to the same model, and what differs.

The bytes decide: of the model that is served, and of the weights it was exported from. What went into both
trainings is set side by side to explain them, not to excuse them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from zenml import step

from materializers.classifier import WEIGHTS, Classifier, TrainingRecord
from materializers.evidence import RegisteredVersion
from materializers.report import json_digest
from materializers.reproduction import Compared, Reproduction, TensorDifference, WeightsDifference
from serving.model_directory import ModelDirectoryError, model_digest
from steps.data.stored import active_store
from steps.training.fitting.training_key import REPRODUCTION, purpose_here, remove_checkpoints

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

WORST = 20
"""Tensors that a report names; its counts are of all."""
DIGEST = re.compile("[0-9a-f]{64}")
SHOWN_DIGITS = 12


class Input(NamedTuple):
    """Something that goes into a training.

    Attributes:
        name: as a page and a sentence name it.
        field: of :class:`TrainingRecord`.
        differs: the sentence where it differs; ``{recorded}`` and ``{here}`` are filled in.
        tag: of the registry's entry, whose word counts where it has one: it was written with the version.
    """

    name: str
    field: str
    differs: str
    tag: str | None = None


INPUTS = (
    Input(
        "data",
        "data",
        "The dataset is another one: version {recorded} was recorded, the store holds {here}.",
        tag="data_version",
    ),
    Input(
        "splits",
        "splits",
        "The splits are others: {recorded} were recorded, the store holds {here}.",
        tag="splits_digest",
    ),
    Input(
        "configuration",
        "configuration",
        "The configuration is another one: the registry says {recorded}, the model's record {here}.",
        tag="configuration_digest",
    ),
    Input("settings", "settings", "The settings are others: {recorded} then, {here} now."),
    Input(
        "code",
        "code",
        "The code is another one: {recorded} was recorded, here it is {here}.",
        tag="code_digest",
    ),
    Input("lock", "lock", "The locked libraries are others: {recorded} then, {here} now."),
    Input("threads", "threads", "The number of threads is another one: {recorded} then, {here} now."),
    Input("seed", "seed", "The seed is another one: {recorded} then, {here} now."),
    Input(
        "platform",
        "platform",
        "The platform is another one: {recorded} then, {here} now; the bytes may differ by this alone.",
    ),
)
"""What is set side by side, in the order of the page; what format 1 of the record lacks was not recorded."""


def compare_trainings(
    recorded: Classifier, trained: Classifier, *, entry: RegisteredVersion, run: str
) -> Reproduction:
    """Set a version beside what training it again came to.

    Args:
        recorded: the version as the store holds it now.
        trained: what was trained here.
        entry: the version in the registry.
        run: the name of the run that made it.

    Raises:
        Refused: the registry's entry was altered.
    """
    inputs = tuple(_inputs(recorded.record, trained.record, entry))
    results = tuple(_results(recorded, trained, entry.tag("model_digest")))
    weights = compare_weights(recorded.directory / WEIGHTS, trained.directory / WEIGHTS)
    named = {each.name: each for each in results}
    decisive = (named["model"], named["model in the store"], named["weights"])
    outcome: Literal["equal", "differs"] = "equal" if all(each.same for each in decisive) else "differs"
    return Reproduction(
        model_name=entry.model_name,
        version=entry.version,
        run=run,
        outcome=outcome,
        inputs=inputs,
        results=results,
        weights=weights,
        reasons=(
            _headline(entry.version, outcome, named, weights),
            *_explanations(outcome, inputs, named),
        ),
    )


def compare_weights(recorded: Path, here: Path) -> WeightsDifference | None:
    """By how much two safetensors files differ, tensor by tensor; None where the first cannot be read.

    Two elements that are no number are the same; one beside a number differs infinitely.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        before = load_file(recorded)
    except (SafetensorError, OSError):
        return None
    after = load_file(here)
    common = [name for name in sorted(before) if name in after and _alike(before[name], after[name])]
    found = [_difference(name, before[name], after[name]) for name in common]
    differing = [each for each in found if each is not None]
    return WeightsDifference(
        tensors=len(common),
        differing=len(differing),
        absolute=max((each.absolute for each in differing), default=0.0),
        relative=max((each.relative for each in differing), default=0.0),
        worst=tuple(sorted(differing, key=lambda each: -each.relative)[:WORST]),
        unmatched=tuple(sorted({*before, *after} - {*common})),
    )


def _alike(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> bool:
    return before.shape == after.shape and before.dtype == after.dtype


def _difference(name: str, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> TensorDifference | None:
    if before.tobytes() == after.tobytes():
        return None
    first, second = before.astype(np.float64), after.astype(np.float64)
    both_missing = np.isnan(first) & np.isnan(second)
    with np.errstate(invalid="ignore"):
        distances = np.where(both_missing | (first == second), 0.0, np.abs(first - second))
    absolute = float(np.nan_to_num(distances, nan=np.inf, posinf=np.inf).max())
    largest = float(np.nan_to_num(np.abs(first), nan=0.0, posinf=0.0).max())
    relative = absolute / largest if largest else float("inf") if absolute else 0.0
    return TensorDifference(name=name, shape=before.shape, absolute=absolute, relative=relative)


def _inputs(
    recorded: TrainingRecord, trained: TrainingRecord, entry: RegisteredVersion
) -> Iterator[Compared]:
    for each in INPUTS:
        before = entry.tag(each.tag) if each.tag is not None else _said(recorded, each.field)
        yield Compared(name=each.name, recorded=before, here=_said(trained, each.field))


def _said(record: TrainingRecord, field: str) -> str | None:
    """What a record says, as text; settings by their digest. None where it was not recorded."""
    value = getattr(record, field)
    return json_digest(value) if isinstance(value, dict) else None if value is None else str(value)


def _results(recorded: Classifier, trained: Classifier, registered: str) -> Iterator[Compared]:
    yield Compared(name="model", recorded=registered, here=trained.record.model_digest)
    yield Compared(name="model in the store", recorded=registered, here=_present(recorded))
    files = [(each.directory / WEIGHTS).read_bytes() for each in (recorded, trained)]
    digests = [hashlib.sha256(content).hexdigest() for content in files]
    yield Compared(name="weights", recorded=digests[0], here=digests[1])
    after = _course(trained.record)
    for name, value in _course(recorded.record).items():
        yield Compared(name=name, recorded=value, here=after[name])


def _present(classifier: Classifier) -> str:
    """The digest of the serving directory as it is now; a text that no digest equals where it is none."""
    try:
        return model_digest(classifier.serving_directory)
    except ModelDirectoryError as error:
        return f"no model: {error}"


def _course(record: TrainingRecord) -> dict[str, str | None]:
    kept = next((each for each in record.epochs if each.epoch == record.best_epoch), None)
    calibration = record.calibration
    return {
        "epochs": str(len(record.epochs)),
        "kept epoch": str(record.best_epoch),
        "its validation accuracy": None if kept is None else f"{kept.val_accuracy:.6f}",
        "temperature": None if calibration is None else f"{calibration.temperature:g}",
        "abstention threshold": None if calibration is None else f"{calibration.threshold:g}",
    }


def _headline(
    version: int,
    outcome: Literal["equal", "differs"],
    results: Mapping[str, Compared],
    weights: WeightsDifference | None,
) -> str:
    """What it came to, in one sentence."""
    if outcome == "equal":
        return f"Version {version} was trained again: equal, model and weights are the same byte for byte."
    model = results["model"]
    if model.same:
        return (
            f"Version {version} was trained again to the model that was registered, {_short(model.here)}; "
            "what the store holds of it is something else."
        )
    said = f"registered was {_short(model.recorded)}, here it came to {_short(model.here)}"
    if weights is None:
        unread = "the weights in the store cannot be read, so that nobody knows by how much"
        return f"Version {version} was trained again, and the model differs: {said}; {unread}."
    return (
        f"Version {version} was trained again, and the model differs: {said}; "
        f"{weights.differing:,} of {weights.tensors:,} tensors differ, by up to {weights.absolute:.2g} "
        f"({weights.relative:.2g} of the largest element of a tensor)."
    )


def _explanations(
    outcome: Literal["equal", "differs"], inputs: tuple[Compared, ...], results: Mapping[str, Compared]
) -> Iterator[str]:
    """What differs, a sentence each; where the bytes differ and nothing else does, that."""
    model, stored = results["model"], results["model in the store"]
    if not stored.same:
        yield (
            f"What the store holds of the model is not what was registered: {_short(stored.recorded)} was, "
            f"{_short(stored.here)} is there. It was altered or damaged; it is not released."
        )
    elif model.same and not results["weights"].same:
        yield "The weights in the store are not those that the model was exported from: they were altered."
    about = {each.name: each.differs for each in INPUTS}
    differing = [each for each in inputs if each.same is False]
    for each in differing:
        yield about[each.name].format(recorded=_short(each.recorded), here=_short(each.here))
    if outcome == "equal" or model.same:
        return
    if not differing:
        yield "Equal inputs and other bytes: training is not reproducible here."
    unknown = [each.name for each in inputs if each.same is None]
    if unknown:
        yield f"Not recorded, so that another one may be the reason: {', '.join(unknown)}."


def _short(value: str | None) -> str:
    """A value as a sentence has it: of a digest its beginning."""
    text = value or "none"
    return text[:SHOWN_DIGITS] if DIGEST.fullmatch(text) else text


@step(enable_cache=False)
def compare(
    recorded: Classifier, trained: Classifier, entry: RegisteredVersion, run: str
) -> Annotated[Reproduction, "reproduction"]:
    """Set what was trained here beside the version as the store holds it now."""
    report = compare_trainings(recorded, trained, entry=entry, run=run)
    remove_checkpoints(active_store(), trained.record, purpose_here(REPRODUCTION))
    return report
