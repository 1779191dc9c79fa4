"""What stands before MLServer's HTTP application: who may ask, for what, and how much.

MLServer itself takes bodies of any size, inflates compressed ones, and lets every caller unload the model.
Its errors have no headers: who is refused because too many wait is told here when to ask again.
"""

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serving.access import Tokens
from serving.admission import OVERLOADED, RETRY_AFTER_S
from serving.json_parts import MOST_PARTS, too_many_parts
from serving.reasons import Reason

OPEN = re.compile(r"/v2/health/(live|ready)")
ADMITTED = re.compile(r"/v2|/v2/models/[^/]+(/versions/[^/]+)?(/ready|/infer)?")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Gate:
    """An ASGI application before another one.

    Args:
        application: answers what is let through.
        max_body_bytes: of a request.
        tokens: one of which a request needs; None: it needs none. Health is for everyone.
    """

    def __init__(self, application: Application, *, max_body_bytes: int, tokens: Tokens | None) -> None:
        self._application = application
        self._max_body_bytes = max_body_bytes
        self._tokens = tokens

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let a request through with all of its body, or answer why not."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope["path"], headers)
        body = b""
        if refusal is None and not OPEN.fullmatch(scope["path"]):
            body = await self._body(receive)
            if len(body) > self._max_body_bytes:
                refusal = self._too_large()
            elif too_many_parts(body):
                parts = f"the request has more than {MOST_PARTS:,} objects, lists and members of them"
                refusal = 400, "bad_request", parts
        if refusal is None:
            await self._application(scope, _received(body, receive), _saying_when_to_ask_again(send))
        else:
            await _answer(send, *refusal)

    def _refusal(self, path: str, headers: dict[str, str]) -> tuple[int, Reason, str] | None:
        if OPEN.fullmatch(path):
            return None
        if self._tokens is not None and not self._tokens.admit(headers.get("authorization")):
            return 401, "unauthorized", "the request has no token that this service accepts"
        if not ADMITTED.fullmatch(path):
            return 404, "not_found", f"there is no {path[:100]}"
        if headers.get("content-encoding", "identity").lower() != "identity":
            return 415, "unsupported_media_type", "the body is compressed; send it as it is"
        declared = headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._max_body_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> tuple[int, Reason, str]:
        return 413, "request_entity_too_large", f"the request is larger than {self._max_body_bytes:,} bytes"

    async def _body(self, receive: Receive) -> bytes:
        """The body, or a little more than is allowed of it."""
        parts: list[bytes] = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body", False) or sum(map(len, parts)) > self._max_body_bytes:
                return b"".join(parts)


def _received(body: bytes, receive: Receive) -> Receive:
    """Give a body that has been read to who asks for it; then what the connection says."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again


def _saying_when_to_ask_again(send: Send) -> Send:
    """Give each answer that too many wait the header ``Retry-After``."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == OVERLOADED:
            again = (b"retry-after", str(RETRY_AFTER_S).encode())
            message = {**message, "headers": [*message.get("headers", ()), again]}
        await send(message)

    return sent


async def _answer(send: Send, code: int, reason: Reason, info: str) -> None:
    body = json.dumps({"error": f"{reason}: {info}"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if code == 401:  # noqa: PLR2004 - HTTP's
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})
