"""Tunnels and sizes."""

from __future__ import annotations

from skoopctl.checks.catalogue.doc import Doc
from skoopctl.checks.finding import Severity

TUNNELS = (
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
)
