"""The command line of diff: text, JSON with its published schema, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from skoopctl.changes.difference import KIND_NAMES
from skoopctl.cli.diff import diff
from skoopctl.errors import EvidenceError, SkoopError, UsageError
from skoopctl.recorded import recorded_bundle
from skoopctl.report.difference_json import SCHEMA_FILE, difference_schema

HEALTHY, BROKEN, MENDED = (str(recorded_bundle(name)) for name in ("healthy", "broken", "mended"))
PUBLISHED = Path(__file__).parents[3] / "docs" / "schema" / SCHEMA_FILE


def run(*arguments: str) -> tuple[int, str]:
    """Return exit status and output of ``skoopctl diff``."""
    result = CliRunner().invoke(diff, list(arguments), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.output


def test_the_demo_s_fault_is_the_only_difference() -> None:
    """Between the healthy and the broken demo stands the one rule that breaks it, with its place."""
    code, output = run(HEALTHY, BROKEN)
    assert code == 1
    assert output == (
        "node1-c4\n"
        "  host\n"
        "    iptables filter INPUT\n"
        "      + 1: -A INPUT -s 192.168.3.87/32 -j DROP\n"
        "\n"
        "1 added in 3 hosts with 14 network namespaces and the Kubernetes objects.\n"
    )


def test_no_difference_exits_with_zero() -> None:
    """Before the fault and after the mending, the cluster is the same: that is what 0 says."""
    code, output = run(HEALTHY, MENDED)
    assert (code, output) == (
        0,
        "No difference in 3 hosts with 14 network namespaces and the Kubernetes objects.\n",
    )


def test_json_keeps_to_its_schema() -> None:
    """The object that ``--json`` prints is valid, and says what the text says."""
    code, output = run(HEALTHY, BROKEN, "--json", "--all")
    found: dict[str, Any] = json.loads(output)
    jsonschema.validate(found, difference_schema())
    assert (code, found["differs"], found["counts"]["added"] > 0) == (1, True, True)


def test_the_published_schema_is_the_packaged_one() -> None:
    """The schema in docs/ is the one that ships in the package."""
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == difference_schema()


def test_every_kind_is_in_the_schema_and_on_the_page() -> None:
    """What ``--only`` takes is what the schema allows and what the page on bundles lists."""
    kinds = difference_schema()["$defs"]["change"]["properties"]["kind"]["enum"]
    assert kinds == list(KIND_NAMES)
    page = (PUBLISHED.parents[1] / "bundles.md").read_text(encoding="utf-8")
    assert [name for name in KIND_NAMES if f"`{name}`" not in page] == []


def test_hosts_are_chosen_by_pattern() -> None:
    """With ``-l``, other hosts' differences do not count."""
    assert run(HEALTHY, BROKEN, "-l", "all:!node1-c4")[0] == 0
    assert run(HEALTHY, BROKEN, "-l", "node1*")[0] == 1


def test_kinds_are_chosen_by_name() -> None:
    """With ``--only``, other kinds' differences do not count."""
    assert run(HEALTHY, BROKEN, "--only", "route,nft")[0] == 0
    assert run(HEALTHY, BROKEN, "--only", "iptables")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((HEALTHY, "absent.skoop"), EvidenceError, "absent.skoop: there is no such bundle"),
        ((HEALTHY, BROKEN, "--only", "routes"), UsageError, "--only routes: there is no kind routes"),
        ((HEALTHY, BROKEN, "-l", "node9"), SkoopError, "host pattern 'node9' matches no host"),
    ],
)
def test_bad_input_is_one_clear_line(arguments: tuple[str, ...], error: type[SkoopError], says: str) -> None:
    """What cannot be done names the file or the flag, and the exit status is 2."""
    with pytest.raises(error) as raised:
        run(*arguments)
    assert says in str(raised.value)
    assert raised.value.exit_code == 2
