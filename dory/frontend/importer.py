"""The QDQ importer: one walk over the nodes of a file, then the integer graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from dory.errors import DoryError, UserError
from dory.frontend.builder import IDENTITY_TABLE, MAX_ELEMENTS, Builder, InputPort, canonical_idx, flat_or_hwc
from dory.frontend.fold import evaluate
from dory.frontend.onnx_file import FLOATS, NodeView, OnnxFile, Port, constant_value
from dory.frontend.operator import Inputs, constant
from dory.frontend.ops_softmax import DeferredSoftmax
from dory.frontend.passes import finish
from dory.frontend.registry import OPERATORS
from dory.frontend.rewrite import normalise, rewritten_operators
from dory.frontend.survey import STATES, State, Verdict, survey
from dory.frontend.values import Const, FloatInput, Ints, Pending, QConst, Quant, Real, Value, View
from dory.graph.types import Graph, IntArray, IoLayout, Shape
from dory.layers.lut import LutAttrs
from dory.layers.permute import mixed_radix

INT8, UINT8 = 3, 2


@dataclass(frozen=True, eq=False)
class Place:
    """Where an ONNX value's integers lie: HWC element k is the value's element order[k] (row-major) plus offset.

    The value is real when `scale` is not 0: its integers are round(value / scale) + offset.
    """

    tensor: str
    order: IntArray
    offset: int
    scale: float = 0.0


@dataclass(frozen=True, eq=False)
class Imported:
    """The graph, and for the ladder: where the integers of each quantised ONNX value lie."""

    graph: Graph
    places: Mapping[str, Place]

    def within(self, names: Collection[str]) -> Imported:
        """Only the places of the named values; a real one where no integer one is of the same tensor."""
        found = {n: p for n, p in self.places.items() if n in names}
        integers = {p.tensor for p in found.values() if not p.scale}
        return Imported(self.graph, {n: p for n, p in found.items() if not p.scale or p.tensor not in integers})


def import_qdq(file: OnnxFile, rescale_bits: int) -> Imported:
    """The integer graph of a QDQ file, or of one in another form that is written anew as QDQ."""
    names = {p.name for p in file.inputs} | {name for node in file.nodes for name in node.outputs}
    return _import(normalise(file).file, rescale_bits).within(names)


def _import(file: OnnxFile, rescale_bits: int) -> Imported:
    b = Builder(file, rescale_bits)
    env: dict[str, Value] = {name: Const(a) for name, a in file.constants.items()}
    used = {name for node in file.nodes for name in node.inputs} | {p.name for p in file.outputs}
    for port in file.inputs:
        if port.name in used:
            env[port.name] = _network_input(b, file, port)
        else:
            b.notes.append(f"the network input '{port.name}' is not used and was dropped")
    for node in file.nodes:
        try:
            _run(b, node, env)
        except DoryError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, ArithmeticError, AttributeError) as exc:
            raise node.error(
                f"it is malformed: {exc}", "check the network with onnx.checker, or export it again"
            ) from exc
    layouts: dict[str, IoLayout] = {}
    outputs = [_network_output(b, file, port, env[port.name], layouts) for port in file.outputs]
    inputs = []
    for name, ip in b.ports.items():
        if ip.quant is None:
            raise UserError(
                f"the network input '{name}' reaches no QuantizeLinear or DequantizeLinear",
                where=str(file.path),
                hint="quantise the whole network, its inputs included",
            )
        inputs.append(name)
        layouts[name] = _layout(name, ip.idx, ip.real, ip.signed)
    graph = finish(file.path.stem, b, tuple(inputs), tuple(outputs), layouts)
    return Imported(graph, {name: p for name, v in env.items() if (p := _place(v, graph)) is not None})


def _place(value: Value, graph: Graph) -> Place | None:
    """Where a value's integers lie; None for one that is not in the graph as it is."""
    if not isinstance(value, (Ints, Real)) or any(value.view.pads) or value.view.tensor not in graph.tensors:
        return None
    order = _inverse(value.view.idx)
    if isinstance(value, Ints):
        if value.bits < 8:
            return None  # NumPy has no such type; the dequantised value tells the same
        return Place(value.view.tensor, order, 128 if value.signed else 0)
    return Place(value.view.tensor, order, value.quant.zero, value.quant.scale) if value.table is None else None


def survey_qdq(original: OnnxFile) -> list[Verdict]:
    """What `import_qdq` makes of each node. UserError for inputs that it cannot take."""
    file = normalise(original).file
    b = Builder(file, 15)
    env: dict[str, Value] = {name: Const(a) for name, a in file.constants.items()}
    for port in file.inputs:
        if any(port.name in node.inputs for node in file.nodes):
            env[port.name] = _network_input(b, file, port)

    def step(node: NodeView) -> State:
        _run(b, node, env)
        return "taken"

    # Nodes that stand for one of the file have its label; the worst of them is what counts.
    worst: dict[str, Verdict] = {}
    for verdict in survey(file, tuple(env), step):
        before = worst.setdefault(verdict.node.label, verdict)
        if STATES.index(verdict.state) > STATES.index(before.state):
            worst[verdict.node.label] = verdict
    found = ((node, worst.get(node.label)) for node in original.nodes)
    return [Verdict(n, v.state, v.reason) if v else Verdict(n, "taken") for n, v in found]


def _run(b: Builder, node: NodeView, env: dict[str, Value]) -> None:
    """Import one node; its outputs join env."""
    inputs: Inputs = [env[n] if n else None for n in node.inputs]
    if node.op == "Constant" and not node.domain:
        env[node.outputs[0]] = Const(constant_value(node))
        return
    quantiser = node.op in ("QuantizeLinear", "DequantizeLinear")
    operator = OPERATORS.get(node.op) if not node.domain or (quantiser and node.domain == "com.microsoft") else None
    foldable = not quantiser and node.op not in _VIEWS
    if foldable and node.inputs and all(v is None or isinstance(v, (Const, QConst)) for v in inputs):
        for name, array in zip(node.outputs, evaluate(node, [constant(v) for v in inputs]), strict=False):
            env[name] = Const(array)
        return
    if operator is None:
        name = f"{node.domain}.{node.op}" if node.domain else node.op
        known = ", ".join([*OPERATORS, *rewritten_operators()])
        raise node.error(f"operator {name} is not supported", f"supported are {known}")
    env[node.outputs[0]] = operator.run(b, node, inputs)
    for extra in filter(None, node.outputs[1:]):
        env.pop(extra, None)


_VIEWS = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Shape")


def _network_input(b: Builder, file: OnnxFile, port: Port) -> Value:
    where = f"{file.path}: network input '{port.name}'"
    shape = tuple(1 if s is None and i == 0 else s for i, s in enumerate(port.shape))
    fixed = tuple(s for s in shape if s is not None)
    if len(fixed) != len(shape) or not shape:
        found = [s if s is not None else "?" for s in shape]
        raise UserError(
            f"its shape {found} is not fixed", where=where, hint="export with fixed sizes; only the batch may vary"
        )
    if len(fixed) > 1 and fixed[0] != 1:
        raise UserError(
            f"its shape {list(fixed)} has a batch of {fixed[0]}", where=where, hint="export with batch size 1"
        )
    if prod(fixed) > MAX_ELEMENTS:
        large = f"its shape {list(fixed)} has {prod(fixed)} elements"
        raise UserError(large, where=where, hint=f"accepted are up to {MAX_ELEMENTS}: export with a smaller input")
    real = port.elem_type in FLOATS
    if not real and port.elem_type not in (INT8, UINT8):
        raise UserError(f"ONNX type {port.elem_type}", where=where, hint="accepted are float, int8 and uint8")
    idx, hwc = _input_layout(file, port.name, fixed)
    signed = port.elem_type == INT8
    b.ports[port.name] = InputPort(idx, hwc, real, signed)
    if real:
        return FloatInput(port.name, np.arange(idx.size, dtype=np.int64).reshape(fixed))
    b.add_input_tensor(port.name, Quant(1.0, 128 if signed else 0))
    return Ints(View(port.name, idx), signed)


def _input_layout(file: OnnxFile, name: str, shape: tuple[int, ...]) -> tuple[IntArray, Shape]:
    """Memory order and HWC shape of a network input: HWC of [1, C, H, W], or as it is when it is NHWC.

    It is NHWC when all it feeds, quantisation aside, are transposes to NCHW.
    """
    readers, seen = [name], []
    while readers:
        current = readers.pop()
        for node in file.nodes:
            if current in node.inputs[:1]:
                if node.op in ("QuantizeLinear", "DequantizeLinear", "Identity", "Cast"):
                    readers.append(node.outputs[0])
                else:
                    seen.append(node.op == "Transpose" and node.integers("perm") in ([0, 3, 1, 2], [0, 2, 1]))
    size = int(np.prod(shape))
    if len(shape) in (3, 4) and shape[0] == 1 and seen and all(seen):
        row_major = np.arange(size, dtype=np.int64).reshape(shape)
        return row_major, (shape[1] if len(shape) == 4 else 1, shape[-2], shape[-1])
    return canonical_idx(shape), flat_or_hwc(shape)


def _network_output(b: Builder, file: OnnxFile, port: Port, value: Value, layouts: dict[str, IoLayout]) -> str:
    """The tensor of a network output; what follows it in float is left to the host, with a note."""
    node = next((n for n in file.nodes if port.name in n.outputs), None)
    if node is None or not isinstance(value, (Ints, Real, Pending)):
        raise UserError(
            f"the output '{port.name}' is {'a constant' if isinstance(value, (Const, QConst)) else 'a network input'}",
            where=str(file.path),
            hint="a network must compute its outputs",
        )
    order: IntArray | None = None
    if isinstance(value, Pending):
        if not isinstance(value.source, DeferredSoftmax) or (value.lo, value.hi) != (-np.inf, np.inf):
            raise node.error(
                f"the output '{port.name}' is the unquantised result of {value.source.node.op}",
                "quantise the network's outputs too (QuantizeLinear, DequantizeLinear at the end)",
            )
        b.notes.append(f"{value.source.node.op} before the output '{port.name}' is left to the host")
        order = value.order
        value = value.source.x
    if isinstance(value, Ints):
        view, quant, signed = value.view, None, value.signed
    else:
        view, quant = _output_integers(b, port.name, value, node)
        signed = b.file_sign.get(view.tensor, False)
    view = b.settle(view, node)
    if order is not None:
        view = b.moved(view, order, node)
    if view.tensor in b.ports:
        raise node.error(
            f"the output '{port.name}' is the network input '{view.tensor}'", "a network must compute its outputs"
        )
    tensor = b.tensors[view.tensor]
    stored = Quant(tensor.scale, tensor.zero_point)
    if view.tensor in layouts or (quant is not None and not quant.same(stored)):
        target = replace(b.target_like(view.tensor, port.name), **({} if quant is None else quant.__dict__))
        attrs = LutAttrs(IDENTITY_TABLE, "copy")
        copy = b.emit("lut", node, [view.tensor], attrs, target, b.ranges[view.tensor], "_copy")
        view = View(copy, view.idx)
    layouts[view.tensor] = _layout(port.name, view.idx, quant is not None, signed)
    return view.tensor


def _output_integers(b: Builder, name: str, value: Real, node: NodeView) -> tuple[View, Quant]:
    """The 8-bit tensor behind a float output; functions that have no 8-bit form are the host's."""
    try:
        return b.integers(value, node)
    except UserError:
        b.notes.append(f"{' and '.join(value.ops)} before the output '{name}' is left to the host")
        return value.view, value.quant


def _layout(name: str, idx: IntArray, real: bool, signed: bool) -> IoLayout:
    """The layout of a value whose ONNX element k lies at flat HWC offset idx.flat[k]."""
    return IoLayout(name, tuple(idx.shape), mixed_radix(_inverse(idx), name), real, 128 if signed else 0)


def _inverse(idx: IntArray) -> IntArray:
    """The flat ONNX index of each HWC element."""
    flat = idx.reshape(-1)
    inverse = np.empty_like(flat)
    inverse[flat] = np.arange(flat.size)
    return inverse
