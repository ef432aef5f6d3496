"""What the node program does not ask for, and what it makes of a kernel that changes or refuses meanwhile."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skoopctl.evidence.payload import program_source
from skoopctl.evidence.request import Request

PROGRAM: dict[str, Any] = {}
exec(program_source(Request()).rpartition("\nmain(")[0], PROGRAM)  # noqa: S102 - the program, without its call
Outcome = PROGRAM["Outcome"]


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the modules of a kernel that can load some: ip_tables is loaded, nf-conntrack built in."""
    (tmp_path / "modules.builtin").write_text("kernel/net/netfilter/nf-conntrack.ko\n")
    made = PROGRAM["Modules"]()
    made.text = b"ip_tables 32768 0 - Live 0x0\nx_tables 1 1 ip_tables, Live 0x0\n"
    made.folder = str(tmp_path)
    monkeypatch.setattr(made, "can_load", lambda: True)
    return made


@pytest.mark.parametrize("name", ["ip_tables", "x_tables", "nf_conntrack"])
def test_what_is_there_may_be_asked(modules: Any, name: str) -> None:
    """A module that is loaded or built in is asked freely."""
    modules.require(name)
    assert modules.is_asked_freely(name)


@pytest.mark.parametrize("name", ["tables", "no_such_table", "Live"])
def test_what_would_be_loaded_is_not_asked(modules: Any, name: str) -> None:
    """A module that could be loaded but is not means that there are no tables, and is not asked."""
    assert not modules.is_asked_freely(name)
    with pytest.raises(Outcome) as caught:
        modules.require(name)
    assert caught.value.status == "absent"
    assert caught.value.detail == f"no tables: module {name} is not loaded"


def test_when_it_cannot_be_known_that_is_said(modules: Any, tmp_path: Path) -> None:
    """Without modules.builtin nobody knows whether something is built in: unreadable, never 'no tables'."""
    (tmp_path / "modules.builtin").unlink()
    with pytest.raises(Outcome) as caught:
        modules.require("no_such_table")
    assert caught.value.detail.startswith("unreadable:")


def test_a_kernel_that_loads_nothing_is_asked_freely(modules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no module can be loaded, looking cannot load one."""
    monkeypatch.setattr(modules, "can_load", lambda: False)
    assert modules.is_asked_freely("no_such_table")
    modules.require("no_such_table")  # raises where it may not be asked


def message(kind: int, sequence: int, body: bytes = b"", flags: int = 2) -> bytes:
    """Return a netlink message."""
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body


class Kernel:
    """Answers dumps with scripted datagrams."""

    def __init__(self, *dumps: list[bytes]) -> None:
        self.dumps: Iterator[list[bytes]] = iter(dumps)
        self.waiting: list[bytes] = []
        self.asked = 0

    def send(self, data: bytes) -> None:
        """Take a request; its sequence number is put into the answers."""
        self.asked += 1
        sequence = struct.unpack_from("=I", data, 8)[0]
        self.waiting = [each[:8] + struct.pack("=I", sequence) + each[12:] for each in next(self.dumps)]

    def recv_into(self, buffer: bytearray) -> int:
        """Give the next datagram."""
        data = self.waiting.pop(0)
        buffer[: len(data)] = data
        return len(data)


def netlink(*dumps: list[bytes]) -> Any:
    """Return a netlink client that talks to scripted dumps."""
    client = PROGRAM["Netlink"](0, 1)
    client.close()
    client.socket = Kernel(*dumps)
    return client


WHOLE = [message(24, 0, b"a" * 4), message(3, 0, b"\0" * 4)]
TORN = [message(24, 0, b"b" * 4, flags=2 | 0x10), message(3, 0, b"\0" * 4)]


def test_torn_dump_is_asked_again() -> None:
    """A dump during which the table changed is thrown away and asked for again."""
    client = netlink(TORN, TORN, WHOLE)
    data = client.dump(26, b"", 1000, "route")
    assert b"aaaa" in data
    assert b"bbbb" not in data
    assert client.socket.asked == 3


def test_dump_that_never_stands_still_is_truncated() -> None:
    """A table that changes during every attempt is truncated, keeps the last attempt, and says so."""
    with pytest.raises(Outcome) as caught:
        netlink(*[TORN] * 9).dump(26, b"", 1000, "route")
    assert caught.value.status == "truncated"
    assert "changed while it was read" in caught.value.detail
    assert b"bbbb" in caught.value.payload.finish()[1]


def test_torn_mark_on_any_message_counts() -> None:
    """The mark is looked for on every message: the kernel sets it once."""
    torn = [message(24, 0, flags=2 | 0x10) + message(24, 0, b"c" * 4), message(3, 0, b"\0" * 4)]
    assert b"aaaa" in netlink(torn, WHOLE).dump(26, b"", 1000, "route")


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.EPERM, "denied"),
        (errno.EACCES, "denied"),
        (errno.EOPNOTSUPP, "absent"),
        (errno.EINVAL, "failed"),
    ],
)
@pytest.mark.parametrize("kind", [2, 3], ids=["error", "done"])
def test_kernel_errors_become_statuses(number: int, status: str, kind: int) -> None:
    """An error, at the start or at the end of a dump, becomes the item's status with its name."""
    with pytest.raises(Outcome) as caught:
        netlink([message(24, 0), message(kind, 0, struct.pack("=i", -number))]).dump(26, b"", 1000, "route")
    assert caught.value.status == status
    assert errno.errorcode[number] in caught.value.detail


def test_dump_over_the_cap_keeps_whole_datagrams() -> None:
    """A dump larger than the cap is cut between datagrams and named."""
    many = [message(24, 0, bytes([number]) * 100) for number in range(9)]
    client = netlink([*many, message(3, 0, b"\0" * 4)])
    client.socket.close = lambda: None
    with pytest.raises(Outcome) as caught:
        client.dump(26, b"", 250, "route")
    assert caught.value.status == "truncated"
    assert len(caught.value.payload.finish()[1]) == 232
    client.close()


def netfilter(modules: Any) -> Any:
    """Return what asks for netfilter's tables and sets."""
    return PROGRAM["Netfilter"](modules, 1 << 20, 5.0, lambda: 5.0)


def test_sets_are_not_asked_for_without_their_module(modules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening the netlink family of ipset could load its module; so it is not opened, in any namespace."""
    monkeypatch.setitem(PROGRAM, "Netlink", None)
    monkeypatch.setattr(modules, "is_here", lambda _name: False)
    made = netfilter(modules)
    for _ in range(2):
        with pytest.raises(Outcome) as caught:
            made.ipset()
        assert (caught.value.status, caught.value.detail) == (
            "absent",
            "no tables: module ip_set is not loaded",
        )
        monkeypatch.setattr(modules, "is_here", lambda _name: True)  # asked once for all namespaces


@pytest.mark.parametrize(
    ("number", "status", "detail"),
    [
        (errno.EINVAL, "absent", "no tables: this kernel has no ipset"),
        (errno.EPERM, "denied", "ipset: EPERM, root is needed"),
        (4097, "failed", "ipset: 4097"),
    ],
)
def test_what_the_kernel_says_of_sets(
    modules: Any, monkeypatch: pytest.MonkeyPatch, number: int, status: str, detail: str
) -> None:
    """A kernel without ipset has no sets; other refusals are told as they are."""

    class Refusing:
        def __init__(self, *_: object) -> None: ...

        def dump(self, *_: object) -> bytes:
            raise PROGRAM["from_errno"](number, "ipset")

        def close(self) -> None: ...

    modules.text = b"ip_set 49152 0 - Live 0x0\n"
    monkeypatch.setitem(PROGRAM, "Netlink", Refusing)
    with pytest.raises(Outcome) as caught:
        netfilter(modules).ipset()
    assert (caught.value.status, caught.value.detail) == (status, detail)
