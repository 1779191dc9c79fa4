"""Search for better parameters on validation data, and repeat the training over folds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

from zenml import step

from materializers.errors import UsageError
from materializers.image_dataset import ImageDataset
from materializers.report import json_digest
from materializers.splits import TRAIN, VALIDATION, Splits
from materializers.tuning_report import CrossValidation, TuningReport
from steps.secret_value import is_reference, secret_value
from steps.training.settings import DECIDES_NOTHING, TrainSettings, check_trainable
from steps.training.tuning.search import (
    Choices,
    CrossValidationSettings,
    Range,
    TuneSettings,
    check_searchable,
    tuned,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from zenml.artifact_stores import BaseArtifactStore

    from steps.training.material import Material
    from steps.training.tuning.study_files import StudyFiles
    from steps.training.tuning.trial_tracking import TrialRuns


def tune_training(
    dataset: ImageDataset,
    splits: Splits,
    classes: list[str],
    settings: TrainSettings,
    search: TuneSettings,
    folds: CrossValidationSettings,
    *,
    configuration: str,
    code: str,
    store: BaseArtifactStore,
) -> TuningReport:
    """Run the study, then the folds with the best parameters; what was done before is not done again.

    Args:
        dataset: holds the pictures that ``splits`` names.
        splits: only training and validation pictures are looked at.
        classes: the names, in the order of the logits.
        settings: of all trainings, but for what is searched for.
        search: what is searched for, and how.
        folds: of the cross-validation.
        configuration: digest of the run's configuration.
        code: digest of the code.
        store: the artifact store, where study, folds and features are kept.

    Raises:
        UsageError: the search can never come to anything, or a class has too few groups for the folds.
        ServiceUnreachable: the store or the study's database does not answer.
        DamagedArtifact: the study cannot be read.
    """
    check_trainable(settings)
    check_searchable(settings, search)
    # As in training: threads that wait for one another sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from materializers.feature_cache import FeatureCache
    from steps.training.material import material
    from steps.training.tuning.study_files import StudyFiles
    from steps.training.tuning.trial_tracking import TrialRuns
    from steps.training.tuning.tuning_pictures import pictures_of

    _check_batches(search, len(splits.image_ids(TRAIN)))
    groups = _groups(dataset, splits, classes, folds) if folds.folds else None
    learnt_from = material(dataset, splits, classes, settings, FeatureCache(store))
    searched = search.model_dump(mode="json", include={"search_space", "pruner", "seed"})
    evidence = {"data": dataset.version, "splits": splits.digest, "code": code, "classes": classes}
    deciding = settings.model_dump(mode="json", exclude=set(DECIDES_NOTHING))
    files = StudyFiles(store, json_digest({**evidence, "train": deciding, "search": searched}))
    runs = TrialRuns(files.key)
    report = TuningReport(
        data=dataset.version,
        splits=splits.digest,
        configuration=configuration,
        code=code,
        learnt_from="features" if settings.freeze_backbone else "pictures",
        pruner=search.pruner,
        search_space={name: described(each) for name, each in search.searched.items()},
    )
    if search.trials:
        report = _tried(report, learnt_from, settings, search, files, runs)
    if groups is not None:
        validated = _validated(report, learnt_from, groups, settings, folds, files)
        report = report.model_copy(update={"cross_validation": validated})
    runs.log_report(report)
    return report.with_pictures(pictures_of(report))


def described(parameter: Range | Choices) -> str:
    """What is searched, in words."""
    if isinstance(parameter, Choices):
        return ", ".join(str(value) for value in parameter.choices)
    how = ", by orders of magnitude" if parameter.log else ""
    step_ = f", in steps of {parameter.step:g}" if parameter.step else ""
    return f"{parameter.low:g} to {parameter.high:g}{how}{step_}"


def database_address(storage: str) -> str:
    """The address of the study's database, looked up where it is one of ZenML's secrets.

    Args:
        storage: an address without a password, or ``{{SECRET.KEY}}``.

    Raises:
        UsageError: there is no such secret, or it has no such key.
        ServiceUnreachable: ZenML does not give it to this account.
    """
    if not is_reference(storage):
        return storage
    return secret_value(storage, setting="tune.storage", value="ADDRESS")


def _check_batches(search: TuneSettings, pictures: int) -> None:
    """Refuse a choice of batches that are larger than the data, before the first trial."""
    parameter = search.searched.get("batch_size")
    if not search.trials or parameter is None:
        return
    sizes = parameter.choices if isinstance(parameter, Choices) else (parameter.high,)
    largest = max(int(size or 0) for size in sizes)
    if largest > pictures:
        raise UsageError(
            f"tune.search_space.batch_size goes up to {largest}, and there are {pictures} training pictures"
        )


def _groups(
    dataset: ImageDataset, splits: Splits, classes: list[str], folds: CrossValidationSettings
) -> npt.NDArray[np.int64]:
    import pandas as pd

    from steps.training.tuning.cross_validation import check_folds, groups_of_pictures

    image_ids = [*splits.image_ids(TRAIN), *splits.image_ids(VALIDATION)]
    groups = groups_of_pictures(dataset, image_ids)
    rows = pd.Index(dataset.index["image_id"]).get_indexer(pd.Index(image_ids))
    labels = pd.Index(classes).get_indexer(dataset.index["label"].to_numpy(dtype=object)[rows])
    check_folds(labels, groups, classes, folds.folds)
    return groups


def _tried(
    report: TuningReport,
    material: Material,
    settings: TrainSettings,
    search: TuneSettings,
    files: StudyFiles,
    runs: TrialRuns,
) -> TuningReport:
    """Run the study to its end."""
    from steps.progress import progress
    from steps.training.tuning.study import Study, Task, best_of
    from steps.training.tuning.study_storage import Where, answering
    from steps.training.tuning.study_workers import run_study

    with files.folder() as folder, progress("tune", total=search.trials) as bar:
        if search.storage is None:
            where = Where(files.key, folder=folder)
        else:
            where = Where(files.key, url=database_address(search.storage))

        def on_trial(study: Study) -> None:
            trials = study.finished()
            bar.advance(len(trials) - bar.done)
            best = max((each.score or 0.0 for each in trials), default=0.0)
            bar.note(f"{len(trials)} of {search.trials} trials, best validation accuracy {best:.3f}")
            if where.folder is not None:
                files.keep(where.folder)
            runs.log(trials)

        with answering(where):
            study = run_study(Task(where, search, settings), material, on_trial)
            try:
                on_trial(study)
                trials, shares = study.finished(), study.importances()
            finally:
                study.place.close()
    update = {"trials": tuple(trials), "best": best_of(trials), "importances": shares}
    return report.model_copy(update=update)


def _validated(
    report: TuningReport,
    material: Material,
    groups: npt.NDArray[np.int64],
    settings: TrainSettings,
    folds: CrossValidationSettings,
    files: StudyFiles,
) -> CrossValidation:
    from steps.progress import progress
    from steps.training.tuning.cross_validation import cross_validate, spread

    chosen = tuned(settings, report)
    key = json_digest(
        [chosen.model_dump(mode="json", exclude=set(DECIDES_NOTHING)), folds.model_dump(mode="json")]
    )[:16]
    with progress("cross-validate", total=folds.folds) as bar:
        found = cross_validate(
            material,
            groups,
            chosen,
            folds,
            stored=lambda number: files.fold(f"fold-{key}-{number}"),
            keep=lambda fold: files.keep_fold(f"fold-{key}-{fold.number}", fold),
            on_fold=bar.advance,
        )
        accuracy = spread([fold.accuracy for fold in found])
        bar.note(f"{folds.folds} folds, accuracy {accuracy.mean:.3f} ± {accuracy.deviation:.3f}")
    return CrossValidation(
        folds=tuple(found),
        accuracy=accuracy,
        f1_macro=spread([fold.f1_macro for fold in found]),
        parameters=report.best,
    )


@step(experiment_tracker=True)
def tune(
    dataset: ImageDataset | None,
    splits: Splits | None,
    classes: list[str],
    settings: TrainSettings,
    search: TuneSettings,
    folds: CrossValidationSettings,
    configuration: str,
    code: str,
) -> Annotated[TuningReport | None, "tuning"]:
    """Tune and cross-validate; nothing where neither is asked for, or nothing can be learnt from.

    Raises:
        ServiceUnreachable: the experiment tracker does not answer, so that nothing was begun.
    """
    if dataset is None or splits is None or not (search.trials or folds.folds):
        return None
    from steps.data.stored import active_store
    from steps.tracker import require_run

    require_run("take the trials")
    return tune_training(
        dataset,
        splits,
        classes,
        settings,
        search,
        folds,
        configuration=configuration,
        code=code,
        store=active_store(),
    )
