"""User data <-> integer tensors: the ONNX shape and type of a network's inputs and outputs, and HWC memory order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dory.errors import UserError
from dory.graph.types import Graph, IntArray, IoLayout
from dory.layers.linear32 import from_bytes
from dory.layers.permute import radix_offsets


def find_layout(graph: Graph, name: str) -> tuple[str, IoLayout]:
    """(tensor, layout) of a network input or output, by its ONNX name or its tensor's."""
    for tensor in (*graph.inputs, *graph.outputs):
        layout = graph.io_layouts[tensor]
        if name in (layout.onnx_name, tensor):
            return tensor, layout
    known = ", ".join(f"'{graph.io_layouts[t].onnx_name}'" for t in (*graph.inputs, *graph.outputs))
    raise UserError(f"there is no input or output '{name}'", where=graph.name, hint=f"the network has {known}")


def to_hwc(graph: Graph, name: str, array: NDArray[Any]) -> IntArray:
    """HWC integers of one input as a user has it: the ONNX shape, with or without the leading 1.

    Floats are quantised with the tensor's scale when the file's input is float. int8 and uint8 arrays are taken as
    quantised already and must be of the file's integer type. UserError for another shape or type.
    """
    tensor, layout = find_layout(graph, name)
    data = np.asarray(array)
    where = f"{graph.name}: '{name}'"
    if tuple(data.shape) not in (layout.onnx_shape, layout.onnx_shape[1:] if layout.onnx_shape[:1] == (1,) else ()):
        raise UserError(
            f"the data has shape {list(data.shape)}",
            where=where,
            hint=f"give an array of shape {list(layout.onnx_shape)}",
        )
    kind = np.dtype(np.int8 if layout.signed_offset else np.uint8)
    flat = data.reshape(-1)[radix_offsets(layout.to_hwc)]
    if layout.exact and data.dtype.kind in "iuf":
        return _exact(graph, tensor, flat, where)
    if data.dtype == kind:
        return (flat.astype(np.int64) + layout.signed_offset).reshape(graph.tensors[tensor].shape)
    if not layout.float_io or data.dtype.kind != "f":
        accepted = f"float32 or {kind}" if layout.float_io else f"{kind}"
        raise UserError(f"the data is {data.dtype}", where=where, hint=f"give an array of {accepted}")
    if not np.all(np.isfinite(flat)):
        raise UserError("the data holds values that are not finite", where=where, hint="check the preprocessing")
    return graph.tensors[tensor].quantise(flat).reshape(graph.tensors[tensor].shape)


def _exact(graph: Graph, name: str, flat: NDArray[Any], where: str) -> IntArray:
    """Floats that hold the network's integers, shifted by the zero-point; UserError for others."""
    tensor = graph.tensors[name]
    lo, hi = tensor.qtype.lo - tensor.zero_point, tensor.qtype.hi - tensor.zero_point
    ok = (flat >= lo) & (flat <= hi)  # false for NaN
    if not np.all(ok) or np.any(flat[ok] != np.rint(flat[ok])):
        raise UserError(
            f"the data has values in {flat.min()}..{flat.max()}, the network takes integers in {lo}..{hi}",
            where=where,
            hint="scale the data as the network was trained with; --input-type int8 for an input in -128..127",
        )
    return (flat.astype(np.int64) + tensor.zero_point).reshape(tensor.shape)


def from_hwc(graph: Graph, name: str, values: IntArray) -> NDArray[Any]:
    """The ONNX value of an integer tensor, in the ONNX shape.

    float32 when the file's is float, else int8 or uint8; int32 for sums that are not rescaled.
    """
    tensor, layout = find_layout(graph, name)
    if layout.word_bytes == 4:
        values = from_bytes(values)
    out = np.empty(int(np.prod(layout.onnx_shape, dtype=np.int64)), np.int64)
    out[radix_offsets(layout.to_hwc)] = np.asarray(values, np.int64).reshape(-1)
    out = out.reshape(layout.onnx_shape)
    if layout.word_bytes == 4:
        return out.astype(np.int32)
    if layout.float_io:
        return graph.tensors[tensor].dequantise(out)
    return (out - layout.signed_offset).astype(np.int8 if layout.signed_offset else np.uint8)
