"""What the build needs of a relocatable ELF file (elf(5)): sections, symbols, relocations. Little endian, 64 bit."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from skoopctl.errors import BpfObjectError

_HEADER = struct.Struct("<4sBBB9xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QQ")
_EM_BPF = 247
_SHT_SYMTAB, _SHT_NOBITS, _SHT_REL = 2, 8, 9
_SHF_EXECINSTR = 4
_STT_FUNC = 2


@dataclass(frozen=True, slots=True)
class Section:
    """One section. ``link`` and ``info`` mean what its type says."""

    name: str
    kind: int
    flags: int
    data: bytes
    link: int
    info: int

    @property
    def is_code(self) -> bool:
        """Whether programs are in it."""
        return bool(self.flags & _SHF_EXECINSTR) and bool(self.data)


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol; ``section`` 0 is outside of this file."""

    name: str
    section: int
    value: int
    size: int
    is_function: bool


@dataclass(frozen=True, slots=True)
class Relocation:
    """At ``offset`` of its section something of ``symbol`` belongs; ``kind`` 1 is the 64-bit immediate."""

    offset: int
    kind: int
    symbol: Symbol


@dataclass(frozen=True, slots=True)
class Elf:
    """A relocatable file of eBPF."""

    sections: tuple[Section, ...]
    symbols: tuple[Symbol, ...]

    def data(self, name: str) -> bytes:
        """Return the bytes of the section with a name. Raises `BpfObjectError` when there is none."""
        for section in self.sections:
            if section.name == name:
                return section.data
        raise BpfObjectError(f"the object has no section {name}", hint="build it with clang -g -target bpf")

    def relocations(self, section: int) -> tuple[Relocation, ...]:
        """Return the relocations of the section with an index."""
        return tuple(
            Relocation(offset, info & 0xFFFFFFFF, self.symbols[info >> 32])
            for each in self.sections
            if each.kind == _SHT_REL and each.info == section
            for offset, info in _RELOCATION.iter_unpack(each.data)
        )


def read_elf(raw: bytes) -> Elf:
    """Read an object. Raises `BpfObjectError` when it is not one of eBPF, or is cut."""
    try:
        return _read(raw)
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise BpfObjectError(f"the object is damaged: {error}", hint="build it again: make bpf") from None


def _read(raw: bytes) -> Elf:
    head = _HEADER.unpack_from(raw)
    if head[:3] != (b"\x7fELF", 2, 1) or head[5] != _EM_BPF:
        raise BpfObjectError("this is no little-endian 64-bit ELF object of eBPF", hint="clang -target bpf")
    table, size, count, names = head[9], head[14], head[15], head[16]
    rows = [_SECTION.unpack_from(raw, table + size * index) for index in range(count)]
    bodies = [b"" if row[1] == _SHT_NOBITS else raw[row[4] : row[4] + row[5]] for row in rows]
    sections = tuple(
        Section(text_at(bodies[names], row[0]), row[1], row[2], body, row[6], row[7])
        for row, body in zip(rows, bodies, strict=True)
    )
    table_of_symbols = next(section for section in sections if section.kind == _SHT_SYMTAB)
    strings = sections[table_of_symbols.link].data
    symbols = tuple(
        Symbol(text_at(strings, name), section, value, size, info & 15 == _STT_FUNC)
        for name, info, _, section, value, size in _SYMBOL.iter_unpack(table_of_symbols.data)
    )
    return Elf(sections, symbols)


def text_at(table: bytes, offset: int) -> str:
    """Return the string that begins at an offset of a string table."""
    return table[offset : table.index(b"\0", offset)].decode("ascii")
