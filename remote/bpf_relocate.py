"""CO-RE: numbers that depend on the kernel's types, put into a program. What is not there is refused, never guessed.

The rules are libbpf's (tools/lib/bpf/relo_core.c). A field that is missing becomes a call that no kernel has: behind
bpf_core_field_exists() the verifier never gets there; elsewhere it refuses, and says which one.
"""
import struct

BYTE_OFFSET, BYTE_SIZE, EXISTS, SIGNED, LEFT_SHIFT, RIGHT_SHIFT = range(6)
TYPE_ID, TYPE_EXISTS, TYPE_SIZE, VALUE_EXISTS, VALUE = 7, 8, 9, 10, 11
TYPE_KINDS = {"struct": (STRUCT,), "union": (UNION,), "enum": (ENUM, ENUM64), "int": (INT,), "typedef": (TYPEDEF,)}
POISON = 0x0BAD0000
MISSING = object()


class Relocated:
    """A program's code for this kernel, and what is missing here: {number of the poisoned call: words for people}."""

    def __init__(self, program, types, code):
        self.code = code
        self.missing = {}
        for index, field in enumerate(program["fields"]):
            where, kind, type_name, path, size = field
            value = resolve(types, kind, type_name, path, size)
            if value is MISSING:
                poison(code, where, POISON + index)
                self.missing[POISON + index] = field_name(type_name, path)
            else:
                patch(code, where, value)


def field_name(type_name, path):
    """Return a field as people write it: struct sk_buff.dev."""
    steps = [step.partition(":")[0] for step in path.split("/") if step]
    return (type_name + "".join(step if step.startswith("[") else "." + step for step in steps))[:120]


def resolve(types, kind, type_name, path, size):
    """Return the number that an instruction wants, or MISSING. Programs ask the same things again and again."""
    asked = kind, type_name, path, size
    try:
        if asked not in types.answers:
            types.answers[asked] = look_up(types, kind, type_name, path, size)
        return types.answers[asked]
    except (IndexError, ValueError, ZeroDivisionError):
        raise Outcome("failed", "the kernel's types (BTF) are damaged at %s" % field_name(type_name, path))


def look_up(types, kind, type_name, path, size):
    """Return what all types of one name say alike."""
    word, _, name = type_name.partition(" ")
    candidates = types.find(name, TYPE_KINDS[word])
    if kind == TYPE_EXISTS:
        return int(bool(candidates))
    found = set()
    for number in candidates:
        if kind in (TYPE_ID, TYPE_SIZE):
            value = number if kind == TYPE_ID else types.size(number)
        elif kind in (VALUE_EXISTS, VALUE):
            value = enumerator(types, number, path)
        else:
            field = follow(types, number, path)
            value = MISSING if field is MISSING else of_field(types, kind, type_name, path, size, field)
        if value is not MISSING:
            found.add(1 if kind in (EXISTS, VALUE_EXISTS) else value)
    if len(found) > 1:
        raise Outcome("failed", "%s is ambiguous in this kernel's types" % field_name(type_name, path))
    if found:
        return found.pop()
    # A type that is not there has size 0 and number 0, as libbpf has it; every other thing that is missing is refused.
    return 0 if kind in (EXISTS, VALUE_EXISTS, TYPE_SIZE, TYPE_ID) else MISSING


def enumerator(types, number, name):
    """Return an enumerator's value, or MISSING."""
    place = types.place(name)
    for found, value in types.values(number):
        if place and found == place:
            return value
    return MISSING


def follow(types, number, path):
    """Return (type, offset in bits, bits of a bitfield or 0) of what a path leads to, or MISSING."""
    offset = bits = 0
    for step in path.split("/"):
        number = types.bare(number)
        if step.startswith("["):
            index = int(step[1:-1])
            if types.kind(number) != ARRAY:
                return MISSING
            number, length = types.element(number)
            # An array without a length at the end of a struct has as many as there are.
            if length and index >= length:
                return MISSING
            offset += index * types.size(number) * 8
            bits = 0
            continue
        name, _, class_ = step.partition(":")
        found = member(types, number, types.place(name), 0)
        if not found:
            return MISSING
        number, more, bits = found
        if not fits(types, number, class_):
            return MISSING
        offset += more
    return number, offset, bits


def member(types, number, place, depth):
    """Return (type, offset, bits) of a member, also of one in a member without a name."""
    if not place or depth > 16 or types.kind(number) not in (STRUCT, UNION):
        return None
    for name, kind, offset, bits in types.members(number):
        if name == place:
            return kind, offset, bits
        if not name:
            found = member(types, types.bare(kind), place, depth + 1)
            if found:
                return found[0], offset + found[1], found[2]
    return None


def fits(types, number, class_):
    """Return whether a member is the sort of thing that the program takes it for (libbpf: bpf_core_fields_are_compat)."""
    number = types.bare(number)
    kind = types.kind(number)
    if class_.startswith("a"):
        return kind == ARRAY and fits(types, types.element(number)[0], class_[1:])
    if class_ == "i":
        return kind == INT and types.encoding(number)[1] == 0
    return kind in {"s": (STRUCT, UNION), "p": (PTR,), "e": (ENUM, ENUM64), "f": (16,)}[class_]


def of_field(types, kind, type_name, path, wanted, field):
    """Return one number about a field (libbpf: bpf_core_calc_field_relo, on little-endian machines)."""
    if kind == EXISTS:
        return 1
    number, offset, bits = field
    size = types.size(number)
    begin = offset // 8
    if bits:
        begin = offset // 8 // size * size
        while offset + bits - begin * 8 > size * 8:
            size *= 2
            begin = offset // 8 // size * size
            if size > 8:
                return MISSING
    bare = types.bare(number)
    if kind == BYTE_OFFSET:
        if wanted and (bits or size != wanted):
            raise Outcome("failed", "%s has another size in this kernel: %d bytes, not %d" % (field_name(type_name, path), size, wanted))
        return begin
    if kind == BYTE_SIZE:
        return size
    if kind == SIGNED:
        return int(types.encoding(bare)[0] & 1) if types.kind(bare) == INT else int(types.kind(bare) in (ENUM, ENUM64) and types.is_signed_enum(bare))
    if kind == LEFT_SHIFT:
        return 64 - (offset + (bits or size * 8) - begin * 8)
    return 64 - (bits or size * 8)


def patch(code, where, value):
    """Put a number into an instruction: an offset, an immediate, or one of 64 bits."""
    at = where * 8
    operation = code[at]
    class_ = operation & 7
    if operation == 0x18:
        struct.pack_into("=I", code, at + 4, value & 0xFFFFFFFF)
        struct.pack_into("=I", code, at + 12, value >> 32 & 0xFFFFFFFF)
    elif class_ in (1, 2, 3):
        struct.pack_into("=h", code, at + 2, value)
    elif class_ in (4, 7) and not operation & 8:
        struct.pack_into("=i", code, at + 4, value)
    else:
        raise Outcome("failed", "the program has a relocation where none can be: instruction %d" % where)


def poison(code, where, number):
    """Put a call of a helper that does not exist in the place of an instruction."""
    call = struct.pack("=BBhi", 0x85, 0, 0, number)
    wide = code[where * 8] == 0x18
    code[where * 8:where * 8 + 8] = call
    if wide:
        code[where * 8 + 8:where * 8 + 16] = call
