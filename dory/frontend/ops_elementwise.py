"""Element-wise operators: unary functions (tables), Relu and Clip (ranges), additions, channel factors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dory.errors import UserError
from dory.frontend.builder import IDENTITY_TABLE, Builder, canonical_idx, flat_or_hwc
from dory.frontend.fold import evaluate
from dory.frontend.onnx_file import NodeView
from dory.frontend.operator import Inputs, Operator, channel_axis, constant, need, scalar_attr_or_input
from dory.frontend.ops_conv import DeferredProduct, channel_affine
from dory.frontend.values import (
    Array,
    Const,
    FloatInput,
    Ints,
    Pending,
    QConst,
    Quant,
    Real,
    Target,
    Value,
    View,
    pending,
)
from dory.graph.types import Node, clip
from dory.layers.add import add_attrs

QDQ_HINT = "put QuantizeLinear and DequantizeLinear between the two operators"


def _not_quantised(node: NodeView, x: Value) -> UserError:
    if isinstance(x, FloatInput):
        return node.error(
            f"it works on the float network input '{x.name}'",
            "the first operator must be QuantizeLinear: move the preprocessing out of the network",
        )
    return node.error("its input is not a dequantised activation", QDQ_HINT)


def import_clip(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Relu and Clip: the range of the rescale before them, or a table."""
    x = need(node, inputs, 0)
    lo, hi = (
        (0.0, None)
        if node.op == "Relu"
        else (
            scalar_attr_or_input(node, inputs, "min", 1),
            scalar_attr_or_input(node, inputs, "max", 2),
        )
    )
    low, high = (-np.inf if lo is None else lo), (np.inf if hi is None else hi)
    if low > high or np.isnan(low) or np.isnan(high):
        raise node.error(f"it clips to {low}..{high}", "min must not be above max")
    if isinstance(x, Ints):
        shift = 128 if x.signed else 0
        clipped = clip(IDENTITY_TABLE, int(max(low + shift, 0)), int(min(high + shift, 255)))
        target = b.target_like(x.view.tensor, node.outputs[0])
        return replace(x, view=b.lookup(x.view, clipped, target, node, (node.op,)))
    if isinstance(x, Pending):
        return replace(x, lo=min(max(x.lo, low), high), hi=max(min(x.hi, high), low))
    if isinstance(x, Real):
        table = np.clip(x.values(), np.float32(low), np.float32(high)).astype(np.float32)
        return replace(x, table=table, ops=(*x.ops, node.op))
    raise _not_quantised(node, x)


def import_unary(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Any element-wise function of one activation, evaluated on its 256 values; further inputs are constant numbers."""
    x = need(node, inputs, 0)
    return _function(b, node, [x, *inputs[1:]])


def _function(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """A function of constants and of one tensor, seen in one way, as a table."""
    reals = [v for v in inputs if isinstance(v, Real)]
    for v in inputs:
        if isinstance(v, Pending):
            raise node.error(
                f"it works on the unquantised result of {v.source.node.op} '{v.source.node.label}'", QDQ_HINT
            )
        if v is not None and not isinstance(v, (Real, Const, QConst)):
            raise _not_quantised(node, v)
    if not reals:
        raise node.error("none of its inputs is an activation", "export the network with constants folded")
    first = reals[0]
    arrays: list[Array | None] = []
    for v in inputs:
        array = v.values() if isinstance(v, Real) else constant(v)
        if array is not None and not isinstance(v, Real):
            if array.size != 1:
                raise node.error(f"a constant of shape {list(array.shape)}", "accepted is one number for all elements")
            array = array.reshape(())
        arrays.append(array)
    (result, *_) = evaluate(node, arrays)
    if result.shape != (256,):
        raise node.error(
            f"it is not element-wise (256 values give {list(result.shape)})", "see the supported operators"
        )
    ops = tuple(dict.fromkeys(op for r in reals for op in r.ops))
    return replace(first, table=result.astype(np.float32), ops=(*ops, node.op))


def _same_view(a: Real, b: Real) -> bool:
    same = a.view.tensor == b.view.tensor and a.view.pads == b.view.pads
    return same and np.array_equal(a.view.idx, b.view.idx)


def _of_one_tensor(b: Builder, x: Real, y: Real) -> tuple[Real, Real]:
    """Both as functions of one tensor where one comes from the other's tensor by tables (x * sigmoid(x))."""
    for _ in range(len(b.nodes)):
        if x.view.tensor == y.view.tensor:
            break
        made = {n.output: i for i, n in enumerate(b.nodes) if n.op == "lut"}
        at = made.get(x.view.tensor, -1), made.get(y.view.tensor, -1)
        if max(at) < 0 or any(x.view.pads) or any(y.view.pads):
            break
        later = b.nodes[max(at)]  # layers stand in the order of their making: the other cannot come from this one
        x, y = (_before(b, v, later) if v.view.tensor == later.output else v for v in (x, y))
    return x, y


def _before(b: Builder, x: Real, layer: Node) -> Real:
    """A function of a table's result as a function of what the table reads."""
    view = replace(x.view, tensor=layer.inputs[0])
    before, table = b.tensors[layer.inputs[0]], layer.attrs
    ops = (table.function, *x.ops)
    return Real(view, Quant(before.scale, before.zero_point), x.values()[table.table], ops)


def import_binary(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Add, Sub, Mul, Div: a residual sum, a function of one tensor, or channel factors after a convolution."""
    x, y = need(node, inputs, 0), need(node, inputs, 1)
    if node.op == "Sum" and len(inputs) != 2:
        raise node.error(f"a sum of {len(inputs)} inputs", "accepted are two: use Add")
    constants = [constant(x), constant(y)]
    if constants[0] is None and constants[1] is None:
        return _two_activations(b, node, x, y)
    value, array, flipped = (x, constants[1], False) if constants[1] is not None else (y, constants[0], True)
    assert array is not None
    if isinstance(value, Real) and array.size == 1:
        return _function(b, node, inputs)
    if flipped and node.op == "Div":
        raise node.error("a constant divided by an activation", "accepted are factors and offsets per channel")
    if not isinstance(value, (Real, Pending)):
        raise _not_quantised(node, value)
    axis = channel_axis(array, value.shape, _channel_axis(value))
    if axis is None or not np.all(np.isfinite(array)):
        raise node.error(
            f"a constant of shape {list(array.shape)} with an activation of {list(value.shape)}",
            "accepted are one number, or one per channel, all finite",
        )
    channels = value.shape[axis]
    a = np.broadcast_to(array.astype(np.float64).reshape(-1), (channels,))
    one, zero = np.ones(channels), np.zeros(channels)
    if node.op == "Mul":
        factor, add = a, zero
    elif node.op == "Div":
        if np.any(a == 0):
            raise node.error("it divides by zero", "train or export the network again")
        factor, add = 1 / a, zero
    elif node.op == "Sub":
        factor, add = (-one, a) if flipped else (one, -a)
    else:
        factor, add = one, a
    return _scaled(b, node, value, axis, factor, add)


def _channel_axis(value: Real | Pending) -> int:
    """The axis of an activation's channels: the last one of a matrix product, else 1."""
    if isinstance(value, Pending) and isinstance(value.source, DeferredProduct):
        return value.source.channel_axis
    return min(1, len(value.shape) - 1)


def _scaled(b: Builder, node: NodeView, value: Real | Pending, axis: int, factor: Array, add: Array) -> Value:
    """value * factor + add along the axis."""
    if isinstance(value, Real):
        return channel_affine(b, node, value, axis, factor, add)
    if not isinstance(value.source, DeferredProduct) or not value.plain:
        raise node.error(f"it follows the unquantised result of {value.source.node.op}", QDQ_HINT)
    if value.source.channel_axis != axis:
        raise node.error(
            f"constants along axis {axis}", f"accepted along the channels, axis {value.source.channel_axis}"
        )
    return pending(value.source.scaled(factor, add))


def import_batchnorm(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """BatchNormalization at inference: a factor and an offset per channel."""
    x = need(node, inputs, 0)
    if node.integer("training_mode", 0):
        raise node.error("training_mode = 1", "export the network for inference")
    if not isinstance(x, (Real, Pending)):
        raise _not_quantised(node, x)
    parameters = [constant(need(node, inputs, i)) for i in range(1, 5)]
    channels = x.shape[1] if len(x.shape) > 1 else 1
    if any(p is None or p.size != channels for p in parameters):
        raise node.error(f"its parameters are not {channels} constants each", "export the network for inference")
    gamma, beta, mean, var = (np.asarray(p, np.float64).reshape(-1) for p in parameters)
    with np.errstate(all="ignore"):
        factor = gamma / np.sqrt(var + node.real("epsilon", 1e-5))
    add = beta - mean * factor
    if not (np.all(np.isfinite(factor)) and np.all(np.isfinite(add))):
        raise node.error("its parameters are not finite", "train or export the network again")
    return _scaled(b, node, x, min(1, len(x.shape) - 1), factor, add)


@dataclass(frozen=True, eq=False)
class DeferredAdd:
    """A sum of two activations; both views have the same memory order."""

    node: NodeView
    a: tuple[View, Quant]
    b: tuple[View, Quant]

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return self.a[0].shape

    def emit(self, b: Builder, target: Target, lo: int, hi: int) -> View:
        """The layer."""
        (va, qa), (vb, qb) = self.a, self.b
        ta, tb = qa.tensor(b.tensors[va.tensor]), qb.tensor(b.tensors[vb.tensor])
        attrs = add_attrs(ta, tb, target.tensor(ta), lo, hi, self.node.where)
        return View(b.emit("add", self.node, [va.tensor, vb.tensor], attrs, target, (lo, hi)), va.idx)


def _two_activations(b: Builder, node: NodeView, x: Value, y: Value) -> Value:
    if isinstance(x, Real) and isinstance(y, Real):
        if node.op not in ("Add", "Sum"):
            x, y = _of_one_tensor(b, x, y)
        if _same_view(x, y):
            return _function(b, node, [x, y])
    if node.op not in ("Add", "Sum"):
        raise node.error(f"{node.op} of two different activations", "accepted is Add; other operators take constants")
    (vx, qx), (vy, qy) = b.integers(x, node), b.integers(y, node)
    if vx.shape != vy.shape:
        raise node.error(
            f"shapes {list(vx.shape)} and {list(vy.shape)}",
            "the two activations must have one shape; broadcasting is not accepted",
        )
    vx, vy = b.settle(vx, node), b.settle(vy, node)
    same_memory = b.tensors[vx.tensor].shape == b.tensors[vy.tensor].shape and np.array_equal(vx.idx, vy.idx)
    if not same_memory:
        idx, shape = canonical_idx(vx.shape), flat_or_hwc(vx.shape)
        vx = View(b.arrange(vx, idx, shape, node), idx)
        vy = View(b.arrange(vy, idx, shape, node), idx)
    return pending(DeferredAdd(node, (vx, qx), (vy, qy)))


UNARY = (
    *("Sigmoid", "HardSigmoid", "HardSwish", "LeakyRelu", "Tanh", "Elu", "Selu", "Celu", "Gelu", "Mish", "Swish"),
    *("Softplus", "Softsign", "ThresholdedRelu", "Exp", "Log", "Sqrt", "Abs", "Neg", "Reciprocal", "Erf"),
    *("Floor", "Ceil", "Round", "Sign", "Sin", "Cos"),
)
TWO = "of an activation and a number, or of functions of one activation"

OPERATORS = (
    Operator(
        ("Relu", "Clip"),
        "bounds as attributes or inputs (Relu6)",
        "the range of the layer before it, or lut",
        import_clip,
    ),
    Operator(UNARY, "between DequantizeLinear and QuantizeLinear, chains too", "lut", import_unary),
    Operator(("Pow", "Max", "Min", "PRelu"), TWO, "lut", import_unary),
    Operator(
        ("Add", "Sum"),
        "two activations of one shape, each with its own scale; a bias; a number",
        "add, or the layer before it, or lut",
        import_binary,
    ),
    Operator(
        ("Sub", "Mul", "Div"),
        f"{TWO}; per-channel constants",
        "lut, the layer before it, or depthwise",
        import_binary,
    ),
    Operator(
        ("BatchNormalization",),
        "inference; after Conv or Gemm, or alone",
        "the layer before it, or depthwise",
        import_batchnorm,
    ),
)
