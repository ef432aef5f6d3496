"""The node program's IPVS items, against a kernel that is played: this one has no IPVS."""

from __future__ import annotations

import os
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from skoopctl.evidence.payload import program_source
from skoopctl.evidence.request import Request
from skoopctl.kernel.netlink import decode_ipvs
from tests.unit.kernel.test_ipvs import (
    MARK_SERVICE,
    SERVER,
    TCP_SERVICE,
    TUNNEL,
    end,
    message,
    server,
    service,
)

FAMILY = 0x24


@cache
def program() -> dict[str, Any]:
    """Return the node program's names, without running it."""
    names: dict[str, Any] = {}
    exec(compile(program_source(Request()).rpartition("main(")[0], "program", "exec"), names)  # noqa: S102
    return names


class PlayedKernel:
    """Answers as generic netlink does, and keeps what it was asked."""

    def __init__(self, answers: list[list[bytes]]) -> None:
        self.answers = answers
        self.asked: list[tuple[int, int, bytes]] = []
        self.waiting: list[bytes] = []

    def send(self, data: bytes) -> None:
        """Take a request."""
        _, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data)
        self.asked.append((kind, flags, data[16:]))
        self.waiting = [renumbered(part, sequence) for part in self.answers.pop(0)]

    def recv_into(self, buffer: bytearray) -> int:
        """Give the next datagram."""
        data = self.waiting.pop(0)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Nothing to close."""


def renumbered(data: bytes, sequence: int) -> bytes:
    """Give the messages of a datagram the sequence number of the request."""
    parts, offset = [], 0
    while offset + 16 <= len(data):
        length, kind, flags, _, port = struct.unpack_from("=IHHII", data, offset)
        whole = (length + 3) & ~3
        parts.append(
            struct.pack("=IHHII", length, kind, flags, sequence, port) + data[offset + 16 : offset + whole]
        )
        offset += whole
    return b"".join(parts)


def family_answer() -> bytes:
    """Return what CTRL_CMD_GETFAMILY answers."""
    return message(0, 16, struct.pack("=BBxx", 1, 2) + struct.pack("=HHHxx", 6, 1, FAMILY))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[PlayedKernel]:
    """Play the kernel for every netlink socket that the program opens."""
    kernels: list[PlayedKernel] = []
    answers = [
        [family_answer()],
        [service(0, *TCP_SERVICE) + service(0, *MARK_SERVICE), end(0)],
        [server(0, *SERVER), end(0)],
        [server(0, *TUNNEL) + end(0)],
    ]

    def opened(netlink: Any) -> None:
        netlink.socket = PlayedKernel(answers)
        kernels.append(netlink.socket)

    monkeypatch.setattr(program()["Netlink"], "open", opened)
    return kernels


def unpacked(payload: Any) -> bytes:
    """Return a payload's bytes."""
    flags, body = payload.finish()
    return zlib.decompressobj(program()["WINDOW"]).decompress(body) if flags else body


def test_services_and_their_servers_are_asked_for_in_turn(played: list[PlayedKernel]) -> None:
    """One dump of services, then one of servers each, named by what the kernel finds a service by."""
    payload, detail = program()["ipvs_dump"](1 << 20, 5)
    found = decode_ipvs(unpacked(payload))
    assert (found.problem, detail) == ("", "")
    assert [len(s.servers) for s in found.services] == [1, 1]
    family, services, first, second = played[0].asked
    assert family[0] == 16
    assert b"IPVS\0" in family[2]
    assert (services[0], services[1] & 0x300, services[2][0]) == (FAMILY, 0x300, 4)
    assert first[2][0] == second[2][0] == 8
    assert first[2][8:] == b"".join(TCP_SERVICE[:4])
    assert second[2][8:] == b"".join(MARK_SERVICE[:2])
    length, kind = struct.unpack_from("=HH", first[2], 4)
    assert (length, kind) == (len(first[2]) - 4, 0x8001)


@pytest.mark.usefixtures("played")
def test_more_services_than_are_asked_for_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its limit the program leaves the servers to /proc, and says of how many services."""
    monkeypatch.setitem(program(), "SERVICES_ASKED", 1)
    with pytest.raises(program()["Outcome"]) as caught:
        program()["ipvs_dump"](1 << 20, 5)
    assert (caught.value.status, caught.value.detail) == (
        "truncated",
        "the servers of 1 services were not asked for",
    )
    found = decode_ipvs(unpacked(caught.value.payload))
    assert len(found.services) == 1
    assert found.problem == "the servers of 1 services were not read"


def test_only_templates_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of a long list of connections only the lines with no client port travel."""
    head = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n"
    line = "TCP 0AF4010B {} 0A600A07 0050 0AF4010A 1F90 {:11s} {:7d}\n"
    text = head + "".join(line.format(f"{n % 3:04X}", "NONE", n) for n in range(9000))
    file = tmp_path / "ip_vs_conn"
    file.write_text(text)
    real = os.open
    monkeypatch.setattr("posix.open", lambda _path, flags: real(file, flags))
    payload, _ = program()["ipvs_templates"](1 << 20)
    kept = unpacked(payload).decode().splitlines()
    assert len(kept) == 3000
    assert all(kept_line.split()[2] == "0000" for kept_line in kept)
    monkeypatch.setitem(program(), "TEMPLATES_READ", 1 << 16)
    with pytest.raises(program()["Outcome"]) as caught:
        program()["ipvs_templates"](1 << 20)
    assert caught.value.status == "truncated"
