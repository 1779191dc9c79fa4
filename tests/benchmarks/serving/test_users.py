"""Users ask as often as they say, say what was right, and count what failed."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving import planted
from benchmarks.serving.users import Users
from serving.launching import PREDICTIONS
from serving.predictor import NO_ANSWERS
from serving.service import FAILED, INTERNAL_ERROR, UNAVAILABLE, PictureClassifier, status
from steps.deployment.observing import outcomes


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers predictions of the key ``c`` with a 500, and remembers what was posted as right."""

    protocol_version = "HTTP/1.1"
    asked: Counter[str]
    feedback: list[Any]

    def do_POST(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers["content-length"]))
        status = 200
        said: dict[str, Any] = {"meta": {}}
        if self.path.endswith(PREDICTIONS):
            key = self.headers["x-request-key"]
            self.asked[key] += 1
            assert self.headers["x-request-id"].startswith(planted.USER)
            said = {"jsonData": {"model_version": "1", "predictions": [{"label": "bags"}]}}
            if key == "c":
                status, said = 500, {"status": {"code": 500}}
        else:
            self.feedback.append(json.loads(body)["truth"]["strData"])
        content = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """Of predictions, at a server that knows nothing yet."""
    Answering.asked, Answering.feedback = Counter(), []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/seldon/production/shop{PREDICTIONS}"
        server.shutdown()
        thread.join()


def test_every_key_asks_in_turn_and_what_failed_is_counted(url: str) -> None:
    """Nine requests of three keys, the third of which gets no answer; each answer gets its label."""
    users = Users(
        url, [b"picture"], 0, keys=("a", "b", "c"), truth=lambda version, label: f"{label}{version}", most=9
    )
    users.ask_all()
    assert Answering.asked == {"a": 3, "b": 3, "c": 3}
    assert (len(users.answers), users.failed, users.versions()) == (9, 3, {"1": 6})
    assert Answering.feedback == ["bags1"] * 6
    assert not users.not_taken


def test_users_who_get_no_answer_count_as_failed() -> None:
    """Nothing listens there."""
    users = Users(f"http://127.0.0.1:9{PREDICTIONS}", [b"picture"], 0, most=3)
    users.ask_all()
    assert (users.failed, {answer.status for answer in users.answers}) == (3, {0})


def test_the_environment_with_faults_runs_all_else_as_the_real_one(tmp_path: Path) -> None:
    """Its Python is a script that passes on what is no service."""
    folder = planted.environment(tmp_path / "environment", Path("/usr/bin/env"))
    script = (folder / "bin" / "python").read_text()
    assert script.startswith("#!/bin/sh")
    assert script.rstrip().endswith('exec "/usr/bin/env" "$@"')
    planted.plant(folder, 2, slower=3.0, errors=0.02)
    fault = json.loads((folder / planted.FAULT).read_text())
    assert fault == {"version": "2", "slower": 3.0, "errors": 0.02}


def test_what_fails_while_errors_are_planted_is_told_apart_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that breaks answers 500 and the ingress 503: neither is taken for a planted error."""
    breaking = itertools.cycle([False] * 3 + [True])

    def outcome(*_: object) -> Any:
        return [], NO_ANSWERS, status(FAILED, *INTERNAL_ERROR) if next(breaking) else None

    monkeypatch.setattr(PictureClassifier, "_outcome", outcome)
    planted._make_worse(version="2", slower=1.0, errors=0.5)
    service = PictureClassifier(
        model_directory=str(tmp_path), model_digest="0" * 64, model_version="2", model_name="shop"
    )
    ids = [f"{planted.USER}{number}" for number in range(400)]
    answers = [service.predict_raw({"binData": b"", "meta": {"puid": one}}) for one in ids]
    codes = Counter(answer.get("status", {}).get("code", 200) for answer in answers)
    assert codes.keys() == {200, FAILED, planted.PLANTED}
    assert codes[FAILED] == 100
    assert planted.PLANTED not in (FAILED, UNAVAILABLE)
    assert planted.PLANTED >= outcomes.FAILED  # what a rollout counts as an error
