"""Plans of random networks under random budgets keep their promises."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dory import frontend, pipeline, targets
from dory.errors import PlanError, UserError
from dory.graph.types import Graph
from dory.plan import GUARD, Plan
from dory.testing.strategies import RandomNetwork, small_qdq_networks
from dory.tiler.planner import code_bytes, lower, make_plan


def load(network: RandomNetwork, folder: str) -> tuple[Path, Graph]:
    path = Path(folder) / "net.onnx"
    path.write_bytes(network.model.SerializeToString(deterministic=True))
    try:
        return path, frontend.load(path)
    except UserError as e:  # an input that is an output: nothing to plan
        assume("is the network input" not in e.message)
        raise


def budgets(graph: Graph, l1: int, l2: int) -> targets.Target:
    return targets.load("gap8").with_budgets(l1, code_bytes(graph) + l2)


@given(small_qdq_networks(), st.integers(1000, 20000), st.integers(1500, 30000))
@settings(max_examples=60)
def test_random_plans(network: RandomNetwork, l1: int, l2: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _, graph = load(network, folder)
    target = budgets(graph, l1, l2)
    try:
        plan = make_plan(lower(graph), target)
    except PlanError:
        return
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.l1_bytes <= l1 and plan.l2_bytes + plan.l2_code <= target.l2_budget
    buffers = {b.name: b for b in plan.l2}
    for layer in plan.layers:
        for operand in (*layer.inputs, layer.output):
            buffer = buffers[operand.l2_buffer]
            assert buffer.first <= layer.index <= buffer.last, "an operand is not alive while its layer runs"
            assert buffer.offset % 8 == 0 and buffer.stride >= buffer.bytes + GUARD
        if layer.weights:
            assert buffers[layer.weights.l2_buffer].first <= layer.index <= buffers[layer.weights.l2_buffer].last
            assert layer.weights.l3_offset % 4 == 0 and layer.weights.bytes % 4 == 0
        if layer.output.l3_offset >= 0 and layer.stripes > 1:
            assert layer.stripe_rows * layer.output.row_bytes % 4 == 0, "a stripe would start inside a word"


@given(small_qdq_networks())
@settings(max_examples=20)
def test_more_memory_never_makes_a_plan_impossible(network: RandomNetwork) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _, graph = load(network, folder)
    fits = []
    for scale in (1, 4, 16):
        try:
            make_plan(lower(graph), budgets(graph, 1500 * scale, 2500 * scale))
            fits.append(True)
        except PlanError:
            fits.append(False)
    assert fits == sorted(fits)


@pytest.mark.slow
@given(small_qdq_networks(), st.sampled_from([3000, 6000, 20000]), st.sampled_from([4000, 8000, 100000]))
@settings(max_examples=5)
def test_random_networks_verify_on_the_host(network: RandomNetwork, l1: int, l2: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, graph = load(network, folder)
        try:
            result = pipeline.deploy(path, pipeline.Options(Path(folder) / "app", budgets(graph, l1, l2)))
        except PlanError:
            return
        assert all(check.different == 0 for check in result.checks) and result.checks


def test_a_plan_over_budget_cannot_be_built() -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "digits" / "digits_qdq.onnx"
    plan = make_plan(lower(frontend.load(example)), targets.load("gap8"))
    for change in ({"l1_budget": plan.l1_bytes - 1}, {"l2_budget": plan.l2_bytes}, {"l3_budget": plan.l3_bytes - 1}):
        with pytest.raises(PlanError):
            dataclasses.replace(plan, **change)
    moved = dataclasses.replace(plan.l2[0], offset=plan.l2[1].offset)
    both = dataclasses.replace(plan.l2[1], first=moved.first, last=moved.last)
    with pytest.raises(ValueError, match="overlap"):
        dataclasses.replace(plan, l2=(moved, both, *plan.l2[2:]))
