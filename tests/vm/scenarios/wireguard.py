"""WireGuard: allowed-ips in both directions, keys, endpoints, marks."""

from tests.vm.scenario import scenario

PAIR = """
modprobe wireguard
ns c s; router a b
wire c:eth0:10.1.0.2/24 a:pod0:10.1.0.1/24; via c 10.1.0.1
wire s:eth0:10.2.0.2/24 b:pod0:10.2.0.1/24; via s 10.2.0.1
wire a:wan:192.0.2.1/24 b:wan:192.0.2.2/24
umask 077; mkdir -p /run/wg
for each in a b z; do wg genkey >/run/wg/$each; wg pubkey </run/wg/$each >/run/wg/$each.pub; done
A=$(cat /run/wg/a.pub); B=$(cat /run/wg/b.pub); Z=$(cat /run/wg/z.pub)
for each in a b; do on $each ip link add wg0 type wireguard; on $each ip link set wg0 up; done
on a ip addr add 10.99.0.1/32 dev wg0; on b ip addr add 10.99.0.2/32 dev wg0
on a wg set wg0 private-key /run/wg/a listen-port 51820
on b wg set wg0 private-key /run/wg/b listen-port 51820
on a ip route add 10.2.0.0/24 dev wg0; on b ip route add 10.1.0.0/24 dev wg0
on a ip route add 10.99.0.2/32 dev wg0; on b ip route add 10.99.0.1/32 dev wg0
"""
A_TO_B = "on a wg set wg0 peer $B endpoint 192.0.2.2:51820 allowed-ips 10.2.0.0/24,10.99.0.2/32\n"
B_TO_A = "on b wg set wg0 peer $A endpoint 192.0.2.1:51820 allowed-ips 10.1.0.0/24,10.99.0.1/32\n"
# The first flow is alone: peers that begin a handshake at the same moment begin again after 5 s (REKEY_TIMEOUT).
FLOWS = """
c tcp 10.2.0.2 80
c udp 10.2.0.2 53
c icmp 10.2.0.2 0 first
c tcp 10.2.0.2 81
a tcp 10.2.0.2 80
s tcp 10.1.0.1 80
"""
SERVE = """
s tcp:80 udp:53
a tcp:80
b tcp:80
"""

scenario(
    "wireguard", "a pair of peers that allow each other's networks", PAIR + A_TO_B + B_TO_A, FLOWS, SERVE
)
scenario(
    "wireguard-source-not-allowed",
    "the receiver drops what comes from a source that the sending peer may not use",
    PAIR + A_TO_B + "on b wg set wg0 peer $A endpoint 192.0.2.1:51820 allowed-ips 10.99.0.1/32",
    FLOWS,
    SERVE,
)
scenario(
    "wireguard-destination-not-allowed",
    "the sender has no peer for this destination: ENOKEY, and an ICMP error to the packet's source",
    PAIR + B_TO_A + "on a wg set wg0 peer $B endpoint 192.0.2.2:51820 allowed-ips 10.99.0.2/32",
    FLOWS,
    SERVE,
)
scenario(
    "wireguard-no-endpoint",
    "the peer is known and its address is not: EDESTADDRREQ; the other side knows, and can begin",
    PAIR + B_TO_A + "on a wg set wg0 peer $B allowed-ips 10.2.0.0/24,10.99.0.2/32",
    "c tcp 10.2.0.2 80\nc icmp 10.2.0.2 0 first",
    SERVE,
)
scenario(
    "wireguard-stranger",
    "the other side does not know our key: no handshake, nothing is said",
    PAIR + A_TO_B + "on b wg set wg0 peer $Z endpoint 192.0.2.1:51820 allowed-ips 10.1.0.0/24",
    FLOWS,
    SERVE,
)
scenario(
    "wireguard-wrong-key",
    "our peer has a key that nobody at its endpoint holds",
    PAIR + B_TO_A + "on a wg set wg0 peer $Z endpoint 192.0.2.2:51820 allowed-ips 10.2.0.0/24,10.99.0.2/32",
    "c tcp 10.2.0.2 80\na tcp 10.2.0.2 80",
    SERVE,
)
scenario(
    "wireguard-wrong-port",
    "nobody listens at the peer's endpoint: the ICMP error is not passed on to the inner flow",
    PAIR + B_TO_A + "on a wg set wg0 peer $B endpoint 192.0.2.2:51821 allowed-ips 10.2.0.0/24,10.99.0.2/32",
    "c tcp 10.2.0.2 80\na tcp 10.2.0.2 80",
    SERVE,
)
scenario(
    "wireguard-outer-dropped",
    "UDP 51820 is dropped in the peer's INPUT",
    PAIR + A_TO_B + B_TO_A + "on b iptables -A INPUT -p udp --dport 51820 -j DROP",
    FLOWS,
    SERVE,
)
scenario(
    "wireguard-fwmark",
    "the outer packet carries the device's mark, so that it can be routed around the tunnel (wg-quick's shape)",
    PAIR
    + B_TO_A
    + """
on a wg set wg0 fwmark 51820 peer $B endpoint 192.0.2.2:51820 allowed-ips 0.0.0.0/0
on a ip route add default dev wg0 table 51820
on a ip rule add not fwmark 51820 table 51820
on a ip rule add table main suppress_prefixlength 0
on a ip route del 10.2.0.0/24
""",
    FLOWS,
    SERVE,
)
scenario(
    "wireguard-loop",
    "everything is allowed and routed into the tunnel, the outer packet as well: it is dropped there",
    PAIR
    + B_TO_A
    + """
on a wg set wg0 peer $B endpoint 192.0.2.2:51820 allowed-ips 0.0.0.0/0
on a ip route add 192.0.2.2/32 dev wg0
""",
    "c tcp 10.2.0.2 80\na tcp 10.2.0.2 80",
    SERVE,
)
scenario(
    "wireguard-down",
    "the peer's device is down: its socket is closed",
    PAIR + A_TO_B + B_TO_A + "on b ip link set wg0 down",
    FLOWS,
    SERVE,
)
scenario(
    "wireguard-longest-prefix",
    "two peers allow the destination: the longest prefix has it",
    PAIR
    + B_TO_A
    + """
on a wg set wg0 peer $Z endpoint 192.0.2.9:51820 allowed-ips 10.2.0.0/16
on a wg set wg0 peer $B endpoint 192.0.2.2:51820 allowed-ips 10.2.0.2/32,10.99.0.2/32
""",
    "c tcp 10.2.0.2 80 first\nc tcp 10.2.0.1 80",
    SERVE,
)
