"""Native nftables: tables of every family, with sets, maps, verdict maps, concatenations and intervals."""

from __future__ import annotations

from collections.abc import Callable

from tests.kernel import plan
from tests.kernel.grammar.draw import Draw, Row, theme
from tests.kernel.state import Line, Tool

HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
IN = ("prerouting", "input", "forward")
EXPRESSIONS: list[Row] = []
Expression = Callable[[Draw, str, str], str]


def expression(name: str, weight: float = 1.0) -> Callable[[Expression], Expression]:
    """Register a match. It gets the place and the hook, and returns its text; '' where it does not fit."""

    def register(draw: Expression) -> Expression:
        EXPRESSIONS.append(Row(f"nft:{name}", weight, draw))
        return draw

    return register


def _ip(draw: Draw) -> str:
    return "ip" if draw.family == 4 else "ip6"


def _equals(draw: Draw) -> str:
    return "!= " if draw.chance(0.15) else ""


@expression("saddr", 2)
def _saddr(draw: Draw, _place: str, _hook: str) -> str:
    return f"{_ip(draw)} saddr {_equals(draw)}{_network(draw)}"


@expression("daddr", 3)
def _daddr(draw: Draw, _place: str, _hook: str) -> str:
    return f"{_ip(draw)} daddr {_equals(draw)}{_network(draw)}"


def _network(draw: Draw) -> str:
    target = draw.target()
    return "10.0.0.0/9" if target == "0.0.0.0/0" else target


@expression("anonymous-set", 2)
def _anonymous(draw: Draw, _place: str, _hook: str) -> str:
    members = sorted({draw.address() for _ in range(3)})
    return f"{_ip(draw)} {draw.one(('saddr', 'daddr'))} {_equals(draw)}{{ {', '.join(members)} }}"


@expression("anonymous-interval", 1)
def _interval(draw: Draw, _place: str, _hook: str) -> str:
    span = "10.244.1.5-10.244.2.10" if draw.family == 4 else "fd00:1::5-fd00:2::10"
    return f"{_ip(draw)} {draw.one(('saddr', 'daddr'))} {_equals(draw)}{{ {span} }}"


@expression("tcp", 2)
def _tcp(draw: Draw, _place: str, _hook: str) -> str:
    return draw.one(
        (
            f"tcp dport {_equals(draw)}{draw.port()}",
            f"tcp dport {{ 80, 8000-8080, {plan.CLOSED} }}",
            f"tcp sport {draw.port()}",
            "tcp flags & (syn | ack) == syn",
            "tcp flags syn",
            "tcp dport >= 8081",
        )
    )


@expression("udp", 1)
def _udp(draw: Draw, _place: str, _hook: str) -> str:
    return f"udp {draw.one(('dport', 'dport', 'sport'))} {_equals(draw)}{draw.port()}"


@expression("th", 1)
def _th(draw: Draw, _place: str, _hook: str) -> str:
    return f"meta l4proto {{ tcp, udp }} th dport {{ {draw.port()}, 5000-5353 }}"


@expression("icmp", 1)
def _icmp(draw: Draw, _place: str, _hook: str) -> str:
    kind = draw.one(("echo-request", "echo-reply", "destination-unreachable"))
    return f"icmp type {kind}" if draw.family == 4 else f"icmpv6 type {kind}"


@expression("l4proto", 1)
def _l4proto(draw: Draw, _place: str, _hook: str) -> str:
    return (
        f"meta l4proto {_equals(draw)}{draw.one(('tcp', 'udp', 'icmp' if draw.family == 4 else 'ipv6-icmp'))}"
    )


@expression("meta-mark", 1.5)
def _meta_mark(draw: Draw, _place: str, _hook: str) -> str:
    mark = draw.mark()
    return draw.one((f"meta mark {mark}", f"meta mark & {mark} == {mark}", f"meta mark & {mark} != 0x0"))


@expression("iifname", 1.5)
def _iifname(draw: Draw, place: str, hook: str) -> str:
    return f"iifname {_equals(draw)}{draw.one((draw.device(place), 'veth*', 'lo'))!s}" if hook in IN else ""


@expression("oifname", 1.5)
def _oifname(draw: Draw, place: str, hook: str) -> str:
    return (
        f"oifname {_equals(draw)}{draw.device(place)}" if hook in {"forward", "output", "postrouting"} else ""
    )


@expression("ct-state", 2)
def _ct_state(draw: Draw, _place: str, _hook: str) -> str:
    states = ("new", "established,related", "invalid", "established", "untracked")
    return f"ct state {_equals(draw)}{draw.one(states)}"


@expression("ct-status", 1)
def _ct_status(draw: Draw, _place: str, _hook: str) -> str:
    return f"ct status {draw.one(('dnat', 'snat', 'seen-reply', 'confirmed'))}"


@expression("ct-direction", 0.6)
def _ct_direction(draw: Draw, _place: str, _hook: str) -> str:
    return f"ct direction {draw.one(('original', 'reply'))}"


@expression("ct-original", 1)
def _ct_original(draw: Draw, _place: str, _hook: str) -> str:
    side = draw.one(("original", "reply"))
    return draw.one(
        (
            f"ct {side} {_ip(draw)} {draw.one(('saddr', 'daddr'))} {draw.address()}",
            f"meta l4proto tcp ct {side} proto-dst {draw.port()}",
        )
    )


@expression("ct-mark", 0.6)
def _ct_mark(draw: Draw, _place: str, _hook: str) -> str:
    return f"ct mark {draw.mark()}"


@expression("fib-type", 1)
def _fib_type(draw: Draw, _place: str, hook: str) -> str:
    side = draw.one(("daddr", "saddr"))
    if hook == "postrouting":
        return ""
    return f"fib {side} type {_equals(draw)}{draw.one(('local', 'unicast'))}"


@expression("fib-oif", 0.7)
def _fib_oif(draw: Draw, _place: str, hook: str) -> str:
    return f"fib saddr . iif oif {draw.one(('0', 'exists', 'missing'))}" if hook == "prerouting" else ""


@expression("pkttype", 0.3)
def _pkttype(draw: Draw, _place: str, _hook: str) -> str:
    return f"meta pkttype {draw.one(('host', 'broadcast'))}"


@expression("nfproto", 0.5)
def _nfproto(draw: Draw, _place: str, _hook: str) -> str:
    return f"meta nfproto {draw.one(('ipv4', 'ipv6'))}"


@expression("skuid", 0.3)
def _skuid(draw: Draw, _place: str, hook: str) -> str:
    return f"meta skuid {draw.one(('0', '1000'))}" if hook in {"output", "postrouting"} else ""


@expression("length", 0.3)
def _length(draw: Draw, _place: str, _hook: str) -> str:
    return draw.one(("ip length < 61", "ip length > 500")) if draw.family == 4 else "meta length > 500"


@expression("dscp", 0.3)
def _dscp(draw: Draw, _place: str, _hook: str) -> str:
    return f"{_ip(draw)} dscp {draw.one(('cs0', 'af11'))}"


@expression("ttl", 0.3)
def _ttl(draw: Draw, _place: str, _hook: str) -> str:
    return f"ip ttl {draw.one(('64', '63', '62', '> 63', '< 64'))}" if draw.family == 4 else "ip6 hoplimit 64"


@expression("numgen-match", 0.3)
def _numgen(draw: Draw, _place: str, _hook: str) -> str:
    return f"numgen random mod 2 {draw.one(('0', '1'))}"


@expression("concat-set", 1)
def _concat(draw: Draw, _place: str, _hook: str) -> str:
    members = sorted({f"{draw.address()} . {draw.one((8080, 80, 9))}" for _ in range(3)})
    return f"{_ip(draw)} daddr . tcp dport {_equals(draw)}{{ {', '.join(members)} }}"


@expression("ether", 0.4)
def _ether(draw: Draw, _place: str, hook: str) -> str:
    return f"ether saddr {draw.end().mac}" if hook in {"prerouting", "input"} else ""


def matches(draw: Draw, place: str, hook: str, count: int, without: tuple[str, ...] = ()) -> str:
    """Return the text of so many matches."""
    usable = [row for row in EXPRESSIONS if row.name not in without]
    rows = {row.name: row for row in (draw.row(usable) for _ in range(count))}
    return " ".join(filter(None, (str(row.draw(draw, place, hook)) for row in rows.values())))


def _verdict(draw: Draw, hook: str) -> str:
    if draw.chance(0.3):
        return "accept"
    if draw.chance(0.55) or hook in {"prerouting", "postrouting"}:
        return "drop"
    kinds = ("", " with icmpx admin-prohibited", " with icmpx port-unreachable", " with icmpx no-route",
             " with icmpx host-unreachable")  # fmt: skip
    return f"reject{draw.one(kinds)}"


def _statement(draw: Draw, hook: str) -> str:
    if draw.chance(0.7):
        return f"counter {_verdict(draw, hook)}"
    mark = draw.mark()
    last = "notrack" if hook in {"prerouting", "output"} else "return"
    options = (f"meta mark set {mark}", f"meta mark set meta mark | {mark}", f"ct mark set {mark}", last)
    return f"counter {draw.one(options)}"


def _tables(draw: Draw) -> str:
    return draw.one((_ip(draw), _ip(draw), "inet"))


def _lines(place: str, texts: list[str]) -> list[Line]:
    return [Line(place, Tool.NFT, text) for text in texts]


@theme("nft:filter", 4)
def _filter(draw: Draw) -> list[Line]:
    place, hook, table = draw.place(), draw.one(HOOKS), draw.fresh("fz")
    family = _tables(draw)
    priority = draw.one((-301, -310, -150, -149, -1, 0, 0, 5, 10, 101))
    start = f"{family} {table} base"
    texts = [
        f"add table {family} {table}",
        f"add chain {start} {{ type filter hook {hook} priority {priority}; policy accept; }}",
    ]
    early = priority < -200
    without = (
        ("nft:ct-state", "nft:ct-status", "nft:ct-direction", "nft:ct-original", "nft:ct-mark")
        if early
        else ()
    )
    for _ in range(draw.number(1, 4)):
        statement = _statement(draw, hook)
        if "notrack" in statement and not early:
            statement = "counter drop"
        if "ct mark set" in statement and early:
            statement = "counter accept"
        texts.append(f"add rule {start} {matches(draw, place, hook, draw.number(1, 2), without)} {statement}")
    return _lines(place, texts)


@theme("nft:chains", 2)
def _chains(draw: Draw) -> list[Line]:
    """Jump, goto and return between chains, and a verdict map."""
    place, hook, table, family = draw.place(), draw.one(HOOKS), draw.fresh("fz"), _tables(draw)
    t = f"{family} {table}"
    texts = [
        f"add table {t}",
        f"add chain {t} base {{ type filter hook {hook} priority {draw.one((0, 3, -5))}; }}",
        f"add chain {t} outer",
        f"add chain {t} inner",
        f"add rule {t} inner {matches(draw, place, hook, 1)} counter return",
        f"add rule {t} inner {matches(draw, place, hook, 1)} counter {_verdict(draw, hook)}",
        f"add rule {t} outer {matches(draw, place, hook, 1)} {draw.one(('jump', 'goto'))} inner",
        f"add rule {t} outer {matches(draw, place, hook, 1)} counter {_verdict(draw, hook)}",
    ]
    way = draw.one(("jump", "goto"))
    if draw.chance(0.5):
        keys = draw.lot.sample(plan.ENDS, 3)
        verdicts = [draw.one((f"{way} outer", "accept", "drop", "return")) for _ in keys]
        entries = ", ".join(f"{draw.address_of(k)} : {v}" for k, v in zip(keys, verdicts, strict=True))
        texts.append(f"add rule {t} base {_ip(draw)} {draw.one(('saddr', 'daddr'))} vmap {{ {entries} }}")
    else:
        texts.append(f"add rule {t} base {matches(draw, place, hook, 1)} {way} outer")
    texts.append(f"add rule {t} base {matches(draw, place, hook, 1)} counter {_verdict(draw, hook)}")
    return _lines(place, texts)


@theme("nft:sets", 2.5)
def _sets(draw: Draw) -> list[Line]:
    """Named sets: single, interval, concatenated, with timeouts, and maps to marks."""
    place, hook, table, family = draw.place(), draw.one(HOOKS), draw.fresh("fz"), _tables(draw)
    t, kind = f"{family} {table}", "ipv4_addr" if draw.family == 4 else "ipv6_addr"
    side = draw.one(("saddr", "daddr"))
    nets = sorted({_network(draw), _network(draw)})
    hosts = sorted({draw.address() for _ in range(3)})
    forms = ("plain", "interval", "concat", "interval-concat", "map-mark", "vmap", "ifname")
    form = draw.one(draw.on("nft-set", forms))
    base = f"add chain {t} base {{ type filter hook {hook} priority {draw.one((0, -4, 7))}; }}"
    match form:
        case "plain":
            made = [f"add set {t} s {{ type {kind}; {draw.one(('', 'flags timeout; timeout 1h;'))} }}",
                    f"add element {t} s {{ {', '.join(hosts)} }}"]  # fmt: skip
            rule = f"{_ip(draw)} {side} {_equals(draw)}@s counter {_verdict(draw, hook)}"
        case "interval":
            made = [f"add set {t} s {{ type {kind}; flags interval; auto-merge; }}",
                    f"add element {t} s {{ {', '.join(nets)} }}"]  # fmt: skip
            rule = f"{_ip(draw)} {side} {_equals(draw)}@s counter {_verdict(draw, hook)}"
        case "concat":
            made = [f"add set {t} s {{ type {kind} . inet_service; }}",
                    f"add element {t} s {{ {', '.join(f'{h} . {draw.port()}' for h in hosts)} }}"]  # fmt: skip
            rule = f"{_ip(draw)} daddr . tcp dport @s counter {_verdict(draw, hook)}"
        case "interval-concat":
            made = [f"add set {t} s {{ type {kind} . inet_service; flags interval; }}",
                    f"add element {t} s {{ {nets[0]} . 8000-8080 }}"]  # fmt: skip
            rule = f"{_ip(draw)} daddr . tcp dport @s counter {_verdict(draw, hook)}"
        case "map-mark":
            made = [f"add map {t} m {{ type {kind} : mark; }}",
                    f"add element {t} m {{ {', '.join(f'{h} : {draw.mark()}' for h in hosts)} }}",
                    f"add rule {t} base meta mark set {_ip(draw)} {side} map @m"]  # fmt: skip
            made[2:2] = [base]
            base = ""
            rule = f"meta mark {draw.mark()} counter {_verdict(draw, hook)}"
        case "ifname":
            made = [f"add set {t} s {{ type ifname; }}",
                    f'add element {t} s {{ "{draw.device(place)}" }}']  # fmt: skip
            rule = f"{'iifname' if hook in IN else 'oifname'} @s counter {_verdict(draw, hook)}"
        case _:
            verdicts = [f"{h} . {draw.port()} : {draw.one(('drop', 'accept', 'return'))}" for h in hosts]
            made = [f"add map {t} m {{ type {kind} . inet_service : verdict; }}",
                    f"add element {t} m {{ {', '.join(verdicts)} }}"]  # fmt: skip
            rule = f"{_ip(draw)} daddr . tcp dport vmap @m"
    texts = [f"add table {t}", *made, *([base] if base else []), f"add rule {t} base {rule}"]
    return _lines(place, texts)


def _service_chain(draw: Draw, t: str, pods: list[plan.Place], protocol: str, to: int) -> list[str]:
    """Return a service chain in one of kube-proxy's two dialects: a verdict map, or dnat to a map."""
    ip, count = _ip(draw), len(pods)
    if draw.chance(0.5):
        entries = ", ".join(f"{n} : goto endpoint-{pod.name}" for n, pod in enumerate(pods))
        texts = [f"add chain {t} endpoint-{pod.name}" for pod in pods]
        for pod in pods:
            address = draw.address_of(pod)
            wrapped = address if draw.family == 4 else f"[{address}]"
            texts += [
                f"add rule {t} endpoint-{pod.name} {ip} saddr {address} meta mark set meta mark | 0x4000",
                f"add rule {t} endpoint-{pod.name} meta l4proto {protocol} dnat to {wrapped}:{to}",
            ]
        return [*texts, f"add rule {t} service numgen random mod {count} vmap {{ {entries} }}"]
    entries = ", ".join(f"{n} : {draw.address_of(pod)} . {to}" for n, pod in enumerate(pods))
    choice = f"numgen random mod {count} map {{ {entries} }}"
    return [f"add rule {t} service meta l4proto {protocol} dnat {ip} addr . port to {choice}"]


@theme("nft:service", 3)
def _service(draw: Draw) -> list[Line]:
    place, table, ip = draw.node(), draw.fresh("kube-proxy-"), _ip(draw)
    t, vip = f"{ip} {table}", draw.vip()
    port = draw.one(plan.VIP_PORTS)
    protocol, to = ("udp", 5353) if port == 53 else ("tcp", 8080)
    kind = "ipv4_addr" if draw.family == 4 else "ipv6_addr"
    pods = draw.lot.sample(plan.PODS, draw.number(1, 3))
    source = plan.POD_NETS[draw.family][place]
    texts = [
        f"add table {t}",
        f"add chain {t} service",
        f"add chain {t} services",
        f"add chain {t} nat-prerouting {{ type nat hook prerouting priority -100; }}",
        f"add chain {t} nat-output {{ type nat hook output priority -100; }}",
        f"add chain {t} nat-postrouting {{ type nat hook postrouting priority 100; }}",
        f"add rule {t} service {ip} saddr != {source} meta mark set meta mark | 0x4000",
        *_service_chain(draw, t, pods, protocol, to),
        f"add map {t} service-ips {{ type {kind} . inet_proto . inet_service : verdict; }}",
        f"add element {t} service-ips {{ {vip} . {protocol} . {port} : goto service }}",
        f"add rule {t} services {ip} daddr . meta l4proto . th dport vmap @service-ips",
        f"add rule {t} nat-prerouting jump services",
        f"add rule {t} nat-output jump services",
    ]
    if draw.chance(0.8):
        texts += [
            f"add rule {t} nat-postrouting meta mark & 0x4000 == 0 return",
            f"add rule {t} nat-postrouting meta mark set meta mark ^ 0x4000",
            f"add rule {t} nat-postrouting masquerade fully-random",
        ]
    return _lines(place, texts)


@theme("nft:nat", 2)
def _nat(draw: Draw) -> list[Line]:
    place, table, ip = draw.node(), draw.fresh("fz"), _ip(draw)
    family = draw.one((ip, *draw.on("nft-nat", ("inet",))))
    t = f"{family} {table}"
    address = draw.address_of(draw.pod())
    wrapped = address if draw.family == 4 else f"[{address}]"
    hook = draw.one(("prerouting", "output"))
    early = draw.one((f"tcp dport {draw.one((80, 30080))} counter dnat {ip} to {wrapped}:8080",
                      f"{ip} daddr {draw.vip()} counter dnat {ip} to {address}",
                      f"udp dport {draw.one((53, 30053))} counter redirect to :5353",
                      f"tcp dport 80 counter redirect to :{draw.one((8080, 8081))}"))  # fmt: skip
    host = draw.address_of(plan.BY_NAME[place])
    late = draw.one(("counter masquerade", f"counter snat {ip} to {host}", "counter accept"))
    return _lines(
        place,
        [
            f"add table {t}",
            f"add chain {t} early {{ type nat hook {hook} priority {draw.one((-100, -101, -90))}; }}",
            f"add chain {t} late {{ type nat hook postrouting priority {draw.one((100, 99))}; }}",
            f"add rule {t} early {early}",
            f"add rule {t} late {matches(draw, place, 'postrouting', 1)} {late}",
        ],
    )


@theme("nft:netdev", 1)
def _netdev(draw: Draw) -> list[Line]:
    place, table = draw.node(), draw.fresh("fz")
    device, hook = draw.device(place), draw.one(draw.on("nft-netdev", ("ingress", "ingress", "egress")))
    t, verdict = f"netdev {table}", draw.one(("drop", "accept"))
    without = tuple(
        row.name
        for row in EXPRESSIONS
        if row.name.startswith(("nft:ct", "nft:fib", "nft:oif", "nft:iif", "nft:skuid", "nft:ether"))
    )
    return _lines(
        place,
        [
            f"add table {t}",
            f'add chain {t} base {{ type filter hook {hook} device "{device}" priority 0; }}',
            f"add rule {t} base {matches(draw, place, 'netdev', 2, without)} counter {verdict}",
        ],
    )


@theme("nft:bridge", 1)
def _bridge(draw: Draw) -> list[Line]:
    nodes = draw.bridged()
    if not nodes:
        return []
    place, table, hook = draw.one(nodes), draw.fresh("fz"), draw.one(HOOKS)
    t, kind = f"bridge {table}", {"prerouting": -300, "output": 100, "postrouting": 300}
    port = draw.one([plan.host_end(pod, draw.shape) for pod in plan.PODS if pod.node == place])
    match = draw.one(
        (
            f"iifname {port}" if hook in IN else f"oifname {port}",
            f"{_ip(draw)} daddr {draw.address()}",
            f"ether type {_ip(draw)} {_ip(draw)} saddr {draw.address()}",
            f"ether saddr {draw.pod().mac}",
            f"ether daddr {draw.pod().mac}",
            f"{'meta ibrname cni0 ' if hook in IN else ''}tcp dport {draw.port()}",
        )
    )
    return _lines(
        place,
        [
            f"add table {t}",
            f"add chain {t} base {{ type filter hook {hook} priority {kind.get(hook, -200)}; }}",
            f"add rule {t} base {match} counter {draw.one(('drop', 'drop', 'accept'))}",
        ],
    )


@theme("nft:policy-drop", 0.7)
def _policy_drop(draw: Draw) -> list[Line]:
    place, hook, table, family = draw.node(), draw.one(("input", "forward")), draw.fresh("fz"), _tables(draw)
    t = f"{family} {table}"
    neighbours = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }"
    texts = [
        f"add table {t}",
        f"add chain {t} base {{ type filter hook {hook} priority 0; policy drop; }}",
        f"add rule {t} base ct state established,related accept",
        f"add rule {t} base {matches(draw, place, hook, 1)} counter accept",
    ]
    if family != "ip":
        texts.append(f"add rule {t} base {neighbours} accept")
    return _lines(place, texts)


@theme("nft:affinity", 0.4)
def _affinity(draw: Draw) -> list[Line]:
    """Session affinity: a set that packets fill."""
    place, table, ip = draw.node(), draw.fresh("fz"), _ip(draw)
    t, kind = f"{ip} {table}", "ipv4_addr" if draw.family == 4 else "ipv6_addr"
    address = draw.address_of(draw.pod())
    wrapped = address if draw.family == 4 else f"[{address}]"
    match = f"{ip} daddr {draw.vip()} tcp dport 80"
    return _lines(
        place,
        [
            f"add table {t}",
            f"add set {t} affinity {{ type {kind}; size 65535; flags dynamic,timeout; timeout 3h; }}",
            f"add chain {t} early {{ type nat hook prerouting priority -100; }}",
            f"add rule {t} early {match} update @affinity {{ {ip} saddr }} dnat to {wrapped}:8080",
        ],
    )
