"""The budget of probes: what each costs is measured in slices, and one that costs too much is taken off.

The kernel counts the time of programs while somebody keeps a descriptor for it (BPF_ENABLE_STATS, 5.8), which costs
some 65 ns a run itself: so it is on for a slice of the time only. Before 5.8 the cost is that of the events.
"""
import posix
import struct
import time

ENABLE_STATS, STATS_RUN_TIME = 32, 0
STRIKES = 2  # slices over the budget, one after the other
SHARE = 0.02  # of all CPUs, for each probe, where the request names no budget
EVENT_NS = 2000  # what an event costs with its counts and its sample, measured on a small virtual machine


def enabled_stats(bpf):
    """Return the descriptor that makes the kernel count what programs cost, or -1 where it cannot."""
    try:
        return bpf.call(ENABLE_STATS, bytearray(struct.pack("=I", STATS_RUN_TIME)))
    except (OSError, Outcome):
        return -1


class Budget:
    """Slices of measuring, and the probes that were over the limit in the last ones."""

    def __init__(self, request, always_on):
        self.limit = request["budget"]
        if self.limit is None:
            self.limit = SHARE * len(cpu_list("online"))
        self.slice_s, self.pause_s = request["budget_slice_s"], request["budget_every_s"] - request["budget_slice_s"]
        self.always_on = always_on
        self.bpf = Loader()
        self.stats, self.by = -1, "time"
        self.before, self.since = None, 0.0
        self.strikes = {}
        self.due = time.monotonic() if self.limit else float("inf")

    def step(self, now, probes):
        """Begin a slice, or end one; return [(probe, share of a CPU)] of those that have to go."""
        if now < self.due:
            return []
        if self.before is None:
            if not self.always_on:
                self.stats = enabled_stats(self.bpf)
                self.by = "time" if self.stats >= 0 else "events"
            self.since, self.before = time.monotonic(), self.spent(probes)
            self.due = self.since + self.slice_s
            return []
        elapsed_ns = (time.monotonic() - self.since) * 1e9
        shares = [(probe, (spent - self.before[probe.name]) / elapsed_ns) for probe, spent in zip(probes, self.spent(probes).values()) if probe.name in self.before]
        self.before = None
        self.close()
        self.due = now + self.pause_s
        return [pair for pair in shares if self.is_out(*pair)]

    def spent(self, probes):
        """Return what each probe has cost until now, in nanoseconds."""
        return dict((probe.name, probe.spent_ns(self.by)) for probe in probes)

    def is_out(self, probe, share):
        """Return whether a probe was over the limit often enough."""
        self.strikes[probe.name] = self.strikes.get(probe.name, 0) + 1 if share > self.limit else 0
        return self.strikes[probe.name] >= STRIKES

    def close(self):
        """Stop measuring."""
        if self.stats >= 0:
            posix.close(self.stats)
        self.stats = -1
