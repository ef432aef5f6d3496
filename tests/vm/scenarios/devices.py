"""Devices that stand on others: VLANs, macvlan, ipvlan, bonds, dummies."""

from tests.vm.scenario import scenario

SERVE = "s tcp:80 udp:53"

scenario(
    "dummy-vip",
    "an address on a dummy device is local, whether the device is up or down",
    """
ns c; router s
wire c:eth0:10.0.0.2/24 s:eth0:10.0.0.1/24; via c 10.0.0.1
on s ip link add d0 type dummy; on s ip addr add 10.96.0.1/32 dev d0
on s ip link add d1 type dummy; on s ip addr add 10.96.0.2/32 dev d1; on s ip link set d1 up
on s ip addr add 10.97.0.1/24 dev d1
""",
    """
c tcp 10.96.0.1 80
c tcp 10.96.0.2 80
c tcp 10.97.0.1 80
c tcp 10.97.0.9 80
s tcp 10.96.0.1 80
s tcp 10.97.0.9 80
c icmp 10.96.0.1 0
""",
    SERVE,
)
scenario(
    "vlan",
    "VLAN devices on a veth pair: the ids must be the same",
    """
ns c s
wire c:eth0:- s:eth0:-
for id in 10 20; do
  on c ip link add v$id link eth0 type vlan id $id; on s ip link add v$id link eth0 type vlan id $id
  on c ip addr add 10.0.$id.2/24 dev v$id; on s ip addr add 10.0.$id.1/24 dev v$id
  on c ip link set v$id up; on s ip link set v$id up
done
on c ip link add v30 link eth0 type vlan id 30; on c ip addr add 10.0.30.2/24 dev v30; on c ip link set v30 up
on s ip link add v30 link eth0 type vlan id 31; on s ip addr add 10.0.30.1/24 dev v30; on s ip link set v30 up
on s ip link set v20 down
""",
    """
c tcp 10.0.10.1 80
c udp 10.0.10.1 53
c tcp 10.0.20.1 80
c tcp 10.0.30.1 80
c icmp 10.0.10.1 0
s tcp 10.0.10.2 80
""",
    SERVE,
)
scenario(
    "vlan-parent-down",
    "the device below is down: the VLAN above it has no carrier",
    """
ns c s
wire c:eth0:- s:eth0:-
on c ip link add v10 link eth0 type vlan id 10; on s ip link add v10 link eth0 type vlan id 10
on c ip addr add 10.0.10.2/24 dev v10; on s ip addr add 10.0.10.1/24 dev v10
on c ip link set v10 up; on s ip link set v10 up; on s ip link set eth0 down
""",
    "c tcp 10.0.10.1 80\ns tcp 10.0.10.2 80",
    SERVE,
)
scenario(
    "vlan-bridge",
    "a bridge that filters VLANs: access ports, a trunk with a VLAN device behind it, and a stranger's port",
    """
ns sw c s t n
on sw ip link add name br0 type bridge vlan_filtering 1; on sw ip link set br0 up
wire c:eth0:10.0.0.2/24 sw:pc:-; wire s:eth0:10.0.0.1/24 sw:ps:-
wire t:eth0:- sw:pt:-; wire n:eth0:10.0.0.4/24 sw:pn:-
for each in pc ps pt pn; do on sw ip link set $each master br0; done
for each in pc ps; do
  on sw bridge vlan add dev $each vid 10 pvid untagged; on sw bridge vlan del dev $each vid 1
done
on sw bridge vlan del dev pt vid 1; on sw bridge vlan add dev pt vid 10
on t ip link add v10 link eth0 type vlan id 10; on t ip addr add 10.0.0.3/24 dev v10; on t ip link set v10 up
""",
    """
c tcp 10.0.0.1 80
c udp 10.0.0.1 53
c tcp 10.0.0.3 80
t tcp 10.0.0.1 80
c tcp 10.0.0.4 80
n tcp 10.0.0.1 80
""",
    "s tcp:80 udp:53\nt tcp:80\nn tcp:80",
)
scenario(
    "macvlan",
    "macvlan in its modes: bridge talks to its sisters, private does not; the parent itself is reached by none",
    """
ns h c s p1 p2 o
wire h:eth0:10.0.0.1/24 o:eth0:10.0.0.9/24
for each in c s; do
  on h ip link add link eth0 name m$each type macvlan mode bridge
  on h ip link set m$each netns $each; on $each ip link set m$each name eth0
done
for each in p1 p2; do
  on h ip link add link eth0 name m$each type macvlan mode private
  on h ip link set m$each netns $each; on $each ip link set m$each name eth0
done
on c ip addr add 10.0.0.2/24 dev eth0; on s ip addr add 10.0.0.3/24 dev eth0
on p1 ip addr add 10.0.0.4/24 dev eth0; on p2 ip addr add 10.0.0.5/24 dev eth0
for each in c s p1 p2; do on $each ip link set eth0 up; done
""",
    """
c tcp 10.0.0.3 80
c tcp 10.0.0.9 80
o tcp 10.0.0.3 80
c tcp 10.0.0.1 80
h tcp 10.0.0.3 80
p1 tcp 10.0.0.5 80
p1 tcp 10.0.0.9 80
o tcp 10.0.0.5 80
c tcp 10.0.0.5 80
""",
    "s tcp:80\no tcp:80\nh tcp:80\np2 tcp:80",
)
scenario(
    "ipvlan-l2",
    "ipvlan in mode l2: sisters reach each other, the parent is reached by none",
    """
ns h c s o
wire h:eth0:10.0.0.1/24 o:eth0:10.0.0.9/24
for each in c s; do
  on h ip link add link eth0 name i$each type ipvlan mode l2
  on h ip link set i$each netns $each; on $each ip link set i$each name eth0
done
on c ip addr add 10.0.0.2/24 dev eth0; on s ip addr add 10.0.0.3/24 dev eth0
for each in c s; do on $each ip link set eth0 up; done
""",
    """
c tcp 10.0.0.3 80
c tcp 10.0.0.9 80
o tcp 10.0.0.3 80
c tcp 10.0.0.1 80
h tcp 10.0.0.3 80
c icmp 10.0.0.3 0
""",
    "s tcp:80\no tcp:80\nh tcp:80",
)
scenario(
    "ipvlan-l3",
    "ipvlan in mode l3: no ARP, the parent's namespace routes",
    """
ns h c s o
wire h:eth0:10.0.0.1/24 o:eth0:10.0.0.9/24
for each in c s; do
  on h ip link add link eth0 name i$each type ipvlan mode l3
  on h ip link set i$each netns $each; on $each ip link set i$each name eth0
done
on c ip addr add 10.1.0.2/24 dev eth0; on s ip addr add 10.2.0.3/24 dev eth0
for each in c s; do on $each ip link set eth0 up; on $each ip route add default dev eth0; done
on o ip route add 10.0.0.0/8 dev eth0
""",
    """
c tcp 10.2.0.3 80
c tcp 10.0.0.9 80
o tcp 10.2.0.3 80
c icmp 10.2.0.3 0
""",
    "s tcp:80\no tcp:80",
)
scenario(
    "bond",
    "a bond in mode active-backup over two wires to a bridge; one wire is down",
    """
ns c sw s
on sw ip link add name br0 type bridge; on sw ip link set br0 up
on c ip link add bond0 type bond mode active-backup miimon 100
wire c:e0:- sw:p0:-; wire c:e1:- sw:p1:-; wire s:eth0:10.0.0.1/24 sw:ps:-
for each in p0 p1 ps; do on sw ip link set $each master br0; done
for each in e0 e1; do on c ip link set $each down; on c ip link set $each master bond0; done
on c ip addr add 10.0.0.2/24 dev bond0; on c ip link set bond0 up
on sw ip link set p0 down
on c timeout 60 sh -c 'until grep -q "Active Slave: e1" /proc/net/bonding/bond0; do sleep 0.1; done'
""",
    """
c tcp 10.0.0.1 80
c udp 10.0.0.1 53
s tcp 10.0.0.2 80
c tcp 10.0.0.9 80
""",
    SERVE,
)
scenario(
    "bond-dead",
    "both wires of the bond are down",
    """
ns c sw s
on sw ip link add name br0 type bridge; on sw ip link set br0 up
on c ip link add bond0 type bond mode active-backup miimon 100
wire c:e0:- sw:p0:-; wire c:e1:- sw:p1:-; wire s:eth0:10.0.0.1/24 sw:ps:-
for each in p0 p1 ps; do on sw ip link set $each master br0; done
for each in e0 e1; do on c ip link set $each down; on c ip link set $each master bond0; done
on c ip addr add 10.0.0.2/24 dev bond0; on c ip link set bond0 up
on sw ip link set p0 down; on sw ip link set p1 down
on c timeout 60 sh -c 'until grep -q "Active Slave: None" /proc/net/bonding/bond0; do sleep 0.1; done'
""",
    "c tcp 10.0.0.1 80\ns tcp 10.0.0.2 80",
    SERVE,
)
