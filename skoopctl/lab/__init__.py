"""The built-in lab: a cluster of network namespaces with real SSH servers, pods and kube-proxy's rules.

The demo, and the tests' cluster. ``up()`` builds one and returns a ``Lab``, ``Lab.load()`` finds the running
one.
"""

from skoopctl.lab.breaking import apply_fault, undo_fault
from skoopctl.lab.faults import Fault
from skoopctl.lab.lab import Lab, down, up
from skoopctl.lab.probe import Flow, Outcome, ProbeResult, Source
from skoopctl.lab.summary import fault_rows
from skoopctl.lab.topology import Backend, IptablesFlavour, LabNode, LabOptions, LabPod, LabService, ProxyMode

__all__ = [
    "Backend",
    "Fault",
    "Flow",
    "IptablesFlavour",
    "Lab",
    "LabNode",
    "LabOptions",
    "LabPod",
    "LabService",
    "Outcome",
    "ProbeResult",
    "ProxyMode",
    "Source",
    "apply_fault",
    "down",
    "fault_rows",
    "undo_fault",
    "up",
]
