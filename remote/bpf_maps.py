"""Maps: made, filled, read. They live as long as their descriptors."""
import errno
import posix
import struct

MAP_CREATE_, MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, MAP_NEXT, MAP_LOOKUP_BATCH = 0, 1, 2, 3, 4, 24
HASH, PERF_EVENT_ARRAY, PERCPU_ARRAY, RINGBUF = 1, 4, 6, 27
PER_CPU = (5, 6, 10)


def cpu_list(which):
    """Return the CPUs of a list like 0-3,8: ``possible`` or ``online``."""
    found = []
    for part in small_file("/sys/devices/system/cpu/" + which).split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found.extend(range(int(first), int(last or first) + 1))
    return found or [0]


class Maps:
    """The maps of one artefact: {name: descriptor}."""

    def __init__(self, bpf, rows):
        self.bpf = bpf
        self.rows = dict((row["name"], row) for row in rows)
        self.fds = {}
        self.cpus = len(cpu_list("possible"))

    def make(self, name):
        """Make one map."""
        row = self.rows[name]
        attr = bytearray(72)
        entries = row["entries"] or self.cpus
        struct.pack_into("=IIIII", attr, 0, row["type"], row["key"], row["value"], entries, row["flags"])
        struct.pack_into("=16s", attr, 28, row["name"][:15].encode())
        self.fds[name] = self.bpf.call(MAP_CREATE_, attr)

    def close(self):
        """Close them all."""
        for descriptor in self.fds.values():
            posix.close(descriptor)
        self.fds = {}

    def put(self, name, key, value):
        """Set one entry."""
        key, value = bytearray(key), bytearray(value)
        attr = struct.pack("=IIQQQ", self.fds[name], 0, self.bpf.address(key), self.bpf.address(value), 0)
        self.bpf.call(MAP_UPDATE, bytearray(attr))

    def drop(self, name, key):
        """Delete one entry; it may be gone already."""
        key = bytearray(key)
        try:
            self.bpf.call(MAP_DELETE, bytearray(struct.pack("=IIQQQ", self.fds[name], 0, self.bpf.address(key), 0, 0)))
        except OSError:
            pass

    def get(self, name, key):
        """Return one value, of all CPUs one behind the other where each has its own; None when there is no such entry."""
        row = self.rows[name]
        size = (row["value"] + 7) // 8 * 8 * self.cpus if row["type"] in PER_CPU else row["value"]
        key, value = bytearray(key), bytearray(size)
        attr = struct.pack("=IIQQQ", self.fds[name], 0, self.bpf.address(key), self.bpf.address(value), 0)
        try:
            self.bpf.call(MAP_LOOKUP, bytearray(attr))
        except OSError:
            return None
        return bytes(value)

    def sums(self, name):
        """Return the sums over all CPUs of an array of 64-bit numbers."""
        found = []
        for index in range(self.rows[name]["entries"]):
            value = self.get(name, struct.pack("=I", index)) or b""
            found.append(sum(struct.unpack("=%dQ" % (len(value) // 8), value)))
        return found

    def columns(self, name):
        """Return the sums over all CPUs of an array of rows of 64-bit numbers, row by row."""
        found = []
        width = self.rows[name]["value"] // 8
        for index in range(self.rows[name]["entries"]):
            value = self.get(name, struct.pack("=I", index)) or bytes(width * 8)
            numbers = struct.unpack("=%dQ" % (len(value) // 8), value)
            found.append([sum(numbers[column::width]) for column in range(width)])
        return found

    def items(self, name, limit):
        """Return [(key, value)] of a hash, ``limit`` at most. Other CPUs go on changing it."""
        try:
            return self.at_once(name, limit)
        except OSError:
            return self.one_by_one(name, limit)  # before 5.6

    def at_once(self, name, limit):
        """Return what `items` does by one call: 8,000 entries take 5 ms, not 75, in which samples get lost."""
        key, value = self.rows[name]["key"], self.rows[name]["value"]
        keys, values, after = bytearray(key * limit), bytearray(value * limit), bytearray(8)
        attr = bytearray(struct.pack("=QQQQIIQQ", 0, self.bpf.address(after), self.bpf.address(keys), self.bpf.address(values), limit, self.fds[name], 0, 0))
        try:
            self.bpf.call(MAP_LOOKUP_BATCH, attr)
        except OSError as error:
            if error.errno != errno.ENOENT:  # which says that this is all of it
                raise
        count, = struct.unpack_from("=I", attr, 32)
        return [(bytes(keys[at * key:(at + 1) * key]), bytes(values[at * value:(at + 1) * value])) for at in range(count)]

    def one_by_one(self, name, limit):
        """Return what `items` does by two calls for each entry."""
        found = []
        key, following = b"", bytearray(self.rows[name]["key"])
        while len(found) < limit:
            current = bytearray(key)
            attr = struct.pack("=IIQQ", self.fds[name], 0, self.bpf.address(current) if key else 0, self.bpf.address(following))
            try:
                self.bpf.call(MAP_NEXT, bytearray(attr))
            except OSError:
                break
            key = bytes(following)
            value = self.get(name, key)
            if value is not None:
                found.append((key, value))
        return found
