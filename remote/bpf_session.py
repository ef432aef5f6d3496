"""Probes of one request: what they all need, attaching them, sending what they see, and the end."""
import posix
import struct
import time
from select import POLLIN, poll

BPF_FRAME = 16
BATCH = struct.Struct("=IIqQ")  # version, size of a record, wall clock minus monotonic clock, samples lost until now
BATCH_VERSION = 1
BATCH_RECORDS = 4096
ROWS_AT_ONCE = 1000
BREATH_S, LONG_BREATH_S = 0.005, 0.25
NAMES_AT_ONCE = 400  # a frame's description has 64 KiB at most
ROWS_BYTES = 8 << 20  # of counts; they stand in the frame's body, for a description would not hold them
SOURCE_CLASSES = {}  # probes that are no eBPF: their class by the name of their source; ev_*.py fill it in


class Session:
    """The probes of a request. ``send(what, meta, payload)`` takes what is for the workstation."""

    def __init__(self, request, send):
        self.request, self.send = request, send
        self.symbols = Symbols()
        self.probes = []
        self.ms = {}
        self.room = float(request["total_bytes"])  # of records; what was sent comes back at bytes_s
        self.filled = time.monotonic()
        self.stats = -1
        self.spaces = None
        self.backends, self.tested = [], {}

    def start(self, backends):
        """Start everything that can be; what is asked for and cannot be had is told, one clear outcome each."""
        programs = [asked for asked in self.request["probes"] if asked["source"] not in SOURCE_CLASSES]
        if programs:
            self.start_programs(programs, backends)
        others = [asked for asked in self.request["probes"] if asked["source"] in SOURCE_CLASSES]
        if others:
            self.spaces = Spaces(self.request["namespaces"])
            self.probes += self.spaces.start(others, self)

    def start_programs(self, probes, backends):
        """Start every probe by the first backend that can.

        All self-tests are over before anything counts, so that no probe sees another one's.
        """
        self.backends = [make(self) for make in backends]
        if self.request["selftest"]:
            self.rehearse(probes)
        for asked in probes:
            begun, before = time.monotonic(), self.ms.get("btf", 0.0)
            probe, passed = self.begun(asked, self.request["namespaces"])
            if probe is None:
                self.refuse_by(asked, passed)
                continue
            setup = probe.setup()
            setup["passed"] = passed
            probe.types = None  # 15 MB
            setup["ms"]["all"] = (time.monotonic() - begun) * 1e3 - (self.ms.get("btf", 0.0) - before)
            setup["ms"].update(self.ms)
            self.probes.append(probe)
            self.tell_start(setup)
        self.backends = []

    def begun(self, asked, namespaces):
        """Return a probe that is attached, or None, and [backend, status, detail, hooks] of those that could not."""
        passed = []
        for backend in self.backends:
            try:
                return backend.start(asked, namespaces), passed
            except Outcome as outcome:
                passed.append([backend.name, outcome.status, outcome.detail, outcome.payload or []])
        return None, passed

    def rehearse(self, asked_for):
        """Test every probe in our own namespace, and take it off again."""
        own = posix.stat("/proc/self/ns/net").st_ino
        probes = []
        for asked in asked_for:
            probe, _ = self.begun(asked, [own]) if asked["proof"] else (None, None)
            if probe is not None:
                probes.append(probe)
        self.tested = rehearse(probes)
        for probe in probes:
            probe.close()

    def tell_start(self, setup):
        """Send how starting a probe went, and what its self-test gave."""
        result, detail, elapsed = self.tested.get(setup["probe"], ("none", "nothing harmless makes it see something", 0.0))
        if result == "silent":
            setup["status"] = "degraded"
            setup["detail"] = "; ".join(filter(None, (setup["detail"], detail)))
        self.send("setup", setup)
        if self.request["selftest"]:
            self.send("selftest", {"probe": setup["probe"], "result": result, "detail": detail, "ms": elapsed})

    def refuse_by(self, asked, passed):
        """Tell that a probe cannot be had at all, in the words of the best backend, and what the others said."""
        backend, status, detail, hooks = passed[0]
        self.refuse(dict(asked, backend=backend), Outcome(status, detail), hooks, passed[1:])

    def refuse(self, asked, outcome, hooks=(), passed=()):
        """Tell that a probe cannot be had at all."""
        self.send("setup", {"probe": asked["name"], "status": "unavailable", "reason": outcome.status, "detail": outcome.detail, "backend": asked["backend"], "hooks": hooks, "names": {}, "ms": self.ms, "passed": passed})

    def run(self, until, enough):
        """Send what comes, until a time, or until somebody has had ``enough``."""
        waiting = self.waiting()
        pause = self.request["counts_s"]
        due = time.monotonic() + pause if pause else until
        budget = Budget(self.request, self.stats >= 0)
        while self.probes:
            now, spent = time.monotonic(), time.process_time()
            if now >= until or enough:
                break
            for probe, share in budget.step(now, self.budgeted()):
                self.take_off(probe, share, budget)
            if now >= due:
                self.tell_counts()
                due = now + pause
            found = waiting.poll(max(1, min(until - now, due - now, budget.due - now, self.request["interval_s"]) * 1e3))
            if found:
                time.sleep(BREATH_S)  # a flood wakes us up for each record; a frame for each costs three times as much
            self.take(set(descriptor for descriptor, _ in found))
            if self.spaces:
                if self.spaces.follow():
                    waiting = self.waiting()
                # Sockets wake up for each message: taken together they cost a third, and a quarter of a CPU is the most.
                time.sleep(min(LONG_BREATH_S, max(BREATH_S, 3 * (time.process_time() - spent))))
        budget.close()

    def budgeted(self):
        """Return the probes that have a budget and are not taken off. Sockets have a limit of their own, see `run`."""
        by_sockets = self.spaces.probes if self.spaces else ()
        return [probe for probe in self.probes if probe not in by_sockets and probe.attached()]

    def take_off(self, probe, share, budget):
        """Detach a probe that costs too much; what it counted until now is kept."""
        probe.detach()
        self.send("detached", {"probe": probe.name, "reason": "overhead", "share": share, "budget": budget.limit, "by": budget.by})

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
            calls = probe.asked["calls"]
            behind = size - RECORD_BYTES - 8 * calls
            frames = struct.Struct("=8xQ%dx%dQ%dx" % (RECORD_BYTES - 16, calls, behind))
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


def watch_with_bpf(request, backends):
    """Answer one request for probes by the backends that are given, the best first, and end."""
    until, enough = float("inf"), ()
    if request["lease_s"]:
        enough = hold_lease(request["lease_s"])
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
        session.start(backends)
        if request["stats"]:
            session.stats = enabled_stats(Loader())
        send("started", {"probes": [probe.name for probe in session.probes]})
        session.run(min(time.monotonic() + (request["duration_s"] or float("inf")), until), enough)
        session.finish()
        frames.send(END, to_json({"items": 0}).encode())
        frames.flush()
    except BrokenPipeError:
        kill_group()
    posix._exit(0)
