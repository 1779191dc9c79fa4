"""What is to be done so that ZenML's store agrees with a stack file, one line and one act each.

An act finds what it changes by name when it runs, so that the list may be made, and shown, without writing.
Whoever was killed between two acts runs the registrar again: what is left to do is found anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import ValidationError
from zenml.client import Client
from zenml.constants import DEFAULT_STACK_AND_COMPONENT_NAME
from zenml.enums import StackComponentType
from zenml.exceptions import ZenMLBaseException
from zenml.models import ComponentResponse, FlavorResponse, FlavorUpdate, StackResponse
from zenml.stack.flavor import Flavor, validate_flavor_source
from zenml.utils import source_utils
from zenml.utils.pagination_utils import depaginate
from zenml.utils.secret_utils import is_secret_field, is_secret_reference

from materializers.errors import ShutterlineError, UsageError
from stacks.http_service import without_user
from stacks.remote_checks import looked_up
from stacks.rules import names_a_secret
from stacks.stack_file import Component, KeyPath, StackFile, nearest

PAGE = 1000
"""How much one question to the store lists: a server answers each in its own time."""
LABEL = "stack_file"  # marks a component as made from the stack file of this name

ALERT_TARGETS = {
    "urls": "SHUTTERLINE_ALERT_URLS",
    "warning_urls": "SHUTTERLINE_WARNING_URLS",
    "critical_urls": "SHUTTERLINE_CRITICAL_URLS",
}
"""The settings of an alerter that name people, and the variables that our stack files take them from."""


class Change(NamedTuple):
    """One thing that differs: how to say it, and how to write it."""

    line: str
    write: Callable[[], object]


class Registration:
    """The difference between a stack file and ZenML's store.

    Args:
        stack: the file.
        root: the folder whose ``.zen`` holds the active stack.
        source_root: the folder that import paths of our own flavors start from.
    """

    def __init__(self, stack: StackFile, root: Path, *, source_root: Path) -> None:
        source_utils.set_custom_source_root(str(source_root))
        self.stack = stack
        self.root = root
        self.client = Client()
        found = depaginate(self.client.list_stacks, name=stack.name, hydrate=True)
        self.registered: StackResponse | None = found[0] if found else None
        self.flavors: list[FlavorResponse] = depaginate(self.client.list_flavors, size=PAGE, hydrate=True)
        self.components: list[ComponentResponse] = depaginate(
            self.client.list_stack_components, size=PAGE, hydrate=True
        )

    def changes(self) -> list[Change]:
        """Give what differs, in the order in which it is to be written.

        Raises:
            UsageError: a flavor is unknown, its class cannot be imported, its settings are not what it takes,
                or a component would have to be replaced that another stack uses.
        """
        changes: list[Change] = []
        for kind, component in self.stack.present().items():
            type_ = StackComponentType(kind)
            flavor = self._flavor(type_, component)
            wanted = self._configuration(kind, component, flavor)
            changes += self._flavor_changes(type_, component, flavor)
            changes += self._component_changes(type_, component, flavor, wanted)
        return [*changes, *self._stack_changes(), *self._leftovers(), *self.repository_changes()]

    def _flavor(self, type_: StackComponentType, component: Component) -> Flavor:
        """Load the flavor, from its class or from those that ZenML knows."""
        kind, source = type_.value, component.source
        where = self.stack.where("components", kind, "source" if source else "flavor")
        if source is None:
            known = [model for model in self.flavors if model.type == type_]
            for model in known:
                if model.name == component.flavor:
                    return Flavor.from_model(model)
            hint = nearest(component.flavor, (model.name for model in known))
            raise UsageError(
                f"{where}: no {kind} flavor {component.flavor!r}: {hint}; our own need `source:`"
            )
        try:
            _, flavor = validate_flavor_source(source, type_)
        except (ValueError, TypeError) as error:
            raise UsageError(f"{where}: {source!r} refused: {error}") from error
        if flavor.name != component.flavor:
            raise UsageError(
                f"{where}: {source} is flavor {flavor.name!r}, not {component.flavor!r}: correct `flavor`"
            )
        return flavor

    def _configuration(self, kind: str, component: Component, flavor: Flavor) -> dict[str, Any]:
        """Give the settings as ZenML stores them."""
        keys = ("components", kind, "configuration")
        if unknown := self.stack.unknown_setting(kind, flavor.config_class.model_fields):
            key, hint = unknown
            raise UsageError(f"{self.stack.where(*keys, key)}: {flavor.name} has no setting {key!r}: {hint}")
        try:
            config = flavor.config_class(**component.configuration)
        except ValidationError as error:
            first = error.errors()[0]
            setting = ".".join(str(part) for part in first["loc"])
            where = self.stack.where(*keys, setting)
            raise UsageError(f"{where}: {kind} setting {setting!r} refused: {first['msg']}") from error
        except KeyError as error:
            # Some settings look their secrets up when they are read; ZenML's own words would show the others.
            self._require_secrets(keys, component.configuration)
            raise UsageError(
                f"{self.stack.where(*keys)}: {kind} refused: {flavor.config_class.__name__} fails on these "
                f"settings with a KeyError: compare them with what {flavor.name} takes"
            ) from error
        except (ValueError, ZenMLBaseException) as error:
            raise UsageError(f"{self.stack.where(*keys)}: {kind} refused: {error}") from error
        return config.model_dump(mode="json", exclude_unset=True)

    def _require_secrets(self, keys: KeyPath, configuration: dict[str, Any]) -> None:
        """Look up each secret that a setting refers to; ZenML itself looks up none within a setting."""
        read: dict[str, dict[str, str]] = {}
        for key, value in configuration.items():
            try:
                looked_up({key: value}, read)
            except ShutterlineError as error:
                raise type(error)(f"{self.stack.where(*keys, key)}: {error}") from error

    def _flavor_changes(
        self, type_: StackComponentType, component: Component, flavor: Flavor
    ) -> list[Change]:
        """Register a flavor of our own, or bring what the store knows of it up to date."""
        source = component.source
        if source is None:
            return []
        title = f"flavor {flavor.name} ({type_.value})"
        models = [model for model in self.flavors if (model.name, model.type) == (flavor.name, type_)]
        if not models:
            return [Change(f"{title}: (none) → {source}", lambda: self.client.create_flavor(source, type_))]
        model = models[0]
        update = FlavorUpdate(source=source, config_schema=flavor.config_schema)

        def write() -> None:
            self.client.zen_store.update_flavor(model.id, update)

        if model.source != source:
            return [Change(f"{title}: source: {model.source} → {source}", write)]
        if model.config_schema != flavor.config_schema:
            return [Change(f"{title}: the settings it takes: as registered → as in the code", write)]
        return []

    def _component_changes(
        self, type_: StackComponentType, component: Component, flavor: Flavor, wanted: dict[str, Any]
    ) -> list[Change]:
        """Make, change or replace one component."""
        name = self.stack.name_of(type_.value)
        title = f"{type_.value} {name}"
        found = [entry for entry in self.components if (entry.name, entry.type) == (name, type_)]

        def create() -> None:
            labels = {LABEL: self.stack.name}
            self.client.create_stack_component(name, component.flavor, type_, wanted, labels=labels)

        if not found:
            return [Change(f"{title}: (none) → flavor {component.flavor}", create)]
        present = found[0]
        if present.flavor_name != component.flavor:
            return self._replacement(present, component, create)
        fields = flavor.config_class.model_fields
        secret = {key for key, field in fields.items() if is_secret_field(field)}
        lines = _setting_lines(title, present.configuration, wanted, secret)
        if not lines:
            return []
        lines += self._untold(type_, present.configuration, wanted)

        def update() -> None:
            removed = dict.fromkeys(present.configuration.keys() - wanted.keys())
            self.client.update_stack_component(present.id, type_, configuration={**removed, **wanted})

        return [Change("\n".join(lines), update)]

    def _replacement(
        self, present: ComponentResponse, component: Component, create: Callable[[], None]
    ) -> list[Change]:
        """Put a component of another flavor under the same name; the old one steps aside, then goes."""
        kind, name = present.type.value, present.name
        if others := self._other_stacks(present.id):
            raise UsageError(
                f"{self.stack.where('components', kind, 'flavor')}: {kind} {name} cannot become a "
                f"{component.flavor}: it is a {present.flavor_name} that the stack {others[0]!r} uses; "
                "give this one a `name:` of its own"
            )

        def replace() -> None:
            self.client.update_stack_component(
                present.id,
                present.type,
                name=f"{name}-replaced-{present.id.hex[:8]}",
                labels={LABEL: self.stack.name},
            )
            create()
            if self.registered is not None:
                self.client.update_stack(self.registered.id, component_updates={present.type: name})
            self.client.delete_stack_component(present.id, present.type)

        return [Change(f"{kind} {name}: flavor: {present.flavor_name} → {component.flavor}", replace)]

    def _stack_changes(self) -> list[Change]:
        """Make the stack, or make it have exactly the file's components."""
        name = self.stack.name
        wanted = {StackComponentType(kind): self.stack.name_of(kind) for kind in self.stack.present()}
        if self.registered is None:
            listed = ", ".join(kind.value for kind in wanted)
            return [
                Change(f"stack {name}: (none) → {listed}", lambda: self.client.create_stack(name, wanted))
            ]
        stack_id = self.registered.id
        components = {type_: parts for type_, parts in self.registered.components.items() if parts}
        present = {type_: [part.name for part in parts] for type_, parts in components.items()}
        changes = []
        for type_ in {**wanted, **present}:
            old, new = present.get(type_, []), [wanted[type_]] if type_ in wanted else []
            if old == new:
                continue
            line = f"stack {name}: {type_.value}: {', '.join(old) or '(none)'} → {', '.join(new) or '(none)'}"
            lost = [
                self._untold(type_, one.configuration, {}) for one in components.get(type_, []) if not new
            ]
            lines = [line, *(warning for warnings in lost for warning in warnings)]
            changes.append(Change("\n".join(lines), self._stack_update(stack_id, type_, new)))
        return changes

    def _untold(self, type_: StackComponentType, old: dict[str, Any], new: dict[str, Any]) -> list[str]:
        """Say aloud which targets an alerter loses: nobody would notice that they are told of nothing."""
        lost = [key for key in ALERT_TARGETS if old.get(key) and not new.get(key)]
        if type_ != StackComponentType.ALERTER or not lost:
            return []
        left = any(new.get(key) for key in ALERT_TARGETS)
        who = f"whom {' and '.join(lost)} named are" if left else "people are"
        exports = " and ".join(ALERT_TARGETS[key] for key in lost)
        where = self.stack.where("components", "alerter", "configuration")
        return [
            f"WARNING: alerter: {who} told of nothing any more: export {exports}, or set "
            f"{' and '.join(lost)} ({where}), and run the command again"
        ]

    def _stack_update(
        self, stack_id: UUID, type_: StackComponentType, names: list[str]
    ) -> Callable[[], object]:
        return lambda: self.client.update_stack(stack_id, component_updates={type_: names})

    def _leftovers(self) -> list[Change]:
        """Delete what this file once made and no stack has any more."""
        wanted = {(kind, self.stack.name_of(kind)) for kind in self.stack.present()}
        changes = []
        for component in self.components:
            kind, name = component.type.value, component.name
            if (component.labels or {}).get(LABEL) != self.stack.name or (kind, name) in wanted:
                continue
            if not self._other_stacks(component.id):
                delete = self._deletion(component)
                changes.append(Change(f"{kind} {name}: flavor {component.flavor_name} → (none)", delete))
        return changes

    def _deletion(self, component: ComponentResponse) -> Callable[[], object]:
        return lambda: self.client.delete_stack_component(component.id, component.type)

    def _other_stacks(self, component_id: UUID) -> list[str]:
        """Name the stacks, other than this one, that use a component."""
        stacks = depaginate(self.client.list_stacks, component_id=component_id)
        return [stack.name for stack in stacks if stack.name != self.stack.name]

    def repository_changes(self) -> list[Change]:
        """Make the project a ZenML repository, and this its stack where none was chosen.

        The ``zenml`` command imports our flavors from the folder that holds ``.zen``.
        """
        name, active = self.stack.name, DEFAULT_STACK_AND_COMPONENT_NAME
        changes = []
        if Client.is_repository_directory(self.root):
            self.client.activate_root(self.root)
            active = self.client.active_stack_model.name
        else:
            changes.append(Change(f"{self.root}/.zen: (none) → made", self._initialize))
        if active == DEFAULT_STACK_AND_COMPONENT_NAME:
            line = f"active stack of {self.root}: {active} → {name}"
            changes.append(Change(line, lambda: self.client.activate_stack(name)))
        return changes

    def _initialize(self) -> None:
        Client.initialize(self.root)
        self.client.activate_root(self.root)


def _setting_lines(
    title: str, old: dict[str, Any], new: dict[str, Any], secret: Collection[str]
) -> list[str]:
    """Say each setting that differs as ``key: old → new``, and of a secret only that it does."""

    def told(key: str, settings: dict[str, Any]) -> object:
        return _shown(key, settings[key], hide=key in secret) if key in settings else "(none)"

    return [
        f"{title}: {key}: {told(key, old)} → {told(key, new)}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _shown(key: str, value: Any, *, hide: bool = False) -> object:
    """A setting as it may be printed."""
    hide = hide or names_a_secret(key)
    if isinstance(value, dict):
        return {name: _shown(name, item, hide=hide) for name, item in value.items()}
    if isinstance(value, list):
        return [_shown(key, item, hide=hide) for item in value]
    if not isinstance(value, str) or is_secret_reference(value):
        return value
    if hide:
        return "(hidden)"
    first, *more = (without_user(value) if "://" in value else value).splitlines() or [""]
    return f"{first}…" if more else first
