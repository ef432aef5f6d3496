"""Ten thousand services in IPVS: reading them, and walking through them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

from skoopctl.dataplane.edit import edit_netns
from skoopctl.kernel.address import Address
from skoopctl.kernel.ipset import IpSet
from skoopctl.kernel.ipset_save import decode_ipset_save
from skoopctl.kernel.ipvs import Ipvs, IpvsDump
from skoopctl.kernel.ipvs_text import decode_proc_ip_vs
from skoopctl.kernel.netns import Host, NetNamespace
from skoopctl.kernel.route import TABLE_LOCAL, NextHop, Route, RouteType
from tests.bench.course import Course, walks_figure
from tests.bench.figure import Figure, at_most
from tests.bench.setting import Setting
from tests.bench.stopwatch import cpu_of
from tests.support import recorded

SERVICES, QUICK_SERVICES = 10_000, 1_000
WALKS, QUICK_WALKS = 600, 100
DECODED_S, WALKS_PER_S = 3.0, 300.0
FIRST_IP = int(ip_address("10.97.0.1"))
ENDPOINTS = ("10.244.1.10", "10.244.2.10")
CLIENT = "pod-tools-a"
"""A pod on the node in IPVS mode."""


def large_ipvs(setting: Setting) -> Iterator[Figure]:
    """Measure decoding and walking with many services, each of two servers, and the sets that go with them."""
    count = QUICK_SERVICES if setting.quick else SERVICES
    text, sets = services_of(count), sets_of(count)
    setting.say(f"reading {count:,} services of IPVS")
    services: list[IpvsDump] = []
    members: list[dict[str, IpSet]] = []

    def decode() -> None:
        services[:] = [decode_proc_ip_vs(text)]
        members[:] = [decode_ipset_save(sets).sets]

    spent = cpu_of(decode, rounds=setting.rounds(3))
    lines = text.splitlines() + sets.splitlines()
    split = cpu_of(lambda: [line.split() for line in lines], rounds=setting.rounds(3))
    target = None if setting.quick else at_most(DECODED_S)
    detail = {"services": count, "lines": len(lines)}
    yield Figure(
        "scale.ipvs-decode",
        f"decoding {count:,} IPVS services",
        spent,
        "s",
        split,
        "splitting lines",
        target,
        detail,
    )
    yield _walks(setting, count, Ipvs(services[0].services), members[0])


def _walks(setting: Setting, count: int, ipvs: Ipvs, sets: dict[str, IpSet]) -> Figure:
    recording = recorded.load_ipvs()
    walks = QUICK_WALKS if setting.quick else WALKS
    course = Course(
        "scale.ipvs-walks",
        f"flows walked, {count:,} services in IPVS",
        recording,
        _with_services(recording.hosts, ipvs, sets),
        CLIENT,
        [_address(number * count // walks) for number in range(walks)],
        "the same with the recording's services",
        WALKS_PER_S,
    )
    return walks_figure(setting, course)


def _address(number: int) -> str:
    return str(ip_address(FIRST_IP + number))


def services_of(count: int) -> str:
    """Return /proc/net/ip_vs with this many services of two servers each."""
    lines = [
        "IP Virtual Server version 1.2.1 (size=4096)",
        "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn",
    ]
    for number in range(count):
        lines.append(f"TCP  {FIRST_IP + number:08X}:0050 rr ")
        lines += [f"  -> {int(ip_address(ip)):08X}:1F90      Masq    1      0          0" for ip in ENDPOINTS]
    return "\n".join(lines) + "\n"


def sets_of(count: int) -> str:
    """Return the sets of kube-proxy's IPVS mode, as ``ipset save`` prints them."""
    path = recorded.RECORDINGS / "ipvs" / "nodes" / "node1-c4" / "ipset.txt"
    more = []
    for number in range(count):
        more.append(f"add KUBE-CLUSTER-IP {_address(number)},tcp:80")
        more.append(f"add KUBE-IPVS-IPS {_address(number)}")
    return path.read_text() + "\n".join(more) + "\n"


def _with_services(hosts: dict[str, Host], ipvs: Ipvs, sets: dict[str, IpSet]) -> dict[str, Host]:
    """Return the recorded hosts with other services, and their addresses, on the node in IPVS mode."""

    def change(netns: NetNamespace) -> NetNamespace:
        link = netns.link_named("kube-ipvs0")
        assert link is not None
        ips = [ip_address(service.ip) for service in ipvs.services]
        hop = (NextHop(link.index),)
        routes = tuple(
            Route(
                TABLE_LOCAL, ip_network(ip), RouteType.LOCAL, hop, ip, 254, text=f"local {ip} dev kube-ipvs0"
            )
            for ip in ips
        )
        return replace(
            netns,
            ipvs=ipvs,
            ipsets=sets,
            addresses=(*netns.addresses, *(Address(link.index, ip, 32) for ip in ips)),
            routes=(*netns.routes, *routes),
        )

    return edit_netns(hosts, ("node1-c4", hosts["node1-c4"].root), change)
