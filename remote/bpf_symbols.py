"""Which function an address of the kernel lies in, by /proc/kallsyms. It is read when there is a first address to name."""
from array import array
from bisect import bisect_right

KALLSYMS = "/proc/kallsyms"
TEXT = b"tTwW"


class Symbols:
    """The kernel's functions by address: their addresses in order, and their names one behind the other."""

    def __init__(self):
        self.starts = None
        self.trouble = ""
        self.told = {}

    def read(self):
        """Read the table: 120,000 lines, of which half are functions. Modules stand behind the kernel, not in order."""
        starts, places, names = array("Q"), array("I"), bytearray()
        self.starts, self.places, self.names = starts, places, names
        try:
            with open(KALLSYMS, "rb") as file:
                for line in file:
                    if line[17] in TEXT:
                        starts.append(int(line[:16], 16))
                        places.append(len(names))
                        names += line[19:]
        except (OSError, IndexError, ValueError) as error:
            self.trouble = "%s cannot be read: %s" % (KALLSYMS, error)
            return
        if not starts or not max(starts):
            self.trouble = "%s hides addresses (kptr_restrict)" % KALLSYMS
            del starts[:]
            return
        order = array("I", sorted(range(len(starts)), key=starts.__getitem__))
        self.starts = array("Q", (starts[index] for index in order))
        self.places = array("I", (places[index] for index in order))

    def name(self, address):
        """Return function+0x1f, or nothing when it cannot be known."""
        if address in self.told:
            return self.told[address]
        if self.starts is None:
            self.read()
        found = ""
        index = bisect_right(self.starts, address) - 1
        if index >= 0 and address - self.starts[index] < 1 << 20:
            begin = self.places[index]
            word = self.names[begin:self.names.index(b"\n", begin)].split()[0].decode("ascii", "replace")
            found = "%s+0x%x" % (word, address - self.starts[index])
        self.told[address] = found
        return found
