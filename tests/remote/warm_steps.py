"""Fork the processes of steps from one that has imported the locked packages, which takes each 6 s otherwise.

:mod:`.kubeflow_runs` starts it, as a script, so that nothing of the project can be imported in it: a step
finds the code that was uploaded with its run, and nothing else. A connection to its socket is one step: a
JSON line with ``arguments``, ``environment``, ``folder`` and ``log`` comes in, one with the process id goes
out, and when the process and every child that it left have ended, one with its exit code, CPU seconds and
peak memory.

What importing costs, and that an image holds every package, is not shown so; a step that replaces what a
package holds in memory (ZenML's configuration and client, the temporary folder) finds it as in a new process.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import logging
import os
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from typing import Any, NoReturn

IMPORTED_ONCE = (
    "boto3",
    "captum.attr",
    "cyclonedx.output.json",
    "fairlearn.metrics",
    "git",
    "kubernetes",
    "matplotlib.figure",
    "mlflow.onnx",
    "mlflow.pytorch",
    "mlflow.sklearn",
    "mlflow.store.tracking.rest_store",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.metrics",
    "sklearn.model_selection",
    "statsmodels.api",
    "torch._dynamo",
    "torch.onnx",
    "torchvision.transforms.v2",
    "zenml.integrations.mlflow.experiment_trackers",
    "zenml.integrations.mlflow.model_registries",
    "zenml.integrations.s3.artifact_stores",
    "zenml.log_stores.otel.otel_log_store",
    "zenml.orchestrators.step_launcher",
    "zenml.orchestrators.step_runner",
    "zenml.zen_stores.rest_zen_store",
)
MODULE = "shutterline_step"
POLL_S = 0.05


def serve(address: str) -> None:
    """Answer until standard input ends, which the process that started this one holds."""
    del sys.path[0]  # the folder of this file
    importlib.import_module("zenml.entrypoints")
    handlers = list(logging.root.handlers)
    for module in IMPORTED_ONCE:
        importlib.import_module(module)
    logging.root.handlers[:] = handlers  # a package adds one, which would print every line again
    gc.freeze()  # a child's collector would touch, and so copy, every page
    going: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        listener.bind(address)
        listener.listen()
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(POLL_S):
                if key.fileobj is not listener:
                    return
                asked, _ = listener.accept()
                with asked.makefile("r") as lines:
                    request = json.loads(lines.readline())
                pid = os.fork()
                if pid == 0:
                    carry_out(**request)
                going[pid] = asked
                asked.sendall(f"{pid}\n".encode())
            for pid in [pid for pid in going if has_ended(pid)]:
                with going.pop(pid) as asked, suppress(OSError):  # who asked was killed
                    asked.sendall(f"{json.dumps(reap(pid))}\n".encode())


def has_ended(pid: int) -> bool:
    """Whether a child of this process has; it stays a zombie, so that its group is still its own."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def reap(pid: int) -> dict[str, Any]:
    """Kill what a leader of a process group left, and take the leader: how it ended, and what it took."""
    with suppress(ProcessLookupError):  # its children end with it, as in a container
        os.killpg(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    return {
        "exit_code": os.waitstatus_to_exitcode(status),
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_rss_bytes": usage.ru_maxrss * 1024,
    }


def carry_out(arguments: list[str], environment: dict[str, str], folder: str, log: str) -> NoReturn:
    """Be ``python -m shutterline_step`` with this environment in this folder, and end."""
    os.setsid()
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND)
    for descriptor, file in ((0, nothing), (1, output), (2, output)):
        os.dup2(file, descriptor)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.path[:0] = [folder, *environment.get("PYTHONPATH", "").split(os.pathsep)]
    sys.argv = [MODULE, *arguments]
    exit_code = 0
    try:
        _forget_where_zenml_is()
        runpy.run_module(MODULE, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        exit_code = _code(ended.code)
    except BaseException:  # noqa: BLE001 - what the interpreter does with it
        traceback.print_exc()
        exit_code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)  # taking a copy of all that was imported apart would take seconds


def _forget_where_zenml_is() -> None:
    """It reads its configuration from the environment's folder and variables when it is first asked for."""
    from zenml.client import Client
    from zenml.config.global_config import GlobalConfiguration

    GlobalConfiguration._reset_instance()
    Client._reset_instance()


def _code(code: Any) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    sys.stderr.write(f"{code}\n")
    return 1


if __name__ == "__main__":
    serve(sys.argv[1])
