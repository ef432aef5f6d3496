"""Many hosts at a time, each in a thread; one row each, in the inventory's order. Fabric is not asynchronous."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from skoopctl.inventory import InventoryHost
from skoopctl.prepare.row import Row, State

FORKS = 8
"""Package managers are heavy, and a mistake on eight nodes is enough."""


def on_each(hosts: Sequence[InventoryHost], action: Callable[[InventoryHost], Row]) -> list[Row]:
    """Return the row of every host. An interrupt waits for nobody: what is not begun yet is not begun."""
    pool = ThreadPoolExecutor(FORKS, thread_name_prefix="node")
    try:
        futures = [pool.submit(_row, host, action) for host in hosts]
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _row(host: InventoryHost, action: Callable[[InventoryHost], Row]) -> Row:
    try:
        return action(host)
    except Exception as fault:  # noqa: BLE001 - a fault of ours at one node must not hide what happened at others
        text = f"{type(fault).__name__}: {fault}: a fault of skoopctl; please report it"
        return Row(host.name, State.FAILED, text)
