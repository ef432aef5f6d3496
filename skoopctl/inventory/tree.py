"""Groups and hosts as written, with the place of everything: what every form of inventory is read into."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from skoopctl.errors import InventoryError
from skoopctl.inventory import variables
from skoopctl.inventory.values import VariableError


class Place(NamedTuple):
    """A line of a file (1-based; 0 when there are no lines to name)."""

    path: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else self.path

    def error(self, message: str, *, hint: str = "") -> InventoryError:
        """Return an error that names this place."""
        return InventoryError(message, path=self.path, line=self.line, hint=hint)


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: the checked value, the value as it stands in the file, and where."""

    value: object
    written: object
    place: Place


def read_setting(name: str, written: object, place: Place, folder: Path, what: str) -> Setting:
    """Check one variable; relative paths start at ``folder``, ``what`` says whose variable it is."""
    try:
        return Setting(variables.read(name, written, folder), written, place)
    except VariableError as error:
        raise place.error(f"{what}: {error}", hint=error.hint) from None


@dataclass(slots=True)
class Group:
    """One group, put together from every place that mentions it."""

    name: str
    place: Place
    defined: bool = False
    hosts: dict[str, None] = field(default_factory=dict)
    variables: dict[str, Setting] = field(default_factory=dict)
    children: dict[str, Place] = field(default_factory=dict)
    """Names of child groups, and the place that says so."""


@dataclass(slots=True)
class Tree:
    """All groups of a source, what is written beside each host's own name, and what people should be told."""

    groups: dict[str, Group] = field(default_factory=dict)
    hosts: dict[str, dict[str, Setting]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def group(self, name: str, place: Place) -> Group:
        """Return a group, which is new when nobody has named it."""
        return self.groups.setdefault(name, Group(name, place))

    def add_host(self, name: str, group: str, settings: dict[str, Setting], port: Setting | None) -> None:
        """Put a host into a group, with the settings beside its name and the port behind it.

        One host in two places of one source may say the same twice; a contradiction is an error. Ansible takes
        ``name:port`` only where it meets the host first, and is silent later: that is an error too.
        """
        if port is not None:
            known = self.hosts.get(name)
            if known is not None and "ansible_port" not in known and "ansible_port" not in settings:
                raise port.place.error(
                    f"host {name!r} was named before without port {port.value}",
                    hint=f"write ansible_port: {port.value} beside the host",
                )
            settings = {"ansible_port": port, **settings}
        self.groups[group].hosts[name] = None
        known = self.hosts.setdefault(name, {})
        for variable, setting in settings.items():
            before = known.get(variable)
            if before is not None and before.value != setting.value:
                raise _contradiction(name, variable, before, setting)
            known[variable] = setting

    def merge(self, later: Tree) -> None:
        """Add a source that was named later: what it says wins, and what decides a login is noted."""
        for name, group in later.groups.items():
            mine = self.group(name, group.place)
            mine.defined |= group.defined
            mine.hosts |= group.hosts
            mine.variables |= group.variables
            mine.children = group.children | mine.children
        for name, settings in later.hosts.items():
            known = self.hosts.setdefault(name, {})
            self.notes += [
                f"host {name!r}: {variable} of {setting.place} replaces that of {known[variable].place}"
                for variable, setting in settings.items()
                if variable in variables.HONOURED
                and variable in known
                and known[variable].value != setting.value
            ]
            known |= settings
        self.notes += later.notes


def _contradiction(host: str, variable: str, before: Setting, now: Setting) -> InventoryError:
    same_file = before.place.path == now.place.path
    there = f"in line {before.place.line}" if same_file else f"in {before.place}"
    if variable in variables.HONOURED:
        what = f"has {variable} {now.written!r} here, but {before.written!r} {there}"
    else:  # its value may be anything, also a secret
        what = f"has another {variable} here than {there}"
    return now.place.error(
        f"host {host!r} {what}",
        hint="write a host's settings once, or give the second host another name",
    )
