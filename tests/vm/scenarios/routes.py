"""Routing that needs modules or newer kernels: VRFs, nexthop groups, rp_filter with tunnels, reject types."""

from tests.vm.scenario import scenario

VRF = """
ns c s; router r
wire c:eth0:10.1.0.2/24 r:red0:-; via c 10.1.0.1
wire s:eth0:10.2.0.2/24 r:red1:-; via s 10.2.0.1
on r ip link add red type vrf table 10; on r ip link set red up
on r ip link set red0 master red; on r ip link set red1 master red
on r ip addr add 10.1.0.1/24 dev red0; on r ip addr add 10.2.0.1/24 dev red1
"""
scenario(
    "vrf",
    "two devices in one VRF: routed by its table (the l3mdev rule), invisible to the main table",
    VRF,
    """
c tcp 10.2.0.2 80
c udp 10.2.0.2 53
c tcp 10.1.0.1 80
c tcp 10.2.0.1 80
c udp 10.1.0.1 53
c icmp 10.1.0.1 0
r tcp 10.2.0.2 80
r tcp 10.2.0.2 80 device=red
""",
    "s tcp:80 udp:53\nr tcp:80 udp:53",
)
scenario(
    "vrf-accept",
    "tcp_l3mdev_accept and udp_l3mdev_accept: sockets without a device take what comes in by a VRF",
    VRF + "set_of r net.ipv4.tcp_l3mdev_accept=1 net.ipv4.udp_l3mdev_accept=1",
    """
c tcp 10.1.0.1 80
c tcp 10.2.0.1 80
c udp 10.1.0.1 53
c tcp 10.1.0.1 81
""",
    "r tcp:80 udp:53",
)
scenario(
    "vrf-leak",
    "a route of the VRF's table leads out of it, and one of the main table leads in",
    VRF
    + """
ns g; wire g:eth0:10.3.0.2/24 r:grn0:10.3.0.1/24; via g 10.3.0.1
on r ip route add 10.3.0.0/24 dev grn0 table 10
on r ip route add 10.1.0.0/24 dev red0
""",
    """
c tcp 10.3.0.2 80
g tcp 10.1.0.2 80
g tcp 10.2.0.2 80
""",
    "g tcp:80\nc tcp:80\ns tcp:80",
)
scenario(
    "vrf-unreachable",
    "the VRF's table ends in an unreachable default, so that nothing falls through to main",
    VRF
    + """
ns g; wire g:eth0:10.3.0.2/24 r:grn0:10.3.0.1/24; via g 10.3.0.1
on r ip route add table 10 unreachable default metric 4278198272
""",
    "c tcp 10.3.0.2 80\nc tcp 10.2.0.2 80\nc tcp 10.9.0.1 80",
    "g tcp:80\ns tcp:80",
)
scenario(
    "vrf-filter",
    "rules see the VRF as the input device once more after the real one, and as the output device",
    VRF
    + """
on r iptables -A FORWARD -i red -o red1 -p tcp --dport 81 -j REJECT
on r iptables -A FORWARD -i red0 -p tcp --dport 82 -j REJECT
on r iptables -A INPUT -i red0 -p tcp --dport 83 -j REJECT
on r iptables -A INPUT -i red -p tcp --dport 84 -j REJECT
on r iptables -t raw -A PREROUTING -i red -p tcp --dport 85 -j DROP
on r iptables -t raw -A PREROUTING -i red0 -p tcp --dport 86 -j DROP
set_of r net.ipv4.tcp_l3mdev_accept=1
""",
    """
c tcp 10.2.0.2 80
c tcp 10.2.0.2 81
c tcp 10.2.0.2 82
c tcp 10.1.0.1 83
c tcp 10.1.0.1 84
c tcp 10.2.0.2 85
c tcp 10.2.0.2 86
""",
    "s tcp:80 tcp:81 tcp:82 tcp:85 tcp:86\nr tcp:83 tcp:84",
)
scenario(
    "nexthops",
    "nexthop objects: a single one, a group over two ways, one that is a blackhole",
    """
ns c s; router r a b
wire c:eth0:10.1.0.2/24 r:pod0:10.1.0.1/24; via c 10.1.0.1
wire r:wa:192.0.2.1/30 a:wan:192.0.2.2/30; wire r:wb:192.0.2.5/30 b:wan:192.0.2.6/30
wire a:pod0:10.2.0.1/24 s:ea:10.2.0.2/24; wire b:pod0:10.3.0.1/24 s:eb:10.3.0.2/24
on a ip route add 10.1.0.0/24 via 192.0.2.1; on b ip route add 10.1.0.0/24 via 192.0.2.5
on s ip addr add 10.9.0.1/32 dev lo; on s ip route add default via 10.2.0.1
on a ip route add 10.9.0.0/24 via 10.2.0.2
on r ip nexthop add id 1 via 192.0.2.2 dev wa
on r ip nexthop add id 2 via 192.0.2.6 dev wb
on r ip nexthop add id 3 blackhole
on r ip nexthop add id 10 group 1/2
on r ip route add 10.2.0.0/24 nhid 1; on r ip route add 10.3.0.0/24 nhid 2
on r ip route add 10.9.0.0/24 nhid 10
on r ip route add 10.8.0.0/24 nhid 3
""",
    """
c tcp 10.2.0.2 80
c tcp 10.3.0.2 80
c tcp 10.9.0.1 80 x6
c tcp 10.8.0.1 80
r tcp 10.8.0.1 80
""",
    "s tcp:80",
)
scenario(
    "reject-types",
    "what a client hears of unreachable, prohibit, blackhole and throw, far away and at home",
    """
ns c; router r
wire c:eth0:10.1.0.2/24 r:pod0:10.1.0.1/24; via c 10.1.0.1
for each in c r; do
  on $each ip route add unreachable 10.8.1.0/24; on $each ip route add prohibit 10.8.2.0/24
  on $each ip route add blackhole 10.8.3.0/24; on $each ip route add throw 10.8.4.0/24
done
on r ip route add unreachable 10.9.1.0/24; on r ip route add prohibit 10.9.2.0/24
on r ip route add blackhole 10.9.3.0/24; on r ip route add throw 10.9.4.0/24
""",
    "\n".join(
        f"{who} {protocol} 10.{net}.{kind}.1 80".replace("icmp 10", "icmp 10")
        for who, net in (("c", 8), ("c", 9), ("r", 8))
        for kind in (1, 2, 3, 4)
        for protocol in ("tcp", "udp")
    ),
)
scenario(
    "rp-filter-modes",
    "strict, loose and none, on the way in by a device that the source is not routed by",
    """
ns c s; router r
wire c:e0:10.1.0.2/24 r:in0:10.1.0.1/24; wire c:e1:10.2.0.2/24 r:in1:10.2.0.1/24
wire s:eth0:10.3.0.2/24 r:out:10.3.0.1/24; via s 10.3.0.1
on c ip addr add 10.7.0.1/32 dev lo
on c ip route add 10.3.0.2/32 via 10.2.0.1 src 10.1.0.2
on c ip route add 10.3.0.1/32 via 10.2.0.1 src 10.7.0.1
on s ip addr add 10.3.0.3/24 dev eth0
on c ip route add 10.3.0.3/32 via 10.1.0.1
set_of r net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.in1.rp_filter=2 net.ipv4.conf.in0.rp_filter=1
""",
    """
c tcp 10.3.0.2 80
c tcp 10.3.0.1 80 either
c tcp 10.3.0.3 80
""",
    "s tcp:80\nr tcp:80",
)
scenario(
    "rp-filter-strict",
    "the same way in with strict checks on every device",
    """
ns c s; router r
wire c:e0:10.1.0.2/24 r:in0:10.1.0.1/24; wire c:e1:10.2.0.2/24 r:in1:10.2.0.1/24
wire s:eth0:10.3.0.2/24 r:out:10.3.0.1/24; via s 10.3.0.1
on c ip route add 10.3.0.2/32 via 10.2.0.1 src 10.1.0.2
on s ip addr add 10.3.0.3/24 dev eth0
on c ip route add 10.3.0.3/32 via 10.1.0.1
set_of r net.ipv4.conf.all.rp_filter=1
""",
    "c tcp 10.3.0.2 80\nc tcp 10.3.0.3 80",
    "s tcp:80",
)
