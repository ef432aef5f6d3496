"""One walk over the node's processes: the namespaces that they are in, the pods that they are of, what they have done.

Nothing that is found is kept open, and all of it is found anew each round. What is remembered of a process are
numbers. The inode of /proc/PID is given to one process only; it may change (the kernel forgets what it cached), and
then the time when the process began tells whether it is the same.
"""
import errno
import posix

MOST_PROCESSES = 32768
MOST_LINKS = 200000  # open files that are read in one round
MOST_GROUPS = 8  # cgroups told of one namespace
MOST_OPENED = 4  # processes tried to enter a namespace by
KERNEL_THREAD = 0x00200000  # PF_KTHREAD
ENDED = (errno.ENOENT, errno.ESRCH)
HEX = frozenset(b"0123456789abcdef")
OTHERS = b"-"


def slurp(path, cap=1 << 20):
    """Return a small file below /proc; a short answer is the last one (see files.py)."""
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        data = posix.read(descriptor, 16384)
        if len(data) < 2048:
            return data
        parts = [data]
        size = len(data)
        while data and size <= cap:
            data = posix.read(descriptor, 65536)
            parts.append(data)
            size += len(data)
    finally:
        posix.close(descriptor)
    data = b"".join(parts)
    if size > cap:
        raise Outcome("truncated", "%s: more than %d bytes" % (path, cap), data[:cap])
    return data


def pod_end(path):
    """Return where the pod's UID ends in a cgroup's path, or 0; the innermost pod counts.

    The UID is as in skoopctl/kernel/host_facts.py: with the systemd driver ``-pod<uid with _>.slice``, with cgroupfs
    ``/pod<uid>``; a static pod's has no separators.
    """
    at = len(path)
    while True:
        at = path.rfind(b"pod", 0, at)
        if at < 0:
            return 0
        if path[at - 1:at] in (b"/", b"-"):
            for size in (36, 32):
                word = path[at + 3:at + 3 + size]
                end = at + 3 + size
                if len(word) == size and is_uid(word) and (end == len(path) or path[end:end + 1] in (b"/", b":") or path[end:end + 6] == b".slice"):
                    return end


def is_uid(word):
    """Tell whether a word of 36 or 32 bytes is a UID."""
    if len(word) == 36:
        if any(word[at] not in b"-_" for at in (8, 13, 18, 23)):
            return False
        word = word[:8] + word[9:13] + word[14:18] + word[19:23] + word[24:]
    return HEX.issuperset(word)


class Group:
    """What the text of a /proc/PID/cgroup means: a line to show, the pod's path or ``-``, the pod, version 2's path."""

    def __init__(self, text):
        rows = [(line, line.split(b":", 2)[2]) for line in text.split(b"\n") if line.count(b":") >= 2]
        self.line, self.path, self.pod, self.unified = rows[-1][0] if rows else b"", OTHERS, b"", b""
        for line, path in rows:
            end = pod_end(path)
            if not end and b"kubepods" not in path:
                continue
            if self.path == OTHERS:
                self.line, self.path, self.pod = line, path, path[:end] if end else path
            if line.startswith(b"0::"):
                self.unified = path


class Space(Namespace):
    """A network namespace, with the groups of its processes by their lines."""

    def __init__(self, inode):
        Namespace.__init__(self, inode)
        self.groups = {}
        self.is_pod = False


class Process:
    """What is remembered of a process: who it is, and its numbers of I/O when it was last seen."""

    __slots__ = ("inode", "start", "kernel", "io", "seen")

    def __init__(self):
        self.inode = self.start = self.seen = 0
        self.kernel = False
        self.io = (0, 0, 0, 0)


class Processes:
    """Walks over /proc once a round."""

    def __init__(self, with_io, with_files):
        self.with_io = with_io and kind_of("/proc/self/io") != 0
        self.with_files = with_files
        self.known = {}
        self.totals = {}  # path: [syscr, syscw, read_bytes, write_bytes]
        self.pods = {}  # path: the pod's own path
        self.groups = {}
        self.round = 0

    def look(self):
        """Find what there is now."""
        self.round += 1
        self.spaces, self.counts, self.files = {}, {}, {}
        self.hidden = self.io_refused = self.files_refused = self.links = 0
        groups, self.groups = self.groups, {}
        names = [entry for entry in posix.listdir("/proc") if entry.isdigit()]
        self.unseen = "1" not in names
        self.left_out = max(0, len(names) - MOST_PROCESSES)
        for name in names[:MOST_PROCESSES]:
            try:
                self.visit(name, groups)
            except OSError as error:
                self.hidden += error.errno not in ENDED
            except (IndexError, ValueError):
                self.hidden += 1  # not what this kernel's files should look like
        for name in [name for name, process in self.known.items() if process.seen != self.round]:
            del self.known[name]
        self.forget_groups()

    def visit(self, name, groups):
        """Look at one process."""
        folder = "/proc/" + name
        inode = posix.stat(folder).st_ino
        process = self.known.get(name)
        if process is None or process.inode != inode:
            process = self.known[name] = who(folder, inode, process)
        process.seen = self.round
        if process.kernel:
            return
        try:
            space = int(posix.readlink(folder + "/ns/net")[5:-1])
        except OSError as error:
            if error.errno not in DENIED:
                raise
            space = 0
            self.hidden += 1
        text = slurp(folder + "/cgroup")
        group = self.groups.get(text)
        if group is None:
            group = self.groups[text] = groups.get(text) or Group(text)
        path = group.path
        self.counts[path] = self.counts.get(path, 0) + 1
        if space:
            self.add_to_space(space, name, group)
        if self.with_io:
            self.read_io(folder, process, group)
        if self.with_files:
            self.read_files(folder, path)

    def add_to_space(self, inode, name, group):
        """Note that a process is in a namespace."""
        space = self.spaces.get(inode)
        if space is None:
            space = self.spaces[inode] = Space(inode)
        if len(space.pids) < MOST_OPENED:
            space.pids.append(name)
        space.groups[group.line] = group
        if group.pod:
            space.is_pod = True

    def read_io(self, folder, process, group):
        """Add what a process has done since it was last seen."""
        try:
            words = slurp(folder + "/io").split()
        except OSError as error:
            if error.errno not in DENIED:
                raise
            self.io_refused += 1
            return
        now = (int(words[5]), int(words[7]), int(words[9]), int(words[11]))
        totals = self.totals.get(group.path)
        if totals is None:
            totals = self.totals[group.path] = [0, 0, 0, 0]
            self.pods[group.path] = group.pod
        before = process.io
        if now != before:
            # Older kernels may tell less than before for a moment, while a thread ends.
            process.io = tuple(map(max, now, before))
            for at in (0, 1, 2, 3):
                totals[at] += process.io[at] - before[at]

    def read_files(self, folder, path):
        """Note what a process has open; what several have open is one."""
        found = self.files.setdefault(path, set())
        try:
            names = posix.listdir(folder + "/fd")
        except OSError as error:
            if error.errno not in DENIED:
                raise
            self.files_refused += 1
            return
        for name in names:
            self.links += 1
            if self.links > MOST_LINKS:
                return
            try:
                found.add(posix.readlink(folder + "/fd/" + name))
            except OSError:
                pass  # closed meanwhile

    def forget_groups(self):
        """Add the numbers of containers that ended to those of their pod, while that has processes; then forget them."""
        alive = {self.pods.get(path) for path in self.counts}
        for path in [path for path in self.totals if path not in self.counts and path != OTHERS]:
            pod = self.pods[path]
            if pod in alive and pod == path:
                continue
            ended = self.totals.pop(path)
            del self.pods[path]
            if pod in alive:
                totals = self.totals.setdefault(pod, [0, 0, 0, 0])
                self.pods[pod] = pod
                for at in (0, 1, 2, 3):
                    totals[at] += ended[at]

    def places(self, root):
        """Return the item ``places``: every namespace, its names and who lives in it."""
        named = {}
        for folder in NAME_FOLDERS:
            add_names(folder, posix.stat("/proc/self/ns/net").st_dev, named)
        for inode, namespace in named.items():
            self.spaces.setdefault(inode, Space(inode)).names = namespace.names
        rows = [
            {
                "inode": inode,
                "host": inode == root,
                "names": [text_of(raw(name)) for name in space.names],
                "cgroups": [text_of(line) for line in sorted(space.groups, key=lambda line: (not space.groups[line].pod, line))[:MOST_GROUPS]],
            }
            for inode, space in sorted(self.spaces.items())
        ]
        words = "the namespaces of %d processes cannot be read" % self.hidden if self.hidden else ""
        if self.hidden and posix.geteuid():
            raise Outcome("denied", words + ": root is needed", to_json(rows).encode())
        # Even root is refused some processes by security modules; their namespaces mostly show in others.
        return self.checked(to_json(rows).encode()), words

    def io(self):
        """Return the item ``cgroup-io``."""
        if not self.with_io:
            raise Outcome("absent", "this kernel does not count the I/O of processes")
        rows = [
            b"%s\t%d\t%d\t%d\t%d\t%d\n" % ((path, self.counts.get(path, 0)) + tuple(numbers))
            for path, numbers in sorted(self.totals.items())
        ]
        if self.io_refused or self.hidden:
            raise Outcome("denied", "the I/O of %d processes cannot be read" % max(self.io_refused, self.hidden), b"".join(rows))
        return self.checked(b"".join(rows)), ""

    def open_files(self):
        """Return the item ``cgroup-fd``."""
        if self.links > MOST_LINKS:
            raise Outcome("truncated", "more than %d open files: the others were not counted" % MOST_LINKS, self.file_rows())
        if self.files_refused or self.hidden:
            raise Outcome("denied", "the open files of %d processes cannot be read" % max(self.files_refused, self.hidden), self.file_rows())
        return self.checked(self.file_rows()), ""

    def checked(self, data):
        """Return what was read, or raise why it is not of all processes."""
        if self.left_out:
            raise Outcome("truncated", "%d processes more than %d were not looked at" % (self.left_out, MOST_PROCESSES), data)
        if self.unseen:
            raise Outcome("denied", "/proc hides processes from this user: root is needed", data)
        return data

    def file_rows(self):
        """Return a line for each cgroup: processes, open files, those of them that are sockets."""
        return b"".join(
            b"%s\t%d\t%d\t%d\n" % (path, self.counts.get(path, 0), len(found), sum(1 for name in found if name.startswith("socket:[")))
            for path, found in sorted(self.files.items())
        )


def who(folder, inode, before):
    """Return what is to be remembered of a process that is new, or shown under a new inode."""
    words = slurp(folder + "/stat").rpartition(b")")[2].split()
    process = Process()
    process.start = int(words[19])
    process.kernel = bool(int(words[6]) & KERNEL_THREAD)
    if before is not None and before.start == process.start:
        process.io = before.io
    process.inode = inode
    return process


def text_of(name):
    """Return bytes of the kernel as text."""
    return name.decode("utf-8", "replace")
