"""Connections that a node's kernel tracked when it was asked: what may still decide where a packet goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skoopctl.kernel.address import IPAddress

TCP_STATES = (
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
)
"""``enum tcp_conntrack`` in order."""


@dataclass(frozen=True, slots=True)
class Direction:
    """One half of a connection: the tuple of its packets, and the zone in which they are looked up.

    Ports are 0 for protocols without; ICMP's id stands in both.
    """

    source: IPAddress
    destination: IPAddress
    source_port: int
    destination_port: int
    zone: int = 0


@dataclass(frozen=True, slots=True)
class Connection:
    """One entry, as ``conntrack -L`` shows it. ``tcp_state`` is empty for other protocols.

    ``seen_reply`` is false while nobody has answered (``[UNREPLIED]``); ``source_nat`` and ``destination_nat``
    are the status bits: IPVS changes the reply's tuple without setting any.
    """

    protocol: int
    original: Direction
    reply: Direction
    seen_reply: bool = False
    assured: bool = False
    source_nat: bool = False
    destination_nat: bool = False
    tcp_state: str = ""
    mark: int = 0
    timeout_s: int = 0

    @property
    def text(self) -> str:
        """The entry in the words of ``conntrack -L``."""
        name = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}.get(self.protocol, "unknown")
        words = [name, str(self.protocol), str(self.timeout_s), *([self.tcp_state] if self.tcp_state else [])]
        for way, answered in ((self.original, self.seen_reply), (self.reply, True)):
            words += [f"src={way.source}", f"dst={way.destination}"]
            words += [f"sport={way.source_port}", f"dport={way.destination_port}"]
            words += [] if answered else ["[UNREPLIED]"]
        words += ["[ASSURED]"] if self.assured else []
        return " ".join([*words, f"mark={self.mark}", *self._zones()])

    def _zones(self) -> list[str]:
        there, back = self.original.zone, self.reply.zone
        named = {"zone": there} if there == back else {"zone-orig": there, "zone-reply": back}
        return [f"{name}={zone}" for name, zone in named.items() if zone]


@dataclass(frozen=True, slots=True)
class ConnectionTable:
    """The entries that were read. ``complete`` is false where some were left out; ``detail`` says why."""

    entries: tuple[Connection, ...] = ()
    complete: bool = True
    detail: str = ""
    by_pair: Mapping[tuple[int, int, int], tuple[Connection, ...]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def between(self, protocol: int, source: int, destination: int) -> tuple[Connection, ...]:
        """Return the entries whose packets go from one address to the other, in their original direction."""
        return self.by_pair.get((protocol, source, destination), ())


def connection_table(
    entries: tuple[Connection, ...], *, complete: bool = True, detail: str = ""
) -> ConnectionTable:
    """Make a table with its index."""
    found: dict[tuple[int, int, int], list[Connection]] = {}
    for entry in entries:
        key = (entry.protocol, int(entry.original.source), int(entry.original.destination))
        found.setdefault(key, []).append(entry)
    return ConnectionTable(entries, complete, detail, {key: tuple(same) for key, same in found.items()})
