"""What we send a service ourselves is no traffic: captures, and so what decides a rollout, are the users'."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from serving.launching import PREDICTIONS
from tests.captured import wait_for
from tests.whole.captured import RAW
from tests.whole.conftest import own_services
from tests.whole.shop import SEED_1, Shop

if TYPE_CHECKING:
    import pandas as pd
    from zenml.client import Client

    from materializers.release import Environment

LOOKS = 6
CANARY = ("deployment.production={mode: canary, stages: [0.5]}", "deployment.observe.settling_s=0")
REQUESTS = 8
"""Of users."""


@pytest.fixture(scope="module", autouse=True)
def services(local_stack: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Services that capture, and ship it within seconds."""
    folder, capture = tmp_path_factory.mktemp("synthetic"), {"capture": True, "capture_rotate_s": 0.5}
    with own_services(local_stack, "synthetic", folder, **capture):
        yield


@pytest.fixture(scope="module")
def shop(open_shop: Callable[[str], Shop]) -> Shop:
    """Version 1 is live in production; version 2 was tested in staging, under load too, and approved."""
    made = open_shop("synthetic")
    assert made.train() == 1
    made.deploy(1, "production")
    assert made.train(SEED_1) == 2
    made.deploy(2)
    assert made.run(approve=2, by="Ada", reason="looked at the report").exit_code == 0
    return made


def ask(shop: Shop, environment: Environment, *names: str) -> None:
    """Be a user who sends a picture under each of these request ids."""
    with zipfile.ZipFile(shop.delivery) as delivery, httpx.Client(trust_env=False, timeout=30) as client:
        pictures = [delivery.read(name) for name in delivery.namelist() if name.endswith(".png")]
        for name, picture in zip(names, pictures, strict=False):
            url = f"{shop.url(environment)}{PREDICTIONS}"
            client.post(url, content=picture, headers=RAW | {"x-request-id": name}).raise_for_status()


def captured(shop: Shop, environment: Environment) -> pd.DataFrame:
    """What the services of this test captured."""
    from steps.monitoring.traffic.captures import read_captures

    since = datetime.now(UTC) - timedelta(hours=1)
    return read_captures(shop.model, environment, since=since, columns=("request_id", "model_version"))


def wait_until_captured(shop: Shop, environment: Environment, *names: str) -> None:
    """Wait until these requests lie in the store; what a service was asked before them does, too."""
    wait_for(lambda: set(names) <= set(captured(shop, environment)["request_id"]))


def test_what_tests_a_version_in_staging_is_not_captured(shop: Shop) -> None:
    """Neither real pictures nor nonsense nor the load: a user's request is all that there is."""
    (record, *_) = shop.tests(2)
    assert len(record.load().exchanges) > 5
    ask(shop, "staging", "from-a-user")
    wait_until_captured(shop, "staging", "from-a-user")
    assert captured(shop, "staging")["request_id"].tolist() == ["from-a-user"]


def test_looks_at_a_rollout_judge_the_users_requests_alone(shop: Shop) -> None:
    """However often one looks at a service that few people use."""
    names = [f"user-{number}" for number in range(REQUESTS)]
    begun = shop.run(*CANARY, deploy=True, version=2, environment="production")
    assert begun.last["release"]["status"] == "rolling_out", (begun.results, begun.stderr)
    looked: Any = None
    for number in range(LOOKS):
        ask(shop, "production", *names[number : number + 1])
        looked = shop.run(*CANARY, observe=True, environment="production")
        assert (looked.exit_code, looked.last["release"]["status"]) == (0, "rolling_out"), looked.said
    ask(shop, "production", *names[LOOKS:])
    wait_until_captured(shop, "production", *names)
    assert sorted(captured(shop, "production")["request_id"]) == names

    looked = shop.run(*CANARY, observe=True, environment="production")
    observed = compared_in(looked.last["run"])
    versions = captured(shop, "production")["model_version"].value_counts()
    assert observed.requests_candidate == versions.get("2", 0)
    assert observed.requests_champion == versions.get("1", 0)
    assert observed.requests_candidate + observed.requests_champion == REQUESTS
    assert shop.run(rollback=True, environment="production").exit_code == 0


def compared_in(run: str) -> Any:
    """What a run's look came to."""
    from zenml.client import Client

    return Client().get_pipeline_run(run).steps["observe"].outputs["comparison"][0].load()
