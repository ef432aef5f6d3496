"""Counterfactuals: change one thing near the failure, walk again, and propose what makes the flow pass.

A remedy is found from the step that ended the packet's way. It is *checked* when the model, edited so, gives
PASS; one that does not is offered only when nothing better is known, and says so.
"""

from __future__ import annotations

from skoopctl.checks.catalogue import EVENTS
from skoopctl.checks.catalogue.metrics import METRICS
from skoopctl.checks.cause import Cause
from skoopctl.checks.finding import Fix
from skoopctl.checks.remedies.nearby import nearby
from skoopctl.checks.remedies.registry import PROPOSERS, Remedy
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane import edit
from skoopctl.dataplane.path import walk
from skoopctl.dataplane.topology import NsKey
from skoopctl.dataplane.trace import Branch, Flow, PathResult, Verdict
from skoopctl.kernel.netns import NetNamespace

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
    "conntrack-table-filling": "how large the table should be depends on the node's memory",
    "neighbour-table-filling": "how large the table should be depends on the node's memory",
    "nodes-differ": "which of the two is the right one is the owner's to say",
    "pod-address-missing": "the kubelet and the network plugin give a pod its address",
    "path-unexpected": "the finding that explains the path has the fix",
    "path-undecided": "what is unknown cannot be mended in the model",
    "link-local-source": "which address the sender should have is not known here",
    **{doc.id: "counters tell that it happens, not which packet it happened to" for doc in METRICS},
    **{doc.id: "events tell what happened to a packet, and no walk was asked for" for doc in EVENTS},
}
"""Causes that no edit of the model is searched for, with the reason. Others have a proposer, and `nearby`."""


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
    own = [(proposer, True) for proposer in PROPOSERS.get(cause.id, ())]
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
