"""A probe without eBPF: the same records and counts, from what the kernel shows anyway."""
import struct

RECORD = struct.Struct("=QQQQIIIIBBBBBBHHHi16s16s")  # bpf/record.h: struct record
FLOW_KEY_PLAIN = struct.Struct("=IBBBxHH16s16s")  # struct flow_key
UNDECIDED = 2
TOTALS_KEPT, FLOWS_KEPT = 4096, 8192


def text_of(path):
    """Return a whole file's text, or nothing where there is none."""
    try:
        with open(path, "rb", 0) as file:
            parts = []
            while True:
                data = file.read(1 << 16)
                if not data:
                    return b"".join(parts).decode("ascii", "replace")
                parts.append(data)
    except OSError:
        return ""


class PlainProbe:
    """What such probes share: counting, and saying how it went."""

    backend = ""
    missing = ()
    descriptors = ()  # it is looked at now and then

    def __init__(self, asked):
        self.asked, self.name = asked, asked["name"]
        self.hooks, self.names, self.ms = [], {}, {}
        self.unsent = self.sampled = self.uncounted = 0
        self.totals, self.flows = {}, {}
        self.spent = 0.0
        self.types = None

    def setup(self):
        """Return how it went. It is degraded: the best backend tells more."""
        return {
            "probe": self.name,
            "status": "degraded",
            "detail": "by %s: what it cannot tell is %s" % (self.backend, "; ".join(self.missing)),
            "backend": self.backend,
            "buffer": "",
            "hooks": self.hooks,
            "ms": self.ms,
            "names": self.names,
            "missing": list(self.missing),
        }

    def count(self, row):
        """Count one event, given as the fields of its record, as the programs do."""
        key = (row[1], row[4], row[6], row[8])
        if key in self.totals or len(self.totals) < TOTALS_KEPT:
            self.totals[key] = self.totals.get(key, 0) + 1
        else:
            self.uncounted += 1
        if row[9]:
            flow = FLOW_KEY_PLAIN.pack(row[4], row[8], row[9], row[10], row[15], row[16], row[18], row[19])
            self.flows[flow] = self.flows.pop(flow, 0) + 1
            if len(self.flows) > FLOWS_KEPT:
                del self.flows[next(iter(self.flows))]

    def counts(self):
        """Return everything that was counted."""
        health = {"sampled": self.sampled, "lost": self.lost(), "uncounted": self.uncounted, "unsent": self.unsent}
        totals = [list(key) + [count] for key, count in self.totals.items()]
        flows = [[bytes_to_hex(key), count] for key, count in self.flows.items()]
        return {"probe": self.name, "totals": totals, "flows": flows, "health": health, "cost": {}, "latencies": []}

    def spent_ns(self, _by):
        """Return what reading and counting has cost this process."""
        return self.spent * 1e9

    def has_measured(self):
        """There are no histograms."""
        return False

    def forward(self, session, _):
        """Send the records that came since the last time."""
        records = self.records()
        for first in range(0, len(records), BATCH_RECORDS):
            session.batch(self, records[first:first + BATCH_RECORDS])

    def records(self):
        """Return the records that came since the last time."""
        return []

    def lost(self):
        """Return how many events found no room so far."""
        return 0
