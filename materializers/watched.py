"""What was found in a watched place: the deliveries that are complete, and those that are not (yet).

The report of each run carries the deliveries that its dataset has. So the next run knows them, wherever it
runs, and they are forgotten together with the dataset when another one takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from materializers.report import Record

EVERY_CHILD = "/*"
"""How the address of a watched place ends: a delivery is each of its children, and never the place itself."""
NAMED = 5
AGAIN = "--set ingest.watch.again=true"


def is_watched(address: str) -> bool:
    """Whether an address is that of a place with deliveries in it."""
    return address.endswith(EVERY_CHILD)


class WatchedDelivery(Record):
    """A complete delivery, as it was last looked at."""

    address: str
    stamp: str
    """The sha256 (hex) of the paths, sizes, and times or ETags of its files: with another it has changed."""
    files: int
    size: int
    """In bytes."""
    complete_at: datetime
    """When its marker was written."""
    outcome: Literal["taken", "refused", "refused_together"] = "taken"
    """``refused_together``: the dataset that it had joined was refused; newer deliveries may mend that."""
    reasons: tuple[str, ...] = ()
    """Why it was refused."""


class IncompleteDelivery(Record):
    """Something that is no delivery (yet)."""

    address: str
    since: datetime
    """When the first file of it was written."""
    lacks: Literal["marker", "delivery"]

    @property
    def said(self) -> str:
        """What it lacks, and since when."""
        return f"{_name(self.address)} has no {self.lacks} since {self.since:%Y-%m-%d %H:%M} UTC"


class Watched(Record):
    """What is known of watched deliveries after a run, and what that run found.

    Attributes:
        place: the address of the place that the run looked at; None where it was given something else.
        parent: the version of the dataset that its deliveries joined; None where there was none, or no place.
        deliveries: every delivery that the dataset has, and every one that was refused, of whatever place.
        taken: the addresses of those that this run took, in the order in which they joined.
        changed: those of them that an earlier run had taken, and that were others then.
        refused: the addresses of those in this place that are not taken.
        incomplete: what is not complete in this place.
    """

    place: str | None = None
    parent: str | None = None
    deliveries: tuple[WatchedDelivery, ...] = ()
    taken: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    incomplete: tuple[IncompleteDelivery, ...] = ()

    @property
    def brings_nothing(self) -> bool:
        """Whether a place was looked at, and nothing was taken from it."""
        return self.place is not None and not self.taken

    @property
    def newest_at(self) -> datetime | None:
        """When the latest delivery that the dataset has became complete; None where it has none."""
        times = [each.complete_at for each in self.deliveries if each.outcome == "taken"]
        return max(times, default=None)

    def refused_together(self, reasons: Sequence[str]) -> Watched:
        """The same, when the dataset was refused to which this run's deliveries had joined."""
        changes = {"outcome": "refused_together", "reasons": tuple(reasons)}
        deliveries = tuple(
            each.model_copy(update=changes) if each.address in self.taken else each
            for each in self.deliveries
        )
        return self.model_copy(
            update={
                "deliveries": deliveries,
                "taken": (),
                "changed": (),
                "refused": (*self.refused, *self.taken),
            }
        )

    def said(self) -> list[str]:
        """A sentence for each thing that a person wants to know of the place."""
        if self.place is None:
            return []
        found = []
        if self.taken:
            found.append(f"Taken from {self.place}: {_names(self.taken)}.")
        elif not self.refused:
            found.append(f"Nothing new is complete in {self.place}.")
        if self.changed:
            found.append(f"Changed since an earlier run took it, and taken again: {_names(self.changed)}.")
        known = {each.address: each for each in self.deliveries}
        for address in self.refused[:NAMED]:
            why = " ".join(known[address].reasons[:1])
            found.append(
                f"Not taken, {_name(address)}: {why} It is taken once it has changed, or with {AGAIN}."
            )
        if len(self.refused) > NAMED:
            found.append(f"Not taken either: {_names(self.refused[NAMED:])}.")
        if self.incomplete:
            shown = "; ".join(each.said for each in self.incomplete[:NAMED])
            more = len(self.incomplete) - NAMED
            found.append(f"Not complete: {shown}{f'; and {more:,} more' if more > 0 else ''}.")
        return found


def _name(address: str) -> str:
    return address.rpartition("/")[2]


def _names(addresses: Sequence[str]) -> str:
    shown = ", ".join(map(_name, addresses[:NAMED]))
    more = len(addresses) - NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown
