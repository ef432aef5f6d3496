"""The pages in Chinese: every word of ours on them, and what nodes said as it was read."""

# ruff: noqa: RUF001 - Chinese is written with commas and brackets of its own

from __future__ import annotations

import ast
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

import skoopctl
from skoopctl.checks.diagnosis import Coverage, HostCoverage
from skoopctl.report.assets import reports_folder
from skoopctl.report.messages import messages
from skoopctl.report.overview_in import detail_in
from skoopctl.web import hop
from skoopctl.web.app import Shown
from skoopctl.web.diagnosis_page import page_of
from skoopctl.web.guard import MOST_QUERY, Access
from skoopctl.web.held import Evidence
from skoopctl.web.hop import stations_of
from skoopctl.web.recollection import Progress
from skoopctl.web.render import Around, render_diagnosis
from skoopctl.web.run_page import Sieve, run_of, run_page_of
from skoopctl.web.wanted import PROTOCOLS, Wanted
from tests.unit.report import samples
from tests.unit.report.test_told_in_chinese import calls, untold, written
from tests.unit.web.seen_words import english_in, ours, raw_lines, words_of
from tests.unit.web.test_run import kept_text
from tests.unit.web.visit import MANUAL, Visitor, recorded, visitor

WORDS = messages("zh")
PACKAGE = Path(skoopctl.__file__).parent
ASKED = Wanted("10.244.3.70", "10.244.2.201", "8080")
SERVICE = Wanted("10.244.3.70", "svc/tools/web", "80")
NODE = Wanted("node/master-c4", "svc/tools/demo", "8080")


def reader(moment: str = "broken", access: Access | None = None) -> Visitor:
    """Return a visitor of pages in Chinese, over a moment of the demo, with a run and its evidence."""
    found = json.loads(kept_text().replace("the manual's", "manual"))
    run = run_of(found, "f", has_evidence=True, words=WORDS)
    shown = Shown(
        recorded(moment),
        run=run,
        run_file="f.json",
        run_evidence="the evidence behind it is f.skoop",
        words=WORDS,
    )
    return visitor(shown, access)


@pytest.mark.parametrize("moment", ["broken", "healthy"])
@pytest.mark.parametrize("wanted", [ASKED, SERVICE, NODE], ids=["manual", "service", "node"])
async def test_every_word_of_ours_on_a_diagnosis_is_chinese(moment: str, wanted: Wanted) -> None:
    """Every hop of every packet of every branch, in the broken and the healthy demo: texts, labels, titles, hints."""
    guest = reader(moment)
    diagnosis = Evidence(recorded(moment)).diagnose(wanted.question())
    kept = raw_lines(diagnosis)
    pages = [
        wanted.href(branch=index, walk=number, hop=each)
        for index, branch in enumerate(diagnosis.path.branches)
        for number, walk in enumerate(branch.walks)
        for each in range(len(stations_of(walk)))
    ]
    assert len(pages) > 17
    found = {text for page in pages for text in english_in((await guest.get(page)).text, kept)}
    assert found == set()


@pytest.mark.parametrize(
    "target",
    [
        "/run",
        "/run?severity=fatal",
        "/run?q=nirgends",
        "/diagnose",
        f"{MANUAL}&q=INPUT",
        f"{MANUAL}&q=nirgends",
        f"{MANUAL}&branch=7&walk=9&hop=400",
        "/diagnose?s=10.244.3.70&d=nobody&p=80",
        "/diagnose?s=10.244.3.70",
        "/diagnose?s=10.244.3.70&d=10.244.2.201&p=x",
    ],
)
async def test_every_word_of_ours_on_other_pages_is_chinese(target: str) -> None:
    """A run, sieved too, the form, hits and none of them, what is not there, and what is wrong with a question."""
    answer = await reader().get(target)
    assert answer.status == 200
    assert answer.page.all("html", lang="zh-CN")
    kept = raw_lines(Evidence(recorded()).diagnose(ASKED.question()))
    assert english_in(answer.text, kept) == []


async def test_the_english_page_is_seen_through_by_the_same_eyes() -> None:
    """What is asked of the Chinese page would find the English one: most of its words."""
    guest = visitor()
    assert len(english_in((await guest.get(MANUAL)).text)) > 50
    assert ours() > {"Cause", "Path, hop by hop", "Diagnose", "next hop →", "Coverage", "Evidence and why"}


@pytest.mark.parametrize("name", samples.ALL)
def test_whatever_a_day_brings_the_frame_is_chinese(name: str) -> None:
    """Of every kind of verdict, no label, heading, value of a closed set or sentence of the page itself is English."""
    around = Around(run=True, evidence=Evidence(recorded()), words=WORDS)
    text = render_diagnosis(page_of(samples.ALL[name](), ASKED, WORDS), ASKED, around)
    assert text.rstrip().endswith("</html>")
    assert sorted(set(words_of(text)) & ours()) == []


def test_collecting_again_is_told_in_chinese() -> None:
    """The button, how far it is with the words that the script fills in, and why nothing came of it."""
    evidence = Evidence(recorded())
    running = Around(run=False, evidence=evidence, progress=Progress(True, 1, 3, "", 1), words=WORDS)
    text = render_diagnosis(None, ASKED, running)
    assert english_in(text) == []
    assert "正在采集：" in text
    assert 'data-answered="{total} 台主机中的 {done} 台"' in text
    said = "0 of 7 hosts collected (n1 unreachable, n2 auth-failed and 5 more)"
    ended = Around(run=False, evidence=evidence, progress=Progress(False, 7, 7, said, 1), words=WORDS)
    text = render_diagnosis(None, ASKED, ended)
    assert english_in(text) == []
    assert "重新采集" in text
    assert "已采集 7 台主机中的 0 台（n1 不可达，n2 登录被拒，另有 5 台）" in text


def test_what_was_not_seen_is_told_in_chinese() -> None:
    """A host's status, why it was not asked and what was not read of it, on the page and in a search."""
    row = HostCoverage(
        "n1",
        "auth-failed",
        "no answer within the host deadline of 30 s",
        ("nft: denied: nft: EPERM, root is needed",),
    )
    made = replace(samples.dropped(), coverage=Coverage((row,)))
    evidence = Evidence(replace(recorded(), coverage=made.coverage))
    asked = replace(ASKED, search="登录被拒")
    page = page_of(made, asked, WORDS)
    text = render_diagnosis(page, asked, Around(run=False, evidence=evidence, words=WORDS))
    assert page.hits is not None
    assert [(hit.what, hit.text) for hit in page.hits.shown] == [("主机", "n1：登录被拒")]
    (told,) = re.findall(r"<tr class=\"unknown\"><td>n1</td>(.*?)</tr>", text)
    assert untold(row.detail, unescape(re.sub(r"<.*?>", " ", told))) == []
    assert "auth-failed" not in told


def test_both_backends_at_once_are_told_in_chinese() -> None:
    """What was detected of iptables is a name, or two of them with a word of ours between."""
    both = replace(recorded().detected, backend="iptables-nft and iptables-legacy")
    evidence = Evidence(replace(recorded(), detected=both))
    text = render_diagnosis(None, ASKED, Around(run=False, evidence=evidence, words=WORDS))
    assert english_in(text) == []
    assert "iptables-nft 和 iptables-legacy" in text


@pytest.mark.parametrize(
    ("search", "text"),
    [
        ("丢弃 VXLAN", "node1-c4 上 INPUT（表 filter）的第 1 条规则丢弃来自 192.168.3.87 的 VXLAN 包"),
        (
            "192.168.3.87/32 drop",
            "node1-c4 的 host 中的 INPUT：filter INPUT rule 1 -A INPUT -s 192.168.3.87/32 -j DROP",
        ),
        ("底层网络", "node2-c4 的 host 中的 ens192：经底层网络到 node1-c4"),
    ],
)
def test_a_search_finds_what_is_read_on_the_page(search: str, text: str) -> None:
    """Words of the Chinese page are found, and those of rules; what is found is told in Chinese."""
    diagnosis = Evidence(recorded()).diagnose(ASKED.question())
    found = page_of(diagnosis, replace(ASKED, search=search), WORDS).hits
    assert found is not None
    assert text in [hit.text for hit in found.shown]


@pytest.mark.parametrize(
    ("search", "found"), [("丢弃 VXLAN", True), ("drops VXLAN", True), ("不在其中 VXLAN", False)]
)
def test_a_run_is_searched_in_its_words(search: str, found: bool) -> None:
    """Findings are sieved by what the page says of them, and by what the run wrote down."""
    run = run_of(json.loads(kept_text()), "f", has_evidence=True, words=WORDS)
    page = run_page_of(run, Sieve(search=search), file="f", evidence="")
    assert (page.matching > 0) == found


async def test_programs_are_told_the_same_in_every_language() -> None:
    """The JSON is the schema's; the picture beside it is in the page's language."""
    json_of = MANUAL.replace("/diagnose", "/diagnosis.json")
    assert (await reader().get(json_of)).text == (await visitor().get(json_of)).text
    picture = (await reader().get(MANUAL.replace("/diagnose", "/picture.svg"))).text
    kept = raw_lines(Evidence(recorded()).diagnose(ASKED.question()))
    assert english_in(picture, kept) == []
    assert "失败" in picture


APART = {"7 a number from 1 to 65535", "7: 7", "my.skoop: 7"}
"""Sentences that the code puts together of others: these are tried by themselves."""
OUTSIDE = Access("192.0.2.7", 8080, "t0ken")


@pytest.mark.parametrize(
    ("access", "host", "method", "target", "status"),
    [
        (None, "127.0.0.1", "GET", "/nothing", 404),
        (None, "127.0.0.1", "GET", "/assets/nothing", 404),
        (None, "127.0.0.1", "GET", "/picture.svg?s=10.244.3.70&d=nobody", 422),
        (None, "evil.example", "GET", "/", 421),
        (None, "127.0.0.1", "PUT", "/", 405),
        (None, "127.0.0.1", "GET", "/?q=" + "x" * MOST_QUERY, 414),
        (OUTSIDE, "192.0.2.7", "GET", "/", 401),
        (OUTSIDE, "192.0.2.7", "GET", "/?token=wrong", 403),
    ],
)
async def test_a_refusal_is_a_line_in_chinese(
    access: Access | None, host: str, method: str, target: str, status: int
) -> None:
    """Whoever gets no page reads why, and what to do, in the language of the pages."""
    guest = reader(access=access)
    guest.host = host
    answer = await guest.ask(method, target, {})
    assert answer.status == status
    assert answer.text.count("\n") == 1
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert untold(answer.text, answer.text, "skoopctl:") == []


async def test_the_way_in_is_chinese() -> None:
    """The page that gives the cookie has a link for browsers that do not go on by themselves."""
    guest = reader(access=OUTSIDE)
    guest.host = "192.0.2.7"
    welcome = await guest.get("/?token=t0ken")
    assert welcome.page.all("html", lang="zh-CN")
    assert "继续" in welcome.page.words


def errors() -> list[tuple[str, str]]:
    """Return what can be wrong with a question or with evidence, with the advice behind it, as the code writes it."""
    found = set()
    for file in ("checks/target.py", "checks/diagnose.py", "web/wanted.py", "evidence/bundle_file.py"):
        for call in calls(PACKAGE / file, "rror"):
            said = written(call.args[0]) if call.args else ""
            hint = next((written(each.value) for each in call.keywords if each.arg == "hint"), "")
            if ast.unparse(call.func) == "self._error":
                said = f"my.skoop: {said}"
            if said.strip("7: ") and said not in APART and "cannot be written" not in said:
                found.add((re.sub(r"^7(?= is (?:missing|longer))", "source", said), hint))
    return sorted(found)


def test_every_error_of_a_question_is_found_in_the_code() -> None:
    """What is looked at below is not less than there is."""
    assert len(errors()) > 24


@pytest.mark.parametrize(("said", "hint"), errors())
def test_what_is_wrong_with_a_question_is_told_in_chinese(said: str, hint: str) -> None:
    """Each error, and what to do about it; what was typed stands in it as it was typed."""
    line = f"{said} ({hint})" if hint else said
    told = detail_in(line, WORDS)
    assert untold(line, told) == []
    assert "skoopctl collect -o FILE" not in hint or "skoopctl collect -o FILE" in told


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"use one of {', '.join(PROTOCOLS)}", "请用其中之一：tcp, udp, sctp, icmp, icmp6"),
        ("did you mean tools/demo?", "是否指 tools/demo？"),
        ("no port is given: it must be a number from 1 to 65535", "没有给出端口：它必须是 1 到 65535 的数字"),
        ("port 70000 is not a number from 1 to 65535", "端口 70000 不是 1 到 65535 的数字"),
        (
            "'my host' is not an address, and no host has that name",
            "'my host' 不是地址，也没有主机叫这个名称",
        ),
        (
            "the evidence of this run was not kept: there is no a b.skoop beside it",
            "该次运行的证据没有保存：旁边没有 a b.skoop",
        ),
        ("this is a bug in skoopctl: KeyError: 'x'", "这是 skoopctl 的缺陷：KeyError: 'x'"),
        ("to 10.244.3.11:8080", "到 10.244.3.11:8080"),
    ],
)
def test_names_that_people_typed_are_kept(said: str, told: str) -> None:
    """Whatever stands in such a sentence, with spaces too, stands in the Chinese one."""
    assert WORDS.sentence(said) == told


def test_the_script_has_no_words() -> None:
    """What the script writes onto the page comes from the page's attributes."""
    script = (reports_folder() / "js" / "web.js").read_text(encoding="utf-8")
    assigned = re.findall(r"(?:textContent|innerText|title|alert)\s*(?:=(?!=)|\()\s*([^;]+);", script)
    assert len(assigned) >= 4
    literals = [text for each in assigned for text in re.findall(r"[\"'`]([^\"'`]*)[\"'`]", each)]
    assert set(literals) <= {"copy", "{done}", "{total}", "?"}


def test_every_row_of_the_pages_table_is_used() -> None:
    """No word is kept that no page says."""
    folder = reports_folder() / "templates" / "web"
    sources = [*folder.glob("*.j2"), *(PACKAGE / "web").glob("*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in sources)
    groups = {key for key, _ in hop.GROUPS} | {hop.OTHERS}
    unused = []
    for key in WORDS.texts:
        table, _, last = key.rpartition(".")
        if table == "page.lines":
            used = last in groups
        elif table.startswith("page."):
            used = f'"{last}"' in text or key in text
        else:
            used = table != "page" or f'"{key}"' in text
        if not used:
            unused.append(key)
    assert unused == []
