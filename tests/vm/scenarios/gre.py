"""GRE, Geneve, and VXLAN beside them: keys, checksums, Ethernet inside, metadata."""

from tests.vm.scenario import scenario

SITES = """
ns c s; router a b
wire c:eth0:10.1.0.2/24 a:pod0:10.1.0.1/24; via c 10.1.0.1
wire s:eth0:10.2.0.2/24 b:pod0:10.2.0.1/24; via s 10.2.0.1
wire a:wan:192.0.2.1/24,2001:db8::1/64 b:wan:192.0.2.2/24,2001:db8::2/64
"""
ROUTES = """
on a ip link set t0 up; on b ip link set t0 up
on a ip route add 10.2.0.0/24 dev t0 src 10.1.0.1
on b ip route add 10.1.0.0/24 dev t0 src 10.2.0.1
"""
ETHERNET = """
on a ip addr add 10.99.0.1/24 dev t0; on a ip link set t0 up
on b ip addr add 10.99.0.2/24 dev t0; on b ip link set t0 up
on a ip route add 10.2.0.0/24 via 10.99.0.2
on b ip route add 10.1.0.0/24 via 10.99.0.1
"""
FLOWS = """
c tcp 10.2.0.2 80
c udp 10.2.0.2 53
c icmp 10.2.0.2 0
c tcp 10.2.0.2 81
s tcp 10.1.0.1 80
"""
# As with IPIP: an ICMP error about the outer packet is remembered, and told to a later packet.
LATE = FLOWS.replace("\n", " either\n").removeprefix(" either")
SERVE = "s tcp:80 udp:53\na tcp:80\nb tcp:80"


def pair(kind: str, left: str, right: str) -> str:
    """Return the commands that make the two ends of a tunnel."""
    return f"on a ip link add t0 type {kind} {left}\non b ip link add t0 type {kind} {right}\n"


TO_B, TO_A = "local 192.0.2.1 remote 192.0.2.2", "local 192.0.2.2 remote 192.0.2.1"

scenario("gre", "a pair of GRE devices", SITES + pair("gre", TO_B, TO_A) + ROUTES, FLOWS, SERVE)
scenario(
    "gre-key",
    "the same key at both ends",
    SITES + pair("gre", TO_B + " key 7", TO_A + " key 7") + ROUTES,
    FLOWS,
    SERVE,
)
scenario(
    "gre-wrong-key",
    "the keys differ: no device takes the packet, and gre0 is down",
    SITES + pair("gre", TO_B + " key 7", TO_A + " key 8") + ROUTES,
    LATE,
    SERVE,
)
scenario(
    "gre-one-key",
    "the key of one direction only (ikey and okey)",
    SITES + pair("gre", TO_B + " okey 7", TO_A + " ikey 7") + ROUTES,
    LATE,
    SERVE,
)
scenario(
    "gre-no-key-fallback",
    "a packet without a key goes to no device that wants one",
    SITES + pair("gre", TO_B, TO_A + " key 8") + ROUTES,
    LATE,
    SERVE,
)
scenario(
    "gre-outer-dropped",
    "protocol 47 is dropped in the peer's INPUT",
    SITES + pair("gre", TO_B, TO_A) + ROUTES + "on b iptables -A INPUT -p gre -j DROP",
    FLOWS,
    SERVE,
)
scenario(
    "gre-csum-seq",
    "one end adds checksums and the other does not look for them; sequence numbers begin at 0",
    SITES + pair("gre", TO_B + " ocsum", TO_A) + ROUTES,
    LATE,
    SERVE,
)
scenario("gretap", "Ethernet over GRE", SITES + pair("gretap", TO_B, TO_A) + ETHERNET, FLOWS, SERVE)
scenario(
    "ip6gre",
    "IPv4 over GRE over IPv6",
    SITES
    + pair("ip6gre", "local 2001:db8::1 remote 2001:db8::2", "local 2001:db8::2 remote 2001:db8::1")
    + ROUTES,
    FLOWS,
    SERVE,
)
scenario(
    "ip6tnl",
    "IPv4 over IPv6",
    SITES
    + pair(
        "ip6tnl",
        "local 2001:db8::1 remote 2001:db8::2 mode any",
        "local 2001:db8::2 remote 2001:db8::1 mode any",
    )
    + ROUTES,
    FLOWS,
    SERVE,
)
scenario(
    "geneve",
    "a pair of Geneve devices",
    SITES + pair("geneve", "id 5 remote 192.0.2.2", "id 5 remote 192.0.2.1") + ETHERNET,
    FLOWS,
    SERVE,
)
scenario(
    "geneve-wrong-id",
    "the network ids differ",
    SITES + pair("geneve", "id 5 remote 192.0.2.2", "id 6 remote 192.0.2.1") + ETHERNET,
    FLOWS,
    SERVE,
)
scenario(
    "geneve-wrong-remote",
    "a Geneve device takes packets from its own remote only",
    SITES + pair("geneve", "id 5 remote 192.0.2.2", "id 5 remote 192.0.2.9") + ETHERNET,
    FLOWS,
    SERVE,
)
scenario(
    "geneve-wrong-port",
    "the ports differ: the peer answers with port unreachable, which concerns the outer packet only",
    SITES + pair("geneve", "id 5 remote 192.0.2.2", "id 5 remote 192.0.2.1 dstport 6082") + ETHERNET,
    FLOWS,
    SERVE,
)
scenario(
    "geneve-outer-dropped",
    "UDP 6081 is dropped in the peer's INPUT",
    SITES
    + pair("geneve", "id 5 remote 192.0.2.2", "id 5 remote 192.0.2.1")
    + ETHERNET
    + "on b iptables -A INPUT -p udp --dport 6081 -j DROP",
    FLOWS,
    SERVE,
)
scenario(
    "vxlan",
    "a pair of VXLAN devices with a remote each",
    SITES
    + pair("vxlan", "id 5 dstport 4789 remote 192.0.2.2", "id 5 dstport 4789 remote 192.0.2.1")
    + ETHERNET,
    FLOWS,
    SERVE,
)
scenario(
    "tunnel-in-tunnel",
    "VXLAN over IPIP over veth: the outer packet is itself an inner one",
    SITES
    + pair("ipip", TO_B, TO_A)
    + """
on a ip addr add 10.9.0.1/32 dev t0; on a ip link set t0 up; on a ip route add 10.9.0.2/32 dev t0
on b ip addr add 10.9.0.2/32 dev t0; on b ip link set t0 up; on b ip route add 10.9.0.1/32 dev t0
on a ip link add v0 type vxlan id 5 dstport 4789 local 10.9.0.1 remote 10.9.0.2
on b ip link add v0 type vxlan id 5 dstport 4789 local 10.9.0.2 remote 10.9.0.1
on a ip addr add 10.99.0.1/24 dev v0; on a ip link set v0 up
on b ip addr add 10.99.0.2/24 dev v0; on b ip link set v0 up
on a ip route add 10.2.0.0/24 via 10.99.0.2
on b ip route add 10.1.0.0/24 via 10.99.0.1
""",
    FLOWS,
    SERVE,
)
