"""What an ONNX value can be while the network is imported.

Import is one forward walk over the nodes. Every ONNX value is one of the classes below; operators map values to values,
and only QuantizeLinear turns a float result into an integer tensor. Reshapes and transposes touch indices only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dory.frontend.rounding import ROUNDINGS
from dory.graph.types import IntArray, Tensor, clip

if TYPE_CHECKING:
    from dory.frontend.builder import Builder
    from dory.frontend.onnx_file import NodeView

Array: TypeAlias = NDArray[Any]
NO_PADS = (0, 0, 0, 0)


@dataclass(frozen=True)
class Quant:
    """real = scale * (q - zero) with q in 0..255. Signed ONNX types are shifted: zero is the file's plus 128."""

    scale: float
    zero: int

    def same(self, other: Quant) -> bool:
        """Equal scale and zero-point."""
        return self.scale == other.scale and self.zero == other.zero

    def quantise(self, real: Array, rounding: str = "ROUND") -> IntArray:
        """QuantizeLinear in float32: round (half to even), saturate to 0..255. NaN becomes 0."""
        with np.errstate(all="ignore"):
            steps = np.asarray(real, np.float32) / np.float32(self.scale)
            q = ROUNDINGS[rounding](steps).astype(np.float64) + self.zero
        clipped: IntArray = np.clip(np.nan_to_num(q, nan=0.0, posinf=255.0, neginf=0.0), 0, 255).astype(np.int64)
        return clipped

    def values(self) -> NDArray[np.float32]:
        """DequantizeLinear of 0..255 in float32."""
        return ((np.arange(256) - self.zero).astype(np.float32) * np.float32(self.scale)).astype(np.float32)

    def tensor(self, like: Tensor) -> Tensor:
        """`like` read with this scale and zero-point."""
        return Tensor(like.name, like.shape, like.qtype, self.scale, self.zero)


@dataclass(frozen=True, eq=False)
class View:
    """An integer tensor seen in ONNX coordinates: idx[coordinates] is the flat HWC offset.

    With `pads` (top, left, bottom, right), idx is the unpadded canonical [1, C, H, W] or [1, C, W]; the border, which
    no node has made yet, reads as pad_value: convolutions absorb it.
    """

    tensor: str
    idx: IntArray
    pads: tuple[int, int, int, int] = NO_PADS
    pad_value: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape, pads included."""
        s = self.idx.shape
        t, left, b, r = self.pads
        if len(s) == 4:
            return (s[0], s[1], s[2] + t + b, s[3] + left + r)
        return (*s[:-1], s[-1] + left + r) if len(s) == 3 else s


@dataclass(frozen=True, eq=False)
class Const:
    """A constant array."""

    array: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return tuple(self.array.shape)


@dataclass(frozen=True, eq=False)
class QConst:
    """A dequantised constant: real = ints * scale, the zero-point subtracted, scale of the same shape."""

    ints: IntArray
    scale: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return tuple(self.ints.shape)


@dataclass(frozen=True, eq=False)
class Ints:
    """The output of QuantizeLinear; `signed` when the file's type is, `bits` its width (4 for int4)."""

    view: View
    signed: bool
    bits: int = 8

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return self.view.shape


@dataclass(frozen=True, eq=False)
class Real:
    """A float value that is a function of one 8-bit tensor: table[q], or quant's own values when there is no table.

    `ops` names the functions in the table, for messages.
    """

    view: View
    quant: Quant
    table: NDArray[np.float32] | None = None
    ops: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return self.view.shape

    def values(self) -> NDArray[np.float32]:
        """float32 value of each integer 0..255."""
        return self.quant.values() if self.table is None else self.table


class Deferred(Protocol):
    """An operator whose output is not quantised yet: it becomes a layer when the output's scale is known."""

    @property
    def node(self) -> NodeView:
        """The ONNX node."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""

    def emit(self, b: Builder, target: Target, lo: int, hi: int) -> View:
        """Make the layer(s) with the output clipped to lo..hi."""


@runtime_checkable
class Shiftable(Protocol):
    """A deferred operator that can add a real number to its result before it is rounded."""

    def shifted(self, offset: float) -> Deferred:
        """The same with `offset` added."""


@dataclass(frozen=True, eq=False)
class Pending:
    """A deferred result, reshaped by `order` (flat offsets into source.shape) and clipped to lo..hi in real numbers."""

    source: Deferred
    order: IntArray
    lo: float = -np.inf
    hi: float = np.inf

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return tuple(self.order.shape)

    @property
    def unmoved(self) -> bool:
        """Neither reshaped nor transposed."""
        flat = self.order.reshape(-1)
        return self.shape == self.source.shape and bool(np.array_equal(flat, np.arange(flat.size)))

    @property
    def plain(self) -> bool:
        """Neither reshaped nor clipped."""
        return self.unmoved and self.lo == -np.inf and self.hi == np.inf


@dataclass(frozen=True, eq=False)
class FloatInput:
    """A float network input before its QuantizeLinear; order holds flat offsets into the input as the file has it."""

    name: str
    order: IntArray

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return tuple(self.order.shape)


Value: TypeAlias = Const | QConst | Ints | Real | Pending | FloatInput


@dataclass(frozen=True)
class Target(Quant):
    """Scale and zero-point of a tensor to make, the name it should get, and the integers that it saturates to."""

    name: str = field(default="", compare=False)
    lo: int = 0
    hi: int = 255
    rounding: str = "ROUND"

    def quantise(self, real: Array, rounding: str = "") -> IntArray:
        """Like Quant's, in the target's rounding, saturated to lo..hi."""
        return clip(super().quantise(real, rounding or self.rounding), self.lo, self.hi)


def pending(source: Deferred) -> Pending:
    """A deferred result as it comes from its operator."""
    size = int(np.prod(source.shape, dtype=np.int64))
    return Pending(source, np.arange(size, dtype=np.int64).reshape(source.shape))
