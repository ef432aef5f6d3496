"""The rows that the dashboards of nodes and of pods share: one table, asked of a node or of a pod."""

from __future__ import annotations

from dataclasses import dataclass

from docs.dashboards.parts import NOTE, WRONG, Link, Panel, Query, Row, board_url

WINDOW = "$__rate_interval"
ANY = ((1e-9, WRONG),)
"""Anything above nothing is too much."""
POD = "{{k8s_namespace}}/{{k8s_pod}}"
TO_POD = Link(
    "This pod",
    board_url(
        "skoopctl-pods",
        namespace="${__field.labels.k8s_namespace}",
        pod="${__field.labels.k8s_pod}",
    ),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Whose numbers are asked for."""

    select: str
    """Label matchers of the thing itself: the node's own namespace, or the pod."""
    pods: str = ""
    """Label matchers of the pods on it; empty for a pod."""
    own: str = ""
    """What the thing itself is called where pods stand beside it."""

    def rate(self, metric: str, legend: str) -> Query:
        """Ask how fast a counter grows."""
        return Query(f"rate({metric}{{{self.select}}}[{WINDOW}])", legend)

    def now(self, metric: str, legend: str) -> Query:
        """Ask for a value as it is."""
        return Query(f"{metric}{{{self.select}}}", legend)

    def rates(self, metric: str, legend: str) -> tuple[Query, ...]:
        """Ask how fast a counter grows, here and in the ten busiest pods."""
        if not self.pods:
            return (self.rate(metric, legend),)
        busiest = Query(f"topk(10, rate({metric}{{{self.pods}}}[{WINDOW}]) > 0)", POD)
        return (self.rate(metric, self.own), busiest)

    @property
    def links(self) -> tuple[Link, ...]:
        """Return where a pod's line leads."""
        return (TO_POD,) if self.pods else ()


def network(place: Place) -> Row:
    """Devices: what came, what went, what was lost at them."""
    return Row(
        "Network",
        (
            _device(place, "RX bytes", "rxbytes", "Bps", "Bytes received by all devices but the loopback."),
            _device(place, "TX bytes", "txbytes", "Bps", "Bytes sent by all devices but the loopback."),
            Panel(
                "Network Device RX and TX errors",
                "Frames that the device itself counts as damaged, a second. Above nothing: look at `ip -s "
                "link` and at the cable, the switch's port, or the hypervisor; for a veth it does not "
                "happen.",
                (
                    place.rate("kubeskoop_netdev_rxerrors", "received"),
                    place.rate("kubeskoop_netdev_txerrors", "sent"),
                ),
                unit="pps",
                steps=ANY,
            ),
            _device(
                place, "RX packets", "rxpackets", "pps", "Packets received by all devices but the loopback."
            ),
            _device(place, "TX packets", "txpackets", "pps", "Packets sent by all devices but the loopback."),
            Panel(
                "Network Device RX and TX drops",
                "Packets that a device or its driver dropped, a second: a full ring, no memory, a protocol "
                "that nobody takes. Above nothing and growing: `ethtool -S`, ring sizes, and the CPUs that "
                "take interrupts.",
                (
                    place.rate("kubeskoop_netdev_rxdropped", "received"),
                    place.rate("kubeskoop_netdev_txdropped", "sent"),
                ),
                unit="pps",
                steps=ANY,
            ),
        ),
    )


def _device(place: Place, what: str, metric: str, unit: str, about: str) -> Panel:
    beside = " The ten busiest pods stand beside the node's own devices." if place.pods else ""
    return Panel(
        f"Network Device {what}",
        about + beside,
        place.rates(f"kubeskoop_netdev_{metric}", what),
        unit=unit,
        links=place.links,
    )


def tcp(place: Place) -> Row:
    """Connections: how many, in which states, how they begin and end."""
    states = ("established", "timewait", "closewait", "synsent", "synrecv")
    both = ("kubeskoop_sock_inuse", "kubeskoop_sock_orphan")
    sockets = [Query(" + ".join(f"{metric}{{{place.select}}}" for metric in both), place.own or "sockets")]
    if place.pods:
        summed = " + ".join(f"{metric}{{{place.pods}}}" for metric in both)
        sockets.append(Query(f"topk(10, {summed})", POD))
    return Row(
        "TCP",
        (
            Panel(
                "TCP Connections",
                "Connections by state. A close-wait that only grows is a program that does not close; a "
                "syn-sent that stays is a peer that does not answer: `skoopctl diagnose` says where the SYN "
                "ends.",
                tuple(place.now(f"kubeskoop_tcpsummary_tcp{state}conn", state) for state in states),
            ),
            Panel(
                "TCP Socket Count",
                "Sockets in use, and orphans that no process holds any more. Many orphans: peers that went "
                "away without a word, or net.ipv4.tcp_max_orphans is near.",
                tuple(sockets),
                links=place.links,
            ),
            Panel(
                "TCP Opens",
                "Connections that began, a second: passive were accepted here, active were asked for here.",
                (
                    place.rate("kubeskoop_tcp_passiveopens", "passive"),
                    place.rate("kubeskoop_tcp_activeopens", "active"),
                ),
                unit="cps",
            ),
            Panel(
                "TCP segments sent again",
                "The share of sent segments that had to be sent again. Up to 1 % is usual between sites; "
                "more is loss on the way, or a peer that is too busy: `skoopctl diagnose` shows the way, "
                "the drops panels the place.",
                (
                    Query(
                        f"rate(kubeskoop_tcp_retranssegs{{{place.select}}}[{WINDOW}])"
                        f" / (rate(kubeskoop_tcp_outsegs{{{place.select}}}[{WINDOW}]) > 0)",
                        "sent again",
                    ),
                ),
                unit="percentunit",
                steps=((0.01, NOTE), (0.05, WRONG)),
            ),
            Panel(
                "TCP resets and failures",
                "Connections that were refused or timed out at their beginning, established ones that were "
                "reset, and resets that were sent, a second. Failures without resets: the SYN is dropped "
                "and not refused.",
                (
                    place.rate("kubeskoop_tcp_attemptfails", "could not begin"),
                    place.rate("kubeskoop_tcp_estabresets", "were reset"),
                    place.rate("kubeskoop_tcp_outrsts", "resets sent"),
                ),
                unit="cps",
            ),
            Panel(
                "TCP Queue",
                "Bytes that wait in sockets: tx for the peer to take them, rx for the program to read them. "
                "An rx queue that stays full is a program that is stuck.",
                (
                    place.now("kubeskoop_tcpsummary_tcptxqueue", "tx"),
                    place.now("kubeskoop_tcpsummary_tcprxqueue", "rx"),
                ),
                unit="bytes",
            ),
        ),
    )


_TCPEXT = (
    (
        "TCPListenDrops",
        "listendrops",
        (
            "Connections that a listening socket dropped, for whatever reason, a second. Clients see them "
            "as slow or as timeouts. The program accepts too slowly, or its backlog and somaxconn are too small."
        ),
    ),
    (
        "ListenOverflows",
        "listenoverflows",
        (
            "Connections that found the accept queue full, a second: part of the listen drops. See `ss "
            "-lnt`: Recv-Q is the queue, Send-Q its limit."
        ),
    ),
    (
        "TCPSynRetrans",
        "tcpsynretrans",
        "SYNs that were sent again, a second: a peer that does not answer, or an answer that does not come back.",
    ),
    (
        "TCPRcvQDrop",
        "tcprcvqdrop",
        (
            "Segments that were dropped because the socket's receive queue was full, a second: a program "
            "that reads too slowly for its buffer (net.ipv4.tcp_rmem)."
        ),
    ),
    (
        "TCP Memory Alloc Fail",
        "pfmemallocdrop",
        (
            "Packets that were dropped because only the kernel's emergency memory was left, a second: the "
            "node is out of memory."
        ),
    ),
    (
        "TCPBacklogDrop",
        "tcpbacklogdrop",
        "Segments that found the socket's backlog full while a program held the socket, a second.",
    ),
)


def tcpext(place: Place) -> Row:
    """Drops of TCP, each at its place."""
    panels = [
        Panel(title, about, (place.rate(f"kubeskoop_tcpext_{metric}", title),), unit="pps", steps=ANY)
        for title, metric, about in _TCPEXT
    ]
    return Row("Drops of TCP and IP", (*panels, *_before_tcp(place)))


def _before_tcp(place: Place) -> tuple[Panel, ...]:
    """Return what is lost before a connection stands."""
    return (
        Panel(
            "Accept queue",
            "Connections that are established and wait for a program to accept them. A queue that stays long is a "
            "program that is too slow; what comes next is ListenOverflows.",
            (place.now("skoopctl_tcp_accept_queue", "waiting"),),
        ),
        Panel(
            "Half-open queue full",
            "SYNs that found a listener's queue of half-open connections full, a second: dropped, or answered with a "
            "cookie. A burst of clients, or a SYN flood.",
            (
                place.rate("skoopctl_tcp_request_queue_full_drops_total", "dropped"),
                place.rate("skoopctl_tcp_request_queue_full_cookies_total", "cookies"),
            ),
            unit="pps",
            steps=ANY,
        ),
        Panel(
            "Reverse path filter",
            "Packets that rp_filter dropped, a second: they came by another device than the answer would leave by. "
            "`skoopctl diagnose` names the route.",
            (place.rate("skoopctl_ip_reverse_path_drops_total", "dropped"),),
            unit="pps",
            steps=ANY,
        ),
    )


_UDP = (
    (
        "UDP RCV-Buffer exceeded",
        "rcvbuferrors",
        (
            "Datagrams that found the socket's receive buffer full, a second: the program reads too slowly, "
            "or its buffer (SO_RCVBUF, net.core.rmem_max) is too small. With DNS, answers never come."
        ),
    ),
    (
        "UDP SND-Buffer exceeded",
        "sndbuferrors",
        "Datagrams that could not be sent for lack of buffer, a second: the queue below is full.",
    ),
    (
        "UDP No-Ports",
        "noports",
        "Datagrams for a port where nobody listens, a second: a server that is gone, or answers that came too late.",
    ),
    (
        "UDP In Error",
        "inerrors",
        "Datagrams that were not delivered, a second, for whatever reason: full buffers and wrong checksums.",
    ),
)


def udp(place: Place) -> Row:
    """Drops of UDP, each at its place."""
    panels = [
        Panel(title, about, (place.rate(f"kubeskoop_udp_{metric}", title),), unit="pps", steps=ANY, width=6)
        for title, metric, about in _UDP
    ]
    return Row("UDP", tuple(panels))


def processes(place: Place) -> Row:
    """What processes read, write, and hold open."""
    own = "processes that belong to no pod" if place.pods else "the pod's processes"
    whose = f"{own}, and the ten busiest pods" if place.pods else own
    opened = [place.now("kubeskoop_fd_openfd", "files"), place.now("kubeskoop_fd_opensocket", "sockets")]
    read = place.rates("kubeskoop_io_readbytes", "read")
    written = place.rates("kubeskoop_io_writebytes", "written")
    return Row(
        "Processes",
        (
            Panel(
                "Open files and sockets",
                f"What {own} hold open, by their cgroup. A number that only grows ends at the limit "
                "(`ulimit -n`) with *too many open files*. The probe `fd` is not on by default: it is a dear one.",
                tuple(opened),
            ),
            Panel("Bytes read from disks", f"By {whose}, a second.", read, unit="Bps", links=place.links),
            Panel("Bytes written to disks", f"By {whose}, a second.", written, unit="Bps", links=place.links),
        ),
    )
