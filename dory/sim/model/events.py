"""The double-buffered loop over the tiles of one block, event by event, as the generated code runs it.

Core 0 waits for a tile's operands, starts the loads of the next one, waits for the store of the tile before the last,
runs the kernel on the team, and starts the store. Operands with a single buffer are loaded behind the kernel instead; a
single output buffer wants the last store done before the kernel. The DMA has an engine per direction; a command
occupies it and lands some latency later. All engines are idle before and after a block, so that its cycles depend on
nothing outside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dory.sim.iss.params import IssParams
from dory.sim.model import _events
from dory.sim.model.laws import Copies
from dory.sim.model.tiles import Step


@dataclass(frozen=True)
class LoopCosts:
    """Cycles of core 0 outside kernels and waits, by where in the loop they fall."""

    head: int  # before the loads: the next tile, waits that find the data there
    body: int  # arguments, team start and end
    tail: int  # around the store
    x: int  # each load of inputs
    w: int  # each load of weights
    command: int  # each further DMA command of one load or store; the issue itself comes on top
    busy: float = 0.0  # accesses to L2 after the loads, which wait while the DMA is busy (if it makes them)


@dataclass(frozen=True)
class ColdStart:
    """Lines of code that a layer's first tile has to fetch, of the loop and of the kernel, and what they cost."""

    loop: float = 0.0
    kernel: float = 0.0
    loop_cycles: int = 0
    kernel_cycles: int = 0


WARM = ColdStart()


@dataclass(frozen=True)
class Span:
    """Something that takes time, for timelines: kind is "compute", "dma in", "dma out", "wait", ..."""

    kind: str
    begin: float
    end: float
    label: str
    bytes: int = 0


@dataclass(frozen=True)
class BlockRun:
    """Cycles of a block: total, of kernels as if evenly split, what the busiest core takes longer, waits for the DMA.

    The rest of the total is overhead, and what `enter` took. dma_bytes counts both directions.
    """

    cycles: int
    compute: int
    imbalance: int
    dma: int
    dma_bytes: int
    tiles: int


class _Engines:
    """Both DMA engines and core 0's clock. Field names: t now, free when each engine is free, dma exposed waits."""

    __slots__ = ("cap", "dma", "floor", "free_in", "free_out", "issue", "queue", "spans", "t", "wake")

    def __init__(self, p: IssParams, spans: list[Span] | None) -> None:
        self.t = self.free_in = self.free_out = self.dma = 0
        self.issue, self.wake, self.queue = p.dma_issue, p.dma_wake, p.dma_queue
        self.floor = p.dma_floor - p.dma_wake - p.dma_issue
        self.cap = p.l2_wait_dma_cap
        self.spans = spans

    def start(self, copies: Sequence[Copies], outward: bool, command: int) -> int:
        """Issue the commands; the time at which the last one has landed (0: none)."""
        landed = 0
        for c in copies:
            each, n, cycles = command + self.issue, c.commands, c.cycles
            free = self.free_out if outward else self.free_in
            ready = self.t + each
            self.t += n * each
            if cycles <= each:
                begin = max(self.t, free + (n - 1) * cycles)
            else:
                first = max(free, ready)
                begin = first + (n - 1) * cycles
                if n > self.queue:  # the queue is full: the core waits with the last commands
                    held = first + (n - self.queue) * cycles + c.setup + self.issue
                    if held > self.t:
                        self.dma += held - self.t
                        self.t = held
            free = begin + cycles
            landed = max(landed, free + c.setup, self.t + self.floor)
            if outward:
                self.free_out = free
            else:
                self.free_in = free
            if self.spans is not None:
                kind = "DMA out" if outward else "DMA in"
                self.spans.append(Span(kind, max(free - n * cycles, ready), free + c.setup, f"{c.bytes} B", c.bytes))
        return landed

    def stall(self, accesses: float) -> None:
        """Accesses to L2, code that is not in the cache included, each behind what the engines have to move."""
        if self.cap:
            wait = min(max(self.free_in, self.free_out) - self.t, int(accesses * self.cap))
            if wait > 0:
                self.dma += wait
                self.t += wait

    def wait(self, landed: int, what: str) -> None:
        """Block until `landed` unless that is past."""
        if landed > self.t:
            until = landed + self.wake
            if self.spans is not None:
                self.spans.append(Span("wait", self.t, until, f"wait for {what}"))
            self.dma += until - self.t
            self.t = until


Enter = Callable[[int, int], int]
"""(cycle, part) -> the cycle at which the loop goes on with that part of the streamed weights in L2."""


def run_block(
    steps: Sequence[Step],
    costs: LoopCosts,
    p: IssParams,
    spans: list[Span] | None = None,
    cold: ColdStart = WARM,
    enter: Enter | None = None,
    single: str = "",
) -> BlockRun:
    """Cycles of the loop over `steps`; `spans` receives every event. Compiled when no events are wanted.

    single: of "x", "w" and "y", the operands with one buffer.
    """
    if spans is not None:
        return plain_block(steps, costs, p, spans, cold, enter, single)
    floor = p.dma_floor - p.dma_wake - p.dma_issue
    chip = (p.dma_issue, p.dma_wake, p.dma_queue, floor, p.l2_wait_dma_cap)
    loop = (costs.head, costs.body, costs.tail, costs.x, costs.w, costs.command, costs.busy)
    start = (cold.loop, cold.kernel, cold.loop_cycles, cold.kernel_cycles)
    late = ("x" in single, "w" in single, "y" in single)
    return BlockRun(*_events.run(list(steps), chip, loop, start, enter, late), len(steps))


def plain_block(
    steps: Sequence[Step],
    costs: LoopCosts,
    p: IssParams,
    spans: list[Span] | None = None,
    cold: ColdStart = WARM,
    enter: Enter | None = None,
    single: str = "",
) -> BlockRun:
    """The twin of the compiled loop (_events.pyx), which it is tested against."""
    e = _Engines(p, spans)
    compute = imbalance = moved = 0
    first = steps[0][0]
    if enter and steps[0][3] >= 0:
        e.t = enter(e.t, steps[0][3])
    x_landed = e.start(first.x, False, costs.command)
    e.t += costs.x
    w_landed = e.start(first.w, False, costs.command) if first.w else 0
    e.stall(cold.loop)
    e.t += cold.loop_cycles
    stores = [0, 0]
    for i, (tile, new_x, new_w, _) in enumerate(steps):
        e.t += costs.head
        e.wait(x_landed, "inputs")
        e.wait(w_landed, "weights")
        following, next_x, next_w, part = steps[i + 1] if i + 1 < len(steps) else (tile, False, False, -1)
        if enter and part >= 0:
            e.t = enter(e.t, part)
        next_w = next_w and bool(tile.w)
        if next_x and "x" not in single:
            e.t += costs.x
            x_landed = e.start(following.x, False, costs.command)
        if next_w and "w" not in single:
            e.t += costs.w
            w_landed = e.start(following.w, False, costs.command)
        e.stall(costs.busy if i else cold.kernel)
        e.wait(stores[i & 1], "the store")
        if "y" in single:
            e.wait(stores[i & 1 ^ 1], "the store")
        e.t += costs.body if i else costs.body + cold.kernel_cycles
        if spans is not None:
            spans.append(Span("compute", e.t, e.t + tile.cycles, tile.label))
        e.t += tile.cycles
        compute += tile.even
        imbalance += tile.cycles - tile.even
        if next_x and "x" in single:
            e.t += costs.x
            x_landed = e.start(following.x, False, costs.command)
        if next_w and "w" in single:
            e.t += costs.w
            w_landed = e.start(following.w, False, costs.command)
        stores[i & 1] = e.start(tile.y, True, costs.command)
        e.t += costs.tail
        moved += _bytes(tile.y) + (_bytes(tile.x) if new_x else 0) + (_bytes(tile.w) if new_w else 0)
    e.wait(stores[0], "the store")
    e.wait(stores[1], "the store")
    return BlockRun(e.t, compute, imbalance, e.dma, moved, len(steps))


def _bytes(copies: Sequence[Copies]) -> int:
    return sum(c.bytes for c in copies)
