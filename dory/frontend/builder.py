"""The integer graph under construction: layers, tensors, their value ranges, and moves between memory orders."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from dory.errors import UserError
from dory.frontend.names import safe_name, unique
from dory.frontend.onnx_file import NodeView, OnnxFile
from dory.frontend.values import FloatInput, Ints, Pending, Quant, Real, Target, Value, View
from dory.graph.types import U8, IntArray, Node, Shape, Tensor
from dory.layers import LAYERS
from dory.layers.lut import LutAttrs
from dory.layers.pad import PadAttrs
from dory.layers.permute import PermuteAttrs, mixed_radix

IDENTITY_TABLE = np.arange(256, dtype=np.int64)
MAX_ELEMENTS = 1 << 24  # of one activation: twice the RAM of any target


@dataclass(frozen=True, eq=False)
class InputPort:
    """A network input: its HWC shape and the flat HWC offset of each of its ONNX elements, in the file's order.

    quant is None until a QuantizeLinear or DequantizeLinear tells it; `real` when the file's input is float.
    """

    idx: IntArray
    shape: Shape
    real: bool
    signed: bool
    quant: Quant | None = None


class Builder:
    """Collects the graph of one file during the walk over its nodes."""

    def __init__(self, file: OnnxFile, rescale_bits: int) -> None:
        self.file = file
        self.rescale_bits = rescale_bits
        self.tensors: dict[str, Tensor] = {}
        self.ranges: dict[str, tuple[int, int]] = {}
        self.nodes: list[Node] = []
        self.notes: list[str] = []
        self.ports: dict[str, InputPort] = {}
        self.quantised: dict[tuple[int, Target], View] = {}  # by id of the value, which keep_alive holds
        self.keep_alive: list[Value] = []
        self.file_sign: dict[str, bool] = {}  # tensor -> whether the file's type is int8
        self._layer_names: set[str] = set()
        self._padded: dict[tuple[str, tuple[int, ...], int], View] = {}
        self._arranged: dict[tuple[str, bytes, Shape], str] = {}

    def add_tensor(self, name: str, shape: Shape, quant: Quant, value_range: tuple[int, int] = (0, 255)) -> str:
        """A new uint8 tensor (HWC shape, elements); returns its name, made unique."""
        name = unique(name, {*self.tensors, *self.ports})
        self._describe(name, shape, quant, value_range)
        return name

    def add_input_tensor(self, port: str, quant: Quant) -> None:
        """The tensor of a network input, which has the input's name."""
        self._describe(port, self.ports[port].shape, quant, (0, 255))

    def _describe(self, name: str, shape: Shape, quant: Quant, value_range: tuple[int, int]) -> None:
        if prod(shape) > MAX_ELEMENTS:
            raise ValueError(f"an activation of {prod(shape)} elements, {MAX_ELEMENTS} are accepted")
        self.tensors[name] = Tensor(name, shape, U8, quant.scale, quant.zero)
        self.ranges[name] = value_range

    def quantise_input(self, x: FloatInput, quant: Quant, signed: bool, node: NodeView) -> View:
        """The integer tensor of a float network input; every QuantizeLinear of one input must be the same."""
        port = self.ports[x.name]
        if port.quant is None:
            self.ports[x.name] = replace(port, quant=quant, signed=signed)
            self.add_input_tensor(x.name, quant)
        elif not port.quant.same(quant) or port.signed != signed:
            raise node.error(
                f"the network input '{x.name}' is quantised twice, with different parameters",
                "quantise a network input once and let its consumers share the result",
            )
        return self.moved(View(x.name, port.idx), x.order, node)

    def describe_input(self, tensor: str, quant: Quant) -> None:
        """Give an integer network input the scale of its (first) DequantizeLinear."""
        port = self.ports.get(tensor)
        if port is not None and port.quant is None:
            self.ports[tensor] = replace(port, quant=quant)
            self.tensors[tensor] = quant.tensor(self.tensors[tensor])

    def emit(
        self,
        op: str,
        node: NodeView,
        inputs: Sequence[str],
        attrs: Any,
        target: Target,
        value_range: tuple[int, int],
        suffix: str = "",
    ) -> str:
        """A new layer; returns the name of its output tensor. UserError at the node for an impossible shape."""
        try:
            shape = LAYERS[op].out_shape(attrs, [self.tensors[t].shape for t in inputs])
        except UserError as exc:
            raise node.error(exc.message, exc.hint) from exc
        output = self.add_tensor(target.name or f"{node.label}{suffix}", shape, target, value_range)
        name = safe_name(f"{node.label}{suffix}", self._layer_names, f"{node.op}{suffix}")
        self._layer_names.add(name)
        self.nodes.append(Node(name, op, tuple(inputs), output, attrs, source=node.label))
        return output

    def target_like(self, tensor: str, name: str) -> Target:
        """Scale and zero-point of an existing tensor, for a new one."""
        t = self.tensors[tensor]
        return Target(t.scale, t.zero_point, name)

    def arrange(self, view: View, wanted: IntArray, shape: Shape, node: NodeView) -> str:
        """The tensor that holds the view's elements so that view.idx == wanted and the HWC shape is `shape`.

        It is the view's own tensor when that is so already, else the output of a new permute layer.
        """
        view = self.settle(view, node)
        idx, want = view.idx.reshape(-1), wanted.reshape(-1)
        if self.tensors[view.tensor].shape == shape and np.array_equal(idx, want):
            return view.tensor
        offsets = np.empty_like(idx)
        offsets[want] = idx
        rows = np.arange(idx.size, dtype=np.int64)
        if not is_radix(offsets) and not np.array_equal(want, rows):  # in two steps, by way of row-major order
            view = View(self.arrange(view, rows, (1, 1, idx.size), node), rows)
            return self.arrange(view, wanted, shape, node)
        key = (view.tensor, offsets.tobytes(), shape)
        if key not in self._arranged:
            attrs = PermuteAttrs(mixed_radix(offsets, node.where), shape)
            target = self.target_like(view.tensor, f"{view.tensor}/permute")
            self._arranged[key] = self.emit(
                "permute", node, [view.tensor], attrs, target, self.ranges[view.tensor], "_permute"
            )
        return self._arranged[key]

    def settle(self, view: View, node: NodeView) -> View:
        """The view without a pending border: a pad layer is made where there is one."""
        if not any(view.pads):
            return view
        key = (view.tensor, view.pads, view.pad_value)
        if key not in self._padded:
            lo, hi = self.ranges[view.tensor]
            padded = (min(lo, view.pad_value), max(hi, view.pad_value))
            source, _ = self.canonical(View(view.tensor, view.idx), node)
            target = self.target_like(view.tensor, f"{view.tensor}/pad")
            tensor = self.emit("pad", node, [source], PadAttrs(view.pads, view.pad_value), target, padded, "_pad")
            self._padded[key] = View(tensor, canonical_idx(view.shape))
        return self._padded[key]

    def canonical(self, view: View, node: NodeView) -> tuple[str, Shape]:
        """(tensor, HWC shape) of a value that an operator needs as [1, C, H, W], [1, C, W] or [1, C]."""
        view = self.settle(view, node)
        shape = hwc_shape(view.shape, node)
        return self.arrange(view, canonical_idx(view.shape), shape, node), shape

    def integers(self, value: Value | None, node: NodeView) -> tuple[View, Quant]:
        """(view, scale and zero-point) of a float input whose values are those of an 8-bit tensor.

        A function between DequantizeLinear and the operator is accepted when it is exact on an 8-bit grid
        (Relu, a positive factor). UserError otherwise.
        """
        if isinstance(value, Pending):
            raise node.error(
                f"its input is the unquantised result of {value.source.node.op} '{value.source.node.label}'",
                "every activation needs QuantizeLinear and DequantizeLinear between two operators",
            )
        if not isinstance(value, Real):
            kind = "integers without DequantizeLinear" if isinstance(value, Ints) else "not a quantised activation"
            raise node.error(
                f"its input is {kind}", "operators work on the output of DequantizeLinear; quantise the whole network"
            )
        if value.table is None:
            return value.view, value.quant
        lo, hi = self.ranges[value.view.tensor]
        values, steps = value.table.astype(np.float64), IDENTITY_TABLE - value.quant.zero
        far = lo if value.quant.zero - lo > hi - value.quant.zero else hi
        if far != value.quant.zero and np.isfinite(values[far]):
            scale = values[far] / (far - value.quant.zero)
            if scale > 0 and np.allclose(values[lo : hi + 1], scale * steps[lo : hi + 1], rtol=1e-6, atol=scale * 1e-6):
                return value.view, Quant(float(scale), value.quant.zero)
        grid = value.quant.quantise(value.table)
        if np.allclose(value.quant.values()[grid][lo : hi + 1], value.table[lo : hi + 1], rtol=1e-6, atol=0):
            return self.lookup(
                value.view, grid, Target(value.quant.scale, value.quant.zero), node, value.ops
            ), value.quant
        raise node.error(
            f"the result of {' and '.join(value.ops)} reaches it without QuantizeLinear",
            "every activation needs QuantizeLinear and DequantizeLinear between two operators",
        )

    def lookup(self, view: View, table: IntArray, target: Target, node: NodeView, ops: tuple[str, ...]) -> View:
        """table[view] as a new tensor of the same memory order; the view itself when the table changes nothing."""
        lo, hi = self.ranges[view.tensor]
        lo, hi = (min(lo, view.pad_value), max(hi, view.pad_value)) if any(view.pads) else (lo, hi)
        if np.array_equal(table[lo : hi + 1], IDENTITY_TABLE[lo : hi + 1]):
            return view
        view = self.settle(view, node)
        used = table[lo : hi + 1]
        attrs = LutAttrs(table, "+".join(ops) or "requantise")
        tensor = self.emit("lut", node, [view.tensor], attrs, target, (int(used.min()), int(used.max())), "_lut")
        return View(tensor, view.idx)

    def quantise(self, value: Real | Pending, target: Target, node: NodeView) -> View:
        """The integer tensor that QuantizeLinear with the target's scale makes of a float value."""
        if isinstance(value, Real):
            return self.lookup(value.view, target.quantise(value.values()), target, node, value.ops)
        lo, hi = (int(v) for v in target.quantise(np.array([value.lo, value.hi])))
        view = value.source.emit(self, target, lo, max(lo, hi))
        return view if value.unmoved else self.moved(view, value.order, node)

    def moved(self, view: View, order: IntArray, node: NodeView) -> View:
        """The view whose element k is element order.flat[k] of this one (row-major), with the shape of `order`.

        Indices only, unless the result is no mixed radix: then the data moves to row-major order first.
        """
        view = self.settle(view, node)
        idx: IntArray = view.idx.reshape(-1)[order]
        if is_radix(idx):
            return View(view.tensor, idx)
        rows = np.arange(view.idx.size, dtype=np.int64)
        return View(self.arrange(view, rows, (1, 1, rows.size), node), order)

    def feeds_only(self, name: str, ops: Collection[str]) -> bool:
        """Whether the ONNX value reaches only the given operators, quantisation and single-input operators skipped."""
        found = True
        for reader in self.file.nodes:
            if name in reader.inputs and reader.op not in ops:
                through = reader.op in _TRANSPARENT
                found = found and through and self.feeds_only(reader.outputs[0], ops)
        return found and all(port.name != name for port in self.file.outputs)


_TRANSPARENT = ("QuantizeLinear", "DequantizeLinear", "Relu", "Clip", "Identity", "Dropout", "Flatten", "Squeeze")


def is_radix(order: IntArray) -> bool:
    """Whether one permute layer can make this order."""
    try:
        mixed_radix(order, "")
    except UserError:
        return False
    return True


def flat_or_hwc(shape: tuple[int, ...]) -> Shape:
    """(H, W, C) of an ONNX shape [1, C, H, W], [1, C, W] or [1, C]; (1, 1, elements) of any other."""
    if not (len(shape) in (2, 3, 4) and shape[0] == 1):
        return (1, 1, int(np.prod(shape, dtype=np.int64)))
    spatial = shape[2:]
    return (spatial[0] if len(spatial) == 2 else 1, spatial[-1] if spatial else 1, shape[1])


def hwc_shape(shape: tuple[int, ...], node: NodeView) -> Shape:
    """(H, W, C) of an ONNX shape [1, C, H, W], [1, C, W] or [1, C]; UserError for any other."""
    if len(shape) not in (2, 3, 4) or shape[0] != 1:
        raise node.error(
            f"its input has the shape {list(shape)}",
            "accepted are [1, C, H, W], [1, C, W] and [1, C]: batch size 1, one or two spatial axes",
        )
    return flat_or_hwc(shape)


def canonical_idx(shape: tuple[int, ...]) -> IntArray:
    """Flat HWC offsets of the ONNX coordinates of [1, C, H, W], [1, C, W] or [1, C]; row-major for any other shape."""
    size = prod(shape)
    if size > MAX_ELEMENTS:
        raise ValueError(f"an activation of shape {list(shape)} has {size} elements, {MAX_ELEMENTS} are accepted")
    if len(shape) in (2, 3, 4) and shape[0] == 1:
        last = np.arange(size, dtype=np.int64).reshape((1, *shape[2:], shape[1]))
        return np.moveaxis(last, -1, 1)
    return np.arange(size, dtype=np.int64).reshape(shape)
