"""Ten thousand services in kube-proxy's nftables mode: 40,000 chains, maps of 20,000 elements."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from skoopctl.dataplane.edit import edit_netns
from skoopctl.errors import UsageError
from skoopctl.kernel.netns import Host
from skoopctl.kernel.nft import NftTable
from skoopctl.kernel.nft_json import decode_nft_json
from skoopctl.lab.kubeproxy import NodeView, nftables_ruleset
from skoopctl.lab.kubeproxy.serviceport import Endpoint
from tests.bench.course import Course, walks_figure
from tests.bench.figure import Figure, at_most
from tests.bench.scale import (
    CLIENT,
    ENDPOINTS,
    FIRST_IP,
    PARSED_S,
    QUICK_WALKS,
    SERVICES,
    WALKS,
    WALKS_PER_S,
    ports_of,
)
from tests.bench.setting import Setting
from tests.bench.stopwatch import cpu_of
from tests.support import recorded
from tests.support.kernel_dump import namespaces

NAMESPACE = "skoop-bench-nft"
QUICK_SERVICES = 300
FIRST_BALANCER = int(ip_address("172.20.0.1"))


def large_nft_cluster(setting: Setting) -> Iterator[Figure]:
    """Measure decoding and walking; the kernel and nft make the dump, once, into a file."""
    count = QUICK_SERVICES if setting.quick else SERVICES
    raw = _dump(setting, count).read_bytes()
    found: list[NftTable] = []

    def decode() -> None:
        found[:] = decode_nft_json(raw).tables

    spent = cpu_of(decode, rounds=setting.rounds(3))
    loads = cpu_of(lambda: json.loads(raw), rounds=setting.rounds(3))
    chains = sum(len(table.chains) for table in found)
    rules = sum(len(chain.rules) for table in found for chain in table.chains.values())
    elements = max(len(each.elements) for table in found for each in table.sets.values())
    target = None if setting.quick else at_most(PARSED_S)
    detail = {"services": count, "chains": chains, "rules": rules, "elements": elements, "bytes": len(raw)}
    what = f"decoding {rules:,} nft rules in {chains:,} chains"
    yield Figure("nft-scale.decode", what, spent, "s", loads, "json.loads of the same", target, detail)
    yield _walks(setting, count, tuple(found))


def _walks(setting: Setting, count: int, tables: tuple[NftTable, ...]) -> Figure:
    recording = recorded.load("nftables")
    walks = QUICK_WALKS if setting.quick else WALKS
    course = Course(
        "nft-scale.walks",
        f"flows walked, {count:,} services in nft",
        recording,
        _with_rules(recording.hosts, tables),
        CLIENT,
        [str(ip_address(FIRST_IP + number * count // walks)) for number in range(walks)],
        "the same with the recording's 15 services",
        WALKS_PER_S,
    )
    return walks_figure(setting, course)


def _dump(setting: Setting, count: int) -> Path:
    """Load the rules with nft in a namespace, and return what ``nft -j`` prints of them."""
    if os.geteuid() != 0:
        raise UsageError("making a network namespace takes root", hint="run it with sudo")
    path = setting.folder / f"nft-{count}.json"
    if path.exists():
        return path
    setting.say(f"loading the nft rules of {count:,} services (minutes: the kernel checks every jump)")
    enter = ["nsenter", f"--net=/run/netns/{NAMESPACE}", "nft"]
    with namespaces(NAMESPACE), path.open("wb") as out:
        subprocess.run([*enter, "-f", "-"], input=rules_of(count), text=True, check=True)
        subprocess.run([*enter, "-j", "-a", "list", "ruleset"], stdout=out, check=True)
    return path


def rules_of(services: int) -> str:
    """Return kube-proxy's table for services with a load balancer, source ranges and a local endpoint."""
    local = (Endpoint(f"{ENDPOINTS[0]}:8080", ENDPOINTS[0], 8080, local=True),)
    ports = [
        replace(
            port,
            load_balancer_ips=(str(ip_address(FIRST_BALANCER + number)),),
            source_ranges=("10.0.0.0/8",),
            external_local=True,
            local=local,
        )
        for number, port in enumerate(ports_of(services))
    ]
    return nftables_ruleset(ports, NodeView("node1-c4", "192.168.3.86", "10.244.0.0/16"))


def _with_rules(hosts: dict[str, Host], tables: tuple[NftTable, ...]) -> dict[str, Host]:
    """Return the recorded hosts with another kube-proxy table on every node."""
    changed = hosts
    for name, host in hosts.items():
        changed = edit_netns(
            changed,
            (name, host.root),
            lambda netns: replace(
                netns,
                nft=(*(t for t in netns.nft if (t.family, t.name) != ("ip", "kube-proxy")), *tables),
            ),
        )
    return changed
