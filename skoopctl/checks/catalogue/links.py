"""Devices, neighbours and bridges: the way to the next machine."""

from __future__ import annotations

from skoopctl.checks.catalogue.doc import Doc
from skoopctl.checks.finding import Severity

LINKS = (
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
)
