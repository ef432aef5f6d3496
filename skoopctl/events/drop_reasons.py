"""Why kernels drop packets: ``enum skb_drop_reason`` of Linux 5.17 to 6.18, a row each.

The names are the kernel's without prefix, those that it has renamed too; include/net/dropreason-core.h explains them
for its programmers.
"""

from __future__ import annotations

from skoopctl.checks.finding import Severity
from skoopctl.events.subjects import Subject

NOISE = True
"""Marks what happens where all is well: it makes no finding."""
Row = tuple[str, str, *tuple[bool | Severity, ...]]
"""Name, meaning, and `NOISE` or another severity than the subject's."""

_CRITICAL, _WARNING, _INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO

DROP_ROWS: dict[Subject, tuple[Row, ...]] = {
    Subject.RULES: (("NETFILTER_DROP", "rules of netfilter dropped the packet"),),
    Subject.NO_SOCKET: (("NO_SOCKET", "nobody has a socket for the packet"),),
    Subject.SOCKET_FULL: (
        ("SOCKET_RCVBUFF", "the socket's receive buffer was full"),
        ("SOCKET_BACKLOG", "the socket's backlog was full while its program held it"),
        ("PROTO_MEM", "the protocol has used all memory that the node lets it have", _CRITICAL),
        ("TCP_ZEROWINDOW", "the receiver's window was closed: its program does not read"),
        ("TCP_LISTEN_OVERFLOW", "the listener's queue of new connections was full", _CRITICAL),
        ("TCP_REQQFULLDROP", "the listener's queue of half-open connections was full", _CRITICAL),
        ("TCP_OFO_QUEUE_PRUNE", "segments that came before their turn were thrown away to make room"),
    ),
    Subject.ROUTE: (
        ("IP_OUTNOROUTES", "there was no route to send the packet by"),
        ("IP_INNOROUTES", "there was no route for a packet that came in"),
        ("IP_INADDRERRORS", "the destination is not for this node, and is not forwarded"),
    ),
    Subject.SOURCE: (
        ("IP_RPFILTER", "the reverse path filter refused the source address"),
        ("IP_LOCAL_SOURCE", "a packet came in with this node's own address as its source"),
        ("IP_INVALID_SOURCE", "the source address may not be one: multicast, broadcast or zero", _WARNING),
        ("IP_LOCALNET", "an address of the loopback network came in by a device", _WARNING),
        ("IP_INVALID_DEST", "the destination address may not be one", _WARNING),
    ),
    Subject.NEIGHBOUR: (
        ("NEIGH_CREATEFAIL", "no entry for the next hop could be made: the neighbour table is full"),
        ("NEIGH_FAILED", "nobody answered for the address of the next hop"),
        ("NEIGH_QUEUEFULL", "too many packets were waiting for the next hop's MAC address"),
        ("NEIGH_DEAD", "the neighbour's entry went away while the packet waited", _WARNING),
        ("NEIGH_HH_FILLFAIL", "the frame's header could not be written", _WARNING),
    ),
    Subject.CHECKSUM: (
        ("TCP_CSUM", "the TCP checksum is wrong"),
        ("UDP_CSUM", "the UDP checksum is wrong"),
        ("IP_CSUM", "the checksum of the IP header is wrong"),
        ("ICMP_CSUM", "the ICMP checksum is wrong"),
        ("SKB_CSUM", "the checksum could not be computed"),
    ),
    Subject.SIZE: (
        ("PKT_TOO_BIG", "the packet is larger than the MTU, and may not be cut"),
        ("DUP_FRAG", "a fragment came twice", _INFO),
        ("FRAG_REASM_TIMEOUT", "fragments did not all come in time"),
        ("FRAG_TOO_FAR", "fragments came too far out of order"),
    ),
    Subject.MALFORMED: (
        ("PKT_TOO_SMALL", "the packet is shorter than its header says"),
        ("IP_INHDR", "the IP header is wrong"),
        ("IP_NOPROTO", "nobody here speaks the packet's protocol", _INFO),
        ("INVALID_PROTO", "the packet's protocol is not one that is allowed here"),
        ("HDR_TRUNC", "the packet's header is cut"),
        ("SKB_GSO_SEG", "a large packet could not be cut into segments"),
        ("SKB_UCOPY_FAULT", "the packet could not be copied from the program's memory"),
        ("IPV6_BAD_EXTHDR", "an extension header of IPv6 is wrong"),
        ("IPV6_NDISC_FRAG", "neighbour discovery came in fragments, which is not allowed"),
        ("IPV6_NDISC_HOP_LIMIT", "neighbour discovery has come over a router, which is not allowed"),
        ("IPV6_NDISC_BAD_CODE", "neighbour discovery has a code that does not exist"),
        ("IPV6_NDISC_BAD_OPTIONS", "neighbour discovery has options that are wrong"),
        ("CAN_RX_INVALID_FRAME", "a CAN frame is wrong"),
        ("CANFD_RX_INVALID_FRAME", "a CAN FD frame is wrong"),
        ("CANXL_RX_INVALID_FRAME", "a CAN XL frame is wrong"),
    ),
    Subject.QUEUE: (
        ("QDISC_DROP", "the queueing discipline of a device dropped the packet"),
        ("QDISC_OVERLIMIT", "the queue of a device had reached its limit"),
        ("QDISC_CONGESTED", "the queueing discipline saw congestion"),
        ("CAKE_FLOOD", "the flow sent more than the CAKE qdisc gives it"),
        ("FQ_BAND_LIMIT", "the fq qdisc had too many packets of that priority"),
        ("FQ_HORIZON_LIMIT", "the packet was to be sent too far in the future for the fq qdisc"),
        ("FQ_FLOW_LIMIT", "the flow had too many packets in the fq qdisc"),
        ("DUALPI2_STEP_DROP", "the dualpi2 qdisc held the packet for too long"),
        ("CPU_BACKLOG", "a CPU's input queue was full, or the flow over its limit there", _CRITICAL),
        ("FULL_RING", "the ring of a tun or tap device was full"),
    ),
    Subject.PROGRAM: (
        ("SOCKET_FILTER", "the filter of the socket's own program dropped it", _INFO),
        ("BPF_CGROUP_EGRESS", "an eBPF program at the cgroup dropped it on its way out", _CRITICAL),
        ("TC_EGRESS", "a tc filter or program dropped it on its way out", _CRITICAL),
        ("QDISC_EGRESS", "a tc filter or program dropped it on its way out", _CRITICAL),
        ("TC_INGRESS", "a tc filter or program dropped it on its way in", _CRITICAL),
        ("QDISC_INGRESS", "a tc filter or program dropped it on its way in", _CRITICAL),
        ("TC_ERROR", "a tc filter could not be followed"),
        ("TC_COOKIE_ERROR", "a tc filter asked for something that does not exist"),
        ("TC_CHAIN_NOTFOUND", "a tc filter led to a chain that does not exist"),
        ("TC_RECLASSIFY_LOOP", "tc filters led in a circle"),
        ("XDP", "an XDP program dropped it", _CRITICAL),
        ("SECURITY_HOOK", "a security module (SELinux, AppArmor, Smack) refused it", _CRITICAL),
        ("TAP_FILTER", "the filter of a tap device dropped it"),
        ("TAP_TXFILTER", "the filter of a tap device dropped it on its way out"),
    ),
    Subject.TCP: (
        ("TCP_FLAGS", "the TCP flags do not fit the connection's state"),
        ("TCP_ABORT_ON_DATA", "data came after the program had closed its socket", NOISE),
        ("TCP_ABORTONDATA", "data came after the program had closed its socket", NOISE),
        ("TCP_OLD_DATA", "the data had been received before", NOISE),
        ("TCP_OVERWINDOW", "the data is beyond what the receiver said that it takes"),
        ("TCP_OFOMERGE", "the data is part of a segment that waits for its turn already", NOISE),
        ("TCP_PAWS", "the timestamp is older than the last one", _WARNING),
        ("TCP_RFC7323_PAWS", "the timestamp is older than the last one", _WARNING),
        ("TCP_RFC7323_PAWS_ACK", "the timestamp of an ACK is older than the last one", NOISE),
        ("TCP_RFC7323_TW_PAWS", "an old timestamp for a connection in TIME_WAIT", _WARNING),
        ("TCP_OFO_DROP", "the data waited for its turn, and has come otherwise since", NOISE),
        ("TCP_RFC7323_TSECR", "the echoed timestamp was never sent", _WARNING),
        ("TCP_OLD_SEQUENCE", "the sequence number is of data that has come before", NOISE),
        ("TCP_INVALID_SEQUENCE", "the sequence number is outside of the window", _WARNING),
        ("TCP_INVALID_END_SEQUENCE", "the segment ends outside of the window", _WARNING),
        ("TCP_INVALID_ACK_SEQUENCE", "it acknowledges what the connection has not sent", _WARNING),
        ("TCP_RESET", "the segment was a reset, which carries nothing more", NOISE),
        ("TCP_INVALID_SYN", "a SYN came in the middle of a connection", _WARNING),
        ("TCP_CLOSE", "the connection is closed, or never began", NOISE),
        ("TCP_FASTOPEN", "data of TCP Fast Open could not be taken"),
        ("TCP_OLD_ACK", "the ACK is older than the last one", NOISE),
        ("TCP_TOO_OLD_ACK", "the ACK is far older than the last one", _WARNING),
        ("TCP_ACK_UNSENT_DATA", "it acknowledges data that was never sent", _WARNING),
        ("TCP_MINTTL", "the TTL is below what the socket asks for (IP_MINTTL)", _WARNING),
    ),
    Subject.SECURITY: (
        ("XFRM_POLICY", "a policy of IPsec refused it"),
        ("TCP_AUTH_HDR", "the TCP option with its authentication is wrong"),
        ("TCP_MD5NOTFOUND", "it has no MD5 signature, and one is expected"),
        ("TCP_MD5UNEXPECTED", "it has an MD5 signature, and none is expected"),
        ("TCP_MD5FAILURE", "its MD5 signature is wrong"),
        ("TCP_AONOTFOUND", "it has no TCP-AO signature, and one is expected"),
        ("TCP_AOUNEXPECTED", "it has a TCP-AO signature, and none is expected"),
        ("TCP_AOKEYNOTFOUND", "its TCP-AO key is not known here"),
        ("TCP_AOFAILURE", "its TCP-AO signature is wrong"),
        ("PSP_INPUT", "it came in without the encryption (PSP) that its connection asks for"),
        ("PSP_OUTPUT", "it was to be sent without the encryption (PSP) that its connection asks for"),
    ),
    Subject.TUNNEL: (
        ("VXLAN_INVALID_HDR", "the VXLAN header is wrong"),
        ("VXLAN_VNI_NOT_FOUND", "no VXLAN device here has its VNI"),
        ("VXLAN_ENTRY_EXISTS", "its MAC address was learned elsewhere, or is set by hand"),
        ("MAC_INVALID_SOURCE", "the frame's source MAC address may not be one"),
        ("NO_TX_TARGET", "the tunnel or bridge knows nobody to send it to"),
        ("IP_TUNNEL_ECN", "the congestion marks of the outer and the inner packet do not fit"),
        ("TUNNEL_TXINFO", "the tunnel was not told where to send it"),
        ("LOCAL_MAC", "the frame's source is this tunnel's own MAC address: a loop"),
    ),
    Subject.DEVICE: (
        ("OTHERHOST", "the frame was for another host's MAC address", NOISE),
        ("UNICAST_IN_L2_MULTICAST", "a packet for one address came in a frame for many", NOISE),
        ("UNHANDLED_PROTO", "nobody here speaks the frame's protocol, such as LLDP", NOISE),
        ("MAC_IEEE_MAC_CONTROL", "the frame was for bridges alone, such as a pause or STP", NOISE),
        ("IPV6DISABLED", "IPv6 is switched off on the device", _INFO),
        ("IPV6_NDISC_NS_OTHERHOST", "a neighbour was asked for that is somebody else", NOISE),
        ("ARP_PVLAN_DISABLE", "ARP for a neighbour of the same device, which is not answered for", NOISE),
        ("BRIDGE_INGRESS_STP_STATE", "the port of the bridge does not forward (STP)"),
        ("DEV_HDR", "the device's header could not be made or read"),
        ("DEV_READY", "the device is not ready, or down"),
        ("RECURSION_LIMIT", "devices send to each other in a circle", _CRITICAL),
    ),
    Subject.MEMORY: (
        ("NOMEM", "there was no memory for the packet"),
        ("PFMEMALLOC", "memory was so short that only what frees some is received"),
    ),
    Subject.UNSAID: (
        ("NOT_SPECIFIED", "the kernel tells no reason"),
        ("SKB_NOT_DROPPED_YET", "the packet was not dropped", NOISE),
        ("NOT_DROPPED_YET", "the packet was not dropped", NOISE),
        ("SKB_CONSUMED", "the packet was used up: it is no loss", NOISE),
        ("CONSUMED", "the packet was used up: it is no loss", NOISE),
        ("SOCKET_CLOSE", "it was in the queue of a socket that was closed", NOISE),
        ("UNIX_DISCONNECT", "it was in the queue of a Unix socket that was disconnected", NOISE),
        ("UNIX_SKIP_OOB", "urgent data of a Unix socket was passed over", NOISE),
        ("QUEUE_PURGE", "it was in a queue that nobody needs any more", NOISE),
        ("PACKET_SOCK_ERROR", "a program that captures packets could not take it", NOISE),
    ),
}

SUBSYSTEMS = {
    1: "Wi-Fi (MAC80211) dropped it as not usable",
    2: "Open vSwitch dropped it (on older kernels: Wi-Fi's monitor)",
    3: "Open vSwitch dropped it",
}
"""``enum skb_drop_reason_subsys``: whose reason it is.

Older kernels since 6.4 have one more of MAC80211, before Open vSwitch.
"""
