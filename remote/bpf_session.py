"""Probes of one request: what they all need, attaching them, sending what they see, and the end."""
import errno
import posix
import struct
import time
from select import POLLIN, poll

BPF_FRAME = 16
BATCH = struct.Struct("=IIqQ")  # version, size of a record, wall clock minus monotonic clock, samples lost until now
BATCH_VERSION = 1
MEMLOCK = 8
BATCH_RECORDS = 4096
ROWS_AT_ONCE = 1000
BREATH_S, LONG_BREATH_S = 0.005, 0.25
NAMES_AT_ONCE = 400  # a frame's description has 64 KiB at most
ROWS_BYTES = 8 << 20  # of counts; they stand in the frame's body, for a description would not hold them
STATS_RUN_TIME = 0
SOURCE_CLASSES = {}  # probes that are no eBPF: their class by the name of their source; ev_*.py fill it in


class Session:
    """The probes of a request. ``send(what, meta, payload)`` takes what is for the workstation."""

    def __init__(self, request, send):
        self.request, self.send = request, send
        self.bpf = Loader()
        self.symbols = Symbols()
        self.probes = []
        self.ms = {}
        self.room = float(request["total_bytes"])  # of records; what was sent comes back at bytes_s
        self.filled = time.monotonic()
        self.stats = -1
        self.spaces = None

    def start(self):
        """Start everything that can be; what is asked for and cannot be had is told, one clear outcome each."""
        programs = [asked for asked in self.request["probes"] if asked["source"] not in SOURCE_CLASSES]
        if programs:
            self.start_programs(programs)
        others = [asked for asked in self.request["probes"] if asked["source"] in SOURCE_CLASSES]
        if others:
            self.spaces = Spaces(self.request["namespaces"])
            self.probes += self.spaces.start(others, self)

    def start_programs(self, probes):
        """Load and attach the programs of some probes."""
        try:
            types = self.prepare(probes)
        except Outcome as outcome:
            for asked in probes:
                self.refuse(asked, outcome)
            return
        for asked in probes:
            begun = time.monotonic()
            try:
                probe = BpfProbe(self.bpf, types, asked, self.request["buffers"], self.request["namespaces"])
                works = probe.attach()
            except Outcome as outcome:
                self.refuse(asked, outcome)
                continue
            except (IndexError, ValueError):
                self.refuse(asked, Outcome("failed", "the kernel's types (BTF) are damaged"))
                continue
            except OSError as error:
                outcome = from_errno(error.errno, "bpf")
                if error.errno == errno.EPERM:
                    outcome.detail += " (CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN before 5.8; RLIMIT_MEMLOCK before 5.11)"
                self.refuse(asked, outcome)
                continue
            setup = probe.setup()
            probe.types = None  # 15 MB
            setup["ms"]["all"] = (time.monotonic() - begun) * 1e3
            setup["ms"].update(self.ms)
            if works:
                self.probes.append(probe)
            else:
                setup["status"] = "unavailable"
                probe.maps.close()
            self.send("setup", setup)

    def refuse(self, asked, outcome):
        """Tell that a probe cannot be had at all."""
        self.send("setup", {"probe": asked["name"], "status": "unavailable", "reason": outcome.status, "detail": outcome.detail, "backend": asked["backend"], "hooks": [], "names": {}, "ms": self.ms})

    def prepare(self, probes):
        """Look at what forbids everything, raise the limit of locked memory, and read the kernel's types."""
        lockdown = small_file(self.request["lockdown"])
        if "[confidentiality]" in lockdown:
            raise Outcome("denied", "lockdown is [confidentiality]: programs may not read the kernel's memory")
        raise_memlock()
        begun = time.monotonic()
        try:
            with open(self.request["btf"], "rb", 0) as file:
                raw_types = file.read()
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise Outcome("absent", "%s: ENOENT, this kernel does not show its types (CONFIG_DEBUG_INFO_BTF)" % self.request["btf"])
            raise from_errno(error.errno, self.request["btf"])
        names = set(asked["reasons"] for asked in probes if asked["reasons"])
        for asked in probes:
            names |= names_of_artefact(asked)
        types = KernelTypes(raw_types, names)
        self.bpf.reads_kernel = has_read_kernel(self.bpf)
        self.ms = {"btf": (time.monotonic() - begun) * 1e3}
        return types

    def enable_stats(self):
        """Have the kernel count what programs cost, as long as the descriptor is open (5.8)."""
        try:
            self.stats = self.bpf.call(ENABLE_STATS, bytearray(struct.pack("=I", STATS_RUN_TIME)))
        except OSError:
            self.stats = -1

    def run(self, until):
        """Send what comes, until a time."""
        waiting = self.waiting()
        pause = self.request["counts_s"]
        due = time.monotonic() + pause if pause else until
        while self.probes:
            now, spent = time.monotonic(), time.process_time()
            if now >= until:
                break
            if now >= due:
                self.tell_counts()
                due = now + pause
            found = waiting.poll(max(1, min(until - now, due - now, self.request["interval_s"]) * 1e3))
            self.take(set(descriptor for descriptor, _ in found))
            if self.spaces:
                if self.spaces.follow():
                    waiting = self.waiting()
                # Sockets wake up for each message: taken together they cost a third, and a quarter of a CPU is the most.
                time.sleep(min(LONG_BREATH_S, max(BREATH_S, 3 * (time.process_time() - spent))))

    def waiting(self):
        """Return what waits for all probes."""
        waiting = poll()
        for probe in self.probes:
            for descriptor in probe.descriptors:
                waiting.register(descriptor, POLLIN)
        return waiting

    def take(self, ready):
        """Send what all probes have seen; ``ready`` are the descriptors that are readable."""
        for probe in self.probes:
            probe.forward(self, ready)

    def rows(self, probe, rows):
        """Send events that are no records."""
        for first in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[first:first + ROWS_AT_ONCE]
            text = to_json({"rows": part}).encode()
            self.refill()
            if len(text) > self.room:
                probe.unsent += len(part)
                continue
            self.room -= len(text)
            payload = Payload(len(text))
            payload.add(text)
            offset = int((time.time() - time.monotonic()) * 1e9)
            self.send("rows", {"probe": probe.name, "offset_ns": offset, "lost": probe.lost()}, payload)

    def batch(self, probe, records):
        """Send records, and the names of addresses that are new in them before."""
        size = probe.asked["record"]
        self.refill()
        if size * len(records) > self.room:
            probe.unsent += len(records)
            return
        self.room -= size * len(records)
        if probe.asked["calls"]:
            frames = struct.Struct("=8xQ%dx%dQ" % (RECORD_BYTES - 16, probe.asked["calls"]))
            self.name_addresses(set().union(*map(frames.unpack, records)))
        offset = int((time.time() - time.monotonic()) * 1e9)
        payload = Payload(size * len(records) + BATCH.size)
        payload.add(BATCH.pack(BATCH_VERSION, size, offset, probe.lost()) + b"".join(records))
        self.send("events", {"probe": probe.name}, payload)

    def refill(self):
        """Give back what the time since has brought of room."""
        now = time.monotonic()
        self.room = min(self.request["total_bytes"], self.room + (now - self.filled) * self.request["bytes_s"])
        self.filled = now

    def name_addresses(self, addresses):
        """Send the functions of addresses that were not in anything before."""
        fresh = [address for address in addresses if address and address not in self.symbols.told]
        for first in range(0, len(fresh), NAMES_AT_ONCE):
            names = dict((str(address), self.symbols.name(address)) for address in fresh[first:first + NAMES_AT_ONCE])
            self.send("symbols", {"names": names, "trouble": self.symbols.trouble})

    def tell_counts(self):
        """Send what was counted since the beginning."""
        for probe in self.probes:
            counts = probe.counts()
            self.name_addresses(set(row[0] for row in counts["totals"]))
            rows = Payload(ROWS_BYTES)
            rows.add(to_json(dict((name, counts.pop(name)) for name in ("totals", "flows", "latencies"))).encode())
            self.send("counts", counts, rows)

    def finish(self):
        """Detach, send what is left and what was counted."""
        for probe in self.probes:
            probe.detach()
        self.take(set())
        self.tell_counts()
        if self.stats >= 0:
            posix.close(self.stats)


def raise_memlock():
    """Lift the limit of locked memory, which maps and programs count against before 5.11. It may be refused."""
    try:
        from resource import RLIM_INFINITY, setrlimit

        setrlimit(MEMLOCK, (RLIM_INFINITY, RLIM_INFINITY))
    except (ImportError, OSError, ValueError):
        pass


def watch_with_bpf(request):
    """Answer one request for probes, and end."""
    until = float("inf")
    if request["lease_s"]:
        hold_lease(request["lease_s"])
    else:
        until = guard(request["deadline_s"]) - 1
    frames = Frames(1, request["total_bytes"])

    def send(what, meta, payload=None):
        meta["what"] = what
        frames.send(BPF_FRAME, to_json(meta).encode(), payload)
        frames.flush()

    try:
        frames.send(HELLO, to_json({"program_version": request["version"]}).encode())
        session = Session(request, send)
        session.start()
        if request["stats"]:
            session.enable_stats()
        send("started", {"probes": [probe.name for probe in session.probes]})
        session.run(min(time.monotonic() + (request["duration_s"] or float("inf")), until))
        session.finish()
        frames.send(END, to_json({"items": 0}).encode())
        frames.flush()
    except BrokenPipeError:
        kill_group()
    posix._exit(0)
