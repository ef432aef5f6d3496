"""Who is asked: hosts, groups and variables, read from the files that administrators already have."""

from __future__ import annotations

import os
from collections.abc import Sequence

from skoopctl.inventory.host import InventoryHost
from skoopctl.inventory.selection import Inventory

__all__ = ["Inventory", "InventoryHost", "load_inventory"]


def load_inventory(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    playbook_dir: str | os.PathLike[str] | None = None,
    *,
    skip_vaulted: bool = False,
) -> Inventory:
    """Read an inventory: a file, a folder, ``host1,host2``, ``k8s:…``, or several of them, the last of which wins.

    ``playbook_dir`` is a folder whose ``group_vars/`` and ``host_vars/`` count too, and win over
    those beside the inventory. ``skip_vaulted`` leaves out encrypted files in such folders, instead of an error.
    Every mistake is an :class:`InventoryError` with the file and the line. What is worth a word, but no mistake,
    stands in `Inventory.notes`.
    """
    from skoopctl.inventory.load import load  # noqa: PLC0415 - most commands name hosts and read no file

    several = [sources] if isinstance(sources, str | os.PathLike) else sources
    return load([os.fspath(source) for source in several], playbook_dir, skip_vaulted=skip_vaulted)
