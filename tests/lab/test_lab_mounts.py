"""Mounts of other programs on the machine come and go while a host of the lab is furnished."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

SPAWN = Path(__file__).parents[2] / "skoopctl" / "lab" / "programs" / "spawn.py"
TRIED = """
import runpy, sys
program = runpy.run_path(sys.argv[1], run_name="spawn")
program["unshare"](program["NEW_NS"])
program["mount"]("", "/", "", program["MS_REC"] | program["MS_PRIVATE"])
program["mount"]("tmpfs", sys.argv[2], "tmpfs", 0)
program["detach"](sys.argv[2])
program["detach"](sys.argv[2])
program["detach"](sys.argv[2] + "/never-there")
print(sys.argv[2] in open("/proc/self/mounts").read())
"""


def test_a_mount_that_went_by_itself_does_not_stop_a_host(tmp_path: Path) -> None:
    """A mount is taken away; one that is gone already, mount point or all, is no error (`ip netns del` does that)."""
    if os.geteuid():
        pytest.skip("mounting needs root")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", TRIED, str(SPAWN), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.stderr) == ("False\n", "")
