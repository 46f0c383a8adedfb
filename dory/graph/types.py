"""Types of the integer graph: quantised tensors, rescales, nodes and the graph itself.

Activations are HWC (channels innermost) without a batch dimension; a vector of n features is
(1, 1, n). Everything is frozen: passes build new graphs with `dataclasses.replace`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dory.errors import UserError

IntArray = NDArray[np.int64]
Shape = tuple[int, int, int]

ACC_MIN, ACC_MAX = -(2**31), 2**31 - 1


def clip(x: IntArray, lo: int, hi: int) -> IntArray:
    """np.clip with its type kept."""
    return np.minimum(np.maximum(x, lo), hi)


@dataclass(frozen=True)
class QType:
    """An integer storage type: `bits` in {2, 4, 8, 32} and signedness."""

    bits: int = 8
    signed: bool = False

    def __post_init__(self) -> None:
        if self.bits not in (2, 4, 8, 32):
            raise ValueError(f"{self.bits} bits: accepted are 2, 4, 8 and 32")

    @property
    def lo(self) -> int:
        """Smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """Largest value."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def c_name(self) -> str:
        """The C type that holds one element (sub-byte types are packed in uint8_t)."""
        return f"{'' if self.signed else 'u'}int{max(self.bits, 8)}_t"

    def __str__(self) -> str:
        return f"{'i' if self.signed else 'u'}{self.bits}"


U8 = QType(8, False)
I8 = QType(8, True)
I32 = QType(32, True)


@dataclass(frozen=True)
class Tensor:
    """An activation. real = scale * (integer - zero_point); shape is (H, W, C) in elements."""

    name: str
    shape: Shape
    qtype: QType
    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"tensor {self.name}: shape {self.shape} is not (H, W, C) with positive sizes")
        if not (np.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"tensor {self.name}: scale {self.scale} is not a positive finite number")
        if not self.qtype.lo <= self.zero_point <= self.qtype.hi:
            raise ValueError(f"tensor {self.name}: zero-point {self.zero_point} is outside {self.qtype}")

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in memory; sub-byte elements are packed along C, each pixel starting on a byte."""
        h, w, c = self.shape
        return h * w * ((c * self.qtype.bits + 7) // 8)

    def quantise(self, real: NDArray[Any]) -> IntArray:
        """Real HWC values to integers: round half to even, saturate (ONNX QuantizeLinear)."""
        q = np.rint(np.asarray(real, np.float32) / np.float32(self.scale)).astype(np.int64) + self.zero_point
        return clip(q, self.qtype.lo, self.qtype.hi)

    def dequantise(self, q: NDArray[Any]) -> NDArray[np.float32]:
        """Integers to real values (float32)."""
        return ((np.asarray(q, np.int64) - self.zero_point) * np.float32(self.scale)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Requant:
    """Per-channel rescale: y = clip(zero_point + add + ((acc * mult + (1 << (shift-1))) >> shift), lo, hi).

    `mult`, `shift` and `add` are int64 arrays of one entry per output channel (or of one entry for all; add may be
    absent, which is 0); |mult| < 2**31, 1 <= shift <= 62, |add| < 2**24. The product is taken in 64 bits, one rounding,
    half up. `add` and negative multipliers come from files that define another rounding (see dory.graph.staircase).
    """

    mult: IntArray
    shift: IntArray
    zero_point: int
    lo: int
    hi: int
    add: IntArray | None = None

    def __post_init__(self) -> None:
        if self.mult.shape != self.shift.shape or self.mult.ndim != 1:
            raise ValueError("mult and shift must be vectors of the same length")
        if np.abs(self.mult).max() >= 2**31:
            raise ValueError("a rescale multiplier is outside +-(2^31-1)")
        if self.shift.min() < 1 or self.shift.max() > 62:
            raise ValueError("a rescale shift is outside 1..62")
        if self.lo > self.hi:
            raise ValueError(f"empty output range {self.lo}..{self.hi}")
        if self.add is not None and (self.add.shape != self.mult.shape or np.abs(self.add).max() >= 2**24):
            raise ValueError("add must be a vector like mult, within +-(2^24-1)")

    @property
    def adds(self) -> IntArray:
        """add, zeros where it is absent."""
        return np.zeros_like(self.mult) if self.add is None else self.add

    def apply(self, acc: NDArray[Any]) -> IntArray:
        """Rescale accumulators whose last axis is the channel."""
        a = np.asarray(acc, np.int64)
        y = (a * self.mult + (np.int64(1) << (self.shift - 1))) >> self.shift
        return clip(y + self.adds + self.zero_point, self.lo, self.hi)


@dataclass(frozen=True)
class Window:
    """A sliding window over H and W. Pairs are (vertical, horizontal), pads (top, left, bottom, right)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        if min(*self.kernel, *self.stride, *self.dilation) < 1 or min(self.pads) < 0:
            raise ValueError(f"{self}: kernel, stride and dilation must be >= 1, pads >= 0")

    def span(self, axis: int) -> int:
        """Input elements that one output element sees along the axis (0 vertical, 1 horizontal)."""
        return (self.kernel[axis] - 1) * self.dilation[axis] + 1

    def out_size(self, axis: int, size: int) -> int:
        """Output elements along the axis for `size` input elements; may be < 1 for an impossible window."""
        return (size + self.pads[axis] + self.pads[axis + 2] - self.span(axis)) // self.stride[axis] + 1

    def in_range(self, axis: int, o0: int, o1: int, size: int) -> tuple[int, int, int, int]:
        """Input interval [i0, i1) inside the tensor that outputs [o0, o1) read, and padding before and after it."""
        lo = o0 * self.stride[axis] - self.pads[axis]
        hi = (o1 - 1) * self.stride[axis] - self.pads[axis] + self.span(axis)
        i0, i1 = min(max(lo, 0), size), max(min(hi, size), 0)
        i1 = max(i0, i1)
        return i0, i1, min(max(-lo, 0), hi - lo), min(max(hi - size, 0), hi - lo)


@dataclass(frozen=True, eq=False)
class Node:
    """One integer layer. `op` selects the layer module; `attrs` is that module's frozen attribute class."""

    name: str
    op: str
    inputs: tuple[str, ...]
    output: str
    attrs: Any
    source: str = ""  # name of the ONNX node that it came from, for messages


@dataclass(frozen=True, eq=False)
class Graph:
    """A network in topological order. `tensors` holds every activation, constants live in node attributes."""

    name: str
    nodes: tuple[Node, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()  # facts for the report: parts left to the host, folded channels, ...
    io_layouts: Mapping[str, IoLayout] = field(default_factory=dict)
    epilogue: bytes = b""  # ONNX model of what the host computes from the outputs; empty when there is nothing

    def __post_init__(self) -> None:
        made = set(self.inputs)
        for node in self.nodes:
            for name in node.inputs:
                if name not in made:
                    raise ValueError(f"node {node.name} reads {name}, which nothing before it produces")
            if node.output in made:
                raise ValueError(f"tensor {node.output} is produced twice")
            made.add(node.output)
        missing = [t for t in (*made, *self.outputs) if t not in self.tensors or t not in made]
        if missing:
            raise ValueError(f"tensors without description or producer: {missing}")

    def consumers(self, tensor: str) -> tuple[int, ...]:
        """Indices of the nodes that read the tensor."""
        return tuple(i for i, n in enumerate(self.nodes) if tensor in n.inputs)

    def producer(self, tensor: str) -> int | None:
        """Index of the node that makes the tensor, None for a network input."""
        return next((i for i, n in enumerate(self.nodes) if n.output == tensor), None)


@dataclass(frozen=True)
class IoLayout:
    """How a network input or output of the ONNX file maps to its HWC tensor.

    `onnx_shape` has the batch dimension; `to_hwc` are the flat ONNX indices in HWC memory order as a
    mixed radix, ((count, stride), ...), outermost first. `float_io` says that the file's value is real.
    `signed_offset` is 128 when the file's type is int8 and the tensor here is its uint8 twin, else 0.
    `exact` says that the file's floats hold the integers themselves: other values are refused, nothing is rounded.
    `word_bytes` 4: an element is an int32 whose bytes, least significant first, are consecutive channels of the tensor.
    """

    onnx_name: str
    onnx_shape: tuple[int, ...]
    to_hwc: tuple[tuple[int, int], ...]
    float_io: bool
    signed_offset: int = 0
    exact: bool = False
    word_bytes: int = 1


def check_accumulator(lo: IntArray, hi: IntArray, where: str) -> None:
    """Raise UserError when a channel's accumulator can leave int32."""
    bad = np.flatnonzero((lo < ACC_MIN) | (hi > ACC_MAX))
    if bad.size:
        c = int(bad[0])
        raise UserError(
            f"the accumulator of output channel {c} can reach {int(lo[c])}..{int(hi[c])}, outside 32 bits"
            f" ({bad.size} channels in all)",
            where=where,
            hint="quantise with a smaller bias or fewer input channels per layer",
        )
