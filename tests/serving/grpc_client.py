"""A gRPC client of Seldon's in the serving environment: a line of JSON in for each call, one out."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc_health.v1 import health_pb2
from seldon_core.proto import prediction_pb2


def call(channel: grpc.Channel, order: dict[str, Any]) -> dict[str, Any]:
    """Call ``method`` with ``message``, a message as JSON, or with the bytes of ``raw``, in base64."""
    kinds = {
        "/grpc.health.v1.Health/Check": (health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse),
        "/seldon.protos.Seldon/ModelMetadata": (
            prediction_pb2.SeldonModelMetadataRequest,
            prediction_pb2.SeldonModelMetadata,
        ),
    }
    of_others = (prediction_pb2.SeldonMessage, prediction_pb2.SeldonMessage)
    if order["method"].endswith("/SendFeedback"):
        of_others = (prediction_pb2.Feedback, prediction_pb2.SeldonMessage)
    asked, answered = kinds.get(order["method"], of_others)
    if "raw" in order:
        sent = base64.b64decode(order["raw"])
    else:
        sent = ParseDict(order["message"], asked()).SerializeToString()
    ask = channel.unary_unary(order["method"])
    try:
        answer = ask(sent, timeout=60, metadata=[tuple(pair) for pair in order.get("metadata", [])])
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}
    return {"code": "OK", "message": MessageToDict(answered.FromString(answer))}


def main(address: str, *certificates: str) -> None:
    """Answer every line until the input ends.

    Args:
        address: host and port.
        certificates: the authority's, this client's and its key, for TLS.
    """
    options = [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
    with _channel(address, options, *map(Path, certificates)) as channel:
        for line in sys.stdin:
            sys.stdout.write(json.dumps(call(channel, json.loads(line))) + "\n")
            sys.stdout.flush()


def _channel(
    address: str, options: list[tuple[str, int]], authority: Path | None = None, *own: Path
) -> grpc.Channel:
    if authority is None:
        return grpc.insecure_channel(address, options=options)
    certificate, key = (file.read_bytes() for file in own) if own else (None, None)
    return grpc.secure_channel(
        address, grpc.ssl_channel_credentials(authority.read_bytes(), key, certificate), options=options
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
