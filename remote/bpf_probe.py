"""One probe: its maps and programs, what of it could be attached, and what it has seen.

A probe lives while one useful hook does; every hook that could not be had is told, with the kernel's errno.
"""
import errno
import posix
import struct
import time

OBJ_INFO_ = 15
INFO_BYTES, RUN_TIME_AT, RUN_COUNT_AT, MISSED_AT = 216, 192, 200, 208
KIND_AT = 48
RECORD_BYTES = 96  # bpf/record.h: struct record; behind it are addresses of calls, or how long it took
ROWS_TOLD = 10000


class Loader(Bpf):
    """bpf(2), and the one other system call that Python has not."""

    reads_kernel = True  # this kernel has bpf_probe_read_kernel

    def __init__(self):
        Bpf.__init__(self)
        self.c = c_types()

    def system_call(self, number, attr, arguments):
        """Call syscall(2) with a bytearray and numbers."""
        syscall, c_long, c_char, _, get_errno = self.c
        view = (c_char * len(attr)).from_buffer(attr)
        result = syscall(c_long(number), view, *[c_long(each) for each in arguments])
        if result < 0:
            raise OSError(get_errno(), "syscall")
        return result


class BpfProbe:
    """One probe of a request."""

    def __init__(self, bpf, types, asked, buffers, namespaces):
        self.bpf, self.types, self.asked = bpf, types, asked
        self.name = asked["name"]
        self.programs = dict((each["name"], each) for each in asked["programs"])
        self.maps = Maps(bpf, asked["maps"])
        self.settings = dict(asked["settings"], filter=int(bool(namespaces)))
        self.hooks, self.links, self.loaded, self.levels = [], [], {}, {}
        self.ms = {"maps": 0.0, "relocate": 0.0, "load": 0.0, "attach": 0.0}
        self.unsent = 0
        self.degraded = False
        begun = time.monotonic()
        self.buffer = None
        self.make_maps(buffers, namespaces)
        self.ms["maps"] = (time.monotonic() - begun) * 1e3

    def make_maps(self, buffers, namespaces):
        """Make the maps, with the ring buffer if this kernel has it, else with perf buffers."""
        for name in self.maps.rows:
            if name not in ("ring", "perf"):
                self.maps.make(name)
        for inode in namespaces:
            self.maps.put("wanted", struct.pack("=I", inode), struct.pack("=I", 1))
        if buffers != "perf":
            try:
                self.maps.make("ring")
                self.buffer = RingBuffer(self.maps.fds["ring"], self.maps.rows["ring"]["entries"])
                self.settings["ring"] = 1
                return
            except OSError as error:
                # EINVAL: a type of map that came with 5.8.
                if buffers == "ring" or error.errno != errno.EINVAL:
                    raise
        self.maps.make("perf")
        self.buffer = PerfBuffers(self.bpf, self.maps, "perf")

    def attach(self):
        """Attach what can be; of alternatives, the first that works whole. Return whether anything works."""
        for group in self.asked["groups"]:
            if group["below"] and not self.is_below(*group["below"]):
                continue
            whole = False
            for alternative in group["any"]:
                whole = self.attach_alternative(alternative, group["what"], group["whole"] or alternative != group["any"][-1])
                if whole:
                    break
            self.degraded = self.degraded or not whole
        return any(row["status"] == "ok" for row in self.hooks)

    def attach_alternative(self, names, what, only_whole):
        """Attach the programs of one alternative; a part of it does not stay where it is of no use, or another follows."""
        before, rows = len(self.links), []
        for name in names:
            rows.append(self.hook(self.programs[name], what))
            if rows[-1]["status"] != "ok" and only_whole:
                self.drop_links(before)
                for row in rows[:-1]:
                    row.update(status="absent", detail="%s/%s is of no use without it" % (row["hook"], row["target"]))
                break
        self.hooks.extend(rows)
        return all(row["status"] == "ok" for row in rows)

    def is_below(self, tracepoint, count):
        """Return whether a tracepoint hands over fewer arguments than ``count``."""
        level = self.types.arity(tracepoint)
        return (self.levels.get(tracepoint, count) if level is None else level) < count

    def hook(self, program, what):
        """Load and attach one program; return how it went."""
        row = {"program": program["name"], "hook": program["hook"], "target": program["target"], "what": what}
        for level in self.possible_levels(program):
            try:
                self.try_level(program, level)
                row.update(status="ok", detail="", args=level)
                return row
            except Outcome as outcome:
                row.update(status=outcome.status, detail=outcome.detail, log=outcome.payload or "", args=level)
                if getattr(outcome, "errno", 0) != errno.EINVAL:
                    break
        return row

    def possible_levels(self, program):
        """Return how many arguments the program may read: what the types tell, else all that it could, most first.

        A program that reads more than there are is refused when it is attached (EINVAL).
        """
        named = set(name for _, name in program["settings"] if name.startswith("args_"))
        if not named:
            return [0]
        known = self.types.arity(program["target"])
        return sorted((int(name[5:]) for name in named), reverse=True) + [0] if known is None else [known]

    def try_level(self, program, level):
        """Load and attach a program that reads as many arguments."""
        settings = dict(self.settings)
        for _, name in program["settings"]:
            if name.startswith("args_"):
                settings[name] = int(int(name[5:]) <= level)
        begun = time.monotonic()
        relocated = Relocated(program, self.types, filled(program, self.maps, settings))
        then = time.monotonic()
        descriptor = load_program(self.bpf, program, relocated, self.asked["license"], self.types)
        after = time.monotonic()
        self.ms["relocate"] += (then - begun) * 1e3
        self.ms["load"] += (after - then) * 1e3
        try:
            self.links.extend(attach(self.bpf, program, descriptor))
        except Outcome:
            posix.close(descriptor)
            raise
        self.ms["attach"] += (time.monotonic() - after) * 1e3
        self.loaded[program["name"]] = descriptor
        self.levels[program["target"]] = level

    def attached(self):
        """Return whether a program of it is on its hook."""
        return bool(self.links)

    def provable(self):
        """Return what the self-test makes it see: numbers of kinds, and whether there are histograms."""
        return set(self.asked["proof"])

    def kinds_seen(self, stimulus):
        """Return the kinds of the records that came of what the self-test did."""
        return set(bytearray(record)[KIND_AT] for record in self.records() if stimulus.is_ours(record))

    def has_measured(self):
        """Return whether anything is in the histograms."""
        return any(map(any, self.latencies()))

    @property
    def descriptors(self):
        """What is readable when there are records."""
        return self.buffer.descriptors

    def forward(self, session, _):
        """Send the records that came since the last time."""
        records = self.records()
        for first in range(0, len(records), BATCH_RECORDS):
            session.batch(self, records[first:first + BATCH_RECORDS])

    def records(self):
        """Return the records that came since the last time, all of one size."""
        size = self.asked["record"]
        return [data[:size] for data in self.buffer.drain()]

    def lost(self):
        """Return how many samples found no room so far."""
        return self.maps.sums("health")[1]

    def cost(self):
        """Return {program: [runs, nanoseconds, misses]}; the first two are counted while somebody has asked for it (5.8).

        A miss is that it was not run, for it was running already on that CPU (5.12; 0 before).
        """
        found = {}
        for name, descriptor in self.loaded.items():
            info = bytearray(INFO_BYTES)
            try:
                self.bpf.call(OBJ_INFO_, bytearray(struct.pack("=IIQ", descriptor, INFO_BYTES, self.bpf.address(info))))
            except OSError:
                continue
            found[name] = [struct.unpack_from("=Q", info, at)[0] for at in (RUN_COUNT_AT, RUN_TIME_AT, MISSED_AT)]
        return found

    def spent_ns(self, by):
        """Return what its programs have cost, as the kernel measured it; or, by its events, what they must have cost."""
        if by == "events":
            sampled, lost, _ = self.maps.sums("health")
            return (sampled + lost + sum(sum(row[:-1]) for row in self.latencies())) * EVENT_NS
        return sum(row[1] for row in self.cost().values())

    def latencies(self):
        """Return the histograms, row by row."""
        return self.maps.columns("latencies") if "latencies" in self.maps.rows else []

    def detach(self):
        """Take the programs off their hooks; what they counted stays readable."""
        self.drop_links(0)

    def drop_links(self, first):
        """Take off the programs that were attached from one on."""
        for descriptor in self.links[first:]:
            posix.close(descriptor)
        del self.links[first:]

    def close(self):
        """Let go of everything, at once."""
        self.detach()
        for descriptor in self.loaded.values():
            posix.close(descriptor)
        self.loaded = {}
        if isinstance(self.buffer, PerfBuffers):
            for descriptor in self.buffer.descriptors:
                posix.close(descriptor)
        self.buffer = None
        self.maps.close()

    def setup(self):
        """Return how attaching went, for people and programs."""
        return {
            "probe": self.name,
            "status": "degraded" if self.degraded else "ok",
            "detail": next((row["detail"] for row in self.hooks if row["status"] != "ok"), "") if self.degraded else "",
            "backend": "core",
            "buffer": "ring" if self.settings.get("ring") else "perf",
            "hooks": self.hooks,
            "ms": self.ms,
            "names": self.types.names_of(self.asked["reasons"]) if self.asked["reasons"] else {},
        }

    def counts(self):
        """Return everything that was counted."""
        totals = [list(struct.unpack("=QIIII", key)[:4]) + list(struct.unpack("=Q", value)) for key, value in self.maps.items("totals", ROWS_TOLD)]
        flows = [[bytes_to_hex(key)] + list(struct.unpack("=Q", value)) for key, value in self.maps.items("flows", ROWS_TOLD)]
        sampled, lost, uncounted = self.maps.sums("health")
        cost = self.cost()
        health = {"sampled": sampled, "lost": lost, "uncounted": uncounted, "unsent": self.unsent, "missed": sum(row.pop() for row in cost.values())}
        return {"probe": self.name, "totals": totals, "flows": flows, "health": health, "cost": cost, "latencies": self.latencies()}


def bytes_to_hex(data):
    """Return bytes as hexadecimal digits."""
    return bytes(data).hex()
