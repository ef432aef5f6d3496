"""What the program that sends rounds makes of what the kernel says, tried without a kernel."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.errors import UsageError
from skoopctl.evidence.payload import sample_job
from skoopctl.evidence.request import MOST_ROUND_BYTES, SampleRequest
from skoopctl.kernel.host_facts import pod_uid
from skoopctl.kernel.netlink import decode_links
from tests.support.round_writer import SAMPLER

Outcome = SAMPLER["Outcome"]
UID = "0a6b7e3c-1f2d-4c5b-8a9e-0123456789ab"
CASES = Path(__file__).parents[1] / "kernel" / "cases"

uids = st.sampled_from([UID, UID.replace("-", "_"), UID.replace("-", ""), UID[:-1], UID.upper(), "nginx"])
parts = st.builds(
    "{}{}{}".format,
    st.sampled_from(["/", "-", "/kubepods-burstable-", "/x", ":"]),
    uids.map("pod{}".format) | st.sampled_from(["pod", "kubepods.slice", "cri-containerd-ab.scope"]),
    st.sampled_from(["", ".slice", ".scope", "/x", ":y", "z"]),
)


@given(st.lists(parts, max_size=4).map("".join))
def test_a_pods_uid_is_seen_as_the_workstation_sees_it(path: str) -> None:
    """The node program ends a path at a UID exactly where the workstation finds one, the innermost of several."""
    end = SAMPLER["pod_end"](path.encode())
    uid = pod_uid(path)
    assert bool(end) == bool(uid), path
    assert not uid or path[:end].replace("_", "-").endswith(f"pod{uid}")


@pytest.mark.parametrize(
    ("text", "line", "path", "pod"),
    [
        ("0::/init.scope\n", "0::/init.scope", "-", ""),
        (
            f"4:memory:/kubepods/burstable/pod{UID}/abc\n0::/\n",
            f"4:memory:/kubepods/burstable/pod{UID}/abc",
            f"/kubepods/burstable/pod{UID}/abc",
            f"/kubepods/burstable/pod{UID}",
        ),
        (
            f"0::/../../x-pod{UID.replace('-', '_')}.slice/cri-containerd-1.scope\n",
            f"0::/../../x-pod{UID.replace('-', '_')}.slice/cri-containerd-1.scope",
            f"/../../x-pod{UID.replace('-', '_')}.slice/cri-containerd-1.scope",
            f"/../../x-pod{UID.replace('-', '_')}",
        ),
        (
            "2:cpu:/docker/4\n1:name=systemd:/kubepods/besteffort\n",
            "1:name=systemd:/kubepods/besteffort",
            "/kubepods/besteffort",
            "/kubepods/besteffort",
        ),
        ("", "", "-", ""),
    ],
)
def test_the_cgroup_that_tells_a_pod_is_chosen(text: str, line: str, path: str, pod: str) -> None:
    """Of version 1's many lines, version 2's one and a hybrid's both, the one that is below a pod counts."""
    group = SAMPLER["Group"](text.encode())
    found = (group.line, group.path, group.pod)
    assert found == (line.encode(), path.encode(), pod.encode())


IO = "rchar: 1 wchar: 1 syscr: {0} syscw: {0} read_bytes: {0} write_bytes: {0}"


@pytest.fixture
def walk() -> Callable[..., dict[str, list[int]]]:
    """Return a function that plays one round of processes: {pid: (path, start, io)}; it returns the sums."""
    processes = SAMPLER["Processes"](True, False)
    groups: dict[str, Any] = {}

    def play(**rows: tuple[str, int, int]) -> dict[str, list[int]]:
        processes.round += 1
        processes.counts = {}
        for pid, (path, start, number) in rows.items():
            known = processes.known.get(pid)
            process = SAMPLER["Process"]()
            process.start = start
            if known is not None and known.start == start:
                process.io = known.io
            processes.known[pid] = process
            group = groups.setdefault(path, SAMPLER["Group"](f"0::{path}".encode()))
            processes.counts[group.path] = processes.counts.get(group.path, 0) + 1
            told = IO.format(number).encode()
            SAMPLER["slurp"], real = (lambda *_, told=told: told), SAMPLER["slurp"]
            try:
                processes.read_io("", process, group)
            finally:
                SAMPLER["slurp"] = real
        processes.forget_groups()
        return {path.decode(): row.split("\t")[1:] for path, row in _rows(processes)}

    def _rows(processes: Any) -> list[tuple[bytes, str]]:
        processes.io_refused = processes.hidden = processes.left_out = 0
        processes.unseen = False
        return [(line.split(b"\t")[0], line.decode()) for line in processes.io()[0].splitlines()]

    return lambda **rows: {path: [int(word) for word in words[:2]] for path, words in play(**rows).items()}


POD = f"/kubepods/pod{UID}"


def test_io_of_a_process_that_ended_stays(walk: Callable[..., dict[str, list[int]]]) -> None:
    """What a process did before it ended stays in its group's sum, and a new one is added to it."""
    assert walk(p1=(f"{POD}/a", 1, 100), p2=(f"{POD}/a", 2, 10)) == {f"{POD}/a": [2, 110]}
    assert walk(p2=(f"{POD}/a", 2, 15)) == {f"{POD}/a": [1, 115]}
    assert walk(p2=(f"{POD}/a", 2, 15), p3=(f"{POD}/a", 9, 1)) == {f"{POD}/a": [2, 116]}


def test_a_pid_that_is_used_again_does_not_make_io_jump(walk: Callable[..., dict[str, list[int]]]) -> None:
    """Another process under the same pid counts from nothing, whether its numbers are smaller or larger."""
    walk(p1=("/x", 1, 100))
    assert walk(p1=("/x", 5, 30)) == {"-": [1, 130]}
    assert walk(p1=("/x", 6, 5000)) == {"-": [1, 5130]}


def test_io_that_falls_for_a_moment_is_not_counted_twice(
    walk: Callable[..., dict[str, list[int]]],
) -> None:
    """A number that falls and comes back has not grown."""
    walk(p1=("/x", 1, 100))
    assert walk(p1=("/x", 1, 90)) == {"-": [1, 100]}
    assert walk(p1=("/x", 1, 101)) == {"-": [1, 101]}


def test_io_of_a_container_that_ended_is_its_pods(walk: Callable[..., dict[str, list[int]]]) -> None:
    """A pod whose containers end one after the other never loses what they did, in one line however many they were."""
    walk(p1=(f"{POD}/pause", 1, 1), p2=(f"{POD}/app1", 2, 50))
    want = {POD: [0, 50], f"{POD}/pause": [1, 1], f"{POD}/app2": [1, 7]}
    assert walk(p1=(f"{POD}/pause", 1, 1), p3=(f"{POD}/app2", 3, 7)) == want
    assert walk(p1=(f"{POD}/pause", 1, 1)) == {POD: [0, 57], f"{POD}/pause": [1, 1]}


def test_io_of_a_pod_that_ended_is_forgotten(walk: Callable[..., dict[str, list[int]]]) -> None:
    """A pod without processes has no line any more; what other processes did stays."""
    walk(p1=(f"{POD}/pause", 1, 1), p2=("/x", 2, 9))
    assert walk() == {"-": [0, 9]}


SOCKSTAT = "sockets: used 3\nTCP: inuse {} orphan 7 tw {} alloc 300 mem 9\nUDP: inuse 2 mem 0\n"


@pytest.mark.parametrize(
    ("texts", "can"),
    [
        ((SOCKSTAT.format(0, 0), "TCP6: inuse 0\nUDP6: inuse 1\n"), False),
        ((SOCKSTAT.format(1, 0), "TCP6: inuse 0\n"), True),
        ((SOCKSTAT.format(0, 1), "TCP6: inuse 0\n"), True),
        ((SOCKSTAT.format(0, 0), "TCP6: inuse 1\n"), True),
        ((), True),
        (("TCP6: inuse 0\n",), True),
    ],
)
def test_a_namespace_is_asked_for_sockets_unless_it_surely_has_none(
    texts: tuple[str, ...], can: bool
) -> None:
    """Sockets in use of either family and those in TIME_WAIT are a reason to ask, and so is not knowing."""
    assert SAMPLER["has_sockets"]([text.encode() for text in texts]) is can


def test_states_of_proc_net_tcp_are_summed(tmp_path: Path) -> None:
    """Of each state the sockets, both queues and those whose process has closed them."""
    head = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    )
    line = "   0: 0100007F:1F90 00000000:0000 {} {}:{} {}:00000000 00000000     0        0 {} 1 0 100\n"
    rows = [
        ("0A", "00000000", "00000005", "00", 77),
        ("01", "00000010", "00000000", "01", 78),
        ("01", "00000001", "00000002", "00", 0),
        ("04", "00000001", "00000000", "01", 0),
        ("05", "00000000", "00000000", "03", 0),
        ("06", "00000000", "00000000", "03", 0),
        ("08", "00000000", "00000003", "00", 0),
    ]
    (tmp_path / "tcp").write_text(head + "".join(line.format(*row) for row in rows))
    states = SAMPLER["States"](None)
    states.take_file(str(tmp_path / "tcp"))
    assert [row.split("\t") for row in states.text().decode().splitlines()] == [
        ["-", "1", "2", "17", "2", "0"],
        ["-", "4", "1", "1", "0", "1"],
        ["-", "5", "1", "0", "0", "0"],
        ["-", "6", "1", "0", "0", "0"],
        ["-", "8", "1", "0", "3", "0"],
        ["-", "10", "1", "0", "5", "0"],
    ]


def diag(state: int, send: int, receive: int, inode: int, cgroup: int | None = None, timer: int = 0) -> bytes:
    """Return one message of sock_diag (linux/inet_diag.h: inet_diag_msg)."""
    body = struct.pack("=BBBB48xIIIII", 2, state, timer, 0, 0, receive, send, 0, inode)
    if timer != 3:
        body += struct.pack("=HHBxxx", 5, 8, 0)
    if cgroup is not None:
        body += struct.pack("=HHQ", 12, 21, cgroup)
    return struct.pack("=IHHII", 16 + len(body), 18, 2, 1, 0) + body


DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def test_states_of_sock_diag_are_summed_for_pods_too() -> None:
    """A socket counts for its namespace and for the pod in whose cgroup it was made; a limit is no queue."""
    states = SAMPLER["States"]({5: b"/pod", 6: b"/other"})
    data = diag(1, 10, 3, 7, 5) + diag(10, 128, 2, 8, 5) + diag(1, 1, 0, 9, 99) + diag(9, 4, 0, 0, 6)
    assert states.take(data)
    assert not states.take(diag(5, 0, 0, 0, timer=3) + diag(3, 0, 0, 0) + DONE)
    assert not states.untold
    assert states.text().decode().splitlines() == [
        "-\t1\t2\t11\t3\t0",
        "-\t3\t1\t0\t0\t0",
        "-\t5\t1\t0\t0\t0",
        "-\t9\t1\t4\t0\t1",
        "-\t10\t1\t0\t2\t0",
        "/other\t9\t1\t4\t0\t1",
        "/pod\t1\t1\t10\t3\t0",
        "/pod\t10\t1\t0\t2\t0",
    ]


def test_a_kernel_that_does_not_tell_cgroups_is_noticed() -> None:
    """Sockets without the attribute, where pods are looked for, are a reason to say so."""
    states = SAMPLER["States"]({5: b"/pod"})
    states.take(diag(1, 0, 0, 7) + DONE)
    assert states.untold


def test_links_keep_what_does_not_change_by_itself() -> None:
    """Of a recorded dump every link keeps its name, kind, master and the like, and loses what it counted."""
    dump = (CASES / "netlink" / "link.bin").read_bytes()
    steady = SAMPLER["steady_links"](dump)
    kept, all_of_it = decode_links(steady), decode_links(dump)
    fields = ("index", "name", "kind", "mtu", "master", "link")
    shown = [tuple(getattr(each, field, None) for field in fields) for each in kept.entries]
    assert shown == [tuple(getattr(each, field, None) for field in fields) for each in all_of_it.entries]
    assert len(steady) < len(dump) / 4
    assert SAMPLER["steady_links"](steady) == steady


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    """Return a /sys with two RDMA devices."""
    for path, value in {
        "mlx5_0/ports/1/counters/port_rcv_data": "123\n",
        "mlx5_0/ports/1/hw_counters/out_of_buffer": "4\n",
        "mlx5_0/ports/1/state": "4: ACTIVE\n",
        "mlx5_0/ports/2/counters/port_rcv_data": "0\n",
        "mlx5_0/ports/2/counters/odd": "N/A (no PMA)\n",
        "erdma_0/ports/1/hw_counters/hw_rx_bytes_cnt": "18446744073709551615\n",
    }.items():
        file = tmp_path / "class" / "infiniband" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value)
    (tmp_path / "class/infiniband/mlx5_0/ports/2/counters/folder").mkdir()
    return tmp_path


def test_rdma_counters_are_those_of_every_port(sysfs: Path) -> None:
    """Each number of a port is one line; what is no number is left out, and what cannot be read is told."""
    payload, detail = SAMPLER["rdma_counters"](str(sysfs))
    assert payload.decode().splitlines() == [
        "erdma_0/1/hw_counters/hw_rx_bytes_cnt\t18446744073709551615",
        "mlx5_0/1/counters/port_rcv_data\t123",
        "mlx5_0/1/hw_counters/out_of_buffer\t4",
        "mlx5_0/2/counters/port_rcv_data\t0",
    ]
    assert detail == "1 counters cannot be read"


@pytest.mark.parametrize("read", ["rdma_counters", "rdma_resources"])
def test_without_an_rdma_device_nothing_is_asked(tmp_path: Path, read: str) -> None:
    """A node without devices says that there are none, and netlink is not opened: that would load a module."""
    arguments = (str(tmp_path),) if read == "rdma_counters" else (str(tmp_path), 1000, 1.0)
    with pytest.raises(Outcome) as caught:
        SAMPLER[read](*arguments)
    assert (caught.value.status, caught.value.detail) == ("absent", "no tables: there is no RDMA device")


def test_rdma_resources_are_asked_by_the_kernels_numbers(
    sysfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request is a dump of RDMA_NLDEV_CMD_RES_GET for RDMA_NL_NLDEV (uapi/rdma/rdma_netlink.h)."""
    asked: list[Any] = []

    class Socket:
        def __init__(self, protocol: int, _timeout_s: float) -> None:
            asked.append(protocol)

        def dump(self, kind: int, body: bytes, _cap: int, _what: str) -> bytes:
            asked.extend((kind, body))
            return b"reply"

        def close(self) -> None:
            asked.append("closed")

    monkeypatch.setitem(SAMPLER, "Netlink", Socket)
    assert SAMPLER["rdma_resources"](str(sysfs), 1000, 1.0) == (b"reply", "")
    assert asked == [20, 5 << 10 | 9, b"", "closed"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"items": ()},
        {"items": ("snmp", "snmp")},
        {"items": ("route",)},
        {"interval_s": 0.0},
        {"rounds": -1},
        {"lease_s": 0.5},
        {"namespaces": 0},
        {"round_bytes": MOST_ROUND_BYTES + 1},
        {"item_bytes": 1000, "round_bytes": 999},
    ],
)
def test_a_request_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    """Items that there are not, and limits that cannot be held, are refused before anybody is asked."""
    with pytest.raises(UsageError):
        SampleRequest(**({"items": ("snmp",)} | wrong))


def test_the_job_of_rounds_wants_to_hear_something_within_the_lease() -> None:
    """The heartbeat comes several times a lease, and the whole conversation may be as long as it likes."""
    asked = sample_job(SampleRequest(("snmp",), lease_s=40))
    assert asked.heartbeat_s == 10
    assert asked.max_output > 1 << 60


def test_the_program_of_rounds_is_small() -> None:
    """Command and standard input together are at most 42 KB: a node is asked once and then for months."""
    asked = sample_job(SampleRequest(("snmp",)))
    assert 10_000 < len(asked.command) + len(asked.stdin) <= 42_000


def test_what_an_item_did_not_expect_is_its_own_failure() -> None:
    """Numbers that a kernel writes in a way that the program does not know make one item fail, and no other."""
    sampler = SAMPLER["Sampler"](asdict(SampleRequest(("snmp", "netstat"))))
    sampler.item(1, "snmp", lambda _: int("three"))
    sampler.item(1, "netstat", lambda _: (b"x", ""))
    failed, fine = sampler.rounds.fresh
    assert (failed[2], failed[3][:10]) == (SAMPLER["STATUSES"].index("failed"), b"ValueError")
    assert (fine[2], fine[4]) == (SAMPLER["STATUSES"].index("ok"), b"x")


def test_a_kernel_without_io_of_processes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc/PID/io does not exist the item is absent, not empty."""
    monkeypatch.setitem(SAMPLER, "kind_of", lambda _: 0)
    walk = SAMPLER["Processes"](True, False)
    with pytest.raises(Outcome) as caught:
        walk.io()
    assert caught.value.status == "absent"
