"""Look at a watched place: which deliveries are complete, which are not, and which nobody took yet.

A supplier writes the delivery first and its marker last, beside it: an empty file whose name is that of the
delivery and the marker's ending. So one listing of the place says everything, and no delivery is opened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import Field, field_validator

from materializers.alert import Alert
from materializers.errors import UsageError
from materializers.report import Record, json_digest
from materializers.watched import AGAIN, EVERY_CHILD, IncompleteDelivery, WatchedDelivery, is_watched
from steps.data.bucket import S3_SCHEME, S3Source, lacks_bucket, split_address
from steps.data.class_folders import printable
from steps.data.files import (
    DEFAULT_LIMITS,
    PARQUET_SUFFIX,
    FolderSource,
    Unreadable,
    WatchedFiles,
    counts,
)
from steps.data.labels import LABELS_FILE
from steps.data.sources import ARCHIVE_SUFFIXES, CONNECTIONS, find_source
from steps.monitoring.alerts.alert import clear_alert, raise_alert, short_line

INCOMPLETE = "delivery_incomplete"
LONGEST_HOURS = 24 * 366
IN_ONE_FILE = (*ARCHIVE_SUFFIXES, PARQUET_SUFFIX)


class WatchSettings(Record):
    """When a delivery in a watched place is complete, and when somebody is told that one is not."""

    marker: str = Field(default="._COMPLETE", pattern=r"^\.[A-Za-z0-9_.-]*[A-Za-z0-9_]$")
    """The ending of a marker's name: beside ``NAME`` lies ``NAME._COMPLETE``."""
    incomplete_hours: float = Field(default=24, ge=0, le=LONGEST_HOURS, allow_inf_nan=False)
    """Since the first file of a delivery was written; people are told of one that is not complete by then."""
    again: bool = False
    """Take deliveries that were refused once more, though they have not changed."""

    @field_validator("marker")
    @classmethod
    def _no_delivery(cls, marker: str) -> str:
        if marker.lower().endswith(IN_ONE_FILE):
            raise ValueError(f"{marker} is how a delivery ends; a marker needs another ending, ._COMPLETE")
        return marker


@dataclass(frozen=True)
class Complete:
    """A delivery whose marker is there, and the address to open it by, which a report may have to escape."""

    address: str
    known_as: WatchedDelivery


@dataclass(frozen=True)
class Place:
    """What lies in a watched place; the oldest marker first.

    Attributes:
        address: of the place.
        complete: what can be taken.
        incomplete: what lacks its marker, or is a marker that lacks its delivery, by the stamp of its files.
    """

    address: str
    complete: tuple[Complete, ...]
    incomplete: Mapping[str, IncompleteDelivery]


@dataclass(frozen=True)
class Choice:
    """What a run does about a place; see :class:`materializers.watched.Watched`.

    Attributes:
        waiting: what it takes, in this order.
        changed: the addresses, as reports have them, of those that an earlier run took.
        refused: the addresses of those that it leaves alone because they were refused.
        incomplete: what it leaves alone because it is not complete.
    """

    waiting: tuple[Complete, ...]
    changed: frozenset[str]
    refused: tuple[str, ...]
    incomplete: tuple[IncompleteDelivery, ...]


def require_source(source: str) -> None:
    """Check that a delivery is there, or the place that is watched for them.

    Raises:
        UsageError: it is not.
        ServiceUnreachable: the bucket cannot be asked.
    """
    if is_watched(source):
        require_place(source)
    else:
        find_source(source)


def require_place(address: str) -> None:
    """Refuse a watched place that is not there; one that is empty is there.

    Where this machine has no access to a bucket, the steps may have it: then nothing is refused here.

    Args:
        address: that ends with ``/*``.

    Raises:
        UsageError: there is no such folder, or no such bucket.
    """
    place = address.removesuffix(EVERY_CHILD)
    if place.startswith(S3_SCHEME):
        if lacks_bucket(place):
            raise UsageError(f"There is no bucket {address} could lie in: make it, or correct --source.")
        return
    try:
        there = Path(place or "/").expanduser().is_dir()
    except OSError as error:  # a folder that may not be entered, a name too long
        raise UsageError(f"The place {place} cannot be looked at: {error.strerror}.") from error
    if not there:
        raise UsageError(f"There is no folder {place} to watch: make it, or correct --source.")


def look(address: str, settings: WatchSettings, *, connections: int = CONNECTIONS) -> Place:
    """List a watched place once.

    Args:
        address: that ends with ``/*``.
        settings: what marks a complete delivery.
        connections: requests at the same time, for a bucket.

    Raises:
        UsageError: there is no such place, or it is a delivery itself.
        ServiceUnreachable: the bucket does not answer.
    """
    require_place(address)
    place = _written_alike(address.removesuffix(EVERY_CHILD))
    with closing(_files(place, connections)) as files:
        return _sorted_out(place, files, settings.marker)


def choose(place: Place, known: Sequence[WatchedDelivery], *, again: bool = False) -> Choice:
    """What is to be taken: what no earlier run took as it is now.

    What was refused waits until it has changed. What was refused only together with others is taken once more
    where something else is taken, for that may bring what was lacking.

    Args:
        place: what lies there.
        known: what earlier runs took or refused, of any place.
        again: take what was refused, too.
    """
    before = {each.address: each for each in known}
    fresh: list[Complete] = []
    together: list[Complete] = []
    refused: list[str] = []
    changed: set[str] = set()
    for one in place.complete:
        then = before.get(one.known_as.address)
        if then is None or then.stamp != one.known_as.stamp:
            fresh.append(one)
            if then is not None and then.outcome == "taken":
                changed.add(then.address)
        elif then.outcome == "taken":
            continue
        elif again:
            fresh.append(one)
        elif then.outcome == "refused_together":
            together.append(one)
        else:
            refused.append(then.address)
    if not fresh:
        refused += [one.known_as.address for one in together]
        together = []
    stamps = {(each.address, each.stamp) for each in known if each.outcome == "taken"}
    return Choice(
        waiting=tuple(_oldest_first([*fresh, *together])),
        changed=frozenset(changed),
        refused=tuple(refused),
        incomplete=tuple(
            each for stamp, each in place.incomplete.items() if (each.address, stamp) not in stamps
        ),
    )


def tell_incomplete(
    incomplete: Iterable[IncompleteDelivery],
    place: str,
    model_name: str,
    settings: WatchSettings,
    *,
    now: datetime,
) -> None:
    """Tell people of deliveries that should be complete by now: nobody else would notice them.

    Args:
        incomplete: what is not complete.
        place: the address of the one watched place that it all lies in; another has an alert of its own.
        model_name: the registered model.
        settings: since when it is late.
        now: the time, with its zone.
    """
    subject = short_line(printable(place))
    limit = timedelta(hours=settings.incomplete_hours)
    late = [each for each in incomplete if now - each.since >= limit]
    if not late:
        reason = "What lies there is complete, or not late."
        clear_alert(INCOMPLETE, model_name, subject=subject, reason=reason, now=now)
    else:
        reasons = (
            *(f"{each.said}: {each.address}" for each in late),
            f"A delivery is taken once NAME{settings.marker} lies beside it, and should be complete within "
            f"{settings.incomplete_hours:g} hours: ask the supplier, or set ingest.watch.incomplete_hours.",
        )
        raise_alert(
            Alert(
                name=INCOMPLETE,
                severity="warning",
                model_name=model_name,
                subject=subject,
                reasons=reasons,
            ),
            now=now,
        )


def tell_refused(refused: Iterable[WatchedDelivery], model_name: str) -> None:
    """Tell people of deliveries that a run refused: the others are taken, and the run ends well."""
    reasons = tuple(f"{each.address}: {' '.join(each.reasons)}" for each in refused)
    if reasons:
        mend = f"Each is taken once it has changed, or with --continuous {AGAIN}."
        alert = Alert(
            name="delivery_refused",
            severity="warning",
            model_name=model_name,
            reasons=(*reasons, mend),
            event=True,
        )
        raise_alert(alert)


def _written_alike(place: str) -> str:
    """The one address of a place, however it was written: a delivery is known again by it."""
    if place.startswith(S3_SCHEME):
        return S3_SCHEME + "/".join(filter(None, split_address(place)))
    return str(Path(place or "/").expanduser().resolve())


def _files(place: str, connections: int) -> WatchedFiles:
    if place.startswith(S3_SCHEME):
        return S3Source(place, DEFAULT_LIMITS, connections)
    return _FolderOfDeliveries(place, Path(place), DEFAULT_LIMITS)


class _FolderOfDeliveries(FolderSource):
    """A folder of a delivery that cannot be looked into keeps no other delivery out: it is read by itself."""

    def _refuse(self, error: OSError) -> None:
        if error.filename is None or Path(error.filename) == self.root:
            super()._refuse(error)


def _sorted_out(place: str, files: WatchedFiles, marker: str) -> Place:
    children: dict[str, list[str]] = defaultdict(list)
    markers: dict[str, str] = {}
    for path in files.listing():
        name, below, _ = path.partition("/")
        if not below and name.endswith(marker) and name != marker:
            markers[name.removesuffix(marker)] = path
        elif name and not name.startswith("."):
            children[name].append(path)
    if children.get(LABELS_FILE) == [LABELS_FILE]:
        raise UsageError(
            f"{place} has a {LABELS_FILE}: it is a delivery itself, and no place with deliveries in it. Give "
            f"--source {place} itself, or move it into a folder of its own in the watched one."
        )
    complete, incomplete = [], dict[str, IncompleteDelivery]()
    for name in sorted({*children, *markers}):
        paths, mark = children.get(name), markers.get(name)
        address = printable(f"{place}/{name}")
        try:
            if paths is None or mark is None:
                if paths is None or _may_be_delivery(name, paths):
                    stamp, lacking = _incomplete(address, files, paths, mark)
                    incomplete[stamp] = lacking
                continue
            known_as = _complete(address, files, paths, mark)
        except Unreadable:  # it went between listing and looking: the next run sees what is there then
            continue
        complete.append(Complete(f"{place}/{name}", known_as))
    return Place(place, tuple(_oldest_first(complete)), incomplete)


def _may_be_delivery(name: str, paths: Sequence[str]) -> bool:
    """Whether what has no marker may get one; other files may lie in the place as well."""
    return paths != [name] or name.lower().endswith(IN_ONE_FILE)


def _incomplete(
    address: str, files: WatchedFiles, paths: Sequence[str] | None, mark: str | None
) -> tuple[str, IncompleteDelivery]:
    there = paths or ([] if mark is None else [mark])
    since = min(files.written_at(path) for path in there)
    lacks = IncompleteDelivery(address=address, since=since, lacks="marker" if paths else "delivery")
    return _stamp(files, _parts(there)), lacks


def _complete(address: str, files: WatchedFiles, paths: Sequence[str], mark: str) -> WatchedDelivery:
    parts = _parts(paths)
    sizes = [stamp[0] for path in parts if (stamp := files.listing()[path]) is not None]
    return WatchedDelivery(
        address=address,
        stamp=_stamp(files, parts),
        files=len(parts),
        size=sum(sizes),
        complete_at=files.written_at(mark),
    )


def _parts(paths: Sequence[str]) -> list[str]:
    """The files that belong to a delivery; all where none is of a kind that would."""
    return [path for path in paths if "/" not in path or counts(path.partition("/")[2])] or list(paths)


def _stamp(files: WatchedFiles, paths: Iterable[str]) -> str:
    """The digest by which a delivery is known again."""
    return json_digest([[printable(path), *files.known_by(path)[1:]] for path in sorted(paths)])


def _oldest_first(complete: Iterable[Complete]) -> list[Complete]:
    return sorted(complete, key=lambda one: (one.known_as.complete_at, one.known_as.address))
