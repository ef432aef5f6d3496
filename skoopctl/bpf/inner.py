"""What a packet of a tunnel carries: ``struct inner`` of bpf/tunnel.h. Nodes are not trusted."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from skoopctl.bpf.addresses import address_text
from skoopctl.errors import EvidenceError

INNER = struct.Struct("<I5B3xHH16s16s")
CARRIERS = {1: "VXLAN", 2: "GENEVE", 3: "GRE", 4: "IPIP"}
"""``enum carrier``. IPIP is IP in IP of either family: the protocols 4 and 41."""
_FRAGMENT, _WITH_ID = 1, 4


@dataclass(frozen=True, slots=True)
class Inner:
    """A packet inside another one. Ports in host order, 0 where they could not be read or there are none."""

    tunnel: str
    """A value of `CARRIERS`."""
    id: int | None
    """The VNI of VXLAN and Geneve, or GRE's key; None where the packet has none."""
    family: int
    """4 or 6."""
    protocol: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    tcp_flags: int
    fragment: bool
    """Whether it is a fragment other than the first, which has no ports."""


def inner_of(body: bytes, at: int) -> Inner | None:
    """Decode what stands at a place of a batch; None without a packet inside. `EvidenceError` when it is neither."""
    number, carrier, family, protocol, tcp_flags, flags, sport, dport, source, destination = (
        INNER.unpack_from(body, at)
    )
    if not carrier:
        return None
    if carrier not in CARRIERS or family not in {4, 6}:
        raise EvidenceError(f"a packet inside another has carrier {carrier} and family {family}")
    return Inner(
        tunnel=CARRIERS[carrier],
        id=number if flags & _WITH_ID else None,
        family=family,
        protocol=protocol,
        source=address_text(family, source),
        source_port=sport,
        destination=address_text(family, destination),
        destination_port=dport,
        tcp_flags=tcp_flags,
        fragment=bool(flags & _FRAGMENT),
    )
