"""What the node program does for the doctor alone, and that nobody else gets it."""

from __future__ import annotations

import errno
import json
import struct
import sys
import zlib
from functools import cache
from typing import Any

import pytest

from skoopctl.evidence.payload import job, program_source
from skoopctl.evidence.request import DOCTOR_ITEMS, HOST_ITEMS, NETNS_ITEMS, Request

ASKED = Request(items=("identity", *DOCTOR_ITEMS))


@cache
def program() -> dict[str, Any]:
    """Return the names of the node program with the doctor's file, without running it."""
    names: dict[str, Any] = {}
    exec(compile(program_source(ASKED).rpartition("main(")[0], "program", "exec"), names)  # noqa: S102
    return names


class PlayedProgram:
    """What the doctor's readers need of a program."""

    def __init__(self, modules: set[str]) -> None:
        self.cap = 1 << 20
        self.modules = self
        self.here = modules

    def is_asked_freely(self, name: str) -> bool:
        """Tell whether a module may be asked."""
        return name in self.here

    def before_program(self) -> float:
        """Return the seconds that are left."""
        return 5.0


def decoded(answer: Any) -> Any:
    """Return what a reader's payload says."""
    flags, body = answer[0].finish()
    return json.loads(zlib.decompress(body) if flags else body)


def test_collecting_does_not_carry_it() -> None:
    """What collect and diagnose send has nothing of the doctor's file, whatever they ask for by name."""
    for items in (None, HOST_ITEMS + NETNS_ITEMS):
        assert "ebpf_self_test" not in program_source(Request(items=items))
    assert "ebpf_self_test" in program_source(ASKED)


def test_everything_has_a_name_in_the_request() -> None:
    """The items that the file reads are those that can be asked for."""
    made = program()["Program"]
    assert {name for name, _ in made.netns_extras + made.host_extras} == set(DOCTOR_ITEMS)
    assert not set(DOCTOR_ITEMS) & set(HOST_ITEMS + NETNS_ITEMS)


def test_it_fits_the_wire() -> None:
    """With the doctor's file, command and standard input stay below 60 KB."""
    asked = job(ASKED)
    assert len(asked.command) + len(asked.stdin) < 60_000


@pytest.mark.parametrize(
    "here", [set(), {"nfnetlink", "ip_set", "nf_conntrack_netlink", "ip_vs"}], ids=["none", "all"]
)
def test_tools_that_could_load_modules_are_not_started(
    monkeypatch: pytest.MonkeyPatch, here: set[str]
) -> None:
    """nft, ipset, conntrack and ipvsadm are started only where their modules are; sudo and doas never."""
    started = []

    def version_of(argv: list[str], _left_s: float) -> tuple[str, str]:
        started.append(argv[0])
        return "1.0", ""

    monkeypatch.setitem(program(), "find_program", lambda name: name)
    monkeypatch.setitem(program(), "version_of", version_of)
    found = decoded(program()["tools"](PlayedProgram(here)))
    guarded = {"nft", "ipset", "conntrack", "ipvsadm"}
    assert set(found) == {row[0] for row in program()["TOOLS"]}
    assert guarded & set(started) == (guarded if here else set())
    assert not {"sudo", "doas"} & set(started)
    if not here:
        assert found["ipvsadm"]["problem"] == "not started: module ip_vs is not loaded"


class PlayedBpf:
    """A kernel that refuses one command, and counts what is open."""

    def __init__(self, refused: int | None) -> None:
        self.refused = refused
        self.open: list[int] = []
        self.next = 1000

    def call(self, command: int, _attr: bytearray) -> int:
        """Return a new descriptor, or refuse."""
        if command == self.refused:
            raise OSError(errno.EINVAL, "bpf")
        self.next += 1
        self.open.append(self.next)
        return self.next

    def address(self, _buffer: bytearray) -> int:
        """Return some address."""
        return 1


@pytest.mark.parametrize(
    ("refused", "steps"),
    [
        (None, {"map": "ok", "load": "ok", "attach": "ok"}),
        (0, {"map": "EINVAL", "load": "ok", "attach": "ok"}),
        (5, {"map": "ok", "load": "EINVAL", "attach": "not tried"}),
        (17, {"map": "ok", "load": "ok", "attach": "EINVAL"}),
    ],
)
def test_the_self_test_closes_what_it_opened(
    monkeypatch: pytest.MonkeyPatch, refused: int | None, steps: dict[str, str]
) -> None:
    """Whichever step fails is named, and every descriptor is closed again."""
    played = PlayedProgram(set())
    played.bpf = PlayedBpf(refused)  # type: ignore[attr-defined]
    monkeypatch.setattr(program()["posix"], "close", played.bpf.open.remove)  # type: ignore[attr-defined]
    assert decoded(program()["ebpf_self_test"](played)) == steps
    assert played.bpf.open == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(("order", "registers"), [("little", 0xA1), ("big", 0x1A)])
def test_instructions_are_in_the_machine_s_order(
    monkeypatch: pytest.MonkeyPatch, order: str, registers: int
) -> None:
    """The two registers of an instruction share a byte as in struct bpf_insn (linux/bpf.h)."""
    monkeypatch.setattr(sys, "byteorder", order)
    made = program()["instructions"](((0xBF, 1, 10, -8),))
    assert struct.unpack("=BBhi", made) == (0xBF, registers, 0, -8)
