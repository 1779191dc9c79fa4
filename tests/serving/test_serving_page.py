"""The clients in docs/serving.md get the answers that the page promises."""

import re
import subprocess
from pathlib import Path

from benchmarks.main.home import free_port
from tests.serving.conftest import CLASSES, ROOT, SERVING_PYTHON, StartService, serving_environment
from tests.serving.mlserver.test_launcher import MODULE, PYTHON, wait_until_ready


def client(section: str, port: int, shown: str) -> str:
    """The Python code of a section, with another port than the one that is shown."""
    page = (ROOT / "docs/serving.md").read_text()
    part = page.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    [code] = re.findall(r"```python\n(.*?)```", part, re.DOTALL)
    assert shown in code
    return str(code.replace(shown, str(port)))


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


def test_the_grpc_client_prints_a_prediction(start_service: StartService) -> None:
    """With nothing but seldon-core."""
    running = start_service(module="serving.grpc_launcher")
    running.wait_until_ready()
    said = output(SERVING_PYTHON, client("gRPC", running.port, "9500"))
    assert "predictions" in said
    assert any(name in said for name in CLASSES)
    assert running.stop() == 0


def test_the_v2_client_prints_a_prediction(start_service: StartService) -> None:
    """With nothing but httpx."""
    running = start_service("--grpc-port", str(free_port()), module=MODULE, python=PYTHON)
    wait_until_ready(running)
    said = output(ROOT / ".venv" / "bin" / "python", client("v2", running.port, "9000"))
    assert "'error': ['']" in said
    assert any(f"'label': ['{name}']" in said for name in CLASSES)
    assert running.stop() == 0
