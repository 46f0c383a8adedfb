"""Layers with operands of 8, 4 and 2 bits, in all combinations: planned, generated, run, compared bit for bit."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dory import reference, targets
from dory.codegen.app import application
from dory.codegen.write import write_tree
from dory.errors import PlanError
from dory.graph.types import Graph
from dory.pipeline import example_inputs
from dory.plan import Plan
from dory.sim.application import COMPILER, check_exit, simulate
from dory.sim.iss import IssParams
from dory.targets import Target
from dory.testing.subbyte import COMBINATIONS, OPS, WITH_WEIGHTS, combinations
from dory.tiler.planner import Lowered, lower, make_plan
from dory.verify import compare, verify_host

GAP8 = targets.load("gap8")


def deploy(graph: Graph, folder: Path, *, l1: Sequence[int] = (), l2: Sequence[int] = ()) -> Plan:
    """Deployed with the first budgets that are enough; host and simulator are found equal to the reference."""
    values = reference.run(graph, example_inputs(graph, None))
    lowered = lower(graph)
    plan = first_plan(lowered, [replace(GAP8, l1_budget=n) for n in l1] + [replace(GAP8, l2_budget=n) for n in l2])
    assert Plan.from_json(plan.to_json()) == plan
    write_tree(folder, application(plan, graph, lowered.packed, values))
    verify_host(folder, plan, values)
    if shutil.which(COMPILER):
        done = simulate(folder, IssParams.of(GAP8), max_cycles=1_000_000_000)
        compare(done.dump, plan, values)
        check_exit(done, folder)
    return plan


def first_plan(lowered: Lowered, budgets: Sequence[Target]) -> Plan:
    for target in budgets:
        try:
            return make_plan(lowered, target)
        except PlanError:
            continue
    return make_plan(lowered, GAP8)


def found(plan: Plan, op: str) -> set[tuple[int, int, int]]:
    """Bits of the input, the weights and the output of every layer of that kind."""
    layers = [x for x in plan.layers if x.op == ("conv" if op == "pointwise" else op)]
    return {(x.inputs[0].bits, x.weights.bits if x.weights else 8, x.output.bits) for x in layers}


def test_all_combinations_of_a_pointwise_layer(tmp_path: Path) -> None:
    plan = deploy(combinations("pointwise", 1, (5, 6, 20)), tmp_path)
    assert found(plan, "pointwise") == set(COMBINATIONS)


@pytest.mark.slow
@pytest.mark.parametrize("op", OPS)
def test_all_combinations(op: str, tmp_path: Path) -> None:
    plan = deploy(combinations(op, 3, (7, 6, 12)), tmp_path)
    if op in WITH_WEIGHTS:
        assert found(plan, op) == set(COMBINATIONS)
    elif op != "concat":
        assert {x.bits for layer in plan.layers for x in layer.inputs if layer.op == op} == {8, 4, 2}


@pytest.mark.slow
@pytest.mark.parametrize("op", ["conv", "depthwise", "linear", "add", "concat", "avgpool"])
def test_random_layers_in_little_memory(op: str, tmp_path: Path) -> None:
    """Any sizes; several tiles, borders, pixels that end inside a byte."""
    rng = np.random.default_rng(7)
    some = [COMBINATIONS[int(i)] for i in rng.choice(len(COMBINATIONS), 6, replace=False)]
    plan = deploy(
        combinations(op, 101, None, some), tmp_path, l1=(300, 500, 900, 1500, 2500, 4000, 5500, 7000, 9000, 12000)
    )
    assert any(layer.subbyte and max(layer.tiles) > 1 for layer in plan.layers) or op == "linear"


@pytest.mark.slow
@pytest.mark.parametrize("op", ["pointwise", "add", "pad"])
def test_stripes_through_l3(op: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    some = [COMBINATIONS[int(i)] for i in rng.choice(len(COMBINATIONS), 5, replace=False)]
    plan = deploy(combinations(op, 1, (32, 30, 24), some), tmp_path, l2=range(70000, 130000, 2000))
    spilled = [x for layer in plan.layers for x in (*layer.inputs, layer.output) if x.l3_offset >= 0]
    assert any(x.bits < 8 for x in spilled)


def test_packing_saves_memory_and_can_be_left_off() -> None:
    graph = combinations("pointwise", 5, (8, 8, 64), [(4, 4, 4), (2, 2, 2)])
    lowered = lower(graph, False)
    plain, packed = make_plan(lowered, GAP8), make_plan(lower(graph), GAP8)
    assert not any(layer.subbyte for layer in plain.layers) and plain.weight_bytes > packed.weight_bytes
    assert plain.l2_bytes > packed.l2_bytes
    files = application(plain, graph, lowered.packed, reference.run(graph, example_inputs(graph, None)))
    assert not any("pack" in name or "subbyte" in name for name in files if name.endswith(".c"))
