"""From a bundle to a snapshot: hosts, objects, coverage, and what was detected, in plain words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

import pytest

from skoopctl.checks.diagnosis import Detected
from skoopctl.checks.load import in_words, snapshot_of
from skoopctl.cluster.detect import (
    ClusterNetwork,
    HostNetwork,
    IptablesBackend,
    NetworkPlugin,
    ProxyMode,
    detect,
)
from skoopctl.evidence import Bundle, HostEvidence, HostRecord, Item, ItemStatus
from skoopctl.transport.base import HostStatus
from tests.support import recorded

load = lru_cache(recorded.load)


@pytest.mark.parametrize("mode", ["iptables", "nftables"])
def test_a_recorded_cluster_is_detected_in_words(mode: str) -> None:
    """Flannel over VXLAN on ens192, kube-proxy's mode and the iptables backend are found without any flag."""
    hosts = {name: host for name, host in load(mode).hosts.items() if name != recorded.OUTSIDE}
    assert in_words(detect(hosts, load(mode).cluster)) == Detected(
        "flannel (vxlan)", ("ens192",), mode, "nft"
    )


def network(*hosts: HostNetwork) -> ClusterNetwork:
    """Return what was detected on some hosts."""
    return ClusterNetwork({h.host: h for h in hosts}, hosts[0].plugin, hosts[0].proxy_mode)


def test_what_is_unknown_is_empty() -> None:
    """Nothing is said where nothing tells."""
    silent = HostNetwork("n1", NetworkPlugin.UNKNOWN, "", ProxyMode.UNKNOWN, IptablesBackend.NONE)
    assert in_words(network(silent)) == Detected()
    assert in_words(network(replace(silent, proxy_mode=ProxyMode.NONE))) == Detected()


def test_two_backends_are_both_told() -> None:
    """Rules in both backends are a trap that the overview names."""
    one = HostNetwork("n1", NetworkPlugin.CALICO, "eth0", ProxyMode.IPVS, IptablesBackend.NFT)
    other = replace(one, host="n2", underlay="eth1", backend=IptablesBackend.LEGACY)
    words = in_words(network(one, other))
    assert words == Detected("calico", ("eth0", "eth1"), "ipvs", "iptables-nft and iptables-legacy")
    assert in_words(network(replace(one, backend=IptablesBackend.BOTH))).backend == words.backend


def test_every_plugin_has_words() -> None:
    """No plugin is told by its bare identifier."""
    for plugin in NetworkPlugin:
        found = HostNetwork("n1", plugin, "", ProxyMode.NONE, IptablesBackend.NONE)
        assert isinstance(in_words(network(found)).network_plugin, str)


def test_hosts_that_gave_nothing_are_in_the_coverage() -> None:
    """A host that could not be asked is told of, with its reason, and its address is known on a path."""
    identity = Item(0, "identity", ItemStatus.OK, b'{"hostname": "n1", "root_netns": 7}')
    spaces = Item(
        0, "namespaces", ItemStatus.OK, b'[{"inode": 7, "host": true, "names": [], "processes": []}]'
    )
    link = Item(7, "link", ItemStatus.DENIED, detail="no root")
    told = HostEvidence("n1", {(i.netns, i.name): i for i in (identity, spaces, link)})
    silent = HostEvidence("n2", {}, complete=False, problem="no answer")
    results = {
        "n1": HostRecord(HostStatus.PARTIAL, "", told, 0.1, "192.168.3.86"),
        "n2": HostRecord(HostStatus.UNREACHABLE, "connection refused", silent, 0.1, "192.168.3.87"),
        "n3": HostRecord(HostStatus.TIMEOUT, "no answer", replace(silent, host="n3"), 9.0, "by-name"),
    }
    bundle = Bundle(results, {}, "", "hosts.yaml", datetime(2026, 3, 1, 12, 0, tzinfo=UTC))
    snapshot = snapshot_of(bundle)
    assert list(snapshot.hosts) == ["n1"]
    assert snapshot.coverage.sentence() == "1 of 3 hosts collected"
    assert [(h.host, h.status, h.detail) for h in snapshot.coverage.hosts[1:]] == [
        ("n2", "unreachable", "connection refused"),
        ("n3", "timeout", "no answer"),
    ]
    assert "link: denied: no root" in snapshot.coverage.hosts[0].gaps
    assert snapshot.absent == {"192.168.3.87": "n2"}
    assert snapshot.coverage.api == "not asked"
    assert snapshot.collected_at == "2026-03-01T12:00:00+00:00"


def test_an_api_that_could_not_be_asked_is_told() -> None:
    """The reason why there are no objects is part of the coverage."""
    assert (
        snapshot_of(Bundle({}, {}, "the API server refused the token")).coverage.api
        == "the API server refused the token"
    )
    assert snapshot_of(Bundle({}, {"nodes": b'{"items": []}'})).coverage.api == "ok"
