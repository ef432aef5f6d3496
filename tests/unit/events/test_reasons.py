"""Reasons: a row for each that this kernel has, and honest words for those that no table has."""

from __future__ import annotations

from pathlib import Path

import pytest

from skoopctl.bpf.btf import Btf, TypeKind
from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.finding import Severity
from skoopctl.events.drop_reasons import DROP_ROWS
from skoopctl.events.reasons import DROP_REASONS, RESET_REASONS, Reason, drop_reason, reset_reason
from skoopctl.events.reset_reasons import RESET_ROWS
from skoopctl.events.subjects import Subject

KERNEL = Path("/sys/kernel/btf/vmlinux")
ENDS = {"MAX", "SUBSYS_MASK"}
"""Of the enumerations, what is no reason."""


@pytest.fixture(scope="module")
def kernel() -> Btf:
    """Return the types of this kernel."""
    if not KERNEL.exists():
        pytest.skip("this kernel does not show its types")
    return Btf(KERNEL.read_bytes())


def enumerated(kernel: Btf, name: str, prefix: str) -> set[str]:
    """Return the names of an enumeration of the kernel, without their prefix."""
    number = next(n for n, t in enumerate(kernel.types) if t.kind is TypeKind.ENUM and t.name == name)
    return {word.removeprefix(prefix) for word in kernel.enumerators(number)} - ENDS


def test_each_reason_for_a_drop_has_a_row(kernel: Btf) -> None:
    """Every reason of this kernel's enum skb_drop_reason is in the table."""
    names = enumerated(kernel, "skb_drop_reason", "SKB_DROP_REASON_")
    assert len(names) > 20
    assert names - set(DROP_REASONS) == set()


def test_each_reason_for_a_reset_has_a_row(kernel: Btf) -> None:
    """Every reason of this kernel's enum sk_rst_reason is in the table."""
    names = enumerated(kernel, "sk_rst_reason", "SK_RST_REASON_")
    assert len(names) > 10
    assert names - set(RESET_REASONS) == set()


def test_no_reason_stands_twice() -> None:
    """A reason has one row, so that it means one thing."""
    rows = [row[0] for rows in DROP_ROWS.values() for row in rows]
    assert len(rows) == len(set(rows)) == len(DROP_REASONS)
    assert len(RESET_ROWS) == len(RESET_REASONS)


@pytest.mark.parametrize("reason", [*DROP_REASONS.values(), *RESET_REASONS.values()], ids=lambda r: r.name)
def test_a_reason_says_what_it_means_and_where_to_look(reason: Reason) -> None:
    """Each row is one plain sentence part, with a cause and a command to look with."""
    assert reason.means
    assert not reason.means.endswith(".")
    assert reason.cause
    assert reason.look
    assert reason.known


@pytest.mark.parametrize("subject", Subject)
def test_a_subject_has_a_finding_with_its_documentation(subject: Subject) -> None:
    """What drops are about is a finding of the catalogue, no less severe than its reasons are by default."""
    assert DOCS[subject.value.finding].severity is subject.value.severity


@pytest.mark.parametrize(
    "name",
    [
        "SOCKET_CLOSE",
        "TCP_OLD_DATA",
        "OTHERHOST",
        "UNHANDLED_PROTO",
        "IPV6_NDISC_NS_OTHERHOST",
        "QUEUE_PURGE",
        "SKB_CONSUMED",
    ],
)
def test_what_is_normal_is_noise(name: str) -> None:
    """Packets that are freed where all is well are marked, so that nobody is woken for them."""
    assert drop_reason(name).noise


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("NETFILTER_DROP", Severity.CRITICAL),
        ("NO_SOCKET", Severity.WARNING),
        ("TCP_LISTEN_OVERFLOW", Severity.CRITICAL),
        ("DUP_FRAG", Severity.INFO),
    ],
)
def test_severity_is_the_reasons_own(name: str, severity: Severity) -> None:
    """A reason is as bad as its row says, and else as its subject is."""
    assert drop_reason(name).severity is severity
    assert not drop_reason(name).noise


@pytest.mark.parametrize("name", ["TCP_SOMETHING_NEW", "4711", ""])
def test_an_unknown_reason_is_called_unknown(name: str) -> None:
    """A reason of a newer kernel says that skoopctl does not know it, and blames nothing."""
    for reason in (drop_reason(name), reset_reason(name)):
        assert not reason.known
        assert not reason.noise
        assert reason.severity is Severity.INFO
        assert name in reason.means
        assert ("does not know" if name else "tells no reason") in reason.means


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("5 of subsystem 2", "Open vSwitch dropped it"),
        ("OVS_DROP_EXPLICIT", "Open vSwitch dropped it"),
        ("1 of subsystem 1", "Wi-Fi"),
        ("1 of subsystem 9", "a part of the kernel"),
    ],
)
def test_a_subsystems_reason_names_it(name: str, said: str) -> None:
    """A reason that a part of the kernel has for itself says whose it is, and keeps its name."""
    assert said in drop_reason(name).means
    assert name in drop_reason(name).means
