"""Other ways to choose tiles, to compare the search with: as much L1 as possible, published weights, at random."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np

from dory.graph.types import Shape
from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import shipped
from dory.tiler.bounds import Timer
from dory.tiler.search import in_steps
from dory.tiler.space import Bound, LayerSpace
from dory.tiler.tiles import Chooser, Tile, in_place, infeasible

RANDOM = 24
"""Tiles that are drawn at random for a layer."""
FAIR = 1.6
"""Of those, one is taken that takes at most so many times the cycles of the best of them."""
COPIED = 0.6
"""How often tiles are copied with their padding, of layers where they may be."""
DEEP_SHARE = 0.25
"""How often a layer that may take its input channels in steps does, when tiles are drawn at random."""

Score = Callable[[LayerSpace, Shape, int], float]
"""(layer, tile, bytes of L1) -> how good it is."""


def largest(space: LayerSpace, tile: Shape, size: int) -> float:
    """Bytes of L1."""
    return float(size)


def weighted(space: LayerSpace, tile: Shape, size: int) -> float:
    """DORY's objective (Burrello et al., IEEE Transactions on Computers 2021, and its public code).

    Memory, and that rows, columns and channels suit eight cores with kernels of two pixels and four channels.
    """
    h, w, n = tile
    score = 2e6 * ((h - 1) % 8) + 3e6 * ((w - 1) % 2) + 1e6 * ((n - 1) % 4) + 1e6 * (w * h >= 16)
    return score + size + 1e5 * n


def by_score(p: IssParams, score: Score) -> Chooser:
    """The tile with the highest score, in the better of both loop orders; steps where nothing else fits."""

    def choose(space: LayerSpace) -> Tile:
        if space.geometry.direct:
            return in_place(space)
        rows = _fitting(space.with_copies) if space.may_copy else []
        if rows:
            space = space.with_copies
        else:
            rows = _fitting(space)
        if not rows:
            return _steps(space, p)
        h, w, c, _ = max(rows, key=lambda r: (score(space, r[:3], r[3]), r))
        return timed(space, p, (h, w, c))

    return choose


def at_random(p: IssParams, seed: int, deep: float = DEEP_SHARE) -> Chooser:
    """Some tile that is not absurd, and some order: for calibration and comparisons. Deterministic.

    deep: the share of layers that take their input channels in steps, of those that may.
    """
    rng = np.random.default_rng(seed)

    def choose(space: LayerSpace) -> Tile:
        if space.geometry.direct:
            return in_place(space)
        rows = _fitting(space.with_copies) if space.may_copy and rng.random() < COPIED else []
        if rows:
            space = space.with_copies
        else:
            rows = _fitting(space)
        if not rows or (space.deep and rng.random() < deep):
            try:
                return _steps(space, p, rng)
            except ValueError:
                pass
        if not rows:
            raise infeasible(space)
        picks = [rows[int(i)] for i in rng.integers(0, len(rows), RANDOM)]
        bounds = Timer(space, shipped(), p).bounds(sorted({r[:3] for r in picks}))
        fair = [b for b in bounds if b[0] <= FAIR * bounds[0][0]]
        cycles, tile, outer = fair[int(rng.integers(0, len(fair)))]
        return Tile(tile, outer, space.buffers(tile), cycles, padded=space.padded)

    return choose


def timed(space: LayerSpace, p: IssParams, tile: Shape) -> Tile:
    """The tile in the better order, with the model's cycles."""
    timer = Timer(space, shipped(), p)
    cycles, outer = min((timer.cycles(t, outer), outer) for _, t, outer in timer.bounds([tile]))
    return Tile(tile, outer, space.buffers(tile), cycles, padded=space.padded)


def _fitting(space: LayerSpace) -> list[tuple[int, int, int, int]]:
    return space.survivors(space.axes, Bound(), inf)[0]


def _steps(space: LayerSpace, p: IssParams, rng: np.random.Generator | None = None) -> Tile:
    """A tiling in steps: the cheapest, or one of those that were timed."""
    found = in_steps(Timer(space, shipped(), p), False)
    if not found:
        if rng is None:
            raise infeasible(space)
        raise ValueError("no tiling in steps")
    pick = min(found, key=lambda t: t.cycles) if rng is None else found[int(rng.integers(len(found)))]
    return Tile(pick.shape, False, space.deep_buffers(pick.shape, pick.depth), pick.cycles, pick.depth)
