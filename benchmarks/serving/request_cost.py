"""What a request costs: CPU time of all processes that answer it, beside the same in process, and peers.

Requests follow one another, so that nothing waits; the client is another process, whose time does not count.
ResNet-18 at 224 × 224, the photographs of ``../shared`` where they are there.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from benchmarks.claim import Claim, at_most, not_measured
from benchmarks.dataset.timing import cpu_seconds
from benchmarks.serving.exporting import encoded, exported
from benchmarks.serving.live import Live, live
from benchmarks.serving.peers import Peer, peers
from serving.predictor import Predictor

ARCHITECTURE, SIDE = "resnet18", 224
PICTURES, ROUNDS = 200, 3
QUICK_PICTURES = 40
WARM_UP = 20
MOST_BY_JSON_MS, MOST_RAW_MS = 5.0, 4.0
"""More than in process."""
RAW, JSON = "application/octet-stream", "application/json"
OK = 200


def measure(folder: Path, *, quick: bool) -> list[Claim]:
    """The claims about the cost of a request; quick: one round of few pictures, and no peer to install."""
    name, pictures = encoded(QUICK_PICTURES if quick else PICTURES)
    rounds = 1 if quick else ROUNDS
    directory = exported(ARCHITECTURE, folder / "exported")
    predictor = Predictor.load(directory)
    running = (live(folder / "live", ARCHITECTURE, SIDE), peers(folder, directory, quick=quick))
    with running[0] as served, running[1] as (others, missing):
        ways: dict[str, Callable[[], float]] = {
            "in process": lambda: cpu_seconds(lambda: [predictor.predict([each]) for each in pictures]),
            "raw": lambda: _cost(served.cpu_s, served.url, RAW, pictures),
            "json": lambda: _cost(served.cpu_s, served.url, JSON, list(map(_bin_data, pictures))),
        }
        ways |= {other.name: _asked(other, pictures) for other in others}
        _warm_up(served, others, pictures)
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, cost in ways.items():
                taken[way].append(1000 * cost() / len(pictures))
    ms = {way: median(each) for way, each in taken.items()}
    what = f"CPU of a request, {ARCHITECTURE} at {SIDE}, {len(pictures)} {name}, ingress and capture included"
    alone = f"in process {ms['in process']:.1f} ms"
    return [
        at_most(f"{what}: JSON, more than {alone}", ms["json"] - ms["in process"], MOST_BY_JSON_MS, "ms"),
        at_most(f"{what}: raw body, more than {alone}", ms["raw"] - ms["in process"], MOST_RAW_MS, "ms"),
        *(
            at_most(f"{what}: {way}, beside {other.name}", ms[way], ms[other.name], "ms", peer=ms[other.name])
            for other in others
            for way in ("json" if other.content_type == JSON else "raw",)
        ),
        *(not_measured(f"{what}: beside {name}", why) for name, why in missing.items()),
    ]


def _bin_data(picture: bytes) -> bytes:
    return json.dumps({"binData": base64.b64encode(picture).decode()}).encode()


def _asked(peer: Peer, pictures: Sequence[bytes]) -> Callable[[], float]:
    bodies = [peer.body(each) for each in pictures]
    return lambda: _cost(peer.cpu_s, peer.url, peer.content_type, bodies)


def _warm_up(served: Live, others: Sequence[Peer], pictures: Sequence[bytes]) -> None:
    some = pictures[:WARM_UP]
    _send(served.url, RAW, some)
    _send(served.url, JSON, list(map(_bin_data, some)))
    for other in others:
        _send(other.url, other.content_type, [other.body(each) for each in some])


def _cost(cpu_s: Callable[[], float], url: str, content_type: str, bodies: Sequence[bytes]) -> float:
    """CPU seconds that a service took for these requests, one after the other."""
    before = cpu_s()
    _send(url, content_type, bodies)
    return cpu_s() - before


def _send(url: str, content_type: str, bodies: Sequence[bytes]) -> None:
    """Ask over one connection.

    Raises:
        RuntimeError: an answer is not a 200.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        for body in bodies:
            connection.request("POST", parts.path, body, {"content-type": content_type})
            response = connection.getresponse()
            said = response.read()
            if response.status != OK:
                raise RuntimeError(f"{url} answered {response.status}: {said[:500]!r}")
    finally:
        connection.close()
