"""Whole bundles: redacted, they tell the same story, and nothing of the original is left in them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from skoopctl.checks.diagnose import Question, diagnose
from skoopctl.checks.diagnosis import Diagnosis
from skoopctl.checks.load import snapshot_of
from skoopctl.checks.snapshot import Snapshot
from skoopctl.dataplane.path import walk
from skoopctl.dataplane.trace import Flow, PathResult, Walk
from skoopctl.evidence import Bundle, HostEvidence, HostRecord, read_bundle, write_bundle
from skoopctl.evidence.redaction import Redaction, find_leaks, new_map, read_map, redact, write_map
from skoopctl.recorded import MOMENTS, recorded_bundle
from skoopctl.report.jsonout import coverage_to_json
from skoopctl.transport.base import HostStatus
from tests.vm import truth

FLOWS = (
    ("10.244.3.70", "10.244.2.201", 8080),
    ("10.244.3.70", "10.96.10.2", 80),
    ("192.168.3.85", "10.96.20.3", 80),
)


@cache
def original(moment: str) -> Bundle:
    """Return a bundle of the demo."""
    return read_bundle(recorded_bundle(moment))


@cache
def redacted(moment: str) -> Redaction:
    """Return the same, redacted with a fixed key."""
    return redact(original(moment), new_map(seed="tests"))


def steps(found: Walk | None) -> list[object]:
    """Return what happened to a packet, without names and addresses."""
    return [(s.kind, s.hook, s.ends, s.cause, len(s.evidence)) for s in found.steps] if found else []


def shape(path: PathResult) -> object:
    """Return a path without names and addresses: verdict, and every step of every branch."""
    branches = [
        (
            branch.outcome,
            branch.disposition,
            round(branch.weight, 9),
            steps(branch.forward),
            steps(branch.reply),
        )
        for branch in path.branches
    ]
    return path.verdict, path.outcome, len(path.unknowns), branches


def finding_ids(diagnosis: Diagnosis) -> list[tuple[str, bool, bool]]:
    """Return the findings, the causes first, and whether a fix was tried."""
    return [(f.id, f.cause, bool(f.fix and f.fix.checked)) for f in diagnosis.findings]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow[1])
def test_a_diagnosis_comes_to_the_same_end(moment: str, flow: tuple[str, str, int]) -> None:
    """The same verdict, the same steps of every packet, the same findings in the same order."""
    source, destination, port = flow
    done = redacted(moment)
    words = done.map.redactor()
    before = diagnose(Question(source, destination, port=port), snapshot_of(original(moment)))
    asked = Question(words.ip(source), words.ip(destination), port=port)
    after = diagnose(asked, snapshot_of(done.bundle))
    assert shape(after.path) == shape(before.path)
    assert finding_ids(after) == finding_ids(before)
    assert (after.coverage.collected, after.detected.proxy_mode) == (
        before.coverage.collected,
        before.detected.proxy_mode,
    )


def test_every_service_keeps_its_findings() -> None:
    """A path from a pod to each service of the demo goes as it went, endpoint by endpoint."""
    done = redacted("healthy")
    before, after = snapshot_of(original("healthy")), snapshot_of(done.bundle)
    words = done.map.redactor()
    source = "10.244.3.70"
    services = [service for service in before.cluster.services.values() if service.cluster_ips]
    assert len(services) > 8
    for service in services:
        for port in service.ports:
            flow = Flow(source, service.cluster_ips[0], port.protocol.lower(), port.port)
            other = replace(flow, source=words.ip(source), destination=words.ip(flow.destination))
            one = walk(before.network, flow, before.owner(source))
            two = walk(after.network, other, after.owner(other.source))
            assert shape(two) == shape(one), service.name


@pytest.mark.parametrize("name", truth.recorded())
def test_what_a_guest_did_is_predicted_from_redacted_evidence(name: str) -> None:
    """Tunnels, IPVS, VRFs, NETMAP and the rest: every flow of a recorded scenario walks as it walked."""
    bundle, rows = truth.load(name)
    done = redact(bundle, new_map(seed="tests"))
    assert done.left_out == ()
    words = done.map.redactor()
    before, after = snapshot_of(bundle), snapshot_of(done.bundle)
    for row in rows:
        if not row.tried.extra:
            tried = replace(
                row.tried, source=words.composite(row.tried.source), address=words.ip(row.tried.address)
            )
            assert shape(_predicted(after, tried)) == shape(_predicted(before, row.tried)), row.tried.label


def _predicted(snapshot: Snapshot, tried: truth.Try) -> PathResult:
    return truth.predict(snapshot, tried)


def gaps(bundle: Bundle) -> list[object]:
    """Return what could not be read, with why."""
    snapshot = snapshot_of(bundle)
    return [gap.part + gap.status + gap.detail for host in snapshot.hosts.values() for gap in host.gaps]


@pytest.mark.parametrize("moment", MOMENTS)
def test_gaps_and_details_stay_what_they_were(moment: str) -> None:
    """What was not read is not read afterwards either, for the same reason, and nothing else is missing."""
    done = redacted(moment)
    assert gaps(done.bundle) == gaps(original(moment))
    assert done.left_out == ()


@pytest.mark.parametrize("moment", MOMENTS)
def test_no_original_is_left(moment: str, tmp_path: Path) -> None:
    """On disk, no byte of the redacted bundle tells a name or an address of the demo's cluster."""
    done = redacted(moment)
    write_bundle(tmp_path / "b.skoop", done.bundle)
    assert find_leaks(done.bundle, done.map.replacements) == []
    back = read_bundle(tmp_path / "b.skoop")
    everything = b"".join(_bytes(back))
    for original_text in (
        b"10.244.3.",
        b"192.168.3.8",
        b"node1-c4",
        b"10.96.10.",
        b"web-lb",
        b"infra/",
        b"tools",
    ):
        assert original_text not in everything, original_text
    assert bytes([10, 244, 3, 70]) not in everything


def _bytes(bundle: Bundle) -> Iterable[bytes]:
    yield bundle.inventory.encode()
    yield from bundle.cluster.values()
    for name, record in bundle.results.items():
        yield f"{name} {record.address} {record.detail} {record.evidence.problem}".encode()
        for item in record.evidence.items.values():
            yield item.detail.encode()
            yield item.payload


def test_a_redacted_bundle_says_that_it_is(tmp_path: Path) -> None:
    """The manifest tells, a reader finds it again, and another bundle's manifest has no such field."""
    write_bundle(tmp_path / "b.skoop", redacted("healthy").bundle)
    assert read_bundle(tmp_path / "b.skoop").redacted
    assert not original("healthy").redacted


def test_reports_of_a_redacted_bundle_say_that_it_is_one() -> None:
    """Who reads a report must know that its addresses are nowhere to be found; other reports say nothing of it."""
    there, here = (
        snapshot_of(bundle).coverage for bundle in (redacted("healthy").bundle, original("healthy"))
    )
    assert there.sentence() == "3 of 3 hosts collected, names and addresses redacted"
    assert coverage_to_json(there)["redacted"] is True
    assert here.sentence() == "3 of 3 hosts collected"
    assert coverage_to_json(here)["redacted"] is False


def test_the_same_map_makes_a_second_bundle_fit_the_first() -> None:
    """With the first one's map, whatever both bundles have becomes the same in both."""
    first = redacted("healthy")
    second = redact(original("broken"), first.map)
    for section, pairs in first.map.replacements.items():
        later = second.map.replacements[section]
        assert {old: later[old] for old in pairs} == dict(pairs)
    assert list(second.bundle.results) == list(first.bundle.results)


@pytest.mark.parametrize("name", ["ipset-types", "tproxy-and-redirect", "ipvs-kube"])
def test_a_map_that_is_read_again_gives_the_same_bundle(name: str, tmp_path: Path) -> None:
    """What the permutation was fitted to (ranges, NETMAP) is in the map: from disk, it is the same permutation."""
    bundle, _ = truth.load(name)
    first = redact(bundle, new_map())
    write_map(tmp_path / "map.json", first.map)
    assert redact(bundle, read_map(tmp_path / "map.json")).bundle == first.bundle


def test_a_host_that_did_not_answer_is_redacted_too() -> None:
    """Of a host without evidence, name, address and what its collection said are replaced, and its status stays."""
    said = "no answer from cart-7.example of 10.20.0.21 within the connect deadline of 10 s"
    record = HostRecord(HostStatus.UNREACHABLE, said, HostEvidence("cart-7", {}), address="10.20.0.21")
    done = redact(Bundle({"cart-7": record}, inventory="/home/jane/inventory.yaml"), new_map(seed="tests"))
    ((name, new),) = done.bundle.results.items()
    assert (new.status, new.evidence.host) == (HostStatus.UNREACHABLE, name)
    assert new.detail.endswith("within the connect deadline of 10 s")
    told = f"{name} {new.detail} {new.address} {done.bundle.inventory}"
    assert [word for word in ("cart", "example", "10.20.0.21", "jane") if word in told] == []


def test_the_same_key_gives_the_same_bundle() -> None:
    """Redaction is a function of bundle and key."""
    again = redact(original("broken"), new_map(seed="tests"))
    assert again.bundle == redacted("broken").bundle


def test_another_key_gives_other_names() -> None:
    """Nobody can tell from one redaction what another replaced by what."""
    other = redact(original("broken"), new_map(seed="others"))
    assert set(other.bundle.results).isdisjoint(redacted("broken").bundle.results)


def test_names_are_kept_on_request() -> None:
    """Then hosts and pods have their names, and still no address of theirs."""
    done = redact(original("broken"), new_map(seed="tests", keep_names=True))
    assert list(done.bundle.results) == list(original("broken").results)
    pods = json.loads(done.bundle.cluster["pods"])["items"]
    assert "10.244.3.70" not in {pod["status"].get("podIP") for pod in pods}
