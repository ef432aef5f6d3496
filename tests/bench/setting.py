"""What every benchmark is given: how much to do, where to put files, whom to tell."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Setting:
    """``folder`` is a temporary folder that is deleted at the end; ``quick`` asks for small numbers."""

    folder: Path
    quick: bool = False

    def rounds(self, full: int) -> int:
        """Return how often to measure."""
        return 2 if self.quick else full

    def say(self, line: str) -> None:
        """Tell people on standard error what is going on."""
        sys.stderr.write(f"bench: {line}\n")
        sys.stderr.flush()


def python(*arguments: str) -> list[str]:
    """Return a command line of the Python that runs this."""
    return [sys.executable, *arguments]


def skoopctl(*arguments: str) -> list[str]:
    """Return a command line of skoopctl: the installed command, else the checkout's code."""
    script = Path(sys.executable).with_name("skoopctl")
    if script.is_file():
        return [str(script), *arguments]
    return python("-c", "from skoopctl.cli import main; main()", *arguments)


def environment() -> dict[str, str]:
    """Return the environment of measured commands: the checkout is importable, the language is fixed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "LC_"))}
    return {**kept, "PYTHONPATH": str(CHECKOUT), "LANG": "C.UTF-8", "NO_COLOR": "1"}
