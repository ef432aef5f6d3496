"""What counters tell while a cluster is watched: loss, full queues, refused and forgotten connections."""

from __future__ import annotations

from skoopctl.checks.catalogue.doc import Doc
from skoopctl.checks.finding import Severity

METRICS = (
    Doc(
        "tcp-retransmissions",
        "TCP sends many segments again",
        Severity.WARNING,
        "A segment is sent again when its ACK does not come: it was lost, or the ACK was, or the other side "
        "is slow. Each one costs its connection at least a round trip, and a timeout 200 ms and more.",
        "Compare with other nodes: one pod alone points to its peer, all pods of a node to its card, its "
        "cable or its drops, all nodes to the network between them.",
        ("ss -tin", "nstat -az TcpRetransSegs TcpExtTCPLostRetransmit", "ip -s link"),
    ),
    Doc(
        "tcp-syn-retransmissions",
        "SYNs are not answered",
        Severity.WARNING,
        "A SYN that gets no answer is sent again after 1 s, 3 s, 7 s: connections begin late, or not at "
        "all. The packet is dropped on its way, the listener's queue is full, or the answer does not find "
        "back.",
        "Ask for the path: skoopctl diagnose from this pod to whom it connects.",
        ("ss -tn state syn-sent", "nstat -az TcpExtTCPSynRetrans"),
    ),
    Doc(
        "tcp-listen-overflow",
        "A listener drops new connections: its accept queue is full",
        Severity.CRITICAL,
        "The kernel has finished handshakes that the program does not accept() fast enough. When the queue "
        "(the smaller of the program's backlog and net.core.somaxconn) is full, the last ACK and new SYNs "
        "are dropped: clients wait a second and more.",
        "Find out why the program accepts slowly: CPU limits, blocked threads. Then raise its backlog, and "
        "net.core.somaxconn of the pod.",
        ("ss -ltn", "nstat -az TcpExtListenOverflows TcpExtListenDrops"),
    ),
    Doc(
        "tcp-request-queue-full",
        "A listener's queue of half-open connections is full",
        Severity.WARNING,
        "More SYNs came than handshakes were finished. The kernel answers with SYN cookies, which carry "
        "fewer options, or drops the SYN where they are off.",
        "See whether it is a flood or a rush of real clients; raise net.ipv4.tcp_max_syn_backlog and the "
        "backlog.",
        ("ss -tn state syn-recv", "nstat -az TcpExtTCPReqQFullDoCookies TcpExtTCPReqQFullDrop"),
    ),
    Doc(
        "tcp-resets",
        "Many connections are reset from here",
        Severity.WARNING,
        "A RST is sent for a packet to a port where nobody listens, to a connection that this kernel does "
        "not know, or when a program closes with data unread.",
        "See which port it is; behind a service, look for endpoints that are gone, and for old conntrack "
        "entries.",
        (
            "nstat -az TcpOutRsts TcpExtTCPAbortOnClose TcpExtTCPAbortOnData",
            "tcpdump -ni any 'tcp[13] & 4 != 0'",
        ),
    ),
    Doc(
        "tcp-connect-failures",
        "Many connections fail before they are established",
        Severity.WARNING,
        "An attempt fails when it is refused (RST, or an ICMP error) or never answered; a health check of a "
        "port that is closed does the same.",
        "Ask for the path: skoopctl diagnose from this pod to whom it connects.",
        ("ss -tn state syn-sent", "nstat -az TcpAttemptFails TcpActiveOpens"),
    ),
    Doc(
        "tcp-receive-drops",
        "TCP drops data that arrived",
        Severity.WARNING,
        "The segment was there, and the socket had no room: its receive queue or its backlog was full, or "
        "its window was closed. The program reads too slowly, and the sender has to send again.",
        "Find out why the program reads slowly; then raise net.ipv4.tcp_rmem.",
        ("ss -tmn", "nstat -az TcpExtTCPBacklogDrop TcpExtTCPRcvQDrop TcpExtTCPZeroWindowDrop"),
    ),
    Doc(
        "tcp-memory-pressure",
        "TCP is short of memory",
        Severity.CRITICAL,
        "All sockets of a node share net.ipv4.tcp_mem, counted in pages. Above its middle value buffers "
        "shrink, at its highest connections are reset and packets dropped, of every pod.",
        "Find whose sockets hold the memory; then raise net.ipv4.tcp_mem.",
        ("cat /proc/net/sockstat", "sysctl net.ipv4.tcp_mem", "ss -tmn"),
    ),
    Doc(
        "tcp-close-wait",
        "Many connections wait for the program to close them",
        Severity.WARNING,
        "In CLOSE_WAIT the other side has closed, and the program here has not: it leaks sockets, and "
        "sooner or later has no file descriptor left.",
        "It is the program's bug; restarting it helps until the next time.",
        ("ss -tnp state close-wait",),
    ),
    Doc(
        "udp-receive-buffer-full",
        "UDP datagrams are dropped: the socket's receive buffer is full",
        Severity.WARNING,
        "The datagram arrived, and the program had not read those before it. Nobody sends it again: for DNS "
        "that is a timeout of 5 s.",
        "Find out why the program reads slowly (CPU limits above all); raise net.core.rmem_max and its "
        "buffer.",
        ("ss -uamn", "nstat -az UdpRcvbufErrors"),
    ),
    Doc(
        "udp-send-buffer-full",
        "UDP datagrams are not sent: the socket's send buffer is full",
        Severity.WARNING,
        "The device or its queue does not take packets as fast as the program sends them.",
        "Look at the device's queue and its drops; raise net.core.wmem_max.",
        ("ss -uamn", "nstat -az UdpSndbufErrors", "tc -s qdisc"),
    ),
    Doc(
        "udp-no-listener",
        "UDP datagrams arrive for ports on which nobody listens",
        Severity.WARNING,
        "The kernel answers each with an ICMP error. The sender has an old address, or the program that "
        "listened is gone: a DNS server that was moved, behind old conntrack entries, is the usual case.",
        "See who sends and to which port; look for the program, and for old entries: skoopctl diagnose to "
        "that port.",
        ("nstat -az UdpNoPorts", "tcpdump -ni any 'icmp[0] == 3 and icmp[1] == 3'"),
    ),
    Doc(
        "softnet-drops",
        "A CPU drops packets before the stack sees them",
        Severity.WARNING,
        "Packets between namespaces and from some cards wait in a queue of each CPU. At "
        "net.core.netdev_max_backlog more are dropped, whoever they are for, and no counter of a device "
        "tells.",
        "See whether one CPU takes all interrupts (RSS, RPS); raise net.core.netdev_max_backlog.",
        ("cat /proc/net/softnet_stat", "sysctl net.core.netdev_max_backlog", "mpstat -P ALL 1 5"),
    ),
    Doc(
        "softnet-squeezed",
        "CPUs stop receiving with packets left: their budget is used up",
        Severity.INFO,
        "A softirq handles at most net.core.netdev_budget packets or net.core.netdev_budget_usecs; what is "
        "left waits for its next turn. Often, it is latency; with drops beside it, it is loss.",
        "See whether one CPU takes all interrupts; raise net.core.netdev_budget and netdev_budget_usecs.",
        ("cat /proc/net/softnet_stat", "sysctl net.core.netdev_budget net.core.netdev_budget_usecs"),
    ),
    Doc(
        "netdev-drops",
        "Devices drop packets",
        Severity.WARNING,
        "On receipt: no buffer was free, or nobody wanted the protocol. On sending: the device was down, or "
        "its queue was full.",
        "See which device it is and what its driver counts; a larger ring helps where bursts are the cause.",
        ("ip -s -s link", "ethtool -S DEVICE", "ethtool -g DEVICE"),
    ),
    Doc(
        "netdev-errors",
        "Devices count errors",
        Severity.WARNING,
        "Damaged frames (a cable, a plug, a switch's port), wrong lengths, or a queue of the card that ran "
        "over.",
        "See what the driver counts; change the cable or the port.",
        ("ip -s -s link", "ethtool -S DEVICE"),
    ),
    Doc(
        "qdisc-drops",
        "A queue drops packets that should be sent",
        Severity.WARNING,
        "The device's queueing discipline was full, or its limit of bandwidth was reached: a pod's bandwidth "
        "annotation does that, and so does a slow card.",
        "See which device it is; raise the limit, or the queue's length.",
        ("tc -s qdisc",),
    ),
    Doc(
        "qdisc-backlog",
        "Much waits to be sent",
        Severity.WARNING,
        "Bytes that wait in a queueing discipline are latency for all that comes behind them.",
        "See which device it is; who sends so much, and what holds it back.",
        ("tc -s qdisc",),
    ),
    Doc(
        "qdisc-overlimits",
        "A limit of bandwidth holds packets back",
        Severity.INFO,
        "A shaper (tbf, htb) counts each time that a packet had to wait for its turn. It does what it was "
        "set up for; if nobody knows of it, it is why the pod is slow.",
        "Compare with the pod's bandwidth annotations and with what set up the device.",
        ("tc -s qdisc", "tc -s class show dev DEVICE"),
    ),
    Doc(
        "conntrack-insert-failed",
        "conntrack drops packets: an entry like theirs is there already",
        Severity.WARNING,
        "Two packets of one new flow, or two flows that SNAT gave the same address and port, were under way "
        "at once; the later is dropped. Two DNS questions from one socket are the known case: a timeout of "
        "5 s.",
        "Run a DNS cache on the node, let the resolver send one question at a time (single-request-reopen), "
        "and let MASQUERADE choose ports at random (--random-fully).",
        ("conntrack -S",),
    ),
    Doc(
        "conntrack-drops",
        "conntrack drops new connections",
        Severity.CRITICAL,
        "The table was full, and an entry had to go, or the new connection was dropped. It strikes whoever "
        "comes next, on every port.",
        "Raise net.netfilter.nf_conntrack_max, shorten nf_conntrack_tcp_timeout_established, or find who "
        "makes so many connections.",
        ("conntrack -S", "sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max"),
    ),
    Doc(
        "ip-reassembly-failures",
        "Fragments cannot be put together",
        Severity.WARNING,
        "One fragment of a packet was lost, came too late, or there was no memory: the whole packet is "
        "gone. Tunnels with a wrong MTU, and large DNS answers, make fragments.",
        "Find why there are fragments: skoopctl diagnose shows where a packet does not fit.",
        ("nstat -az IpReasmFails IpReasmTimeout IpReasmReqds", "sysctl net.ipv4.ipfrag_high_thresh"),
    ),
    Doc(
        "ip-fragmentation-needed",
        "Packets are too large for their way",
        Severity.WARNING,
        "A packet was larger than the MTU of the device that it should leave by, and may not be cut (DF). "
        "The sender gets an ICMP error; where that is lost, the connection stands and its data stalls.",
        "Compare the MTUs of pods, tunnels and cards: skoopctl run mtu, or skoopctl diagnose.",
        ("nstat -az IpFragFails", "ip link"),
    ),
    Doc(
        "ip-no-route-out",
        "Packets have no route",
        Severity.WARNING,
        "The routing tables had nothing for the packet's destination, or a route that refuses it.",
        "Ask for the path: skoopctl diagnose to whom it should go.",
        ("nstat -az IpOutNoRoutes", "ip route", "ip rule"),
    ),
    Doc(
        "reverse-path-drops",
        "The reverse path filter drops packets",
        Severity.WARNING,
        "With rp_filter on, a packet is dropped when the way back to its source does not lead out of the "
        "device that it came in by: asymmetric routes, a second card, a network plugin that wants it off.",
        "Ask for the path: skoopctl diagnose. Then the route, or net.ipv4.conf.DEVICE.rp_filter.",
        ("nstat -az TcpExtIPReversePathFilter", "sysctl -a -r 'net.ipv4.conf.*rp_filter'"),
    ),
)
