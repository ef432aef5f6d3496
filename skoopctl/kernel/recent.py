"""Decode the lists of iptables' ``recent`` match (``/proc/net/xt_recent/NAME``).

The item is the files one after the other, each behind a line ``list NAME``, with a line ``jiffies N`` before them.
An entry's last_seen is in jiffies (net/netfilter/xt_recent.c: recent_seq_show), which start five minutes before they
wrap at 32 bits (include/linux/jiffies.h: INITIAL_JIFFIES). How many make a second is the kernel's secret, but how many
there are by now (kernel/time/timer_list.c), and for how long it has run, tells.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

Ages = tuple[float, float]

_ENTRY = re.compile(r"src=(\S+) ttl: \d+ last_seen: (\d{1,20}) ")
_TICKS_PER_SECOND = (100, 250, 300, 1000)  # kernel/Kconfig.hz
_HEAD_START_S = 300
_READ_APART_S = 10.0
"""So far apart the clock and the ticks may have been read."""


def decode_recent(text: str, uptime_s: float) -> dict[str, dict[int, Ages]]:
    """Return the lists by name: each address, as an integer, with its least and most possible age in seconds.

    ``uptime_s`` is the host's monotonic clock when it was read. Lines that make no sense are passed over.
    """
    lists: dict[str, dict[int, Ages]] = {}
    entries: dict[int, Ages] = {}
    rates: tuple[int, ...] = _TICKS_PER_SECOND
    for line in text.split("\n"):
        if line.startswith("jiffies "):
            rates = _rates(line[8:], uptime_s)
        if line.startswith("list "):
            entries = lists.setdefault(line[5:].strip(), {})
            continue
        found = _ENTRY.match(line)
        if found is None:
            continue
        try:
            address = int(ip_address(found[1]))
        except ValueError:
            continue
        entries[address] = _ages(int(found[2]), uptime_s, rates)
    return lists


def _rates(ticks: str, uptime_s: float) -> tuple[int, ...]:
    """Return the clock rates at which a kernel has counted so many ticks in that time; all of them if none fits."""
    if not re.fullmatch(r"\d{1,20}", ticks):
        return _TICKS_PER_SECOND
    fitting = [
        rate for rate in _TICKS_PER_SECOND if abs(_since_boot(int(ticks), rate) - uptime_s) < _READ_APART_S
    ]
    return tuple(fitting) or _TICKS_PER_SECOND


def _since_boot(jiffies: int, rate: int) -> float:
    return (jiffies - ((1 << 32) - _HEAD_START_S * rate)) / rate


def _ages(jiffies: int, uptime_s: float, rates: tuple[int, ...]) -> Ages:
    """Return the range of ages over the clock rates at which it is neither new nor older than boot."""
    ages = [uptime_s - _since_boot(jiffies, rate) for rate in rates]
    possible = [max(age, 0.0) for age in ages if -1.0 <= age <= uptime_s]
    return (min(possible), max(possible)) if possible else (0.0, max(uptime_s, 0.0))
