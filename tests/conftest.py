"""What holds for every test.

Hypothesis measures no time, for a busy machine is no fault of a parser. Tests that share something on this machine
run in one process, one after the other, when pytest runs in several (`make test`): the lab, of which there is one,
the guests, and the namespaces that a file of `tests/kernel` makes under names of its own. The lab and the guests take
longest, and come first, so that the other processes do the rest beside them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

settings.register_profile(
    "anywhere", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("anywhere")


USE_THE_LAB = frozenset(
    f"test_{name}.py"
    for name in (
        "demo_metrics",
        "diagnose_live",
        "event_causes_live",
        "events_live",
        "flows",
        "lab",
        "lab_faults",
        "lab_lifecycle",
        "metrics_exact",
        "metrics_live",
        "page_live",
        "rounds_in_lab",
        "run_live",
    )
)
"""Files of `tests/lab` whose tests build or use the lab; the others there have servers in namespaces of their own."""
OF_RELEASES = frozenset({"test_bpf_kernels.py", "test_rules_of_releases.py"})
"""Files of `tests/vm` whose tests share guests of other releases of Debian."""
TURNS = ("the lab", "the guest", "other guests", "lab")
"""What begins first, for it takes longest: by what it shares, or by its folder."""


def shared_by(file: Path) -> str:
    """Return what the tests of a file share with other files' tests; the file itself, where that is nothing."""
    if file.name in USE_THE_LAB:
        return "the lab"
    if file.parent.name == "vm":
        return "other guests" if file.name in OF_RELEASES else "the guest"
    return str(file)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let somebody ask for every flow under every fault, and for every kernel."""
    parser.addoption(
        "--all-flows",
        action="store_true",
        help="try every flow of the lab under every fault, not a third of them",
    )
    parser.addoption(
        "--all-kernels",
        action="store_true",
        help="run eBPF probes on every kernel that Debian has, its newest too, not on two",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Give each process whole files, and all files that use the lab to one."""
    return _ByFile(config, log)


class _ByFile(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return shared_by(Path(nodeid.partition("::")[0]))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what takes longest begin first."""
    turns = {name: turn for turn, name in enumerate(TURNS)}
    later = len(turns)
    items.sort(
        key=lambda item: min(turns.get(name, later) for name in (shared_by(item.path), item.path.parent.name))
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests counted."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    lines = [text for report in reports for name, text in report.user_properties if name == "counted"]
    if lines:
        terminalreporter.section("counted")
    for text in lines:
        terminalreporter.write_line(str(text))
