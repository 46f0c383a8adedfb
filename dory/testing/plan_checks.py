"""An independent check of a Plan: memories at every moment, tiles, transfers. It shares no code with the planner.

    faults = check_plan(plan, graph)      # () when the plan is sound
    require_sound(plan, graph)            # CheckError that names the faults

`KINDS` names what can be wrong. A few milliseconds for a small network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from dory import targets
from dory.errors import CheckError
from dory.graph.types import Graph
from dory.plan import L2Buffer, LayerPlan, Operand, Plan
from dory.sim.iss.params import IssParams
from dory.sim.model.network import estimate
from dory.streaming import schedule
from dory.testing.plan_replay import Loop, Replay, loaded, packed_bytes, parts, replay, stripes
from dory.testing.tile_checks import (
    ALIGN,
    GUARD,
    Fault,
    check_loop,
    check_operands,
    check_scratch,
    dma_bytes,
    part_entries,
)

WORD = 4  # of transfers between L3 and L2

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "L1 capacity": "a buffer is smaller than a tile, or the arena larger than the budget",
        "L1 overlap": "two L1 buffers share bytes, or the guard behind one is missing",
        "L1 turns": "an operand is loaded while it is in use",
        "alignment": "a buffer or a transfer does not start where it must",
        "coverage": "an output element is not written exactly once",
        "halo": "an input that is read is not in its tile, or not the one that is meant",
        "weights": "a tile's constants are not its channels'",
        "stripe": "a tile and the stripe in L2 disagree",
        "stream": "a part of the weights is not in L2 when it is needed",
        "L2 capacity": "the data in L2 exceed the budget, or a tensor its buffer",
        "L2 overlap": "two buffers that live together share bytes",
        "L2 lifetime": "a tensor or constants are used while their buffer does not live",
        "L3 capacity": "weights and spilled tensors exceed L3",
        "L3 overlap": "two regions of L3 that live together share bytes",
        "kept": "what a layer wants to find in L1 is not what the one before has left there",
        "bytes": "the estimate moves other bytes than the loop",
        "graph": "a layer is not the graph's node",
    }
)


def check_plan(plan: Plan, graph: Graph | None = None, *, loop: Loop = replay) -> tuple[Fault, ...]:
    """All faults of a plan; with `graph`, also that it computes that network. `loop` stands for the replay of tiles."""
    loops = {layer.index: loop(layer) for layer in plan.layers}
    return tuple(_faults(plan, graph, loops))


def require_sound(plan: Plan, graph: Graph | None = None) -> None:
    """CheckError when the plan has faults."""
    faults = check_plan(plan, graph)
    if faults:
        more = f" (and {len(faults) - 8} more)" if len(faults) > 8 else ""
        raise CheckError("\n".join(map(str, faults[:8])) + more, where=f"plan of {plan.network}")


def _faults(plan: Plan, graph: Graph | None, loops: Mapping[int, Replay]) -> Iterator[Fault]:
    if [layer.index for layer in plan.layers] != list(range(len(plan.layers))):
        yield Fault("graph", plan.network, "layers are not numbered in order")
        return
    if graph and len(graph.nodes) != len(plan.layers):
        yield Fault("graph", plan.network, f"{len(plan.layers)} layers for {len(graph.nodes)} nodes")
        return
    for layer in plan.layers:
        yield from check_loop(layer, loops[layer.index], plan.l1_budget)
        if graph:
            node = graph.nodes[layer.index]
            yield from check_operands(layer, graph, node)
            yield from check_scratch(layer, node, loops[layer.index], plan.cores)
    yield from _check_kept(plan, loops)
    yield from _check_l2(plan)
    yield from _check_tensors(plan)
    yield from _check_l3(plan)
    yield from _check_stripes(plan)
    yield from _check_stream(plan, loops)
    yield from _check_bytes(plan, loops)


def _spans(b: L2Buffer) -> tuple[int, int]:
    return b.offset, b.offset + (b.copies - 1) * b.stride + b.bytes + GUARD


def _check_l2(plan: Plan) -> Iterator[Fault]:
    room = plan.l2_budget - plan.l2_code
    names = [b.name for b in plan.l2]
    if len(set(names)) != len(names):
        yield Fault("L2 overlap", plan.network, "two buffers have one name")
    for b in plan.l2:
        start, end = _spans(b)
        if start < 0 or end > room:
            yield Fault("L2 capacity", b.name, f"lies in {start}..{end} of {room} bytes")
        if start % ALIGN or b.stride % ALIGN or b.stride < b.bytes + GUARD:
            yield Fault("alignment", b.name, f"L2 buffer at {start}, {b.bytes} bytes, copies {b.stride} apart")
    for step in range(-1, len(plan.layers) + 1):
        live = sorted((_spans(b), b.name) for b in plan.l2 if b.first <= step <= b.last)
        for ((_, end), a), ((start, _), c) in pairwise(live):
            if end > start:
                yield Fault("L2 overlap", a, f"and {c} share L2 while layer {step} runs")


def _operands(plan: Plan) -> Iterator[tuple[LayerPlan, Operand]]:
    for layer in plan.layers:
        for x in (*layer.inputs, layer.output):
            yield layer, x


def _lives(plan: Plan) -> dict[str, tuple[int, int]]:
    """Steps from the one that makes a tensor to the last one that needs it."""
    made = {p.tensor: -1 for p in plan.inputs} | {layer.output.tensor: layer.index for layer in plan.layers}
    last = dict(made)
    for layer, x in _operands(plan):
        last[x.tensor] = max(last[x.tensor], layer.index)
    last |= {p.tensor: len(plan.layers) for p in plan.outputs}
    return {t: (made[t], last[t]) for t in made}


def _check_tensors(plan: Plan) -> Iterator[Fault]:
    buffers = {b.name: b for b in plan.l2}
    lives = _lives(plan)
    home: dict[str, tuple[str, int]] = {}
    for layer, x in _operands(plan):
        size = x.shape[0] * x.row_bytes
        b = buffers.get(x.l2_buffer)
        if b is None:
            yield Fault("L2 lifetime", layer.name, f"{x.tensor} is in {x.l2_buffer}, which does not exist")
            continue
        place = ("L3", x.l3_offset) if x.l3_offset >= 0 else (b.name, 0)
        if home.setdefault(x.tensor, place) != place:
            yield Fault("L2 lifetime", layer.name, f"{x.tensor} is in {place} here and in {home[x.tensor]} before")
        first, last = lives[x.tensor] if x.l3_offset < 0 else (layer.index, layer.index)
        if b.first > first or b.last < last:
            yield Fault("L2 lifetime", layer.name, f"{x.tensor} lives {first}..{last}, its buffer {b.first}..{b.last}")
        if x.l3_offset < 0 and (b.bytes < size or b.copies != 1):
            yield Fault("L2 capacity", layer.name, f"{x.tensor} has {size} bytes, its buffer {b.copies} x {b.bytes}")
        if x.l3_offset >= 0 and layer.direct:
            yield Fault("stripe", layer.name, f"works on L2 directly, but {x.tensor} is in L3")
    owner: dict[str, str] = {}
    for tensor, (where, _) in home.items():
        if where != "L3" and owner.setdefault(where, tensor) != tensor:
            yield Fault("L2 overlap", where, f"is the buffer of {owner[where]} and of {tensor}")
    for port in (*plan.inputs, *plan.outputs):
        if home.get(port.tensor, (port.l2_buffer, 0)) != (port.l2_buffer, 0):
            yield Fault("L2 lifetime", port.name, f"is not in its buffer {port.l2_buffer}")


def _check_kept(plan: Plan, loops: Mapping[int, Replay]) -> Iterator[Fault]:
    """Outputs that stay in L1: whole, where the next layer expects them, and stored if anybody else wants them."""
    outputs = {p.tensor for p in plan.outputs}
    for i, layer in enumerate(plan.layers):
        y = layer.output
        following = plan.layers[i + 1] if i + 1 < len(plan.layers) else None
        heirs = [x for x in following.inputs if x.kept] if following else []
        if [x.tensor for x in heirs] != ([y.tensor] if y.kept else []):
            yield Fault("kept", layer.name, f"leaves {y.tensor if y.kept else 'nothing'} in L1, wanted is {heirs}")
            continue
        others = [z.name for z in plan.layers for x in z.inputs if x.tensor == y.tensor and not x.kept]
        if not layer.stored and (others or y.tensor in outputs or not y.kept):
            yield Fault("kept", layer.name, f"{y.tensor} is not stored, but wanted by {others or 'the user'}")
        if following and heirs:
            yield from _check_heir(layer, following, heirs[0], loops)
    if plan.layers and any(x.kept for x in plan.layers[0].inputs):
        yield Fault("kept", plan.layers[0].name, "nothing is in L1 before the first layer")


def _check_heir(layer: LayerPlan, following: LayerPlan, x: Operand, loops: Mapping[int, Replay]) -> Iterator[Fault]:
    """The next layer reads the whole output in place, and touches it only to read."""
    a, b = loops[layer.index], loops[following.index]
    k = following.inputs.index(x)
    whole = (0, x.shape[0], 0, x.shape[1], 0, x.shape[2])
    if a.tiles != 1 or layer.direct or following.direct or layer.output.l3_offset >= 0 or x.l3_offset >= 0:
        yield Fault("kept", layer.name, f"{x.tensor} stays in L1, but is made in {a.tiles} tiles or not in L2")
    if np.any(b.x[k][:, :6] != whole):
        yield Fault("kept", following.name, f"reads {x.tensor} in tiles, which lies in L1 as a whole")
    if (layer.output.bits, x.bits) != (8, 8):
        yield Fault("kept", layer.name, f"{x.tensor} is packed, and lies in L1 twice")
    here, there = ({c.operand: c for c in z.l1} for z in (layer, following))
    if here["y"].offset != there[f"x{k}"].offset or there[f"x{k}"].bytes < here["y"].bytes:
        yield Fault("kept", following.name, f"looks for {x.tensor} at {there[f'x{k}']}, it is at {here['y']}")


def _check_l3(plan: Plan) -> Iterator[Fault]:
    regions: list[tuple[int, int, int, int, str]] = []  # bytes from, to; steps first, last
    for layer in plan.layers:
        if w := layer.weights:
            regions.append((w.l3_offset, w.l3_offset + w.bytes, -1, len(plan.layers), f"constants of {layer.name}"))
            if w.bytes % WORD or w.l3_offset % WORD or w.group_bytes % WORD:
                yield Fault("alignment", layer.name, f"its constants are {w.bytes} bytes at {w.l3_offset} of L3")
            if w.bytes != packed_bytes(layer, layer.output.shape[2]):
                yield Fault("weights", layer.name, f"{w.bytes} bytes of constants for {layer.output.shape[2]} channels")
    if plan.l3_bytes > plan.l3_budget:
        yield Fault("L3 capacity", plan.network, f"{plan.l3_bytes} bytes of {plan.l3_budget}")
    lives = _lives(plan)
    for tensor, x in {x.tensor: x for _, x in _operands(plan) if x.l3_offset >= 0}.items():
        size = -(-x.shape[0] * x.row_bytes // WORD) * WORD
        regions.append((x.l3_offset, x.l3_offset + size, *lives[tensor], tensor))
        if x.l3_offset % WORD:
            yield Fault("alignment", tensor, f"is at {x.l3_offset} of L3")
    regions.sort()
    for i, (start, end, first, last, name) in enumerate(regions):
        if start < 0 or end > min(plan.l3_bytes, plan.l3_budget):
            yield Fault(
                "L3 capacity", name, f"lies in {start}..{end} of {plan.l3_bytes} bytes, {plan.l3_budget} are there"
            )
        for start_2, _, first_2, last_2, name_2 in regions[i + 1 :]:
            if start_2 >= end:
                break
            if first_2 <= last and first <= last_2:
                yield Fault("L3 overlap", name, f"and {name_2} share bytes from {start_2} on")


def _check_stripes(plan: Plan) -> Iterator[Fault]:
    """Stripes fit their buffers, take turns, and start on whole words where they are written."""
    buffers = {b.name: b for b in plan.l2}
    for layer, x in _operands(plan):
        b = buffers.get(x.l2_buffer)
        if x.l3_offset < 0 or b is None:
            continue
        blocks = stripes(layer)
        need = max(_stripe_bytes(layer, x, block) for block in blocks)
        if b.bytes < need:
            yield Fault("stripe", layer.name, f"a stripe of {x.tensor} has {need} bytes, its buffer {b.bytes}")
        if len(blocks) > 1 and b.copies < 2:
            yield Fault("stripe", layer.name, f"{len(blocks)} stripes of {x.tensor} share one buffer")
        if x is layer.output and any(h0 * x.row_bytes % WORD for h0, _ in blocks):
            yield Fault("alignment", layer.name, f"a stripe of {x.tensor} is written from inside a word on")


def _stripe_bytes(layer: LayerPlan, x: Operand, block: tuple[int, int]) -> int:
    """Bytes of a stripe between L3 and L2, whole words."""
    if x is layer.output:
        return -(-(block[1] - block[0]) * x.row_bytes // WORD) * WORD
    span = (x.window.kernel[0] - 1) * x.window.dilation[0] + 1
    low, high, _ = loaded(np.array([block]), x.window.stride[0], x.window.pads[0], span, x.shape[0])
    if low[0] == high[0]:
        return 0
    return -(-int(high[0]) * x.row_bytes // WORD) * WORD - int(low[0]) * x.row_bytes // WORD * WORD


def _check_stream(plan: Plan, loops: Mapping[int, Replay]) -> Iterator[Fault]:
    """Runs the queue of reads: what a layer finds in L2 when it enters a part is that part."""
    buffers = {b.name: b for b in plan.l2}
    queue = schedule(plan)
    held: dict[int, tuple[int, int]] = {}  # L2 address: L3 bytes from, to
    started = finished = 0
    arrived: set[int] = set()
    for layer in plan.layers:
        w = layer.weights
        if w is not None and w.l2_buffer not in buffers:
            yield Fault("L2 lifetime", layer.name, f"its constants are in {w.l2_buffer}, which does not exist")
            return
        ways = parts(layer)
        entries = part_entries(layer, loops[layer.index]) if not layer.direct else [(0, 0)]
        for n, (block, part) in enumerate(entries):
            point = queue.points[queue.first[layer.index] + (block * len(ways) + part if len(ways) > 1 else 0)]
            for read in queue.reads[started : max(point.started, started)]:
                slot = buffers[plan.layers[read.layer].weights.l2_buffer]  # type: ignore[union-attr]
                if not slot.first <= layer.index <= slot.last:
                    yield Fault("L2 lifetime", layer.name, f"{slot.name} is filled before or after it lives")
                held[read.l2] = (read.l3, read.l3 + read.bytes)
                arrived.discard(read.l2)
            started = max(started, point.started)
            arrived |= {read.l2 for read in queue.reads[finished : max(point.needed, finished)]}
            finished = max(finished, point.needed)
            if w is not None:
                yield from _check_part(plan, layer, buffers[w.l2_buffer], block, part, n, held, arrived)
    if not started == finished == len(queue.reads):
        yield Fault("stream", plan.network, f"{len(queue.reads)} reads, {started} are started and {finished} awaited")


def _check_part(
    plan: Plan,
    layer: LayerPlan,
    b: L2Buffer,
    block: int,
    part: int,
    entry: int,
    held: Mapping[int, tuple[int, int]],
    arrived: set[int],
) -> Iterator[Fault]:
    w = layer.weights
    assert w is not None
    ways = parts(layer)
    size = packed_bytes(layer, ways[part][1] - ways[part][0])
    if b.bytes < size:
        yield Fault("L2 capacity", layer.name, f"part {part} of its constants has {size} bytes, its buffer {b.bytes}")
    if w.mode == "resident":
        if b.first > -1 or b.last < len(plan.layers) or len(ways) > 1:
            yield Fault("L2 lifetime", layer.name, f"its constants stay in L2, their buffer lives {b.first}..{b.last}")
        return
    # The ring goes on where the stripe before has left it.
    slot = (block * len(ways) + part) % b.copies
    address = b.offset + slot * b.stride
    start = w.l3_offset + sum(packed_bytes(layer, c1 - c0) for c0, c1 in ways[:part])
    if held.get(address) != (start, start + size) or address not in arrived:
        there = held.get(address, "nothing")
        yield Fault(
            "stream", layer.name, f"entry {entry}, part {part}: L2 has {there} of L3, not {start}..{start + size}"
        )


def _check_bytes(plan: Plan, loops: Mapping[int, Replay]) -> Iterator[Fault]:
    """The estimate moves what the loop moves."""
    guess = estimate(plan, IssParams.of(targets.load("gap8")))
    for layer, e in zip(plan.layers, guess.layers, strict=True):
        moved = dma_bytes(layer, loops[layer.index])
        if e.dma_bytes != moved:
            yield Fault("bytes", layer.name, f"{moved} bytes between L2 and L1, {e.dma_bytes} in the estimate")
        if not layer.direct and e.tiles != loops[layer.index].tiles:
            yield Fault("bytes", layer.name, f"{loops[layer.index].tiles} tiles, {e.tiles} in the estimate")
    read = written = 0
    for layer, x in _operands(plan):
        if x.l3_offset >= 0:
            size = sum(_stripe_bytes(layer, x, block) for block in stripes(layer))
            read, written = (read, written + size) if x is layer.output else (read + size, written)
    read += sum(r.bytes for r in schedule(plan).reads)
    have = sum(e.l3_read for e in guess.layers), sum(e.l3_written for e in guess.layers)
    if have != (read, written):
        yield Fault("bytes", plan.network, f"L3 gives {read} and takes {written} bytes, in the estimate {have}")
