"""IPVS: the shape that kube-proxy builds, and the forwarding methods and schedulers by themselves."""

from tests.vm.scenario import scenario

CLUSTER = """
modprobe -a ip_vs ip_vs_rr ip_vs_wrr ip_vs_sh nf_conntrack
router n m; ns p1 p2 q x
on n ip link add cni0 type bridge
on n ip addr add 10.244.1.1/24 dev cni0; on n ip link set cni0 up
wire p1:eth0:10.244.1.10/24 n:vp1:-; wire p2:eth0:10.244.1.11/24 n:vp2:-
for each in vp1 vp2; do on n ip link set $each master cni0; done
via p1 10.244.1.1; via p2 10.244.1.1
wire n:wan:192.0.2.1/24 m:wan:192.0.2.2/24
wire q:eth0:10.244.2.10/24 m:pod0:10.244.2.1/24; via q 10.244.2.1
on n ip route add 10.244.2.0/24 via 192.0.2.2; on m ip route add 10.244.1.0/24 via 192.0.2.1
on m ip route add 10.96.0.0/16 via 192.0.2.1
wire x:eth0:203.0.113.2/24 n:ext:203.0.113.1/24; via x 203.0.113.1
set_of n net.ipv4.vs.conntrack=1 net.ipv4.vs.expire_nodest_conn=1 net.ipv4.conf.all.arp_ignore=1 \\
  net.ipv4.conf.all.arp_announce=2
on n ip link add kube-ipvs0 type dummy
for i in 1 2 3 4 5 6 7 8 9; do echo addr add 10.96.0.$i/32 dev kube-ipvs0; done | ip -n n -batch -
on n ipvsadm -R <<.
-A -t 10.96.0.1:80 -s rr
-a -t 10.96.0.1:80 -r 10.244.1.10:8080 -m
-a -t 10.96.0.1:80 -r 10.244.1.11:8080 -m
-a -t 10.96.0.1:80 -r 10.244.2.10:8080 -m
-A -t 10.96.0.2:80 -s rr
-A -u 10.96.0.3:53 -s rr
-a -u 10.96.0.3:53 -r 10.244.1.11:5353 -m
-A -t 10.96.0.4:80 -s wrr
-a -t 10.96.0.4:80 -r 10.244.1.10:8080 -m -w 0
-a -t 10.96.0.4:80 -r 10.244.1.11:8080 -m -w 1
-A -t 10.96.0.5:80 -s sh
-a -t 10.96.0.5:80 -r 10.244.1.10:8080 -m
-a -t 10.96.0.5:80 -r 10.244.2.10:8080 -m
-A -t 10.96.0.6:80 -s rr -p 600
-a -t 10.96.0.6:80 -r 10.244.1.10:8080 -m
-a -t 10.96.0.6:80 -r 10.244.1.11:8080 -m
-A -t 10.96.0.7:80 -s rr
-a -t 10.96.0.7:80 -r 10.244.1.10:8080 -m
-A -t 10.96.0.8:80 -s rr
-a -t 10.96.0.8:80 -r 10.244.1.99:8080 -m
-A -t 10.96.0.9:80 -s rr
-a -t 10.96.0.9:80 -r 10.244.1.10:8080 -m -w 0
-A -t 192.0.2.1:30080 -s rr
-a -t 192.0.2.1:30080 -r 10.244.2.10:8080 -m
-A -t 203.0.113.1:30080 -s rr
-a -t 203.0.113.1:30080 -r 10.244.2.10:8080 -m
.
"""
# kube-proxy 1.36 proxier.go (ipvs): the sets and the rules that use them, without those for load balancers.
KUBE_RULES = """
on n ipset restore <<.
create KUBE-LOOP-BACK hash:ip,port,ip
create KUBE-CLUSTER-IP hash:ip,port
create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
create KUBE-IPVS-IPS hash:ip
add KUBE-LOOP-BACK 10.244.1.10,tcp:8080,10.244.1.10
add KUBE-LOOP-BACK 10.244.1.11,tcp:8080,10.244.1.11
add KUBE-LOOP-BACK 10.244.1.11,udp:5353,10.244.1.11
add KUBE-NODE-PORT-TCP 30080
add KUBE-CLUSTER-IP 10.96.0.3,udp:53
.
for i in 1 2 4 5 6 7 8 9; do echo add KUBE-CLUSTER-IP 10.96.0.$i,tcp:80; done | on n ipset restore
for i in 1 2 3 4 5 6 7 8 9; do echo add KUBE-IPVS-IPS 10.96.0.$i; done | on n ipset restore
on n iptables-restore <<.
*filter
:KUBE-FORWARD - [0:0]
:KUBE-IPVS-FILTER - [0:0]
-A INPUT -j KUBE-IPVS-FILTER
-A FORWARD -j KUBE-FORWARD
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-IPVS-IPS dst -j REJECT
COMMIT
*nat
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODE-PORT - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODE-PORT -p tcp -m set --match-set KUBE-NODE-PORT-TCP dst -j KUBE-MARK-MASQ
-A KUBE-POSTROUTING -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-SERVICES -s 127.0.0.0/8 -j RETURN
-A KUBE-SERVICES ! -s 10.244.0.0/16 -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT
-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
COMMIT
.
"""
SERVE = """
p1 tcp:8080
p2 tcp:8080 udp:5353
q tcp:8080
n tcp:22
"""
FLOWS = """
p1 tcp 10.96.0.1 80 x6 spread
q tcp 10.96.0.1 80 x6 spread
n tcp 10.96.0.1 80 x6 spread
x tcp 10.96.0.1 80 x6 spread
p2 tcp 10.96.0.2 80
n tcp 10.96.0.2 80
p1 udp 10.96.0.3 53
p2 udp 10.96.0.3 53
n udp 10.96.0.3 53
q tcp 10.96.0.4 80 x3
p1 tcp 10.96.0.5 80 x3
n tcp 10.96.0.5 80 x3
q tcp 10.96.0.6 80 x3
p1 tcp 10.96.0.7 80
p2 tcp 10.96.0.7 80
p1 tcp 10.96.0.8 80
p1 tcp 10.96.0.9 80
x tcp 203.0.113.1 30080
m tcp 192.0.2.1 30080
p1 tcp 192.0.2.1 30080
n tcp 192.0.2.1 30080
p1 tcp 10.96.0.1 81
n tcp 10.96.0.1 81
p1 tcp 10.96.0.1 22
p1 icmp 10.96.0.1 0
p1 tcp 10.244.1.11 8080
"""
scenario(
    "ipvs-kube",
    "kube-proxy's ipvs mode: its sets, its rules, its dummy device",
    CLUSTER + KUBE_RULES,
    FLOWS,
    SERVE,
)
scenario(
    "ipvs-kube-bridge-nf",
    "with br_netfilter an answer between two pods of one bridge passes conntrack, and is translated back",
    CLUSTER + KUBE_RULES + "modprobe br_netfilter",
    FLOWS,
    SERVE,
)
scenario(
    "ipvs-no-rules",
    "the same services without any rule: nothing masquerades, nothing rejects",
    CLUSTER,
    FLOWS,
    SERVE,
)
scenario(
    "ipvs-no-conntrack",
    "vs.conntrack is 0: connections of IPVS have no conntrack entry, and nat rules do not see them",
    CLUSTER + KUBE_RULES + "set_of n net.ipv4.vs.conntrack=0",
    FLOWS,
    SERVE,
)
scenario(
    "ipvs-no-dummy",
    "the VIPs are not on kube-ipvs0: packets for them are routed, and IPVS at LOCAL_IN never sees them",
    CLUSTER + KUBE_RULES + "on n ip link del kube-ipvs0",
    """
p1 tcp 10.96.0.1 80 x2
n tcp 10.96.0.1 80 x2
x tcp 10.96.0.7 80
""",
    SERVE,
)

# A director and two real servers on one switch. The client is on it, too.
SWITCH = """
modprobe -a ip_vs ip_vs_rr ip_vs_wrr ip_vs_sh ip_vs_lc ip_vs_wlc ip_vs_mh \\
  ip_vs_dh ip_vs_fo ip_vs_ovf ip_vs_sed ip_vs_nq
modprobe ipip
ns sw c r1 r2; router d
on sw ip link add name br0 type bridge; on sw ip link set br0 up
wire c:eth0:10.0.0.2/24 sw:pc:-; wire d:eth0:10.0.0.1/24 sw:pd:-
wire r1:eth0:10.0.0.11/24 sw:pr1:-; wire r2:eth0:10.0.0.12/24 sw:pr2:-
for each in pc pd pr1 pr2; do on sw ip link set $each master br0; done
on d ip addr add 10.0.0.100/32 dev eth0
"""
VIP_ON_LO = """
for each in r1 r2; do
  set_of $each net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
  on $each ip addr add 10.0.0.100/32 dev lo
done
"""
SERVERS = """
r1 tcp:80 udp:53
r2 tcp:80 udp:53
d tcp:80
"""
scenario(
    "ipvs-dr",
    "direct routing: the frame goes to the MAC of a server that holds the VIP; the answer goes straight back",
    SWITCH
    + VIP_ON_LO
    + """
on d ipvsadm -R <<.
-A -t 10.0.0.100:80 -s rr
-a -t 10.0.0.100:80 -r 10.0.0.11:80 -g
-a -t 10.0.0.100:80 -r 10.0.0.12:80 -g
-A -u 10.0.0.100:53 -s rr
-a -u 10.0.0.100:53 -r 10.0.0.12:53 -g
.
""",
    """
c tcp 10.0.0.100 80 x4 spread
c udp 10.0.0.100 53 x2
d tcp 10.0.0.100 80 x4 either
c tcp 10.0.0.100 81
""",
    SERVERS,
)
scenario(
    "ipvs-dr-no-vip",
    "direct routing to a real server that does not hold the VIP: it has no use for the packet",
    SWITCH
    + """
on d ipvsadm -R <<.
-A -t 10.0.0.100:80 -s rr
-a -t 10.0.0.100:80 -r 10.0.0.11:80 -g
.
""",
    "c tcp 10.0.0.100 80",
    SERVERS,
)
scenario(
    "ipvs-tun",
    "the packet goes to the real server inside IPIP; the VIP is on tunl0 there, and rp_filter is off",
    SWITCH
    + """
for each in r1 r2; do
  set_of $each net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
  on $each ip addr add 10.0.0.100/32 dev tunl0; on $each ip link set tunl0 up
done
on d ipvsadm -R <<.
-A -t 10.0.0.100:80 -s rr
-a -t 10.0.0.100:80 -r 10.0.0.11:80 -i
-a -t 10.0.0.100:80 -r 10.0.0.12:80 -i
.
""",
    "c tcp 10.0.0.100 80 x4 spread",
    SERVERS,
)
scenario(
    "ipvs-tun-rp-filter",
    "one real server checks sources strictly on tunl0: what comes out of the tunnel is dropped there",
    SWITCH
    + """
for each in r1 r2; do
  set_of $each net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
  on $each ip addr add 10.0.0.100/32 dev tunl0; on $each ip link set tunl0 up
done
set_of r2 net.ipv4.conf.all.rp_filter=1
on d ipvsadm -R <<.
-A -t 10.0.0.100:80 -s rr
-a -t 10.0.0.100:80 -r 10.0.0.11:80 -i
-a -t 10.0.0.100:80 -r 10.0.0.12:80 -i
.
""",
    "c tcp 10.0.0.100 80 x4 spread",
    SERVERS,
)
scenario(
    "ipvs-masq-no-way-back",
    "masquerading needs the answer to pass the director: servers on the client's network answer directly",
    SWITCH
    + """
on d ipvsadm -R <<.
-A -t 10.0.0.100:80 -s rr
-a -t 10.0.0.100:80 -r 10.0.0.11:80 -m
-A -t 10.0.0.100:82 -s rr
-a -t 10.0.0.100:82 -r 10.0.0.1:80 -m
-A -t 10.0.0.100:83 -s rr
-a -t 10.0.0.100:83 -r 127.0.0.1:80 -m
.
on r2 ip route add 10.0.0.2/32 via 10.0.0.1
""",
    """
c tcp 10.0.0.100 80
c tcp 10.0.0.100 82
c tcp 10.0.0.100 83
d tcp 10.0.0.100 82
""",
    SERVERS,
)
SCHEDULERS = ("lc", "wlc", "mh", "dh", "fo", "ovf", "sed", "nq", "sh", "wrr")
scenario(
    "ipvs-schedulers",
    "whom each scheduler picks of two servers with weights 1 and 3, one after the other",
    SWITCH
    + VIP_ON_LO
    + "on d ipvsadm -R <<.\n"
    + "".join(
        f"-A -t 10.0.0.100:{9000 + i} -s {name}\n"
        f"-a -t 10.0.0.100:{9000 + i} -r 10.0.0.11:{9000 + i} -g -w 1\n"
        f"-a -t 10.0.0.100:{9000 + i} -r 10.0.0.12:{9000 + i} -g -w 3\n"
        for i, name in enumerate(SCHEDULERS)
    )
    + ".\n",
    "\n".join(f"c tcp 10.0.0.100 {9000 + i} x4" for i in range(len(SCHEDULERS))),
    "\n".join(f"{r} " + " ".join(f"tcp:{9000 + i}" for i in range(len(SCHEDULERS))) for r in ("r1", "r2")),
)
scenario(
    "ipvs-fwmark",
    "a service by mark: mangle marks the packets of two ports, and one virtual service takes both",
    SWITCH
    + VIP_ON_LO
    + """
on d iptables -t mangle -A PREROUTING -d 10.0.0.100 -p tcp -m multiport --dports 80,443 -j MARK --set-mark 7
on d ipvsadm -R <<.
-A -f 7 -s rr
-a -f 7 -r 10.0.0.11:0 -g
-a -f 7 -r 10.0.0.12:0 -g
.
""",
    """
c tcp 10.0.0.100 80 x4 spread
c tcp 10.0.0.100 443 x4 spread
c tcp 10.0.0.100 81
""",
    "r1 tcp:80 tcp:443\nr2 tcp:80 tcp:443",
)
scenario(
    "ipvs-filter",
    "where rules meet IPVS: INPUT sees the VIP before, OUTPUT the real server after; FORWARD sees the answers",
    """
modprobe -a ip_vs ip_vs_rr nf_conntrack
ns c r1 r2; router d
wire c:eth0:10.0.0.2/24 d:front:10.0.0.1/24; via c 10.0.0.1
wire r1:eth0:10.1.0.11/24 d:b1:10.1.0.1/24; via r1 10.1.0.1
wire r2:eth0:10.2.0.12/24 d:b2:10.2.0.1/24; via r2 10.2.0.1
on d ip addr add 10.0.0.100/32 dev lo
set_of d net.ipv4.vs.conntrack=1
on d ipvsadm -R <<.
-A -t 10.0.0.100:80 -s rr
-a -t 10.0.0.100:80 -r 10.1.0.11:80 -m
-A -t 10.0.0.100:81 -s rr
-a -t 10.0.0.100:81 -r 10.1.0.11:80 -m
-A -t 10.0.0.100:82 -s rr
-a -t 10.0.0.100:82 -r 10.2.0.12:80 -m
-A -t 10.0.0.100:83 -s rr
-a -t 10.0.0.100:83 -r 10.2.0.12:83 -m
-A -t 10.0.0.100:84 -s rr
-a -t 10.0.0.100:84 -r 10.1.0.11:84 -m
-A -t 10.0.0.100:85 -s rr
-a -t 10.0.0.100:85 -r 10.1.0.11:85 -m
.
on d iptables-restore <<.
*filter
-A INPUT -d 10.0.0.100/32 -p tcp --dport 81 -j REJECT
-A OUTPUT -d 10.2.0.12/32 -p tcp --dport 80 -j DROP
-A FORWARD -s 10.2.0.12/32 -p tcp --sport 83 -j DROP
-A INPUT -p tcp --dport 84 -m ipvs --ipvs -j DROP
-A FORWARD -p tcp -m ipvs --vaddr 10.0.0.100/32 --vport 85 -j DROP
COMMIT
.
""",
    """
c tcp 10.0.0.100 80
c tcp 10.0.0.100 81
c tcp 10.0.0.100 82
c tcp 10.0.0.100 83
c tcp 10.0.0.100 84
c tcp 10.0.0.100 85
d tcp 10.0.0.100 80
d tcp 10.0.0.100 82
""",
    "r1 tcp:80 tcp:84 tcp:85\nr2 tcp:80 tcp:83",
)
scenario(
    "ipvs-six",
    "IPv6: masquerading and direct routing",
    """
modprobe -a ip_vs ip_vs_rr nf_conntrack
ns c r1 r2; router d
wire c:eth0:2001:db8:1::2/64 d:front:2001:db8:1::1/64; via c 2001:db8:1::1
wire r1:eth0:2001:db8:2::2/64 d:b1:2001:db8:2::1/64; via r1 2001:db8:2::1
wire r2:eth0:2001:db8:3::2/64 d:b2:2001:db8:3::1/64; via r2 2001:db8:3::1
on d ip addr add 2001:db8:99::1/128 dev lo
on r2 ip addr add 2001:db8:99::1/128 dev lo
on d ipvsadm -R <<.
-A -t [2001:db8:99::1]:80 -s rr
-a -t [2001:db8:99::1]:80 -r [2001:db8:2::2]:8080 -m
-A -t [2001:db8:99::1]:81 -s rr
-a -t [2001:db8:99::1]:81 -r [2001:db8:3::2]:81 -g
.
""",
    """
c tcp 2001:db8:99::1 80
c tcp 2001:db8:99::1 81
c tcp 2001:db8:99::1 82
d tcp 2001:db8:99::1 80
""",
    "r1 tcp:8080\nr2 tcp:81",
)
