"""What the kernel's reasons are about: the subjects under which drops become findings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from skoopctl.checks.finding import Severity


@dataclass(frozen=True, slots=True)
class _About:
    """``finding`` is an id of the catalogue of findings; ``look`` are read-only commands on the node or in the pod."""

    finding: str
    severity: Severity
    cause: str
    look: tuple[str, ...] = ()


class Subject(Enum):
    """A subject, with what usually causes such drops in a cluster and what to look at."""

    RULES = _About(
        "packets-dropped-by-rules",
        Severity.CRITICAL,
        "a rule of a firewall, of a network policy or of kube-proxy, or a chain's policy",
        ("iptables-save -c", "nft -a list ruleset"),
    )
    NO_SOCKET = _About(
        "packets-for-no-socket",
        Severity.WARNING,
        "a program that is not there yet or any more, a wrong port, an endpoint that is gone",
        ("ss -ltunp",),
    )
    SOCKET_FULL = _About(
        "packets-dropped-socket-full",
        Severity.WARNING,
        "a program that reads or accepts too slowly, such as one at its CPU limit; buffers too small for bursts",
        ("ss -tumn", "nstat -az UdpRcvbufErrors TcpExtTCPBacklogDrop TcpExtListenOverflows"),
    )
    ROUTE = _About(
        "packets-dropped-no-route",
        Severity.CRITICAL,
        "a route that the network plugin has not made, or a node that forwards no packets",
        ("ip rule", "ip route show table all", "sysctl net.ipv4.ip_forward"),
    )
    SOURCE = _About(
        "packets-dropped-source-check",
        Severity.CRITICAL,
        "packets that come in by another device than answers would leave by, or with a forged address",
        ("sysctl -a -r 'net.ipv4.conf.*.rp_filter'", "ip route get ADDRESS"),
    )
    NEIGHBOUR = _About(
        "packets-dropped-no-neighbour",
        Severity.CRITICAL,
        "an address whose pod or node is gone, or ARP that does not get through; a full neighbour table",
        ("ip -s neigh", "sysctl net.ipv4.neigh.default.gc_thresh3"),
    )
    CHECKSUM = _About(
        "packets-dropped-checksum",
        Severity.CRITICAL,
        "checksum offload of a card that is wrong for tunnels (VXLAN), or a card or cable that damages data",
        ("ethtool -k DEVICE", "nstat -az TcpInCsumErrors UdpInCsumErrors"),
    )
    SIZE = _About(
        "packets-dropped-size",
        Severity.WARNING,
        "an MTU that is smaller on the way than at the ends, or fragments that got lost",
        ("ip link", "nstat -az IpReasmFails IpFragFails Icmp6InPktTooBigs"),
    )
    MALFORMED = _About(
        "packets-malformed",
        Severity.WARNING,
        "a sender, a tunnel or a device on the way that writes packets wrongly",
        ("nstat -az IpInHdrErrors Ip6InHdrErrors IpInTruncatedPkts", "ip -s -s link"),
    )
    QUEUE = _About(
        "packets-dropped-queue-full",
        Severity.WARNING,
        "more packets than a device, its queue or a CPU takes: a burst, a limit of bandwidth, a busy CPU",
        ("tc -s qdisc", "cat /proc/net/softnet_stat", "ip -s link"),
    )
    PROGRAM = _About(
        "packets-dropped-by-programs",
        Severity.WARNING,
        "an eBPF program or a filter of a network plugin, a security agent or a program's own socket",
        ("bpftool net", "bpftool cgroup tree", "tc filter show dev DEVICE ingress"),
    )
    TCP = _About(
        "packets-dropped-by-tcp",
        Severity.INFO,
        "segments that come late, twice or for a connection of the past; now and then that is normal",
        ("nstat -az | grep TcpExt", "ss -tin"),
    )
    SECURITY = _About(
        "packets-dropped-unauthenticated",
        Severity.WARNING,
        "keys or policies (TCP MD5, TCP-AO, IPsec) that differ between both ends",
        ("ip xfrm policy", "nstat -az | grep -e MD5 -e TCPAO -e Xfrm"),
    )
    TUNNEL = _About(
        "packets-dropped-by-tunnel",
        Severity.WARNING,
        "a tunnel's device, its VNI or its forwarding entries that do not fit those of the other node",
        ("ip -d link show type vxlan", "bridge fdb"),
    )
    DEVICE = _About(
        "packets-dropped-by-device",
        Severity.WARNING,
        "a device that is down, or not ready, or a port of a bridge that does not forward",
        ("ip -d link", "bridge -d link"),
    )
    MEMORY = _About(
        "packets-dropped-no-memory",
        Severity.CRITICAL,
        "a node that is short of memory",
        ("cat /proc/meminfo", "cat /proc/net/sockstat"),
    )
    UNSAID = _About(
        "packets-dropped-unsaid",
        Severity.INFO,
        "the kernel tells no reason, or one that skoopctl does not know; the function says where it was",
        ("nstat -az", "ip -s link"),
    )
