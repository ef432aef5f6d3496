"""How long something was heard of."""

from __future__ import annotations

from skoopctl.watching.stretches import Stretches


def test_a_break_is_not_in_the_time() -> None:
    """From the first word to the last of each stretch, and nothing of what is between them."""
    heard = Stretches()
    for at in (10.0, 10.5, 12.0):
        heard.heard(at)
    heard.broken()
    assert heard.seconds == 2.0
    heard.heard(100.0)
    assert heard.seconds == 2.0
    heard.heard(101.0)
    assert heard.seconds == 3.0
