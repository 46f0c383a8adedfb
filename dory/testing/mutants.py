"""Damaged network files: bytes flipped or cut off, names, edges, attributes, operators and constants changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_Mutation = Callable[[np.random.Generator, onnx.ModelProto], None]
_VALUES: tuple[Any, ...] = (-1, 0, 1, 7, 2**31, 2**62, 1.5, float("nan"), "SAME_UPPER", [0], [-2, 3], [1, 2, 3, 4])
_OPS = ("Conv", "Gemm", "MatMul", "Add", "Mul", "Div", "Clip", "Concat", "Pad", "Reshape", "Transpose", "Softmax")
_MORE_OPS = ("MaxPool", "AveragePool", "QuantizeLinear", "DequantizeLinear", "Shape", "Gather", "LSTM", "If", "Nope")
_NAMES = ("", "x", "input 1", "a/b:c", "*/ evil", "\u00e9\u4e2d", "n" * 300, "../../x", "%s%n", '"')


def mutate(rng: np.random.Generator, model: onnx.ModelProto) -> bytes:
    """A file with one to three changes of any kind; most can still be parsed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kind = rng.random()
    if kind < 0.7:
        for _ in range(int(rng.integers(1, 4))):
            _MUTATIONS[int(rng.integers(len(_MUTATIONS)))](rng, copy)
        return bytes(copy.SerializeToString())
    raw = bytearray(copy.SerializeToString())
    if kind < 0.8:
        return bytes(raw[: int(rng.integers(0, len(raw)))])
    for _ in range(int(rng.integers(1, 9))):
        raw[int(rng.integers(len(raw)))] = int(rng.integers(256))
    return bytes(raw)


def _pick(rng: np.random.Generator, items: Any) -> Any:
    return items[int(rng.integers(len(items)))] if len(items) else None


def _names(model: onnx.ModelProto) -> list[str]:
    made = [o for n in model.graph.node for o in n.output]
    return [*made, *(t.name for t in model.graph.initializer), *(i.name for i in model.graph.input), *_NAMES]


def _rename(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """One value under another name, everywhere or in one place."""
    old, new = _pick(rng, _names(model)), _pick(rng, (*_NAMES, _pick(rng, _names(model))))
    everywhere = rng.random() < 0.7
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old and (everywhere or rng.random() < 0.3):
                    names[i] = new
    for value in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        if everywhere and value.name == old:
            value.name = new


def _reorder(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes[i] for i in rng.permutation(len(nodes)))


def _drop_node(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    if model.graph.node:
        del model.graph.node[int(rng.integers(len(model.graph.node)))]


def _double_node(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    node = _pick(rng, model.graph.node)
    if node is not None:
        model.graph.node.add().CopyFrom(node)


def _edge(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    node = _pick(rng, model.graph.node)
    if node is None:
        return
    if node.input and rng.random() < 0.5:
        node.input[int(rng.integers(len(node.input)))] = _pick(rng, _names(model))
    elif node.input and rng.random() < 0.5:
        del node.input[int(rng.integers(len(node.input)))]
    else:
        node.input.append(_pick(rng, _names(model)))


def _operator(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    node = _pick(rng, model.graph.node)
    if node is not None:
        node.op_type = _pick(rng, (*_OPS, *_MORE_OPS, "", _pick(rng, model.graph.node).op_type))
        node.domain = _pick(rng, ("", "", "", "com.microsoft", "ai.onnx", "other"))


def _drop_attribute(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    node = _pick(rng, [n for n in model.graph.node if n.attribute])
    if node is not None:
        del node.attribute[int(rng.integers(len(node.attribute)))]


def _attribute(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    node = _pick(rng, [n for n in model.graph.node if n.attribute])
    if node is None:
        return
    attribute = _pick(rng, node.attribute)
    name, value = attribute.name, _pick(rng, _VALUES)
    if attribute.type == onnx.AttributeProto.INTS and rng.random() < 0.5:
        value = list(attribute.ints)
        if value:
            value[int(rng.integers(len(value)))] = int(_pick(rng, (-1, 0, 2, 5, 100, 2**31, 2**62)))
    attribute.CopyFrom(helper.make_attribute(name, value))


def _constant(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Another value, shape or type of a constant."""
    tensor = _pick(rng, model.graph.initializer)
    if tensor is None:
        return
    try:
        array: NDArray[Any] = numpy_helper.to_array(tensor).copy()
    except (ValueError, TypeError):
        return
    kind = int(rng.integers(6))
    if kind == 0 and array.size:
        values = (0, -1, 2**7, 2**31 - 1) if array.dtype.kind in "iu" else (np.nan, np.inf, 0.0, -1.0, 1e-30, 1e30)
        array.reshape(-1)[int(rng.integers(array.size))] = np.asarray(_pick(rng, values)).astype(array.dtype)
    elif kind == 1:
        array = array.reshape(-1)
    elif kind == 2:
        array = array[:0] if array.ndim else np.zeros((0,), array.dtype)
    elif kind == 3:
        with np.errstate(all="ignore"):
            array = array.astype(_pick(rng, (np.int8, np.uint8, np.int32, np.int64, np.float64, np.float16, np.bool_)))
    elif kind == 4:
        array = np.expand_dims(array, int(rng.integers(array.ndim + 1)))
    else:
        array = array.T
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


def _port(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    port = _pick(rng, (*model.graph.input, *model.graph.output))
    if port is None:
        return
    tensor = port.type.tensor_type
    dim = _pick(rng, tensor.shape.dim)
    if rng.random() < 0.3:
        tensor.elem_type = int(rng.integers(0, 24))
    elif rng.random() < 0.3:
        tensor.shape.dim.add().dim_value = int(rng.integers(0, 4))
    elif dim is not None:
        dim.dim_value = int(_pick(rng, (0, 1, 2, 5, 1000, 2**20, 2**40)))


def _header(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    kind = rng.random()
    if kind < 0.3:
        del model.opset_import[:]
    elif kind < 0.7:
        model.opset_import.add().version = int(_pick(rng, (1, 6, 9, 13, 21, 99)))
    elif kind < 0.8:
        model.graph.output.add().name = _pick(rng, _names(model))
    elif model.graph.output:
        del model.graph.output[0]


_MUTATIONS: tuple[_Mutation, ...] = (
    _rename,
    _reorder,
    _drop_node,
    _double_node,
    _edge,
    _operator,
    _drop_attribute,
    _attribute,
    _attribute,
    _constant,
    _constant,
    _port,
    _header,
)
