"""How what is served changes: a new replica comes up, takes traffic, and what has none any more ends.

A change is written down before it begins and is done once Envoy divides the traffic so.
:meth:`Site.settle` then makes processes, routes and state agree, the same way after a change that went well,
one that failed, and one whose command was killed.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

from materializers.errors import DamagedArtifact, ServiceFailed, ServiceUnreachable
from serving.launching import last_lines
from stacks.local_deployer import microservice, processes
from stacks.local_deployer.flavor import SeldonLocalModelDeployerConfig
from stacks.local_deployer.ingress import ENVOY, Ingress
from stacks.local_deployer.shipper import SHIPPER, ensure_shipper, spool_of
from stacks.local_deployer.state import Deployment, Pending, Replica, Rollout, State, StateFile
from stacks.local_deployer.targets import list_targets
from stacks.model_copies import ModelCopies
from stacks.served import Entry, candidate_of

INGRESS_TIMEOUT_S = 20.0
# Requests have drained before a process is asked to end.
STOP_PATIENCE_S = 10.0
LOGS_KEPT = 20


class Site:
    """One state directory and everything that serves from it."""

    def __init__(self, config: SeldonLocalModelDeployerConfig) -> None:
        self.config = config
        self.path = config.site
        self.models = ModelCopies(self.path)
        self.ingress = Ingress(
            self.path,
            host=config.host,
            port=config.port,
            max_body_bytes=config.max_body_bytes,
            queue=config.queue,
        )
        self._file = StateFile(self.path)

    @property
    def state(self) -> State:
        """What is live, as it is stored now.

        Raises:
            DamagedArtifact: the file is not what this deployer wrote, or is gone while processes run.
            ServiceUnreachable: it cannot be read.
        """
        if not self._file.path.exists() and (lost := processes.running(self.path)):
            raise DamagedArtifact(
                f"{self._file.path}, which says what is live, is gone, and these run without it: "
                f"{', '.join(sorted(lost))}. Put back a copy of it, or stop them and begin anew: "
                "python run.py --stop"
            )
        return self._file.load()

    def url(self, key: str) -> str:
        """The base URL of ``environment/model``."""
        return f"{self.ingress.url}/seldon/{key}"

    @contextlib.contextmanager
    def changing(self, act: str) -> Iterator[None]:
        """Hold the site, settled, and settle it again when the change is over, however it ends.

        Raises:
            ServiceUnreachable: another command holds it, or the disk or the kernel refuses.
        """
        with self._errors(), self._file.locked(act, timeout_s=self.config.lock_timeout_s):
            self.settle()
            try:
                yield
            finally:
                self.settle()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ServiceUnreachable(
                f"The model deployer's site {self.path} could not be changed: {error}. "
                "See what is live: python run.py --status"
            ) from error

    def end_what_a_damaged_state_left(self) -> list[str]:
        """Where nobody can tell any more what is live, stop all that runs and put the state aside.

        Returns one line for each process that was stopped and for the file; none where the state is sound.

        Raises:
            ServiceUnreachable: another command holds the site, or the disk or the kernel refuses.
        """
        with self._errors(), self._file.locked("stop", timeout_s=self.config.lock_timeout_s):
            with contextlib.suppress(DamagedArtifact):
                self.state  # noqa: B018 - only whether it can be read
                return []
            names = sorted(processes.running(self.path))
            processes.stop(names, site=self.path, patience_s=STOP_PATIENCE_S)
            aside = self._file.set_aside()
        return [
            *(f"process {name}, of which no sound record was left" for name in names),
            *([f"the damaged record of what was live; it is kept as {aside}"] if aside else []),
        ]

    def settled_state(self) -> State:
        """What is live, after clearing up what a killed command left; without waiting for one that runs."""
        if not self._file.path.exists():
            return self.state
        unsettled = (ServiceUnreachable, ServiceFailed, TimeoutError)
        with contextlib.suppress(*unsettled), self._file.locked("look", timeout_s=0):
            self.settle()
        return self.state

    def save_live(self, key: str, live: Entry) -> None:
        """Replace what is known of the live release; what serves stays."""
        deployment = self.state.deployment(key)
        self._save(key, deployment.model_copy(update={"live": live}))

    def save_rollout(self, key: str, rollout: Rollout) -> None:
        """Replace what is known of the release that rolls out; what serves stays."""
        deployment = self.state.deployment(key)
        self._save(key, deployment.model_copy(update={"rollout": rollout}))

    def _save(self, key: str, deployment: Deployment) -> None:
        self._file.save(self.state.with_deployment(key, deployment))

    def change(self, key: str, target: Deployment) -> None:
        """Serve ``target``, whose releases are verified: start what does not run, then divide the traffic so.

        Raises:
            ServiceFailed: a release did not come up or did not get its traffic; what was served before is.
        """
        before = self.state
        self._file.save(before.model_copy(update={"pending": Pending(key=key, deployment=target)}))
        present = [replica for replica, _ in before.deployment(key).running]
        started = [
            (replica, candidate_of(entry.release), self._start(replica, entry))
            for replica, entry in target.running
            if replica not in present
        ]
        self.ingress.ensure(before.routes(), timeout_s=INGRESS_TIMEOUT_S)
        for replica, arm, process in started:
            microservice.wait_until_it_answers(
                replica, arm, process, site=self.path, timeout_s=self.config.start_timeout_s
            )
        # Not before: with the settings of a release that does not come up, the shipper might not either.
        self.have_shipped()
        coming = before.with_deployment(key, target)
        self.ingress.publish(coming.routes(), timeout_s=INGRESS_TIMEOUT_S)
        self.settle()
        if self.state.deployment(key).route != target.route:
            versions = " and ".join(str(entry.served[0]) for _, entry in target.running)
            raise ServiceFailed(
                f"Version {versions} did not get the traffic; what was served before still is. "
                f"The ingress' log, {self.ingress.log}, ends:\n{last_lines(self.ingress.log)}"
            )

    def have_shipped(self) -> None:
        """Have the shipper run, where anything is captured."""
        ensure_shipper(self.config, patience_s=STOP_PATIENCE_S)

    def _start(self, replica: Replica, entry: Entry) -> subprocess.Popen[bytes]:
        return microservice.start(
            replica,
            candidate_of(entry.release),
            model_name=entry.release.model_name,
            model=self.models.path(entry.model_digest),
            python=self.config.serving_python,
            max_body_bytes=self.config.max_body_bytes,
            queue=self.config.queue,
            site=self.path,
            capture=self.config.capture_settings(entry.release.environment, spool_of(self.config)),
        )

    def end_rollout(self, key: str) -> None:
        """Give what is live all the traffic again, and end what rolled out."""
        self._save(key, self.state.deployment(key).without_rollout())
        self.settle()

    def end_replica(self, name: str) -> None:
        """Stop one microservice; its route stays and answers 503."""
        processes.stop([name], site=self.path, patience_s=STOP_PATIENCE_S)

    def take_down(self, keys: list[str], *, remember: bool = True) -> None:
        """Make nothing live under these keys; what was live stays in their history unless told otherwise."""
        state = self.state
        for key in keys:
            state = state.with_deployment(key, state.deployment(key).down(remember=remember))
        self._file.save(state)
        self.settle()

    def settle(self) -> None:
        """Make processes, routes, copies and state agree; needs the lock.

        A pending change is completed where its replicas have their traffic and answer, and undone otherwise.
        """
        state = self.state
        if state.pending is not None:
            state = self._conclude(state, state.pending)
            self._file.save(state)
        # Before anything ends: Prometheus must not ask what is gone on purpose.
        list_targets(self.path, state)
        self._retire(state)
        self.models.prune(state.model_digests())
        self._prune_logs()

    def _conclude(self, state: State, pending: Pending) -> State:
        coming = state.with_deployment(pending.key, pending.deployment)
        before = state.deployment(pending.key)
        if self.ingress.follows(coming.routes()) and self._answers(pending.key, pending.deployment, before):
            return coming
        return state.model_copy(update={"pending": None})

    def _answers(self, key: str, target: Deployment, before: Deployment) -> bool:
        """Whether what gets another kind of traffic than before answers: at the URL, or as a candidate."""
        asked: list[tuple[str, Entry]] = []
        if target.live and target.replica != before.replica:
            asked.append((self.url(key), target.live))
        if target.rollout and (before.rollout is None or target.rollout.replica != before.rollout.replica):
            asked.append((target.rollout.replica.base_url, target.rollout.entry))
        return all(
            microservice.is_ready(base_url, str(entry.served[0]), entry.model_digest)
            for base_url, entry in asked
        )

    def _retire(self, state: State) -> None:
        """End what is not wanted, each replica after its last answer; without replicas, no ingress either."""
        routes, wanted = state.routes(), state.replica_names()
        running = processes.running(self.path)
        surplus = set(running) - wanted
        if wanted:
            surplus -= {ENVOY, SHIPPER}
        if ENVOY in running:
            # An ingress that hangs must not keep anyone from stopping it.
            with contextlib.nullcontext() if wanted else contextlib.suppress(ServiceFailed):
                self.ingress.publish(routes, timeout_s=INGRESS_TIMEOUT_S)
                if surplus:
                    self.ingress.wait_idle(surplus, timeout_s=self.config.drain_timeout_s)
        processes.stop(surplus, site=self.path, patience_s=STOP_PATIENCE_S)
        if wanted and ENVOY in running:
            self.ingress.forget_clusters_beside(routes)

    def _prune_logs(self) -> None:
        logs = sorted((self.path / "logs").glob("*-v*.log"), key=lambda log: log.stat().st_mtime)
        for log in logs[:-LOGS_KEPT]:
            log.unlink(missing_ok=True)
