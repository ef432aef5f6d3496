"""The node's count of TCP sockets by state: ``PATH STATE count txqueue rxqueue orphans``, tabs between.

``-`` in place of a path is the whole namespace. Paths are cgroups of pods: sockets of the host's namespace that belong
to pods on the host's network. The numbers of states are those of include/net/tcp_states.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from skoopctl.probes.decode.cgroups import uid_of
from skoopctl.probes.decode.rows import Decode, Key, Rows, text_of

_LISTEN = "10"
_FIELDS = (
    "tcpestablishedconn",
    "tcptimewaitconn",
    "tcpclosewaitconn",
    "tcpsynsentconn",
    "tcpsynrecvconn",
    "tcptxqueue",
    "tcprxqueue",
    "acceptqueue",
    "orphan",
)
_TX, _RX, _ACCEPT, _ORPHAN = 5, 6, 7, 8
_COUNTED = {"1": 0, "6": 1, "8": 2, "2": 3, "3": 4, "12": 4}
_DIGITS = 20


def compile_tcp_states(fields: Sequence[str]) -> Decode:
    """Make a decoder of some of `_FIELDS`; a pod's rows come of the host's namespace only."""
    places = [_FIELDS.index(field) for field in fields]
    get = itemgetter(*places) if len(places) > 1 else lambda sums: (sums[places[0]],)

    def decode(netns: int, host: bool, items: Sequence[bytes | None]) -> Rows:
        sums: dict[Key, list[int]] = {netns: [0] * len(_FIELDS)}
        for line in text_of(items[0] or b"").split("\n"):
            if not line:
                continue
            words = line.split("\t")
            if len(words) != 6:
                raise ValueError(f"{len(words)} columns, not 6, in {line[:60]!r}")
            key: Key = netns if words[0] == "-" else uid_of(words[0])
            if key == netns or (host and key):
                _add(sums.setdefault(key, [0] * len(_FIELDS)), words)
        return [(key, get(found)) for key, found in sums.items()]

    return decode


def _add(sums: list[int], words: list[str]) -> None:
    """Add one line: what waits in a listener are connections, elsewhere bytes."""
    numbers = words[2] + words[3] + words[4] + words[5]
    if not (numbers.isascii() and numbers.isdigit()) or len(numbers) > 4 * _DIGITS:
        raise ValueError(f"no numbers in {words!r:.80}")
    place = _COUNTED.get(words[1])
    if place is not None:
        sums[place] += int(words[2])
    if words[1] == _LISTEN:
        sums[_ACCEPT] += int(words[4])
    else:
        sums[_TX] += int(words[3])
        sums[_RX] += int(words[4])
    sums[_ORPHAN] += int(words[5])
