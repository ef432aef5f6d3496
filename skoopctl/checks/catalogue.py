"""Every finding that skoopctl knows, by its id: what it means, what the kernel does, what to look at.

``skoopctl explain ID`` and docs/findings.md print this table.
"""

from __future__ import annotations

from dataclasses import dataclass

from skoopctl.checks.finding import Severity


@dataclass(frozen=True, slots=True)
class Doc:
    """The documentation of one finding. ``look`` are read-only commands that show it on the node."""

    id: str
    title: str
    severity: Severity
    why: str
    fix: str
    look: tuple[str, ...] = ()


_DOCS = (
    Doc(
        "netfilter-drop",
        "A firewall rule drops the packet",
        Severity.FATAL,
        "A rule with the target DROP, or a chain's policy, ends the packet without telling its sender: the "
        "client waits until it times out. A rule on a tunnel's outer packet (VXLAN: UDP 8472) stops all pod "
        "traffic between the two nodes, though no rule names a pod.",
        "Delete the rule, or put one that accepts before it. If a tool wrote it (firewalld, ufw, a security "
        "agent), change it there, or it will come back.",
        ("iptables-save -c", "nft -a list ruleset"),
    ),
    Doc(
        "netfilter-reject",
        "A firewall rule rejects the packet",
        Severity.FATAL,
        "A rule with the target REJECT ends the packet and answers with an ICMP error or a TCP reset. The "
        "client fails at once: connection refused, or no route to host.",
        "Delete the rule, or put one that accepts before it.",
        ("iptables-save -c", "nft -a list ruleset"),
    ),
    Doc(
        "service-without-endpoints",
        "The service has no ready endpoints",
        Severity.FATAL,
        "kube-proxy rejects packets for a service that has no ready endpoint. Its selector matches no pod, or "
        "none of its pods passes its readiness probe.",
        "Compare the service's selector with the pods' labels; see why the pods are not ready.",
        ("kubectl get endpointslices -l kubernetes.io/service-name=NAME", "kubectl get pods -o wide"),
    ),
    Doc(
        "ipvs-no-server",
        "IPVS has a service, and no server that takes new connections",
        Severity.FATAL,
        "All servers of the service have weight 0 (kube-proxy drains endpoints that terminate), are over their "
        "threshold of connections, or the scheduler's hash names one that takes none. The kernel answers with "
        "ICMP port unreachable, TCP too: connection refused.",
        "See why the service's endpoints are not ready; with a hashing scheduler, set its fallback flag.",
        ("ipvsadm -L -n --thresholds", "kubectl get endpointslices -o wide"),
    ),
    Doc(
        "ipvs-loopback-source",
        "IPVS does not send packets of 127.0.0.0/8 to another host",
        Severity.FATAL,
        "A client on the node that connects from a loopback address cannot be balanced to a server elsewhere, "
        "and a packet from outside not to a server on a loopback address: the kernel drops it without a word.",
        "Connect to the node's own address, or to the service's.",
        ("ipvsadm -L -n",),
    ),
    Doc(
        "stale-conntrack",
        "An old connection sends packets where they went before",
        Severity.CRITICAL,
        "conntrack's table has an entry for this client, port and service from another time. Its packets are "
        "translated as it was then, and no rule is asked again: to an endpoint that is gone, or not at all. UDP "
        "clients that keep their port (DNS, SIP, syslog) never get away from it while they go on sending.",
        "Delete the entry. kube-proxy does so for UDP when an endpoint goes; see whether it runs.",
        ("conntrack -L -d ADDRESS",),
    ),
    Doc(
        "conntrack-table-full",
        "conntrack's table is full",
        Severity.FATAL,
        "A packet that begins a connection needs an entry. When there are nf_conntrack_max of them and none "
        "nearby can be thrown out, the kernel drops the packet and logs 'nf_conntrack: table full, dropping "
        "packet'. Connections that exist go on.",
        "Raise net.netfilter.nf_conntrack_max, or find who makes so many connections.",
        ("conntrack -C", "sysctl net.netfilter.nf_conntrack_max", "conntrack -S"),
    ),
    Doc(
        "source-range-refused",
        "The source is outside the load balancer's source ranges",
        Severity.FATAL,
        "The service has loadBalancerSourceRanges; kube-proxy drops packets to its load balancer address from "
        "any other source, pods and nodes of the cluster too.",
        "Add the source to spec.loadBalancerSourceRanges, or use the cluster IP from inside.",
        ("kubectl get service NAME -o yaml",),
    ),
    Doc(
        "stale-endpoint",
        "A service sends to an address that no pod has",
        Severity.FATAL,
        "The node's rules translate the service to an endpoint that is not there any more: kube-proxy has not "
        "caught up with the API, or has stopped.",
        "See whether kube-proxy runs on this node and reaches the API server; restart it there.",
        ("kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide",),
    ),
    Doc(
        "no-local-endpoint",
        "The node has no endpoint of a service with a Local traffic policy",
        Severity.FATAL,
        "With externalTrafficPolicy or internalTrafficPolicy Local, a node sends only to its own pods. A node "
        "without one drops, or lets the packet go where no one waits for it.",
        "Ask a node that runs an endpoint, or use the policy Cluster.",
        ("kubectl get service NAME -o yaml", "kubectl get endpointslices -o wide"),
    ),
    Doc(
        "service-port-unknown",
        "The service has no such port",
        Severity.FATAL,
        "The address is a service's, but no rule of this node translates this port: the packet keeps the "
        "virtual address, which no device has, and is routed to nowhere.",
        "Use a port of the service.",
        ("kubectl get service NAME",),
    ),
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
    Doc(
        "vlan-not-allowed",
        "A bridge port is no member of the frame's VLAN",
        Severity.FATAL,
        "A bridge with vlan_filtering takes an untagged frame into the port's PVID and a tagged one into its "
        "own VLAN, and lets it out only by members of that VLAN; the bridge's own device is a member like any "
        "port. A frame with a tag for which a device has no VLAN device is dropped too.",
        "Add the VLAN to the port, or correct the tag: the plugin or the administrator that set them up.",
        ("bridge vlan show", "ip -d link"),
    ),
    Doc(
        "same-wire",
        "Two devices leave by the same lower device, which does not join them",
        Severity.FATAL,
        "A macvlan or ipvlan does not reach its own host, and macvlans reach each other in bridge mode only: "
        "their frames go out by the same NIC, and a switch does not send a frame back to where it came from.",
        "Use mode bridge between pods. For the host, give it a macvlan of its own in mode bridge.",
        ("ip -d link show type macvlan", "ip -d link show type ipvlan"),
    ),
    Doc(
        "dummy-device",
        "A route leads out of a dummy device",
        Severity.FATAL,
        "A dummy device (kube-ipvs0, nodelocaldns) holds addresses and swallows all that is sent out of it.",
        "Correct the route, or find out why the packet's destination is not a local address.",
        ("ip route get DESTINATION", "ip -d link show type dummy"),
    ),
    Doc(
        "neighbour-table-full",
        "The neighbour table is full",
        Severity.CRITICAL,
        "The kernel keeps at most gc_thresh3 entries for all namespaces together. When all are in use, it cannot "
        "ask for another MAC address, and packets to new neighbours are dropped.",
        "Raise net.ipv4.neigh.default.gc_thresh1, gc_thresh2 and gc_thresh3.",
        ("ip -s neigh", "sysctl net.ipv4.neigh.default.gc_thresh3", "nstat -az NeighTableFull"),
    ),
    Doc(
        "link-down",
        "A device is down",
        Severity.FATAL,
        "A device that is down sends and receives nothing, and the kernel removed the routes through it.",
        "Set the device up and see who set it down; routes that a plugin wrote must be written again.",
        ("ip -d link",),
    ),
    Doc(
        "neighbour-unreachable",
        "Nobody answers for the next hop's address",
        Severity.FATAL,
        "The kernel asks for the MAC address of the next hop (ARP, ND) and gets no answer: after three tries it "
        "tells the sender 'no route to host'.",
        "See whether the owner of the address is up and on this network.",
        ("ip neigh", "ip -s link"),
    ),
    Doc(
        "ndp-filtered",
        "A firewall drops IPv6 neighbour discovery",
        Severity.FATAL,
        "IPv6 asks for MAC addresses with ICMPv6 (neighbour solicitation and advertisement), and these packets "
        "meet INPUT and OUTPUT of ip6tables and nft on both ends. Where they are dropped, nobody on the link who "
        "does not know the address yet can reach it: every flow of this neighbour fails, not only this one.",
        "Accept ICMPv6 types 133 to 137 before the rule that drops: they are untracked, so ESTABLISHED does "
        "not let them in.",
        ("ip6tables-save -c", "nft -a list ruleset", "ip -6 neigh"),
    ),
    Doc(
        "arp-filtered",
        "A firewall drops ARP",
        Severity.FATAL,
        "IPv4 asks for MAC addresses with ARP, whose frames meet nft's chains of the families bridge and netdev on "
        "their way. Where they are dropped, nobody who does not know the address yet can reach it: every flow "
        "of this neighbour fails as unreachable, and those who know it fail when their entry has aged.",
        "Let the rule look at IP only (ether type ip), or accept ARP before it (ether type arp accept): a rule that "
        "asks for a device or a MAC address alone sees ARP too, and to ct state ARP is untracked.",
        ("nft -a list ruleset", "ip neigh"),
    ),
    Doc(
        "echo-ignored",
        "The destination ignores echo requests",
        Severity.FATAL,
        "With icmp_echo_ignore_all (net.ipv6.icmp.echo_ignore_all) the kernel does not answer ping from anybody: "
        "ping times out though the way is in order and other protocols may work.",
        "Set it to 0, or test with TCP.",
        ("sysctl net.ipv4.icmp_echo_ignore_all net.ipv6.icmp.echo_ignore_all",),
    ),
    Doc(
        "no-protocol",
        "The destination's kernel does not speak the protocol",
        Severity.FATAL,
        "No SCTP is loaded there: the kernel answers with ICMP protocol unreachable (IPv6: parameter problem).",
        "Load the module (modprobe sctp); it loads by itself when a program opens an SCTP socket, unless it is "
        "on a deny list, as on many distributions.",
        ("lsmod", "cat /proc/net/protocols"),
    ),
    Doc(
        "ipv6-disabled",
        "IPv6 is disabled on the device",
        Severity.FATAL,
        "With disable_ipv6=1 a device takes no IPv6 packet and has no IPv6 address.",
        "Set net.ipv6.conf.DEVICE.disable_ipv6=0; its addresses must be added again.",
        ("sysctl -a --pattern disable_ipv6",),
    ),
    Doc(
        "link-local-source",
        "A packet with a link-local source should be forwarded",
        Severity.FATAL,
        "The sender has no address but a link-local one (fe80::/10) for this destination: a router does not "
        "forward it, and answers 'beyond scope of source address'.",
        "Give the sender a global or unique local address.",
        ("ip -6 addr", "ip -6 route get ADDRESS"),
    ),
    Doc(
        "vxlan-neighbour-missing",
        "The VXLAN device has no neighbour entry for the peer",
        Severity.FATAL,
        "flannel writes one permanent neighbour per peer node on flannel.1. Without it the kernel asks by ARP "
        "over a device that floods to nobody.",
        "Write the entry; restart flanneld on this node, which writes all of them.",
        ("ip neigh show dev flannel.1",),
    ),
    Doc(
        "wrong-mac",
        "The frame is sent to a MAC address that is not the receiver's",
        Severity.FATAL,
        "A neighbour entry names a MAC address that the next hop does not have: the frame arrives and is "
        "ignored, silently. A permanent entry never mends itself.",
        "Replace the entry.",
        ("ip neigh", "ip link"),
    ),
    Doc(
        "fdb-entry-missing",
        "The VXLAN device does not know which node to send to",
        Severity.FATAL,
        "The forwarding database of the VXLAN device has no entry for the peer's MAC address; with learning off "
        "the kernel drops the packet.",
        "Write the entry; restart flanneld on this node, which writes all of them.",
        ("bridge fdb show dev flannel.1",),
    ),
    Doc(
        "fdb-entry-wrong",
        "The VXLAN device sends to the wrong node",
        Severity.FATAL,
        "The forwarding entry for the peer's MAC address names another node: the packet is unwrapped there, or "
        "nowhere, and nobody takes it.",
        "Replace the entry.",
        ("bridge fdb show dev flannel.1",),
    ),
    Doc(
        "tunnel-not-listening",
        "The peer does not unwrap the tunnel's packets",
        Severity.FATAL,
        "The outer packet arrives on a node that has no device that takes it: none of its kind, or with another "
        "VNI, key, port, remote or local address, or one that is down.",
        "Set the peer's device up; compare VNI or key, port and addresses on both nodes.",
        ("ip -d link show type vxlan", "ip -d link show"),
    ),
    Doc(
        "tunnel-remote-missing",
        "A tunnel's device does not know where to send",
        Severity.FATAL,
        "The device has no remote of its own, and the route names no next hop that could be one (for Calico's "
        "tunl0 it is the other node's address). The kernel drops the packet.",
        "Write the route with the other node as its gateway (`via NODE dev tunl0 onlink`), or give the device a "
        "remote.",
        ("ip -d link show", "ip route show dev tunl0"),
    ),
    Doc(
        "tunnel-loop",
        "The way to a tunnel's remote leads over the tunnel itself",
        Severity.FATAL,
        "The outer packet is routed by its own destination. If that route leads over the tunnel again, the "
        "kernel drops the packet (ELOOP), or after eight tunnels inside of each other.",
        "Route the remote's address over the underlay's device.",
        ("ip route get REMOTE",),
    ),
    Doc(
        "wireguard-no-peer",
        "No WireGuard peer has the destination among its allowed IPs",
        Severity.FATAL,
        "WireGuard picks the peer by the destination: the one with the longest allowed network that holds it. "
        "Without one, the sender gets an ICMP error (destination host unreachable).",
        "Add the destination's network to the peer's allowed IPs; restart the agent that writes them.",
        ("wg show",),
    ),
    Doc(
        "wireguard-endpoint-missing",
        "The WireGuard peer has no endpoint",
        Severity.FATAL,
        "The address of this peer was not configured, and the peer has not been heard of: nobody knows where to "
        "send. The sender gets an ICMP error.",
        "Configure the peer's endpoint, or let the peer begin.",
        ("wg show",),
    ),
    Doc(
        "wireguard-key-unknown",
        "Two WireGuard nodes do not know each other's keys",
        Severity.FATAL,
        "A node answers only to peers whose public key it has, and only if the sender has its own public key "
        "right. Otherwise there is no handshake, and packets are dropped without a word.",
        "Compare each node's public key with what the other has for it.",
        ("wg show",),
    ),
    Doc(
        "wireguard-source-refused",
        "A WireGuard node drops packets from a source that the peer may not use",
        Severity.FATAL,
        "Allowed IPs bind both ways: a packet is taken from a peer only if its source address is among that "
        "peer's allowed IPs. A pod's packet that was masqueraded, or a new node's range, may not be.",
        "Add the source's network to the peer's allowed IPs, or find out who changed the source.",
        ("wg show",),
    ),
    Doc(
        "mtu-black-hole",
        "The connection stands, and large packets vanish",
        Severity.FATAL,
        "Both ends send segments as large as they agreed, and may not let them be cut (DF). One place on the way "
        "takes less. A router says so with an ICMP error, which a firewall or missing route here keeps from the "
        "sender; a veth, a bridge and a tunnel over IPv6 say nothing. Small requests work, and large ones hang. "
        "(Inside one host, several segments handed over at once pass a veth all the same: only some hang.)",
        "Let the MTUs of the pods' and the tunnel's devices agree with the underlay; let ICMP type 3 code 4 "
        "and ICMPv6 type 2 through; or clamp: `iptables -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN "
        "-j TCPMSS --clamp-mss-to-pmtu`.",
        ("ip -d link show", "ping -M do -s 1472 DESTINATION", "nstat -az IpFragFails Icmp6OutPktTooBigs"),
    ),
    Doc(
        "mtu-mismatch",
        "Large packets pass only by a detour",
        Severity.WARNING,
        "The two ends send packets that one place on the way does not take whole. Either an ICMP error makes "
        "each sender try again with smaller ones, or the tunnel's outer packets are cut into fragments, or it "
        "is up to hardware. That costs speed, and breaks when ICMP or fragments are filtered.",
        "Let the MTU of the pods' devices be that of the tunnel's device, and the tunnel's that of the underlay "
        "less the tunnel's own bytes (VXLAN 50, over IPv6 70; IPIP 20; WireGuard 60, over IPv6 80).",
        ("ip -d link show",),
    ),
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
    Doc(
        "not-decided",
        "Something on the way could not be decided",
        Severity.WARNING,
        "A rule, a table or a node could not be read, or holds something outside of the model. Both ways were "
        "walked, and they end differently.",
        "Collect what is missing, or look at the named place.",
    ),
    Doc(
        "node-not-collected",
        "A node on the way was not collected",
        Severity.WARNING,
        "The packet goes to a node that gave no answer: what happens there is unknown.",
        "Make the node reachable for skoopctl, or add it to the inventory.",
    ),
    Doc(
        "evidence-incomplete",
        "Part of a node's state was not read",
        Severity.WARNING,
        "An item is missing, was cut or denied. It is treated as unknown, not as empty.",
        "See the reason beside it: a missing program, no root, a deadline.",
    ),
    Doc(
        "unreadable-rules",
        "iptables-save does not show a table that exists",
        Severity.WARNING,
        "A native nft expression inside one of iptables' tables makes iptables-save print nothing of that table "
        "but 'incompatible': rules exist that this dump does not show.",
        "Read the table with nft; keep native rules in a table of their own.",
        ("nft -a list table ip NAME",),
    ),
    Doc(
        "two-iptables",
        "iptables-legacy and iptables-nft both hold rules",
        Severity.INFO,
        "A packet meets the rules of both, and each tool shows only its own: a DROP in the one is not seen in "
        "the other. skoopctl walks both.",
        "Move the rules to one of them, and see which programs on the node use which.",
        ("iptables-legacy-save", "iptables-nft-save"),
    ),
    Doc(
        "xt-without-arguments",
        "nft shows rules of iptables without what they ask for",
        Severity.INFO,
        "nft -j prints a match or target of iptables by its name only. Where iptables-save does not show the "
        "same table, such a rule is unknown: both ways are walked.",
        "Keep native nft rules out of iptables' tables, so that iptables-save shows them again.",
        ("nft -a list ruleset", "iptables-nft-save -c"),
    ),
    Doc(
        "rule-names-missing",
        "A rule names a chain or a set that is not in the dump",
        Severity.INFO,
        "The kernel has no such rules: the dump is not whole, or the rules changed while it was taken. What the "
        "rule does is unknown.",
        "Collect again.",
        ("nft -a list ruleset",),
    ),
    Doc(
        "rule-unreadable",
        "A rule cannot be read to its end",
        Severity.INFO,
        "The line is cut, or holds something that iptables-save does not print. The rule may match and do "
        "anything; no other rule is affected.",
        "Look at the rule on the node.",
        ("iptables-save -c",),
    ),
    Doc(
        "rules-changed",
        "The rules changed while they were read",
        Severity.INFO,
        "iptables-save and nft read the same tables one after the other, and showed different numbers of rules. "
        "A verdict may rest on rules that are gone.",
        "Collect again when kube-proxy and the network plugin are at rest.",
    ),
    Doc(
        "foreign-rules",
        "Another firewall stands beside Kubernetes' rules",
        Severity.INFO,
        "Rules of firewalld, docker, ufw or the administrator look at the same packets. ACCEPT in Kubernetes' "
        "own tables does not keep them from dropping. skoopctl walks them all.",
        "Know that it is there; let it pass the pods' and the services' networks.",
        ("nft -a list ruleset", "iptables-save -c"),
    ),
    Doc(
        "dumps-apart",
        "The dumps of two nodes are far apart in time",
        Severity.INFO,
        "The nodes' clocks differ, or one was collected long after the other: the walk may join two states of "
        "the cluster that never were at one time.",
        "Compare the nodes' clocks (chrony, timesyncd); collect both again in one run.",
        ("timedatectl", "chronyc tracking"),
    ),
    Doc(
        "arp-rules",
        "There are rules for ARP, which are not walked",
        Severity.INFO,
        "Chains of nft's family arp can keep a node from asking for, or telling, a MAC address. The walk takes "
        "it that ARP works as neighbours and devices say.",
        "Look at the rules when neighbours stay INCOMPLETE.",
        ("nft -a list ruleset arp", "ip neigh"),
    ),
)

DOCS = {doc.id: doc for doc in _DOCS}
