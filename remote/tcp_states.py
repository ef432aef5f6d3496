"""TCP sockets of the current namespace, counted by state: one dump of sock_diag, or the files of /proc.

A dump walks the hash of connections, which all namespaces share (0.2 ms for 262,144 buckets), and the two files of
/proc do so much more slowly. So the old request is used, which asks for IPv4 and IPv6 at once, and a namespace without
a single socket, as its sockstat says, is not asked. In the host's namespace the kernel also says in which cgroup a
socket was made: that tells apart the pods on the host's network.
"""
import posix
import struct

NETLINK_SOCK_DIAG, TCPDIAG_GETSOCK = 4, 18
# struct inet_diag_req: family, lengths of addresses, extensions, socket, states (all of them), dbs
ASK_ALL = b"\0" * 52 + struct.pack("=II", 0xFFFFFFFF, 0)
SOCKET = struct.Struct("=17xBB53xII4xI")  # behind nlmsghdr; of inet_diag_msg: state, timer, receive, send queue, inode
BEHIND = 88  # attributes: nlmsghdr and inet_diag_msg
CGROUP_ID = 21  # INET_DIAG_CGROUP_ID, Linux 5.9
LISTEN, TIMEWAIT_TIMER = 10, 3
ORPHANED = (4, 5, 9, 11)  # FIN_WAIT1, FIN_WAIT2, LAST_ACK, CLOSING: closed by its process, and not yet by TCP
WHOLE_SOCKETS = (1, LISTEN)
MOST_SOCKETS = 200000
NO_CGROUPS = "cgroups not told: "


def has_sockets(texts):
    """Tell by sockstat and sockstat6 whether there can be any TCP socket here."""
    numbers = []
    for line in b"\n".join(texts).split(b"\n"):
        words = line.split()
        if words[:1] == [b"TCP:"]:
            numbers += [words[2], words[6]]  # in use, TIME_WAIT
        elif words[:1] == [b"TCP6:"]:
            numbers.append(words[2])
    return len(numbers) < 2 or any(number != b"0" for number in numbers)


class States:
    """Sums of sockets; the key is (path of the cgroup or ``-``, state)."""

    def __init__(self, groups):
        self.groups = groups  # id of a cgroup: its path
        self.rows = {}
        self.sockets = 0
        self.untold = False

    def add(self, path, state, send, receive, orphan):
        """Count one socket."""
        row = self.rows.get((path, state))
        if row is None:
            row = self.rows[path, state] = [0, 0, 0, 0]
        row[0] += 1
        row[1] += send
        row[2] += receive
        row[3] += orphan

    def take(self, data):
        """Count the sockets in one datagram of a dump; return whether more will come."""
        offset = 0
        last = len(data) - 16
        unpack, groups = SOCKET.unpack_from, self.groups
        while offset <= last:
            length, kind, _, _, _ = HEADER_NL.unpack_from(data, offset)
            if kind == ERROR or kind == DONE:
                fail_on_error(data, offset, length, "sock_diag")
                return False
            state, timer, receive, send, inode = unpack(data, offset)
            orphan = 1 if not inode and state in ORPHANED and timer != TIMEWAIT_TIMER else 0
            if state == LISTEN:
                send = 0  # the most that may wait, where /proc says 0
            self.add(OTHERS, state, send, receive, orphan)
            self.sockets += 1
            if groups and length > BEHIND:
                self.add_to_group(data[offset + BEHIND:offset + length], state, send, receive, orphan)
            offset += max(16, (length + 3) & ~3)
        return True

    def add_to_group(self, data, state, send, receive, orphan):
        """Count one socket for the pod in whose cgroup it was made."""
        raw_id = attributes(data, 0).get(CGROUP_ID)
        if not raw_id:
            # Requests and TIME_WAIT are no whole sockets, and never have one.
            self.untold = self.untold or state in WHOLE_SOCKETS
            return
        path = self.groups.get(struct.unpack("=Q", raw_id)[0])
        if path:
            self.add(path, state, send, receive, orphan)

    def take_file(self, path):
        """Count the sockets in /proc/net/tcp or tcp6."""
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            tail = b""
            while self.sockets <= MOST_SOCKETS:
                data = posix.read(descriptor, 1 << 16)
                if not data:
                    return
                lines = (tail + data).split(b"\n")
                tail = lines.pop()
                for line in lines:
                    words = line.split()
                    if len(words) < 10 or words[0] == b"sl":
                        continue
                    state = int(words[3], 16)
                    send, _, receive = words[4].partition(b":")
                    orphan = words[9] == b"0" and state in ORPHANED and words[5][:2] != b"03"
                    self.add(OTHERS, state, int(send, 16), int(receive, 16), int(orphan))
                    self.sockets += 1
        finally:
            posix.close(descriptor)

    def text(self):
        """Return the item: the whole namespace first, then the pods' cgroups."""
        order = sorted(self.rows.items(), key=lambda pair: (pair[0][0] != OTHERS, pair[0]))
        return b"".join(b"%s\t%d\t%d\t%d\t%d\t%d\n" % (key + tuple(row)) for key, row in order)


def tcp_states(modules, timeout_s, texts, groups, why):
    """Return the sums of the current namespace.

    ``texts`` are its sockstat and sockstat6; ``groups`` {id: path} of pods' cgroups, or None where they are not
    told apart; ``why`` says why the ids of cgroups are not known.
    """
    states = States(groups)
    if has_sockets(texts):
        if not modules.is_asked_freely("tcp_diag") or not from_diag(states, timeout_s):
            why = NO_CGROUPS + "module tcp_diag is not loaded" if groups is not None else ""
            for path in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
                try:
                    states.take_file(path)
                except OSError as error:
                    if error.errno not in ENDED:
                        raise
        elif states.untold:
            why = NO_CGROUPS + "Linux 5.9 is needed"
    if states.sockets > MOST_SOCKETS:
        raise Outcome("truncated", "more than %d sockets: the others were not counted" % MOST_SOCKETS, states.text())
    return states.text(), why


def from_diag(states, timeout_s):
    """Count by a dump; return False where the kernel has none."""
    netlink = Netlink(NETLINK_SOCK_DIAG, timeout_s)
    try:
        netlink.request(TCPDIAG_GETSOCK, DUMP, ASK_ALL)
        for data in netlink.datagrams():
            if not states.take(data) or states.sockets > MOST_SOCKETS:
                return True
    except Outcome as outcome:
        if outcome.status != "absent" or states.sockets:
            raise
        return False
    finally:
        netlink.close()


def cgroup_mount():
    """Return where the hierarchy of version 2 is mounted, or b''."""
    for line in slurp("/proc/self/mounts", 1 << 22).split(b"\n"):
        words = line.split()
        if words[2:3] == [b"cgroup2"]:
            return words[1]
    return b""


def cgroup_ids(groups):
    """Return ({id of a cgroup of version 2: path}, why it lacks some).

    An id is the inode of the cgroup's folder (kernfs_node: id, 64 bits wide on 64-bit machines).
    """
    pods = [group for group in groups if group.pod]
    if not pods:
        return {}, ""
    mount = cgroup_mount()
    if not mount:
        return {}, NO_CGROUPS + "no hierarchy of version 2 is mounted"
    found = {}
    for group in pods:
        try:
            found[posix.stat(mount + group.unified).st_ino if group.unified else 0] = group.path
        except OSError:
            pass
    found.pop(0, None)
    if len(found) < len(pods):
        return found, NO_CGROUPS + "%d of %d have no folder below %s" % (len(pods) - len(found), len(pods), text_of(mount))
    return found, ""
