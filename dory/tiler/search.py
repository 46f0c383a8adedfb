"""The tile that the cycle model predicts to be cheapest, with a proof.

Every legal tile has a bound in closed form (`dory._tiler`); the ones below a known tiling's cycles survive. For those
the kernel cycles of all tiles and the loop's own cycles are summed exactly (`tables`): a tight bound, since only waits
for transfers are missing. In that order the tile loop is run, event by event, until no bound is below the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import ceil, inf, prod

import numpy as np

from dory.graph.types import Shape
from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import Coefficients, kernel_key
from dory.sim.model.events import LoopCosts, run_block
from dory.sim.model.tiles import Block, LayerTiles
from dory.tiler.space import Bound, LayerSpace, input_tile, parts
from dory.tiler.tables import CostTables, IntArray, PricedTiles, Sums

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
SINGLE = ("x", "w", "y", "xw", "xy", "wy", "xwy")
"""Operands that may have a single buffer."""
TRIALS = 400
"""Tilings that are timed before the search stops without a proof."""
SINGLE_TRIALS = 100
"""The same, where operands have a single buffer."""


@dataclass(frozen=True)
class Tiling:
    """A tile (h, w, c), the loop order, its bytes of L1, and predicted cycles of the layer, operands in L2.

    depth: input channels of a step (0: all at once). padded: the kernel copies tiles with their padding. single: of
    "x", "w" and "y", operands that have one buffer (LayerSpace.single).
    """

    shape: Shape
    inputs_outer: bool
    bytes: int
    cycles: int
    depth: int = 0
    padded: bool = False
    single: str = ""

    def space(self, space: LayerSpace) -> LayerSpace:
        """The layer as this tiling takes it, of the plain one."""
        return replace(space, padded=self.padded, single=self.single)


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


class Timer:
    """Predicted cycles of a layer's tilings."""

    def __init__(self, space: LayerSpace, coefficients: Coefficients, p: IssParams) -> None:
        self.space, self.p, self.coefficients = space, p, coefficients
        self.tables = CostTables(space.probe, coefficients, p, space.cores)
        self.costs: LoopCosts = coefficients.costs(space.probe, p)
        self.entry = coefficients.layer(space.probe)
        self.repack = self._least_repack()
        c, issue = self.costs, self.costs.command + p.dma_issue
        self.between = c.head + c.tail + c.x + c.w + (len(space.probe.inputs) + 2) * issue

    def _least_repack(self) -> float:
        """Cycles that unpacking and packing take in any tiling."""
        probe = self.space.probe
        return EVEN * self.coefficients.least_repack(probe, self.space.cores) if probe.subbyte else 0.0

    def cycles(self, tile: Shape, inputs_outer: bool, single: str = "") -> int:
        """Of a tiling whose kernel cycles `tables` has."""
        layer = self.space.at(tile, inputs_outer)
        steps = PricedTiles(layer, self.tables).steps(Block(0, layer.output.shape[0]))
        return self.entry + run_block(steps, self.costs, self.p, single=single).cycles

    def tiling(self, tile: Shape, inputs_outer: bool) -> Tiling:
        """The same, timed."""
        cycles = self.cycles(tile, inputs_outer)
        return Tiling(tile, inputs_outer, self.space.bytes(tile), cycles, 0, self.space.padded)

    @cached_property
    def bound(self) -> Bound:
        """The first bound: work as if every tile split evenly over the cores, and what a tile takes beside its work.

        Cuts along each axis add to it what halos cost, and blocks that are not full.
        """
        space = self.space
        kernel = self.coefficients.kernels[kernel_key(space.probe)]
        once = (1.0, *[0.0] * (len(kernel.coefficients) - 1))
        least = float(kernel.cycles(once, space.cores, self.p.icache_bytes))
        whole = space.geometry.out
        (h, w, c), (hs, ws, cs) = whole, space.axes
        cycles, tiles = self.tables.even().kernels(
            [whole, *((n, w, c) for n in hs), *((h, n, c) for n in ws), *((h, w, n) for n in cs)]
        )
        work = (cycles - tiles * least) * EVEN
        ideal, at, more = float(work[0]), 1, []
        for steps in space.axes:
            extra = np.maximum(work[at : at + len(steps)] - ideal, 0.0).tolist()
            more.append(dict(zip(steps, extra, strict=True)))
            at += len(steps)
        loop = self.costs.head + self.costs.body + self.costs.tail
        ideal += self.repack
        return Bound(max(ideal, 0.0), tuple(more), loop + least, 1 / self.p.dma_bytes_per_cycle)

    def bounds(self, tilings: Sequence[Shape]) -> list[tuple[int, Shape, bool]]:
        """(cycles that the tiling takes at least, tile, inputs_outer), sorted; both orders where they differ."""
        sums = self.tables.sums(tilings)
        by_weights, by_inputs = self.order_bounds(sums, False), self.order_bounds(sums, True)
        both = (sums.spatial > 1) & (sums.tiles > sums.spatial) & (not self.space.in_parts)
        out = list(zip(by_weights.tolist(), tilings, (False,) * len(tilings), strict=True))
        out += [(b, t, True) for b, t, two in zip(by_inputs.tolist(), tilings, both.tolist(), strict=True) if two]
        return sorted(out)

    @cached_property
    def _may_read_padding_alone(self) -> bool:
        """Whether some output sees nothing of an input: its tile may have nothing to load."""
        h, w, _ = self.space.geometry.out
        ends = [(x, axis, o) for x in self.space.probe.inputs for axis, size in ((0, h), (1, w)) for o in (0, size - 1)]
        ranges = [x.window.in_range(axis, o, o + 1, x.shape[axis]) for x, axis, o in ends]
        return any(r[0] == r[1] for r in ranges)

    def order_bounds(self, s: Sums, outer: bool, single: str = "") -> IntArray:
        """All of core 0 but waits between the first load and the last store; one direction's transfers, if longer.

        Kernels wait for the transfers of operands with one buffer, but for what core 0 does in the meantime.
        """
        c, p, probe = self.costs, self.p, self.space.probe
        n, spatial = s.tiles, s.spatial
        parts = n // spatial  # tiles along the channels
        slices = any(x.channels == "slice" for x in probe.inputs)
        passes = np.where((spatial > 1) & (not outer), parts, 1)  # of inputs that are read whole
        x_loads = n if slices else spatial * passes
        w = probe.weights
        w_cycles, w_loads = np.zeros_like(n), np.zeros_like(n)
        if w:
            again = np.where(parts > 1, spatial if outer else 1, 1) if w.group else np.ones_like(n)
            w_cycles = again * (w.bytes // p.dma_bytes_per_cycle)
            w_loads = (again * parts if w.group else again) - 1  # the first one costs nothing here
        issue = c.command + p.dma_issue
        commands = 0 if self._may_read_padding_alone else issue * len(probe.inputs)
        core0 = n * (c.head + c.body + c.tail + issue) + x_loads * (c.x + commands)
        core0 = core0 + w_loads * (c.w + issue) + s.kernel + round(self.repack)
        begun = c.x + c.head + (len(probe.inputs) + 1) * issue
        lone = np.maximum(s.first - begun, 0) + np.maximum(s.last - c.tail, 0)
        loaded = s.x_all * np.where(slices, parts, passes) + s.x_slices + w_cycles
        if single:
            x_cycles = loaded - w_cycles
            late = x_cycles * ("x" in single) + w_cycles * ("w" in single) - s.first
            late = late - (x_loads * ("x" in single) + w_loads * ("w" in single)) * self.between
            core0 = core0 + np.maximum(np.maximum(late, (s.y - s.last - n * self.between) * ("y" in single)), 0)
        if commands:  # a load begins when the one before has landed
            loaded = loaded + x_loads * (c.x + issue + min(p.dma_setup, p.dma_2d_setup))
        return np.asarray(self.entry + np.maximum(core0 + lone, np.maximum(loaded, s.y)), np.int64)


EVEN = 0.95  # blocks of pixels may be fuller in a tile than in the whole layer, by less than this


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
    done = _time(timer, [r[:3] for r in rows], TRIALS, known)
    tilings = sorted({*known, *done.tilings, *steps}, key=_order)
    if not tilings:
        return None
    least = min(done.bound, tilings[0].cycles)
    legal = prod(map(len, space.axes))
    return Found(tuple(tilings[:KEPT]), legal, fitting, len(rows), len(tilings), least)


def _balanced(timer: Timer) -> tuple[Tiling, ...]:
    """The best of the tiles that cut the axes into equal parts, and others: those with the lowest bounds are first."""
    space, found = timer.space, _Timed((), NEVER)
    for slack in SLACKS:
        rows, _ = space.survivors(space.balanced, timer.bound, slack * timer.bound.ideal)
        if len(rows) >= LIKELY or slack == inf:
            found = _time(timer, [r[:3] for r in rows], TRIALS)
            break
    limit = min((t.cycles for t in found.tilings), default=0) - timer.entry
    others, _ = space.survivors(space.balanced, timer.bound, limit)
    more = _time(timer, [r[:3] for r in others], TRIALS, found.tilings)
    return (*{*found.tilings, *more.tilings},)


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
    """The same, where tilings that fit with fewer buffers alone, and take less, come first.

    Of these only tiles that cut axes into equal parts are tried.
    """
    space, best = timer.space, found.best.cycles if found else NEVER
    limit = best - timer.entry - 1
    rows, fitting = space.survivors(space.balanced, timer.bound, limit, timer.between)
    tiles = [r[:3] for r in rows]
    if not tiles:
        return found
    sums, trials, order = timer.tables.sums(tiles), 0, []
    for single, outer in product(SINGLE, (False,) if space.in_parts else (False, True)):
        bounds = timer.order_bounds(sums, outer, single)
        order += [(int(bounds[i]), tiles[i], outer, single) for i in np.flatnonzero(bounds < best)]
    spaces = {single: replace(space, single=single) for single in SINGLE}
    more, least = list[Tiling](), best
    for bound, tile, outer, single in sorted(order):
        if bound >= best or trials == SINGLE_TRIALS:
            least = min(bound, best)
            break
        size = spaces[single].bytes(tile)
        if size <= space.budget:
            cycles = timer.cycles(tile, outer, single)
            trials += 1
            if cycles < best:
                more.append(Tiling(tile, outer, size, cycles, 0, space.padded, single))
                best = cycles
    if found is None:
        found = Found((), prod(map(len, space.axes)), fitting, len(rows), 0, NEVER)
    tilings = tuple(sorted({*found.tilings, *more}, key=_order)[:KEPT])
    return replace(found, tilings=tilings, timed=found.timed + trials, bound=min(found.bound, least, best))


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
