"""The local model deployer: what may be served is checked here, how it is served in :mod:`.site`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, cast
from uuid import UUID

import httpx
from zenml.enums import ServiceState
from zenml.model_deployers.base_model_deployer import (
    DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT,
    BaseModelDeployerFlavor,
)
from zenml.services import BaseService

from materializers.errors import Refused
from materializers.evidence import verify_arm, verify_return
from materializers.release import Arm, Environment, Release
from materializers.signatures import TrustedKeys
from serving.launching import PREDICTIONS
from stacks.local_deployer import loopback, microservice
from stacks.local_deployer.flavor import SeldonLocalModelDeployerConfig, SeldonLocalModelDeployerFlavor
from stacks.local_deployer.service import SeldonLocalService, record_services, service_list
from stacks.local_deployer.shipper import log_of_shipper, shipper_is_missing, spool_of
from stacks.local_deployer.site import Site
from stacks.local_deployer.state import Deployment, Replica, Rollout
from stacks.local_deployer.targets import targets_file
from stacks.releasing_deployer import ReleasingModelDeployer
from stacks.served import (
    Entry,
    as_live,
    as_rolling_out,
    base_url_of,
    candidate_of,
    place_in_history,
    require_champion,
    require_model_name,
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


class SeldonLocalModelDeployer(ReleasingModelDeployer):
    """Seldon microservices of this machine behind Envoy.

    It implements the project's ``Deployer`` protocol, and ZenML's interface for its command line.
    """

    NAME: ClassVar[str] = "Seldon, local"
    FLAVOR: ClassVar[type[BaseModelDeployerFlavor]] = SeldonLocalModelDeployerFlavor

    @property
    def config(self) -> SeldonLocalModelDeployerConfig:
        """The settings."""
        return cast(SeldonLocalModelDeployerConfig, self._config)

    @property
    def _site(self) -> Site:
        return Site(self.config)

    # The project's protocol

    def apply(self, release: Release) -> Release:
        """Carry ``release`` out and return it with its URL and times.

        In mode ``full`` it is made live (``status="live"``); where it is rolling out already, the process
        that runs takes all the traffic. In any other mode it is started beside what is live, which serves on
        (``status="rolling_out"``); where it is rolling out already, the traffic is divided anew. Applying
        what is live or rolling out already so starts nothing and only takes over ``recorded`` and
        ``restored``.

        Raises:
            Refused: the evidence does not allow it, or what is live or rolling out does not, or the rollout
                that it goes on with was ended; what is served is unchanged.
            ServiceFailed: the new service did not come up; the old one keeps serving.
            UsageError: an address that it needs is taken, or its share does not go with its mode.
            ServiceUnreachable: the registry or the artifact store cannot be read.
        """
        require_share(release)
        arm, key = candidate_of(release), _key(release.model_name, release.environment)
        with self._changing(f"apply version {arm.version} in {release.environment}") as site:
            deployment = site.state.deployment(key)
            require_not_ended(release, *_held(deployment))
            marked = self._applied_already(site, key, deployment, release)
            if marked is not None:
                return marked
            _require_admitted(release, deployment)
            site.ingress.require_address()
            verify_arm(
                arm,
                model_name=release.model_name,
                environment=release.environment,
                model=site.models.fetch(arm.model_uri),
                trusted=self.trusted_keys(),
            )
            rollout = deployment.rollout
            out = rollout.entry.release if rollout and rollout.entry.served == _served(arm) else None
            replica = rollout.replica if rollout and out and _runs(rollout) else _new_replica(release, arm)
            if release.mode == "full":
                entry = Entry.pin(as_live(release, site.url(key)), arm)
                past = deployment.past(entry)
                # Another version that rolls out does so beside the process that takes the place of this one.
                beside = None if out else rollout
                target = Deployment(live=entry, replica=replica, rollout=beside, history=past)
            else:
                entry = Entry.pin(as_rolling_out(release, site.url(key), out), arm)
                target = deployment.rolling(entry, replica)
            site.change(key, target)
            return entry.release

    def _applied_already(
        self, site: Site, key: str, deployment: Deployment, release: Release
    ) -> Release | None:
        """What is live or rolling out, where that is ``release`` and it answers; known as recorded by now."""
        arm, marks = candidate_of(release), {"recorded": release.recorded, "restored": release.restored}
        live, rollout = deployment.live, deployment.rollout
        if release.mode == "full":
            if live and same_arm(live.release.candidate, arm) and self.healthy(live.release):
                site.have_shipped()
                site.save_live(key, marked := live.marked(**marks))
                return marked.release
            return None
        same = rollout and same_stage(rollout.entry.release, release)
        if rollout and same and same_arm(rollout.entry.release.candidate, arm) and _runs(rollout):
            marked = rollout.entry.marked(**marks)
            site.have_shipped()
            site.save_rollout(key, rollout.model_copy(update={"entry": marked}))
            return marked.release
        return None

    def restore(self, release: Release) -> Release:
        """Make a release live that was live here before, on its own evidence, even when the registry is down.

        Where the registry answers, what it knows counts, too; that a person rejected it the audit log says,
        without which nothing is put back. While something rolls out, only what is live can be brought up
        again.

        Raises:
            Refused: it never was live here, by this record or the registry's, a person rejected it since, or
                its verdict, approval or model bytes were altered; or something is rolling out.
            ServiceFailed: its service did not come up; the present one keeps serving.
            UsageError: an address that it needs is taken.
            ServiceUnreachable: the artifact store, or the audit log in it, cannot be read.
        """
        arm, key = candidate_of(release), _key(release.model_name, release.environment)
        with self._changing(f"put version {arm.version} back in {release.environment}") as site:
            deployment = site.state.deployment(key)
            chain = deployment.chain
            place = place_in_history(chain, arm, release.environment)
            pinned, rollout = chain[place], deployment.rollout
            if rollout and pinned is not deployment.live:
                raise Refused(
                    f"Version {rollout.entry.served[0]} is rolling out in {release.environment}, so version "
                    f"{arm.version} is not put back there before that has ended. End it: "
                    f"python run.py --rollback --environment {release.environment}"
                )
            verify_return(
                arm,
                model_name=release.model_name,
                environment=release.environment,
                trusted=self.trusted_keys(),
                registry_may_be_down=True,
            )
            if pinned is deployment.live and self.healthy(pinned.release):
                site.have_shipped()
                return pinned.release
            site.ingress.require_address()
            model = site.models.whole(pinned.model_digest) or site.models.fetch(arm.model_uri)
            verify_as_pinned(release, arm, pinned, model, self.trusted_keys())
            entry = pinned.model_copy(update={"release": as_live(release, site.url(key))})
            replica = _new_replica(release, arm)
            site.change(key, Deployment(live=entry, replica=replica, rollout=rollout, history=chain[:place]))
            return entry.release

    def end_rollout(self, release: Release) -> bool:
        """Take the candidate out, if exactly it is rolling out now; the champion has all the traffic again.

        Its process ends after its last answer, and it does not become part of what was live before. False:
        something else is rolling out by now, or nothing; nothing was changed.

        Raises:
            ServiceUnreachable: another command holds the site, or it cannot be written.
        """
        arm, key = candidate_of(release), _key(release.model_name, release.environment)
        with self._changing(f"end the rollout of version {arm.version} in {release.environment}") as site:
            rollout = site.state.deployment(key).rollout
            if rollout is None or not same_rollout(rollout.entry.release, release):
                return False
            site.end_rollout(key)
            return True

    def mark_recorded(self, release: Release) -> bool:
        """Note that registry and run records agree with ``release``, if exactly it is live now.

        Moves no traffic. False: something else is live by now, or nothing; nothing was changed.

        Raises:
            ServiceUnreachable: another command holds the site, or it cannot be written.
        """
        with self._changing_live(release, "record version {} in {}") as (site, key, live):
            if live is None:
                return False
            site.save_live(key, live.marked(recorded=True, restored=release.restored))
            return True

    def withdraw(self, release: Release) -> bool:
        """Take ``release`` down and forget it, if exactly it is live now; nothing is live there then.

        What rolls out beside it ends too. False: something else is live by now, or nothing; nothing was
        changed.

        Raises:
            ServiceUnreachable: another command holds the site, or it cannot be written.
        """
        with self._changing_live(release, "withdraw version {} from {}") as (site, key, live):
            if live is None:
                return False
            site.take_down([key], remember=False)
            return True

    def current(self, model_name: str, environment: Environment) -> Release | None:
        """The live release of one environment."""
        live = self._site.settled_state().deployment(_key(model_name, environment)).live
        return live.release if live else None

    def rolling_out(self, model_name: str, environment: Environment) -> Release | None:
        """The release that is rolling out beside the live one, as it is now."""
        rollout = self._site.settled_state().deployment(_key(model_name, environment)).rollout
        return rollout.entry.release if rollout else None

    def previous(self, model_name: str, environment: Environment) -> Release | None:
        """The release that was live before the current one."""
        history = self._site.settled_state().deployment(_key(model_name, environment)).history
        return history[-1].release if history else None

    def live(self) -> list[Release]:
        """Every live release, of every model and environment."""
        deployments = sorted(self._site.settled_state().deployments.items())
        return [deployment.live.release for _, deployment in deployments if deployment.live]

    def trusted_keys(self) -> TrustedKeys:
        """The public keys that the stack file names.

        Raises:
            UsageError: there is none of the gate, or one cannot be used.
        """
        return trusted_keys(self.config.gate_public_key, self.config.actor_public_keys)

    def scaling(self, environment: Environment) -> tuple[int, int] | None:
        """None: each release is one process of this machine."""
        return None

    def metrics_targets(self) -> Path | None:
        """The list that follows releases and rollouts, beside what is live."""
        return targets_file(self.config.site)

    def connect(self, release: Release) -> httpx.Client:
        """A client that reaches the release's URL, past every proxy: it lies on this machine's loopback."""
        return loopback.client()

    def healthy(self, release: Release) -> bool:
        """Whether the release's URL answers that it is ready, as exactly this version.

        Of a release that is rolling out, whether its own process does.
        """
        base_url = base_url_of(release)
        if base_url is None or release.candidate is None:
            return False
        if release.status == "rolling_out":
            rollout = self._deployment(release).rollout
            return rollout is not None and same_rollout(rollout.entry.release, release) and _runs(rollout)
        return microservice.is_ready(base_url, str(release.candidate.version), release.candidate.model_digest)

    def verify(self, release: Release) -> bool:
        """Whether the release's URL is healthy and classified a picture as exactly this version.

        While something rolls out, either version may answer at the URL: its own process is asked then.

        Raises:
            ServiceBusy: it is healthy, and has no time to classify a picture.
        """
        if release.url is None or release.candidate is None or not self.healthy(release):
            return False
        deployment, url = self._deployment(release), release.url
        if deployment.rollout and deployment.replica:
            out = release.status == "rolling_out"
            asked = deployment.rollout.replica if out else deployment.replica
            url = f"{asked.base_url}{PREDICTIONS}"
        return microservice.predicted(url) == str(release.candidate.version)

    def faults(self, model_name: str) -> list[str]:
        """That the shipper does not run, though something of the model is live: its captures reach no store.

        Raises:
            ServiceUnreachable: ZenML's store cannot be reached.
        """
        site = self._site
        deployments = site.settled_state().deployments
        live = next(
            (
                deployment.replica.name
                for _, deployment in sorted(deployments.items())
                if deployment.replica and deployment.live and deployment.live.release.model_name == model_name
            ),
            None,
        )
        if live is None or not shipper_is_missing(self.config):
            return []
        self.put_records_in_order()
        service = service_list(site).recorded()[live]
        return [
            f"The shipper does not run, so that what is captured stays in {spool_of(self.config)}, of which "
            f"the oldest is dropped beyond {self.config.capture_limit_bytes:,} bytes. Its log, "
            f"{log_of_shipper(self.config)}, may say why. Start it: zenml model-deployer models start "
            f"{service.id}"
        ]

    def stop(self) -> list[str]:
        """Stop everything that serves, leave nothing running, and say what was stopped, one line each."""
        lost = self._site.end_what_a_damaged_state_left()
        with self._changing("stop") as site:
            live = {key: one for key, one in site.state.deployments.items() if one.live}
            stopped = [
                f"{entry.release.environment}: {entry.release.model_name} version {entry.served[0]}, "
                f"{'rolling out at ' if entry.release.status == 'rolling_out' else ''}{site.url(key)}"
                for key, one in sorted(live.items())
                for _, entry in one.running
            ]
            if site.ingress.running():
                stopped.append(f"ingress {site.ingress.url}")
            site.take_down(list(live))
        return lost + stopped

    # ZenML's interface

    @property
    def site(self) -> str:
        """The folder of its services."""
        return str(self._site.path)

    def put_records_in_order(self) -> None:
        """End what a killed command left, and make ZenML's records agree with what is live."""
        site = self._site
        site.settled_state()
        record_services(site)

    def perform_stop_model(
        self,
        service: BaseService,
        timeout: int = DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT,
        force: bool = False,
    ) -> BaseService:
        """Stop one microservice; its release stays the environment's, and its URL answers 503."""
        mine = cast(SeldonLocalService, service)
        with self._changing(f"stop {mine.key}") as site:
            site.end_replica(mine.config.replica)
        mine.admin_state = ServiceState.INACTIVE
        mine.update_status()
        return mine

    def perform_start_model(
        self, service: BaseService, timeout: int = DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT
    ) -> BaseService:
        """Bring the environment's release up again, checked as a rollback is; a rejected one stays down."""
        mine = cast(SeldonLocalService, service)
        site = self._site
        deployment = site.settled_state().deployment(mine.key)
        rollout = deployment.rollout
        as_candidate = rollout is not None and rollout.replica.name == mine.config.replica
        if rollout and as_candidate:
            self.apply(rollout.entry.release)
        elif deployment.live:
            self.restore(deployment.live.release)
        else:
            raise Refused(f"Nothing is live at {mine.key}: python run.py --deploy")
        running = [replica.name for replica, _ in site.state.deployment(mine.key).running]
        name = running[-1] if as_candidate else running[0]
        return SeldonLocalService.from_model(service_list(site).recorded()[name])

    def perform_delete_model(
        self,
        service: BaseService,
        timeout: int = DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT,
        force: bool = False,
    ) -> None:
        """Take one release down, and the ingress too where nothing else is served; a candidate alone."""
        mine = cast(SeldonLocalService, service)
        with self._changing(f"take {mine.key} down", leave=mine.uuid) as site:
            rollout = site.state.deployment(mine.key).rollout
            if rollout and rollout.replica.name == mine.config.replica:
                site.end_rollout(mine.key)
            else:
                site.take_down([mine.key])

    def _deployment(self, release: Release) -> Deployment:
        return self._site.settled_state().deployment(_key(release.model_name, release.environment))

    @contextmanager
    def _changing(self, act: str, *, leave: UUID | None = None) -> Iterator[Site]:
        """Change the site alone; afterwards ZenML's records agree with it."""
        site = self._site
        with site.changing(act):
            yield site
            record_services(site, leave=leave)

    @contextmanager
    def _changing_live(self, release: Release, act: str) -> Iterator[tuple[Site, str, Entry | None]]:
        """Change the site alone; also what is live there, where that is exactly ``release``, else None."""
        arm, key = candidate_of(release), _key(release.model_name, release.environment)
        with self._changing(act.format(arm.version, release.environment)) as site:
            live = site.state.deployment(key).live
            yield site, key, live if live and same_arm(live.release.candidate, arm) else None


def _key(model_name: str, environment: Environment) -> str:
    return f"{environment}/{require_model_name(model_name)}"


def _require_admitted(release: Release, deployment: Deployment) -> None:
    """Check, while nobody else can change it, that a release may be applied beside what is served.

    Raises:
        Refused: another version is rolling out, unless what is live is brought up again; or something else
            is live than it was proposed beside; or, for what is to roll out, nothing or itself.
    """
    live, rolling = _held(deployment)
    repaired = live is not None and same_arm(live.candidate, candidate_of(release))
    if release.mode != "full" or not repaired:
        require_no_other_rollout(release, rolling)
    if release.mode != "full":
        require_champion(release, live)
    require_still_live(release, live)


def _held(deployment: Deployment) -> tuple[Release | None, Release | None]:
    """What is live, and what rolls out beside it."""
    live, rollout = deployment.live, deployment.rollout
    return live.release if live else None, rollout.entry.release if rollout else None


def _served(arm: Arm) -> tuple[int, str]:
    """Version and model digest, as an entry has them."""
    return arm.version, arm.model_digest


def _new_replica(release: Release, arm: Arm) -> Replica:
    return microservice.new_replica(release.environment, arm.version)


def _runs(rollout: Rollout) -> bool:
    """Whether what rolls out is ready, as its version with its model."""
    entry = rollout.entry
    return microservice.is_ready(rollout.replica.base_url, str(entry.served[0]), entry.model_digest)
