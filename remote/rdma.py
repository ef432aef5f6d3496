"""RDMA devices: their counters below /sys, and what is in use of them, by netlink (include/uapi/rdma/rdma_netlink.h)."""
import posix

NETLINK_RDMA = 20
RES_GET = 5 << 10 | 9  # RDMA_NL_NLDEV, RDMA_NLDEV_CMD_RES_GET
NO_DEVICE = "no tables: there is no RDMA device"
COUNTERS = ("counters", "hw_counters")
MOST_COUNTERS = 20000


def names_below(folder):
    """Return the names in a folder, sorted, or none."""
    try:
        return sorted(posix.listdir(folder))
    except OSError:
        return []


def rdma_devices(sysfs):
    """Return the folder of the devices and their names; it is an outcome that there are none."""
    folder = sysfs + "/class/infiniband"
    names = names_below(folder)
    if not names:
        raise Outcome("absent", NO_DEVICE)
    return folder, names


def rdma_counters(sysfs):
    """Return a line for each counter of each port: DEVICE/PORT/counters/NAME, a tab, the number."""
    folder, devices = rdma_devices(sysfs)
    rows = []
    refused = 0
    for device in devices:
        for port in names_below(folder + "/" + device + "/ports"):
            for kind in COUNTERS:
                here = "%s/%s/ports/%s/%s/" % (folder, device, port, kind)
                for name in names_below(here):
                    if len(rows) >= MOST_COUNTERS:
                        raise Outcome("truncated", "more than %d counters" % MOST_COUNTERS, b"".join(rows))
                    try:
                        value = slurp(here + name).strip()
                    except OSError:
                        refused += 1  # a port may not count what others do (EINVAL, EOPNOTSUPP)
                        continue
                    if value.isdigit():
                        rows.append(raw("%s/%s/%s/%s" % (device, port, kind, name)) + b"\t" + value + b"\n")
    return b"".join(rows), "%d counters cannot be read" % refused if refused else ""


def rdma_resources(sysfs, cap, timeout_s):
    """Return how many objects of each kind are in use, of every device. Asked where there is one: loads nothing."""
    rdma_devices(sysfs)
    netlink = Netlink(NETLINK_RDMA, timeout_s)
    try:
        return netlink.dump(RES_GET, b"", cap, "RDMA's resources"), ""
    finally:
        netlink.close()
