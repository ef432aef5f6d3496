"""Known ways to break a lab, and to mend it exactly: a table of commands."""

# The order of these is the order of the table, which begins with the manual's fault.
from skoopctl.lab.faults import netfilter

# isort: split
from skoopctl.lab.faults import links, routing, services
from skoopctl.lab.faults.fault import Fault, Step, fault_titles, faults_for, make_fault

__all__ = [
    "Fault",
    "Step",
    "fault_titles",
    "faults_for",
    "links",
    "make_fault",
    "netfilter",
    "routing",
    "services",
]
