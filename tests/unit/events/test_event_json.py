"""Events as flat JSON: what is known, exactly, and nothing else; always as the published schema says."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skoopctl.bpf.inner import CARRIERS
from skoopctl.events.as_json import event_line, event_to_json, rfc3339, schema, told_line
from skoopctl.events.event import End, EndKind, Event, InnerPacket
from tests.unit.events.made_events import DROP, INNER, bare, made

TEXTS = st.text(max_size=20)
NUMBERS = st.integers(0, 2**63)
END = st.builds(
    End,
    address=TEXTS,
    port=st.integers(0, 65_535),
    kind=st.sampled_from(EndKind),
    namespace=TEXTS,
    name=TEXTS,
    node=TEXTS,
)
ENDS = st.none() | END
INNERS = st.builds(
    InnerPacket,
    tunnel=st.sampled_from(sorted(CARRIERS.values())),
    id=st.none() | st.integers(0, 2**32 - 1),
    protocol=TEXTS,
    source=END,
    destination=END,
    tcp_flags=TEXTS,
    fragment=st.booleans(),
)
EVENTS = st.builds(
    Event,
    probe=TEXTS.filter(bool),
    kind=TEXTS.filter(bool),
    node=TEXTS,
    wall_ns=st.integers(-(2**63), 2**64),
    mono_ns=NUMBERS,
    backend=TEXTS,
    namespace=TEXTS,
    pod=TEXTS,
    doubt=TEXTS,
    netns=NUMBERS,
    protocol=TEXTS,
    source=ENDS,
    destination=ENDS,
    inner=st.none() | INNERS,
    reason=TEXTS,
    latency_ns=st.none() | NUMBERS,
    cpu=st.none() | st.integers(0, 4096),
    calls=st.lists(TEXTS, max_size=3).map(tuple),
    fragment=st.booleans(),
    details=st.dictionaries(TEXTS, TEXTS | NUMBERS, max_size=3),
)


def test_a_full_event_is_one_flat_object() -> None:
    """Each field has its name, ends are written out, and numbers are numbers."""
    assert event_to_json(DROP) == {
        "time": "2023-11-14T22:13:20.123456789Z",
        "wall_ns": 1_700_000_000_123_456_789,
        "mono_ns": 5_000_000_000,
        "node": "node1",
        "probe": "packetloss",
        "kind": "packet-loss",
        "backend": "core",
        "namespace": "shop",
        "pod": "web-0",
        "reason": "NETFILTER_DROP",
        "hook": "INPUT",
        "function": "nf_hook_slow",
        "protocol": "TCP",
        "tcp_flags": "SYN",
        "length": 60,
        "device": "eth0",
        "ifindex": 2,
        "ethertype": 2048,
        "netns": 4026532000,
        "cgroup": 77,
        "source_address": "10.244.1.5",
        "source_port": 43210,
        "source_kind": "pod",
        "source_namespace": "shop",
        "source_name": "web-0",
        "source_node": "node1",
        "destination_address": "192.168.1.2",
        "destination_port": 8080,
        "destination_kind": "node",
        "destination_name": "node2",
        "destination_node": "node2",
        "calls": ["nf_hook_slow", "ip_local_deliver"],
    }


def test_what_a_packet_carries_is_flat_too() -> None:
    """The packet inside has names of its own beside those of the tunnel's ends."""
    plain, found = event_to_json(DROP), event_to_json(made(inner=INNER))
    assert {name: value for name, value in found.items() if name not in plain} == {
        "inner_tunnel": "VXLAN",
        "inner_id": 1,
        "inner_protocol": "TCP",
        "inner_tcp_flags": "SYN",
        "inner_source_address": "10.244.1.5",
        "inner_source_port": 43210,
        "inner_source_kind": "pod",
        "inner_source_namespace": "shop",
        "inner_source_name": "web-0",
        "inner_source_node": "node1",
        "inner_destination_address": "10.244.2.7",
        "inner_destination_port": 80,
        "inner_destination_kind": "pod",
        "inner_destination_namespace": "shop",
        "inner_destination_name": "api-0",
        "inner_destination_node": "node2",
    }
    assert plain.items() <= found.items()


@pytest.mark.parametrize(("number", "told"), [(0, {"inner_id": 0}), (None, {})])
def test_a_tunnels_number_may_be_nought(number: int | None, told: dict[str, int]) -> None:
    """VNI 0 is one; a tunnel without numbers has none."""
    found = event_to_json(made(inner=replace(INNER, id=number)))
    assert {name: found[name] for name in ("inner_id",) if name in found} == told


def test_what_is_not_known_is_left_out() -> None:
    """An event without anything has its times, its node and what it is."""
    assert set(event_to_json(bare())) == {"time", "wall_ns", "mono_ns", "node", "probe", "kind", "backend"}


@pytest.mark.parametrize("name", ["cpu", "latency_ns"])
def test_nought_is_a_value_where_none_is_not_known(name: str) -> None:
    """The first CPU is 0, and something may take no time that a clock can show."""
    assert event_to_json(bare(**{name: 0}))[name] == 0


def test_what_one_probe_alone_tells_cannot_be_taken_for_something_else() -> None:
    """Its names have a prefix, and nought is a value: no error is rcode 0."""
    found = event_to_json(bare(details={"kind": "A", "rcode": 0}))
    assert (found["kind"], found["details_kind"], found["details_rcode"]) == ("packet-loss", "A", 0)


@given(EVENTS)
def test_every_event_is_as_the_schema_says(event: Event) -> None:
    """Whatever a node tells, the line is one line, and a program that trusts the schema can read it."""
    line, told = event_line(event), told_line(event)
    assert "\n" not in line + told
    found = json.loads(line)
    jsonschema.validate(found, schema())
    assert found["wall_ns"] == event.wall_ns
    told_found = json.loads(told)
    jsonschema.validate(told_found, schema())
    assert {name: value for name, value in told_found.items() if name != "says"} == found


def test_a_line_for_people_says_it_in_words() -> None:
    """The words of the terminal come first, so that a raw line can be read."""
    said = "packet dropped: NETFILTER_DROP in INPUT: TCP SYN shop/web-0 (10.244.1.5:43210) -> "
    assert told_line(DROP).startswith(f'{{"says":"{said}')


def test_a_detail_s_name_becomes_one_that_queries_can_write() -> None:
    """Whatever a probe calls it."""
    assert (
        event_to_json(bare(details={"a b-c": 1, "": 2})).items()
        >= {"details_a_b_c": 1, "details__": 2}.items()
    )


def test_the_schema_takes_nothing_else() -> None:
    """A field that it does not know, and one that is missing, are mistakes."""
    jsonschema.Draft202012Validator.check_schema(schema())
    for wrong in ({"severity": "high"}, {"source_port": 0}, {"pod": ""}, {"latency_ns": "5 ms"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**event_to_json(DROP), **wrong}, schema())


@pytest.mark.parametrize(
    ("wall_ns", "wanted"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (253_402_300_799_999_999_999, "9999-12-31T23:59:59.999999999Z"),
        (253_402_300_800_000_000_000, ""),
        (-1, ""),
    ],
)
def test_times_have_every_nanosecond(wall_ns: int, wanted: str) -> None:
    """No digit is lost on the way through floats; a time that no calendar has is none."""
    assert rfc3339(wall_ns) == wanted


def test_letters_of_all_languages_stay_readable() -> None:
    """Names are not escaped beyond what JSON needs."""
    assert '"pod":"wéb"' in event_line(made(pod="wéb"))


@given(EVENTS, EVENTS)
def test_texts_that_are_kept_are_of_no_other_event(one: Event, other: Event) -> None:
    """Each value of an event is in its line as it is, whatever was written before; what is empty is not."""
    event_line(other)
    found = json.loads(event_line(one))
    for name in ("node", "probe", "kind", "backend", "mono_ns", "wall_ns"):
        assert found[name] == getattr(one, name)
    for name in ("namespace", "pod", "doubt", "reason", "protocol", "netns", "fragment"):
        assert found.get(name, type(getattr(one, name))()) == getattr(one, name)
    assert (found.get("latency_ns"), found.get("cpu")) == (one.latency_ns, one.cpu)
    for side, end in (("source", one.source), ("destination", one.destination)):
        said = [found.get(f"{side}_{name}", "") for name in ("address", "namespace", "name", "node")]
        assert said == ([end.address, end.namespace, end.name, end.node] if end is not None else [""] * 4)
    assert tuple(found.get("calls", ())) == one.calls
