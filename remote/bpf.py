"""Programs of eBPF on a packet's way: where they are attached, and their names. Nothing is loaded; bpf(2) only reads.

A node without programs is asked one question. The few C types come from what ctypes is made of: importing that
takes 3 ms.
"""
import posix
import struct

BPF_CALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "loongarch64": 280, "s390x": 351, "ppc64le": 361, "ppc64": 361}
NEXT_ID, FD_BY_ID, OBJ_INFO, PROG_QUERY = 11, 13, 15, 16
MANY_PROGRAMS = 8192
# Attach types (enum bpf_attach_type) by the type of program that can be there: SCHED_CLS, CGROUP_SKB, SOCK_OPS,
# CGROUP_SOCK_ADDR, SK_LOOKUP. XDP (6) is in the link messages, tc filters in their own.
ATTACH_DEVICE = {3: (46, 47, 54, 55)}
ATTACH_CGROUP = {8: (0, 1), 13: (3,), 18: (10, 11, 14, 15)}
ATTACH_NETNS = {30: (36,)}
TYPE_XDP, XDP = 6, 37
ONLY_A_NAME = 65535  # a row that names the program of a tc filter, which knows its id
QUERY_EFFECTIVE = 1
IFLA_XDP, XDP_PROG_IDS = 43, (4, 5, 6, 7)
RTM_GETTFILTER = 46
TC_SIDES = {b"clsact": (0xFFFFFFF2, 0xFFFFFFF3), b"ingress": (0xFFFFFFF2,)}  # parents, by the kind of qdisc


def c_types():
    """Return syscall(2), c_long, c_char, addressof and get_errno, as ctypes has them."""
    try:
        import _ctypes

        class c_long(_ctypes._SimpleCData):
            _type_ = "l"

        class c_char(_ctypes._SimpleCData):
            _type_ = "c"

        class Function(_ctypes.CFuncPtr):
            _flags_ = 1 | 8  # FUNCFLAG_CDECL, FUNCFLAG_USE_ERRNO
            _restype_ = c_long

        syscall = Function(_ctypes.dlsym(_ctypes.dlopen(None, 0), "syscall"))
        return syscall, c_long, c_char, _ctypes.addressof, _ctypes.get_errno
    except (ImportError, AttributeError, TypeError):
        import ctypes

        syscall = ctypes.CDLL(None, use_errno=True).syscall
        syscall.restype = ctypes.c_long
        return syscall, ctypes.c_long, ctypes.c_char, ctypes.addressof, ctypes.get_errno


class Bpf:
    """The programs of this kernel that could see packets."""

    def __init__(self):
        self.known = None
        self.trouble = None
        self.c = None

    def call(self, command, attr):
        """Call bpf(2); ``attr`` is changed in place."""
        number = BPF_CALL.get(posix.uname().machine)
        if not number:
            raise Outcome("absent", "unreadable: bpf(2) has no number for this machine here")
        if self.c is None:
            self.c = c_types()
        syscall, c_long, c_char, _, get_errno = self.c
        view = (c_char * len(attr)).from_buffer(attr)
        result = syscall(c_long(number), c_long(command), view, c_long(len(attr)))
        if result < 0:
            raise OSError(get_errno(), "bpf")
        return result

    def address(self, buffer):
        """Return where a bytearray lies, which must stay as large as it is."""
        _, _, c_char, addressof, _ = self.c
        return addressof((c_char * len(buffer)).from_buffer(buffer))

    def look(self):
        """List the programs that could see packets, once for the whole node: {id: (type, name)}."""
        import errno

        found = {}
        number = 0
        for _ in range(MANY_PROGRAMS):
            attr = bytearray(struct.pack("=III", number, 0, 0))
            try:
                self.call(NEXT_ID, attr)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return found
                raise
            number, = struct.unpack_from("=I", attr, 4)
            try:
                descriptor = self.call(FD_BY_ID, bytearray(struct.pack("=III", number, 0, 0)))
            except OSError:
                continue  # it was unloaded meanwhile
            try:
                info = bytearray(80)
                self.call(OBJ_INFO, bytearray(struct.pack("=IIQ", descriptor, 80, self.address(info))))
            finally:
                posix.close(descriptor)
            kind, = struct.unpack_from("=I", info, 0)
            if kind == TYPE_XDP or kind in ATTACH_DEVICE or kind in ATTACH_CGROUP or kind in ATTACH_NETNS:
                found[number] = kind, bytes(info[64:80]).split(b"\0")[0].decode("utf-8", "replace")
        return found

    def query(self, target, attach, flags):
        """Return the ids of the programs at one place; nothing where this kernel has no such place."""
        ids = bytearray(4 * 64)
        attr = bytearray(struct.pack("=IIIIQIIQQQQ", target, attach, flags, 0, self.address(ids), 64, 0, 0, 0, 0, 0))
        try:
            self.call(PROG_QUERY, attr)
        except OSError:
            return []
        return list(struct.unpack_from("=%dI" % min(64, struct.unpack_from("=I", attr, 24)[0]), ids))

    def programs(self):
        """Return the programs of the node, or raise why they cannot be read."""
        if self.known is None and self.trouble is None:
            try:
                self.known = self.look()
            except Outcome as outcome:
                self.trouble = outcome
            except OSError as error:
                self.trouble = from_errno(error.errno, "bpf")
                if self.trouble.status == "failed":
                    self.trouble = Outcome("absent", "this kernel has no bpf(2) that lists programs")
        if self.trouble:
            raise self.trouble
        return self.known

    def attached(self, link_dump, filter_dump, cgroup):
        """Return [attach type, ifindex, id, program's type, name] for everything in the current namespace."""
        programs = self.programs()
        rows = []
        if not programs:
            return rows
        kinds = set(kind for kind, _ in programs.values())
        for index, ids in xdp_programs(link_dump) if TYPE_XDP in kinds else ():
            rows.extend((XDP, index, number) for number in ids)
        for kind in kinds.intersection(ATTACH_DEVICE):
            for index in (struct.unpack_from("=i", data, 4)[0] for what, data in nl_messages(link_dump) if what == 16):
                for attach in ATTACH_DEVICE[kind]:
                    rows.extend((attach, index, number) for number in self.query(index, attach, 0))
        rows.extend((ONLY_A_NAME, 0, number) for number in filter_programs(filter_dump))
        rows.extend(self.at_path("/proc/self/ns/net", ATTACH_NETNS, kinds, 0))
        rows.extend(self.at_path(cgroup, ATTACH_CGROUP, kinds, QUERY_EFFECTIVE))
        return [row + programs.get(row[2], (0, "")) for row in rows]

    def at_path(self, path, places, kinds, flags):
        """Return the rows of places that are named by an open file: a namespace or a cgroup."""
        wanted = kinds.intersection(places)
        if not wanted or not path:
            return []
        try:
            descriptor = posix.open(path, posix.O_RDONLY)
        except OSError:
            return []
        try:
            return [(attach, 0, number) for kind in wanted for attach in places[kind] for number in self.query(descriptor, attach, flags)]
        finally:
            posix.close(descriptor)


def xdp_programs(link_dump):
    """Return (ifindex, ids) of the devices with an XDP program, from the link messages."""
    found = []
    for kind, data in nl_messages(link_dump):
        nested = attributes(attributes(data, 16).get(IFLA_XDP, b""), 0) if kind == 16 else {}
        ids = [struct.unpack("=I", nested[key][:4])[0] for key in XDP_PROG_IDS if len(nested.get(key, b"")) >= 4]
        if any(ids):
            found.append((struct.unpack_from("=i", data, 4)[0], sorted(set(ids) - {0})))
    return found


def filter_programs(filter_dump):
    """Return the ids of the programs that tc filters run (TCA_KIND 1, TCA_OPTIONS 2, TCA_BPF_ID 11)."""
    found = set()
    for kind, data in nl_messages(filter_dump):
        filter_ = attributes(data, 20) if kind == 44 else {}
        raw = attributes(filter_.get(2, b""), 0).get(11, b"") if filter_.get(1) == b"bpf\0" else b""
        if len(raw) >= 4:
            found.add(struct.unpack("=I", raw[:4])[0])
    return found


def cgroup_of(pids, is_host):
    """Return the folder of the cgroup whose programs count for a namespace: the root's on the host."""
    base = next((path for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if kind_of(path + "/cgroup.procs")), "")
    if is_host or not base:
        return base
    for pid in pids[:1]:
        for line in small_file("/proc/" + pid + "/cgroup").split("\n"):
            if line.startswith("0::/") and ".." not in line:
                return base + line[3:]
    return base


def tc_filters(netlink, qdisc_dump, cap):
    """Join the dumps of the tc filters on both sides of every device that has a place for them."""
    kept = []
    for kind, data in nl_messages(qdisc_dump):
        name = attributes(data, 20).get(1, b"").rstrip(b"\0") if kind == 36 else b""
        index = struct.unpack_from("=i", data, 4)[0] if name else 0
        for side in TC_SIDES.get(name, ()):
            kept.append(netlink.dump(RTM_GETTFILTER, struct.pack("=BxxxiIII", 0, index, 0, side, 0), cap, "tc filters"))
    if not kept:
        raise Outcome("absent", "no tables: no device has a place for tc filters")
    return b"".join(kept)
