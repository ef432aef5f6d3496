"""What conntrack has counted in the current namespace, and how full its table is."""

CT_STATS_CPU, CT_STATS = 1 << 8 | 4, 1 << 8 | 5  # IPCTNL_MSG_CT_GET_STATS_CPU, IPCTNL_MSG_CT_GET_STATS
COUNT = "/proc/sys/net/netfilter/nf_conntrack_count"
MAXIMUM = "/proc/sys/net/netfilter/nf_conntrack_max"  # one for all namespaces
NOT_IN_USE = "no tables: conntrack is not in use"


def conntrack_stats(modules, cap, timeout_s):
    """Return the counters of each CPU, then those of the namespace, as netlink tells them."""
    modules.require("nf_conntrack_netlink")
    netlink = Netlink(NETLINK_NETFILTER, timeout_s)
    try:
        data = netlink.dump(CT_STATS_CPU, b"\0" * 4, cap, "conntrack's counters")
        netlink.request(CT_STATS, 0, b"\0" * 4)
        answer = next(netlink.datagrams())
        length, kind, _, _, _ = HEADER_NL.unpack_from(answer)
        if kind == ERROR:
            fail_on_error(answer, 0, length, "conntrack's counters")
        return data + answer, ""
    finally:
        netlink.close()


def read_or_absent(path, absent):
    """Return a small file; ``absent`` says what it means that it does not exist."""
    try:
        return slurp(path)
    except OSError as error:
        if error.errno in ENDED:
            raise Outcome("absent", absent)
        raise
