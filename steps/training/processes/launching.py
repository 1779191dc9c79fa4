"""Run a function in several processes of this machine that know one another, by the library of ``torchrun``.

They end with the call, whatever ends it: an error of one of them, of the caller, or a signal that leaves
nobody a last word. Nothing listens but on the loopback device.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import distributed
from torch._C._distributed_c10d import TCPStore
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ProcessFailure,
    get_error_handler,
)
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousParameters,
    rendezvous_handler_registry,
)
from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from materializers import errors
from materializers.errors import ShutterlineError

LOOPBACK, LOOPBACK_DEVICE = "127.0.0.1", "lo"
RENDEZVOUS = "shutterline"
"""Under this name torchrun finds :class:`LoopbackRendezvous`."""
SET_BY_TORCHRUN = "TORCHELASTIC_SIGNALS_TO_HANDLE"
"""A variable that its library leaves behind."""
MEETING_S = 300
"""How long a process waits for the others, at the start and whenever they do something together."""
POLL_S = 0.05
"""Between two looks for a message."""
Send: TypeAlias = Callable[[Any], None]
Member: TypeAlias = Callable[..., Any]
"""What a process runs: ``member(send, *arguments)``; it lies in a module, so that a child can import it."""


class Logged(NamedTuple):
    """A line that a process logged."""

    logger: str
    level: int
    text: str


def launch(member: Member, arguments: tuple[Any, ...], processes: int, on_message: Send) -> Any:
    """Run a function in so many processes at once.

    Args:
        member: called in each as ``member(send, *arguments)``, in a process group of ``torch.distributed``:
            NCCL where there are GPUs, else Gloo.
        arguments: those that can be handed to a child process.
        processes: how many.
        on_message: called in this thread with what the first process sends; what it raises ends them all.

    Returns:
        What the first process returned.

    Raises:
        ShutterlineError: one of them raised it, or broke off otherwise; the message says which, and why.
    """
    context = multiprocessing.get_context("spawn")
    alive, hold = context.Pipe(duplex=False)
    messages, outlet = context.Pipe(duplex=False)
    with (
        tempfile.TemporaryDirectory(prefix="shutterline-processes-") as folder,
        _quiet(),
        _on_loopback(),
        alive,
        outlet,
        messages,
        ThreadPoolExecutor(1) as agent,
        hold,  # closed before the agent is waited for: the processes end, and the agent with them
    ):
        launched = agent.submit(_launch, folder, processes, _run, member, arguments, alive, outlet)
        while not launched.done():
            _deliver(messages, on_message, POLL_S)
        _deliver(messages, on_message, 0)
        try:
            return launched.result()[0]
        except ChildFailedError as error:
            raise _explained(*error.get_first_failure(), processes) from None


class LoopbackRendezvous(StaticTCPRendezvous):
    """Where the processes meet: a store that listens on the loopback device alone, on a port that is free.

    torch's own listens on every address of the machine.
    """

    def __init__(self, run_id: str) -> None:
        listener = socket.create_server((LOOPBACK, 0))
        port = listener.getsockname()[1]
        super().__init__(LOOPBACK, port, 0, 1, run_id, MEETING_S)
        self._store = TCPStore(
            LOOPBACK,
            port,
            is_master=True,
            timeout=timedelta(seconds=MEETING_S),
            master_listen_fd=listener.detach(),
        )

    def get_backend(self) -> str:
        """The name under which torchrun finds it."""
        return RENDEZVOUS


def _rendezvous(parameters: RendezvousParameters) -> RendezvousHandler:
    return LoopbackRendezvous(parameters.run_id)


def _launch(folder: str, processes: int, *arguments: Any) -> dict[int, Any]:
    """Let torchrun's agent run in this thread until all processes ended, or one failed."""
    with suppress(ValueError):  # it is registered
        rendezvous_handler_registry.register(RENDEZVOUS, _rendezvous)
    member, *rest = arguments
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id="train",
        rdzv_backend=RENDEZVOUS,
        local_addr=LOOPBACK,
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=folder),
        start_method="spawn",
        shutdown_timeout=5,
    )
    results: dict[int, Any] = elastic_launch(config, member)(*rest)
    return results


def _run(member: Member, arguments: tuple[Any, ...], alive: Connection, outlet: Connection) -> Any:
    """What each process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the caller's
    threading.Thread(target=_end_with_caller, args=(alive,), daemon=True).start()
    try:
        gpus = torch.cuda.is_available()
        rank = int(os.environ["RANK"])
        if gpus:
            torch.cuda.set_device(rank)
        distributed.init_process_group("nccl" if gpus else "gloo", timeout=timedelta(seconds=MEETING_S))
        _log_to(outlet if rank == 0 else None)
        result = member(outlet.send if rank == 0 else _unheard, *arguments)
        distributed.destroy_process_group()
    except Exception as error:  # noqa: BLE001 - told to the caller, in a file of its folder
        get_error_handler().record_exception(error)
        # Not raised: torch would pickle the traceback into a file of its own. And at once: on the way out
        # Gloo's threads, which still wait for the others, can abort the process.
        os._exit(ShutterlineError.exit_code)
    return result if rank == 0 else None


def _end_with_caller(alive: Connection) -> None:
    """End this process when the caller let go of the other end, or is no more."""
    with suppress(EOFError, OSError):
        alive.recv()
    os._exit(ShutterlineError.exit_code)


class _Forwarding(logging.Handler):
    """Sends what is logged to the caller, whose log it gets into."""

    def __init__(self, outlet: Connection) -> None:
        super().__init__()
        self._outlet = outlet

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line."""
        self._outlet.send(Logged(record.name, record.levelno, record.getMessage()))


def _log_to(outlet: Connection | None) -> None:
    """Let the first process's lines reach the caller; the others say the same."""
    logging.root.handlers = [logging.NullHandler() if outlet is None else _Forwarding(outlet)]


def _unheard(message: Any) -> None:
    """What a process sends that is not the first one."""


def _deliver(messages: Connection, on_message: Send, wait_s: float) -> None:
    while messages.poll(wait_s):
        message = messages.recv()
        if isinstance(message, Logged):
            logging.getLogger(message.logger).log(message.level, "%s", message.text)
        else:
            on_message(message)


def _explained(rank: int, failure: ProcessFailure, processes: int) -> ShutterlineError:
    """The error that ended a process, as this one raises it."""
    message: Any = failure.message  # torch says str, and gives what the error's file holds
    said = message["message"] if isinstance(message, dict) else message
    name, _, sentence = said.partition(": ")
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, ShutterlineError):
        return kind(sentence)
    lines = [line for line in said.splitlines() if line.strip()]
    killed = failure.exitcode < 0 and not isinstance(message, dict)
    why = f"was ended by signal {failure.signal_name()}" if killed else f"failed ({lines[0]})"
    return ShutterlineError(
        f"Process {rank} of the {processes} that train together {why}, and the others were ended. Run the "
        "same command again, or with one process: --set train.processes=1"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the traceback of what is explained in one sentence out of the log."""
    logger = logging.getLogger("torch.distributed.elastic")
    names = [logger.name, *(name for name in logging.root.manager.loggerDict if name.startswith(logger.name))]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Have Gloo and NCCL, which read it from the environment, use the loopback device."""
    names = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
    before = {name: os.environ.get(name) for name in (*names, SET_BY_TORCHRUN)}
    os.environ.update(dict.fromkeys(names, LOOPBACK_DEVICE))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
