"""What happens to a packet next: each layer does its part and names the next one, which `travel` calls.

So no layer knows the others, a way through forty hops is a loop and not a recursion, and every place that a
packet can be in is a row in one table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from skoopctl.dataplane.packet import Packet
from skoopctl.dataplane.topology import Station
from skoopctl.kernel.link import Link
from skoopctl.kernel.netns import NetNamespace

if TYPE_CHECKING:
    from skoopctl.dataplane.frames.arp import Resolution


@dataclass(slots=True)
class Send:
    """A packet is born in a namespace; ``oif`` binds it to a device (0: any)."""

    netns: NetNamespace
    packet: Packet
    oif: int = 0


@dataclass(slots=True)
class Receive:
    """IP takes a packet in from a device.

    ``looped`` packets come from this namespace's own output and keep their route; ``prerouted`` ones met
    PREROUTING already, in the bridge (br_netfilter_hooks.c: ip_sabotage_in).
    """

    netns: NetNamespace
    link: Link
    packet: Packet
    looped: bool = False
    prerouted: bool = False
    in_port: Link | None = None


@dataclass(slots=True)
class Deliver:
    """A packet is for the namespace itself."""

    netns: NetNamespace
    link: Link
    packet: Packet


@dataclass(slots=True)
class Resend:
    """IPVS took a packet and sends it as if it were born here, by the route to ``towards``.

    ``tunnelled`` wraps it in a packet of its own.
    """

    netns: NetNamespace
    packet: Packet
    towards: int
    tunnelled: bool = False


@dataclass(slots=True)
class Output:
    """A packet goes to a next hop on a device."""

    netns: NetNamespace
    link: Link
    packet: Packet
    next_hop: int


@dataclass(slots=True)
class Ask:
    """A packet waits until its next hop's MAC address has been asked for."""

    netns: NetNamespace
    link: Link
    packet: Packet
    next_hop: int
    found: Resolution


@dataclass(slots=True)
class Transmit:
    """A packet goes out of a device to a next hop whose MAC address is known."""

    netns: NetNamespace
    link: Link
    packet: Packet
    next_hop: int
    found: Resolution


@dataclass(slots=True)
class Arrive:
    """A frame for ``mac`` comes in on a device; ``above_bridge``: on a bridge's own device, from its ports."""

    netns: NetNamespace
    link: Link
    packet: Packet
    mac: str
    above_bridge: bool = False


@dataclass(slots=True)
class Cross:
    """A frame goes through a veth pair."""

    station: Station
    peer: Station
    packet: Packet
    mac: str


@dataclass(slots=True)
class LeaveHost:
    """A frame leaves for the network between the hosts."""

    station: Station
    packet: Packet
    mac: str
    next_hop: int


@dataclass(slots=True)
class IntoBridge:
    """A frame comes in on a port of a bridge."""

    port: Station
    bridge: Station
    packet: Packet
    mac: str


@dataclass(slots=True)
class OutOfBridge:
    """The host itself sends out of its bridge."""

    bridge: Station
    packet: Packet
    mac: str
    next_hop: int


@dataclass(slots=True)
class Encapsulate:
    """A packet for ``mac`` (a frame) or ``next_hop`` (a packet) enters a tunnel."""

    netns: NetNamespace
    link: Link
    packet: Packet
    mac: str
    next_hop: int = 0


@dataclass(slots=True)
class Decapsulate:
    """A tunnel's outer packet has reached its end."""

    netns: NetNamespace
    link: Link
    packet: Packet


Move = (
    Send
    | Receive
    | Deliver
    | Resend
    | Output
    | Ask
    | Transmit
    | Arrive
    | Cross
    | LeaveHost
    | IntoBridge
    | OutOfBridge
    | Encapsulate
    | Decapsulate
)
