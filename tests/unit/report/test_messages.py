"""The fixed words: complete in every language, and in templates nowhere else."""

# ruff: noqa: RUF001 - Chinese is written with commas and brackets of its own

from __future__ import annotations

import re
import string
from html.parser import HTMLParser

import pytest

from skoopctl.checks.catalogue import DOCS
from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.inspections import INSPECTIONS
from skoopctl.checks.load import snapshot_of
from skoopctl.dataplane.trace import Disposition, Outcome, Verdict
from skoopctl.evidence import read_bundle
from skoopctl.lab.story import DESTINATION, PORT, SOURCE
from skoopctl.recorded import recorded_bundle
from skoopctl.report.assets import reports_folder
from skoopctl.report.fonts import covered
from skoopctl.report.incident import incident_context
from skoopctl.report.messages import LANGUAGES, messages
from skoopctl.report.rendering import TEMPLATES
from skoopctl.report.verdict_in import verdict_in
from tests.unit.report import samples

FOLDER = reports_folder() / "templates"
PAGES = tuple(f"web/{file.name}" for file in sorted((FOLDER / "web").glob("*.j2")))
OURS = (*TEMPLATES, "report_parts.html.j2", "report_parts.md.j2", *PAGES)
TABLES = sorted(file.name for file in (reports_folder() / "messages").glob("*zh.toml"))
NAMES = {"skoopctl", "JSON", "SVG"}
"""Words that are the same in every language."""


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def _fixed(lang: str) -> dict[str, str]:
    beside = ("verdict_said.", "fate.", "seen.", "inspection.", "counted.")
    return {key: text for key, text in messages(lang).texts.items() if not key.startswith(beside)}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_has_the_same_words(lang: str) -> None:
    """Both tables have the same keys, and the same names are filled in."""
    english, other = _fixed("en"), _fixed(lang)
    assert other.keys() == english.keys()
    assert {key: _fields(text) for key, text in other.items()} == {
        key: _fields(text) for key, text in english.items()
    }
    assert all(text.strip() for text in other.values())


@pytest.mark.parametrize("name", OURS)
def test_no_template_holds_words_of_its_own(name: str) -> None:
    """What stands between the templates' expressions is markup and signs; words come from the tables."""
    source = (FOLDER / name).read_text(encoding="utf-8")
    source = re.sub(r"\{%.*?%\}|\{#.*?#\}|\{\{.*?\}\}", " ", source, flags=re.DOTALL)
    if ".html." in name:
        words: list[str] = []
        parser = HTMLParser()
        parser.handle_data = words.append  # type: ignore[method-assign]
        parser.feed(source)
        said = re.findall(r'\b(?:aria-label|placeholder|title|alt|data-\w+)="([^"]*)"', source)
        source = " ".join((*words, *said))
    assert set(re.findall(r"[A-Za-z\u4e00-\u9fff]{2,}", source)) <= NAMES


@pytest.mark.parametrize("name", OURS)
def test_every_word_that_a_template_asks_for_is_there(name: str) -> None:
    """A key that no table has would be an error on somebody's desk."""
    texts = messages().texts
    source = (FOLDER / name).read_text(encoding="utf-8")
    asked = re.findall(r'\bt\("([^"]+)"', source)
    counted = re.findall(r'\bn\("([^"]+)"', source)
    assert [key for key in asked if key not in texts] == []
    assert [key for key in counted if f"{key}.one" not in texts or f"{key}.other" not in texts] == []


@pytest.mark.parametrize("enumeration", [Disposition, Outcome, Verdict])
def test_every_value_of_a_closed_set_has_its_word(enumeration: type) -> None:
    """Adding a disposition, an outcome or a verdict means adding its word."""
    table = enumeration.__name__.lower()
    for lang in LANGUAGES:
        assert {f"{table}.{value.value}" for value in enumeration} <= messages(lang).texts.keys()
    fates = {f"fate.{value.value}" for value in Disposition} | {f"seen.{value.value}" for value in Outcome}
    assert fates <= messages("zh").texts.keys()


@pytest.mark.parametrize("name", samples.ALL)
def test_every_verdict_is_a_sentence_in_chinese(name: str) -> None:
    """The verdict's sentence is in the language of the report, whatever the verdict is."""
    sentence = verdict_in(samples.ALL[name](), messages("zh"))
    assert re.search(r"[\u4e00-\u9fff]{4}", sentence)
    assert sentence.endswith("。")
    assert not re.search(
        r"\b(the|The|of|is|by)\b", re.sub(r"[(\uff08:\uff1a][^\u3002]*|rule .*", "", sentence)
    )


@pytest.mark.parametrize("part", ["title", "why", "fix"])
def test_every_finding_is_told_in_chinese(part: str) -> None:
    """A finding that is added to the catalogue is added to the table: its title, why it is so, what mends it."""
    table = messages("zh").findings
    assert table.keys() == DOCS.keys()
    untold = [name for name, entry in table.items() if not re.search(r"[\u4e00-\u9fff]", entry.get(part, ""))]
    assert untold == []


@pytest.mark.parametrize("part", ["why", "fix"])
def test_names_stay_as_they_are_in_chinese(part: str) -> None:
    """What an administrator types or greps for is the same in both languages: settings, commands, numbers."""
    table = messages("zh").findings
    for name, doc in DOCS.items():
        lost = _typed(getattr(doc, part)) - _typed(table[name][part])
        assert lost == set(), f"{name}: {part}"


def _typed(text: str) -> set[str]:
    """Return what is not prose in a text: names of settings, options, commands, addresses."""
    settings = re.findall(
        r"[a-z0-9]+(?:[._][A-Za-z0-9]+)+(?:=\d+)?|(?<!\w)--?[a-z][\w-]+|\d+(?:\.\d+){3}/\d+", text
    )
    commands = re.findall(
        r"`[^`]+`|skoopctl (?:diagnose|run mtu|probe run all)|modprobe \w+|ethtool -K \S+", text
    )
    return {*settings, *commands}


@pytest.mark.parametrize("table", TABLES)
def test_the_fonts_have_every_character_of_the_tables(table: str) -> None:
    """On paper no word of ours is written out as numbers."""
    text = (reports_folder() / "messages" / table).read_text(encoding="utf-8")
    assert {char for char in text if ord(char) not in covered()} == set()


def test_the_finding_of_the_demo_is_in_chinese() -> None:
    """Summary, reason and fix of the manual's example are translated, names and rules as they are."""
    bundle = read_bundle(recorded_bundle("broken"))
    diagnosis = diagnose(Question(SOURCE, DESTINATION, "tcp", PORT), snapshot_of(bundle))
    (cause,) = incident_context(diagnosis, messages("zh"))["causes"]
    assert cause["summary"] == "node1-c4 上 INPUT（表 filter）的第 1 条规则丢弃来自 192.168.3.87 的 VXLAN 包"
    assert cause["fix"]["summary"] == "删除 node1-c4 上 INPUT（表 filter）的第 1 条规则"
    assert cause["why"].startswith("目标为 DROP 的规则")
    assert cause["evidence"][-1]["text"] == "-A INPUT -s 192.168.3.87/32 -j DROP"


def test_what_no_table_knows_stays_as_it_is() -> None:
    """A sentence is never lost or guessed at: it stays English, however long or hostile it is."""
    for sentence in (
        "Something new happened on node1",
        "Rule 1 of X (table f) on a drops " + "b " * 4000,
        "{0.x}",
    ):
        assert messages("zh").sentence(sentence) == sentence
    assert messages("zh").sentence("endpoint {0.x}") == "端点 {0.x}"


def test_sentences_within_sentences_come_to_an_end() -> None:
    """Whoever nests a thousand of them gets the first ones in Chinese, and the rest as it is."""
    assert messages("zh").sentence("; " * 400).endswith(" ; ; ")


def test_no_name_is_taken_for_a_sentence() -> None:
    """What is translated as a whole has a space in it, which no node, pod, device or chain has."""
    assert [text for text in messages("zh").phrases if " " not in text] == []


@pytest.mark.parametrize("name", ["data", "delivered", "accepted"])
def test_a_name_that_is_a_word_of_ours_stays_a_name(name: str) -> None:
    """A node called data is called data in every language, though a packet's label of that name is translated."""
    told = messages("zh").sentence(f"node {name}: 20 packets were dropped by devices in 10 s")
    assert told.startswith(f"节点 {name}：")
    assert messages("zh").sentence(name) != name


def test_a_translated_sentence_says_everything_that_the_english_one_said() -> None:
    """Each name, address and number that a pattern picks out of a sentence stands in the Chinese one."""
    patterns = messages("zh").patterns
    lost = [p.english.pattern for p in patterns if _fields(p.said) != p.english.groupindex.keys()]
    assert lost == []


def test_each_hop_of_the_demo_is_decided_in_chinese() -> None:
    """What hooks, devices and sockets decided is told by the tables; a route is as `ip route` writes it."""
    snapshot = snapshot_of(read_bundle(recorded_bundle("broken")))
    context = incident_context(diagnose(Question(SOURCE, DESTINATION, "tcp", PORT), snapshot), messages("zh"))
    english = {
        decision
        for branch in context["branches"]
        for way in branch["ways"]
        for place in way["places"]
        for station in place["stations"]
        for decision in station["decisions"]
        if not re.search(r"[\u4e00-\u9fff]", decision)
    }
    assert english
    assert [each for each in english if not re.fullmatch(r"(via \S+ )?dev \S+", each)] == []


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        (
            "dropped by inet filter INPUT rule 3 (handle 7)",
            "被 INPUT（表 inet filter，handle 7）的第 3 条规则丢弃",
        ),
        ("perhaps dropped by filter X rule 2 (legacy)", "也许被 X（表 filter，legacy）的第 2 条规则丢弃"),
        (
            "set eth1 up and add the route to 10.1.0.0/16 on n1 (then 50% of connections pass; "
            "the others fail for other reasons)",
            "打开 n1 上的 eth1，并添加到 10.1.0.0/16 的路由（此后 50% 的连接可通；其余的因其他原因失败）",
        ),
        (
            "n1 has 9,000 of 10,000 conntrack entries (90%)",
            "n1 的 conntrack 表已用 10,000 个条目中的 9,000 个（90%）",
        ),
        (
            "Rule 1 of FORWARD (table filter) on n2 drops the SYN-ACK from 10.1.1.1 to 10.2.2.2 "
            "(88% of connections: filter FORWARD rule 1)",
            "n2 上 FORWARD（表 filter）的第 1 条规则丢弃从 10.1.1.1 到 10.2.2.2 的 SYN-ACK"
            "（88% 的连接：FORWARD（表 filter）的第 1 条规则）",
        ),
        (
            "On b on n2, the echo request from 10.1.1.1 to 10.2.2.2: echo requests are ignored here",
            "在 n2 的 b，从 10.1.1.1 到 10.2.2.2 的 echo 请求：这里忽略 echo 请求",
        ),
        ("received on ens192", "在 ens192 上接收"),
        (
            "On red on n1, the SYN from 10.1.1.1 to 10.2.2.2: no route to 10.2.2.2",
            "在 n1 的 red，从 10.1.1.1 到 10.2.2.2 的 SYN：没有到 10.2.2.2 的路由",
        ),
        ("nobody answers for 10.1.1.1 on eth0: eth0 is down", "eth0 上没有人应答 10.1.1.1：eth0 已关闭"),
        (
            "web: expected reachable, found connected (50%), timeout (50%)",
            "web：预期可达，实际已连接（50%）、超时（50%）",
        ),
    ],
)
def test_a_sentence_keeps_its_names_and_its_reason_in_chinese(english: str, chinese: str) -> None:
    """A rule's number, chain, table and handle are told, and a reason within a sentence is translated too."""
    assert messages("zh").sentence(english) == chinese


def test_every_inspection_is_asked_in_chinese() -> None:
    """An inspection that is registered is added to the table, by its name."""
    asked = {key.removeprefix("inspection.") for key in messages("zh").texts if key.startswith("inspection.")}
    assert asked == INSPECTIONS.keys()
