"""L2 and L3: which weights are resident, prefetched or streamed, which activations spill, and all addresses.

The choice is a linear 0/1 model in CPMpy: one mode per layer's weights, one spill bit per tensor, one capacity
constraint per layer; the objective is the bytes that move between L3 and L2, weighted by how much of the
transfer cannot hide. Addresses follow from `packing`. When everything fits, no solver runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, Literal

from dory.errors import PlanError
from dory.graph.types import Graph, Shape
from dory.layers.base import Geometry, PackedWeights
from dory.plan import guarded
from dory.tiler.packing import Block, pack

Mode = Literal["resident", "prefetched", "loaded", "parts"]
MODES: tuple[Mode, ...] = ("resident", "prefetched", "loaded", "parts")
# Relative price of a byte from L3: hidden behind the previous layer's compute, exposed, and a spilled activation's.
MODE_PRICE: Mapping[Mode, int] = {"resident": 0, "prefetched": 2, "loaded": 8, "parts": 6}
SPILL_PRICE = 16
STRIPE_BYTES = 24 * 1024  # wanted size of one stripe buffer
PART_BYTES = 24 * 1024  # wanted size of one part of streamed weights
ALIGN = 4  # of every L3 transfer
SLACK = 2 * ALIGN  # a stripe's first and last row may start and end inside a word


@dataclass(frozen=True)
class LayerMemory:
    """What the L2 planner needs to know of a layer: operand tensors, weights and stripes."""

    name: str
    inputs: tuple[str, ...]
    output: str
    geometry: Geometry
    packed: PackedWeights | None

    @property
    def stripe_rows(self) -> int:
        """Output rows per stripe when an operand is in L3: full words, near STRIPE_BYTES, at least one row."""
        h = self.geometry.out[0]
        row = self.geometry.out[1] * self.geometry.out[2]
        widest = max([row, *(a.shape[1] * a.shape[2] * a.window.stride[0] for a in self.geometry.inputs)])
        step = ALIGN // gcd(row, ALIGN)
        rows = max(STRIPE_BYTES // widest // step, 1) * step
        return min(rows, h)

    @property
    def operands(self) -> tuple[tuple[str, str], ...]:
        """(label, tensor) of all inputs and the output: x0, x1, ..., y."""
        return (*((f"x{k}", t) for k, t in enumerate(self.inputs)), ("y", self.output))

    def stripe_bytes(self, label: str) -> int:
        """Bytes of one stripe of an operand, the largest over the stripes."""
        rows = self.stripe_rows
        if label == "y":
            size = rows * self.geometry.out[1] * self.geometry.out[2]
        else:
            access = self.geometry.inputs[int(label[1:])]
            h, w, c = access.shape
            size = min((rows - 1) * access.window.stride[0] + access.window.span(0), h) * w * c
        return size + SLACK

    @property
    def stripe_copies(self) -> int:
        """2 when there is more than one stripe."""
        return 2 if self.stripe_rows < self.geometry.out[0] else 1

    @property
    def part_channels(self) -> int:
        """Output channels per part of streamed weights, whole groups and whole tile steps."""
        c = self.geometry.out[2]
        if self.packed is None or self.packed.group == 0:
            return c
        step = self.packed.group * self.geometry.c_step // gcd(self.packed.group, self.geometry.c_step)
        return min(max(PART_BYTES // self.packed.bytes_for(step), 1) * step, c)

    @property
    def part_bytes(self) -> int:
        """Bytes of one part of streamed weights."""
        return self.packed.bytes_for(self.part_channels) if self.packed else 0


@dataclass(frozen=True)
class Layout:
    """The decision: weight modes, spilled tensors, L2 blocks with offsets, L3 offsets of spilled tensors."""

    modes: tuple[Mode, ...]
    spilled: frozenset[str]
    blocks: tuple[Block, ...]
    offsets: Mapping[str, int]
    l3_offsets: Mapping[str, int]
    l3_bytes: int


def lifetime(graph: Graph, tensor: str) -> tuple[int, int]:
    """Steps during which a tensor's value is needed: -1 is before the first layer, len(nodes) after the last."""
    made = graph.producer(tensor)
    last = max(graph.consumers(tensor), default=-1 if made is None else made)
    return (-1 if made is None else made), (len(graph.nodes) if tensor in graph.outputs else last)


def weight_block(i: int, layer: LayerMemory, mode: Mode, steps: int) -> Block | None:
    """The L2 block of a layer's constants."""
    if layer.packed is None:
        return None
    size = len(layer.packed.data)
    if mode == "resident":
        return Block(f"w{i}", guarded(size), -1, steps)
    if mode == "parts":
        return Block(f"w{i}", 2 * guarded(layer.part_bytes), i, i)
    return Block(f"w{i}", guarded(size), i - 1 if mode == "prefetched" else i, i)


def stripe_block(i: int, layer: LayerMemory, label: str) -> Block:
    """The L2 block for stripes of a spilled operand."""
    return Block(f"s{i}{label}", layer.stripe_copies * guarded(layer.stripe_bytes(label)), i, i)


def blocks_of(
    graph: Graph, layers: Sequence[LayerMemory], modes: Sequence[Mode], spilled: frozenset[str]
) -> list[Block]:
    """All L2 blocks of a decision."""
    out = []
    for name, tensor in graph.tensors.items():
        if name not in spilled:
            first, last = lifetime(graph, name)
            out.append(Block(f"t:{name}", guarded(tensor.nbytes), first, last))
    for i, layer in enumerate(layers):
        block = weight_block(i, layer, modes[i], len(layers))
        out += [block] if block else []
        out += [stripe_block(i, layer, k) for k, t in layer.operands if t in spilled]
    return out


def lay_out(graph: Graph, layers: Sequence[LayerMemory], l2: int, l3: int) -> Layout:
    """Decide modes, spills and addresses within `l2` and `l3` bytes; PlanError when nothing fits."""
    everything: Sequence[Mode] = ["resident"] * len(layers)
    blocks = blocks_of(graph, layers, everything, frozenset())
    offsets = pack(blocks, l2)
    if offsets is not None:
        return _finish(graph, layers, everything, frozenset(), blocks, offsets, l3)
    slack = 0
    while slack < l2 // 4:  # a decision that fits by sums may not pack: ask for a little more room
        modes, spilled = _decide(graph, layers, l2 - slack)
        blocks = blocks_of(graph, layers, modes, spilled)
        offsets = pack(blocks, l2)
        if offsets is not None:
            return _finish(graph, layers, modes, spilled, blocks, offsets, l3)
        slack += l2 // 64
    raise PlanError(f"no L2 addresses found within {l2} bytes", hint="a larger --l2")


def _finish(
    graph: Graph,
    layers: Sequence[LayerMemory],
    modes: Sequence[Mode],
    spilled: frozenset[str],
    blocks: Sequence[Block],
    offsets: Mapping[str, int],
    l3: int,
) -> Layout:
    weights = sum(len(layer.packed.data) for layer in layers if layer.packed)
    regions = [Block(t, (graph.tensors[t].nbytes + SLACK + 7) // 8 * 8, *lifetime(graph, t)) for t in sorted(spilled)]
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
    return Layout(tuple(modes), spilled, tuple(blocks), offsets, l3_offsets, base + top)


def _decide(graph: Graph, layers: Sequence[LayerMemory], l2: int) -> tuple[tuple[Mode, ...], frozenset[str]]:
    import cpmpy as cp

    n = len(layers)
    ports = {*graph.inputs, *graph.outputs}
    direct = {t for layer in layers if layer.geometry.direct for t in (*layer.inputs, layer.output)}
    may_spill = [t for t in graph.tensors if t not in ports | direct]
    spill = {t: cp.boolvar(name=f"spill_{k}") for k, t in enumerate(may_spill)}
    mode = [[cp.boolvar(name=f"mode_{i}_{m}") for m in MODES] for i in range(n)]
    usage: list[Any] = [0] * (n + 2)  # by step, shifted by one for step -1
    price: Any = 0
    model = cp.Model()
    for i, layer in enumerate(layers):
        model += cp.sum(mode[i]) == 1
        for m, chosen in zip(MODES, mode[i], strict=True):
            if m == "prefetched" and i == 0:
                model += ~chosen
            block = weight_block(i, layer, m, n)
            if block is None:
                continue
            price += MODE_PRICE[m] * len(layer.packed.data if layer.packed else b"") * chosen
            for s in range(block.first, block.last + 1):
                usage[s + 1] += block.bytes * chosen
        for label, t in layer.operands:
            if t in spill:
                usage[i + 1] += stripe_block(i, layer, label).bytes * spill[t]
    for t, tensor in graph.tensors.items():
        first, last = lifetime(graph, t)
        for s in range(first, last + 1):
            usage[s + 1] += guarded(tensor.nbytes) * ((1 - spill[t]) if t in spill else 1)
        if t in spill:
            price += SPILL_PRICE * (1 + len(graph.consumers(t))) * tensor.nbytes * spill[t]
    for u in usage:
        if not isinstance(u, int):
            model += u <= l2
        elif u > l2:
            raise _too_big(graph, layers, l2)
    model.minimize(price)
    if not model.solve(solver="ortools", time_limit=10, num_workers=1, random_seed=1):
        raise _too_big(graph, layers, l2)
    chosen_modes = tuple(next(m for m, v in zip(MODES, row, strict=True) if v.value()) for row in mode)
    return chosen_modes, frozenset(t for t, v in spill.items() if v.value())


def _too_big(graph: Graph, layers: Sequence[LayerMemory], l2: int) -> PlanError:
    """Names the layer whose smallest possible L2 need is largest."""

    def least(i: int, layer: LayerMemory) -> int:
        total = 0
        for label, t in layer.operands:
            whole = guarded(graph.tensors[t].nbytes)
            fixed = layer.geometry.direct or t in graph.inputs or t in graph.outputs
            total += whole if fixed else min(whole, stripe_block(i, layer, label).bytes)
        return total + min(guarded(len(layer.packed.data)), 2 * guarded(layer.part_bytes)) if layer.packed else total

    worst = max(range(len(layers)), key=lambda i: least(i, layers[i]))
    needs = least(worst, layers[worst])
    shapes: list[Shape] = [graph.tensors[t].shape for t in (*layers[worst].inputs, layers[worst].output)]
    return PlanError(
        f"L2 is too small: this layer alone needs at least {needs / 1000:.1f} kB (operands {shapes}),"
        f" {l2 / 1000:.1f} kB are free beside other live tensors",
        where=f"layer {layers[worst].name}",
        hint="a smaller input resolution, or a larger --l2",
    )
