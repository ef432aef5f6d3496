"""Numbers that depend on a kernel's types, on kernels that never were; and types that are no types."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.bpf_loader import loader
from tests.support.kernel_types import PTR, TYPEDEF, UNION, TypesWriter

NODE = loader()
OFFSET, SIZE, EXISTS, SIGNED, LEFT, RIGHT = range(6)
TYPE_ID, TYPE_EXISTS, TYPE_SIZE, VALUE_EXISTS, VALUE = 7, 8, 9, 10, 11


def resolved(writer: TypesWriter, kind: int, type_name: str, path: str = "", size: int = 0) -> object:
    """Return what the loader makes of one relocation."""
    types = NODE.KernelTypes(writer.raw, {type_name.partition(" ")[2]})
    return NODE.resolve(types, kind, type_name, path, size)


@pytest.fixture
def kernel() -> TypesWriter:
    """Return a kernel with a packet whose device is in two structs without names, behind a qualifier."""
    made = TypesWriter()
    u8, u32, s32 = made.int("u8", 1), made.int("u32", 4), made.int("s32", 4, signed=True)
    inner = made.struct("", 16, ("next", made.pointer(), 0), ("dev", made.pointer(), 64))
    outer = made.struct("", 16, ("", inner, 0), ("rbnode", u32, 0), kind=UNION)
    alias = made.add("outer_t", TYPEDEF, outer)
    made.struct(
        "sk_buff",
        80,
        *(("", alias, 64), ("len", u32, 256), ("balance", s32, 288)),
        *(("cb", made.array(u32, 4), 320), ("bits", u8, 460, 3)),
    )
    made.enum("reason", NONE=0, LOST=7, WORSE=-2)
    made.enum64("wide", HUGE=1 << 40)
    made.add("btf_trace_it", TYPEDEF, made.add("", PTR, made.prototype(4)))
    return made


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        (OFFSET, "dev:p", 16),
        (SIZE, "dev:p", 8),
        (OFFSET, "len:i", 32),
        (SIGNED, "len:i", 0),
        (SIGNED, "balance:i", 1),
        (OFFSET, "cb:ai/[3]", 52),
        (SIZE, "cb:ai/[3]", 4),
        (SIZE, "cb:ai", 16),
        (OFFSET, "bits:i", 57),
        (SIZE, "bits:i", 1),
        (LEFT, "bits:i", 64 - 4 - 3),
        (RIGHT, "bits:i", 61),
        (EXISTS, "dev:p", 1),
        (EXISTS, "nothing:p", 0),
        (EXISTS, "dev:i", 0),
        (EXISTS, "cb:ap", 0),
        (EXISTS, "cb:ai/[4]", 0),
    ],
)
def test_fields_are_found_where_they_are(kernel: TypesWriter, kind: int, path: str, expected: int) -> None:
    """Offsets, sizes, signs, shifts and existence of fields, in structs without names, arrays and bitfields."""
    assert resolved(kernel, kind, "struct sk_buff", path) == expected


def test_a_bitfield_over_two_bytes_is_read_wider() -> None:
    """A bitfield that crosses the border of its type is read with the next larger type."""
    made = TypesWriter()
    made.struct("s", 4, ("wide", made.int("u8", 1), 6, 5))
    assert [resolved(made, kind, "struct s", "wide:i") for kind in (OFFSET, SIZE, LEFT, RIGHT)] == [
        0,
        2,
        53,
        59,
    ]


def test_what_is_missing_is_missing(kernel: TypesWriter) -> None:
    """A field, a struct or an enumerator that is not there has no number."""
    assert resolved(kernel, OFFSET, "struct sk_buff", "nothing:p") is NODE.MISSING
    assert resolved(kernel, OFFSET, "struct sock", "len:i") is NODE.MISSING
    assert resolved(kernel, VALUE, "enum reason", "BETTER") is NODE.MISSING
    assert resolved(kernel, OFFSET, "struct sk_buff", "dev:i") is NODE.MISSING


def test_types_and_enumerators(kernel: TypesWriter) -> None:
    """Types exist or not and have sizes; enumerators have the kernel's values, negative and wide ones too."""
    assert resolved(kernel, TYPE_EXISTS, "struct sk_buff") == 1
    assert resolved(kernel, TYPE_EXISTS, "union sk_buff") == 0
    assert resolved(kernel, TYPE_SIZE, "struct sk_buff") == 80
    assert resolved(kernel, TYPE_SIZE, "struct sock") == 0
    assert resolved(kernel, VALUE, "enum reason", "LOST") == 7
    assert resolved(kernel, VALUE, "enum reason", "WORSE") == -2
    assert resolved(kernel, VALUE, "enum wide", "HUGE") == 1 << 40
    assert resolved(kernel, VALUE_EXISTS, "enum reason", "BETTER") == 0


def test_a_field_of_another_size_is_refused(kernel: TypesWriter) -> None:
    """A program that reads four bytes of what has eight here is refused by name, not given half of it."""
    with pytest.raises(NODE.Outcome) as caught:
        resolved(kernel, OFFSET, "struct sk_buff", "dev:p", size=4)
    assert caught.value.detail == "struct sk_buff.dev has another size in this kernel: 8 bytes, not 4"


def test_two_types_that_disagree_are_refused(kernel: TypesWriter) -> None:
    """Where two structs of one name have the field at different places, nobody guesses."""
    kernel.struct("sk_buff", 80, ("len", 2, 0))
    with pytest.raises(NODE.Outcome, match="failed") as caught:
        resolved(kernel, OFFSET, "struct sk_buff", "len:i")
    assert "ambiguous" in caught.value.detail


def test_arity_of_tracepoints(kernel: TypesWriter) -> None:
    """A tracepoint's own first parameter is not counted; without a prototype the arity is not known."""
    types = NODE.KernelTypes(kernel.raw, {"btf_trace_it", "btf_trace_other"})
    assert (types.arity("it"), types.arity("other")) == (3, None)


def test_reasons_have_the_names_of_this_kernel(kernel: TypesWriter) -> None:
    """An enumeration's names are read from the kernel, by their values."""
    types = NODE.KernelTypes(kernel.raw, {"reason"})
    assert types.names_of("reason") == {0: "NONE", 7: "LOST", -2: "WORSE"}


def instruction(operation: int, offset: int = 0, immediate: int = 0) -> bytes:
    """Return one instruction."""
    return struct.pack("=BBhi", operation, 0x10, offset, immediate)


@pytest.mark.parametrize(
    ("code", "value", "expected"),
    [
        (instruction(0x79), 16, instruction(0x79, offset=16)),
        (instruction(0x07), -3, instruction(0x07, immediate=-3)),
        (instruction(0xB7), 9, instruction(0xB7, immediate=9)),
        (
            instruction(0x18) + instruction(0),
            5 << 32 | 7,
            instruction(0x18, immediate=7) + instruction(0, immediate=5),
        ),
    ],
)
def test_numbers_go_where_instructions_have_them(code: bytes, value: int, expected: bytes) -> None:
    """Loads have offsets, arithmetic has immediates, and the wide load has two halves."""
    made = bytearray(code)
    NODE.patch(made, 0, value)
    assert bytes(made) == expected


def test_a_relocation_of_anything_else_is_refused() -> None:
    """A jump has no place for a number."""
    with pytest.raises(NODE.Outcome):
        NODE.patch(bytearray(instruction(0x05)), 0, 1)


def test_what_is_missing_becomes_a_call_that_no_kernel_has(kernel: TypesWriter) -> None:
    """A missing field poisons its instruction, both halves of a wide one, and is kept by name."""
    types = NODE.KernelTypes(kernel.raw, {"sk_buff", "reason"})
    fields = [[0, OFFSET, "struct sk_buff", "nothing:p", 8], [1, VALUE, "enum reason", "BETTER", 0]]
    code = bytearray(instruction(0x07) + instruction(0x18) + instruction(0))
    done = NODE.Relocated({"fields": fields}, types, code)
    assert [code[at] for at in (0, 8, 16)] == [0x85] * 3
    assert set(done.missing.values()) == {"struct sk_buff.nothing", "enum reason.BETTER"}


@example(tail=b"", at=13, noise=b"\x01")
@example(tail=b"", at=57, noise=b"\x01")
@given(st.binary(max_size=300), st.integers(0, 200), st.binary(min_size=1, max_size=8))
def test_damaged_types_are_one_outcome(tail: bytes, at: int, noise: bytes) -> None:
    """Types that are cut, or have other bytes in them, give an outcome or types, never another error."""
    made = TypesWriter()
    made.struct("s", 4, ("a", made.int("u32", 4), 0))
    raw = made.raw
    for damaged in (tail, raw[:at], raw[:at] + noise + raw[at + len(noise) :], raw[:24] + tail):
        try:
            types = NODE.KernelTypes(damaged, {"s"})
            found = NODE.resolve(types, OFFSET, "struct s", "a:i", 4)
        except NODE.Outcome:
            continue
        assert found is NODE.MISSING or isinstance(found, int)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/proc/version_signature": "Ubuntu 4.18.0-25.26-generic 4.18.20"}, (4, 18, 20)),
        (
            {
                "/proc/version": "Linux version 4.19.0-27 (gcc (Debian 8.3.0-6)) #1 SMP Debian 4.19.316-1 (2024)"
            },
            (4, 19, 316),
        ),
        (
            {
                "/proc/version": "Linux version 6.1.0 (gcc (Debian 12.2.0-14) 12.2.0) #1 SMP Debian 6.1.94-1 (2024)"
            },
            (6, 1, 94),
        ),
    ],
)
def test_kernel_code_is_to_the_last_digit(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: tuple[int, int, int]
) -> None:
    """The version that old kernels want of kprobes is the upstream one, wherever the distribution writes it."""
    monkeypatch.setitem(NODE.kernel_code.__globals__, "small_file", lambda path: files.get(path, ""))
    major, minor, patch = expected
    assert NODE.kernel_code() == major << 16 | minor << 8 | min(patch, 255)
