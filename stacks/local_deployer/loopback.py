"""Plain HTTP to the servers of this machine."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx

ANSWER_TIMEOUT_S = 5.0
# An empty context: loading the system's certificates, which nothing here needs, costs 30 ms a client.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def client(*, socket: Path | None = None) -> httpx.Client:
    """A client that goes through no proxy; to a Unix socket where one is named."""
    transport = httpx.HTTPTransport(uds=str(socket) if socket else None, verify=NO_TLS)
    return httpx.Client(transport=transport, timeout=ANSWER_TIMEOUT_S, trust_env=False)
