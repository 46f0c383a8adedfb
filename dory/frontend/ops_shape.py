"""Operators that only move or rename elements: views, padding, concatenation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dory.frontend.builder import Builder, canonical_idx, hwc_shape, is_radix
from dory.frontend.onnx_file import NodeView
from dory.frontend.operator import (
    Inputs,
    Operator,
    axis_of,
    constant_ints,
    get,
    ints_attr_or_input,
    need,
    scalar_attr_or_input,
)
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
from dory.graph.types import IntArray
from dory.layers.concat import MAX_INPUTS, ConcatAttrs


def rearranged(b: Builder, node: NodeView, value: Value, how: str, argument: list[int]) -> Value:
    """The value with its index array reshaped or transposed."""

    def move(a: Array) -> Array:
        try:
            return a.reshape(argument) if how == "reshape" else a.transpose(argument)
        except ValueError as exc:
            raise node.error(
                f"{how} of shape {list(a.shape)} with {argument} is impossible", "export it again"
            ) from exc

    if isinstance(value, Const):
        return Const(move(value.array))
    if isinstance(value, QConst):
        return QConst(move(value.ints), move(value.scale))
    if isinstance(value, (FloatInput, Pending)):
        order = move(value.order)
        if not is_radix(order):
            raise node.error("a chain of reshapes that cut across each other", "put QuantizeLinear between them")
        return replace(value, order=order)
    view = b.settle(value.view, node)  # a pending border has elements too
    rows = np.arange(view.idx.size, dtype=np.int64)
    return replace(value, view=b.moved(view, move(rows.reshape(view.shape)), node))


def import_reshape(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Reshape, with 0 (copy) and -1 sizes."""
    x, shape = need(node, inputs, 0), ints_attr_or_input(node, inputs, "shape", 1)
    if shape is None:
        raise node.error("it has no shape", "export the network again")
    old = x.shape
    if not node.integer("allowzero", 0):
        if any(s == 0 and i >= len(old) for i, s in enumerate(shape)):
            raise node.error(f"shape {shape} copies an axis that {list(old)} does not have", "export it again")
        shape = [old[i] if s == 0 else s for i, s in enumerate(shape)]
    return rearranged(b, node, x, "reshape", shape)


def import_flatten(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Flatten to two axes."""
    x = need(node, inputs, 0)
    axis = node.integer("axis", 1)
    axis = axis if axis == len(x.shape) else axis_of(node, axis, len(x.shape))
    return rearranged(b, node, x, "reshape", [int(np.prod(x.shape[:axis], dtype=np.int64)), -1])


def import_transpose(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Transpose by `perm`."""
    x = need(node, inputs, 0)
    return rearranged(b, node, x, "transpose", node.integers("perm") or list(range(len(x.shape)))[::-1])


def import_squeeze(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Squeeze and Unsqueeze."""
    x, axes = need(node, inputs, 0), ints_attr_or_input(node, inputs, "axes", 1)
    shape = list(x.shape)
    if node.op == "Squeeze":
        drop = {axis_of(node, a, len(shape)) for a in axes} if axes else {i for i, s in enumerate(shape) if s == 1}
        if any(shape[a] != 1 for a in drop):
            raise node.error(f"axes {axes} of shape {shape} are not of size 1", "export the network again")
        return rearranged(b, node, x, "reshape", [s for i, s in enumerate(shape) if i not in drop])
    rank = len(shape) + len(axes or [])
    for a in sorted(axis_of(node, a, rank) for a in axes or []):
        shape.insert(a, 1)
    return rearranged(b, node, x, "reshape", shape)


def import_identity(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Operators that do nothing at inference."""
    return need(node, inputs, 0)


def import_cast(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """A cast between float types changes nothing here."""
    x = need(node, inputs, 0)
    if isinstance(x, Ints) or node.integer("to", 1) not in (1, 10, 11, 16):
        raise node.error(
            "a cast of activations to or from integers", "only QuantizeLinear and DequantizeLinear convert"
        )
    return x


def import_shape(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """The static shape as a constant."""
    shape = need(node, inputs, 0).shape
    return Const(np.array(shape[node.integer("start", 0) : node.integer("end", len(shape))], np.int64))


@dataclass(frozen=True, eq=False)
class DeferredPad:
    """Padding whose value is not on the input's integer grid: the input is requantised first."""

    node: NodeView
    x: Real
    pads: tuple[int, int, int, int]
    value: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        return View("", self.x.view.idx, self.pads).shape

    def emit(self, b: Builder, target: Target, lo: int, hi: int) -> View:
        """Requantise by table, then pad."""
        table = np.clip(target.quantise(self.x.values()), lo, hi)
        view = b.lookup(self.x.view, table, Target(target.scale, target.zero), self.node, ("Pad",))
        value = int(np.clip(target.quantise(np.array(self.value)), lo, hi))
        tensor, _ = b.canonical(view, self.node)
        return View(tensor, canonical_idx(view.shape), self.pads, value)


def import_pad(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Constant padding of height and width; it stays pending, for a convolution to absorb."""
    x = need(node, inputs, 0)
    if node.text("mode", "constant") != "constant":
        raise node.error(f"mode '{node.text('mode', '')}'", "accepted is constant padding")
    pads = ints_attr_or_input(node, inputs, "pads", 1)
    value = scalar_attr_or_input(node, inputs, "value", 2) or 0.0
    rank = len(x.shape)
    axes = constant_ints(node, get(inputs, 3), "axes")
    if pads is None or len(pads) != 2 * (len(axes) if axes is not None else rank):
        raise node.error(f"{pads} pads for rank {rank}", "export the network again")
    full = [0] * (2 * rank)
    for i, axis in enumerate(axes if axes is not None else range(rank)):
        full[axis_of(node, axis, rank)] = pads[i]
        full[axis_of(node, axis, rank) + rank] = pads[i + len(pads) // 2]
    if not any(full):
        return x
    hwc = hwc_shape(x.shape, node)
    if rank < 3 or full[0] or full[1] or full[rank] or full[rank + 1] or min(full) < 0:
        raise node.error(f"pads {full} of shape {list(x.shape)}", "accepted are pads >= 0 of height and width")
    border = (full[2] if rank == 4 else 0, full[rank - 1], full[2 + rank] if rank == 4 else 0, full[-1])
    if isinstance(x, Pending):
        raise node.error(
            f"it pads the unquantised result of {x.source.node.op}", "quantise the result before padding it"
        )
    if not isinstance(x, Real):
        raise node.error("it pads something else than a dequantised activation", "put it after DequantizeLinear")
    view = b.settle(x.view, node)
    x = replace(x, view=view)
    q = int(x.quant.quantise(np.array(value)))
    if abs(float(x.values()[q]) - value) > 1e-6 * max(abs(value), x.quant.scale):
        return pending(DeferredPad(node, x, border, value))
    tensor, _ = b.canonical(view, node)
    assert b.tensors[tensor].shape == hwc
    return replace(x, view=View(tensor, canonical_idx(view.shape), border, q))


@dataclass(frozen=True, eq=False)
class DeferredConcat:
    """Concatenation whose inputs are brought to the output's scale, each by its own table or rescale."""

    node: NodeView
    parts: tuple[Real | Pending, ...]
    axis: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The ONNX shape."""
        shape = list(self.parts[0].shape)
        shape[self.axis] = sum(p.shape[self.axis] for p in self.parts)
        return tuple(shape)

    def emit(self, b: Builder, target: Target, lo: int, hi: int) -> View:
        """Requantise every input, then concatenate."""
        views = []
        for part in self.parts:
            own = Target(target.scale, target.zero)
            if isinstance(part, Pending):
                limits = target.values()[[lo, hi]]
                part = replace(part, lo=max(part.lo, float(limits[0])), hi=min(part.hi, float(limits[1])))
                views.append(b.settle(b.quantise(part, own, self.node), self.node))
            else:
                table = np.clip(own.quantise(part.values()), lo, hi)
                views.append(b.settle(b.lookup(part.view, table, own, self.node, part.ops), self.node))
        return concatenate(b, self.node, views, self.axis, target)


def concatenate(b: Builder, node: NodeView, views: list[View], axis: int, target: Target) -> View:
    """One tensor of several of equal scale: along H, W or C, or end to end in memory, or along row-major rows."""
    rank = len(views[0].shape)
    if rank in (3, 4) and axis > 0 and views[0].shape[0] == 1:
        hwc_axis = 2 if axis == 1 else (axis - 2 if rank == 4 else 1)
        tensors = [b.canonical(v, node)[0] for v in views]
        tensor = _chain(b, node, tensors, hwc_axis, target)
        shape = list(views[0].shape)
        shape[axis] = sum(v.shape[axis] for v in views)
        return View(tensor, canonical_idx(tuple(shape)))
    shapes = [b.tensors[v.tensor].shape for v in views]
    starts = np.cumsum([0] + [v.idx.size for v in views])
    idx: IntArray = np.concatenate([v.idx + s for v, s in zip(views, starts, strict=False)], axis=axis)
    end_to_end = is_radix(idx) or b.feeds_only(node.outputs[0], ("Gemm", "MatMul"))  # these take any order
    if end_to_end and len({s[1:] for s in shapes}) == 1:
        return View(_chain(b, node, [v.tensor for v in views], 0, target), idx)  # H is outermost
    if end_to_end:
        memory = [np.arange(v.idx.size, dtype=np.int64) for v in views]
        flat = [b.arrange(View(v.tensor, m), m, (1, 1, m.size), node) for v, m in zip(views, memory, strict=True)]
        return View(_chain(b, node, flat, 2, target), idx)
    outer = int(np.prod(views[0].shape[:axis], dtype=np.int64))
    rows = [b.arrange(v, np.arange(v.idx.size), (1, outer, v.idx.size // outer), node) for v in views]
    return View(_chain(b, node, rows, 2, target), np.arange(idx.size, dtype=np.int64).reshape(idx.shape))


def _chain(b: Builder, node: NodeView, tensors: list[str], axis: int, target: Target) -> str:
    """Concatenations of at most MAX_INPUTS tensors each."""
    while True:
        head, rest = tensors[:MAX_INPUTS], tensors[MAX_INPUTS:]
        ranges = [b.ranges[t] for t in head]
        both = (min(r[0] for r in ranges), max(r[1] for r in ranges))
        out = target if not rest else Target(target.scale, target.zero, f"{node.label}/part")
        tensor = b.emit("concat", node, head, ConcatAttrs(axis), out, both, "" if not rest else "_part")
        if not rest:
            return tensor
        tensors = [tensor, *rest]


def import_concat(b: Builder, node: NodeView, inputs: Inputs) -> Value:
    """Concat of activations; at once when all have one scale, else when the output's scale is known."""
    parts = [need(node, inputs, i) for i in range(len(inputs))]
    axis = axis_of(node, node.integer("axis", 1), len(parts[0].shape))
    shapes = [p.shape[:axis] + p.shape[axis + 1 :] for p in parts]
    if len(set(shapes)) != 1:
        raise node.error(f"shapes {[list(p.shape) for p in parts]}", "inputs must agree on all other axes")
    if len(parts) == 1:
        return parts[0]
    real: list[Real | Pending] = []
    for p in parts:
        if not isinstance(p, (Real, Pending)):
            raise node.error("an input that is not a dequantised activation", "accepted are quantised activations only")
        real.append(p)
    first = real[0]
    equal = [
        p
        for p in real
        if isinstance(p, Real) and p.table is None and isinstance(first, Real) and p.quant.same(first.quant)
    ]
    if isinstance(first, Real) and len(equal) == len(real):
        target = Target(first.quant.scale, first.quant.zero)
        views = [b.settle(p.view, node) for p in equal]
        return Real(concatenate(b, node, views, axis, target), Quant(target.scale, target.zero))
    return pending(DeferredConcat(node, tuple(real), axis))


OPERATORS = (
    Operator(("Reshape",), "static shape", "- (view), or permute", import_reshape),
    Operator(("Flatten",), "any axis", "- (view)", import_flatten),
    Operator(("Transpose",), "any permutation", "- (view), or permute", import_transpose),
    Operator(("Squeeze", "Unsqueeze"), "axes as attribute or input", "- (view)", import_squeeze),
    Operator(("Identity", "Dropout"), "inference", "- (folded)", import_identity),
    Operator(("Cast",), "between float types", "- (folded)", import_cast),
    Operator(("Shape",), "static shapes", "- (folded)", import_shape),
    Operator(
        ("Pad",), "constant, height and width; pads as attribute or input", "the next convolution, or pad", import_pad
    ),
    Operator(("Concat",), "any axis; each input with its own scale", "concat (and lut per other scale)", import_concat),
)
