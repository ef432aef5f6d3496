"""What metrics, events and the coverage say, in Chinese: every row of every table, with values in it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import skoopctl
from skoopctl.checks.finding import Finding
from skoopctl.dataplane.rules.matches.undecidable import _REASONS
from skoopctl.dataplane.trace import Evidence
from skoopctl.events.anomalies import event_findings
from skoopctl.events.asked_for import _UNSEEN
from skoopctl.events.drop_packet import key_of
from skoopctl.events.drop_reasons import SUBSYSTEMS
from skoopctl.events.dropped import Answer, Blame, Said
from skoopctl.events.event import InnerPacket
from skoopctl.events.reasons import DROP_REASONS, RESET_REASONS
from skoopctl.events.subjects import Subject
from skoopctl.events.thresholds import EVENT_THRESHOLDS, EventThreshold
from skoopctl.evidence.item import ItemStatus
from skoopctl.evidence.payload import PROGRAM_FILES
from skoopctl.probes.anomalies import anomalies
from skoopctl.probes.sample import Snapshot
from skoopctl.probes.thresholds import THRESHOLDS, Compared, Threshold
from skoopctl.report.assets import reports_folder
from skoopctl.report.incident import finding_context
from skoopctl.report.messages import messages
from skoopctl.report.overview_in import detail_in
from skoopctl.transport.verdict import _REFUSALS
from tests.unit.events.made import API, NODE, WEB, event, flow_tally, tally

WORDS = messages("zh")
PACKAGE = Path(skoopctl.__file__).parent
REMOTE = PACKAGE.parent / "remote"
PLACE = (NODE, "shop", "web-0")
RULE = Evidence("iptables-rule", "-A INPUT -s 10.0.0.1/32 -j DROP", "filter INPUT rule 3", 12)
PROSE = re.compile(
    r"\b(?:a|an|all|the|of|is|are|was|were|in|on|by|for|to|from|with|without|not|no|more|and|or|their|its|times?)\b"
)
"""Words that only an English sentence has: no name of the kernel's, no protocol, no command."""


def untold(english: str, chinese: str, *kept: str) -> list[str]:
    """Return what is wrong with a sentence in Chinese: it has none, or English prose stands in it."""
    rest = chinese
    for text in kept:
        rest = rest.replace(text, "")
    if not re.search(r"[\u4e00-\u9fff]", rest):
        return [english]
    return [f"{english} -> {chinese}"] if PROSE.search(rest) else []


def metric_finding(row: Threshold) -> Finding:
    """Return what is found where a row's metrics are past its threshold in a pod."""
    part = row.compared in {Compared.SHARE, Compared.USED}
    grown = 90_000 if part else int(max(2 * row.default, 2) * 10)
    now = dict.fromkeys(((name, PLACE) for name in row.metrics), grown)
    now |= dict.fromkeys(((name, PLACE) for name in row.of), 100_000)
    before = Snapshot(0, 0, dict.fromkeys(now, 0))
    found = anomalies(NODE, before, Snapshot(10 * 10**9, 10 * 10**9, now))
    return next(each for each in found if each.id == row.finding)


def event_finding(row: EventThreshold, reason: str = "") -> Finding:
    """Return what is found where a row's events have come in great number, between two pods."""
    kind = row.kinds[0] if row.kinds else "packet-loss"
    told = reason or next(
        (name for name, each in DROP_REASONS.items() if each.subject is row.subject and not each.noise), ""
    )
    counted = [tally(kind, 5_000, reason=told, function="kfree_skb")]
    inner = InnerPacket("VXLAN", 1, "TCP", WEB, API)
    seen = [
        event(
            kind,
            namespace="shop",
            pod="web-0",
            source=WEB,
            destination=API,
            protocol="TCP",
            reason=told,
            latency_ns=12_300_000,
            inner=inner,
        )
    ]
    found = event_findings(NODE, counted, [flow_tally(kind, 5_000)], seen, 10)
    return next(each for each in found if each.id == row.finding)


@pytest.mark.parametrize("name", THRESHOLDS)
def test_every_threshold_of_a_metric_is_told_in_chinese(name: str) -> None:
    """A row that is added to the thresholds is added to the table: its number, its sum, its time, its place."""
    finding = metric_finding(THRESHOLDS[name])
    context = finding_context(finding, WORDS)
    told = context["summary"]
    assert untold(finding.summary, told) == []
    assert [entry["location"] for entry in context["evidence"] if PROSE.search(entry["location"])] == []
    assert re.findall(r"\d[\d,.]*", told) != []
    assert sorted(re.findall(r"\d[\d,.]*%?", told)) == sorted(re.findall(r"\d[\d,.]*%?", finding.summary))
    assert "shop/web-0" in told


@pytest.mark.parametrize("name", EVENT_THRESHOLDS)
def test_every_threshold_of_an_event_is_told_in_chinese(name: str) -> None:
    """Summary and evidence of every row: how many of what, how long, between whom, carried by which tunnel."""
    finding = event_finding(EVENT_THRESHOLDS[name])
    told = finding_context(finding, WORDS)
    assert untold(finding.summary, told["summary"]) == []
    numbers = sorted(re.findall(r"\d[\d,.]*", finding.summary))
    assert sorted(re.findall(r"\d[\d,.]*", told["summary"])) == numbers
    lines = [
        problem
        for line, entry in zip(finding.evidence, told["evidence"], strict=True)
        if line.kind not in {"event", "flow"} or "inside" in line.text
        for problem in untold(line.text, entry["text"])
    ]
    assert lines == []


def test_each_row_of_the_tables_is_one_of_the_code() -> None:
    """What is told of a number is in the tables of Chinese because a threshold says it, and for nothing else."""
    folder = reports_folder() / "messages"
    for name, rows in (("metrics", THRESHOLDS), ("events", EVENT_THRESHOLDS)):
        table = tomllib.loads((folder / f"{name}-zh.toml").read_text(encoding="utf-8"))
        assert table["says"].keys() == {row.says for row in rows.values()}


def test_every_reason_of_the_kernel_is_told_in_chinese() -> None:
    """What each reason for a drop or a reset means, and what usually causes it, is in the table."""
    reasons = (*DROP_REASONS.values(), *RESET_REASONS.values())
    said = {each.means for each in reasons} | {each.cause for each in reasons}
    said |= {subject.value.cause for subject in Subject} | set(SUBSYSTEMS.values())
    assert sorted(said - WORDS.phrases.keys()) == []
    assert [text for text in said if not re.search(r"[\u4e00-\u9fff]", WORDS.phrases[text])] == []


@pytest.mark.parametrize("reason", ["", "SOMETHING_NEW", "7 of subsystem 3", "5 of subsystem 9"])
def test_a_reason_that_nobody_knows_is_told_as_such(reason: str) -> None:
    """The kernel's name for it is kept, and that it is not known is told in Chinese."""
    finding = event_finding(EVENT_THRESHOLDS["dropped-unsaid"], reason or "NOT_SPECIFIED")
    told = finding_context(finding, WORDS)["evidence"]
    (meaning,) = [entry["text"] for entry in told if entry["kind"] == "reason"]
    assert untold(reason, meaning, reason or "NOT_SPECIFIED") == []
    assert (reason or "NOT_SPECIFIED") in meaning


DROPPED = (
    Answer(Said.RULE, (Blame(RULE),)),
    Answer(Said.RULE, (Blame(RULE, "conntrack took it for NEW and its mark was 0x4000"),), _UNSEEN[0][1]),
    Answer(Said.ONE_OF, (Blame(RULE), Blame(replace(RULE, packets=0), "it came in by eth0"))),
    Answer(Said.NONE, reason="no rule of the snapshot drops it: rules may have changed since"),
    Answer(Said.UNKNOWN, reason=f"{NODE} was not collected"),
    Answer(
        Said.UNKNOWN, reason="rules of that namespace were not read: nft: denied: nft: EPERM, root is needed"
    ),
    *(Answer(Said.UNKNOWN, reason=words) for _, words in _UNSEEN),
)


@pytest.mark.parametrize("answer", DROPPED, ids=str)
def test_which_rule_dropped_a_packet_is_told_in_chinese(answer: Answer) -> None:
    """One rule, some of which one did it, none, or unknown: with its conditions; the rule is as it was read."""
    dropped = event(
        namespace="shop", pod="web-0", source=WEB, destination=API, reason="NETFILTER_DROP", hook="INPUT"
    )
    key = key_of(dropped)
    assert key is not None
    (finding,) = event_findings(
        NODE, [tally(reason="NETFILTER_DROP")], [], [dropped], 10, None, {key: answer}
    )
    told = finding_context(finding, WORDS)
    assert untold(finding.summary, told["summary"], RULE.text) == []
    answers = [entry for entry in told["evidence"] if entry["kind"] == "gap"]
    assert [untold(answer.text, entry["text"], RULE.text) for entry in answers] == [[] for _ in answers]
    if answer.rules:
        assert RULE.text in str((told["summary"], answers))


# --- what could not be decided -------------------------------------------------------------------------------


def undecided() -> Iterator[str]:
    """Yield why a rule may or may not match, or what it does is not known, as the code writes it."""
    for file in sorted((PACKAGE / "dataplane").rglob("*.py")):
        for call in (*calls(file, "Unknown"), *calls(file, "UnclearError")):
            yield from (text for text in map(written, call.args[:1]) if " " in text)
        if file.parent.name == "nft":
            fields = (
                written(call.args[0])
                for call in calls(file, "unknown")
                if ast.unparse(call.func) == "unknown"
            )
            yield from (f"{text} is not known" for text in fields if " " in text)


def test_why_a_rule_was_not_decided_is_told_in_chinese() -> None:
    """Matches, sets and expressions that the model cannot decide: each reason that the code can give."""
    said = sorted({text for text in undecided() if not text.startswith(tuple(JOINED))})
    assert len(said) > 80
    assert [problem for text in said for problem in untold(text, WORDS.sentence(text))] == []


@pytest.mark.parametrize(("module", "reason"), sorted(_REASONS.items()))
def test_why_a_module_is_not_decided_is_told_in_chinese(module: str, reason: str) -> None:
    """A match that no walk can decide by its nature, in a rule of either kind, and beside another reason."""
    for place in ("filter INPUT rule 3", "nft ip filter input rule 3"):
        told = WORDS.sentence(f"{place} on n1: -m {module}: {reason}; match -m {module} is not modelled")
        assert untold(reason, told, f"-m {module}") == []
        assert told.startswith("n1 上")
        assert told.count(f"-m {module}") == 2


# --- coverage ------------------------------------------------------------------------------------------------


JOINED = (
    "7 on 7: 7",
    "-m 7: 7",
    "-m realm: 7",
    "7 is set",
    "7 is not known",
    "the set 7 7",
    "fib: 7",
    "after its",
)
"""Sentences that the code puts together of others, which are tried by themselves."""
STANDS_FOR = {
    "what": "after its greeting",
    "ended": "the program ended with status 1",
    "said": ": own words of it",
    "method": "sudo",
    "meaning": "sudo asks for a password",
    "login.user": "root",
    "too_many": " after too many keys",
    "accepts": "; it accepts: password",
    "_about_password(watch)": "; it also asked: 'Code:'",
}
"""Values of the names in the code's sentences, where a number does not do."""


def calls(file: Path, ending: str) -> Iterator[ast.Call]:
    """Yield the calls in a file of what has such a name."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(ending):
            yield node


def written(node: ast.expr | None) -> str:
    """Return a text as the code writes it, with a value for each name; empty where it is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(map(written, node.values))
    if isinstance(node, ast.FormattedValue):
        return STANDS_FOR.get(ast.unparse(node.value), "7")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return re.sub(r"%[.\d]*[dsgfr]", "7", written(node.left))
    return ""


def counted() -> Iterator[str]:
    """Yield what inspections count, as the code names it."""
    for file in sorted((PACKAGE / "checks" / "inspections").glob("*.py")):
        yield from (written(call.args[0]) for call in calls(file, "inspected.count"))
        yield from (written(call.args[2]) for call in calls(file, "broken_paths"))


def test_what_inspections_count_is_told_in_chinese() -> None:
    """Nodes, pods, endpoints and each kind of path: how many were looked at is no number without a word."""
    said = {text for text in counted() if text}
    assert len(said) > 12
    assert sorted(text for text in said if WORDS.word("counted", text) == text) == []


def outcomes() -> Iterator[str]:
    """Yield what the node program says of items that it could not read, or that are not there."""
    for name in PROGRAM_FILES:
        for call in calls(REMOTE / name, "Outcome"):
            yield from (text for text in map(written, call.args[1:2]) if text)
        for call in calls(REMOTE / name, "text_file"):
            yield from (text for text in map(written, call.args[2:3]) if text)


def errors() -> Iterator[tuple[str, str]]:
    """Yield what keeps a host or the API from being asked, with the advice behind it, as the code writes them."""
    files = [*sorted((PACKAGE / "transport").glob("*.py")), PACKAGE / "evidence" / "api.py"]
    for file in files:
        if file.name in {"fake.py", "jump.py"}:
            continue
        for call in calls(file, "Error"):
            if ast.unparse(call.func) in {"RuntimeError", "TypeError", "OSError", "DeadlineError"}:
                continue
            said = call.args[0 if file.name == "api.py" else 1]
            hint = next((written(each.value) for each in call.keywords if each.arg == "hint"), "")
            if written(said).strip("7: "):
                yield written(said), hint


BROKEN = [
    written(call.args[0])
    for call in calls(PACKAGE / "evidence" / "frames.py", "BrokenAnswerError")
    if call.args
]


@pytest.mark.parametrize("status", [each.value for each in ItemStatus if each is not ItemStatus.OK])
def test_what_was_not_read_is_told_in_chinese(status: str) -> None:
    """The item keeps its name; that it was denied, cut or is not there, and why, is in Chinese."""
    said = sorted(set(outcomes()))
    assert len(said) > 40
    assert [each for text in said for each in untold(text, detail_in(f"nft: {status}: {text}", WORDS))] == []


@pytest.mark.parametrize("said", BROKEN)
def test_a_broken_answer_is_told_in_chinese(said: str) -> None:
    """An answer that was cut or damaged is so in every language, and how much of it came."""
    assert untold(said, detail_in(f"12 items came, then: {said}", WORDS)) == []


@pytest.mark.parametrize(("said", "hint"), sorted(set(errors())))
def test_why_a_host_was_not_asked_is_told_in_chinese(said: str, hint: str) -> None:
    """A login or a connection that failed, and what to do about it: each error that the code can raise."""
    line = f"{said} ({hint})" if hint else said
    assert untold(line, detail_in(line, WORDS), "own words of it") == []


@pytest.mark.parametrize("stage", ["connect", "program", "host", "run", "round"])
def test_every_deadline_is_told_in_chinese(stage: str) -> None:
    """Which of the deadlines has passed, and how long it was."""
    told = detail_in(f"no answer within the {stage} deadline of 12.5 s", WORDS)
    assert untold(stage, told) == []
    assert "12.5" in told


@pytest.mark.parametrize("meaning", sorted({each for rows in _REFUSALS.values() for _, each in rows}))
def test_what_sudo_refused_is_told_in_chinese(meaning: str) -> None:
    """What a refusal means is in Chinese, and sudo's own line stands behind it as it was."""
    told = detail_in(f"{meaning}: sudo: own words of it", WORDS)
    assert untold(meaning, told, "sudo: own words of it") == []
    assert told.endswith("sudo: own words of it")


def test_a_line_that_no_table_knows_keeps_its_brackets() -> None:
    """A host's own words in brackets are not taken for advice."""
    for said in ("bash: something (else)", "x (" * 3_000 + ")", "(y)"):
        assert detail_in(said, WORDS) == said


def test_every_kind_of_evidence_has_its_word() -> None:
    """A line that stands nowhere in particular is told by its kind: a route, a socket, an object."""
    kinds = {
        written(call.args[0])
        for file in PACKAGE.rglob("*.py")
        for call in calls(file, "Evidence")
        if call.args and isinstance(call.args[0], ast.Constant)
    }
    assert len(kinds) > 15
    assert sorted(kind for kind in kinds if f"evidence.{kind}" not in WORDS.texts) == []
