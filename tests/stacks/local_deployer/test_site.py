"""How what is served changes: under load, back, after failures, and after a kill at any point."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from PIL import Image

from materializers.errors import Refused, ServiceFailed, ServiceUnreachable
from materializers.release import Arm, Release
from stacks.local_deployer import microservice, processes
from stacks.local_deployer.deployer import SeldonLocalModelDeployer
from stacks.local_deployer.ingress import ENVOY, Ingress
from stacks.local_deployer.site import Site
from stacks.local_deployer.state import Route, StateFile
from tests.stacks.local_deployer.conftest import (
    MODEL_NAME,
    make_deployer,
    release_of,
    rollout_of,
    serving,
    version_of,
)

REQUESTS_PER_S = 20


@dataclass
class Answers:
    """What a client saw, request by request."""

    versions: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@contextmanager
def load(url: str) -> Iterator[Answers]:
    """Send 20 pictures a second to the URL while the block runs, whatever becomes of them."""
    answers, over = Answers(), threading.Event()
    picture = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(picture, "PNG")
    headers = {"content-type": "application/octet-stream"}

    def ask(client: httpx.Client) -> None:
        try:
            answer = client.post(url, content=picture.getvalue(), headers=headers)
            answer.raise_for_status()
            answers.versions.append(answer.json()["jsonData"]["model_version"])
        except (httpx.HTTPError, ValueError, KeyError) as error:
            answers.failures.append(repr(error))

    def keep_asking() -> None:
        with httpx.Client(timeout=30, trust_env=False) as client, ThreadPoolExecutor(16) as pool:
            due = time.monotonic()
            while not over.is_set():
                pool.submit(ask, client)
                due += 1 / REQUESTS_PER_S
                time.sleep(max(0.0, due - time.monotonic()))

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        yield answers
    finally:
        over.set()
        thread.join()


def names(deployer: SeldonLocalModelDeployer) -> list[str]:
    """What runs at the deployer's site, without the replicas' random ends."""
    return sorted(name.rsplit("-", 1)[0] for name in serving(deployer))


def test_replacing_and_going_back_under_load_loses_no_request(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """20 requests a second while the version is replaced, and while it is put back: none fails."""
    live = deployer.apply(release_of(first))
    assert live.url
    with load(live.url) as answers:
        time.sleep(0.5)
        replaced = deployer.apply(release_of(second))
        time.sleep(0.5)
    assert answers.failures == []
    assert set(answers.versions) == {str(first.version), str(second.version)}
    assert answers.versions[-1] == str(second.version)
    assert replaced.url == live.url
    assert names(deployer) == [ENVOY, f"staging-v{second.version}"]
    assert deployer.previous(MODEL_NAME, "staging") == live

    with load(live.url) as answers:
        time.sleep(0.5)
        back = deployer.restore(live)
        time.sleep(0.5)
    assert answers.failures == []
    assert answers.versions[-1] == str(first.version)
    assert deployer.current(MODEL_NAME, "staging") == back
    assert deployer.previous(MODEL_NAME, "staging") is None
    assert names(deployer) == [ENVOY, f"staging-v{first.version}"]
    with pytest.raises(Refused, match="never was live"):
        deployer.restore(replaced)


def test_a_request_that_takes_its_time_is_answered_by_the_replaced_version(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """A client that sends its picture slowly while the version is replaced still gets an answer."""
    live = deployer.apply(release_of(first))
    assert live.url
    picture = io.BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "PNG")
    sent = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield picture.getvalue()[:40]
        sent.set()
        time.sleep(4)
        yield picture.getvalue()[40:]

    with ThreadPoolExecutor(1) as pool:
        headers = {"content-type": "application/octet-stream"}
        answer = pool.submit(httpx.post, live.url, content=slowly(), headers=headers, timeout=60)
        sent.wait()
        deployer.apply(release_of(second))
        assert answer.result().status_code == 200
    assert names(deployer) == [ENVOY, f"staging-v{second.version}"]


def test_going_back_needs_no_registry_but_unaltered_evidence(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed verdict, approval, state or model is refused; without the registry the rest goes back."""
    before = deployer.apply(release_of(first, "production"))
    live = deployer.apply(release_of(second, "production", champion=first))
    assert before.candidate
    assert before.candidate.approval

    def altered(**changes: Any) -> Release:
        assert before.candidate
        return before.model_copy(update={"candidate": before.candidate.model_copy(update=changes)})

    verdict = first.verdict.model_copy(update={"compared": "point", "model_name": "another"})
    approval = before.candidate.approval.model_copy(update={"reason": "another"})
    for release in (altered(verdict=verdict), altered(approval=approval), altered(model_digest="1" * 64)):
        with pytest.raises(Refused):
            deployer.restore(release)
    state_file = deployer.config.site / "state.json"
    stored = state_file.read_text()
    state_file.write_text(stored.replace('"measured": 0.9', '"measured": 0.99'))
    tampered = deployer.previous(MODEL_NAME, "production")
    assert tampered
    with pytest.raises(Refused, match="altered"):
        deployer.restore(tampered)
    state_file.write_text(stored)

    copy = deployer.config.site / "models" / first.model_digest / "model.onnx"
    source = Path(first.model_uri) / "model.onnx"
    model = source.read_bytes()
    for path in (copy, source):
        path.write_bytes(model + b" ")
    try:
        with pytest.raises(Refused, match="its bytes"):
            deployer.restore(before)
    finally:
        source.write_bytes(model)
    assert deployer.current(MODEL_NAME, "production") == live

    def down() -> None:
        raise ConnectionRefusedError("the registry is down")

    monkeypatch.setattr("materializers.evidence.registry_client", down)
    back = deployer.restore(before)
    assert version_of(back) == first.version
    assert deployer.healthy(back)


def test_a_service_that_does_not_come_up_changes_nothing(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm, tmp_path: Path
) -> None:
    """Its last log lines are shown, the old version answers throughout, and no process is left."""
    live = deployer.apply(release_of(first))
    before = serving(deployer)
    assert live.url
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch(0o755)
    broken = make_deployer(
        deployer.config.site,
        port=deployer.config.port,
        serving_environment=str(tmp_path / "environment"),
        start_timeout_s=0.5,
    )
    with load(live.url) as answers:
        python.write_text("#!/bin/sh\necho 'out of luck' >&2\nexit 7\n")
        with pytest.raises(ServiceFailed, match=r"exit code 7[\s\S]*out of luck"):
            broken.apply(release_of(second))
        python.write_text("#!/bin/sh\nsleep 600\n")
        with pytest.raises(ServiceFailed, match="not ready within"):
            broken.apply(release_of(second))
    assert answers.failures == []
    assert set(answers.versions) == {str(first.version)}
    assert serving(deployer) == before
    assert deployer.current(MODEL_NAME, "staging") == live


def test_a_dead_ingress_is_started_again(deployer: SeldonLocalModelDeployer, first: Arm, second: Arm) -> None:
    """The next release brings Envoy back with it."""
    live = deployer.apply(release_of(first))
    for process in processes.running(deployer.config.site)[ENVOY]:
        process.kill()
    assert not deployer.healthy(live)
    assert deployer.healthy(deployer.apply(release_of(second)))
    assert names(deployer) == [ENVOY, f"staging-v{second.version}"]


def test_a_second_command_waits_or_says_who_holds_the_site(
    deployer: SeldonLocalModelDeployer, first: Arm
) -> None:
    """While one command changes what is served, another one does not; looking stays possible."""
    impatient = make_deployer(deployer.config.site, port=deployer.config.port, lock_timeout_s=0.2)
    with ThreadPoolExecutor(1) as pool:
        with StateFile(deployer.config.site).locked("apply version 9 in staging", timeout_s=0):
            with pytest.raises(ServiceUnreachable, match=rf"{os.getpid()}.*apply version 9 in staging"):
                impatient.apply(release_of(first))
            assert impatient.live() == []
            waiting = pool.submit(deployer.apply, release_of(first))
            time.sleep(0.5)
            assert not waiting.done()
        assert deployer.healthy(waiting.result())
    assert version_of(deployer.current(MODEL_NAME, "staging")) == first.version


def kill_at(owner: Any, name: str, *, after: bool, when: Callable[..., bool]) -> None:
    """Make this process kill itself when it calls ``owner.name``, before or after the call does its work."""
    original = getattr(owner, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        if not when(*args, **kwargs):
            return original(*args, **kwargs)
        if after:
            original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, call)


# Where the command dies; whether the new version has the traffic then.
KILLS: dict[str, tuple[Any, str, bool, bool]] = {
    "before anything was started": (microservice, "start", False, False),
    "once the service was started": (microservice, "start", True, False),
    "once the service answered": (microservice, "wait_until_it_answers", True, False),
    "once Envoy knew the cluster": (Ingress, "_write_routes", False, False),
    "once the routes were replaced": (Ingress, "publish", True, True),
    "once the state was written": (Site, "_conclude", True, True),
    "before the old one was stopped": (Ingress, "wait_idle", True, True),
    "once the old one was stopped": (Ingress, "forget_clusters_beside", False, True),
}


def dies_when(
    owner: Any, name: str, *, after: bool, about: Callable[[Route], bool], act: Callable[[], object]
) -> None:
    """Have a process of its own do ``act``; it is killed at a call with a route like this, or with none."""

    def is_it(*args: Any, **_: Any) -> bool:
        routes = args[1] if len(args) > 1 and isinstance(args[1], dict) else None
        return routes is None or any(map(about, routes.values()))

    def do_it_and_die() -> None:
        from zenml.client import Client

        # The parent's database connections are not this process's.
        Client().zen_store.engine.dispose(close=False)  # type: ignore[attr-defined]
        kill_at(owner, name, after=after, when=is_it)
        act()

    child = multiprocessing.get_context("fork").Process(target=do_it_and_die)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("point", KILLS)
def test_a_killed_command_leaves_one_version_serving_and_the_next_one_finishes(
    lasting_deployer: SeldonLocalModelDeployer, first: Arm, second: Arm, point: str
) -> None:
    """Requests are answered, looking clears up, and applying again ends as if nothing had been."""
    deployer = lasting_deployer
    owner, name, after, moved = KILLS[point]
    live = deployer.current(MODEL_NAME, "staging") or deployer.apply(release_of(first))
    old, new = (first, second) if version_of(live) == first.version else (second, first)
    assert live.url

    dies_when(
        owner,
        name,
        after=after,
        about=lambda route: f"-v{new.version}-" in route.replica.name,
        act=lambda: deployer.apply(release_of(new)),
    )
    serves = new if moved else old
    assert microservice.predict(live.url) == str(serves.version)
    assert version_of(deployer.current(MODEL_NAME, "staging")) == serves.version
    assert names(deployer) == [ENVOY, f"staging-v{serves.version}"]
    assert microservice.predict(live.url) == str(serves.version)
    done = deployer.apply(release_of(new))
    assert version_of(deployer.current(MODEL_NAME, "staging")) == new.version
    assert microservice.predict(live.url) == str(new.version)
    assert names(deployer) == [ENVOY, f"staging-v{new.version}"]
    assert [one.config.model_version for one in deployer.find_model_server()] == [str(new.version)]
    assert version_of(deployer.previous(MODEL_NAME, "staging")) == old.version
    assert deployer.healthy(done)


Act = Literal["begin", "divide", "promote", "end"]
# What is done to a rollout, where the command dies; whether it is done then.
ROLLOUT_KILLS: dict[tuple[Act, str], tuple[Any, str, bool, bool]] = {
    ("begin", "once the state was written"): (microservice, "start", False, False),
    ("begin", "once the service was started"): (microservice, "start", True, False),
    ("begin", "once Envoy knew the clusters"): (Ingress, "_write_routes", False, False),
    ("begin", "once the routes were replaced"): (Ingress, "publish", True, True),
    ("divide", "once the state was written"): (Ingress, "publish", False, False),
    ("divide", "once the routes were replaced"): (Ingress, "publish", True, True),
    ("promote", "once Envoy knew the cluster"): (Ingress, "_write_routes", False, False),
    ("promote", "once the routes were replaced"): (Ingress, "publish", True, True),
    ("promote", "before the champion was stopped"): (Ingress, "wait_idle", True, True),
    ("end", "once the state was written"): (StateFile, "save", True, True),
    ("end", "before the candidate was stopped"): (Ingress, "wait_idle", False, True),
    ("end", "once the candidate was stopped"): (Ingress, "forget_clusters_beside", False, True),
}


@dataclass(frozen=True)
class Rehearsal:
    """One act of rolling ``new`` out beside ``old``, on a deployer."""

    deployer: SeldonLocalModelDeployer
    act: Act
    old: Arm
    new: Arm

    def prepare(self) -> Release | None:
        """Have it roll out, or nothing where the act is to begin."""
        left = self.deployer.rolling_out(MODEL_NAME, "staging")
        if left is not None:
            self.deployer.end_rollout(left)
        return None if self.act == "begin" else self.deployer.apply(rollout_of(self.new, self.old))

    def do(self, before: Release | None) -> None:
        """Do the act; ``before`` is what rolled out."""
        if self.act == "promote":
            self.deployer.apply(release_of(self.new, champion=self.old))
        elif self.act != "end":
            divided: dict[str, Any] = {"share": 0.5, "stage": 1} if self.act == "divide" else {}
            self.deployer.apply(rollout_of(self.new, self.old, **divided))
        elif before is not None:
            self.deployer.end_rollout(before)

    def is_after(self, route: Route) -> bool:
        """Whether this is where the traffic goes once it is done."""
        if self.act == "promote":
            return f"-v{self.new.version}-" in route.replica.name
        share = {"begin": 0.1, "divide": 0.5, "end": 1.0}[self.act]
        return route.share == share

    def check(self, before: Release | None, *, done: bool) -> None:
        """What is live, rolls out, runs and answers is as after the act, or as before it."""
        promoted = done and self.act == "promote"
        live = self.deployer.current(MODEL_NAME, "staging")
        out = self.deployer.rolling_out(MODEL_NAME, "staging")
        assert version_of(live) == (self.new if promoted else self.old).version
        if done:
            expected = {"begin": 0.1, "divide": 0.5}.get(self.act)
            assert (out.share if out else None) == expected
        else:
            assert out == before
        present = [release for release in (live, out) if release]
        assert names(self.deployer) == [ENVOY, *sorted(f"staging-v{version_of(one)}" for one in present)]
        assert all(self.deployer.verify(release) for release in present)


@pytest.mark.parametrize(("act", "point"), ROLLOUT_KILLS)
def test_a_killed_command_leaves_a_rollout_as_it_was_or_as_it_is_to_be(
    lasting_deployer: SeldonLocalModelDeployer, first: Arm, second: Arm, act: Act, point: str
) -> None:
    """Begun, divided, promoted or ended, or not: requests are answered, nothing is left over, it goes on."""
    deployer = lasting_deployer
    owner, name, after, done = ROLLOUT_KILLS[act, point]
    live = deployer.current(MODEL_NAME, "staging") or deployer.apply(release_of(first))
    old, new = (first, second) if version_of(live) == first.version else (second, first)
    rehearsal = Rehearsal(deployer, act, old, new)
    before = rehearsal.prepare()
    dies_when(owner, name, after=after, about=rehearsal.is_after, act=lambda: rehearsal.do(before))
    assert live.url
    microservice.predict(live.url)
    rehearsal.check(before, done=done)
    rehearsal.do(before)
    rehearsal.check(before, done=True)


def test_rolling_out_under_load_loses_no_request(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """20 requests a second while a canary begins, grows, is killed, ends, is a shadow and is promoted."""
    live = deployer.apply(release_of(first))
    assert live.url
    with load(live.url) as answers:
        out = deployer.apply(rollout_of(second, first, share=0.5))
        time.sleep(0.5)
        deployer.apply(rollout_of(second, first, share=0.9, stage=1))
        time.sleep(0.5)
        processes.stop(
            [name for name in serving(deployer) if f"-v{second.version}-" in name],
            site=deployer.config.site,
            patience_s=-1,
        )
        time.sleep(0.5)
        assert deployer.end_rollout(out)
        alone = len(answers.versions)
        time.sleep(0.5)
        deployer.apply(rollout_of(second, first, "shadow"))
        time.sleep(0.5)
        shadowed = set(answers.versions[alone:])
        deployer.apply(rollout_of(second, first, "ab", share=0.5))
        time.sleep(0.5)
        deployer.apply(release_of(second, champion=first))
        time.sleep(0.5)
    assert answers.failures == []
    assert set(answers.versions[:alone]) == {str(first.version), str(second.version)}
    assert shadowed == {str(first.version)}
    assert answers.versions[-1] == str(second.version)
    assert names(deployer) == [ENVOY, f"staging-v{second.version}"]
