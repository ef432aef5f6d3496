"""Network namespaces: found by the processes that live in them and the names that point to them."""
import errno
import posix

NAME_FOLDERS = ("/run/netns", "/var/run/netns")
CLONE_NEWNET = 0x40000000
MAX_SHOWN = 8  # processes told of in one namespace
MAX_ASKED = 256  # processes of one namespace whose cgroup is read


class Namespace:
    """One network namespace by its inode, with the processes in it and the names that point to it."""

    def __init__(self, inode):
        self.inode = inode
        self.descriptor = -1
        self.names = []
        self.paths = []
        self.pids = []
        self.trouble = None

    def open(self):
        """Open it for setns(). Processes end meanwhile, and an inode may be freed and used again."""
        self.trouble = Outcome("absent", "the namespace ended while the host was read")
        for path in ["/proc/%s/ns/net" % pid for pid in self.pids[:MAX_SHOWN]] + self.paths:
            try:
                descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ESRCH):
                    self.trouble = from_errno(error.errno, path)
                continue
            if posix.fstat(descriptor).st_ino == self.inode:
                self.descriptor = descriptor
                self.trouble = None
                return
            posix.close(descriptor)


def small_file(path):
    """Return the beginning of a file as text, stripped, or ''."""
    try:
        with open(path, "rb", 0) as file:
            return file.read(4096).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def root_inode():
    """Return the inode of process 1's namespace, or of our own when that may not be read."""
    for path in ("/proc/1/ns/net", "/proc/self/ns/net"):
        try:
            return posix.stat(path).st_ino
        except OSError:
            pass
    return 0


def find_namespaces():
    """Return ({inode: Namespace}, number of processes whose namespace may not be read)."""
    found = {}
    hidden = 0
    own_pid = posix.getpid()
    for entry in posix.listdir("/proc"):
        if not entry.isdigit():
            continue
        path = "/proc/" + entry + "/ns/net"
        try:
            inode = int(posix.readlink(path)[5:-1])
        except OSError as error:
            hidden += error.errno in DENIED
            continue
        if inode not in found:
            found[inode] = Namespace(inode)
        if int(entry) == own_pid:
            found[inode].paths.append("/proc/self/ns/net")
        else:
            found[inode].pids.append(entry)
    own = posix.stat("/proc/self/ns/net")
    for folder in NAME_FOLDERS:
        add_names(folder, own.st_dev, found)
    return found, hidden


def add_names(folder, device, found):
    """Add the names in a folder of bind mounts; a name without a mount is a plain file and is left out."""
    try:
        names = sorted(posix.listdir(folder))
    except OSError:
        return
    for name in names:
        try:
            status = posix.stat(folder + "/" + name)
        except OSError:
            continue
        if status.st_dev != device:
            continue
        namespace = found.setdefault(status.st_ino, Namespace(status.st_ino))
        if name not in namespace.names:
            namespace.names.append(name)
            namespace.paths.append(folder + "/" + name)


def describe(namespace, root):
    """Return what the workstation needs to name a namespace. Never command lines or environments."""
    by_cgroup = {}
    for pid in namespace.pids[:MAX_ASKED]:
        by_cgroup.setdefault(small_file("/proc/" + pid + "/cgroup"), []).append(pid)
    pids = []
    depth = 0
    groups = sorted(by_cgroup.items(), key=lambda pair: "kubepods" not in pair[0])
    while len(pids) < MAX_SHOWN and any(len(members) > depth for _, members in groups):
        pids.extend((members[depth], cgroup) for cgroup, members in groups if len(members) > depth)
        depth += 1
    return {
        "inode": namespace.inode,
        "host": namespace.inode == root,
        "names": [name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for name in namespace.names],
        "processes": [
            {"pid": int(pid), "comm": small_file("/proc/" + pid + "/comm"), "cgroup": cgroup}
            for pid, cgroup in pids[:MAX_SHOWN]
        ],
    }


def enter(descriptor):
    """Move this thread into a network namespace. Python has its own setns() from 3.12 on.

    ctypes costs 3 ms to import; what it is made of can call a function too, but does not tell why one failed.
    """
    if hasattr(posix, "setns"):
        posix.setns(descriptor, CLONE_NEWNET)
        return
    try:
        import _ctypes

        setns = _ctypes.dlsym(_ctypes.dlopen(None, 0), "setns")
        if _ctypes.call_function(setns, (descriptor, CLONE_NEWNET)) == 0:
            return
    except (ImportError, AttributeError):
        pass
    import ctypes

    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, "setns")
