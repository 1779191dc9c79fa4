"""A pytest plugin for CI: a skipped test fails the run, unless it needs what a CI machine cannot have.

`SHUTTERLINE_CI=1 make test` loads it with ``-p tests.plugin_skips``. A test that is skipped because something
was not installed looks like a test that passed; here it counts as a failure.
"""

from collections.abc import Generator

import pytest

MAY_BE_SKIPPED = ("gpu", "shared_data", "docker")  # markers of pyproject.toml
FOREIGN_SKIPS: list[str] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note on the report whether its test may be skipped: xdist's processes hand over reports, not items."""
    report = yield
    may_be_skipped = any(item.get_closest_marker(name) for name in MAY_BE_SKIPPED)
    report.user_properties.append(("may_be_skipped", may_be_skipped))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect the tests that were skipped and may not be; an expected failure is none."""
    may_be_skipped = dict(report.user_properties).get("may_be_skipped", False)
    if report.skipped and not hasattr(report, "wasxfail") and not may_be_skipped:
        FOREIGN_SKIPS.append(f"{report.nodeid}: {reason_of(report)}")


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Collect the files that skip themselves as a whole."""
    if report.skipped:
        FOREIGN_SKIPS.append(f"{report.nodeid}: {reason_of(report)}")


def reason_of(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Give the reason of a skip: the last of its file, line and reason."""
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run over a foreign skip."""
    if FOREIGN_SKIPS and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the foreign skips."""
    if FOREIGN_SKIPS:
        allowed = ", ".join(MAY_BE_SKIPPED)
        terminalreporter.section(f"skipped, and only tests marked {allowed} may be: the run fails")
        for line in FOREIGN_SKIPS:
            terminalreporter.write_line(line)
