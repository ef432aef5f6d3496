"""Write the dashboards and the rules; with ``--check``, only say whether they are fresh."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.dashboards.boards import BOARDS
from docs.dashboards.grafana import board_json
from docs.dashboards.rules import rules_yaml

REPORTS = Path(__file__).parents[2] / "reports"


def written() -> dict[Path, str]:
    """Return every file that is made here, with its text."""
    boards = {REPORTS / "grafana" / f"{board.uid}.json": board_json(board) for board in BOARDS}
    return {**boards, REPORTS / "prometheus" / "skoopctl-metrics.yaml": rules_yaml()}


def main() -> None:
    """Write each file, or check each."""
    for path, text in written().items():
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path}: stale: run 'make docs'")


if __name__ == "__main__":
    main()
