"""The table of items: what rewrites the bytes of each. An item without a row is left out, never copied."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from struct import error as struct_error

from skoopctl.evidence.item import Item, ItemStatus
from skoopctl.evidence.redaction.host import (
    redact_identity,
    redact_namespaces,
    redact_nsids,
    redact_programs,
)
from skoopctl.evidence.redaction.iptables import redact_iptables
from skoopctl.evidence.redaction.nfnetlink import (
    redact_conntrack,
    redact_ipset,
    redact_ipvs,
    redact_wireguard,
)
from skoopctl.evidence.redaction.nft import redact_nft
from skoopctl.evidence.redaction.proc import (
    by_line,
    endpoint_line,
    recent_line,
    redact_modules,
    service_line,
    socket_line,
    sysctl_line,
    template_line,
)
from skoopctl.evidence.redaction.rtnetlink import redact_rtnetlink
from skoopctl.evidence.redaction.words import Redactor, UnredactableError

Rewriter = Callable[[bytes, Redactor], bytes]

_ROUTE_DUMPS = (
    *("link", "addr", "route", "rule", "neigh", "neigh-proxy", "fdb", "bridge-vlan", "qdisc", "nexthop"),
    "tc-filter",
)
_RULES = ("iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy")
_SOCKETS = ("proc-net-tcp", "proc-net-tcp6", "proc-net-udp", "proc-net-udp6")

REWRITERS: Mapping[str, Rewriter] = {
    "identity": redact_identity,
    "namespaces": redact_namespaces,
    "modules": redact_modules,
    "nsid": redact_nsids,
    **dict.fromkeys(_ROUTE_DUMPS, redact_rtnetlink),
    "sysctl": by_line(sysctl_line),
    **dict.fromkeys(_SOCKETS, by_line(socket_line)),
    "proc-net-sctp-eps": by_line(endpoint_line),
    "bpf": redact_programs,
    "ip_vs": by_line(service_line),
    "ip_vs_conn": by_line(template_line),
    "ipvs": redact_ipvs,
    "wireguard": redact_wireguard,
    "conntrack": redact_conntrack,
    "xt-recent": by_line(recent_line),
    "ipset": redact_ipset,
    **dict.fromkeys(_RULES, redact_iptables),
    "nft": redact_nft,
}
"""What rewrites an item, by its name."""

WITH_RANGES = frozenset({*_RULES, "nft", "ipset"})
"""Items that may hold ranges of addresses, which the permutation of addresses must know beforehand."""

LEFT_OUT = "redacted: "
"""How the detail of an item begins that a redacted bundle does not hold."""


def redact_item(item: Item, redactor: Redactor) -> Item:
    """Return an item with other bytes; one that cannot be redacted is absent, and its detail says why."""
    detail = redactor.prose(item.detail)
    if not item.payload:
        return replace(item, detail=detail)
    rewrite = REWRITERS.get(item.name)
    if rewrite is None:
        return _left_out(item, f"this skoopctl cannot redact the item {item.name}")
    try:
        return replace(item, detail=detail, payload=rewrite(item.payload, redactor))
    except UnredactableError as problem:
        return _left_out(item, str(problem))
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError, struct_error):
        return _left_out(item, "it could not be read")


def _left_out(item: Item, why: str) -> Item:
    return replace(item, status=ItemStatus.ABSENT, payload=b"", detail=f"{LEFT_OUT}{why}")
