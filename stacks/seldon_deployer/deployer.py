"""The model deployer of a cluster: what may be served is checked here, how it changes in :mod:`.rollout`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar, cast, get_args
from uuid import UUID

import httpx
from zenml.model_deployers.base_model_deployer import (
    DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT,
    BaseModelDeployerFlavor,
)
from zenml.services import BaseService

from materializers.errors import DamagedArtifact, ModelGone, Refused
from materializers.evidence import verify_arm, verify_return
from materializers.present_model import present_model
from materializers.release import Environment, Release
from materializers.signatures import TrustedKeys
from serving.model_directory import model_digest
from stacks.listed_services import ServiceList, Serving
from stacks.releasing_deployer import ReleasingModelDeployer
from stacks.seldon_deployer.asking import through_ingress
from stacks.seldon_deployer.flavor import (
    SeldonClusterModelDeployerConfig,
    SeldonClusterModelDeployerFlavor,
)
from stacks.seldon_deployer.manifest import as_kept, predictor_name, resource_name, specification
from stacks.seldon_deployer.resource import Specification
from stacks.seldon_deployer.rollout import Rollout
from stacks.seldon_deployer.service import SeldonClusterService, SeldonClusterServiceConfig
from stacks.seldon_deployer.sharing import alone
from stacks.seldon_deployer.state import Kept, State
from stacks.seldon_deployer.store import Held
from stacks.served import (
    Entry,
    as_live,
    as_rolling_out,
    base_url_of,
    candidate_of,
    place_in_history,
    require_champion,
    require_no_other_rollout,
    require_not_ended,
    require_share,
    require_still_live,
    same_arm,
    same_rollout,
    same_stage,
    verify_as_pinned,
)
from stacks.trusted_keys import trusted_keys

logger = logging.getLogger("shutterline")


class SeldonClusterModelDeployer(ReleasingModelDeployer):
    """SeldonDeployments of a cluster, one for each model and environment.

    It implements the project's ``Deployer`` protocol, and ZenML's interface for its command line.
    """

    NAME: ClassVar[str] = "Seldon, cluster"
    FLAVOR: ClassVar[type[BaseModelDeployerFlavor]] = SeldonClusterModelDeployerFlavor

    @property
    def config(self) -> SeldonClusterModelDeployerConfig:
        """The settings."""
        return cast(SeldonClusterModelDeployerConfig, self._config)

    # The project's protocol

    def apply(self, release: Release) -> Release:
        """Carry ``release`` out and return it with its URL and times.

        In mode ``full`` it goes live (``status="live"``); where it is rolling out with a predictor of its
        own, that gets the replicas for all the traffic, then the traffic, and its pods stay. In any other
        mode it comes up beside what is live (``status="rolling_out"``), or goes on with another share, stage
        or mode, for which it gets the replicas first, too.
        Applying what is live or rolling out already so starts nothing and only takes over ``recorded`` and
        ``restored``.

        Raises:
            Refused: the evidence does not allow it, production serves something else by now than it was
                proposed beside, another version is rolling out there, there is no champion to roll out
                beside, or the rollout that it goes on with was ended; what is served is unchanged.
            NeverReady: the new version did not come up; what was served before still is.
            UsageError: the model lies where no pod can read it, its name cannot be part of a URL, something
                else has the name of another interface, or the share is none that a cluster can give.
            ServiceUnreachable: the registry, the artifact store or the cluster cannot be reached.
        """
        arm, name = candidate_of(release), resource_name(release.model_name, release.environment)
        require_share(release)
        rollout = Rollout(self.config)
        act = f"apply version {arm.version} in {release.environment}"
        change = self._make_live if release.mode == "full" else self._roll_out_beside

        def carry_out(held: Held) -> Release:
            live, rolling = held.state.live, held.state.rolling
            require_not_ended(release, live.release if live else None, rolling.release if rolling else None)
            return change(rollout, held, release)

        applied = rollout.change(name, act, carry_out)
        self._follow(rollout, name)
        return applied

    def _make_live(self, rollout: Rollout, held: Held, release: Release) -> Release:
        """Give a version all the traffic."""
        arm, live, rolling = candidate_of(release), held.state.live, held.state.rolling
        if live and same_arm(live.release.candidate, arm) and self._serves(rollout, held, live):
            return self._mark(rollout, held, recorded=release.recorded, restored=release.restored)
        if live and rolling and same_arm(live.release.candidate, arm):
            self._verify(live.release)
            return self._bring_up_again(rollout, held, live, rolling)
        require_no_other_rollout(release, rolling.release if rolling else None)
        require_still_live(release, live.release if live else None)
        self._verify(release)
        rollout.interfaces.require_names(held.name, release)
        entry = Entry.pin(as_live(release, self._url(held.name)), arm)
        past = held.state.past_of(entry)
        running = rollout.candidate_predictor(held.state)
        if running is None or live is None or rolling is None:
            new = specification(release, arm, self.config)
            return rollout.roll_out(held, _kept(entry, new), new, past=past)
        replicas = self.config.environment(release.environment).replicas
        new, ahead = alone(running, replicas), rollout.with_replicas(live, rolling, running, replicas)
        return rollout.roll_out(held, _kept(entry, new), new, past=past, ahead=ahead)

    def _bring_up_again(self, rollout: Rollout, held: Held, live: Kept, rolling: Kept) -> Release:
        """Bring what is live up again as it is kept, and beside it what rolls out, if that still may.

        Else its rollout ends here, for what is live must not wait for it.

        Args:
            rollout: changes what is served.
            held: what is held, with no change under way.
            live: what is live, verified.
            rolling: what rolls out beside it.

        Raises:
            NeverReady: they did not come up.
            ServiceUnreachable: the artifact store or the cluster cannot be reached.
        """
        try:
            self._verify_return(rolling.release)
            self._verify_as_pinned(rolling.release, rolling)
        except (Refused, ModelGone) as refusal:
            logger.warning(
                "The rollout of version %s in %s ends, and version %s comes up again alone: %s",
                rolling.served[0],
                rolling.release.environment,
                live.served[0],
                refusal,
            )
            old = rollout.specification_then(live, live.release)
            # Written before it comes up, so that the candidate is not put back where it does not.
            held = rollout.store.write(held, held.state.with_rolling(None), old.as_json())
            coming = live.model_copy(update={"specification": old.as_json()})
            return rollout.roll_out(held, coming, old, past=held.state.past_of(live))
        new = rollout.shared(live, rolling.release, rollout.candidate_predictor(held.state))
        coming = rolling.model_copy(update={"specification": new.as_json()})
        rollout.roll_out(held, coming, new)
        return live.release

    def _roll_out_beside(self, rollout: Rollout, held: Held, release: Release) -> Release:
        """Give a version a share of the traffic beside what is live, or another share."""
        arm, live, rolling = candidate_of(release), held.state.live, held.state.rolling
        require_no_other_rollout(release, rolling.release if rolling else None)
        require_champion(release, live.release if live else None)
        before = rolling.release if rolling else None
        well = before is not None and held.unaltered and rollout.asking.candidate_is_ready(held, before)
        same = rolling and same_arm(rolling.release.candidate, arm) and same_stage(rolling.release, release)
        if rolling and well and same:
            marked = rolling.marked(recorded=release.recorded, restored=release.restored)
            if marked != rolling:
                rollout.store.write(held, held.state.with_rolling(marked))
            return marked.release
        self._verify(release)
        if live is None:  # require_champion has said so already
            raise Refused(f"Nothing is live at {held.name}: python run.py --deploy")
        entry = Entry.pin(as_rolling_out(release, self._url(held.name), before), arm)
        running = rollout.candidate_predictor(held.state)
        new = rollout.shared(live, release, running)
        if rolling is None or before is None or not well or (before.mode == "ab") != (release.mode == "ab"):
            return rollout.roll_out(held, _kept(entry, new), new)
        if running is not None and (replicas := new.predictors[1].least_replicas) > running.least_replicas:
            ahead = rollout.with_replicas(live, rolling, running, replicas)
            return rollout.roll_out(held, _kept(entry, new), new, ahead=ahead)
        # Whatever has to run runs: only who gets what changes.
        rollout.store.write(held, held.state.with_rolling(_kept(entry, new)), new.as_json())
        return entry.release

    def _verify(self, release: Release) -> None:
        """Check that a version may be served, on what is stored and recorded now.

        Raises:
            Refused: it may not.
            ServiceUnreachable: the registry or the artifact store cannot be read.
        """
        arm = candidate_of(release)
        with present_model(arm.model_uri, model_digest) as model:
            verify_arm(
                arm,
                model_name=release.model_name,
                environment=release.environment,
                model=model,
                trusted=self.trusted_keys(),
            )

    def _verify_return(self, release: Release) -> None:
        """Check that the log, and the registry where it is up, allow what served here to serve again.

        Raises:
            Refused: one does not, or a person rejected the version since.
            ServiceUnreachable: the audit log cannot be read.
        """
        verify_return(
            candidate_of(release),
            model_name=release.model_name,
            environment=release.environment,
            trusted=self.trusted_keys(),
            registry_may_be_down=True,
        )

    def _verify_as_pinned(self, release: Release, pinned: Kept) -> None:
        """Check on its own evidence that what served here may serve again, whatever the registry knows.

        Raises:
            Refused: it may not.
            ServiceUnreachable: the artifact store cannot be read.
        """
        arm = candidate_of(release)
        with present_model(arm.model_uri, model_digest) as model:
            verify_as_pinned(release, arm, pinned, model, self.trusted_keys())

    def restore(self, release: Release) -> Release:
        """Make a release live that was live here before, on its own evidence, even when the registry is down.

        Where the registry answers, what it knows counts, too; that a person rejected it the audit log says,
        without which nothing is put back. It comes back under the specification that served it then, where
        that is still kept and starts what this deployer starts; else under today's settings. While something
        rolls out, only what is live can be brought up again; where what rolls out may not be served any
        more, its rollout ends with that.

        Raises:
            Refused: it never was live here, by this record or the registry's, a person rejected it since, or
                its verdict, approval, model bytes or specification were altered; or something is rolling out.
            NeverReady: it did not come up; the present one keeps serving.
            UsageError: its model lies where no pod can read it.
            ServiceUnreachable: the artifact store or the cluster cannot be reached.
        """
        arm, name = candidate_of(release), resource_name(release.model_name, release.environment)
        rollout = Rollout(self.config)

        def put_back(held: Held) -> Release:
            chain = held.state.chain
            place = place_in_history(chain, arm, release.environment)
            pinned, rolling = chain[place], held.state.rolling
            if rolling and pinned is not held.state.live:
                raise Refused(
                    f"Version {rolling.served[0]} is rolling out in {release.environment}, so version "
                    f"{arm.version} is not put back there before that has ended. End it: "
                    f"python run.py --rollback --environment {release.environment}"
                )
            self._verify_return(release)
            if pinned is held.state.live and self._serves(rollout, held, pinned):
                return pinned.release
            self._verify_as_pinned(release, pinned)
            if rolling:
                return self._bring_up_again(rollout, held, pinned, rolling)
            least = self.config.environment(release.environment).replicas
            old = rollout.specification_then(pinned, release).with_least_replicas(least)
            live = as_live(release, self._url(name))
            coming = pinned.model_copy(update={"release": live, "specification": old.as_json()})
            return rollout.roll_out(held, coming, old, past=place)

        act = f"put version {arm.version} back in {release.environment}"
        restored = rollout.change(name, act, put_back)
        self._follow(rollout, name)
        return restored

    def mark_recorded(self, release: Release) -> bool:
        """Note that registry and run records agree with ``release``, if exactly it is live now.

        Moves no traffic. With the record the release has stood its start: where it is autoscaled, the
        fewest replicas are from now on ``autoscaling.minimum`` and no longer ``replicas``.
        False: something else is live by now, or nothing; nothing was changed.

        Raises:
            ServiceUnreachable: what is live cannot be changed.
        """
        rollout = Rollout(self.config)

        def mark(held: Held) -> None:
            self._mark(rollout, held, recorded=True, restored=release.restored)

        return self._change_live(rollout, release, "record version {} in {}", mark)

    def withdraw(self, release: Release) -> bool:
        """Take ``release`` down and forget it, if exactly it is live now; nothing is live there then.

        False: something else is live by now, or nothing; nothing was changed.

        Raises:
            ServiceUnreachable: what is live cannot be changed.
        """
        rollout = Rollout(self.config)

        def take_down(held: Held) -> None:
            rollout.take_down(held, held.state.down(remember=False))

        done = self._change_live(rollout, release, "withdraw version {} from {}", take_down)
        self._follow(rollout, resource_name(release.model_name, release.environment))
        return done

    def current(self, model_name: str, environment: Environment) -> Release | None:
        """The live release of one environment."""
        live = self._state(model_name, environment).live
        return live.release if live else None

    def rolling_out(self, model_name: str, environment: Environment) -> Release | None:
        """The release that is rolling out beside the live one, as it is now."""
        rolling = self._state(model_name, environment).rolling
        return rolling.release if rolling else None

    def end_rollout(self, release: Release) -> bool:
        """Take the candidate out, if exactly it is rolling out now; the champion has all the traffic again.

        Its predictor is deleted, and its pods are gone when this returns. False: something else is rolling
        out by now, or nothing; nothing was changed.

        Raises:
            ServiceFailed: its pods do not end; they have no traffic any more, and the next look finds no
                rollout.
            ServiceUnreachable: what is served cannot be changed.
        """
        rollout = Rollout(self.config)

        def end(held: Held) -> bool:
            rolling, live = held.state.rolling, held.state.live
            if rolling is None or live is None or not same_rollout(rolling.release, release):
                return False
            rollout.end_rollout(held, live)
            return True

        name = resource_name(release.model_name, release.environment)
        version = candidate_of(release).version
        return rollout.change(name, f"end the rollout of version {version}", end)

    def previous(self, model_name: str, environment: Environment) -> Release | None:
        """The release that was live before the current one."""
        history = self._state(model_name, environment).history.releases
        return history[-1].release if history else None

    def live(self) -> list[Release]:
        """Every live release, of every model and environment.

        Whatever else answers for them, and was left behind by a command that was killed, follows them again.
        """
        rollout = Rollout(self.config)
        found = _live(rollout)
        rollout.have_all_follow(found)
        return [kept.release for kept in found.values()]

    def trusted_keys(self) -> TrustedKeys:
        """The public keys that the stack file names.

        Raises:
            UsageError: there is none of the gate, or one cannot be used.
        """
        return trusted_keys(self.config.gate_public_key, self.config.actor_public_keys)

    def scaling(self, environment: Environment) -> tuple[int, int] | None:
        """Between how many replicas the environment scales; twice the same number where it stays at it."""
        return self.config.environment(environment).scaling

    def metrics_targets(self) -> None:
        """None: the cluster's Prometheus finds the pods by their annotations."""

    def connect(self, release: Release) -> httpx.Client:
        """A client that reaches the release's URL, through the proxies in between, and shows the token."""
        return through_ingress(release.url or self.config.ingress_url, self.config.service_token)()

    def healthy(self, release: Release) -> bool:
        """Whether the release's URL answers that it is ready, as exactly this version, which runs unaltered.

        Of a release that is rolling out, whether its candidate's own pods are; see :mod:`.asking`. What was
        changed on the cluster past this deployer, an image or its arguments, is not healthy whatever it
        answers.

        Raises:
            DamagedArtifact: nobody can tell what was released.
            ServiceUnreachable: the cluster cannot be asked.
        """
        rollout, held = self._held(release)
        if not held.unaltered:
            return False
        if release.status == "rolling_out":
            return _rolls_out(held, release) and rollout.asking.candidate_is_ready(held, release)
        return rollout.asking.is_ready(held, release)

    def verify(self, release: Release) -> bool:
        """Whether the release's URL is healthy and classified a picture as exactly this version.

        Of a shadow nobody gets an answer: that its pods are ready says that it classified a picture.

        Raises:
            ServiceBusy: it is healthy, and has no time to classify a picture.
            ServiceUnreachable: the cluster cannot be asked.
        """
        rollout, held = self._held(release)
        if not held.unaltered:
            return False
        if release.status == "rolling_out":
            return _rolls_out(held, release) and rollout.asking.candidate_answers(held, release)
        return rollout.asking.predicts(held, release)

    def faults(self, model_name: str) -> list[str]:
        """That by gRPC or the v2 protocol something else answers than what is live, or nothing.

        All else that has to run is in the pods, which Kubernetes starts again and ``healthy`` asks.

        Raises:
            DamagedArtifact: nobody can tell what is live.
            ServiceUnreachable: the cluster cannot be asked.
        """
        rollout = Rollout(self.config)
        names = [resource_name(model_name, environment) for environment in get_args(Environment)]
        return [
            fault
            for name in names
            for fault in rollout.interfaces.faults(name, rollout.settled(name).state.live)
        ]

    def stop(self) -> list[str]:
        """Stop everything that serves, leave nothing running, and say what was stopped, one line each.

        The SeldonDeployments that this deployer made are deleted, and their pods end with them. What was
        live stays in the history, which a ConfigMap of the same name keeps: ``--rollback`` finds it.

        Raises:
            ServiceFailed: pods do not end.
            ServiceUnreachable: what is live cannot be changed.
        """
        rollout = Rollout(self.config)

        def take_down(held: Held) -> str:
            live = held.state.live
            rollout.take_down(held, held.state.undone().down(remember=True))
            if live is None:
                return f"SeldonDeployment {held.name}, which never served"
            release = live.release
            served = f"{release.model_name} version {live.served[0]}"
            return f"{release.environment}: {served}, {self._url(held.name)}"

        stopped = []
        for name in rollout.store.names():
            try:
                stopped.append(rollout.change(name, "stop", take_down))
            except DamagedArtifact:
                rollout.store.remove_damaged(name, timeout_s=self.config.stop_timeout_s)
                stopped.append(f"SeldonDeployment {name}, of which no sound record was left")
        rollout.store.remove_interfaces(timeout_s=self.config.stop_timeout_s)
        self._record_services(rollout)
        return stopped

    # ZenML's interface

    @property
    def site(self) -> str:
        """The cluster's namespace."""
        return self.config.site

    def put_records_in_order(self) -> None:
        """Conclude or undo what a killed command left, and make ZenML's records agree with what is live."""
        rollout = Rollout(self.config)
        rollout.have_all_follow(_live(rollout, damaged_too=False))
        self._record_services(rollout)

    def perform_stop_model(
        self,
        service: BaseService,
        timeout: int = DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT,
        force: bool = False,
    ) -> BaseService:
        """Refuse: what is live on a cluster serves, or is taken down.

        Raises:
            Refused: always.
        """
        raise Refused(
            "On a cluster a release serves or is taken down; take it down with: "
            f"zenml model-deployer models delete {service.uuid}"
        )

    def perform_start_model(
        self, service: BaseService, timeout: int = DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT
    ) -> BaseService:
        """Bring the environment's release up again, checked as a rollback is; a rejected one stays down."""
        mine = cast(SeldonClusterService, service)
        environment = cast(Environment, mine.config.environment)
        live = self.current(str(mine.config.model_name), environment)
        if live is None:
            raise Refused(f"Nothing is live at {mine.key}: python run.py --deploy")
        self.restore(live)
        return mine

    def perform_delete_model(
        self,
        service: BaseService,
        timeout: int = DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT,
        force: bool = False,
    ) -> None:
        """Take one release down; it stays in the history."""
        mine = cast(SeldonClusterService, service)
        rollout = Rollout(self.config)
        name = resource_name(str(mine.config.model_name), cast(Environment, mine.config.environment))

        def take_down(held: Held) -> None:
            rollout.take_down(held, held.state.down(remember=True))

        rollout.change(name, f"take {mine.key} down", take_down)
        self._follow(rollout, name, leave=mine.uuid)

    def _change_live(
        self, rollout: Rollout, release: Release, act: str, what: Callable[[Held], None]
    ) -> bool:
        """Do something to what is held, if exactly ``release`` is live there; otherwise change nothing."""
        arm = candidate_of(release)

        def change(held: Held) -> bool:
            live = held.state.live
            if live is None or not same_arm(live.release.candidate, arm):
                return False
            what(held)
            return True

        name = resource_name(release.model_name, release.environment)
        return rollout.change(name, act.format(arm.version, release.environment), change)

    def _mark(self, rollout: Rollout, held: Held, *, recorded: bool, restored: bool) -> Release:
        """Change what is known of the live release; once recorded, it may have fewer replicas."""
        live = held.state.live
        if live is None:
            raise Refused(f"Nothing is live at {held.name}: python run.py --deploy")
        marked, least = live.marked(recorded=recorded, restored=restored), None
        scale = self.config.environment(live.release.environment).autoscaling
        arm = candidate_of(live.release)
        wanted = specification(live.release, arm, self.config)
        # Beside a candidate it stays as it is: the resource is more than what is kept of it.
        alone_now = recorded and scale and held.state.rolling is None
        kept = as_kept(live.specification, wanted) if alone_now else None
        if kept and scale:
            least = kept.with_least_replicas(scale.minimum).as_json()
            marked = marked.model_copy(update={"specification": least})
        if marked != live:
            lowered = least if marked.specification != live.specification else None
            rollout.store.write(held, held.state.model_copy(update={"live": marked}), lowered)
        return marked.release

    def _serves(self, rollout: Rollout, held: Held, live: Kept) -> bool:
        """Whether what is live serves, runs as it was written down, and that is what is started today."""
        wanted = specification(live.release, candidate_of(live.release), self.config)
        ours = as_kept(live.specification, wanted) is not None
        return ours and held.unaltered and rollout.asking.is_ready(held, live.release)

    def _held(self, release: Release) -> tuple[Rollout, Held]:
        rollout = Rollout(self.config)
        return rollout, rollout.store.read(resource_name(release.model_name, release.environment))

    def _state(self, model_name: str, environment: Environment) -> State:
        return Rollout(self.config).settled(resource_name(model_name, environment)).state

    def _url(self, name: str) -> str:
        return f"{self.config.ingress_url.rstrip('/')}/seldon/{self.config.namespace}/{name}"

    def _follow(self, rollout: Rollout, name: str, *, leave: UUID | None = None) -> None:
        """Make what else tells of a resource, or answers for it, agree with what is live there."""
        rollout.follow(name)
        self._record_services(rollout, leave=leave)

    def _record_services(self, rollout: Rollout, *, leave: UUID | None = None) -> None:
        """Make ZenML's records agree with what is live."""
        wanted = {}
        for name, kept in _live(rollout, damaged_too=False).items():
            replica = f"{name}/{predictor_name(candidate_of(kept.release))}"
            wanted[replica] = Serving(kept.release, base_url_of(kept.release) or self._url(name))
        listed = ServiceList(SeldonClusterService, SeldonClusterServiceConfig, self.config.site)
        listed.record(wanted, leave=leave)


def _live(rollout: Rollout, *, damaged_too: bool = True) -> dict[str, Kept]:
    """What is live, by the resource's name; where nobody can tell, that is said only if ``damaged_too``."""
    found = {}
    for name in rollout.store.names():
        with suppress(*(() if damaged_too else (DamagedArtifact,))):
            live = rollout.settled(name).state.live
            if live is not None:
                found[name] = live
    return found


def _rolls_out(held: Held, release: Release) -> bool:
    """Whether exactly this release rolls out, or comes up to."""
    pending = held.state.pending
    known = pending.coming if pending else held.state.rolling
    return known is not None and same_rollout(known.release, release)


def _kept(entry: Entry, new: Specification) -> Kept:
    return Kept(
        release=entry.release,
        model_digest=entry.model_digest,
        verdict_digest=entry.verdict_digest,
        approval_digest=entry.approval_digest,
        specification=new.as_json(),
    )
