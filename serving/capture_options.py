"""What a service is told on its command line about what it keeps of its traffic; both launchers take it."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from serving.spool import DEFAULT_LIMIT_BYTES, DEFAULT_ROTATE_S
from serving.starting import at_least, between

DEFAULT_FLUSH_S = 0.25
DEFAULT_PICTURES = 0.01
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
SHORTEST_S, LONGEST_S = 0.01, 3_600.0


@dataclass(frozen=True)
class CaptureSettings:
    """What of each request is kept.

    Attributes:
        spool: the folder of all spools of this machine or pod.
        environment: that is served.
        pictures: share of the requests whose pictures are kept, 0 to 1; by the request id, so that it is the
            same wherever and whenever it is asked.
        embeddings: whether the embedding is kept.
        flush_s: how long what was handed over may stay in memory.
        rotate_s: how long a file is written before the shipper gets it.
        limit_bytes: of the spool of one model; the oldest is dropped beyond.
    """

    spool: Path
    environment: str
    pictures: float = DEFAULT_PICTURES
    embeddings: bool = True
    flush_s: float = DEFAULT_FLUSH_S
    rotate_s: float = DEFAULT_ROTATE_S
    limit_bytes: int = DEFAULT_LIMIT_BYTES


def add_capture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`capture_settings` reads."""
    capture = parser.add_argument_group("what is kept of the traffic; nothing without --capture-spool")
    capture.add_argument(
        "--capture-spool",
        type=Path,
        metavar="DIR",
        help="the folder that serving.shipper reads",
    )
    capture.add_argument(
        "--capture-environment", type=_name, metavar="NAME", help="that is served: staging, production"
    )
    capture.add_argument(
        "--capture-pictures",
        type=between(0, 1),
        default=DEFAULT_PICTURES,
        metavar="SHARE",
        help="of the requests, whose pictures are kept less their metadata (default: %(default)s)",
    )
    capture.add_argument(
        "--capture-without-embeddings", action="store_true", help="keep no embedding: most of a row's bytes"
    )
    capture.add_argument(
        "--capture-flush-s",
        type=between(SHORTEST_S, LONGEST_S),
        default=DEFAULT_FLUSH_S,
        help="how long what was answered may stay in memory; a kill -9 loses that (default: %(default)s)",
    )
    capture.add_argument(
        "--capture-rotate-s",
        type=between(SHORTEST_S, LONGEST_S),
        default=DEFAULT_ROTATE_S,
        help="how long a file is written before the shipper gets it (default: %(default)s)",
    )
    capture.add_argument(
        "--capture-limit-bytes",
        type=at_least(1),
        default=DEFAULT_LIMIT_BYTES,
        help="of the spool; beyond it the oldest is dropped and counted (default: %(default)s)",
    )


def capture_settings(options: argparse.Namespace) -> CaptureSettings | None:
    """What was asked for; None: nothing is kept.

    Raises:
        ValueError: the spool was given without the environment.
    """
    if options.capture_spool is None:
        return None
    if options.capture_environment is None:
        raise ValueError("--capture-spool goes with --capture-environment")
    return CaptureSettings(
        spool=options.capture_spool,
        environment=options.capture_environment,
        pictures=options.capture_pictures,
        embeddings=not options.capture_without_embeddings,
        flush_s=options.capture_flush_s,
        rotate_s=options.capture_rotate_s,
        limit_bytes=options.capture_limit_bytes,
    )


def capture_arguments(settings: CaptureSettings) -> list[str]:
    """The options that say the same."""
    options = {
        "--capture-spool": settings.spool,
        "--capture-environment": settings.environment,
        "--capture-pictures": settings.pictures,
        "--capture-flush-s": settings.flush_s,
        "--capture-rotate-s": settings.rotate_s,
        "--capture-limit-bytes": settings.limit_bytes,
    }
    arguments = [str(part) for pair in options.items() for part in pair]
    return arguments if settings.embeddings else [*arguments, "--capture-without-embeddings"]


def _name(text: str) -> str:
    if NAME.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no name: a-z, 0-9 and - between them")
    return text
