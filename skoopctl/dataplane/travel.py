"""The loop that takes a packet from layer to layer until its way ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skoopctl.dataplane import bridging, delivery, ip, link_layer, moves
from skoopctl.dataplane.journey import Ending, Journey
from skoopctl.dataplane.tunnels import wrapping

Step = Callable[[Journey, Any], Ending | moves.Move]

_STEPS: dict[type, Step] = {
    moves.Send: ip.send,
    moves.Receive: ip.receive,
    moves.Deliver: delivery.deliver,
    moves.Resend: ip.resend,
    moves.Output: link_layer.output,
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
