"""A service that answers as ours does, or as a test wants it to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.steps.evaluation.cost.servers import Answering, on_loopback

Answer = tuple[int, bytes]
Twist = Callable[[int, Answer], Answer | None]
"""Takes the number of a request, from 1, and the right answer to it; None: the connection is closed."""
RAW = "application/octet-stream"


def untwisted(number: int, answer: Answer) -> Answer | None:
    """The answer itself."""
    return answer


@contextmanager
def answering(directory: Path, digest: str, version: int, twist: Twist = untwisted) -> Iterator[str]:
    """The URL of a service of a model directory.

    Args:
        directory: the model.
        digest: of it.
        version: what it says that it is.
        twist: what becomes of an answer.
    """
    from serving.service import PictureClassifier

    classifier = PictureClassifier(
        model_directory=str(directory),
        model_digest=digest,
        model_version=str(version),
        model_name="answering",
    )
    classifier.load()
    count = 0

    class Handler(Answering, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            try:
                raw = self.headers["content-type"] == RAW
                message: Any = {"binData": body} if raw else json.loads(body)
                answer = classifier.predict_raw(message)
            except ValueError as error:
                answer = {"status": {"code": 400, "reason": "bad_request", "info": str(error)}}
            answer.pop("meta", None)
            self.twisted((answer.get("status", {}).get("code", 200), json.dumps(answer).encode()))

        def do_DELETE(self) -> None:
            self.twisted((405, b'{"status": {"code": 405, "reason": "method_not_allowed"}}'))

        def twisted(self, right: Answer) -> None:
            nonlocal count
            count += 1
            answer = twist(count, right)
            if answer is None:
                self.close_connection = True
                return
            code, said = answer
            self.answer(said, code)

    with on_loopback(Handler) as url:
        yield url
