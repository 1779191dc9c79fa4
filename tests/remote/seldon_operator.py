"""What the stub does in place of Seldon's operator, the kubelet and the ingress; see kubernetes_api.py.

Not imitated: probes' delays, resource limits, security contexts, volumes (a folder each), images (the serving
environment of this machine runs), several replicas (one process, however many are asked for), weights.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.main.home import free_port

Json = dict[str, Any]
Secret = Callable[[str, str], Json | None]

PROJECT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
NEVER_READY = "never-ready"
"""An image with this in its name can never be pulled."""
POLL_S = 0.1
BACK_OFF_S = 1.0
DRAIN_S = 10.0
END_S = 20.0
LOG_LINES = 12
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
# The kernel ends a child whose starting thread is gone, even when the stub was killed with -9.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM")


class Pod(threading.Thread):
    """One replica of one predictor: its init container and its process, from start to end."""

    def __init__(self, resource: Json, predictor: Json, *, home: Path, python: Path, secret: Secret) -> None:
        self.resource, self.predictor = resource["metadata"]["name"], predictor["name"]
        self.namespace = resource["metadata"]["namespace"]
        [component] = predictor["componentSpecs"]
        self.spec, self.labels = component["spec"], component.get("metadata", {}).get("labels", {})
        [self.container] = self.spec["containers"]
        self.pod_name = f"{self.resource}-{self.predictor}-0-{self.container['name']}-{uuid4().hex[:5]}"
        self.folder = home / "pods" / self.pod_name
        self.port, self.metrics_port = free_port(), free_port()
        self.ready, self.in_flight, self.restarts = False, 0, 0
        self.states: dict[str, Json] = {
            one["name"]: {"state": _waits("PodInitializing")} for one in self._all()
        }
        self.events: list[Json] = []
        self._python, self._secret = python, secret
        self._ends = threading.Event()
        super().__init__(name=self.pod_name)

    def _all(self) -> list[Json]:
        return [*self.spec.get("initContainers", []), self.container]

    def end(self) -> None:
        """Begin to end it: after the requests in flight, as Kubernetes does."""
        self._ends.set()

    @property
    def ending(self) -> bool:
        """Whether it was told to end."""
        return self._ends.is_set()

    def log(self, container: str) -> Path:
        """What a container has written."""
        return self.folder / f"{container}.log"

    def run(self) -> None:
        """Live until told to end."""
        self.folder.mkdir(parents=True)
        try:
            if self._pulled() and self._initialised():
                while not self.ending:
                    self._serve()
        finally:
            self.ready = False
            shutil.rmtree(self.folder, ignore_errors=True)

    def _pulled(self) -> bool:
        for one in self._all():
            if NEVER_READY in one["image"]:
                message = f'Back-off pulling image "{one["image"]}"'
                self.states[one["name"]] = {"state": _waits("ImagePullBackOff", message)}
                self._event("Failed", f'Failed to pull image "{one["image"]}": not found')
                self._ends.wait()
                return False
        return True

    def _initialised(self) -> bool:
        """Run the init containers, again and again where they fail; False when told to end."""
        for one in self.spec.get("initContainers", []):
            while not self.ending:
                try:
                    _copy_from_s3(one["args"], self._environment(one), self.folder / "model")
                except Exception as error:  # noqa: BLE001 - whatever it is, a container says it in its log
                    self.log(one["name"]).write_text(f"Failed to copy: {type(error).__name__}: {error}\n")
                    self._failed(one["name"], 1)
                    self._ends.wait(BACK_OFF_S)
                else:
                    self.states[one["name"]] = {"state": {"terminated": {"exitCode": 0}}, "ready": True}
                    break
        return not self.ending

    def _serve(self) -> None:
        """One life of the serving process."""
        name = self.container["name"]
        try:
            environment = self._environment(self.container)
        except KeyError as error:
            self.states[name] = {"state": _waits("CreateContainerConfigError", str(error))}
            self._ends.wait(BACK_OFF_S)
            return
        kept = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        with self.log(name).open("ab") as output:
            process = subprocess.Popen(
                self._command(),
                cwd=PROJECT,
                env={**kept, **environment, "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.states[name]["state"] = {"running": {}}
        while process.poll() is None and not self.ending:
            self.ready = self.ready or self._answers()
            self._ends.wait(POLL_S)
        if self.ending:
            self._end_process(process)
            return
        self.ready = False
        self.restarts += 1
        self._failed(name, process.returncode)
        self._ends.wait(BACK_OFF_S)

    def _command(self) -> list[str]:
        """The container's own command and arguments, with the addresses of this machine in their place."""
        ports = {one["name"]: str(one["containerPort"]) for one in self.container["ports"]}
        there = {"0.0.0.0": LOOPBACK, ports["http"]: str(self.port), ports["metrics"]: str(self.metrics_port)}  # noqa: S104
        [mount] = [one for one in self.container["volumeMounts"] if one["name"] == "model"]
        words = [*self.container["command"][1:], *self.container["args"]]
        here = [
            there.get(word, word).replace(mount["mountPath"], str(self.folder / "model")) for word in words
        ]
        return [*ENDS_WITH_US, str(self._python), *here]

    def _environment(self, container: Json) -> dict[str, str]:
        """The container's variables; a key of a secret that is not there is said as Kubernetes says it."""
        values = {}
        for one in container.get("env", []):
            if "valueFrom" not in one:
                values[one["name"]] = one["value"]
                continue
            wanted = one["valueFrom"]["secretKeyRef"]
            secret = self._secret(self.namespace, wanted["name"])
            if secret is None or wanted["key"] not in secret.get("data", {}):
                raise KeyError(f'secret "{wanted["name"]}" with {wanted["key"]} not found')
            values[one["name"]] = base64.b64decode(secret["data"][wanted["key"]]).decode()
        return values

    def _answers(self) -> bool:
        probe = self.container["readinessProbe"]["httpGet"]["path"]
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=2)
        try:
            connection.request("GET", probe)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _end_process(self, process: subprocess.Popen[bytes]) -> None:
        drained = time.monotonic() + DRAIN_S
        while self.in_flight and time.monotonic() < drained:
            time.sleep(POLL_S / 10)
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _failed(self, container: str, exit_code: int) -> None:
        message = self.log(container).read_text(errors="replace").splitlines()[-LOG_LINES:]
        ended = {"exitCode": exit_code, "reason": "Error", "message": "\n".join(message)}
        waits = _waits(
            "CrashLoopBackOff", f"back-off restarting failed container={container} pod={self.pod_name}"
        )
        self.states[container] = {"state": waits, "lastState": {"terminated": ended}}
        self._event("BackOff", f"Back-off restarting failed container {container}")

    def _event(self, reason: str, message: str) -> None:
        event = {
            "type": "Warning",
            "reason": reason,
            "message": message,
            "involvedObject": {"name": self.pod_name},
        }
        if event not in self.events:
            self.events.append(event)

    def as_json(self) -> Json:
        """The pod as Kubernetes lists it."""

        def status(one: Json) -> Json:
            held = {"ready": False, **self.states[one["name"]]}
            if one is self.container:
                held |= {"ready": self.ready, "restartCount": self.restarts}
            return {"name": one["name"], "image": one["image"], **held}

        started = self.ready or "running" in self.states[self.container["name"]]["state"]
        return {
            "metadata": {
                "name": self.pod_name,
                "namespace": self.namespace,
                "labels": {**self.labels, "seldon-deployment-id": self.resource},
            },
            "status": {
                "phase": "Running" if started else "Pending",
                "initContainerStatuses": [status(one) for one in self.spec.get("initContainers", [])],
                "containerStatuses": [status(self.container)],
            },
        }


def _waits(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def _copy_from_s3(args: list[str], environment: dict[str, str], target: Path) -> None:
    """``rclone copy :s3:bucket/folder TARGET``, with the container's own keys and endpoint."""
    import boto3
    from botocore.config import Config  # type: ignore[import-untyped]

    act, source = args[:2]
    if act != "copy" or not source.startswith(":s3:"):
        raise ValueError(f"the stub knows rclone copy :s3:… only, not {act} {source}")
    bucket, _, prefix = source.removeprefix(":s3:").partition("/")
    client = boto3.client(
        "s3",
        endpoint_url=environment.get("RCLONE_S3_ENDPOINT"),
        region_name=environment["RCLONE_S3_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"max_attempts": 1}, connect_timeout=2, s3={"addressing_style": "path"}),
    )
    target.mkdir(parents=True, exist_ok=True)
    found = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix.rstrip('/')}/").get("Contents", [])
    if not found:
        raise FileNotFoundError(f"directory not found: {source}")
    for one in found:
        path = target / one["Key"].removeprefix(f"{prefix.rstrip('/')}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read())


class Operator(threading.Thread):
    """Makes pods agree with the SeldonDeployments; the old ones serve until all the new ones are ready."""

    def __init__(
        self,
        wanted: Callable[[], list[Json]],
        set_status: Callable[[Json, Json], None],
        *,
        home: Path,
        python: Path,
        secret: Secret,
        ingress: str,
    ) -> None:
        super().__init__(name="operator")
        self._wanted, self._set_status = wanted, set_status
        self._options: dict[str, Any] = {"home": home, "python": python, "secret": secret}
        self._ingress = ingress
        self._lock = threading.Lock()
        self._pods: dict[tuple[str, str], dict[str, Pod]] = {}
        self._leaving: list[Pod] = []
        self._routes: dict[tuple[str, str], Pod] = {}
        self._ends = threading.Event()

    def run(self) -> None:
        """Reconcile until told to end; then end every pod."""
        try:
            while not self._ends.wait(POLL_S):
                self._reconcile_all()
        finally:
            for key in self._pods:
                self._retire(key, keep=set())
            for pod in self._leaving:
                pod.join()

    def _reconcile_all(self) -> None:
        resources = {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in self._wanted()}
        for key in [key for key in self._pods if key not in resources]:
            self._retire(key, keep=set())
            self._routes.pop(key, None)
            del self._pods[key]
        for key, resource in resources.items():
            self._reconcile(key, resource)
        self._leaving = [pod for pod in self._leaving if pod.is_alive()]

    def end(self) -> None:
        """End, and every pod with it."""
        self._ends.set()

    def _reconcile(self, key: tuple[str, str], resource: Json) -> None:
        present = self._pods.setdefault(key, {})
        wanted = {json.dumps(_pod_part(one), sort_keys=True): one for one in resource["spec"]["predictors"]}
        for part, predictor in wanted.items():
            if part not in present:
                present[part] = Pod(resource, predictor, **self._options)
                present[part].start()
        up = all(present[part].ready for part in wanted)
        if up:
            first = next(part for part, one in wanted.items() if not one.get("shadow"))
            with self._lock:
                self._routes[key] = present[first]
            self._retire(key, keep=set(wanted))
        deployments = {}
        for part, one in wanted.items():
            replicas = _replicas(one)
            available = replicas if present[part].ready else 0
            deployments[f"{key[1]}-{one['name']}-0"] = {"replicas": replicas, "availableReplicas": available}
        status = {
            "state": "Available" if up else "Creating",
            "replicas": sum(one["replicas"] for one in deployments.values()),
            "deploymentStatus": deployments,
            "address": {"url": f"{self._ingress}/seldon/{key[0]}/{key[1]}/api/v1.0/predictions"},
        }
        self._set_status(resource, status)

    def _retire(self, key: tuple[str, str], *, keep: set[str]) -> None:
        present = self._pods[key]
        for part in set(present) - keep:
            pod = present.pop(part)
            pod.end()
            self._leaving.append(pod)

    def pods(self) -> list[Pod]:
        """Every pod, those that end too."""
        there = [pod for present in list(self._pods.values()) for pod in list(present.values())]
        return [pod for pod in [*there, *self._leaving] if pod.is_alive()]

    def enter(self, key: tuple[str, str]) -> Pod | None:
        """The pod that answers the next request; :meth:`leave` it afterwards."""
        with self._lock:
            pod = self._routes.get(key)
            if pod is not None:
                pod.in_flight += 1
            return pod

    def leave(self, pod: Pod) -> None:
        """The request is answered."""
        with self._lock:
            pod.in_flight -= 1


def _pod_part(predictor: Json) -> Json:
    """What its pods depend on: neither the number of them nor their share of the traffic."""
    [component] = predictor["componentSpecs"]
    return {"name": predictor["name"], "spec": component["spec"], "metadata": component.get("metadata")}


def _replicas(predictor: Json) -> int:
    [component] = predictor["componentSpecs"]
    scaled = component.get("hpaSpec")
    return int(scaled["minReplicas"] if scaled else component.get("replicas") or predictor.get("replicas", 1))


class Server(ThreadingHTTPServer):
    """Answers many at once."""

    daemon_threads = True
    request_queue_size = 128


def make_ingress(port: int, operator: Operator) -> Server:
    """The reverse proxy: ``/seldon/NAMESPACE/NAME/…`` to the pod that is in charge."""

    class Ingress(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            found = re.fullmatch(r"/seldon/([^/]+)/([^/]+)(/.*)", self.path)
            pod = operator.enter((found[1], found[2])) if found else None
            if found is None or pod is None:
                self._answer(404, {}, b"no route")
                return
            connection = http.client.HTTPConnection(LOOPBACK, pod.port, timeout=60)
            try:
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
                connection.request(self.command, found[3], body=body or None, headers=headers)
                answer = connection.getresponse()
                content = answer.read()
                self._answer(answer.status, {"content-type": answer.headers.get("content-type", "")}, content)
            except OSError as error:
                self._answer(503, {}, f"upstream: {error}".encode())
            finally:
                connection.close()
                operator.leave(pod)

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _forward  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            """Be quiet."""

    return Server((LOOPBACK, port), Ingress)
