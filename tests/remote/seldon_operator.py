"""What the stub does in place of Seldon's operator, the kubelet and the ingress; see kubernetes_api.py.

Requests are shared by the predictors' ``traffic``, at random; a shadow gets a copy of each and its answers go
nowhere. A predictor without the annotation ``seldon.io/no-engine`` is led through as Seldon's engine does:
of a prediction the router's ``/route``, then ``/predict`` of the child that it named, with the request's body
and headers; ``/api/v1.0/status/UNIT`` is a unit's ``/health/status``; everything else is a 404.

A container beside the unit's, such as the shipper of what is captured, is a process too: it starts with the
pod and is asked to end when the unit's is.

Not imitated: probes' delays, resource limits, security contexts, volumes (a folder each), images (the serving
environment of this machine runs), several replicas (one process, however many are asked for), autoscaling;
hooks before the end, the end of the grace period, another start of a container beside the unit's that ended.
Of the engine: graphs deeper than a router and its children, combiners and transformers, feedback, metadata,
gRPC, its own probes and metrics, that it escapes answers for HTML.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from benchmarks.main.home import free_port

Json = dict[str, Any]
Secret = Callable[[str, str], Json | None]

PROJECT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
NEVER_READY = "never-ready"
"""An image with this in its name can never be pulled."""
NO_ENGINE = "seldon.io/no-engine"
PREDICTIONS, UNIT_STATUS = "/api/v1.0/predictions", "/api/v1.0/status/"
POLL_S = 0.1
BACK_OFF_S = 1.0
DRAIN_S = 10.0
END_S = 20.0
LOG_LINES = 12
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
# The kernel ends a child whose starting thread is gone, even when the stub was killed with -9.
ENDS_WITH_US = ("setpriv", "--pdeathsig", "TERM")


class Pod(threading.Thread):
    """One replica of one component of a predictor: its init container and processes, from start to end."""

    def __init__(
        self,
        resource: Json,
        predictor: Json,
        component: Json,
        *,
        home: Path,
        python: Path,
        secret: Secret,
    ) -> None:
        self.resource, self.predictor = resource["metadata"]["name"], predictor["name"]
        self.namespace = resource["metadata"]["namespace"]
        self.spec, self.labels = component["spec"], component.get("metadata", {}).get("labels", {})
        self.container, *self.beside = self.spec["containers"]
        self.pod_name = f"{self.resource}-{self.predictor}-0-{self.container['name']}-{uuid4().hex[:5]}"
        self.folder = home / "pods" / self.pod_name
        self.ports = {one["name"]: free_port() for one in self.container["ports"]}
        self.port = self.ports.get("http", 0)
        self.ready, self.in_flight, self.restarts, self.asked = False, 0, 0, 0
        self.states: dict[str, Json] = {
            one["name"]: {"state": _waits("PodInitializing")} for one in self._all()
        }
        self.events: list[Json] = []
        self._python, self._secret = python, secret
        self._processes_beside: dict[str, subprocess.Popen[bytes]] = {}
        self._ends = threading.Event()
        super().__init__(name=self.pod_name)

    def _all(self) -> list[Json]:
        return [*self.spec.get("initContainers", []), self.container, *self.beside]

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
            self._end_processes(*self._processes_beside.values())
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
            self._mount_secrets()
            for one in self.beside:
                if one["name"] not in self._processes_beside:
                    self._processes_beside[one["name"]] = self._begin(one)
            process = self._begin(self.container)
        except KeyError as error:
            self.states[name] = {"state": _waits("CreateContainerConfigError", str(error))}
            self._ends.wait(BACK_OFF_S)
            return
        while process.poll() is None and not self.ending:
            self.ready = (self.ready or self._answers()) and self._runs_beside()
            self._ends.wait(POLL_S)
        if self.ending:
            self._end_processes(process, *self._processes_beside.values())
            return
        self.ready = False
        self.restarts += 1
        self._failed(name, process.returncode)
        self._ends.wait(BACK_OFF_S)

    def _begin(self, container: Json) -> subprocess.Popen[bytes]:
        """Start a container's process.

        Raises:
            KeyError: a secret that it is given is not there.
        """
        environment = self._environment(container)
        kept = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        with self.log(container["name"]).open("ab") as output:
            process = subprocess.Popen(
                self._command(container),
                cwd=PROJECT,
                env={**kept, **environment, "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.states[container["name"]]["state"] = {"running": {}}
        return process

    def _runs_beside(self) -> bool:
        """Whether all that was started beside the unit's process runs; say so of what does not."""
        for name, process in self._processes_beside.items():
            if process.poll() is not None and "lastState" not in self.states[name]:
                self._failed(name, process.returncode)
        return all(process.poll() is None for process in self._processes_beside.values())

    def _command(self, container: Json) -> list[str]:
        """The container's own command and arguments, with the addresses of this machine in their place."""
        listening = container.get("ports", [])
        ports = {str(one["containerPort"]): str(self.ports[one["name"]]) for one in listening}
        there = {"0.0.0.0": LOOPBACK, **ports}  # noqa: S104
        here = [there.get(word, word) for word in (*container["command"][1:], *container["args"])]
        for mount in container["volumeMounts"]:
            if mount["name"] != "scratch":
                folder = str(self.folder / mount["name"])
                here = [word.replace(mount["mountPath"], folder) for word in here]
        return [*ENDS_WITH_US, str(self._python), *here]

    def _environment(self, container: Json) -> dict[str, str]:
        """The container's variables; a key of a secret that is not there is said as Kubernetes says it."""
        values = {}
        for one in container.get("env", []):
            if "valueFrom" not in one:
                values[one["name"]] = one["value"]
                continue
            wanted = one["valueFrom"]["secretKeyRef"]
            values[one["name"]] = self._value(wanted["name"], wanted["key"]).decode()
        return values

    def _value(self, name: str, key: str) -> bytes:
        secret = self._secret(self.namespace, name)
        if secret is None or key not in secret.get("data", {}):
            raise KeyError(f'secret "{name}" with {key} not found')
        return base64.b64decode(secret["data"][key])

    def _mount_secrets(self) -> None:
        for volume in self.spec.get("volumes", []):
            for item in volume.get("secret", {}).get("items", []):
                value = self._value(volume["secret"]["secretName"], item["key"])
                path = self.folder / volume["name"] / item["path"]
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(value)

    def _answers(self) -> bool:
        probe = self.container["readinessProbe"]["httpGet"]
        connection = http.client.HTTPConnection(LOOPBACK, self.ports[probe["port"]], timeout=2)
        try:
            connection.request("GET", probe["path"])
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _end_processes(self, *processes: subprocess.Popen[bytes]) -> None:
        drained = time.monotonic() + DRAIN_S
        while self.in_flight and time.monotonic() < drained:
            time.sleep(POLL_S / 10)
        for process in processes:
            process.terminate()
        for process in processes:
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
            elif one in self.beside:
                held |= {"ready": "running" in held["state"]}
            return {"name": one["name"], "image": one["image"], **held}

        started = self.ready or "running" in self.states[self.container["name"]]["state"]
        return {
            "metadata": {
                "name": self.pod_name,
                "namespace": self.namespace,
                "labels": {**self.labels, "seldon-deployment-id": self.resource},
                "annotations": {"stub/asked": str(self.asked)},
            },
            "status": {
                "phase": "Running" if started else "Pending",
                "initContainerStatuses": [status(one) for one in self.spec.get("initContainers", [])],
                "containerStatuses": [status(one) for one in (self.container, *self.beside)],
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
        self._routes: dict[tuple[str, str], list[Target]] = {}
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
        present, predictors = self._pods.setdefault(key, {}), resource["spec"]["predictors"]
        wanted = {
            _pod_part(one, component): (one, component)
            for one in predictors
            for component in one["componentSpecs"]
        }
        for part, (predictor, component) in wanted.items():
            if part not in present:
                present[part] = Pod(resource, predictor, component, **self._options)
                present[part].start()
        up = all(present[part].ready for part in wanted)
        if up:
            pods = {part: present[part] for part in wanted}
            with self._lock:
                self._routes[key] = [Target.of(one, pods) for one in predictors]
            self._retire(key, keep=set(wanted))
        deployments = {}
        for part, (one, component) in wanted.items():
            replicas, place = _replicas(one, component), one["componentSpecs"].index(component)
            available = replicas if present[part].ready else 0
            name = f"{key[1]}-{one['name']}-{place}-{present[part].container['name']}"
            deployments[name] = {"replicas": replicas, "availableReplicas": available}
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

    def enter(self, key: tuple[str, str]) -> list[Target]:
        """Who gets the next request: the one that answers first, then a shadow; :meth:`leave` them."""
        with self._lock:
            targets = self._routes.get(key, [])
            answering = [one for one in targets if not one.shadow]
            if not answering:
                return []
            weights = [one.traffic for one in answering] if len(answering) > 1 else None
            chosen = [*random.choices(answering, weights), *(one for one in targets if one.shadow)]  # noqa: S311
            for target in chosen:
                for pod in target.units.values():
                    pod.in_flight += 1
            return chosen

    def leave(self, target: Target) -> None:
        """The request is answered."""
        with self._lock:
            for pod in target.units.values():
                pod.in_flight -= 1


def _pod_part(predictor: Json, component: Json) -> str:
    """What its pods depend on: neither the number of them nor their share of the traffic."""
    part = {"name": predictor["name"], "spec": component["spec"], "metadata": component.get("metadata")}
    return json.dumps(part, sort_keys=True)


def _replicas(predictor: Json, component: Json) -> int:
    scaled = component.get("hpaSpec")
    return int(scaled["minReplicas"] if scaled else component.get("replicas") or predictor.get("replicas", 1))


@dataclass(frozen=True)
class Target:
    """One predictor that gets requests: its share of them, and its pods by the units of its graph."""

    graph: Json
    units: dict[str, Pod]
    traffic: int
    shadow: bool
    has_engine: bool

    @classmethod
    def of(cls, predictor: Json, pods: dict[str, Pod]) -> Target:
        """The predictor, and which of these pods are its own."""
        mine = [pods[_pod_part(predictor, component)] for component in predictor["componentSpecs"]]
        return cls(
            predictor["graph"],
            {pod.container["name"]: pod for pod in mine},
            predictor.get("traffic", 0),
            bool(predictor.get("shadow")),
            NO_ENGINE not in predictor.get("annotations", {}),
        )

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Lead a request through the graph.

        Raises:
            OSError: a pod does not answer.
        """
        if not self.has_engine:
            [pod] = self.units.values()
            return _ask(pod, method, path, headers, body)
        unit = path.removeprefix(UNIT_STATUS)
        if method == "GET" and unit in self.units:
            return _ask(self.units[unit], "GET", "/health/status", headers, b"")
        if (method, path) != ("POST", PREDICTIONS):
            return Answer(404, "text/plain", b"404 page not found")
        headers = {"Seldon-Puid": str(uuid4()), **headers}
        routed = _ask(self.units[self.graph["name"]], "POST", "/route", headers, body)
        if routed.status != 200:
            return routed
        [[child]] = json.loads(routed.content)["data"]["ndarray"]
        chosen = self.units[self.graph["children"][child]["name"]]
        return _ask(chosen, "POST", "/predict", headers, body)


class Answer(NamedTuple):
    """What came back."""

    status: int
    content_type: str
    content: bytes


def _ask(pod: Pod, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    connection = http.client.HTTPConnection(LOOPBACK, pod.port, timeout=60)
    pod.asked += method == "POST"
    try:
        connection.request(method, path, body=body or None, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers.get("content-type", ""), answer.read())
    finally:
        connection.close()


class Server(ThreadingHTTPServer):
    """Answers many at once."""

    daemon_threads = True
    request_queue_size = 128


def _copy(operator: Operator, shadow: Target, asked: tuple[str, str, dict[str, str], bytes]) -> None:
    """Ask a shadow what somebody else answers; whatever it says is lost."""
    try:
        with suppress(OSError):
            shadow.answer(*asked)
    finally:
        operator.leave(shadow)


def make_ingress(port: int, operator: Operator) -> Server:
    """The reverse proxy: ``/seldon/NAMESPACE/NAME/…`` to a predictor that is in charge, and to a shadow."""

    class Ingress(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            found = re.fullmatch(r"/seldon/([^/]+)/([^/]+)(/.*)", self.path)
            targets = operator.enter((found[1], found[2])) if found else []
            if found is None or not targets:
                self._answer(404, {}, b"no route")
                return
            left_out = ("host", "connection", "content-length")
            headers = {k: v for k, v in self.headers.items() if k.lower() not in left_out}
            asked = (self.command, found[3], headers, body)
            first, *shadows = targets
            for shadow in shadows:
                threading.Thread(target=_copy, args=(operator, shadow, asked), daemon=True).start()
            try:
                answer = first.answer(*asked)
                self._answer(answer.status, {"content-type": answer.content_type}, answer.content)
            except OSError as error:
                self._answer(503, {}, f"upstream: {error}".encode())
            finally:
                operator.leave(first)

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = _forward  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            """Be quiet."""

    return Server((LOOPBACK, port), Ingress)
