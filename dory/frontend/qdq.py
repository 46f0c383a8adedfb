"""QuantizeLinear and DequantizeLinear: where float values become integer tensors and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dory.errors import UserError
from dory.frontend.builder import IDENTITY_TABLE, Builder
from dory.frontend.onnx_file import LIMITS, ROUNDING, NodeView
from dory.frontend.operator import Inputs, Operator, axis_of, constant, get, need
from dory.frontend.rounding import NEAREST
from dory.frontend.values import (
    Array,
    Const,
    FloatInput,
    Ints,
    Pending,
    QConst,
    Quant,
    Real,
    Shiftable,
    Target,
    Value,
)
from dory.graph.types import clip

_BITS_HINT = "accepted are int8, uint8, int4 and uint4: quantise to 8 bits or fewer"
_CODES = {0: "uint8", 2: "uint8", 3: "int8", 21: "uint4", 22: "int4", 25: "uint2", 26: "int2"}  # TensorProto.DataType


@dataclass(frozen=True)
class IntType:
    """An integer type of ONNX that fits a byte."""

    signed: bool
    bits: int

    @property
    def lo(self) -> int:
        """Smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """Largest value."""
        return self.lo + (1 << self.bits) - 1

    @property
    def name(self) -> str:
        """As NumPy and ONNX call it."""
        return f"{'' if self.signed else 'u'}int{self.bits}"


_TYPES = {t.name: t for t in (IntType(signed, bits) for signed in (False, True) for bits in (2, 4, 8))}


def type_name(dtype: np.dtype[Any]) -> str:
    """NumPy's name of a type; onnx before 1.19 has the narrow ones as a field of an int8."""
    return dtype.names[0] if dtype.names else dtype.name


def scale_array(node: NodeView, inputs: Inputs, i: int = 1) -> NDArray[np.float64]:
    """The scale input; an error unless it is constant, finite and positive."""
    array = constant(need(node, inputs, i))
    if array is None or array.dtype.kind != "f":
        raise node.error("its scale is not a constant float", "dynamic quantisation is not accepted; use static")
    scale = np.asarray(array, np.float64)
    if scale.size == 0 or not np.all(np.isfinite(scale)) or scale.min() <= 0:
        bad = scale[~(np.isfinite(scale) & (scale > 0))]
        found = f"{bad.reshape(-1)[0]}" if bad.size else "empty"
        raise node.error(f"its scale is {found}", "scales must be positive finite numbers: calibrate this tensor again")
    return scale


def zero_array(node: NodeView, inputs: Inputs) -> Array | None:
    """The zero-point input, None when it is absent."""
    value = get(inputs, 2)
    if value is None:
        return None
    if not isinstance(value, Const) or (
        value.array.dtype.kind not in "iu" and type_name(value.array.dtype) not in _TYPES
    ):
        dtype = getattr(value, "array", np.zeros(0)).dtype
        raise node.error(f"its zero-point is not a constant integer ({dtype})", _BITS_HINT)
    return value.array


def one_quant(node: NodeView, inputs: Inputs, signed: bool) -> Quant:
    """Scale and zero-point of an activation, which must be per tensor."""
    scale, zero = scale_array(node, inputs), zero_array(node, inputs)
    if np.unique(scale).size != 1 or (zero is not None and np.unique(zero).size != 1):
        raise node.error(
            f"an activation with {scale.size} scales", "activations are quantised per tensor; only weights per channel"
        )
    z = 0 if zero is None else int(zero.reshape(-1)[0])
    return Quant(float(scale.reshape(-1)[0]), z + (128 if signed else 0))


def _along_axis(node: NodeView, array: Array, shape: tuple[int, ...]) -> Array:
    """A per-tensor or per-axis parameter, broadcast to the shape of what it quantises."""
    if array.size == 1:
        return np.broadcast_to(array.reshape(()), shape)
    if node.integer("block_size", 0):
        raise node.error("blockwise quantisation", "accepted are scales per tensor and per axis")
    axis = axis_of(node, node.integer("axis", 1), len(shape))
    if array.ndim != 1 or array.size != shape[axis]:
        raise node.error(
            f"scale or zero-point of shape {list(array.shape)} for a tensor of shape {list(shape)}, axis {axis}",
            f"accepted are one value, or {shape[axis]} along the axis",
        )
    return np.broadcast_to(array.reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)


def _out_type(node: NodeView, zero: Array | None) -> IntType:
    code = node.integer("output_dtype", 0)
    name = type_name(zero.dtype) if zero is not None else _CODES.get(code, f"ONNX type {code}")
    if name not in _TYPES:
        raise node.error(f"it quantises to {name}", _BITS_HINT)
    return _TYPES[name]


def _limits(node: NodeView, kind: IntType) -> tuple[int, int]:
    """The integers that it saturates to: those of its type, or fewer where a Clip or a narrow type was before."""
    lo, hi = node.integers(LIMITS) or [kind.lo, kind.hi]
    return max(lo, kind.lo), min(hi, kind.hi)


def import_quantize(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """QuantizeLinear of a constant, of a network input or of any float result."""
    x, zero = need(node, inputs, 0), zero_array(node, inputs)
    kind = _out_type(node, zero)
    lo, hi = _limits(node, kind)
    if isinstance(x, (Const, QConst)):
        return _quantised_constant(node, x, inputs, zero, lo, hi)
    quant, shift = one_quant(node, inputs, kind.signed), 128 if kind.signed else 0
    mode = node.text(ROUNDING, "ROUND")
    target = Target(quant.scale, quant.zero, node.outputs[0], lo + shift, hi + shift, mode)
    if isinstance(x, FloatInput):
        if mode not in NEAREST:
            raise _rounding_error(node, mode, "a network input")
        view = b.quantise_input(x, quant, kind.signed, node)
        view = b.lookup(view, clip(IDENTITY_TABLE, target.lo, target.hi), target, node, ("Clip",))
        return Ints(view, kind.signed, kind.bits)
    if isinstance(x, Ints):
        raise node.error("its input is already quantised", "a QuantizeLinear must read a float value")
    key = (id(x), target)
    if isinstance(x, Pending) and mode not in NEAREST:
        x = _rounded_down(node, x, mode, quant.scale)
    view = b.quantised.get(key) or b.quantise(x, target, node)
    b.quantised[key] = view
    b.keep_alive.append(x)
    b.file_sign[view.tensor] = kind.signed
    return Ints(view, kind.signed, kind.bits)


def _rounding_error(node: NodeView, mode: str, what: str) -> UserError:
    return node.error(
        f"rounding_mode {mode} of {what}",
        f"accepted are {', '.join(NEAREST)}; any for functions of one tensor; FLOOR after products and averages",
    )


def _rounded_down(node: NodeView, x: Pending, mode: str, scale: float) -> Pending:
    """The result less half a step: layers round half up, so that floor(v) is what they make of v - 1/2."""
    source = x.source
    if mode != "FLOOR" or not isinstance(source, Shiftable):
        raise _rounding_error(node, mode, f"the result of {source.node.op} '{source.node.label}'")
    return replace(x, source=source.shifted(-scale / 2))


def _quantised_constant(
    node: NodeView, x: Const | QConst, inputs: Inputs, zero: Array | None, lo: int, hi: int
) -> Const:
    real = constant(x)
    assert real is not None
    scale = _along_axis(node, scale_array(node, inputs), real.shape)
    z = 0 if zero is None else _along_axis(node, zero, real.shape).astype(np.int64)
    q = np.rint(np.asarray(real, np.float32) / scale.astype(np.float32)) + z
    if not np.all(np.isfinite(q)):
        raise node.error("it quantises weights that are not finite", "train or export the network again")
    return Const(np.clip(q, lo, hi).astype(np.int8 if lo < 0 else np.uint8))


def import_dequantize(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """DequantizeLinear of a constant or of an integer activation."""
    x = need(node, inputs, 0)
    if isinstance(x, Const):
        return _dequantised_constant(node, x.array, inputs)
    if not isinstance(x, Ints):
        raise node.error("its input is not an integer tensor", "a DequantizeLinear reads what QuantizeLinear wrote")
    zero = zero_array(node, inputs)
    kind = IntType(x.signed, x.bits).name
    if zero is not None and type_name(zero.dtype) != kind:
        raise node.error(f"its zero-point is {type_name(zero.dtype)}, its input {kind}", _BITS_HINT)
    quant = one_quant(node, inputs, x.signed)
    b.describe_input(x.view.tensor, quant)
    return Real(x.view, quant)


def _dequantised_constant(node: NodeView, array: Array, inputs: Inputs) -> QConst:
    name = type_name(array.dtype)
    if name not in (*_TYPES, "int16", "int32"):
        raise node.error(f"a constant of type {name}", "accepted are weights of 8 bits or fewer, and int32 biases")
    zero = zero_array(node, inputs)
    scale = np.asarray(_along_axis(node, scale_array(node, inputs), array.shape), np.float64)
    ints = array.astype(np.int64)
    if zero is not None:
        ints = ints - _along_axis(node, zero, array.shape).astype(np.int64)
    return QConst(ints, scale)


OPERATORS = (
    Operator(
        ("QuantizeLinear",),
        "int8, uint8, int4, uint4; per tensor (weights also per axis); zero-point optional; Clip after it",
        "the rescale of the layer before it, or lut",
        import_quantize,
    ),
    Operator(
        ("DequantizeLinear",),
        "its results; constants of 2, 4, 8, 16 and 32 bits; scale of rank 0, [1] or per axis",
        "- (folded)",
        import_dequantize,
    ),
)
