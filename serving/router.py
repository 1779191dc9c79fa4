"""The router of an A/B test on a cluster: which of two versions answers a request, by the request's key.

It is a unit of Seldon's graph, type ``ROUTER``, and imports nothing of Seldon. Seldon's engine asks it once
for each request (``POST /route``) and then the version that it named. What that engine, of release 1.17,
does with a request was read in its source, and is imitated by the tests' stub; neither the engine nor a
cluster ran here. Against a predictor without an engine, which ``full``, ``canary`` and ``shadow`` have:

- bodies go on as they came, with their content type, to the router and to the version: raw pictures too, and
  so do the headers of the request, a token among them;
- status codes and bodies of errors come back as they were; the engine may lose their content type;
- ``/health/ping`` and ``/health/status`` are not led on. ``/api/v1.0/status/UNIT`` is: it gives the
  ``/health/status`` of one unit, so that each version can be asked apart;
- the answers are escaped for HTML (``<``, ``>``, ``&`` as ``\\u003c`` …), which JSON does not tell apart;
- feedback goes to the router and to the version that it names, by the same key.
"""

import hashlib
from typing import Any

ROUTER_LAUNCHER = ("-m", "serving.router_launcher")
STATUS = "/api/v1.0/status"
"""Where Seldon's engine tells the health of a unit, below a release's base URL."""
KEY_HEADER = "x-request-key"
KEY_TAG = "request_key"
CHAMPION, CANDIDATE = 0, 1
"""The places of the two versions among the router's children."""
PLACE_BYTES = 6  # which a float holds exactly
PLACES = float(1 << 8 * PLACE_BYTES)


def place_of(key: str) -> float:
    """Where a key lies in [0, 1): always in the same place, and keys alike are spread evenly."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=PLACE_BYTES).digest()
    return int.from_bytes(digest, "big") / PLACES


def key_for(child: int, share: float) -> str:
    """A request key that a router with this share gives to ``child``, to ask one version on purpose."""
    tried = 0
    while _child(place_of(str(tried)), share) != child:
        tried += 1
    return str(tried)


def _child(place: float, share: float) -> int:
    """Of two shares the larger one takes the keys of the smaller one and more: no key goes to and fro."""
    return CANDIDATE if place < share else CHAMPION


def router_arguments(*, host: str, port: int, metrics_port: int, share: float, token_file: str) -> list[str]:
    """What the router's launcher is told."""
    options = {
        "--host": host,
        "--port": port,
        "--metrics-port": metrics_port,
        "--share": share,
        "--token-file": token_file,
    }
    return [str(part) for pair in options.items() for part in pair]


class KeyRouter:
    """Gives each request key to the champion or to the candidate, for good, so that shares hold over keys.

    Attributes:
        share: of the keys that the candidate gets, between 0 and 1.
    """

    def __init__(self, *, share: float) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share is {share}; it lies between 0 and 1")
        self.share = share

    def health_status(self) -> dict[str, float]:
        """Say how the keys are shared, for ``/health/status``."""
        return {"share": self.share}

    def route_raw(self, message: Any) -> dict[str, Any]:
        """Answer Seldon's ``route``: the child's place among the children, as a Seldon message.

        Args:
            message: a Seldon message, or a feedback message, whose request or response carries the key.
                Without ``meta.tags.request_key`` the request id, ``meta.puid``, is the key; without
                either the champion answers.
        """
        key = _key(message)
        child = CHAMPION if key is None else _child(place_of(key), self.share)
        return {"data": {"ndarray": [[child]]}}


def _key(message: Any) -> str | None:
    if not isinstance(message, dict):
        return None
    parts = (message, message.get("request"), message.get("response"))
    metas = [one["meta"] for one in parts if isinstance(one, dict) and isinstance(one.get("meta"), dict)]
    tags = [meta["tags"].get(KEY_TAG) for meta in metas if isinstance(meta.get("tags"), dict)]
    for value in (*tags, *(meta.get("puid") for meta in metas)):
        if isinstance(value, str) and value:
            return value
    return None
