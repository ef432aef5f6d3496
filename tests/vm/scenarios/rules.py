"""Rules whose matches need modules: sets, zones, nfacct objects, sockets, cgroups, several tables at once."""

from tests.vm.scenario import scenario

ROUTED = """
ns c s; router r
wire c:eth0:10.1.0.2/24 r:in0:10.1.0.1/24; via c 10.1.0.1
wire s:eth0:10.2.0.2/24 r:out:10.2.0.1/24; via s 10.2.0.1
"""
PORTS = " ".join(f"tcp:{port}" for port in range(80, 96))

scenario(
    "ipset-types",
    "sets of every kind that plugins use, with nomatch, timeouts, ranges and several dimensions",
    ROUTED
    + """
on s ip addr add 10.2.1.1/24 dev eth0; on s ip addr add 10.2.2.1/24 dev eth0
on s ip addr add 10.2.2.2/24 dev eth0
on r ip route add 10.2.1.0/24 via 10.2.0.2; on r ip route add 10.2.2.0/24 via 10.2.0.2
on r ipset restore <<.
create nets hash:net
add nets 10.2.2.0/24
add nets 10.2.2.2/32 nomatch
create ports bitmap:port range 0-65535
add ports 81
create ipport hash:ip,port
add ipport 10.2.1.1,tcp:82
create netport hash:net,port
add netport 10.2.1.0/24,tcp:83
create netnet hash:net,net
add netnet 10.1.0.0/24,10.2.1.0/24
create netiface hash:net,iface
add netiface 10.1.0.0/24,in0
create ips bitmap:ip range 10.2.0.0/24
add ips 10.2.0.2
create macs hash:mac
create marks hash:ip,mark
add marks 10.2.0.2,0x5
create list list:set
add list nets
create ipportip hash:ip,port,ip
add ipportip 10.2.1.1,tcp:89,10.1.0.2
create empty hash:ip
.
on r iptables-restore <<.
*filter
-A FORWARD -o out -p tcp -m set --match-set nets dst -m tcp --dport 80 -j REJECT
-A FORWARD -o out -p tcp -m set --match-set ports dst -j REJECT
-A FORWARD -o out -p tcp -m set --match-set ipport dst,dst -j REJECT
-A FORWARD -o out -p tcp -m set --match-set netport dst,dst -j REJECT
-A FORWARD -o out -p tcp -m set --match-set netnet src,dst -m tcp --dport 84 -j REJECT
-A FORWARD -o out -p tcp -m set --match-set netiface src,src -m tcp --dport 85 -j REJECT
-A FORWARD -o out -p tcp -m set --match-set ips dst -m tcp --dport 86 -j REJECT
-A FORWARD -o out -p tcp -m set ! --match-set nets dst -m tcp --dport 87 -j REJECT
-A FORWARD -o out -p tcp -m set --match-set list dst -m tcp --dport 88 -j REJECT
-A FORWARD -o out -p tcp -m set --match-set ipportip dst,dst,src -j REJECT
-A FORWARD -o out -p tcp -m set --match-set empty src -m tcp --dport 90 -j REJECT
-A FORWARD -o out -p tcp -m set ! --match-set empty src -m tcp --dport 91 -j REJECT
-A FORWARD -o out -p tcp -m set --match-set nets dst --return-nomatch -m tcp --dport 92 -j REJECT
COMMIT
.
""",
    "\n".join(
        f"c tcp {address} {port}"
        for port in range(80, 94)
        for address in ("10.2.0.2", "10.2.1.1", "10.2.2.1", "10.2.2.2")
    ),
    f"s {PORTS}",
)
scenario(
    "sctp",
    "associations: ports in rules, both kinds of NAT, what ABORT and ICMP tell, and a lost COOKIE-ECHO",
    ROUTED
    + """
modprobe sctp; modprobe xt_sctp
on r iptables-restore <<.
*nat
-A PREROUTING -i in0 -p sctp -m sctp --dport 8080 -j DNAT --to-destination 10.2.0.2:80
-A POSTROUTING -o out -p sctp -m sctp --dport 82 -j MASQUERADE
COMMIT
*filter
-A FORWARD -p sctp -m sctp --dport 83 -j DROP
-A FORWARD -p sctp -m sctp --dport 84 -j REJECT
-A FORWARD -p sctp -m sctp --sport 85 -j DROP
-A FORWARD -p sctp -m multiport --dports 86,87 -j REJECT --reject-with icmp-admin-prohibited
-A FORWARD -p sctp -m sctp --dport 88 -m conntrack --ctstate NEW -j ACCEPT
-A FORWARD -p sctp -m sctp --dport 88 -j DROP
-A FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
.
""",
    """
c sctp 10.2.0.2 80
c sctp 10.2.0.2 81
c sctp 10.2.0.2 82
c sctp 10.2.0.2 83
c sctp 10.2.0.2 84
c sctp 10.2.0.2 85
c sctp 10.2.0.2 86
c sctp 10.2.0.2 87
c sctp 10.2.0.2 88
c sctp 10.2.0.2 99
c sctp 10.2.0.1 80
c sctp 10.1.0.1 8080
s sctp 10.1.0.1 80
c sctp 10.2.0.9 80
""",
    "s " + " ".join(f"sctp:{port}" for port in range(80, 90)) + "\nr sctp:80",
)
scenario(
    "zones",
    "conntrack zones keep connections apart: what is NEW in one zone is not known in another",
    ROUTED
    + """
on r iptables-restore <<.
*raw
-A PREROUTING -i in0 -p tcp --dport 80 -j CT --zone 5
-A PREROUTING -i out -p tcp --sport 80 -j CT --zone 5
-A PREROUTING -i in0 -p tcp --dport 81 -j CT --zone 5
-A PREROUTING -i in0 -p tcp --dport 82 -j CT --notrack
-A PREROUTING -i in0 -p tcp --dport 83 -j CT --zone-orig 7
-A PREROUTING -i out -p tcp --sport 83 -j CT --zone-reply 8
COMMIT
*filter
-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A FORWARD -i in0 -m conntrack --ctstate NEW -j ACCEPT
-A FORWARD -p tcp --dport 82 -m conntrack --ctstate UNTRACKED -j ACCEPT
-A FORWARD -j DROP
COMMIT
.
""",
    "\n".join(f"c tcp 10.2.0.2 {port}" for port in range(80, 85)),
    f"s {PORTS}",
)
scenario(
    "nfacct",
    "an nfacct match counts and always matches; with a quota it matches when that is used up",
    ROUTED
    + """
modprobe nfnetlink_acct
on r nfacct add seen; on r nfacct add little packet 1000000
on r iptables-restore <<.
*filter
-A FORWARD -p tcp --dport 81 -m nfacct --nfacct-name seen -j REJECT
-A FORWARD -p tcp --dport 82 -m nfacct --nfacct-name seen
COMMIT
.
""",
    "\n".join(f"c tcp 10.2.0.2 {port}" for port in range(80, 84)),
    f"s {PORTS}",
)
scenario(
    "xt-socket",
    "-m socket finds the socket that would take the packet, before routing has said that it is for us",
    ROUTED
    + """
on r iptables-restore <<.
*mangle
-A PREROUTING -p tcp --dport 81 -m socket -j DROP
-A PREROUTING -p tcp --dport 82 -m socket --nowildcard -j DROP
-A PREROUTING -p tcp --dport 83 -m socket --transparent -j DROP
COMMIT
.
""",
    """
c tcp 10.1.0.1 80
c tcp 10.1.0.1 81
c tcp 10.1.0.1 82
c tcp 10.1.0.1 83
c tcp 10.1.0.1 84
c tcp 10.2.0.2 81
""",
    "r tcp:80 tcp:81 tcp:82 tcp:83\ns tcp:81",
)
scenario(
    "xt-cgroup",
    "-m cgroup --path tells by the cgroup that the sending socket was born in",
    ROUTED
    + """
mkdir -p /sys/fs/cgroup/vm-banned
on c iptables -A OUTPUT -m cgroup --path vm-banned -j REJECT
""",
    """
c tcp 10.2.0.2 80
c tcp 10.2.0.2 80 cgroup=vm-banned
""",
    f"s {PORTS}",
)
scenario(
    "legacy-and-nft",
    "iptables-legacy, iptables-nft and native tables at once: each may drop, and only the last accept counts",
    ROUTED
    + """
on r iptables-legacy -A FORWARD -p tcp --dport 81 -j REJECT
on r iptables-nft -A FORWARD -p tcp --dport 82 -j REJECT
on r iptables-nft -A FORWARD -p tcp --dport 81 -j ACCEPT
on r nft -f - <<.
table inet own {
  set bad { type inet_service; flags interval; elements = { 83, 90-92 }; }
  map verdicts {
    type ipv4_addr . inet_service : verdict; elements = { 10.2.0.2 . 84 : drop, 10.2.0.2 . 82 : accept };
  }
  chain early { type filter hook forward priority -10; tcp dport @bad reject with tcp reset; }
  chain late { type filter hook forward priority 10; ip daddr . tcp dport vmap @verdicts; }
  chain pre { type nat hook prerouting priority dstnat; tcp dport 85 dnat ip to 10.2.0.2:80; }
  chain post { type nat hook postrouting priority srcnat; tcp dport 86 masquerade; }
}
table netdev edge {
  chain in { type filter hook ingress device in0 priority 0; tcp dport 87 drop; }
}
.
""",
    "\n".join(f"c tcp 10.2.0.2 {port}" for port in range(80, 93)),
    f"s {PORTS}",
)
scenario(
    "tproxy-and-redirect",
    "REDIRECT goes to the incoming device's address; DNAT to loopback needs route_localnet",
    ROUTED
    + """
on r iptables-restore <<.
*nat
-A PREROUTING -p tcp --dport 81 -j REDIRECT --to-ports 80
-A PREROUTING -p tcp --dport 82 -j DNAT --to-destination 127.0.0.1:80
-A PREROUTING -p tcp --dport 83 -j DNAT --to-destination 10.2.0.2:80
-A PREROUTING -p tcp --dport 84 -j NETMAP --to 10.2.0.0/24
-A OUTPUT -p tcp --dport 85 -j DNAT --to-destination 10.2.0.2:80
-A POSTROUTING -p tcp --dport 86 -j SNAT --to-source 10.2.0.77
COMMIT
.
""",
    """
c tcp 10.2.0.2 81
c tcp 10.2.0.2 82
c tcp 10.9.0.1 83
c tcp 10.7.7.2 84
r tcp 10.9.9.9 85
c tcp 10.2.0.2 86
c tcp 10.2.0.2 80
""",
    f"s {PORTS}\nr tcp:80",
)
