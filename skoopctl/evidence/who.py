"""What a node says of itself in a round: the item ``identity``, as remote/identity.py writes it."""

from __future__ import annotations

from collections.abc import Mapping

from skoopctl.evidence.rounds import Round
from skoopctl.evidence.untrusted import parse_object

_MAX_BYTES = 1 << 16


def read_identity(payload: bytes) -> Mapping[str, object]:
    """Return what the item ``identity`` tells; nothing where it is empty. Raises ValueError for what is not JSON."""
    return parse_object(payload or b"{}", max_bytes=_MAX_BYTES)


def identity_in(round_: Round) -> Mapping[str, object]:
    """Return the item ``identity`` of a round; nothing where the round does not bring it, or it cannot be read."""
    for change in round_.changes:
        if change.item == "identity":
            try:
                return read_identity(change.payload)
            except ValueError:
                return {}
    return {}
