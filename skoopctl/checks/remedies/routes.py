"""Remedies in routing: a route or policy rule taken away, the route that a plugin would write."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from skoopctl.checks.cause import Cause
from skoopctl.checks.remedies.registry import Remedy, family_of, key_of, proposes
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane import edit
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Branch, Evidence
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import TABLE_MAIN, NextHop, Route

_EVERYTHING = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


@proposes("blackhole-route", "pod-route-wrong")
def delete_route(cause: Cause, _branch: Branch, _snapshot: Snapshot) -> Iterable[Remedy]:
    """Delete the route that won, or the policy rule that chose it."""
    for item in cause.evidence:
        if item.kind == "route":
            yield without_route(item)
            break
    yield from (without_policy_rule(item) for item in cause.evidence if item.kind == "policy-rule")


def without_route(line: Evidence) -> Remedy:
    """Delete a route, by the line that shows it."""
    table = line.location.removeprefix("table ")
    suffix = "" if table == "main" or " table " in line.text else f" table {table}"
    return Remedy(
        f"delete the route '{line.text}' on {line.node}",
        (line.node, line.netns),
        edit.without_route(line.text),
        (f"ip route del {line.text}{suffix}",),
    )


def without_policy_rule(line: Evidence) -> Remedy:
    """Delete a policy rule, by the line that shows it."""
    priority, _, said = line.text.partition(":")
    family = "-6 " if ":" in said else ""
    return Remedy(
        f"delete the policy rule {priority} on {line.node}",
        (line.node, line.netns),
        edit.without_policy_rule(line.text),
        (f"ip {family}rule del pref {priority}{said.replace(chr(9), ' ')}",),
    )


@proposes("no-route", "pod-route-missing", "pod-route-wrong", "blackhole-route")
def add_route(cause: Cause, _branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Add the route that leads to the owner of the destination, as the network plugin would write it."""
    key = key_of(cause.step)
    view = cause.step.before or cause.step.after
    destination = view.destination if view is not None else ""
    owner = snapshot.owner(destination) if destination else None
    if not snapshot.netns(key).is_host:
        yield from _default_of_pod(key, family_of(cause.step), snapshot)
        return
    if owner is None or owner[0] == key[0]:
        return
    yield from _to_peer(key, destination, owner[0], snapshot)


def _default_of_pod(key: NsKey, family: int, snapshot: Snapshot) -> Iterable[Remedy]:
    """A pod's default route: the bridge's address in the pod's subnet."""
    netns, host = snapshot.netns(key), snapshot.hosts[key[0]].root_netns
    for address in netns.addresses:
        if address.ip.is_loopback or address.ip.is_link_local or address.ip.version != family:
            continue
        subnet = ip_network(f"{address.ip}/{address.prefixlen}", strict=False)
        gateways = [a.ip for a in host.addresses if a.ip in subnet and a.ip != address.ip]
        if gateways:
            hop = NextHop(address.index, gateways[0])
            device = netns.links[address.index].name
            text = f"default via {gateways[0]} dev {device}"
            yield Remedy(
                f"add the pod's default route via {gateways[0]}",
                key,
                edit.with_route(Route(TABLE_MAIN, _EVERYTHING[family], next_hops=(hop,), text=text)),
                (f"ip route add {text}",),
            )


def _to_peer(key: NsKey, destination: str, peer: str, snapshot: Snapshot) -> Iterable[Remedy]:
    """A node's route to a peer's pods: over the VXLAN device if both have one, else by the peer's address."""
    netns, other = snapshot.netns(key), snapshot.hosts[peer].root_netns
    subnet = _pod_subnet(destination, other)
    pairs = [
        (mine, theirs)
        for mine in netns.links.values()
        for theirs in other.links.values()
        if mine.vxlan and theirs.vxlan and mine.vxlan.vni == theirs.vxlan.vni
    ]
    for mine, theirs in pairs:
        version = ip_network(subnet).version
        held = (a.ip for a in other.addresses if a.index == theirs.index and not a.ip.is_link_local)
        gateway = next((ip for ip in held if ip.version == version), None)
        if gateway is None:
            continue
        text = f"{subnet} via {gateway} dev {mine.name} onlink"
        hop = NextHop(mine.index, gateway, onlink=True)
        change = edit.with_route(Route(TABLE_MAIN, ip_network(subnet), next_hops=(hop,), text=text))
        summary = f"add the route to {subnet} on {key[0]}"
        commands: tuple[str, ...] = (f"ip route replace {text}",)
        if not mine.up:
            change = _both(edit.with_link_up(mine.index), change)
            summary = f"set {mine.name} up and {summary}"
            commands = (f"ip link set dev {mine.name} up", *commands)
        yield Remedy(summary, key, change, commands)
    yield from _over_underlay(key, subnet, other, snapshot)


def _both(first: edit.Change, second: edit.Change) -> edit.Change:
    return lambda netns: second(first(netns))


def _over_underlay(key: NsKey, subnet: str, other: NetNamespace, snapshot: Snapshot) -> Iterable[Remedy]:
    netns = snapshot.netns(key)
    for mine in netns.addresses:
        network = ip_network(f"{mine.ip}/{mine.prefixlen}", strict=False)
        family = ip_network(subnet).version
        if mine.ip.is_loopback or mine.ip.version != family or network.max_prefixlen - network.prefixlen < 2:
            continue
        gateway = next((a.ip for a in other.addresses if a.ip in network and a.ip != mine.ip), None)
        if gateway is not None:
            text = f"{subnet} via {gateway} dev {netns.links[mine.index].name}"
            route = Route(
                TABLE_MAIN, ip_network(subnet), next_hops=(NextHop(mine.index, gateway),), text=text
            )
            yield Remedy(
                f"add the route to {subnet} on {key[0]}",
                key,
                edit.with_route(route),
                (f"ip route replace {text}",),
            )


def _pod_subnet(destination: str, netns: NetNamespace) -> str:
    """Return the range that the peer itself routes for the destination, else the address alone."""
    address = ip_address(destination)
    fitting = [
        r.destination
        for r in netns.routes
        if r.table == TABLE_MAIN
        and r.destination.version == address.version
        and 0 < r.destination.prefixlen < r.destination.max_prefixlen
        and address in r.destination
    ]
    return str(max(fitting, key=lambda n: n.prefixlen)) if fitting else str(ip_network(destination))
