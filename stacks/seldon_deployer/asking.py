"""Whether a version serves, apart from another one that shares the traffic with it.

Through the ingress there is one URL for all: its answers name the version, and nobody can choose who gives
one. So it is asked until the version that is meant has answered, as often as its share needs to be all but
sure of it. In an A/B test it can be chosen, by the unit's own status and by a request key that the router
gives to it. What a shadow answers nobody gets: there Kubernetes' own word is what there is, that its pods are
ready. They say so only as the version and the model that they were told, and after they classified a picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import httpx

from materializers.errors import ServiceBusy
from materializers.release import Release
from serving.launching import READINESS
from serving.router import CANDIDATE, CHAMPION, KEY_HEADER, STATUS, key_for
from stacks import probing
from stacks.http_service import bearer, connect
from stacks.seldon_deployer.cluster import Cluster
from stacks.seldon_deployer.manifest import VERSION_LABEL, predictor_name
from stacks.seldon_deployer.reasons import is_ready as pod_is_ready
from stacks.seldon_deployer.reasons import pods_of
from stacks.seldon_deployer.sharing import PREDICTOR_LABEL, ab_name
from stacks.seldon_deployer.state import State
from stacks.seldon_deployer.store import Held
from stacks.served import base_url_of, candidate_of, same_version

ANSWER_TIMEOUT_S = 10.0
WRONG_ONCE_IN = 10_000
"""How seldom chance may decide: that a version never answers though it has its share, or always does though
another one has the traffic."""


def through_ingress(url: str, token: str | None = None) -> Callable[[], httpx.Client]:
    """Makes clients for the ingress that ``url`` lies behind; a prediction there needs the ``token``."""

    def client() -> httpx.Client:
        made = connect(url, timeout_s=ANSWER_TIMEOUT_S)
        made.headers.update(bearer(token))
        return made

    return client


class Traffic(NamedTuple):
    """What one version is among those that a resource has: its share of the answers, and how it is asked.

    Attributes:
        share: between 0 and 1.
        path: where its health is told, below the base URL.
        headers: of a request that it answers.
    """

    share: float = 1.0
    path: str = READINESS
    headers: dict[str, str] = {}  # noqa: RUF012 - nobody changes it


class Asking:
    """Asks the versions that one cluster serves.

    Args:
        cluster: its API.
        token: what a prediction needs.
    """

    def __init__(self, cluster: Cluster, token: str) -> None:
        self._cluster, self._token = cluster, token

    def is_ready(self, held: Held, release: Release) -> bool:
        """Whether what answers at the release's URL is ready, as exactly this version."""
        url, arm, traffic = base_url_of(release), release.candidate, _traffic(held.state, release)
        if url is None or arm is None:
            return False
        version, digest = str(arm.version), arm.model_digest
        return any(
            probing.is_ready(through_ingress(url), url, version, digest, path=traffic.path)
            for _ in range(_tries(traffic.share))
        )

    def predicts(self, held: Held, release: Release) -> bool:
        """Whether the release's URL is ready and classified a picture as exactly this version.

        Where the version goes from a share of the traffic to all of it, whether it has all of it.

        Raises:
            ServiceBusy: it is ready, and whoever was asked had no time: that may have been this version.
        """
        if release.candidate is None or not self.is_ready(held, release):
            return False
        traffic = _traffic(held.state, release)
        if traffic.share < 1:
            return self._predicted_once(release, traffic, _tries(traffic.share))
        return all(self._predicted(release, traffic) for _ in range(_times_to_be_sure(held.state, release)))

    def candidate_is_ready(self, held: Held, release: Release) -> bool:
        """Whether the candidate of a release that is rolling out is ready, by its pods: see above.

        Raises:
            ServiceUnreachable: the cluster cannot be asked.
        """
        if self._ready_pods(held.name, release) == 0:
            return False
        return release.mode != "ab" or self.is_ready(held, release)

    def candidate_answers(self, held: Held, release: Release) -> bool:
        """Whether the candidate of a release that is rolling out is ready and classified a picture.

        Raises:
            ServiceBusy: it is ready, and has no time to classify a picture.
            ServiceUnreachable: the cluster cannot be asked.
        """
        ready = self.candidate_is_ready(held, release)
        return ready and (release.mode == "shadow" or self.predicts(held, release))

    def ready_replicas(self, held: Held, release: Release) -> int:
        """How many replicas of a candidate's predictor are ready: by Seldon's status, else by its pods."""
        found = (held.body or {}).get("status", {}).get("deploymentStatus") or {}
        begin = f"{held.name}-{predictor_name(candidate_of(release))}-"
        counts = [one.get("availableReplicas", 0) for name, one in found.items() if name.startswith(begin)]
        return sum(counts) if counts else self._ready_pods(held.name, release)

    def _ready_pods(self, resource: str, release: Release) -> int:
        """How many pods of a release's candidate are ready, in the predictor that its mode gives it."""
        wanted = {VERSION_LABEL: str(candidate_of(release).version)}
        if release.mode == "ab" and release.champion is not None:
            wanted[PREDICTOR_LABEL] = ab_name(release, release.champion)
        found = 0
        for pod in pods_of(self._cluster, resource):
            labels = pod["metadata"].get("labels", {})
            mine = {key: labels[key] for key in (VERSION_LABEL, PREDICTOR_LABEL) if key in labels}
            found += mine == wanted and pod_is_ready(pod)
        return found

    def _predicted_once(self, release: Release, traffic: Traffic, tries: int) -> bool:
        """Whether one of so many answers is this version's; raises as :meth:`predicts` does."""
        busy: ServiceBusy | None = None
        for _ in range(tries):
            try:
                if self._predicted(release, traffic):
                    return True
            except ServiceBusy as error:
                busy = error
        if busy is not None:
            raise busy
        return False

    def _predicted(self, release: Release, traffic: Traffic) -> bool:
        url = release.url
        if url is None:
            return False
        version = probing.predicted(through_ingress(url, self._token), url, headers=traffic.headers)
        return version == str(candidate_of(release).version)


def _traffic(state: State, release: Release) -> Traffic:
    """What a release's version is in the specification that the resource has now."""
    known = state.pending.coming if state.pending else state.serving
    arm = release.candidate
    if known is None or arm is None or known.release.status != "rolling_out":
        return Traffic()
    rolling = known.release
    coming = same_version(rolling.candidate, arm)
    if rolling.mode == "ab":
        child = CANDIDATE if coming else CHAMPION
        headers = {KEY_HEADER: key_for(child, rolling.share)}
        return Traffic(path=f"{STATUS}/{predictor_name(arm)}", headers=headers)
    return Traffic(share=rolling.share if coming else 1 - rolling.share)


def _tries(share: float) -> int:
    """How often to ask for what answers this share of the requests, until it hardly can have failed to."""
    if share >= 1:
        return 1
    return math.ceil(math.log(WRONG_ONCE_IN) / -math.log1p(-share)) if share > 0 else 1


def _times_to_be_sure(state: State, release: Release) -> int:
    """How many answers in turn say that a version has all the traffic and not the share that it had."""
    rolling, arm = state.rolling, candidate_of(release)
    if rolling is None or not state.pending:
        return 1
    part = rolling.release.share
    if same_version(rolling.release.candidate, arm):
        before = part
    else:
        before = 1 - part if state.live and same_version(state.live.release.candidate, arm) else 0.0
    return math.ceil(math.log(WRONG_ONCE_IN) / -math.log(before)) if 0 < before < 1 else 1
