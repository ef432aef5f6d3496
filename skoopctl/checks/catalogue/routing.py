"""Routes, addresses and sockets: where a packet is sent, and who takes it."""

from __future__ import annotations

from skoopctl.checks.catalogue.doc import Doc
from skoopctl.checks.finding import Severity

ROUTING = (
    Doc(
        "no-listener",
        "Nothing listens on the port",
        Severity.FATAL,
        "The packet arrives, and no socket waits for it: the kernel answers TCP with a reset and UDP with ICMP "
        "port unreachable.",
        "Start the program, or use the port that it listens on (a service's targetPort must name it too). A "
        "program that listens on 127.0.0.1 only does not hear other pods.",
        ("ss -lntup",),
    ),
    Doc(
        "no-route",
        "There is no route",
        Severity.FATAL,
        "No route matches the destination: a sender gets 'network is unreachable' at once; a router answers "
        "with an ICMP error.",
        "Add the route; on a pod, see why its CNI plugin did not.",
        ("ip route show table all", "ip rule"),
    ),
    Doc(
        "pod-route-missing",
        "A node has no route to another node's pods",
        Severity.FATAL,
        "Without a route for the pod range, the packet follows the default route out of the cluster, where "
        "nobody knows the pod.",
        "Add the route, and see why the network plugin's agent on this node did not (flanneld, BIRD, felix).",
        ("ip route", "journalctl -u kubelet"),
    ),
    Doc(
        "pod-route-wrong",
        "A node's route to another node's pods leads elsewhere",
        Severity.FATAL,
        "The route that wins does not lead to the node that runs the pod: the packet is sent where nobody "
        "takes it.",
        "Correct the route; the network plugin's agent writes it.",
        ("ip route get ADDRESS",),
    ),
    Doc(
        "blackhole-route",
        "A route swallows the packet",
        Severity.FATAL,
        "A route of type blackhole, unreachable or prohibit matches: the packet ends there, silently or with an "
        "ICMP error.",
        "Delete the route, or add a more specific one.",
        ("ip route show table all",),
    ),
    Doc(
        "address-nowhere",
        "Nothing has the destination address",
        Severity.FATAL,
        "No collected namespace and no object of the cluster has this address.",
        "Check the address; a pod gets a new one each time it starts.",
        ("kubectl get pods -A -o wide",),
    ),
    Doc(
        "forwarding-off",
        "The node does not forward",
        Severity.FATAL,
        "A packet for somebody else arrives and forwarding is off for the device it came in on: the kernel "
        "drops it without a word. It is the input device's setting that counts.",
        "Set net.ipv4.ip_forward=1, also in /etc/sysctl.d, where another tool may reset it.",
        ("sysctl net.ipv4.ip_forward net.ipv4.conf.all.forwarding",),
    ),
    Doc(
        "rp-filter",
        "The reverse path filter drops the packet",
        Severity.FATAL,
        "With rp_filter=1 the kernel drops a packet whose answer would not leave by the device that it came in "
        "on. The larger of the device's value and 'all' counts. Single packets get through all the same: one to "
        "be forwarded that arrives in a batch behind another for its address is not checked (ip_route_use_hint).",
        "Set rp_filter=2 (loose) on the device and for all, or make the routes symmetric.",
        ("sysctl -a --pattern rp_filter", "ip route get SOURCE"),
    ),
    Doc(
        "own-source",
        "A packet arrives with the receiver's own address as its source",
        Severity.FATAL,
        "The kernel drops a packet from outside that claims to come from one of its own addresses. A pod that "
        "calls its own service gets such packets when nothing masquerades them.",
        "For a pod and its own service: let kube-proxy masquerade (KUBE-MARK-MASQ and KUBE-POSTROUTING).",
        ("iptables-save -t nat", "sysctl -a --pattern accept_local"),
    ),
    Doc(
        "martian",
        "A packet has an address that may not come in from outside",
        Severity.FATAL,
        "Packets from or to 127.0.0.0/8 are dropped on any device but loopback unless route_localnet is on, where "
        "they come in and where they leave; so are multicast and broadcast sources, and 0.0.0.0/8.",
        "Set net.ipv4.conf.all.route_localnet=1 if a node port on 127.0.0.1 is wanted.",
        ("sysctl -a --pattern route_localnet",),
    ),
)
