"""BCC's backend where it cannot work: each reason is told, in its own words, and soon. tests/vm has where it can."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from skoopctl.bpf.program import BpfRequest
from tests.kernel.bpf_watch import Watch

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
]

PLACES = "\nHEADERS = ("


def headers_in(folder: Path, source: str) -> str:
    """Have the program look for headers in a folder; there are some when it has ``include``."""
    assert source.count(PLACES) == 1
    return source.replace(PLACES, f"{PLACES}{str(folder)!r} + '%.0s',) or (")


def compiler_of(words: str, folder: Path, source: str) -> str:
    """Have other words run in the place of BCC, with headers in a folder."""
    (folder / "include").mkdir(exist_ok=True)
    assert source.count("from bcc import BPF\\n") == 1
    return headers_in(folder, source).replace("from bcc import BPF\\n", words + "\\n")


def test_without_headers_it_says_which_are_missing(tmp_path: Path) -> None:
    """Where the kernel's headers are not installed, the folder and the packages are named, and nothing is started."""
    request = BpfRequest(("packetloss", "softirq"), 1.0, backend="bcc")
    with Watch(request, change=partial(headers_in, tmp_path)) as watch:
        watch.wait()
    setup = watch.setups["packetloss"]
    assert (setup.status, setup.backend) == ("unavailable", "bcc")
    assert setup.detail.startswith(f"BCC has no headers of this kernel: no {tmp_path}")
    assert f"linux-headers-{os.uname().release}" in setup.detail
    assert watch.setups["softirq"].detail == setup.detail


@pytest.mark.skipif(find_spec("bcc") is not None, reason="BCC is installed here")
def test_without_bcc_it_says_which_package_is_missing(tmp_path: Path) -> None:
    """Where there are headers and no BCC, the packages that bring it are named."""
    (tmp_path / "include").mkdir()
    request = BpfRequest(("packetloss", "tcpreset"), 1.0, backend="bcc")
    with Watch(request, change=partial(headers_in, tmp_path)) as watch:
        watch.wait()
    assert {setup.status for setup in watch.setups.values()} == {"unavailable"}
    detail = watch.setups["tcpreset"].detail
    assert "No module named 'bcc'" in detail
    assert "python3-bpfcc" in detail


def test_a_compiler_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """After the time that a request gives it, the compiler is gone, and that is what is told, once for all probes."""
    slow = partial(compiler_of, "import time; time.sleep(300)", tmp_path)
    request = BpfRequest(("packetloss", "tcpreset"), 1.0, backend="bcc", bcc_timeout_s=1.0)
    with Watch(request, change=slow) as watch:
        watch.wait()
    assert [setup.detail for setup in watch.setups.values()] == ["BCC has not compiled it in 1 s"] * 2
    assert watch.ended_whole


def test_a_compiler_that_dies_is_told(tmp_path: Path) -> None:
    """When the compiler ends without a word, the last line that it wrote is the reason."""
    dying = partial(
        compiler_of, 'sys.stderr.write("out of memory"); sys.stderr.flush(); os.abort()', tmp_path
    )
    with Watch(BpfRequest(("tcpreset",), 1.0, backend="bcc"), change=dying) as watch:
        watch.wait()
    assert watch.setups["tcpreset"].status == "unavailable"
    assert watch.setups["tcpreset"].detail == "BCC: out of memory"


def test_a_compiler_does_not_outlive_the_program(tmp_path: Path) -> None:
    """When the program is killed while BCC compiles, the compiler is gone at once."""
    slow = partial(compiler_of, "import time; time.sleep(300)", tmp_path)
    watch = Watch(BpfRequest(("tcpreset",), 1.0, backend="bcc"), change=slow)
    program = Path(f"/proc/{watch.process.pid}/task/{watch.process.pid}/children")
    try:
        # Its time counts once it runs: a compiler that has only begun has not asked for its end yet.
        watch.until(lambda: compilers(program) != [], "the compiler")
        (compiler,) = compilers(program)
        watch.process.kill()
        watch.process.wait(20)
        watch.until(lambda: not Path(f"/proc/{compiler}").exists(), "the compiler's end")
    finally:
        watch.__exit__()


def compilers(children: Path) -> list[str]:
    """Return the children that have taken their limits: niceness 19 is the first of them."""
    stats = {}
    for each in children.read_text().split():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            stats[each] = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
    return [each for each, fields in stats.items() if fields[16] == "19"]


def test_auto_tells_why_bcc_was_passed_over(tmp_path: Path) -> None:
    """Without BTF and with a BCC that refuses, the next backend runs, and both reasons are told."""
    refusing = partial(compiler_of, 'raise ValueError("it refuses")', tmp_path)
    request = BpfRequest(("tcpreset",), 1.0, btf="/sys/kernel/btf/not-there")
    with Watch(request, change=refusing) as watch:
        watch.wait()
    setup = watch.setups["tcpreset"]
    assert setup.backend in {"tracefs", "proc"}
    assert [(each.backend, each.status) for each in setup.passed[:2]] == [
        ("core", "absent"),
        ("bcc", "failed"),
    ]
    assert setup.passed[1].detail == "BCC: ValueError: it refuses"
