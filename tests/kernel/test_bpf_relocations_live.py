"""Instructions that depend on the kernel's types: ours are libbpf's, one by one."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from bpf.build import sources
from skoopctl.bpf.artefact import Artefact
from tests.support.bpf_loader import KERNEL_TYPES, built_for_test, loader, needs_clang, needs_kernel_types

pytestmark = [
    pytest.mark.lab,
    needs_clang,
    needs_kernel_types,
    pytest.mark.skipif(os.geteuid() != 0, reason="bpftool loads the objects: needs root"),
    pytest.mark.skipif(shutil.which("bpftool") is None, reason="no bpftool (.ci/packages --tests)"),
]

SOURCES = [*sources(), Path(__file__).with_name("hooks.bpf.c")]
_PATCHED = re.compile(r"prog '(\w+)': relo #(\d+): patched insn #(\d+) \(\S+\) \w+ -?\d+ -> (-?\d+)")
_POISONED = re.compile(r"prog '(\w+)': relo #(\d+): substituting insn #(\d+) w/ invalid insn")
POISONED = "poisoned"
Found = dict[tuple[str, int], tuple[int, int | str]]
"""By program and number of the relocation: the instruction, and the number in it."""


def libbpf(target: Path) -> Found:
    """Return what libbpf puts in, by its debug output; whether the kernel then takes the programs does not matter."""
    words = ["bpftool", "-d", "prog", "loadall", str(target), f"/sys/fs/bpf/never-{os.getpid()}"]
    # In a mount namespace of its own: what it pins goes with that.
    alone = ["unshare", "-m", "sh", "-c", 'mount -t bpf bpf /sys/fs/bpf && exec "$@"', "sh", *words]
    said = subprocess.run(alone, capture_output=True, text=True, check=False)
    text = said.stdout + said.stderr
    found: Found = {
        (name, int(relo)): (int(at), int(value)) for name, relo, at, value in _PATCHED.findall(text)
    }
    found.update({(name, int(relo)): (int(at), POISONED) for name, relo, at in _POISONED.findall(text)})
    return found


def ours(artefact: Artefact) -> Found:
    """Return what the node's loader puts in."""
    node = loader()
    plain = artefact.plain()
    types = node.KernelTypes(KERNEL_TYPES.read_bytes(), node.names_of_artefact(plain))
    found: Found = {}
    for program in plain["programs"]:
        code = node.decoded(program["code"])
        done = node.Relocated(program, types, code)
        for number, field in enumerate(program["fields"]):
            missing = node.POISON + number in done.missing
            value: int | str = POISONED if missing else number_in(bytes(code), field[0])
            found[program["name"], number] = field[0], value
    return found


def number_in(code: bytes, where: int) -> int:
    """Return the offset or the immediate of an instruction."""
    operation, _, offset, immediate = struct.unpack_from("=BBhi", code, 8 * where)
    if operation == 0x18:
        high = struct.unpack_from("=I", code, 8 * where + 12)[0]
        return int(immediate & 0xFFFFFFFF | high << 32)
    return int(offset if operation & 7 in {1, 2, 3} else immediate)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name.partition(".")[0])
def test_every_relocation_is_libbpfs(source: Path, tmp_path: Path) -> None:
    """For each instruction that wants something of this kernel's types we put in what libbpf puts in."""
    target, artefact = built_for_test(source, tmp_path)
    expected = libbpf(target)
    assert len(expected) == sum(len(program.fields) for program in artefact.programs)
    assert ours(artefact) == expected


def test_what_the_kernel_knows_of_a_program_is_read_where_it_is() -> None:
    """Runs, their time, and how often a program was not run stand in bpf_prog_info where this kernel puts them."""
    words = ["bpftool", "btf", "dump", "file", str(KERNEL_TYPES), "format", "raw"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    (fields,) = re.findall(r"STRUCT 'bpf_prog_info' .*\n((?:\t.*\n)+)", said)
    at = {name: int(bits) // 8 for name, bits in re.findall(r"'(\w+)' type_id=\d+ bits_offset=(\d+)", fields)}
    node = loader()
    wanted = (node.RUN_COUNT_AT, node.RUN_TIME_AT, node.MISSED_AT)
    assert wanted == (at["run_cnt"], at["run_time_ns"], at["recursion_misses"])
    assert node.MISSED_AT + 8 <= node.INFO_BYTES
