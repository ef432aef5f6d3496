"""A diagnosis as one picture: hosts as lanes, namespaces as boxes, both packets' lines and their ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.dataplane.trace import Branch, Disposition, Outcome, Walk
from skoopctl.report.columns import columns, fit, wrap
from skoopctl.report.escape import escape_terminal, escape_xml
from skoopctl.report.messages import Messages, messages
from skoopctl.report.overview_in import overview_in
from skoopctl.report.station_in import namespace_in, station_in
from skoopctl.report.stations import places
from skoopctl.report.svg_layout import (
    LANE_PAD,
    MARGIN,
    TEXT_INSET,
    Box,
    Layout,
    Leg,
    Panel,
    Tracks,
    lay_out,
)
from skoopctl.report.svg_links import Link, Links
from skoopctl.report.svg_marks import (
    arrow,
    cross,
    label,
    line,
    question,
    rectangle,
    station,
    stop,
    tick,
    write,
)
from skoopctl.report.svg_rows import STATIONS, Shape
from skoopctl.report.svg_style import DARK, STYLE
from skoopctl.report.verdict_in import chosen_in, share_in, verdict_in
from skoopctl.report.words import deciding_walk, settled

BRANCHES_SHOWN = 12
_LEAST_WIDTH = 720
_TITLE_LINE = 21
_BRANCH_LINE = 26
_DESCRIPTION_LIMIT = 2000


def render_svg(
    diagnosis: Diagnosis,
    *,
    captioned: bool = True,
    branch: Branch | None = None,
    link: Link | None = None,
    words: Messages | None = None,
) -> str:
    """Return a diagnosis as an SVG document: same diagnosis, same bytes; no scripts, no foreign fonts.

    ``captioned`` writes the verdict's sentence above and the coverage below, for a picture that stands alone.
    ``branch`` is another one than that to look at first; ``link`` makes every station a link.
    ``words`` are those of a language: English, where none are given.
    """
    words = words or messages()
    path = diagnosis.path
    shown = path.representative if branch is None else branch
    drawn = settled(shown, path)
    links = None if link is None else Links.of(drawn, link, words)
    tracks = replace(_tracks(drawn), fix=_fix(diagnosis, words), words=words)
    ghost = _ghost(diagnosis, tracks)
    width = max(lay_out(tracks, ghost, 0).width, _LEAST_WIDTH)
    title = _title_lines(diagnosis, width, words) if captioned else []
    layout = lay_out(tracks, ghost, MARGIN + (_TITLE_LINE * len(title) + 14 if captioned else 0))
    body = [
        *_heading(diagnosis, title, words),
        *_lanes(layout, words),
        *_lines(layout),
        *_stations(layout, links),
    ]
    y = layout.height + 26
    if len(path.branches) > 1:
        body += _branches(diagnosis, shown, (y, width), words)
        y += _branches_height(diagnosis) + 16
    for x, below, mark in _spread(_legend(tracks, layout, ghost), width):
        body.append(f'<g transform="translate({x} {y + below})">{mark}</g>')
        height = below
    y += height + 32
    for content in _footer(diagnosis, width, words) if captioned else ():
        body.append(write(MARGIN, y, "t-small", content))
        y += 16
    return _document(diagnosis, tracks, (width, y + 4), body, role="img" if links is None else "group")


def _footer(diagnosis: Diagnosis, width: int, words: Messages) -> list[str]:
    said = escape_terminal(overview_in(diagnosis, words)[:600])
    return wrap(said, (width - 2 * MARGIN) // 6)


def _document(
    diagnosis: Diagnosis, tracks: Tracks, size: tuple[int, int], body: list[str], *, role: str
) -> str:
    width, height = size
    verdict = diagnosis.path.verdict.value
    words = tracks.words
    about = words.text(
        "picture.about", verdict=words.word("verdict", verdict), sentence=verdict_in(diagnosis, words)
    )[:_DESCRIPTION_LIMIT]
    path = " ".join(_spoken(walk, words) for walk in (tracks.forward, tracks.reply) if walk is not None)
    attributes = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" class="sk" role="{role}"'
    parts = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {attributes} aria-labelledby="skoop-title skoop-desc">',
        f'<title id="skoop-title">{escape_xml(about)}</title>',
        f'<desc id="skoop-desc">{escape_xml(path[:_DESCRIPTION_LIMIT])}</desc>',
        f"<style>{STYLE}{DARK}</style>",
        f'<rect width="{width}" height="{height}" class="paper"/>',
        *body,
        "</svg>",
        "",
    )
    return "\n".join(parts)


def _spoken(walk: Walk, words: Messages) -> str:
    stays = (
        f"{place.node}, {place.namespace}: "
        f"{', '.join(station_in(item, words)[:100] for item in place.stations)}"
        for place in places(walk.steps)
    )
    end = words.word("disposition", walk.disposition.value)
    return words.text("picture.spoken", label=words.sentence(walk.label), stays="; ".join(stays), end=end)


def _tracks(branch: Branch) -> Tracks:
    """Choose the two packets to draw: the one that decides the branch, and one of the other direction."""
    deciding = deciding_walk(branch)
    backward = [walk for walk in branch.walks if _goes_back(walk, branch)]
    forward = branch.forward if deciding in backward else deciding
    if deciding in backward:
        return Tracks(forward, deciding, reply_detailed=not _fine(deciding) or not _fine(branch.forward))
    return Tracks(forward, backward[0] if backward else None, reply_detailed=False)


def _fix(diagnosis: Diagnosis, words: Messages) -> tuple[str, ...]:
    """Return what would help, in lines: only what was checked in the model is fit for a picture."""
    for finding in diagnosis.findings:
        if finding.cause and finding.fix is not None and finding.fix.checked:
            node, summary = finding.fix.node, words.sentence(finding.fix.summary)
            said = words.text("picture.fix_on", node=node) if node else words.text("picture.fix")
            return said, *(finding.fix.commands or (summary,))
    return ()


def _goes_back(walk: Walk, branch: Branch) -> bool:
    return walk is branch.reply or _sender(walk) != _sender(branch.forward)


def _sender(walk: Walk) -> tuple[str, str, str]:
    first = walk.steps[0]
    return first.node, first.namespace, first.before.source if first.before else ""


def _fine(walk: Walk) -> bool:
    return walk.disposition in (Disposition.DELIVERED, Disposition.EXITS_CLUSTER)


def _ghost(diagnosis: Diagnosis, tracks: Tracks) -> Panel | None:
    """Return the box of a destination that is never reached: absent is not the same as unknown."""
    last = tracks.forward.last
    if tracks.forward.disposition in (Disposition.DELIVERED, Disposition.EXITS_CLUSTER, Disposition.REFUSED):
        return None
    end = diagnosis.destination
    words = tracks.words
    reached = words.text("picture.perhaps_reached")
    if not (last.unknown or tracks.forward.disposition in (Disposition.UNKNOWN, Disposition.OPAQUE)):
        reached = words.text("picture.never_reached")
    name = f"{words.word('kind', end.kind)} {end.name}" if end.name else end.address
    where = f"{end.address} · " if end.name else ""
    return Panel(end.node or last.node, name, None, None, ghost=f"{where}{reached}")


def _title_lines(diagnosis: Diagnosis, width: int, words: Messages) -> list[str]:
    text = escape_terminal(verdict_in(diagnosis, words)[:1000])
    lines = wrap(text, int((width - 2 * MARGIN - 124) / 8.7))
    return lines if len(lines) <= 4 else [*lines[:4], "…"]


def _heading(diagnosis: Diagnosis, title: list[str], words: Messages) -> Iterator[str]:
    if not title:
        return
    verdict = diagnosis.path.verdict.value
    yield rectangle(MARGIN, MARGIN, 110, 26, f"v-{verdict}", radius=13)
    yield write(MARGIN + 55, MARGIN + 18, "t-verdict", words.word("verdict", verdict), "middle")
    for index, content in enumerate(title):
        yield write(MARGIN + 124, MARGIN + 18 + _TITLE_LINE * index, "t-title", content)


def _lanes(layout: Layout, words: Messages) -> Iterator[str]:
    seen: set[str] = set()
    for lane in layout.lanes:
        yield rectangle(lane.x, lane.y, lane.width, lane.height, "lane", radius=10)
        again = words.text("picture.again") if lane.node in seen else ""
        seen.add(lane.node)
        name = (fit(escape_terminal(lane.node[:200]), lane.width // 12) or "?") + again
        yield write(lane.x + LANE_PAD + TEXT_INSET, lane.y + 21, "t-lane", name)
        for box in lane.boxes:
            yield from _box(box, words)


def _box(box: Box, words: Messages) -> Iterator[str]:
    style = "box-ghost" if box.panel.ghost else "box"
    doubtful = any(item.row.shape is Shape.UNKNOWN for item in box.rows) and len(box.rows) < 3
    yield rectangle(box.x, box.y, box.width, box.height, "doubt" if doubtful else style)
    name = box.panel.namespace if box.panel.ghost else namespace_in(box.panel.namespace, words)
    room = (box.width - TEXT_INSET) // 7
    yield write(box.x + TEXT_INSET, box.y + 16, "t-box", fit(escape_terminal(name[:200]), room))
    if box.panel.ghost:
        yield write(
            box.x + TEXT_INSET,
            box.y + 40,
            "t-small",
            fit(escape_terminal(box.panel.ghost[:200]), room),
        )


def _lines(layout: Layout) -> Iterator[str]:
    yield from _tubes(layout.forward)
    yield from _tubes(layout.reply)
    for legs, style in ((layout.forward, "forward"), (layout.reply, "reply")):
        for leg in legs:
            yield line(leg.points, f"{style} doubtful" if leg.unknown else style)
    for legs, style in ((layout.forward, "arrow-forward"), (layout.reply, "arrow-reply")):
        for leg in legs:
            yield from _arrows(leg, style)


def _tubes(legs: tuple[Leg, ...]) -> Iterator[str]:
    """Draw runs of legs in a tunnel as one tube each, wall first."""
    runs: list[list[tuple[int, int]]] = []
    inside = False
    for leg in legs:
        if leg.depth and inside:
            runs[-1] += leg.points[1:]
        elif leg.depth:
            runs.append(list(leg.points))
        inside = leg.depth > 0
    for style in ("tube-wall", "tube"):
        for points in runs:
            yield line(points, style)


def _arrows(leg: Leg, style: str) -> Iterator[str]:
    """Point the way wherever a line enters a box: after a gap, and in the gutter."""
    (x, y0), (_, y1) = leg.points[-2:]
    if len(leg.points) > 2 or abs(y1 - y0) > 60:
        up = y1 < y0
        yield arrow(x, y1 + (22 if up else -22), style, up=up)
    if len(leg.points) > 2:
        (gx, g0), (_, g1) = leg.points[2:4]
        yield arrow(gx, (g0 + g1) // 2, style, up=g1 < g0)


def _stations(layout: Layout, links: Links | None) -> Iterator[str]:
    for lane in layout.lanes:
        for box in lane.boxes:
            yield from _rows(box, links)


def _rows(box: Box, links: Links | None) -> Iterator[str]:
    both = any(item.reply for item in box.rows) and any(not item.reply for item in box.rows)
    for item in box.rows:
        line_x = box.line_x(reply=item.reply)
        if item.row.shape in STATIONS:
            text_x = box.x + (box.width - TEXT_INSET if item.reply else TEXT_INSET)
            mark = station(item, line_x, text_x)
            yield mark if links is None else links.around(mark, item, box, both=both)
            continue
        width = _label_width(box, item.row.lines, both=both)
        x = box.x + (box.width - TEXT_INSET - width if item.reply else TEXT_INSET)
        yield label(item, x, width)


def _label_width(box: Box, lines: tuple[str, ...], *, both: bool) -> int:
    longest = max(map(columns, lines), default=0)
    room = box.width - (2 * TEXT_INSET if both else TEXT_INSET + 12)
    return min(int(longest * 6.1) + 24, room)


def _shown(diagnosis: Diagnosis) -> list[Branch]:
    order = sorted(diagnosis.path.branches, key=lambda branch: (branch.works, -branch.weight))
    return order[:BRANCHES_SHOWN]


def _branches_height(diagnosis: Diagnosis) -> int:
    more = len(diagnosis.path.branches) > BRANCHES_SHOWN
    return 26 + _BRANCH_LINE * (len(_shown(diagnosis)) + more)


def _branches(
    diagnosis: Diagnosis, drawn_above: Branch, place: tuple[int, int], words: Messages
) -> Iterator[str]:
    """Draw the fork below a y and within a width: one arm a branch, as thick as its share."""
    y, width = place
    path = diagnosis.path
    shown = _shown(diagnosis)
    yield write(MARGIN, y + 8, "t-lane", words.text("picture.ways", n=len(path.branches)))
    middle = y + 22 + _BRANCH_LINE * len(shown) // 2
    yield f'<circle cx="{MARGIN + 10}" cy="{middle}" r="6" class="stop"/>'
    for index, branch in enumerate(shown):
        at = y + 36 + _BRANCH_LINE * index
        yield _arm(branch, middle, at)
        yield stop(MARGIN + 124, at, _outcome_shape(branch), small=True)
        about = f"{share_in(branch, path, words)} · {chosen_in(branch, words)} · "
        about += words.word("outcome", branch.outcome.value)
        about += words.text("picture.drawn") if branch is drawn_above else ""
        about = fit(escape_terminal(about[:400]), int((width - 200) / 6.7))
        yield write(MARGIN + 144, at + 4, "t-branch", about)
    if len(shown) < len(path.branches):
        at = y + 40 + _BRANCH_LINE * len(shown)
        yield write(
            MARGIN + 144, at, "t-branch", words.text("picture.more", n=len(path.branches) - len(shown))
        )


def _arm(branch: Branch, start: int, end: int) -> str:
    thick = 2 if branch.unknowns else 1 + round(9 * branch.weight)
    dotted = ' stroke-dasharray="1 5" stroke-linecap="round"' if branch.unknowns else ""
    x = MARGIN + 16
    return (
        f'<path d="M{x},{start} C{x + 40},{start} {x + 40},{end} {x + 96},{end}" class="fork" '
        f'stroke-width="{thick}"{dotted}/>'
    )


def _outcome_shape(branch: Branch) -> Shape:
    if branch.disposition is Disposition.MTU:
        return Shape.DEAD
    known = {Outcome.CONNECTED: Shape.DELIVERED, Outcome.UNKNOWN: Shape.UNKNOWN}
    return known.get(branch.outcome, Shape.DEAD)


def _legend(tracks: Tracks, layout: Layout, ghost: Panel | None) -> list[tuple[str, str]]:
    """Return marks with their meaning, of those that the picture has."""
    shapes = {item.row.shape for lane in layout.lanes for box in lane.boxes for item in box.rows}
    words = tracks.words
    entries: list[tuple[str, str]] = []
    entries.append((line(((0, 0), (34, 0)), "forward"), words.sentence(tracks.forward.label)))
    if tracks.reply is not None:
        entries.append((line(((0, 0), (34, 0)), "reply"), words.sentence(tracks.reply.label)))
    if any(leg.depth for leg in (*layout.forward, *layout.reply)):
        tube = line(((8, 0), (28, 0)), "tube-wall") + line(((8, 0), (28, 0)), "tube")
        entries.append((tube, words.text("picture.tunnel")))
    if Shape.RELABELLED in shapes:
        entries.append((rectangle(4, -7, 28, 14, "packet", radius=2), words.text("picture.nat")))
    if Shape.DEAD in shapes:
        entries.append((cross(18, 0, 8), words.text("picture.lost")))
    if Shape.UNKNOWN in shapes:
        entries.append((question(18, 0), words.text("say.not_known")))
    if Shape.DELIVERED in shapes:
        entries.append((tick(18, 0), words.text("picture.arrives")))
    if ghost is not None:
        entries.append((rectangle(2, -8, 32, 16, "box-ghost", radius=3), ghost.ghost.split(" · ")[-1]))
    return entries


def _spread(entries: list[tuple[str, str]], width: int) -> Iterator[tuple[int, int, str]]:
    """Place the legend's entries in rows: x, the distance below the first row, and what to draw."""
    x, below = MARGIN, 14
    for mark, name in entries:
        needed = 64 + 6 * columns(name)
        if x + needed > width and x > MARGIN:
            x, below = MARGIN, below + 26
        yield x, below, mark + write(42, 4, "t-small", name)
        x += needed
