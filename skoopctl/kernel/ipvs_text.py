"""Decode ``/proc/net/ip_vs``, ``/proc/net/ip_vs_conn`` and ``ipvsadm -S -n``; and write services in its words.

Formats: net/netfilter/ipvs/ip_vs_ctl.c (ip_vs_info_seq_show), ip_vs_conn.c (ip_vs_conn_seq_show), ipvsadm(8).
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from skoopctl.kernel.address import IPAddress
from skoopctl.kernel.ipvs import (
    PROTOCOLS,
    Forwarding,
    IpvsDump,
    RealServer,
    Template,
    VirtualService,
    netmask_of,
)

_LETTERS = {"-t": "TCP", "-u": "UDP", "--sctp-service": "SCTP"}
_METHODS = {"-m": Forwarding.MASQ, "-i": Forwarding.TUNNEL, "-g": Forwarding.ROUTE}
_DEFAULT_PERSISTENCE_S = 300  # IP_VS_TEMPLATE_TIMEOUT
_ALL = 0xFFFFFFFF
_WITH_VALUE = frozenset({"-s", "-w", "-x", "-y", "-p", "-M", "-b", "-r", "--pe", "--tun-type", "--tun-port"})


class _Collector:
    """Services under construction, in the order in which they are listed."""

    def __init__(self) -> None:
        self.services: list[VirtualService] = []
        self.servers: list[list[RealServer]] = []
        self.damaged: set[int] = set()
        self.bad = 0

    def lose_server(self, position: int) -> None:
        """Note that a server of a service could not be read."""
        self.damaged.add(position)
        self.bad += 1

    def service(self, service: VirtualService) -> None:
        self.services.append(service)
        self.servers.append([])

    def dump(self, problem: str = "") -> IpvsDump:
        found = tuple(
            replace(
                service,
                servers=tuple(servers),
                family=_family(service, servers),
                damaged=position in self.damaged,
            )
            for position, (service, servers) in enumerate(zip(self.services, self.servers, strict=True))
        )
        problems = [problem] if problem else []
        if self.bad:
            problems.append(f"{self.bad} lines are malformed")
        return IpvsDump(found, "; ".join(problems))


def decode_proc_ip_vs(text: str) -> IpvsDump:
    """Decode ``/proc/net/ip_vs``. Never raises: a line that makes no sense is counted and left out.

    Real servers below a service that could not be read are left out with it.
    """
    collector = _Collector()
    lines = text.split("\n")
    known = False
    for line in lines:
        words = line.split()
        if not words or words[0] in {"IP", "Prot"} or words[:2] == ["->", "RemoteAddress:Port"]:
            continue
        try:
            if words[0] != "->":
                known = False
                collector.service(_proc_service(words))
                known = True
            elif known:
                collector.servers[-1].append(_proc_server(words))
            else:
                collector.bad += 1
        except (ValueError, IndexError, KeyError):
            if known:
                collector.lose_server(len(collector.services) - 1)
            else:
                collector.bad += 1
    return collector.dump("" if lines[0].startswith("IP Virtual Server") else "no header line")


def _proc_service(words: list[str]) -> VirtualService:
    """Read ``TCP 0A600A07:0050 rr persistent 10800 FFFFFFFF`` or ``FWM 00000001 wlc``."""
    rest = words[2:]
    flags: frozenset[str] = frozenset({"ops"}) if "ops" in rest[1:] else frozenset()
    persistent, netmask = 0, 0
    if "persistent" in rest:
        at = rest.index("persistent")
        persistent, netmask = int(rest[at + 1]), int(rest[at + 2], 16)
    if words[0] == "FWM":
        mark = int(words[1], 16)
        return VirtualService(4, 0, 0, 0, rest[0], mark, flags, persistent, netmask)
    ip, port = _proc_address(words[1])
    if ip.version == 6:
        # The prefix length is shown through ntohl(), as if it were an address.
        netmask = netmask_of(int.from_bytes(netmask.to_bytes(4, "big"), "little"), 6)
    protocol = PROTOCOLS[words[0]]
    return VirtualService(ip.version, protocol, int(ip), port, rest[0], 0, flags, persistent, netmask)


def _proc_server(words: list[str]) -> RealServer:
    """Read ``-> 0AF4010A:1F90 Masq 1 0 0``."""
    ip, port = _proc_address(words[1])
    return RealServer(ip, port, Forwarding(words[2]), int(words[3]), int(words[4]), int(words[5]))


def _proc_address(text: str) -> tuple[IPAddress, int]:
    host, _, port = text.rpartition(":")
    if host.startswith("["):
        return IPv6Address(host[1:-1]), int(port, 16)
    return IPv4Address(int(host, 16)), int(port, 16)


def _family(service: VirtualService, servers: list[RealServer]) -> int:
    """A service by mark does not say its family in ``/proc``; its servers do."""
    return servers[0].ip.version if service.fwmark and servers else service.family


def decode_proc_ip_vs_conn(text: str) -> tuple[Template, ...]:
    """Return the templates among the connections: those of client port 0. Lines without sense are left out."""
    found = []
    for line in text.split("\n"):
        words = line.split()
        if len(words) < 9 or words[2] != "0000":
            continue
        try:
            found.append(_template(words))
        except (ValueError, KeyError):
            continue
    return tuple(found)


def _template(words: list[str]) -> Template:
    protocol = 0 if words[0] == "IP" else PROTOCOLS[words[0]]
    client, vip, server = (_hex_address(words[at]) for at in (1, 3, 5))
    return Template(
        protocol, int(client), int(vip), int(words[4], 16), server, int(words[6], 16), int(words[8])
    )


def _hex_address(text: str) -> IPAddress:
    return IPv6Address(text[1:-1]) if text.startswith("[") else IPv4Address(int(text, 16))


# --- ipvsadm -S -n --------------------------------------------------------------------------------------------


def decode_ipvsadm(text: str) -> IpvsDump:
    """Decode ``ipvsadm -S -n``. Never raises; what it does not print (connections) is 0."""
    collector = _Collector()
    by_name: dict[tuple[str, str], int] = {}
    for line in text.split("\n"):
        words = line.split()
        if not words:
            continue
        try:
            options = _options(words[3:])
            name = words[1], words[2]
            if words[0] == "-A":
                service = _saved_service(*name, options)
                by_name[name] = len(collector.services)
                collector.service(service)
            elif words[0] == "-a" and name in by_name:
                _add_saved_server(collector, by_name[name], options)
            else:
                collector.bad += 1
        except (ValueError, IndexError, KeyError):
            collector.bad += 1
    return collector.dump()


def _add_saved_server(collector: _Collector, position: int, options: dict[str, str]) -> None:
    try:
        collector.servers[position].append(_saved_server(options))
    except (ValueError, KeyError):
        collector.lose_server(position)


def _options(words: list[str]) -> dict[str, str]:
    """Return options with their values; ``-p`` and others may stand without one."""
    found: dict[str, str] = {}
    at = 0
    while at < len(words):
        word = words[at]
        valued = word in _WITH_VALUE and at + 1 < len(words) and not words[at + 1].startswith("-")
        found[word] = words[at + 1] if valued else ""
        at += 2 if valued else 1
    return found


def _saved_service(letter: str, address: str, options: dict[str, str]) -> VirtualService:
    flags = {flag for flag in options.get("-b", "").split(",") if flag}
    if "-o" in options:
        flags.add("ops")
    persistent = int(options["-p"] or _DEFAULT_PERSISTENCE_S) if "-p" in options else 0
    six = "-6" in options or address.startswith("[")
    mask = options.get("-M", "")
    netmask = netmask_of(int(mask or 128), 6) if six else int(IPv4Address(mask)) if mask else _ALL
    netmask = netmask if persistent else 0
    scheduler = options.get("-s", "wlc")
    family = 6 if six else 4
    if letter == "-f":
        return VirtualService(family, 0, 0, 0, scheduler, int(address), frozenset(flags), persistent, netmask)
    ip, port = _saved_address(address)
    protocol = PROTOCOLS[_LETTERS[letter]]
    return VirtualService(
        family, protocol, int(ip), port, scheduler, 0, frozenset(flags), persistent, netmask
    )


def _saved_server(options: dict[str, str]) -> RealServer:
    ip, port = _saved_address(options["-r"])
    method = next((way for letter, way in _METHODS.items() if letter in options), Forwarding.ROUTE)
    return RealServer(
        ip,
        port,
        method,
        int(options.get("-w", "1")),
        upper=int(options.get("-x", "0")),
        lower=int(options.get("-y", "0")),
        tunnel=options.get("--tun-type", "ipip"),
    )


def _saved_address(text: str) -> tuple[IPAddress, int]:
    host, _, port = text.rpartition(":")
    return ip_address(host.strip("[]")), int(port)


def service_text(service: VirtualService) -> str:
    """Write a service as ``ipvsadm -S -n`` does."""
    words = ["-A", service_name(service), "-s", service.scheduler]
    if service.persistent_s:
        words += ["-p", str(service.persistent_s)]
    if "ops" in service.flags:
        words.append("-o")
    if more := sorted(service.flags - {"ops"}):
        words += ["-b", ",".join(more)]
    return " ".join(words)


def service_name(service: VirtualService) -> str:
    """Write what a service is found by: ``-t 10.96.0.1:443``, ``-f 7``."""
    if service.fwmark:
        return f"-f {service.fwmark}{' -6' if service.family == 6 else ''}"
    letter = next(
        (letter for letter, name in _LETTERS.items() if PROTOCOLS[name] == service.protocol),
        f"protocol {service.protocol}",
    )
    return f"{letter} {address_text(service.family, service.ip, service.port)}"


def server_text(service: VirtualService, server: RealServer) -> str:
    """Write a real server as ``ipvsadm -S -n`` does."""
    letter = next((word for word, way in _METHODS.items() if way is server.forwarding), server.forwarding)
    where = address_text(server.ip.version, int(server.ip), server.port)
    words = ["-a", service_name(service), "-r", where, letter, "-w", str(server.weight)]
    if server.upper:
        words += ["-x", str(server.upper)]
    return " ".join(words)


def address_text(family: int, ip: int, port: int) -> str:
    """Write ``10.96.0.1:443`` or ``[fd00::1]:443``."""
    return f"[{IPv6Address(ip)}]:{port}" if family == 6 else f"{IPv4Address(ip)}:{port}"
