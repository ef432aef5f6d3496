"""The machine itself: its clock, its memory, its load."""

from __future__ import annotations

from skoopctl.doctor.check import Check, Judgement, Subject, degraded, missing, of_node, ok, unknown
from skoopctl.doctor.clock import offset
from skoopctl.doctor.facts import Gap, NodeFacts

CLOCK_OFF_S = 1.0
PROGRAM_KB = 40 * 1024
"""What the node program may use at most, by its budget."""
SPARE_KB = 4 * PROGRAM_KB
BUSY = 4.0
"""Load for each processor."""


def _clock(subject: Subject, facts: NodeFacts) -> Judgement:
    identity, ending_ns, timing = facts.identity, facts.ending_wall_ns, subject.timing
    if isinstance(identity, Gap):
        return unknown(identity)
    if isinstance(ending_ns, Gap):
        return unknown(ending_ns)
    if not timing.asked_wall_ns:
        return unknown("the exchange was not timed")
    found = offset(timing.asked_wall_ns, identity.wall_ns, ending_ns, timing.answered_wall_ns)
    if found is None:
        return unknown("one of the clocks was set while the node was asked")
    if found.least_s > CLOCK_OFF_S:
        return degraded(found.words())
    if found.most_s > CLOCK_OFF_S:
        return unknown(f"{found.words()}: the answer took too long to tell")
    return ok(found.words())


def _memory(_: Subject, facts: NodeFacts) -> Judgement:
    machine = facts.machine
    if isinstance(machine, Gap):
        return unknown(machine)
    if not machine.total_kb:
        return unknown("/proc/meminfo could not be read")
    said = f"{machine.available_kb // 1024} of {machine.total_kb // 1024} MB available"
    if machine.available_kb < PROGRAM_KB:
        return missing(said)
    return degraded(said) if machine.available_kb < SPARE_KB else ok(said)


def _load(_: Subject, facts: NodeFacts) -> Judgement:
    machine = facts.machine
    if isinstance(machine, Gap):
        return unknown(machine)
    if not machine.processors:
        return unknown("the number of processors is not known")
    said = f"{machine.load:.2f} on {machine.processors} processors"
    return degraded(said) if machine.load > BUSY * machine.processors else ok(said)


CHECKS = (
    Check(
        "clock",
        "the node's clock is right, by the workstation's",
        f"an offset of at most {CLOCK_OFF_S:g} s, so that events and logs of several nodes can be compared",
        "from the node's time and the round trip, with the error that this can have at most; degraded when it is "
        "surely larger, unknown when the round trip is too long to tell",
        "look at chronyc tracking or timedatectl on the node; and at the workstation's own clock",
        of_node(_clock),
    ),
    Check(
        "memory",
        "there is memory for the node program",
        f"{PROGRAM_KB // 1024} MB at most for a short time",
        f"missing below {PROGRAM_KB // 1024} MB available, degraded below {SPARE_KB // 1024} MB",
        "free memory first: the kernel might end something else in its place",
        of_node(_memory),
    ),
    Check(
        "load",
        "the node is not overloaded",
        f"at most {BUSY:g} processes waiting for each processor",
        f"degraded when the load of the last minute is above {BUSY:g} for each processor",
        "expect slow answers: give --host-timeout more; the node program is nice and takes the rest",
        of_node(_load),
    ),
)
