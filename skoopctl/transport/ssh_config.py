"""What of ``~/.ssh/config`` would be read otherwise than ssh(1) reads it, found before it leads to another machine.

asyncssh runs the command of ``Match exec`` as it stands, with its %-tokens unexpanded, so the test fails or is about
another host. Such a line is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_INCLUDE = re.compile(r"\s*include[\s=]+(.+)", re.IGNORECASE)
_EXEC_WITH_TOKEN = re.compile(r"\s*match\b.*\bexec\b.*%[a-z]", re.IGNORECASE)
_DEEPEST = 16
"""As in OpenSSH (readconf.c: READCONF_MAX_DEPTH)."""


def misread(file: Path) -> str | None:
    """Return ``file:line`` of the first line that would be misread, also in files that are included."""
    return next(_misread(file, 0), None)


def _misread(file: Path, depth: int) -> Iterator[str]:
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for number, line in enumerate(lines, 1):
        if _EXEC_WITH_TOKEN.match(line):
            yield f"{file}:{number}"
        if depth < _DEEPEST and (included := _INCLUDE.match(line)):
            for path in _included(included[1]):
                yield from _misread(path, depth + 1)


def _included(patterns: str) -> Iterator[Path]:
    for pattern in patterns.replace('"', " ").split():
        path = Path("~/.ssh").expanduser() / Path(pattern).expanduser()
        yield from sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
