"""Progress on a terminal: how many have answered, and at once who did not."""

from __future__ import annotations

import io

from skoopctl.cli.collect import Progress
from skoopctl.errors import UnreachableError
from skoopctl.inventory import InventoryHost
from skoopctl.transport import HostResult, HostStatus


def result(host: str, error: str = "") -> HostResult:
    """Return a host's result; with an error it is unreachable."""
    status = HostStatus.UNREACHABLE if error else HostStatus.OK
    return HostResult(host, status, b"", "", None, UnreachableError(host, error) if error else None, 1.0)


def test_who_does_not_answer_is_told_at_once_and_safely() -> None:
    """The counter goes on in its line; a failure gets a line of its own, with what a node said made harmless."""
    stream = io.StringIO()
    progress = Progress(stream, tell=True)
    progress.run_started([InventoryHost("a", "a"), InventoryHost("b", "b")])
    progress.host_finished(result("a"))
    progress.host_finished(result("b", "down\x1b[2J"))
    progress.run_finished([])
    said = stream.getvalue()
    assert "collecting 1/2  a ok" in said
    assert "unreachable: b: down" in said
    assert "collecting 2/2" in said
    assert "\x1b[2J" not in said
    assert said.endswith("\r\x1b[K")
