"""Remedies at devices: links that are down, neighbours, forwarding entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address

from skoopctl.checks.cause import Cause
from skoopctl.checks.remedies.registry import Remedy, key_of, proposes, steps_of
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane import edit
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Branch, Step, StepKind
from skoopctl.kernel.link import BridgePort, Link
from skoopctl.kernel.neighbour import FdbEntry, Neighbour, NeighbourState


@proposes(
    "link-down", "neighbour-unreachable", "bridge-port-closed", "tunnel-not-listening", "address-nowhere"
)
def set_up(cause: Cause, branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Set the devices up that are down near the end of the way."""
    seen = set()
    keys = [key_of(cause.step), *(key_of(step) for step in steps_of(branch))]
    view = cause.step.before
    owner = snapshot.owner(view.destination) if view is not None else None
    if owner is not None:
        keys.append(owner)
    for key in dict.fromkeys(keys):
        for link in snapshot.netns(key).links.values():
            if not link.up and not link.loopback and (key, link.index) not in seen:
                seen.add((key, link.index))
                yield Remedy(
                    f"set {link.name} up on {key[0]}",
                    key,
                    _up_with_peer(link),
                    (f"ip link set dev {link.name} up",),
                )


def _up_with_peer(link: Link) -> edit.Change:
    return edit.with_link_up(link.index)


@proposes("hairpin-off")
def hairpin(cause: Cause, _branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Turn hairpin on for the port."""
    key, device = key_of(cause.step), cause.step.device
    link = snapshot.netns(key).link_named(device)
    if link is None:
        return
    port = replace(link.port or BridgePort(), hairpin=True)
    yield Remedy(
        f"turn hairpin on for {device} on {key[0]}",
        key,
        edit.with_link(link.index, lambda found: replace(found, port=port)),
        (f"bridge link set dev {device} hairpin on",),
    )


@proposes("wrong-mac", "vxlan-neighbour-missing", "neighbour-unreachable", "fdb-entry-missing")
def neighbour(_cause: Cause, branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Write the neighbour entry that the last routed device needs, from what its owner really has."""
    for step in reversed(list(steps_of(branch))):
        if step.kind is not StepKind.ROUTE or not step.device:
            continue
        key = key_of(step)
        netns = snapshot.netns(key)
        link = netns.link_named(step.device)
        gateway = _gateway(step)
        if link is None or not gateway:
            continue
        mac = _mac_of(gateway, link, key, snapshot)
        if mac is None or any(
            n.index == link.index and str(n.ip) == gateway and n.mac == mac for n in netns.neighbours
        ):
            continue
        text = f"{gateway} dev {link.name} lladdr {mac} PERMANENT"
        entry = Neighbour(link.index, ip_address(gateway), mac, NeighbourState.PERMANENT, text=text)
        yield Remedy(
            f"write the neighbour entry of {gateway} on {link.name} of {key[0]}",
            key,
            edit.with_neighbour(entry),
            (f"ip neigh replace {gateway} lladdr {mac} dev {link.name} nud permanent",),
        )


def _gateway(step: Step) -> str:
    """Return the next hop of a routing step: its gateway, else the packet's destination."""
    words = step.decision.split()
    if "via" in words:
        return words[words.index("via") + 1]
    return step.before.destination if step.before is not None else ""


def _mac_of(address: str, link: Link, asking: NsKey, snapshot: Snapshot) -> str | None:
    """Return the MAC address of whoever has an address: the same VXLAN's device first."""
    for host in snapshot.hosts.values():
        for netns in host.namespaces.values():
            if (host.name, netns.inode) == asking:
                continue
            for held in netns.addresses:
                device = netns.links.get(held.index)
                if str(held.ip) != address or device is None:
                    continue
                if (link.vxlan is None) == (device.vxlan is None):
                    return device.mac
    return None


@proposes("fdb-entry-missing", "fdb-entry-wrong", "wrong-mac", "no-listener", "tunnel-not-listening")
def forwarding_entry(_cause: Cause, branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Write the VXLAN forwarding entry for the peer's device."""
    for step in steps_of(branch):
        netns = snapshot.netns(key_of(step))
        link = netns.link_named(step.device) if step.device else None
        if step.kind is not StepKind.NEIGHBOUR and step.kind is not StepKind.ENCAPSULATE:
            continue
        if link is None or link.vxlan is None:
            continue
        for peer_link, remote in _vxlan_peers(link, step.node, snapshot):
            known = any(
                e.index == link.index and e.mac == peer_link.mac and str(e.remote) == remote
                for e in netns.fdb
            )
            if not known:
                entry = FdbEntry(
                    link.index,
                    peer_link.mac,
                    is_self=True,
                    permanent=True,
                    remote=ip_address(remote),
                    text=f"{peer_link.mac} dev {link.name} dst {remote} self permanent",
                )
                yield Remedy(
                    f"write the forwarding entry for {remote} on {link.name} of {step.node}",
                    key_of(step),
                    edit.with_fdb(entry),
                    (f"bridge fdb replace {peer_link.mac} dev {link.name} dst {remote} self permanent",),
                )


def _vxlan_peers(link: Link, node: str, snapshot: Snapshot) -> Iterable[tuple[Link, str]]:
    """Yield the other hosts' devices of the same VXLAN, with their underlay addresses."""
    for host in snapshot.hosts.values():
        if host.name == node:
            continue
        for other in host.root_netns.links.values():
            same = other.vxlan is not None and link.vxlan is not None and other.vxlan.vni == link.vxlan.vni
            if same and other.vxlan is not None and other.vxlan.local:
                yield other, other.vxlan.local
