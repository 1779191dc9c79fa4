"""The open alerts of a model and the messages that were not told yet, as files of the artifact store.

Each is a file of its own: two processes that write at the same time overwrite no message of each other's.
A message is removed by whoever told it and not before, so that none is lost; it is told twice where two tell
it at the same time, or where one is killed between telling and removing it.

``alerts/<model>/open/<key>.json``, ``alerts/<model>/messages/<time>-<id>.json``, and
``alerts/<model>/events/<name>-<occurrence>.json`` of events that several look for
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from materializers.alert import Alert, Message, OpenAlert
from materializers.blobs import list_folder, read_blob, write_blob
from materializers.report import Record
from materializers.store_files import remove_file

if TYPE_CHECKING:
    from zenml.artifact_stores import BaseArtifactStore

ALERTS = "alerts"
"""Below a store's root."""
Kept = TypeVar("Kept", bound=Record)

logger = logging.getLogger("shutterline")


class AlertBox:
    """What is kept of the alerts of one model; every method raises an ``OSError`` where the store fails."""

    def __init__(self, store: BaseArtifactStore, model_name: str) -> None:
        self._store = store
        folder = f"{str(store.path).rstrip('/')}/{ALERTS}/{model_name}"
        self._open, self._messages = f"{folder}/open", f"{folder}/messages"
        self._events = f"{folder}/events"

    def find(self, key: str) -> OpenAlert | None:
        """The open alert with this key."""
        return self._read(f"{self._open}/{key}.json", OpenAlert)

    def open(self, name: str | None = None) -> list[OpenAlert]:
        """The open alerts, of one name or of all, the oldest first."""
        files = (file for file in list_folder(self._store, self._open) if name is None or _is_of(file, name))
        found = [self._read(f"{self._open}/{file}", OpenAlert) for file in files]
        return sorted((each for each in found if each is not None), key=lambda each: each.since)

    def put(self, state: OpenAlert) -> None:
        """Write an open alert down, in the place of what was known of it."""
        write_blob(self._store, f"{self._open}/{state.alert.key}.json", _json(state))

    def close(self, state: OpenAlert) -> None:
        """Forget an alert that is over."""
        remove_file(self._store, f"{self._open}/{state.alert.key}.json")

    def knows(self, event: Alert) -> bool:
        """Whether this very event was noted."""
        return self._read(self._event(event), Alert) is not None

    def note(self, event: Alert) -> None:
        """Note an event whose message is written down."""
        write_blob(self._store, self._event(event), _json(event))

    def _event(self, event: Alert) -> str:
        return f"{self._events}/{event.name}-{event.occurrence}.json"

    def messages(self) -> list[Message]:
        """What was not told yet, the oldest first."""
        return list(self._read_messages())

    def add(self, message: Message) -> None:
        """Write a message down, or again with what became of it so far."""
        write_blob(self._store, self._place(message), _json(message))

    def remove(self, message: Message) -> None:
        """Forget a message that was told."""
        remove_file(self._store, self._place(message))

    def _read_messages(self) -> Iterator[Message]:
        for file in sorted(list_folder(self._store, self._messages)):
            message = self._read(f"{self._messages}/{file}", Message)
            if message is not None:
                yield message

    def _place(self, message: Message) -> str:
        return f"{self._messages}/{message.at:%Y%m%dT%H%M%S.%f}-{message.id}.json"

    def _read(self, uri: str, kind: type[Kept]) -> Kept | None:
        """What lies there; None where nothing does, or nothing that can be understood."""
        try:
            return kind.model_validate_json(read_blob(self._store, uri))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            logger.warning(
                "%s is no %s and is passed over (%s): remove it", uri, kind.__name__, error.errors()[0]["msg"]
            )
            return None


def _is_of(file: str, name: str) -> bool:
    """Whether a file is that of an alert of this name; no name has a dash."""
    return file.partition("-")[0] == name


def _json(record: Record) -> bytes:
    return record.model_dump_json(indent=2).encode()
