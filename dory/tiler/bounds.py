"""What a layer's tilings take, by the cycle model, and three bounds of it: from all legal tiles to the few to time.

The first two leave out what depends on how sizes happen to fall (blocks that come out even, banks), less a margin;
tests hold them against every legal tile of many layers. The third is exact but for waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dory.graph.types import Shape
from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import Coefficients, kernel_key
from dory.sim.model.events import LoopCosts, run_block
from dory.sim.model.tiles import Block
from dory.tiler.space import Bound, LayerSpace, Row
from dory.tiler.tables import CostTables, IntArray, PricedTiles, Sums

EVEN = 0.98
"""Blocks of pixels may be fuller where several axes are cut, by less than this."""


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
        self.sliced = any(x.channels == "slice" for x in space.probe.inputs)
        self.loop = c.head + c.body + c.tail + issue + c.x * self.sliced  # of any tile

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
        """The first bound: the least work of tiles that cut one axis, and what a tile takes beside its work.

        Work is as if every tile split evenly over the cores and none had an unlucky size. More cuts along an axis add
        to it what halos cost, and blocks that are not full.
        """
        space, c = self.space, self.costs
        kernel = self.coefficients.kernels[kernel_key(space.probe)]
        once = (1.0, *[0.0] * (len(kernel.coefficients) - 1))
        least = float(kernel.cycles(once, space.cores, self.p.icache_bytes))
        whole = space.geometry.out
        (h, w, c_out), (hs, ws, cs) = whole, space.axes
        cuts = [*((n, w, c_out) for n in hs), *((h, n, c_out) for n in ws), *((h, w, n) for n in cs)]
        cycles, tiles = self.tables.least().kernels(cuts)
        work = (cycles - tiles * least) * EVEN
        ideal, at, more = float(work.min()), 0, []
        for steps in space.axes:
            more.append(dict(zip(steps, (work[at : at + len(steps)] - ideal).tolist(), strict=True)))
            at += len(steps)
        # The first loads begin a little before core 0 would wait for them.
        ideal += self.repack - (c.x + c.head + (len(space.probe.inputs) + 1) * (c.command + self.p.dma_issue))
        return Bound(max(ideal, 0.0), tuple(more), self.loop + least, 1 / self.p.dma_bytes_per_cycle)

    def likely(self, rows: Sequence[Row], limit: float) -> list[Row]:
        """Rows of tiles that may take `limit` cycles, but for the entry: a bound between the first and `bounds`.

        Costs of one class of tiles stand for all. Only for kernels that work on slices of channels: how they share
        those and rows among cores is hard to bound; for others this says little.
        """
        if not rows or not self.sliced:
            return list(rows)
        tilings = [r[:3] for r in rows]
        tiles = np.prod(-(-np.array(self.space.geometry.out) // np.array(tilings)), axis=1)
        waits = np.array([r[5] if len(r) > 5 else 0 for r in rows])
        least = self.tables.at_least(tilings) + self.loop * tiles + waits
        return [rows[i] for i in np.flatnonzero(least <= limit).tolist()]

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
