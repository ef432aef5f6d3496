"""From the ELF object that clang writes to the artefact that a node gets.

What a node's loader does not know is refused here, when it is built: calls between programs, global data, types that
are asked for by the object's own numbers.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from skoopctl.bpf.artefact import GPL_COMPATIBLE, INSTRUCTION_BYTES, Artefact, Field, Map, Program
from skoopctl.bpf.btf import COMPOSITE, Btf, CoreRelocation, Member, TypeKind, core_relocations
from skoopctl.bpf.elf import Elf, Relocation, Section, read_elf
from skoopctl.errors import BpfObjectError

HOOKS = {
    "raw_tp": "raw_tp",
    "raw_tracepoint": "raw_tp",
    "tp_btf": "tp_btf",
    "fentry": "fentry",
    "fexit": "fexit",
    "tracepoint": "tracepoint",
    "tp": "tracepoint",
    "kprobe": "kprobe",
    "kretprobe": "kretprobe",
}
"""The first word of a section's name, and what it is attached as."""

SETTING_PREFIX = "skoop_"
_LOAD_64 = 0x18
_R_BPF_64_64 = 1


class FieldKind(IntEnum):
    """``enum bpf_core_relo_kind`` of libbpf's relo_core.h, as far as the node's loader knows it."""

    BYTE_OFFSET = 0
    BYTE_SIZE = 1
    EXISTS = 2
    SIGNED = 3
    LEFT_SHIFT = 4
    RIGHT_SHIFT = 5
    TYPE_ID = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    VALUE_EXISTS = 10
    VALUE = 11


_OF_TYPES = {FieldKind.TYPE_ID, FieldKind.TYPE_EXISTS, FieldKind.TYPE_SIZE}
_OF_ENUMS = {FieldKind.VALUE_EXISTS, FieldKind.VALUE}
_WORDS = {
    TypeKind.STRUCT: "struct",
    TypeKind.UNION: "union",
    TypeKind.ENUM: "enum",
    TypeKind.ENUM64: "enum",
    TypeKind.INT: "int",
    TypeKind.TYPEDEF: "typedef",
    TypeKind.FWD: "struct",
}
_CLASSES = {
    TypeKind.STRUCT: "s",
    TypeKind.UNION: "s",
    TypeKind.PTR: "p",
    TypeKind.INT: "i",
    TypeKind.ENUM: "e",
    TypeKind.ENUM64: "e",
    TypeKind.FLOAT: "f",
}


def lower(raw: bytes, name: str, architecture: str) -> Artefact:
    """Return what a node needs of an object. Raises `BpfObjectError` for what its loader could not do."""
    try:
        return _lower(raw, name, architecture)
    except (IndexError, KeyError, ValueError, StopIteration, RecursionError, struct.error) as error:
        raise BpfObjectError(f"{name}: the object is damaged: {error!r}", hint="make bpf") from None


def _lower(raw: bytes, name: str, architecture: str) -> Artefact:
    elf = read_elf(raw)
    btf = Btf(elf.data(".BTF"))
    licence = elf.data("license").split(b"\0")[0].decode("ascii")
    if licence not in GPL_COMPATIBLE:
        raise BpfObjectError(
            f"{name}: the licence {licence!r} is not compatible with the GPL", hint='SEC("license")'
        )
    wanted = core_relocations(elf.data(".BTF.ext"), btf)
    maps = _maps(btf)
    index = {each.name: number for number, each in enumerate(maps)}
    programs = tuple(
        _program(elf, number, index, [each for each in wanted if each.section == section.name], btf)
        for number, section in enumerate(elf.sections)
        if section.is_code
    )
    return Artefact(name, architecture, licence, maps, programs)


def _maps(btf: Btf) -> tuple[Map, ...]:
    """Return the maps; each is a struct whose members' types say what it is like (libbpf's ``.maps`` section)."""
    found = []
    for number in btf.section(".maps"):
        variable = btf.types[number]
        values: dict[str, int] = {}
        for member in btf.members(btf.bare(variable.size)):
            pointed = btf.types[btf.bare(member.type_id)].size
            if member.name in {"key", "value"}:
                values[f"{member.name}_size"] = btf.size_of(pointed)
            else:
                values[member.name] = btf.array(pointed)[1]
        found.append(
            Map(
                name=variable.name,
                type=values["type"],
                key=values.get("key_size", 0),
                value=values.get("value_size", 0),
                entries=values.get("max_entries", 0),
                flags=values.get("map_flags", 0),
            )
        )
    return tuple(found)


def _program(elf: Elf, number: int, maps: dict[str, int], wanted: list[CoreRelocation], btf: Btf) -> Program:
    section = elf.sections[number]
    word, _, target = section.name.partition("/")
    names = [each.name for each in elf.symbols if each.is_function and each.section == number]
    if word not in HOOKS or not target or len(names) != 1:
        raise BpfObjectError(
            f"section {section.name} is not one program for a hook", hint=f"HOOK/NAME, of {', '.join(HOOKS)}"
        )
    placed: dict[int, int] = {}
    settings: dict[int, str] = {}
    for each in elf.relocations(number):
        where = each.offset // INSTRUCTION_BYTES
        if each.symbol.name in maps and elf.sections[each.symbol.section].name == ".maps":
            placed[where] = maps[each.symbol.name]
        else:
            settings[where] = _setting(section, each)
    return Program(
        name=names[0],
        hook=HOOKS[word],
        target=target,
        code=section.data,
        maps=tuple(sorted(placed.items())),
        settings=tuple(sorted(settings.items())),
        fields=tuple(_field(each, btf) for each in wanted),
    )


def _setting(section: Section, relocation: Relocation) -> str:
    symbol = relocation.symbol
    at = section.data[relocation.offset]
    if (
        relocation.kind != _R_BPF_64_64
        or symbol.section
        or at != _LOAD_64
        or not symbol.name.startswith(SETTING_PREFIX)
    ):
        raise BpfObjectError(
            f"{section.name} refers to {symbol.name or 'data'}: the loader knows maps and settings only",
            hint="__always_inline for functions, SETTING() for numbers",
        )
    return symbol.name.removeprefix(SETTING_PREFIX)


def _field(wanted: CoreRelocation, btf: Btf) -> Field:
    try:
        kind = FieldKind(wanted.kind)
    except ValueError:
        raise BpfObjectError(
            f"{wanted.section}: the loader has no relocation of kind {wanted.kind}",
            hint="see FieldKind in skoopctl/bpf/lowering.py",
        ) from None
    indices = [int(each) for each in wanted.access.split(":")]
    number = wanted.type_id if kind in _OF_TYPES else btf.bare(wanted.type_id)
    root = btf.types[number]
    path, size = "", 0
    if kind in _OF_ENUMS:
        path = _essential(btf.enumerators(number)[indices[0]])
    elif kind not in _OF_TYPES:
        path, size = _path(btf, number, indices, wanted)
        size = size if kind is FieldKind.BYTE_OFFSET else 0
    return Field(
        instruction=wanted.offset // INSTRUCTION_BYTES,
        kind=int(kind),
        type=f"{_WORDS[root.kind]} {_essential(root.name)}",
        path=path,
        size=size,
    )


def _path(btf: Btf, number: int, indices: list[int], wanted: CoreRelocation) -> tuple[str, int]:
    """Return a field's path and its size in bytes, which is 0 for bitfields and for what is not a number or a pointer.

    Members without a name are left out: the kernel may have put a member into one, or taken it out of one.
    """
    if indices[0]:
        raise BpfObjectError(
            f"{wanted.section}: a field of an element of an array of structs", hint="read it in two steps"
        )
    steps: list[str] = []
    bits = 0
    for index in indices[1:]:
        found = btf.types[number]
        if found.kind in COMPOSITE:
            member: Member = list(btf.members(number))[index]
            number, bits = btf.bare(member.type_id), member.bits
            if member.name:
                steps.append(f"{member.name}:{_class(btf, number)}")
        else:
            number = btf.bare(btf.array(number)[0])
            steps.append(f"[{index}]")
    scalar = btf.types[number].kind in {TypeKind.INT, TypeKind.PTR, TypeKind.ENUM, TypeKind.ENUM64}
    return "/".join(steps), btf.size_of(number) if scalar and not bits else 0


def _class(btf: Btf, number: int) -> str:
    """Return what a member must be in the kernel too (libbpf: bpf_core_fields_are_compat)."""
    found = btf.types[number]
    if found.kind == TypeKind.ARRAY:
        return "a" + _class(btf, btf.bare(btf.array(number)[0]))
    return _CLASSES[found.kind]


def _essential(name: str) -> str:
    """Return a name without its flavour, which tells variants of one type apart (``sk_buff___old``)."""
    return name.partition("___")[0]
