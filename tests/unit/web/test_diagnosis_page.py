"""What the page of a diagnosis shows."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.dataplane.trace import StepKind
from skoopctl.web.diagnosis_page import page_of
from skoopctl.web.hits import MOST_HITS
from skoopctl.web.hop import panel_of, stations_of
from skoopctl.web.wanted import Wanted
from tests.unit.report import samples
from tests.unit.web.visit import recorded

ASKED = Wanted("10.244.3.70", "10.244.2.201", "8080")


def test_the_hop_that_is_shown_first_is_where_the_packet_dies() -> None:
    """Nobody has to look for the place: the panel opens on the rule that drops."""
    page = page_of(samples.dropped(), ASKED)
    assert page.hop.station.dies
    assert page.hop.ends.startswith("DROPPED")
    assert [(group.title, [item.text for item in group.shown]) for group in page.hop.lines[:1]] == [
        ("Rules", ["-A INPUT -s 192.168.3.87/32 -j DROP"])
    ]
    assert page.hop.lines[0].counted


@pytest.mark.parametrize("name", samples.ALL)
def test_hops_of_every_packet_of_every_branch_can_be_shown(name: str) -> None:
    """Each link that a page has leads to a page, with that hop in its panel and no notice."""
    diagnosis = samples.ALL[name]()
    for index, branch in enumerate(diagnosis.path.branches):
        for number, walk in enumerate(branch.walks):
            last = len(stations_of(walk)) - 1
            for hop in {*range(0, last, 7), last}:
                page = page_of(diagnosis, replace(ASKED, branch=index, walk=number, hop=hop))
                assert page.notices == ()
                assert page.hop.number == hop
                assert page.hop.label == walk.label


@pytest.mark.parametrize("name", samples.ALL)
def test_the_picture_and_the_list_link_to_the_same_hops(name: str) -> None:
    """What is clicked in the picture is a hop of the list, and one at most is marked as chosen."""
    page = page_of(samples.ALL[name](), ASKED)
    assert sum(line.chosen for stay in page.stays for line in stay.hops) == 1
    assert page.picture.count('aria-current="true"') <= 1
    linked = {href.replace("&amp;", "&") for href in re.findall(r'<a href="([^"]*)"', page.picture)}
    listed = {
        line.href
        for number in range(len(page.ways))
        for stay in page_of(samples.ALL[name](), replace(ASKED, walk=number)).stays
        for line in stay.hops
    }
    assert linked
    assert linked <= listed


def test_a_changed_address_is_marked() -> None:
    """Where the packet is translated, its header before and after is shown, the change marked."""
    diagnosis = samples.service()
    walk = diagnosis.path.representative.forward
    number = next(number for number, station in enumerate(stations_of(walk)) if StepKind.NAT in station.kinds)
    changed = {
        field.name: (field.before, field.after) for field in panel_of(walk, number).header if field.changed
    }
    assert "destination" in changed
    assert changed["destination"][0] != changed["destination"][1]


def test_a_hop_that_is_not_there_is_said() -> None:
    """An address of another diagnosis opens, with a notice, on the hop that matters."""
    page = page_of(samples.dropped(), replace(ASKED, branch=7, walk=9, hop=400))
    assert len(page.notices) == 3
    assert page.hop.station.dies


def test_the_reply_can_be_chosen() -> None:
    """Each packet of the branch is a way to choose: forward first, then the reply."""
    page = page_of(samples.reply_lost(), ASKED)
    assert [way.direction for way in page.ways[:2]] == ["Forward", "Reply"]
    assert page.ways[1].chosen, "the reply is what dies, so it is shown first"
    forward = page_of(samples.reply_lost(), replace(ASKED, walk=0))
    assert forward.ways[0].chosen
    assert forward.walk.label != page.walk.label


def test_each_branch_is_a_link_and_draws_its_own_picture() -> None:
    """Of a service's endpoints, each can be looked at."""
    diagnosis = samples.service()
    page = page_of(diagnosis, ASKED)
    assert len(page.branches) == len(diagnosis.path.branches)
    pictures = {page_of(diagnosis, replace(ASKED, branch=n)).picture for n in range(len(page.branches))}
    assert len(pictures) == len(page.branches)


def test_a_search_finds_rules_devices_and_hosts() -> None:
    """Words of a rule lead to its hop, a finding's to the finding, a host's to the coverage; case does not matter."""
    diagnosis = samples.dropped()
    found = page_of(diagnosis, replace(ASKED, search="192.168.3.87/32 drop")).hits
    assert found is not None
    assert {"finding", "SYN"} <= {hit.what.partition(",")[0] for hit in found.shown}
    assert any(hit.href.endswith("#hop") for hit in found.shown)
    hosts = page_of(diagnosis, replace(ASKED, search="MASTER-c4")).hits
    assert hosts is not None
    assert [hit.what for hit in hosts.shown] == ["host"]


def test_a_search_without_result_says_so_and_one_with_many_is_bounded() -> None:
    """Nothing is found for words that stand nowhere; of very many, the first are shown, and that there are more."""
    nothing = page_of(samples.dropped(), replace(ASKED, search="no-such-word")).hits
    assert nothing is not None
    assert nothing.shown == ()
    many = page_of(samples.hops40(), replace(ASKED, search="e")).hits
    assert many is not None
    assert len(many.shown) <= MOST_HITS
    assert many.more == (len(many.shown) == MOST_HITS)


def test_the_pages_diagnosis_is_that_of_the_command() -> None:
    """What the page says of the manual's example is what `diagnose` says."""
    question = Question("10.244.3.70", "10.244.2.201", "tcp", 8080)
    diagnosis = diagnose(question, recorded())
    page = page_of(diagnosis, ASKED)
    assert page.causes[0][1]["id"] == "netfilter-drop"
    assert "is dropped by rule 1 of INPUT" in page.sentence


def test_a_packet_that_cannot_be_followed_is_neither_lost_nor_arrived() -> None:
    """What is not known has a mark of its own, and that nobody was reached is not claimed."""
    unknown = page_of(samples.unknown(), ASKED)
    assert [way.mark for way in unknown.ways] == ["?"]
    assert "not known whether" in unknown.no_reply
    lost = page_of(samples.dropped(), ASKED)
    assert [way.mark for way in lost.ways] == ["✖"]
    assert "does not arrive" in lost.no_reply
    healthy = page_of(samples.healthy(), ASKED)
    assert [way.mark for way in healthy.ways[:2]] == ["✔", "✔"]
    assert healthy.no_reply == ""


def test_a_picture_is_as_broad_as_the_style_sheet_knows() -> None:
    """Each picture has one of the three classes, the wider ones those that keep it readable."""
    names = {name: page_of(make(), ASKED).breadth for name, make in samples.ALL.items()}
    assert names["dropped"] == "narrow"
    assert names["healthy"] == "broad"
    assert set(names.values()) <= {"narrow", "broad", "broadest"}


def test_a_finding_that_is_left_out_is_found_all_the_same() -> None:
    """A hit among thousands of findings leads to a place that the page has."""
    diagnosis = samples.dropped()
    others = tuple(replace(diagnosis.findings[0], id=f"f{n}", cause=False) for n in range(1000))
    found = page_of(replace(diagnosis, findings=others), replace(ASKED, search="f999")).hits
    assert found is not None
    assert [hit.href.partition("#")[2] for hit in found.shown] == ["findings"]
