"""An ONNX file as a plain, sorted list of nodes with typed access to attributes; every problem is a UserError.

The file is not run through onnx.checker: exporters that add attributes of their own (Quantlab) would fail it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import external_data_helper, numpy_helper

from dory.errors import UserError

Array = NDArray[Any]
DEFAULT_DOMAINS = ("", "ai.onnx")
LIMITS = "limits"
"""Attribute of a rewritten QuantizeLinear: the lowest and highest integer that it saturates to."""
ROUNDING = "rounding_mode"
"""Attribute of a rewritten QuantizeLinear whose rounding is not to the nearest: a key of rounding.ROUNDINGS."""
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


@dataclass(frozen=True, eq=False)
class NodeView:
    """One ONNX node. `inputs` holds "" for an optional input that is absent; attrs are decoded Python values."""

    file: str
    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any]
    proto: onnx.NodeProto
    opset: int
    origin: str = ""  # the file's operator, where another one stands for it

    @property
    def label(self) -> str:
        """Name for messages: the node's own, or that of its first output."""
        return self.name or (self.outputs[0] if self.outputs else "") or "(unnamed)"

    @property
    def where(self) -> str:
        """File, node and operator."""
        return f"{self.file}: node '{self.label}' ({self.origin or self.op})"

    def error(self, message: str, hint: str = "") -> UserError:
        """An error at this node."""
        return UserError(message, where=self.where, hint=hint)

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        value = self.attrs.get(name, default)
        if not isinstance(value, int):
            raise self.error(f"attribute {name} is {value!r}, expected an integer")
        return value

    def real(self, name: str, default: float) -> float:
        """A float attribute."""
        value = self.attrs.get(name, default)
        if not isinstance(value, (int, float)):
            raise self.error(f"attribute {name} is {value!r}, expected a number")
        return float(value)

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self.attrs.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    def integers(self, name: str, default: Iterable[int] | None = None) -> list[int] | None:
        """A list attribute; `default` when it is absent."""
        value = self.attrs.get(name, default)
        if value is None:
            return None
        if isinstance(value, (int, float, bytes, str)):
            raise self.error(f"attribute {name} is {value!r}, expected a list of integers")
        return [int(v) for v in value]


@dataclass(frozen=True)
class Port:
    """A network input or output: its name, ONNX shape (None for a dynamic size) and ONNX element type."""

    name: str
    shape: tuple[int | None, ...]
    elem_type: int


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """The network: nodes that feed an output, in topological order, and the constants they read."""

    path: Path
    nodes: tuple[NodeView, ...]
    constants: Mapping[str, Array]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def read(path: Path) -> OnnxFile:
    """Read an ONNX file (with external data beside it). UserError for anything that is not a usable network."""
    model = _decode(path)
    graph = model.graph
    where = str(path)
    if not graph.output or not graph.node:
        found = f"{len(graph.node)} nodes and {len(graph.output)} outputs"
        raise UserError(f"this is not a complete ONNX network: it has {found}", where=where, hint="export it again")
    _load_external(model, path)
    constants = {}
    for tensor in graph.initializer:
        try:
            constants[_text(tensor.name)] = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as exc:
            raise UserError(
                f"initialiser '{tensor.name}' is damaged: {exc}", where=where, hint="export it again"
            ) from exc
    if graph.sparse_initializer:
        raise UserError("sparse initialisers are not accepted", where=where, hint="store the weights densely")
    opset = max((o.version for o in model.opset_import if o.domain in DEFAULT_DOMAINS), default=1)
    nodes = [_node(path, n, opset) for n in graph.node]
    inputs = tuple(_port(i, where) for i in graph.input if i.name not in constants)
    outputs = tuple(_port(o, where) for o in graph.output)
    order = _sort(nodes, {p.name for p in inputs} | set(constants), outputs, where)
    return OnnxFile(path, order, constants, inputs, outputs)


def _decode(path: Path) -> onnx.ModelProto:
    where = str(path)
    if not path.exists():
        raise UserError("no such file", where=where, hint="give the path of an .onnx file")
    if path.is_dir():
        raise UserError("this is a folder", where=where, hint="give the path of an .onnx file")
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise UserError(f"cannot be read: {exc.strerror}", where=where) from exc
    if not data:
        raise UserError("the file is empty", where=where, hint="export it again")
    try:
        return onnx.load_model_from_string(data)
    except Exception as exc:  # the protobuf implementations differ in what they raise for bytes they cannot parse
        raise UserError(
            f"this is not an ONNX file, or it is truncated ({len(data)} bytes)",
            where=where,
            hint="export or copy it again",
        ) from exc


def _load_external(model: onnx.ModelProto, path: Path) -> None:
    for tensor in model.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        location = next((e.value for e in tensor.external_data if e.key == "location"), "")
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = onnx.TensorProto.DEFAULT
        except (OSError, ValueError, onnx.checker.ValidationError) as exc:
            raise UserError(
                f"initialiser '{tensor.name}' lies in the external file '{location}', which is missing or too short",
                where=str(path),
                hint="keep the external data file in the folder of the .onnx file",
            ) from exc


def _node(path: Path, proto: onnx.NodeProto, opset: int) -> NodeView:
    attrs = {}
    for a in proto.attribute:
        try:
            attrs[_text(a.name)] = onnx.helper.get_attribute_value(a)
        except ValueError:  # an attribute of an unknown kind, which no importer asks for
            continue
    domain = "" if proto.domain in DEFAULT_DOMAINS else _text(proto.domain)
    inputs, outputs = tuple(_text(i) for i in proto.input), tuple(_text(o) for o in proto.output)
    return NodeView(str(path), _text(proto.name), _text(proto.op_type), domain, inputs, outputs, attrs, proto, opset)


def _text(value: str | bytes) -> str:
    """Protobuf gives bytes where a damaged file's string is not UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _port(value: onnx.ValueInfoProto, where: str) -> Port:
    if not value.type.HasField("tensor_type"):
        raise UserError(f"'{value.name}' is not a tensor", where=where, hint="networks read and write tensors only")
    tensor = value.type.tensor_type
    dims = tensor.shape.dim if tensor.HasField("shape") else []
    shape = tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in dims)
    return Port(_text(value.name), shape, tensor.elem_type)


def _sort(nodes: list[NodeView], known: set[str], outputs: tuple[Port, ...], where: str) -> tuple[NodeView, ...]:
    """The nodes that feed an output, producers first; an error for values that nothing makes, or made twice."""
    maker: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            if name in maker or name in known:
                raise node.error(f"'{name}' is produced twice", "export the network again")
            maker[name] = i
    state = [0] * len(nodes)  # 0 unseen, 1 in progress, 2 done
    order: list[NodeView] = []
    for port in outputs:
        if port.name not in maker and port.name not in known:
            raise UserError(f"nothing produces the output '{port.name}'", where=where, hint="export the network again")
        stack = [maker[port.name]] if port.name in maker else []
        while stack:
            i = stack[-1]
            if state[i] == 2:
                stack.pop()
                continue
            need = _inputs_of(nodes[i], known, maker)
            waiting = [j for j in need if state[j] != 2]
            if state[i] == 1 and waiting:
                raise nodes[i].error("the network has a cycle through this node", "recurrent networks must be unrolled")
            state[i] = 1
            if not waiting:
                state[i] = 2
                order.append(nodes[i])
                stack.pop()
            stack.extend(waiting)
    return tuple(order)


def _inputs_of(node: NodeView, known: set[str], maker: Mapping[str, int]) -> list[int]:
    missing = [n for n in node.inputs if n and n not in known and n not in maker]
    if missing:
        raise node.error(
            f"it reads '{missing[0]}', which is no network input, no initialiser and no node's output",
            "an initialiser is missing: export the network again, with its weights",
        )
    return [maker[n] for n in node.inputs if n in maker]


def constant_value(node: NodeView) -> Array:
    """The array of a Constant node."""
    for name, value in node.attrs.items():
        if name == "value":
            return numpy_helper.to_array(value)
        if name in ("value_float", "value_floats"):
            return np.asarray(value, np.float32)
        if name in ("value_int", "value_ints"):
            return np.asarray(value, np.int64)
    raise node.error("a Constant without a numeric value", "accepted are dense numeric constants")
