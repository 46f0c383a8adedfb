"""What must hold of one layer's tile loop: L1 buffers, coverage of the output, inputs that are read, constants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from dory.graph.types import Graph, IntArray, Node, Shape, Window
from dory.layers import LAYERS
from dory.layers.base import TileShape
from dory.plan import LayerPlan, Operand
from dory.testing.plan_replay import Replay, loaded, packed_bytes, parts, stripes

ALIGN, GUARD = 8, 16


@dataclass(frozen=True)
class Fault:
    """One broken promise: its kind (`KINDS` of plan_checks), the layer or buffer, and what was found."""

    kind: str
    where: str
    found: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.found}"


@dataclass(frozen=True)
class Reads:
    """How an operator reads one input, from the node's own attributes."""

    shape: Shape
    window: Window
    channels: str


def reads_of(graph: Graph, node: Node) -> list[Reads]:
    """How a node reads its inputs, as views of them."""
    shapes = [graph.tensors[t].shape for t in node.inputs]
    op, a = node.op, node.attrs
    one = Window((1, 1))
    if op in ("conv", "grouped_conv"):
        return [Reads(shapes[0], a.window, "all")]
    if op in ("depthwise", "maxpool", "avgpool"):
        return [Reads(shapes[0], a.window, "slice")]
    if op == "pad":
        return [Reads(shapes[0], Window((1, 1), pads=a.pads), "slice")]
    if op == "linear":
        return [Reads((1, 1, int(np.prod(shapes[0]))), one, "all")]
    if op == "concat":
        lines = int(np.prod(shapes[0][: a.axis]))
        return [Reads((lines, 1, int(np.prod(s)) // lines), one, "all") for s in shapes]
    return [Reads(s, one, "all" if op == "permute" else "slice") for s in shapes]


def check_operands(layer: LayerPlan, graph: Graph, node: Node) -> Iterator[Fault]:
    """The operands are the node's tensors, read as the node reads them."""
    wanted = reads_of(graph, node)
    names = (*node.inputs, node.output)
    if layer.op != node.op or tuple(x.tensor for x in (*layer.inputs, layer.output)) != names:
        yield Fault("graph", layer.name, f"is {layer.op} on other tensors than the node's {names}")
        return
    for x, reads in zip(layer.inputs, wanted, strict=True):
        if (x.shape, x.window, x.channels) != (reads.shape, reads.window, reads.channels):
            yield Fault("graph", layer.name, f"{x.tensor} is read as {x.shape} {x.window} {x.channels}, not {reads}")
    for x in (*layer.inputs, layer.output):
        if x.shape[0] * x.row_bytes != graph.tensors[x.tensor].nbytes:
            yield Fault("graph", layer.name, f"{x.tensor} has {graph.tensors[x.tensor].nbytes} bytes, not {x.shape}")
    if LAYERS[node.op].out_shape(node.attrs, [graph.tensors[t].shape for t in node.inputs]) != (
        graph.tensors[node.output].shape
    ):
        yield Fault("graph", layer.name, f"its output {node.output} has another shape than the operator gives")


def check_loop(layer: LayerPlan, loop: Replay, budget: int) -> Iterator[Fault]:
    """Everything about the tiles of a layer that needs no graph; `budget` are the bytes of L1."""
    yield from _check_buffers(layer, budget)
    if layer.direct:
        return
    yield from _check_coverage(layer, loop)
    for i, x in enumerate(layer.inputs):
        for axis in (0, 1):
            yield from _check_halo(layer, x, axis, loop.out, loop.x[i])
        yield from _check_channels(layer, x, loop, loop.x[i])
        yield from _check_stripe(layer, x, loop, loop.x[i])
    yield from _check_weights(layer, loop)
    yield from _check_sizes(layer, loop)
    yield from _check_turns(layer, loop)


def check_scratch(layer: LayerPlan, node: Node, loop: Replay, cores: int) -> Iterator[Fault]:
    """The kernel's scratch is as large as the kernel says for its largest tile."""
    if layer.direct:
        return
    inputs = tuple(_largest(x) for x in loop.x)
    tile = TileShape(_extent(loop.out), inputs)
    operator = LAYERS[layer.op]
    attrs = operator.padded(node.attrs) if layer.padded else node.attrs
    wanted = {"scratch": operator.scratch_bytes(attrs, tile, cores)}
    if layer.depth:
        steps = operator.steps(node.attrs, [x.shape for x in layer.inputs])
        assert steps is not None
        wanted = dict(steps.bytes(tile.out, layer.depth, cores))
    have = {b.operand: b.bytes for b in layer.l1}
    for operand, need in wanted.items():
        if have.get(operand, 0) < need:
            yield Fault("L1 capacity", layer.name, f"the kernel wants {need} bytes of {operand} for {tile}")


def _check_buffers(layer: LayerPlan, budget: int) -> Iterator[Fault]:
    spans = []
    for b in layer.l1:
        for k in range(b.copies):
            start = b.offset + k * b.stride
            spans.append((start, start + b.bytes, f"{b.operand}[{k}]"))
        if b.offset % ALIGN or b.stride % ALIGN:
            yield Fault("alignment", layer.name, f"L1 buffer {b.operand} at {b.offset}, copies {b.stride} apart")
    spans.sort()
    for (_, end, a), (start, _, b_) in pairwise(spans):
        if end + GUARD > start:
            yield Fault(
                "L1 overlap", layer.name, f"{a} ends at {end}, {b_} starts at {start}, {GUARD} bytes are wanted"
            )
    if spans and (spans[-1][1] + GUARD > budget or spans[0][0] < 0):
        yield Fault("L1 capacity", layer.name, f"buffers from {spans[0][0]} to {spans[-1][1]}, of {budget} bytes")


def _check_coverage(layer: LayerPlan, loop: Replay) -> Iterator[Fault]:
    """Each output element is written once, and each (output, input channel) summed once, before it is written."""
    out, k = loop.out, loop.k
    if np.any(out[:, 0::2] < 0) or np.any(out[:, 1::2] > layer.output.shape) or np.any(out[:, 0::2] >= out[:, 1::2]):
        yield Fault("coverage", layer.name, f"a tile is empty or outside the output {layer.output.shape}")
        return
    depth = 1 if any(x.channels == "slice" for x in layer.inputs) else sum(x.shape[2] for x in layer.inputs)
    yield from _once(layer, "written", out[loop.store], layer.output.shape)
    if not np.array_equal(k, np.tile([0, depth], (len(k), 1))):
        yield from _once(layer, "summed", np.concatenate([out, k], axis=1), (*layer.output.shape, depth))
        last = {tuple(row): i for i, row in enumerate(out.tolist())}
        if not np.array_equal(np.flatnonzero(loop.store), sorted(last.values())):
            yield Fault("coverage", layer.name, "a tile is written before its last sum")


def _once(layer: LayerPlan, what: str, boxes: IntArray, shape: Sequence[int]) -> Iterator[Fault]:
    """Boxes [n, 2 * axes] cover `shape` exactly once."""
    axes = len(shape)
    cuts = [np.unique(np.concatenate([boxes[:, 2 * a : 2 * a + 2].ravel(), [0, shape[a]]])) for a in range(axes)]
    at = [np.searchsorted(cuts[a], boxes[:, 2 * a : 2 * a + 2]) for a in range(axes)]
    count = np.zeros([len(c) for c in cuts], np.int64)
    for corner in np.ndindex(*(2,) * axes):
        np.add.at(count, tuple(at[a][:, end] for a, end in enumerate(corner)), (-1) ** sum(corner))
    for a in range(axes):
        np.cumsum(count, axis=a, out=count)
    inside = count[tuple(slice(0, -1) for _ in range(axes))]
    if inside.size and np.all(inside == 1):
        return
    where = tuple(int(v) for v in np.argwhere(inside != 1)[0])
    element = tuple(int(cuts[a][i]) for a, i in enumerate(where))
    yield Fault("coverage", layer.name, f"output element {element} of {tuple(shape)} is {what} {inside[where]} times")


def _check_halo(layer: LayerPlan, x: Operand, axis: int, out: IntArray, tiles: IntArray) -> Iterator[Fault]:
    """Every position that a kernel reads is the element it means, or padding outside the tensor."""
    name, size = "rows" if axis == 0 else "columns", x.shape[axis]
    rows = np.unique(np.concatenate([out[:, 2 * axis : 2 * axis + 2], tiles[:, 2 * axis : 2 * axis + 2],
                                     tiles[:, 6 + axis : 7 + axis]], axis=1), axis=0)  # fmt: skip
    o0, o1, i0, i1, pad = rows.T
    if np.any(i0 < 0) or np.any(i1 > size) or np.any(i1 < i0):
        yield Fault("halo", layer.name, f"a tile of {x.tensor} loads {name} outside 0..{size}")
        return
    w, count = x.window, o1 - o0
    piece = np.repeat(np.arange(len(rows)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)  # output of the piece
    taps = np.arange(w.kernel[axis]) * w.dilation[axis]
    meant = ((o0[piece] + within) * w.stride[axis] - w.pads[axis])[:, None] + taps
    local = (within * w.stride[axis])[:, None] + taps - pad[piece][:, None]
    held = (local >= 0) & (local < (i1 - i0)[piece][:, None])
    wrong = np.where(held, local + i0[piece][:, None] != meant, (meant >= 0) & (meant < size))
    if np.any(wrong):
        r, t = (int(v) for v in np.argwhere(wrong)[0])
        a = rows[piece[r]].tolist()
        yield Fault(
            "halo",
            layer.name,
            f"output {a[0] + int(within[r])} reads element {int(meant[r, t])} of the {name} of {x.tensor}; its tile of"
            f" outputs {a[0]}..{a[1]} has {a[2]}..{a[3]} behind {a[4]} of padding",
        )


def _check_channels(layer: LayerPlan, x: Operand, loop: Replay, tiles: IntArray) -> Iterator[Fault]:
    if x.channels == "slice":
        wanted = loop.out[:, 4:6]
    elif len(layer.inputs) == 1:
        wanted = loop.k
    else:
        wanted = np.tile([0, x.shape[2]], (loop.tiles, 1))
    if not np.array_equal(tiles[:, 4:6], wanted):
        yield Fault("halo", layer.name, f"a tile of {x.tensor} holds other channels than it needs")
    stale = ~loop.x_load[1:] & np.any(tiles[1:, :6] != tiles[:-1, :6], axis=1)
    if np.any(stale) or not loop.x_load[0]:
        yield Fault("halo", layer.name, f"a tile of {x.tensor} is not loaded where another one is needed")


def _check_stripe(layer: LayerPlan, x: Operand, loop: Replay, tiles: IntArray) -> Iterator[Fault]:
    """Rows of a tile lie in the stripe that is in L2 while it is computed."""
    bounds = np.array(stripes(layer), np.int64)
    if np.any(loop.block >= len(bounds)):
        yield Fault("stripe", layer.name, "a tile belongs to no stripe")
        return
    mine = bounds[loop.block]
    if np.any(loop.out[:, 0] < mine[:, 0]) or np.any(loop.out[:, 1] > mine[:, 1]):
        yield Fault("stripe", layer.name, "a tile leaves its stripe")
    if x.l3_offset < 0:
        return
    span = (x.window.kernel[0] - 1) * x.window.dilation[0] + 1
    low, high, _ = loaded(mine, x.window.stride[0], x.window.pads[0], span, x.shape[0])
    full = tiles[:, 1] > tiles[:, 0]
    if np.any((tiles[:, 0] < low) & full) or np.any((tiles[:, 1] > high) & full):
        yield Fault("stripe", layer.name, f"a tile reads rows of {x.tensor} that are not in its stripe")


def _check_weights(layer: LayerPlan, loop: Replay) -> Iterator[Fault]:
    w = layer.weights
    if layer.depth:
        yield from _check_steps(layer, loop)
    if w is None or layer.depth:
        return
    unit = w.group or layer.output.shape[2]
    c0, c1 = loop.out[:, 4], loop.out[:, 5]
    if w.group and np.any(c0 % unit):
        yield Fault("weights", layer.name, f"a tile starts inside a group of {unit} channels")
    start = c0 // unit * w.group_bytes if w.group else np.zeros_like(c0)
    size = np.array([packed_bytes(layer, int(n)) for n in (c1 - c0)], np.int64)
    if not np.array_equal(loop.w, np.stack([start, start + size], axis=1)):
        yield Fault("weights", layer.name, "a tile has other constants in L1 than its channels'")
    stale = ~loop.w_load[1:] & np.any(loop.w[1:] != loop.w[:-1], axis=1)
    if np.any(stale) or not loop.w_load[0]:
        yield Fault("weights", layer.name, "constants are not loaded where other ones are needed")
    if loop.tiles and loop.w[:, 1].max() > w.bytes:
        yield Fault("weights", layer.name, f"constants are read up to byte {loop.w[:, 1].max()} of {w.bytes}")


def _check_steps(layer: LayerPlan, loop: Replay) -> Iterator[Fault]:
    """Weights of a step are those of its channels: whole words of four input channels, whole groups of outputs."""
    w, c0, c1, k0, k1 = layer.weights, loop.out[:, 4], loop.out[:, 5], loop.k[:, 0], loop.k[:, 1]
    assert w is not None
    taps = layer.inputs[0].window.kernel[0] * layer.inputs[0].window.kernel[1]
    if np.any(c0 % 4) or np.any(k0 % 4) or w.group != 4:
        yield Fault("weights", layer.name, "a step starts inside four channels")
    first = c0 // 4 * w.group_bytes + (w.group_bytes - 48 - 4 * taps * -(-layer.inputs[0].shape[2] // 4) * 4) + 4 * k0
    size = -(-(c1 - c0) // 4) * taps * 16 * -(-(k1 - k0) // 4)
    if not np.array_equal(loop.w, np.stack([first, first + size], axis=1)) or not np.all(loop.w_load):
        yield Fault("weights", layer.name, "a step has other weights in L1 than its channels'")
    if np.any(loop.tail != np.where(loop.store, first * 0 + _constants(layer) * -(-(c1 - c0) // 4), 0)):
        yield Fault("weights", layer.name, "a tile's last step does not load its constants")
    if layer.inputs[0].shape[2] <= layer.depth:
        yield Fault("L1 turns", layer.name, "constants are loaded while they are in use: a tile has one step")


def _constants(layer: LayerPlan) -> int:
    """Bytes of a group of four channels beside its weights."""
    assert layer.weights is not None
    x = layer.inputs[0]
    return layer.weights.group_bytes - 16 * x.window.kernel[0] * x.window.kernel[1] * -(-x.shape[2] // 4)


def _extent(boxes: IntArray) -> Shape:
    """Largest extent along each of three axes."""
    h, w, c = ((boxes[:, 2 * a + 1] - boxes[:, 2 * a]).max() for a in range(3))
    return int(h), int(w), int(c)


_largest = _extent


def volumes(boxes: IntArray) -> IntArray:
    """Elements of boxes [n, >= 6]."""
    sides = boxes[:, 1:6:2] - boxes[:, 0:6:2]
    product: IntArray = sides.prod(axis=1)
    return product


def stored(boxes: IntArray, bits: int) -> IntArray:
    """Bytes of boxes whose elements have `bits` bits, each pixel beginning on a byte."""
    h, w, c = (boxes[:, 2 * a + 1] - boxes[:, 2 * a] for a in range(3))
    found: IntArray = h * w * ((c * bits + 7) // 8)
    return found


def _check_sizes(layer: LayerPlan, loop: Replay) -> Iterator[Fault]:
    boxes = {f"x{i}": (x, o.bits) for i, (x, o) in enumerate(zip(loop.x, layer.inputs, strict=True))}
    boxes["y"] = (loop.out, layer.output.bits)
    needs = {operand: int(stored(b, bits).max()) for operand, (b, bits) in boxes.items()}
    needs |= {f"u{operand}": int(volumes(b).max()) for operand, (b, bits) in boxes.items() if bits < 8}
    if layer.weights:
        needs["w"] = int((loop.w[:, 1] - loop.w[:, 0]).max())
        if layer.weights.bits < 8:
            needs["uw"] = needs["w"] // layer.weights.group_bytes * layer.weights.kernel_group_bytes
    if layer.depth:
        needs["sums"] = 4 * needs["y"]
    have = {b.operand: b.bytes for b in layer.l1}
    for operand, need in needs.items():
        if have.get(operand, -1) < need:
            yield Fault(
                "L1 capacity", layer.name, f"a tile of {operand} has {need} bytes, its buffer {have.get(operand)}"
            )


def _check_turns(layer: LayerPlan, loop: Replay) -> Iterator[Fault]:
    """What is loaded (or computed) while its predecessor is in use has two buffers. Layers that take all input channels
    at once wait for what has one."""
    if not layer.depth:
        return
    copies = {b.operand: b.copies for b in layer.l1}
    per_block = [loop.block == b for b in np.unique(loop.block)]
    moved: dict[str, Any] = {f"x{i}": loop.x_load for i in range(len(loop.x))}
    moved |= {"y": loop.store} | ({"w": loop.w_load} if layer.weights else {})
    for operand, loads in moved.items():
        most = max((int(loads[block].sum()) for block in per_block), default=0)
        if most > 1 and copies.get(operand, 0) < 2:
            yield Fault("L1 turns", layer.name, f"{operand} is moved {most} times with {copies.get(operand, 0)} buffer")


def dma_bytes(layer: LayerPlan, loop: Replay) -> int:
    """Bytes between L2 and L1 of the whole layer."""
    if layer.direct:
        return 0
    total = int(stored(loop.out[loop.store], layer.output.bits).sum()) if layer.stored else 0
    loads = [(x[loop.x_load], o.bits) for x, o in zip(loop.x, layer.inputs, strict=True) if not o.kept]
    total += sum(int(stored(boxes, bits).sum()) for boxes, bits in loads)
    return total + int((loop.w[:, 1] - loop.w[:, 0])[loop.w_load].sum() + loop.tail.sum())


def part_entries(layer: LayerPlan, loop: Replay) -> list[tuple[int, int]]:
    """(stripe, part of the weights) in the order in which the loop enters them."""
    starts = np.array([c0 for c0, _ in parts(layer)], np.int64)
    part = np.searchsorted(starts, loop.out[:, 4], side="right") - 1
    new = np.append(True, (part[1:] != part[:-1]) | (loop.block[1:] != loop.block[:-1]))
    return [(int(b), int(p)) for b, p in zip(loop.block[new], part[new], strict=True)]
