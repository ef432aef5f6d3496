"""Who is asked: hosts, groups and variables, read from the files that administrators already have."""

from __future__ import annotations

from pathlib import Path

from skoopctl.inventory.host import InventoryHost
from skoopctl.inventory.selection import Inventory

__all__ = ["Inventory", "InventoryHost", "load_inventory"]


def load_inventory(path: Path | str) -> Inventory:
    """Read an inventory file. Every mistake is an :class:`InventoryError` with the file and the line."""
    from skoopctl.inventory.load import load  # noqa: PLC0415 - most commands name hosts and read no file

    return load(path)
