"""Ways that end elsewhere, and what nobody can see into."""

from __future__ import annotations

from skoopctl.checks.catalogue.doc import Doc
from skoopctl.checks.finding import Severity

WAYS = (
    Doc(
        "bridge-port-closed",
        "A bridge does not forward the frame",
        Severity.FATAL,
        "The bridge or one of its ports is down, blocked or isolated, or no port leads to the MAC address.",
        "Set the bridge and the port up; see whether the pod's veth still belongs to the bridge.",
        ("bridge -d link", "bridge fdb"),
    ),
    Doc(
        "hairpin-off",
        "A pod calls itself through its service, and hairpin is off",
        Severity.FATAL,
        "A bridge does not send a frame back by the port it came in on unless hairpin mode is on there.",
        "Set hairpinMode in the CNI configuration; for pods that exist: bridge link set dev DEVICE hairpin on.",
        ("bridge -d link",),
    ),
    Doc(
        "answer-not-translated",
        "The answer comes from the endpoint's own address",
        Severity.FATAL,
        "The request went through DNAT, the answer passed the bridge without meeting conntrack: the client sees "
        "a stranger and resets it. Bridged packets meet conntrack only with bridge-nf-call-iptables=1.",
        "Load br_netfilter and set net.bridge.bridge-nf-call-iptables=1.",
        ("sysctl net.bridge.bridge-nf-call-iptables",),
    ),
    Doc(
        "answer-lost",
        "The answer does not come back",
        Severity.FATAL,
        "The request arrives; the answer ends elsewhere than at the client.",
        "See the reply's hops: where it leaves the way of the request, a route or a NAT rule differs.",
    ),
    Doc(
        "routing-loop",
        "The packet goes in circles",
        Severity.FATAL,
        "Routes on the way send the packet round until its TTL is used up.",
        "Correct the route of one of the nodes in the circle.",
        ("ip route get ADDRESS",),
    ),
    Doc(
        "ttl-exceeded",
        "The packet's TTL is used up on the way",
        Severity.FATAL,
        "Every forwarding takes one off the TTL (IPv6: the hop limit), and a rule or the sender has set it so "
        "low that this node has to drop the packet.",
        "Remove the rule that sets the TTL (-j TTL, -j HL), or set ip_default_ttl of the sender to 64.",
        ("iptables-save | grep -e 'TTL'", "sysctl net.ipv4.ip_default_ttl"),
    ),
    Doc(
        "opaque-program",
        "A program on the way decides, and cannot be read",
        Severity.WARNING,
        "A tc or XDP program, or a tunnel of IPVS, on the path is outside of the model: nobody here knows what "
        "it does.",
        "Ask the tool that loaded it (for Cilium: cilium-dbg bpf …).",
        ("tc filter show dev DEVICE ingress", "bpftool net"),
    ),
)
