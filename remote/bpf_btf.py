"""The kernel's own types (BTF), as far as a few names are concerned. Documentation/bpf/btf.rst.

A kernel has some 120,000 types in 5 MB. Their sizes differ, so all are passed once, with the least that can be done for
each; strings are compared by where they are, because pahole keeps each once.
"""
import struct
from array import array

BTF_MAGIC = 0xEB9F
INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC = range(1, 13)
FUNC_PROTO, ENUM64, TYPE_TAG = 13, 19, 18
MODIFIERS = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)
# Words behind the three that every type has: some, or some for each member (VAR 14, DATASEC 15, DECL_TAG 17).
SOME_WORDS = {INT: 1, ARRAY: 3, 14: 1, 17: 1}
MEMBER_WORDS = {STRUCT: 3, UNION: 3, ENUM: 2, FUNC_PROTO: 2, 15: 3, ENUM64: 3}
WORDS_MORE = [SOME_WORDS.get(number, 0) for number in range(32)]
WORDS_EACH = [MEMBER_WORDS.get(number, 0) for number in range(32)]


class KernelTypes:
    """The types of a kernel; ``names`` are those that can be looked for."""

    def __init__(self, raw, names):
        try:
            magic, _, _, head, types, types_bytes, strings, strings_bytes = struct.unpack_from("=HBBIIIII", raw, 0)
            if magic != BTF_MAGIC or max(types + types_bytes, strings + strings_bytes) > len(raw) - head or types_bytes % 4:
                raise Outcome("failed", "the kernel's types (BTF) have another form than expected")
            self.raw = raw
            self.strings = head + strings
            self.end = self.strings + strings_bytes
            self.places = {}
            self.answers = {}
            self.words = memoryview(raw)[head + types:head + types + types_bytes].cast("I")
            self.hits = dict((place, []) for place in map(self.place, names) if place)
            self.scan()
        except (struct.error, IndexError):
            raise Outcome("failed", "the kernel's types (BTF) are damaged")

    def scan(self):
        """Note where every type begins, and which have the names that are looked for."""
        words, hits, more, each = self.words, self.hits, WORDS_MORE, WORDS_EACH
        self.starts = starts = array("I", (0,))
        note = starts.append
        at, end = 0, len(words)
        while at < end:
            if words[at] in hits:
                hits[words[at]].append(len(starts))
            note(at)
            info = words[at + 1]
            kind = info >> 24 & 31
            at += 3 + more[kind] + each[kind] * (info & 0xFFFF)

    def place(self, name):
        """Return where a string is among the strings, 0 when it is nowhere."""
        if name not in self.places:
            found = self.raw.find(b"\0" + name.encode() + b"\0", self.strings, self.end)
            self.places[name] = found + 1 - self.strings if found >= 0 else 0
        return self.places[name]

    def text(self, place):
        """Return a string."""
        begin = self.strings + place
        return self.raw[begin:self.raw.index(b"\0", begin)].decode("ascii", "replace")

    def kind(self, number):
        """Return a type's kind; 0 is void."""
        return self.words[self.starts[number] + 1] >> 24 & 31 if number else 0

    def refers(self, number):
        """Return the type that a type refers to, or its size."""
        return self.words[self.starts[number] + 2] if number else 0

    def find(self, name, kinds):
        """Return the numbers of the types with one of the names that were looked for, of some kinds."""
        return [number for number in self.hits.get(self.place(name), ()) if self.kind(number) in kinds]

    def bare(self, number):
        """Return a type without typedefs and qualifiers."""
        for _ in range(64):
            if self.kind(number) not in MODIFIERS:
                return number
            number = self.refers(number)
        raise Outcome("failed", "the kernel's types (BTF) go round in a circle")

    def members(self, number):
        """Yield (place of the name, type, offset, bits) of a struct's members; bits is 0 when it is no bitfield."""
        at = self.starts[number]
        info = self.words[at + 1]
        for index in range(info & 0xFFFF):
            name, kind, offset = self.words[at + 3 + 3 * index:at + 6 + 3 * index]
            if info >> 31:
                yield name, kind, offset & 0xFFFFFF, offset >> 24
            else:
                yield name, kind, offset, 0

    def parameters(self, number):
        """Return how many parameters a function's prototype has."""
        return self.words[self.starts[number] + 1] & 0xFFFF

    def element(self, number):
        """Return an array's type of element and its length."""
        at = self.starts[number]
        return self.words[at + 3], self.words[at + 5]

    def encoding(self, number):
        """Return what is behind an int: its encoding, where its bits begin, how many they are."""
        word = self.words[self.starts[number] + 3]
        return word >> 24 & 15, word >> 16 & 255, word & 255

    def is_signed_enum(self, number):
        """Return whether an enumeration has negative values."""
        return bool(self.words[self.starts[number] + 1] >> 31)

    def size(self, number, depth=0):
        """Return a type's size in bytes."""
        number = self.bare(number)
        kind = self.kind(number)
        if kind == PTR:
            return 8
        if kind == ARRAY and depth < 8:
            element, length = self.element(number)
            return self.size(element, depth + 1) * length
        return self.refers(number) if kind in (INT, STRUCT, UNION, ENUM, ENUM64, 16) else 0

    def values(self, number):
        """Yield (place of the name, value) of an enumeration."""
        at = self.starts[number]
        info = self.words[at + 1]
        wide = info >> 24 & 31 == ENUM64
        for index in range(info & 0xFFFF):
            if wide:
                name, low, high = self.words[at + 3 + 3 * index:at + 6 + 3 * index]
                value, limit = low | high << 32, 1 << 63
            else:
                name, value = self.words[at + 3 + 2 * index:at + 5 + 2 * index]
                limit = 1 << 31
            yield name, value - 2 * limit if info >> 31 and value >= limit else value

    def names_of(self, enumeration):
        """Return {value: name} of an enumeration, or nothing when this kernel has none of that name."""
        return dict((value, self.text(name)) for number in self.find(enumeration, (ENUM, ENUM64)) for name, value in self.values(number))

    def arity(self, tracepoint):
        """Return how many arguments a tracepoint hands to programs, or None when the types do not tell (before 5.5)."""
        for number in self.find("btf_trace_" + tracepoint, (TYPEDEF,)):
            prototype = self.bare(self.refers(self.bare(number)))
            if self.kind(prototype) == FUNC_PROTO:
                return self.parameters(prototype) - 1  # the first is the tracepoint's own
        return None


def names_of_artefact(artefact):
    """Return the names that have to be found for an artefact."""
    names = set()
    for program in artefact["programs"]:
        names.add(program["target"])
        names.add("btf_trace_" + program["target"])
        names.update(field[2].partition(" ")[2] for field in program["fields"])
    return names
