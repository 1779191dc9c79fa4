"""What a site's services are asked and answer reaches the stack's artifact store; nobody is left behind."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pandas as pd
import pytest
from PIL import Image

from actions.status import read_status
from materializers.release import Arm
from pipelines.config import load_config
from stacks.local_deployer import processes
from stacks.local_deployer.deployer import SeldonLocalModelDeployer
from stacks.local_deployer.shipper import SHIPPER, _environment, ensure_shipper, spool_of
from steps.monitoring.traffic.captures import read_captures, read_feedback
from steps.monitoring.traffic.labels import joined
from tests.captured import wait_for
from tests.materializers.stores import disk_store, s3_store_at
from tests.stacks.local_deployer.conftest import (
    MODEL_NAME,
    end,
    make_deployer,
    release_of,
    rollout_of,
    serving,
)

SINCE = timedelta(minutes=10)
PREDICTIONS, FEEDBACK = "/predictions", "/feedback"


def encoded() -> bytes:
    """A picture."""
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def captured() -> pd.DataFrame:
    """What was captured in the last minutes."""
    columns = ["request_id", "position", "at", "label", "model_version", "picture"]
    return read_captures(MODEL_NAME, "staging", since=datetime.now(UTC) - SINCE, columns=columns)


@pytest.fixture
def capturing(zenml_stack: Path, tmp_path: Path) -> Iterator[SeldonLocalModelDeployer]:
    """A deployer that captures everything, and ships it soon."""
    made = make_deployer(tmp_path / "site", capture=True, capture_pictures=1.0, capture_rotate_s=1.0)
    yield made
    end(made)


def test_answers_and_feedback_reach_the_store_under_one_id(
    capturing: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """Of the version that was live and of the next one, to the last request before the end."""
    ids = {1: uuid4().hex, 2: uuid4().hex}
    live = capturing.apply(release_of(first))
    assert live.url
    with httpx.Client(trust_env=False, headers={"content-type": "application/octet-stream"}) as client:
        answer = client.post(live.url, content=encoded(), headers={"x-request-id": ids[1]})
        label = answer.json()["jsonData"]["predictions"][0]["label"]
        said = {"response": {"meta": {"puid": ids[1]}}, "truth": {"strData": label}}
        assert client.post(live.url.replace(PREDICTIONS, FEEDBACK), json=said).status_code == 200
        wait_for(lambda: ids[1] in set(captured()["request_id"]))
        (shipper,) = serving(capturing)[SHIPPER]
        capturing.apply(release_of(second, champion=first))
        assert serving(capturing)[SHIPPER] == [shipper]
        assert client.post(live.url, content=encoded(), headers={"x-request-id": ids[2]}).status_code == 200
    capturing.stop()
    assert serving(capturing) == {}
    rows = captured().set_index("request_id")
    assert rows["model_version"].loc[list(ids.values())].tolist() == [
        str(first.version),
        str(second.version),
    ]
    assert rows["picture"].loc[ids[1]] is not None
    feedback = read_feedback(MODEL_NAME, "staging", since=datetime.now(UTC) - SINCE)
    about = joined(captured(), feedback).rows.set_index("request_id")
    assert bool(about["correct"].loc[ids[1]])


def test_a_dead_shipper_is_started_again_by_the_next_change(
    capturing: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """Nothing that was captured meanwhile is lost."""
    live = capturing.apply(release_of(first))
    assert live.url
    for process in processes.running(capturing.config.site)[SHIPPER]:
        process.kill()
        process.wait(10)
    request_id = uuid4().hex
    headers = {"content-type": "application/octet-stream", "x-request-id": request_id}
    assert httpx.post(live.url, content=encoded(), headers=headers, trust_env=False).status_code == 200
    capturing.apply(release_of(second, champion=first))
    assert len(serving(capturing)[SHIPPER]) == 1
    capturing.stop()
    assert request_id in set(captured()["request_id"])


def test_a_dead_shipper_is_a_difference_and_the_command_beside_it_mends_that(
    zenml_stack: Path, capturing: SeldonLocalModelDeployer, first: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--status`` says where captures stay meanwhile; releasing what is live again starts it, too."""
    for module in ("actions.status", "steps.deployment.rollout"):
        monkeypatch.setattr(f"{module}.active_deployer", lambda: capturing)
    config = load_config(None, (f"product.model={MODEL_NAME}",))
    live = capturing.apply(release_of(first))

    def said() -> list[str]:
        return [line for line in read_status(config).differences if line.startswith("The shipper")]

    for mend in ("the command", "the release"):
        assert said() == []
        (before,) = processes.running(capturing.config.site)[SHIPPER]
        before.kill()
        before.wait(10)
        (line,) = said()
        assert str(spool_of(capturing.config)) in line
        assert capturing.faults("another-model") == []
        if mend == "the release":
            capturing.apply(live)
        else:
            asked = re.search(r"zenml model-deployer models start (\S+)$", line)
            assert asked
            (service,) = capturing.find_model_server(service_uuid=UUID(asked[1]))
            capturing.start_model_server(service.uuid)
        assert serving(capturing)[SHIPPER] != [before.pid]


def test_a_dead_shipper_is_a_fault_beside_a_rollout_which_the_command_leaves_as_it_is(
    capturing: SeldonLocalModelDeployer, first: Arm, second: Arm
) -> None:
    """What a look says is mended by the command in it."""
    live = capturing.apply(release_of(first))
    rolling = capturing.apply(rollout_of(second, first))
    assert capturing.faults(MODEL_NAME) == []
    (before,) = processes.running(capturing.config.site)[SHIPPER]
    before.kill()
    before.wait(10)
    (fault,) = capturing.faults(MODEL_NAME)
    asked = re.search(r"zenml model-deployer models start (\S+)$", fault)
    assert asked
    capturing.start_model_server(UUID(asked[1]))
    assert capturing.faults(MODEL_NAME) == []
    assert capturing.rolling_out(MODEL_NAME, "staging") == rolling
    assert capturing.current(MODEL_NAME, "staging") == live


def test_a_shipper_to_another_store_gives_way(
    capturing: SeldonLocalModelDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack says where captures go."""
    config = capturing.config
    command = [str(config.serving_python), "-m", "serving.shipper", "--spool", str(spool_of(config))]
    log = config.site / "logs" / "shipper.log"
    processes.start(SHIPPER, [*command, "--to", str(config.site)], site=config.site, log=log, cwd=Path.cwd())
    (before,) = serving(capturing)[SHIPPER]
    ensure_shipper(config, patience_s=10)
    (after,) = serving(capturing)[SHIPPER]
    assert after != before
    ensure_shipper(config, patience_s=10)
    assert serving(capturing)[SHIPPER] == [after]


def test_nothing_is_captured_where_that_is_turned_off(deployer: SeldonLocalModelDeployer, first: Arm) -> None:
    """No process, no spool, and feedback is told so."""
    live = deployer.apply(release_of(first))
    assert live.url
    assert SHIPPER not in serving(deployer)
    said = httpx.post(live.url.replace(PREDICTIONS, FEEDBACK), json={"reward": 1}, trust_env=False)
    assert (said.status_code, said.json()["status"]["reason"]) == (501, "feedback_off")
    assert not spool_of(deployer.config).exists()


def test_a_shipper_is_let_into_a_bucket_as_the_stack_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key, secret and address of the component; what else stands in this process's environment, too."""
    monkeypatch.setenv("AWS_CA_BUNDLE", "bundle.pem")
    monkeypatch.setenv("AWS_REGION", "elsewhere")
    said = _environment(s3_store_at("s3://bucket/prefix", "http://127.0.0.1:9"))
    assert {name: said[name] for name in ("AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_CA_BUNDLE")} == {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_REGION": "us-east-1",
        "AWS_CA_BUNDLE": "bundle.pem",
    }
    assert said["AWS_ACCESS_KEY_ID"]
    assert said["AWS_SECRET_ACCESS_KEY"]
    assert _environment(disk_store(tmp_path)) == {}
