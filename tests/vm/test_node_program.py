"""The node program on a kernel with loadable modules, under systemd, behind other login shells."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from skoopctl.evidence import HOST_WIDE, HostRecord, ItemStatus
from skoopctl.kernel.build import build_host
from skoopctl.transport.base import HostStatus
from tests.vm.conftest import Look, collect, look
from tests.vm.guest import Guest
from tests.vm.image import SHELLS

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600, func_only=True)]

LOADED_BY_TOOLS = {
    "conntrack": "nf_conntrack",
    "ip6tables-legacy-save": "ip6_tables",
    "ip_set": "ip_set",
    "ipvsadm": "ip_vs",
    "iptables-legacy-save": "ip_tables",
    "nft": "nf_tables",
    "ss": "inet_diag",
    "wg": "wireguard",
    "xtables": "x_tables",
}
"""The modules that a careless look would load, by what loads them."""

EVERYTHING = """
modprobe -a nf_tables ip_tables ip6_tables iptable_filter ip_set ip_set_hash_ip ip_vs ip_vs_rr wireguard \\
  nf_conntrack tcp_diag udp_diag dummy vrf 8021q
nft add table inet mine; nft add chain inet mine c '{ type filter hook forward priority 5; }'
nft add rule inet mine c ip saddr 10.7.7.7 drop
iptables-nft -A INPUT -s 192.0.2.99 -j DROP
iptables-legacy -A INPUT -s 192.0.2.98 -j DROP
ipset create blocked hash:ip; ipset add blocked 192.0.2.97
iptables-nft -A INPUT -m set --match-set blocked src -j DROP
ipvsadm -A -t 192.0.2.96:80 -s rr; ipvsadm -a -t 192.0.2.96:80 -r 192.0.2.95:8080 -m
ip link add wg0 type wireguard; umask 077; wg genkey >/run/key
wg set wg0 private-key /run/key listen-port 51820; ip link set wg0 up
ip link add red type vrf table 10; ip link set red up
ip link add d0 type dummy; ip link add v10 link eth0 type vlan id 10
"""
NOTHING = """
nft flush ruleset; iptables-legacy -F; ipset destroy; ipvsadm -C
for each in wg0 red v10 d0; do ip link del $each; done; rm -f /run/key
"""


def payload(record: HostRecord, name: str) -> bytes:
    """Return an item of the guest's own namespace, which must be there."""
    root = json.loads(record.evidence.items[HOST_WIDE, "identity"].payload)["root_netns"]
    item = record.evidence.items[root, name]
    assert item.status is ItemStatus.OK, (name, item.detail)
    return item.payload


def changes(seen: Look) -> dict[str, set[str]]:
    """Return what is different after a look, by section."""
    both = {name: set(lines) ^ set(seen.after[name]) for name, lines in seen.before.items()}
    return {name: lines for name, lines in both.items() if lines}


def test_bare_kernel_is_left_bare(first_look: Look) -> None:
    """Looking at a kernel that has loaded nothing loads nothing, and changes no file, process or sysctl."""
    loaded = {tool for tool, module in LOADED_BY_TOOLS.items() if module in first_look.before["modules"]}
    assert not loaded
    assert first_look.before["files"]
    assert first_look.before["processes"]
    assert not changes(first_look)


def test_bare_kernel_has_no_gaps(first_look: Look) -> None:
    """What a bare kernel does not have is told as having none, and never as something that could not be read."""
    assert first_look.record.status is HostStatus.OK, first_look.record.detail
    assert not build_host(first_look.record.evidence).gaps
    evidence = first_look.record.evidence
    (root,) = evidence.namespaces()
    for name in ("iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy", "nft", "ip_vs"):
        item = evidence.items[root, name]
        assert item.status is ItemStatus.ABSENT, name
        assert item.detail.startswith("no tables"), item.detail


@pytest.fixture
def full(guest: Guest) -> Iterator[Guest]:
    """Load every module, and put something into each."""
    guest.run("bash -es", EVERYTHING)
    yield guest
    guest.run("bash -s", NOTHING)


def test_full_kernel_is_read_and_left_alone(full: Guest) -> None:
    """With every module loaded all of its tables come, no secret with them, and again nothing is changed."""
    seen = look(full)
    assert not changes(seen)
    assert seen.record.status is HostStatus.OK, seen.record.detail
    for name, part in {
        "iptables-nft": b"-A INPUT -s 192.0.2.99/32 -j DROP",
        "iptables-legacy": b"-A INPUT -s 192.0.2.98/32 -j DROP",
        "nft": b"10.7.7.7",
        "ip_vs": b"C0000260:0050 rr",
        "link": b"wireguard",
    }.items():
        assert part in payload(seen.record, name), name
    key = full.run("base64 -d </run/key | od -An -tx1 -v").replace(" ", "").replace("\n", "")
    text = full.run("cat /run/key").strip().encode()
    assert len(key) == 64
    for item in seen.record.evidence.items.values():
        assert bytes.fromhex(key) not in item.payload, item.name
        assert text not in item.payload, item.name
    kinds = {link.kind for link in build_host(seen.record.evidence).root_netns.links.values()}
    assert {"wireguard", "vrf", "vlan", "dummy"} <= kinds


def test_pods_are_found_by_systemds_cgroups(guest: Guest) -> None:
    """A process in a slice as the kubelet names it makes its network namespace that pod's."""
    uid = "0f5f2e0a-1b2c-4d3e-8f90-a1b2c3d4e5f6"
    group = f"kubepods-besteffort-pod{uid.replace('-', '_')}.slice"
    guest.run(f"systemd-run --quiet --unit=vm-pod --slice={group} unshare -n sleep 600")
    try:
        host = build_host(collect(guest).evidence)
    finally:
        guest.run("systemctl stop vm-pod.service")
    assert [netns.pod_uids for netns in host.namespaces.values() if netns.pod_uids] == [(uid,)]
    pod = next(netns for netns in host.namespaces.values() if netns.pod_uids)
    assert "sleep" in pod.processes


@pytest.mark.parametrize("user", SHELLS)
def test_any_login_shell_will_do(guest: Guest, user: str) -> None:
    """The program starts behind bash, tcsh, fish and ash alike."""
    # Not the last of its commands, or the shell would become that command.
    shell = guest.run("true; sh -c 'cat /proc/$PPID/comm'; true", user=user).strip()
    assert shell == SHELLS[user].rpartition("/")[2]
    record = collect(guest, user)
    assert record.status is HostStatus.OK, record.detail
    assert build_host(record.evidence).hostname == "vm"
