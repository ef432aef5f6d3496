"""What a node is, as far as packages go: its distribution, its kernel, its identity, and what is installed."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from skoopctl.errors import UnsupportedError
from skoopctl.evidence.untrusted import printable
from skoopctl.prepare.package_manager import MANAGERS, Inventory, Manager
from skoopctl.prepare.packages import Family, family_of
from skoopctl.prepare.session import Session
from skoopctl.prepare.transaction import Transaction

_LOOK = ("sh", "-c", "cat /etc/os-release; echo @; uname -r; echo @; cat /etc/machine-id")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._:~^-]*")
"""What a package can be called; never an option of a command line."""
_MACHINE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Node:
    """One machine, met through a session. ``name`` is the inventory's."""

    name: str
    os: str
    release: str
    machine_id: str
    family: Family
    manager: Manager
    session: Session

    def installed(self) -> Inventory:
        """Return what is installed now."""
        said = self.session.run(self.manager.listing)
        if said.status != 0:
            raise UnsupportedError(self.name, f"its packages cannot be listed: {said.complaint}")
        return self.manager.read_listing(said.stdout)

    def simulate(self, words: tuple[str, ...]) -> Transaction:
        """Return what a command that changes the node would do; nothing is changed."""
        said = self.session.run(self.session.as_root(self.manager.simulated(words)))
        found = self.manager.read(said.stdout)
        told = found.new | found.gone | found.replaced
        if said.status not in self.manager.simulation_ends or (said.status and not told):
            raise UnsupportedError(
                self.name,
                f"{self.manager.name} refuses: {printable(said.complaint)}",
                hint="its lists of packages may be old: have them read anew on the node",
            )
        wrong = [name for name in told if not _PACKAGE.fullmatch(name)]
        if wrong:
            raise UnsupportedError(
                self.name, f"{self.manager.name} names {printable(wrong[0], 60)!r}: no package"
            )
        return found


def meet(name: str, session: Session) -> Node:
    """Find out what a node is, and that we are root there."""
    said = session.run(_LOOK)
    parts = [part.strip() for part in said.stdout.split("@\n")]
    if len(parts) != 3 or not _MACHINE_ID.fullmatch(parts[2]):
        raise UnsupportedError(
            name,
            "it has no /etc/machine-id, by which it could be known again",
            hint="make one there: systemd-machine-id-setup",
        )
    release = _os_release(parts[0])
    family = family_of([release.get("ID", ""), *release.get("ID_LIKE", "").split()])
    if family is None:
        raise UnsupportedError(
            name, f"the distribution {printable(release.get('ID', 'without ID'), 40)!r} is not known here"
        )
    session.check_root()
    os = printable(release.get("PRETTY_NAME", family.name), 80)
    return Node(name, os, parts[1], parts[2], family, MANAGERS[family.manager], session)


def _os_release(text: str) -> dict[str, str]:
    """Read os-release(5): shell assignments, quoted or not; a line that is none is skipped."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if not equals or name.startswith("#"):
            continue
        try:
            found[name.strip()] = "".join(shlex.split(value))
        except ValueError:
            continue
    return found
