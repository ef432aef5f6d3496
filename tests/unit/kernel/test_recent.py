"""The lists of ``-m recent``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.kernel.recent import decode_recent

UPTIME_S = 3580.0


def entry(address: str, rate: int, seen_at_s: float) -> str:
    """Return a line as a kernel with ``rate`` ticks a second prints it."""
    jiffies = (1 << 32) - 300 * rate + int(seen_at_s * rate)
    return f"src={address} ttl: 64 last_seen: {jiffies} oldest_pkt: 2 {jiffies}, {jiffies}"


@pytest.mark.parametrize("rate", [100, 250, 300, 1000])
def test_the_true_age_is_within_the_range(rate: int) -> None:
    """Whatever the kernel's clock rate is, the age lies between the least and the most that is told."""
    text = f"list KUBE-SEP-X\n{entry('10.244.1.20', rate, UPTIME_S - 60)}\nlist EMPTY\n"
    lists = decode_recent(text, UPTIME_S)
    ((address, (least, most)),) = lists["KUBE-SEP-X"].items()
    assert address == (10 << 24) + (244 << 16) + (1 << 8) + 20
    assert least <= 60.01
    assert most >= 59.99
    assert most <= UPTIME_S
    assert lists["EMPTY"] == {}


def test_a_line_of_a_real_kernel() -> None:
    """A line of Linux 6.18 with 250 ticks a second, seen 1.2 s before it was read."""
    line = "src=127.0.0.1 ttl: 64 last_seen: 4295786991 oldest_pkt: 2 4295786991, 4295786991"
    least, _ = decode_recent(f"list X\n{line}\n", UPTIME_S)["X"][0x7F000001]
    assert least == pytest.approx(1.22, abs=0.01)


@given(st.text(), st.floats(0, 1e9))
def test_garbage_never_raises(text: str, uptime_s: float) -> None:
    """Whatever a node sends becomes lists."""
    assert isinstance(decode_recent(text, uptime_s), dict)
    assert isinstance(decode_recent(f"list X\nsrc={text} ttl: 1 last_seen: 5 x", uptime_s), dict)


@pytest.mark.parametrize("rate", [100, 250, 300, 1000])
@pytest.mark.parametrize("uptime_s", [900.0, UPTIME_S, 18_600.0, 86_400.0 * 400])
def test_the_ticks_until_now_tell_the_age(rate: int, uptime_s: float) -> None:
    """With the count of ticks the rate is certain, however long the machine has run."""
    now = (1 << 32) + int((uptime_s - 300) * rate)
    text = f"jiffies {now}\nlist X\n{entry('10.244.1.20', rate, uptime_s - 60)}\n"
    ((least, most),) = decode_recent(text, uptime_s)["X"].values()
    assert (least, most) == (pytest.approx(60, abs=0.1), pytest.approx(60, abs=0.1))


@pytest.mark.parametrize("ticks", ["", "x", "-5", "9" * 30, "4294967296"])
def test_ticks_that_make_no_sense_leave_the_range(ticks: str) -> None:
    """Without a count that fits the uptime every rate is possible."""
    line = entry("10.244.1.20", 250, UPTIME_S - 60)
    assert decode_recent(f"jiffies {ticks}\nlist X\n{line}\n", UPTIME_S) == decode_recent(
        f"list X\n{line}\n", UPTIME_S
    )
