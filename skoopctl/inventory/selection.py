"""A loaded inventory, and the host patterns that choose from it.

The pattern language is Ansible's (``lib/ansible/inventory/manager.py``): names, groups, globs, ``~regex``,
ranges ``node[01:50]``, subscripts ``group[0]`` and ``group[0:2]`` (inclusive), joined by ``,`` or ``:``, with
``!x`` for "not x" and ``&x`` for "and also x"; ``@file`` holds a pattern a line. Unlike in Ansible, a name that
matches nothing is an error (a typing mistake must not quietly shrink what is looked at), and globs do not match
the group ``all``.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from skoopctl.errors import InventoryError
from skoopctl.inventory.host import InventoryHost
from skoopctl.inventory.pattern import Piece, pieces_of
from skoopctl.inventory.ranges import RANGE, RangeError, expand
from skoopctl.inventory.tree import Place

_SUBSCRIPT = r"^(?P<base>.+)\[(?P<first>-?\d+)(?:(?P<colon>:)(?P<last>-?\d*))?\]$"


class _PatternError(ValueError):
    """A piece of a pattern chooses nothing; ``hint`` names what there is."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


_CHANGES = {"": set.update, "&": set.intersection_update, "!": set.difference_update}
"""What each sign does to the chosen hosts, in Ansible's order: add, keep, take away."""


@dataclass(frozen=True, slots=True)
class Branch:
    """What stands directly below a group."""

    groups: tuple[str, ...]
    hosts: tuple[str, ...]


NO_BRANCHES: Mapping[str, Branch] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Inventory:
    """Hosts in the order of the file, and the names of all groups (also empty ones)."""

    name: str
    path: str
    hosts: tuple[InventoryHost, ...]
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What a person should be told once, each a line: nothing of it is a mistake for certain."""
    branches: Mapping[str, Branch] = field(default_factory=lambda: NO_BRANCHES, hash=False)
    """What stands below each group, from ``all`` down."""

    def select(self, pattern: str | None) -> tuple[InventoryHost, ...]:
        """Return the hosts that ``pattern`` chooses, in the order of the file; ``None`` is all of them."""
        if pattern is None:
            return self.hosts
        pieces = pieces_of(pattern)
        if not pieces:
            raise self._error(None, self._no_match(pattern, "is empty"))
        chosen: set[str] = set() if any(not piece.sign for piece in pieces) else self._everybody()
        for sign, change in _CHANGES.items():
            for piece in pieces:
                if piece.sign == sign:
                    change(chosen, self._members_of(piece))
        if not chosen:
            raise self._error(None, self._no_match(pattern, "leaves no host"))
        return tuple(host for host in self.hosts if host.name in chosen)

    def _members_of(self, piece: Piece) -> set[str]:
        try:
            return self._members(piece.text)
        except _PatternError as error:
            raise self._error(piece.place, error) from None

    def _error(self, place: Place | None, error: _PatternError) -> InventoryError:
        """Return an error that names the inventory, or the line of the file of patterns."""
        return (place or Place(self.path)).error(str(error), hint=error.hint)

    def _everybody(self) -> set[str]:
        return {host.name for host in self.hosts}

    def _members(self, piece: str) -> set[str]:
        """Return the host names that one piece, without ``!`` or ``&``, stands for."""
        if piece in {"all", "*"}:
            return self._everybody()
        subscript = re.match(_SUBSCRIPT, piece)
        if subscript and (subscript["base"] in self.groups or set("*?") & set(subscript["base"])):
            return self._subscripted(piece, self._named(subscript["base"]), subscript)
        if re.search(RANGE, piece) and not piece.startswith("~"):
            return self._ranged(piece)
        if found := self._named(piece):
            return found
        if piece in self.groups:
            raise self._no_match(piece, "is a group without hosts")
        raise self._no_match(piece, "matches no host or group")

    def _named(self, text: str) -> set[str]:
        """Match a name, group, glob or regular expression against hosts and their groups."""
        matches = _matcher(text)
        if matches is None:
            raise self._no_match(text, "is not a regular expression")
        return {
            host.name for host in self.hosts if matches(host.name) or any(matches(g) for g in host.groups)
        }

    def _subscripted(self, piece: str, members: set[str], subscript: re.Match[str]) -> set[str]:
        ordered = [host.name for host in self.hosts if host.name in members]
        first = int(subscript["first"])
        if subscript["colon"] is None:
            picked = ordered[first:][:1] if -len(ordered) <= first else []
        elif subscript["last"]:
            last = int(subscript["last"])
            picked = ordered[first : None if last == -1 else last + 1]
        else:
            picked = ordered[first:]
        if not picked:
            raise self._no_match(piece, f"asks for more than the {len(ordered)} hosts there are")
        return set(picked)

    def _ranged(self, piece: str) -> set[str]:
        try:
            names = expand(piece)
        except RangeError as error:
            raise self._no_match(piece, f"is not understood: {error}") from None
        found: set[str] = set()
        for name in names:
            members = self._named(name)
            if not members:
                raise self._no_match(name, "matches no host or group")
            found |= members
        return found

    def _no_match(self, piece: str, what: str) -> _PatternError:
        import difflib  # noqa: PLC0415 - only a mistake needs it

        known = [host.name for host in self.hosts] + list(self.groups)
        near = difflib.get_close_matches(piece.lstrip("!&"), known, n=1)
        if near:
            hint = f"did you mean {near[0]!r}?"
        else:
            shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
            hint = f"there are: {shown}"
        return _PatternError(f"host pattern {piece!r} {what}", hint)


def _matcher(text: str) -> Callable[[str], object] | None:
    try:
        return re.compile(text[1:] if text.startswith("~") else fnmatch.translate(text)).match
    except re.error:
        return None
