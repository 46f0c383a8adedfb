"""Buffers that live together never overlap; the solver steps in where greedy fails."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from dory.tiler.packing import ORDERS, Block, greedy, height, lower_bound, pack

BLOCKS = st.lists(
    st.tuples(st.integers(1, 12), st.integers(0, 6), st.integers(0, 4)).map(lambda t: (t[0] * 8, t[1], t[1] + t[2])),
    min_size=1,
    max_size=9,
).map(lambda rows: [Block(f"b{i}", *r) for i, r in enumerate(rows)])


def overlaps(blocks, offsets):
    return [
        (a.name, b.name)
        for a, b in combinations(blocks, 2)
        if a.first <= b.last
        and b.first <= a.last
        and offsets[a.name] < offsets[b.name] + b.bytes
        and offsets[b.name] < offsets[a.name] + a.bytes
    ]


@given(BLOCKS)
def test_greedy_never_overlaps_and_is_above_the_bound(blocks):
    offsets = greedy(blocks)
    assert not overlaps(blocks, offsets)
    assert height(blocks, offsets) >= lower_bound(blocks)


@given(BLOCKS, st.sampled_from(ORDERS))
def test_greedy_equals_its_python_twin(blocks, order):
    """Each block as low as those before it let it."""
    placed = {}
    for block in sorted(blocks, key=lambda b: (*order(b), b.name)):
        beside = [b for b in blocks if b.name in placed and b.first <= block.last and block.first <= b.last]
        tops = sorted({0, *(placed[b.name] + b.bytes for b in beside)})
        free = (t for t in tops if not overlaps([block, *beside], {**placed, block.name: t}))
        placed[block.name] = next(free)
    assert greedy(blocks, order) == placed


@given(BLOCKS, st.integers(1, 60))
def test_pack_fits_the_capacity_or_says_no(blocks, capacity):
    offsets = pack(blocks, capacity * 8)
    if offsets is None:
        assert height(blocks, greedy(blocks)) > capacity * 8
    else:
        assert not overlaps(blocks, offsets) and height(blocks, offsets) <= capacity * 8


def test_solver_finds_what_greedy_misses():
    # Largest first puts the 5 at the bottom, which wastes the space under it; the optimum is the bound.
    blocks = [
        Block("a", 32, 0, 1),
        Block("b", 40, 1, 2),
        Block("c", 24, 2, 3),
        Block("d", 48, 3, 4),
        Block("e", 24, 0, 0),
    ]
    blocks += [Block("f", 16, 4, 4), Block("g", 8, 0, 4)]
    bound = lower_bound(blocks)
    offsets = pack(blocks, bound)
    assert offsets is not None and height(blocks, offsets) == bound and not overlaps(blocks, offsets)
