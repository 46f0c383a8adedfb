"""The order in which weights come from L3 while a network runs: one queue of reads for all layers.

Code generation and cycle models read it from the plan. A layer computes in `points`: one for each part of its streamed
weights in each stripe, one for a layer without parts. When a point begins, reads are started up to a fixed position in
the queue, then the ones that the point needs are awaited.
"""

from __future__ import annotations

from dataclasses import dataclass

from dory.plan import LayerPlan, Plan

AHEAD = 16
"""Most reads under way at a time (DORY_READS_AHEAD in csrc/runtime/dory_stream.h)."""


@dataclass(frozen=True)
class Read:
    """One transfer from L3 to L2: offsets in the two arenas and size, in bytes."""

    layer: int
    l3: int
    l2: int
    bytes: int


@dataclass(frozen=True)
class Point:
    """Lengths of the queue: started when the point begins, and finished before it computes."""

    started: int
    needed: int


@dataclass(frozen=True)
class Schedule:
    """All reads in order, all points in order, and each layer's first point."""

    reads: tuple[Read, ...]
    points: tuple[Point, ...]
    first: tuple[int, ...]


def part_starts(layer: LayerPlan) -> range:
    """First output channel of each part of the layer's weights."""
    channels = layer.output.shape[2]
    return range(0, channels, layer.weights.part_channels if layer.weights else channels)


def points_of(layer: LayerPlan) -> int:
    """Number of points of a layer."""
    parts = len(part_starts(layer))
    return parts * layer.stripes if parts > 1 else 1


def schedule(plan: Plan) -> Schedule:
    """The queue of a plan. Deterministic; every read comes no later than the point that needs it."""
    first = [0]
    for layer in plan.layers:
        first.append(first[-1] + points_of(layer))
    reads: list[Read] = []
    earliest: list[int] = []  # the point from which a read's slot is free
    needed = [0] * first[-1]
    for i, layer in enumerate(plan.layers):
        some = _reads(plan, layer)
        slots = plan.buffer(_weights_buffer(layer)).copies if some else 0
        for k, read in enumerate(some):
            at = first[max(i - _lead(layer), 0)] if k < slots else first[i] + k - slots + 1
            earliest.append(max(at, earliest[-1] if earliest else 0))
            reads.append(read)
            needed[first[i] + k] = len(reads)
    points = []
    done = at = 0
    for p, need in enumerate(needed):
        while at < len(reads) and earliest[at] <= p and at < done + AHEAD:
            at += 1
        done = max(done, need)
        points.append(Point(at, done))
    return Schedule(tuple(reads), tuple(points), tuple(first[:-1]))


def _weights_buffer(layer: LayerPlan) -> str:
    assert layer.weights is not None
    return layer.weights.l2_buffer


def _lead(layer: LayerPlan) -> int:
    return layer.weights.lead if layer.weights else 0


def _reads(plan: Plan, layer: LayerPlan) -> list[Read]:
    """Reads of one layer, one per point; parts that all have a slot are read once."""
    w = layer.weights
    if w is None or w.mode != "streamed":
        return []
    buffer = plan.buffer(w.l2_buffer)
    parts = part_starts(layer)
    channels = layer.output.shape[2]
    once = len(parts) <= buffer.copies
    out: list[Read] = []
    for _ in range(1 if once else layer.stripes):
        at = w.l3_offset
        for c0 in parts:
            slot = len(out) % buffer.copies
            size = w.bytes_for(min(c0 + w.part_channels, channels) - c0)
            out.append(Read(layer.index, at, buffer.offset + slot * buffer.stride, size))
            at += size
    return out
