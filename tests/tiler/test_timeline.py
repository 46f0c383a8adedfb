"""The schedule of L2 and L3: the solver's choice is the best of all, and what is made of it keeps its promises."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dory import frontend, targets
from dory.graph.types import Graph, Node, QType, Tensor
from dory.layers.base import Access, Geometry, PackedWeights
from dory.testing.networks import NETWORKS
from dory.tiler import memory, timeline
from dory.tiler.memory import LayerMemory, Streaming, blocks_of
from dory.tiler.packing import lower_bound
from dory.tiler.planner import lower, make_plan
from dory.tiler.schedule_model import Model, decide
from dory.tiler.timeline import UNIT, Stream, Timeline, transfer

MOST = 20_000
"""Choices that are tried one by one."""
FEW = {"LEADS": (0, 1, 2), "SLOTS": (2,)}
"""So that there are not too many."""


@dataclass(frozen=True)
class Case:
    """Layers in a row, the last of which may read an earlier output too, and bytes of L2: less than all needs."""

    graph: Graph
    layers: tuple[LayerMemory, ...]
    l2: int


@st.composite
def cases(draw: st.DrawFn, most: int = 3) -> Case:
    n = draw(st.integers(1, most))
    shapes = [(draw(st.sampled_from([8, 32])), 32, draw(st.sampled_from([16, 64, 160]))) for _ in range(n + 1)]
    nodes, layers = [], []
    for i in range(n):
        inputs = (f"t{i}", f"t{i - 1}") if i and i == n - 1 and draw(st.booleans()) else (f"t{i}",)
        out, group_bytes = shapes[i + 1], 4 * draw(st.sampled_from([160, 1200, 2400]))
        packed = PackedWeights(bytes(out[2] // 4 * group_bytes), 4, group_bytes) if draw(st.integers(0, 5)) else None
        accesses = tuple(Access(shapes[int(t[1:])], channels="all") for t in inputs)
        cycles, tile_c = draw(st.integers(1000, 400_000)), draw(st.sampled_from([8, 16]))
        nodes.append(Node(f"n{i}", "conv", inputs, f"t{i + 1}", None))
        layers.append(LayerMemory(f"n{i}", inputs, f"t{i + 1}", Geometry(out, accesses), packed, cycles, tile_c))
    tensors = {f"t{i}": Tensor(f"t{i}", s, QType(8, True), 1.0, 0) for i, s in enumerate(shapes)}
    graph = Graph("g", tuple(nodes), tensors, ("t0",), (f"t{n}",))
    line = Timeline(graph, layers, 0)
    return Case(graph, tuple(layers), max(line.used([0] * len(line.needs))) * draw(st.integers(20, 100)) // 100)


def best_of_all(line: Timeline) -> int | None:
    """The least cost of a state that fits."""
    states = (list(s) for s in product(*(range(len(x)) for x in line.needs)))
    return min((line.cost(s) for s in states if max(line.used(s)) <= line.l2), default=None)


@given(cases())
@settings(max_examples=100, deadline=None)
def test_the_solver_finds_the_best_of_all(case: Case) -> None:
    with patch.multiple(memory, **FEW), patch.object(timeline, "POLISH", 0):  # which would hide what a model lacks
        line = Timeline(case.graph, case.layers, case.l2)
        assume(prod(map(len, line.needs)) <= MOST)
        wanted, found = best_of_all(line), decide(case.graph, case.layers, case.l2)
    assert (found is None) == (wanted is None)
    if found:
        state = line.state(found)
        assert found.gap == 0 and line.cost(state) == wanted
        assert max(line.used(state)) <= case.l2


@given(cases(5), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_a_pass_over_the_layers_and_the_constraints_agree(case: Case, rng: Random) -> None:
    line = Timeline(case.graph, case.layers, 1 << 40)
    state = [rng.randrange(len(x)) for x in line.needs]
    model = Model(line)
    for some, k in zip(model.pick, state, strict=False):
        model.model += some[k]
    for spill, out in zip(model.spill, state[len(line.layers) :], strict=True):
        model.model += spill == bool(out)
    model.model.minimize(model.end)
    assert model.model.solve(solver="ortools", num_workers=1, catch_sigint_signal=False)
    assert model.model.objective_value() == line.end(state, line.queued(state))


@given(cases(8), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_improved_states_fit_and_cost_no_more(case: Case, rng: Random) -> None:
    line = Timeline(case.graph, case.layers, case.l2)
    state = [rng.randrange(len(x)) for x in line.needs]
    line.l2 = max(line.used(state))
    for proved in (False, True):
        with patch.object(timeline, "MOVES", 300), patch.object(timeline, "POLISH", 300):
            found = line.improved(state, proved)
            assert found == line.improved(state, proved), "not deterministic"
        assert max(line.used(found)) <= line.l2
        assert (line.cost(found), line.reads(found)) <= (line.cost(state), line.reads(state))


@given(cases(8))
@settings(max_examples=40, deadline=None)
def test_reads_come_no_later_and_what_is_resident_stays(case: Case) -> None:
    line, found = Timeline(case.graph, case.layers, case.l2), decide(case.graph, case.layers, case.l2)
    assume(found is not None)
    assert found
    room = case.l2 + 64 * 1024
    early = line.earlier(found, room)
    old, new = line.state(found), line.state(early)
    assert early.spilled == found.spilled and max(line.used(new)) <= room
    assert line.end(new, line.queued(new)) <= line.end(old, line.queued(old))
    for before, after in zip(found.weights, early.weights, strict=True):
        assert (before is None) == (after is None)
        assert before is None or (after and after.lead >= before.lead)


@given(cases(8))
@settings(max_examples=20, deadline=None)
def test_with_all_the_room_reads_start_as_early_as_they_can(case: Case) -> None:
    line, found = Timeline(case.graph, case.layers, case.l2), decide(case.graph, case.layers, case.l2)
    assume(found is not None)
    assert found
    for some, after in zip(line.options, line.earlier(found, 1 << 40).weights, strict=True):
        assert after is None or after.lead == max(o.lead for o in some if o)


@given(cases(8))
@settings(max_examples=40, deadline=None)
def test_bytes_of_a_state_are_those_of_its_blocks(case: Case) -> None:
    line, found = Timeline(case.graph, case.layers, case.l2), decide(case.graph, case.layers, case.l2)
    assume(found is not None)
    assert found
    assert max(line.used(line.state(found))) == lower_bound(blocks_of(case.graph, case.layers, found))


def one_layer(cycles: int) -> LayerMemory:
    """160 channels in 10 parts of 48 KB."""
    packed = PackedWeights(bytes(480_000), 4, 12_000)
    return LayerMemory("n", ("x",), "y", Geometry((4, 4, 160), (Access((4, 4, 16)),)), packed, cycles, 16)


@pytest.mark.parametrize("cycles", [UNIT * 100, UNIT * 100_000])
def test_a_single_slot_reads_and_computes_in_turns(cycles: int) -> None:
    stream = Stream.of(one_layer(cycles), Streaming(16, 48_000, 10, 1, 0))
    assert stream.held == (cycles // UNIT + transfer(480_000, 10)) * 9 // 10


def test_parts_without_a_slot_are_read_while_the_layer_runs() -> None:
    layer = one_layer(UNIT * 100)  # reads are what takes time
    held = {s: Stream.of(layer, Streaming(16, 48_000, 10, s, 0)).held for s in (2, 4, 8, 10)}
    assert held[10] is None
    for slots in (2, 4, 8):
        assert held[slots] is not None and held[slots] >= transfer(480_000, 10) * (10 - slots) // 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v1_1.0_128", "mobilenet_v2_0.35_96", "mobilenet_v2_1.0_224"])
def test_schedules_of_known_networks_are_proved(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(NETWORKS[name].build().SerializeToString())
    plan = make_plan(lower(frontend.load(path)), targets.load("gap8"))
    assert plan.l3_gap == 0 and all(layer.gap == 0 for layer in plan.layers)
