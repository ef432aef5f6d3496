"""Evidence: what a node is asked, how its answer travels, and the bundle that keeps it.

Everything to the right of this room is a pure function of a `Bundle`. Live collection is in
`skoopctl.evidence.collect` and the Kubernetes API in `skoopctl.evidence.api`: a command that only reads a
bundle does not pay for them.
"""

from skoopctl.evidence.bundle import Bundle, HostRecord
from skoopctl.evidence.bundle_file import read_bundle, write_bundle
from skoopctl.evidence.frames import decode_answer
from skoopctl.evidence.item import HOST_WIDE, HostEvidence, Item, ItemStatus
from skoopctl.evidence.request import Request

__all__ = [
    "HOST_WIDE",
    "Bundle",
    "HostEvidence",
    "HostRecord",
    "Item",
    "ItemStatus",
    "Request",
    "decode_answer",
    "read_bundle",
    "write_bundle",
]
