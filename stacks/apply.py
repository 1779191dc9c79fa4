"""The registrar: make ZenML's store agree with a stack file.

    python -m stacks.apply stacks/local.yaml             show the difference, check, write it
    python -m stacks.apply stacks/local.yaml --dry-run   show the difference, write nothing
    python -m stacks.apply stacks/local.yaml --check     check what the file points to, write nothing
    python -m stacks.apply stacks/local.yaml --if-absent write it where no stack has its name, else leave it

Running it again changes nothing. The stack becomes the project's active one where none was chosen yet
(ZenML's own ``default`` is active); after that `zenml stack set NAME` switches.
Exit codes: 0 the store agrees; 2 the file or its use is wrong; 4 something cannot be reached or written.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from materializers.errors import ServiceUnreachable, ShutterlineError
from stacks.checks import Finding, check_connection, check_stack
from stacks.rules import check_rules
from stacks.stack_file import StackFile, load_stack_file
from stacks.zenml_server import connection

if TYPE_CHECKING:
    from stacks.difference import Change

PROJECT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the registrar as the command line asks and give its exit code."""
    options = _parser().parse_args(arguments)
    # The difference says what changes; ZenML's own account of it would say it a second time.
    os.environ.setdefault("ZENML_LOGGING_VERBOSITY", "ERROR")
    os.environ.setdefault("ZENML_ANALYTICS_OPT_IN", "false")
    try:
        stack = load_stack_file(options.file)
        check_rules(stack, server=connection().address)
        if options.check:
            return _report(check_stack(stack))
        if options.if_absent and _is_registered(stack, options.file):
            return 0
        return _apply(stack, options.file, dry_run=options.dry_run)
    except ShutterlineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: the same command goes on.\n")
        return 130


def repository() -> Path:
    """Give the folder whose ``.zen`` holds the active stack: the project, or ``ZENML_REPOSITORY_PATH``."""
    return Path(os.environ.get("ZENML_REPOSITORY_PATH") or PROJECT)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m stacks.apply", description="Register a stack.")
    parser.add_argument("file", type=Path, help="a stack file, such as stacks/local.yaml")
    act = parser.add_mutually_exclusive_group()
    act.add_argument("--check", action="store_true", help="check what the file points to, write nothing")
    act.add_argument("--dry-run", action="store_true", help="show the difference, write nothing")
    act.add_argument(
        "--if-absent", action="store_true", help="leave a stack that is registered as it is, checked or not"
    )
    return parser


def _report(findings: Sequence[Finding]) -> int:
    """Print one line per component and give the exit code of the worst."""
    for finding in findings:
        sys.stdout.write(f"{finding.kind}: {finding.message}\n")
    return max((finding.error.exit_code for finding in findings if finding.error), default=0)


def _apply(stack: StackFile, file: Path, *, dry_run: bool) -> int:
    findings = check_connection(stack) if dry_run else check_stack(stack)
    wrong = [finding.error for finding in findings if finding.error]
    if wrong:
        sys.stderr.writelines(f"{error}\n" for error in wrong)
        return max(error.exit_code for error in wrong)
    from stacks.difference import Registration
    from stacks.key_pairs import make_keys, missing_keys

    keys = Path(stack.demo_keys).expanduser() if stack.demo_keys else None
    with _alone(file):
        made = missing_keys(keys) if keys else []
        for name in made:
            sys.stdout.write(f"demo key pair {name}: (none) → {keys}/{name}.pem\n")
            if keys is not None and not dry_run:
                make_keys(keys, name)
        with _store_errors():
            changes = Registration(stack, repository(), source_root=PROJECT).changes()
            _write(changes, dry_run=dry_run)
    if not changes and not made:
        sys.stdout.write(f"{stack.name}: no change\n")
    elif dry_run:
        sys.stdout.write(f"{stack.name}: nothing written: run it without --dry-run\n")
    return 0


def _is_registered(stack: StackFile, file: Path) -> bool:
    """Whether a stack has this name already; this folder then knows it, too, and it is left as it is."""
    from stacks.difference import Registration

    with _alone(file), _store_errors():
        registration = Registration(stack, repository(), source_root=PROJECT)
        if registration.registered is None:
            return False
        _write(registration.repository_changes(), dry_run=False)
    sys.stdout.write(
        f"{stack.name}: registered, and left as it is: python -m stacks.apply {file} changes it\n"
    )
    return True


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Keep a second registrar waiting, which then finds nothing to do."""
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@contextmanager
def _store_errors() -> Iterator[None]:
    """Say of ZenML's store that it is out of reach, in one line.

    Raises:
        ServiceUnreachable: it is.
    """
    from sqlalchemy.exc import SQLAlchemyError
    from zenml.exceptions import ZenMLBaseException

    try:
        yield
    except (OSError, RuntimeError, SQLAlchemyError, ZenMLBaseException) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ServiceUnreachable(
            f"ZenML's store cannot be read or written ({reason}): `zenml status` names it; "
            "run the same command when it answers"
        ) from error


def _write(changes: Sequence[Change], *, dry_run: bool) -> None:
    for change in changes:
        sys.stdout.write(f"{change.line}\n")
        if not dry_run:
            change.write()


if __name__ == "__main__":
    sys.exit(main())
