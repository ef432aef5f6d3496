"""The order of a round: processes, the host, then every namespace that is the host's or a pod's; over and over.

Rounds begin at fixed times. While nobody takes what was written, the program waits in that write: the rounds that it
misses are counted, and no more than one is ever held.
"""
import errno
import posix
import sys
import time

NO_FILE = {
    "snmp": "this kernel has no IPv4",
    "netstat": "this kernel has no IPv4",
    "net-dev": "no /proc/net/dev",
    "sockstat": "no /proc/net/sockstat",
    "sockstat6": "this kernel has no IPv6",
    "softnet": "no /proc/net/softnet_stat",
    "ipvs-stats": "no tables: module ip_vs is not loaded",
    "conntrack-proc": NOT_IN_USE,
}
FILE_NAMES = {"net-dev": "dev", "softnet": "softnet_stat", "ipvs-stats": "ip_vs_stats", "conntrack-proc": "stat/nf_conntrack"}
HOST_NAMES = ("identity", "pods", "places", "cgroup-ids", "cgroup-io", "cgroup-fd", "softnet", "rdma-counters", "rdma-resources", "ipvs-stats")
POD_LOGS = "/var/log/pods"
FIRST_PIDS = 0xEFFFFFFC  # include/linux/proc_ns.h: the first PID namespace; from another one, not all is to be seen
COOKIE = 71  # SO_NETNS_COOKIE, Linux 5.14
LOOK_AGAIN = 16  # rounds after which modules may have been loaded by others


class Sampler:
    """Reads one round after the other."""

    def __init__(self, request):
        self.request = request
        self.wanted = request["items"]
        self.cap, self.timeout_s, self.sysfs = request["item_bytes"], request["item_timeout_s"], request["sysfs"]
        self.rounds = Rounds(self.wanted, request["round_bytes"])
        self.walk = Processes("cgroup-io" in self.wanted, "cgroup-fd" in self.wanted)
        self.home = posix.open("/proc/self/ns/net", posix.O_RDONLY | posix.O_CLOEXEC)
        self.own = self.current = posix.fstat(self.home).st_ino
        self.root = root_inode()
        self.read = {}  # inode: cookie, of the namespaces that were read in the last round
        self.modules = None
        self.page_kib = posix.sysconf("SC_PAGESIZE") // 1024
        # conntrack-proc last: it is read where conntrack-stats is not to be had
        self.netns_items = sorted((name for name in self.wanted if name not in HOST_NAMES), key=lambda name: name == "conntrack-proc")

    def run(self):
        """Send rounds at fixed times until there were as many as asked for."""
        interval_s = self.request["interval_s"]
        began = time.monotonic()
        tick = number = skipped = 0
        self.rounds.hello(self.request["version"])
        while True:
            number += 1
            self.round(number, skipped)
            if number == self.request["rounds"]:
                break
            late = int((time.monotonic() - began) / interval_s)
            skipped = max(0, late - tick)
            tick = max(tick, late) + 1
            time.sleep(max(0.0, began + tick * interval_s - time.monotonic()))
        self.rounds.frames.send(END, to_json({"rounds": number}).encode())
        self.rounds.frames.flush()

    def round(self, number, skipped):
        """Read and send one round."""
        began, wall = time.monotonic(), time.time()
        if number % LOOK_AGAIN == 1:
            self.modules = Modules()
        self.walk.look()
        self.texts = {}
        for name in HOST_NAMES[:-1]:
            if name in self.wanted and (name != "identity" or number == 1):
                self.item(0, name, HOST_READERS[name])
        before, self.read = self.read, {}
        try:
            self.namespaces(before)
        finally:
            self.enter_home()
        gone = [inode for inode, cookie in before.items() if self.read.get(inode) != cookie]
        meta = {"number": number, "wall_ns": int(wall * 1e9), "mono_ns": int(began * 1e9), "skipped": skipped}
        if gone:
            meta["gone"] = gone
        body = self.rounds.body(gone)
        meta["took_ms"] = round((time.monotonic() - began) * 1e3, 3)
        meta["cpu_ms"] = round(time.process_time() * 1e3, 3)
        meta["rss_kib"] = int(slurp("/proc/self/statm").split()[1]) * self.page_kib
        self.rounds.frames.send(ROUND, to_json(meta).encode(), body)
        self.rounds.frames.flush()

    def item(self, inode, name, read):
        """Read one item and keep it for the round, however it went."""
        try:
            payload, detail = read(self)
            status = "ok"
        except Outcome as outcome:
            status, payload, detail = outcome.status, outcome.payload or b"", outcome.detail
        except OSError as error:
            outcome = from_errno(error.errno, error.filename or name)
            status, payload, detail = outcome.status, b"", outcome.detail
        except Exception as error:
            # What one item does not expect of this kernel is no reason to lose all others.
            status, payload, detail = "failed", b"", "%s: %s" % (type(error).__name__, error)
        if len(payload) > self.cap:
            status, payload, detail = "truncated", payload[:self.cap], "more than %d bytes" % self.cap
        self.rounds.item(inode, name, status, payload, detail)

    def identity(self):
        """Say which machine this is."""
        facts = identity(self.request["version"], self.root)
        whole = posix.stat("/proc/self/ns/pid").st_ino == FIRST_PIDS
        return to_json(dict(facts, cpus=posix.sysconf("SC_NPROCESSORS_ONLN"), whole_machine=whole)).encode(), ""

    def pods(self):
        """Name the folders in which the kubelet keeps pods' logs: NAMESPACE_NAME_UID."""
        try:
            names = sorted(posix.listdir(POD_LOGS))
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise Outcome("absent", "no %s: the kubelet makes it" % POD_LOGS)
            raise
        return b"".join(raw(name) + b"\n" for name in names), ""

    def places(self):
        """Tell of all namespaces, and that some are too many."""
        data, detail = self.walk.places(self.root)
        over = sum(1 for space in self.walk.spaces.values() if space.is_pod) - self.request["namespaces"]
        if over > 0:
            raise Outcome("truncated", "%d namespaces more than %d were not read" % (over, self.request["namespaces"]), data)
        return data, detail

    def cgroup_ids(self):
        """Tell which cgroup of version 2 has which number, of those in which pods' processes are."""
        groups = [group for space in self.walk.spaces.values() for group in space.groups.values()]
        found, why = cgroup_ids(groups)
        return b"".join(b"%d %s\n" % pair for pair in sorted(found.items())), why

    def namespaces(self, before):
        """Visit the host's namespace, then those of pods."""
        spaces = [space for inode, space in sorted(self.walk.spaces.items()) if space.is_pod and inode != self.root]
        host = self.walk.spaces.get(self.root) or Space(self.root)
        self.groups = cgroup_ids(host.groups.values()) if "tcp-states" in self.wanted else ({}, "")
        self.maximum = None
        for space in [host] + spaces[:self.request["namespaces"]]:
            self.visit(space, before)

    def visit(self, space, before):
        """Enter one namespace and read its items. One that has ended meanwhile is as if it had not been found."""
        trouble = None
        self.is_host = space.inode == self.root
        self.netlink = None
        self.told_by_netlink = False
        self.texts = {}
        try:
            if space.inode != self.current:
                space.open()
                if space.trouble:
                    raise space.trouble
                try:
                    enter(space.descriptor)
                    self.current = space.inode
                finally:
                    posix.close(space.descriptor)
            self.netlink = Netlink(NETLINK_ROUTE, self.timeout_s)
        except Outcome as outcome:
            if outcome.status == "absent":
                return
            trouble = outcome
        except OSError as error:
            trouble = from_errno(error.errno, "setns")
        self.cookie = self.own_cookie()
        self.read[space.inode] = self.cookie
        if self.is_host and "ipvs-stats" in self.wanted:
            self.item(0, "ipvs-stats", refused_by(trouble) if trouble else HOST_READERS["ipvs-stats"])
        for name in self.netns_items:
            self.item(space.inode, name, refused_by(trouble) if trouble else NETNS_READERS[name])
        if self.netlink:
            self.netlink.close()

    def netns_cookie(self):
        """Tell the current namespace's cookie."""
        if not self.cookie:
            raise Outcome("absent", "namespaces have no cookies before Linux 5.14")
        return b"%d" % int.from_bytes(self.cookie, sys.byteorder), ""

    def own_cookie(self):
        """Return what tells this namespace from one that later has its inode, where the kernel knows it."""
        try:
            return self.netlink.socket.getsockopt(1, COOKIE, 8) if self.netlink else b""
        except OSError:
            return b""

    def enter_home(self):
        """Leave the last namespace: a process in it would keep it alive."""
        if self.current != self.own:
            enter(self.home)
            self.current = self.own

    def file(self, name):
        """Return a file of the current namespace."""
        if name not in self.texts:
            self.texts[name] = read_or_absent("/proc/self/net/" + FILE_NAMES.get(name, name), NO_FILE[name])
        return self.texts[name], ""

    def qdiscs(self):
        """Return the queueing disciplines of the current namespace."""
        name, kind, body = next(row for row in ROUTE_DUMPS if row[0] == "qdisc")
        return self.netlink.dump(kind, body, self.cap, name), ""

    def links(self):
        """Return the links of the current namespace, without what changes with every packet."""
        name, kind, body = next(row for row in ROUTE_DUMPS if row[0] == "link")
        return steady_links(self.netlink.dump(kind, body, self.cap, name)), ""

    def tcp(self):
        """Count TCP sockets; in the host's namespace also those of pods."""
        texts = []
        for name in ("sockstat", "sockstat6"):
            try:
                texts.append(self.file(name)[0])
            except Outcome:
                pass
        groups, why = self.groups if self.is_host else (None, "")
        return tcp_states(self.modules, self.timeout_s, texts, groups, why)

    def count(self):
        """Return how many connections the current namespace tracks; it is an outcome that it tracks none."""
        if COUNT not in self.texts:
            self.texts[COUNT] = read_or_absent(COUNT, NOT_IN_USE).strip()
        return self.texts[COUNT]

    def conntrack_count(self):
        """Say how full the table of the current namespace is."""
        count = self.count()
        if self.maximum is None:
            self.maximum = read_or_absent(MAXIMUM, NOT_IN_USE).strip()
        return b"count %s\nmax %s\n" % (count, self.maximum), ""

    def conntrack(self):
        """Return conntrack's counters."""
        self.count()
        answer = conntrack_stats(self.modules, self.cap, self.timeout_s)
        self.told_by_netlink = True
        return answer

    def conntrack_file(self):
        """Return conntrack's counters as /proc tells them, where netlink does not."""
        if self.told_by_netlink:
            raise Outcome("absent", "conntrack-stats tells it")
        return self.file("conntrack-proc")


def refused_by(trouble):
    """Return a reader that says why a namespace cannot be read."""

    def read(_):
        raise trouble

    return read


def of_file(name):
    """Return a reader of a file."""
    return lambda sampler: sampler.file(name)


HOST_READERS = {
    "identity": Sampler.identity,
    "pods": Sampler.pods,
    "places": Sampler.places,
    "cgroup-ids": Sampler.cgroup_ids,
    "cgroup-io": lambda sampler: sampler.walk.io(),
    "cgroup-fd": lambda sampler: sampler.walk.open_files(),
    "softnet": of_file("softnet"),
    "ipvs-stats": of_file("ipvs-stats"),
    "rdma-counters": lambda sampler: rdma_counters(sampler.sysfs),
    "rdma-resources": lambda sampler: rdma_resources(sampler.sysfs, sampler.cap, sampler.timeout_s),
}
NETNS_READERS = {name: of_file(name) for name in ("snmp", "netstat", "net-dev", "sockstat", "sockstat6")}
NETNS_READERS.update({
    "qdisc": Sampler.qdiscs,
    "link": Sampler.links,
    "netns-cookie": Sampler.netns_cookie,
    "tcp-states": Sampler.tcp,
    "conntrack-stats": Sampler.conntrack,
    "conntrack-count": Sampler.conntrack_count,
    "conntrack-proc": Sampler.conntrack_file,
})


def sample(request):
    """Answer one request, round after round."""
    hold_lease(request["lease_s"])
    try:
        Sampler(request).run()
    except BrokenPipeError:
        kill_group()
    posix._exit(0)
