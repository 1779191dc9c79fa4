"""What is tuned and how, and over how many folds a model is cross-validated.

A parameter of the search space is one of ``train``'s, by its dotted key: a range or a list of choices.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias

from pydantic import BaseModel, Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from materializers.errors import UsageError
from materializers.redaction import secret_in
from materializers.report import Record
from materializers.tuning_report import TuningReport, Value
from steps.training.settings import TrainSettings

TUNABLE = frozenset(
    {
        "augmentation",
        "batch_size",
        "class_balance",
        "dropout",
        "early_stopping_patience",
        "gradient_clip",
        "head",
        "hidden",
        "label_smoothing",
        "learning_rate",
        "mixup",
        "optimizer",
        "plateau_factor",
        "plateau_patience",
        "schedule",
        "weight_decay",
    }
)
"""What may differ between trials: they share their inputs, their epochs, their seed and their threads."""
MAYBE_MEANT = 0.6
RANGE, CHOICES = "<range>", "<choices>"
"""How pydantic tells a parameter's kinds apart; no key of a file is called so."""


class Range(Record):
    """Numbers from ``low`` to ``high``, both included; whole ones where the parameter is."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    log: bool = False
    """Whether orders of magnitude are equally likely."""
    step: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low:g} and high is {self.high:g}; low must be below high")
        if self.log and self.low <= 0:
            raise ValueError(f"log is true and low is {self.low:g}; a logarithm needs low above 0")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        return self


class Choices(Record):
    """A few values, of which none lies between two others."""

    choices: tuple[Value, ...] = Field(min_length=1)

    @field_validator("choices")
    @classmethod
    def _distinct(cls, choices: tuple[Value, ...]) -> tuple[Value, ...]:
        twice = [value for value in choices if choices.count(value) > 1]
        if twice:
            raise ValueError(f"each choice is named once; {twice[0]!r} is not")
        return choices


def _kind(value: Any) -> str:
    has_choices = "choices" in value if isinstance(value, dict) else isinstance(value, Choices)
    return CHOICES if has_choices else RANGE


Parameter: TypeAlias = Annotated[
    Annotated[Range, Tag(RANGE)] | Annotated[Choices, Tag(CHOICES)], Discriminator(_kind)
]
DEFAULT_SPACE: dict[str, Parameter | None] = {
    "learning_rate": Range(low=0.0001, high=0.01, log=True),
    "batch_size": Choices(choices=(16, 32, 64)),
    "dropout": Range(low=0.1, high=0.5),
}


class TuneSettings(Record):
    """How parameters of the training are searched for, on validation data alone."""

    trials: int = Field(default=50, ge=0, le=10_000)
    """Complete and pruned ones together; 0: nothing is tuned."""
    search_space: dict[str, Parameter | None] = Field(default_factory=lambda: dict(DEFAULT_SPACE))
    """By key of ``train``; None: it stays as it is."""
    pruner: Literal["hyperband", "median", "none"] = "hyperband"
    """What ends a trial that falls behind (Li et al. 2018)."""
    processes: int = Field(default=1, ge=1, le=64)
    """That work on the study; with more than one its trials depend on which is faster."""
    storage: str | None = None
    """A database that several nodes share, as SQLAlchemy names it, or the secret that holds its address:
    ``{{SECRET.KEY}}``; None: a journal in the artifact store."""
    seed: int = Field(default=0, ge=0, lt=2**32)

    @property
    def searched(self) -> dict[str, Range | Choices]:
        """The parameters that are searched for, by name, in the order of their names."""
        return {name: each for name, each in sorted(self.search_space.items()) if each is not None}

    @field_validator("search_space")
    @classmethod
    def _known(cls, space: dict[str, Parameter | None]) -> dict[str, Parameter | None]:
        known = list(_keys(TrainSettings))
        for name in space:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=MAYBE_MEANT)
                hint = f"did you mean {near[0]!r}?" if near else f"tuned can be: {', '.join(sorted(TUNABLE))}"
                raise ValueError(f"{name!r} is no parameter of train; {hint}")
            if name.partition(".")[0] not in TUNABLE:
                raise ValueError(
                    f"{name!r} is the same in all trials, as all that decides what they learn from and for "
                    f"how long; tuned can be: {', '.join(sorted(TUNABLE))}"
                )
        return space

    @field_validator("storage")
    @classmethod
    def _no_password(cls, storage: str | None) -> str | None:
        secret = None if storage is None else secret_in(storage)
        if secret is not None:
            raise ValueError(
                f"{secret} stands in it: write "
                "'{{SECRET.KEY}}', in quotes, after: zenml secret create SECRET --KEY=ADDRESS"
            )
        return storage

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.trials and not self.searched:
            raise ValueError(
                "search_space is empty: name a parameter, or tune nothing with --set tune.trials=0"
            )
        return self


class CrossValidationSettings(Record):
    """How often, and on which parts, a training is repeated to see how far its figures scatter."""

    folds: int = Field(default=5, ge=0, le=100)
    """0: none."""
    seed: int = Field(default=0, ge=0, lt=2**32)

    @field_validator("folds")
    @classmethod
    def _several(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold leaves nothing to learn from: 2 or more, or 0 for none")
        return folds


def check_searchable(settings: TrainSettings, search: TuneSettings) -> None:
    """Refuse a search that would fail at one of its trials, before anything starts.

    Raises:
        UsageError: a bound or a choice is no value of its parameter, or a parameter has no effect.
    """
    if not search.trials:
        return
    if settings.head == "ridge":
        raise UsageError(
            "train.head is ridge, whose strength is chosen in closed form: there is nothing to tune. "
            "--set tune.trials=0, or --set train.head=linear"
        )
    for name, parameter in search.searched.items():
        for value in _ends(name, parameter):
            _check_value(settings, name, value)
    void = _without_effect(settings, search.searched)
    if void:
        nulls = ", ".join(f"{name}: null" for name in void)
        mend = f"Leave it out: --set 'tune.search_space={{{nulls}}}'"
        if len(void) == len(search.searched):
            mend = "Nothing is left to search for: --set tune.trials=0"
        reasons = "; ".join(f"tune.search_space.{name} has no effect: {why}" for name, why in void.items())
        raise UsageError(f"{reasons}. {mend}")


class Need(NamedTuple):
    """What a parameter needs to have an effect on a trial.

    Attributes:
        parameter: a key of ``train``, or a section of it.
        key: another one, or the same, which decides.
        suffices: by its value and the epochs of a training, whether the parameter then has an effect; where
            two values do not suffice, none between them does.
        why: it has none; ``{epochs}`` are those of a training.
    """

    parameter: str
    key: str
    suffices: Callable[[Any, int], bool]
    why: str


# Read off build_head, the scheduler, early stopping, the optimizers and the augmentation: whoever changes
# what these read changes this table. What is not in it, MixUp and the balance of classes too, works on
# features as on pictures.
NEEDS = (
    Need(
        "augmentation",
        "freeze_backbone",
        lambda frozen, _: not frozen,
        "and features are those of pictures as they came",
    ),
    Need(
        "augmentation.rand_augment_magnitude",
        "augmentation.rand_augment",
        lambda operations, _: operations > 0,
        "so that no operation is drawn",
    ),
    Need("hidden", "head", lambda head, _: head == "mlp", "which has no hidden layer"),
    Need("optimizer", "weight_decay", lambda decay, _: decay > 0, "and optimizers differ in the decay alone"),
    Need("plateau_factor", "schedule", lambda schedule, _: schedule == "plateau", "which does not use it"),
    Need("plateau_patience", "schedule", lambda schedule, _: schedule == "plateau", "which does not use it"),
    # The first epoch is the best so far, so the rate falls after the epoch `patience + 2` at the earliest,
    # and a training is stopped early after the epoch `patience + 1`.
    Need(
        "plateau_factor",
        "plateau_patience",
        lambda patience, epochs: patience + 2 < epochs,
        "and with {epochs} epochs the rate never falls",
    ),
    Need(
        "plateau_patience",
        "plateau_patience",
        lambda patience, epochs: patience + 2 < epochs,
        "and with {epochs} epochs the rate never falls",
    ),
    Need(
        "early_stopping_patience",
        "early_stopping_patience",
        lambda patience, epochs: patience + 1 < epochs,
        "and with {epochs} epochs none is left to be saved",
    ),
)


def _without_effect(settings: TrainSettings, searched: Mapping[str, Range | Choices]) -> dict[str, str]:
    """The parameters that change nothing in any trial, by name, each with the reason."""
    void: dict[str, str] = {}
    for need in NEEDS:
        parameter = searched.get(need.key) or Choices(choices=(_value(settings, need.key),))
        ends = _ends(need.key, parameter)
        if any(need.suffices(value, settings.epochs) for value in ends):
            continue
        given = (" to " if isinstance(parameter, Range) else ", ").join(map(_written, ends))
        why = f"train.{need.key} is {given}, {need.why.format(epochs=settings.epochs)}"
        for name in searched:
            if name == need.parameter or name.startswith(f"{need.parameter}."):
                void.setdefault(name, why)
    return void


def _value(settings: TrainSettings, name: str) -> Any:
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _written(value: Value) -> str:
    """A value as a file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def with_values(settings: TrainSettings, values: Mapping[str, Value]) -> TrainSettings:
    """The settings with other values.

    Args:
        settings: all that is not named stays.
        values: by dotted key.

    Raises:
        ValidationError: one is refused.
    """
    tree = settings.model_dump()
    for name, value in values.items():
        *above, last = name.split(".")
        place = tree
        for part in above:
            place = place[part]
        place[last] = value
    return TrainSettings.model_validate(tree)


def tuned(settings: TrainSettings, tuning: TuningReport | None) -> TrainSettings:
    """The settings with the best parameters that were found; as they are where nothing was tuned."""
    return settings if tuning is None or not tuning.best else with_values(settings, tuning.best)


def is_whole(name: str) -> bool:
    """Whether a parameter of ``train`` takes whole numbers only."""
    *above, last = name.split(".")
    model: type[BaseModel] = TrainSettings
    for part in above:
        inner = _model_of(model, part)
        model = model if inner is None else inner
    return model.model_fields[last].annotation is int


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """The dotted keys that have a value of their own."""
    for name in model.model_fields:
        inner = _model_of(model, name)
        yield from [name] if inner is None else (f"{name}.{below}" for below in _keys(inner))


def _model_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The settings that a key holds; None where it holds a value."""
    annotation = model.model_fields[name].annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _ends(name: str, parameter: Range | Choices) -> tuple[Value, ...]:
    """The values that decide whether all are allowed.

    Raises:
        UsageError: whole numbers are asked for in steps that are none.
    """
    if isinstance(parameter, Choices):
        return parameter.choices
    if is_whole(name) and not float(parameter.step or 1).is_integer():
        raise UsageError(f"tune.search_space.{name}: step is {parameter.step:g}; train.{name} is whole")
    return parameter.low, parameter.high


def _check_value(settings: TrainSettings, name: str, value: Value) -> None:
    try:
        changed = with_values(settings, {name: value})
    except ValidationError as error:
        raise UsageError(
            f"tune.search_space.{name}: train.{name} cannot be {value!r}: {error.errors()[0]['msg']}"
        ) from error
    if changed.head == "ridge":
        raise UsageError(
            "tune.search_space.head: ridge is fitted in closed form, and not tuned: leave it out"
        )
