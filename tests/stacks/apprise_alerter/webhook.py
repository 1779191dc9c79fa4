"""A real webhook on loopback, and a real stack whose alerter posts to it."""

from __future__ import annotations

import json
import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from zenml.client import Client

FLAVOR = "stacks.apprise_alerter.flavor.AppriseAlerterFlavor"


class Webhook:
    """What came in, in order; ``status`` is what it answers with, after ``delay_s``."""

    def __init__(self, port: int) -> None:
        self.url = f"json://127.0.0.1:{port}/hook"
        self.messages: list[str] = []
        self.kinds: list[str] = []
        """What Apprise calls the severity of each message."""
        self.asked = 0
        """Requests, taken or not."""
        self.failing = 0
        """So many of the next requests get 500."""
        self.status = 200
        self.delay_s = 0.0


@contextmanager
def webhook_server() -> Iterator[Webhook]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(hook.delay_s)
            hook.asked += 1
            hook.failing, fails = max(hook.failing - 1, 0), hook.failing > 0
            status = 500 if fails else hook.status
            if status == 200:
                hook.messages.append(body["message"])
                hook.kinds.append(body["type"])
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = Webhook(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def stack_with_alerter(
    client: Client, urls: str | None, *, orchestrator: str = "default", **settings: Any
) -> Iterator[None]:
    """Make ZenML's default stack with our alerter this process's stack until the block ends.

    Args:
        client: of the store.
        urls: whom to tell; None: the log.
        orchestrator: the name of the stack's.
        **settings: the alerter's others; without any it tries nothing again.
    """
    from zenml.constants import ENV_ZENML_ACTIVE_STACK_ID
    from zenml.enums import StackComponentType

    name = f"alerting-{uuid4().hex[:8]}"
    alerter = StackComponentType.ALERTER
    if not client.list_flavors(name="apprise", type=alerter.value):
        client.create_flavor(FLAVOR, alerter)
    configuration: dict[str, Any] = {"retries": 0, **({"urls": urls} if urls else {}), **settings}
    client.create_stack_component(name, "apprise", alerter, configuration)
    parts = {
        StackComponentType.ORCHESTRATOR: orchestrator,
        StackComponentType.ARTIFACT_STORE: "default",
        alerter: name,
    }
    stack = client.create_stack(name, parts)
    before = os.environ.get(ENV_ZENML_ACTIVE_STACK_ID)
    os.environ[ENV_ZENML_ACTIVE_STACK_ID] = str(stack.id)
    try:
        yield
    finally:
        os.environ.pop(ENV_ZENML_ACTIVE_STACK_ID)
        if before is not None:
            os.environ[ENV_ZENML_ACTIVE_STACK_ID] = before
        with warnings.catch_warnings():  # ZenML deletes the rows of the composition twice
            warnings.simplefilter("ignore")
            client.delete_stack(stack.id)
        client.delete_stack_component(name, alerter)
