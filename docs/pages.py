"""Files that are made from the code: written, or only compared with ``--check``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path


def write_or_check(pages: Mapping[Path, str], again: str = "make docs") -> None:
    """Write each file; with ``--check`` on the command line, end with a line that names those that are stale."""
    stale = [path for path, text in pages.items() if not path.is_file() or path.read_text("utf-8") != text]
    if "--check" not in sys.argv[1:]:
        for path in stale:
            path.parent.mkdir(exist_ok=True)
            path.write_text(pages[path], encoding="utf-8")
    elif stale:
        sys.exit(f"{', '.join(map(str, stale))}: stale: run '{again}'")
