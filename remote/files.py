"""Small tables below /proc, of the namespace that the main thread is in."""
import errno
import posix

# fs/seq_file.c (seq_read_iter): a read ends when the next record does not fit into a page, or at the end. The records
# of the tables below are far shorter than the rest of a page, so that a short answer is the last; asking once more
# makes the kernel walk the whole table again (the hash of UDP's sockets, which all namespaces share).
SURELY_LAST = 2048


def text_file(path, cap, absent):
    """Return a file as it is; ``absent`` says what it means when it does not exist."""
    payload = Payload(cap)
    try:
        descriptor = posix.open(path, posix.O_RDONLY)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise Outcome("absent", absent)
        raise
    try:
        while True:
            data = posix.read(descriptor, 1 << 16)
            if not data:
                return payload, ""
            if not payload.add(data):
                raise Outcome("truncated", "%s: more than %d bytes" % (path, cap), payload)
            if len(data) < SURELY_LAST:
                return payload, ""
    finally:
        posix.close(descriptor)


def ticks():
    """Return a line with the kernel's count of ticks, in which ``recent`` counts ages; nothing where it is not shown."""
    text = b""
    try:
        with open("/proc/timer_list", "rb", 0) as file:
            while b"\njiffies: " not in text[:-24] and len(text) < 1 << 18:
                data = file.read(1 << 16)
                if not data:
                    break
                text += data
    except OSError:
        pass
    return b"jiffies " + text.partition(b"\njiffies: ")[2].partition(b"\n")[0] + b"\n"


def recent_lists(cap):
    """Return the lists of iptables' ``recent`` match, each behind a line with its name, and the ticks until now."""
    folder = "/proc/self/net/xt_recent"
    try:
        names = sorted(posix.listdir(folder))
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise Outcome("absent", "no tables: module xt_recent is not in use")
        raise
    payload = Payload(cap)
    if names:
        payload.add(ticks())
    for name in names:
        with open(folder + "/" + name, "rb") as file:
            if not payload.add(b"list " + name.encode() + b"\n" + file.read(cap)):
                raise Outcome("truncated", "more than %d bytes" % cap, payload)
    return payload, ""
