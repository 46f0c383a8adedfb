"""Addresses for buffers with lifetimes: greedy first, the constraint solver where greedy does not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from dory import _tiler

ALIGN = 8  # bytes; block sizes are multiples of it
SOLVER_SECONDS = 10.0


@dataclass(frozen=True)
class Block:
    """`bytes` (a multiple of 8) alive during the steps first..last, both included."""

    name: str
    bytes: int
    first: int
    last: int


def lower_bound(blocks: Sequence[Block]) -> int:
    """Most bytes that live at one step: no packing is smaller."""
    change: dict[int, int] = {}
    for b in blocks:
        change[b.first] = change.get(b.first, 0) + b.bytes
        change[b.last + 1] = change.get(b.last + 1, 0) - b.bytes
    return max(accumulate(change[s] for s in sorted(change)), default=0)


Order = Callable[[Block], tuple[int, int]]
ORDERS: Sequence[Order] = (
    lambda b: (-b.bytes, b.first),
    lambda b: (-b.bytes * (b.last - b.first + 1), b.first),
    lambda b: (b.first - b.last, -b.bytes),
    lambda b: (b.first, -b.bytes),
    lambda b: (-b.last, -b.bytes),
)
"""In which blocks are placed greedily: the largest first; by bytes times steps; the longest first; from either end."""


def greedy(blocks: Sequence[Block], order: Order = ORDERS[0]) -> dict[str, int]:
    """Lowest free offset for each block, in an order; deterministic."""
    some = sorted(blocks, key=lambda b: (*order(b), b.name))
    offsets = _tiler.place([b.first for b in some], [b.last for b in some], [b.bytes for b in some])
    return {b.name: at for b, at in zip(some, offsets, strict=True)}


def height(blocks: Sequence[Block], offsets: dict[str, int]) -> int:
    """First byte after the highest block."""
    return max((offsets[b.name] + b.bytes for b in blocks), default=0)


def pack(blocks: Sequence[Block], capacity: int, search: bool = True) -> dict[str, int] | None:
    """Offsets within `capacity` bytes, or None when none exist (or none were found in SOLVER_SECONDS).

    The solver gets one NoOverlap per step in which a set of blocks lives, in units of 8 bytes.
    """
    if lower_bound(blocks) > capacity:
        return None
    for order in ORDERS:
        offsets = greedy(blocks, order)
        if height(blocks, offsets) <= capacity:
            return offsets
    if not search:
        return None
    import cpmpy as cp  # half a second: only when greedy is not enough

    top = capacity // ALIGN
    start = {b.name: cp.intvar(0, top - b.bytes // ALIGN, name=f"l2_{b.name}") for b in blocks}
    model = cp.Model()
    seen: set[frozenset[str]] = set()
    for step in sorted({b.first for b in blocks}):
        live = [b for b in blocks if b.first <= step <= b.last]
        key = frozenset(b.name for b in live)
        if len(live) < 2 or key in seen:
            continue
        seen.add(key)
        sizes = [b.bytes // ALIGN for b in live]
        starts = [start[b.name] for b in live]
        model += cp.NoOverlap(starts, sizes, [s + d for s, d in zip(starts, sizes, strict=True)])
    # The solver's own handler of Ctrl-C would stay behind, and end later runs without a word.
    options = {"num_workers": 1, "random_seed": 1, "catch_sigint_signal": False}
    if not model.solve(solver="ortools", time_limit=SOLVER_SECONDS, **options):
        return None
    return {b.name: int(start[b.name].value()) * ALIGN for b in blocks}
