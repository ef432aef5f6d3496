"""All dashboards."""

from __future__ import annotations

from docs.dashboards import events, findings, fleet, nodes, pods
from docs.dashboards.parts import Board

BOARDS: tuple[Board, ...] = (fleet.BOARD, nodes.BOARD, pods.BOARD, events.BOARD, findings.BOARD)
