"""The local model deployer: what may be served is checked here, how it is served in :mod:`.site`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, cast
from uuid import UUID

from zenml.enums import ServiceState
from zenml.model_deployers import BaseModelDeployer
from zenml.model_deployers.base_model_deployer import (
    DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT,
    BaseModelDeployerFlavor,
)
from zenml.services import BaseService, ServiceConfig

from materializers.approval import verify_approval
from materializers.errors import Refused, ServiceUnreachable, UsageError
from materializers.evidence import verify_arm, verify_not_rejected
from materializers.release import Arm, Environment, Release
from materializers.verdict import verify_verdict
from stacks.local_deployer import microservice
from stacks.local_deployer.flavor import SeldonLocalModelDeployerConfig, SeldonLocalModelDeployerFlavor
from stacks.local_deployer.service import SeldonLocalService, record_services, recorded_services
from stacks.local_deployer.site import Site
from stacks.local_deployer.state import Entry

# It becomes a part of the URL.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class SeldonLocalModelDeployer(BaseModelDeployer):
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
            Refused: the evidence does not allow it; what is served is unchanged.
            ServiceFailed: the new service did not come up; the old one keeps serving.
            UsageError: an address that it needs is taken.
            ServiceUnreachable: the registry or the artifact store cannot be read.
        """
        arm, key = _candidate(release), _key(release.model_name, release.environment)
        with self._changing(f"apply version {arm.version} in {release.environment}") as site:
            live = site.state.deployment(key).live
            if live and _same(live.release.candidate, arm) and self.healthy(live.release):
                return _mark(site, key, live, recorded=release.recorded, restored=release.restored)
            site.ingress.require_address()
            verify_arm(
                arm,
                model_name=release.model_name,
                environment=release.environment,
                model_digest=site.models.fetch(arm.model_uri),
            )
            entry = Entry.pin(self._as_live(site, key, release), arm)
            site.roll_out(key, entry, arm, site.state.deployment(key).past(entry))
            return entry.release

    def restore(self, release: Release) -> Release:
        """Make a release live that was live here before, on its own evidence, without the registry.

        Where the registry answers all the same, what a person said there counts.

        Raises:
            Refused: it never was live here, a person rejected it since, or its verdict, approval or model
                bytes were altered.
            ServiceFailed: its service did not come up; the present one keeps serving.
            UsageError: an address that it needs is taken.
            ServiceUnreachable: the artifact store is needed and cannot be read.
        """
        arm, key = _candidate(release), _key(release.model_name, release.environment)
        with self._changing(f"put version {arm.version} back in {release.environment}") as site:
            deployment = site.state.deployment(key)
            chain = [*deployment.history, *([deployment.live] if deployment.live else [])]
            place = _place_in_history(chain, arm, release.environment)
            with suppress(ServiceUnreachable, UsageError):
                verify_not_rejected(release.model_name, arm, release.environment)
            pinned = chain[place]
            if pinned is deployment.live and self.healthy(pinned.release):
                return pinned.release
            site.ingress.require_address()
            present = site.models.digest(pinned.model_digest)
            if present != pinned.model_digest:
                present = site.models.fetch(arm.model_uri)
            _verify_as_pinned(release, arm, pinned, present)
            entry = pinned.model_copy(update={"release": self._as_live(site, key, release)})
            site.roll_out(key, entry, arm, tuple(chain[:place]))
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

    def healthy(self, release: Release) -> bool:
        """Whether the release's URL answers that it is ready, as exactly this version."""
        if release.url is None or release.candidate is None:
            return False
        base_url = release.url.removesuffix("/api/v1.0/predictions")
        return microservice.is_ready(base_url, str(release.candidate.version), release.candidate.model_digest)

    def verify(self, release: Release) -> bool:
        """Whether the release's URL is healthy and classified a picture as exactly this version."""
        if release.url is None or release.candidate is None or not self.healthy(release):
            return False
        try:
            return microservice.predict(release.url) == str(release.candidate.version)
        except microservice.NO_PREDICTION:
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

    def perform_deploy_model(
        self, id: UUID, config: ServiceConfig, timeout: int = DEFAULT_DEPLOYMENT_START_STOP_TIMEOUT
    ) -> BaseService:
        """Refuse: ZenML's generic call carries no verdict.

        Raises:
            Refused: always.
        """
        raise Refused("A model is served with its verdict only: python run.py --deploy")

    def find_model_server(self, *args: Any, **kwargs: Any) -> list[BaseService]:
        """Find this deployer's services, after what a killed command left is cleared up."""
        site = self._site
        site.settled_state()
        record_services(site)
        # ZenML finds those of every deployer of the flavor.
        found = cast(list[SeldonLocalService], super().find_model_server(*args, **kwargs))
        return [service for service in found if service.config.site == str(site.path)]

    @staticmethod
    def get_model_server_info(service: BaseService) -> dict[str, str | None]:
        """What ``zenml model-deployer models describe`` shows."""
        mine = cast(SeldonLocalService, service)
        return {
            "PREDICTION_URL": mine.prediction_url,
            "HEALTH_CHECK_URL": mine.healthcheck_url,
            "ENVIRONMENT": mine.config.environment,
            "MODEL_NAME": mine.config.model_name,
            "MODEL_VERSION": mine.config.model_version,
            "MODEL_DIGEST": mine.config.model_digest,
            "REPLICA": mine.config.replica,
        }

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
        return SeldonLocalService.from_model(recorded_services(site)[replica])

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
        arm, key = _candidate(release), _key(release.model_name, release.environment)
        with self._changing(act.format(arm.version, release.environment)) as site:
            live = site.state.deployment(key).live
            yield site, key, live if live and _same(live.release.candidate, arm) else None

    def _as_live(self, site: Site, key: str, release: Release) -> Release:
        now = datetime.now(UTC)
        url = f"{site.url(key)}/api/v1.0/predictions"
        return release.model_copy(update={"status": "live", "reasons": (), "url": url, "since": now})


def _key(model_name: str, environment: Environment) -> str:
    if not MODEL_NAME.fullmatch(model_name):
        raise UsageError(
            f"The model name {model_name!r} cannot be part of a URL; letters, digits, '.', '_' and '-' can."
        )
    return f"{environment}/{model_name}"


def _candidate(release: Release) -> Arm:
    if release.candidate is None:
        raise Refused(
            f"The release for {release.environment} names no version to serve: python run.py --status"
        )
    return release.candidate


def _same(one: Arm | None, other: Arm) -> bool:
    # By digest: two verdicts with and without their pictures are the same evidence.
    return one is not None and one.digest == other.digest


def _mark(site: Site, key: str, live: Entry, *, recorded: bool, restored: bool) -> Release:
    """Change what is known of the live release; what serves stays."""
    release = live.release.model_copy(update={"recorded": recorded, "restored": restored})
    site.save_live(key, live.model_copy(update={"release": release}))
    return release


def _place_in_history(chain: list[Entry], arm: Arm, environment: Environment) -> int:
    for place in reversed(range(len(chain))):
        if chain[place].served[0] == arm.version:
            return place
    raise Refused(
        f"Version {arm.version} never was live in {environment}, so it cannot be put back there. "
        f"Deploy it: python run.py --deploy --environment {environment} --version {arm.version}"
    )


def _verify_as_pinned(release: Release, arm: Arm, pinned: Entry, present: str) -> None:
    """Check a release that was live before on its own evidence: what was pinned when it went live.

    Raises:
        Refused: verdict, approval or model are not those that were verified then, or the verdict says no.
    """
    if not arm.model_digest == pinned.model_digest == present:
        raise Refused(
            f"The model of version {arm.version} was {pinned.model_digest[:12]} when live; the release "
            f"names {arm.model_digest[:12]}, and its bytes give {present[:12]} now: "
            "it was altered. Train again: python run.py --train"
        )
    if arm.verdict.model_name != release.model_name:
        raise Refused(
            f"The verdict is about {arm.verdict.model_name}, the release is of {release.model_name}."
        )
    recorded: dict[str, str | None] = {"deployer": pinned.verdict_digest}
    verify_verdict(arm.verdict, model_digest=present, recorded=recorded)
    if release.environment == "production":
        verify_approval(
            arm.approval, version=arm.version, verdict=arm.verdict, recorded=pinned.approval_digest
        )
