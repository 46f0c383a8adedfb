"""The tile that the cycle model predicts to be cheapest, with a proof.

Every legal tile has a bound in closed form (`dory._tiler`); the ones below a known tiling's cycles survive. For those
the kernel cycles of all tiles and the loop's own cycles are summed exactly (`bounds`): a tight bound, since only waits
for transfers are missing. In that order the tile loop is run, event by event, until no bound is below the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, inf, prod

import numpy as np

from dory.graph.types import Shape
from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import Coefficients
from dory.sim.model.events import LoopCosts, run_block
from dory.sim.model.tiles import Block, LayerTiles
from dory.tiler.bounds import Tiling, Timer
from dory.tiler.space import SINGLE, Axes, LayerSpace, Row, input_tile, parts

LEAST = 4
"""Tilings that are timed even if none of them can be the best: runners-up are wanted."""
KEPT = 32
"""Tilings that are kept, of those that were timed."""
DEEP_BYTES = 8192
"""Bytes of the weights of four outputs from which on steps over the input channels are tried."""
CRAMPED = 4
"""Or where the smallest plain tile takes more than this part of L1."""
DEEP_TRIALS = 40
NEVER = 1 << 62
"""Cycles of what is not known yet."""
SLACKS, LIKELY = (1.03, 1.1, 1.3, 2.0, inf), 24
"""The first incumbent is the best of at least so many tiles, if there are, within as little of the least bound."""
TRIALS = 400
"""Tilings that are timed before the search stops without a proof."""


@dataclass(frozen=True)
class Found:
    """What the search knows: tilings by cycles, the cheapest first; how many tiles are legal, fit L1, survive the first
    bound, and were timed; no tiling takes fewer than `bound` cycles."""

    tilings: tuple[Tiling, ...]
    legal: int
    fitting: int
    survivors: int
    timed: int
    bound: int

    @property
    def best(self) -> Tiling:
        """The cheapest one."""
        return self.tilings[0]

    @property
    def gap(self) -> float:
        """How far the best one may be above the optimum, as a share of it; 0 is proved."""
        return max(self.best.cycles - self.bound, 0) / self.bound if self.bound else 0.0


def search(space: LayerSpace, coefficients: Coefficients, p: IssParams) -> Found | None:
    """The cheapest tilings of a layer, with copies of tiles where those pay; None when no tile fits."""
    other = Timer(space.with_copies, coefficients, p) if space.may_copy else None
    copied = _search(other) if other else None
    timer = Timer(space, coefficients, p)
    if other and copied and timer.entry + timer.bound.ideal > copied.best.cycles:
        return with_single_buffers(other, copied)
    found = _search(timer, copied.best.cycles if copied else inf)
    if found is None or (copied and copied.best.cycles < found.best.cycles):
        found = copied
    found = with_single_buffers(timer, found)
    return with_single_buffers(other, found) if other else found


def _search(timer: Timer, most: float = inf) -> Found | None:
    """The same of one kernel; tilings of more than `most` cycles may be missing."""
    space = timer.space
    known = _balanced(timer)
    steps = in_steps(timer, bool(known))
    limit = min([most, *(t.cycles for t in (*known, *steps))]) - timer.entry
    rows, fitting = space.survivors(space.axes, timer.bound, limit)
    done = _time(timer, [r[:3] for r in timer.likely(rows, limit)], TRIALS, known)
    tilings = sorted({*known, *done.tilings, *steps}, key=_order)
    if not tilings:
        return None
    least = min(done.bound, tilings[0].cycles)
    legal = prod(map(len, space.axes))
    return Found(tuple(tilings[:KEPT]), legal, fitting, len(rows), len(tilings), least)


def _balanced(timer: Timer) -> tuple[Tiling, ...]:
    """Tiles that cut the axes into equal parts: those with the lowest bounds."""
    space = timer.space
    for slack in SLACKS:
        rows, _ = space.survivors(space.balanced, timer.bound, slack * timer.bound.ideal)
        if len(rows) >= LIKELY:
            break
    return _time(timer, [r[:3] for r in rows], TRIALS).tilings


def _order(t: Tiling) -> tuple[int, int, Shape, int, bool, str]:
    return (t.cycles, t.bytes, t.shape, t.depth, t.inputs_outer, t.single)


@dataclass(frozen=True)
class _Timed:
    tilings: tuple[Tiling, ...]
    bound: int


def _time(timer: Timer, tiles: Sequence[Shape], trials: int, known: Sequence[Tiling] = ()) -> _Timed:
    """Time tilings by their bounds until none can be cheaper than the best one; known: ones that were timed before."""
    if not tiles:
        return _Timed((), NEVER)
    order = timer.bounds(tiles)
    best, found, before = NEVER, list[Tiling](), {(t.shape, t.inputs_outer): t for t in known}
    for bound, tile, outer in order:
        if (bound > best and len(found) >= LEAST) or len(found) >= trials:
            return _Timed(tuple(found), min(bound, best))
        tiling = before.get((tile, outer)) or timer.tiling(tile, outer)
        found.append(tiling)
        best = min(best, tiling.cycles)
    return _Timed(tuple(found), best)


def with_single_buffers(timer: Timer, found: Found | None) -> Found | None:
    """The same, where tilings that fit with fewer buffers alone, and take less, come first."""
    if found is None:  # an incumbent first
        found = _single_buffers(timer, None, timer.space.balanced)
    return found and _single_buffers(timer, found, timer.space.axes)


def _single_buffers(timer: Timer, found: Found | None, axes: Axes) -> Found | None:
    """The same, of tiles along some `axes`."""
    space, best = timer.space, found.best.cycles if found else NEVER
    limit = best - timer.entry - 1
    rows, fitting = space.survivors(axes, timer.bound, limit, timer.between)
    more, least, trials = list[Tiling](), best, 0
    for bound, row, outer in _single_order(timer, timer.likely(rows, limit), best):
        if bound >= best or trials == TRIALS:
            least = min(bound, best)
            break
        trials += 1
        tile, size, single = row[:3], row[3], SINGLE[row[4]]
        cycles = timer.cycles(tile, outer, single)
        if cycles < best:
            best = cycles
            more.append(Tiling(tile, outer, size, cycles, 0, space.padded, single))
    if found is None and not more:
        return None
    if found is None:
        found = Found((), prod(map(len, space.axes)), fitting, len(rows), 0, NEVER)
    tilings = tuple(sorted({*found.tilings, *more}, key=_order)[:KEPT])
    return replace(found, tilings=tilings, timed=found.timed + trials, bound=min(found.bound, least, best))


def _single_order(timer: Timer, rows: Sequence[Row], best: int) -> list[tuple[int, Row, bool]]:
    """(cycles that the tiling takes at least, row, inputs_outer) below `best`, sorted."""
    if not rows:
        return []
    tiles = list(dict.fromkeys(r[:3] for r in rows))
    numbers = {t: i for i, t in enumerate(tiles)}
    sums, order = timer.tables.sums(tiles), list[tuple[int, Row, bool]]()
    for k in range(1, len(SINGLE)):
        some = [r for r in rows if r[4] == k]
        of = sums.of(np.array([numbers[r[:3]] for r in some], np.int64))
        for outer in (False,) if timer.space.in_parts else (False, True):
            bounds = timer.order_bounds(of, outer, SINGLE[k])
            order += [(int(bounds[i]), some[i], outer) for i in np.flatnonzero(bounds < best)]
    return sorted(order)


def in_steps(timer: Timer, found: bool) -> list[Tiling]:
    """The cheapest tilings that take the input channels in steps.

    Tried where nothing else is `found`, or little else can be, and for layers with so many weights, or so slow a
    kernel, that they may pay.
    Balanced tiles only, timed in the order of a bound; there is no proof for them.
    """
    space, deep = timer.space, timer.space.deep
    if deep is None:
        return []
    cramped = space.bytes(space.smallest) > space.budget // CRAMPED
    slow = space.probe.form == "exact"  # plain C code, but for the sums of steps
    if found and not cramped and not slow and 4 * deep.taps * deep.channels < DEEP_BYTES:
        return []
    rows, costs = [], timer.coefficients.costs(space.deep_at(space.smallest, 4), timer.p)
    for depth in parts(deep.channels, 4):
        if depth < deep.channels:
            for tile in product(*space.balanced):
                end = space.deep_buffers(tile, depth)[-1].end
                if end <= space.budget:
                    rows.append((_steps_bound(timer, costs, tile, depth), tile, depth, end))
    rows.sort()
    timed: list[Tiling] = []
    for bound, tile, depth, end in rows[:DEEP_TRIALS]:
        if timed and bound > min(t.cycles for t in timed):
            break
        layer = space.deep_at(tile, depth)
        kernel = lambda x, work: round(timer.coefficients.kernel(x, work, timer.p.icache_bytes))  # noqa: E731
        steps = LayerTiles(layer, timer.p, space.cores, kernel).steps(Block(0, layer.output.shape[0]))
        cycles = timer.entry + run_block(steps, costs, timer.p).cycles
        timed.append(Tiling(tile, False, end, cycles, depth))
    return timed


def _steps_bound(timer: Timer, costs: LoopCosts, tile: Shape, depth: int) -> float:
    """About the cycles of a tiling in steps: its loop and its transfers."""
    space, deep = timer.space, timer.space.deep
    assert deep
    th, tw, tc = (ceil(o / t) for o, t in zip(space.geometry.out, tile, strict=True))
    steps = th * tw * tc * ceil(deep.channels / depth)
    h, w, _ = input_tile(space.geometry.inputs[0], tile)
    moved = th * tw * tc * (h * w * deep.channels + 4 * deep.taps * deep.channels * ceil(tile[2] / 4))
    groups = ceil(tile[2] / 4)
    units = ceil(ceil(tile[0] * tile[1] / 4) * groups / space.cores)  # of the busiest core, 4 pixels x 4 channels each
    work = th * tw * tc * units * 16 * deep.taps * deep.channels / 2.4
    loop = costs.head + costs.body + costs.tail + groups * (costs.command + timer.p.dma_issue)
    return steps * loop + max(work, moved / 8)
