"""Tiles of layers with operands of 4 and 2 bits: bytes in L1 and over the DMA, the pruner's against the plain ones."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from dory import targets
from dory.plan import packed_bytes
from dory.sim.iss import IssParams
from dory.sim.model.coefficients import shipped
from dory.sim.model.network import estimate
from dory.testing.plan_checks import check_plan
from dory.testing.subbyte import COMBINATIONS, OPS, combinations, single
from dory.tiler.bounds import Timer
from dory.tiler.planner import lower, make_plan, spaces
from dory.tiler.search import search
from dory.tiler.space import Bound

GAP8 = targets.load("gap8")


@pytest.mark.parametrize("op", ["pointwise", "depthwise", "add", "linear"])
def test_the_pruner_knows_the_bytes_of_unpacked_copies(op: str) -> None:
    some = [COMBINATIONS[i] for i in (1, 9, 13, 26)]
    seen = set()
    for space in spaces(lower(combinations(op, 5, (6, 5, 13), some)), GAP8.with_budgets(4000, None)):
        rows, fitting = space.survivors(space.axes, Bound(), inf)
        legal = [(h, w, c) for h in space.axes[0] for w in space.axes[1] for c in space.axes[2]]
        assert {r[:3] for r in rows} == {t for t in legal if space.bytes(t) <= space.budget}
        assert fitting == len(rows) and all(r[3] == space.bytes(r[:3]) for r in rows)
        if space.probe.subbyte:
            assert space.deep is None
            seen |= {b.operand for b in space.buffers(rows[0][:3])}
    assert {"ux0", "uy"} <= seen and ("uw" in seen) == (op != "add")


@pytest.mark.parametrize("bits", COMBINATIONS[::4])
def test_bytes_moved_follow_the_bits(bits: tuple[int, int, int]) -> None:
    """One tile: every operand passes once."""
    shape, channels = (8, 7, 20), 12
    plan = make_plan(lower(single("pointwise", shape, channels, bits, 1)), GAP8)
    layer = next(i for i, x in enumerate(plan.layers) if x.op == "conv")
    assert plan.layers[layer].tiles == (1, 1, 1)
    weights = plan.layers[layer].weights
    assert weights is not None and weights.bits == bits[1]
    x, y = (8 * 7 * packed_bytes(c, b) for c, b in ((20, bits[0]), (12, bits[2])))
    constants = weights.bytes - int(np.ceil(20 * 12 * bits[1] / 8))
    assert 0 <= constants <= 12 * 16 + 16
    found = estimate(plan, IssParams.of(GAP8)).layers[layer]
    kept = x * plan.layers[layer].inputs[0].kept + y * (not plan.layers[layer].stored)
    assert found.dma_bytes == x + y + weights.bytes - kept


def test_channel_tiles_begin_on_bytes() -> None:
    for space in spaces(lower(combinations("maxpool", 5, (4, 4, 30))), GAP8):
        if space.probe.subbyte:
            assert all(c % 4 == 0 for c in space.axes[2][:-1])


@pytest.mark.parametrize("op", OPS)
def test_plans_pass_the_independent_checks(op: str) -> None:
    lowered = lower(combinations(op, 3, (7, 6, 12)))
    assert not check_plan(make_plan(lowered, GAP8.with_budgets(8000, None)), lowered.graph)


@pytest.mark.parametrize("op", OPS)
def test_bounds_count_the_least_of_unpacking(op: str) -> None:
    """No tiling takes fewer cycles than its bound, and the search finds what trying everything finds."""
    p = IssParams.of(GAP8)
    some = [COMBINATIONS[i] for i in (1, 13, 26)]
    for space in spaces(lower(combinations(op, 5, (6, 5, 13), some)), GAP8.with_budgets(6000, None)):
        if space.geometry.direct or not space.probe.subbyte:
            continue
        timer = Timer(space, shipped(), p)
        fits = [(h, w, c) for h in space.axes[0] for w in space.axes[1] for c in space.axes[2]]
        fits = [t for t in fits if space.bytes(t) <= space.budget]
        bounds = timer.bounds(fits) if fits else []
        cycles = [timer.cycles(tile, outer) for _, tile, outer in bounds]
        assert all(bound <= real for (bound, _, _), real in zip(bounds, cycles, strict=True))
        if not fits:
            continue
        assert timer.entry + timer.bound.ideal <= min(cycles)
        found = search(space, shipped(), p)
        assert found is not None and found.gap == 0 and found.best.cycles <= min(cycles)


def test_pooling_of_two_bits_is_proved() -> None:
    """Most of its cycles are unpacking and packing."""
    narrow = combinations("maxpool", 1, (32, 32, 64), [COMBINATIONS[-1]])
    some = [s for s in spaces(lower(narrow), GAP8) if s.node.op == "maxpool"]
    assert some and all(s.probe.inputs[0].bits == 2 for s in some)
    for space in some:
        found = search(space, shipped(), IssParams.of(GAP8))
        assert found is not None and found.gap == 0 and found.timed < 200
        assert Timer(space, shipped(), IssParams.of(GAP8)).repack > 0.3 * found.best.cycles
