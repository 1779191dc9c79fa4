"""Networks by name, and the weights that they may load."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from materializers.errors import ServiceUnreachable, UsageError
from serving.model_directory import Preprocessing
from steps.training.loop import fit
from steps.training.networks import build_network, read_weights
from tests.steps.training.examples import CLASSES, dataset, settings

PICTURES = (
    torch.arange(2 * 32 * 32 * 3, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(2, 32, 32, 3)
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of another small network, with a classification layer that nobody wants."""
    torch.manual_seed(7)
    state = {name: t.contiguous() for name, t in build_network(settings(), 9).backbone.state_dict().items()}
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save({**state, "fc.weight": torch.zeros(9, 3)}))
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


@pytest.mark.parametrize(
    ("architecture", "features"), [("small_cnn", 128), ("resnet18", 512), ("resnet50", 2048)]
)
def test_each_architecture_gives_logits_and_an_embedding(architecture: str, features: int) -> None:
    """A network answers uint8 pictures with one logit a class and its backbone's vector."""
    chosen = settings(architecture=architecture, preprocessing=Preprocessing(height=32, width=32))
    logits, embedding = build_network(chosen, 4).eval()(PICTURES)
    assert logits.shape == (2, 4)
    assert embedding.shape == (2, features)


def test_the_network_normalises_with_the_configured_statistics() -> None:
    """The backbone sees (value / 255 - mean) / deviation for each colour."""
    network = build_network(settings(mean=(0.1, 0.2, 0.3), deviation=(0.5, 0.25, 1.0)), 3)
    network.backbone = torch.nn.Flatten()
    network.head = torch.nn.Sequential()
    white = torch.full((1, 16, 16, 3), 255, dtype=torch.uint8)
    seen = network(white)[1].reshape(3, -1)
    expected = torch.tensor([0.9 / 0.5, 0.8 / 0.25, 0.7]).reshape(3, 1).expand_as(seen)
    torch.testing.assert_close(seen, expected)


@pytest.mark.parametrize("form", ["path", "file URL", "http URL"])
def test_weights_are_loaded_from_a_path_or_url(weights: Path, server: str, form: str) -> None:
    """The backbone then has the file's tensors."""
    sources = {
        "path": str(weights),
        "file URL": weights.as_uri(),
        "http URL": f"{server}/weights.safetensors",
    }
    network = build_network(settings(weights=sources[form], weights_sha256=sha256(weights)), 3)
    torch.manual_seed(7)
    expected = build_network(settings(), 9).backbone.state_dict()
    for name, tensor in network.backbone.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_weights_with_another_digest_are_refused(weights: Path) -> None:
    """One changed byte, and nothing is loaded."""
    right = sha256(weights)
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(UsageError, match=right):
        build_network(settings(weights=str(weights), weights_sha256=right), 3)


def test_missing_weights_are_refused(tmp_path: Path, server: str) -> None:
    """Neither a path nor a URL without a file is taken for no weights."""
    for source in (str(tmp_path / "none.safetensors"), f"{server}/none"):
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
        build_network(settings(weights=str(path), weights_sha256=sha256(path)), 3)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """Missing and unexpected tensors are named."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save({"conv1.weight": torch.zeros(1)}))
    with pytest.raises(UsageError, match=r"conv1\.weight"):
        build_network(settings(weights=str(path), weights_sha256=sha256(path)), 3)


def test_a_frozen_backbone_stays_as_it_was(weights: Path) -> None:
    """Training moves the head and leaves the backbone alone, its batch statistics too."""
    from steps.training.batches import Pictures

    chosen = settings(freeze_backbone=True, weights=str(weights), weights_sha256=sha256(weights), epochs=1)
    network = build_network(chosen, len(CLASSES))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pictures = dataset(4)
    given = Pictures(pictures, pictures.index["image_id"].tolist(), CLASSES, chosen)
    fit(network, given, given, chosen)
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.1.weight", "head.1.bias", "head.4.weight", "head.4.bias"}
