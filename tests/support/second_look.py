"""A second look at live tests that failed, for `.ci/run`: `python -m pytest -p tests.support.second_look`.

Tests on a real kernel, in a lab and in a guest share two processors with each other, and one of a thousand may fail
for what the machine did. Such a test is run once more, and counts as failed when it fails again. Nothing of that is
quiet: the summary counts it as rerun and tells each with its failure, and more than `MOST` of them fail the run.
`tests/unit` depends on no machine and is never run again; neither is anything in `make test`.
"""

from __future__ import annotations

import pytest

LIVE = frozenset({"browser", "kernel", "lab", "services", "vm"})
"""Folders of `tests` whose tests need more than Python."""
MOST = 3
"""Tests that may need a second look in one run; with more of them something is wrong."""
PAUSE_S = 3.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let live tests be run once more when they fail."""
    for item in items:
        if item.path.parent.name in LIVE:
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=PAUSE_S))


def _failures_of(config: pytest.Config) -> dict[str, str]:
    """Return the tests that were run again, and what they first failed with."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    reports = [] if reporter is None else reporter.stats.get("rerun", [])
    return {report.nodeid: report.longreprtext for report in reports}


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run of which too much had to be run again."""
    if len(_failures_of(session.config)) > MOST and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell each test that was run again, and why."""
    failures = _failures_of(config)
    if not failures:
        return
    terminalreporter.section("run again, once")
    for test, failure in failures.items():
        terminalreporter.write_line(test)
        terminalreporter.write_line(failure)
    if len(failures) > MOST:
        terminalreporter.write_line(f"{len(failures)} tests were run again, {MOST} may be: this run failed")
