"""Collection: what a fleet's results become, and how far each host can be relied on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from skoopctl.errors import DeadlineError, DeniedError, UnreachableError, UsageError
from skoopctl.evidence import Bundle, Item, ItemStatus, Request, decode_answer
from skoopctl.evidence.collect import collect, request_within
from skoopctl.inventory import InventoryHost
from skoopctl.transport.base import Deadlines, HostStatus
from skoopctl.transport.fake import FakeTransports, Script
from tests.support.answers import answer, identity

LINK = Item(7, "link", ItemStatus.OK, b"\1" * 20, "", 0.25)
NFT_DENIED = Item(7, "nft", ItemStatus.DENIED, b"", "nftables: EPERM, root is needed")
NOT_LOADED = Item(7, "nft", ItemStatus.ABSENT, b"", "no tables: module nf_tables is not loaded")
UNREADABLE = Item(
    7, "nft", ItemStatus.ABSENT, b"", "unreadable: nftables tables exist (ip x), but there is no nft program"
)
WHOLE = answer([identity(), LINK, NOT_LOADED])


def collected(**scripts: Script) -> Bundle:
    """Collect from fake hosts that behave as scripted."""
    hosts = [InventoryHost(name, name) for name in scripts]
    return asyncio.run(collect(hosts, transports=FakeTransports(scripts), inventory="x.yaml"))


def only(script: Script) -> tuple[HostStatus, str, int]:
    """Return status, detail and number of items of a single host."""
    record = collected(node=script).results["node"]
    return record.status, record.detail, len(record.evidence.items)


def test_whole_answer_is_ok() -> None:
    """A whole answer is ok, and items that are absent because nothing is loaded do not change that."""
    assert only(Script(stdout=WHOLE)) == (HostStatus.OK, "", 3)


def test_hosts_keep_their_order_and_fail_alone() -> None:
    """Each host has its record in the inventory's order, whatever happened to the others."""
    bundle = collected(b=Script(refuses=UnreachableError("b", "nothing listens")), a=Script(stdout=WHOLE))
    assert [(name, str(record.status)) for name, record in bundle.results.items()] == [
        ("b", "unreachable"),
        ("a", "ok"),
    ]
    assert bundle.results["b"].detail == "nothing listens"
    assert bundle.coverage() == "1 of 2 hosts collected (b unreachable)"


def test_cut_answer_is_partial_and_keeps_items() -> None:
    """A connection that breaks in the middle leaves a partial host with its whole items."""
    broken = Script(stdout=WHOLE[:-30], breaks=UnreachableError("node", "the connection broke"))
    status, detail, items = only(broken)
    assert (status, items) == (HostStatus.PARTIAL, 3)
    assert detail == "3 items came, then: the connection broke"


def test_missing_end_frame_is_partial() -> None:
    """A program that ends well but without its end frame is not believed to be complete."""
    status, detail, _ = only(Script(stdout=WHOLE[:-30]))
    assert status is HostStatus.PARTIAL
    assert "cut" in detail


def test_deadline_with_items_is_partial_without_is_timeout() -> None:
    """A host that hangs keeps what it said; one that said nothing is a timeout."""
    late = DeadlineError("node", "program", 30)
    assert only(Script(stdout=WHOLE[:-30], breaks=late))[0] is HostStatus.PARTIAL
    status, detail, _ = only(Script(breaks=late))
    assert status is HostStatus.TIMEOUT
    assert detail == "no answer within the program deadline of 30 s"


def test_sudo_refused_is_denied() -> None:
    """A host whose sudo refuses is denied, with the transport's advice."""
    status, detail, _ = only(Script(refuses=DeniedError("node", "sudo asks for a password", hint="allow it")))
    assert (status, detail) == (HostStatus.DENIED, "sudo asks for a password (allow it)")


def test_login_without_root_is_denied_and_keeps_items() -> None:
    """An answer of a program that is not root is denied, says how to become root, and keeps what it read."""
    status, detail, items = only(Script(stdout=answer([identity(1000), LINK, NFT_DENIED])))
    assert (status, items) == (HostStatus.DENIED, 3)
    assert "ansible_become" in detail


@pytest.mark.parametrize("item", [NFT_DENIED, UNREADABLE], ids=["denied", "unreadable"])
def test_rules_that_exist_and_were_not_read_are_partial(item: Item) -> None:
    """Root's answer that lacks rules which exist is partial, and says which and where."""
    status, detail, _ = only(Script(stdout=answer([identity(), LINK, item])))
    assert status is HostStatus.PARTIAL
    assert detail.startswith("nft of namespace 7: ")


def test_no_frames_at_all_names_what_the_host_said() -> None:
    """A host that answers something else is unsupported, and its last line on stderr is shown."""
    status, detail, _ = only(
        Script(stdout=b"This account is closed.\n", stderr=b"Traceback\nSystemError: bad\n")
    )
    assert status is HostStatus.UNSUPPORTED
    assert "ended with status 0 without an answer: SystemError: bad" in detail
    assert "ForceCommand" in detail


def test_api_that_fails_is_noted_not_raised(tmp_path: Path) -> None:
    """A kubeconfig that cannot be used leaves the nodes' evidence and a problem that names it."""
    missing = tmp_path / "kubeconfig"
    hosts = [InventoryHost("node", "node")]
    fakes = FakeTransports({"node": Script(stdout=WHOLE)})
    bundle = asyncio.run(collect(hosts, transports=fakes, kubeconfig=missing))
    assert bundle.collected == 1
    assert str(missing) in bundle.cluster_problem


def test_program_ends_itself_before_the_transport_does() -> None:
    """The node's own deadline leaves time for a partial answer to arrive."""
    assert request_within(Deadlines(program_s=30)).deadline_s == 27.0
    assert request_within(Deadlines(program_s=2)).deadline_s < 2


def test_request_refuses_unknown_items() -> None:
    """An item that no node program knows is a usage error that lists those it knows."""
    with pytest.raises(UsageError, match=r"shadow.*iptables-nft"):
        Request(items=("shadow",))
    with pytest.raises(UsageError, match="above zero"):
        Request(deadline_s=0)


def test_request_travels_in_the_program() -> None:
    """The job carries the request, and the fleet's hosts all get the same job."""
    fakes = FakeTransports({"a": Script(stdout=WHOLE), "b": Script(stdout=WHOLE)})
    hosts = [InventoryHost(name, name) for name in "ab"]
    asyncio.run(collect(hosts, transports=fakes, request=Request(items=("identity",))))
    assert fakes.jobs["a"] is fakes.jobs["b"]
    assert fakes.jobs["a"].command.startswith("sh -c '")
    literal = Request(items=("identity",)).literal()
    assert json.loads(literal.replace("'", '"').replace("None", "null"))["items"] == ["identity"]


def test_answers_made_by_hand_are_answers() -> None:
    """The tests' own answers decode completely, so the tests above test what they say."""
    assert decode_answer("h", WHOLE).complete
