"""Which namespace of B is which of A: by what lasts, never by inodes, which change with every start."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from skoopctl.changes.model import CLUSTER
from skoopctl.kernel.netns import NetNamespace


@dataclass(frozen=True, slots=True)
class Named:
    """A namespace, what people call it, and its pod as ``namespace/name`` ('' for none)."""

    netns: NetNamespace
    label: str
    pod: str = ""


@dataclass(slots=True)
class Pairs:
    """Namespaces of one host that are on both sides, and those that are on one."""

    both: list[tuple[Named, Named]] = field(default_factory=list)
    only_a: list[Named] = field(default_factory=list)
    only_b: list[Named] = field(default_factory=list)


def _root(named: Named) -> Hashable:
    return CLUSTER if named.netns.is_host else None


def _uid(named: Named) -> Hashable:
    return named.netns.pod_uids[0] if named.netns.pod_uids else None


def _pod(named: Named) -> Hashable:
    return named.pod or None


def _names(named: Named) -> Hashable:
    return named.netns.names or None


def _addresses(named: Named) -> Hashable:
    lasting = {a.ip for a in named.netns.addresses if not (a.ip.is_loopback or a.ip.is_link_local)}
    return frozenset(lasting) or None


def _label(named: Named) -> Hashable:
    return named.label


_WAYS: tuple[Callable[[Named], Hashable], ...] = (_root, _uid, _pod, _names, _addresses, _label)
"""How a namespace is known again, the surest first. None says nothing."""


def pair_namespaces(a: list[Named], b: list[Named]) -> Pairs:
    """Pair the namespaces of one host. A key that several have on one side pairs none of them."""
    found = Pairs()
    left, right = list(a), list(b)
    for way in _WAYS:
        ours, theirs = _unique(left, way), _unique(right, way)
        met = [(ours[key], theirs[key]) for key in ours if key in theirs]
        found.both += met
        gone = {id(named) for pair in met for named in pair}
        left = [named for named in left if id(named) not in gone]
        right = [named for named in right if id(named) not in gone]
    found.only_a, found.only_b = left, right
    return found


def _unique(all_named: list[Named], way: Callable[[Named], Hashable]) -> dict[Hashable, Named]:
    found: dict[Hashable, Named] = {}
    twice: set[Hashable] = set()
    for named in all_named:
        key = way(named)
        if key is None:
            continue
        if key in found:
            twice.add(key)
        found[key] = named
    return {key: named for key, named in found.items() if key not in twice}
