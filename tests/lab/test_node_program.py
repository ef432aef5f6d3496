"""The node program on a real kernel: what it brings, what it leaves alone, and that it always ends."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skoopctl.evidence import HOST_WIDE, HostEvidence, ItemStatus, Request, decode_answer
from skoopctl.evidence.payload import job, program_source
from skoopctl.evidence.request import HOST_ITEMS, NETNS_ITEMS
from tests.lab.node_host import NodeHost, wait_until
from tests.lab.sshd_host import in_time

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]

SETUP = """
ip link set lo up
ip link add cni0 type bridge; ip addr add 10.244.9.1/24 dev cni0; ip link set cni0 up
ip link add ens192 type veth peer name wire; ip link set wire up
ip addr add 192.0.2.10/24 dev ens192; ip link set ens192 up
ip link add flannel.1 type vxlan id 1 dev ens192 dstport 8472 nolearning; ip link set flannel.1 up
bridge fdb append 02:00:00:00:00:02 dev flannel.1 dst 192.0.2.11
ip neigh add 10.244.8.0 lladdr 02:00:00:00:00:02 dev flannel.1 nud permanent
ip neigh add proxy 192.0.2.77 dev ens192
ip route add 10.244.8.0/24 via 10.244.8.0 dev flannel.1 onlink
ip rule add fwmark 0x4000 table 100 priority 500
ip nexthop add id 9 via 192.0.2.1 dev ens192
iptables-nft -A INPUT -s 192.0.2.99 -j DROP
ip6tables-nft -A INPUT -s 2001:db8::9 -j DROP
iptables-legacy -t nat -A POSTROUTING -s 10.9.9.9 -j MASQUERADE
nft add table inet mine; nft add chain inet mine c '{ type filter hook forward priority 5; }'
nft add rule inet mine c ip saddr 10.7.7.7 drop
"""
LISTENER = """
import socket, time
only6 = socket.socket(socket.AF_INET6)
only6.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
only6.bind(("::", 8443))
only6.listen()
local = socket.create_server(("127.0.0.1", 8080))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 5353))
time.sleep(1e6)
"""
CLIENT = """
import subprocess, sys
program = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
program.stdin.write(sys.stdin.buffer.read())
program.stdin.flush()
program.wait()
"""
SAVE_SCRIPT = """
rm $D/iptables-save
printf '#!/bin/sh\nexec /usr/sbin/xtables-nft-multi iptables-save "$@"\n' >$D/iptables-save
chmod 755 $D/iptables-save
"""
PEAK_KB = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""
SYSCTLS: dict[str, Any] = {}
exec((Path(__file__).parents[2] / "remote" / "sysctls.py").read_text(), SYSCTLS)  # noqa: S102 - its tables
FAKE_IPTABLES = "/usr/sbin/xtables-nft-multi"
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def host() -> Iterator[NodeHost]:
    """Make a host with a tunnel, rules of every kind, a listening and a silent pod, and a named namespace."""
    made = NodeHost.start()
    try:
        made.run(SETUP)
        made.add_pod("web", "10.244.9.7", f"exec python3 -c {shlex.quote(LISTENER)}")
        made.add_pod("idle", "10.244.9.8")
        made.run("ip netns add skt-named; ip -n skt-named link set lo up")
        assert wait_until(lambda: ":14E9 " in made.run("cat /proc/$(pgrep -o python3)/net/udp"))
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def evidence(host: NodeHost) -> HostEvidence:
    """Return what the program says of the host."""
    answer = host.ask()
    assert answer.status == 0, answer.stderr
    assert not answer.stderr
    return answer.evidence


@pytest.fixture
def hanging(host: NodeHost) -> Iterator[None]:
    """Put a program that never ends in the place of iptables, inside the host only."""
    before = host.processes()
    host.run(
        f"printf '#!/bin/sh\\necho \"*filter\"\\nsleep 3000\\n' > /run/slow; chmod 755 /run/slow;"
        f"mount --bind /run/slow {FAKE_IPTABLES}"
    )
    yield
    # What was killed takes a moment to be gone: it holds the mount, and the next test would see it end.
    assert wait_until(lambda: host.processes() == before), (before, host.processes())
    host.run(f"umount {FAKE_IPTABLES}; rm /run/slow")


def pod_inode(evidence: HostEvidence, comm: str) -> int:
    """Return the namespace in which a process of that name lives, apart from the host's."""
    item = evidence.item("namespaces")
    assert item is not None
    for row in json.loads(item.payload):
        if not row["host"] and any(process["comm"] == comm for process in row["processes"]):
            return int(row["inode"])
    raise AssertionError(f"no pod runs {comm}")


def payload(evidence: HostEvidence, name: str, netns: int) -> bytes:
    """Return the payload of an item that must be ok."""
    item = evidence.item(name, netns)
    assert item is not None, name
    assert item.status is ItemStatus.OK, (name, item.detail)
    return item.payload


def test_every_item_is_there_for_every_namespace(evidence: HostEvidence) -> None:
    """Every item of the contract comes once for the host and once for each of its four namespaces."""
    assert evidence.complete, evidence.problem
    assert {name for netns, name in evidence.items if netns == HOST_WIDE} == set(HOST_ITEMS)
    assert len(evidence.namespaces()) == 4
    for netns in evidence.namespaces():
        assert {name for inode, name in evidence.items if inode == netns} == set(NETNS_ITEMS)
    harmless = {"ip_vs", "modules", "tc-filter", "proc-net-sctp-eps"}
    bad = [
        item
        for item in evidence.items.values()
        if item.status is not ItemStatus.OK and item.name not in harmless
        # What a plain node has nothing of, as the kernel says.
        if item.status is not ItemStatus.ABSENT or not item.detail.startswith("no tables: ")
    ]
    assert not bad


def test_identity_and_namespaces(host: NodeHost, evidence: HostEvidence) -> None:
    """The host says who it is, which namespaces it has, and who lives in them, without command lines."""
    identity = json.loads(payload(evidence, "identity", HOST_WIDE))
    assert identity["hostname"] == "skt-node"
    assert identity["uid"] == 0
    assert identity["kernel"] == os.uname().release
    assert identity["root_netns"] == host.root_inode() == evidence.namespaces()[0]
    rows = {row["inode"]: row for row in json.loads(payload(evidence, "namespaces", HOST_WIDE))}
    assert set(rows) == set(evidence.namespaces())
    assert [row["host"] for row in rows.values()].count(True) == 1
    assert rows[host.root_inode()]["host"]
    assert [row["names"] for row in rows.values() if row["names"]] == [["skt-named"]]
    web = rows[pod_inode(evidence, "python3")]["processes"][0]
    assert set(web) == {"pid", "comm", "cgroup"}
    assert "/" in web["cgroup"]
    assert b"time.sleep" not in payload(evidence, "namespaces", HOST_WIDE)


@pytest.mark.parametrize(
    ("item", "command", "columns"),
    [
        ("link", "ip -j link show", ("ifname",)),
        ("addr", "ip -j addr show", ()),
        ("route", "ip -j route show table all", ()),
        ("rule", "ip -j rule show", ()),
        ("neigh", "ip -j neigh show nud all", ()),
        ("fdb", "bridge -j fdb show", ()),
        ("qdisc", "tc -j qdisc show invisible", ()),
        ("nexthop", "ip -j nexthop show", ()),
    ],
)
def test_netlink_dump_has_what_ip_shows(
    host: NodeHost, item: str, command: str, columns: tuple[str, ...]
) -> None:
    """A raw dump holds at least as many messages as ip(8) prints rows, and ends with NLMSG_DONE."""
    shown = json.loads(host.run(command) or "[]")
    data = payload(host.ask(Request(items=(item,))).evidence, item, host.root_inode())
    kinds, offset = [], 0
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], "little")
        kinds.append(int.from_bytes(data[offset + 4 : offset + 6], "little"))
        offset += (length + 3) & ~3
    assert kinds[-1] == 3
    assert len(kinds) - 1 >= len(shown) > 0
    for row in shown:
        for column in columns:
            assert row[column].encode() + b"\0" in data


def test_dumps_hold_what_was_set_up(host: NodeHost, evidence: HostEvidence) -> None:
    """The tunnel's FDB entry, the permanent and the proxy neighbour and the onlink route are in the bytes."""
    root = host.root_inode()
    mac, peer = bytes.fromhex("020000000002"), bytes([192, 0, 2, 11])
    assert mac in payload(evidence, "fdb", root)
    assert peer in payload(evidence, "fdb", root)
    assert mac in payload(evidence, "neigh", root)
    assert bytes([192, 0, 2, 77]) in payload(evidence, "neigh-proxy", root)
    assert bytes([10, 244, 8, 0]) in payload(evidence, "route", root)


def test_nsid_leads_from_pod_to_host_and_back(host: NodeHost, evidence: HostEvidence) -> None:
    """Each end of a veth pair can be followed: the pod knows the host by an id, the host knows both pods."""
    root = host.root_inode()
    web = pod_inode(evidence, "python3")
    assert root in json.loads(payload(evidence, "nsid", web)).values()
    assert {web, pod_inode(evidence, "sleep")} <= set(json.loads(payload(evidence, "nsid", root)).values())


def test_sysctls_are_those_of_proc(host: NodeHost, evidence: HostEvidence) -> None:
    """Every value is the one in /proc/sys of its namespace, also those taken from link messages."""
    keys = [f"ipv4/conf/@/{key}" for key in SYSCTLS["DEVICE_IPV4"]]
    keys += [f"ipv6/conf/@/{key}" for key in SYSCTLS["DEVICE_IPV6"]]
    # Five devices on which the settings are the bits of a key's number: no two keys look alike.
    bits = range(5)
    assert len(keys) < 1 << len(bits)
    for bit in bits:
        host.run(f"ip link add b.{bit} type bridge; ip link set b.{bit} up")
        for number, key in enumerate(keys, 1):
            host.run(f"echo {_setting(number, bit, key)} >/proc/sys/net/{key.replace('@', f'b.{bit}')}")
    web = pod_inode(evidence, "python3")
    fresh = host.ask(Request(items=("link", "sysctl"))).evidence
    for netns, enter in ((host.root_inode(), ""), (web, "nsenter -t $(pgrep -o python3) -n ")):
        lines = payload(fresh, "sysctl", netns).decode().splitlines()
        steady = dict(line.split("=", 1) for line in lines if "nf_conntrack_count" not in line)
        read = host.run(
            f"{enter}xargs grep -H '' /dev/null", "\n".join(f"/proc/sys/{path}" for path in steady)
        )
        real = dict(line.removeprefix("/proc/sys/").split(":", 1) for line in read.splitlines())
        assert {path: value.split() for path, value in steady.items() if value} == {
            path: value.split() for path, value in real.items() if value
        }
    told = dict(
        line.split("=", 1) for line in payload(fresh, "sysctl", host.root_inode()).decode().splitlines()
    )
    for number, key in enumerate(keys, 1):
        assert [told["net/" + key.replace("@", f"b.{bit}")] for bit in bits] == [
            str(_setting(number, bit, key)) for bit in bits
        ], key
    assert "net/ipv4/conf/all/rp_filter" in told
    host.run("for bit in 0 1 2 3 4; do ip link del b.$bit; done")


def _setting(number: int, bit: int, key: str) -> int:
    """Return a bit of a key's number; a hop limit of 0 is refused (net/ipv6/addrconf.c: min_hop_limit)."""
    return (number >> bit & 1) + key.endswith("/hop_limit")


def test_listeners_are_those_of_proc(host: NodeHost, evidence: HostEvidence) -> None:
    """TCP listeners come in the format of /proc/net/tcp, with the addresses and ports that it has."""
    web = pod_inode(evidence, "python3")
    for item, file in (("proc-net-tcp", "tcp"), ("proc-net-tcp6", "tcp6"), ("proc-net-udp", "udp")):
        ours = [line.split() for line in payload(evidence, item, web).decode().splitlines()[1:]]
        real = host.run(f"cat /proc/$(pgrep -o python3)/net/{file}").splitlines()[1:]
        want = [line.split() for line in real if file == "udp" or line.split()[3] == "0A"]
        assert [row[1:4] for row in ours] == [row[1:4] for row in want]
        assert [row[7:10:2] for row in ours] == [row[7:10:2] for row in want]
        assert ours
    assert payload(evidence, "proc-net-tcp6", web).decode().rstrip().endswith("v6only=1")
    idle = pod_inode(evidence, "sleep")
    assert len(payload(evidence, "proc-net-tcp", idle).splitlines()) == 1


def test_rules_of_every_kind_and_none_where_there_are_none(host: NodeHost, evidence: HostEvidence) -> None:
    """Each of the five rule dumps has its own rule on the host, and says 'no tables' in a pod."""
    root, idle = host.root_inode(), pod_inode(evidence, "sleep")
    assert b"-A INPUT -s 192.0.2.99/32 -j DROP" in payload(evidence, "iptables-nft", root)
    assert b"-A INPUT -s 2001:db8::9/128 -j DROP" in payload(evidence, "ip6tables-nft", root)
    assert b"-A POSTROUTING -s 10.9.9.9/32 -j MASQUERADE" in payload(evidence, "iptables-legacy", root)
    assert b"[0:0]" in payload(evidence, "iptables-nft", root)
    assert b"10.7.7.7" in payload(evidence, "nft", root)
    tables = [
        row["table"]["name"]
        for row in json.loads(payload(evidence, "nft", root))["nftables"]
        if "table" in row
    ]
    assert "mine" in tables
    for name in ("iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"):
        assert payload(evidence, name, idle) == b"# no tables\n"
    assert json.loads(payload(evidence, "nft", idle)) == {"nftables": []}


def snapshot(host: NodeHost) -> dict[str, str]:
    """Return everything about the host that looking must not change: of rules all but what they counted.

    The kernel itself sends on a device that has come up, such as IGMP's reports, and rules count that.
    """
    names = "cat /proc/net/ip_tables_names /proc/net/ip6_tables_names"
    plain = r"sed '/^#/d; s/ \[[0-9:]*\]$//'"
    rules = f"nft -a -s list ruleset; iptables-legacy-save | {plain}; {names}"
    each = f"for p in $(pgrep -r S -x 'sleep|python3'); do nsenter -t $p -n sh -c {shlex.quote(rules)}; done"
    return {
        "modules": " ".join(sorted(_modules())),
        "module folders": " ".join(sorted(os.listdir("/sys/module"))),  # noqa: PTH208 - names are enough
        "files": host.run("find /tmp /run /var/tmp /root /dev/shm -xdev -printf '%p %s %T@ %C@\n' | sort"),
        "processes": "\n".join(sorted(host.processes())),
        "rules": host.run(f"{rules}; {each}"),
        "links": host.run("ip -o link | cut -d: -f2 | sort"),
        "sysctls": host.run("sysctl -a -r '^net[.]' 2>/dev/null | grep -v conntrack_count"),
    }


def _modules() -> list[str]:
    """Return the names of loaded modules; how often each is used is also others' doing."""
    file = Path("/proc/modules")
    return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []


def test_nothing_changes_by_looking(host: NodeHost) -> None:
    """Modules, files, processes, rules, tables, links and sysctls are after a run what they were before."""
    before = snapshot(host)
    assert host.ask().evidence.complete
    assert snapshot(host) == before


@pytest.mark.usefixtures("hanging")
def test_empty_namespaces_start_no_program(host: NodeHost) -> None:
    """Where the kernel has no tables no program is started: pods answer at once while iptables hangs."""
    # Every program of a node has that long, at nice 10: also those that do not hang.
    answer = host.ask(Request(item_timeout_s=3))
    assert answer.evidence.complete
    slow = [key for key, item in answer.evidence.items.items() if item.status is ItemStatus.TIMEOUT]
    assert slow == [(host.root_inode(), "iptables-nft"), (host.root_inode(), "ip6tables-nft")]
    assert "did not end within 3 s" in answer.evidence.items[slow[0]].detail
    assert payload(answer.evidence, "nft", host.root_inode())


def wait_for_child(host: NodeHost) -> None:
    """Wait until the program is stuck in its slow child."""
    assert wait_until(lambda: " 3000" in host.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '"))


@pytest.mark.usefixtures("hanging")
def test_dies_with_its_stdin_even_in_a_slow_child(host: NodeHost) -> None:
    """Within a second of the end of stdin the program and its hanging child are gone."""
    before = host.processes()
    program = host.spawn(Request(item_timeout_s=1000, deadline_s=1000))
    wait_for_child(host)
    assert program.stdin is not None
    program.stdin.close()
    assert wait_until(lambda: host.processes() == before, in_time(1)), (before, host.processes())
    assert program.wait(DEADLINE_S) != 0
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdout.close()
    program.stderr.close()


@pytest.mark.usefixtures("hanging")
def test_dies_when_its_client_is_killed(host: NodeHost) -> None:
    """A client that is killed takes the program along, because its end of the pipe closes."""
    before = host.processes()
    asked = job(Request(item_timeout_s=1000, deadline_s=1000))
    client = subprocess.Popen(
        ["/usr/bin/python3", "-c", CLIENT, *host.inside(*shlex.split(asked.command))],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert client.stdin is not None
    client.stdin.write(asked.stdin)
    client.stdin.close()
    wait_for_child(host)
    client.send_signal(signal.SIGKILL)
    assert wait_until(lambda: host.processes() == before, in_time(1)), (before, host.processes())
    client.wait(DEADLINE_S)


def test_deadline_ends_it_and_what_came_is_kept(host: NodeHost) -> None:
    """Stuck beyond its own deadline, here because nobody reads its answer, the program kills itself."""
    before = host.processes()
    started = time.monotonic()
    program = host.spawn(Request(deadline_s=1.5), pipe_bytes=4096)
    assert program.wait(DEADLINE_S) != 0
    assert 1.5 <= time.monotonic() - started < in_time(4)
    assert program.stdout is not None
    evidence = decode_answer("skt", program.stdout.read())
    for stream in (program.stdin, program.stdout, program.stderr):
        assert stream is not None
        stream.close()
    assert not evidence.complete
    assert payload(evidence, "identity", HOST_WIDE)
    # A tool that it had started is killed with it, and takes a moment to be gone.
    assert wait_until(lambda: host.processes() == before), (before, host.processes())


@pytest.mark.usefixtures("hanging")
def test_killed_in_a_child_what_came_is_kept(host: NodeHost) -> None:
    """What was read before a program hangs has been sent, so that it survives whatever happens next."""
    program = host.spawn(Request(item_timeout_s=1000, deadline_s=1000))
    wait_for_child(host)
    assert program.stdin is not None
    assert program.stdout is not None
    assert program.stderr is not None
    program.stdin.close()
    evidence = decode_answer("skt", program.stdout.read())
    program.stdout.close()
    program.stderr.close()
    program.wait(DEADLINE_S)
    assert not evidence.complete
    assert payload(evidence, "link", host.root_inode())


@pytest.mark.usefixtures("hanging")
def test_deadline_names_what_was_left_out(host: NodeHost) -> None:
    """When an item uses up the time, the rest is named as timed out and the answer is still whole."""
    answer = host.ask(Request(item_timeout_s=1000, deadline_s=10))
    assert answer.status == 0
    assert answer.evidence.complete
    last = answer.evidence.items[answer.evidence.namespaces()[-1], "link"]
    assert last.status is ItemStatus.TIMEOUT
    assert "deadline of 10 s" in last.detail
    assert payload(answer.evidence, "link", host.root_inode())


def test_stdin_that_never_brings_a_program_ends(host: NodeHost) -> None:
    """When stdin ends before the program has come, nothing stays."""
    before = host.processes()
    asked = job(Request())
    program = subprocess.Popen(
        host.inside(*shlex.split(asked.command)),
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert program.stdin is not None
    program.stdin.write(asked.stdin[:1000])
    program.stdin.close()
    assert program.wait(DEADLINE_S) != 0
    assert host.processes() == before


def test_without_root_items_are_denied(host: NodeHost) -> None:
    """A login without root gets a whole answer in which what needs root is denied, never empty."""
    wrap = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    answer = host.ask(wrap=wrap)
    assert answer.status == 0, answer.stderr
    assert not answer.stderr
    assert answer.evidence.complete
    namespaces = answer.evidence.item("namespaces")
    assert namespaces is not None
    assert namespaces.status is ItemStatus.DENIED
    root = host.root_inode()
    for name in ("nft", "iptables-nft", "iptables-legacy"):
        item = answer.evidence.item(name, root)
        assert item is not None
        assert item.status is ItemStatus.DENIED, (name, item.detail)
        assert "root is needed" in item.detail
    assert payload(answer.evidence, "link", root)


def test_nft_is_not_asked_for_what_iptables_shows(host: NodeHost) -> None:
    """With iptables' own tables only, nft is left alone; a chain that iptables cannot show brings it back."""
    request = Request(items=("iptables-nft", "ip6tables-nft", "nft"))
    root = host.root_inode()
    saved = host.run("nft list table inet mine")
    host.run("nft delete table inet mine")
    try:
        plain = host.ask(request).evidence
        host.run("nft add chain ip filter extra '{ type filter hook input priority 10; }'")
        mixed = host.ask(request).evidence
    finally:
        host.run("nft delete chain ip filter extra || true")
        host.run("nft -f -", stdin=saved)
    assert json.loads(payload(plain, "nft", root)) == {"nftables": []}
    assert plain.items[root, "nft"].detail == "no tables but those of iptables-nft-save"
    assert b"contains incompatible base-chains" in payload(mixed, "iptables-nft", root)
    assert b'"extra"' in payload(mixed, "nft", root)


def test_rules_without_a_program_to_read_them_are_unreadable(host: NodeHost) -> None:
    """Tables without a program to show them are absent, and the detail says that they are there."""
    host.run(
        "touch /run/nothing; cd /usr/sbin;"
        "for tool in nft xtables-legacy-multi; do mount --bind /run/nothing $tool; done"
    )
    try:
        evidence = host.ask(Request(items=("nft", "iptables-legacy"))).evidence
    finally:
        host.run("umount /usr/sbin/nft; umount /usr/sbin/xtables-legacy-multi")
    nft = evidence.items[host.root_inode(), "nft"]
    legacy = evidence.items[host.root_inode(), "iptables-legacy"]
    assert nft.status is legacy.status is ItemStatus.ABSENT
    assert nft.detail.startswith("unreadable: nftables tables exist (")
    assert "inet mine" in nft.detail
    assert legacy.detail.startswith("unreadable: legacy tables exist (nat)")


@pytest.mark.parametrize(
    "plain",
    [
        "ln -sf xtables-nft-multi $D/iptables-save",
        SAVE_SCRIPT,
    ],
    ids=["link", "script"],
)
def test_plain_iptables_save_is_told_apart(host: NodeHost, plain: str) -> None:
    """With only iptables-save there, its name or its version tells which rules it can show."""
    hide = "rm $D/iptables-nft-save $D/iptables-legacy-save"
    host.run(f"D=/run/sbin; mkdir $D; cp -a /usr/sbin/. $D/; {hide}\n{plain}\nmount --bind $D /usr/sbin")
    try:
        evidence = host.ask(Request(items=("iptables-nft", "iptables-legacy"))).evidence
    finally:
        host.run("umount /usr/sbin; rm -r /run/sbin")
    root = host.root_inode()
    assert b"192.0.2.99" in payload(evidence, "iptables-nft", root)
    assert evidence.items[root, "iptables-legacy"].detail.startswith("unreadable: legacy tables exist")


def test_caps_cut_and_say_so(host: NodeHost) -> None:
    """An item over its cap is truncated and keeps its beginning; the answer stays whole."""
    evidence = host.ask(Request(item_bytes=200)).evidence
    assert evidence.complete
    for name in ("link", "sysctl", "iptables-nft", "nft"):
        item = evidence.items[host.root_inode(), name]
        assert item.status is ItemStatus.TRUNCATED, name
        assert "200 bytes" in item.detail
        assert len(item.payload) <= 200
    total = host.ask(Request(total_bytes=20_000)).evidence
    assert total.complete
    assert sum(len(item.payload) for item in total.items.values()) <= 20_000


@pytest.mark.parametrize(
    "older",
    [
        "import os; del os.posix_spawn",
        "import sys; sys.modules.update(_sha256=None, _sha2=None)",
        "import sys; sys.modules.update(_json=None)",
        "import os; os.__dict__.pop('setns', None)",
    ],
    ids=["no posix_spawn", "no _sha256", "no _json", "no setns"],
)
def test_fallbacks_for_older_pythons(host: NodeHost, evidence: HostEvidence, older: str) -> None:
    """Where an old Python lacks something the fallback brings the same evidence."""
    program = host.inside("/usr/bin/python3", "-I", "-S", "-B", "-W", "ignore", "-")
    source = f"{older}\n{program_source(Request())}".replace("guard(request", "_guard(request")
    source = source.replace(
        "def refuse(", "def _guard(seconds):\n    return time.monotonic() + seconds\n\n\ndef refuse("
    )
    done = subprocess.run(program, input=source.encode(), capture_output=True, check=False)
    got = decode_answer("skt", done.stdout)
    assert got.complete, done.stderr
    assert set(got.items) == set(evidence.items)
    # Connections come and go with the tests' own traffic.
    assert {key: item.status for key, item in got.items.items() if key[1] != "conntrack"} == {
        key: item.status for key, item in evidence.items.items() if key[1] != "conntrack"
    }


def test_thirty_pods_cost_little() -> None:
    """30 pods' namespaces: at most 40 MB, and at most ten times the CPU that Python needs to start at all."""
    big = NodeHost.start()
    try:
        big.run("ip link add cni0 type bridge; ip addr add 10.244.9.1/24 dev cni0; ip link set cni0 up")
        for number in range(30):
            big.add_pod(f"p{number}", f"10.244.9.{number + 10}")
        # One after the other: what else the machine does costs both alike.
        bare = ["/usr/bin/python3", "-I", "-S", "-B", "-c", "pass"]
        turns = [(big.ask(), _cpu_of(big.inside(*bare))) for _ in range(5)]
        answers = [answer for answer, _ in turns]
        assert all(len(answer.evidence.namespaces()) == 31 for answer in answers)
        # wait4() would tell the peak of this process before its exec: a small parent measures instead.
        measured = big.ask(wrap=["/usr/bin/python3", "-c", PEAK_KB])
        assert 5_000 < int(measured.stderr) < 40 << 10
        assert min(answer.cpu_s for answer in answers) < 10 * min(cpu_s for _, cpu_s in turns)
    finally:
        big.stop()


def _cpu_of(argv: list[str]) -> float:
    """Return the CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
