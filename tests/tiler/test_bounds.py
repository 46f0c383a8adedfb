"""Nothing that a bound leaves out is better: against every legal tile, of shapes whose sizes fall well or badly."""

from __future__ import annotations

from itertools import product
from math import inf

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dory import targets
from dory.graph.types import Window
from dory.testing.networks import NETWORKS
from dory.tiler.bounds import Timer
from dory.tiler.planner import spaces
from dory.tiler.search import search
from dory.tiler.space import SINGLE, Bound, LayerSpace
from tests.model.plans import lowered
from tests.tiler.layer_spaces import COEFFICIENTS, PARAMS, AnySpace, geometries, layer_of, layers, planes

GAP8 = targets.load("gap8")


def better(space: LayerSpace, least: int) -> list[tuple[int, str, tuple[int, ...]]]:
    """Tilings of fewer than `least` cycles, of all legal ones that may have them by the last bound."""
    found = []
    for ways in (space, space.with_copies) if space.may_copy else (space,):
        timer = Timer(ways, COEFFICIENTS, PARAMS)
        plain, _ = ways.survivors(ways.axes, Bound(), inf)
        alone, _ = ways.survivors(ways.axes, Bound(), inf, timer.between)
        for k, single in enumerate(SINGLE):
            tiles = [r[:3] for r in (alone if k else plain) if not k or r[4] == k]
            if tiles:
                sums = timer.tables.sums(tiles)
                for outer in (False, True):
                    some = [t for t, b in zip(tiles, timer.order_bounds(sums, outer, single), strict=True) if b < least]
                    found += [(n, single, t) for t in some if (n := timer.cycles(t, outer, single)) < least]
    return sorted(found)


SHAPES = {
    "planes of 112 columns meet in a bank": ("depthwise", 3, 1, (112, 112, 32)),
    "planes of 56 columns hold few rows": ("depthwise", 3, 1, (56, 56, 96)),
    "strided": ("depthwise", 3, 2, (56, 56, 64)),
    "channels beside whole words": ("maxpool", 2, 2, (14, 8, 45)),
    "one pixel of a pool in the padding": ("maxpool", 2, 2, (17, 15, 39)),
    "columns in fives": ("conv", 1, 2, (32, 32, 16)),
    "windows read in place": ("conv", 3, 1, (16, 16, 32)),
    "few channels": ("conv", 3, 2, (64, 64, 3)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_no_tile_is_better_than_the_one_found(name: str) -> None:
    op, kernel, stride, shape = SHAPES[name]
    pad = kernel // 2
    for pads in {(0, 0, 0, 0), (pad, pad, pad, pad), (0, 0, 1, 1)}:
        space = layer_of(op, Window((kernel, kernel), (stride, stride), pads=pads), shape, 32, GAP8.l1_budget)
        found = search(space, COEFFICIENTS, PARAMS)
        assert found and found.gap == 0
        assert not better(space, found.best.cycles)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet8", "concat_net", "all_ops_net", "dronet_like", "mobilenet_v1_0.25_96"])
def test_of_networks(name: str) -> None:
    seen = set()
    for space in spaces(lowered(NETWORKS[name].build()), GAP8):
        if not space.geometry.direct and space.key not in seen:
            seen.add(space.key)
            found = search(space, COEFFICIENTS, PARAMS)
            assert found and found.gap == 0
            steps = found.best.depth > 0  # no other tiling is timed against them here
            assert steps or not better(space, found.best.cycles), space.node.name


@given(layers(most=16), st.data())
@settings(max_examples=60)
def test_likely_keeps_what_is_as_good(space: LayerSpace, data: st.DataObject) -> None:
    """Also of tilings far from the best one."""
    rows, _ = space.survivors(space.axes, Bound(), inf)
    assume(rows)
    timer = Timer(space, COEFFICIENTS, PARAMS)
    row = rows[data.draw(st.integers(0, len(rows) - 1))]
    cycles = timer.bounds([row[:3]])[0][0] - timer.entry
    assert row in timer.likely(rows, cycles)


@given(geometries(), st.integers(100, 3000), st.integers(0, 200), st.none() | planes, st.floats(0, 300))
def test_single_buffers_that_are_needed(layer, budget, scratch, plane, between) -> None:
    """A row for each smallest set of operands without which a tile does not fit; it fits with all others twice."""
    space = AnySpace(*layer, scratch, plane, budget)
    rows, fitting = space.survivors(space.axes, Bound(), inf, between)
    wanted, fits = set(), set()
    for tile in product(*space.axes):
        sets = [k for k, single in enumerate(SINGLE) if space.bytes(tile, single) <= budget]
        if sets and 0 not in sets:
            fits.add(tile)
            smallest = [k for k in sets if not any(other != k and other & k == other for other in sets)]
            wanted |= {(*tile, space.bytes(tile, SINGLE[k]), k) for k in smallest}
    assert {r[:5] for r in rows} == wanted and len(rows) == len(wanted)
    assert fitting == len(fits) and all(r[5] >= 0 for r in rows)
