"""A stub of the Kubeflow Pipelines API v2beta1: the calls that kfp.Client and ZenML make, nothing more.

It executes what it is sent: each container of the compiled pipeline with exactly its command, arguments,
variables and secrets, in an empty working directory, in dependency order; as a process of its own or, with
``--docker-host``, as a container.

What it does not imitate:

- nodes and their scheduling: node pools, tolerations, GPUs, what a container requests of CPU and memory;
- pods: Kubeflow's launcher, init containers, service accounts, volumes other than an empty one at /tmp, pulls
  of images, 30 seconds of grace (here 5);
- of containers, where each is a process: limits of CPU and memory, file systems, users, networks, images.
  Programs are this machine's, Python is that of the environment, ``--image-path`` stands for what the image
  installs beside it;
- of containers, where Docker runs them: a network of their own (servers are on loopback), a /tmp on disk (its
  files count as memory). All run as user 1000 on a read-only root file system without capabilities, whatever
  the image says. The image is the pipeline's if the daemon has it, else ``--docker-image``; where its label
  says that it is empty, the system, Python and packages are this machine's, mounted read-only. CPU time and
  memory are as Docker saw them last, up to a second or two before the end: a short one has none (null). What
  goes to standard output and to standard error may be logged in another order;
- Kubeflow's own parameters, artifacts, cache, loops, conditions, exit handlers, pipelines inside pipelines
  (refused with 400), stored pipelines and versions, archives, the web page, namespaces, users, rights;
- catch-up and periodic schedules.

One container runs at a time. A failure starts no further task of its run. A container whose secret is missing
fails, where Kubernetes would wait. A run whose end the stub did not see is failed at its next start. The
driver of Kubeflow leaves placeholders in variables as they are, as far as its source shows; here they are
filled in.

    python -m tests.remote.kubeflow_api --port 8888 --home DIR [--image-path DIR …]
        [--kubernetes URL --token-file F] [--client-token-file F] [--time-scale 0.01]
        [--docker-host unix:///var/run/docker.sock [--docker-image NAME] | --warm]

Tests also find: GET /test/ready, GET /test/runs/ID (each attempt with its exit code, times, CPU seconds, peak
memory and log) and POST /test/recurringruns/ID/fire.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import signal
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.remote.kubeflow_runs import (
    ContainerError,
    Executor,
    KubernetesSecrets,
    ProcessExecutor,
    WarmSteps,
)
from tests.remote.kubeflow_state import ApiError, Kubeflow, Record

NOT_IMITATED = 501
GRPC_CODES = {400: 3, 401: 16, 404: 5, 409: 6, NOT_IMITATED: 12}
"""What the gateway of the real one says beside the HTTP status."""
TICK_S = 0.5


def routes(kubeflow: Kubeflow) -> list[tuple[str, re.Pattern[str], Callable[..., Record]]]:
    """Method, path and act; an act is given the parts of the path, then ``query`` or ``body``."""
    api, name = "^/apis/v2beta1", "([^/:]+)"
    one = "(experiments|runs|recurringruns)"
    table: list[tuple[str, str, Callable[..., Record]]] = [
        ("GET", f"{api}/healthz$", lambda query: {"multi_user": False}),
        ("GET", f"{api}/{one}$", kubeflow.page),
        ("GET", f"{api}/{one}/{name}$", lambda kind, name, query: kubeflow.record(kind, name)),
        ("POST", f"{api}/experiments$", kubeflow.create_experiment),
        ("POST", f"{api}/runs$", kubeflow.create_run),
        ("POST", f"{api}/runs/{name}:terminate$", lambda name, body: kubeflow.terminate_run(name)),
        ("POST", f"{api}/recurringruns$", kubeflow.create_recurring_run),
        ("POST", f"{api}/recurringruns/{name}:enable$", lambda name, body: kubeflow.enable(name, "ENABLED")),
        (
            "POST",
            f"{api}/recurringruns/{name}:disable$",
            lambda name, body: kubeflow.enable(name, "DISABLED"),
        ),
        ("DELETE", f"{api}/recurringruns/{name}$", lambda name, query: kubeflow.delete_recurring_run(name)),
        ("GET", "^/test/ready$", lambda query: {}),
        ("GET", f"^/test/runs/{name}$", lambda name, query: kubeflow.record("runs", name)),
        ("POST", f"^/test/recurringruns/{name}/fire$", lambda name, body: kubeflow.fire(name)),
    ]
    return [(method, re.compile(path), act) for method, path, act in table]


def handler(kubeflow: Kubeflow, client_token_file: Path | None) -> type[BaseHTTPRequestHandler]:
    """The HTTP side. A client token is asked for as long as its file is there."""
    table = routes(kubeflow)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = self.rfile.read(length)
            try:
                self._authenticate()
                status, body = 200, self._act(json.loads(sent) if sent else {})
            except ApiError as error:
                said = str(error)
                code = GRPC_CODES[error.status]
                status, body = error.status, {"error": said, "code": code, "message": said, "details": []}
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the names of http.server

        def _authenticate(self) -> None:
            if client_token_file is None or self.path.startswith("/test/") or not client_token_file.exists():
                return
            expected = f"Bearer {client_token_file.read_text().strip()}"
            if not secrets.compare_digest(self.headers.get("Authorization", "").encode(), expected.encode()):
                raise ApiError(401, "Unauthorized")

        def _act(self, body: Record) -> Record:
            url = urlsplit(self.path)
            for method, path, act in table:
                match = path.match(url.path)
                if method == self.command and match:
                    if method == "POST":
                        return act(*match.groups(), body=body)
                    query = {key: values[-1] for key, values in parse_qs(url.query).items()}
                    return act(*match.groups(), query=query)
            raise ApiError(NOT_IMITATED, f"{self.command} {url.path} is not imitated")

    return Handler


def _executor(
    home: Path, image_paths: list[Path], docker_host: str | None, docker_image: str | None, *, warm: bool
) -> Executor:
    """What runs the containers.

    Raises:
        ContainerError: Docker does not answer, or does not have the image.
    """
    if docker_host is None:
        return ProcessExecutor(home / "work", image_paths, WarmSteps(home / "warm") if warm else None)
    from tests.remote.kubeflow_containers import DockerExecutor

    return DockerExecutor.connect(docker_host, fallback=docker_image, image_paths=image_paths, home=home)


def main() -> None:
    """Serve on loopback until SIGTERM, which ends all runs first."""
    parser = argparse.ArgumentParser(
        description="a stub of the Kubeflow Pipelines API that executes what it is sent"
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--home", type=Path, required=True, help="records, logs and working directories")
    parser.add_argument(
        "--image-path", type=Path, action="append", default=[], help="on PYTHONPATH of each step"
    )
    parser.add_argument("--kubernetes", help="the Kubernetes API that holds the secrets of the steps")
    parser.add_argument("--token-file", type=Path, help="the token for that API")
    parser.add_argument("--namespace", default="shutterline", help="of those secrets")
    parser.add_argument(
        "--client-token-file", type=Path, help="the token asked of clients, while it is there"
    )
    parser.add_argument("--time-scale", type=float, default=1.0, help="times the wait before a retry")
    parser.add_argument("--parallel", type=int, default=1, help="containers at once")
    parser.add_argument("--docker-host", help="the daemon that runs each container; without it, processes")
    parser.add_argument("--docker-image", help="its image for those whose own it does not have")
    parser.add_argument(
        "--warm",
        action="store_true",
        help="fork steps' processes from one that has imported the packages",
    )
    given = parser.parse_args()
    os.umask(0o077)
    found = (
        KubernetesSecrets(given.kubernetes, given.token_file, given.namespace) if given.kubernetes else None
    )
    home = given.home.absolute()
    paths = [path.absolute() for path in given.image_path]
    try:
        executor = _executor(home, paths, given.docker_host, given.docker_image, warm=given.warm)
    except ContainerError as error:
        parser.error(str(error))
    kubeflow = Kubeflow(
        home,
        executor=executor,
        kubernetes=found,
        time_scale=given.time_scale,
        parallel=given.parallel,
    )
    server = ThreadingHTTPServer(("127.0.0.1", given.port), handler(kubeflow, given.client_token_file))
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while not ending.wait(TICK_S):
        kubeflow.fire_what_is_due()
    server.shutdown()
    kubeflow.close()


if __name__ == "__main__":
    main()
