"""How what is served changes: the specification is replaced, the new version comes up and takes the traffic.

A change is written down with the specification, in one act, and concluded once the URL answers as the new
version. The command that makes it shows every few seconds that it lives. Where it does not, whoever looks
next concludes the change if the new version has the traffic, and puts the specification before it back if
not.

A candidate that rolls out comes up in the same way, beside what is live. Another share, or a way to share
that moves no pod, is one write; so is the end of a rollout. Before a candidate takes more of the traffic than
its replicas are for, it gets more of them.

What else answers for the live release (:mod:`.interfaces`) follows each change, and goes before what is live
is taken down. Where it cannot follow, the change stands all the same: that is said, and each later command
tries again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

from materializers.errors import (
    DamagedArtifact,
    NeverReady,
    Refused,
    ServiceBusy,
    ServiceUnreachable,
    ShutterlineError,
    UsageError,
)
from materializers.evidence import verify_return
from materializers.release import Release
from stacks.seldon_deployer.asking import Asking
from stacks.seldon_deployer.cluster import Cluster, ConflictError, Json
from stacks.seldon_deployer.flavor import SeldonClusterModelDeployerConfig
from stacks.seldon_deployer.interfaces import Interfaces
from stacks.seldon_deployer.manifest import as_kept, specification
from stacks.seldon_deployer.reasons import why_not_ready
from stacks.seldon_deployer.resource import Predictor, Specification
from stacks.seldon_deployer.sharing import beside, routed
from stacks.seldon_deployer.state import Kept, Pending, State
from stacks.seldon_deployer.store import Held, Store, given_up
from stacks.served import candidate_of
from stacks.trusted_keys import trusted_keys

POLL_S = 0.5
BEAT_S = 5.0
# Longer than an ingress and a cluster that hang keep a command from its next beat. Both times are the
# cluster's, so that no two clocks are compared.
DEAD_AFTER_S = 60.0
TRIES = 5

logger = logging.getLogger("shutterline")

T = TypeVar("T")


def may_stay(release: Release, config: SeldonClusterModelDeployerConfig) -> bool:
    """Whether the records allow what another command began to bring up: what it checked is not known here.

    A registry that cannot be read allows nothing.
    """
    try:
        verify_return(
            candidate_of(release),
            model_name=release.model_name,
            environment=release.environment,
            trusted=trusted_keys(config.gate_public_key, config.actor_public_keys),
        )
    except (Refused, UsageError, ServiceUnreachable) as error:
        logger.warning("What was coming up in %s does not stay: %s", release.environment, error)
        return False
    return True


class Rollout:
    """Changes of what one cluster serves."""

    def __init__(self, config: SeldonClusterModelDeployerConfig) -> None:
        self._config = config
        self.store = Store(Cluster(config))
        self.asking = Asking(self.store.cluster, config.service_token)
        self.interfaces = Interfaces(self.store, config)

    def settled(self, name: str) -> Held:
        """What is held under ``name``, after concluding or undoing what a command that ended left."""
        for _ in range(TRIES):
            held = self.store.read(name)
            pending = held.state.pending
            if pending is None:
                return held
            try:
                if self._is_up(held, pending) and may_stay(pending.coming.release, self._config):
                    return self._conclude(held)
                if self._is_alive(pending):
                    return held
                self._undo(held)
            except ConflictError:
                continue
        return self.store.read(name)

    def change(self, name: str, act: str, what: Callable[[Held], T]) -> T:
        """Change what is held under ``name``, settled, and from the start again where another was faster.

        Raises:
            ServiceUnreachable: another command is changing it, or keeps doing so.
        """
        conflict = ConflictError("it was never settled")
        for _ in range(TRIES):
            held = self._settled_and_free(name, act)
            try:
                return what(held)
            except ConflictError as error:
                conflict = error
        raise given_up(name, conflict)

    def roll_out(
        self,
        held: Held,
        coming: Kept,
        new: Specification,
        *,
        past: int = 0,
        ahead: Specification | None = None,
    ) -> Release:
        """Bring a verified release up, in the place of what is live or beside it.

        Args:
            held: what is held now, with no change under way.
            coming: the release.
            new: what serves it.
            past: how many releases of the chain stay its history, where it goes live.
            ahead: what serves until the candidate has the replicas that ``new`` starts it with.

        Raises:
            ConflictError: another command changed what is held; nothing was begun.
            UsageError: somebody else made a ConfigMap of this name; nothing was begun.
            NeverReady: it did not come up; what was live before still is.
            ServiceUnreachable: the cluster cannot be reached, or another command took over.
        """
        self.store.taken_down(held.name)
        pending = Pending(token=uuid4().hex, beat=self.store.cluster.now, coming=coming, past=past)
        serving = held.body["spec"] if held.body else None
        held = self.store.write(held, held.state.begun(pending), (ahead or new).as_json())
        try:
            if ahead is not None:
                held = self._wait(held.name, pending, lambda now, _: self._has_replicas(now, coming, ahead))
                if held.state.pending is not None:
                    held = self.store.write(held, held.state, new.as_json())
            return self._bring_up(held, pending)
        except BaseException:
            # Also when the command is interrupted; what cannot be undone now, the next command undoes.
            with suppress(ServiceUnreachable):
                self._end(held.name, pending.token, serving)
            raise

    def _bring_up(self, held: Held, pending: Pending) -> Release:
        """Wait until the new version has its traffic, and conclude the change."""

        def concluded(held: Held, pending: Pending) -> bool:
            up = self._is_up(held, pending)
            if up:
                self._conclude(held)
            return up

        release = pending.coming.release
        held = self._wait(held.name, pending, concluded)
        return release if _named(held, pending) else self._taken_over(held, release)

    def _wait(self, name: str, pending: Pending, arrived: Callable[[Held, Pending], bool]) -> Held:
        """Wait until something is so of a change of ours, or it is ours no more; show that we live.

        Raises:
            NeverReady: it is not so in time.
        """
        started = beaten = time.monotonic()
        while True:
            held = self.store.read(name)
            now = held.state.pending
            if now is None or not _named(held, pending):
                return held
            with suppress(ConflictError):  # read again: whoever was faster may have concluded it
                if arrived(held, now):
                    return held
                if time.monotonic() - beaten > BEAT_S:
                    beat = now.model_copy(update={"beat": self.store.cluster.now})
                    self.store.write(held, held.state.begun(beat))
                    beaten = time.monotonic()
            if time.monotonic() - started > self._config.ready_timeout_s:
                raise self._never_ready(held, pending.coming.release)
            time.sleep(POLL_S)

    def _never_ready(self, held: Held, release: Release) -> NeverReady:
        before, version = held.state.live, candidate_of(release).version
        left = f"version {before.served[0]} serves on" if before else "nothing is served there"
        return NeverReady(
            f"Version {version} did not answer at {release.url} within "
            f"{self._config.ready_timeout_s:g} s (setting ready_timeout_s), and {left}: "
            f"{why_not_ready(self.store.cluster, held.name, version)}"
        )

    def _is_up(self, held: Held, pending: Pending) -> bool:
        """Whether what is coming has its traffic, and runs as it was written down."""
        release = pending.coming.release
        if not (held.available and held.unaltered):
            return False
        try:
            if release.status == "rolling_out":
                return self.asking.candidate_answers(held, release)
            return self.asking.predicts(held, release)
        except ServiceBusy:  # it is asked again until the time is over
            return False

    def _has_replicas(self, held: Held, coming: Kept, ahead: Specification) -> bool:
        least = max((one.least_replicas for one in ahead.predictors[1:]), default=1)
        return self.asking.ready_replicas(held, coming.release) >= least

    def _taken_over(self, held: Held, release: Release) -> Release:
        if release in [kept.release for kept in (held.state.live, held.state.rolling) if kept]:
            return release
        raise ServiceUnreachable(
            f"Another command changed what is served in {release.environment} while this one waited. "
            "See what is live: python run.py --status"
        )

    def specification_then(self, kept: Kept, release: Release) -> Specification:
        """The specification that served a release, or today's where that is not kept any more.

        Also today's where what is kept would start something else than this deployer starts for the release.

        Args:
            kept: what is held of the release.
            release: the release as it is to be served.

        Raises:
            DamagedArtifact: the release names another model than the one that was pinned.
            UsageError: its model lies where no pod can read it.
        """
        arm = candidate_of(release)
        if arm.model_digest != kept.model_digest:
            raise DamagedArtifact(
                f"What is kept of version {arm.version} in {release.environment} was altered: it names the "
                f"model {arm.model_digest[:12]} and pins {kept.model_digest[:12]}. Take down what serves and "
                "begin anew: python run.py --stop"
            )
        wanted = specification(release, arm, self._config)
        then = as_kept(kept.specification, wanted)
        if then is not None:
            return then
        if kept.specification is not None:
            logger.warning(
                "The specification that is kept of version %s in %s would start something else than this "
                "deployer does: the settings were changed since, or it was altered. Version %s comes back "
                "under today's settings, with the model %s that was pinned",
                arm.version,
                release.environment,
                arm.version,
                arm.model_digest[:12],
            )
        return wanted

    def shared(self, live: Kept, release: Release, candidate: Predictor | None = None) -> Specification:
        """What serves a candidate beside what is live, which stays as it is.

        Args:
            live: what is live.
            release: the candidate's, in another mode than ``full``.
            candidate: its predictor, where it runs already.

        Raises:
            DamagedArtifact: what is kept of the live release was altered.
            UsageError: a model lies where no pod can read it, or the share is none that a cluster can give.
        """
        champion, arm = candidate_of(live.release), candidate_of(release)
        if release.mode == "ab":
            return routed(release, champion, self._config)
        [one] = self.specification_then(live, live.release).predictors
        [other] = (candidate,) if candidate else specification(release, arm, self._config).predictors
        return beside(one, other, release, self._config)

    def with_replicas(self, live: Kept, rolling: Kept, running: Predictor, replicas: int) -> Specification:
        """What serves both as they share the traffic now, the candidate with so many replicas."""
        now = self.shared(live, rolling.release, running)
        champion, candidate = now.predictors
        return now.model_copy(update={"predictors": (champion, candidate.starting_with(replicas))})

    def candidate_predictor(self, state: State) -> Predictor | None:
        """The predictor of what rolls out, as it was started; None where it has none of its own.

        Also None where what is kept would start something else than this deployer starts.
        """
        if state.rolling is None or state.live is None or state.rolling.release.mode == "ab":
            return None
        then = as_kept(state.rolling.specification, self.shared(state.live, state.rolling.release))
        return then.predictors[1] if then else None

    def _specification_before(self, state: State, live: Kept) -> Specification:
        """What served before the change under way: what is live, and what rolled out beside it."""
        if state.rolling is None:
            return self.specification_then(live, live.release)
        return self.shared(live, state.rolling.release, self.candidate_predictor(state))

    def _end(self, name: str, token: str, serving: Json | None) -> None:
        """Conclude or undo our own change, whatever became of it; ``serving`` is what ran before."""
        for _ in range(TRIES):
            held = self.store.read(name)
            pending = held.state.pending
            if pending is None or pending.token != token:
                return
            with suppress(ConflictError):
                if self._is_up(held, pending):
                    self._conclude(held)
                else:
                    self._undo(held, serving)

    def _conclude(self, held: Held) -> Held:
        held = self.store.write(held, held.state.concluded())
        with suppress(UsageError):  # what somebody else made since the change began stays as it is
            self.store.forget_what_was_taken_down(held.name)
        self.follow(held.name)
        return held

    def _undo(self, held: Held, serving: Json | None = None) -> None:
        """Put back what was live before the change that is under way, or nothing.

        Args:
            held: what is held, with the change under way.
            serving: what ran before the change, where this command began it and saw it run. Then today's
                settings, which may be what kept the new version from coming up, do not matter.
        """
        before = held.state.live
        if before is None:
            # Its pods end without us: a look does not wait for them.
            self.store.remove(held, held.state.undone(), timeout_s=None)
            return
        old = serving or self._specification_before(held.state, before).as_json()
        self.store.write(held, held.state.undone(), old)

    def end_rollout(self, held: Held, live: Kept) -> None:
        """Serve what is live alone, and wait until the candidate's pods are gone.

        Raises:
            ConflictError: another command changed what is held.
            ServiceFailed: they do not end.
            ServiceUnreachable: the cluster cannot be reached.
        """
        alone = self.specification_then(live, live.release)
        rolling = held.state.rolling
        self.store.write(held, held.state.with_rolling(None), alone.as_json())
        if rolling is not None:
            self.store.wait_until_no_pod_of(held.name, rolling.served[0], self._config.stop_timeout_s)

    def take_down(self, held: Held, state: State) -> None:
        """Serve nothing under this name, by no interface; ``state``'s history stays.

        Raises:
            ConflictError: another command changed what is held.
            UsageError: the history cannot be kept, for somebody else made a ConfigMap of that name.
            ServiceFailed: pods do not end.
            ServiceUnreachable: the cluster cannot be reached, or refuses it.
        """
        # First: of a command that is killed in between nothing is left that serves and that nobody knows of.
        others, within_s = self.interfaces.follow(held.name, None), self._config.stop_timeout_s
        self.store.remove(held, state, timeout_s=within_s)
        for other in others:
            self.store.wait_until_gone(other, within_s)

    def follow(self, name: str) -> None:
        """Have the other interfaces of a resource serve what is live there, or nothing.

        What keeps them from it is said, and undoes nothing; see :meth:`.Interfaces.faults`.
        """
        try:
            self._follow(name)
        except ShutterlineError as error:
            logger.warning(
                "What else answers for %s does not follow what is live there: %s. The next command tries "
                "again; see what is left: python run.py --status",
                name,
                str(error).rstrip("."),
            )

    def have_all_follow(self, live: Mapping[str, Kept]) -> None:
        """Have those interfaces follow that a command left behind which was killed before it came to them.

        Args:
            live: what is live, by the resource's name.

        Raises:
            ServiceUnreachable: the cluster cannot be asked.
        """
        for name in sorted(self.interfaces.behind(live)):
            self.follow(name)

    def _follow(self, name: str) -> None:
        """Follow what is live, and again where another command made something else live meanwhile."""
        conflict = ConflictError("what is live changes all the time")
        for _ in range(TRIES):
            live = self.settled(name).state.live
            try:
                changed = self.interfaces.follow(name, live)
            except ConflictError as error:
                conflict = error
                continue
            now = self.store.read(name).state.live if changed else live
            if (now and now.served) == (live and live.served):
                return
        raise given_up(name, conflict)

    def _is_alive(self, pending: Pending) -> bool:
        return self.store.cluster.now - pending.beat < timedelta(seconds=DEAD_AFTER_S)

    def _settled_and_free(self, name: str, act: str) -> Held:
        deadline = time.monotonic() + self._config.lock_timeout_s
        while (held := self.settled(name)).state.pending is not None:
            if time.monotonic() > deadline:
                raise ServiceUnreachable(
                    f"Another command is changing what serves {name}, so this one cannot {act}; waited "
                    f"{self._config.lock_timeout_s:g} s. Try again when it has ended: python run.py --status"
                )
            time.sleep(POLL_S)
        return held


def _named(held: Held, pending: Pending) -> bool:
    """Whether the change under way is this one."""
    return held.state.pending is not None and held.state.pending.token == pending.token
