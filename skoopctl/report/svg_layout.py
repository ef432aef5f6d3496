"""Where everything in the picture stands: pure geometry, in whole pixels.

Hosts are lanes, side by side in the order of the way, at most three in a band; namespaces are boxes in
them. Each lane reads downwards for the forward packet, whose line runs at its left edge, and upwards for
the reply, whose line runs at its right edge. Between lanes the lines go under the one, up the gutter and
over the next, so that no two lines ever cross.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import groupby

from skoopctl.dataplane.trace import Walk
from skoopctl.report.messages import Messages, messages
from skoopctl.report.stations import Place, Station, places
from skoopctl.report.svg_rows import STATIONS, Paper, Row, Shape, fix_row, rows_of

MARGIN = 24
GUTTER = 72
LANE_PAD = 12
LANE_HEAD = 30
BOX_HEAD = 24
BOX_FOOT = 10
BOX_GAP = 16
LINE_INSET = 20
TEXT_INSET = 38
BAND_TOP = 40
BAND_FOOT = 34
BAND_GAP = 36
LANES_IN_BAND = 3
DETAILED_WIDTH = 318
COMPACT_WIDTH = 198
LEAST_WIDTH = 230
CONDENSE_ABOVE = 9
"""More lanes than this, and those in which nothing is decided are drawn as one station each."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One namespace box, with the stay of either packet in it; ``ghost`` is why none was there."""

    node: str
    namespace: str
    forward: Place | None
    reply: Place | None
    ghost: str = ""


@dataclass(frozen=True, slots=True)
class PlacedRow:
    """A row with the y of its top; ``reply`` rows stand at the right."""

    row: Row
    y: int
    reply: bool


@dataclass(frozen=True, slots=True)
class Box:
    """A namespace on paper."""

    panel: Panel
    x: int
    y: int
    width: int
    height: int
    rows: tuple[PlacedRow, ...]

    def line_x(self, *, reply: bool) -> int:
        """Return the x of a packet's line in this box."""
        return self.x + self.width - LINE_INSET if reply else self.x + LINE_INSET


@dataclass(frozen=True, slots=True)
class Lane:
    """A host on paper. ``cell`` is its band and column; ``band_foot`` the y below which its band is empty."""

    node: str
    cell: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]
    band_foot: int
    boxes: tuple[Box, ...]

    @property
    def x(self) -> int:
        """The left edge."""
        return self.corner[0]

    @property
    def y(self) -> int:
        """The upper edge."""
        return self.corner[1]

    @property
    def width(self) -> int:
        """The width."""
        return self.size[0]

    @property
    def height(self) -> int:
        """The height."""
        return self.size[1]


@dataclass(frozen=True, slots=True)
class Leg:
    """A piece of a packet's line between two stations."""

    points: tuple[tuple[int, int], ...]
    depth: int
    unknown: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole picture without its title."""

    width: int
    height: int
    lanes: tuple[Lane, ...]
    forward: tuple[Leg, ...]
    reply: tuple[Leg, ...]


@dataclass(frozen=True, slots=True)
class Tracks:
    """The two packets to draw, which of them with its decisions, and what would help where it dies.

    ``words`` are those of the picture's language.
    """

    forward: Walk
    reply: Walk | None
    reply_detailed: bool
    fix: tuple[str, ...] = ()
    words: Messages = field(default_factory=messages)


def lay_out(tracks: Tracks, ghost: Panel | None, top: int) -> Layout:
    """Return where everything stands, below the y ``top``."""
    panels = _panels(tracks.forward, tracks.reply)
    if ghost is not None:
        panels.append(ghost)
    runs = [list(run) for _, run in groupby(panels, key=lambda panel: panel.node)]
    if len(runs) > CONDENSE_ABOVE:
        runs = [[_condensed(panel) for panel in run] for run in runs]
    lanes = _place_lanes(runs, tracks, top)
    boxes = [(lane, box) for lane in lanes for box in lane.boxes]
    right = max(lane.x + lane.width for lane in lanes) + MARGIN
    bottom = lanes[-1].band_foot
    return Layout(
        right,
        bottom + (BAND_FOOT if len(lanes) > 1 else 0),
        lanes,
        _legs(boxes, reply=False),
        _legs(boxes[::-1], reply=True),
    )


def _panels(forward: Walk, reply: Walk | None) -> list[Panel]:
    """Pair the stays of both packets: the reply passes the same places backwards, or has boxes of its own."""
    there = places(forward.steps)
    back = places(reply.steps)[::-1] if reply else ()
    matcher = SequenceMatcher(None, [p.key for p in there], [p.key for p in back], autojunk=False)
    panels: list[Panel] = []
    for tag, first, last, back_first, back_last in matcher.get_opcodes():
        if tag == "equal":
            pairs = zip(there[first:last], back[back_first:back_last], strict=True)
            panels += [Panel(*place.key, place, other) for place, other in pairs]
            continue
        panels += [Panel(*place.key, place, None) for place in there[first:last]]
        panels += [Panel(*place.key, None, place) for place in back[back_first:back_last]]
    return panels


def _condensed(panel: Panel) -> Panel:
    return Panel(
        panel.node, panel.namespace, _one_station(panel.forward), _one_station(panel.reply), panel.ghost
    )


def _one_station(place: Place | None) -> Place | None:
    if place is None or any(s.ends or s.unknown or s.relabelled or s.depth for s in place.stations):
        return place
    devices = [step.device for station in place.stations for step in station.steps if step.device]
    name = f"{devices[0]} → {devices[-1]}" if devices else "passes"
    steps = tuple(step for station in place.stations for step in station.steps)
    return Place(place.node, place.namespace, (Station(name, steps),))


def _widths(run: Sequence[Panel], tracks: Tracks) -> tuple[int, int]:
    """Return the room for either packet's words in one lane; where only one passes, the other has none."""
    there = any(panel.forward for panel in run)
    back = any(panel.reply for panel in run)
    wide = (COMPACT_WIDTH, DETAILED_WIDTH) if tracks.reply_detailed else (DETAILED_WIDTH, COMPACT_WIDTH)
    if there and back:
        return wide
    return (0, max(wide[1], LEAST_WIDTH)) if back else (max(wide[0], LEAST_WIDTH), 0)


def _place_lanes(runs: Sequence[Sequence[Panel]], tracks: Tracks, top: int) -> tuple[Lane, ...]:
    busy = len(runs) > 1
    left = MARGIN + (GUTTER // 2 if len(runs) > LANES_IN_BAND else 0)
    lanes: list[Lane] = []
    y = top + (BAND_TOP if busy else 0)
    for band, start in enumerate(range(0, len(runs), LANES_IN_BAND)):
        in_band = runs[start : start + LANES_IN_BAND]
        stacks = []
        x = left
        for run in in_band:
            widths = _widths(run, tracks)
            stacks.append((x, _stack(run, (x + LANE_PAD, y + LANE_HEAD), widths, tracks)))
            x += sum(widths) + 2 * LANE_PAD + GUTTER
        foot = max(_foot(boxes) for _, boxes in stacks)
        for column, (lane_x, boxes) in enumerate(stacks):
            size = boxes[0].width + 2 * LANE_PAD, _foot(boxes) - y
            lanes.append(Lane(boxes[0].panel.node, (band, column), (lane_x, y), size, foot, boxes))
        y = foot + BAND_FOOT + BAND_GAP + BAND_TOP
    return tuple(lanes)


def _foot(boxes: Sequence[Box]) -> int:
    return boxes[-1].y + boxes[-1].height + LANE_PAD


def _stack(
    run: Sequence[Panel], corner: tuple[int, int], widths: tuple[int, int], tracks: Tracks
) -> tuple[Box, ...]:
    x, y = corner
    boxes: list[Box] = []
    for panel in run:
        there = _rows(panel.forward, tracks, widths[0], reply=False)
        back = _rows(panel.reply, tracks, widths[1], reply=True)
        tall = max(sum(row.height for row in there), sum(row.height for row in back), 26)
        height = BOX_HEAD + tall + BOX_FOOT
        placed = [*_down(there, y + BOX_HEAD), *_up(back, y + BOX_HEAD + tall)]
        boxes.append(Box(panel, x, y, sum(widths), height, tuple(placed)))
        y += height + BOX_GAP
    return tuple(boxes)


def _rows(place: Place | None, tracks: Tracks, width: int, *, reply: bool) -> list[Row]:
    walk = tracks.reply if reply else tracks.forward
    if place is None or walk is None:
        return []
    starts = place.stations[0].steps[0] is walk.steps[0]
    room = width - TEXT_INSET - 6
    paper = Paper(room, tracks.words, detailed=tracks.reply_detailed is reply)
    rows = rows_of(place, paper, label=walk.label if starts else "")
    if tracks.fix and rows[-1].shape is Shape.DEATH_NOTE:
        rows.append(fix_row(list(tracks.fix), paper))
    return rows


def _down(rows: Iterable[Row], y: int) -> list[PlacedRow]:
    placed = []
    for row in rows:
        placed.append(PlacedRow(row, y, reply=False))
        y += row.height
    return placed


def _up(rows: Sequence[Row], bottom: int) -> list[PlacedRow]:
    """Place rows from the bottom upwards, but keep what belongs to a station below its name."""
    groups: list[list[Row]] = []
    pending: list[Row] = []
    for row in rows:
        if row.shape in STATIONS:
            groups.append([row, *pending])
            pending = []
        elif groups:
            groups[-1].append(row)
        else:
            pending.append(row)
    placed: list[PlacedRow] = []
    y = bottom
    for group in groups:
        y -= sum(row.height for row in group)
        placed += [PlacedRow(item.row, item.y, reply=True) for item in _down(group, y)]
    return placed


def _legs(boxes: Sequence[tuple[Lane, Box]], *, reply: bool) -> tuple[Leg, ...]:
    """Return a packet's line, station by station, in the order of its way."""
    legs: list[Leg] = []
    last: tuple[Lane, int, int, Row] | None = None
    unknown = False
    for lane, box in boxes:
        x = box.line_x(reply=reply)
        stations = [item for item in box.rows if item.reply == reply and item.row.shape in STATIONS]
        for item in stations:
            y = item.y + item.row.height // 2
            if last is not None:
                unknown = unknown or last[3].shape is Shape.UNKNOWN
                depth = last[3].depth_after
                legs.append(Leg(_route(last[:3], (lane, x, y), reply=reply), depth, unknown))
            last = (lane, x, y, item.row)
    return tuple(legs)


def _route(
    start: tuple[Lane, int, int], end: tuple[Lane, int, int], *, reply: bool
) -> tuple[tuple[int, int], ...]:
    (from_lane, x0, y0), (to_lane, x1, y1) = start, end
    if from_lane is to_lane:
        return ((x0, y0), (x1, y1))
    early, late = (to_lane, from_lane) if reply else (from_lane, to_lane)
    over = late.y - (28 if reply else 14)
    if early.cell[0] == late.cell[0]:
        gutter = late.x - GUTTER // 2 + (-12 if reply else 12)
        if reply:
            gutter = early.x + early.width + GUTTER // 2 - 12
        under = early.band_foot + (10 if reply else 24)
    else:
        gutter = MARGIN + (14 if reply else 0)
        under = early.band_foot + (52 if reply else 38)
    xs, xe = (x1, x0) if reply else (x0, x1)
    ys, ye = (y1, y0) if reply else (y0, y1)
    points = ((xs, ys), (xs, under), (gutter, under), (gutter, over), (xe, over), (xe, ye))
    return points[::-1] if reply else points
