"""Plans: what people write is read whole, and every mistake is one line with its file, line and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from skoopctl.checks.inspections import INSPECTIONS
from skoopctl.errors import PlanError
from skoopctl.plans.load import builtin_plans, load_plan
from skoopctl.plans.model import Plan, plan_schema

ROOT = Path(__file__).parents[3]
WHOLE = """\
plan: shop
description: What the shop needs
cluster: prod
hosts: "nodes:!spare"
kubeconfig: admin.conf
inspections: [evidence, mesh]
paths:
  - name: web reaches db
    from: [pod/shop/web-0, pod/shop/web-1]
    to: svc/shop/db
    port: 5432
  - from: pod/shop/web-0
    to: 10.0.0.1
    protocol: icmp
    expect: blocked
    severity: fatal
thresholds: {mesh-degree: 6}
deadlines: {connect: 5, run: 120}
forks: 20
fail-on: warning
fail-percent: 5
reports:
  - {format: html, file: "{plan}-{time}.html"}
push: {gateway: "http://pushgateway:9091", user: u, password-file: /run/secret}
keep: {runs: 5, bundles: 2}
"""


def written(tmp_path: Path, text: str) -> Path:
    """Write a plan's file."""
    file = tmp_path / "shop.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_key_is_read(tmp_path: Path) -> None:
    """A plan with all keys has all of their values."""
    plan, path = load_plan(str(written(tmp_path, WHOLE)))
    assert path.name == "shop.yaml"
    assert (plan.plan, plan.cluster, plan.hosts, plan.fail_on, plan.fail_percent) == (
        "shop",
        "prod",
        "nodes:!spare",
        "warning",
        5,
    )
    assert [p.expect for p in plan.paths] == ["reachable", "blocked"]
    assert plan.paths[0].from_ == ["pod/shop/web-0", "pod/shop/web-1"]
    assert (plan.deadlines.connect, plan.deadlines.program, plan.deadlines.run) == (5, 30, 120)
    assert plan.push is not None
    assert plan.push.password_file.startswith("/run/")
    assert (plan.keep.runs, plan.keep.bundles, plan.thresholds) == (5, 2, {"mesh-degree": 6})


def test_a_plan_is_named_after_its_file(tmp_path: Path) -> None:
    """Where a plan has no name, the file's is taken."""
    assert load_plan(str(written(tmp_path, "inspections: [mesh]")))[0].plan == "shop"


@pytest.mark.parametrize("name", ["quick", "nightly", "conntrack", "dns", "cni", "kube-proxy", "mtu"])
def test_the_built_in_plans_are_there_by_name(name: str) -> None:
    """Each has a description and looks at something."""
    plan, _ = load_plan(name)
    assert plan.plan == name
    assert plan.description
    assert plan.inspections


def test_the_nightly_plan_looks_at_everything() -> None:
    """An inspection that no built-in plan makes would be forgotten."""
    assert set(load_plan("nightly")[0].inspections) == set(INSPECTIONS)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 0, "the plan is empty"),
        ("- a\n", 1, "a plan is a mapping of keys"),
        ("inspections: [mesh", 2, "expected"),
        ("inspections: [mesh]\nhots: all\n", 2, "unknown key hots: did you mean 'hosts'?"),
        (
            "inspections:\n  - mesh\n  - mehs\n",
            3,
            "inspections.1: there is no inspection",
        ),
        ("inspections: [mesh]\nprobes: [tcpx]\n", 2, "there is no probe 'tcpx': did you mean 'tcp"),
        (
            "probes: [tcp]\nprobe-duration: 5\nprobe-interval: 10\n",
            1,
            "probe-interval is longer than probe-duration",
        ),
        ("description: nothing\n", 1, "the plan looks at nothing: give it inspections, probes or paths"),
        ("paths:\n  - from: a\n    port: 80\n", 2, "paths.0.to is missing"),
        (
            "paths:\n  - from: a\n    to: b\n    prot: tcp\n",
            4,
            "unknown key paths.0.prot: did you mean 'port'?",
        ),
        ("paths:\n  - {from: a, to: b, expect: open}\n", 2, "paths.0.expect: input should be"),
        ("paths:\n  - {from: a, to: b, port: 70000}\n", 2, "paths.0.port: input should be less than"),
        ("inspections: [mesh]\nthresholds:\n  mesh-degre: 2\n", 3, "there is no threshold 'mesh-degre': did"),
        (
            "inspections: [mesh]\npush: {user: u}\n",
            2,
            "push: push goes nowhere: give it gateway, loki or both",
        ),
        (
            "inspections: [mesh]\npush: {gateway: pushgateway}\n",
            2,
            "push.gateway: expected http://HOST:PORT, without",
        ),
        (
            "inspections: [mesh]\npush: {gateway: 'http://u:p@gw'}\n",
            2,
            "push.gateway: expected http://HOST:PORT, without",
        ),
        ("inspections: [mesh]\nfail-percent: 101\n", 2, "fail-percent: input should be less than or equal"),
        ("inspections: [mesh]\nplan: 'a b'\n", 2, "plan: expected a name of letters"),
        ("inspections: [mesh]\ninspections: [dns]\n", 2, "has 'inspections' twice"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, text: str, line: int, said: str) -> None:
    """File, line, what is wrong, and the nearest right word."""
    file = written(tmp_path, text)
    with pytest.raises(PlanError) as caught:
        load_plan(str(file))
    assert caught.value.line == line
    assert str(caught.value).startswith(f"{file}:{line}: " if line else f"{file}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_mistakes_are_counted(tmp_path: Path) -> None:
    """The first is told in full, and how many more there are."""
    file = written(tmp_path, "forks: 0\nfail-percent: -1\ninspections: [mesh]\n")
    with pytest.raises(PlanError, match=r"shop.yaml:1: forks: .*\(and one more mistake\)"):
        load_plan(str(file))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nigthly", "did you mean 'nightly'? there are"),
        ("zebra", "there are cni"),
        ("./gone.yaml", "gone.yaml"),
    ],
)
def test_an_unknown_plan_names_the_nearest(name: str, said: str) -> None:
    """A name that is no plan, and a file that is not there."""
    with pytest.raises(PlanError) as caught:
        load_plan(name)
    assert said in str(caught.value)


def test_the_published_schema_is_the_models() -> None:
    """docs/schema/plan-1.schema.json is what the model says; otherwise: make docs."""
    published = json.loads((ROOT / "docs/schema/plan-1.schema.json").read_text(encoding="utf-8"))
    assert published == plan_schema()


def test_editors_accept_what_skoopctl_accepts() -> None:
    """The schema takes every built-in plan and the whole example, and refuses an unknown key."""
    validator = jsonschema.Draft202012Validator(plan_schema())
    for text in (WHOLE, *(path.read_text() for path in builtin_plans().values())):
        validator.validate(yaml.safe_load(text))
    assert not validator.is_valid({"inspections": ["mesh"], "hots": "all"})
    assert not validator.is_valid({"inspections": ["mehs"]})


def test_every_key_is_described() -> None:
    """The schema and docs/plans.md print descriptions: no key is without one."""
    silent = [name for name, field in Plan.model_fields.items() if not field.description]
    assert silent == ["deadlines", "keep"], "these two are parts, and their own keys are described"
