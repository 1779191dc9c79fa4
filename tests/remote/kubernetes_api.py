"""A Kubernetes API for one machine: what our Seldon deployer and registrar ask, and real serving processes.

    python -m tests.remote.kubernetes_api --port P --ingress-port Q --home DIR --token-file FILE

Not imitated: TLS, accounts and roles (one token may do everything but what ``--deny`` names), watches,
patches, pagination, server-side apply, quotas, and every resource but SeldonDeployments, Secrets, ConfigMaps,
pods with logs and events. Of Seldon: what seldon_operator.py says in its first lines. Objects survive a
restart in DIR/objects.json; pods are made anew.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

from tests.remote.seldon_operator import LOOPBACK, PROJECT, Operator, Pod, Server, make_ingress
from tests.remote.seldon_rules import refusals

Json = dict[str, Any]
Key = tuple[str, str, str]

SELDON = "seldondeployments"
KEPT = {
    "/apis/machinelearning.seldon.io/v1": (SELDON,),
    "/api/v1": ("secrets", "configmaps"),
}
PATH = re.compile(
    r"(?P<group>/api/v1|/apis/[^/]+/[^/]+)/namespaces/(?P<namespace>[^/]+)/(?P<kind>[a-z]+)"
    r"(?:/(?P<name>[^/]+)(?:/(?P<part>[a-z]+))?)?"
)
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
OPEN_PATHS = ("/version", "/healthz", "/readyz")
REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed", 422: "Invalid"}


class RefusedError(Exception):
    """An answer that is no success: status code, message, and Kubernetes' word for it."""

    def __init__(self, code: int, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason or REASONS.get(code, "Unknown")


class Objects:
    """Every object by kind, namespace and name, in memory and in a file."""

    def __init__(self, path: Path, schema: Path | None) -> None:
        self._path, self._schema = path, schema
        self._lock = threading.RLock()
        self._objects: dict[Key, Json] = {}
        self._version = 0
        if path.exists():
            kept = json.loads(path.read_text())
            self._version = kept["version"]
            self._objects = {(kind, namespace, name): body for kind, namespace, name, body in kept["objects"]}

    def get(self, key: Key) -> Json:
        with self._lock:
            if key not in self._objects:
                raise RefusedError(404, f'{key[0]} "{key[2]}" not found')
            return deepcopy(self._objects[key])

    def find(self, kind: str, namespace: str, name: str) -> Json | None:
        with self._lock:
            return deepcopy(self._objects.get((kind, namespace, name)))

    def list(self, kind: str, namespace: str | None = None) -> list[Json]:
        with self._lock:
            found = sorted(self._objects.items())
            return [deepcopy(one) for key, one in found if key[0] == kind and namespace in (None, key[1])]

    def create(self, key: Key, body: Json) -> Json:
        with self._lock:
            if key in self._objects:
                raise RefusedError(409, f'{key[0]} "{key[2]}" already exists', "AlreadyExists")
            body["metadata"] |= {
                "namespace": key[1],
                "uid": str(uuid4()),
                "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "generation": 1,
            }
            body.pop("status", None)
            return self._store(key, body)

    def replace(self, key: Key, body: Json) -> Json:
        with self._lock:
            before = self.get(key)
            wanted = body["metadata"].get("resourceVersion")
            if wanted is None and key[0] == SELDON:
                raise RefusedError(422, "metadata.resourceVersion: must be specified for an update")
            self._require_version(key, wanted)
            own = ("uid", "creationTimestamp", "generation", "namespace")
            body["metadata"] |= {name: before["metadata"][name] for name in own}
            body.pop("status", None)
            if "status" in before:
                body["status"] = before["status"]
            if key[0] == SELDON and body["spec"] != before["spec"]:
                body["metadata"]["generation"] += 1
            return self._store(key, body)

    def delete(self, key: Key, precondition: str | None) -> Json:
        with self._lock:
            body = self.get(key)
            self._require_version(key, precondition)
            del self._objects[key]
            self._save()
            return body

    def set_status(self, resource: Json, status: Json) -> None:
        """Seldon's own writes: they change the resource's version, and nothing else that a client wrote."""
        key = (SELDON, resource["metadata"]["namespace"], resource["metadata"]["name"])
        with self._lock:
            now = self._objects.get(key)
            if now and now["spec"] == resource["spec"] and now.get("status") != status:
                self._version += 1
                now["status"] = status
                now["metadata"]["resourceVersion"] = str(self._version)
                self._save()

    def _require_version(self, key: Key, wanted: str | None) -> None:
        now = self._objects[key]["metadata"]["resourceVersion"]
        if wanted is not None and wanted != now:
            raise RefusedError(
                409,
                f'Operation cannot be fulfilled on {key[0]} "{key[2]}": the object has been modified; please '
                "apply your changes to the latest version and try again",
                "Conflict",
            )

    def _store(self, key: Key, body: Json) -> Json:
        if key[0] == SELDON:
            found = refusals(body, self._schema)
            if found:
                raise RefusedError(422, f'SeldonDeployment "{key[2]}" is invalid: {"; ".join(found)}')
            _default(body)
        if key[0] == "secrets":
            plain = body.pop("stringData", {})
            body["data"] = {
                **body.get("data", {}),
                **{name: base64.b64encode(value.encode()).decode() for name, value in plain.items()},
            }
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self._objects[key] = deepcopy(body)
        self._save()
        return deepcopy(body)

    def _save(self) -> None:
        kept = {"version": self._version, "objects": [[*key, body] for key, body in self._objects.items()]}
        # Not materializers.blobs: that imports ZenML, which takes longer than everything else here.
        coming = self._path.with_suffix(".part")
        coming.touch(mode=0o600)
        coming.write_text(json.dumps(kept))
        coming.replace(self._path)


def _default(body: Json) -> None:
    """What the webhook fills in, so that what is stored is not what was sent."""
    for one in body["spec"]["predictors"]:
        one["graph"].setdefault("endpoint", {"type": "REST", "httpPort": 9000, "grpcPort": 9500})
        one["graph"].setdefault("children", [])


class Api:
    """What each request is answered with."""

    def __init__(self, objects: Objects, operator: Operator, *, token: str, denied: set[str]) -> None:
        self.objects, self.operator = objects, operator
        self._token, self._denied = token, denied

    def answer(
        self, method: str, target: str, authorization: str | None, body: bytes
    ) -> tuple[int, Json | str]:
        """Status code and content.

        Raises:
            RefusedError: another answer.
        """
        url = urlsplit(target)
        query = dict(parse_qsl(url.query))
        if url.path in OPEN_PATHS:
            return 200, {"major": "1", "minor": "30", "gitVersion": "v1.30.0-stub"}
        if authorization != f"Bearer {self._token}":
            raise RefusedError(401, "Unauthorized")
        content: Json = json.loads(body) if body else {}
        if url.path == REVIEWS and method == "POST":
            asked = content["spec"].get("resourceAttributes", {})
            allowed = f"{asked.get('verb')}:{asked.get('resource')}" not in self._denied
            return 201, {**content, "status": {"allowed": allowed}}
        found = PATH.fullmatch(url.path)
        if found is None:
            raise RefusedError(404, "the server could not find the requested resource")
        self._require_right(method, found)
        kind, namespace, name = found["kind"], found["namespace"], found["name"]
        if found["group"] == "/api/v1" and kind in ("pods", "events"):
            return 200, self._look(kind, namespace, name, found["part"], query)
        if kind not in KEPT.get(found["group"], ()):
            raise RefusedError(404, "the server could not find the requested resource")
        if name is None:
            return self._on_collection(method, kind, namespace, query, content)
        return self._on_object(method, (kind, namespace, name), content)

    def _require_right(self, method: str, found: re.Match[str]) -> None:
        verbs = {
            "POST": "create",
            "PUT": "update",
            "DELETE": "delete",
            "GET": "get" if found["name"] else "list",
        }
        verb, kind = verbs.get(method, method.lower()), found["kind"]
        if f"{verb}:{kind}" in self._denied:
            raise RefusedError(
                403,
                f'{kind} is forbidden: the account cannot {verb} it in the namespace "{found["namespace"]}"',
            )

    def _on_collection(
        self, method: str, kind: str, namespace: str, query: dict[str, str], body: Json
    ) -> tuple[int, Json]:
        if method == "POST":
            return 201, self.objects.create((kind, namespace, body["metadata"]["name"]), body)
        if method != "GET":
            raise RefusedError(405, f"{method} is not supported")
        found = self.objects.list(kind, namespace)
        return 200, {"kind": "List", "items": list(_selected(found, query.get("labelSelector", "")))}

    def _on_object(self, method: str, key: Key, body: Json) -> tuple[int, Json]:
        if method == "GET":
            return 200, self.objects.get(key)
        if method == "PUT":
            return 200, self.objects.replace(key, body)
        if method == "DELETE":
            return 200, self.objects.delete(key, body.get("preconditions", {}).get("resourceVersion"))
        raise RefusedError(405, f"{method} is not supported")

    def _look(
        self, kind: str, namespace: str, name: str | None, part: str | None, query: dict[str, str]
    ) -> Json | str:
        pods = [pod for pod in self.operator.pods() if pod.namespace == namespace]
        if kind == "events":
            wanted = query.get("fieldSelector", "").removeprefix("involvedObject.name=")
            found = [event for pod in pods for event in pod.events]
            return {"items": [one for one in found if wanted in ("", one["involvedObject"]["name"])]}
        if name is None:
            selector = query.get("labelSelector", "")
            return {"kind": "PodList", "items": list(_selected([pod.as_json() for pod in pods], selector))}
        pod = next((pod for pod in pods if pod.pod_name == name), None)
        if pod is None:
            raise RefusedError(404, f'pods "{name}" not found')
        return pod.as_json() if part is None else _log(pod, query)


def _log(pod: Pod, query: dict[str, str]) -> str:
    path = pod.log(query.get("container", pod.container["name"]))
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return "\n".join(lines[-int(query.get("tailLines", len(lines) or 1)) :])


def _selected(found: list[Json], selector: str) -> Iterator[Json]:
    wanted = dict(one.split("=", 1) for one in selector.split(",") if one)
    for one in found:
        if wanted.items() <= one["metadata"].get("labels", {}).items():
            yield one


def make_server(port: int, api: Api) -> Server:
    """The API server."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            try:
                code, content = api.answer(self.command, self.path, self.headers.get("authorization"), body)
            except RefusedError as error:
                status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": str(error)}
                code, content = error.code, {**status, "reason": error.reason, "code": error.code}
            text = content if isinstance(content, str) else json.dumps(content)
            self.send_response(code)
            kind = "text/plain" if isinstance(content, str) else "application/json"
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            """Be quiet."""

    return Server((LOOPBACK, port), Handler)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A Kubernetes API stub with real serving processes.")
    parser.add_argument("--port", type=int, required=True, help="of the API")
    parser.add_argument("--ingress-port", type=int, required=True, help="where predictions are asked for")
    parser.add_argument("--home", type=Path, required=True, help="objects, models and logs lie here")
    parser.add_argument("--token-file", type=Path, required=True, help="holds the one token that is known")
    parser.add_argument("--serving-python", type=Path, default=PROJECT / ".venv-serving" / "bin" / "python")
    parser.add_argument(
        "--schema", type=Path, help="JSON schema of SeldonDeployments; used where it is there"
    )
    parser.add_argument(
        "--deny", action="append", default=[], metavar="VERB:RESOURCE", help="what the token may not do"
    )
    return parser.parse_args()


def main() -> int:
    """Serve until SIGTERM or SIGINT; every process that was started ends with it."""
    options = _arguments()
    options.home.mkdir(parents=True, exist_ok=True)
    objects = Objects(options.home / "objects.json", options.schema)
    operator = Operator(
        lambda: objects.list(SELDON),
        objects.set_status,
        home=options.home / f"run-{os.getpid()}",
        python=options.serving_python,
        secret=lambda namespace, name: objects.find("secrets", namespace, name),
        ingress=f"http://{LOOPBACK}:{options.ingress_port}",
    )
    token = options.token_file.read_text().strip()
    api = make_server(options.port, Api(objects, operator, token=token, denied=set(options.deny)))
    ingress = make_ingress(options.ingress_port, operator)
    ends = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ends.set())
    operator.start()
    for server in (api, ingress):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(
        f"kubernetes http://{LOOPBACK}:{options.port}, ingress http://{LOOPBACK}:{options.ingress_port}\n"
    )
    sys.stdout.flush()
    ends.wait()
    api.shutdown()
    operator.end()
    operator.join()
    ingress.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
