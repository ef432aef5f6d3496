"""What inspections of a whole cluster find: full tables, nodes that differ, paths that are not as expected."""

from __future__ import annotations

from skoopctl.checks.catalogue.doc import Doc
from skoopctl.checks.finding import Severity

FLEET = (
    Doc(
        "conntrack-table-filling",
        "conntrack's table is filling up",
        Severity.WARNING,
        "The table holds nf_conntrack_max entries. The nearer it comes to that, the sooner new connections are "
        "dropped; entries of closed and of forgotten connections count until they time out.",
        "Raise net.netfilter.nf_conntrack_max, shorten nf_conntrack_tcp_timeout_established, or find who makes so "
        "many connections.",
        ("sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max", "conntrack -S"),
    ),
    Doc(
        "neighbour-table-filling",
        "The table of neighbours is filling up",
        Severity.WARNING,
        "One table serves all namespaces of a node. At gc_thresh3 entries the kernel learns no new neighbour: "
        "connections to addresses that were not used lately fail.",
        "Raise net.ipv4.neigh.default.gc_thresh3 (and gc_thresh2 below it).",
        ("ip -s neigh show", "sysctl net.ipv4.neigh.default.gc_thresh3"),
    ),
    Doc(
        "nodes-differ",
        "The nodes of one cluster are not set up alike",
        Severity.WARNING,
        "Network plugin, proxy mode and iptables' backend are the whole cluster's choice. A node that differs was "
        "set up at another time, or its agent has not come up; traffic may then work one way and not the other.",
        "Compare the node with its neighbours: the agent's pods and logs, the package of iptables.",
        ("iptables -V", "kubectl get pods -A -o wide"),
    ),
    Doc(
        "pod-address-missing",
        "A pod's address is on no device of its node",
        Severity.CRITICAL,
        "The API says that the pod runs here with this address, and no namespace of the node has it: the pod is not "
        "there, its network was never made, or another pod was given the address.",
        "See the pod's events and the kubelet's log; delete the pod, and it is made anew.",
        ("kubectl describe pod NAME", "ip netns", "crictl pods"),
    ),
    Doc(
        "path-unexpected",
        "A path is not as the plan expects it",
        Severity.CRITICAL,
        "The plan names the path and what becomes of it: reachable, refused or blocked. The packet, walked through "
        "the nodes' state, ends otherwise. A path that should be blocked and is open is a hole in a policy.",
        "See the finding that goes with it, and the hops: skoopctl diagnose with the same source and destination.",
    ),
    Doc(
        "path-undecided",
        "Whether a path is as the plan expects it could not be decided",
        Severity.WARNING,
        "Something on the way was not read or is outside of the model: the path may be as it should, or not.",
        "See what is unknown; collect it, or look at the named place.",
    ),
)
