"""The API of the Kubernetes stub in this process: it keeps objects, and starts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from benchmarks.main.home import free_port
from materializers.release import Arm
from stacks.seldon_deployer import shipper
from stacks.seldon_deployer.flavor import SeldonClusterModelDeployerConfig
from stacks.seldon_deployer.manifest import resource_name, specification
from stacks.seldon_deployer.state import Kept
from stacks.served import Entry, as_live
from tests.remote.kubernetes_api import Api, Objects, make_server
from tests.remote.seldon_operator import Operator
from tests.remote.seldon_stub import NAMESPACE, SERVICE_TOKEN, TOKEN
from tests.stacks.local_deployer.conftest import DIGEST, MODEL_NAME, make_verdict, release_of

NAME = resource_name(MODEL_NAME, "staging")
KEY = ("seldondeployments", NAMESPACE, NAME)
CAPTURES_ROOT = "s3://bucket/shutterline"
CONFIG_MAP = ("configmaps", NAMESPACE, NAME)


class KeptObjects(NamedTuple):
    """What the API keeps, and the settings of a deployer for it; nothing answers at its ingress."""

    objects: Objects
    config: SeldonClusterModelDeployerConfig


def kept(version: int, known: KeptObjects) -> Kept:
    """A version as the deployer keeps it while it is live."""
    arm = Arm(
        version=version,
        model_digest=DIGEST,
        model_uri=f"s3://bucket/models/{version}",
        verdict=make_verdict(DIGEST),
    )
    live = as_live(release_of(arm), f"{known.config.ingress_url}/seldon/{NAMESPACE}/{NAME}")
    made = specification(live, arm, known.config)
    return Kept(**dict(Entry.pin(live, arm)), specification=made.as_json())


@pytest.fixture(autouse=True)
def in_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """The artifact store of the active stack lies in S3."""
    monkeypatch.setattr(shipper, "captures_root", lambda: CAPTURES_ROOT)


@pytest.fixture
def kept_objects(tmp_path: Path) -> Iterator[KeptObjects]:
    """An API that keeps nothing yet."""
    objects, port = Objects(tmp_path / "objects.json", None), free_port()
    # Never started: there are no pods.
    operator = Operator(
        list, lambda *_: None, home=tmp_path, python=tmp_path, secret=lambda *_: None, ingress=""
    )
    server = make_server(port, Api(objects, operator, token=TOKEN, denied=set()))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield KeptObjects(
            objects,
            SeldonClusterModelDeployerConfig(
                kubernetes_url=f"http://127.0.0.1:{port}",
                kubernetes_token=TOKEN,
                service_token=SERVICE_TOKEN,
                namespace=NAMESPACE,
                ingress_url=f"http://127.0.0.1:{free_port()}",
                image="registry.example/serving:1",
                ready_timeout_s=0.2,
            ),
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
