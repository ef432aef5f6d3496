"""Network policies after redaction: they select the same pods and let the same networks through, by other names."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

from skoopctl.evidence.redaction.objects import redact_objects
from skoopctl.evidence.redaction.words import Redactor

POLICY: dict[str, Any] = {
    "metadata": {"name": "cart-callers", "namespace": "shop", "annotations": {"owner": "mallory"}},
    "spec": {
        "podSelector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["cart", "till"]}]},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [
                    {"ipBlock": {"cidr": "10.244.0.0/16", "except": ["10.244.3.0/24"]}},
                    {"namespaceSelector": {"matchLabels": {"team": "web"}}, "podSelector": {}},
                ],
                "ports": [{"protocol": "TCP", "port": 8080, "endPort": 8090}, {"port": "grpc-cart"}],
            }
        ],
        "egress": [{"to": [{"podSelector": {"matchLabels": {"tier": "cart"}}}]}, {}],
    },
}


def rewritten() -> dict[str, Any]:
    """Return the policy's spec as a redacted bundle has it."""
    raw = json.dumps({"items": [POLICY]}).encode()
    (item,) = json.loads(redact_objects("networkpolicies", raw, Redactor(b"k" * 32)))["items"]
    assert isinstance(item["spec"], dict)
    return item["spec"]


def test_the_rules_of_a_policy_stay() -> None:
    """Ingress and egress keep their peers, ports and empty rules, which let everything through."""
    spec = rewritten()

    assert spec["ingress"][0]["ports"][0] == {"protocol": "TCP", "port": 8080, "endPort": 8090}
    assert [sorted(peer) for peer in spec["ingress"][0]["from"]] == [
        ["ipBlock"],
        ["namespaceSelector", "podSelector"],
    ]
    assert spec["egress"][1] == {}


def test_a_policys_networks_keep_their_shape() -> None:
    """An exception still lies within its block, with the lengths of both prefixes."""
    block = rewritten()["ingress"][0]["from"][0]["ipBlock"]

    whole, hole = ip_network(block["cidr"]), ip_network(block["except"][0])
    assert (whole.prefixlen, hole.prefixlen) == (16, 24)
    assert hole.subnet_of(whole)  # type: ignore[arg-type]


def test_an_expression_selects_what_labels_select() -> None:
    """A label's value is replaced by the same word in an expression and in a label."""
    spec = rewritten()

    (expression,) = spec["podSelector"]["matchExpressions"]
    (labels,) = [peer["podSelector"]["matchLabels"] for peer in spec["egress"][0]["to"]]
    assert expression["operator"] == "In"
    assert labels == {expression["key"]: expression["values"][0]}


def test_nothing_of_a_policy_is_told_by_name() -> None:
    """No name, label or address of the policy is in the redacted one."""
    text = json.dumps(rewritten())

    assert not [word for word in ("cart", "till", "web", "10.244.3", "mallory", "grpc") if word in text]
