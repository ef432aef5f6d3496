"""The backend ``proc``: the kernel's counters in /proc, which are always there. No events: how many, by namespace and reason.

Where a counter counts what a reason of the kernel says, it has that reason's name, else its own. A counter that is
part of another one here is left out (UdpInErrors, TCPListenDrops), so that nothing is counted twice.
"""
import posix
import time

COUNTED = {
    "packetloss": (
        ("snmp", "Ip", "InHdrErrors", "IP_INHDR"),
        ("snmp", "Ip", "InAddrErrors", "IP_INADDRERRORS"),
        ("snmp", "Ip", "InUnknownProtos", "IP_NOPROTO"),
        ("snmp", "Ip", "InDiscards", "IpInDiscards"),
        ("snmp", "Ip", "OutDiscards", "IpOutDiscards"),
        ("snmp", "Ip", "OutNoRoutes", "IP_OUTNOROUTES"),
        ("snmp", "Ip", "ReasmFails", "IpReasmFails"),
        ("snmp", "Ip", "FragFails", "IpFragFails"),
        ("snmp", "Udp", "NoPorts", "NO_SOCKET"),
        ("snmp", "Udp", "RcvbufErrors", "SOCKET_RCVBUFF"),
        ("snmp", "Udp", "InCsumErrors", "UDP_CSUM"),
        ("snmp", "Udp", "MemErrors", "PROTO_MEM"),
        ("snmp", "Tcp", "InErrs", "TcpInErrs"),
        ("snmp6", "", "Ip6InHdrErrors", "Ip6InHdrErrors"),
        ("snmp6", "", "Ip6InAddrErrors", "Ip6InAddrErrors"),
        ("snmp6", "", "Ip6InNoRoutes", "IP_INNOROUTES"),
        ("snmp6", "", "Ip6OutNoRoutes", "IP_OUTNOROUTES"),
        ("snmp6", "", "Ip6InUnknownProtos", "IP_NOPROTO"),
        ("snmp6", "", "Ip6InDiscards", "Ip6InDiscards"),
        ("snmp6", "", "Ip6OutDiscards", "Ip6OutDiscards"),
        ("snmp6", "", "Udp6NoPorts", "NO_SOCKET"),
        ("snmp6", "", "Udp6RcvbufErrors", "SOCKET_RCVBUFF"),
        ("snmp6", "", "Udp6InCsumErrors", "UDP_CSUM"),
        ("netstat", "IpExt", "InNoRoutes", "IP_INNOROUTES"),
        ("netstat", "TcpExt", "ListenOverflows", "TCP_LISTEN_OVERFLOW"),
        ("netstat", "TcpExt", "TCPBacklogDrop", "SOCKET_BACKLOG"),
        ("netstat", "TcpExt", "TCPZeroWindowDrop", "TCP_ZEROWINDOW"),
        ("netstat", "TcpExt", "TCPRcvQDrop", "TCPRcvQDrop"),
        ("netstat", "TcpExt", "TCPOFODrop", "TCP_OFO_DROP"),
        ("netstat", "TcpExt", "TCPMinTTLDrop", "TCP_MINTTL"),
        ("netstat", "TcpExt", "TCPReqQFullDrop", "TCPReqQFullDrop"),
        ("netstat", "TcpExt", "IPReversePathFilter", "IP_RPFILTER"),
        ("netstat", "TcpExt", "PAWSEstab", "TCP_RFC7323_PAWS"),
        ("netstat", "TcpExt", "PFMemallocDrop", "PFMEMALLOC"),
        ("softnet_stat", "", "dropped", "CPU_BACKLOG"),
    ),
    "tcpreset": (("snmp", "Tcp", "OutRsts", ""),),
    "tcpretrans": (("snmp", "Tcp", "RetransSegs", ""),),
}
COUNTER_KIND = {"packetloss": 1, "tcpreset": 14, "tcpretrans": 20}
UNTOLD = {
    "packetloss": ("each event: who and between whom", "what rules drop (NETFILTER_DROP), and reasons that no counter has"),
    "tcpreset": ("each event: who and between whom", "why a reset was sent, and those that came in"),
    "tcpretrans": ("each event: who and between whom", "which are probes or SYN-ACKs"),
}
WHOLE_NODE = 0  # no namespace's inode


def named_values(text):
    """Return {(group, name): value} of a table of pairs of lines: names, and values below (snmp, netstat)."""
    found = {}
    lines = [line.split() for line in text.split("\n") if line]
    for names, values in zip(lines[::2], lines[1::2]):
        group = names[0].rstrip(":")
        found.update(((group, name), int(value)) for name, value in zip(names[1:], values[1:]))
    return found


def listed_values(text):
    """Return {("", name): value} of a table with a name and a value in each line (snmp6)."""
    lines = [line.split() for line in text.split("\n")]
    return dict((("", line[0]), int(line[1])) for line in lines if len(line) == 2)


def backlog_drops(text):
    """Return how many packets found a CPU's queue full: the second column, of each CPU (softnet_stat)."""
    return {("", "dropped"): sum(int(line.split()[1], 16) for line in text.split("\n") if line)}


TABLES = {"snmp": named_values, "netstat": named_values, "snmp6": listed_values, "softnet_stat": backlog_drops}


class Proc:
    """Counters of all namespaces, or of some."""

    name = "proc"

    def __init__(self, session):
        pass

    def start(self, asked, namespaces):
        """Return a probe that knows what was counted before it, or raise an Outcome."""
        if asked["name"] not in COUNTED:
            raise Outcome("absent", "/proc has no counters of what %s tells" % asked["name"])
        return ProcProbe(asked, namespaces)


class ProcProbe(PlainProbe):
    """What some counters have grown by."""

    backend = "proc"

    def __init__(self, asked, namespaces):
        PlainProbe.__init__(self, asked)
        self.rows, self.wanted = COUNTED[self.name], set(namespaces)
        self.missing = UNTOLD[self.name]
        self.reasons = dict((word, number) for number, word in enumerate(sorted(set(row[3] for row in self.rows if row[3])), 1))
        self.names = dict((str(number), word) for word, number in self.reasons.items())
        begun = time.monotonic()
        self.is_on = True
        self.before = self.look()
        self.latest = self.before
        if not self.before:
            raise Outcome("denied", "no namespace's /proc/PID/net/snmp can be read")
        self.hooks = [{"program": file, "hook": "proc", "target": "/proc/PID/net/" + file, "what": "counters", "status": "ok", "detail": ""} for file in sorted(set(row[0] for row in self.rows))]
        self.ms["attach"] = (time.monotonic() - begun) * 1e3

    def look(self):
        """Return {(namespace, row): value} of every namespace that is wanted and can be read."""
        begun = time.process_time()
        found = {}
        namespaces, _ = find_namespaces()
        own = posix.stat("/proc/self/ns/net").st_ino
        for inode, namespace in namespaces.items():
            if not self.wanted or inode in self.wanted:
                self.look_into(namespace, own, found)
        self.spent += time.process_time() - begun
        return found

    def look_into(self, namespace, own, found):
        """Read one namespace's tables: by a process in it, or from inside where there is none."""
        namespace.open()
        if namespace.descriptor < 0:
            return
        home = -1
        try:
            folder = "/proc/self/net/"
            if namespace.inode != own:
                home = posix.open("/proc/self/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
                enter(namespace.descriptor)
            self.read(namespace.inode, folder, found)
        except OSError:
            pass  # it is not in the totals
        finally:
            posix.close(namespace.descriptor)
            if home >= 0:
                enter(home)
                posix.close(home)

    def read(self, inode, folder, found):
        """Add the values of our rows."""
        tables = dict((file, TABLES[file](text_of(folder + file))) for file in set(row[0] for row in self.rows))
        for number, (file, group, name, _) in enumerate(self.rows):
            value = tables[file].get((group, name))
            if value is not None:
                found[(WHOLE_NODE if file == "softnet_stat" else inode, number)] = value

    def attached(self):
        """Return whether it still looks."""
        return self.is_on

    def detach(self):
        """Look a last time."""
        if self.is_on:
            self.latest = self.look()
        self.is_on = False

    def close(self):
        """There is nothing to let go of."""
        self.is_on = False

    def provable(self):
        """Return what the self-test makes it count, when its own namespace is one of those that it reads."""
        return set(self.asked["proof"]) & {1}

    def kinds_seen(self, _stimulus):
        """Return the kinds of what has been counted."""
        return set(row[3] for row in self.counts()["totals"])

    def counts(self):
        """Return what was counted since the beginning. A smaller number is another namespace with the same inode."""
        if self.is_on:
            self.latest = self.look()
        self.totals = {}
        for (inode, number), value in self.latest.items():
            before = self.before.get((inode, number), 0)
            grown = value - before if value >= before else value
            if grown:
                key = (0, inode, self.reasons.get(self.rows[number][3], 0), COUNTER_KIND[self.name])
                self.totals[key] = self.totals.get(key, 0) + grown
        return PlainProbe.counts(self)
