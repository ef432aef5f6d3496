"""A cluster of ten thousand services: reading its rules, and walking through them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

from skoopctl.dataplane.edit import edit_netns
from skoopctl.kernel.iptables import Backend, Table
from skoopctl.kernel.iptables_save import decode_iptables_save
from skoopctl.kernel.netns import Host
from skoopctl.lab.kubeproxy import NodeView, ServicePort, iptables_ruleset
from skoopctl.lab.kubeproxy.serviceport import Endpoint
from tests.bench.course import Course, walks_figure
from tests.bench.figure import Figure, at_most
from tests.bench.setting import Setting
from tests.bench.stopwatch import cpu_of
from tests.support import recorded

SERVICES, QUICK_SERVICES = 10_000, 1_000
WALKS, QUICK_WALKS = 600, 100
PARSED_S = 3.0
WALKS_PER_S = 300.0
FIRST_IP = int(ip_address("10.97.0.1"))
ENDPOINTS = ("10.244.1.10", "10.244.2.10")
"""Two pods of the recording that answer on port 8080."""
CLIENT = "pod-tools-b"


def large_cluster(setting: Setting) -> Iterator[Figure]:
    """Measure decoding and walking with many services, each of two endpoints, about eight rules a service."""
    count = QUICK_SERVICES if setting.quick else SERVICES
    text = rules_of(count)
    setting.say(f"reading the rules of {count:,} services")
    tables: list[Table] = []

    def decode() -> None:
        tables[:] = decode_iptables_save(text, family=4, backend=Backend.NFT).tables

    spent = cpu_of(decode, rounds=setting.rounds(3))
    split = cpu_of(lambda: [line.split() for line in text.splitlines()], rounds=setting.rounds(3))
    rules = sum(len(chain.rules) for table in tables for chain in table.chains.values())
    target = None if setting.quick else at_most(PARSED_S)
    detail = {"services": count, "rules": rules, "rules_per_s": rules / spent}
    what = f"decoding {rules:,} iptables rules"
    yield Figure("scale.decode", what, spent, "s", split, "splitting its lines", target, detail)
    yield _walks(setting, count, tuple(tables))


def _walks(setting: Setting, count: int, tables: tuple[Table, ...]) -> Figure:
    recording = recorded.load("iptables")
    walks = QUICK_WALKS if setting.quick else WALKS
    course = Course(
        "scale.walks",
        f"flows walked, {count:,} services",
        recording,
        with_rules(recording.hosts, tables),
        CLIENT,
        [str(ip_address(FIRST_IP + number * count // walks)) for number in range(walks)],
        "the same with the recording's 15 services",
        WALKS_PER_S,
    )
    return walks_figure(setting, course)


def rules_of(services: int) -> str:
    """Return kube-proxy's rules for this many services, as ``iptables-save`` prints them."""
    return iptables_ruleset(ports_of(services), NodeView("node1-c4", "192.168.3.86", "10.244.0.0/16"))


def ports_of(services: int) -> list[ServicePort]:
    """Return one port each of this many services, of two endpoints each."""
    endpoints = tuple(Endpoint(f"{ip}:8080", ip, 8080, local=False) for ip in ENDPOINTS)
    return [
        ServicePort(
            namespace=f"team-{number % 97}",
            service=f"service-{number}",
            port_name="http",
            protocol="tcp",
            port=80,
            cluster_ip=str(ip_address(FIRST_IP + number)),
            external_ips=(),
            load_balancer_ips=(),
            source_ranges=(),
            node_port=0,
            health_check_port=0,
            internal_local=False,
            external_local=False,
            affinity_s=0,
            cluster=endpoints,
            local=(),
            has_endpoints=True,
        )
        for number in range(services)
    ]


def with_rules(hosts: dict[str, Host], tables: tuple[Table, ...]) -> dict[str, Host]:
    """Return the recorded hosts with other IPv4 rules on every node."""
    changed = hosts
    for name, host in hosts.items():
        if not host.root_netns.iptables:
            continue
        changed = edit_netns(
            changed,
            (name, host.root),
            lambda netns: replace(netns, iptables=(*tables, *(t for t in netns.iptables if t.family == 6))),
        )
    return changed
