"""What a model deployer of this project holds of each release, wherever it serves.

A release is pinned when it goes live: the digests that its verdict, approval and model had then. It goes back
live on these, without the registry.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self, TypeVar
from uuid import uuid4

from materializers.approval import verify_approval
from materializers.errors import Refused, UsageError
from materializers.evidence import PresentModel, verify_signature
from materializers.release import Arm, Environment, Release
from materializers.report import Record
from materializers.signatures import TrustedKeys
from materializers.verdict import verify_verdict
from serving.launching import PREDICTIONS

# Releases that --rollback can go back to, one after the other.
HISTORY_LENGTH = 20
# It becomes a part of the URL.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Entry(Record):
    """A release that was verified here, with the digests that it had then."""

    release: Release
    model_digest: str
    verdict_digest: str
    approval_digest: str | None

    @classmethod
    def pin(cls, release: Release, arm: Arm) -> Self:
        """Pin the digests of a release that was just verified; ``arm`` is its candidate."""
        return cls(
            release=release,
            model_digest=arm.model_digest,
            verdict_digest=arm.verdict.digest,
            approval_digest=arm.approval.digest if arm.approval else None,
        )

    def marked(self, *, recorded: bool, restored: bool) -> Self:
        """The same release, as registry and run records know it by now."""
        release = self.release.model_copy(update={"recorded": recorded, "restored": restored})
        return self.model_copy(update={"release": release})

    @property
    def served(self) -> tuple[int, str]:
        """Version and model digest."""
        version = self.release.candidate.version if self.release.candidate else 0
        return version, self.model_digest


E = TypeVar("E", bound=Entry)


def count_before(chain: Sequence[Entry], coming: Entry) -> int:
    """How many of ``chain`` were live before ``coming``; what is served already is no predecessor of itself.

    Args:
        chain: every release that was live, what is live now as the last.
        coming: the release that goes live.
    """
    past = len(chain)
    while past and chain[past - 1].served == coming.served:
        past -= 1
    return past


def live_before(chain: Sequence[E], coming: Entry) -> tuple[E, ...]:
    """What was live before ``coming``: what :func:`count_before` counts, and no more than is kept of it."""
    return tuple(chain[: count_before(chain, coming)][-HISTORY_LENGTH:])


def past_without(live: E | None, history: Sequence[E]) -> tuple[E, ...]:
    """What can be gone back to once what is live is withdrawn and forgotten, the newest last.

    That is the history; where a rollback had put back what is withdrawn, also what that replaced, which
    then is what was live last.
    """
    if live is None or not live.release.restored or live.release.champion is None:
        return tuple(history)
    arm = live.release.champion
    update = {"candidate": arm, "champion": None, "restored": False, "by": "", "why": ""}
    pinned = Entry.pin(live.release.model_copy(update=update), arm)
    replaced = live.model_copy(update=dict(pinned))
    return (*history[: count_before(history, replaced)], replaced)


def require_still_live(release: Release, live: Release | None) -> None:
    """Check, while nobody else can change it, that production serves what a release was proposed beside.

    Its verdict was compared with that: of two promotions at once the first wins, the other is told.

    Raises:
        Refused: something else is live by now, or nothing.
    """
    proposed, now = release.champion, live.candidate if live is not None else None
    coming = candidate_of(release)
    unchanged = now is None if proposed is None else same_arm(now, proposed)
    if release.environment != "production" or unchanged or same_arm(now, coming):
        return
    raise Refused(
        f"Version {coming.version} was proposed for production with {_named(proposed)} live; now "
        f"{_named(now)} is: another command was faster: {coming.verdict.judge_again}"
    )


def require_no_other_rollout(release: Release, rolling: Release | None) -> None:
    """Check, while nobody else can change it, that no other version is rolling out where ``release`` goes.

    Raises:
        Refused: another one is.
    """
    if rolling is None or same_version(rolling.candidate, candidate_of(release)):
        return
    raise Refused(
        f"{_named(rolling.candidate).capitalize()} is rolling out in {release.environment} "
        f"({rolling.mode}, {rolling.share:.0%}), so version {candidate_of(release).version} cannot go there "
        "before that has ended. See how it goes: python run.py --status; end it: python run.py --rollback "
        f"--environment {release.environment}"
    )


def require_not_ended(release: Release, live: Release | None, rolling: Release | None) -> None:
    """Check, while nobody else can change it, that the rollout that ``release`` goes on with is still there.

    A release goes on with a rollout where it was held as rolling out, or is past the first share. It comes
    from a look that may have begun before somebody ended that, and must not bring it back.

    Args:
        release: what is to be applied.
        live: what is live; where that is this version already, nothing can come back.
        rolling: what is rolling out.

    Raises:
        Refused: nothing is rolling out by now, or another attempt or version is.
    """
    arm = candidate_of(release)
    goes_on = bool(release.rollout) and (release.stage > 0 or release.status == "rolling_out")
    finished = live is not None and same_arm(live.candidate, arm)
    if not goes_on or finished or same_rollout(rolling, release):
        return
    where = release.environment
    raise Refused(
        f"The rollout {release.rollout} of version {arm.version} in {where} was ended by another command, so "
        "the version gets no more of the traffic. See what is live: python run.py --status; roll it out "
        f"anew: python run.py --deploy --environment {where} --version {arm.version}"
    )


def require_champion(release: Release, live: Release | None) -> Arm:
    """The version that a candidate rolls out beside: what is live, if it was proposed beside exactly that.

    In every environment: what is compared is compared with that version.

    Raises:
        Refused: nothing is live there, the candidate itself is, or another version than it was proposed
            beside.
    """
    coming, now = candidate_of(release), live.candidate if live is not None else None
    if now is None:
        raise Refused(
            f"Nothing is live in {release.environment}, so there is nothing to roll version {coming.version} "
            f"out beside. Propose it anew: python run.py --deploy --environment {release.environment} "
            f"--version {coming.version}"
        )
    if same_version(now, coming):
        raise Refused(
            f"Version {coming.version} is live in {release.environment} already, with all the traffic: "
            "python run.py --status"
        )
    if release.champion is None or not same_arm(now, release.champion):
        raise Refused(
            f"Version {coming.version} was proposed beside {_named(release.champion)}; now {_named(now)} is "
            f"live in {release.environment}: another command was faster. Try again: python run.py --deploy "
            f"--environment {release.environment} --version {coming.version}"
        )
    return now


def _named(arm: Arm | None) -> str:
    return f"version {arm.version}" if arm is not None else "nothing"


def require_model_name(model_name: str) -> str:
    """The name, if it can be part of a URL.

    Raises:
        UsageError: it cannot.
    """
    if not MODEL_NAME.fullmatch(model_name):
        raise UsageError(
            f"The model name {model_name!r} cannot be part of a URL; letters, digits, '.', '_' and '-' can."
        )
    return model_name


def candidate_of(release: Release) -> Arm:
    """The version that is to be served.

    Raises:
        Refused: the release names none.
    """
    if release.candidate is None:
        raise Refused(
            f"The release for {release.environment} names no version to serve: python run.py --status"
        )
    return release.candidate


def same_arm(one: Arm | None, other: Arm) -> bool:
    """Whether both are the same version with the same evidence.

    By digest: two verdicts with and without their pictures are the same evidence.
    """
    return one is not None and one.digest == other.digest


def same_version(one: Arm | None, other: Arm) -> bool:
    """Whether both are the same version of the same model, whatever evidence came to it since."""
    return one is not None and (one.version, one.model_digest) == (other.version, other.model_digest)


def as_live(release: Release, base_url: str) -> Release:
    """The release, live from now on below ``base_url``."""
    now, url = datetime.now(UTC), f"{base_url}{PREDICTIONS}"
    return release.model_copy(update={"status": "live", "reasons": (), "url": url, "since": now})


def as_rolling_out(release: Release, base_url: str, before: Release | None) -> Release:
    """The release, rolling out from now on below ``base_url``, or going on with another share, stage or mode.

    Args:
        release: what is to be.
        base_url: the champion's.
        before: what the same version's rollout was until now; None where it begins.
    """
    now = datetime.now(UTC)
    update: dict[str, object] = {
        "status": "rolling_out",
        "reasons": (),
        "url": f"{base_url}{PREDICTIONS}",
        "since": before.since if before else now,
        "rollout": (before.rollout if before else release.rollout) or uuid4().hex,
        "stage_since": before.stage_since if before and same_stage(before, release) else now,
    }
    return release.model_copy(update=update)


def require_share(release: Release) -> float:
    """What the candidate answers of the traffic, if it is a share that the release's mode can have.

    Raises:
        UsageError: it is not.
    """
    share = release.share
    fits = {"full": share == 1, "shadow": share == 0, "canary": 0 < share < 1, "ab": 0 < share < 1}
    if not fits[release.mode]:
        raise UsageError(
            f"A release in mode {release.mode} cannot have the share {share:g}: full has 1, shadow 0 (nobody "
            "gets its answers), canary and ab lie between. Correct the configuration's release"
        )
    return share


def same_stage(one: Release, other: Release) -> bool:
    """Whether both give the candidate the same traffic in the same way."""
    return (one.mode, one.share, one.stage) == (other.mode, other.share, other.stage)


def same_rollout(one: Release | None, other: Release) -> bool:
    """Whether both are one attempt of rolling the same version out, in whatever stage."""
    if one is None or one.rollout != other.rollout:
        return False
    return same_version(one.candidate, candidate_of(other))


def base_url_of(release: Release) -> str | None:
    """The URL that health and predictions of a live release lie below; None where it is not live."""
    return release.url.removesuffix(PREDICTIONS) if release.url else None


def place_in_history(chain: Sequence[Entry], arm: Arm, environment: Environment) -> int:
    """Where in ``chain`` a version was live last.

    Raises:
        Refused: it never was.
    """
    for place in reversed(range(len(chain))):
        if chain[place].served[0] == arm.version:
            return place
    raise Refused(
        f"Version {arm.version} never was live in {environment}, so it cannot be put back there. "
        f"Deploy it: python run.py --deploy --environment {environment} --version {arm.version}"
    )


def verify_as_pinned(
    release: Release, arm: Arm, pinned: Entry, model: PresentModel, trusted: TrustedKeys
) -> None:
    """Check a release that was live before on its own evidence: what was pinned when it went live.

    Args:
        release: what is to go back live; ``arm`` is its candidate.
        arm: the version.
        pinned: what the deployer holds of it.
        model: the model directory that is about to be served.
        trusted: the public keys of the gate and of whoever may approve.

    Raises:
        Refused: verdict, approval, signature or model are not those that were verified then, or the verdict
            says no.
    """
    if not arm.model_digest == pinned.model_digest == model.digest:
        raise Refused(
            f"The model of version {arm.version} was {pinned.model_digest[:12]} when live; the release "
            f"names {arm.model_digest[:12]}, and its bytes give {model.digest[:12]} now: "
            "it was altered. Train again: python run.py --train --source PATH"
        )
    if arm.verdict.model_name != release.model_name:
        raise Refused(
            f"The verdict is about {arm.verdict.model_name}, the release is of {release.model_name}."
        )
    recorded: dict[str, str | None] = {"deployer": pinned.verdict_digest}
    verify_verdict(arm.verdict, model_digest=model.digest, recorded=recorded)
    verify_signature(arm, model, trusted)
    if release.environment == "production":
        verify_approval(
            arm.approval,
            version=arm.version,
            verdict=arm.verdict,
            recorded=pinned.approval_digest,
            trusted=trusted,
        )
