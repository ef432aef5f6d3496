"""asyncssh is loaded without starting programs, and finds the libraries that are there."""

from __future__ import annotations

import ctypes.util
import subprocess
import sys
from pathlib import Path

import pytest

from skoopctl.transport import loading

LOAD = """
import sys
started = []
sys.addaudithook(lambda event, args: started.append(args[0]) if event == "subprocess.Popen" else None)
from skoopctl.transport.loading import load_asyncssh
load_asyncssh()
print(len(started), "asyncssh" in sys.modules)
"""


def test_no_program_is_started() -> None:
    """Neither ldconfig nor a compiler runs while asyncssh is imported."""
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True"]


@pytest.mark.parametrize("name", ["c", "z", "crypto", "no-such-library"])
def test_a_library_is_found_as_it_usually_is(name: str) -> None:
    """The cache of the linker gives the same name that ldconfig gives."""
    assert loading._finder(lambda _: "usual")(name) == ctypes.util.find_library(name)


def test_without_a_cache_the_usual_way_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On other systems, and where LD_LIBRARY_PATH counts, ctypes looks for itself."""
    monkeypatch.setattr(loading, "CACHE", tmp_path / "none")
    assert loading._finder(lambda _: "usual")("c") == "usual"
    monkeypatch.undo()
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
    assert loading._finder(lambda _: "usual")("c") == "usual"
