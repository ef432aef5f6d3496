"""Sockets that receive: TCP listeners and bound UDP sockets (``/proc/net/tcp`` and its kin)."""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.kernel.address import IPAddress


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket that could take a packet from anybody.

    ``protocol`` is ``tcp``, ``udp`` or ``sctp``. An IPv6 wildcard socket takes IPv4 too unless ``IPV6_V6ONLY`` is
    set, which ``/proc`` does not tell: ``dual_stack`` is None then.
    """

    protocol: str
    ip: IPAddress
    port: int
    dual_stack: bool | None = False
    text: str = ""
