"""``run.py`` as a person types it, in this process."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys

import pytest

from tests.shrunk.delivery import PROJECT


def run_py(command: str) -> tuple[int, str]:
    """Call ``run.py`` in this process, which has imported everything already."""
    from run import main

    arguments = []
    for word in shlex.split(command)[2:]:
        found = sorted(PROJECT.glob(word)) if "*" in word else []
        arguments += [str(path) for path in found] or [word]  # as a shell does, a cron expression stays
    printed = io.StringIO()
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(sys, "__stdout__", printed)
        patch.setenv("ZENML_ACTIVE_STACK_ID", "")  # --stack sets it for the whole process
        patch.delenv("ZENML_ACTIVE_STACK_ID")
        stack.enter_context(contextlib.chdir(PROJECT))
        stack.enter_context(contextlib.redirect_stdout(printed))
        stack.enter_context(contextlib.redirect_stderr(printed))
        with pytest.raises(SystemExit) as ended:
            main(arguments)
    return int(ended.value.code or 0), printed.getvalue()
