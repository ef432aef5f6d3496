"""Waits before something is tried again."""

from __future__ import annotations

import pytest

from skoopctl.errors import (
    AuthenticationError,
    DeadlineError,
    DeniedError,
    EvidenceError,
    HostKeyError,
    SkoopError,
    UnreachableError,
)
from skoopctl.transport.backoff import Backoff

BROKEN = UnreachableError("a", "broke")


def test_waits_double_up_to_a_minute() -> None:
    """One second at first; months later still a minute."""
    exact = Backoff(jitter=0)
    assert [exact.wait_s(BROKEN, n) for n in (1, 2, 3, 6, 7, 8, 100_000)] == [1, 2, 4, 32, 60, 60, 60]


def test_half_of_a_wait_is_drawn_by_lot() -> None:
    """Hosts that broke at once are not tried at once."""
    waits = {Backoff().wait_s(BROKEN, 7) for _ in range(50)}
    assert len(waits) > 40
    assert all(wait is not None and 30 <= wait <= 60 for wait in waits)


@pytest.mark.parametrize("kind", [AuthenticationError, DeniedError, HostKeyError])
def test_refusals_wait_long(kind: type[AuthenticationError | DeniedError | HostKeyError]) -> None:
    """Each attempt is a failed login in somebody's log: five minutes, then more, at most half an hour."""
    exact = Backoff(jitter=0)
    assert [exact.wait_s(kind("a", "no"), n) for n in (1, 2, 9)] == [300, 600, 1800]


def test_a_refused_password_is_never_tried_again() -> None:
    """Failures lock accounts."""
    assert Backoff().wait_s(AuthenticationError("a", "no", final=True), 1) is None


@pytest.mark.parametrize("error", [EvidenceError("a: garbage"), DeadlineError("a", "program", 20)])
def test_other_breaks_wait_shortly(error: SkoopError) -> None:
    """Garbage and silence are tried again as a broken connection is."""
    assert Backoff(jitter=0).wait_s(error, 1) == 1
