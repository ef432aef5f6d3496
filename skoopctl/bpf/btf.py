"""The types of an object (BTF), and what of the kernel's types its instructions want (BTF.ext: CO-RE relocations).

Documentation/bpf/btf.rst. The node has a reader of its own, for the kernel's types: ``remote/bpf_btf.py``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from skoopctl.bpf.elf import text_at
from skoopctl.errors import BpfObjectError

_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_EXT_HEADER = struct.Struct("<HBBIIIIIII")
_CORE = struct.Struct("<IIII")
_MANY_MODIFIERS = 64
_NO_CORE_BYTES = 32
"""A header of BTF.ext that is shorter has no relocations."""


class TypeKind(IntEnum):
    """What a type is: ``BTF_KIND_…``."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


_FIXED = {TypeKind.INT: 4, TypeKind.ARRAY: 12, TypeKind.VAR: 4, TypeKind.DECL_TAG: 4}
_EACH = {
    TypeKind.STRUCT: 12,
    TypeKind.UNION: 12,
    TypeKind.ENUM: 8,
    TypeKind.FUNC_PROTO: 8,
    TypeKind.DATASEC: 12,
    TypeKind.ENUM64: 12,
}
_MODIFIERS = {
    TypeKind.TYPEDEF,
    TypeKind.VOLATILE,
    TypeKind.CONST,
    TypeKind.RESTRICT,
    TypeKind.TYPE_TAG,
}
COMPOSITE = {TypeKind.STRUCT, TypeKind.UNION}


@dataclass(frozen=True, slots=True)
class Type:
    """One type; ``size`` is the number of another type where the kind refers to one."""

    name: str
    kind: TypeKind
    count: int
    bitfields: bool
    size: int
    rest: bytes


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a struct or union; offsets and sizes in bits, ``bits`` 0 is no bitfield."""

    name: str
    type_id: int
    offset: int
    bits: int


@dataclass(frozen=True, slots=True)
class CoreRelocation:
    """One instruction (by its offset in a section) that wants something of the kernel's types."""

    section: str
    offset: int
    type_id: int
    access: str
    kind: int


class Btf:
    """All types of one object, by number."""

    def __init__(self, raw: bytes) -> None:
        """Read ``.BTF``. Raises `BpfObjectError` when it is none."""
        try:
            self._read(raw)
        except (struct.error, ValueError) as error:
            raise BpfObjectError(f"the object's types are damaged: {error}", hint="make bpf") from None

    def _read(self, raw: bytes) -> None:
        magic, _, _, head, types, types_bytes, strings, strings_bytes = _HEADER.unpack_from(raw)
        if magic != _MAGIC:
            raise BpfObjectError("the object's types are not BTF of a little-endian machine", hint="make bpf")
        self._strings = raw[head + strings : head + strings + strings_bytes]
        self.types = [Type("", TypeKind.VOID, 0, False, 0, b"")]
        at, end = head + types, head + types + types_bytes
        while at < end:
            name, info, size = _TYPE.unpack_from(raw, at)
            kind, count = TypeKind(info >> 24 & 31), info & 0xFFFF
            rest = _FIXED.get(kind, 0) + _EACH.get(kind, 0) * count
            body = raw[at + 12 : at + 12 + rest]
            self.types.append(Type(self.text(name), kind, count, bool(info >> 31), size, body))
            at += 12 + rest

    def text(self, offset: int) -> str:
        """Return a string of the object's types."""
        return text_at(self._strings, offset)

    def bare(self, number: int) -> int:
        """Return the number of a type without typedefs and qualifiers."""
        for _ in range(_MANY_MODIFIERS):
            if self.types[number].kind not in _MODIFIERS:
                return number
            number = self.types[number].size
        raise BpfObjectError("the object's types go round in a circle", hint="make bpf")

    def members(self, number: int) -> Iterator[Member]:
        """Yield the members of a struct or union."""
        found = self.types[number]
        for name, type_id, offset in struct.iter_unpack("<III", found.rest):
            bits = offset >> 24 if found.bitfields else 0
            yield Member(self.text(name), type_id, offset & 0xFFFFFF if found.bitfields else offset, bits)

    def array(self, number: int) -> tuple[int, int]:
        """Return an array's type of element and its length."""
        element, _, length = struct.unpack("<III", self.types[number].rest)
        return element, length

    def enumerators(self, number: int) -> list[str]:
        """Return the names of an enumeration's values."""
        each = "<Ii" if self.types[number].kind == TypeKind.ENUM else "<III"
        return [self.text(row[0]) for row in struct.iter_unpack(each, self.types[number].rest)]

    def section(self, name: str) -> list[int]:
        """Return the numbers of the variables that lie in a section."""
        for found in self.types:
            if found.kind == TypeKind.DATASEC and found.name == name:
                return [row[0] for row in struct.iter_unpack("<III", found.rest)]
        return []

    def size_of(self, number: int) -> int:
        """Return a type's size in bytes."""
        number = self.bare(number)
        found = self.types[number]
        if found.kind == TypeKind.PTR:
            return 8
        if found.kind == TypeKind.ARRAY:
            element, length = self.array(number)
            return self.size_of(element) * length
        return found.size


def core_relocations(raw: bytes, btf: Btf) -> list[CoreRelocation]:
    """Read the CO-RE relocations of ``.BTF.ext`` (struct btf_ext_header, struct bpf_core_relo)."""
    head = _EXT_HEADER.unpack_from(raw)
    if head[3] < _NO_CORE_BYTES or not head[9]:
        return []
    at = head[3] + head[8]
    end = at + head[9]
    (size,) = struct.unpack_from("<I", raw, at)
    if size < _CORE.size:
        raise BpfObjectError("the object's relocations are damaged", hint="make bpf")
    at += 4
    found = []
    while at < end:
        section, count = struct.unpack_from("<II", raw, at)
        at += 8
        for _ in range(count):
            offset, type_id, access, kind = _CORE.unpack_from(raw, at)
            found.append(CoreRelocation(btf.text(section), offset, type_id, btf.text(access), kind))
            at += size
    return found
