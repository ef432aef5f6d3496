"""Probes that are no eBPF: sockets in network namespaces, which stay where they were made.

Namespaces are looked for now and then. One that nobody lives in any more and nothing points to is left at once: a
socket would keep it, and the devices in it, alive.
"""
import posix
import struct
import time
import _socket as sockets

LOOK_S = 2.0
MOST_SPACES = 1024
READS_A_TURN = 256  # of one socket in a turn
BEHIND_NS = 2 * 10 ** 9  # that what waits in a queue may be old
MOST_TOTALS, MOST_FLOWS = 10000, 8192
ROWS_PER_S = 2000
MEMINFO, MEMINFO_BYTES, DROPS_AT = 55, 36, 32  # SO_MEMINFO, Linux 4.12; SK_MEMINFO_DROPS
RCVBUF, RCVBUFFORCE = 8, 33
FIRST_BITS, SLOTS = 9, 32  # bpf/latency.h
FLOW_KEY = struct.Struct("<IBBBxHH16s16s")  # struct flow_key of bpf/record.h, with ports in host order


class Spaces:
    """The namespaces that are watched: those that are wanted, or all."""

    def __init__(self, wanted):
        self.wanted = set(wanted)
        self.home = posix.open("/proc/self/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
        self.own = posix.fstat(self.home).st_ino
        self.root = root_inode()
        self.opened = set()
        self.left_out = self.hidden = 0
        self.probes = []
        self.session = None
        self.due = 0.0

    def start(self, probes, session):
        """Start probes; return those that work."""
        raise_open_files()
        self.session = session
        begun = time.monotonic()
        for asked in probes:
            try:
                self.probes.append(SOURCE_CLASSES[asked["source"]](asked, self))
            except Outcome as outcome:
                session.refuse(asked, outcome)
        if self.probes:
            self.follow()
        for probe in self.probes:
            probe.ms = (time.monotonic() - begun) * 1e3
            probe.tell_setup(session)
        self.probes = [probe for probe in self.probes if probe.sockets]
        return self.probes

    def follow(self):
        """Watch what is new, leave what has ended; return whether there was any."""
        now = time.monotonic()
        if now < self.due:
            return False
        self.due = now + LOOK_S
        found, self.hidden = find_namespaces()
        order = sorted((inode for inode in found if not self.wanted or inode in self.wanted), key=lambda inode: (inode != self.root, inode not in self.opened, inode))
        self.left_out = max(0, len(order) - MOST_SPACES)
        order = order[:MOST_SPACES]
        gone = self.opened.difference(order)
        fresh = [inode for inode in order if inode not in self.opened]
        for probe in self.probes:
            for inode in gone:
                probe.leave(inode)
        self.opened.difference_update(gone)
        for inode in fresh:
            self.visit(found[inode])
        for probe in self.probes:
            if probe.state and probe.state != probe.how():
                probe.tell_setup(self.session)
        return bool(gone or fresh)

    def visit(self, space):
        """Have all probes open their sockets in a namespace. One that has ended meanwhile is as if it had not been found."""
        trouble = None if space.inode == self.own else self.go(space)
        if trouble and trouble.status == "absent":
            return
        self.opened.add(space.inode)
        for probe in self.probes:
            if probe.wants(space.inode):
                probe.join(space.inode, trouble)
        if not trouble and space.inode != self.own:
            enter(self.home)

    def go(self, space):
        """Enter a namespace; return why that cannot be, or None."""
        space.open()
        if space.trouble:
            return space.trouble
        try:
            enter(space.descriptor)
        except OSError as error:
            return from_errno(error.errno, "setns")
        finally:
            posix.close(space.descriptor)


class SourceProbe:
    """One probe by sockets. A class of it has ``open`` and ``read``."""

    def __init__(self, asked, spaces):
        self.asked, self.spaces = asked, spaces
        self.name = asked["name"]
        self.sockets = {}  # descriptor: (inode, socket)
        self.refused = {}  # inode: why it cannot be watched
        self.totals, self.flows = {}, {}  # flows: those that were seen last are last
        self.gone = set()  # namespaces that have ended, and are told of once more
        self.pending = []
        self.sampled = self.unsent = self.uncounted = self.gone_lost = 0
        self.room, self.room_at = ROWS_PER_S, time.monotonic()
        self.detached = False
        self.ms, self.state = 0.0, None  # how starting went, when that was told

    @property
    def descriptors(self):
        """What is readable when something came."""
        return list(self.sockets)

    def wants(self, _):
        """Return whether a namespace is to be watched."""
        return True

    def join(self, inode, trouble):
        """Open sockets in the current namespace."""
        self.gone.discard(inode)
        try:
            if trouble:
                raise trouble
            for made in self.open(inode):
                self.sockets[made.fileno()] = inode, made
            self.refused.pop(inode, None)
        except Outcome as outcome:
            self.refused[inode] = outcome
        except OSError as error:
            self.refused[inode] = from_errno(error.errno, self.asked["hooks"][0][1])
        except Exception as error:
            # What one probe does not expect of this kernel is no reason to lose the others.
            self.refused[inode] = Outcome("failed", "%s: %s" % (type(error).__name__, error))

    def leave(self, inode):
        """Close the sockets in a namespace."""
        self.refused.pop(inode, None)
        self.gone.add(inode)
        for descriptor in [descriptor for descriptor, pair in self.sockets.items() if pair[0] == inode]:
            made = self.sockets.pop(descriptor)[1]
            self.read(inode, made)
            self.gone_lost += drops_of(made)
            made.close()

    def forward(self, session, ready):
        """Read what is readable, and send what there is."""
        whole = True
        for descriptor in ready.intersection(self.sockets):
            inode, made = self.sockets[descriptor]
            whole = self.read(inode, made) and whole
        if not self.detached:
            self.pass_time(0 if whole else BEHIND_NS)
        rows, self.pending = self.pending, []
        session.rows(self, rows)

    def pass_time(self, behind_ns):
        """Do what is due, ``behind_ns`` later while there is more to read; most have nothing."""
        return behind_ns

    def count(self, netns, kind, reason=0, times=1):
        """Count an event."""
        key = netns, reason, kind
        if key not in self.totals and len(self.totals) >= MOST_TOTALS:
            self.uncounted += times
            return
        self.totals[key] = self.totals.get(key, 0) + times

    def count_flow(self, key):
        """Count an event between two ends; the flows that were seen last are kept."""
        number = self.flows.pop(key, 0)
        if len(self.flows) >= MOST_FLOWS:
            del self.flows[next(iter(self.flows))]
        self.flows[key] = number + 1

    def tell(self, row):
        """Keep an event for the workstation, as far as there may be so many."""
        now = time.monotonic()
        self.room = min(ROWS_PER_S, self.room + (now - self.room_at) * ROWS_PER_S)
        self.room_at = now
        if self.room < 1:
            self.unsent += 1
            return
        self.room -= 1
        self.sampled += 1
        self.pending.append(row)

    def lost(self):
        """Return how many messages found no room in the sockets' queues."""
        return self.gone_lost + sum(drops_of(made) for _, made in self.sockets.values())

    def detach(self):
        """Read what is left, and close all sockets."""
        for inode in set(inode for inode, _ in self.sockets.values()):
            self.leave(inode)
        self.detached = True

    def how(self):
        """Return status and detail: what of the namespaces can be watched."""
        watched = len(set(inode for inode, _ in self.sockets.values()))
        troubles = []
        if self.refused:
            first = min(self.refused.values(), key=lambda outcome: outcome.detail)
            troubles.append("%d of %d namespaces cannot be watched: %s" % (len(self.refused), watched + len(self.refused), first.detail))
        if self.spaces.left_out:
            troubles.append("%d namespaces more than %d are not watched" % (self.spaces.left_out, MOST_SPACES))
        if not watched:
            return "unavailable", "; ".join(troubles) or "none of the namespaces that are asked for is here"
        return "degraded" if troubles else "ok", "; ".join(troubles)

    def tell_setup(self, session):
        """Tell how starting went, for people and programs; and again when that changes, by namespaces that came or went."""
        self.state = status, detail = self.how()
        if self.spaces.hidden and not self.spaces.wanted:
            detail = (detail and detail + "; ") + "the namespaces of %d processes may not be read" % self.spaces.hidden
        row = {"program": "", "hook": self.asked["backend"], "status": "failed" if status == "unavailable" else "ok", "detail": detail}
        hooks = [dict(row, what=what, target=by) for what, by in self.asked["hooks"]]
        session.send("setup", {"probe": self.name, "status": status, "detail": detail, "backend": self.asked["backend"], "buffer": "socket", "hooks": hooks, "ms": {"all": self.ms}, "names": {}})

    def counts(self):
        """Return everything that was counted; what is of namespaces that have ended for the last time."""
        found = {
            "probe": self.name,
            "totals": [[0] + list(key) + [number] for key, number in self.totals.items()],
            "flows": self.flow_rows(),
            "health": {"sampled": self.sampled, "lost": self.lost(), "uncounted": self.uncounted, "unsent": self.unsent},
            "cost": {},
            "latencies": self.latencies(),
        }
        if self.gone:
            self.totals = dict((key, number) for key, number in self.totals.items() if key[0] not in self.gone)
            self.flows = dict((key, number) for key, number in self.flows.items() if struct.unpack_from("=I", key)[0] not in self.gone)
            self.gone = set()
        return found

    def flow_rows(self):
        """Return what was counted between two ends."""
        return [[bytes_to_hex(key), number] for key, number in self.flows.items()]

    def latencies(self):
        """Return the rows of the histograms."""
        return []


def drops_of(made):
    """Return how many messages a socket had no room for; 0 before Linux 4.12, which does not tell."""
    try:
        return struct.unpack_from("=I", made.getsockopt(1, MEMINFO, MEMINFO_BYTES), DROPS_AT)[0]
    except (OSError, struct.error):
        return 0


def widen(made, size):
    """Give a socket a longer queue."""
    try:
        made.setsockopt(1, RCVBUFFORCE, size)
    except OSError:
        made.setsockopt(1, RCVBUF, size)


def slot_of(latency_ns):
    """Return the slot of a histogram that a time belongs to."""
    return min(SLOTS - 1, max(0, latency_ns.bit_length() - FIRST_BITS))


def address_of(packed):
    """Return 4 or 16 bytes as an address."""
    return sockets.inet_ntop(2 if len(packed) == 4 else 10, packed)


def raise_open_files():
    """Lift the limit of open files as far as it goes without a privilege."""
    try:
        from resource import RLIMIT_NOFILE, getrlimit, setrlimit

        setrlimit(RLIMIT_NOFILE, (getrlimit(RLIMIT_NOFILE)[1],) * 2)
    except (ImportError, OSError, ValueError):
        pass
