"""Write the dashboards and the rules; with ``--check``, only say whether they are fresh."""

from __future__ import annotations

from pathlib import Path

from docs.dashboards.boards import BOARDS
from docs.dashboards.grafana import board_json
from docs.dashboards.rules import rules_yaml
from docs.pages import write_or_check

REPORTS = Path(__file__).parents[2] / "reports"


def written() -> dict[Path, str]:
    """Return every file that is made here, with its text."""
    boards = {REPORTS / "grafana" / f"{board.uid}.json": board_json(board) for board in BOARDS}
    return {**boards, REPORTS / "prometheus" / "skoopctl-metrics.yaml": rules_yaml()}


def main() -> None:
    """Write each file, or check each."""
    write_or_check(written())


if __name__ == "__main__":
    main()
