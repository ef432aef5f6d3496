"""Netfilter rules: as text from the node's own tools, asked only where the kernel has tables.

Starting iptables-save where there are no tables would make the kernel load modules and, on new kernels,
create tables. So the kernel is asked first: nftables by netlink, legacy tables by /proc.
"""
import posix
import struct

FAMILY_IP, FAMILY_IP6 = 2, 10
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
IPTABLES_TABLES = ("raw", "mangle", "nat", "filter", "security")
IPSET_LIST = 6 << 8 | 7
NO_RULES = b"# no tables\n"
NO_NFT = b'{"nftables": []}\n'


def nothing(text):
    """Return a payload that says 'there are none', in the words of the format."""
    payload = Payload(len(text))
    payload.add(text)
    return payload, "no tables"


class Netfilter:
    """The tools of this node and how to use them in the current namespace."""

    def __init__(self, modules, cap, timeout_s, before_program):
        self.modules = modules
        self.cap = cap
        self.timeout_s = timeout_s
        self.before_program = before_program
        self.flavours = {}
        self.tables = []
        self.shown = set()
        self.trouble = None
        self.no_sets = None

    def look(self):
        """Ask the kernel for the nftables tables of the current namespace."""
        self.tables = []
        self.shown = set()
        self.trouble = None
        try:
            self.modules.require("nf_tables")
            self.tables = nft_tables(self.timeout_s)
        except Outcome as outcome:
            self.trouble = outcome
        except OSError as error:
            self.trouble = from_errno(error.errno, "nftables")
        # EINVAL: a subsystem that this kernel's nfnetlink does not know.
        if self.trouble and ("this kernel does not have it" in self.trouble.detail or self.trouble.detail.endswith("EINVAL")):
            self.trouble = Outcome("absent", "no tables: this kernel has no nftables")

    def ipset(self):
        """Return the dump of all sets with their members; when the module is missing, it is for all namespaces."""
        if self.no_sets:
            raise self.no_sets
        try:
            self.modules.require("ip_set")
            netlink = Netlink(NETLINK_NETFILTER, self.timeout_s)
            try:
                # Every kernel takes protocol 6 here, those with protocol 7 too (IPSET_PROTOCOL_MIN).
                data = netlink.dump(IPSET_LIST, struct.pack("=IHHBxxx", 0, 5, 1, 6), self.cap, "ipset")
            finally:
                netlink.close()
        except Outcome as outcome:
            if outcome.detail.endswith("EINVAL"):  # nfnetlink knows no such subsystem
                outcome = Outcome("absent", "no tables: this kernel has no ipset")
            if outcome.status == "absent":
                self.no_sets = outcome
            raise outcome
        if len(data) <= 20:  # the end message alone
            raise Outcome("absent", "no tables: there are no sets")
        return packed(data, self.cap), ""

    def nft(self):
        """Return the whole nftables ruleset as JSON, unless iptables-nft-save has shown all of it."""
        if self.trouble:
            raise self.trouble
        if not self.tables:
            return nothing(NO_NFT)
        if self.shown.issuperset(self.tables):
            payload, _ = nothing(NO_NFT)
            return payload, "no tables but those of iptables-nft-save"
        program = find_program("nft")
        if not program:
            shown = ", ".join("%s %s" % (FAMILIES.get(family, family), name) for family, name in self.tables[:64])
            raise Outcome("absent", "unreadable: nftables tables exist (%s), but there is no nft program" % shown)
        return self.output_of([program, "-j", "-a", "list", "ruleset"])

    def iptables_nft(self, stem, family):
        """Return what iptables-nft keeps in nftables."""
        if self.trouble:
            raise self.trouble
        names = [name for number, name in self.tables if number == family and name in IPTABLES_TABLES]
        if not names:
            return nothing(NO_RULES)
        payload, complaint = self.save(stem, "nft", names, b"incompatible")
        if not payload.seen:
            self.shown.update((family, name) for name in names)
        return payload, complaint

    def iptables_legacy(self, stem, proc_file):
        """Return the legacy tables."""
        payload, _ = text_file("/proc/self/net/" + proc_file, 1 << 16, "no tables: legacy %s is not loaded" % stem)
        names = payload.finish()[1].decode().split()
        if not names:
            return nothing(NO_RULES)
        return self.save(stem, "legacy", names)

    def save(self, stem, flavour, names, watch=b""):
        """Run the right iptables-save. ``-M`` keeps it from calling modprobe."""
        program = find_program("%s-%s-save" % (stem, flavour))
        if not program:
            program = find_program(stem + "-save")
            if program and self.flavour(program) != flavour:
                program = None
        if not program:
            tables = ", ".join(names)
            raise Outcome("absent", "unreadable: %s tables exist (%s), but there is no %s-%s-save" % (flavour, tables, stem, flavour))
        return self.output_of([program, "-M", "/bin/true", "-c"], watch)

    def output_of(self, argv, watch=b""):
        """Run a program within the time that is left for it; what was read until now is sent first."""
        return output_of(argv, self.cap, min(self.timeout_s, self.before_program()), watch)

    def flavour(self, program):
        """Tell whether an iptables-save is the nft or the legacy one, without letting it touch the kernel."""
        if program not in self.flavours:
            target = final_name(program)
            if "nft" in target or "legacy" in target:
                self.flavours[program] = "nft" if "nft" in target else "legacy"
            else:
                # Since 1.8 "-V" says "(nf_tables)"; before 1.8 there was only legacy.
                payload, _, _ = run_program([program, "-V"], SMALL - 1, self.timeout_s)
                self.flavours[program] = "nft" if b"nf_tables" in payload.finish()[1] else "legacy"
        return self.flavours[program]
