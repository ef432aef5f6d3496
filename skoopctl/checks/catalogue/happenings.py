"""What events other than drops tell: resets, retransmits, failures, what takes long."""

from __future__ import annotations

from skoopctl.checks.catalogue.doc import Doc
from skoopctl.checks.finding import Severity

HAPPENINGS = (
    Doc(
        "reset-for-no-socket",
        "TCP segments for no socket are answered with resets",
        Severity.WARNING,
        "Nobody listens on that port, or the connection is not known here: its pod was replaced, or packets of a "
        "connection come to another node or pod than before. The other side sees connection refused, or connection "
        "reset by peer.",
        "See who asks for which port. Behind a service, look for endpoints that are gone, and for conntrack entries "
        "that outlived them.",
        ("ss -ltnp", "kubectl get endpointslices -o wide", "nstat -az TcpOutRsts"),
    ),
    Doc(
        "reset-by-program",
        "Programs end their connections with resets",
        Severity.INFO,
        "A program closed its socket with data unread, asked for it (SO_LINGER 0), or its connection was ended for "
        "want of memory or of an answer to keepalives; the reason tells which. The other side sees connection reset "
        "by peer.",
        "Ask the program's log what it did then: time limits of requests and restarts are the usual reasons.",
        ("nstat -az TcpExtTCPAbortOnClose TcpExtTCPAbortOnData TcpExtTCPAbortOnTimeout", "ss -tanp"),
    ),
    Doc(
        "reset-by-protocol",
        "TCP answers segments that it cannot take with resets",
        Severity.WARNING,
        "A segment did not fit the state of its connection: an acknowledgement of what was not sent, a timestamp of "
        "the past, a SYN in the middle. Something on the way changes or mixes connections, or one side has "
        "forgotten the connection.",
        "See whether both directions take the same way (skoopctl diagnose), and what NAT does in between.",
        ("nstat -az TcpOutRsts TcpEstabResets", "conntrack -L -p tcp"),
    ),
    Doc(
        "reset-received",
        "Connections are reset by the other side",
        Severity.INFO,
        "A reset came in and ended a connection: a program here got connection reset by peer, or connection refused. "
        "The cause is at the other end, or at a proxy or firewall that writes resets in its name.",
        "Look at the other end: run the probe tcpreset on its node too. If no reset is sent there, something between "
        "them sends it.",
        ("nstat -az TcpEstabResets TcpAttemptFails", "ss -tanp"),
    ),
    Doc(
        "segments-retransmitted",
        "Segments of these connections are sent again",
        Severity.WARNING,
        "No acknowledgement came in time: the segment or its ACK was lost, or the other side is slow. A SYN or "
        "SYN-ACK that is sent again costs a second and more.",
        "See which flows it hits: one peer points to its node, all of them to this node's card or queue. Run the "
        "probe packetloss on both nodes: it tells where packets go.",
        ("ss -tin", "nstat -az TcpRetransSegs TcpExtTCPLostRetransmit TcpExtTCPSynRetrans"),
    ),
    Doc(
        "connects-failed",
        "Connections fail",
        Severity.WARNING,
        "connect() got an error: ECONNREFUSED is an answer (nobody listens, or a rule rejects), ETIMEDOUT is none "
        "(the SYN or its answer is lost), EHOSTUNREACH and ENETUNREACH come from routes and neighbours.",
        "Ask for the path: skoopctl diagnose from this pod to whom it connects.",
        ("ss -tn state syn-sent", "nstat -az TcpAttemptFails"),
    ),
    Doc(
        "connects-abandoned",
        "Connections are given up before there is an answer",
        Severity.WARNING,
        "The program closed the socket while its SYN was not answered: its own time limit was shorter than the "
        "kernel's, or it had no local port left.",
        "Ask for the path: skoopctl diagnose from this pod to whom it connects.",
        ("ss -tn state syn-sent", "sysctl net.ipv4.ip_local_port_range", "ss -s"),
    ),
    Doc(
        "connects-slow",
        "Connections take long to be made",
        Severity.WARNING,
        "The handshake took longer than the probe's threshold. One second, three or seven mean that a SYN or a "
        "SYN-ACK was lost and sent again; less is the way, or a busy peer.",
        "Compare peers: one alone is busy or far. Run tcpretrans and packetloss where seconds are lost.",
        ("ss -tin", "nstat -az TcpExtTCPSynRetrans TcpExtListenOverflows"),
    ),
    Doc(
        "softirq-slow",
        "Softirqs wait or run long",
        Severity.WARNING,
        "The kernel's work for packets (NET_RX, NET_TX) waits for its turn while something else holds the CPU, or "
        "it has so much to do that others wait. All pods of the node feel it.",
        "See which CPU it is and what runs there; spread the card's interrupts and receive queues (RSS, RPS).",
        ("cat /proc/softirqs", "cat /proc/net/softnet_stat", "cat /proc/interrupts"),
    ),
    Doc(
        "transmit-slow",
        "Packets leave slowly",
        Severity.WARNING,
        "A packet waited long in a device's queueing discipline, or its driver took long. A limit of bandwidth, a "
        "full ring or a slow peer of a virtual device hold it.",
        "Compare with the pod's bandwidth annotations and with the queue's backlog.",
        ("tc -s qdisc", "ip -s link", "ethtool -S DEVICE"),
    ),
    Doc(
        "kernel-path-slow",
        "Packets are long on their way through the kernel",
        Severity.WARNING,
        "Between the device and the socket a packet took longer than the probe's threshold: a busy CPU, many "
        "rules, or a softirq that had to wait.",
        "Run softirq and runqueue beside it: they tell whether the CPU is busy.",
        ("cat /proc/net/softnet_stat", "iptables-save | wc -l"),
    ),
    Doc(
        "socket-slow",
        "Data waits in sockets",
        Severity.WARNING,
        "Data that had arrived was not read for long, or data that was written could not be sent: the program is "
        "slow, it has no CPU, or the other side's window is closed.",
        "Run runqueue beside it: it tells whether the program waits for a CPU. Then ask the program.",
        ("ss -tmin",),
    ),
    Doc(
        "cpu-wait-slow",
        "Tasks wait long for a CPU",
        Severity.WARNING,
        "A task could run and had no CPU: too many tasks for the node's CPUs, or a CPU limit of its cgroup. What "
        "looks like a slow network is often this.",
        "Compare the pod's CPU limit with its use (cpu.stat: nr_throttled), and the node's load with its CPUs.",
        ("cat /proc/pressure/cpu", "cat /proc/loadavg", "cat /sys/fs/cgroup/.../cpu.stat"),
    ),
    Doc(
        "block-io-slow",
        "Requests to block devices take long",
        Severity.WARNING,
        "A disk or its network took long for a request. Programs that write their logs or wait for fsync stand "
        "still meanwhile, and answer late.",
        "See which disk it is, and what writes to it; on cloud disks compare with the limits of its kind.",
        ("cat /proc/pressure/io", "cat /proc/diskstats"),
    ),
    Doc(
        "nic-command-slow",
        "Commands to a virtual network card take long",
        Severity.WARNING,
        "virtio-net waited long for its host to carry out a command, such as a change of its filters, and the "
        "kernel spins meanwhile.",
        "Ask who runs the host: it is overloaded, or paused the machine.",
        ("ethtool -i DEVICE", "dmesg | grep -i virtio"),
    ),
    Doc(
        "dns-failing",
        "DNS questions get errors, or no answer",
        Severity.WARNING,
        "A resolver answered with an error (SERVFAIL, REFUSED), or not within five seconds. Clients ask again after "
        "five seconds: what takes that long is often this.",
        "Ask for the path: skoopctl diagnose from this pod to svc/kube-system/kube-dns, port 53, UDP; see the "
        "DNS pods' logs and their upstreams.",
        ("cat /etc/resolv.conf", "conntrack -S"),
    ),
    Doc(
        "dns-slow",
        "DNS answers take long",
        Severity.WARNING,
        "A resolver answered later than the probe's threshold: it is busy, or waits for its upstream.",
        "Look at the DNS pods' CPU limits and their cache's hits; a cache on each node helps.",
        ("cat /etc/resolv.conf",),
    ),
)
