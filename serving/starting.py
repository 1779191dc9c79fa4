"""What every service under ``serving/`` does before it serves, whatever serves: arguments, ports, an end."""

import argparse
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from serving.access import NoAccessError, Tls, Tokens, is_loopback
from serving.cores import available_cores
from serving.launching import DEFAULT_QUEUE, DEFAULT_QUEUE_WAIT_S

DEFAULT_MAX_BODY_BYTES = 32_000_000
DEFAULT_REQUEST_WITHIN_S = 60.0
"""32 MB at 4 megabits a second."""
LONGEST_WAIT_S = 60
"""What a worker may show no sign of life for; nobody waits for longer."""
STDIN = 0
CANNOT_LISTEN = 1
WRONG_USE = 2


class NotStartedError(RuntimeError):
    """The service cannot start: ``exit_code`` and the reason."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen, on this address alone.

    Raises:
        NotStartedError: the port is in use, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise NotStartedError(CANNOT_LISTEN, f"cannot listen on {host} port {port}: {error}") from error


def end_with_stdin() -> None:
    """Have this process end as by SIGTERM when its standard input does.

    Of gunicorn's master alone: its worker, which is forked, has no thread of the master's.
    """

    def wait() -> None:
        while os.read(STDIN, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def access_of(options: argparse.Namespace, *, tls: bool = True) -> tuple[Tokens | None, Tls | None]:
    """Read what callers need; nothing on loopback, where nothing was asked for.

    Args:
        options: those of :func:`add_access_arguments`, or of :func:`add_token_argument` alone.
        tls: whether the service can speak TLS; where it cannot, a token is all that lets it leave loopback.

    Raises:
        NotStartedError: there is neither a token nor certificates, or one of them cannot be used.
    """
    files: dict[str, Path | None] = {}
    if tls:
        files |= {
            "--tls-certificate": options.tls_certificate,
            "--tls-key": options.tls_key,
            "--client-ca": options.client_ca,
        }
    missing = [option for option, file in files.items() if file is None]
    if missing and len(missing) < len(files):
        raise NotStartedError(
            WRONG_USE, f"{' and '.join(missing)} missing: a certificate, its key and the clients' authority"
        )
    given = [file for file in files.values() if file is not None]
    if options.token_file is None and not given and not is_loopback(options.host):
        raise NotStartedError(
            WRONG_USE,
            f"{options.host} is not loopback, and whoever reaches it could ask: give --token-file"
            f"{', or --tls-certificate, --tls-key and --client-ca' if tls else ''}",
        )
    certificates = Tls(*given) if given else None
    try:
        if certificates is not None:
            certificates.context()
        return (None if options.token_file is None else Tokens.read(options.token_file)), certificates
    except NoAccessError as error:
        raise NotStartedError(WRONG_USE, str(error)) from error


def add_access_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that :func:`access_of` reads."""
    access = parser.add_argument_group("who may ask; one of the two where --host is not loopback")
    add_token_argument(access)
    access.add_argument("--tls-certificate", type=Path, help="of the REST port, PEM")
    access.add_argument("--tls-key", type=Path, help="of that certificate, PEM, without a passphrase")
    access.add_argument(
        "--client-ca", type=Path, help="PEM; a client needs a certificate that this authority signed"
    )


def add_token_argument(parser: argparse._ActionsContainer) -> None:
    """Add the option that names the tokens, to a parser or to a group of its options."""
    parser.add_argument(
        "--token-file",
        type=Path,
        help="a token a line; a request needs one of them: Authorization: Bearer TOKEN",
    )


def at_least(least: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number from ``least`` on."""

    def whole(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is less than {least}")
        return number

    return whole


def between(least: float, most: float) -> Callable[[str], float]:
    """The type of an option that takes a number of a range, both ends included."""

    def number(text: str) -> float:
        value = float(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not between {least:g} and {most:g}")
        return value

    return number


def add_port_arguments(parser: argparse.ArgumentParser, *, port: str, metrics: str) -> None:
    """Add where a service listens.

    Args:
        parser: of the service.
        port: what its own port is for.
        metrics: what the other one is for.
    """
    parser.add_argument("--host", default="127.0.0.1", help="address of every port (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help=port)
    parser.add_argument("--metrics-port", type=int, required=True, help=metrics)


def add_body_argument(parser: argparse.ArgumentParser, refused: str = "a larger request gets a 413") -> None:
    """Add how large a request may be; ``refused``: what becomes of a larger one."""
    parser.add_argument(
        "--max-body-bytes",
        type=at_least(1),
        default=DEFAULT_MAX_BODY_BYTES,
        help=f"{refused} (default: %(default)s)",
    )


def add_request_within_argument(parser: argparse.ArgumentParser) -> None:
    """Add how long a client may take to send a request by HTTP."""
    parser.add_argument(
        "--request-within-s",
        type=between(0, LONGEST_WAIT_S),
        default=DEFAULT_REQUEST_WITHIN_S,
        help="how long a client may take to send a request, then it gets a 408 (default: %(default)s)",
    )


def add_waiting_arguments(parser: argparse.ArgumentParser, refused: str = "gets a 429") -> None:
    """Add how many requests are answered at a time, and how many wait; a further one is ``refused`` so."""
    parser.add_argument(
        "--workers",
        type=at_least(1),
        default=available_cores(),
        help="requests that are answered at a time (default: the cores it may use, here %(default)s)",
    )
    parser.add_argument(
        "--queue",
        type=at_least(0),
        default=DEFAULT_QUEUE,
        help=f"requests that may wait for that; a further one {refused} (default: %(default)s)",
    )
    parser.add_argument(
        "--queue-wait-s",
        type=between(0, LONGEST_WAIT_S),
        default=DEFAULT_QUEUE_WAIT_S,
        help=f"how long one waits at most, then it {refused} (default: %(default)s)",
    )


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is served, and when the service ends without being told to."""
    parser.add_argument(
        "--end-with-stdin",
        action="store_true",
        help="end when standard input does: a pipe ends with the process that holds its other end",
    )
    parser.add_argument(
        "--parameters",
        required=True,
        help='what is served, as Seldon writes it: [{"name", "value", "type"}, …]',
    )
