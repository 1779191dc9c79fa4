"""Read a stack file: which components a stack has, of which flavor, with which settings.

Values may hold ``${NAME}`` or ``${NAME:-default}``; a default may hold placeholders itself, or a reference to
one of ZenML's secrets, ``{{SECRET.KEY}}``. NAME is looked up in the environment, an empty one counts as
unset. What a variable holds is taken as it is.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from materializers.errors import UsageError

KeyPath = tuple[str, ...]

_WORDS = r"[^{}]|\{\{[^{}]*\}\}"
PLACEHOLDER = re.compile(
    rf"\$\{{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>(?:{_WORDS}|\$\{{(?:{_WORDS})*\}})*))?\}}"
)


class Component(BaseModel):
    """One component of the stack."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flavor: str = Field(min_length=1)
    name: str | None = Field(default=None, min_length=1, description="the stack's name where it is not given")
    source: str | None = Field(default=None, description="import path of a flavor class that is our own")
    configuration: dict[str, Any] = Field(default_factory=dict, description="the flavor's own settings")


class Components(BaseModel):
    """The components by type; the field names are ZenML's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    orchestrator: Component
    artifact_store: Component
    experiment_tracker: Component | None = None
    model_registry: Component | None = None
    model_deployer: Component | None = None
    alerter: Component | None = None
    container_registry: Component | None = None
    image_builder: Component | None = None


class StackFile(BaseModel):
    """A stack as its file describes it, placeholders filled in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    components: Components
    demo_keys: str | None = Field(
        default=None, min_length=1, description="folder in which the registrar makes missing key pairs"
    )
    without_tls: dict[str, Annotated[str, Field(pattern=r"\S")]] = Field(
        default_factory=dict,
        description="addresses of the network that may be asked without TLS, and why",
    )

    _path: Path = PrivateAttr(default=Path())
    _lines: dict[KeyPath, int] = PrivateAttr(default_factory=dict)
    _own_texts: dict[KeyPath, str] = PrivateAttr(default_factory=dict)

    def present(self) -> dict[str, Component]:
        """Give the components that the stack has, by type, in ZenML's words."""
        return {kind: component for kind, component in self.components if component is not None}

    def name_of(self, kind: str) -> str:
        """Give the name under which the component of type ``kind`` is registered."""
        return self.present()[kind].name or self.name

    def own_text(self, *keys: str) -> str:
        """Give what the file itself says of the text under ``keys``: all that no variable is needed for."""
        return self._own_texts.get(keys, "")

    def written(self, *keys: str) -> list[str]:
        """Name the keys that the file has under ``keys``, also those that placeholders left empty."""
        return [path[-1] for path in self._lines if path[:-1] == keys]

    def unknown_setting(self, kind: str, known: Iterable[str]) -> tuple[str, str] | None:
        """Give the first setting of a component that its flavor does not have, and say which is meant."""
        known = list(known)
        unknown = (key for key in self.written("components", kind, "configuration") if key not in known)
        return next(((key, nearest(key, known)) for key in unknown), None)

    def where(self, *keys: str) -> str:
        """Give ``file:line`` of a key, or of the nearest key above it that the file has."""
        return place(self._path, self._lines, keys)


def place(path: Path, lines: Mapping[KeyPath, int], keys: KeyPath) -> str:
    """Give ``file:line`` of ``keys``, or of the nearest key above that has a line."""
    while keys and keys not in lines:
        keys = keys[:-1]
    return f"{path}:{lines.get(keys, 1)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word is meant, or which words there are."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(words) or 'none'}"


def expand(text: str, variables: Mapping[str, str], *, where: str) -> str:
    """Fill in the placeholders of ``text``.

    Raises:
        UsageError: a variable without a default is not set, or a placeholder is not well formed.
    """
    rest = PLACEHOLDER.sub("", text)
    if "${" in rest:
        raise UsageError(
            f"{where}: {text!r} refused: a placeholder is written ${{NAME}} or ${{NAME:-default}}; "
            "correct it and run the command again"
        )

    def value(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if found := variables.get(name):
            return found
        if default is None:
            raise UsageError(
                f"{where}: {name} is not set and has no default: export {name}=VALUE, run the command again"
            )
        return expand(default, variables, where=where)

    return PLACEHOLDER.sub(value, text)


def without_variables(text: str) -> str:
    """Leave of ``text`` what it holds whatever the variables are: of each placeholder its default."""
    return PLACEHOLDER.sub(lambda match: without_variables(match["default"] or ""), text)


def load_stack_file(path: Path, variables: Mapping[str, str] | None = None) -> StackFile:
    """Read the stack file at ``path``.

    Args:
        path: a YAML file.
        variables: what placeholders stand for; by default the environment and ``ZENML_CONFIG_DIRECTORY``,
            the folder where ZenML keeps its own configuration.

    Raises:
        UsageError: there is no such file, it is not YAML, a key is unknown, missing or given twice, a value
            is of the wrong kind, a variable is not set. It names the line and the nearest right key.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}): name a stack file, such as stacks/local.yaml"
        ) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{path}:{line}: not YAML ({error.problem}): correct the line") from error
    if not isinstance(root, yaml.MappingNode):
        raise UsageError(
            f"{path}:1: a stack file has the keys {', '.join(StackFile.model_fields)}: write them"
        )
    reader = _Reader(path, default_variables() if variables is None else variables)
    content = reader.read(root, ())
    try:
        stack = StackFile.model_validate(content)
    except ValidationError as error:
        raise UsageError(_first_error(error, path, reader.lines)) from error
    stack._path, stack._lines, stack._own_texts = path, reader.lines, reader.own_texts
    return stack


def default_variables() -> dict[str, str]:
    """Give the environment and the folder of ZenML's configuration (``ZENML_CONFIG_PATH`` moves it)."""
    from zenml.utils.io_utils import get_global_config_directory

    return {"ZENML_CONFIG_DIRECTORY": get_global_config_directory(), **os.environ}


NOTHING = object()
"""What a value is that its placeholders left empty, and a mapping that has only such values."""


class _Reader:
    """Turns YAML nodes into plain values, placeholders filled in, and remembers each key's line."""

    def __init__(self, path: Path, variables: Mapping[str, str]) -> None:
        self.path = path
        self.variables = variables
        self.lines: dict[KeyPath, int] = {}
        self.own_texts: dict[KeyPath, str] = {}
        self._yaml = yaml.SafeLoader("")

    def read(self, node: yaml.Node, keys: KeyPath) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode):
            items = [self.read(item, (*keys, str(number))) for number, item in enumerate(node.value)]
            return ["" if item is NOTHING else item for item in items]
        value = self._yaml.construct_object(node)
        if not isinstance(value, str):
            return value
        text = expand(value, self.variables, where=place(self.path, self.lines, keys))
        self.own_texts[keys] = without_variables(value)
        return text or NOTHING if PLACEHOLDER.search(value) else text

    def _mapping(self, node: yaml.MappingNode, keys: KeyPath) -> Any:
        content: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if key in content:
                raise UsageError(f"{self.path}:{line}: {key!r} is given twice: keep one")
            self.lines[(*keys, key)] = line
            content[key] = self.read(value_node, (*keys, key))
        kept = {key: value for key, value in content.items() if value is not NOTHING}
        return NOTHING if content and keys and not kept else kept


def _first_error(error: ValidationError, path: Path, lines: Mapping[KeyPath, int]) -> str:
    """Say the first thing that is wrong, on one line."""
    # An unknown key comes first: what is missing is often the same key, misspelt.
    details = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    keys = tuple(str(key) for key in details["loc"])
    where, name = place(path, lines, keys), ".".join(keys)
    if details["type"] == "extra_forbidden":
        return f"{where}: unknown key {name!r}: {nearest(keys[-1], _fields_at(keys[:-1]))}"
    if details["type"] == "missing":
        return f"{where}: {name!r} is missing: add it"
    return f"{where}: {name!r} refused: {details['msg']}, found {details['input']!r}"


def _fields_at(keys: KeyPath) -> Iterable[str]:
    """Give the keys that a stack file may have under ``keys``."""
    model: type[BaseModel] = StackFile
    for key in keys:
        annotation = model.model_fields[key].annotation
        options = get_args(annotation) or (annotation,)
        model = next(
            option for option in options if isinstance(option, type) and issubclass(option, BaseModel)
        )
    return model.model_fields
