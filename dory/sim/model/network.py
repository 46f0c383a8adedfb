"""Cycles of a whole plan: layer after layer, with the transfers between L3 and L2 around and under them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil

from dory.plan import LayerPlan, Operand, Plan
from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import Coefficients, shipped
from dory.sim.model.events import WARM, BlockRun, ColdStart, LoopCosts, Span, run_block
from dory.sim.model.laws import Ram
from dory.sim.model.tiles import Block, LayerTiles
from dory.streaming import Schedule, part_starts, schedule

CAUSES = ("compute", "imbalance", "dma", "l3", "overhead")
"""Where a cycle goes: kernels as if evenly split; what the busiest core takes longer; waiting for copies between L2 and
L1; waiting for copies between L3 and L2; everything else."""


@dataclass(frozen=True)
class LayerEstimate:
    """Cluster cycles of one layer. by_cause adds up to cycles; bytes are what its transfers move."""

    layer: LayerPlan
    begin: int
    cycles: int
    by_cause: Mapping[str, int]
    tiles: int
    dma_bytes: int
    l3_read: int
    l3_written: int
    spans: tuple[Span, ...] = ()

    @property
    def mac_per_cycle(self) -> float:
        """Multiply-accumulates per cluster cycle."""
        return self.layer.macs / self.cycles if self.cycles else 0.0


@dataclass(frozen=True)
class Estimate:
    """A plan's predicted inference: from the first layer's start to the last one's end, input and output in L2."""

    plan: Plan
    params: IssParams
    cycles: int
    layers: tuple[LayerEstimate, ...]
    calibrated: bool  # the coefficients were measured with exactly this core timing

    @property
    def by_cause(self) -> dict[str, int]:
        """Cycles of the network by cause; what lies between layers is overhead."""
        sums = {c: sum(x.by_cause[c] for x in self.layers) for c in CAUSES}
        sums["overhead"] += self.cycles - sum(x.cycles for x in self.layers)
        return sums

    @property
    def milliseconds(self) -> float:
        """Of the inference."""
        return self.cycles / self.params.cluster_khz


@dataclass
class _Clock:
    """Core 0 while it goes through the layers."""

    p: IssParams
    ram: Ram
    t: int = 0
    l3: int = 0
    spans: list[Span] | None = None
    call: int = 0  # cycles of core 0 around a call that starts a HyperRAM transfer
    sums: dict[str, int] = field(default_factory=dict)

    def start(self, size: int, write: bool = False) -> float:
        begin, end = self.ram.start(self.t, size, write)
        self.t += self.p.ram_issue + self.call
        if self.spans is not None:
            self.spans.append(Span("RAM write" if write else "RAM read", begin, end, f"{size} B", size))
        return end

    def wait(self, end: float) -> None:
        if end > self.t:
            until = ceil(end) + self.p.ram_wake
            if self.spans is not None:
                self.spans.append(Span("wait", self.t, until, "wait for L3"))
            self.l3 += until - self.t
            self.t = until

    def add(self, run: BlockRun) -> None:
        self.t += run.cycles
        for key, value in (
            ("compute", run.compute),
            ("imbalance", run.imbalance),
            ("dma", run.dma),
            ("dma_bytes", run.dma_bytes),
            ("tiles", run.tiles),
        ):
            self.sums[key] = self.sums.get(key, 0) + value


def estimate(
    plan: Plan,
    params: IssParams,
    *,
    cores: int | None = None,
    timeline: bool = False,
    coefficients: Coefficients | None = None,
) -> Estimate:
    """Predict a plan on a chip. `timeline` records every event of every layer (slower).

    coefficients: others than the shipped ones.
    """
    coefficients = coefficients or shipped()
    starts = coefficients.starts(plan.layers, params)
    clock = _Clock(params, Ram(params), spans=[] if timeline else None, call=round(coefficients.loop.ram))
    stream = _Stream(clock, schedule(plan))
    layers = []
    gap = round(coefficients.loop.gap)
    for i, layer in enumerate(plan.layers):
        if i:
            clock.t += gap
        begin, ram = clock.t, clock.ram
        clock.l3, clock.sums = 0, {}
        if clock.spans is not None:
            clock.spans = []
        reads, writes = ram.read_bytes, ram.written_bytes
        stream.at(stream.schedule.first[i])
        _layer(clock, stream, layer, coefficients, cores or plan.cores, starts[i])
        cycles = clock.t - begin
        causes = {c: clock.sums.get(c, 0) for c in ("compute", "imbalance", "dma")} | {"l3": clock.l3}
        causes["overhead"] = cycles - sum(causes.values())
        layers.append(
            LayerEstimate(
                layer=layer,
                begin=begin,
                cycles=cycles,
                by_cause=causes,
                tiles=clock.sums["tiles"],
                dma_bytes=clock.sums["dma_bytes"],
                l3_read=ram.read_bytes - reads,
                l3_written=ram.written_bytes - writes,
                spans=tuple(clock.spans or ()),
            )
        )
    return Estimate(plan, params, clock.t, tuple(layers), coefficients.measured_on(params))


class _Stream:
    """The queue of weights from L3 (dory_stream.c)."""

    def __init__(self, clock: _Clock, schedule: Schedule) -> None:
        self.schedule = schedule
        self._clock = clock
        self._ends: list[float] = []
        self._finished = 0

    def at(self, point: int) -> None:
        """Start the reads that are due when a point begins, wait for those that it needs."""
        due, clock = self.schedule.points[point], self._clock
        while len(self._ends) < due.started:
            self._ends.append(clock.start(self.schedule.reads[len(self._ends)].bytes))
        while self._finished < due.needed:
            clock.wait(self._ends[self._finished])
            self._finished += 1


def blocks_in_order(layer: LayerPlan) -> list[Block]:
    """The layer's stripes."""
    h = layer.output.shape[0]
    return [Block(h0, min(h0 + layer.stripe_rows, h)) for h0 in range(0, h, layer.stripe_rows)]


def _layer(clock: _Clock, stream: _Stream, layer: LayerPlan, c: Coefficients, cores: int, cold: ColdStart) -> None:
    cache = clock.p.icache_bytes
    tiles = LayerTiles(layer, clock.p, cores, lambda x, work: round(c.kernel(x, work, cache)), c.repack)
    costs = c.costs(layer, clock.p)
    clock.t += c.layer(layer)
    parts = len(part_starts(layer))
    known: dict[tuple[object, ...], BlockRun] = {}

    def run(index: int, block: Block) -> None:
        if layer.direct:
            clock.t += cold.loop_cycles + cold.kernel_cycles
            clock.add(_direct(tiles, block, costs))
            return
        start = cold if index == 0 else WARM
        key = (index == 0, *_block_key(layer, block))
        done = known.get(key)
        if done is None:
            base, point = clock.t, stream.schedule.first[layer.index] + index * parts

            def enter(t: int, part: int) -> int:
                clock.t = base + t
                stream.at(point + part)
                return clock.t - base

            spans: list[Span] | None = [] if clock.spans is not None else None
            done = run_block(tiles.steps(block), costs, clock.p, spans, start, enter, layer.single)
            clock.t = base
            if clock.spans is not None and spans is not None:
                clock.spans += [Span(s.kind, s.begin + base, s.end + base, s.label, s.bytes) for s in spans]
            elif parts == 1:
                known[key] = done
        clock.add(done)

    if any(x.l3_offset >= 0 for x in (*layer.inputs, layer.output)):
        _stripes(clock, layer, run, round(c.loop.block))
    else:
        run(0, Block(0, layer.output.shape[0]))


def _direct(tiles: LayerTiles, block: Block, costs: LoopCosts) -> BlockRun:
    """A kernel that works on L2 in place."""
    tile = tiles.steps(block)[0][0]
    return BlockRun(tile.cycles + costs.body, tile.even, tile.cycles - tile.even, 0, 0, 1)


def _block_key(layer: LayerPlan, block: Block) -> tuple[object, ...]:
    """Blocks with equal keys take the same cycles: the same tiles, cut off by the borders in the same way."""
    windows = tuple(x.window.in_range(0, block.h0, block.h1, x.shape[0]) for x in layer.inputs)
    borders = tuple((r[1] - r[0], r[2], r[3]) for r in windows)
    return (block.h1 - block.h0, borders)


def _stripes(clock: _Clock, layer: LayerPlan, run: Callable[[int, Block], None], block_cost: int) -> None:
    """Stripes of rows through L3, reads one stripe ahead (streams.c.j2)."""
    blocks = blocks_in_order(layer)
    reads = [x for x in layer.inputs if x.l3_offset >= 0]

    def read_rows(block: Block) -> list[float]:
        sizes = [_stripe_bytes(x, block.h0, block.h1) for x in reads]
        return [clock.start(size) for size in sizes if size]  # none for a stripe that sees only padding

    x_end = read_rows(blocks[0])
    y_end = [0.0, 0.0]
    for i, block in enumerate(blocks):
        for end in x_end:
            clock.wait(end)
        if i + 1 < len(blocks):
            x_end = read_rows(blocks[i + 1])
        clock.wait(y_end[i & 1])
        clock.t += block_cost
        run(i, block)
        if layer.output.l3_offset >= 0:
            size = ((block.h1 - block.h0) * layer.output.row_bytes + 3) // 4 * 4
            y_end[i & 1] = clock.start(size, write=True)
    for end in y_end:
        clock.wait(end)


def _stripe_bytes(x: Operand, h0: int, h1: int) -> int:
    """Bytes that a stripe of output rows [h0, h1) reads: whole words around its input rows, if any."""
    first, last, _, _ = x.window.in_range(0, h0, h1, x.shape[0])
    if first == last:
        return 0
    begin = first * x.row_bytes // 4 * 4
    return (last * x.row_bytes - begin + 3) // 4 * 4
