"""The importer of integer networks (NEMO, Quantlab): integers held in float tensors, arithmetic as ONNX nodes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from dory.errors import DoryError, UserError
from dory.frontend.builder import IDENTITY_TABLE, MAX_ELEMENTS, Builder, InputPort, canonical_idx, flat_or_hwc
from dory.frontend.fold import evaluate
from dory.frontend.importer import Imported, Place
from dory.frontend.integer.eight import Walk
from dory.frontend.integer.epilogue import epilogue_model
from dory.frontend.integer.operators import OPERATORS
from dory.frontend.integer.sources import Anything, Chained, Host
from dory.frontend.onnx_file import NodeView, OnnxFile, Port, constant_value
from dory.frontend.operator import constant
from dory.frontend.passes import finish
from dory.frontend.survey import MALFORMED, State, Verdict, survey
from dory.frontend.values import Const, Ints, Quant, View
from dory.graph.types import Graph, IntArray, IoLayout
from dory.layers.lut import LutAttrs
from dory.layers.permute import mixed_radix

INT8, UINT8 = 3, 2
PRESERVED = ("Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Shape")


@dataclass(eq=False)
class _Import:
    """One import in progress: every ONNX value, and what the outputs turned out to be."""

    w: Walk
    env: dict[str, Anything]
    layouts: dict[str, IoLayout] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    cuts: dict[str, str] = field(default_factory=dict)  # ONNX value -> tensor that is a network output


def import_integer(file: OnnxFile, *, signed_inputs: bool = False) -> Imported:
    """The integer graph of a NEMO or Quantlab file.

    The files do not tell the type of an input: 0..255, or -128..127 with signed_inputs. UserError when the file is no
    such network, or one that has no exact form here.
    """
    run, feeds_layers = _start(file, signed_inputs)
    b = run.w.b
    for node in file.nodes:
        try:
            _step(run, node, feeds_layers)
        except DoryError:
            raise
        except MALFORMED as exc:
            raise node.error(
                f"it is malformed: {exc}", "check the network with onnx.checker, or export it again"
            ) from exc
    for port in file.outputs:
        _cut(run, port.name, ())
    if not run.outputs:
        raise UserError("no layer of it can be deployed", where=str(file.path), hint="see python -m dory ops")
    for name, ip in b.ports.items():
        run.layouts[name] = _layout(name, ip.idx, ip.signed)
    graph = finish(file.path.stem, b, tuple(b.ports), tuple(run.outputs), run.layouts)
    return Imported(_with_epilogue(graph, file, run), _places(run, graph))


def _places(run: _Import, graph: Graph) -> dict[str, Place]:
    """Where the integers of the ONNX values lie that are 8-bit tensors as they are."""
    out = {}
    for name, value in run.env.items():
        ints = run.w.made.get(id(value)) if isinstance(value, Chained) else value
        if isinstance(ints, Ints) and not any(ints.view.pads) and ints.view.tensor in graph.tensors:
            order = np.empty(ints.view.idx.size, np.int64)
            order[ints.view.idx.reshape(-1)] = np.arange(order.size)
            out[name] = Place(ints.view.tensor, order, run.w.zero(ints.view))
    return out


def survey_integer(file: OnnxFile, *, signed_inputs: bool = False) -> list[Verdict]:
    """What `import_integer` makes of each node. UserError for inputs that it cannot take."""
    run, feeds_layers = _start(file, signed_inputs)

    def step(node: NodeView) -> State:
        _step(run, node, feeds_layers)
        return "host" if any(isinstance(run.env.get(n), Host) for n in node.outputs) else "taken"

    return survey(file, tuple(run.env), step)


def _start(file: OnnxFile, signed_inputs: bool) -> tuple[_Import, set[str]]:
    """(constants and inputs known, the values that layers read)."""
    b = Builder(file, 31)
    run = _Import(Walk(b, file), {name: Const(a) for name, a in file.constants.items()})
    used = {name for node in file.nodes for name in node.inputs} | {p.name for p in file.outputs}
    for port in file.inputs:
        if port.name in used:
            run.env[port.name] = _input(b, file, port, signed_inputs)
        else:
            b.notes.append(f"the network input '{port.name}' is not used and was dropped")
    return run, _feeding_layers(file)


def _with_epilogue(graph: Graph, file: OnnxFile, run: _Import) -> Graph:
    """The graph with what the host computes, as a model and as a note."""
    hosts = [p.name for p in file.outputs if p.name not in run.cuts]
    if not hosts:
        return graph
    shapes = {name: graph.io_layouts[tensor].onnx_shape for name, tensor in run.cuts.items()}
    model, nodes = epilogue_model(file, shapes)
    ops = ", ".join(dict.fromkeys(n.op for n in nodes if n.op != "Constant"))
    note = f"{ops} before the output{'s' * (len(hosts) > 1)} {', '.join(hosts)}: left to the host, host/epilogue.onnx"
    return replace(graph, notes=(*graph.notes, note), epilogue=model)


def _input(b: Builder, file: OnnxFile, port: Port, signed: bool) -> Ints:
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
    signed = port.elem_type == INT8 or (signed and port.elem_type != UINT8)
    idx, zero = canonical_idx(fixed), 128 if signed else 0
    b.ports[port.name] = InputPort(idx, flat_or_hwc(fixed), True, signed, Quant(1.0, zero))
    b.add_input_tensor(port.name, Quant(1.0, zero))
    return Ints(View(port.name, idx), signed)


def _feeding_layers(file: OnnxFile) -> set[str]:
    """ONNX values that some layer (convolution, pool, ...) reads, directly or not."""
    found: set[str] = set()
    for node in reversed(file.nodes):
        operator = OPERATORS.get(node.op)
        if (operator is not None and operator.layer_op) or found.intersection(node.outputs):
            found.update(node.inputs)
    return found


def _step(run: _Import, node: NodeView, feeds_layers: set[str]) -> None:
    """Import one node; its outputs join env. What cannot be imported and feeds no layer is the host's."""
    feeds_layer = not feeds_layers.isdisjoint(node.outputs)
    inputs = [run.env[n] if n else None for n in node.inputs]
    if node.op == "Constant" and not node.domain:
        run.env[node.outputs[0]] = Const(constant_value(node))
        return
    if node.inputs and node.op not in PRESERVED and all(v is None or isinstance(v, Const) for v in inputs):
        arrays = [constant(v) if isinstance(v, Const) else None for v in inputs]
        for name, array in zip(node.outputs, evaluate(node, arrays), strict=False):
            run.env[name] = Const(array)
        return
    host = next((v for v in inputs if isinstance(v, Host)), None)
    if host is not None:
        if feeds_layer or (node.op in OPERATORS and OPERATORS[node.op].layer_op):
            raise host.reason
        value: Anything = host
    else:
        try:
            operator = OPERATORS.get(node.op) if not node.domain else None
            if operator is None:
                name = f"{node.domain}.{node.op}" if node.domain else node.op
                raise node.error(
                    f"operator {name} is not supported between layers of integers", f"supported: {', '.join(OPERATORS)}"
                )
            value = operator.run(run.w, node, inputs)
        except UserError as exc:
            if feeds_layer:
                raise
            value = Host(exc)
    for name in filter(None, node.outputs):
        run.env[name] = value
    if not isinstance(value, Host):
        for extra in filter(None, node.outputs[1:]):
            run.env.pop(extra, None)


def _cut(run: _Import, name: str, path: tuple[str, ...]) -> None:
    """Make the ONNX value a network output, or else what the nodes that compute it on the host read."""
    value = run.env[name]
    if name in run.cuts or isinstance(value, Const):
        if not path:
            _constant_output(run, name, value)
        return
    made: tuple[View, bool] | None = None
    if isinstance(value, Ints):
        made = (run.w.b.settle(value.view, _maker(run, name)), False) if name not in run.w.b.ports else None
    elif isinstance(value, Chained):
        made = run.w.words(value)
    if made is not None:
        _output(run, name, *made)
        return
    node = _maker(run, name)
    if name in run.w.b.ports or (node.op in OPERATORS and OPERATORS[node.op].layer_op):
        if isinstance(value, Host):
            raise value.reason
        raise _no_output(run, name, value, node)
    if isinstance(value, Host) and not any(isinstance(run.env[n], (Ints, Chained, Host)) for n in node.inputs if n):
        raise value.reason
    for n in filter(None, node.inputs):
        _cut(run, n, (*path, name))


def _no_output(run: _Import, name: str, value: Anything, node: NodeView) -> Exception:
    if name in run.w.b.ports:
        return UserError(
            f"its output is the network input '{name}'",
            where=str(run.w.file.path),
            hint="a network must compute its outputs",
        )
    found = f"its result '{name}' is a network output or what the host reads, but neither 8 bits nor int32 of one row"
    return node.error(found, "end the network with a fully connected layer, or a division, a floor and a clip")


def _constant_output(run: _Import, name: str, value: Anything) -> None:
    if isinstance(value, Const):
        raise UserError(
            f"the output '{name}' is a constant",
            where=str(run.w.file.path),
            hint="a network must compute its outputs",
        )


def _maker(run: _Import, name: str) -> NodeView:
    found = next((n for n in run.w.file.nodes if name in n.outputs), None)
    if found is None:
        raise _no_output(run, name, run.env[name], run.w.file.nodes[0])
    return found


def _output(run: _Import, name: str, view: View, words: bool) -> None:
    b, node = run.w.b, _maker(run, name)
    if not words:
        view = b.settle(view, node)
        if view.tensor in run.layouts or view.tensor in b.ports:
            attrs = LutAttrs(IDENTITY_TABLE, "copy")
            target = b.target_like(view.tensor, name)
            view = View(b.emit("lut", node, [view.tensor], attrs, target, b.ranges[view.tensor], "_copy"), view.idx)
    signed = b.tensors[view.tensor].zero_point == 128
    run.layouts[view.tensor] = _layout(name, view.idx, signed, words)
    run.outputs.append(view.tensor)
    run.cuts[name] = view.tensor


def _layout(name: str, idx: IntArray, signed: bool, words: bool = False) -> IoLayout:
    flat = idx.reshape(-1)
    inverse = np.empty_like(flat)
    inverse[flat] = np.arange(flat.size)
    return IoLayout(
        name, tuple(idx.shape), mixed_radix(inverse, name), not words, 128 if signed else 0, True, 4 if words else 1
    )
