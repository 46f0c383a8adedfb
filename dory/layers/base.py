"""What every operator's module provides, and the types that describe how its tiles read memory.

One module per operator: shape rule, integer reference, geometry of a tile, L1 scratch, packed weights and the
constants of its kernel call. Modules hold no state; `dory.layers.LAYERS` maps an op name to its module.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import lcm
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np

from dory.graph.types import IntArray, Requant, Shape, Window
from dory.layers.cost import Work
from dory.plan import LayerPlan, Unit, packed_bytes

A = TypeVar("A")
IDENTITY = Window((1, 1))


@dataclass(frozen=True)
class Access:
    """How an output tile reads one input.

    shape is the (H, W, C) view of the input tensor that the layer works on (its element count is the tensor's);
    rows and columns follow `window`, channels are all of them or the slice of the output tile. bits: of an element in
    memory.
    """

    shape: Shape
    window: Window = IDENTITY
    channels: Literal["all", "slice"] = "slice"
    bits: int = 8

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in memory."""
        return self.shape[1] * packed_bytes(self.shape[2], self.bits)


@dataclass(frozen=True)
class Geometry:
    """The space of output tiles of one layer; out is the (H, W, C) view that tiles cut.

    Tile channels are multiples of c_step (the last tile takes what is left); `split_w`, `split_c` say whether the
    axis may be cut at all. `direct` layers run on L2 without tiles. bits: of an element of the output in memory.
    """

    out: Shape
    inputs: tuple[Access, ...]
    c_step: int = 1
    split_w: bool = True
    split_c: bool = True
    direct: bool = False
    bits: int = 8

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of the output in memory."""
        return self.out[1] * packed_bytes(self.out[2], self.bits)

    def typed(self, inputs: Sequence[int], out: int) -> Geometry:
        """With elements of so many bits; channel tiles then begin on bytes."""
        step = self.c_step if min(*inputs, out) == 8 else lcm(self.c_step, 4)
        accesses = tuple(replace(a, bits=b) for a, b in zip(self.inputs, inputs, strict=True))
        return replace(self, inputs=accesses, bits=out, c_step=step)


@dataclass(frozen=True, eq=False)
class PackedWeights:
    """Weights as they lie in memory: groups of `group` output channels, group_bytes each (constants included).

    `group` 0 means one block that every tile needs whole (a table). Group sizes are multiples of 4 bytes. A group is a
    number of `unit`s, whose weights have `bits` bits each; tables have no unit.
    """

    data: bytes
    group: int
    group_bytes: int
    unit: Unit | None = None
    bits: int = 8

    def __post_init__(self) -> None:
        if self.group_bytes % 4 or len(self.data) % self.group_bytes:
            raise ValueError(f"{len(self.data)} bytes in groups of {self.group_bytes}: not aligned")

    def bytes_for(self, channels: int) -> int:
        """Bytes of the groups that hold `channels` output channels."""
        return self.group_bytes if self.group == 0 else -(-channels // self.group) * self.group_bytes

    @property
    def kernel_group_bytes(self) -> int:
        """Bytes of a group as the kernel reads it."""
        if self.unit is None:
            return self.group_bytes
        return self.group_bytes // self.unit.bytes(self.bits) * self.unit.bytes()


@dataclass(frozen=True)
class TileShape:
    """One tile in L1, in elements: output h x w x c, and (h, w, c) of each input."""

    out: Shape
    inputs: tuple[Shape, ...]


@dataclass(frozen=True)
class Steps:
    """A layer that may take its `channels` input channels in steps, with the kernel dory_conv_sums."""

    channels: int
    taps: int
    kernel_w: int

    def bytes(self, tile: Shape, depth: int, cores: int) -> Mapping[str, int]:
        """Of L1 buffers: weights of a step of `depth` channels, sums, constants, scratch, as the kernel has them."""
        groups, blocks, deep = -(-tile[2] // 4), -(-tile[0] * tile[1] // 4), -(-depth // 4) * 4
        return {
            "w": groups * 4 * self.taps * deep,
            "sums": 64 * blocks * groups,
            "heads": 16 * groups,
            "tails": 48 * groups,
            "scratch": (self.kernel_w + 1) * deep + cores * 16 * (self.taps + 1),
        }


STRIP = 4  # output columns that a depthwise kernel computes at a time


@dataclass(frozen=True)
class PlaneScratch:
    """Scratch of `unit` planes that hold a tile's padded input, or as much of it as fits.

    A plane's row covers the output's columns (at least STRIP), `span` columns for the last one, in whole words; there
    are as many rows as `limit` bytes hold, but at least `span` rows and at most all that the output rows read.
    turned: a tile's columns are rows of planes. fixed: bytes beside the planes.
    """

    unit: int
    limit: int
    span: tuple[int, int]
    stride: tuple[int, int]
    turned: bool = False
    fixed: int = 0

    @property
    def row(self) -> tuple[int, int, int, int, int, int, int]:
        """The pruner's form of it."""
        return (self.unit, self.limit, *self.span, *self.stride, int(self.turned))

    def row_bytes(self, tile: Shape) -> int:
        """Bytes from row to row of a plane, for an output tile (h, w, c)."""
        return -(-((max(tile[0 if self.turned else 1], STRIP) - 1) * self.stride[1] + self.span[1]) // 4) * 4

    def rows(self, tile: Shape) -> int:
        """Rows of a plane."""
        every = (tile[1 if self.turned else 0] - 1) * self.stride[0] + self.span[0]
        return min(every, max(self.span[0], self.limit // (self.unit * self.row_bytes(tile))))

    def bytes(self, tile: Shape) -> int:
        """Bytes of all planes, and of what is beside them."""
        return self.fixed + self.unit * self.row_bytes(tile) * self.rows(tile)


class Layer(ABC, Generic[A]):
    """One operator. A is its frozen attribute class."""

    op: ClassVar[str]
    kernel: ClassVar[str]  # C function, declared in dory_kernels.h
    code: ClassVar[int]  # bytes of L2 that the compiled kernel takes at most
    summary: ClassVar[str]  # one line for the operator table
    rate: ClassVar[float] = 1.0  # multiply-accumulates per cycle of one core, as tiles are compared with

    @abstractmethod
    def out_shape(self, attrs: A, shapes: Sequence[Shape]) -> Shape:
        """(H, W, C) of the output."""

    @abstractmethod
    def reference(self, attrs: A, inputs: Sequence[IntArray]) -> IntArray:
        """The integer golden: HWC arrays in, HWC array out."""

    @abstractmethod
    def geometry(self, attrs: A, shapes: Sequence[Shape]) -> Geometry:
        """How the output may be cut into tiles and what each tile reads."""

    def highest(self, attrs: A, inputs: Sequence[int]) -> int:
        """A bound of the output's values, given the inputs' largest values; values are not below 0."""
        return 255

    def tuned(self, attrs: A, shapes: Sequence[Shape]) -> A:
        """The same layer in the way that its kernel is faster with."""
        return attrs

    def lowered(self, attrs: A, shapes: Sequence[Shape]) -> tuple[str, Any]:
        """The operator, and its attributes, that computes the same faster."""
        return self.op, self.tuned(attrs, shapes)

    def code_bytes(self, attrs: Sequence[A]) -> int:
        """Bytes of L2 that the compiled kernel takes at most, for all layers of this operator in a network."""
        return self.code

    def padded(self, attrs: A) -> A | None:
        """The same layer whose kernel copies tiles with their padding; None when there is no such way."""
        return None

    def weights(self, attrs: A) -> PackedWeights | None:
        """Constants that live in L2/L3, packed for the kernel; None when there are none."""
        return None

    def macs(self, attrs: A, shapes: Sequence[Shape]) -> int:
        """Multiply-accumulates of the whole layer, padding included."""
        return 0

    def scratch_bytes(self, attrs: A, tile: TileShape, cores: int) -> int:
        """L1 bytes that the kernel needs beside its operands; equals the kernel's own C function."""
        return 0

    def steps(self, attrs: A, shapes: Sequence[Shape]) -> Steps | None:
        """How the input channels may come in steps; None when they may not."""
        return None

    def plane_scratch(self, attrs: A, cores: int) -> PlaneScratch | None:
        """The law of `scratch_bytes` when that depends on the tile; None when it is the same for all tiles."""
        return None

    def tile_constants(self, attrs: A, tile: Shape, cores: int) -> Mapping[str, Any]:
        """Further constants for the template, which depend on the chosen output tile."""
        return {}

    def settings(self, layer: LayerPlan, tiles: np.ndarray, cores: int) -> np.ndarray | None:
        """A number for each tiling, rows (h, w, c) of its full tile, that the costs of all its tiles depend on.

        None when the costs of a tile hang on nothing but itself.
        """
        return None

    def constants(self, attrs: A) -> Mapping[str, Any]:
        """What the operator's template needs to fill the constant part of the kernel's arguments."""
        return {}

    def cost_variant(self, layer: LayerPlan) -> str:
        """Which of its code paths the kernel takes, if their costs have nothing in common."""
        return ""

    def cost_floors(self, variant: str) -> Mapping[int, float]:
        """Least coefficients of some features of a code path, by position: instructions of inner loops."""
        return {}

    def cost_features(self, layer: LayerPlan, work: Work) -> tuple[float, ...]:
        """What the kernel does on the busiest core for one tile, as counts >= 0 that its cycles are linear in.

        A function of the plan and the tile alone; non-decreasing in the busiest core's share. Measured coefficients
        belong to it (`make calibrate`). The first feature is 1.
        """
        return (1.0, work.share(work.pixels * work.out[2]))


def pack_groups(rows: np.ndarray, bias: IntArray, requant: Requant, group: int, interleave: bool) -> PackedWeights:
    """Pack int8 weight rows [channels, K] with their constants in groups of `group` channels.

    interleave: [K4/4][group][4 bytes] (K zero-filled to K4, a multiple of 4), else [K][group] bytes (zero-filled
    to a multiple of 4 bytes a group). Then int32 bias[group], mult[group], shift[group] + 64 * add[group]; channels
    that fill up the last group are (0, 0, 1).
    """
    n, k = rows.shape
    groups = -(-n // group)
    k4 = -(-k // 4) * 4
    full = np.zeros((groups * group, k4), np.int8)
    full[:n, :k] = rows
    consts = np.zeros((3, groups * group), np.int32)
    consts[2] = 1
    for line, values in zip(consts, (bias, requant.mult, requant.shift + 64 * requant.adds), strict=True):
        line[:n] = values
    if interleave:
        body = full.reshape(groups, group, k4 // 4, 4).transpose(0, 2, 1, 3).reshape(groups, -1)
    else:
        body = full[:, :k].reshape(groups, group, k).transpose(0, 2, 1).reshape(groups, -1)
        body = np.pad(body, ((0, 0), (0, -body.shape[1] % 4)))
    tail = consts.reshape(3, groups, group).transpose(1, 0, 2).astype("<i4")
    data = b"".join(body[g].tobytes() + tail[g].tobytes() for g in range(groups))
    return PackedWeights(data, group, len(data) // groups, Unit(0, body.shape[1], 12 * group))
