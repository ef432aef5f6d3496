"""The self-test: what a probe must see is provoked on this node's own loopback, before anything is counted.

A program may be attached to a function that is never called (it was inlined), and then its silence means nothing. So
a second instance of each probe, for our own network namespace only, is attached for some milliseconds, and two things
are done that harm nobody: a datagram to a port of 127.0.0.1 where nobody reads, and a connection that is refused
there. Both ports are bound by us meanwhile, so that they are nobody else's. What it saw is thrown away with it.
"""
import _socket as loopback
import errno
import struct
import time
from select import POLLOUT, poll

LOCALHOST = "127.0.0.1"
SEEN_S = 5.0  # how long a probe may take to see what happened: no time mostly, but a busy node is slow
REFUSED_S = 1.0
ENDS = struct.Struct("=50xB5xHH")  # of struct record: protocol, source port, destination port
HISTOGRAMS = "histograms"


class Stimulus:
    """What was done, and by which ports it is recognised."""

    def __init__(self):
        self.sockets = []
        self.ports = set()
        self.trouble = ""

    def bound(self, kind):
        """Return a socket on a port of loopback that nobody has."""
        made = loopback.socket(loopback.AF_INET, kind)
        self.sockets.append(made)
        made.bind((LOCALHOST, 0))
        made.setblocking(False)
        return made

    def give(self):
        """Do it; ``trouble`` says why this node cannot be made to."""
        try:
            self.lose_datagram()
            self.be_refused()
        except OSError as error:
            self.trouble = "loopback: %s" % errno.errorcode.get(error.errno, str(error))

    def lose_datagram(self):
        """Send a datagram to a socket that is connected to itself, and takes from nobody else."""
        deaf, sender = self.bound(loopback.SOCK_DGRAM), self.bound(loopback.SOCK_DGRAM)
        deaf.connect(deaf.getsockname())
        self.ports.add((17, sender.getsockname()[1], deaf.getsockname()[1]))
        sender.sendto(b"skoopctl", deaf.getsockname())

    def be_refused(self):
        """Connect to a port that is bound, and where nobody listens."""
        shut, client = self.bound(loopback.SOCK_STREAM), self.bound(loopback.SOCK_STREAM)
        ends = client.getsockname()[1], shut.getsockname()[1]
        self.ports.update(((6,) + ends, (6,) + ends[::-1]))
        number = client.connect_ex(shut.getsockname())
        if number == errno.EINPROGRESS:
            waiting = poll()
            waiting.register(client.fileno(), POLLOUT)
            waiting.poll(REFUSED_S * 1e3)
            number = client.getsockopt(loopback.SOL_SOCKET, loopback.SO_ERROR)
        if number != errno.ECONNREFUSED:
            self.trouble = "loopback: a connection to a closed port is not refused, but %s" % errno.errorcode.get(number, "left without an answer")

    def is_ours(self, record):
        """Return whether a record is about what was done here."""
        protocol, source, destination = ENDS.unpack_from(record)
        return (protocol, source, destination) in self.ports

    def close(self):
        """Give the ports back."""
        for each in self.sockets:
            each.close()
        self.sockets = []


class Rehearsal:
    """One probe under test: what it must see, and what it has."""

    def __init__(self, probe):
        self.probe = probe
        self.wanted = probe.provable()
        self.began = time.monotonic()
        self.ms = 0.0

    def look(self, stimulus):
        """Take what the probe saw; return whether that was all."""
        if HISTOGRAMS in self.wanted and self.probe.has_measured():
            self.wanted.discard(HISTOGRAMS)
        for kind in self.probe.kinds_seen(stimulus):
            self.wanted.discard(kind)
        if not self.wanted and not self.ms:
            self.ms = (time.monotonic() - self.began) * 1e3
        return not self.wanted


def rehearse(probes):
    """Return {probe: (result, detail, ms)} of probes that are attached for our own namespace."""
    tests = [Rehearsal(probe) for probe in probes]
    expected = dict((test.probe.name, bool(test.wanted)) for test in tests)
    stimulus = Stimulus()
    for probe in probes:
        probe.kinds_seen(stimulus)  # BCC took a minute for the next one: a buffer may be full of what others did
    stimulus.give()
    end = time.monotonic() + SEEN_S
    while not all([test.look(stimulus) for test in tests]) and not stimulus.trouble and time.monotonic() < end:
        time.sleep(0.002)
    stimulus.close()
    found = {}
    for test in tests:
        elapsed = test.ms or (time.monotonic() - test.began) * 1e3
        if not expected[test.probe.name]:
            found[test.probe.name] = ("none", "nothing harmless makes it see something", 0.0)
        elif not test.wanted:
            found[test.probe.name] = ("ok", "", elapsed)
        elif stimulus.trouble:
            found[test.probe.name] = ("none", stimulus.trouble, elapsed)
        else:
            words = ", ".join(sorted(test.probe.asked["kinds"].get(each, each) for each in test.wanted))
            found[test.probe.name] = ("silent", "attached, and did not see what it was made to see: " + words, elapsed)
    return found
