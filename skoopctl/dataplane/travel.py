"""The loop that takes a packet from layer to layer until its way ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skoopctl.dataplane import moves
from skoopctl.dataplane.frames import asking, bridging, link_layer
from skoopctl.dataplane.ip import born, delivery, received
from skoopctl.dataplane.journey import Ending, Journey
from skoopctl.dataplane.tunnels import wrapping

Step = Callable[[Journey, Any], Ending | moves.Move]

_STEPS: dict[type, Step] = {
    moves.Send: born.send,
    moves.Receive: received.receive,
    moves.Deliver: delivery.deliver,
    moves.Resend: born.resend,
    moves.Output: link_layer.output,
    moves.Ask: lambda journey, move: asking.ask(journey, move, _to_far_end),
    moves.Transmit: link_layer.transmit,
    moves.Arrive: link_layer.arrive,
    moves.Cross: link_layer.cross,
    moves.LeaveHost: link_layer.leave_host,
    moves.IntoBridge: bridging.into_bridge,
    moves.OutOfBridge: bridging.out_of_bridge,
    moves.Encapsulate: wrapping.encapsulate,
    moves.Decapsulate: wrapping.decapsulate,
}


def travel(journey: Journey, move: moves.Move) -> Ending:
    """Follow a packet's moves to the end of its way."""
    now: Ending | moves.Move = move
    while not isinstance(now, Ending):
        now = _STEPS[type(now)](journey, now)
    return now


def _to_far_end(journey: Journey, move: moves.Move) -> Ending | None:
    """Follow an outer packet to the end of its tunnel; return how it ended before."""
    now: Ending | moves.Move = move
    while not isinstance(now, Ending | moves.Decapsulate):
        now = _STEPS[type(now)](journey, now)
    if isinstance(now, moves.Decapsulate):
        journey.depth -= 1
        return None
    return now
