"""Outputs that stay in L1: the cheapest choice of them, never worse than none, and right where others want them too."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dory import frontend, targets
from dory.errors import PlanError
from dory.plan import Plan
from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import shipped
from dory.sim.model.events import run_block
from dory.sim.model.network import estimate
from dory.sim.model.tiles import Block, LayerTiles
from dory.testing import networks
from dory.testing.layer_strategies import LayerSpec, build_layers
from dory.testing.plan_checks import check_plan
from dory.tiler import planner
from dory.tiler.keep import keep
from dory.tiler.memory import Choice
from dory.tiler.planner import lower, make_plan, spaces
from dory.tiler.tiles import Tile, cheapest

GAP8 = targets.load("gap8")
P = IssParams.of(GAP8)


def lowered_of(model: object) -> planner.Lowered:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(model.SerializeToString())  # type: ignore[attr-defined]
        return lower(frontend.load(path))


def chain(size: int, channels: list[int], kernels: list[int]) -> planner.Lowered:
    specs = [
        LayerSpec("conv", (c, size, size), c, (k, k), (1, 1), (1, 1), (k // 2,) * 4, inside=True)
        for c, k in zip(channels, kernels, strict=True)
    ]
    return lowered_of(build_layers(specs))


def without(lowered: planner.Lowered, target: targets.Target, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """The plan with nothing kept."""
    with monkeypatch.context() as m:
        m.setattr(planner, "keep", lambda graph, spaces, tiles, choice, p: list(tiles))
        return make_plan(lowered, target)


def total(tiles: list[Tile]) -> int:
    return sum(t.cycles for t in tiles)


@pytest.mark.parametrize("name", ["dscnn", "resnet8", "concat_net", "two_output_net"])
def test_fewer_cycles_and_bytes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lowered = lowered_of(getattr(networks, name)())
    plan, plain = make_plan(lowered, GAP8), without(lowered, GAP8, monkeypatch)
    assert any(layer.output.kept for layer in plan.layers) and not any(layer.output.kept for layer in plain.layers)
    with_it, without_it = estimate(plan, P), estimate(plain, P)
    assert with_it.cycles < without_it.cycles
    assert sum(x.dma_bytes for x in with_it.layers) < sum(x.dma_bytes for x in without_it.layers)
    assert check_plan(plan, lowered.graph) == ()


def test_what_others_want_is_kept_and_stored() -> None:
    """Residuals: the first convolution and the addition read the same tensor."""
    plan = make_plan(lowered_of(networks.resnet8()), GAP8)
    kept = [layer for layer in plan.layers if layer.output.kept]
    readers = {
        layer.name: sum(x.tensor == layer.output.tensor for z in plan.layers for x in z.inputs) for layer in kept
    }
    outputs = {p.tensor for p in plan.outputs}
    assert {layer.stored for layer in kept} == {False, True}
    assert all(layer.stored == (readers[layer.name] > 1 or layer.output.tensor in outputs) for layer in kept)


def priced(lowered: planner.Lowered, budget: int, links: tuple[bool, ...]) -> int | None:
    """Cycles when exactly these links are kept, every channel cut tried; None when it does not fit."""
    every = spaces(lowered, GAP8.with_budgets(budget, None))
    c, sum_ = shipped(), 0
    for i, space in enumerate(every):
        x_kept, y_kept = i > 0 and links[i - 1], i < len(links) and links[i]
        if not (x_kept or y_kept):
            sum_ += cheapest([space], P)[0].cycles
            continue
        h, w, out_c = space.geometry.out
        found = []
        for way in (space, space.with_copies) if space.may_copy else (space,):
            for n in [out_c] if y_kept else space.axes[2]:
                if way.bytes((h, w, n)) > budget:
                    continue
                layer = way.at((h, w, n), False)
                layer = replace(
                    layer,
                    inputs=(replace(layer.inputs[0], kept=x_kept),),
                    output=replace(layer.output, kept=y_kept),
                    stored=not y_kept,
                )
                tiles = LayerTiles(layer, P, 8, lambda x, work: round(c.kernel(x, work, P.icache_bytes)))
                found.append(c.layer(layer) + run_block(tiles.steps(Block(0, h)), c.costs(layer, P), P).cycles)
        if not found:
            return None
        sum_ += min(found)
    return sum_


@given(
    st.integers(3, 14),
    st.lists(st.tuples(st.sampled_from((4, 8, 12, 24)), st.sampled_from((1, 3))), min_size=1, max_size=2),
    st.integers(3000, 20000),
)
@settings(max_examples=15)
def test_equals_brute_force(size: int, layers: list[tuple[int, int]], budget: int) -> None:
    channels, kernels = [c for c, _ in layers], [k for _, k in layers]
    lowered = chain(size, channels, kernels)
    try:
        every = spaces(lowered, GAP8.with_budgets(budget, None))
        tiles = cheapest(every, P)
    except PlanError:
        return
    if any(t.depth for t in tiles):
        return
    found = keep(lowered.graph, every, tiles, Choice((None,) * len(tiles), frozenset()), P)
    nodes = lowered.graph.nodes
    linked = [a.output in b.inputs for a, b in pairwise(nodes)]
    choices = product(*((False, True) if two else (False,) for two in linked))
    prices = [price for links in choices if (price := priced(lowered, budget, links)) is not None]
    assert total(found) == min(prices)
    assert all(t.l1[-1].end <= budget for t in found)


def test_little_memory_keeps_nothing_that_does_not_fit() -> None:
    lowered = lowered_of(networks.dscnn())
    for budget in (6000, 12000, 18000, 24000, 40000):
        plan = make_plan(lowered, GAP8.with_budgets(budget, None))
        assert check_plan(plan, lowered.graph) == () and plan.l1_bytes <= budget


def test_packed_tensors_are_not_kept() -> None:
    lowered = chain(8, [16, 16], [3, 3])
    every = spaces(lowered, GAP8)
    narrow = [replace(s, bits=(4,) * len(s.bits)) for s in every]
    tiles = cheapest(narrow, P)
    found = keep(lowered.graph, narrow, tiles, Choice((None,) * len(tiles), frozenset()), P)
    assert not any(t.kept for t in found)
