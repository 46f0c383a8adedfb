"""QuantizeLinear and DequantizeLinear: where float values become integer tensors and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dory.frontend.builder import Builder
from dory.frontend.onnx_file import NodeView
from dory.frontend.operator import Inputs, Operator, axis_of, constant, get, need
from dory.frontend.values import Array, Const, FloatInput, Ints, QConst, Quant, Real, Target, Value

_BITS_HINT = "accepted are int8 and uint8: quantise to 8 bits"


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
    if not isinstance(value, Const) or value.array.dtype.kind not in "iu":
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


def _out_dtype(node: NodeView, zero: Array | None) -> np.dtype[Any]:
    if zero is not None:
        dtype = zero.dtype
    else:
        code = node.integer("output_dtype", 0)
        if code not in (0, 2, 3):
            raise node.error(f"it quantises to ONNX type {code}", _BITS_HINT)
        dtype = np.dtype(np.int8 if code == 3 else np.uint8)
    if dtype not in (np.dtype(np.uint8), np.dtype(np.int8)):
        raise node.error(f"it quantises to {dtype}", _BITS_HINT)
    return dtype


def import_quantize(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """QuantizeLinear of a constant, of a network input or of any float result."""
    x, zero = need(node, inputs, 0), zero_array(node, inputs)
    dtype = _out_dtype(node, zero)
    signed = dtype == np.int8
    if isinstance(x, (Const, QConst)):
        real = constant(x)
        assert real is not None
        scale = _along_axis(node, scale_array(node, inputs), real.shape)
        z = 0 if zero is None else _along_axis(node, zero, real.shape).astype(np.int64)
        info = np.iinfo(dtype)
        q = np.rint(np.asarray(real, np.float32) / scale.astype(np.float32)) + z
        if not np.all(np.isfinite(q)):
            raise node.error("it quantises weights that are not finite", "train or export the network again")
        return Const(np.clip(q, info.min, info.max).astype(dtype))
    quant = one_quant(node, inputs, signed)
    target = Target(quant.scale, quant.zero, node.outputs[0])
    if isinstance(x, FloatInput):
        return Ints(b.quantise_input(x, quant, signed, node), signed)
    if isinstance(x, Ints):
        raise node.error("its input is already quantised", "a QuantizeLinear must read a float value")
    key = (id(x), quant.scale, quant.zero)
    view = b.quantised.get(key) or b.quantise(x, target, node)
    b.quantised[key] = view
    b.keep_alive.append(x)
    b.file_sign[view.tensor] = signed
    return Ints(view, signed)


def import_dequantize(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """DequantizeLinear of a constant or of an integer activation."""
    x = need(node, inputs, 0)
    if isinstance(x, Const):
        return _dequantised_constant(node, x.array, inputs)
    if not isinstance(x, Ints):
        raise node.error("its input is not an integer tensor", "a DequantizeLinear reads what QuantizeLinear wrote")
    zero = zero_array(node, inputs)
    if zero is not None and zero.dtype != (np.int8 if x.signed else np.uint8):
        raise node.error(f"its zero-point is {zero.dtype}, its input {'int8' if x.signed else 'uint8'}", _BITS_HINT)
    quant = one_quant(node, inputs, x.signed)
    b.describe_input(x.view.tensor, quant)
    return Real(x.view, quant)


def _dequantised_constant(node: NodeView, array: Array, inputs: Inputs) -> QConst:
    if array.dtype not in (np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int32)):
        raise node.error(f"a constant of type {array.dtype}", "accepted are int8 and uint8 weights and int32 biases")
    zero = zero_array(node, inputs)
    scale = np.asarray(_along_axis(node, scale_array(node, inputs), array.shape), np.float64)
    ints = array.astype(np.int64)
    if zero is not None:
        ints = ints - _along_axis(node, zero, array.shape).astype(np.int64)
    return QConst(ints, scale)


OPERATORS = (
    Operator(
        ("QuantizeLinear",),
        "int8, uint8; per tensor (weights also per axis); zero-point optional",
        "the rescale of the layer before it, or lut",
        import_quantize,
    ),
    Operator(
        ("DequantizeLinear",),
        "int8, uint8, int32 constants; scale of rank 0, [1] or per axis",
        "- (folded)",
        import_dequantize,
    ),
)
