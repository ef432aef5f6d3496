"""From a branch that fails to the finding that names its cause.

The walk says where and how the packet ended; here that is put together with what the cluster knows: that a
reject rule means a service without endpoints, that a packet on the default route should have gone to a pod.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Confidence, Finding, Where
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Branch, Disposition, Evidence, Step, StepKind, Walk


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a branch fails: a finding's id, the step that shows it, and words of its own."""

    id: str
    step: Step
    summary: str
    evidence: tuple[Evidence, ...]
    likely: bool = False


_NO_ENDPOINTS = "has no endpoints"
_NO_SERVER = "it has no server"
_STRAY = frozenset({"forwarding-off", "neighbour-unreachable", "no-route", "routing-loop", "answer-lost"})


def cause_of(branch: Branch, snapshot: Snapshot) -> Cause:
    """Return the cause of a branch that fails."""
    walk = branch.fatal_walk
    step = walk.last
    old = _old_connection(branch)
    if old is not None:
        return _stale(old, step)
    if walk.disposition in {Disposition.UNKNOWN, Disposition.OPAQUE}:
        return Cause(step.cause or "not-decided", step, step.decision, step.evidence)
    if step.cause in {"netfilter-drop", "netfilter-reject"}:
        return _rule(walk, step)
    if step.cause == "ipvs-no-server" and step.decision.endswith(_NO_SERVER):
        return Cause("service-without-endpoints", step, _sentence(walk, step), step.evidence)
    if not step.cause and walk.disposition is Disposition.EXITS_CLUSTER and walk is branch.forward:
        return _left(walk, step, snapshot)
    if step.cause in _STRAY or not step.cause:
        return _strayed(walk, step, snapshot)
    if step.cause == "wrong-mac" or _mac_of_nobody(step, snapshot):
        return _wrong_mac(walk, step, snapshot)
    if step.cause == "no-listener" and _is_stale(step, snapshot):
        return _strayed(walk, step, snapshot)
    return Cause(step.cause, step, _sentence(walk, step), step.evidence)


def _old_connection(branch: Branch) -> Evidence | None:
    """Return the entry of conntrack's table that took the request before any rule was asked."""
    return next((e for step in branch.forward.steps for e in step.evidence if e.kind == "conntrack"), None)


def _stale(old: Evidence, step: Step) -> Cause:
    fields = dict(word.split("=", 1) for word in reversed(old.text.split()) if "=" in word)
    goal = old.text.split("src=")[-1].split()[0]
    summary = (
        f"Packets from port {fields['sport']} of {fields['src']} follow an old connection on {old.node}, "
        f"to {goal}: {step.decision}"
    )
    return Cause("stale-conntrack", step, summary, (old, *step.evidence))


def finding_of(cause: Cause, *, is_cause: bool = True) -> Finding:
    """Return the finding of a cause, without its fix."""
    doc = DOCS[cause.id]
    namespace = cause.step.namespace
    return Finding(
        id=cause.id,
        severity=doc.severity,
        where=Where(cause.step.node, namespace),
        summary=cause.summary,
        evidence=cause.evidence,
        why=doc.why,
        confidence=Confidence.LIKELY if cause.likely else Confidence.CERTAIN,
        cause=is_cause,
    )


def packet_words(walk: Walk, step: Step) -> str:
    """Name the packet: ``VXLAN packets from 192.168.3.87``, or ``the SYN from 10.244.3.70``."""
    view = step.before or step.after
    if view is None:
        return f"the {walk.label}"
    if view.encapsulates:
        return f"{_tunnel_of(walk)} packets from {view.source}"
    return f"the {walk.label} from {view.source} to {view.destination}"


def _tunnel_of(walk: Walk) -> str:
    """Return the name of the innermost tunnel that the packet is in: the first word of how it was wrapped."""
    wrapped = (s.decision for s in reversed(walk.steps) if s.kind is StepKind.ENCAPSULATE and s.ends is None)
    return next(wrapped, "VXLAN").split(" ")[0]


def _place(step: Step) -> str:
    return step.node if step.namespace == "host" else f"{step.namespace} on {step.node}"


def _sentence(walk: Walk, step: Step) -> str:
    subject = packet_words(walk, step)
    return f"On {_place(step)}, {subject}: {step.decision}"


def _rule(walk: Walk, step: Step) -> Cause:
    """A rule's verdict: kube-proxy's own rules have a meaning of their own."""
    last = step.evidence[-1] if step.evidence else None
    text = " ".join(e.text for e in step.evidence)
    subject = packet_words(walk, step)
    if last is None:
        return Cause(step.cause, step, _sentence(walk, step), step.evidence)
    if _NO_ENDPOINTS in last.text or "no-endpoint" in text:
        name = last.text.split('"')[1].removesuffix(f" {_NO_ENDPOINTS}") if '"' in last.text else ""
        subject = f"The service {name}" if name else "The service"
        return Cause("service-without-endpoints", step, f"{subject} has no ready endpoints", step.evidence)
    if "KUBE-PROXY-FIREWALL" in last.location or "firewall-" in last.location:
        summary = f"The source {_source(step)} is outside the service's loadBalancerSourceRanges"
        return Cause("source-range-refused", step, summary, step.evidence)
    if "cluster-ips-check" in last.location:
        view = step.before
        port = f"{view.protocol} port {view.destination_port}" if view else "this port"
        destination = view.destination if view else ""
        return Cause(
            "service-port-unknown", step, f"The cluster IP {destination} has no {port}", step.evidence
        )
    verb = "drops" if step.cause == "netfilter-drop" else "rejects"
    policy = last.kind.endswith("policy")
    what = f"The policy of {last.location.removesuffix(' policy')}" if policy else _rule_words(last)
    summary = f"{what} on {_place(step)} {verb} {subject}"
    if step.unknown:
        return Cause("not-decided", step, f"{summary}, which is not certain: {step.unknown}", step.evidence)
    return Cause(step.cause, step, summary, step.evidence)


def _rule_words(evidence: Evidence) -> str:
    """Turn ``filter INPUT rule 1`` into ``Rule 1 of INPUT (table filter)``."""
    left, _, rest = evidence.location.partition(" rule ")
    table, _, chain = left.rpartition(" ")
    number = rest.split(" ")[0]
    return f"Rule {number} of {chain} (table {table})" if number else evidence.location


def _source(step: Step) -> str:
    return step.before.source if step.before else ""


# --- packets that ended where they should never have gone ---------------------------------------------------


def _strayed(walk: Walk, step: Step, snapshot: Snapshot) -> Cause:
    """A packet that ended at a stranger's: find out where it should have gone."""
    view = step.before or step.after
    destination = view.destination if view and not view.encapsulates else ""
    identity = snapshot.cluster.whois(destination) if destination else None
    if identity is not None and identity.kind.value == "service":
        return _untranslated(walk, step, destination, snapshot)
    owner = snapshot.owner(destination) if destination else None
    if owner is not None and owner != (step.node, step.netns):
        misrouted = _misrouted(walk, step, destination, owner, snapshot)
        if misrouted is not None:
            return misrouted
    if owner is None and destination and _was_translated(walk):
        summary = f"{_translated_from(walk)} leads to {destination}, and nothing collected has that address"
        return Cause("stale-endpoint", step, summary, (*_nat_evidence(walk), *step.evidence), likely=True)
    if (
        owner is None
        and destination
        and destination not in snapshot.uncollected
        and _in_pod_range(destination, snapshot)
    ):
        summary = f"No pod has the address {destination}"
        return Cause("address-nowhere", step, summary, step.evidence)
    if not step.cause:
        summary = f"The answer does not come back to the client: it ends on {_place(step)} ({step.decision})"
        return Cause("answer-lost", step, summary, step.evidence)
    identifier = step.cause
    if identifier == "neighbour-unreachable" and _is_tunnel(step, snapshot):
        identifier = "vxlan-neighbour-missing"
    return Cause(identifier, step, _sentence(walk, step), step.evidence)


def _left(walk: Walk, step: Step, snapshot: Snapshot) -> Cause:
    """The request left what was collected: a mistake if it was for the cluster, else nobody here knows more."""
    strayed = _strayed(walk, step, snapshot)
    if strayed.id != "answer-lost":
        return strayed
    summary = f"{_sentence(walk, step)}: whether an answer comes back is not known"
    return Cause("not-decided", step, summary, step.evidence)


def _wrong_mac(walk: Walk, step: Step, snapshot: Snapshot) -> Cause:
    """A frame for somebody else: out of a tunnel, the forwarding entry may have named the wrong node."""
    sent = next((s for s in reversed(walk.steps) if s.kind is StepKind.ENCAPSULATE), None)
    entry = next((e for e in sent.evidence if e.kind == "fdb"), None) if sent is not None else None
    if sent is not None and entry is not None:
        mac = entry.text.split(" ")[0]
        owner = _vxlan_host(mac, snapshot)
        if owner not in {"", step.node}:
            summary = f"The forwarding entry of {sent.node} for {mac} leads to {step.node}, not to {owner}"
            return Cause("fdb-entry-wrong", sent, summary, (entry, *step.evidence))
    return Cause("wrong-mac", step, _sentence(walk, step), step.evidence)


def _mac_of_nobody(step: Step, snapshot: Snapshot) -> bool:
    """Tell whether a bridge has no port for a MAC address because no device anywhere has it."""
    if step.kind is not StepKind.BRIDGE or not step.decision.startswith("no port of"):
        return False
    mac = step.decision.split()[-1]
    spaces = (netns for host in snapshot.hosts.values() for netns in host.namespaces.values())
    return all(link.mac != mac for netns in spaces for link in netns.links.values())


def _vxlan_host(mac: str, snapshot: Snapshot) -> str:
    """Return the host whose VXLAN device has a MAC address, or ''."""
    for host in snapshot.hosts.values():
        if any(link.vxlan is not None and link.mac == mac for link in host.root_netns.links.values()):
            return host.name
    return ""


def _is_stale(step: Step, snapshot: Snapshot) -> bool:
    view = step.before
    return view is not None and snapshot.owner(view.destination) is None


def _is_tunnel(step: Step, snapshot: Snapshot) -> bool:
    link = snapshot.netns((step.node, step.netns)).link_named(step.device)
    return link is not None and link.vxlan is not None


def _untranslated(walk: Walk, step: Step, destination: str, snapshot: Snapshot) -> Cause:
    """A service's address that no rule translated."""
    view = step.before or step.after
    port = int(view.destination_port) if view and view.destination_port.isdigit() else 0
    protocol = view.protocol if view else "tcp"
    known = snapshot.cluster.service_port(destination, protocol, port)
    origin = _last_routed(walk, step)
    if known is None:
        summary = f"The service address {destination} has no {protocol} port {port}"
        return Cause("service-port-unknown", origin, summary, step.evidence)
    service = known[0]
    name = f"{service.namespace}/{service.name}"
    policies = {service.internal_traffic_policy, service.external_traffic_policy}
    if "Local" in policies:
        summary = f"{origin.node} has no endpoint of {name}, whose traffic policy is Local"
        return Cause("no-local-endpoint", origin, summary, step.evidence, likely=True)
    summary = f"The rules of {origin.node} do not translate {name} ({destination}:{port})"
    return Cause("stale-endpoint", origin, summary, step.evidence, likely=True)


def _last_routed(walk: Walk, step: Step) -> Step:
    """Return the first routing step on a node: where a service's address should have been translated."""
    for candidate in walk.steps:
        if candidate.kind is StepKind.ROUTE and candidate.namespace == "host":
            return candidate
    return step


def _misrouted(walk: Walk, step: Step, destination: str, owner: NsKey, snapshot: Snapshot) -> Cause | None:
    """The destination lives elsewhere: find the hop that sent the packet astray."""
    if snapshot.netns(owner).is_host:
        return None
    astray = next((s for s in walk.steps if _routes_for(s, destination)), None)
    if astray is None or step.node == owner[0] or _leads_to(astray, owner, snapshot):
        return None
    route = next((e for e in astray.evidence if e.kind == "route"), None)
    pod = snapshot.labels.get(owner, destination)
    if route is None or route.text.startswith(("default", "0.0.0.0/0")):
        summary = f"{astray.node} has no route to {destination} (pod {pod} on {owner[0]})"
        if route is not None:
            summary += ": the packet follows the default route"
        return Cause("pod-route-missing", astray, summary, astray.evidence or step.evidence)
    summary = f"The route of {astray.node} to {destination} (pod {pod} on {owner[0]}) leads elsewhere"
    return Cause("pod-route-wrong", astray, summary, (*astray.evidence, *step.evidence))


def _routes_for(step: Step, destination: str) -> bool:
    """Tell whether a node decides here where a packet to the destination goes."""
    view = step.before
    return (
        step.kind is StepKind.ROUTE
        and step.depth == 0
        and step.namespace == "host"
        and view is not None
        and view.destination == destination
    )


def _leads_to(routed: Step, owner: NsKey, snapshot: Snapshot) -> bool:
    """Tell whether a routing decision's gateway is the owner's node: then the route is not what is wrong."""
    words = routed.decision.split()
    gateway = words[words.index("via") + 1] if "via" in words else ""
    holder = snapshot.owner(gateway) if gateway else None
    return holder is not None and holder[0] == owner[0]


def _was_translated(walk: Walk) -> bool:
    return any(s.kind is StepKind.NAT and "destination" in s.decision for s in walk.steps)


def _translated_from(walk: Walk) -> str:
    for step in walk.steps:
        if step.kind is StepKind.NAT and step.before is not None:
            return f"The service address {step.before.destination}:{step.before.destination_port}"
    return "The service"


def _nat_evidence(walk: Walk) -> tuple[Evidence, ...]:
    return tuple(e for s in walk.steps if s.kind is StepKind.NAT for e in s.evidence[-1:])


def _in_pod_range(destination: str, snapshot: Snapshot) -> bool:
    """Tell whether an address lies in a range that the cluster or a bridge hands out to pods."""
    identity = snapshot.cluster.whois(destination)
    if identity is not None and identity.kind.value in {"pod-range", "pod", "endpoint"}:
        return True
    address = ip_address(destination)
    for host in snapshot.hosts.values():
        netns = host.root_netns
        bridges = {link.index for link in netns.links.values() if link.kind == "bridge"}
        if any(
            route.destination.version == address.version
            and address in route.destination
            and route.destination.prefixlen > 8
            and any(hop.index in bridges for hop in route.next_hops)
            for route in netns.routes
        ):
            return True
    return False
