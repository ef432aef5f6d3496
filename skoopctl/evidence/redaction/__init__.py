"""Redaction: a bundle for others to read, in which other names and addresses stand for the real ones.

The same thing has the same replacement everywhere, and what belongs together goes on doing so: prefixes, ranges,
names that begin alike. So a diagnosis of the redacted bundle comes to the same end.
"""

from skoopctl.evidence.redaction.bundle import Redaction, redact
from skoopctl.evidence.redaction.leaks import Leak, find_leaks
from skoopctl.evidence.redaction.map_file import RedactionMap, new_map, read_map, write_map

__all__ = ["Leak", "Redaction", "RedactionMap", "find_leaks", "new_map", "read_map", "redact", "write_map"]
