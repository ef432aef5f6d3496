"""The sysctls of the namespace that the main thread is in.

A file below /proc/sys costs a node some 15 microseconds, and there are a dozen for every device. The kernel
also puts each device's settings into its link message (IFLA_AF_SPEC), which is read anyway: they are taken
from there, and the files are read for ``all``, for the namespace as a whole, and when a kernel tells no more.
"""
import posix
import struct

SYSCTLS = (
    "ipv4/ip_forward ipv4/ip_default_ttl ipv4/ip_local_port_range ipv4/ip_nonlocal_bind ipv4/icmp_echo_ignore_all "
    "ipv6/bindv6only ipv6/icmp/echo_ignore_all "
    "netfilter/nf_conntrack_tcp_be_liberal ipv4/ip_no_pmtu_disc ipv4/tcp_mtu_probing"
).split()
HOST_SYSCTLS = (
    "ipv4/ip_local_reserved_ports ipv4/ip_forward_use_pmtu ipv4/icmp_ratelimit "
    "ipv4/icmp_errors_use_inbound_ifaddr ipv4/fib_multipath_hash_policy ipv4/fib_multipath_hash_fields "
    "ipv4/fib_multipath_use_neigh ipv4/tcp_l3mdev_accept ipv4/udp_l3mdev_accept "
    "ipv4/raw_l3mdev_accept ipv4/fwmark_reflect ipv4/tcp_fwmark_accept "
    "ipv4/neigh/default/gc_thresh3 ipv6/ip_nonlocal_bind ipv6/fib_multipath_hash_policy "
    "netfilter/nf_conntrack_max netfilter/nf_conntrack_count netfilter/nf_conntrack_buckets "
    "netfilter/nf_conntrack_tcp_loose netfilter/nf_conntrack_checksum "
    "netfilter/nf_conntrack_tcp_timeout_established netfilter/nf_conntrack_udp_timeout netfilter/nf_hooks_lwtunnel"
).split()
HOST_FOLDERS = ("bridge", "ipv4/vs")

# Name: index in the array of the link message. linux/ip.h counts IPV4_DEVCONF_* from 1, linux/ipv6.h from 0.
DEVICE_IPV4 = {
    "forwarding": 0, "rp_filter": 7, "accept_local": 22, "route_localnet": 25, "proxy_arp": 2, "arp_ignore": 18,
    "arp_announce": 17, "src_valid_mark": 23, "arp_filter": 12, "ignore_routes_with_linkdown": 28,
    "send_redirects": 5, "proxy_arp_pvlan": 24,
}
DEVICE_IPV6 = {
    "forwarding": 0, "hop_limit": 1, "disable_ipv6": 26, "proxy_ndp": 22, "use_tempaddr": 10,
    "ignore_routes_with_linkdown": 39,
}
DEVICE_KEYS = (("ipv4", 2, 1, DEVICE_IPV4), ("ipv6", 10, 2, DEVICE_IPV6))  # folder, AF_*, IFLA_INET*_CONF, keys
IFLA_IFNAME, IFLA_AF_SPEC, RTM_NEWLINK = 3, 26, 16


def names_in(folder):
    """Return the names in a folder, or none."""
    try:
        return posix.listdir(folder)
    except OSError:
        return []


def device_settings(link_dump):
    """Return {(folder, device): [(key, value)]} from the link messages."""
    found = {}
    for kind, data in nl_messages(link_dump):
        if kind != RTM_NEWLINK:
            continue
        link = attributes(data, 16)
        device = link.get(IFLA_IFNAME, b"").rstrip(b"\0")
        families = attributes(link.get(IFLA_AF_SPEC, b""), 0)
        for folder, family, conf, keys in DEVICE_KEYS:
            array = attributes(families.get(family, b""), 0).get(conf, b"")
            values = struct.unpack("=%di" % (len(array) // 4), array[:len(array) & ~3])
            if device and len(values) > max(keys.values()):
                found[folder, device] = [(key.encode(), values[index]) for key, index in keys.items()]
    return found


class Sysctls:
    """Reads values and remembers how many could not be read."""

    def __init__(self):
        self.lines = []
        self.unreadable = 0

    def read(self, path):
        """Read one file below /proc/sys/net; what does not exist here is left out."""
        try:
            descriptor = posix.open("/proc/sys/net/" + path, posix.O_RDONLY)
        except OSError as error:
            self.unreadable += error.errno in DENIED
            return
        try:
            value = posix.read(descriptor, 4096).strip().replace(b"\n", b" ")
            self.lines.append(b"net/" + raw(path) + b"=" + value)
        except OSError:
            self.unreadable += 1
        finally:
            posix.close(descriptor)

    def read_devices(self, settings):
        """Take the devices' settings from the link messages, or from the files when those do not tell."""
        for folder, _, _, keys in DEVICE_KEYS:
            devices = ["all"]
            if not any(family == folder for family, _ in settings):
                devices = names_in("/proc/sys/net/" + folder + "/conf")
            for device in devices:
                for key in keys:
                    self.read(folder + "/conf/" + device + "/" + key)
        for (folder, device), values in settings.items():
            start = b"net/" + folder.encode() + b"/conf/" + device + b"/"
            self.lines.extend([start + key + b"=%d" % value for key, value in values])


def sysctls(cap, link_dump, is_host):
    """Return ``net/...=value`` lines. A namespace with more than lo and eth0 may be a node (kind, nested clusters)."""
    reading = Sysctls()
    settings = device_settings(link_dump)
    is_host = is_host or len({device for _, device in settings}) > 2
    for path in SYSCTLS + (HOST_SYSCTLS if is_host else []):
        reading.read(path)
    # br_netfilter has its switches in every namespace, and a container that is a node has bridges too.
    for folder in HOST_FOLDERS if is_host else ("bridge",) if b"bridge\0" in link_dump else ():
        for name in names_in("/proc/sys/net/" + folder):
            reading.read(folder + "/" + name)
    reading.read_devices(settings)
    payload = Payload(cap)
    if not payload.add(b"\n".join(reading.lines) + b"\n"):
        raise Outcome("truncated", "more than %d bytes of sysctls" % cap, payload)
    return payload, "%d sysctls could not be read" % reading.unreadable if reading.unreadable else ""
