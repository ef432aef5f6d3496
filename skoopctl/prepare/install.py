"""Installing: what is asked for and not there, and only if nothing that is there would change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skoopctl.errors import SkoopError
from skoopctl.inventory import InventoryHost
from skoopctl.prepare.node import Node, meet
from skoopctl.prepare.package_manager import Inventory
from skoopctl.prepare.packages import package_names
from skoopctl.prepare.record import Prepared, Record
from skoopctl.prepare.row import RefusedError, Row, State, of_error
from skoopctl.prepare.session import CHANGE_S, session


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one node would get: packages that are not there, by one command."""

    command: tuple[str, ...]
    new: tuple[str, ...]
    before: Inventory


def plan(host: InventoryHost, names: Sequence[str]) -> Row:
    """Say what would be installed on a node; it is only looked at."""
    try:
        with session(host) as open_session:
            node = meet(host.name, open_session)
            found = _plan(node, names)
            return _nothing(node) if found is None else _planned(node, found)
    except SkoopError as error:
        return of_error(host.name, error)


def install(host: InventoryHost, names: Sequence[str], shown: Row, record: Record) -> Row:
    """Install what ``shown`` has promised, and nothing if it would be anything else by now.

    What came is recorded, also when the package manager failed half way, or the connection broke.
    """
    try:
        with session(host) as open_session:
            node = meet(host.name, open_session)
            found = _plan(node, names)
            if found is None or _planned(node, found) != shown:
                raise RefusedError("something else than was shown would happen by now; nothing was done")
            return _install(node, found, record)
    except SkoopError as error:
        return of_error(host.name, error)


def _plan(node: Node, names: Sequence[str]) -> _Plan | None:
    """Return what there is to do; ``None`` when everything is there."""
    before = node.installed()
    try:
        wanted = package_names(node.family, names, node.release)
    except ValueError as error:
        raise RefusedError(str(error)) from None
    there = {*before.packages, *before.packages.values()}
    lacking = [name for name in wanted if name not in there]
    if not lacking:
        return None
    command = node.manager.install(lacking)
    would = node.simulate(command)
    touched = sorted(would.gone | would.replaced)
    if touched:
        raise RefusedError(
            f"installing {', '.join(lacking)} would also change {', '.join(touched[:5])}, which is there already",
            hint="bring the node up to date yourself first",
        )
    if not would.new and would.nothing:
        return None
    if not would.new:
        raise RefusedError(f"{node.manager.name} did not say what it would install")
    unknown = [name for name in lacking if name not in would.new]
    if node.manager.exact and unknown:
        raise RefusedError(
            f"{node.manager.name} has no package {unknown[0]}, and would take others in its place"
        )
    return _Plan(node.session.as_root(command), tuple(sorted(would.new)), before)


def _nothing(node: Node) -> Row:
    return Row(node.name, State.NOTHING, f"{node.os}: all of it is there already")


def _planned(node: Node, found: _Plan) -> Row:
    detail = f"{node.os}, {node.manager.name}: {len(found.new)} packages"
    return Row(node.name, State.PLANNED, detail, found.new, (found.command,))


def _install(node: Node, found: _Plan, record: Record) -> Row:
    """Run the command between two looks at what is installed; what is new in the second is ours."""
    entry = Prepared(node.name, node.machine_id, node.manager.name)
    there = set(found.before.packages.values())
    pending = tuple(name for name in found.new if name not in there)
    record.begin(entry, pending, tuple(sorted(found.before.configured & set(found.new))))
    try:
        said = node.session.run(found.command, CHANGE_S)
        after = node.installed()
    except SkoopError as error:
        text = f"it is not known how it ended; `skoopctl node clean` knows what may have come: {error}"
        return Row(node.name, State.FAILED, text, found.new, (found.command,))
    came = tuple(
        sorted(
            identity
            for identity, name in after.packages.items()
            if identity not in found.before.packages and name in found.new
        )
    )
    record.finish(entry, came, pending)
    if said.status != 0:
        return Row(node.name, State.FAILED, said.complaint, came, (found.command,))
    return Row(node.name, State.DONE, f"{len(came)} packages installed", came, (found.command,))
