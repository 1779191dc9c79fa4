"""A deployer that holds what is live and what rolls out in memory; it serves nothing.

It asks of a release what the stacks' deployers ask, but for the evidence, which is none of a version that is
registered: ``refuses`` stands for that, and the tests of both deployers look at it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from materializers.errors import Refused, ServiceBusy, ServiceFailed, ServiceUnreachable
from materializers.release import Environment, Release
from materializers.signatures import TrustedKeys
from stacks.served import (
    Entry,
    candidate_of,
    place_in_history,
    require_champion,
    require_no_other_rollout,
    require_not_ended,
    require_share,
    require_still_live,
)

MODULES = ("bring_up", "candidate", "conclude", "observe", "release", "rollback", "rollout")


@dataclass
class HeldDeployer:
    """One environment of one model.

    Args:
        trusted: the public keys that the stack's own deployer names.
        champion: what is live.
        rolling: what is rolling out.
        before: what was live before the champion.
        answers: whether the candidate does.
        fails: so many times before that it does not.
        busy: why it has no time to answer; None: it has.
        refuses: why the next release is refused; None: it is not.
        out_of_reach: whether what is served cannot be changed.
        champion_answers: whether what is live does.
        comes_up: whether it does, where it did not answer.
        missing: what has to run beside it and does not.
    """

    trusted: TrustedKeys
    champion: Release | None = None
    rolling: Release | None = None
    before: Release | None = None
    answers: bool = True
    fails: int = 0
    busy: str | None = None
    refuses: str | None = None
    out_of_reach: bool = False
    champion_answers: bool = True
    comes_up: bool = True
    missing: list[str] = field(default_factory=list)
    applied: list[Release] = field(default_factory=list)

    def trusted_keys(self) -> TrustedKeys:
        """Of the stack."""
        return self.trusted

    def apply(self, release: Release) -> Release:
        """Hold it, beside what it was proposed beside."""
        require_share(release)
        require_not_ended(release, self.champion, self.rolling)
        require_no_other_rollout(release, self.rolling)
        if release.mode != "full":
            require_champion(release, self.champion)
        require_still_live(release, self.champion)
        if self.refuses is not None:
            raise Refused(self.refuses)
        self.applied.append(release)
        now = datetime.now(UTC)
        if release.mode == "full":
            self.champion, self.rolling = release.model_copy(update={"status": "live", "since": now}), None
            return self.champion
        begun = self.rolling.since if self.rolling else now
        update = {"status": "rolling_out", "since": begun, "stage_since": now, "reasons": ()}
        self.rolling = release.model_copy(update=update)
        return self.rolling

    def restore(self, release: Release) -> Release:
        """Hold it again, if it was live and nothing else rolls out; what is live comes up."""
        held = [one for one in (self.before, self.champion) if one is not None]
        chain = [Entry.pin(one, candidate_of(one)) for one in held]
        place_in_history(chain, candidate_of(release), release.environment)
        live = self.champion is not None and candidate_of(release) == candidate_of(self.champion)
        if self.rolling is not None and not live:
            raise Refused(f"Version {candidate_of(self.rolling).version} is rolling out")
        if not self.comes_up:
            raise ServiceFailed("Its service did not come up")
        self.champion_answers = True
        self.champion = release.model_copy(update={"status": "live", "since": datetime.now(UTC)})
        return self.champion

    def current(self, model_name: str, environment: Environment) -> Release | None:
        """What is live."""
        return self.champion

    def rolling_out(self, model_name: str, environment: Environment) -> Release | None:
        """What is rolling out."""
        return self.rolling

    def previous(self, model_name: str, environment: Environment) -> Release | None:
        """What was live before."""
        return self.before

    def live(self) -> list[Release]:
        """What is live."""
        return [self.champion] if self.champion else []

    def end_rollout(self, release: Release) -> bool:
        """Let it go."""
        if self.out_of_reach:
            raise ServiceUnreachable("The ingress does not answer")
        if self.rolling is None or self.rolling.rollout != release.rollout:
            return False
        self.rolling = None
        return True

    def verify(self, release: Release) -> bool:
        """Whether the candidate answers, or what is live."""
        if release.status == "live" and not self.champion_answers:
            return False
        if self.busy is not None:
            raise ServiceBusy(self.busy)
        self.fails -= 1
        return self.answers and self.fails < 0

    def faults(self, model_name: str) -> list[str]:
        """What is missing."""
        return self.missing

    def hold(self, patch: pytest.MonkeyPatch) -> None:
        """Be the deployer of the active stack."""
        held: Any = self
        for name in MODULES:
            patch.setattr(f"steps.deployment.{name}.active_deployer", lambda: held)
