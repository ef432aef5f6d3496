"""What the page answers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape

import jsonschema
import pytest

from skoopctl.checks.diagnosis import Coverage, HostCoverage
from skoopctl.dataplane.trace import StepKind
from skoopctl.report.jsonout import schema
from skoopctl.report.messages import LANGUAGES, messages
from skoopctl.web.app import Shown
from skoopctl.web.diagnosis_page import page_of
from skoopctl.web.held import MOST_KEPT, Evidence
from skoopctl.web.names import MOST_NAMES, Offered
from skoopctl.web.render import Around, render_diagnosis
from skoopctl.web.wanted import Wanted
from tests.unit.report import samples
from tests.unit.web.visit import MANUAL, recorded, visitor

ASKED = Wanted("10.244.3.70", "10.244.2.201", "8080")


async def test_the_manuals_example_is_one_page() -> None:
    """Verdict, cause, fix, picture, hop and coverage of the manual's fault are on its page."""
    answer = await visitor().get(MANUAL)
    assert answer.status == 200
    page = answer.page
    for words in (
        "FAIL",
        "Rule 1 of INPUT (table filter) on node1-c4 drops VXLAN packets from 192.168.3.87",
        "iptables -t filter -D INPUT -s 192.168.3.87/32 -j DROP",
        "checked in the model",
        "Hop 18 of 18: INPUT",
        "3 of 3 hosts collected",
    ):
        assert words in page.words, words
    assert page.all("svg", role="group")
    assert {each["id"] for _, each in page.elements if "id" in each} >= {
        "findings",
        "picture",
        "hop",
        "path",
        "coverage",
    }


async def test_every_link_of_the_page_leads_somewhere() -> None:
    """Each address that the page has is answered, and each place on it is there."""
    guest = visitor()
    first = await guest.get(MANUAL)
    ids = {each["id"] for _, each in first.page.elements if "id" in each}
    links = {each["href"] for tag, each in first.page.elements if tag in {"a", "link"}}
    assert len(links) > 20
    for link in sorted(links):
        path, _, anchor = link.partition("#")
        if not path:
            assert anchor in ids, link
            continue
        answer = await guest.get(path)
        assert answer.status == 200, link
        if anchor:
            assert f'id="{anchor}"' in answer.text, link


async def test_another_pair_is_diagnosed_from_the_same_evidence() -> None:
    """The form's address answers another question without anybody being asked."""
    answer = await visitor().get("/diagnose?s=node/master-c4&d=svc/tools/demo&p=8080&protocol=tcp")
    assert answer.status == 200
    assert "service tools/demo" in answer.page.words


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("s=10.244.3.70&d=nowhere&p=80", "'nowhere' is not an address"),
        ("s=10.244.3.70", "destination is missing"),
        ("s=10.244.3.70&d=10.244.2.201&p=x", "port 'x' is not a number"),
        ("s=10.244.3.70&d=10.244.2.201", "no port is given"),
        ("s=pod/tools/nix&d=10.244.2.201&p=80", "nix"),
    ],
)
async def test_what_is_wrong_with_the_form_is_one_line_on_the_page(query: str, says: str) -> None:
    """The form stands as it was filled in, and one line says what is wrong."""
    answer = await visitor().get(f"/diagnose?{query}")
    assert answer.status == 200
    [alert] = re.findall(r'<p class="error" role="alert">(.*?)</p>', answer.text, re.DOTALL)
    assert says in unescape(alert)
    assert "\n" not in alert
    assert "nowhere" not in query or answer.page.all("input", name="d", value="nowhere")


async def test_without_a_question_the_form_is_there_with_names() -> None:
    """A bundle alone opens on the form, which offers every node, service and pod."""
    answer = await visitor().get("/")
    offered = {each["value"] for each in answer.page.all("option") if "value" in each}
    assert {"node/node1-c4", "svc/tools/demo", "pod/tools/demo-5bf67dcbc9-hxtmt"} <= offered
    assert not answer.page.all("svg")


async def test_the_question_of_the_command_line_is_the_first_page() -> None:
    """The address that is printed opens on what was asked."""
    answer = await visitor(Shown(recorded(), ASKED)).get("/")
    assert "FAIL" in answer.page.words


async def test_nothing_but_our_own_files_can_be_fetched() -> None:
    """No name of a file leads out of the table of assets."""
    guest = visitor()
    for name in ("web.css", "web.js", "report.css", "icon.svg"):
        assert (await guest.get(f"/assets/{name}")).status == 200
    for name in (
        "../templates/web/base.html.j2",
        "..%2f..%2fpyproject.toml",
        "%2e%2e/x",
        "web.css/..",
        "",
        "/etc/passwd",
    ):
        assert (await guest.get(f"/assets/{name}")).status == 404, name


async def test_a_page_uses_only_what_the_policy_lets_in() -> None:
    """No page has a script or style of its own but the picture's, no style attribute and no handler."""
    text = (await visitor().get(MANUAL)).text
    assert re.findall(r"<script[^>]*>", text) == ['<script src="/assets/web.js" defer>']
    assert text.count("<style>") == 1
    assert not re.search(r"""\s(style|on[a-z]+)\s*=\s*["']""", text)
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("name", samples.ALL)
async def test_every_kind_of_day_is_a_page(name: str) -> None:
    """Each sample is rendered whole, and nothing that a node said is markup."""
    around = Around(run=False, evidence=Evidence(recorded()))
    text = render_diagnosis(page_of(samples.ALL[name](), ASKED), ASKED, around)
    assert text.rstrip().endswith("</html>")
    assert "<script>" not in text
    assert "\u202e" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize("lang", LANGUAGES)
def test_hostile_words_are_shown_and_do_nothing(lang: str) -> None:
    """A name with markup stands in the page as text, in elements, attributes, the picture and the title."""
    evil = '"><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202e'
    diagnosis = samples.dropped()
    first = diagnosis.path.branches[0]
    steps = tuple(
        replace(step, node=evil, namespace=evil, device=evil, decision=evil, hook=evil if step.hook else "")
        if step.kind is not StepKind.SEND
        else step
        for step in first.forward.steps
    )
    branch = replace(first, forward=replace(first.forward, steps=steps), choices=(evil,))
    finding = replace(diagnosis.findings[0], summary=evil, why=evil, id=evil)
    made = replace(
        diagnosis,
        path=replace(diagnosis.path, branches=(branch, branch), unknowns=(evil,), assumptions=(evil,)),
        findings=(finding,),
        source=replace(diagnosis.source, name=evil, asked=evil),
        coverage=Coverage((HostCoverage(evil, "ok", evil, (evil,)),)),
    )
    wanted = Wanted(evil, evil, evil, evil, search="alert")
    snapshot = replace(recorded(), coverage=made.coverage, collected_at=evil)
    evidence = Evidence(snapshot)
    evidence.names = Offered((evil,), 1)
    words = messages(lang)
    around = Around(run=True, evidence=evidence, words=words)
    text = render_diagnosis(page_of(made, wanted, words), wanted, around, error=evil, hint=evil)
    assert "<script>" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;" in text


def test_a_long_answer_is_cut_and_says_so() -> None:
    """Five megabytes in one line, and five thousand findings, are a page of a bounded size with notices."""
    diagnosis = samples.dropped()
    long = replace(diagnosis.findings[0], summary="x" * 5_000_000, cause=True)
    many = tuple(replace(diagnosis.findings[0], id=f"f{n}", cause=False) for n in range(5000))
    made = replace(diagnosis, findings=(long, *many))
    text = render_diagnosis(page_of(made, ASKED), ASKED, Around(run=False, evidence=Evidence(recorded())))
    assert len(text) < 2_000_000
    assert "more characters" in text
    assert "4800 more findings are left out here" in text


def test_diagnoses_are_kept_but_not_for_ever() -> None:
    """A click does not walk the packet again, and a thousand questions do not fill the memory."""
    evidence = Evidence(recorded())
    first = evidence.diagnose(ASKED.question())
    assert evidence.diagnose(ASKED.question()) is first
    for port in range(1, MOST_KEPT + 1):
        evidence.diagnose(replace(ASKED, port=str(port)).question())
    assert evidence.diagnose(ASKED.question()) is not first


def test_names_that_are_not_offered_are_counted() -> None:
    """Of very many names the first are offered, and the page says of how many."""
    evidence = Evidence(recorded())
    evidence.names = Offered(tuple(f"pod/a/{n}" for n in range(MOST_NAMES)), MOST_NAMES + 7)
    text = render_diagnosis(None, Wanted(), Around(run=False, evidence=evidence))
    assert f"{MOST_NAMES} of {MOST_NAMES + 7} names are offered" in text


async def test_a_bug_is_one_line_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes wrong in skoopctl itself is said as such, with every answer's policy, and nothing of its inside."""

    def broken(_self: Evidence, _question: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(Evidence, "diagnose", broken)
    guest = visitor()
    with pytest.raises(ZeroDivisionError):
        await guest.get(MANUAL)
    assert guest.last.status == 500
    assert "this is a bug in skoopctl" in guest.last.text
    assert "inside" not in guest.last.text
    assert "content-security-policy" in guest.last.headers
    monkeypatch.undo()
    assert (await guest.get(MANUAL)).status == 200, "and the page goes on"


async def test_a_diagnosis_is_to_be_had_for_programs() -> None:
    """The JSON is that of the command line, after the published schema; the picture is a document of its own."""
    guest = visitor()
    answer = await guest.get(MANUAL.replace("/diagnose", "/diagnosis.json"))
    assert answer.headers["content-type"] == "application/json"
    jsonschema.validate(json.loads(answer.text), schema())
    assert json.loads(answer.text)["verdict"] == "FAIL"
    picture = await guest.get(MANUAL.replace("/diagnose", "/picture.svg"))
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert picture.text.startswith("<svg ")
    assert "<a " not in picture.text
    wrong = await guest.get("/diagnosis.json?s=nobody&d=10.244.3.70&p=80")
    assert (wrong.status, wrong.text.count("\n")) == (422, 1)
    assert "'nobody' is not an address" in wrong.text


async def test_the_picture_of_another_branch_is_its_own() -> None:
    """The address of a branch gives the picture of that branch; of one that is not there, the first's."""
    guest = visitor()
    asked = "/picture.svg?s=10.244.3.70&d=svc/tools/web&p=80"
    texts = [
        (await guest.get(f"{asked}{more}")).text for more in ("", "&branch=1", "&branch=2", "&branch=99")
    ]
    assert len(set(texts[1:3])) == 2
    assert texts[3] == texts[0]
