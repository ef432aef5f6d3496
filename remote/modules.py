"""Kernel modules: what is there already, so that nothing is loaded by looking.

Opening a netlink family or starting a tool can make the kernel load a module. A thing is asked for only when
its module is loaded or built in, or when no module can be loaded at all.
"""
import posix


class Modules:
    """The modules of this kernel."""

    def __init__(self):
        self.release = posix.uname().release
        self.folder = "/lib/modules/" + self.release
        try:
            with open("/proc/modules", "rb") as file:
                self.text = file.read()
        except OSError:
            self.text = None  # a kernel without loadable modules
        self.free = set()

    def can_load(self):
        """Tell whether this kernel could load a module at all."""
        if self.text is None or kind_of(self.folder) != FOLDER:
            return False
        try:
            with open("/proc/sys/kernel/modprobe") as file:
                return kind_of(file.read().strip()) != 0
        except OSError:
            return True

    def is_here(self, name):
        """Tell whether a module is loaded or built in; None when that cannot be known."""
        if self.text is not None and (b"\n" + self.text).find(("\n%s " % name).encode()) >= 0:
            return True
        if kind_of("/sys/module/" + name):
            return True
        try:
            with open(self.folder + "/modules.builtin") as file:
                return ("/%s.ko" % name) in file.read().replace("-", "_")
        except OSError:
            return None

    def is_asked_freely(self, name):
        """Tell whether asking for something of this module loads nothing."""
        if name not in self.free and (not self.can_load() or self.is_here(name)):
            self.free.add(name)
        return name in self.free

    def require(self, name):
        """Raise an outcome unless asking for something of this module loads nothing."""
        if self.is_asked_freely(name):
            return
        if self.is_here(name) is None:
            raise Outcome("absent", "unreadable: %s/modules.builtin cannot be read, so %s was not asked" % (self.folder, name))
        raise Outcome("absent", "no tables: module %s is not loaded" % name)
