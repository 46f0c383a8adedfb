"""L2 -> L1 tiles: the space of legal tiles of one layer and its cheapest member.

The cost is a closed form in cycles: double-buffered compute against DMA, `max` of the two, plus the first load and
the last store. The compiled pruner enumerates the whole space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dory import _tiler
from dory.errors import PlanError
from dory.graph.types import Node, Shape
from dory.layers import LAYERS
from dory.layers.base import Access, Geometry, PackedWeights, TileShape
from dory.plan import GUARD, L1Buffer, guarded

TILE_SETUP_CYCLES = 250  # fork, join, argument update and loop state of one tile
OTHER_CYCLES = 2.0  # cycles per output of layers without multiply-accumulates


@dataclass(frozen=True)
class Tile:
    """Chosen tile: (h, w, c) output elements, loop order, the L1 buffers with their offsets, and the cost in cycles."""

    shape: Shape
    inputs_outer: bool
    l1: tuple[L1Buffer, ...]
    cycles: int


def tile_shape(geometry: Geometry, tile: Shape) -> TileShape:
    """The largest input tiles that an output tile of this size reads."""
    return TileShape(tile, tuple(input_tile(a, tile) for a in geometry.inputs))


def input_tile(access: Access, tile: Shape) -> Shape:
    """(h, w, c) elements of the input that one output tile reads at most."""
    h, w, c = access.shape
    win = access.window
    ih = min((tile[0] - 1) * win.stride[0] + win.span(0), h)
    iw = min((tile[1] - 1) * win.stride[1] + win.span(1), w)
    return ih, iw, c if access.channels == "all" else min(tile[2], c)


def l1_buffers(geometry: Geometry, weights: PackedWeights | None, scratch: int, tile: Shape) -> tuple[L1Buffer, ...]:
    """L1 buffers of a tile, in address order: what is loaded more than once per layer is double-buffered."""
    th, tw, tc = (-(-o // t) for o, t in zip(geometry.out, tile, strict=True))
    tiles, spatial = th * tw * tc, th * tw
    wanted: list[tuple[str, int, int]] = []
    for i, access in enumerate(geometry.inputs):
        h, w, c = input_tile(access, tile)
        loads = spatial if access.channels == "all" else tiles
        wanted.append((f"x{i}", h * w * c, 2 if loads > 1 else 1))
    if weights:
        wanted.append(("w", weights.bytes_for(tile[2]), 2 if tc > 1 and weights.group else 1))
    wanted.append(("y", tile[0] * tile[1] * tile[2], 2 if tiles > 1 else 1))
    if scratch:
        wanted.append(("scratch", scratch, 1))
    buffers, offset = [], 0
    for operand, size, copies in wanted:
        buffers.append(L1Buffer(size, copies, offset, operand))
        offset += copies * guarded(size)
    return tuple(buffers)


def access_rows(geometry: Geometry) -> list[tuple[int, ...]]:
    """The pruner's table: (H, W, C, span_h, span_w, stride_h, stride_w, all_channels) per input."""
    return [
        (*a.shape, a.window.span(0), a.window.span(1), *a.window.stride, int(a.channels == "all"))
        for a in geometry.inputs
    ]


def choose(node: Node, shapes: Sequence[Shape], packed: PackedWeights | None, budget: int, cores: int) -> Tile:
    """The cheapest tile of a layer in `budget` bytes of L1; PlanError names the terms when none fits."""
    layer = LAYERS[node.op]
    geometry = layer.geometry(node.attrs, shapes)
    if geometry.direct:
        return Tile(geometry.out, False, (), round(OTHER_CYCLES * geometry.out[0] * geometry.out[1] * geometry.out[2]))
    out = geometry.out[0] * geometry.out[1] * geometry.out[2]
    work = layer.macs(node.attrs, shapes) / out / layer.rate or OTHER_CYCLES
    planes = layer.plane_scratch(node.attrs, cores)
    scratch = 0 if planes else layer.scratch_bytes(node.attrs, tile_shape(geometry, geometry.out), cores)
    found = _tiler.cheapest(
        geometry.out,
        geometry.c_step,
        geometry.split_w,
        geometry.split_c,
        access_rows(geometry),
        packed.group if packed else 0,
        packed.group_bytes if packed else 0,
        scratch,
        planes.row if planes else None,
        GUARD,
        cores,
        budget,
        work,
        TILE_SETUP_CYCLES,
    )
    if found is None:
        smallest = smallest_tile(geometry)
        needed = planes.bytes(smallest) if planes else scratch
        raise _infeasible(node, l1_buffers(geometry, packed, needed, smallest), budget)
    h, w, c, inputs_outer, _, cycles = found
    if planes:
        scratch = planes.bytes((h, w, c))
    return Tile((h, w, c), inputs_outer, l1_buffers(geometry, packed, scratch, (h, w, c)), round(cycles))


def smallest_tile(geometry: Geometry) -> Shape:
    """The smallest legal tile."""
    _, w, c = geometry.out
    return (1, 1 if geometry.split_w else w, min(geometry.c_step, c) if geometry.split_c else c)


def _infeasible(node: Node, buffers: Sequence[L1Buffer], budget: int) -> PlanError:
    names = {"w": "weights", "y": "output", "scratch": "scratch"}
    terms = sorted(buffers, key=lambda b: -b.bytes * b.copies)[:3]
    text = ", ".join(
        f"{names.get(b.operand, 'input ' + b.operand[1:])} {_kb(b.bytes)}{f' x {b.copies}' if b.copies > 1 else ''}"
        for b in terms
    )
    return PlanError(
        f"the smallest legal tile needs {_kb(buffers[-1].end)} of L1, {_kb(budget)} are free; largest terms: {text}",
        where=f"layer {node.name} ({node.op})",
        hint=f"--l1 {buffers[-1].end} or more, or a layer with fewer input channels",
    )


def _kb(size: int) -> str:
    return f"{size / 1000:.1f} kB"
