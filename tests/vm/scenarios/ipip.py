"""IPIP: peers, the fallback device, what is filtered on the outer packet."""

from tests.vm.scenario import scenario

PAIR = """
ns c s; router a b
wire c:eth0:10.1.0.2/24 a:pod0:10.1.0.1/24; via c 10.1.0.1
wire s:eth0:10.2.0.2/24 b:pod0:10.2.0.1/24; via s 10.2.0.1
wire a:wan:192.0.2.1/24 b:wan:192.0.2.2/24
on a ip link add t0 type ipip local 192.0.2.1 remote 192.0.2.2; on a ip link set t0 up
on b ip link add t0 type ipip local 192.0.2.2 remote 192.0.2.1; on b ip link set t0 up
on a ip route add 10.2.0.0/24 dev t0 src 10.1.0.1
on b ip route add 10.1.0.0/24 dev t0 src 10.2.0.1
"""
FLOWS = """
c tcp 10.2.0.2 80
c udp 10.2.0.2 53
c icmp 10.2.0.2 0
c tcp 10.2.0.2 81
a tcp 10.2.0.2 80
s tcp 10.1.0.1 80
"""
# An ICMP error about the outer packet is kept by the device (ip_tunnel.c: err_count), and within 30 s a later
# packet, be it the same SYN once more, is answered with a host unreachable: silence or error is a matter of time.
LATE = FLOWS.replace("\n", " either\n").removeprefix(" either")
SERVE = """
s tcp:80 udp:53
a tcp:80
b tcp:80
"""
# One device for all peers, as Calico and kube-router use it: tunl0 takes what no other device claims, and the
# route's gateway is the outer destination (net/ipv4/ip_tunnel.c: ip_tunnel_xmit, tnl_params->daddr == 0).
TUNL0 = """
ns c s; router a b
wire c:eth0:10.1.0.2/24 a:pod0:10.1.0.1/24; via c 10.1.0.1
wire s:eth0:10.2.0.2/24 b:pod0:10.2.0.1/24; via s 10.2.0.1
wire a:wan:192.0.2.1/24 b:wan:192.0.2.2/24
modprobe ipip
for each in a b; do on $each ip link set tunl0 up; done
on a ip addr add 10.1.0.1/32 dev tunl0
on b ip addr add 10.2.0.1/32 dev tunl0
on a ip route add 10.2.0.0/24 via 192.0.2.2 dev tunl0 onlink
"""

scenario("ipip", "a pair of IPIP devices carries everything", PAIR, FLOWS, SERVE)
scenario(
    "ipip-outer-dropped",
    "a rule of the peer's INPUT drops protocol 4, the outer packet; inside it sees nothing of tcp",
    PAIR + "on b iptables -A INPUT -p 4 -j DROP\non a iptables -A OUTPUT -p tcp --dport 53 -j DROP",
    FLOWS,
    SERVE,
)
scenario(
    "ipip-outer-output",
    "the sender's own OUTPUT meets the outer packet, its FORWARD the inner one",
    PAIR + "on a iptables -A OUTPUT -p 4 -d 192.0.2.2 -j REJECT",
    LATE,
    SERVE,
)
scenario(
    "ipip-wrong-remote",
    "the peer has no device for this source, and ipip's fallback device is down",
    PAIR + "on b ip link set t0 type ipip remote 192.0.2.9 local 192.0.2.2",
    LATE,
    SERVE,
)
scenario(
    "ipip-fallback",
    "the peer has no device for this source, but tunl0 is up and takes it; rp_filter is off",
    PAIR
    + """
on b ip link set t0 type ipip remote 192.0.2.9 local 192.0.2.2
on b ip link set tunl0 up
set_of b net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.tunl0.rp_filter=0
on b ip route replace 10.1.0.0/24 via 192.0.2.1 dev tunl0 onlink
""",
    FLOWS,
    SERVE,
)
scenario(
    "ipip-rp-filter",
    "strict rp_filter on the fallback device: the inner source is routed by another device",
    PAIR
    + """
on b ip link set t0 type ipip remote 192.0.2.9 local 192.0.2.2
on b ip link set tunl0 up
set_of b net.ipv4.conf.all.rp_filter=1
""",
    LATE,
    SERVE,
)
scenario(
    "ipip-tunl0",
    "Calico's shape: tunl0 on both nodes, the gateway is the outer destination",
    TUNL0 + "on b ip route add 10.1.0.0/24 via 192.0.2.1 dev tunl0 onlink",
    FLOWS,
    SERVE,
)
scenario(
    "ipip-tunl0-no-way-back",
    "one node has the route into the tunnel, the other one does not: the answer finds no route",
    TUNL0,
    FLOWS,
    SERVE,
)
scenario(
    "ipip-ttl-df",
    "an MTU of 1480 inside 1500, and a fixed ttl on the outer packet",
    PAIR + "on a ip link set t0 type ipip ttl 64; on b ip link set t0 down",
    LATE,
    SERVE,
)
