"""The question and the answer of a route lookup (include/net/flow.h: struct flowi; ip_fib.h: fib_result)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from skoopctl.dataplane.packet import NO_PORTS, Ports
from skoopctl.kernel.route import NextHop, PolicyRule, Route, RouteType


class Query(NamedTuple):
    """What a lookup asks. ``iif`` is ``lo`` for packets born here; ``oif`` restricts to one device (0: any).

    ``l3mdev`` is the ifindex of the VRF whose table is asked (0: that of ``oif`` or ``iif``, if it has one).
    ``any_link`` looks at hops whose device has no carrier too (FIB_LOOKUP_IGNORE_LINKSTATE).
    """

    destination: int
    family: int = 4
    source: int = 0
    iif: str = "lo"
    oif: int = 0
    mark: int = 0
    tos: int = 0
    protocol: int = 0
    source_ports: Ports = NO_PORTS
    destination_ports: Ports = NO_PORTS
    l3mdev: int = 0
    any_link: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one lookup.

    ``route`` is None when nothing matched, or when a policy rule itself refuses. ``hops`` are the usable next
    hops (several: multipath). ``doubt`` says why the answer may be wrong: a policy rule that nobody was asked
    about, a missing dump.
    """

    type: RouteType | None
    route: Route | None = None
    hops: tuple[NextHop, ...] = ()
    rule: PolicyRule | None = None
    doubt: str = ""
