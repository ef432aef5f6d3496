"""The decoders beside the real ``ip``, ``bridge`` and ``tc`` in a namespace of this machine."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from skoopctl.kernel import netlink
from tests.support.kernel_dump import dump_in, ip, namespaces
from tests.support.netlink_items import decode

pytestmark = pytest.mark.lab

HERE, THERE = "skt-decode", "skt-peer"
COMMANDS = """
link set lo up
link add br0 type bridge
link add v0 type veth peer name e0 netns skt-peer
link add d0 type veth peer name e1 netns skt-peer
-n skt-peer link set e0 up
-n skt-peer link set e1 up
link set v0 master br0 up
link set d0 up promisc on
link set br0 up
link set v0 type bridge_slave hairpin on isolated on learning off
addr add 10.1.0.1/24 dev br0
addr add 10.1.0.2/24 dev br0
addr add fd00::1/64 dev br0 nodad
addr add 192.168.3.1/24 dev d0
addr add 10.9.9.1 peer 10.9.9.2 dev d0
link add vx type vxlan id 7 dstport 8472 local 192.168.3.1 dev d0 nolearning
link set vx up
route add 10.2.0.0/24 via 10.2.0.0 dev vx onlink
route add 10.3.0.0/24 nexthop via 10.1.0.9 weight 3 nexthop via 192.168.3.7 dev d0
route add blackhole 10.4.0.0/16
route add unreachable 10.5.0.0/16 metric 77
route add prohibit 10.6.0.0/16
route add throw 10.7.0.0/16 table 100
route add 10.8.0.0/16 via inet6 fd00::9 dev br0
route add default via 10.1.0.254 table 4000 mtu lock 1400 advmss 1300
route add 10.10.0.0/16 dev d0 src 192.168.3.1 scope link proto static tos 0x10
route add 10.11.0.0/16 dev d0 table 100 proto bird
nexthop add id 1 via 10.1.0.77 dev br0
nexthop add id 2 via 10.1.0.78 dev br0
nexthop add id 3 group 1,5/2
route add 10.12.0.0/16 nhid 1
route add 10.13.0.0/16 nhid 3
-6 route add fd01::/64 via fd00::2
-6 route add fd02::/64 nexthop via fd00::3 weight 2 nexthop via fd00::4
-6 route add unreachable fd03::/64
-6 route add fd04::/64 dev br0 metric 5 pref high
route add 10.14.0.0/16 via 10.1.0.9 metric 5 realms 3/7 mtu 1300
route add 10.15.0.0/16 dev d0 metric 5 realms 7
route add 10.16.0.0/16 nexthop via 10.1.0.9 realms 4/5 weight 2 nexthop via 10.1.0.8 realms 6
rule add from 10.1.0.0/24 to 10.2.0.0/16 table 100 pref 1000
rule add from 10.1.0.0/24 table 100 suppress_prefixlength 3 realms 8/2 pref 1004
rule add from 10.1.0.0/24 prohibit realms 2 pref 1005
rule add from 10.1.0.0/24 goto 2000 realms 2/3 pref 1006
rule add not fwmark 0x10/0xf0 lookup 4000 pref 1001
rule add iif br0 oif gone ipproto tcp dport 80-90 sport 5 blackhole pref 1002
rule add fwmark 5 goto 2000 pref 1003
rule add nop pref 2000
rule add table main suppress_prefixlength 0 pref 1500
rule add l3mdev pref 1700
rule add tos 0x10 unreachable pref 1800
rule add prohibit from 1.2.3.4 pref 1900 protocol static
-6 rule add from fd00::/64 table 100 pref 99
neigh add 10.1.0.9 lladdr 00:11:22:33:44:55 dev br0 nud permanent
neigh add fd00::9 lladdr 00:11:22:33:44:66 dev br0 nud noarp router
neigh add proxy 10.1.0.200 dev br0
"""
BRIDGE = """
fdb add 0e:00:00:00:00:02 dev vx dst 192.168.3.87
fdb append 00:00:00:00:00:00 dev vx dst 192.168.3.88 port 99 vni 12
fdb add 02:00:00:00:00:02 dev v0 master static
"""


@pytest.fixture(scope="module")
def raw() -> Iterator[dict[str, bytes]]:
    """Build a namespace with one of everything and return its dumps."""
    with namespaces(HERE, THERE):
        for line in COMMANDS.strip().splitlines():
            words = line.split()
            prefix = ["ip"] if words[0] == "-n" else ["ip", "-n", HERE]
            subprocess.run([*prefix, *words], check=True)
        for line in BRIDGE.strip().splitlines():
            subprocess.run(["bridge", "-n", HERE, *line.split()], check=True)
        subprocess.run(["tc", "-n", HERE, "qdisc", "add", "dev", "d0", "clsact"], check=True)
        wait_until_settled()
        yield dump_in(HERE)


def wait_until_settled() -> None:
    """Wait until no device gets an address any more, for each brings routes.

    A device that is up gets a link-local one, which is tentative for a second or two, while others are asked for it.
    """
    end = time.monotonic() + 60
    while unsettled := [
        entry["ifname"]
        for entry in json.loads(ip(HERE, "-j", "addr"))
        if "UP" in entry["flags"] and "LOOPBACK" not in entry["flags"] and not _is_settled(entry["addr_info"])
    ]:
        assert time.monotonic() < end, f"no link-local address that is no longer tentative: {unsettled}"
        time.sleep(0.02)


def _is_settled(addresses: list[dict[str, object]]) -> bool:
    six = [each for each in addresses if each["family"] == "inet6"]
    return any(each["scope"] == "link" for each in six) and not any(each.get("tentative") for each in six)


def lines(text: str) -> list[str]:
    """Return a tool's lines with one space between words; multipath hops stay on their route's line."""
    found = (re.sub(r"expires \d+sec", "", line).replace("\\", " ") for line in text.splitlines())
    return sorted(" ".join(line.split()) for line in found if line.strip())


def texts(name: str, raw: dict[str, bytes], version: int = 0) -> list[str]:
    """Return the lines that were decoded."""
    found = decode(name, raw)
    assert found.problem == ""
    entries = [e for e in found.entries if not version or _version(e) == version]
    return sorted(" ".join(e.text.split()) for e in entries)


def _version(entry: object) -> int:
    destination = getattr(entry, "destination", None)
    return getattr(entry, "family", 0) or (destination.version if destination else 0)


@pytest.mark.parametrize(("flag", "version"), [("-4", 4), ("-6", 6)])
def test_routes_read_as_ip_route_prints_them(raw: dict[str, bytes], flag: str, version: int) -> None:
    """Every route of every table has the line that ``ip route show table all`` prints."""
    assert texts("route", raw, version) == lines(ip(HERE, flag, "-o", "route", "show", "table", "all"))


@pytest.mark.parametrize(("flag", "version"), [("-4", 4), ("-6", 6)])
def test_rules_read_as_ip_rule_prints_them(raw: dict[str, bytes], flag: str, version: int) -> None:
    """Every policy rule has the line that ``ip rule`` prints."""
    assert texts("rule", raw, version) == lines(ip(HERE, flag, "rule"))


def test_neighbours_read_as_ip_neigh_prints_them(raw: dict[str, bytes]) -> None:
    """Every neighbour that was set by hand, and every proxy, has the line that ``ip neigh`` prints."""
    fixed = [line for line in texts("neigh", raw) if "PERMANENT" in line or "router" in line]
    shown = lines(ip(HERE, "neigh", "show", "nud", "permanent")) + lines(
        ip(HERE, "neigh", "show", "nud", "noarp")
    )
    assert len(fixed) == 2
    assert set(fixed) <= set(shown)
    assert texts("neigh-proxy", raw) == lines(ip(HERE, "neigh", "show", "proxy"))


def test_forwarding_entries_read_as_bridge_fdb_prints_them(raw: dict[str, bytes]) -> None:
    """Every forwarding entry has the line that ``bridge fdb`` prints."""
    shown = subprocess.run(["bridge", "-n", HERE, "fdb"], check=True, capture_output=True, text=True).stdout
    assert texts("fdb", raw) == lines(shown)


def test_links_agree_with_ip_link(raw: dict[str, bytes]) -> None:
    """Names, MTUs, addresses, masters and peers are those of ``ip -d -j link``."""
    shown = {entry["ifindex"]: entry for entry in json.loads(ip(HERE, "-d", "-j", "link"))}
    links = decode("link", raw).entries
    names = {link.index: link.name for link in links}
    assert names == {index: entry["ifname"] for index, entry in shown.items()}
    for link in links:
        entry = shown[link.index]
        assert (link.mtu, link.mac) == (entry["mtu"], entry["address"])
        assert link.kind == entry.get("linkinfo", {}).get("info_kind", "")
        assert names.get(link.master, "") == entry.get("master", "")
        assert link.peer_nsid == entry.get("link_netnsid", -1)
        assert link.up == ("UP" in entry["flags"])
        if link.kind == "veth":
            assert link.peer == entry["link_index"]


def test_addresses_agree_with_ip_addr(raw: dict[str, bytes]) -> None:
    """Addresses, prefix lengths, peers and secondaries are those of ``ip -j addr``."""
    shown = {
        (
            entry["ifindex"],
            info["local"],
            info["prefixlen"],
            info.get("secondary", False),
            info.get("address"),
        )
        for entry in json.loads(ip(HERE, "-j", "addr"))
        for info in entry["addr_info"]
        if info["scope"] != "link"
    }
    found = {
        (a.index, str(a.ip), a.prefixlen, a.secondary, str(a.peer) if a.peer else None)
        for a in decode("addr", raw).entries
        if a.scope != 253
    }
    assert found == shown


def test_devices_with_clsact_are_told(raw: dict[str, bytes]) -> None:
    """A device with a clsact qdisc is among those where tc may interfere, others are not."""
    d0 = next(link.index for link in decode("link", raw).entries if link.name == "d0")
    assert netlink.decode_tc_devices(raw["qdisc"]).entries == (d0,)
