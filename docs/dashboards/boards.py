"""All dashboards."""

from __future__ import annotations

from docs.dashboards import findings, nodes, pods
from docs.dashboards.parts import Board

BOARDS: tuple[Board, ...] = (nodes.BOARD, pods.BOARD, findings.BOARD)
