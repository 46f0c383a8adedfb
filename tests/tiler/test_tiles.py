"""Tiles cover their tensor and fit; bounds are bounds; the search finds what trying everything finds."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import ceil, inf

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dory.errors import PlanError
from dory.graph.types import Window
from dory.plan import GUARD, guarded
from dory.tiler import space as spaces
from dory.tiler.bounds import Tiling, Timer
from dory.tiler.choice import decide
from dory.tiler.search import Found, in_steps, search
from dory.tiler.space import SINGLE, Bound, LayerSpace
from dory.tiler.tiles import infeasible, search_all
from tests.tiler.layer_spaces import (
    COEFFICIENTS,
    PARAMS,
    SIZE,
    AnySpace,
    geometries,
    layer_of,
    layers,
    plain_cycles,
    planes,
)


def twin_bound(space: LayerSpace, bound: Bound, tile) -> float:
    """The bound in plain Python, as it is documented."""
    th, tw, tc = (ceil(o / t) for o, t in zip(space.geometry.out, tile, strict=True))
    spatial, packed = th * tw, space.packed
    first = every = once = 0
    for access in space.geometry.inputs:
        sizes = []
        for axis in (0, 1):
            window, pads = access.window, access.window.pads
            seen = (tile[axis] - 1) * window.stride[axis] + window.span(axis) - pads[axis] - pads[axis + 2]
            sizes.append(max(min(seen, access.shape[axis]), 0))
        first += sizes[0] * sizes[1] * (access.shape[2] if access.channels == "all" else min(tile[2], access.shape[2]))
        read = access.shape[2]
        for axis in (0, 1):
            ranges = [
                access.window.in_range(axis, o, o + 1, access.shape[axis])[:2] for o in range(space.geometry.out[axis])
            ]
            if access.window.span(axis) < access.window.stride[axis]:
                read *= sum(end - start for start, end in ranges)
            else:
                read *= max(ranges)[1] - min(ranges)[0]
        if access.channels == "all":
            every += read
        else:
            once += read
    wb = packed.bytes_for(tile[2]) if packed else 0
    grouped = packed is not None and packed.group > 0
    weights = packed.bytes_for(space.geometry.out[2]) if packed else 0
    by_inputs = every + weights * (spatial if tc > 1 and grouped else 1)
    by_weights = every * (tc if spatial > 1 else 1) + weights
    more = max(m.get(step, 0.0) for m, step in zip(bound.more, tile, strict=True))
    compute = bound.ideal + more + bound.per_tile * spatial * tc + (first + wb) * bound.per_byte
    return max(compute, (once + min(by_inputs, by_weights)) * bound.per_byte)


@given(
    geometries(),
    st.integers(100, 3000),
    st.integers(0, 200),
    st.none() | planes,
    st.builds(
        Bound,
        st.floats(0, 1e3),
        st.tuples(*[st.dictionaries(SIZE, st.floats(0, 200))] * 3),
        st.floats(0, 300),
        st.floats(0, 1),
    ),
    st.floats(0, 1e4) | st.just(inf),
)
def test_pruner_equals_its_python_twin(layer, budget, scratch, plane, bound, limit):
    space = AnySpace(*layer, scratch, plane, budget)
    rows, fitting = space.survivors(space.axes, bound, limit)
    fits = [t for t in product(*space.axes) if space.bytes(t) <= budget]
    assert fitting == len(fits)
    near = {t for t in fits if abs(twin_bound(space, bound, t) - limit) < 1e-6}
    wanted = {(*t, space.bytes(t)) for t in fits if twin_bound(space, bound, t) <= limit and t not in near}
    assert {r for r in rows if r[:3] not in near} == wanted


@given(geometries(), st.data())
def test_tiles_cover_every_output_once_and_read_inside_their_buffer(layer, data):
    geometry, _ = layer
    tile = tuple(data.draw(st.integers(1, o)) for o in geometry.out)
    starts = [range(0, o, t) for o, t in zip(geometry.out, tile, strict=True)]
    for axis, (out, step) in enumerate(zip(geometry.out, tile, strict=True)):
        covered = [i for s in starts[axis] for i in range(s, min(s + step, out))]
        assert covered == list(range(out))
    for access in geometry.inputs:
        largest = spaces.input_tile(access, tile)
        for axis in (0, 1):
            window, size = access.window, access.shape[axis]
            for s in starts[axis]:
                e = min(s + tile[axis], geometry.out[axis])
                i0, i1, before, after = window.in_range(axis, s, e, size)
                assert 0 <= i0 <= i1 <= size and i1 - i0 <= largest[axis]
                wanted = (e - s - 1) * window.stride[axis] + window.span(axis)
                assert before + (i1 - i0) + after == wanted


@given(geometries(), st.data())
def test_buffers_are_disjoint_and_guarded(layer, data):
    geometry, packed = layer
    tile = tuple(data.draw(st.integers(1, o)) for o in geometry.out)
    end = 0
    for b in spaces.l1_buffers(geometry, packed, 64, tile):
        assert b.offset == end and b.offset % 8 == 0 and b.stride >= b.bytes + GUARD
        end = b.end
    assert guarded(0) == GUARD


@given(layers(), st.data())
@settings(max_examples=60)
def test_bounds_are_bounds_and_tables_are_exact(space, data):
    rows, _ = space.survivors(space.axes, Bound(), inf)
    assume(rows)
    some = [rows[i][:3] for i in data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=8))]
    timer = Timer(space, COEFFICIENTS, PARAMS)
    closed = timer.bound
    for bound, tile, outer in timer.bounds(sorted(set(some))):
        cycles = plain_cycles(space, tile, outer)
        tiles = int(np.prod([ceil(o / t) for o, t in zip(space.geometry.out, tile, strict=True)]))
        assert abs(timer.cycles(tile, outer) - cycles) <= tiles  # halves may be rounded either way
        assert bound <= cycles
        kept, _ = space.survivors(tuple([t] for t in tile), closed, cycles - timer.entry + 1)
        assert kept, "the first bound drops a tile that is as good"


@given(layers(most=6))
@settings(max_examples=40)
def test_the_search_finds_what_trying_everything_finds(space):
    found = search(space, COEFFICIENTS, PARAMS)
    ways = {s.padded: s for s in ((space, space.with_copies) if space.may_copy else (space,))}
    fits = {k: [t for t in product(*s.axes) if s.bytes(t) <= s.budget] for k, s in ways.items()}
    every = [plain_cycles(ways[k], t, outer) for k, tiles in fits.items() for t in tiles for outer in (False, True)]
    every += single_buffered(list(ways.values()))
    steps = [t.cycles for t in in_steps(Timer(space, COEFFICIENTS, PARAMS), bool(fits[False]))]
    if not every and not steps:
        assert found is None
        return
    assert found is not None and found.gap == 0
    assert found.best.cycles == pytest.approx(min(every + steps), abs=8)
    if not found.best.single:
        assert found.fitting == len(fits[found.best.padded])


def test_copies_with_one_buffer_where_nothing_else_fits():
    """Without the copy of its padding the kernel's tables take more room than there is."""
    space = layer_of("conv", Window((2, 4), pads=(0, 0, 0, 1)), (2, 3, 16), 5, 1500)
    found = search(space, COEFFICIENTS, PARAMS)
    assert found is not None and found.best.padded and found.best.single


def single_buffered(ways: list[LayerSpace]) -> list[int]:
    """Cycles of tiles that fit with fewer buffers alone."""
    out = []
    for space, single in product(ways, SINGLE[1:]):
        fewer = replace(space, single=single)
        for tile in product(*space.axes):
            if fewer.bytes(tile) <= space.budget < space.bytes(tile):
                out += [plain_cycles(space, tile, outer, single) for outer in (False, True)]
    return out


@given(layers(), st.integers(1, 30000))
@settings(max_examples=40)
def test_more_l1_never_takes_longer(space, more):
    less, greater = (search(s, COEFFICIENTS, PARAMS) for s in (space, replace(space, budget=space.budget + more)))
    assume(less)
    assert greater and greater.best.cycles <= less.best.cycles


@given(st.lists(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 40)), min_size=1, max_size=20), max_size=5))
@settings(max_examples=30)
def test_the_solver_takes_the_cheapest_that_fit(rows):
    founds, wanted = [], []
    for layer in rows:
        tilings = sorted(
            {Tiling((1, 1, i + 1), False, size, cycles) for i, (cycles, size) in enumerate(layer)}, key=order
        )
        fits = [t for t in tilings[:16] if t.bytes <= 30]
        assume(fits)
        founds.append(Found(tuple(tilings), 0, 0, 0, 0, 0))
        wanted.append(min(fits, key=lambda t: t.cycles).cycles)
    assert [t.cycles for t in decide(founds, 30)] == wanted
    assert all(t.bytes <= 30 for t in decide(founds, 30))


def order(t: Tiling) -> tuple[int, int, tuple[int, int, int]]:
    return (t.cycles, t.bytes, t.shape)


def test_equal_layers_are_searched_once(monkeypatch):
    calls = []
    monkeypatch.setattr("dory.tiler.tiles.search", lambda s, *rest: calls.append(s) or search(s, *rest))
    space = layer_of("conv", Window((3, 3)), (9, 9, 8), 8, 20000)
    twice = search_all([space, layer_of("conv", Window((3, 3)), (9, 9, 8), 8, 20000)], PARAMS)
    assert len(calls) == 1 and twice[0] is twice[1]


def test_large_sums_come_in_steps():
    """4 x 9 x 512 bytes of weights are more than 16 kB allow with two buffers."""
    space = layer_of("conv", Window((3, 3), pads=(1, 1, 1, 1)), (14, 14, 512), 64, 16384)
    found = search(space, COEFFICIENTS, PARAMS)
    assert found and 0 < found.best.depth < 512 and found.fitting == 0
    assert space.deep_buffers(found.best.shape, found.best.depth)[-1].end <= 16384


def test_what_does_not_fit_is_named():
    """The largest terms of the smallest tile, each by its name."""
    space = layer_of("conv", Window((3, 3)), (14, 14, 800), 8, 1500)
    assert search(space, COEFFICIENTS, PARAMS) is None
    with pytest.raises(PlanError) as error:
        search_all([space], PARAMS)
    text = str(error.value)
    assert "layer n (conv)" in text and "weights" in text and "input 0" in text and " scratch " in text
    assert str(infeasible(space)) == text
