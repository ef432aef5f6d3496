"""Taking away: exactly the packages that skoopctl has installed, and only if nothing else would go with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skoopctl.errors import SkoopError
from skoopctl.inventory import InventoryHost
from skoopctl.prepare.node import Node, meet
from skoopctl.prepare.package_manager import Inventory, Manager
from skoopctl.prepare.record import Prepared, Record
from skoopctl.prepare.row import RefusedError, Row, State, of_error
from skoopctl.prepare.session import CHANGE_S, session


@dataclass(frozen=True, slots=True)
class _Plan:
    """What would go, and by which commands. ``still`` maps what is on record to the id that it has by now."""

    entry: Prepared
    commands: tuple[tuple[str, ...], ...]
    still: Mapping[str, str]

    @property
    def packages(self) -> tuple[str, ...]:
        """The ids that would go."""
        return tuple(sorted(set(self.still.values())))


def plan(host: InventoryHost, record: Record, *, forget: bool) -> Row:
    """Say what would be removed from a node; it is only looked at.

    What somebody else has removed meanwhile is no longer ours: with ``forget``, the record says so from now on.
    """
    try:
        if not record.of_node(host.name):
            return _nothing(host.name)
        with session(host) as open_session:
            node = meet(host.name, open_session)
            found = _plan(node, _entry(node, record))
            if forget:
                known = (*found.entry.packages, *found.entry.pending)
                record.removed(found.entry, tuple(each for each in known if each not in found.still))
            return _planned(node, found) if found.still else _nothing(host.name)
    except SkoopError as error:
        return of_error(host.name, error)


def clean(host: InventoryHost, shown: Row, record: Record) -> Row:
    """Remove what ``shown`` has promised, and nothing if it would be anything else by now."""
    try:
        with session(host) as open_session:
            node = meet(host.name, open_session)
            found = _plan(node, _entry(node, record))
            if _planned(node, found) != shown:
                raise RefusedError("something else than was shown would happen by now; nothing was done")
            return _clean(node, found, record)
    except SkoopError as error:
        return of_error(host.name, error)


def _entry(node: Node, record: Record) -> Prepared:
    entry = record.find(node.name, node.machine_id)
    if entry is None:
        raise RefusedError(
            "this is another machine than the one of this name that was prepared",
            hint=f"if that one is gone for good, take it out of {record.path}",
        )
    return entry


def _plan(node: Node, entry: Prepared) -> _Plan:
    """Return what is left to remove. Raises when anything else would go along."""
    there = node.installed()
    still = _still_there(node.manager, entry, there)
    ours = sorted(set(still.values()))
    commands = _commands(node.manager, ours, entry.configured) if ours else ()
    names = {there.packages[identity] for identity in ours}
    for command in commands:
        would = node.simulate(command)
        others = sorted((would.gone | would.new | would.replaced) - names)
        if others:
            raise RefusedError(
                f"removing {', '.join(sorted(names))} would also change {', '.join(others[:5])}, "
                "which skoopctl has not installed",
                hint="somebody uses it by now: keep it, or remove both by hand",
            )
    return _Plan(entry, tuple(node.session.as_root(command) for command in commands), still)


def _still_there(manager: Manager, entry: Prepared, there: Inventory) -> dict[str, str]:
    """Return the id that each package on record has now. An update gives it a new one; a kernel's parts stay apart."""
    by_name: dict[str, list[str]] = {}
    for identity, name in there.packages.items():
        by_name.setdefault(name, []).append(identity)
    still = {}
    for recorded in entry.packages:
        now = by_name.get(manager.name_of(recorded), [])
        if recorded in there.packages:
            still[recorded] = recorded
        elif len(now) == 1 and not recorded.startswith("kernel"):
            still[recorded] = now[0]
    for name in entry.pending:
        if len(by_name.get(name, [])) == 1:
            still[name] = by_name[name][0]
    return still


def _commands(manager: Manager, ours: list[str], configured: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Settings go too, but for packages whose settings were there before."""
    kept = [name for name in ours if manager.purge is None or name in configured]
    purged = [name for name in ours if name not in kept]
    found = [manager.remove(kept)] if kept else []
    if manager.purge is not None and purged:
        found.append(manager.purge(purged))
    return tuple(found)


def _nothing(node: str) -> Row:
    return Row(node, State.NOTHING, "nothing is there that skoopctl has installed")


def _planned(node: Node, found: _Plan) -> Row:
    detail = f"{node.os}, {node.manager.name}: {len(found.packages)} packages that skoopctl has installed"
    return Row(node.name, State.PLANNED, detail, found.packages, found.commands)


def _clean(node: Node, found: _Plan, record: Record) -> Row:
    """Run the commands, look what is gone, and forget just that."""
    complaint = ""
    for command in found.commands:
        said = node.session.run(command, CHANGE_S)
        if said.status != 0:
            complaint = said.complaint
            break
    after = node.installed()
    gone = tuple(recorded for recorded, now in found.still.items() if now not in after.packages)
    record.removed(found.entry, gone)
    left = sorted(set(found.packages) & set(after.packages))
    if left:
        detail = f"{', '.join(left)} is still there: {complaint or 'nobody said why'}"
        return Row(node.name, State.FAILED, detail, found.packages, found.commands)
    return Row(
        node.name, State.DONE, f"{len(found.packages)} packages removed", found.packages, found.commands
    )
