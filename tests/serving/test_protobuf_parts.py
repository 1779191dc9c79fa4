"""Which messages of gRPC are decoded at all; in the serving environment, which has Seldon's messages."""

import json
import subprocess

from tests.serving.conftest import ROOT, SERVING_PYTHON, serving_environment

COUNTED = """
import json
from google.protobuf.json_format import ParseDict
from seldon_core.proto.prediction_pb2 import SeldonMessage
from serving.protobuf_parts import BadWireFormat, too_many_parts

def found(message):
    try:
        return too_many_parts(message, SeldonMessage.DESCRIPTOR)
    except BadWireFormat:
        return "bad"

def of(message):
    return ParseDict(message, SeldonMessage()).SerializeToString()

picture = SeldonMessage(binData=bytes(range(256)) * 40_000).SerializeToString()
batch = of({"jsonData": {"images": ["QUJD" * 300_000] * 16}, "meta": {"tags": {"key": [1, "x", None]}}})
said = {
    "a picture": found(picture),
    "a batch": found(batch),
    "nothing": found(b""),
    "objects": found(of({"jsonData": [{}] * 10_000})),
    "numbers": found(of({"jsonData": {"a": {"b": [1.0] * 10_000}}})),
    "a tensor": found(of({"data": {"tensor": {"shape": [20_000], "values": [1.0] * 20_000}}})),
    "tags": found(of({"meta": {"tags": {str(key): 1 for key in range(10_000)}}})),
    "cut off": [found(batch[:size]) for size in (1, 3, 1_000, len(batch) - 1)],
    "a length without end": found(bytes([0x32]) + bytes([0xFF]) * 1_000_000),
    "no wire type": found(bytes([0x37])),
    "unknown fields": found(bytes([0xF8, 0x01, 0x00]) * 10_001),
    "unknown groups": found(bytes([0xFB, 0x01]) * 10_001),
}
print(json.dumps(said))
"""


def test_what_is_long_is_counted_by_its_parts_and_not_by_its_bytes() -> None:
    """Pictures pass; thousands of anything do not, known or unknown; what breaks off is no message."""
    command = [str(SERVING_PYTHON), "-c", COUNTED]
    done = subprocess.run(
        command, cwd=ROOT, env=serving_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "a picture": False,
        "a batch": False,
        "nothing": False,
        "objects": True,
        "numbers": True,
        "a tensor": True,
        "tags": True,
        "cut off": ["bad"] * 4,
        "a length without end": "bad",
        "no wire type": "bad",
        "unknown fields": True,
        "unknown groups": True,
    }
