"""How reading one item went: a status, and why. Everything that can go wrong becomes one of these."""
import errno

DENIED = (errno.EPERM, errno.EACCES)
NOT_HERE = (errno.ENOENT, errno.ENOTDIR, errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.ENOPROTOOPT)


class Outcome(Exception):
    """Ends the reading of an item with a status other than ok; what was read until then may be kept."""

    def __init__(self, status, detail, payload=None):
        Exception.__init__(self, status)
        self.status = status
        self.detail = detail
        self.payload = payload


def from_errno(number, what):
    """Return the outcome for an error number of the kernel."""
    name = errno.errorcode.get(number, str(number))
    if number in DENIED:
        return Outcome("denied", "%s: %s, root is needed" % (what, name))
    if number in NOT_HERE:
        return Outcome("absent", "%s: %s, this kernel does not have it" % (what, name))
    return Outcome("failed", "%s: %s" % (what, name))
