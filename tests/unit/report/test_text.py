"""The text for people at night."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from skoopctl.report.text import render_text
from tests.unit.report import samples

SGR = re.compile(r"\x1b\[[0-9;]*m")


def test_coverage_comes_first_then_the_verdict() -> None:
    """The first line says what was seen; the first paragraph after it is the answer."""
    lines = render_text(samples.dropped()).splitlines()
    assert lines[0].startswith("3 of 3 hosts collected · API asked · flannel (vxlan) over eth0")
    answer = next(line for line in lines if line.startswith("FAIL"))
    assert answer.startswith("FAIL: The SYN from pod tools/client (10.244.3.70)")


def test_the_fatal_station_shows_the_raw_rule_and_its_counter() -> None:
    """The path ends at INPUT of node1-c4 with the rule as iptables-save gave it, inside the tunnel."""
    text = render_text(samples.dropped())
    path = text[text.index("SYN  10.244") : text.index("CAUSE")]
    assert "✖ INPUT                 DROPPED by rule 1" in path
    assert path.rstrip().endswith("-A INPUT -s 192.168.3.87/32 -j DROP")
    assert "filter INPUT rule 1, 1,284 packets:" in path


def test_the_outer_packet_is_set_apart() -> None:
    """Stations in the tunnel stand at a double rail, under the outer packet's header."""
    lines = render_text(samples.healthy()).splitlines()
    start = next(i for i, line in enumerate(lines) if "outer packet" in line)
    end = next(i for i, line in enumerate(lines) if "inner packet" in line)
    assert "192.168.3.87:32768-60999 → 192.168.3.86:8472 udp" in lines[start]
    rails = {line[2] for line in lines[start + 1 : end] if not line.lstrip().startswith("node")}
    assert rails == {"║", "▼"}


def test_an_answer_that_mirrors_the_way_is_one_line() -> None:
    """The reply of a healthy flow is told in one line, unless everything is asked for."""
    text = render_text(samples.healthy())
    assert "SYN-ACK  10.244.2.201:8080 → 10.244.3.70:32768-60999 tcp\n  ✔ comes back the same way" in text
    assert "comes back the same way" not in render_text(samples.healthy(), explain="full")


def test_a_reply_that_dies_is_shown_whole() -> None:
    """The lost SYN-ACK has its own path with the place where it ends."""
    text = render_text(samples.reply_lost())
    assert "✖ route                NO_ROUTE: no route to 10.244.3.70" in text


def test_nat_is_shown_as_a_changed_packet() -> None:
    """DNAT shows the header before and after."""
    text = render_text(samples.service())
    assert re.search(r"├─ was +10\.244\.3\.70:32768-60999 → 10\.96\.17\.4:80 tcp", text)
    assert re.search(r"├─ is now +10\.244\.3\.70:32768-60999 → 10\.244\.2\.202:8080 tcp", text)


def test_branches_have_weights_and_the_failing_one_is_first() -> None:
    """One of three endpoints refuses: its branch leads, with its share and where it ends."""
    text = render_text(samples.service())
    branches = text[text.index("Branches: 3") :].splitlines()
    assert branches[1].split() == ["✖", "33%", "endpoint", "10.244.2.202:8080", "refused", "(shown", "above)"]
    assert sum("connected" in line for line in branches) == 2


def test_the_cause_has_evidence_reason_and_checked_fix() -> None:
    """The cause comes before other findings; its fix says that the model was asked."""
    text = render_text(samples.dropped())
    assert text.index("CAUSE  fatal  node1-c4/host") < text.index("warning, likely  node2-c4/host")
    cause = text[text.index("CAUSE") : text.index("warning, likely")]
    assert "why  A tunnelled packet arrives as a UDP packet" in cause
    assert "fix  Delete rule 1 of INPUT on node1-c4. (checked in the model" in cause
    assert "on node1-c4: iptables -D INPUT 1" in cause


def test_what_is_not_known_and_not_seen_is_said() -> None:
    """Unknown reasons, assumptions and gaps each have their list."""
    text = render_text(samples.unknown())
    assert "Not known\n  - rule 2 of FORWARD (filter) on node2-c4 matches by -m recent" in text
    assert "Assumed\n  - the switch between the nodes" in text
    assert "- node1-c4: unreachable: no TCP connection to 192.168.3.86:22 within 5 s" in text
    assert "- node2-c4: partial: nft ruleset: denied; conntrack: absent" in text


def test_minimal_is_one_line_a_packet_and_the_cause() -> None:
    """The shortest form has no counters, processes or other findings: it can be kept and compared."""
    text = render_text(samples.dropped(), explain="minimal")
    assert text.splitlines()[0] == "FAIL  timeout  tcp 10.244.3.70 → 10.244.2.201 port 8080"
    assert len([row for row in text.splitlines() if row.startswith("  SYN: ")]) == 1
    assert "DROPPED by rule 1" in text
    assert "  fix, checked: Delete rule 1 of INPUT on node1-c4." in text
    assert "conntrack-nearly-full" not in text
    assert "packets" not in text.replace("VXLAN packets", "")


def test_full_ends_with_what_decided() -> None:
    """The longest form says which steps decided: routes, rules that accept, and the step that killed."""
    text = render_text(samples.dropped(), explain="full")
    decided = text.split("Decided by\n")[1].split("\n\n")[0]
    assert decided.splitlines()[-1].startswith("  SYN · node1-c4 · INPUT: DROPPED by rule 1")
    assert "Decided by" not in render_text(samples.dropped())


def test_full_shows_every_station_with_its_raw_lines() -> None:
    """The longest form unfolds hooks and shows what let the packet pass."""
    text = render_text(samples.healthy(), explain="full")
    assert "OUTPUT, POSTROUTING" not in text
    assert "-A FLANNEL-FWD -s 10.244.0.0/16" in text
    assert "10.244.2.0 dev flannel.1 lladdr 5a:01 PERMANENT" in text


@pytest.mark.parametrize("name", samples.ALL)
@pytest.mark.parametrize("explain", ["minimal", "summary", "full"])
def test_no_control_character_of_a_node_reaches_the_terminal(name: str, explain: str) -> None:
    """Without colour every line is printable; with colour only our own SGR sequences are added."""
    diagnosis = samples.ALL[name]()
    plain = render_text(diagnosis, explain=explain)  # type: ignore[arg-type]
    assert all(line.isprintable() for line in plain.split("\n"))
    colored = render_text(diagnosis, explain=explain, color=True)  # type: ignore[arg-type]
    assert SGR.search(colored)
    assert SGR.sub("", colored) == plain


def test_five_megabytes_of_evidence_are_clipped_with_a_notice() -> None:
    """A giant rule is cut and counted, not printed."""
    text = render_text(samples.hostile(), explain="full")
    assert len(text) < 20_000
    assert "more characters)" in text


@pytest.mark.parametrize("width", [80, 100])
def test_prose_and_stations_keep_to_the_width(width: int) -> None:
    """Only raw lines and their like may be longer than asked, so that they can be copied."""
    lines = render_text(samples.healthy(), width=width).splitlines()
    assert max(map(len, lines)) <= width


def test_importing_the_text_loads_nothing_heavy() -> None:
    """A terminal does not wait for templates or graphs."""
    code = (
        "import sys, skoopctl.report.text; print(sorted({'jinja2', 'networkx', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
