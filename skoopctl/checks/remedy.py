"""Counterfactuals: change one thing near the failure, walk again, and propose what makes the flow pass.

A remedy is found from the step that ended the packet's way. It is *checked* when the model, edited so, gives
PASS; one that does not is offered only when nothing better is known, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network

from skoopctl.checks.cause import Cause
from skoopctl.checks.finding import Fix
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane import edit
from skoopctl.dataplane.path import walk
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Branch, Evidence, Flow, PathResult, Step, StepKind, Verdict
from skoopctl.kernel.link import BridgePort, Link
from skoopctl.kernel.neighbour import FdbEntry, Neighbour, NeighbourState
from skoopctl.kernel.netns import NetNamespace
from skoopctl.kernel.route import TABLE_MAIN, NextHop, Route


@dataclass(frozen=True, slots=True)
class Remedy:
    """One change to one namespace, with the commands that would make it on the node."""

    summary: str
    key: NsKey
    change: edit.Change
    commands: tuple[str, ...]


UNSEARCHED = {
    "not-decided": "what is unknown cannot be mended in the model: collect it, or look at the named place",
    "opaque-program": "what a program of eBPF does is not in the model; only its owner can say",
    "node-not-collected": "nothing is known of that node",
    "evidence-incomplete": "what was not read cannot be edited",
    "unreadable-rules": "the rules are not known",
    "service-without-endpoints": "an endpoint is a pod that is ready, which no edit of a node's state makes",
    "source-range-refused": "the ranges are the service's, which kube-proxy would write again",
    "stale-endpoint": "kube-proxy writes these rules: it must run and reach the API server",
    "no-local-endpoint": "the traffic policy is the service's, and its endpoints are pods elsewhere",
    "service-port-unknown": "the ports are the service's",
    "no-protocol": "loading a module is outside of the model",
    "arp-rules": "no rule for ARP is in the model",
    "dummy-device": "where the route should lead is not known here",
    "dumps-apart": "it is about the evidence, not about the nodes",
    "foreign-rules": "it says that they are there, and breaks nothing by itself",
    "neighbour-table-full": "how large the table should be depends on the node's memory",
    "rule-names-missing": "it is about the evidence: collect again",
    "rule-unreadable": "it is about the evidence: what the rule says is not known",
    "rules-changed": "it is about the evidence: collect again",
    "same-wire": "two devices on one lower device need another design, not a setting",
    "two-iptables": "which of the two should go is the owner's to say",
    "vlan-not-allowed": "which VLAN the port should be in is the owner's to say",
    "xt-without-arguments": "it is about the evidence: iptables-save has to show the table again",
    "conntrack-table-full": "how large the table should be depends on the node's memory",
    "ipvs-loopback-source": "no setting lets IPVS send packets of 127.0.0.0/8 elsewhere",
    "ipvs-no-server": "a server is an endpoint that is ready, which no edit of a node's state makes",
    "mtu-mismatch": "the flow passes; which of the MTUs is the wrong one is the owner's to say",
    "tunnel-loop": "the route to the remote belongs to whoever configured the tunnel",
    "tunnel-remote-missing": "which node is behind the destination is not told by this one's state",
    "wireguard-endpoint-missing": "where a peer can be reached is its own to say",
    "wireguard-key-unknown": "which of two keys is the right one is not known here",
    "wireguard-no-peer": "who may hold the destination is the owner's to say: allowed IPs are also a filter",
    "wireguard-source-refused": "allowed IPs filter on purpose; who may use the source is the owner's to say",
    "link-local-source": "which address the sender should have is not known here",
}
"""Causes that no edit of the model is searched for, with the reason. Others have a proposer, and `nearby`."""

Proposer = Callable[[Cause, Branch, Snapshot], Iterable[Remedy]]
_PROPOSERS: dict[str, list[Proposer]] = {}


def proposes(*causes: str) -> Callable[[Proposer], Proposer]:
    """Register a proposer for causes by their finding ids."""

    def register(proposer: Proposer) -> Proposer:
        for cause in causes:
            _PROPOSERS.setdefault(cause, []).append(proposer)
        return proposer

    return register


MAX_WALKS = 64
"""A search ends after this many edits were walked: what is near the failure comes first."""


def fix_for(
    cause: Cause, branch: Branch, flow: Flow, client: NsKey | None, snapshot: Snapshot, before: PathResult
) -> Fix | None:
    """Return the first remedy that makes the flow pass, else the first that was thought of, unchecked.

    The cause's own remedies come first; then, for a flow that fails for certain, single edits of what the packets
    met on their way, the last step first: those are offered only when they are checked.
    """
    fallback: Fix | None = None
    own = [(proposer, True) for proposer in _PROPOSERS.get(cause.id, ())]
    near = [] if before.verdict is Verdict.UNKNOWN or cause.id in UNSEARCHED else [(nearby, False)]
    tried: set[tuple[NsKey, str]] = set()
    for proposer, offered in (*own, *near):
        for remedy in proposer(cause, branch, snapshot):
            if (remedy.key, remedy.summary) in tried:
                continue
            if len(tried) >= MAX_WALKS:
                return fallback
            tried.add((remedy.key, remedy.summary))
            after = _walk_with(remedy, flow, client, snapshot)
            if after.verdict is Verdict.PASS or _better(before, after):
                return _fix(remedy, checked=True, rest=_rest(after), snapshot=snapshot)
            if offered:
                fallback = fallback or _fix(remedy, checked=False, rest="", snapshot=snapshot)
    return fallback


def _walk_with(remedy: Remedy, flow: Flow, client: NsKey | None, snapshot: Snapshot) -> PathResult:
    hosts = edit.edit_netns(snapshot.hosts, remedy.key, remedy.change)
    return walk(snapshot.network_of(hosts), flow, client)


def _better(before: PathResult, after: PathResult) -> bool:
    """Of several broken branches one remedy may mend only its own."""
    return _working(after) > _working(before) + 1e-9 and after.verdict is not Verdict.UNKNOWN


def _working(path: PathResult) -> float:
    return sum(branch.weight for branch in path.branches if branch.works)


def _rest(after: PathResult) -> str:
    if after.verdict is Verdict.PASS:
        return ""
    share = _working(after)
    return f" (then {share:.0%} of connections pass; the others fail for other reasons)"


def _fix(remedy: Remedy, *, checked: bool, rest: str, snapshot: Snapshot) -> Fix:
    netns = snapshot.netns(remedy.key)
    commands = tuple(_inside(netns, command) for command in remedy.commands)
    return Fix(remedy.summary + rest, remedy.key[0], commands, checked)


def _inside(netns: NetNamespace, command: str) -> str:
    """Prefix a command with the way into the namespace that it is for."""
    if netns.is_host:
        return command
    if netns.pid:
        return f"nsenter -t {netns.pid} -n {command}"
    return f"ip netns exec {netns.names[0]} {command}" if netns.names else command


def _key(step: Step) -> NsKey:
    return step.node, step.netns


# --- firewall rules ------------------------------------------------------------------------------------------


@proposes("netfilter-drop", "netfilter-reject", "ndp-filtered", "arp-filtered")
def delete_rule(cause: Cause, _branch: Branch, _snapshot: Snapshot) -> Iterable[Remedy]:
    """Delete the rule that decided, or give the chain another policy."""
    if not cause.evidence:
        return
    last = cause.evidence[-1]
    key = (last.node, last.netns)
    if cause.id == "ndp-filtered":
        yield from _accept_discovery(last, key)
    yield from _without(last, key, _family(cause.step))


@proposes("ttl-exceeded")
def keep_ttl(cause: Cause, branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Delete a rule that sets the TTL, in any namespace that the packets passed."""
    family = _family(cause.step)
    for key in dict.fromkeys(_key(step) for step in _steps(branch)):
        tables = [table for table in snapshot.netns(key).iptables if table.family == family]
        rules = (rule for table in tables for chain in table.chains.values() for rule in chain.rules)
        for rule in rules:
            if rule.target is not None and rule.target.name in {"TTL", "HL"}:
                place = f"{rule.table} {rule.chain} rule {rule.number}"
                shown = Evidence("iptables-rule", rule.text, place, node=key[0], netns=key[1])
                yield _iptables_rule(shown, key, family)


def _family(step: Step) -> int:
    """Return the IP family of the packet at a step."""
    view = step.before or step.after
    return 6 if view is not None and ":" in view.source + view.destination else 4


def _without(item: Evidence, key: NsKey, family: int) -> Iterable[Remedy]:
    """Take one rule away, or let one policy accept."""
    if item.kind == "iptables-rule":
        yield _iptables_rule(item, key, family)
    elif item.kind == "iptables-policy":
        yield _iptables_policy(item, key, family)
    elif item.kind == "nft-rule":
        yield _nft_rule(item, key)
    elif item.kind == "nft-policy":
        yield _nft_policy(item, key)


def _accept_discovery(last: Evidence, key: NsKey) -> Iterable[Remedy]:
    """Let neighbour discovery in before the rule that drops it: better than to open the chain."""
    if not last.kind.startswith("iptables"):
        return
    left = last.location.removesuffix(" policy").partition(" rule ")[0]
    table, _, chain = left.rpartition(" ")
    if table != "filter" or chain not in {"INPUT", "OUTPUT"}:
        return
    rule = f"{chain} -p ipv6-icmp -j ACCEPT"
    yield Remedy(
        f"accept ICMPv6 in {chain} on {key[0]}",
        key,
        edit.with_first_rule(6, chain, f"-A {rule}"),
        (f"ip6tables -I {rule}",),
    )


def _iptables_rule(last: Evidence, key: NsKey, family: int = 4) -> Remedy:
    table, chain, number = _rule_place(last.location)
    stem = "iptables" if family == 4 else "ip6tables"
    binary = f"{stem}-legacy" if "(legacy)" in last.location else stem
    spec = last.text.replace("-A ", "-D ", 1)
    return Remedy(
        f"delete rule {number} of {chain} (table {table}) on {key[0]}",
        key,
        edit.without_rule(last.text, table, chain, number),
        (f"{binary} -t {table} {spec}",),
    )


def _rule_place(location: str) -> tuple[str, str, int]:
    """Read ``filter INPUT rule 1 (legacy)``."""
    left, _, rest = location.partition(" rule ")
    table, _, chain = left.rpartition(" ")
    return table, chain, int(rest.split(" ")[0])


def _iptables_policy(last: Evidence, key: NsKey, family: int = 4) -> Remedy:
    table, chain = last.location.removesuffix(" policy").split(" ", 1)
    return Remedy(
        f"let {chain} (table {table}) on {key[0]} accept by default",
        key,
        edit.with_policy(table, chain, "ACCEPT"),
        (f"{'iptables' if family == 4 else 'ip6tables'} -t {table} -P {chain} ACCEPT",),
    )


def _nft_rule(last: Evidence, key: NsKey) -> Remedy:
    left, _, rest = last.location.partition(" rule ")
    family, table, chain = left.split(" ", 2)
    number = rest.split(" ")[0]
    handle = int(rest.rpartition("handle ")[2].rstrip(")"))
    return Remedy(
        f"delete rule {number} of chain {chain} (nft table {family} {table}) on {key[0]}",
        key,
        edit.without_nft_rule(family, table, chain, handle),
        (f"nft delete rule {family} {table} {chain} handle {handle}",),
    )


def _nft_policy(last: Evidence, key: NsKey) -> Remedy:
    family, table, chain = last.location.removesuffix(" policy").split(" ", 2)
    return Remedy(
        f"let chain {chain} (nft table {family} {table}) on {key[0]} accept by default",
        key,
        edit.with_nft_policy(family, table, chain),
        (f"nft chain {family} {table} {chain} '{{ policy accept; }}'",),
    )


# --- sysctls -------------------------------------------------------------------------------------------------


def _sysctl_remedy(key: NsKey, values: Mapping[str, str], snapshot: Snapshot) -> Remedy:
    dotted = snapshot.netns(key).sysctls.dotted
    settings = [f"{dotted(path)}={value}" for path, value in values.items()]
    return Remedy(
        f"set {' and '.join(settings)} on {key[0]}",
        key,
        edit.with_sysctls(values),
        tuple(f"sysctl -w {setting}" for setting in settings),
    )


@proposes("forwarding-off")
def forward(cause: Cause, _branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Turn forwarding on for the device that the packet came in on."""
    if _family(cause.step) == 6:
        yield _sysctl_remedy(_key(cause.step), {"net/ipv6/conf/all/forwarding": "1"}, snapshot)
        return
    device = cause.step.device
    values = {f"net/ipv4/conf/{device}/forwarding": "1"}
    netns = snapshot.netns(_key(cause.step))
    if netns.sysctls.integer("net/ipv4/ip_forward") == 0:
        everywhere = {
            path: "1" for path in netns.sysctls.values if path.endswith("/forwarding") and "ipv4" in path
        }
        yield Remedy(
            f"set net.ipv4.ip_forward=1 on {cause.step.node}",
            _key(cause.step),
            edit.with_sysctls({"net/ipv4/ip_forward": "1", **everywhere}),
            ("sysctl -w net.ipv4.ip_forward=1",),
        )
    yield _sysctl_remedy(_key(cause.step), values, snapshot)


@proposes("rp-filter")
def loosen(cause: Cause, _branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Make the reverse path filter loose."""
    values = {f"net/ipv4/conf/{cause.step.device}/rp_filter": "2"}
    yield _sysctl_remedy(_key(cause.step), values, snapshot)


@proposes("martian")
def localnet(cause: Cause, _branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Let loopback addresses in; IPv6 has no such setting."""
    if _family(cause.step) == 6:
        return
    values = {f"net/ipv4/conf/{cause.step.device}/route_localnet": "1"}
    yield _sysctl_remedy(_key(cause.step), values, snapshot)


@proposes("answer-not-translated", "answer-lost", "own-source")
def bridge_netfilter(_cause: Cause, branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Let bridged packets meet conntrack."""
    for step in _steps(branch):
        if step.kind is StepKind.BRIDGE:
            name = "iptables" if _family(step) == 4 else "ip6tables"
            yield _sysctl_remedy(_key(step), {f"net/bridge/bridge-nf-call-{name}": "1"}, snapshot)
            return


@proposes("echo-ignored", "ipv6-disabled")
def off(cause: Cause, _branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Turn the sysctl off that decided."""
    for item in cause.evidence:
        path = item.location.translate(str.maketrans("./", "/."))
        key = item.node, item.netns
        if item.kind == "sysctl" and snapshot.netns(key).sysctls.integer(path):
            yield _sysctl_remedy(key, {path: "0"}, snapshot)


def _steps(branch: Branch) -> Iterable[Step]:
    return (step for walked in branch.walks for step in walked.steps)


# --- links, neighbours, forwarding entries -------------------------------------------------------------------


@proposes(
    "link-down", "neighbour-unreachable", "bridge-port-closed", "tunnel-not-listening", "address-nowhere"
)
def set_up(cause: Cause, branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Set the devices up that are down near the end of the way."""
    seen = set()
    keys = [_key(cause.step), *(_key(step) for step in _steps(branch))]
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
    key, device = _key(cause.step), cause.step.device
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
    for step in reversed(list(_steps(branch))):
        if step.kind is not StepKind.ROUTE or not step.device:
            continue
        key = _key(step)
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
    for step in _steps(branch):
        netns = snapshot.netns(_key(step))
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
                    _key(step),
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


# --- routes --------------------------------------------------------------------------------------------------


@proposes("blackhole-route", "pod-route-wrong")
def delete_route(cause: Cause, _branch: Branch, _snapshot: Snapshot) -> Iterable[Remedy]:
    """Delete the route that won, or the policy rule that chose it."""
    for item in cause.evidence:
        if item.kind == "route":
            yield _without_route(item)
            break
    yield from (_without_policy_rule(item) for item in cause.evidence if item.kind == "policy-rule")


def _without_route(line: Evidence) -> Remedy:
    table = line.location.removeprefix("table ")
    suffix = "" if table == "main" or " table " in line.text else f" table {table}"
    return Remedy(
        f"delete the route '{line.text}' on {line.node}",
        (line.node, line.netns),
        edit.without_route(line.text),
        (f"ip route del {line.text}{suffix}",),
    )


def _without_policy_rule(line: Evidence) -> Remedy:
    priority, _, said = line.text.partition(":")
    family = "-6 " if ":" in said else ""
    return Remedy(
        f"delete the policy rule {priority} on {line.node}",
        (line.node, line.netns),
        edit.without_policy_rule(line.text),
        (f"ip {family}rule del pref {priority}{said.replace(chr(9), ' ')}",),
    )


# --- whatever is near ----------------------------------------------------------------------------------------


def nearby(_cause: Cause, branch: Branch, _snapshot: Snapshot) -> Iterable[Remedy]:
    """Take away, one at a time, the rules and routes that the packets met, the last step first."""
    for walked in reversed(branch.walks):
        for step in reversed(walked.steps):
            for item in reversed(step.evidence):
                key = (item.node, item.netns)
                if item.kind in _WITHOUT_TABLES:
                    yield from _without(item, key, _family(step))
                elif item.kind == "policy-rule":
                    yield _without_policy_rule(item)
                elif (
                    item.kind == "route" and item.location == "table main" and "proto kernel" not in item.text
                ):
                    yield _without_route(item)


_WITHOUT_TABLES = frozenset({"iptables-rule", "nft-rule"})


@proposes("no-route", "pod-route-missing", "pod-route-wrong", "blackhole-route")
def add_route(cause: Cause, branch: Branch, snapshot: Snapshot) -> Iterable[Remedy]:
    """Add the route that leads to the owner of the destination, as the network plugin would write it."""
    key = _key(cause.step)
    view = cause.step.before or cause.step.after
    destination = view.destination if view is not None else ""
    owner = snapshot.owner(destination) if destination else None
    if not snapshot.netns(key).is_host:
        yield from _default_of_pod(key, _family(cause.step), snapshot)
        return
    if owner is None or owner[0] == key[0]:
        return
    yield from _to_peer(key, destination, owner[0], snapshot)
    del branch


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


_EVERYTHING = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}


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
