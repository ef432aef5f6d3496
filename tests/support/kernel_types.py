"""Types of a kernel that never was: BTF written by hand, to try relocations on."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

INT, PTR, ARRAY, STRUCT, UNION, ENUM, TYPEDEF, CONST, FUNC_PROTO, ENUM64 = 1, 2, 3, 4, 5, 6, 8, 10, 13, 19
SIGNED = 1 << 24


@dataclass
class TypesWriter:
    """Adds types and returns their numbers; `raw` is what the kernel would show."""

    strings: bytes = b"\0"
    types: list[bytes] = field(default_factory=list)

    def text(self, word: str) -> int:
        """Return where a string is, each once."""
        packed = b"\0" + word.encode() + b"\0"
        if not word:
            return 0
        if packed not in self.strings:
            self.strings += packed[1:]
        return self.strings.index(packed) + 1

    def add(
        self, name: str, kind: int, last: int, rest: bytes = b"", count: int = 0, flag: bool = False
    ) -> int:
        """Add a type; ``last`` is its size, or the type that it refers to."""
        info = kind << 24 | count | flag << 31
        self.types.append(struct.pack("<III", self.text(name), info, last) + rest)
        return len(self.types)

    def int(self, name: str, size: int, signed: bool = False) -> int:
        """Add a number."""
        return self.add(name, INT, size, struct.pack("<I", (SIGNED if signed else 0) | size * 8))

    def pointer(self, to: int = 0) -> int:
        """Add a pointer."""
        return self.add("", PTR, to)

    def array(self, of: int, length: int) -> int:
        """Add an array."""
        return self.add("", ARRAY, 0, struct.pack("<III", of, of, length))

    def struct(
        self,
        name: str,
        size: int,
        *members: tuple[str, int, int] | tuple[str, int, int, int],
        kind: int = STRUCT,
    ) -> int:
        """Add a struct of (name, type, offset in bits, bits of a bitfield)."""
        bitfields = any(len(member) == 4 for member in members)
        rest = b"".join(
            struct.pack("<III", self.text(m[0]), m[1], m[2] | (m[3] if len(m) == 4 else 0) << 24)
            for m in members
        )
        return self.add(name, kind, size, rest, len(members), bitfields)

    def enum(self, name: str, **values: int) -> int:
        """Add an enumeration."""
        rest = b"".join(struct.pack("<Ii", self.text(word), value) for word, value in values.items())
        return self.add(name, ENUM, 4, rest, len(values), any(value < 0 for value in values.values()))

    def enum64(self, name: str, **values: int) -> int:
        """Add an enumeration with values of 64 bits."""
        rest = b"".join(
            struct.pack("<III", self.text(word), value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF)
            for word, value in values.items()
        )
        return self.add(name, ENUM64, 8, rest, len(values), any(value < 0 for value in values.values()))

    def prototype(self, parameters: int) -> int:
        """Add a function's type."""
        return self.add("", FUNC_PROTO, 0, struct.pack("<II", 0, 0) * parameters, parameters)

    @property
    def raw(self) -> bytes:
        """The whole, as in /sys/kernel/btf/vmlinux."""
        types = b"".join(self.types)
        return (
            struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(self.strings))
            + types
            + self.strings
        )
