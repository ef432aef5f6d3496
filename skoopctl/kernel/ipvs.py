"""IPVS: virtual services, their real servers, and the templates that keep a client at one of them.

Three forms are read: generic netlink (`kernel/netlink/ipvs.py`), ``/proc/net/ip_vs`` and what
``ipvsadm -S -n`` prints. The file in ``/proc`` has all that decides where a packet goes, but for a service's
scheduler flags and its servers' thresholds and tunnels (net/netfilter/ipvs/ip_vs_ctl.c: ip_vs_info_seq_show).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from skoopctl.kernel.address import IPAddress

TCP, UDP, SCTP = 6, 17, 132
PROTOCOLS = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}


class Forwarding(StrEnum):
    """How a packet gets to a real server (IP_VS_CONN_F_FWD_MASK), in the words of ``/proc/net/ip_vs``."""

    MASQ = "Masq"
    LOCAL = "Local"
    TUNNEL = "Tunnel"
    ROUTE = "Route"
    BYPASS = "Bypass"


@dataclass(frozen=True, slots=True)
class RealServer:
    """One destination of a service. ``weight`` 0 takes no new connections.

    ``port`` 0 keeps the packet's. ``upper`` and ``lower`` are the thresholds of connections (0: none); they are
    None where they were not read. ``tunnel`` is ``ipip``, ``gue`` or ``gre``.
    """

    ip: IPAddress
    port: int
    forwarding: Forwarding = Forwarding.MASQ
    weight: int = 1
    active: int = 0
    inactive: int = 0
    upper: int | None = None
    lower: int | None = None
    tunnel: str = "ipip"

    @property
    def overloaded(self) -> bool | None:
        """Whether the server is over its threshold; None when that cannot be told.

        The flag is set at ``upper`` connections and taken away below ``lower``, or below three quarters of
        ``upper`` (ip_vs_conn.c: ip_vs_bind_dest, ip_vs_unbind_dest); between the two it depends on the past.
        """
        if not self.upper:
            return False
        total = self.active + self.inactive
        if total >= self.upper:
            return True
        floor = self.lower or self.upper * 3 // 4
        return False if total < floor else None


@dataclass(frozen=True, slots=True)
class VirtualService:
    """One service: an address and port, or a firewall mark (``fwmark``; the rest is 0 then).

    ``flags`` are ``ops`` and the scheduler's (``sh-fallback``, ``sh-port``, ``mh-fallback``, ``mh-port``);
    ``persistent_s`` is the timeout of its templates, 0 without persistence; ``netmask`` what of a client's
    address they look at. ``damaged`` is set where a server of it could not be read.
    """

    family: int
    protocol: int
    ip: int
    port: int
    scheduler: str
    fwmark: int = 0
    flags: frozenset[str] = frozenset()
    persistent_s: int = 0
    netmask: int = 0
    servers: tuple[RealServer, ...] = ()
    damaged: bool = False

    @property
    def key(self) -> tuple[int, ...]:
        """What the kernel finds the service by (ip_vs_svc_hashkey, ip_vs_svc_fwm_hashkey)."""
        return (self.family, self.fwmark) if self.fwmark else (self.family, self.protocol, self.ip, self.port)


@dataclass(frozen=True, slots=True)
class Template:
    """A client that is kept at one server: a persistent service's memory (``/proc/net/ip_vs_conn``).

    ``protocol`` is 0 and ``vip`` the mark for a service by firewall mark; ``vport`` is 0 for one of all ports.
    """

    protocol: int
    client: int
    vip: int
    vport: int
    server: IPAddress
    port: int
    expires_s: int = 0


@dataclass(frozen=True, slots=True)
class Ipvs:
    """IPVS of one namespace. ``templates`` is None when they were not read."""

    services: tuple[VirtualService, ...] = ()
    templates: tuple[Template, ...] | None = ()


@dataclass(frozen=True, slots=True)
class IpvsDump:
    """Services that were read, and why some are missing (empty: none are)."""

    services: tuple[VirtualService, ...]
    problem: str = ""


def netmask_of(raw: int, family: int) -> int:
    """Return the mask of a client's address: IPv4's own, or for IPv6 from a prefix length."""
    if family == 4:
        return raw
    return ((1 << 128) - 1) ^ ((1 << (128 - min(raw, 128))) - 1)


def merged(
    listed: tuple[VirtualService, ...], asked: tuple[VirtualService, ...]
) -> tuple[VirtualService, ...]:
    """Return the services of ``/proc``, each as netlink tells it where it did."""
    known = {service.key: service for service in asked}
    sixes = {service.fwmark for service in asked if service.family == 6 and service.fwmark}
    # /proc does not tell the family of a service by mark that has no servers.
    services = [
        known.pop(service.key, service)
        for service in listed
        if service.key in known or service.servers or service.fwmark not in sixes
    ]
    return (*services, *known.values())
