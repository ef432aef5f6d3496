"""What holds for every test.

Hypothesis measures no time, for a busy machine is no fault of a parser. Tests that share something on this machine
run in one process, one after the other, when pytest runs in several (`make test`): the lab, of which there is one,
and the namespaces that a file of `tests/kernel` makes under names of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "anywhere", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("anywhere")

TESTS = Path(__file__).parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what must not run at one time; the longest, the lab, first."""
    for item in items:
        room, *rest = item.path.relative_to(TESTS).parts
        if room in {"lab", "vm"}:
            item.add_marker(pytest.mark.xdist_group(room))
        elif room == "kernel":
            item.add_marker(pytest.mark.xdist_group(f"kernel {rest[-1]}"))
        elif item.get_closest_marker("lab"):
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
    items.sort(key=lambda item: item.path.relative_to(TESTS).parts[0] not in {"lab", "kernel"})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    lines = [text for report in reports for name, text in report.user_properties if name == "counted"]
    if lines:
        terminalreporter.section("counted")
    for text in lines:
        terminalreporter.write_line(str(text))
