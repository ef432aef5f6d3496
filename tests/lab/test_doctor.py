"""The doctor on real nodes: over real SSH servers, as root and as somebody else, and what it leaves alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sshd_host import SERVER, SshdHost, sshd_host

from skoopctl.doctor.check import Level
from skoopctl.doctor.examine import ITEMS, Examination, examine
from skoopctl.evidence import Request
from skoopctl.inventory import InventoryHost
from tests.lab.node_host import NodeHost, wait_until
from tests.support.ebpf_held import Abandoned
from tests.unit.remote.test_doctor_items import program

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]

USERS_PORT = 2203
USERS = "skt-user:*:4711:4711::/:/bin/sh\nskt-admin:*:4712:4712::/:/bin/sh\n"
SUDOERS = "root ALL=(ALL:ALL) ALL\nskt-admin ALL=(root) NOPASSWD: ALL\n"


@pytest.fixture(scope="module")
def sshd() -> Iterator[SshdHost]:
    """Start a server for root, and one that knows other users."""
    with tempfile.TemporaryDirectory(prefix="skd-") as folder:
        Path(folder).chmod(0o755)
        with sshd_host(Path(folder), f"skd{os.getpid() % 100_000}") as host:
            host.start(22)
            host.start(USERS_PORT, users=USERS, sudoers=SUDOERS)
            yield host


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no say."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def target(sshd: SshdHost) -> InventoryHost:
    """Return the server as an inventory host."""
    return InventoryHost(
        name="node1",
        address=SERVER,
        user="root",
        key_file=str(sshd.user_key),
        known_hosts=str(sshd.known_hosts),
        netns=sshd.client,
    )


def look(host: InventoryHost) -> Examination:
    """Examine one host."""
    return asyncio.run(examine([host])).nodes[0]


def levels(node: Examination, *names: str) -> list[Level]:
    """Return the levels of some checks."""
    return [node.rows[name].level for name in names]


def test_a_node_as_root_has_all_that_a_diagnosis_needs(sshd: SshdHost) -> None:
    """Logged in as root, every check that diagnose stands on is ok, and the machine's own facts are there."""
    node = look(target(sshd))
    assert node.fine, {name: row for name, row in node.rows.items() if row.level is not Level.OK}
    assert node.identity is not None
    assert node.identity.kernel == os.uname().release
    assert node.rows["python"].detail.startswith("3.")


def test_the_self_test_is_what_the_kernel_does(sshd: SshdHost) -> None:
    """As root on this kernel a program can be loaded, as the kernel's own list of programs would show."""
    assert levels(look(target(sshd)), "ebpf", "btf") == [Level.OK, Level.OK]


def test_the_clock_of_the_same_machine_is_right(sshd: SshdHost) -> None:
    """Node and workstation are one machine here: the offset that is found is within its own error."""
    assert look(target(sshd)).rows["clock"].level in {Level.OK, Level.UNKNOWN}


def test_another_user_is_told_what_is_missing(sshd: SshdHost) -> None:
    """Without root there is an answer, and its rows say what this login may not do."""
    node = look(replace(target(sshd), user="skt-user", port=USERS_PORT, port_given=True))
    assert node.answered
    assert not node.fine
    assert levels(node, "reach", "login", "python") == [Level.OK] * 3
    assert levels(node, "root", "namespaces", "ebpf") == [Level.MISSING] * 3
    assert "user 4711" in node.rows["root"].detail
    assert "EPERM" in node.rows["ebpf"].detail


def test_sudo_makes_the_difference(sshd: SshdHost) -> None:
    """An administrator with sudo has what root has; a user without has sudo's own words in one row."""
    others = replace(target(sshd), port=USERS_PORT, port_given=True, become=True)
    admin = look(replace(others, user="skt-admin"))
    assert admin.fine
    assert admin.rows["root"].detail == "with sudo"
    user = look(replace(others, user="skt-user"))
    assert not user.answered
    assert levels(user, "reach", "host-key", "login", "root") == [Level.OK, Level.OK, Level.OK, Level.MISSING]
    assert "sudo" in user.rows["root"].detail


def test_an_unknown_host_key_is_the_only_row(sshd: SshdHost, tmp_path: Path) -> None:
    """Nothing is tried past a host key that is not known; the row says how to compare it."""
    node = look(replace(target(sshd), known_hosts=str(tmp_path / "empty")))
    assert levels(node, "reach", "host-key", "login") == [Level.OK, Level.MISSING, Level.UNKNOWN]
    assert "ssh-keygen -lf" in node.rows["host-key"].fix


def test_nothing_listens(sshd: SshdHost) -> None:
    """A closed port is one row with the transport's words."""
    node = look(replace(target(sshd), port=4, port_given=True))
    assert node.rows["reach"].level is Level.MISSING
    assert "nothing listens on" in node.rows["reach"].detail


@pytest.fixture(scope="module")
def node() -> Iterator[NodeHost]:
    """Make a host with rules of both stores and a pod."""
    made = NodeHost.start()
    try:
        made.run("ip link set lo up; ip link add cni0 type bridge; ip link set cni0 up")
        made.run("iptables-legacy -A INPUT -s 192.0.2.9 -j DROP; nft add table inet mine")
        made.add_pod("idle", "10.244.9.8")
        yield made
    finally:
        made.stop()


def test_nothing_stays_on_the_node(node: NodeHost) -> None:
    """Processes, modules and files of the node are the same afterwards, and no eBPF program is left to itself."""

    def state() -> tuple[object, ...]:
        files = node.run("find /run /tmp /var/tmp /root /dev/shm | sort")
        return (
            node.processes(),
            Path("/proc/modules").exists(),
            files,
        )

    def mounts() -> set[str]:
        return set(node.run("cat /proc/mounts").splitlines())

    before, abandoned = state(), Abandoned()
    mounted = mounts()
    answer = node.ask(Request(items=ITEMS))
    assert answer.status == 0, answer.stderr
    assert answer.evidence.complete
    assert wait_until(lambda: state() == before), (before, state())
    # What others had mounted before this host was made goes from here, too, when its mount point does; none comes.
    assert wait_until(lambda: mounts() <= mounted), mounts() - mounted
    assert wait_until(abandoned.none), abandoned.suspects


def test_which_tables_need_which_tool_is_seen_in_every_namespace(node: NodeHost) -> None:
    """Legacy tables and nftables tables are found where they are."""
    evidence = node.ask(Request(items=ITEMS)).evidence
    item = evidence.item("doctor-netfilter", node.root_inode())
    assert item is not None
    assert b'"text":"filter"' in item.payload
    assert b'["inet","mine"]' in item.payload
    assert len(evidence.namespaces()) == 2


@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
def test_asking_versions_touches_no_kernel_module(node: NodeHost) -> None:
    """The tools that are started whatever the modules are open no netlink socket and load nothing."""
    free = [(name, argument) for name, argument, module in program()["TOOLS"] if argument and not module]
    tried = 0
    for name, argument in free:
        if shutil.which(name) is None:
            continue
        words = node.inside(
            "strace", "-f", "-e", "trace=socket,init_module,finit_module,execve", name, argument
        )
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "AF_NETLINK" not in done.stderr, name
        assert "init_module" not in done.stderr, name
        assert "modprobe" not in done.stderr, name
        tried += 1
    assert tried
