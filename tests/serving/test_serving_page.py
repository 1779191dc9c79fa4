"""The clients in docs/serving.md get the answers that the page promises."""

import ast
import re
import subprocess
from pathlib import Path
from typing import get_args

from benchmarks.main.home import free_port
from serving.reasons import BY_HTTP_STATUS, Reason
from tests.pages import rows_of
from tests.serving.conftest import CLASSES, ROOT, SERVING_PYTHON, Service, StartService, serving_environment
from tests.serving.mlserver.test_launcher import MODULE, PYTHON, wait_until_ready


def client(section: str, port: int, shown: str) -> str:
    """The Python code of a section, with another port than the one that is shown."""
    page = (ROOT / "docs/serving.md").read_text()
    part = page.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    [code] = re.findall(r"```python\n(.*?)```", part, re.DOTALL)
    assert shown in code
    return str(code.replace(shown, str(port)))


def test_every_reason_of_an_error_is_explained() -> None:
    """The table has those that the service can give, and no other."""
    page = (ROOT / "docs/serving.md").read_text()
    table = rows_of(page.split("\n## Errors\n", 1)[1].split("\n## ", 1)[0])
    listed = {name for _, reasons, _ in table for name in re.findall(r"`(\w+)`", reasons)}
    assert listed == set(get_args(Reason))


def test_every_reason_is_given_somewhere() -> None:
    """None is left over in the list: each stands in the code that answers, too."""
    files = [path for path in (ROOT / "serving").rglob("*.py") if path.name != "reasons.py"]
    trees = [ast.parse(path.read_text()) for path in files]
    said = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert set(get_args(Reason)) - said <= {*BY_HTTP_STATUS.values()}


def output(python: Path, code: str) -> str:
    """Run it where the page says, in the project's folder."""
    done = subprocess.run(
        [python, "-c", code],
        cwd=ROOT,
        env=serving_environment() | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_python_client_prints_a_prediction(service: Service) -> None:
    """With nothing but httpx; the path is the ingress', behind which this one is the service's."""
    path = "8090/seldon/staging/product-classifier-demo"
    said = output(ROOT / ".venv" / "bin" / "python", client("Ask", service.port, path))
    label, probability, abstained = said.split()
    assert label in CLASSES
    assert 0 < float(probability) <= 1
    assert abstained in ("True", "False")


def test_the_grpc_client_prints_a_prediction(start_service: StartService) -> None:
    """With nothing but seldon-core."""
    running = start_service(module="serving.grpc_launcher")
    running.wait_until_ready()
    said = output(SERVING_PYTHON, client("gRPC", running.port, "9500"))
    assert "predictions" in said
    assert any(name in said for name in CLASSES)
    assert running.stop() == 0


def test_the_v2_client_prints_a_prediction(start_service: StartService) -> None:
    """With nothing but httpx, of the demo's model as all of the page."""
    port = str(free_port())
    running = start_service(
        "--grpc-port", port, module=MODULE, python=PYTHON, model_name="product-classifier-demo"
    )
    wait_until_ready(running)
    said = output(ROOT / ".venv" / "bin" / "python", client("v2", running.port, "9000"))
    assert "'error': ['']" in said
    assert any(f"'label': ['{name}']" in said for name in CLASSES)
    assert running.stop() == 0
