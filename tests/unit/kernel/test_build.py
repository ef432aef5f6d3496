"""From a host's evidence to its model: what was not read is a gap, never empty."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from skoopctl.evidence.item import HOST_WIDE, HostEvidence, Item, ItemStatus
from skoopctl.kernel.build import RULES_WITHOUT_POLICY_ROUTING, build_host, is_nothing
from skoopctl.kernel.netns import Host
from tests.support.recorded import RECORDINGS, load

ROOT, POD = 4026531840, 4026532001
CASES = Path(__file__).parent / "cases"
NODE = RECORDINGS / "iptables/nodes/node1-c4"
UID = "2102d1d8-21d5-4389-a0e4-0ec61c27c935"
NO_TABLES = "no tables: nothing is loaded"
NAMESPACES = [
    {
        "inode": ROOT,
        "host": True,
        "names": [],
        "processes": [{"pid": 1, "comm": "systemd", "cgroup": "0::/"}],
    },
    {
        "inode": POD,
        "host": False,
        "names": ["cni-1"],
        "processes": [{"pid": 9, "comm": "nginx", "cgroup": f"0::/kubepods/pod{UID}/x"}],
    },
]


def evidence(*changes: Item, leave_out: tuple[str, ...] = ()) -> HostEvidence:
    """Return a whole answer of a host with one pod, with items replaced or left out."""
    items = [
        Item(
            HOST_WIDE, "identity", ItemStatus.OK, json.dumps({"hostname": "n1", "root_netns": ROOT}).encode()
        ),
        Item(HOST_WIDE, "namespaces", ItemStatus.OK, json.dumps(NAMESPACES).encode()),
    ]
    for inode in (ROOT, POD):
        items += [Item(inode, p.stem, ItemStatus.OK, p.read_bytes()) for p in CASES.glob("netlink/*.bin")]
        items += [
            Item(inode, f"proc-net-{p.stem}", ItemStatus.OK, p.read_bytes())
            for p in CASES.glob("proc_net/*.txt")
        ]
        items += [
            Item(inode, "nsid", ItemStatus.OK, json.dumps({"0": POD if inode == ROOT else ROOT}).encode()),
            Item(inode, "sysctl", ItemStatus.OK, b"net/ipv4/ip_forward=1\n"),
            Item(inode, "proc-net-udp6", ItemStatus.ABSENT, detail="this kernel has no IPv6"),
            Item(inode, "ip_vs", ItemStatus.ABSENT, detail=NO_TABLES),
            Item(inode, "ipset", ItemStatus.ABSENT, detail=NO_TABLES),
            Item(inode, "iptables-legacy", ItemStatus.ABSENT, detail=NO_TABLES),
            Item(inode, "ip6tables-legacy", ItemStatus.ABSENT, detail=NO_TABLES),
            Item(inode, "iptables-nft", ItemStatus.OK, (NODE / "iptables-save.txt").read_bytes()),
            Item(inode, "ip6tables-nft", ItemStatus.OK, (NODE / "ip6tables-save.txt").read_bytes()),
            Item(inode, "nft", ItemStatus.OK, (NODE / "nft.json").read_bytes()),
        ]
    kept = {(i.netns, i.name): i for i in (*items, *changes) if i.name not in leave_out}
    return HostEvidence("node1", kept)


def build(*changes: Item, leave_out: tuple[str, ...] = ()) -> Host:
    """Build the host of `evidence`."""
    return build_host(evidence(*changes, leave_out=leave_out))


def test_a_whole_answer_has_no_gaps() -> None:
    """Every part is decoded, namespaces know whose they are, and nothing is missing."""
    host = build()
    root, pod = host.root_netns, host.namespaces[POD]
    assert host.gaps == ()
    assert (host.hostname, root.is_host, pod.is_host) == ("n1", True, False)
    assert pod.pid == 9
    assert (pod.pod_uids, pod.names, pod.processes, dict(pod.nsids)) == (
        (UID,),
        ("cni-1",),
        ("nginx",),
        {0: ROOT},
    )
    assert len(root.links) == 6
    assert all(
        (root.addresses, root.routes, root.rules, root.neighbours, root.fdb, root.sockets, root.iptables)
    )
    assert root.sysctls.integer("net/ipv4/ip_forward") == 1
    assert any(n.proxy for n in root.neighbours)
    assert root.tc_devices


def test_iptables_tables_are_not_shown_twice() -> None:
    """Tables that iptables-nft shows are left out of the nft ruleset."""
    root = build().root_netns
    assert {(t.family, t.name) for t in root.iptables} >= {(4, "nat"), (6, "filter")}
    assert root.nft == ()


def test_without_iptables_the_nft_tables_stay() -> None:
    """When iptables' view is not to be had, nft's half-translated tables stay, and the gap is told."""
    root = build(Item(ROOT, "iptables-nft", ItemStatus.TIMEOUT, detail="10 s")).root_netns
    assert {(t.family, t.name) for t in root.nft} == {("ip", "nat"), ("ip", "filter"), ("ip", "mangle")}
    assert root.gaps == {"iptables-nft": "timeout: 10 s"}


def test_incompatible_tables_stay_in_nft() -> None:
    """A table that iptables calls incompatible is only to be seen in nft."""
    text = "# Table `nat' is incompatible, use 'nft' tool.\n"
    root = build(Item(ROOT, "iptables-nft", ItemStatus.OK, text.encode())).root_netns
    assert ("ip", "nat") in {(t.family, t.name) for t in root.nft}
    assert root.gaps == {}


def test_a_node_without_nft_loses_nothing_that_iptables_shows() -> None:
    """A missing nft program is a gap only when a table exists that iptables-nft-save does not show."""
    words = "unreadable: nftables tables exist ({}), but there is no nft program"
    shown = Item(ROOT, "nft", ItemStatus.ABSENT, detail=words.format("ip nat, ip6 filter"))
    hidden = replace(shown, detail=words.format("ip nat, inet firewalld"))
    assert build(shown).root_netns.gaps == {}
    assert list(build(hidden).root_netns.gaps) == ["nft"]


@pytest.mark.parametrize("status", [s for s in ItemStatus if s not in {ItemStatus.OK, ItemStatus.ABSENT}])
def test_every_other_status_is_a_gap(status: ItemStatus) -> None:
    """An item that was denied, cut, late or failed is unknown, with its reason, in namespace and host."""
    host = build(Item(POD, "route", status, detail="why"))
    assert host.namespaces[POD].gaps == {"route": f"{status}: why"}
    assert [(g.part, g.status, g.netns) for g in host.gaps] == [("route", status.value, POD)]


def test_a_truncated_dump_keeps_what_it_has() -> None:
    """Routes of a cut dump stay, beside the gap."""
    whole = build().root_netns.routes
    raw = (CASES / "netlink/route.bin").read_bytes()
    root = build(Item(ROOT, "route", ItemStatus.TRUNCATED, raw[: len(raw) // 2], "cap")).root_netns
    assert 0 < len(root.routes) < len(whole)
    assert root.gaps["route"] == "truncated: cap"


def test_a_missing_item_is_a_gap() -> None:
    """What the host did not answer is not taken for empty."""
    gaps = build(leave_out=("neigh", "nft")).root_netns.gaps
    assert sorted(gaps) == ["neigh", "nft"]
    assert gaps["neigh"].startswith("missing")


@pytest.mark.parametrize(
    "name", ["link", "addr", "route", "rule", "neigh", "fdb", "qdisc", "nexthop", "nsid", "nft"]
)
def test_malformed_items_are_gaps(name: str) -> None:
    """Bytes that make no sense are a gap with the reason, not an exception."""
    root = build(Item(ROOT, name, ItemStatus.OK, b"\xff" * 50)).root_netns
    assert root.gaps[name].startswith("malformed")


def test_absent_for_want_of_a_program_is_a_gap() -> None:
    """No tables is an answer; tables without a program to read them is none."""
    detail = "unreadable: legacy tables exist (nat), but there is no iptables-legacy-save"
    assert (
        "iptables-legacy"
        in build(Item(ROOT, "iptables-legacy", ItemStatus.ABSENT, detail=detail)).root_netns.gaps
    )
    assert is_nothing(
        Item(ROOT, "nexthop", ItemStatus.ABSENT, detail="nexthop: EOPNOTSUPP, this kernel does not have it")
    )
    assert not is_nothing(Item(ROOT, "nft", ItemStatus.DENIED, detail="no tables"))


def test_a_kernel_without_policy_routing_still_has_its_tables() -> None:
    """Without CONFIG_IP_MULTIPLE_TABLES the kernel consults local, then main."""
    detail = "rule: EOPNOTSUPP, this kernel does not have it"
    root = build(Item(ROOT, "rule", ItemStatus.ABSENT, detail=detail)).root_netns
    assert root.rules == RULES_WITHOUT_POLICY_ROUTING
    assert [r.table for r in root.rules if r.family == 4] == [255, 254, 253]


def test_a_namespace_that_ended_is_left_out() -> None:
    """A pod that went away while the host was read is no namespace full of gaps."""
    host = build(Item(POD, "link", ItemStatus.ABSENT, detail="the namespace ended while the host was read"))
    assert list(host.namespaces) == [ROOT]
    assert [(g.part, g.netns) for g in host.gaps] == [("namespace", POD)]


def test_an_answer_without_end_is_partial() -> None:
    """An answer that was cut says so, and what it lacks is unknown."""
    cut = replace(evidence(leave_out=("nft",)), complete=False, problem="cut after 900 bytes")
    assert ("answer", "cut after 900 bytes") in {(g.part, g.detail) for g in build_host(cut).gaps}


def test_no_answer_at_all_is_a_host_of_gaps() -> None:
    """A host that answered nothing has a root namespace in which everything is unknown."""
    host = build_host(HostEvidence("node1", complete=False))
    assert {"link", "route", "iptables-nft", "nft", "sysctl"} <= set(host.root_netns.gaps)


def test_recent_lists_are_none_unless_they_were_read() -> None:
    """Lists that were not asked for are unknown; a kernel without any has none."""
    line = "list X\nsrc=10.0.0.1 ttl: 64 last_seen: 4295786991 oldest_pkt: 1 4295786991\n"
    assert build().root_netns.recent is None
    assert build(Item(ROOT, "xt-recent", ItemStatus.DENIED)).root_netns.recent is None
    assert build(Item(ROOT, "xt-recent", ItemStatus.ABSENT, detail=NO_TABLES)).root_netns.recent == {}
    found = build(Item(ROOT, "xt-recent", ItemStatus.OK, line.encode())).root_netns.recent
    assert found is not None
    assert list(found["X"]) == [10 << 24 | 1]


def test_recorded_hosts_know_their_pods() -> None:
    """The recordings give hosts whose veths lead to the pods of the API, and the outside host."""
    recorded = load("iptables")
    node = recorded.hosts["node1-c4"]
    assert len(recorded.truth) == 390
    assert set(recorded.hosts) == {"master-c4", "node1-c4", "node2-c4", "sw"}
    for link in node.root_netns.links.values():
        if link.port is None:
            continue
        pod = node.namespaces[node.root_netns.nsids[link.peer_nsid]]
        assert pod.links[link.peer].peer == link.index
        assert recorded.cluster.pod_by_uid(pod.pod_uids[0]) is not None
    for source, (host, inode, address) in recorded.sources.items():
        assert address in {str(a.ip) for a in recorded.hosts[host].namespaces[inode].addresses}, source
    assert {row.source for row in recorded.truth} <= set(recorded.sources)


SETS = b"create blocked hash:net family inet hashsize 1024 maxelem 65536\nadd blocked 192.0.2.0/24\n"


def test_sets_are_read_in_both_forms() -> None:
    """The kernel's dump and the text of ``ipset save`` become the same sets."""
    raw = (CASES / "ipset/every-type.bin").read_bytes()
    dumped = build(Item(ROOT, "ipset", ItemStatus.OK, raw)).root_netns
    saved = build(Item(ROOT, "ipset", ItemStatus.OK, SETS)).root_netns
    assert {"nets", "both", "ports"} < dumped.ipsets.keys()
    assert [m.values for m in saved.ipsets["blocked"].members] == [(((192 << 24) + (2 << 8), 24),)]
    assert dumped.gaps == saved.gaps == {}


def test_sets_that_were_cut_are_a_gap_and_no_exception() -> None:
    """What was read of a dump that was cut stays; the gap says that sets may be missing."""
    raw = (CASES / "ipset/every-type.bin").read_bytes()
    root = build(Item(ROOT, "ipset", ItemStatus.TRUNCATED, raw[:2000], "more than 2000 bytes")).root_netns
    assert root.gaps == {"ipset": "truncated: more than 2000 bytes"}
    assert any(ipset.problem for ipset in root.ipsets.values())
    garbage = build(Item(ROOT, "ipset", ItemStatus.OK, b"\xff" * 4096)).root_netns
    assert garbage.gaps["ipset"].startswith("malformed")
