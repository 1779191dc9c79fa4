"""What a client can ask of the service, as an OpenAPI document: Seldon's own, of this one model.

Seldon's lists the units of a graph, which are not answered here, and leaves out how pictures are sent. Kept
are its messages and its form; added is JSON. Its server is where the document was found,
so that it holds behind any ingress.
"""

import json
from importlib import resources
from typing import Any

MESSAGE = {"$ref": "#/components/schemas/SeldonMessage"}
FEEDBACK = {"$ref": "#/components/schemas/Feedback"}
ANSWERS = {"200": "An answer.", "default": "No answer; `status` says why."}


def api_document() -> dict[str, Any]:
    """The document of ``/seldon.json``."""
    text = resources.files("seldon_core").joinpath("openapi/seldon.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    of_seldon, schemas = document["paths"], document["components"]["schemas"]
    # As Seldon writes them: its messages know jsonData, and the flag in a status is a number.
    schemas["SeldonMessage"]["properties"]["jsonData"] = {"$ref": "#/components/schemas/AnyValue"}
    schemas["StatusStatusFlag"] = {"type": "integer", "enum": [0, 1], "default": 0}
    document["paths"] = {
        "/api/v1.0/predictions": {"post": _operation("predict", _json(MESSAGE))},
        "/api/v1.0/feedback": {"post": _operation("feedback", _json(FEEDBACK))},
        **{path: {"post": of_seldon[path]["post"]} for path in ("/predict", "/send-feedback")},
    }
    return {**document, "servers": [{"url": "."}]}


def _json(schema: dict[str, str]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _operation(name: str, takes: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": name,
        "tags": ["External"],
        "requestBody": {"required": True, "content": takes},
        "responses": {
            code: {"description": meaning, "content": _json(MESSAGE)} for code, meaning in ANSWERS.items()
        },
    }
