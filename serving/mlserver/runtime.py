"""The runtime that MLServer runs: v2 tensors in and out, and the service's own code between.

A request has one input ``images`` of datatype BYTES, an encoded picture an element: in JSON base64, over gRPC
the bytes themselves. The answer has, for n pictures and k classes, the outputs ``label`` (n) and ``error``
(n, empty where there is none) as text, ``probability`` (n) and ``probabilities`` (n, k) as FP64, in the order
of the output ``classes`` (k), and ``abstained`` (n). Without a usable picture it is a 400 with REST's reason.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlserver import MLModel
from mlserver.errors import MLServerError
from mlserver.types import (
    Datatype,
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataTensor,
    Parameters,
    RequestInput,
    ResponseOutput,
)
from prometheus_client import Counter, Gauge, Histogram

from serving.admission import OVERLOADED, Overloaded, Places
from serving.latency import BOUNDS_S
from serving.mlserver.loading import loaded
from serving.mlserver.settings import Served
from serving.resident import resident_bytes

INPUT = "images"
BYTES, FP64, BOOL = "BYTES", "FP64", "BOOL"
TEXT, BASE64 = "str", "base64"
LABELS = ("model_name", "model_version")
SPARE_THREADS = 8
"""Beyond those that answer and those that wait: so that who is refused is refused at once."""

_kept: dict[str, Any] = {}


class PictureRuntime(MLModel):  # type: ignore[misc]
    """One model directory."""

    async def load(self) -> bool:
        """Load the model; it is there already where the launcher has checked it."""
        extra = self.settings.parameters.extra
        self._served = Served.model_validate(extra["served"])
        places = extra["places"]
        self._places = Places(places["count"], queue=places["queue"], wait_s=places["wait_s"])
        self._threads = ThreadPoolExecutor(places["count"] + places["queue"] + SPARE_THREADS)
        self._classifier = loaded(self._served)
        self._classes = list(self._classifier.classes)
        return True

    async def unload(self) -> bool:
        """Let the recorder write what it keeps."""
        if hasattr(self, "_threads"):
            self._threads.shutdown(wait=True)
            self._classifier.close()
        return True

    async def metadata(self) -> MetadataModelResponse:
        """Say what is served, what it takes and gives, and in how much memory."""
        kinds = {"label": BYTES, "probability": FP64, "abstained": BOOL, "error": BYTES}
        outputs = [MetadataTensor(name=name, datatype=kind, shape=[-1]) for name, kind in kinds.items()]
        count = len(self._classes)
        return MetadataModelResponse(
            name=self.name,
            versions=[self._served.model_version],
            platform=self.settings.platform,
            inputs=[MetadataTensor(name=INPUT, datatype=BYTES, shape=[-1])],
            outputs=[
                *outputs,
                MetadataTensor(name="probabilities", datatype=FP64, shape=[-1, count]),
                MetadataTensor(name="classes", datatype=BYTES, shape=[count]),
            ],
            parameters=Parameters(
                model_digest=self._served.model_digest,
                resident_bytes=resident_bytes(with_parent=False),
            ),
        )

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a request.

        Raises:
            MLServerError: no picture of it can be used (400), too many wait (429), or it failed (500).
        """
        message = {"jsonData": {"images": _pictures(payload)}, "meta": {"puid": payload.id}}
        arrived, loop = time.monotonic(), asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._threads, self._answer, message, arrived)
        _count(answer["meta"].pop("metrics", []), (self._served.model_name, self._served.model_version))
        if "status" in answer:
            refusal = answer["status"]
            raise MLServerError(f"{refusal['reason']}: {refusal['info']}", refusal["code"])
        content = answer["jsonData"]
        return InferenceResponse(
            model_name=self.name,
            model_version=content["model_version"],
            id=content["request_id"],
            outputs=self._outputs(content["predictions"]),
        )

    def _answer(self, message: dict[str, Any], arrived: float) -> dict[str, Any]:
        try:
            with self._places.one():
                return self._classifier.predict_raw(message, arrived)
        except Overloaded as error:
            counted = [{"type": "COUNTER", "key": "shutterline_requests_overloaded", "value": 1}]
            refused = {
                "code": OVERLOADED,
                "reason": "overloaded",
                "info": f"{error.message}; ask again later",
            }
            return {"status": refused, "meta": {"metrics": counted}}

    def _outputs(self, predictions: list[dict[str, Any]]) -> list[ResponseOutput]:
        count = len(predictions)
        errors = [prediction.get("error") for prediction in predictions]
        reasons = [f"{error['reason']}: {error['message']}" if error else "" for error in errors]
        rows = [prediction.get("probabilities", {}) for prediction in predictions]

        def column(name: str, missing: Any) -> list[Any]:
            return [prediction.get(name, missing) for prediction in predictions]

        table = [row.get(name, 0.0) for row in rows for name in self._classes]
        return [
            _tensor("label", BYTES, [count], column("label", "")),
            _tensor("probability", FP64, [count], column("probability", 0.0)),
            _tensor("probabilities", FP64, [count, len(self._classes)], table),
            _tensor("classes", BYTES, [len(self._classes)], self._classes),
            _tensor("abstained", BOOL, [count], column("abstained", False)),
            _tensor("error", BYTES, [count], reasons),
        ]


def _tensor(name: str, kind: str, shape: list[int], data: list[Any]) -> ResponseOutput:
    if kind != BYTES:
        return ResponseOutput(name=name, datatype=kind, shape=shape, data=data)
    text = Parameters(content_type=TEXT)
    encoded = [one.encode() for one in data]  # gRPC sends them as they are
    return ResponseOutput(name=name, datatype=kind, shape=shape, data=encoded, parameters=text)


def _pictures(payload: InferenceRequest) -> list[Any]:
    """A request's pictures: bytes, or text that the service reads as base64.

    Raises:
        MLServerError: it has not exactly one input of that name, or another datatype or shape.
    """
    names = [one.name for one in payload.inputs]
    if names != [INPUT]:
        raise MLServerError(f"bad_request: the inputs are {names[:5]}; the one input is {INPUT!r}")
    tensor: RequestInput = payload.inputs[0]
    kind = Datatype(tensor.datatype).value
    if kind != BYTES:
        raise MLServerError(f"bad_request: {INPUT!r} is {kind}; encoded pictures are {BYTES}")
    elements = tensor.data.root
    if not isinstance(elements, list):
        raise MLServerError(f"bad_request: the data of {INPUT!r} is no list")
    if tensor.shape not in ([len(elements)], [len(elements), 1]):
        raise MLServerError(
            f"bad_request: {INPUT!r} has the shape {tensor.shape[:5]} and {len(elements)} elements"
        )
    return [_picture(element, tensor) for element in elements]


def _picture(element: Any, tensor: RequestInput) -> Any:
    """One element, as the service takes it: over gRPC bytes, which are base64 where the request says so."""
    content_type = tensor.parameters.content_type if tensor.parameters else None
    if isinstance(element, bytes) and content_type == BASE64:
        return element.decode("latin-1")
    return element


def _count(metrics: list[dict[str, Any]], labels: tuple[str, str]) -> None:
    """Count for Prometheus what the service has counted, under the same names."""
    for each in metrics:
        key, kind = each["key"], each["type"]
        if key not in _kept:
            _kept[key] = _made(kind, key)
        one = _kept[key].labels(*labels)
        if kind == "TIMER":
            one.observe(each["value"] / 1_000)
        else:
            (one.inc if kind == "COUNTER" else one.set)(each["value"])


def _made(kind: str, key: str) -> Any:
    says = "see docs/serving.md"
    if kind == "TIMER":
        return Histogram(key, says, LABELS, buckets=BOUNDS_S)
    return (Counter if kind == "COUNTER" else Gauge)(key, says, LABELS)
