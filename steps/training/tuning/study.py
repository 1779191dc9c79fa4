"""A study: trainings with parameters that a sampler proposes from what the trainings before came to.

Every trial has a place, from 0 on; a study is over when each place up to the number of trials is complete or
pruned. A trial whose process died is failed, and its parameters are run again on the same place. Chance and
brackets follow from seed and place alone, so that in one process a study that was killed proposes and prunes
what it would have without.
"""

from __future__ import annotations

import binascii
import copy
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import UpdateFinishedTrialError
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from materializers.tuning_report import Trial as ReportedTrial
from steps.training.device import training_device
from steps.training.fitting.loop import fit, reproducible
from steps.training.tuning.search import Choices, Range, TuneSettings, is_whole, with_values
from steps.training.tuning.study_storage import Place, Where, open_place, quiet

if TYPE_CHECKING:
    from materializers.classifier import EpochMetrics
    from steps.training.material import Material
    from steps.training.settings import TrainSettings

PLACE, FAILURE = "place", "failure"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
WARM_UP_SHARE = 10
"""Pruning lets the first tenth of the epochs go by."""
POLL_SECONDS = 0.5
"""How often one looks whether others are done with their trials."""
IN_NO_BRACKET = -1


class PlaceSampler(BaseSampler):
    """TPE (Bergstra et al. 2011), made anew for each trial with a seed of its place."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._tpe = TPESampler(seed=seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Begin with the place's own numbers, whatever this process drew before."""
        place = trial.user_attrs.get(PLACE, trial.number)
        self._tpe = TPESampler(seed=binascii.crc32(f"{self._seed} {place}".encode()))

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As TPE does."""
        return self._tpe.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As TPE does."""
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As TPE does."""
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)


class PlaceHyperband(HyperbandPruner):
    """Hyperband whose brackets go by a trial's place; what a dead process left competes in none."""

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        if trial.state == TrialState.FAIL:
            return IN_NO_BRACKET
        placed = copy.copy(trial)
        placed.number = trial.user_attrs.get(PLACE, trial.number)
        return super()._get_bracket_id(study, placed)


def distributions(search: TuneSettings) -> dict[str, BaseDistribution]:
    """The search space in Optuna's words, in the order of names."""
    return {name: _distribution(name, each) for name, each in search.searched.items()}


def _distribution(name: str, parameter: Range | Choices) -> BaseDistribution:
    if isinstance(parameter, Choices):
        return CategoricalDistribution(parameter.choices)
    low, high, step = parameter.low, parameter.high, parameter.step
    if is_whole(name):
        return IntDistribution(int(low), int(high), log=parameter.log, step=int(step or 1))
    return FloatDistribution(low, high, log=parameter.log, step=step)


def pruner_of(search: TuneSettings, epochs: int) -> BasePruner:
    """What ends a trial early; a step is an epoch."""
    warm_up = epochs // WARM_UP_SHARE
    if search.pruner == "hyperband":
        # From the first epoch on, and with a third kept each time, a study takes a quarter of the time of one
        # without pruning and loses half a point of accuracy; so it takes three fifths, and loses a quarter.
        return PlaceHyperband(min_resource=max(1, warm_up), max_resource=epochs, reduction_factor=2)
    if search.pruner == "median":
        return MedianPruner(n_warmup_steps=warm_up)
    return NopPruner()


@dataclass(frozen=True)
class Task:
    """What every process that works on a study needs to know; what it learns from comes beside.

    Attributes:
        where: the study lies.
        search: what is searched for.
        settings: of all trials, but for what is searched for.
    """

    where: Where
    search: TuneSettings
    settings: TrainSettings


class Study:
    """One process's view of a study."""

    def __init__(self, task: Task) -> None:
        """Open it, and begin it where it is new.

        Raises:
            DamagedArtifact: its journal cannot be read.
            UsageError: its database cannot be used here.
            ServiceUnreachable: its database does not answer.
        """
        quiet()
        self._task = task
        self.place: Place = open_place(task.where)
        self._study = optuna.create_study(
            storage=self.place.storage,
            sampler=PlaceSampler(task.search.seed),
            pruner=pruner_of(task.search, task.settings.epochs),
            study_name=task.where.name,
            direction="maximize",
            load_if_exists=True,
        )
        self._distributions = distributions(task.search)

    def claim(self) -> Trial | None:
        """The next trial, with its parameters; None: every place is finished, or somebody works on it."""
        with self.place.claiming():
            while True:
                trials = self._settled()
                if not any(each.state == TrialState.WAITING for each in trials):
                    free = self._free(trials)
                    if free is None:
                        return None
                    self._study.enqueue_trial({}, user_attrs={PLACE: free})
                trial = self._study.ask(self._distributions)
                if self._holds_its_place(trial):
                    self.place.take(trial)
                    return trial
                self._study.tell(trial, state=TrialState.FAIL)

    def run(self, trial: Trial, material: Material) -> None:
        """Train with a trial's parameters, and write down what came of it."""
        settings = with_values(self._task.settings, trial.params)

        def on_epoch(epoch: EpochMetrics) -> None:
            trial.report(epoch.val_accuracy, epoch.epoch)
            # After the last epoch there is nothing left to save.
            if epoch.epoch < settings.epochs and trial.should_prune():
                raise optuna.TrialPruned

        # Somebody may have taken a trial of a database over that was silent for too long.
        with suppress(UpdateFinishedTrialError):
            try:
                with self.place.working(trial), reproducible(settings.seed, settings.threads):
                    model = material.new_model(settings)
                    model.to(training_device())
                    result = fit(model, material.train, material.validation, settings, on_epoch=on_epoch)
            except optuna.TrialPruned:
                self._study.tell(trial, state=TrialState.PRUNED)
                return
            if result.failure is not None:
                trial.set_user_attr(FAILURE, result.failure)
            learnt = result.failure is None
            self._study.tell(trial, max(each.val_accuracy for each in result.epochs) if learnt else 0.0)

    def finished(self) -> list[ReportedTrial]:
        """Every place that is complete or pruned, in order."""
        trials = self._study.get_trials(deepcopy=False, states=FINISHED)
        placed = sorted((each.user_attrs[PLACE], each) for each in trials if PLACE in each.user_attrs)
        return [_reported(each) for place, each in placed if place < self._task.search.trials]

    def importances(self) -> dict[str, float]:
        """Each parameter's share of the variance of scores; none where all scores are equal."""
        scores = {each.value for each in self._study.get_trials(states=(TrialState.COMPLETE,))}
        if len(scores) < 2:  # noqa: PLR2004 (two differ)
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._task.search.seed)
        shares = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {name: float(share) for name, share in shares.items()}

    def _settled(self) -> list[FrozenTrial]:
        """All trials that count, after those of dead processes were failed and enqueued again."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self.place.alive(trial):
                continue
            self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
            # Killed before it knew all its parameters, it is drawn again: its place gives it the same.
            if PLACE in trial.user_attrs and trial.params.keys() == self._distributions.keys():
                self._study.enqueue_trial(trial.params, user_attrs={PLACE: trial.user_attrs[PLACE]})
        states = (*FINISHED, TrialState.RUNNING, TrialState.WAITING)
        return self._study.get_trials(deepcopy=False, states=states)

    def _free(self, trials: Sequence[FrozenTrial]) -> int | None:
        taken = {each.user_attrs.get(PLACE) for each in trials}
        return next((place for place in range(self._task.search.trials) if place not in taken), None)

    def _holds_its_place(self, trial: Trial) -> bool:
        """Whether it has a place that counts, which no earlier trial has: of two, the second gives way."""
        place = trial.user_attrs.get(PLACE)
        if place is None or place >= self._task.search.trials:
            return False
        states = (*FINISHED, TrialState.RUNNING, TrialState.WAITING)
        return not any(
            each.number < trial.number and each.user_attrs.get(PLACE) == place
            for each in self._study.get_trials(deepcopy=False, states=states)
        )


def work(study: Study, material: Material, on_trial: Callable[[], None] = lambda: None) -> None:
    """Run trials until none is left to claim; ``on_trial`` is called after each."""
    while (trial := study.claim()) is not None:
        study.run(trial, material)
        on_trial()


def finish(study: Study, material: Material, trials: int, on_trial: Callable[[], None]) -> None:
    """Run trials until the study is over, waiting for those of others, and taking over where they die."""
    while True:
        work(study, material, on_trial)
        if len(study.finished()) >= trials:
            return
        time.sleep(POLL_SECONDS)


def best_of(trials: Sequence[ReportedTrial]) -> Mapping[str, Any]:
    """The parameters of the highest score, of equal ones the first; empty where nothing was learnt."""
    learnt = [each for each in trials if each.score is not None and each.failure is None]
    return max(learnt, key=lambda each: each.score or 0.0).parameters if learnt else {}


def _reported(trial: FrozenTrial) -> ReportedTrial:
    complete = trial.state == TrialState.COMPLETE
    return ReportedTrial(
        number=trial.user_attrs[PLACE] + 1,
        state="complete" if complete else "pruned",
        parameters=dict(sorted(trial.params.items())),
        val_accuracy=tuple(value for _, value in sorted(trial.intermediate_values.items())),
        score=trial.value if complete else None,
        failure=trial.user_attrs.get(FAILURE),
    )
