"""Find what a registered version was trained from.

The registry, its run and its record say so; today's configuration is not asked.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from pydantic import ValidationError
from zenml.client import Client

from materializers.classifier import Classifier, TrainingRecord
from materializers.errors import DamagedArtifact, Refused
from materializers.evidence import RegisteredVersion
from materializers.image_dataset import ImageDataset
from materializers.report import Record
from materializers.splits import TRAIN, VALIDATION, Splits
from steps.data.parent import load_whole
from steps.training.calibration.calibration import CalibrateSettings
from steps.training.settings import TrainSettings

if TYPE_CHECKING:
    from zenml.models import ArtifactVersionResponse, PipelineRunResponse, StepRunResponse

Known = TypeVar("Known", bound=Record)


class Recalled(Record):
    """What a version was trained from; the artifacts by their ids, as they are stored now."""

    entry: RegisteredVersion
    run: str
    """The name of the run that made it."""
    classifier: UUID
    dataset: UUID
    splits: UUID
    classes: tuple[str, ...]
    settings: TrainSettings
    calibration: CalibrateSettings
    configuration: str
    """Digest of the configuration of that time."""


def recall(entry: RegisteredVersion) -> Recalled:
    """Find everything that a version was trained from, and look whether it is all there.

    Raises:
        Refused: its run, its model or its data are gone or damaged, a picture that it learnt from was
            forgotten since, or today's code does not know its settings.
        ServiceUnreachable: the artifact store does not answer.
    """
    run = _run(entry)
    made = {name: _output(run, entry, name) for name in ("classifier", "dataset", "splits")}
    artifacts = {name: artifact for name, (_, artifact) in made.items()}
    try:
        record = _record(artifacts["classifier"])
        dataset = load_whole(artifacts["dataset"])
        splits: Splits = artifacts["splits"].load()
    except (DamagedArtifact, OSError) as error:
        raise Refused(_cannot(entry, str(error))) from error
    _refuse_forgotten(entry, dataset, splits)
    return Recalled(
        entry=entry,
        run=run.name,
        classifier=artifacts["classifier"].id,
        dataset=artifacts["dataset"].id,
        splits=artifacts["splits"].id,
        classes=record.classes,
        settings=_settings(entry, record, made["classifier"][0]),
        calibration=_calibration(entry, record, made["classifier"][0]),
        configuration=record.configuration,
    )


def _cannot(entry: RegisteredVersion, why: str) -> str:
    return f"Version {entry.version} of {entry.model_name} cannot be trained again, and nothing was: {why}"


def _run(entry: RegisteredVersion) -> PipelineRunResponse:
    try:
        return Client().get_pipeline_run(entry.run_id, allow_name_prefix_match=False)
    except KeyError as error:
        why = f"its run {entry.run_id} was deleted, and with it what it was trained from."
        raise Refused(_cannot(entry, why)) from error


def _output(
    run: PipelineRunResponse, entry: RegisteredVersion, name: str
) -> tuple[StepRunResponse, ArtifactVersionResponse]:
    """The step of a run that gave an output, and the output."""
    for step_run in run.steps.values():
        for artifact in step_run.outputs.get(name, ()):
            return step_run, artifact
    raise Refused(_cannot(entry, f"the {name} of its run {run.name} was deleted."))


def _record(artifact: ArtifactVersionResponse) -> TrainingRecord:
    """How the model was made; loading all of it shows that all of it is there."""
    classifier: Classifier = artifact.load()
    shutil.rmtree(classifier.directory)
    return classifier.record


def _refuse_forgotten(entry: RegisteredVersion, dataset: ImageDataset, splits: Splits) -> None:
    """Refuse a version that learnt from, or was chosen by, pictures that were forgotten since."""
    learnt = [*splits.image_ids(TRAIN), *splits.image_ids(VALIDATION)]
    forgotten = len(set(learnt) - set(dataset.index["image_id"]))
    if forgotten:
        were = "was" if forgotten == 1 else "were"
        why = (
            f"{forgotten:,} of the {len(learnt):,} pictures that it learnt from or was chosen by {were} "
            "forgotten since"
        )
        raise Refused(
            _cannot(entry, f"{why}. Without them: python run.py --train --data {dataset.version[:16]}")
        )


def _settings(entry: RegisteredVersion, record: TrainingRecord, step_run: StepRunResponse) -> TrainSettings:
    """The settings that it was trained with; a record of format 1 lacks them, its run does not."""
    recorded = record.settings or step_run.config.parameters.get("settings")
    return _understood(entry, record, TrainSettings, recorded)


def _calibration(
    entry: RegisteredVersion, record: TrainingRecord, step_run: StepRunResponse
) -> CalibrateSettings:
    """The settings that it was calibrated with; what was not calibrated is not calibrated now."""
    if record.calibration is None:
        return CalibrateSettings(temperature=False)
    return _understood(entry, record, CalibrateSettings, step_run.config.parameters.get("calibration"))


def _understood(
    entry: RegisteredVersion, record: TrainingRecord, kind: type[Known], recorded: object
) -> Known:
    """Settings as today's code takes them.

    Raises:
        Refused: it does not.
    """
    try:
        return kind.model_validate(recorded)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or kind.__name__
        why = f"today's code does not know its settings ({key}: {first['msg']}). Use the code of its time"
        raise Refused(_cannot(entry, f"{why}, whose digest is {record.code[:12]}.")) from error
