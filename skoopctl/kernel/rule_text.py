"""Write policy rules as ``ip rule`` prints them (iproute2: ip/iprule.c, print_rule)."""

from __future__ import annotations

from skoopctl.kernel.address import IPNetwork
from skoopctl.kernel.route import PolicyRule, RuleAction
from skoopctl.kernel.route_text import PROTOCOLS, TABLE_NAMES, realms_text

_KERNEL = 2
_IP_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}


def render_rule(rule: PolicyRule, protocol: int = 0, detached: tuple[bool, bool] = (False, False)) -> str:
    """Return the line of one rule.

    ``protocol`` is who added it (RTPROT_*); ``detached`` tells of its in and out device whether it is gone.
    """
    words = [f"{rule.priority}:\t{'not ' if rule.invert else ''}from {_network(rule.source)}"]
    words += _selectors(rule, detached)
    words += _action(rule) if rule.action is RuleAction.TABLE else []
    words += ["realms", realms_text(rule.realms)] if rule.realms else []
    words += _action(rule) if rule.action is not RuleAction.TABLE else []
    words += [f"({name})" for name in rule.undecoded]
    if protocol not in {0, _KERNEL}:
        words += ["proto", PROTOCOLS.get(protocol, str(protocol))]
    return " ".join(words)


def _selectors(rule: PolicyRule, detached: tuple[bool, bool]) -> list[str]:
    words: list[str] = []
    if rule.destination is not None:
        words += ["to", _network(rule.destination)]
    if rule.tos:
        words += ["tos", f"0x{rule.tos:02x}"]
    if rule.fwmark or rule.fwmask:
        mask = "" if rule.fwmask == 0xFFFFFFFF else f"/{rule.fwmask:#x}"
        words += ["fwmark", f"{rule.fwmark:#x}{mask}"]
    for name, device, gone in (("iif", rule.iif, detached[0]), ("oif", rule.oif, detached[1])):
        if device:
            words += [name, device, *(["[detached]"] if gone else [])]
    words += ["lookup", "[l3mdev-table]"] if rule.l3mdev else []
    if rule.ip_protocol:
        words += ["ipproto", _IP_PROTOCOLS.get(rule.ip_protocol, str(rule.ip_protocol))]
    for name, ports in (("sport", rule.source_ports), ("dport", rule.destination_ports)):
        if ports is not None:
            low, high = ports
            words += [name, str(low) if low == high else f"{low}-{high}"]
    return words + _rare_selectors(rule)


def _rare_selectors(rule: PolicyRule) -> list[str]:
    words = [] if rule.uids is None else ["uidrange", f"{rule.uids[0]}-{rule.uids[1]}"]
    words += ["tun_id", str(rule.tun_id)] if rule.tun_id else []
    if rule.dscp is not None:
        wanted, mask = rule.dscp
        words += ["dscp", str(wanted) if mask == 0x3F else f"{wanted:#x}/{mask:#x}"]
    return words


def _action(rule: PolicyRule) -> list[str]:
    if rule.action is RuleAction.TABLE:
        words = ["lookup", TABLE_NAMES.get(rule.table, str(rule.table))] if rule.table else []
        if rule.suppress_prefixlength >= 0:
            words += ["suppress_prefixlength", str(rule.suppress_prefixlength)]
        if rule.suppress_ifgroup >= 0:
            words += ["suppress_ifgroup", str(rule.suppress_ifgroup)]
        return words
    if rule.action is RuleAction.GOTO:
        return ["goto", str(rule.goto)]
    return [rule.action.value]


def _network(network: IPNetwork | None) -> str:
    if network is None:
        return "all"
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)
