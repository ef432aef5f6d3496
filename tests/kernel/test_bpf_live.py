"""Programs that are really attached are found without loading anything, and named on the packet's way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skoopctl.dataplane.trace import Verdict
from skoopctl.kernel.bpf import Attachment
from skoopctl.kernel.netns import Host, NetNamespace
from tests.support.flow_stage import CLIENT, ROUTER, Stage, Wanted, predicted, staged

pytestmark = pytest.mark.lab

# Loads "r0 = RETURN; exit" as a program of a type, and pins it or attaches it.
_LOADER = """
import ctypes, os, struct, sys
kind, expected, value, name, action, target, attach = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 321}.get(os.uname().machine, 280)
def bpf(command, attr):
    buffer = ctypes.create_string_buffer(attr, len(attr))
    result = libc.syscall(number, command, buffer, len(attr))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf command {command}")
    return result
code = struct.pack("=BBhi", 0xB7, 0, 0, int(value)) + struct.pack("=BBhi", 0x95, 0, 0, 0)
code, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
head = struct.pack("=IIQQ", int(kind), 2, ctypes.addressof(code), ctypes.addressof(licence)) + bytes(24)
fd = bpf(5, head + struct.pack("=16sII", name.encode(), 0, int(expected)) + bytes(40))
if action == "pin":
    path = ctypes.create_string_buffer(target.encode())
    bpf(6, struct.pack("=QII", ctypes.addressof(path), fd, 0))
else:
    import socket
    where = socket.if_nametoindex(target) if action == "device" else os.open(target, os.O_RDONLY)
    bpf(8, struct.pack("=IIIIIIQ", where, fd, int(attach), 0, 0, 0, 0))
"""
TCP = Wanted("tcp", 4)


def load(stage: Stage, where: str, *words: object) -> None:
    """Load a program in one of the stage's namespaces: type, expected attach type, return value, name, action."""
    path = "/run/loader.py"
    if not stage.host.run(f"ls {path} 2>/dev/null || true"):
        stage.host.run(f"cat > {path}; mount -t bpf bpf /var/tmp", _LOADER)
    stage.run(where, f"python3 {path} {' '.join(map(str, words))}")


@contextmanager
def cgroup(stage: Stage) -> Iterator[Path]:
    """Put the client into a cgroup of its own."""
    roots = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
    root = next((each for each in roots if (each / "cgroup.controllers").exists()), None)
    if root is None:
        pytest.skip("no cgroup2 is mounted here")
    folder = root / f"t-flows-{os.getpid()}"
    folder.mkdir()
    procs, home = folder / "cgroup.procs", root / "cgroup.procs"
    inner = _innermost(stage.host.pods[0].pid)
    try:
        procs.write_text(str(inner))
        yield folder
    finally:
        home.write_text(str(inner))
        folder.rmdir()


def _innermost(pid: int) -> int:
    """Return the last of a chain of children: what nsenter and unshare started."""
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        pid = int(children[0])
    return pid


def netns_with(host: Host, device: str) -> NetNamespace:
    """Return the namespace that has a device."""
    return next(n for n in host.namespaces.values() if n.link_named(device) is not None)


def places(host: Host, device: str) -> set[tuple[str, str, str]]:
    """Return place, name and owner of what is attached in the namespace of a device."""
    found: tuple[Attachment, ...] | None = netns_with(host, device).programs
    assert found is not None
    return {(each.place, each.name, each.owner) for each in found}


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Return a stage without any program."""
    with staged() as made:
        yield made


def test_without_programs_the_way_is_clear(stage: Stage) -> None:
    """Where nothing is attached, nothing is unknown, even with a clsact qdisc that has no filters."""
    stage.run(ROUTER, "tc qdisc add dev r-c clsact")
    host = stage.collect()
    assert netns_with(host, "r-c").programs == ()
    assert predicted(host, TCP).verdict is Verdict.PASS


def test_tc_xdp_and_tcx_programs_are_named(stage: Stage) -> None:
    """Programs on devices are found where they are, and the walk says which one decides."""
    load(stage, ROUTER, 3, 0, 0, "cil_from_contai", "pin", "/var/tmp/cls", 0)
    load(stage, ROUTER, 6, 0, 2, "cil_xdp_entry", "pin", "/var/tmp/xdp", 0)
    stage.run(ROUTER, "tc qdisc add dev r-c clsact")
    stage.run(ROUTER, "tc filter add dev r-c ingress bpf direct-action pinned /var/tmp/cls")
    stage.run(ROUTER, "ip link set dev r-s xdpgeneric pinned /var/tmp/xdp")
    load(stage, ROUTER, 3, 0, -1, "cali_tc_main", "device", "r-s", 47)
    host = stage.collect()
    assert stage.real([TCP], expected=["connected"]) == ["connected"]
    found = places(host, "r-c")
    assert ("xdp", "cil_xdp_entry", "Cilium") in found
    assert ("tcx egress", "cali_tc_main", "Calico's eBPF dataplane") in found
    assert {place for place, _, owner in found if owner == "Cilium"} >= {"tc ingress", "xdp"}
    path = predicted(host, TCP)
    assert path.verdict is Verdict.UNKNOWN
    said = " ".join(path.unknowns)
    assert "cil_from_contai" in said
    assert "r-c" in said
    walked = {step.device for branch in path.branches for step in branch.forward.steps}
    assert "eth-s" in walked, "behind a program that lets it pass, the way is walked on"


def test_a_filter_that_is_no_program_is_opaque_too(stage: Stage) -> None:
    """A u32 filter that drops is named by its kind."""
    stage.run(ROUTER, "tc qdisc add dev r-c ingress")
    stage.run(ROUTER, "tc filter add dev r-c parent ffff: protocol ip u32 match u32 0 0 flowid 1:1")
    path = predicted(stage.collect(), TCP)
    assert path.verdict is Verdict.UNKNOWN
    assert "the tc filter u32 at tc ingress on r-c" in path.unknowns[0]


def test_connect_hooks_of_a_cgroup_are_found(stage: Stage) -> None:
    """A program that connect() calls makes the flow unknown before there is a packet; ping does not call it."""
    with cgroup(stage) as folder:
        load(stage, CLIENT, 18, 10, 1, "cil_sock4_conne", "cgroup", folder, 10)
        load(stage, CLIENT, 8, 0, 1, "sd_fw_egress", "cgroup", folder, 1)
        host = stage.collect()
        assert stage.real([TCP], expected=["connected"]) == ["connected"]
    found = places(host, "eth-c")
    assert {("cgroup connect4", "cil_sock4_conne", "Cilium")} <= found
    assert {name for place, name, _ in found if place == "cgroup egress"} == {"sd_fw_egress"}
    path = predicted(host, TCP)
    assert path.verdict is Verdict.UNKNOWN
    assert any("a packet to that address may never exist" in reason for reason in path.unknowns)
    assert all("cil_sock4" not in reason for reason in predicted(host, Wanted("icmp", 4)).unknowns)
    assert predicted(host, TCP).branches[0].forward.steps[-1].cause in {"", "opaque-program"}
