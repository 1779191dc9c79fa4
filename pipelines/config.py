"""The configuration: every ``configs/*.yaml`` read as one tree whose keys are all known.

The files carry the product's values; ``--config`` lays a file or a folder of differences over them and
``--set key=value`` one value over that. A key that nothing reads is an error that names the nearest one.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Hashable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from materializers.approval import Change
from materializers.errors import UsageError
from materializers.redaction import redact
from materializers.report import Record, json_digest
from pipelines.running import RunningSettings
from pipelines.timetable import TimetableSettings
from steps.data.class_changes import ClassChanges
from steps.data.intake import IngestSettings
from steps.data.split import SplitSettings
from steps.data.validate import ValidateSettings
from steps.deployment.settings import DeploymentSettings
from steps.evaluation.cost.settings import OF_THE_POLICY
from steps.evaluation.policy import Policy
from steps.evaluation.settings import EvaluateSettings
from steps.inference.settings import InferenceSettings
from steps.monitoring.settings import MonitorSettings
from steps.monitoring.traffic.uncertain import LabellingSettings
from steps.monitoring.triggers.settings import TriggerSettings
from steps.registry.approvers import ApprovalSettings
from steps.registry.presupposed import Presupposed
from steps.training.calibration.calibration import CalibrateSettings
from steps.training.settings import DECIDES_NOTHING, TrainSettings
from steps.training.tuning.search import CHOICES, RANGE, CrossValidationSettings, TuneSettings

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
MOST_HOURS = 87_600
"""Ten years: a store that keeps everything for longer is not collected at all."""
SURELY_MEANT = 0.8
"""How alike (of 1) a key is to another that it is only a typo of it."""
MAYBE_MEANT = 0.65
"""Under it are 'limit' and 'split', or 'epochs' and 'policy'."""
LISTED = 3
SHAPES = {
    "model_type": "keys with values",
    "dict_type": "keys with values",
    "tuple_type": "a list",
    "list_type": "a list",
}
"""In words of YAML what pydantic has a name for when a value has another shape."""
EXAMPLE_KEYS = 3
GIVEN_WHOLE = "search_space"
"""A section whose values replace those before them whole: a range does not become a choice key by key."""
NO_YAML = (yaml.YAMLError, RecursionError, ValueError)
"""What reading text as YAML raises; ValueError where it is no UTF-8, or a date that no calendar has."""


class SourceSettings(Record):
    """Where pictures come from: one name a supplier or bucket prefix, never the path of a delivery."""

    name: str = Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    """Letters, digits and ``.``, ``_``, ``-`` between them: it is the first part of each picture's path."""
    next_delivery: str | None = None
    """The delivery that a release proposes to send next; None where nobody knows it yet."""


class ProductSettings(Record):
    """What is classified, and under which name."""

    model: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    experiment: str
    purpose: str = "Sorts product photographs into the categories of a catalogue."
    """What the model is for, on its card."""
    classes: tuple[Annotated[str, Field(pattern=r"\S")], ...] = Field(min_length=2)
    class_changes: ClassChanges = ClassChanges()
    source: SourceSettings

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in classes if classes.count(name) > 1})
        if twice:
            raise ValueError(f"each class is named once, these are not: {', '.join(twice)}")
        return classes


class KeepingSettings(Record):
    """How long what nothing refers to stays in the artifact store."""

    grace_hours: float = Field(default=24, ge=1, le=MOST_HOURS, allow_inf_nan=False)
    """``--collect`` takes nothing younger: a save that is going on is referred to by nothing yet."""
    features_days: float = Field(default=30, ge=1, le=MOST_HOURS / 24, allow_inf_nan=False)
    """How long features stay that no training asks for, and studies that nobody went on with."""
    captures_days: float = Field(default=90, ge=1, le=MOST_HOURS / 24, allow_inf_nan=False)
    """How long what the service was asked and answered stays, and what was said of it."""
    captured_pictures_days: float = Field(default=30, ge=1, le=MOST_HOURS / 24, allow_inf_nan=False)
    """How long the pictures among it stay."""


class Config(Record):
    """Everything that can be set, one section a step or pipeline."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    product: ProductSettings
    ingest: IngestSettings
    validate_: ValidateSettings = Field(alias="validate")
    split: SplitSettings
    train: TrainSettings
    calibrate: CalibrateSettings
    tune: TuneSettings
    cross_validate: CrossValidationSettings
    evaluate: EvaluateSettings
    policy: Policy
    approval: ApprovalSettings
    deployment: DeploymentSettings
    trigger: TriggerSettings
    inference: InferenceSettings
    monitor: MonitorSettings
    keeping: KeepingSettings
    labelling: LabellingSettings
    running: RunningSettings
    schedules: TimetableSettings

    @property
    def tunes(self) -> bool:
        """Whether the step ``tune`` has anything to do."""
        return bool(self.tune.trials or self.cross_validate.folds)

    @property
    def training_digest(self) -> str:
        """The digest of everything that decides what a model becomes, apart from data, policy and code."""
        deciding = {"validate_", "split", "train", "tune", "cross_validate", "calibrate"}
        sections = self.model_dump(mode="json", include=deciding)
        del sections["tune"]["storage"]  # where a study lies decides nothing
        for name in DECIDES_NOTHING:
            del sections["train"][name]
        return json_digest({"classes": list(self.product.classes), **sections})

    @property
    def presupposed(self) -> Presupposed:
        """What a verdict takes for granted beside the policy."""
        evaluate = self.evaluate
        serving = {
            "offered_total_per_s",
            "maximum_replicas",
            "minimum_replicas",
            "price_per_hour",
            "p99_limit_ms",
        }
        declared = {
            "accepted": [each.model_dump(mode="json") for each in evaluate.security.accepted],
            "sensitive": list(evaluate.slices.sensitive),
            "easy_list": list(evaluate.behaviour.easy_list),
        }
        return Presupposed(
            declared=json_digest(declared),
            serving=json_digest(evaluate.cost.model_dump(mode="json", include=serving)),
        )

    @property
    def compliance_digest(self) -> str:
        """The digest of what decides beside the policy: who approves, what is accepted, what it serves."""
        approval = self.approval.model_dump(mode="json")
        return json_digest({"approval": approval, **self.presupposed.model_dump()})

    @property
    def change(self) -> Change:
        """What kind of model this configuration trains; another kind than production's waits for a person."""
        return Change(
            architecture=self.train.architecture,
            source_name=self.product.source.name,
            policy=self.policy.digest,
            compliance=self.compliance_digest,
        )


def load_config(overlay: Path | None, assignments: tuple[str, ...]) -> Config:
    """Read the configuration.

    Args:
        overlay: a YAML file, or a folder of them, that holds only differences.
        assignments: ``section.key=value``, the value in YAML.

    Raises:
        UsageError: a file is missing or unreadable, a key is unknown, a value is out of range.
    """
    tree = _read_folder(CONFIGS)
    if overlay is not None:
        _merge(tree, _read_overlay(overlay))
    for assignment in assignments:
        _merge(tree, _assignment(assignment))
    _refuse_unknown_keys(tree, Config, ())
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        # A misspelt key comes first: that the right one is missing follows from it.
        first = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        keys = tuple(part for part in first["loc"] if part not in (RANGE, CHOICES))
        place = ".".join(map(str, keys))
        scalar = first["type"] != "missing" and not isinstance(first["input"], dict | list)
        given = f" (given: {redact(repr(first['input']), {})})" if scalar else ""
        said = _in_words(first["type"], keys) or first["msg"].removeprefix("Value error, ")
        raise UsageError(f"configuration: {place}: {said}{given}") from error
    try:
        policy = config.policy.in_force(lambda setting: _value_at(config, setting))
    except ValueError as error:
        raise UsageError(f"configuration: {error}") from error
    return config.model_copy(update={"policy": policy, "evaluate": _measured_by(policy, config.evaluate)})


def _measured_by(policy: Policy, evaluate: EvaluateSettings) -> EvaluateSettings:
    """How a model is measured, with the numbers that the policy has.

    Raises:
        UsageError: a limit is a number that nobody can measure by.
    """
    try:
        return evaluate.model_copy(update={"cost": evaluate.cost.under(policy)})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise UsageError(
            f"configuration: evaluate.cost.{name}, which is the limit of the policy's rule on "
            f"{OF_THE_POLICY[name]} where it is not set, is {first['input']}: {first['msg']}"
        ) from error


def _value_at(config: Config, setting: str) -> Any:
    """The value of a setting, by the path that ``--set`` takes."""
    value: Any = config
    for part in setting.split("."):
        value = getattr(value, part)
    return value


def _in_words(kind: str, place: tuple[int | str, ...]) -> str | None:
    """What a key takes that was given something of another shape, with the product's value as an example.

    Args:
        kind: pydantic's name of the fault.
        place: the key, part by part.

    Returns:
        None where its shape is not what is wrong.
    """
    if kind not in SHAPES:
        return None
    value: Any = _read_folder(CONFIGS)
    for part in place:
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value = dict(list(value.items())[:EXAMPLE_KEYS])
    if not value:
        return f"it takes {SHAPES[kind]}"
    shown = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf).strip()
    return f"it takes {SHAPES[kind]}, as in --set '{'.'.join(map(str, place))}={shown}'"


def _read_folder(folder: Path) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in sorted(folder.glob("*.yaml")):
        for section, values in _read_file(path).items():
            if section in tree:
                raise UsageError(f"{path} sets {section}, which another file of {folder} sets too")
            tree[section] = values
    if not tree:
        raise UsageError(f"There is no *.yaml in {folder}")
    return tree


def _read_overlay(path: Path) -> dict[str, Any]:
    try:
        if not path.exists():
            raise UsageError(f"There is no configuration at {path}: give --config a YAML file or a folder")
        return _read_folder(path) if path.is_dir() else _read_file(path)
    except (OSError, ValueError) as error:  # a name too long, a folder that may not be entered, a NUL
        raise UsageError(f"--config {str(path)!r} cannot be read: {error}") from error


def _read_file(path: Path) -> dict[str, Any]:
    try:
        content = _parse(path.read_text(encoding="utf-8"))
    except (OSError, *NO_YAML) as error:
        raise UsageError(f"{path} cannot be read: {_one_line(error)}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} is not a mapping of sections such as 'train:'")
    return content


def _assignment(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set takes key=value, such as --set train.epochs=3 (given: {text!r})")
    try:
        tree: Any = _parse(value)
    except NO_YAML as error:
        raise UsageError(f"--set {text!r}: the value cannot be read: {_one_line(error)}") from error
    for part in reversed(key.strip().split(".")):
        tree = {part: tree}
    result: dict[str, Any] = tree
    return result


class _UniqueKeys(yaml.SafeLoader):
    """Plain YAML that names a key once: PyYAML would take the last of two without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands there twice", key_node.start_mark
                )
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)


def _parse(text: str) -> Any:
    return yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader


def _one_line(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return " ".join(str(error).split())


def _merge(base: dict[str, Any], differences: dict[str, Any], *, whole: bool = False) -> None:
    """Lay differences over a tree.

    Args:
        base: what they change.
        differences: mappings are laid over mappings, all else replaces what was there.
        whole: mappings replace what was there too.
    """
    for key, value in differences.items():
        emptied = key == GIVEN_WHOLE and not value
        if isinstance(value, dict) and isinstance(base.get(key), dict) and not (whole or emptied):
            _merge(base[key], value, whole=key == GIVEN_WHOLE)
        else:
            base[key] = value


def _refuse_unknown_keys(tree: dict[str, Any], model: type[BaseModel], path: tuple[str, ...]) -> None:
    """Name the first key that no field reads, and the known one that is nearest to it.

    Raises:
        UsageError: there is such a key.
    """
    fields = {info.alias or name: info.annotation for name, info in model.model_fields.items()}
    for key, value in tree.items():
        if key not in fields:
            near = _nearest_keys(str(key), fields)
            hint = f"did you mean {near}?" if near else "known are: " + ", ".join(sorted(fields))
            raise UsageError(f"configuration: unknown key {'.'.join((*path, str(key)))!r}; {hint}")
        inner, of_each = _model_of(fields[key]), _model_of_each(fields[key])
        if inner is not None and isinstance(value, dict):
            _refuse_unknown_keys(value, inner, (*path, key))
        elif of_each is not None and isinstance(value, dict):
            for name, one in value.items():
                if isinstance(one, dict):
                    _refuse_unknown_keys(one, of_each, (*path, key, str(name)))


def _nearest_keys(key: str, fields: dict[str, Any]) -> str:
    """The key of this section that was probably meant, or those of other sections that end like this.

    Of keys that lie differently deep, as those of a step and of one phase of it, the outermost ones count.
    """
    here = difflib.get_close_matches(key, fields, n=1, cutoff=SURELY_MEANT)
    alike = [known for known in _dotted_keys(Config) if known.rpartition(".")[2] == key]
    outermost = min((known.count(".") for known in alike), default=0)
    elsewhere = [known for known in alike if known.count(".") == outermost]
    if not here and len(elsewhere) in range(1, LISTED + 1):
        return " or ".join(map(repr, elsewhere))
    return "".join(map(repr, here or difflib.get_close_matches(key, fields, n=1, cutoff=MAYBE_MEANT)))


def _dotted_keys(model: type[BaseModel]) -> Iterator[str]:
    """Every key of a model, and those below it, as ``--set`` takes them."""
    for name, info in model.model_fields.items():
        key = info.alias or name
        yield key
        inner = _model_of(info.annotation)
        if inner is not None:
            yield from (f"{key}.{below}" for below in _dotted_keys(inner))


def _model_of_each(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model of the values that an annotation maps names to."""
    return _model_of(get_args(annotation)[1]) if get_origin(annotation) is dict else None


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model that an annotation names, looking through ``X | None``."""
    options = get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)
    for option in options:
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None
