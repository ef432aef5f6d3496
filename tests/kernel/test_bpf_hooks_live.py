"""Every kind of hook, relocation and refusal that the loader knows, on this kernel, by a program made for it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from skoopctl.bpf import program as program_module
from skoopctl.bpf.artefact import Artefact
from skoopctl.bpf.catalogue import PROBES, BpfProbe, EventKind, Hook
from skoopctl.bpf.program import BpfRequest
from skoopctl.bpf.stream import HookReport
from tests.kernel.bpf_watch import Watch
from tests.support.bpf_loader import built_for_test, loader, needs_clang, needs_kernel_types

pytestmark = [
    pytest.mark.lab,
    needs_clang,
    needs_kernel_types,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
]

SOURCE = Path(__file__).with_name("hooks.bpf.c")
TRACEFS = 'mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; exec "$@"'
NO_TRACEFS = 'while umount /sys/kernel/tracing; do :; done 2>/dev/null; exec "$@"'


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    """Return what a node would get of the test's own source."""
    return replace(built_for_test(SOURCE, tmp_path_factory.mktemp("hooks"))[1], name="packetloss")


@pytest.fixture
def probe(artefact: Artefact, monkeypatch: pytest.MonkeyPatch) -> BpfProbe:
    """Return a probe of the test's own programs, a hook each."""
    made = BpfProbe(
        name="packetloss",
        title="for tests",
        hooks=tuple(Hook(each.name, ((each.name,),)) for each in artefact.programs),
        kinds=(EventKind(1, "packet-loss", "", ""),),
    )
    monkeypatch.setitem(PROBES, "packetloss", made)
    monkeypatch.setattr(program_module, "built", lambda _name, _architecture: artefact)
    return made


@contextmanager
def packets_to_drop() -> Iterator[None]:
    """Send datagrams to a port of loopback that nobody has: the kernel drops each."""
    over = threading.Event()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = taken.getsockname()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not over.wait(0.02):
                sender.sendto(b"nobody", nobody)

    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield
    finally:
        over.set()
        sending.join()


def started(script: str = TRACEFS, **more: object) -> Watch:
    """Run the test's own programs for a moment in a mount namespace of their own, to the end."""
    request = BpfRequest(("packetloss",), 1.5, **more)  # type: ignore[arg-type]
    prefix = ("unshare", "-m", "sh", "-c", script, "sh")
    with packets_to_drop(), Watch(request, prefix=prefix) as watch:
        watch.wait()
    return watch


@pytest.fixture
def reports(probe: BpfProbe) -> dict[str, HookReport]:
    """Return how attaching each of the test's programs went."""
    assert probe.hooks
    return {report.program: report for report in started().setups["packetloss"].hooks}


def test_hooks_without_btf_or_with_it_attach(reports: dict[str, HookReport]) -> None:
    """Raw tracepoints, tracepoints with types, and tracepoints as perf events attach on this kernel."""
    works = {name for name, report in reports.items() if report.status == "ok"}
    assert works >= {"by_raw_tp", "by_tp_btf", "by_tracepoint"}


def test_a_hook_that_cannot_be_had_has_the_errno(reports: dict[str, HookReport]) -> None:
    """What this kernel lacks is told by name with the errno; what is nowhere is told as absent."""
    for name in ("by_kprobe", "by_kretprobe", "by_fentry", "by_fexit"):
        report = reports[name]
        assert report.status == "ok" or any(word in report.detail for word in ("ENOENT", "EPERM", "EINVAL"))
    assert reports["by_missing_tracepoint"].status == "absent"
    assert "raw_tp/nobody_has_this_tracepoint: ENOENT" in reports["by_missing_tracepoint"].detail


def test_a_missing_field_without_a_guard_refuses_the_program(reports: dict[str, HookReport]) -> None:
    """A field that this kernel has not is named, and its program is not loaded; the guarded ones are."""
    report = reports["by_missing_field"]
    assert report.status == "absent"
    assert report.detail == "by_missing_field: this kernel has no struct sk_buff.nobody_has_this"
    assert reports["by_raw_tp"].status == "ok"


def test_what_the_verifier_says_is_kept(reports: dict[str, HookReport]) -> None:
    """A program that the verifier refuses has its errno, the verifier's words in the detail, and the log."""
    report = reports["by_bad_access"]
    assert report.status in {"failed", "denied"}
    assert "by_bad_access: E" in report.detail
    assert "invalid mem access" in report.log


def test_values_of_every_relocation_reach_the_program(probe: BpfProbe) -> None:
    """Sizes, offsets, shifts and enumerators of this kernel are what a program computes with."""
    assert probe.hooks
    totals = started().counts["packetloss"].totals
    seen = {total.location: total.reason for total in totals}
    assert not {100, 101, 102} & set(seen), "guarded by what this kernel has not"
    assert {1, 2, 3, 4, 7, 8, 9} <= set(seen), "there was no packet to drop"
    assert (seen[2], seen[3], seen[4], seen[7], seen[9]) == (4, 1, 1, 1, 1)
    assert 200 <= seen[1] <= 400


def test_without_tracefs_nothing_is_mounted(probe: BpfProbe) -> None:
    """Where tracefs is not mounted, tracepoints by their number are unavailable, and raw tracepoints work."""
    assert probe.hooks
    reports = {report.program: report for report in started(NO_TRACEFS).setups["packetloss"].hooks}
    assert reports["by_tracepoint"].status == "absent"
    assert "tracefs is not mounted" in reports["by_tracepoint"].detail
    assert reports["by_raw_tp"].status == "ok"


def test_a_licence_that_the_kernel_does_not_take_is_told(
    artefact: Artefact, probe: BpfProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program whose licence is not compatible with the GPL is refused with the verifier's words."""
    assert probe.hooks
    closed = replace(artefact, license="Proprietary")
    monkeypatch.setattr(program_module, "built", lambda _name, _architecture: closed)
    report = next(each for each in started().setups["packetloss"].hooks if each.program == "by_raw_tp")
    assert report.status == "failed"
    assert "GPL" in report.detail


def test_maps_of_every_kind_hold_what_is_put_in() -> None:
    """Hashes, hashes that forget, and arrays with a value for each CPU give back what was put in."""
    node = loader()
    bpf = node.Loader()
    row = {"key": 4, "value": 8, "entries": 16, "flags": 0}
    kinds = {"hash": 1, "lru": 9, "percpu": 6}
    maps = node.Maps(bpf, [{"name": name, "type": kind, **row} for name, kind in kinds.items()])
    try:
        for name in kinds:
            maps.make(name)
        for name in ("hash", "lru"):
            maps.put(name, b"key1", b"value--1")
            assert maps.items(name, 10) == [(b"key1", b"value--1")]
            assert maps.get(name, b"key2") is None
        maps.put("percpu", bytes(4), (7).to_bytes(8, "little") * maps.cpus)
        assert maps.sums("percpu") == [7 * maps.cpus] + [0] * 15
    finally:
        maps.close()


def test_the_helper_of_old_kernels_reads_as_well(probe: BpfProbe) -> None:
    """Where bpf_probe_read_kernel is not there, programs are loaded with bpf_probe_read in its place."""
    assert probe.hooks

    def old(source: str) -> str:
        return source.replace("def has_read_kernel(bpf):", "def has_read_kernel(bpf):\n    return False\n")

    with Watch(BpfRequest(("packetloss",), 1.0), change=old) as watch:
        watch.wait()
    report = next(each for each in watch.setups["packetloss"].hooks if each.program == "by_raw_tp")
    node = loader()
    code = bytearray(
        node.struct.pack("=BBhi", 0x85, 0, 0, 113) + node.struct.pack("=BBhi", 0x85, 0x10, 0, 113)
    )
    node.with_old_reads(code)
    assert report.status == "ok"
    assert [code[4], code[12]] == [4, 113], "calls of helpers only"
    assert node.has_read_kernel(node.Loader())
