"""The built programs: what clang makes of the sources today, how large they are, and what objects are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bpf.build import build, compile_object, sources
from skoopctl.bpf.artefact import ARCHITECTURES, GPL_COMPATIBLE, built, from_json
from skoopctl.bpf.catalogue import PROBES
from skoopctl.bpf.lowering import lower
from skoopctl.bpf.rendering import rendered
from skoopctl.errors import BpfObjectError
from tests.support.bpf_loader import needs_clang

HERE = Path(__file__).parents[3] / "bpf"
REMOTE = HERE.parent / "remote"
NAMES = [probe.name for probe in PROBES.values() if probe.is_bpf]
PAIRS = [(name, architecture) for name in NAMES for architecture in ARCHITECTURES]
MOST_INSTRUCTIONS = 4096
"""What kernels before 5.2 take."""


@needs_clang
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", sources(), ids=lambda path: path.name)
def test_building_again_gives_what_is_committed(
    source: Path, architecture: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The committed programs are those of the sources, byte for byte; otherwise: make bpf."""
    name = source.name.removesuffix(".bpf.c")
    committed = (HERE / "built" / architecture / f"{name}.json").read_text(encoding="utf-8")
    record_property("counted", f"{architecture}/{name}: {len(committed)} bytes")
    assert build(source, architecture, tmp_path) == committed


@pytest.mark.parametrize("name", NAMES)
def test_texts_for_bcc_are_without_what_only_clang_knows(name: str) -> None:
    """What BCC gets has maps in its own words, and neither sections, nor rings, nor hooks that take BTF."""
    text = rendered(name, HERE)
    assert "totals.lookup(" in text
    assert "perf.perf_submit(ctx, " in text
    assert not re.search(r"SEC\(|__ksym|bpf_ringbuf|fentry|//", text)


def test_every_probe_is_built_and_nothing_else() -> None:
    """Sources, probes by eBPF and built files are the same names, for both architectures."""
    assert {path.name.removesuffix(".bpf.c") for path in sources()} == set(NAMES)
    there = {(path.stem, path.parent.name) for path in (HERE / "built").glob("*/*.json")}
    assert there == set(PAIRS)


@pytest.mark.parametrize(("name", "architecture"), PAIRS)
def test_what_is_built_is_what_probes_name(name: str, architecture: str) -> None:
    """Each program of a probe's hooks is built, each built one is used, and old kernels take it."""
    artefact = built(name, architecture)
    wanted = {program for hook in PROBES[name].hooks for each in hook.alternatives for program in each}
    assert {program.name for program in artefact.programs} == wanted
    assert artefact.license in GPL_COMPATIBLE
    assert max(len(program.code) // 8 for program in artefact.programs) <= MOST_INSTRUCTIONS
    assert from_json(artefact.to_json()) == artefact


def test_an_architecture_that_is_not_built_is_told() -> None:
    """A node of another architecture gets one line with those that there are."""
    with pytest.raises(
        BpfObjectError, match=r"no built eBPF program packetloss for riscv64.*x86_64, aarch64"
    ):
        built("packetloss", "riscv64")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"schema": "skoopctl.bpf/2"}', '{"schema": "skoopctl.bpf/1"}']
)
def test_what_is_no_artefact_is_refused(text: str) -> None:
    """A file that is not a built program is one error."""
    with pytest.raises(BpfObjectError):
        from_json(text)


REFUSED = {
    "GPL": 'SEC("raw_tp/x") int f(u64 *c) { return 0; } char L[] SEC("license") = "Proprietary";',
    "refers to": 'int g; SEC("raw_tp/x") int f(u64 *c) { return g; } char L[] SEC("license") = "GPL";',
    "is not one program": 'SEC("socket") int f(u64 *c) { return 0; } char L[] SEC("license") = "GPL";',
    "element of an array": 'SEC("raw_tp/x") int f(struct sock_common *c) '
    "{ return bpf_core_field_offset(c[1].skc_num); } "
    'char L[] SEC("license") = "GPL";',
}


@needs_clang
@pytest.mark.parametrize("said", REFUSED)
def test_what_no_loader_could_do_is_refused_when_it_is_built(said: str, tmp_path: Path) -> None:
    """A closed licence, global data, unknown sections and fields behind an index are refused by name."""
    source = tmp_path / "bad.bpf.c"
    source.write_text(f'#include "{HERE}/kernel.h"\n{REFUSED[said]}\n', encoding="utf-8")
    target = tmp_path / "bad.o"
    compile_object(source, "x86_64", target)
    with pytest.raises(BpfObjectError, match=said):
        lower(target.read_bytes(), "bad", "x86_64")


@needs_clang
def test_what_clang_refuses_is_told(tmp_path: Path) -> None:
    """An error of the compiler is shown with the source's name."""
    source = tmp_path / "bad.bpf.c"
    source.write_text("not C\n", encoding="utf-8")
    with pytest.raises(BpfObjectError, match=r"bad\.bpf\.c: clang refuses it"):
        compile_object(source, "x86_64", tmp_path / "bad.o")


@cache
def _object() -> bytes:
    """Return a whole object."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "object.o"
        compile_object(HERE / "tcpretrans.bpf.c", "x86_64", target)
        return target.read_bytes()


@needs_clang
@given(st.integers(0, 40_000), st.binary(min_size=1, max_size=6))
@example(42, b"\0\0\0\0\0\x80")
def test_damaged_objects_are_one_error(at: int, noise: bytes) -> None:
    """An object with other bytes in it, or cut, is lowered or refused with one kind of error."""
    whole = _object()
    for damaged in (whole[:at] + noise + whole[at + len(noise) :], whole[:at]):
        try:
            artefact = lower(damaged, "it", "x86_64")
        except BpfObjectError:
            continue
        assert artefact.name == "it"
