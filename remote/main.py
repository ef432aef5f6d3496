"""The order of things: who we are, which namespaces there are, then every item of every namespace."""
import posix
import time


def text_payload(text, cap):
    """Return text as a payload."""
    payload = Payload(cap)
    if not payload.add(text.encode("utf-8", "replace")):
        raise Outcome("truncated", "more than %d bytes" % cap, payload)
    return payload, ""


class Program:
    """One answer to one request. The extras are items (name, function of the program) of files that are sent on request."""

    host_extras = netns_extras = ()

    def __init__(self, request, deadline):
        self.request = request
        # The last second belongs to saying what was left out.
        self.soft = deadline - min(1.0, request["deadline_s"] * 0.1)
        self.cap = request["item_bytes"]
        self.wanted = request["items"]
        self.frames = Frames(1, request["total_bytes"])
        self.modules = Modules()
        self.netfilter = Netfilter(self.modules, self.cap, request["item_timeout_s"], self.before_program)
        self.connections = Connections(self.modules, self.cap, request["item_timeout_s"])
        self.netlink = None
        self.links = self.qdiscs = self.filters = b""
        self.bpf = Bpf()
        self.no_ip_vs = None
        self.services = None
        self.root = root_inode()
        self.current = posix.stat("/proc/self/ns/net").st_ino
        self.found, self.hidden = find_namespaces()

    def run(self):
        """Send everything, then the end frame."""
        self.frames.send(HELLO, to_json({"program_version": self.request["version"]}).encode())
        for name, read in (("identity", self.identity), ("namespaces", self.namespaces), ("modules", self.module_list)):
            self.item(0, name, read)
        order = sorted(self.found.values(), key=lambda namespace: namespace.inode != self.root)
        for namespace in order:
            namespace.open()
        for position, namespace in enumerate(order):
            self.visit(namespace, position)
            self.frames.flush()
        for name, read in self.host_extras:
            self.item(0, name, lambda: read(self))
        self.frames.send(END, to_json({"items": self.frames.items}).encode())
        self.frames.flush()

    def item(self, netns, name, read):
        """Read one item and send it, however it went."""
        if self.wanted is not None and name not in self.wanted:
            return
        started = time.monotonic()
        try:
            if started > self.soft:
                raise Outcome("timeout", "the program's deadline of %g s passed before this" % self.request["deadline_s"])
            payload, detail = read()
            status = "ok"
        except Outcome as outcome:
            status, payload, detail = outcome.status, outcome.payload, outcome.detail
        except OSError as error:
            outcome = from_errno(error.errno, error.filename or name)
            status, payload, detail = outcome.status, None, outcome.detail
        self.frames.item(netns, name, status, payload, detail, (time.monotonic() - started) * 1000)

    def before_program(self):
        """Send what waits, because a program may hang; return the seconds that are left for it."""
        self.frames.flush()
        return max(0.01, self.soft - time.monotonic())

    def identity(self):
        """Say which machine this is."""
        return text_payload(to_json(identity(self.request["version"], self.root)), self.cap)

    def namespaces(self):
        """List the namespaces."""
        payload, _ = text_payload(to_json([describe(each, self.root) for each in self.found.values()]), self.cap)
        if self.hidden and posix.geteuid():
            raise Outcome("denied", "the namespaces of %d processes cannot be read: root is needed" % self.hidden, payload)
        # Even root is refused some processes by security modules; their namespaces mostly show in others.
        return payload, "the namespaces of %d processes cannot be read" % self.hidden if self.hidden else ""

    def module_list(self):
        """Send /proc/modules."""
        return text_file("/proc/modules", self.cap, "a kernel without loadable modules")

    def items(self):
        """Return the (name, function) of every item of one namespace."""
        cap, timeout_s = self.cap, self.request["item_timeout_s"]
        rows = [
            (name, lambda kind=kind, body=body, name=name: self.dump(name, kind, body))
            for name, kind, body in ROUTE_DUMPS
        ]
        rows += [
            ("bridge-vlan", self.bridge_vlan),
            ("nsid", self.nsid),
            ("sysctl", lambda: sysctls(cap, self.links, self.current == self.root)),
            ("proc-net-tcp", lambda: tcp_listeners("tcp", self.modules, cap, timeout_s)),
            ("proc-net-tcp6", lambda: tcp_listeners("tcp6", self.modules, cap, timeout_s)),
            ("proc-net-udp", lambda: text_file("/proc/self/net/udp", cap, "this kernel has no IPv4")),
            ("proc-net-udp6", lambda: text_file("/proc/self/net/udp6", cap, "this kernel has no IPv6")),
            ("proc-net-sctp-eps", lambda: text_file("/proc/self/net/sctp/eps", cap, "this kernel has no SCTP loaded")),
            ("tc-filter", self.tc_filters),
            ("bpf", self.bpf_programs),
            ("ip_vs", self.ip_vs),
            ("wireguard", lambda: wireguard(self.links, self.modules, cap, timeout_s)),
            ("ipvs", lambda: self.if_ipvs(lambda: ipvs_dump(cap, timeout_s))),
            ("ip_vs_conn", lambda: self.if_ipvs(lambda: ipvs_templates(cap))),
            ("conntrack", lambda: self.connections.read(self.current == self.root)),
            ("xt-recent", lambda: recent_lists(cap)),
            ("ipset", self.netfilter.ipset),
            ("iptables-nft", lambda: self.netfilter.iptables_nft("iptables", FAMILY_IP)),
            ("ip6tables-nft", lambda: self.netfilter.iptables_nft("ip6tables", FAMILY_IP6)),
            ("iptables-legacy", lambda: self.netfilter.iptables_legacy("iptables", "ip_tables_names")),
            ("ip6tables-legacy", lambda: self.netfilter.iptables_legacy("ip6tables", "ip6_tables_names")),
            ("nft", self.netfilter.nft),
        ]
        return rows + [(name, lambda read=read: read(self)) for name, read in self.netns_extras]

    def dump(self, name, kind, body):
        """Dump one table; the links are kept for what else they tell."""
        data = self.netlink.dump(kind, body, self.cap, name)
        if name == "link":
            self.links = data
        if name == "qdisc":
            self.qdiscs = data
        return packed(data, self.cap), ""

    def tc_filters(self):
        """Send the tc filters; they are kept for the programs that they name."""
        self.filters = tc_filters(self.netlink, self.qdiscs, self.cap)
        return packed(self.filters, self.cap), ""

    def bpf_programs(self):
        """Send where eBPF programs are attached."""
        pids = self.found[self.current].pids if self.current in self.found else []
        rows = self.bpf.attached(self.links, self.filters, cgroup_of(pids, self.current == self.root))
        return text_payload(to_json(rows), self.cap)
    def bridge_vlan(self):
        """Dump the VLANs of bridges, if there is one that filters by them."""
        if self.links and not filters_vlans(self.links):
            raise Outcome("absent", "no tables: no bridge filters VLANs")
        return packed(self.netlink.dump(BRIDGE_VLANS[0], BRIDGE_VLANS[1], self.cap, "bridge-vlan"), self.cap), ""

    def ip_vs(self):
        """Send the IPVS services; when the host's namespace has no such file, the module is not there at all."""
        self.services = False
        if self.no_ip_vs:
            raise self.no_ip_vs
        try:
            payload, detail = text_file("/proc/self/net/ip_vs", self.cap, "no tables: module ip_vs is not loaded")
            # The head of the table alone is at most 147 bytes, and the least service adds 18.
            self.services = payload.size > 150
            return payload, detail
        except Outcome as outcome:
            self.services = outcome.status == "truncated"
            if outcome.status == "absent":
                self.no_ip_vs = outcome
            raise

    def if_ipvs(self, read):
        """Read something of IPVS, where there are services."""
        if self.services is None:
            self.ip_vs()
        if not self.services:
            raise Outcome("absent", "no tables: IPVS has no services here")
        return read()

    def nsid(self):
        """Send the ids by which the current namespace knows the others; the host's namespace first."""
        others = [(each.inode, each.descriptor) for each in self.found.values() if each.inode != self.current and each.descriptor >= 0]
        others.sort(key=lambda pair: pair[0] != self.root)
        return text_payload(to_json(nsids(self.netlink, others)), self.cap)

    def visit(self, namespace, position):
        """Enter a namespace and send its items."""
        trouble = namespace.trouble
        self.links = self.qdiscs = self.filters = b""
        self.services = None
        if position >= self.request["namespaces"]:
            trouble = Outcome("truncated", "more than %d namespaces" % self.request["namespaces"])
        try:
            if not trouble and namespace.inode != self.current:
                enter(namespace.descriptor)
                self.current = namespace.inode
        except OSError as error:
            trouble = from_errno(error.errno, "setns")
        if not trouble:
            try:
                self.netlink = Netlink(NETLINK_ROUTE, self.request["item_timeout_s"])
                self.netfilter.look()
            except OSError as error:
                trouble = from_errno(error.errno, "netlink")
        for name, read in self.items():
            self.item(namespace.inode, name, lambda: refuse(trouble) if trouble else read())
        if self.netlink:
            self.netlink.close()
            self.netlink = None


def refuse(trouble):
    """Raise the reason why a namespace cannot be read."""
    raise trouble


def main(request):
    """Answer one request and end."""
    program = Program(request, guard(request["deadline_s"]))
    try:
        program.run()
    except BrokenPipeError:
        kill_group()
    except BaseException:
        program.frames.flush()  # what is whole stays useful; the missing end frame says that it is not all
        raise
    posix._exit(0)
