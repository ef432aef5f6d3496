"""What drops of packets tell, with the kernel's own reasons: ``skoopctl probe run packetloss``."""

from __future__ import annotations

from skoopctl.checks.catalogue.doc import Doc
from skoopctl.checks.finding import Severity

DROPS = (
    Doc(
        "packets-dropped-by-rules",
        "Rules of netfilter drop packets",
        Severity.CRITICAL,
        "A rule of iptables or nftables, or a chain's policy, ended packets. With DROP the sender hears nothing "
        "and waits until it gives up. A rule for a tunnel's outer packet (VXLAN: UDP 8472) stops all pod traffic "
        "between two nodes. The hook is known by the calls that led to the drop; the rule is found in "
        "the rules of that namespace, as they were collected after the watch.",
        "If it is not meant to be so, delete the rule or put one that accepts before it. If a tool wrote it "
        "(firewalld, ufw, a network policy, a security agent), change it there, or it will come back.",
        ("iptables-save -c", "ip6tables-save -c", "nft -a list ruleset"),
    ),
    Doc(
        "packets-for-no-socket",
        "Packets come for ports on which nobody listens",
        Severity.WARNING,
        "No socket took the packet. TCP is answered with a reset, and the client sees connection refused; UDP is "
        "answered with ICMP port unreachable. The packet found its way: the network is not at fault.",
        "See who asks and for which port. Behind a service, compare its target port with what the pod's program "
        "listens on, and look for clients that still use the address of a pod that is gone.",
        ("ss -ltunp", "kubectl get endpointslices -o wide"),
    ),
    Doc(
        "packets-dropped-socket-full",
        "Sockets have no room for packets that arrived",
        Severity.WARNING,
        "The packet was there, and the socket's buffer, backlog or queue of connections was full, or the protocol "
        "had used its memory. UDP loses the datagram for good; TCP has to send it again.",
        "Find out why the program reads or accepts slowly: CPU limits, blocked threads. Then raise its buffers "
        "(SO_RCVBUF up to net.core.rmem_max, net.ipv4.tcp_rmem), its backlog and net.core.somaxconn.",
        ("ss -tumn", "ss -ltn", "nstat -az UdpRcvbufErrors TcpExtTCPBacklogDrop TcpExtListenOverflows"),
    ),
    Doc(
        "packets-dropped-no-route",
        "Packets have nowhere to go",
        Severity.CRITICAL,
        "The routing tables have no route for the destination, one that refuses it, or the packet is not for this "
        "node and the node does not forward. The sender may get an ICMP error, or nothing.",
        "Ask for the path: skoopctl diagnose names the route that is missing. On nodes, the network plugin makes "
        "the routes to other nodes' pods.",
        ("ip route", "ip -6 route", "ip rule", "sysctl net.ipv4.ip_forward"),
    ),
    Doc(
        "packets-dropped-source-check",
        "Packets are dropped for their addresses",
        Severity.CRITICAL,
        "With the reverse path filter on, a packet is dropped when the way back to its source does not lead out of "
        "the device that it came in by. Addresses of the node itself, of loopback or of many may not come in at all.",
        "Ask for the path: skoopctl diagnose. Then the route, or net.ipv4.conf.DEVICE.rp_filter.",
        ("sysctl -a -r 'net.ipv4.conf.*rp_filter'", "ip route", "nstat -az TcpExtIPReversePathFilter"),
    ),
    Doc(
        "packets-dropped-no-neighbour",
        "The next hop has no MAC address",
        Severity.CRITICAL,
        "Nobody answered ARP or neighbour discovery for the next hop, too many packets waited for the answer, or "
        "the table of neighbours is full. The sender gets host unreachable after about three seconds.",
        "See whether the address's pod or node is there, and whether the network plugin has made its neighbour "
        "entries; for a full table raise net.ipv4.neigh.default.gc_thresh1 to 3.",
        ("ip -s neigh", "ip -6 neigh", "sysctl net.ipv4.neigh.default.gc_thresh3"),
    ),
    Doc(
        "packets-dropped-checksum",
        "Packets have wrong checksums",
        Severity.CRITICAL,
        "The checksum of a header does not fit the data. Some cards compute it wrongly for tunnelled packets "
        "(VXLAN): then small packets pass and connections hang, between some nodes only. Else data is damaged on "
        "the way.",
        "Try without the offload on the tunnel's device: ethtool -K DEVICE tx-checksum-ip-generic off. If that helps, "
        "update the driver or the kernel.",
        ("ethtool -k DEVICE", "nstat -az TcpInCsumErrors UdpInCsumErrors IpInHdrErrors"),
    ),
    Doc(
        "packets-dropped-size",
        "Packets do not fit their way, or their fragments get lost",
        Severity.WARNING,
        "A packet was larger than the MTU and may not be cut, or it was cut and not all of its fragments came in "
        "time. Connections stand, and large answers stall.",
        "Compare the MTUs of pods, tunnels and cards: skoopctl run mtu, or skoopctl diagnose.",
        ("ip link", "nstat -az IpReasmFails IpFragFails Icmp6InPktTooBigs"),
    ),
    Doc(
        "packets-malformed",
        "Packets are malformed",
        Severity.WARNING,
        "A header is cut, wrong, or not allowed where the packet came from. Healthy senders do not make such "
        "packets.",
        "Capture some, and see who sends them and by which device they come in.",
        ("nstat -az IpInHdrErrors Ip6InHdrErrors IpInTruncatedPkts", "tcpdump -ni DEVICE -c 20 -vv"),
    ),
    Doc(
        "packets-dropped-queue-full",
        "Queues of devices or CPUs are full",
        Severity.WARNING,
        "More packets came than the queueing discipline, the device's ring or a CPU's input queue holds. A limit "
        "of bandwidth does this on purpose.",
        "Compare with the pod's bandwidth annotations. For a CPU's queue, spread the receive queues (RSS, RPS), "
        "find what keeps that CPU busy, and raise net.core.netdev_max_backlog.",
        ("tc -s qdisc", "cat /proc/net/softnet_stat", "ip -s link"),
    ),
    Doc(
        "packets-dropped-by-programs",
        "eBPF programs, tc filters or security modules drop packets",
        Severity.WARNING,
        "A program at XDP, tc, a cgroup or a socket decided so: network policies of Cilium and of Calico's eBPF "
        "dataplane, security agents, or the receiving program's own filter. What they decide by is not in the "
        "kernel's tables.",
        "See which program is attached there, and ask its owner: cilium monitor -t drop, calico-node's logs.",
        ("bpftool net", "bpftool cgroup tree", "tc filter show dev DEVICE ingress"),
    ),
    Doc(
        "packets-dropped-by-tcp",
        "TCP drops segments that do not fit their connections",
        Severity.INFO,
        "The segment came too late, twice, or belongs to a connection of the past. Many of them, or with bad "
        "sequence numbers or timestamps, mean that something on the way changes or mixes connections (NAT, a "
        "load balancer, a proxy).",
        "See whose connections they are, and whether both directions take the same way: skoopctl diagnose.",
        ("nstat -az | grep TcpExt", "ss -tin"),
    ),
    Doc(
        "packets-dropped-unauthenticated",
        "Packets fail authentication or encryption",
        Severity.WARNING,
        "Both ends do not agree on IPsec policies, TCP MD5 or TCP-AO keys, or PSP.",
        "Compare keys and policies of both ends; after a change of keys, see that both have the new ones.",
        ("ip xfrm policy", "ip -s xfrm state", "nstat -az | grep -e MD5 -e TCPAO -e Xfrm"),
    ),
    Doc(
        "packets-dropped-by-tunnel",
        "A tunnel or a bridge does not take packets",
        Severity.WARNING,
        "No device has the packet's VNI, nobody is known for its MAC address, or the frame comes from where it may "
        "not. The nodes' tunnels do not fit each other.",
        "Compare the tunnel's devices and forwarding entries of both nodes: skoopctl diagnose between their pods.",
        ("ip -d link show type vxlan", "bridge fdb", "ip neigh"),
    ),
    Doc(
        "packets-dropped-by-device",
        "Devices drop packets",
        Severity.WARNING,
        "The device is down or not ready, its header cannot be made, or the bridge's port does not forward.",
        "See the device's state, and what has changed it: ip monitor link.",
        ("ip -d link", "bridge -d link"),
    ),
    Doc(
        "packets-dropped-no-memory",
        "The kernel has no memory for packets",
        Severity.CRITICAL,
        "An allocation failed, or memory is so short that only what frees some is received. It strikes all pods of "
        "the node.",
        "Find what uses the memory; raise vm.min_free_kbytes on nodes with fast cards.",
        ("cat /proc/meminfo", "cat /proc/net/sockstat", "dmesg | grep -i 'allocation failure'"),
    ),
    Doc(
        "packets-dropped-unsaid",
        "Packets are dropped, and the kernel does not say why",
        Severity.INFO,
        "The kernel tells no reason at this place, or one that this skoopctl does not know. The function tells "
        "where it was. Before Linux 5.17 there are no reasons at all.",
        "Look the function up in the kernel's source; compare with counters: skoopctl probe run all.",
        ("nstat -az", "ip -s -s link"),
    ),
)
