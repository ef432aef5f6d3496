"""The page as a process: it says where it is, answers there, and ends with Ctrl-C."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from skoopctl.recorded import recorded_bundle

DEADLINE_S = 60
MANUAL = ("-s", "10.244.3.70", "-d", "10.244.2.201", "-p", "8080")
BROKEN = str(recorded_bundle("broken"))


@dataclass
class Served:
    """A page that is served. ``url`` is what was printed."""

    process: subprocess.Popen[str]
    url: str
    said: list[str]

    def get(self, url: str = "") -> tuple[int, str]:
        """Open an address with a browser that keeps nothing, around every proxy."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(url or self.url, timeout=DEADLINE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End it, and return its status and what it wrote to standard output."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out


def started(*arguments: str, program: tuple[str, ...] = ("-m", "skoopctl")) -> Served:
    """Start a command, and wait until it says where its page is."""
    process = subprocess.Popen(
        [sys.executable, *program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    assert process.stderr is not None
    watchdog = threading.Timer(DEADLINE_S, process.kill)
    watchdog.start()
    for line in process.stderr:
        said.append(line)
        if match := re.search(r"http://\S+", line):
            watchdog.cancel()
            return Served(process, match[0], said)
    watchdog.cancel()
    raise AssertionError("".join(said))


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Serve with the arguments of the test, and leave no process."""
    served = started(*request.param, "--http-address", "127.0.0.1:0")
    yield served
    served.process.kill()
    served.process.communicate()


def refused(*arguments: str) -> tuple[int, str]:
    """Run a command that ends by itself; return its status and its standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "skoopctl", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("page", [("serve", BROKEN, *MANUAL)], indirect=True)
def test_a_bundle_is_served_until_it_is_ended(page: Served, number: int) -> None:
    """The printed address opens the question's page; Ctrl-C ends it at once with status 0, without a word."""
    status, text = page.get()
    assert status == 200
    assert "Rule 1 of INPUT" in text
    begun = time.monotonic()
    assert page.end(number) == (0, "")
    assert time.monotonic() - begun < DEADLINE_S / 2


@pytest.mark.parametrize(
    "page", [("diagnose", "--bundle", BROKEN, *MANUAL, "--http", "--json")], indirect=True
)
def test_diagnose_prints_as_always_and_serves_then(page: Served) -> None:
    """Standard output is the diagnosis as without a page, and the status is its own."""
    assert "Rule 1 of INPUT" in page.get()[1]
    code, out = page.end()
    assert code == 1
    assert out.startswith("{")
    assert "http://" not in out


@pytest.mark.parametrize(
    "page",
    [
        ("serve", BROKEN, *MANUAL, "--lang", "zh"),
        ("diagnose", "--bundle", BROKEN, *MANUAL, "--http", "--lang", "zh"),
    ],
    indirect=True,
)
def test_the_page_is_in_the_language_that_is_asked_for(page: Served) -> None:
    """Both commands take --lang; what they say on the terminal stays English."""
    assert '<html lang="zh-CN">' in page.get()[1]
    _, out = page.end()
    assert not re.search(r"[\u4e00-\u9fff]", out)
    assert any("Ctrl-C ends it" in line for line in page.said)


def test_a_language_that_is_not_there_is_one_error() -> None:
    """What can be asked for is said, and nothing is served."""
    status, said = refused("serve", BROKEN, "--lang", "fr")
    assert status == 2
    assert "'en', 'zh'" in said


def test_beyond_loopback_the_printed_address_has_a_token() -> None:
    """Without it nothing is shown, and that it is not encrypted is said; on request there is none."""
    served = started("serve", BROKEN, *MANUAL, "--http-address", "0.0.0.0:0")
    try:
        assert re.search(r":\d+/\?token=[\w-]{40,}$", served.url)
        port = re.search(r":(\d+)/", served.url)[1]  # type: ignore[index]
        local = f"http://127.0.0.1:{port}/"
        assert served.get(local)[0] == 401
        assert served.get(f"{local}?token=wrong")[0] == 403
        assert served.get(f"{local}?token={served.url.partition('=')[2]}")[0] == 200
        served.end()
    finally:
        served.process.kill()
        served.process.communicate()
    served = started("serve", BROKEN, *MANUAL, "--http-address", "0.0.0.0:0", "--insecure")
    try:
        assert "token" not in served.url
        port = re.search(r":(\d+)/", served.url)[1]  # type: ignore[index]
        assert "Rule 1 of INPUT" in served.get(f"http://127.0.0.1:{port}/")[1]
    finally:
        served.process.kill()
        served.process.communicate()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("serve", "nothing.skoop"), "nothing.skoop: there is no such bundle, run, or CLUSTER/PLAN"),
        (("serve", BROKEN, "-s", "10.244.3.70"), "-d missing"),
        (("serve", BROKEN, "-s", "nobody", "-d", "10.244.3.70"), "'nobody' is not an address"),
        (("serve", BROKEN, "--http-address", "8080"), "--http-address 8080: not HOST:PORT"),
        (("serve", BROKEN, "--http-address", "127.0.0.1:70000"), "not HOST:PORT"),
        (("serve", BROKEN, "--http-address", "192.0.2.1:0"), "listen 192.0.2.1:0: Cannot assign"),
        (("diagnose", "--bundle", BROKEN, *MANUAL, "--insecure"), "--insecure goes with --http"),
        (("diagnose", "--bundle", BROKEN, "--flows", "-", "--http"), "--http shows one path at a time"),
    ],
)
def test_what_cannot_be_served_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    """Bad flags and files end with status 2 and one line that names them, before anything is served."""
    code, err = refused(*arguments)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1


def test_a_run_is_not_a_bundle(tmp_path: Path) -> None:
    """A file of another kind is named with what is wrong."""
    file = tmp_path / "cut.skoop"
    file.write_bytes(Path(BROKEN).read_bytes()[:5000])
    code, err = refused("serve", str(file))
    assert code == 2
    assert "not a whole skoopctl bundle" in err


STUCK = """
import time
import skoopctl.web.held
skoopctl.web.held.diagnose = lambda question, snapshot: time.sleep(600)
from skoopctl.cli import script
script()
"""


def test_ctrl_c_does_not_wait_for_an_answer() -> None:
    """A diagnosis that takes minutes does not keep the command from ending."""
    served = started("serve", BROKEN, *MANUAL, "--http-address", "127.0.0.1:0", program=("-c", STUCK))
    try:
        with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2].strip("/")))) as asking:
            asking.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            page = served.url + "assets/web.css"
            assert served.get(page)[0] == 200, "files are served while somebody waits for an answer"
            begun = time.monotonic()
            assert served.end()[0] == 0
            assert time.monotonic() - begun < DEADLINE_S / 2
    finally:
        served.process.kill()
        served.process.communicate()
