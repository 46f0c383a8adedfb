"""The layout of L2 and L3: which weights stay and which are streamed how far ahead, what spills, all addresses.

The choice is made by `schedule_model`, addresses follow from `packing`. When everything fits, no solver runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dory.errors import PlanError
from dory.graph.types import Graph, Shape
from dory.plan import guarded
from dory.tiler.memory import (
    LARGER_STRIPES,
    SLACK,
    STRIPE_BYTES,
    Choice,
    LayerMemory,
    blocks_of,
    lifetime,
    stripe_block,
)
from dory.tiler.packing import Block, lower_bound, pack
from dory.tiler.schedule_model import decide
from dory.tiler.timeline import Timeline


@dataclass(frozen=True)
class Layout:
    """The decision; layers, their stripes as large as fits; L2 blocks and offsets; L3 offsets of spilled tensors."""

    layers: tuple[LayerMemory, ...]
    choice: Choice
    blocks: tuple[Block, ...]
    offsets: Mapping[str, int]
    l3_offsets: Mapping[str, int]
    l3_bytes: int


def lay_out(graph: Graph, layers: Sequence[LayerMemory], l2: int, l3: int) -> Layout:
    """Decide weights, spills and addresses within `l2` and `l3` bytes; PlanError when nothing fits."""
    choice = Choice((None,) * len(layers), frozenset())
    blocks = blocks_of(graph, layers, choice)
    offsets = pack(blocks, l2)
    if offsets is not None:
        return _finish(graph, layers, choice, blocks, offsets, l3)
    slack = 0
    while slack < l2 // 4:  # a decision that fits by sums may not pack: ask for a little more room
        found = decide(graph, layers, l2 - slack)
        if found is None:
            raise _too_big(graph, layers, l2 - slack)
        blocks = blocks_of(graph, layers, found)
        offsets = pack(blocks, l2)
        if offsets is not None:
            larger, offsets = _with_larger_stripes(graph, layers, found, l2, offsets)
            found, offsets = _with_earlier_reads(graph, larger, found, l2, offsets)
            return _finish(graph, larger, found, blocks_of(graph, larger, found), offsets, l3)
        slack += l2 // 64
    raise PlanError(f"no L2 addresses found within {l2} bytes", hint="a larger --l2")


def _with_larger_stripes(
    graph: Graph, layers: Sequence[LayerMemory], choice: Choice, l2: int, offsets: dict[str, int]
) -> tuple[Sequence[LayerMemory], dict[str, int]]:
    """Layers and offsets with stripes as large as room is left for: fewer rows are read twice."""
    layers = list(layers)
    for i, layer in enumerate(layers):
        if not any(t in choice.spilled for _, t in layer.operands):
            continue
        for times in LARGER_STRIPES:
            larger = replace(layer, stripe_target=times * STRIPE_BYTES)
            tried = [*layers[:i], larger, *layers[i + 1 :]]
            if larger.stripe_rows == layer.stripe_rows or lower_bound(blocks_of(graph, tried, choice)) > l2:
                continue
            packed = pack(blocks_of(graph, tried, choice), l2, search=False)
            if packed is not None:
                layers, offsets = tried, packed
                break
    return layers, offsets


def _with_earlier_reads(
    graph: Graph, layers: Sequence[LayerMemory], choice: Choice, l2: int, offsets: dict[str, int]
) -> tuple[Choice, dict[str, int]]:
    """Choice and offsets with reads as far ahead as room is left for, where that packs."""
    line = Timeline(graph, layers, l2)
    for slack in range(0, l2 // 4, l2 // 16):
        earlier = line.earlier(choice, l2 - slack)
        packed = pack(blocks_of(graph, layers, earlier), l2, search=False)
        if packed is not None:
            return earlier, packed
    return choice, offsets


def _finish(
    graph: Graph,
    layers: Sequence[LayerMemory],
    choice: Choice,
    blocks: Sequence[Block],
    offsets: Mapping[str, int],
    l3: int,
) -> Layout:
    weights = sum(layer.weight_bytes for layer in layers)
    regions = [
        Block(t, (graph.tensors[t].nbytes + SLACK + 7) // 8 * 8, *lifetime(graph, t)) for t in sorted(choice.spilled)
    ]
    base = (weights + 7) // 8 * 8
    placed = pack(regions, max(l3 - base, 0))
    activations = sum(r.bytes for r in regions)
    if placed is None:
        raise PlanError(
            f"L3 has {l3} bytes; weights take {weights}, activations above L2 {activations}",
            hint="a smaller network or resolution",
        )
    top = max((placed[r.name] + r.bytes for r in regions), default=0)
    if base + top > l3:
        raise PlanError(
            f"L3 has {l3} bytes; weights take {weights}, activations above L2 {top}",
            hint="a smaller network or resolution",
        )
    l3_offsets = {t: base + at for t, at in placed.items()}
    return Layout(tuple(layers), choice, tuple(blocks), offsets, l3_offsets, base + top)


def _too_big(graph: Graph, layers: Sequence[LayerMemory], l2: int) -> PlanError:
    """Names the layer whose smallest possible L2 need is largest."""

    def least(i: int, layer: LayerMemory) -> int:
        total = 0
        for label, t in layer.operands:
            whole = guarded(graph.tensors[t].nbytes)
            fixed = layer.geometry.direct or t in graph.inputs or t in graph.outputs
            total += whole if fixed else min(whole, stripe_block(i, layer, label).bytes)
        return total + min(o.slots * guarded(o.part_bytes) if o else guarded(layer.weight_bytes) for o in layer.options)

    worst = max(range(len(layers)), key=lambda i: least(i, layers[i]))
    needs = least(worst, layers[worst])
    shapes: list[Shape] = [graph.tensors[t].shape for t in (*layers[worst].inputs, layers[worst].output)]
    return PlanError(
        f"L2 is too small: this layer alone needs at least {needs / 1000:.1f} kB (operands {shapes}),"
        f" {l2 / 1000:.1f} kB are free beside other live tensors",
        where=f"layer {layers[worst].name}",
        hint="a smaller input resolution, or a larger --l2",
    )
