"""The backend ``tracefs``: tracepoints in a private instance of the kernel's own tracing, without any program.

An instance is a folder that we make and remove. SIGKILL would leave it: so a shell that waits for the end of this
program removes it then, and what a killed shell leaves is removed by the next of us that starts. tracefs is not
mounted from here.
"""
import errno
import posix
import time
from mmap import PAGESIZE

TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
BUFFER_KB = b"512"  # on each CPU
PAGES_AT_ONCE = 256
IPV4, IPV6 = 0x0800, 0x86DD
NO_LOSS = ("CONSUMED", "QUEUE_PURGE")
JANITOR = 'trap "" HUP INT TERM PIPE; read x; n=0; for d in %s*; do until [ ! -d "$d" ] || rmdir "$d" 2>/dev/null || [ $n -gt 100 ]; do n=$((n+1)); sleep 0.1; done; done'
NEVER_SEEN = ("the network namespace, so that it is not narrowed to some", "what the events that find no room are")
UNSEEN = {
    "packetloss": ("both ends of the packet", "the device", "the calls that led there, with the netfilter hook"),
    "tcpretrans": ("the cgroup", "which are tail loss probes"),
    "tcpreset": ("the cgroup",),
}


def loss(form, data, words):
    """Return a dropped packet; messages between processes have no protocol, and are none."""
    reason = form.number_of(data, "reason")
    ethertype = form.number_of(data, "protocol")
    if not ethertype or words.get(reason, "").replace("SKB_DROP_REASON_", "") in NO_LOSS:
        return None
    return {"kind": 1, "location": form.number_of(data, "location"), "reason": reason, "ethertype": ethertype}


def of_socket(form, data, kind, flags=0):
    """Return an event of a socket; its own end is the source."""
    family, source, destination = ends_of(form, data)
    return {
        "kind": kind,
        "family": family,
        "protocol": 6,
        "ethertype": IPV6 if family == 6 else IPV4,
        "source": source,
        "destination": destination,
        "source_port": form.number_of(data, "sport"),
        "destination_port": form.number_of(data, "dport"),
        "state": form.number_of(data, "state"),
        "flags": flags,
    }


def retransmit(form, data, _words):
    """Return a segment that is sent again; which are tail loss probes is not shown."""
    error = form.number_of(data, "err")
    return dict(of_socket(form, data, 20, UNDECIDED), error=error - (1 << 32) if error >> 31 else error)


def retransmit_synack(form, data, _words):
    """Return a SYN-ACK that is sent again."""
    return dict(of_socket(form, data, 22), tcp_flags=0x12)


def reset_sent(form, data, _words):
    """Return a reset that is sent. Since 6.10 there is a reason, and whole addresses of both ends, the sender's first.

    Before, it is of sockets only, and a packet that is shown may be the reset itself (before 5.10).
    """
    has_socket, answers = form.number_of(data, "skaddr"), form.number_of(data, "skbaddr")
    kind = 10 if not has_socket else 12 if answers else 11
    if "reason" not in form.fields:
        return dict(of_socket(form, data, kind, UNDECIDED), tcp_flags=4)
    family, source, source_port = socket_address(form.bytes_of(data, "saddr"))
    _, destination, destination_port = socket_address(form.bytes_of(data, "daddr"))
    row = {"kind": kind, "family": family, "protocol": 6, "ethertype": IPV6 if family == 6 else IPV4 if family else 0, "tcp_flags": 4}
    row.update(source=source, destination=destination, source_port=source_port, destination_port=destination_port)
    return dict(row, reason=form.number_of(data, "reason"), state=form.number_of(data, "state"))


def reset_received(form, data, _words):
    """Return a reset that came in: the other end sent it."""
    row = of_socket(form, data, 13)
    row.update(source=row["destination"], destination=row["source"], tcp_flags=4)
    row.update(source_port=row["destination_port"], destination_port=row["source_port"])
    return row


TRACED = {
    "packetloss": (("skb/kfree_skb", loss),),
    "tcpretrans": (("tcp/tcp_retransmit_skb", retransmit), ("tcp/tcp_retransmit_synack", retransmit_synack)),
    "tcpreset": (("tcp/tcp_send_reset", reset_sent), ("tcp/tcp_receive_reset", reset_received)),
}


class Tracefs:
    """Instances of tracing, one for each probe, so that each tells what it lost."""

    name = "tracefs"

    def __init__(self, session):
        self.folder = ""
        self.stem = ""
        self.keeper = -1

    def start(self, asked, _namespaces):
        """Return a probe whose events are on, or raise an Outcome."""
        if asked["name"] not in TRACED:
            raise Outcome("absent", "tracefs has no events that tell what %s does" % asked["name"])
        if not self.folder:
            self.folder = self.prepare()
        return TracefsProbe(asked, self.folder, "%s/instances/%s%s" % (self.folder, self.stem, asked["name"]))

    def prepare(self):
        """Find where tracefs is mounted, remove what dead programs left, and have somebody remove what we leave."""
        mounted = [each for each in TRACEFS if kind_of(each + "/instances") == FOLDER]
        if not mounted:
            raise Outcome("absent", "tracefs is not mounted at %s, and not mounted from here" % " or ".join(TRACEFS))
        boot = small_file("/proc/sys/kernel/random/boot_id")[:8]
        sweep(mounted[0] + "/instances", boot)
        self.stem = "skoopctl-%s-%d.%s-" % (boot, posix.getpid(), started(posix.getpid()))
        self.keeper = keep_clean(mounted[0] + "/instances/" + self.stem)
        return mounted[0]


def started(pid):
    """Return when a process was started, in ticks since boot; nothing when there is no such process."""
    fields = small_file("/proc/%s/stat" % pid).rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def sweep(folder, boot):
    """Remove instances of ours whose process is gone: the same number at another time is another process."""
    for name in posix.listdir(folder):
        parts = name.split("-")
        if parts[0] != "skoopctl" or len(parts) < 4:
            continue
        pid, _, when = parts[2].partition(".")
        if parts[1] == boot and pid.isdigit() and started(pid) == when:
            continue
        try:
            posix.rmdir(folder + "/" + name)
        except OSError:
            pass  # somebody reads it


def keep_clean(stem):
    """Start a shell, out of our process group, that removes what begins with ``stem`` when this process has ended.

    It waits for the end of a pipe of which only we have the other side. Return our side, or -1 where there is no shell.
    """
    waits, ours = posix.pipe()
    null = posix.open("/dev/null", posix.O_RDONLY | posix.O_CLOEXEC)
    argv = ["/bin/sh", "-c", JANITOR % stem]
    environment = {"LC_ALL": "C", "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}
    try:
        if hasattr(posix, "posix_spawn"):
            moves = [(posix.POSIX_SPAWN_DUP2, waits, 0), (posix.POSIX_SPAWN_DUP2, null, 1), (posix.POSIX_SPAWN_DUP2, null, 2)]
            posix.posix_spawn(argv[0], argv, environment, file_actions=moves, setpgroup=0)
        elif posix.fork() == 0:
            try:
                posix.setpgid(0, 0)
                for source, target in ((waits, 0), (null, 1), (null, 2)):
                    posix.dup2(source, target)
                posix.execve(argv[0], argv, environment)
            finally:
                posix._exit(127)
    except OSError:
        posix.close(ours)
        return -1
    finally:
        posix.close(waits)
        posix.close(null)
    return ours


def put(path, data):
    """Write into a file of tracefs."""
    descriptor = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
    try:
        posix.write(descriptor, data)
    finally:
        posix.close(descriptor)


class TracefsProbe(PlainProbe):
    """Some events in an instance of their own."""

    backend = "tracefs"

    def __init__(self, asked, tracing, instance):
        PlainProbe.__init__(self, asked)
        self.tracing, self.instance = tracing, instance
        self.missing = UNSEEN[self.name] + NEVER_SEEN
        self.readers, self.pipes, self.rest, self.gone = {}, [], [], 0
        self.undecided = False
        begun = time.monotonic()
        try:
            posix.mkdir(instance, 0o700)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise from_errno(error.errno, instance)
        try:
            self.begin()
        except (OSError, Outcome) as error:
            self.close()
            raise error if isinstance(error, Outcome) else from_errno(error.errno, instance)
        self.ms["attach"] = (time.monotonic() - begun) * 1e3

    def begin(self):
        """Open the buffers and switch the events on, each of which may be missing."""
        self.data_at = Format(self.whole(self.tracing + "/events/header_page")).fields["data"][0]
        put(self.instance + "/buffer_size_kb", BUFFER_KB)
        put(self.instance + "/trace_clock", b"mono")
        flags = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK
        self.pipes = [posix.open("%s/per_cpu/cpu%d/trace_pipe_raw" % (self.instance, cpu), flags) for cpu in cpu_list("online")]
        for event, reader in TRACED[self.name]:
            row = {"program": event.rpartition("/")[2], "hook": "tracefs", "target": event, "what": event}
            self.hooks.append(row)
            try:
                form = Format(self.whole("%s/events/%s/format" % (self.instance, event)))
                words = form.words("reason")
                self.readers[form.number] = (form, reader, words)
                put("%s/events/%s/enable" % (self.instance, event), b"1")
                row.update(status="ok", detail="")
            except OSError as error:
                row.update(status="absent", detail="%s: %s" % (event, errno.errorcode.get(error.errno, str(error.errno))))
                continue
            if words:
                self.names = dict((str(number), word) for number, word in words.items())
            if event == "skb/kfree_skb" and "reason" not in form.fields:
                self.missing += ("the reason (since 5.17)",)
            if event == "tcp/tcp_send_reset" and "reason" not in form.fields:
                self.undecided = True
                self.missing += ("resets without a socket (since 6.10)",)
        if not any(row["status"] == "ok" for row in self.hooks):
            raise Outcome("absent", self.hooks[0]["detail"], self.hooks)

    def whole(self, path):
        """Return a file's text."""
        with open(path, "rb", 0) as file:
            return file.read(1 << 16).decode("ascii", "replace")

    def attached(self):
        """Return whether it still sees."""
        return bool(self.pipes)

    def provable(self):
        """Return what the self-test makes it see."""
        return set(self.asked["proof"]) - {10 if self.undecided else 0}

    def kinds_seen(self, stimulus):
        """Return the kinds of what the self-test did. A loss without its ends is taken for one of ours by its reason."""
        found = set()
        for record in self.records():
            row = RECORD.unpack_from(record)
            if stimulus.is_ours(record) or (not row[9] and self.names.get(str(row[6]), "NO_SOCKET").endswith("NO_SOCKET")):
                found.add(row[8])
        return found

    def records(self):
        """Return the records that came since the last time, in their order; they are counted on their way."""
        begun = time.process_time()
        found, self.rest = self.rest, []
        for pipe in self.pipes:
            for _ in range(PAGES_AT_ONCE):
                try:
                    page = posix.read(pipe, PAGESIZE)
                except OSError:  # nothing is there
                    break
                if len(page) <= self.data_at:
                    break
                for now, data in events_of(page, self.data_at):
                    self.take(now, data, found)
        found.sort(key=lambda record: record[:8][::-1])
        self.spent += time.process_time() - begun
        return found

    def take(self, now, data, found):
        """Make a record of an event."""
        form, reader, words = self.readers.get(int.from_bytes(data[:2], "little"), (None, None, None))
        row = reader(form, data, words) if reader else None
        if row is None:
            return
        get = row.get
        head = (now, get("location", 0), 0, 0, 0, 0, get("reason", 0), 0, row["kind"], get("family", 0), get("protocol", 0))
        ends = (get("ethertype", 0), get("source_port", 0), get("destination_port", 0), get("error", 0), get("source", b""), get("destination", b""))
        fields = head + (get("tcp_flags", 0), get("state", 0), get("flags", 0)) + ends
        self.sampled += 1
        self.count(fields[:18] + tuple(each.ljust(16, b"\0") for each in fields[18:]))
        found.append(RECORD.pack(*fields).ljust(self.asked["record"], b"\0"))

    def lost(self):
        """Return how many events were overwritten before they were read, or found no room."""
        if not self.pipes:
            return self.gone
        total = 0
        for cpu in cpu_list("online"):
            for line in small_file("%s/per_cpu/cpu%d/stats" % (self.instance, cpu)).split("\n"):
                name, _, value = line.partition(":")
                if name in ("overrun", "dropped events") and value.strip().isdigit():
                    total += int(value)
        return total

    def detach(self):
        """Switch the events off, read what is left, and remove the instance."""
        if not self.pipes:
            return
        try:
            put(self.instance + "/events/enable", b"0")
        except OSError:
            pass
        self.rest = self.records()
        self.gone = self.lost()
        self.close()

    def close(self):
        """Remove the instance."""
        for pipe in self.pipes:
            posix.close(pipe)
        self.pipes = []
        try:
            posix.rmdir(self.instance)
        except OSError:
            pass  # the shell that waits for our end tries again
