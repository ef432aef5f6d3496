"""The command line of probe run: what is written, what is shown while it runs, and what is refused."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from rich.console import Console

from skoopctl.cli import main
from skoopctl.cli.app import app
from skoopctl.cli.probe_options import chosen_metric, chosen_pod, chosen_probes, chosen_thresholds
from skoopctl.errors import UnreachableError, UsageError
from skoopctl.events.catalogue import EVENT_PROBES
from skoopctl.inventory import InventoryHost
from skoopctl.probes.catalogue import DEFAULT_PROBES, PROBES
from skoopctl.sinks.live_table import live_table
from skoopctl.watching.for_a_while import Stay
from skoopctl.watching.observation import Observation

sys.path.insert(0, str(Path(__file__).parent.parent / "watching"))
from numbers_of_nodes import numbers


def run(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    """Run ``skoopctl probe run`` in this process; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["skoopctl", "probe", "run", *args])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code if isinstance(stop.value.code, int) else 1


@pytest.fixture
def inventory(tmp_path: Path) -> str:
    """Return an inventory with one host that nobody has to reach."""
    file = tmp_path / "hosts.yaml"
    file.write_text(json.dumps({"all": {"hosts": {"n1": {"ansible_host": "127.0.0.1"}}}}))
    return str(file)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["tpc"], "there is no probe 'tpc' (did you mean"),
        (["--duration", "0s"], "'0s' is no time; write it like 30s, 5m or 1h"),
        (["--duration", "soon"], "is no time"),
        (["--duration", "5s", "--interval", "10s"], "--interval 10s is longer than --duration 5s"),
        (["--interval", "10ms"], "--interval 0.01s: 0.2 s is the least"),
        (["tcp", "--sort", "tcp_retranseg"], "did you mean 'tcp_retranssegs'?"),
        (["--threshold", "resets"], "--threshold resets: expected a number from 0 on"),
        (["--threshold", "resets=-1"], "expected a number from 0 on"),
        (["--threshold", "restes=1"], "there is no threshold 'restes' (did you mean 'resets'?)"),
        (["--pod", "web-0"], "--pod web-0: expected NAMESPACE/NAME"),
        (["--kubeconfig", "/nowhere"], "--kubeconfig /nowhere: there is no such file"),
        (["packetlos"], "there is no probe 'packetlos' (did you mean packetloss?)"),
        (["--slow", "softirq.slo=5ms"], "there is no threshold 'softirq.slo' (did you mean softirq.slow"),
        (
            ["--slow", "softirq.slow=soon"],
            "--slow softirq.slow=soon: expected a time (such as softirq.slow=50ms)",
        ),
        (["dns", "--backend", "xdp"], "'xdp' is not one of"),
        (["dns", "--budget", "200"], "200.0 is not in the range"),
        (["--loki", "http://h:3100"], "--loki without a probe of events"),
        (["dns", "--loki-user", "me"], "--loki-… without --loki (give --loki URL)"),
        (["dns", "--loki", "h:3100"], "--loki: expected http://HOST:PORT"),
        (["dns", "--loki", "http://h", "--loki-user", "me"], "--loki: user and password-file go together"),
        (["--format", "kubeskoop"], "--format kubeskoop without a probe of events"),
    ],
)
def test_a_mistake_is_one_line_before_anybody_is_asked(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    inventory: str,
    flags: list[str],
    said: str,
) -> None:
    """Exit status 2, with the flag and what to do."""
    assert run(monkeypatch, "-i", inventory, *flags) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_list_hosts_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], inventory: str
) -> None:
    """The names, one a line."""
    assert run(monkeypatch, "-i", inventory, "--list-hosts") == 0
    assert capsys.readouterr().out == "n1\n"


def test_probes_are_all_some_or_those_that_cost_little() -> None:
    """Names that are repeated count once; probes of metrics and of events are told apart."""
    assert chosen_probes([]) == (DEFAULT_PROBES, ())
    assert chosen_probes(["tcp", "all"]) == (tuple(PROBES), tuple(EVENT_PROBES))
    assert chosen_probes(["udp", "tcp", "udp"]) == (("tcp", "udp"), ())
    assert chosen_probes(["tcpreset", "packetloss", "udp"]) == (("udp",), ("packetloss", "tcpreset"))


@pytest.mark.parametrize("name", ["tcp_retranssegs", "kubeskoop_tcp_retranssegs"])
def test_a_metric_may_be_named_without_its_beginning(name: str) -> None:
    """What all names begin with need not be typed; a metric of another probe is refused."""
    assert chosen_metric(name, ("tcp",)) == "kubeskoop_tcp_retranssegs"
    with pytest.raises(UsageError, match="no such metric among the probes udp"):
        chosen_metric(name, ("udp",))


def test_flags_are_read() -> None:
    """Thresholds are numbers, and a pod has a namespace."""
    assert chosen_thresholds(["resets=5", "tcp-retransmit-rate=0.5"]) == {
        "resets": 5,
        "tcp-retransmit-rate": 0.5,
    }
    assert chosen_pod("pod/shop/web-0") == chosen_pod("shop/web-0") == ("shop", "web-0")


@pytest.mark.parametrize(
    ("args", "incomplete", "offered"),
    [
        (["probe", "run"], "tcp", {"tcp", "tcpext", "tcpsummary", "tcpreset", "tcpretrans", "tcpconnect"}),
        (["probe", "run", "--sort"], "udp_rcv", {"udp_rcvbuferrors"}),
        (["probe", "run", "--threshold"], "connects-a", {"connects-abandoned=1"}),
    ],
)
def test_the_shell_completes_names(args: list[str], incomplete: str, offered: set[str]) -> None:
    """Probes, metrics, thresholds with their defaults."""
    found = ShellComplete(app, {}, "skoopctl", "_X").get_completions(args, incomplete)
    assert {each.value for each in found} == offered


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tests are started from, sudo without a terminal included, draws as a terminal does."""
    monkeypatch.setenv("TERM", "xterm-256color")


def drawn(width: int, height: int, hosts: int, rounds: int = 2, down: int = 0) -> list[str]:
    """Return the lines of the live table, as a terminal of that size shows them."""
    names = [f"a-node-with-a-very-long-name-{index}" for index in range(hosts)]
    seen = Observation(("tcp",), [InventoryHost(name, name) for name in names])
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=True, width=width, height=height, color_system=None, legacy_windows=False
    )
    shown = live_table(seen, Stay(30, 5), thresholds={}, sort=None, pod=None, console=console)
    assert shown is not None

    async def scenario() -> None:
        for index, view in enumerate(seen.nodes.values()):
            seen.connecting(view.host)
            if index < down:
                seen.broken(view.host, UnreachableError(view.name, "down\x1b[2J " * 30), 4)
                continue
            seen.connected(view.host)
            for number in range(1, rounds + 1):
                seen.round_came(view.host, numbers(number, sent=number * 1000 + index, again=number * 20))
        await asyncio.sleep(0.3)

    with shown:
        asyncio.run(scenario())
    assert "\x1b[2K" in file.getvalue(), "it was shown, and has been wiped away"
    file.truncate(0)
    file.seek(0)
    console.print(shown.draw())  # type: ignore[attr-defined]
    return file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 16), (120, 50), (60, 10)])
def test_the_live_table_fits_the_terminal(width: int, height: int) -> None:
    """With many hosts, long names, and nodes that are down: no line is wrapped, and nothing scrolls away."""
    lines = drawn(width, height, hosts=40, down=3)
    assert max(map(len, lines)) <= width
    assert height - 4 < len(lines) < height


def test_the_live_table_says_what_it_leaves_out() -> None:
    """Rows that have no room, and metrics that are zero everywhere."""
    said = "\n".join(drawn(80, 24, hosts=40))
    assert re.search(r"\d+ more rows", said)
    assert "2 metrics are zero everywhere" in said
    assert "40 of 40 nodes, round 2 of 7, every 5 s; Ctrl-C ends it" in said


def test_the_live_table_puts_what_is_wrong_first() -> None:
    """The pod that sends again is in the first row, in the first column."""
    lines = drawn(80, 24, hosts=1)
    head = next(index for index, line in enumerate(lines) if "retranss" in line)
    assert lines[head].split()[0].startswith("retranss")
    assert "shop/web-0" in lines[head + 2]
    assert "20/s" in lines[head + 2]


def test_what_a_node_said_does_nothing_to_the_terminal() -> None:
    """Escape sequences are written out."""
    lines = drawn(120, 24, hosts=2, down=1)
    assert any("down\\x1b[2J" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_without_a_terminal_there_is_no_live_table() -> None:
    """A log gets lines, and not a table over and over."""
    seen = Observation(("tcp",), [])
    console = Console(file=io.StringIO(), width=80)
    assert live_table(seen, Stay(30, 5), thresholds={}, sort=None, pod=None, console=console) is None
