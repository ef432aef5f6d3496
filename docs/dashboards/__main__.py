"""Write the dashboards; with ``--check``, only say whether they are fresh."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.dashboards.boards import BOARDS
from docs.dashboards.grafana import board_json

FOLDER = Path(__file__).parents[2] / "reports" / "grafana"


def main() -> None:
    """Write each dashboard, or check each."""
    FOLDER.mkdir(exist_ok=True)
    for board in BOARDS:
        path = FOLDER / f"{board.uid}.json"
        wanted = board_json(board)
        if "--check" not in sys.argv[1:]:
            path.write_text(wanted, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != wanted:
            sys.exit(f"{path}: stale: run 'make docs'")


if __name__ == "__main__":
    main()
