"""What is live, rolls out, was live before, and a change under way: annotations of the SeldonDeployment.

Kubernetes keeps at most 256 KiB of annotations with a resource. What does not fit is forgotten from the
oldest on: first the specifications of releases before the previous one (such a release goes back live under
today's settings), then these releases. How many are gone is kept beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from materializers.errors import DamagedArtifact, ServiceUnreachable
from materializers.report import Record
from stacks.served import Entry, count_before, live_before, past_without

LIVE, HISTORY, PENDING = "shutterline/live", "shutterline/history", "shutterline/pending"
ROLLING = "shutterline/rolling-out"
# Kubernetes' limit is 262,144 bytes, keys included; some are left for kubectl and others.
ANNOTATION_BYTES = 240_000


class Kept(Entry):
    """A release that was verified here, with the specification that served it; None: no longer kept.

    Of a release that is rolling out it is the specification of the whole resource, with both versions.
    """

    specification: dict[str, Any] | None


class History(Record):
    """What was live before, the newest last, and how many older releases did not fit any more."""

    format_version: Literal[1] = 1
    releases: tuple[Kept, ...] = ()
    forgotten: int = 0


class Pending(Record):
    """A change that was begun.

    Attributes:
        token: names the change.
        beat: when the command that makes it was last known to live, by the cluster's clock.
        coming: what goes live, or rolls out.
        past: how many releases of the chain stay its history.
    """

    token: str
    beat: datetime
    coming: Kept
    past: int


class State(Record):
    """One model in one environment."""

    live: Kept | None = None
    rolling: Kept | None = None
    history: History = Field(default_factory=History)
    pending: Pending | None = None

    @property
    def serving(self) -> Kept | None:
        """What the resource serves while no change is under way; its specification is the resource's."""
        return self.rolling or self.live

    def with_rolling(self, rolling: Kept | None) -> State:
        """The state with another candidate beside what is live, or none."""
        return self.model_copy(update={"rolling": rolling})

    @property
    def chain(self) -> tuple[Kept, ...]:
        """Every release that was live here, what is live now as the last."""
        return (*self.history.releases, self.live) if self.live else self.history.releases

    def past_of(self, coming: Entry) -> int:
        """How many releases of the chain were live before ``coming``."""
        return count_before(self.chain, coming)

    def begun(self, pending: Pending) -> State:
        """The state with a change under way."""
        return self.model_copy(update={"pending": pending})

    def concluded(self) -> State:
        """The state once the change under way has its traffic: all, or what a candidate gets.

        What rolled out beside the release that was live until now does so no more.
        """
        if self.pending is None:
            return self
        if self.pending.coming.release.status == "rolling_out":
            return self.undone().with_rolling(self.pending.coming)
        past = live_before(self.chain[: self.pending.past], self.pending.coming)
        return State(live=self.pending.coming, history=self.history.model_copy(update={"releases": past}))

    def undone(self) -> State:
        """The state without the change under way."""
        return self.model_copy(update={"pending": None})

    def down(self, *, remember: bool) -> State:
        """Nothing live; what was live is known as past unless told otherwise.

        Of what a forgotten rollback had replaced the specification is not known any more.
        """
        bare = self.live.model_copy(update={"specification": None}) if self.live else None
        past = self.chain if remember else past_without(bare, self.history.releases)
        return State(history=self.history.model_copy(update={"releases": past}))

    def annotations(self) -> dict[str, str]:
        """The state as annotations, cut to what Kubernetes keeps.

        Raises:
            ServiceUnreachable: what is live alone is more than that.
        """
        state = self
        while (written := state._written()) and sum(len(k) + len(v.encode()) for k, v in written.items()) > (
            ANNOTATION_BYTES
        ):
            state = state._with_less()
        return written

    def _written(self) -> dict[str, str]:
        parts = {LIVE: self.live, ROLLING: self.rolling, HISTORY: self.history, PENDING: self.pending}
        return {key: part.model_dump_json() for key, part in parts.items() if part is not None}

    def _with_less(self) -> State:
        releases = self.history.releases
        older = [place for place, one in enumerate(releases[:-1]) if one.specification is not None]
        if older:
            bare = releases[older[0]].model_copy(update={"specification": None})
            releases = (*releases[: older[0]], bare, *releases[older[0] + 1 :])
            return self.model_copy(update={"history": self.history.model_copy(update={"releases": releases})})
        if not releases:
            raise ServiceUnreachable(
                f"What is live does not fit into {ANNOTATION_BYTES:,} bytes of annotations, which is all "
                "that Kubernetes keeps with a resource: see how large verdict and approval are"
            )
        history = self.history.model_copy(
            update={"releases": releases[1:], "forgotten": self.history.forgotten + 1}
        )
        pending = self.pending
        if pending is not None:
            pending = pending.model_copy(update={"past": max(0, pending.past - 1)})
        return self.model_copy(update={"history": history, "pending": pending})


def read_state(where: str, annotations: Mapping[str, str]) -> State:
    """Read what :meth:`State.annotations` wrote.

    Args:
        where: the resource, for the message.
        annotations: of the resource; others than ours are left alone.

    Raises:
        DamagedArtifact: they are not what this deployer wrote.
    """
    parts = {"live": LIVE, "rolling": ROLLING, "history": HISTORY, "pending": PENDING}
    try:
        found = {name: json.loads(annotations[key]) for name, key in parts.items() if key in annotations}
        return State.model_validate_json(json.dumps(found))
    except (ValidationError, ValueError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise DamagedArtifact(
            f"The annotations of {where} say what is live and cannot be understood: {said}. Put them back "
            "(kubectl annotate), or take down what serves and begin anew: python run.py --stop"
        ) from error
