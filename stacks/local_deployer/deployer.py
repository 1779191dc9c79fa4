"""The local model deployer: what may be served is checked here, how it is served in :mod:`.site`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar, cast
from uuid import UUID

import httpx
from zenml.enums import ServiceState
from zenml.model_deployers.base_model_deployer import (
    DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT,
    BaseModelDeployerFlavor,
)
from zenml.services import BaseService

from materializers.errors import Refused, ServiceUnreachable
from materializers.evidence import verify_arm, verify_return
from materializers.release import Environment, Release
from materializers.signatures import TrustedKeys
from stacks.local_deployer import loopback, microservice
from stacks.local_deployer.flavor import SeldonLocalModelDeployerConfig, SeldonLocalModelDeployerFlavor
from stacks.local_deployer.service import SeldonLocalService, record_services, service_list
from stacks.local_deployer.site import Site
from stacks.probing import NO_PREDICTION
from stacks.releasing_deployer import ReleasingModelDeployer
from stacks.served import (
    Entry,
    as_live,
    base_url_of,
    candidate_of,
    place_in_history,
    require_model_name,
    require_still_live,
    same_arm,
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
        """Make ``release`` live and return it with ``status="live"``, its URL and time.

        Applying what is live already starts nothing and only takes over ``recorded`` and ``restored``.

        Raises:
            Refused: the evidence does not allow it, or production serves something else by now than it was
                proposed beside; what is served is unchanged.
            ServiceFailed: the new service did not come up; the old one keeps serving.
            UsageError: an address that it needs is taken.
            ServiceUnreachable: the registry or the artifact store cannot be read.
        """
        arm, key = candidate_of(release), _key(release.model_name, release.environment)
        with self._changing(f"apply version {arm.version} in {release.environment}") as site:
            live = site.state.deployment(key).live
            if live and same_arm(live.release.candidate, arm) and self.healthy(live.release):
                return _mark(site, key, live, recorded=release.recorded, restored=release.restored)
            require_still_live(release, live.release if live else None)
            site.ingress.require_address()
            verify_arm(
                arm,
                model_name=release.model_name,
                environment=release.environment,
                model=site.models.fetch(arm.model_uri),
                trusted=self.trusted_keys(),
            )
            entry = Entry.pin(as_live(release, site.url(key)), arm)
            site.roll_out(key, entry, arm, site.state.deployment(key).past(entry))
            return entry.release

    def restore(self, release: Release) -> Release:
        """Make a release live that was live here before, on its own evidence, even when the registry is down.

        Where the registry answers, what it knows and what a person said there counts, too.

        Raises:
            Refused: it never was live here, by this record or the registry's, a person rejected it since, or
                its verdict, approval or model bytes were altered.
            ServiceFailed: its service did not come up; the present one keeps serving.
            UsageError: an address that it needs is taken.
            ServiceUnreachable: the artifact store is needed and cannot be read.
        """
        arm, key = candidate_of(release), _key(release.model_name, release.environment)
        with self._changing(f"put version {arm.version} back in {release.environment}") as site:
            deployment = site.state.deployment(key)
            chain = deployment.chain
            place = place_in_history(chain, arm, release.environment)
            pinned = chain[place]
            with suppress(ServiceUnreachable):
                verify_return(
                    arm,
                    model_name=release.model_name,
                    environment=release.environment,
                    trusted=self.trusted_keys(),
                )
            if pinned is deployment.live and self.healthy(pinned.release):
                return pinned.release
            site.ingress.require_address()
            model = site.models.whole(pinned.model_digest) or site.models.fetch(arm.model_uri)
            verify_as_pinned(release, arm, pinned, model, self.trusted_keys())
            entry = pinned.model_copy(update={"release": as_live(release, site.url(key))})
            site.roll_out(key, entry, arm, chain[:place])
            return entry.release

    def mark_recorded(self, release: Release) -> bool:
        """Note that registry and run records agree with ``release``, if exactly it is live now.

        Moves no traffic. False: something else is live by now, or nothing; nothing was changed.

        Raises:
            ServiceUnreachable: another command holds the site, or it cannot be written.
        """
        with self._changing_live(release, "record version {} in {}") as (site, key, live):
            if live is None:
                return False
            _mark(site, key, live, recorded=True, restored=release.restored)
            return True

    def withdraw(self, release: Release) -> bool:
        """Take ``release`` down and forget it, if exactly it is live now; nothing is live there then.

        False: something else is live by now, or nothing; nothing was changed.

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

    def connect(self, release: Release) -> httpx.Client:
        """A client that reaches the release's URL, past every proxy: it lies on this machine's loopback."""
        return loopback.client()

    def healthy(self, release: Release) -> bool:
        """Whether the release's URL answers that it is ready, as exactly this version."""
        base_url = base_url_of(release)
        if base_url is None or release.candidate is None:
            return False
        return microservice.is_ready(base_url, str(release.candidate.version), release.candidate.model_digest)

    def verify(self, release: Release) -> bool:
        """Whether the release's URL is healthy and classified a picture as exactly this version."""
        if release.url is None or release.candidate is None or not self.healthy(release):
            return False
        try:
            return microservice.predict(release.url) == str(release.candidate.version)
        except NO_PREDICTION:
            return False

    def stop(self) -> list[str]:
        """Stop everything that serves, leave nothing running, and say what was stopped, one line each."""
        lost = self._site.end_what_a_damaged_state_left()
        with self._changing("stop") as site:
            live = {key: one for key, one in site.state.deployments.items() if one.live}
            stopped = [
                f"{one.live.release.environment}: {one.live.release.model_name} "
                f"version {one.live.served[0]}, {site.url(key)}"
                for key, one in sorted(live.items())
                if one.live
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
        live = site.settled_state().deployment(mine.key).live
        if live is None:
            raise Refused(f"Nothing is live at {mine.key}: python run.py --deploy")
        self.restore(live.release)
        replica = site.state.replicas()[mine.key].name
        return SeldonLocalService.from_model(service_list(site).recorded()[replica])

    def perform_delete_model(
        self,
        service: BaseService,
        timeout: int = DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT,
        force: bool = False,
    ) -> None:
        """Take one release down; the ingress too where nothing else is served."""
        mine = cast(SeldonLocalService, service)
        with self._changing(f"take {mine.key} down", leave=mine.uuid) as site:
            site.take_down([mine.key])

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


def _mark(site: Site, key: str, live: Entry, *, recorded: bool, restored: bool) -> Release:
    """Change what is known of the live release; what serves stays."""
    marked = live.marked(recorded=recorded, restored=restored)
    site.save_live(key, marked)
    return marked.release
