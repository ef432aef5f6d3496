"""Samples out of the kernel: one ring buffer (5.8), or a perf buffer on each CPU.

What found no room is counted by the program itself, so that ``lost`` is exact; the kernel's own records of it are
passed over.
"""
import posix
import struct
from _thread import allocate_lock
from mmap import MAP_SHARED, PAGESIZE, PROT_READ, PROT_WRITE, mmap

BUSY, DISCARDED = 1 << 31, 1 << 30
PERF_TYPE_SOFTWARE, PERF_COUNT_SW_BPF_OUTPUT, PERF_SAMPLE_RAW = 1, 10, 1 << 10
PERF_RECORD_SAMPLE = 9
PERF_PAGES = 64 * 4096 // PAGESIZE or 1


def fence_of(machine):
    """Return what keeps later reads behind earlier ones. x86 does so anyway; elsewhere a lock that is free does."""
    if machine == "x86_64":
        return lambda: None
    lock = allocate_lock()

    def fence():
        with lock:
            pass
        with lock:
            pass

    return fence


class RingBuffer:
    """The ring buffer of a map (kernel/bpf/ringbuf.c): a page with our position, a page with the kernel's, the data twice."""

    def __init__(self, descriptor, size):
        self.descriptors = [descriptor]
        self.size = size
        self.ours = mmap(descriptor, PAGESIZE, MAP_SHARED, PROT_READ | PROT_WRITE)
        self.theirs = mmap(descriptor, PAGESIZE + 2 * size, MAP_SHARED, PROT_READ, offset=PAGESIZE)
        # As numbers of 64 bits: read and written in one piece.
        self.taken = memoryview(self.ours).cast("Q")
        self.made = memoryview(self.theirs)[:8].cast("Q")
        self.fence = fence_of(posix.uname().machine)

    def drain(self):
        """Return the records that are there."""
        found = []
        taken, made = self.taken[0], self.made[0]
        self.fence()
        while taken < made:
            at = PAGESIZE + (taken & self.size - 1)
            length, = struct.unpack_from("=I", self.theirs, at)
            self.fence()
            if length & BUSY:
                break
            bytes_ = length & ~DISCARDED
            if not length & DISCARDED:
                found.append(self.theirs[at + 8:at + 8 + bytes_])
            taken += (bytes_ + 15) // 8 * 8
        if found or taken != self.taken[0]:
            self.fence()
            self.taken[0] = taken
        return found


class PerfBuffers:
    """A perf buffer on each CPU (perf_event_open(2)); a map tells programs which is whose."""

    def __init__(self, bpf, maps, name):
        self.descriptors = []
        self.buffers = []
        self.size = PERF_PAGES * PAGESIZE
        self.fence = fence_of(posix.uname().machine)
        for cpu in cpu_list("online"):
            attr = bytearray(PERF_ATTR)
            struct.pack_into("=IIQQQ", attr, 0, PERF_TYPE_SOFTWARE, PERF_ATTR, PERF_COUNT_SW_BPF_OUTPUT, 1, PERF_SAMPLE_RAW)
            struct.pack_into("=I", attr, 48, 1)  # wake up after one
            event = perf_event_open(bpf, attr, -1, cpu)
            self.descriptors.append(event)
            area = mmap(event, PAGESIZE + self.size, MAP_SHARED, PROT_READ | PROT_WRITE)
            maps.put(name, struct.pack("=I", cpu), struct.pack("=I", event))
            ioctl(event, PERF_IOC_ENABLE, 0)
            self.buffers.append((area, memoryview(area)[1024:1040].cast("Q")))

    def drain(self):
        """Return the records of all CPUs; within one they are in order."""
        found = []
        for area, positions in self.buffers:
            head, tail = positions[0], positions[1]
            self.fence()
            while tail < head:
                kind, _, length = struct.unpack("=IHH", self.piece(area, tail, 8))
                if length < 8:
                    tail = head
                    break
                if kind == PERF_RECORD_SAMPLE:
                    data = self.piece(area, tail + 8, length - 8)
                    found.append(data[4:4 + struct.unpack_from("=I", data, 0)[0]])
                tail += length
            self.fence()
            positions[1] = tail
        return found

    def piece(self, area, position, length):
        """Return bytes that may begin at the end and go on at the beginning."""
        at = position % self.size
        data = area[PAGESIZE + at:PAGESIZE + min(at + length, self.size)]
        return data if len(data) == length else data + area[PAGESIZE:PAGESIZE + length - len(data)]
