"""Which function an address of the kernel lies in, by /proc/kallsyms. It is read when there is a first address to name."""
from array import array
from bisect import bisect_right

KALLSYMS = "/proc/kallsyms"
TEXT = b"tTwW"


class Symbols:
    """The kernel's functions by address."""

    def __init__(self):
        self.starts = None
        self.trouble = ""
        self.told = {}

    def read(self):
        """Read the table: 120,000 lines, of which half are functions."""
        rows = []
        self.starts, self.lines = array("Q"), []
        try:
            with open(KALLSYMS, "rb") as file:
                for line in file:
                    if line[17] in TEXT:
                        rows.append((int(line[:16], 16), line[19:]))
        except (OSError, IndexError, ValueError) as error:
            self.trouble = "%s cannot be read: %s" % (KALLSYMS, error)
            return
        rows.sort()
        if not rows or not rows[-1][0]:
            self.trouble = "%s hides addresses (kptr_restrict)" % KALLSYMS
            return
        self.starts.extend(address for address, _ in rows)
        self.lines = [line for _, line in rows]

    def name(self, address):
        """Return function+0x1f, or nothing when it cannot be known."""
        if address in self.told:
            return self.told[address]
        if self.starts is None:
            self.read()
        found = ""
        index = bisect_right(self.starts, address) - 1
        if index >= 0 and address - self.starts[index] < 1 << 20:
            word = self.lines[index].split()[0].decode("ascii", "replace")
            found = "%s+0x%x" % (word, address - self.starts[index])
        self.told[address] = found
        return found
