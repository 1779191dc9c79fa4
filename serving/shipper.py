"""Carry what services captured from their spool to the artifact store: ``python -m serving.shipper --help``.

It runs beside the service and takes the files that the service has closed. A file becomes parts, one for each
kind and hour in it, each named by the digest of the lines that went into it; then it is removed: whoever is
killed in between stores the same parts again under the same names. While the store is down the spool keeps
everything, within its limit; a file that the store does not take is tried after all others. A damaged line
is counted, and noted without what it says of a picture, for no ``--forget`` reaches a spool. Of a picture
that was forgotten nothing is shipped but what the model answered, also where it is forgotten while the part
is stored.

After a SIGTERM it waits until no service writes into the spool, ships the rest and ends.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from serving.capture_layout import (
    PERSONAL,
    Kind,
    folder_of,
    folder_of_hour,
    part_name,
    to_parquet,
)
from serving.captured_line import DamagedLine, rows_of, without_pictures
from serving.part_store import PartStore, StoreDownError, WrongAddressError, open_store
from serving.spool import (
    Stream,
    files_of,
    folder_of_stream,
    is_written,
    remove_left,
    streams,
    taken,
)

FORGOTTEN = "datasets/forgotten"
"""Below the store's root: the notes of the pictures that may not be kept."""
STATUS_FILE = "shipper.json"
ASIDE_FILE = "damaged.lines"
ASIDE_BYTES = 1_000_000
"""Of what is noted of damaged lines for a person to look at, of one stream; more are only counted."""
DEFAULT_INTERVAL_S = 5.0
DEFAULT_PATIENCE_S = 25.0
MOST_WAIT_S = 60.0
"""Between two tries to reach a store that is down."""
POLL_S = 0.1
WRONG_USE = 2
NICENESS = 10
"""It gives way to whoever answers: making a part of a large file takes seconds of CPU."""

logger = logging.getLogger("serving.shipper")


@dataclass
class Status:
    """What a shipper did since it was started; it is the file ``shipper.json`` of the spool.

    Attributes:
        parts: that were stored.
        rows: in them.
        damaged_lines: that were set aside.
        forgotten_rows: that went without what says something of a picture that was forgotten.
        shipped_at: when the last part was stored, ISO 8601.
        error: why the store did not take everything when it was tried last.
    """

    parts: int = 0
    rows: int = 0
    damaged_lines: int = 0
    forgotten_rows: int = 0
    shipped_at: str | None = None
    error: str | None = None


@dataclass
class Part:
    """The lines of one kind and hour of a spool's file, and their rows."""

    lines: list[bytes] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """The sha256 (hex) of the lines: the same lines, the same part."""
        return sha256(b"\n".join(self.lines)).hexdigest()


class Shipper:
    """One spool and the store that its files go to."""

    def __init__(self, spool: Path, store: PartStore) -> None:
        self.status = Status()
        self._spool = spool
        self._store = store
        self._forgotten: set[str] = set()
        self._tries = 0
        self._not_taken: dict[Path, int] = {}
        """The files that the store did not take, and at which try."""

    def ship(self) -> None:
        """Ship every closed file, those last that the store did not take: it may never take one of them.

        Raises:
            StoreDownError: the store did not take a file, and no other was tried after it, for the store may
                take none; what is not shipped is in the spool still.
            OSError: the spool cannot be read.
        """
        files: dict[Path, Stream] = {}
        for stream in streams(self._spool):
            folder = folder_of_stream(self._spool, stream)
            remove_left(folder)
            files |= dict.fromkeys(files_of(folder), stream)
        self._tries += 1
        self._not_taken = {path: tried for path, tried in self._not_taken.items() if path in files}
        for path in sorted(files, key=lambda path: self._not_taken.get(path, 0)):
            with taken(path) as content:
                if content is not None:
                    try:
                        self._ship_file(files[path], path, content)
                    except StoreDownError:
                        self._not_taken[path] = self._tries
                        raise

    def _ship_file(self, stream: Stream, path: Path, content: bytes) -> None:
        parts, damaged = parts_of(content)
        if parts:
            self._read_notes()
        stored: list[tuple[str, Kind, Part]] = []
        for (kind, hour), part in sorted(parts.items()):
            # Also of what is forgotten by now: whoever stores the part again has to come to the same name.
            name = part_name(part.digest, pictures=any(row.get("picture") is not None for row in part.rows))
            self._forget_in(part)
            try:
                data = to_parquet(kind, part.rows)
            except (ValueError, TypeError, OverflowError) as error:  # pyarrow's are among them
                damaged += [(line, str(error)) for line in part.lines]
                continue
            place = f"{folder_of(kind, *stream)}/{hour}/{name}"
            self._store.put(place, data)
            stored.append((place, kind, part))
            self.status.parts += 1
            self.status.rows += len(part.rows)
            self.status.shipped_at = datetime.now(UTC).isoformat(timespec="seconds")
        if stored:
            self._forget_what_was_forgotten_meanwhile(stored)
        if damaged:
            self.status.damaged_lines += len(damaged)
            logger.warning("%s: %d damaged lines were set aside: %s", path, len(damaged), damaged[0][1])
            set_aside(path.parent / ASIDE_FILE, damaged)
        path.unlink(missing_ok=True)

    def _forget_what_was_forgotten_meanwhile(self, stored: list[tuple[str, Kind, Part]]) -> None:
        """Store parts anew without the pictures whose notes came while the parts were put.

        Whoever forgets a picture writes its note and then looks through the captures: that one did not see
        these parts, or the notes that were read before them had the picture.
        """
        self._read_notes()
        for place, kind, part in stored:
            if self._forget_in(part):
                self._store.put(place, to_parquet(kind, part.rows))

    def _forget_in(self, part: Part) -> int:
        """Take out of a part what says something of pictures that were forgotten; in how many rows."""
        found = sum(forget(row, self._forgotten) for row in part.rows)
        self.status.forgotten_rows += found
        return found

    def _read_notes(self) -> None:
        """Take in the pictures that were forgotten since it was looked last."""
        for note in self._store.read_new(FORGOTTEN):
            try:
                content = json.loads(note)
                self._forgotten |= {content["name"], *content["source_digests"]}
            except (ValueError, KeyError, TypeError) as error:
                logger.warning("the note of a forgotten picture cannot be read: %r", error)


def parts_of(content: bytes) -> tuple[dict[tuple[Kind, str], Part], list[tuple[bytes, str]]]:
    """Sort the lines of a spool's file.

    Args:
        content: of the file.

    Returns:
        The parts by kind and folder of the hour; and the damaged lines, each with the reason.
    """
    parts: dict[tuple[Kind, str], Part] = defaultdict(Part)
    damaged = []
    for line in content.split(b"\n"):
        if not line:
            continue
        try:
            kind, rows = rows_of(line)
        except DamagedLine as error:
            damaged.append((line, str(error)))
            continue
        part = parts[kind, folder_of_hour(rows[0]["at"])]
        part.lines.append(line)
        part.rows += rows
    return parts, damaged


def forget(row: dict[str, Any], forgotten: set[str]) -> bool:
    """Take out of a row what says something of a picture that was forgotten; whether it had that."""
    if forgotten.isdisjoint({row.get("input_digest"), row.get("image_id")}):
        return False
    row.update(dict.fromkeys(PERSONAL))
    return True


def set_aside(file: Path, damaged: list[tuple[bytes, str]]) -> None:
    """Note damaged lines for a person to look at, up to ``ASIDE_BYTES``; a full disk takes none of them.

    Args:
        file: gets a JSON object a line: ``reason``, ``bytes`` and ``sha256`` of the damaged one, and as
            ``line`` what of it says nothing of a picture, where that can be told.
        damaged: lines, each with the reason.
    """
    try:
        with file.open("ab") as aside:
            os.chmod(file, 0o600)  # noqa: PTH101 - of the file that is open
            for line, reason in damaged:
                digest, kept = sha256(line).hexdigest(), without_pictures(line)
                about = {"reason": reason, "bytes": len(line), "sha256": digest}
                note = json.dumps(about if kept is None else {**about, "line": kept}).encode() + b"\n"
                if aside.tell() + len(note) <= ASIDE_BYTES:
                    aside.write(note)
    except OSError as error:
        logger.warning("%s cannot be written: %s", file, error)


def run(
    shipper: Shipper, spool: Path, ending: threading.Event, *, interval_s: float, patience_s: float
) -> None:
    """Ship until ``ending`` is set, and then what is left.

    Args:
        shipper: of the spool.
        spool: the folder.
        ending: set by SIGTERM.
        interval_s: between two looks at the spool; twice as long after each failure, up to a minute.
        patience_s: how long to wait at the end for services that still write, and for a store that is down.
    """
    wait_s = interval_s
    while not ending.wait(wait_s):
        wait_s = interval_s if attempt(shipper, spool) else min(2 * max(wait_s, interval_s), MOST_WAIT_S)
    until = time.monotonic() + patience_s
    while is_written(spool) and time.monotonic() < until:
        time.sleep(POLL_S)
    while not attempt(shipper, spool) and time.monotonic() < until:
        time.sleep(min(interval_s, 1.0))


def attempt(shipper: Shipper, spool: Path) -> bool:
    """Ship once, and say in the spool what came of it; whether the store took everything."""
    try:
        shipper.ship()
    except (StoreDownError, OSError) as error:
        if shipper.status.error is None:
            logger.warning("not everything is shipped now, the spool keeps the rest: %s", error)
        shipper.status.error = str(error)
    else:
        if shipper.status.error is not None:
            logger.info("the store takes what was captured again")
        shipper.status.error = None
    write_status(spool, shipper.status)
    return shipper.status.error is None


def write_status(spool: Path, status: Status) -> None:
    """Replace the spool's ``shipper.json``; a full disk leaves the old one."""
    temporary = spool / f".{STATUS_FILE}"
    try:
        spool.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(asdict(status)), encoding="utf-8")
        temporary.replace(spool / STATUS_FILE)
    except OSError as error:
        logger.warning("%s cannot be written: %s", spool / STATUS_FILE, error)


def _arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m serving.shipper", description="Carry captures from a spool to an artifact store."
    )
    parser.add_argument("--spool", type=Path, required=True, help="the folder that the services write into")
    parser.add_argument(
        "--to", required=True, help="root of the artifact store: s3://BUCKET/PREFIX or a path"
    )
    parser.add_argument(
        "--interval-s",
        type=float,
        default=DEFAULT_INTERVAL_S,
        help="between two looks at the spool (default: %(default)s)",
    )
    parser.add_argument(
        "--patience-s",
        type=float,
        default=DEFAULT_PATIENCE_S,
        help="after a SIGTERM, for services that still write and a store that is down (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Ship until SIGTERM; return an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    options = _arguments(arguments)
    os.nice(NICENESS)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    try:
        store = open_store(options.to)
    except WrongAddressError as error:
        sys.stderr.write(f"serving.shipper: not started: --to: {error}\n")
        return WRONG_USE
    logger.info("from %s to %s", options.spool, options.to)
    run(
        Shipper(options.spool, store),
        options.spool,
        ending,
        interval_s=options.interval_s,
        patience_s=options.patience_s,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
