"""Rules of iptables: every table and chain, matches and targets, user chains with jump, goto and RETURN."""

from __future__ import annotations

from collections.abc import Callable

from tests.kernel import plan
from tests.kernel.grammar.draw import Draw, Row, theme
from tests.kernel.state import Line, Tool

CHAINS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "OUTPUT", "POSTROUTING", "INPUT"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
IN = frozenset({"PREROUTING", "INPUT", "FORWARD"})
OUT = frozenset({"FORWARD", "OUTPUT", "POSTROUTING"})
_STATES = ("NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "NEW,RELATED", "DNAT", "SNAT", "UNTRACKED")
_REJECTS = {
    4: ("icmp-port-unreachable", "icmp-host-unreachable", "icmp-net-unreachable", "icmp-host-prohibited",
        "icmp-admin-prohibited", "icmp-proto-unreachable", "icmp-net-prohibited"),
    6: ("icmp6-port-unreachable", "icmp6-addr-unreachable", "icmp6-adm-prohibited", "icmp6-no-route"),
}  # fmt: skip
MATCHES: list[Row] = []
Match = Callable[[Draw, str, str], str]


def match(name: str, weight: float = 1.0, where: frozenset[str] = frozenset()) -> Callable[[Match], Match]:
    """Register a match. It gets the place and the table, and returns the options' text."""

    def register(draw: Match) -> Match:
        MATCHES.append(Row(f"match:{name}", weight, draw, where))
        return draw

    return register


def _not(draw: Draw, share: float = 0.15) -> str:
    return "! " if draw.chance(share) else ""


# --- matches ---------------------------------------------------------------------------------------------


@match("source", 3)
def _source(draw: Draw, _place: str, _table: str) -> str:
    return f"{_not(draw)}-s {draw.target()}"


@match("destination", 3)
def _destination(draw: Draw, _place: str, _table: str) -> str:
    return f"{_not(draw)}-d {draw.target()}"


@match("netmask", 0.3)
def _netmask(draw: Draw, _place: str, _table: str) -> str:
    if draw.family == 6:
        return f"-d {draw.network()}"
    return f"-{draw.one('sd')} {draw.one(('10.0.0.10/255.0.0.255', '10.244.0.11/255.255.0.255'))}"


@match("in-interface", 2, IN)
def _in_interface(draw: Draw, place: str, _table: str) -> str:
    return f"{_not(draw)}-i {draw.one((draw.device(place), 'eth+', 'veth+', 'cali+', 'lo'))}"


@match("out-interface", 2, OUT)
def _out_interface(draw: Draw, place: str, _table: str) -> str:
    return f"{_not(draw)}-o {draw.one((draw.device(place), 'eth+', 'veth+', 'cali+', 'lo'))}"


@match("tcp", 3)
def _tcp(draw: Draw, _place: str, _table: str) -> str:
    return draw.one(
        (
            f"-p tcp -m tcp {_not(draw)}--dport {draw.port()}",
            f"-p tcp -m tcp --sport {draw.port()}",
            "-p tcp -m tcp --dport 8000:8080",
            f"-p tcp -m tcp --sport {draw.one((40000, 32768, 60000))}:65535",
            "-p tcp -m tcp --syn",
            f"-p tcp -m tcp {_not(draw)}--tcp-flags SYN,ACK,FIN,RST {draw.one(('SYN', 'SYN,ACK', 'ACK', 'RST'))}",
        )
    )


@match("udp", 2)
def _udp(draw: Draw, _place: str, _table: str) -> str:
    return f"-p udp -m udp {_not(draw)}--{draw.one(('dport', 'dport', 'sport'))} {draw.port()}"


@match("icmp", 1)
def _icmp(draw: Draw, _place: str, _table: str) -> str:
    if draw.family == 6:
        return f"-p ipv6-icmp -m icmp6 --icmpv6-type {draw.one(('echo-request', 'echo-reply', '1', '1/4'))}"
    return f"-p icmp -m icmp {_not(draw)}--icmp-type {draw.one(('8', '0', '3', '3/3', '3/1', 'any'))}"


@match("protocol", 1)
def _protocol(draw: Draw, _place: str, _table: str) -> str:
    return f"{_not(draw)}-p {draw.one(('tcp', 'udp', 'icmp' if draw.family == 4 else 'ipv6-icmp', 'sctp'))}"


@match("multiport", 1)
def _multiport(draw: Draw, _place: str, _table: str) -> str:
    protocol, side = draw.one(("tcp", "udp")), draw.one(("dports", "dports", "sports", "ports"))
    return f"-p {protocol} -m multiport {_not(draw)}--{side} {draw.port()},{draw.port()},5000:5353"


@match("conntrack:ctstate", 3)
def _ctstate(draw: Draw, _place: str, _table: str) -> str:
    return f"-m conntrack {_not(draw)}--ctstate {draw.one(_STATES)}"


@match("state", 0.5)
def _state(draw: Draw, _place: str, _table: str) -> str:
    return f"-m state --state {draw.one(('NEW', 'RELATED,ESTABLISHED', 'INVALID'))}"


@match("conntrack:other", 1)
def _conntrack(draw: Draw, _place: str, _table: str) -> str:
    return draw.one(
        (
            f"-m conntrack --ctstatus {draw.one(('SEEN_REPLY', 'ASSURED', 'CONFIRMED', 'DNAT', 'SNAT'))}",
            f"-m conntrack --ctdir {draw.one(('ORIGINAL', 'REPLY'))}",
            f"-m conntrack --ctproto {draw.one(('6', '17'))}",
            f"-m conntrack {_not(draw)}--ctorigdst {draw.target()}",
            f"-m conntrack --ctorigsrc {draw.target()}",
            f"-m conntrack --ctreplsrc {draw.target()}",
            f"-m conntrack --ctrepldst {draw.target()}",
            f"-m conntrack --ctorigdstport {draw.port()}",
            f"-m conntrack --ctreplsrcport {draw.port()}",
        )
    )


@match("mark", 2)
def _mark(draw: Draw, _place: str, _table: str) -> str:
    return (
        f"-m mark {_not(draw)}--mark {draw.mark()}{draw.one(('', '/0xffff', '/0xffffffff', '/0xffff0000'))}"
    )


@match("connmark", 1)
def _connmark(draw: Draw, _place: str, _table: str) -> str:
    return f"-m connmark {_not(draw)}--mark {draw.mark()}/{draw.one(('0xffff', '0xffffffff'))}"


@match("addrtype", 2)
def _addrtype(draw: Draw, _place: str, _table: str) -> str:
    side, kind = draw.one(("dst", "src")), draw.one(("LOCAL", "LOCAL", "UNICAST", "BROADCAST"))
    return f"-m addrtype {_not(draw)}--{side}-type {kind}"


@match("addrtype:limit-iface-in", 0.4, frozenset({"PREROUTING", "INPUT", "FORWARD"}))
def _limit_in(draw: Draw, _place: str, _table: str) -> str:
    return f"-m addrtype {_not(draw)}--dst-type LOCAL --limit-iface-in"


@match("addrtype:limit-iface-out", 0.4, frozenset({"FORWARD", "OUTPUT", "POSTROUTING"}))
def _limit_out(draw: Draw, _place: str, _table: str) -> str:
    return f"-m addrtype {_not(draw)}--src-type LOCAL --limit-iface-out"


@match("iprange", 0.6)
def _iprange(draw: Draw, _place: str, _table: str) -> str:
    span = "10.244.1.5-10.244.2.10" if draw.family == 4 else "fd00:1::5-fd00:2::10"
    return f"-m iprange {_not(draw)}--{draw.one(('src', 'dst'))}-range {span}"


@match("physdev", 1)
def _physdev(draw: Draw, place: str, table: str) -> str:
    options = [
        "--physdev-is-bridged",
        "--physdev-is-in",
        f"--physdev-in {draw.device(place)}",
        "--physdev-in veth+",
    ]
    if table == "filter":
        options.append(f"--physdev-out {draw.device(place)}")
    return f"-m physdev {_not(draw)}{draw.one(options)}"


@match("statistic:random", 0.5)
def _random(draw: Draw, _place: str, _table: str) -> str:
    return f"-m statistic --mode random --probability {draw.one(('0.5', '0.33333333349', '1.0'))}"


@match("statistic:nth", 0.3)
def _nth(draw: Draw, _place: str, _table: str) -> str:
    return f"-m statistic --mode nth --every {draw.one((2, 3))} --packet 0"


@match("owner", 0.5, frozenset({"OUTPUT", "POSTROUTING"}))
def _owner(draw: Draw, _place: str, _table: str) -> str:
    return draw.one(("-m owner --uid-owner 0", "-m owner ! --uid-owner 0", "-m owner --socket-exists",
                     "-m owner --uid-owner 1000"))  # fmt: skip


@match("pkttype", 0.4)
def _pkttype(draw: Draw, _place: str, _table: str) -> str:
    return f"-m pkttype {_not(draw)}--pkt-type {draw.one(('unicast', 'broadcast', 'multicast'))}"


@match("mac", 0.5, frozenset({"PREROUTING", "INPUT", "FORWARD"}))
def _mac(draw: Draw, _place: str, _table: str) -> str:
    return f"-m mac {_not(draw)}--mac-source {draw.end().mac}"


@match("length", 0.4)
def _length(draw: Draw, _place: str, _table: str) -> str:
    return f"-m length {_not(draw)}--length {draw.one(('0:60', '60', '1:1500', '500:1500', '0:19'))}"


@match("dscp", 0.3)
def _dscp(draw: Draw, _place: str, _table: str) -> str:
    return f"-m dscp {_not(draw)}--dscp {draw.one(('0x00', '0x0a'))}"


@match("tos", 0.3)
def _tos(draw: Draw, _place: str, _table: str) -> str:
    return f"-m tos {_not(draw)}--tos {draw.one(('0x00', '0x10/0xff'))}"


@match("ttl", 0.4)
def _ttl(draw: Draw, _place: str, _table: str) -> str:
    module, option = ("ttl", "ttl") if draw.family == 4 else ("hl", "hl")
    return f"-m {module} --{option}-{draw.one(('eq 64', 'eq 63', 'eq 62', 'lt 64', 'gt 10', 'gt 63'))}"


@match("tcpmss", 0.3)
def _tcpmss(draw: Draw, _place: str, _table: str) -> str:
    sizes = draw.one(("1:500", "1000:1460", "1400:1500"))
    return f"-p tcp -m tcp --tcp-flags SYN,RST SYN -m tcpmss --mss {sizes}"


@match("policy", 0.3)
def _policy(draw: Draw, _place: str, _table: str) -> str:
    return f"-m policy --dir {{dir}} --pol {draw.one(('none', 'ipsec'))}"


@match("devgroup", 0.2, IN)
def _devgroup(draw: Draw, _place: str, _table: str) -> str:
    return f"-m devgroup {_not(draw)}--src-group {draw.one(('0x0', '0x1'))}"


@match("realm", 0.1, frozenset({"INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}))
def _realm(draw: Draw, _place: str, _table: str) -> str:
    return (
        f"-m realm {_not(draw)}--realm {draw.one(('0x0', '0x5'))}"
        if draw.family == 4
        else "-m comment --comment r"
    )


@match("rpfilter", 0.5, frozenset({"PREROUTING"}))
def _rpfilter(draw: Draw, _place: str, table: str) -> str:
    if table not in {"raw", "mangle"}:
        return f"-s {draw.target()}"
    how = draw.one(("", "--loose", "--validmark", "--accept-local"))
    return f"-m rpfilter {how} {draw.one(('', '--invert'))}"


@match("recent", 0.3)
def _recent(draw: Draw, _place: str, _table: str) -> str:
    return (
        f"-m recent --name fz{draw.number(1, 2)} {draw.one(('--set', '--rcheck --seconds 60', '--update'))}"
    )


@match("limit", 0.2)
def _limit(draw: Draw, _place: str, _table: str) -> str:
    return f"-m limit --limit {draw.one(('1000/second', '1/hour'))}"


@match("comment", 0.5)
def _comment(draw: Draw, _place: str, _table: str) -> str:
    return f'-m comment --comment "{draw.one(("plain", "a b", "ns1/svc:p80 -> x"))}"'


@match("set", 1.5)
def _set(draw: Draw, place: str, _table: str) -> str:
    usable = [s for s in draw.sets if s[0] == place and s[3] == draw.family]
    if not usable:
        return f"-d {draw.target()}"
    _, name, kind, _ = draw.one(usable)
    dimensions = kind.partition(":")[2].count(",") + 1 if kind != "list:set" else 1
    flags = ",".join(draw.one(("src", "dst", "dst")) for _ in range(dimensions))
    more = " --return-nomatch" if "net" in kind and draw.chance(0.1) else ""
    return f"-m set {_not(draw)}--match-set {name} {flags}{more}"


# --- targets ---------------------------------------------------------------------------------------------


def _filter_target(draw: Draw, protocol: str) -> str:
    if draw.chance(0.35):
        return "ACCEPT"
    if draw.chance(0.5):
        return "DROP"
    if protocol == "tcp" and draw.chance(0.4):
        return "REJECT --reject-with tcp-reset"
    return f"REJECT --reject-with {draw.one(_REJECTS[draw.family])}"


def _mangle_target(draw: Draw, chain: str) -> str:
    options = [
        f"MARK --set-xmark {draw.mark()}/{draw.one(('0xffffffff', '0xffff', draw.mark()))}",
        f"MARK --or-mark {draw.mark()}",
        f"MARK --and-mark {draw.one(('0xfffffff0', '0xffff'))}",
        f"MARK --xor-mark {draw.mark()}",
        f"CONNMARK --set-xmark {draw.mark()}/0xffffffff",
        "CONNMARK --save-mark",
        "CONNMARK --restore-mark",
        "CONNMARK --restore-mark --nfmask 0xffff --ctmask 0xffff",
        "DROP",
        "ACCEPT",
        "DSCP --set-dscp 0x0a",
        "TOS --set-tos 0x10/0xff",
        "TTL --ttl-set 64" if draw.family == 4 else "HL --hl-set 64",
    ]
    if chain == "POSTROUTING":
        options.append("CLASSIFY --set-class 1:1")
    return draw.one(options)


def _port_range(draw: Draw) -> str:
    return draw.one(("", "", f":{draw.one((8080, 8081, 5353))}", ":8080-8081"))


def _to(draw: Draw, address: str) -> str:
    return address if draw.family == 4 else f"[{address}]"


def nat_target(draw: Draw, chain: str, protocol: str) -> str:
    """Return a target that the chain takes."""
    ported = protocol in {"tcp", "udp"}
    if chain in {"PREROUTING", "OUTPUT"}:
        if draw.chance(0.15):
            return "ACCEPT"
        if draw.chance(0.2) and ported:
            return f"REDIRECT --to-ports {draw.one((8080, 8081, 5353))}"
        address = draw.address_of(draw.one((draw.pod(), draw.pod(), draw.end())))
        port = _port_range(draw) if ported else ""
        return f"DNAT --to-destination {_to(draw, address) if port else address}{port}"
    if chain == "POSTROUTING" and draw.chance(0.6):
        return draw.one(("MASQUERADE", "MASQUERADE", "MASQUERADE --random-fully"))
    if draw.chance(0.15):
        return "ACCEPT"
    addresses = [draw.address_of(plan.BY_NAME[name]) for name in ("a", "b")]
    return f"SNAT --to-source {draw.one([*addresses, plan.GATEWAYS[draw.family]['a']])}"


TARGETS = [
    Row("target:LOG", 0.1, lambda _draw, _chain, _protocol: "LOG --log-prefix fz"),
    Row("target:none", 0.15, lambda _draw, _chain, _protocol: ""),
    Row("target:verdict", 5, lambda _draw, _chain, _protocol: "?"),
]


def _target(draw: Draw, table: str, chain: str, protocol: str) -> str:
    if table == "nat":
        return nat_target(draw, chain, protocol)
    if table == "mangle":
        return _mangle_target(draw, chain)
    if table == "raw":
        return draw.one(("CT --notrack", "DROP", "ACCEPT", "NOTRACK" if draw.family == 4 else "CT --notrack"))
    return _filter_target(draw, protocol)


# --- rules -----------------------------------------------------------------------------------------------


def conditions(draw: Draw, place: str, table: str, chain: str, count: int) -> str:
    """Return the text of so many matches that do not exclude each other by their syntax."""
    usable = [row for row in MATCHES if not row.where or chain in row.where]
    if table == "raw":
        usable = [row for row in usable if row.name != "match:owner"]
    texts: dict[str, str] = {}
    for _ in range(count):
        row = draw.row(usable)
        text = str(row.draw(draw, place, table))
        text = text.replace("{dir}", "in" if chain in IN else "out")
        protocols = [t for t in texts.values() if "-p " in t]
        if row.name in texts or ("-p " in text and protocols):
            continue
        if any(
            option in other
            for option in ("-s ", "-d ", "-i ", "-o ")
            if f" {text}".find(f" {option}") >= 0
            for other in texts.values()
        ):
            continue
        texts[row.name] = text
    return " ".join(texts.values())


def protocol_of(text: str) -> str:
    """Return the protocol that a rule asks for, without ``!``, or ''."""
    words = text.split()
    if "-p" not in words:
        return ""
    at = words.index("-p")
    return "" if at and words[at - 1] == "!" else words[at + 1]


def rule(draw: Draw, place: str, table: str, chain: str, hook: str = "") -> str:
    """Return one rule without its store. ``hook`` is the built-in chain above a user chain."""
    base = hook or chain
    text = conditions(draw, place, table, base, draw.one((1, 1, 1, 2, 2, 3)))
    target = _target(draw, table, base, protocol_of(text))
    kind = draw.row(TARGETS).name
    if kind == "target:LOG":
        target = "LOG --log-prefix fz"
    elif kind == "target:none":
        target = ""
    if "tcp-reset" in target and protocol_of(text) != "tcp":
        target = "DROP"
    return f"{table} -A {chain} {text}{' -j ' + target if target else ''}"


@theme("iptables:filter", 5)
def _filter(draw: Draw) -> list[Line]:
    place, tool = draw.place(), draw.iptables()
    return [
        Line(place, tool, rule(draw, place, "filter", draw.one(CHAINS["filter"])))
        for _ in range(draw.number(1, 4))
    ]


@theme("iptables:mangle", 2)
def _mangle(draw: Draw) -> list[Line]:
    place, tool = draw.place(), draw.iptables()
    return [
        Line(place, tool, rule(draw, place, "mangle", draw.one(CHAINS["mangle"])))
        for _ in range(draw.number(1, 3))
    ]


@theme("iptables:mark-then-look", 2)
def _mark_then_look(draw: Draw) -> list[Line]:
    """A mark that is set in one table and looked for in another, as every producer of rules does."""
    place, tool, mark = draw.node(), draw.iptables(), draw.mark()
    where = conditions(draw, place, "mangle", "PREROUTING", 1)
    later = draw.one(("INPUT", "FORWARD"))
    return [
        Line(place, tool, f"mangle -A PREROUTING {where} -j MARK --set-xmark {mark}/{mark}"),
        Line(
            place, tool, f"filter -A {later} -m mark --mark {mark}/{mark} -j {draw.one(('DROP', 'REJECT'))}"
        ),
    ]


@theme("iptables:raw", 1)
def _raw(draw: Draw) -> list[Line]:
    place, tool = draw.place(), draw.iptables()
    return [Line(place, tool, rule(draw, place, "raw", draw.one(CHAINS["raw"])))]


@theme("iptables:security", 0.4)
def _security(draw: Draw) -> list[Line]:
    place, tool = draw.place(), draw.iptables()
    return [Line(place, tool, rule(draw, place, "security", draw.one(CHAINS["security"])))]


@theme("iptables:nat", 3)
def _nat(draw: Draw) -> list[Line]:
    place, tool = draw.place(), draw.iptables()
    return [
        Line(place, tool, rule(draw, place, "nat", draw.one(CHAINS["nat"]))) for _ in range(draw.number(1, 3))
    ]


@theme("iptables:chains", 2.5)
def _chains(draw: Draw) -> list[Line]:
    """User chains: jump, goto, RETURN from each, and rules after them."""
    place, tool, table = draw.place(), draw.iptables(), draw.one(("filter", "filter", "mangle", "nat"))
    hook = draw.one(CHAINS[table])
    outer, inner = draw.fresh("outer-"), draw.fresh("inner~")
    lines = [
        f"{table} -A {hook} {conditions(draw, place, table, hook, 1)} -{draw.one('jg')} {outer}",
        rule(draw, place, table, outer, hook),
        f"{table} -A {outer} {conditions(draw, place, table, hook, 1)} -{draw.one('jg')} {inner}",
        f"{table} -A {inner} {conditions(draw, place, table, hook, 1)} -j RETURN",
        rule(draw, place, table, inner, hook),
        rule(draw, place, table, outer, hook),
        rule(draw, place, table, hook),
    ]
    return [Line(place, tool, text) for text in lines]


@theme("iptables:policy", 0.7)
def _policy_drop(draw: Draw) -> list[Line]:
    place, tool, chain = draw.node(), draw.iptables(), draw.one(CHAINS["filter"])
    neighbours = []
    if draw.family == 6:
        neighbours = [
            f"filter -A {chain} -p ipv6-icmp -m icmp6 --icmpv6-type {n} -j ACCEPT" for n in (135, 136)
        ]
    return [
        Line(place, tool, f"filter -P {chain} DROP"),
        *(Line(place, tool, text) for text in neighbours),
        Line(place, tool, f"filter -A {chain} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
        Line(place, tool, f"filter -A {chain} {conditions(draw, place, 'filter', chain, 1)} -j ACCEPT"),
    ]


@theme("iptables:default-drop-nat-guard", 0.5)
def _guard(draw: Draw) -> list[Line]:
    """Only what was sent to a service may pass: ctorigdst and DNAT, seen from the filter table."""
    place, tool = draw.node(), draw.iptables()
    vip, pod = draw.vip(), draw.address_of(draw.pod())
    to = f"{_to(draw, pod)}:8080"
    return [
        Line(place, tool, f"nat -A PREROUTING -d {vip} -p tcp -m tcp --dport 80 -j DNAT --to-destination {to}"),
        Line(place, tool, f"filter -A FORWARD -m conntrack --ctstate DNAT --ctorigdst {vip} -j ACCEPT"),
        Line(place, tool, f"filter -A FORWARD -d {pod} -m conntrack ! --ctstate DNAT -m conntrack --ctstate NEW "
             f"-j {draw.one(('DROP', 'REJECT'))}"),
    ]  # fmt: skip


# --- services, in kube-proxy's manner --------------------------------------------------------------------


@theme("iptables:service", 4)
def _service(draw: Draw) -> list[Line]:
    place, tool = draw.node(), draw.iptables()
    vip, port = draw.vip(), draw.one(plan.VIP_PORTS)
    protocol, to = ("udp", 5353) if port == 53 else ("tcp", 8080)
    service = draw.fresh("svc-")
    pods = draw.lot.sample(plan.PODS, draw.number(1, 3))
    source = plan.POD_NETS[draw.family][place]
    lines = [
        f"nat -A {hook} -d {vip}/{draw.length()} -p {protocol} -m {protocol} --dport {port} -j {service}"
        for hook in ("PREROUTING", "OUTPUT")
    ]
    lines += [
        f"nat -A {hook} -p {protocol} -m {protocol} --dport {draw.one(plan.NODE_PORTS)} "
        f"-m addrtype --dst-type LOCAL -j {service}"
        for hook in ("PREROUTING", "OUTPUT")
        if draw.chance(0.5)
    ]
    lines.append(
        f"nat -A {service} ! -s {source} -m comment --comment masq -j MARK --set-xmark 0x4000/0x4000"
    )
    for n, pod in enumerate(pods):
        endpoint = draw.fresh("sep-")
        left = len(pods) - n
        share = f"-m statistic --mode random --probability {1 / left:.11f} " if left > 1 else ""
        address = draw.address_of(pod)
        lines += [
            f'nat -A {service} -m comment --comment "{service} -> {pod.name}" {share}-j {endpoint}',
            f"nat -A {endpoint} -s {address}/{draw.length()} -j MARK --set-xmark 0x4000/0x4000",
            f"nat -A {endpoint} -p {protocol} -m {protocol} -j DNAT --to-destination {_to(draw, address)}:{to}",
        ]
    if draw.chance(0.8):
        lines += [
            "nat -A POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
            "nat -A POSTROUTING -j MARK --set-xmark 0x4000/0x0",
            "nat -A POSTROUTING -j MASQUERADE --random-fully",
        ]
    return [Line(place, tool, text) for text in lines]


@theme("iptables:no-endpoints", 0.6)
def _no_endpoints(draw: Draw) -> list[Line]:
    place, tool = draw.node(), draw.iptables()
    vip = draw.vip()
    return [
        Line(place, tool, f"filter -A {hook} -d {vip} -p tcp -m tcp --dport 80 -j REJECT")
        for hook in ("FORWARD", "OUTPUT")
    ]


@theme("iptables:masquerade", 1.5)
def _masquerade(draw: Draw) -> list[Line]:
    place, tool = draw.node(), draw.iptables()
    net = plan.POD_NETS[draw.family][place]
    text = (
        f"nat -A POSTROUTING -s {net} {draw.one(('', f'! -d {net}', '! -o cni0', '-o eth0'))} -j MASQUERADE"
    )
    return [Line(place, tool, text)]


@theme("iptables:hairpin", 1)
def _hairpin(draw: Draw) -> list[Line]:
    """A pod that reaches itself through a service needs masquerade and, on a bridge, hairpin mode."""
    place, tool, pod = "a", draw.iptables(), plan.BY_NAME["c"]
    vip, address = draw.vip(), draw.address_of(pod)
    lines = [
        Line(place, tool, f"nat -A PREROUTING -d {vip} -p tcp -m tcp --dport 80 -j DNAT --to-destination "
             f"{_to(draw, address)}:8080")
    ]  # fmt: skip
    if draw.chance(0.6):
        lines.append(Line(place, tool, f"nat -A POSTROUTING -s {address} -d {address} -j MASQUERADE"))
    if "a" in draw.bridged() and draw.chance(0.6):
        lines.append(Line(place, Tool.BRIDGE, "link set dev vethc hairpin on"))
    return lines


@theme("iptables:localhost", 0.4)
def _localhost(draw: Draw) -> list[Line]:
    """DNAT to 127.0.0.1, which route_localnet must allow."""
    if draw.family == 6:
        return []
    place, tool = draw.node(), draw.iptables()
    lines = [
        Line(
            place,
            tool,
            "nat -A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination 127.0.0.1:8080",
        )
    ]
    if draw.chance(0.6):
        device = draw.one(("all", "eth0"))
        lines.append(Line(place, Tool.SYSCTL, f"net/ipv4/conf/{device}/route_localnet=1"))
    return lines


@theme("iptables:outer", 1)
def _outer(draw: Draw) -> list[Line]:
    """Rules that meet the outer packet of a tunnel."""
    place, tool, other = draw.node(), draw.iptables(), draw.node()
    peer = plan.BY_NAME[other].v4 if draw.family == 4 else plan.BY_NAME[other].v6
    chain = draw.one(("INPUT", "OUTPUT"))
    side = "-s" if chain == "INPUT" else "-d"
    match_ = f"{side} {peer} -p udp -m udp --dport {plan.VXLAN_PORT}"
    text = f"filter -A {chain} {match_} -j {draw.one(('DROP', 'ACCEPT'))}"
    return [Line(place, tool, text)]
