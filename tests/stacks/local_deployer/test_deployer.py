"""What may be served, on real processes."""

from __future__ import annotations

import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import psutil
import pytest

from materializers.errors import DamagedArtifact, Refused, ServiceUnreachable, UsageError
from materializers.release import Arm, Mode, Release
from stacks.local_deployer.deployer import SeldonLocalModelDeployer
from tests.stacks.local_deployer.conftest import (
    MODEL_NAME,
    SHARES,
    Registry,
    answering_version,
    change_a_byte,
    end,
    make_deployer,
    make_verdict,
    registry_is_down,
    rejected_in_the_log,
    release_of,
    rollout_of,
    serving,
    version_of,
)


def test_the_first_deployment_serves_exactly_the_release(
    deployer: SeldonLocalModelDeployer, first: Arm
) -> None:
    """A passed version is served at its URL; applying it again starts nothing and takes over `recorded`."""
    assert deployer.current(MODEL_NAME, "staging") is None
    live = deployer.apply(release_of(first))
    assert (live.status, live.recorded) == ("live", False)
    assert (
        live.url
        == f"http://127.0.0.1:{deployer.config.port}/seldon/staging/{MODEL_NAME}/api/v1.0/predictions"
    )
    assert answering_version(live) == str(first.version)
    assert deployer.healthy(live)
    assert deployer.current(MODEL_NAME, "staging") == live
    assert deployer.live() == [live]
    assert deployer.previous(MODEL_NAME, "staging") is None
    before = serving(deployer)
    again = deployer.apply(live.model_copy(update={"recorded": True}))
    assert again == live.model_copy(update={"recorded": True}) == deployer.current(MODEL_NAME, "staging")
    assert serving(deployer) == before


def test_refused_or_altered_evidence_leaves_what_is_served_untouched(
    deployer: SeldonLocalModelDeployer, registry: Registry, first: Arm, second: Arm
) -> None:
    """A refused, edited or foreign verdict and a changed model are refused, the first time and later."""
    refused = registry.register(11, accuracy=0.5)
    edited = refused.model_copy(update={"verdict": make_verdict(refused.model_digest, accuracy=0.9)})
    says_passed = refused.model_copy(
        update={"verdict": refused.verdict.model_copy(update={"outcome": "passed"})}
    )
    foreign = second.model_copy(update={"verdict": first.verdict})
    other_model = first.model_copy(
        update={"verdict": make_verdict(first.model_digest, model_name="another-classifier")}
    )
    changed = registry.register(12)
    change_a_byte(Path(changed.model_uri) / "model.onnx")
    bad = [refused, edited, says_passed, foreign, other_model, changed]
    for arm in bad:
        with pytest.raises(Refused):
            deployer.apply(release_of(arm))
    assert serving(deployer) == {}
    assert deployer.live() == []
    live = deployer.apply(release_of(first))
    before = serving(deployer)
    for arm in bad:
        with pytest.raises(Refused):
            deployer.apply(release_of(arm))
    assert serving(deployer) == before
    assert deployer.current(MODEL_NAME, "staging") == live
    assert answering_version(live) == str(first.version)


def test_production_needs_an_unaltered_approval(
    deployer: SeldonLocalModelDeployer, registry: Registry, first: Arm
) -> None:
    """Without an approval, or with one that was altered, a version is served in staging only."""
    unapproved = registry.register(13)
    with pytest.raises(Refused, match="--approve"):
        deployer.apply(release_of(unapproved, "production"))
    assert first.approval
    altered = first.approval.model_copy(update={"by": "Mallory"})
    with pytest.raises(Refused, match="altered"):
        deployer.apply(release_of(first.model_copy(update={"approval": altered}), "production"))
    assert deployer.live() == []
    production = deployer.apply(release_of(first, "production"))
    staging = deployer.apply(release_of(unapproved))
    assert answering_version(production) == str(first.version)
    assert answering_version(staging) == str(unapproved.version)
    assert deployer.live() == [production, staging]


@pytest.mark.parametrize("live_before", [False, True])
def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(
    deployer: SeldonLocalModelDeployer, registry: Registry, first: Arm, second: Arm, live_before: bool
) -> None:
    """Both were proposed beside what is live, or nothing; the second that gets its turn is refused."""
    champion = registry.register(14, approved=True) if live_before else None
    if champion:
        deployer.apply(release_of(champion, "production"))
    together, said = threading.Barrier(2), []

    def promote(arm: Arm) -> None:
        together.wait()
        try:
            deployer.apply(release_of(arm, "production", champion=champion))
        except Refused as refusal:
            said.append(str(refusal))

    threads = [threading.Thread(target=promote, args=(arm,)) for arm in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (told,) = said
    now = deployer.current(MODEL_NAME, "production")
    assert now is not None
    assert now.candidate in (first, second)
    assert answering_version(now) == str(now.candidate.version)
    beside = f"version {champion.version}" if champion else "nothing"
    assert f"proposed for production with {beside} live; now version {now.candidate.version} is" in told
    assert re.search("judge it again, .*python run.py --train --data [0-9a-f]{16}$", told)
    assert [arm.version for arm in (first, second) if arm != now.candidate] == [
        int(told.removeprefix("Version ").split()[0])
    ]


def test_a_missing_model_is_an_unreachable_service(
    deployer: SeldonLocalModelDeployer, first: Arm, tmp_path: Path
) -> None:
    """An artifact that is gone is said so, and what is no model is refused."""
    with pytest.raises(ServiceUnreachable, match="cannot be copied"):
        deployer.apply(release_of(first.model_copy(update={"model_uri": str(tmp_path / "gone")})))
    other = tmp_path / "other"
    other.mkdir()
    (other / "weights.pkl").write_bytes(b"no model")
    with pytest.raises(Refused, match="no model"):
        deployer.apply(release_of(first.model_copy(update={"model_uri": str(other)})))
    assert serving(deployer) == {}


def test_stop_leaves_nothing_and_says_what_it_stopped(deployer: SeldonLocalModelDeployer, first: Arm) -> None:
    """Processes, port, live releases and ZenML's records are gone; what was live can come back."""
    live = deployer.apply(release_of(first))
    pids = [pid for found in serving(deployer).values() for pid in found]
    assert scraped(deployer) == {(str(first.version), "live")}
    said = deployer.stop()
    assert scraped(deployer) == set()
    assert [line.split(":")[0] for line in said] == ["staging", "ingress http"]
    assert serving(deployer) == {}
    alive = [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
    assert alive == []
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", deployer.config.port), timeout=2)
    assert deployer.live() == []
    assert deployer.find_model_server() == []
    assert not deployer.healthy(live)
    assert deployer.stop() == []
    again = deployer.apply(release_of(first))
    assert answering_version(again) == str(first.version)
    assert deployer.previous(MODEL_NAME, "staging") is None


def share_of_pictures(deployer: SeldonLocalModelDeployer) -> set[str]:
    """The share of the requests whose pictures are kept, as the services were started with it."""
    commands = [psutil.Process(pid).cmdline() for found in serving(deployer).values() for pid in found]
    return {
        command[command.index("--capture-pictures") + 1]
        for command in commands
        if "--capture-pictures" in command
    }


def test_what_is_live_keeps_the_settings_that_it_was_started_with(
    zenml_stack: Path, tmp_path: Path, first: Arm
) -> None:
    """A change counts for what is started after it: after a stop, not where the same version is released."""
    before = make_deployer(tmp_path / "site", capture=True, capture_pictures=0.25)
    try:
        before.apply(release_of(first))
        after = make_deployer(tmp_path / "site", capture=True, capture_pictures=0.5, port=before.config.port)
        after.apply(release_of(first))
        assert share_of_pictures(after) == {"0.25"}
        after.stop()
        after.apply(release_of(first))
        assert share_of_pictures(after) == {"0.5"}
    finally:
        end(before)


@pytest.mark.parametrize("damage", ["not JSON", "gone"])
def test_a_damaged_record_hides_nothing_and_keeps_nobody_from_stopping(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm, damage: str
) -> None:
    """Nothing is changed while nobody can tell what is live, but for ``stop``, which ends all of it."""
    live = deployer.apply(release_of(first))
    state = deployer.config.site / "state.json"
    state.write_text("{") if damage == "not JSON" else state.unlink()
    before = serving(deployer)
    with pytest.raises(DamagedArtifact, match=r"python run\.py --stop"):
        deployer.live()
    with pytest.raises(DamagedArtifact, match=r"python run\.py --stop"):
        deployer.apply(release_of(second))
    assert serving(deployer) == before
    assert deployer.healthy(live)
    said = deployer.stop()
    assert any(line.startswith("process staging-v") for line in said)
    assert serving(deployer) == {}
    assert (deployer.live(), deployer.find_model_server()) == ([], [])
    assert state.with_name("state.json.damaged").exists() == (damage == "not JSON")
    again = deployer.apply(release_of(second))
    assert answering_version(again) == str(second.version)


def test_an_edited_record_leads_no_traffic_to_what_runs_elsewhere(
    deployer: SeldonLocalModelDeployer, registry: Registry
) -> None:
    """Who gives production the process of staging changes nothing that is served, whatever looks at it."""
    approved, staged = registry.register(seed=71, approved=True), registry.register(seed=72)
    production = deployer.apply(release_of(approved, "production"))
    deployer.apply(release_of(staged))
    path = deployer.config.site / "state.json"
    state = json.loads(path.read_text())
    deployments = state["deployments"]
    of_staging = deployments[f"staging/{MODEL_NAME}"]["replica"]
    deployments[f"production/{MODEL_NAME}"]["replica"] = of_staging
    path.write_text(json.dumps(state))
    before = serving(deployer)
    with pytest.raises(DamagedArtifact, match=r"was not started for production"):
        deployer.live()
    assert serving(deployer) == before
    assert answering_version(production) == str(approved.version)


@pytest.mark.parametrize("registry_is", ["up", "down"])
def test_what_the_log_says_was_rejected_is_not_brought_up(
    deployer: SeldonLocalModelDeployer,
    first: Arm,
    second: Arm,
    monkeypatch: pytest.MonkeyPatch,
    registry_is: str,
) -> None:
    """Neither what is live and died nor what was live before, whatever the registry's tags do not say."""
    before = deployer.apply(release_of(first))
    live = deployer.apply(release_of(second))
    if registry_is == "down":
        registry_is_down(monkeypatch)
    with rejected_in_the_log(first), pytest.raises(Refused, match=r"Version \d+ was rejected by Bob"):
        deployer.restore(before)
    assert answering_version(live) == str(second.version)
    kill(deployer, second)
    with rejected_in_the_log(second):
        with pytest.raises(Refused, match=r"rejected by Bob \(the bags look wrong\), as entry .* audit log"):
            deployer.restore(live)
        assert pids(deployer, second.version) == []
    assert deployer.verify(deployer.restore(live))


def test_a_candidate_that_the_log_says_was_rejected_is_not_brought_up(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """Neither at first nor after it died; the champion serves on."""
    live = deployer.apply(release_of(first))
    with rejected_in_the_log(second), pytest.raises(Refused, match="rejected by Bob"):
        deployer.apply(rollout_of(second, first))
    out = deployer.apply(rollout_of(second, first))
    kill(deployer, second)
    with rejected_in_the_log(second):
        with pytest.raises(Refused, match="rejected by Bob"):
            deployer.apply(out)
        assert pids(deployer, second.version) == []
    assert deployer.verify(live)


def test_what_cannot_be_shown_not_to_be_rejected_is_not_brought_up(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """The log lost a rejection, of whatever version it was: what runs is left alone, what died stays down."""
    died = deployer.apply(release_of(first))
    running = deployer.apply(release_of(second, "production"))
    kill(deployer, first)
    with rejected_in_the_log(second) as entry:
        file = Path(entry) / "report.json"
        whole = file.read_bytes()
        file.unlink()
        try:
            for release in (died, running):
                with pytest.raises(ServiceUnreachable, match="a rejection, cannot be read"):
                    deployer.restore(release)
        finally:
            file.write_bytes(whole)
    assert pids(deployer, first.version) == []
    assert deployer.verify(running)


def kill(deployer: SeldonLocalModelDeployer, arm: Arm) -> None:
    """End what serves a version, past the deployer."""
    for pid in pids(deployer, arm.version):
        psutil.Process(pid).kill()


def test_what_died_is_seen_and_comes_back(deployer: SeldonLocalModelDeployer, first: Arm) -> None:
    """After a reboot the state says live and `healthy` says no; applying the same release brings it up."""
    live = deployer.apply(release_of(first))
    for found in serving(deployer).values():
        for pid in found:
            psutil.Process(pid).kill()
    assert not deployer.healthy(live)
    current = deployer.current(MODEL_NAME, "staging")
    assert current == live
    again = deployer.apply(release_of(first))
    assert deployer.healthy(again)
    assert answering_version(again) == str(first.version)


def test_recording_touches_only_exactly_what_is_live(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """What another command replaced or stopped stays so, whoever comes to record it late."""
    late = deployer.apply(release_of(first))
    live = deployer.apply(release_of(second))
    before = serving(deployer)
    assert not deployer.mark_recorded(late)
    assert not deployer.withdraw(late)
    assert (deployer.current(MODEL_NAME, "staging"), serving(deployer)) == (live, before)
    assert deployer.mark_recorded(live.model_copy(update={"restored": True}))
    marked = live.model_copy(update={"recorded": True, "restored": True})
    assert (deployer.current(MODEL_NAME, "staging"), serving(deployer)) == (marked, before)
    assert deployer.apply(live) == live
    deployer.stop()
    assert not deployer.mark_recorded(live)
    assert serving(deployer) == {}


def test_what_is_withdrawn_is_not_gone_back_to(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """Nothing is live where a release was withdrawn, and the one before it is what was live last."""
    before = deployer.apply(release_of(first))
    assert deployer.withdraw(deployer.apply(release_of(second)))
    assert serving(deployer) == {}
    assert deployer.current(MODEL_NAME, "staging") is None
    assert deployer.previous(MODEL_NAME, "staging") == before


def test_what_a_withdrawn_rollback_had_replaced_is_gone_back_to(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """The release that was put back must go: the one that it took the place of is not lost with it."""
    before = deployer.apply(release_of(first))
    replaced = deployer.apply(release_of(second, champion=first))
    assert deployer.current(MODEL_NAME, "staging") == replaced
    back = deployer.restore(before.model_copy(update={"restored": True, "champion": second}))
    assert deployer.previous(MODEL_NAME, "staging") is None
    assert deployer.withdraw(back)
    found = deployer.previous(MODEL_NAME, "staging")
    assert found is not None
    assert (found.candidate, found.restored) == (second, False)
    assert answering_version(deployer.restore(found)) == str(second.version)
    assert deployer.previous(MODEL_NAME, "staging") is None


class _Pretender(BaseHTTPRequestHandler):
    """Answers health as one version with one model, and predictions as another one, or not at all."""

    status: ClassVar[dict[str, str]] = {}
    predicts: ClassVar[str | None] = None

    def _answer(self, data: dict[str, object] | None) -> None:
        body = json.dumps({"jsonData": data}).encode()
        self.send_response(200 if data else 500)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Health."""
        self._answer(dict(self.status))

    def do_POST(self) -> None:
        """A prediction."""
        self.rfile.read(int(self.headers["content-length"]))
        known: dict[str, object] = {"model_version": self.predicts, "predictions": [{"label": "light"}]}
        self._answer(known if self.predicts else None)

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""


def test_a_release_is_verified_by_a_prediction(deployer: SeldonLocalModelDeployer, first: Arm) -> None:
    """A URL that is healthy and predicts nothing, or as another version, is not verified."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pretender) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api/v1.0/predictions"
        release = release_of(first).model_copy(update={"status": "live", "url": url})
        _Pretender.status = {"model_version": str(first.version), "model_digest": first.model_digest}
        found = []
        for _Pretender.predicts in (None, str(first.version + 1), str(first.version)):
            assert deployer.healthy(release)
            found.append(deployer.verify(release))
        server.shutdown()
    assert found == [False, False, True]


def pids(deployer: SeldonLocalModelDeployer, version: int) -> list[int]:
    """The processes that serve a version."""
    found = serving(deployer)
    return [pid for name, each in found.items() if f"-v{version}-" in name for pid in each]


def scraped(deployer: SeldonLocalModelDeployer) -> set[tuple[str, str]]:
    """Versions and roles of what Prometheus is led to, each of which answers with its own metrics."""
    path = deployer.metrics_targets()
    assert path is not None
    found = set()
    for target in json.loads(path.read_text()):
        labels, (address,) = target["labels"], target["targets"]
        assert (labels["environment"], labels["model_name"]) == ("staging", MODEL_NAME)
        metrics = httpx.get(f"http://{address}/metrics", trust_env=False).text
        assert f'model_version="{labels["model_version"]}"' in metrics
        found.add((labels["model_version"], labels["role"]))
    return found


def answering_versions(release: Release, times: int = 60) -> set[str]:
    """Every version that answers at the release's URL, asked so many times."""
    return {answering_version(release) for _ in range(times)}


@pytest.mark.parametrize("mode", SHARES)
def test_a_version_rolls_out_beside_the_champion(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm, mode: Mode
) -> None:
    """The champion stays what is live, at the same URL; its share and mode change without a new process."""
    live = deployer.apply(release_of(first))
    champion = serving(deployer)
    out = deployer.apply(rollout_of(second, first, mode, share=SHARES[mode] and 0.5))
    assert (out.status, out.url, out.rollout != "") == ("rolling_out", live.url, True)
    assert deployer.rolling_out(MODEL_NAME, "staging") == out
    assert deployer.current(MODEL_NAME, "staging") == live
    assert deployer.live() == [live]
    assert deployer.previous(MODEL_NAME, "staging") is None
    both = serving(deployer)
    assert {name: both[name] for name in champion} == champion
    assert scraped(deployer) == {(str(first.version), "live"), (str(second.version), "candidate")}
    for release in (live, out):
        assert deployer.healthy(release)
        assert deployer.verify(release)
    expected = {first.version} if mode == "shadow" else {first.version, second.version}
    assert answering_versions(live) == {str(version) for version in expected}

    again = deployer.apply(rollout_of(second, first, mode, share=out.share, recorded=True))
    assert again == out.model_copy(update={"recorded": True})
    later = deployer.apply(rollout_of(second, first, "ab", stage=1))
    assert (later.mode, later.share, later.stage) == ("ab", 0.2, 1)
    assert (later.rollout, later.since) == (out.rollout, out.since)
    assert later.stage_since
    assert out.stage_since
    assert later.stage_since > out.stage_since
    assert deployer.rolling_out(MODEL_NAME, "staging") == later
    assert serving(deployer) == both


def test_promoting_gives_the_running_process_all_the_traffic(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """No new process is started, the champion's ends, and it is what can be gone back to."""
    live = deployer.apply(release_of(first))
    deployer.apply(rollout_of(second, first))
    before = pids(deployer, second.version)
    promoted = deployer.apply(release_of(second, champion=first))
    assert (promoted.status, promoted.url) == ("live", live.url)
    assert deployer.current(MODEL_NAME, "staging") == promoted
    assert deployer.rolling_out(MODEL_NAME, "staging") is None
    assert pids(deployer, second.version) == before
    assert pids(deployer, first.version) == []
    assert answering_versions(promoted, 10) == {str(second.version)}
    assert deployer.previous(MODEL_NAME, "staging") == live
    assert version_of(deployer.restore(live)) == first.version


def test_an_ended_rollout_leaves_the_champion_as_it_was(
    deployer: SeldonLocalModelDeployer, registry: Registry, first: Arm, second: Arm
) -> None:
    """Only exactly what rolls out is ended; nothing of it runs or is known as having been live."""
    live = deployer.apply(release_of(first))
    before = serving(deployer)
    assert not deployer.end_rollout(rollout_of(second, first, rollout="none"))
    out = deployer.apply(rollout_of(second, first))
    other = registry.register(31)
    for not_it in (live, out.model_copy(update={"rollout": "another"}), rollout_of(other, first)):
        assert not deployer.end_rollout(not_it)
    assert deployer.rolling_out(MODEL_NAME, "staging") == out
    assert deployer.end_rollout(out)
    assert not deployer.end_rollout(out)
    assert serving(deployer) == before
    assert deployer.rolling_out(MODEL_NAME, "staging") is None
    assert (deployer.current(MODEL_NAME, "staging"), deployer.previous(MODEL_NAME, "staging")) == (live, None)
    assert not deployer.healthy(out)
    assert answering_versions(live, 10) == {str(first.version)}
    with pytest.raises(Refused, match="never was live"):
        deployer.restore(out)


@pytest.mark.parametrize("ended_by", ["a rollback", "a stop", "another attempt"])
@pytest.mark.parametrize("further", [("full", 1.0), ("canary", 0.5)])
def test_an_ended_rollout_does_not_come_back_with_its_next_stage(
    deployer: SeldonLocalModelDeployer,
    first: Arm,
    second: Arm,
    ended_by: str,
    further: tuple[Mode, float],
) -> None:
    """Whoever observed it before that is refused, and what serves is untouched; it may begin anew."""
    deployer.apply(release_of(first))
    out = deployer.apply(rollout_of(second, first))
    if ended_by == "a stop":
        deployer.stop()
    else:
        assert deployer.end_rollout(out)
    if ended_by == "another attempt":
        deployer.apply(rollout_of(second, first))
    before = serving(deployer)
    live, rolling = deployer.live(), deployer.rolling_out(MODEL_NAME, "staging")
    mode, share = further
    change = {"mode": mode, "share": share, "stage": out.stage + 1, "status": "proposed"}
    for late in (out.model_copy(update=change), out):
        with pytest.raises(Refused, match="ended by another command"):
            deployer.apply(late)
    assert (deployer.live(), deployer.rolling_out(MODEL_NAME, "staging")) == (live, rolling)
    assert serving(deployer) == before
    if ended_by == "a rollback":
        assert deployer.apply(rollout_of(second, first, rollout="anew")).rollout == "anew"


def test_the_last_stage_of_a_rollout_can_be_repeated(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """Whoever was killed after it gave the candidate all the traffic finds it live, and starts nothing."""
    deployer.apply(release_of(first))
    out = deployer.apply(rollout_of(second, first))
    last = out.model_copy(update={"mode": "full", "share": 1.0, "stage": 1, "status": "proposed"})
    promoted = deployer.apply(last)
    before = pids(deployer, second.version)
    assert deployer.apply(last) == promoted
    assert pids(deployer, second.version) == before
    for pid in before:
        psutil.Process(pid).kill()
    assert deployer.verify(deployer.apply(last))


@pytest.mark.parametrize("mode", SHARES)
def test_what_may_not_serve_may_not_roll_out(
    deployer: SeldonLocalModelDeployer, registry: Registry, first: Arm, second: Arm, mode: Mode
) -> None:
    """A refused, edited or unapproved version is no canary, no arm of an A/B test, and no shadow either."""
    live = deployer.apply(release_of(first, "production"))
    before = serving(deployer)
    refused = registry.register(32, accuracy=0.5, approved=True)
    edited = refused.model_copy(update={"verdict": make_verdict(refused.model_digest, accuracy=0.9)})
    unapproved = registry.register(33)
    assert second.approval
    altered = second.approval.model_copy(update={"by": "Mallory"})
    changed = registry.register(34, approved=True)
    change_a_byte(Path(changed.model_uri) / "model.onnx")
    bad = [refused, edited, unapproved, second.model_copy(update={"approval": altered}), changed]
    for arm in bad:
        with pytest.raises(Refused):
            deployer.apply(rollout_of(arm, first, mode, "production"))
    assert serving(deployer) == before
    assert deployer.rolling_out(MODEL_NAME, "production") is None
    assert deployer.current(MODEL_NAME, "production") == live
    # Nor does it take over the place of one that may: not its share, and not its promotion.
    out = deployer.apply(rollout_of(second, first, mode, "production"))
    tampered = second.model_copy(update={"approval": altered})
    with pytest.raises(Refused, match="altered"):
        deployer.apply(rollout_of(tampered, first, "canary", "production", share=0.7))
    with pytest.raises(Refused, match="altered"):
        deployer.apply(release_of(tampered, "production", champion=first))
    assert deployer.rolling_out(MODEL_NAME, "production") == out


def test_a_rollout_needs_its_champion_and_is_alone(
    deployer: SeldonLocalModelDeployer, registry: Registry, first: Arm, second: Arm
) -> None:
    """Nothing, something else, or itself live: refused; while one rolls out another one waits."""
    with pytest.raises(Refused, match="Nothing is live in staging"):
        deployer.apply(rollout_of(second, None))
    assert serving(deployer) == {}
    live = deployer.apply(release_of(first))
    other = registry.register(35)
    for release, says in (
        (rollout_of(second, other), "another command was faster"),
        (rollout_of(first, first), "live in staging already"),
    ):
        with pytest.raises(Refused, match=says):
            deployer.apply(release)
    with pytest.raises(UsageError, match="share 1"):
        deployer.apply(rollout_of(second, first, share=1.0))
    out = deployer.apply(rollout_of(second, first))
    before = serving(deployer)
    for waits in (rollout_of(other, first), release_of(other, champion=first)):
        with pytest.raises(Refused, match=f"Version {second.version} is rolling out in staging"):
            deployer.apply(waits)
    assert (deployer.current(MODEL_NAME, "staging"), deployer.rolling_out(MODEL_NAME, "staging")) == (
        live,
        out,
    )
    assert serving(deployer) == before


def test_going_back_waits_for_the_end_of_a_rollout(
    deployer: SeldonLocalModelDeployer, registry: Registry, first: Arm, second: Arm
) -> None:
    """The refusal says how to end it; what is live can be brought up again beside what rolls out."""
    before = deployer.apply(release_of(first))
    live = deployer.apply(release_of(second))
    third = registry.register(36)
    out = deployer.apply(rollout_of(third, second))
    with pytest.raises(Refused, match=r"rolling out in staging.*--rollback --environment staging"):
        deployer.restore(before)
    for pid in pids(deployer, second.version):
        psutil.Process(pid).kill()
    assert not deployer.healthy(live)
    repaired = deployer.restore(live)
    assert deployer.verify(repaired)
    assert deployer.rolling_out(MODEL_NAME, "staging") == out
    assert deployer.verify(out)
    for pid in pids(deployer, second.version):
        psutil.Process(pid).kill()
    assert deployer.verify(deployer.apply(release_of(second)))
    assert deployer.verify(out)
    assert deployer.end_rollout(out)
    assert version_of(deployer.restore(before)) == first.version


def test_a_candidate_that_died_is_seen_and_comes_back(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """It is not healthy, the champion is; the same release brings it up, and so does a promotion."""
    live = deployer.apply(release_of(first))
    out = deployer.apply(rollout_of(second, first))

    def kill() -> None:
        for pid in pids(deployer, second.version):
            psutil.Process(pid).kill()
        assert [deployer.verify(release) for release in (live, out)] == [True, False]
        assert deployer.rolling_out(MODEL_NAME, "staging") == out

    kill()
    assert deployer.apply(rollout_of(second, first)) == out
    assert deployer.verify(out)
    kill()
    promoted = deployer.apply(release_of(second, champion=first))
    assert deployer.verify(promoted)
    assert deployer.rolling_out(MODEL_NAME, "staging") is None


@pytest.mark.parametrize("act", ["stop", "withdraw"])
def test_what_rolls_out_ends_with_what_is_live(
    deployer: SeldonLocalModelDeployer, first: Arm, second: Arm, act: str
) -> None:
    """Nothing of either runs, or is listed; stopping says both."""
    live = deployer.apply(release_of(first))
    out = deployer.apply(rollout_of(second, first))
    assert len(deployer.find_model_server()) == 2
    if act == "stop":
        served, rolled, ingress = deployer.stop()
        assert f"version {first.version}, http" in served
        assert f"version {second.version}, rolling out at http" in rolled
        assert ingress.startswith("ingress http")
    else:
        assert deployer.withdraw(live)
    assert serving(deployer) == {}
    assert (deployer.live(), deployer.find_model_server()) == ([], [])
    assert deployer.rolling_out(MODEL_NAME, "staging") is None
    assert not deployer.healthy(out)
