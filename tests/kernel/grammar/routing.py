"""Routes, policy rules, neighbours, bridge ports, forwarding entries and sysctls."""

from __future__ import annotations

from collections.abc import Callable

from tests.kernel import plan
from tests.kernel.grammar.draw import Draw, theme
from tests.kernel.state import Line, Overlay, Tool


def _six(draw: Draw) -> str:
    return "-6 " if draw.family == 6 else ""


def _ip(place: str, draw: Draw, text: str) -> Line:
    return Line(place, Tool.IP, f"{_six(draw)}{text}")


def _prefix(draw: Draw) -> str:
    choice = draw.target()
    return "default" if choice == "0.0.0.0/0" else choice


def _gateway(draw: Draw, place: str) -> str:
    """Return a way to somewhere: a neighbour on the wire, or a device."""
    hosts = [host for host in plan.HOSTS if host.name != place]
    if place in {"a", "b", "o"}:
        return f"via {draw.address_of(draw.one(hosts))} dev eth0"
    return "dev eth0"


@theme("route:type", 2)
def _types(draw: Draw) -> list[Line]:
    place, kind = draw.place(), draw.one(("blackhole", "unreachable", "prohibit", "throw"))
    return [_ip(place, draw, f"route replace {kind} {_prefix(draw)} metric {draw.number(5, 50)}")]


@theme("route:via", 2)
def _via(draw: Draw) -> list[Line]:
    place = draw.place()
    return [
        _ip(place, draw, f"route replace {_prefix(draw)} {_gateway(draw, place)} metric {draw.number(1, 50)}")
    ]


@theme("route:onlink", 0.5)
def _onlink(draw: Draw) -> list[Line]:
    place = draw.one(("a", "b", "o"))
    gateway = draw.one([draw.address_of(draw.end()), *plan.NOBODY[draw.family]])
    return [_ip(place, draw, f"route replace {_prefix(draw)} via {gateway} dev eth0 onlink metric 3")]


@theme("route:src", 0.7)
def _src(draw: Draw) -> list[Line]:
    """A second address, and a route that prefers it as the source."""
    place = draw.one(("a", "b", "o"))
    extra = f"192.168.7.{draw.number(100, 110)}" if draw.family == 4 else f"fd00:7::{draw.number(100, 110)}"
    other = draw.one([host for host in plan.HOSTS if host.name != place])
    return [
        Line(place, Tool.IP, f"{_six(draw)}addr add {extra}/{'24' if draw.family == 4 else '64'} dev eth0"
             f"{' nodad' if draw.family == 6 else ''}"),
        _ip(place, draw, f"route replace {draw.address_of(other)} dev eth0 src {extra} metric 2"),
    ]  # fmt: skip


@theme("route:realms", 0.8)
def _realms(draw: Draw) -> list[Line]:
    """Realms on a route, on a rule or on both, and a rule that drops or marks by them. IPv6 has none."""
    place = draw.place()
    if draw.family == 6:
        return [_ip(place, draw, f"route replace {_prefix(draw)} {_gateway(draw, place)} metric 3")]
    lines = [
        _ip(
            place,
            draw,
            f"route replace {_prefix(draw)} {_gateway(draw, place)} metric 3 realms {_pair(draw)}",
        )
    ]
    if draw.chance(0.4):
        source = draw.target().replace("0.0.0.0/0", "all")
        table = draw.one(("main", str(draw.number(100, 120))))
        lines.append(
            _ip(place, draw, f"rule add from {source} lookup {table} realms {_pair(draw)} priority 90")
        )
        if table != "main":
            lines.append(_ip(place, draw, f"route add default {_gateway(draw, place)} table {table}"))
    chain = draw.one(("INPUT", "FORWARD", "OUTPUT"))
    wanted = draw.one(("0x5/0xffff", "0x60000/0xffff0000", "0x60005", "0x50000", "0x0"))
    inverted = "! " if draw.chance(0.2) else ""
    match = f"-m realm {inverted}--realm {wanted}"
    lines.append(Line(place, draw.iptables(), f"filter -A {chain} {match} -j {draw.one(('DROP', 'REJECT'))}"))
    return lines


def _pair(draw: Draw) -> str:
    return draw.one(("5", "6/5", "5/6", "6/0", "5/5"))


@theme("route:multipath", 1)
def _multipath(draw: Draw) -> list[Line]:
    place = draw.one(("a", "b", "o"))
    hosts = [host for host in plan.HOSTS if host.name != place]
    hops = " ".join(f"nexthop via {draw.address_of(h)} dev eth0 weight {draw.number(1, 2)}" for h in hosts)
    return [_ip(place, draw, f"route replace {_prefix(draw)} {hops} metric 4")]


@theme("route:nexthop-object", 0.6)
def _nexthop(draw: Draw) -> list[Line]:
    place, number = draw.one(("a", "b", "o")), draw.number(10, 99)
    host = draw.one([host for host in plan.HOSTS if host.name != place])
    return [
        _ip(place, draw, f"nexthop add id {number} via {draw.address_of(host)} dev eth0"),
        _ip(place, draw, f"route replace {_prefix(draw)} nhid {number} metric 6"),
    ]


@theme("route:local", 0.8)
def _local(draw: Draw) -> list[Line]:
    """Addresses that are this host's own: a VIP on lo, or a local route."""
    place = draw.place()
    address = draw.vip() if "local:duplicate" in draw.off or draw.chance(0.5) else draw.address()
    if draw.chance(0.5):
        nodad = " nodad" if draw.family == 6 else ""
        return [_ip(place, draw, f"addr add {address}/{draw.length()} dev lo{nodad}")]
    return [_ip(place, draw, f"route replace local {address} dev lo table local")]


@theme("route:missing", 0.7)
def _missing(draw: Draw) -> list[Line]:
    place = draw.one(("a", "b", "c", "s"))
    if place in {"c", "s"}:
        return [_ip(place, draw, "route del default")]
    other = "b" if place == "a" else "a"
    return [_ip(place, draw, f"route del {plan.POD_NETS[draw.family][other]}")]


_SELECTORS: tuple[Callable[[Draw, str], str], ...] = (
    lambda d, _p: f"from {d.target()}",
    lambda d, _p: f"to {d.target()}",
    lambda d, p: f"iif {d.one((d.device(p), 'lo'))}",
    lambda d, p: f"oif {d.device(p)}",
    lambda d, _p: f"fwmark {d.mark()}",
    lambda d, _p: f"fwmark {d.mark()}/{d.mark()}",
    lambda d, _p: f"ipproto {d.one(('tcp', 'udp'))}",
    lambda d, _p: f"ipproto tcp dport {d.port()}",
    lambda d, _p: f"ipproto udp dport {d.port()}",
    lambda _d, _p: "ipproto tcp dport 8000-8080",
    lambda d, _p: f"tos {d.one(('0x10', '0x00'))}",
    lambda _d, _p: "uidrange 0-0",
    lambda d, _p: f"ipproto tcp sport {d.port()}",
)
_NAMES = ("from", "to", "iif", "oif", "fwmark", "fwmark-mask", "ipproto", "tcp-dport", "udp-dport", "dport-range",
          "tos", "uidrange", "sport")  # fmt: skip


@theme("rule", 3)
def _rule(draw: Draw) -> list[Line]:
    """A policy rule, its table, and now and then a mark that leads there."""
    place, table = draw.place(), draw.number(100, 120)
    usable = draw.on("rule", _NAMES)
    rows = [s for name, s in zip(_NAMES, _SELECTORS, strict=True) if name in usable]
    chosen = draw.lot.sample(rows, draw.one((1, 1, 2)))
    selector = " ".join(s(draw, place) for s in chosen)
    words = selector.split()
    if words.count("ipproto") > 1 or words.count("fwmark") > 1:
        selector = chosen[0](draw, place)
    inverted = "not " if draw.chance(0.15) else ""
    action = draw.one((f"lookup {table}",) * 6 + ("blackhole", "unreachable", "prohibit",
                      f"lookup main suppress_prefixlength {draw.one((0, 16, 31))}"))  # fmt: skip
    selector = selector.replace("0.0.0.0/0", "all")
    lines = [_ip(place, draw, f"rule add {inverted}{selector} {action} priority {draw.number(10, 999)}")]
    if action.endswith(str(table)):
        way = draw.one((
            f"{_prefix(draw)} {_gateway(draw, place)}", f"default {_gateway(draw, place)}",
            f"blackhole {_prefix(draw)}", "throw default", f"unreachable {_prefix(draw)}"))  # fmt: skip
        lines.append(_ip(place, draw, f"route add {way} table {table}"))
    if "fwmark" in selector and draw.chance(0.7):
        mark = selector.split("fwmark ")[1].split()[0].partition("/")[0]
        chain = draw.one(("PREROUTING", "OUTPUT"))
        tool = draw.iptables()
        lines.append(
            Line(place, tool, f"mangle -A {chain} -d {draw.target()} -j MARK --set-xmark {mark}/{mark}")
        )
    return lines


@theme("rule:goto", 0.4)
def _goto(draw: Draw) -> list[Line]:
    place, table = draw.place(), draw.number(100, 120)
    return [
        _ip(place, draw, "rule add from all nop priority 500"),
        _ip(place, draw, f"rule add to {draw.address()} goto 500 priority 100"),
        _ip(place, draw, f"rule add from all lookup {table} priority 200"),
        _ip(
            place, draw, f"route add {draw.one(('blackhole', 'unreachable'))} {draw.network()} table {table}"
        ),
    ]


@theme("neighbour:permanent", 1)
def _permanent(draw: Draw) -> list[Line]:
    """A permanent neighbour: right, or wrong."""
    place = draw.one(("a", "b", "o", "c", "s"))
    known = [host for host in plan.HOSTS if host.name != place]
    if place in {"c", "s"}:
        known = [pod for pod in plan.PODS if pod.node == plan.BY_NAME[place].node and pod.name != place]
    other = draw.one(known)
    mac = draw.one((other.mac, "02:00:00:00:ff:ff", draw.one(known).mac))
    return [_ip(place, draw, f"neigh replace {draw.address_of(other)} lladdr {mac} dev eth0 nud permanent")]


@theme("neighbour:proxy", 0.4)
def _proxy(draw: Draw) -> list[Line]:
    place = draw.one(("a", "b", "o"))
    address = draw.one((*plan.NOBODY[draw.family], draw.vip()))
    return [_ip(place, draw, f"neigh add proxy {address} dev eth0")]


@theme("bridge:port", 1.5)
def _port(draw: Draw) -> list[Line]:
    nodes = draw.bridged()
    if not nodes:
        return []
    place = draw.one(nodes)
    lines = []
    for pod in plan.PODS:
        if pod.node == place and draw.chance(0.7):
            flags = ("hairpin on", "isolated on", "isolated on", "learning off", "flood off", "state 4",
                     "mcast_flood off", "bcast_flood off")  # fmt: skip
            flag = draw.one(draw.on("bridge-port", flags))
            lines.append(Line(place, Tool.BRIDGE, f"link set dev {plan.host_end(pod, draw.shape)} {flag}"))
    return lines


@theme("bridge:fdb", 0.5)
def _bridge_fdb(draw: Draw) -> list[Line]:
    """A static entry of the bridge that sends a pod's frames out of the wrong port, or the right one."""
    nodes = draw.bridged()
    if not nodes:
        return []
    place = draw.one(nodes)
    pods = [pod for pod in plan.PODS if pod.node == place]
    pod, port = draw.one(pods), draw.one(pods)
    return [
        Line(place, Tool.BRIDGE, f"fdb replace {pod.mac} dev {plan.host_end(port, draw.shape)} master static")
    ]


@theme("bridge:netfilter", 2)
def _bridge_netfilter(draw: Draw) -> list[Line]:
    """bridge-nf-call-iptables, for the namespace or for one bridge, with a rule that sees the difference."""
    nodes = draw.bridged()
    if not nodes:
        return []
    place = draw.one(nodes)
    if "bridge-nf:6" in draw.off:
        draw.family = 4
    key = "ip" if draw.family == 4 else "ip6"
    if draw.chance(0.5):
        line = Line(place, Tool.IP, f"link set cni0 type bridge nf_call_{key}tables {draw.one((1, 1, 0))}")
    else:
        line = Line(place, Tool.SYSCTL, f"net/bridge/bridge-nf-call-{key}tables={draw.one((1, 1, 0))}")
    target = draw.one(("DROP", "REJECT", "ACCEPT"))
    condition = draw.one(("-m physdev --physdev-is-bridged", f"-d {draw.address()}", "-i cni0 -o cni0",
                          "-m physdev --physdev-in veth+"))  # fmt: skip
    return [line, Line(place, draw.iptables(), f"filter -A FORWARD {condition} -j {target}")]


@theme("vxlan:fdb", 1)
def _vxlan_fdb(draw: Draw) -> list[Line]:
    if draw.shape.overlay is not Overlay.VXLAN:
        return []
    place = draw.node()
    other = "b" if place == "a" else "a"
    mac, peer = plan.VXLAN_MACS[other], plan.BY_NAME[other].v4
    remove = Line(place, Tool.BRIDGE, f"fdb del {mac} dev flannel.1 dst {peer} self")
    return draw.one(
        (
            [remove],
            [remove, Line(place, Tool.BRIDGE, f"fdb append {mac} dev flannel.1 dst 192.168.7.3 self")],
            [remove, Line(place, Tool.BRIDGE, f"fdb append 00:00:00:00:00:00 dev flannel.1 dst {peer} self")],
            [Line(place, Tool.IP, f"neigh del {plan.POD_NETS[4][other].partition('/')[0]} dev flannel.1")],
        )
    )


_SYSCTLS = {
    4: (
        ("ip_forward=0",) * 2 + ("conf/{d}/forwarding=0",) * 2 + ("conf/{d}/rp_filter=1",) * 4 + (
            "conf/{d}/rp_filter=2", "conf/all/rp_filter=1", "conf/all/rp_filter=2", "conf/{d}/accept_local=1",
            "conf/{d}/route_localnet=1", "conf/{d}/proxy_arp=1", "conf/{d}/arp_ignore=1", "conf/{d}/arp_ignore=2",
            "conf/{d}/src_valid_mark=1", "icmp_echo_ignore_all=1", "conf/{d}/arp_filter=1",
            "ip_local_port_range=40000 50000", "conf/{d}/arp_announce=2", "fib_multipath_hash_policy=1",
        )
    ),
    6: ("conf/all/forwarding=0", "conf/{d}/forwarding=0", "conf/{d}/disable_ipv6=1", "icmp/echo_ignore_all=1"),
}  # fmt: skip


@theme("sysctl", 2.5)
def _sysctl(draw: Draw) -> list[Line]:
    place = draw.place()
    names = {s: s.partition("=")[0].rpartition("/")[2] for s in _SYSCTLS[draw.family]}
    usable = draw.on("sysctl", list(names.values()))
    settings = [s for s in _SYSCTLS[draw.family] if names[s] in usable]
    text = draw.one(settings).replace("{d}", draw.device(place))
    return [Line(place, Tool.SYSCTL, f"net/ipv{draw.family}/{text}")]


@theme("tcp-liberal", 0.2)
def _liberal(draw: Draw) -> list[Line]:
    return [Line(draw.node(), Tool.SYSCTL, "net/netfilter/nf_conntrack_tcp_be_liberal=1")]


@theme("link:down", 0.4)
def _down(draw: Draw) -> list[Line]:
    place = draw.node()
    return [Line(place, Tool.IP, f"link set {draw.device(place)} down")]


@theme("link:mtu", 0.3)
def _mtu(draw: Draw) -> list[Line]:
    place = draw.node()
    return [Line(place, Tool.IP, f"link set {draw.device(place)} mtu {draw.one((1400, 1280))}")]
