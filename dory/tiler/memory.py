"""What may live in L2: weights resident or streamed in parts, activations whole or in stripes; sizes and lifetimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, gcd

from dory.graph.types import Graph
from dory.layers.base import Geometry, PackedWeights
from dory.plan import guarded
from dory.tiler.packing import Block

STRIPE_BYTES = 24 * 1024  # of one stripe buffer, at first
LARGER_STRIPES = (8, 6, 4, 3, 2)  # times that, where there is room
PART_BYTES = 24 * 1024  # wanted size of one part of streamed weights
LARGE_PART = PART_BYTES  # bytes of a part of which one alone may be in L2
SMALL = 2048  # bytes of weights that are not worth a transfer in every inference
LARGE_TILE = 64 * 1024  # weights of a tile of which parts may be smaller
SLOTS = (2, 4, 8)  # parts in L2 at a time; besides all of them
LEADS = (0, 1, 2, 4, 8)  # layers ahead at which the first reads start
ALIGN = 4  # of every L3 transfer
SLACK = 2 * ALIGN  # a stripe's first and last row may start and end inside a word


@dataclass(frozen=True)
class Streaming:
    """Weights that are read in every inference, in `parts` parts of `channels` output channels and part_bytes bytes.

    `slots` parts are in L2 at a time; the first reads start `lead` layers ahead.
    """

    channels: int
    part_bytes: int
    parts: int
    slots: int
    lead: int


@dataclass(frozen=True)
class LayerMemory:
    """What the L2 planner needs to know of a layer: operand tensors, weights and stripes."""

    name: str
    inputs: tuple[str, ...]
    output: str
    geometry: Geometry
    packed: PackedWeights | None
    cycles: int  # what the layer takes when nothing waits for L3
    tile_c: int  # channels of a tile
    stripe_target: int = STRIPE_BYTES  # wanted size of one stripe buffer
    single: bool = False  # L1 has one buffer for the constants or the output: a part must not cut a tile
    blocks: int = 1  # of pixels in a tile; with each group of channels a unit of work
    cores: int = 8  # that share units out

    @property
    def weight_bytes(self) -> int:
        """Packed constants."""
        return len(self.packed.data) if self.packed else 0

    @property
    def options(self) -> tuple[Streaming | None, ...]:
        """Ways to hold the layer's constants: None is resident."""
        if not self.packed or self.weight_bytes < SMALL:
            return (None,)
        out: list[Streaming | None] = [None]
        channels_of_parts = {self.part_channels, self.geometry.out[2]}
        if self.packed.group and (self._cut or self.packed.group_bytes > PART_BYTES // 2) and not self.single:
            most = max(min(self.tile_c, self.geometry.out[2]) // self.packed.group, 1)
            channels_of_parts |= {self.packed.group << k for k in range(most.bit_length())}
        for channels in sorted(channels_of_parts):
            parts = ceil(self.geometry.out[2] / channels)
            size = self.packed.bytes_for(channels)
            some = [k for k in SLOTS if k < parts] + [parts]
            for slots in [1, *some] if parts > 1 and size > LARGE_PART else some:
                out += [Streaming(channels, size, parts, slots, lead) for lead in LEADS]
        return tuple(out)

    @property
    def _cut(self) -> bool:
        """Whether parts may be smaller than the weights of a tile."""
        return self.packed is not None and self.packed.bytes_for(self.tile_c) > LARGE_TILE and not self.single

    def cycles_in_parts(self, channels: int) -> int:
        """`cycles` with parts of so many channels: where they cut tiles, some cores may have nothing to do."""
        if channels >= self.tile_c or not (self.packed and self.packed.group):
            return self.cycles
        of_tile, of_part = (
            ceil(self.blocks * ceil(c / self.packed.group) / self.cores) / c for c in (self.tile_c, channels)
        )
        return max(round(self.cycles * of_part / of_tile), self.cycles)

    @property
    def stripe_rows(self) -> int:
        """Output rows per stripe when an operand is in L3: full words, near stripe_target, at least one row."""
        h = self.geometry.out[0]
        row = self.geometry.row_bytes
        widest = max([row, *(a.row_bytes * a.window.stride[0] for a in self.geometry.inputs)])
        step = ALIGN // gcd(row, ALIGN)
        rows = max(self.stripe_target // widest // step, 1) * step
        return min(rows, h)

    @property
    def operands(self) -> tuple[tuple[str, str], ...]:
        """(label, tensor) of all inputs and the output: x0, x1, ..., y."""
        return (*((f"x{k}", t) for k, t in enumerate(self.inputs)), ("y", self.output))

    def stripe_bytes(self, label: str) -> int:
        """Bytes of one stripe of an operand, the largest over the stripes."""
        rows = self.stripe_rows
        if label == "y":
            size = rows * self.geometry.row_bytes
        else:
            access = self.geometry.inputs[int(label[1:])]
            size = min((rows - 1) * access.window.stride[0] + access.window.span(0), access.shape[0]) * access.row_bytes
        return size + SLACK

    @property
    def stripe_copies(self) -> int:
        """2 when there is more than one stripe."""
        return 2 if self.stripe_rows < self.geometry.out[0] else 1

    @property
    def part_channels(self) -> int:
        """Output channels per part of streamed weights: whole tiles, unless a tile's weights are much for L2.

        A tile of all channels loads its weights once.
        """
        c = self.geometry.out[2]
        if self.packed is None or self.packed.group == 0:
            return c
        step = self.packed.group if self._cut else self.tile_c
        return min(max(PART_BYTES // self.packed.bytes_for(step), 1) * step, c)


@dataclass(frozen=True)
class Choice:
    """How each layer's weights are held (None: resident) and which tensors spill.

    gap: how far the end of the last layer may be above the optimum of the schedule's model, as a share of it.
    """

    weights: tuple[Streaming | None, ...]
    spilled: frozenset[str]
    gap: float = 0.0


def lifetime(graph: Graph, tensor: str) -> tuple[int, int]:
    """Steps during which a tensor's value is needed: -1 is before the first layer, len(nodes) after the last."""
    made = graph.producer(tensor)
    last = max(graph.consumers(tensor), default=-1 if made is None else made)
    return (-1 if made is None else made), (len(graph.nodes) if tensor in graph.outputs else last)


def weight_block(i: int, layer: LayerMemory, option: Streaming | None, steps: int) -> Block | None:
    """The L2 block of a layer's constants."""
    if layer.packed is None:
        return None
    if option is None:
        return Block(f"w{i}", guarded(layer.weight_bytes), -1, steps)
    return Block(f"w{i}", option.slots * guarded(option.part_bytes), max(i - option.lead, 0), i)


def stripe_block(i: int, layer: LayerMemory, label: str) -> Block:
    """The L2 block for stripes of a spilled operand."""
    return Block(f"s{i}{label}", layer.stripe_copies * guarded(layer.stripe_bytes(label)), i, i)


def blocks_of(graph: Graph, layers: Sequence[LayerMemory], choice: Choice) -> list[Block]:
    """All L2 blocks of a decision."""
    out = []
    for name, tensor in graph.tensors.items():
        if name not in choice.spilled:
            first, last = lifetime(graph, name)
            out.append(Block(f"t:{name}", guarded(tensor.nbytes), first, last))
    for i, layer in enumerate(layers):
        block = weight_block(i, layer, choice.weights[i], len(layers))
        out += [block] if block else []
        out += [stripe_block(i, layer, k) for k, t in layer.operands if t in choice.spilled]
    return out
