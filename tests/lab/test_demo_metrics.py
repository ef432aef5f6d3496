"""`skoopctl demo --metrics`: what it says, and that nothing is left of it, however it or a part of it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from skoopctl.errors import LabError
from skoopctl.lab import down, stand
from tests.lab.running_lab import CLEAN, remains, skoopctl
from tests.services.servers import query, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        not all(map(shutil.which, ("prometheus", "prometheus-pushgateway"))),
        reason="prometheus and prometheus-pushgateway are not installed (.ci/packages --tests)",
    ),
]


def lines_until(demo: subprocess.Popen[str], wanted: str) -> str:
    """Read what the demo prints, up to a line with these words."""
    assert demo.stdout is not None
    read = ""
    for line in demo.stdout:
        read += line
        if wanted in line:
            return read
    raise AssertionError(
        f"the demo ended before it said {wanted!r}: {read}{demo.stderr and demo.stderr.read()}"
    )


def parts() -> dict[str, int]:
    """Return the processes of stands on this machine: the program's name, and its id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_text().split("\0")
                marked = "SKOOPCTL_LAB=1" in (entry / "environ").read_text().split("\0")
            except OSError:
                continue
            for name in ("prometheus", "prometheus-pushgateway", "push"):
                if marked and name in words and "setpriv" not in words:
                    found[name] = int(entry.name)
    return found


def systems_own() -> dict[str, int]:
    """Return the files that Debian's servers would keep for the system, and when each was written."""
    return {str(path): path.stat().st_mtime_ns for path in Path("/var/lib/prometheus").rglob("*")}


@pytest.mark.usefixtures("no_lab")
def test_it_names_the_pod_in_trouble_and_stays_until_it_is_interrupted() -> None:
    """The answers name the deaf pod; the servers answer while it is kept; Ctrl-C ends it all with status 0."""
    demo = skoopctl("demo", "--metrics", "--keep")
    try:
        said = lines_until(demo, "Ctrl-C")
        full, overflows, refused = re.split(r"\n\n", said[said.index("UDP datagrams") :])[:3]
        assert re.findall(r"^    (\w+/\S+) +[\d.]+$", full, re.MULTILINE) == ["tools/web-a"]
        assert re.findall(r"^    (\w+/\S+) +[\d.]+$", overflows, re.MULTILINE) == ["tools/web-a"]
        assert re.findall(r"^    (\w+/\S+) +[\d.]+$", refused, re.MULTILINE) == [
            "tools/tools-74bdbfc69d-q4h8h"
        ]
        url = re.search(r"^Prometheus +(http://127\.0\.0\.1:\d+)", said, re.MULTILINE)
        assert url is not None
        # A scrape that takes too long leaves nothing until the next.
        up = 'sum(skoopctl_push_node_up{cluster="lab"})'
        wait_until(lambda: query(url.group(1), up) == {(): 3.0}, "all nodes")
        assert set(parts()) == {"prometheus", "prometheus-pushgateway", "push"}
        demo.send_signal(signal.SIGINT)
        rest, errors = demo.communicate(timeout=120)
    finally:
        demo.kill()
    assert demo.returncode == 0, errors
    assert "are gone again" in rest
    assert remains() == CLEAN
    assert parts() == {}


@pytest.mark.usefixtures("no_lab")
def test_a_part_that_is_killed_ends_the_demo_and_leaves_nothing() -> None:
    """Prometheus is killed: one line says so, the exit status is 2, lab and servers are gone."""
    before = systems_own()
    demo = skoopctl("demo", "--metrics")
    try:
        lines_until(demo, "All of it runs")
        os.kill(parts()["prometheus"], signal.SIGKILL)
        _, errors = demo.communicate(timeout=120)
    finally:
        demo.kill()
    assert demo.returncode == 2
    assert systems_own() == before
    assert re.search(r"^skoopctl: .*prometheus ended with -9: ", errors, re.MULTILINE)
    assert remains() == CLEAN
    assert parts() == {}


@pytest.mark.usefixtures("no_lab")
def test_its_servers_end_when_it_is_killed_and_lab_down_removes_the_rest() -> None:
    """Kill -9 of the demo ends gateway, Prometheus and push by itself; `skoopctl lab down` leaves nothing."""
    demo = skoopctl("demo", "--metrics")
    try:
        lines_until(demo, "All of it runs")
    finally:
        demo.kill()
        demo.communicate()
    wait_until(lambda: not parts(), "the servers to end")
    down()
    assert remains() == CLEAN


def test_a_missing_server_is_one_line_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages, the line for apt is said before anything is built."""
    monkeypatch.setattr(stand, "PACKAGES", {"no-such-prometheus": "prometheus"})
    with pytest.raises(LabError, match=r"no-such-prometheus .*apt-get install prometheus"):
        stand.require_servers()
