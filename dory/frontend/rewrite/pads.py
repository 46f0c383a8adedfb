"""Padding of integers, and of a float network input before QuantizeLinear: it moves behind a DequantizeLinear."""

from __future__ import annotations

import numpy as np

from dory.frontend.onnx_file import LIMITS, NodeView, OnnxFile
from dory.frontend.rewrite.editor import Editor, input_name, readers
from dory.frontend.rewrite.rule import Rewrite, walk

# Operators that keep scale and zero-point; the importer takes them on integers as they are.
_MOVES = ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "MaxPool", "GlobalMaxPool", "Pad")


def _grids(file: OnnxFile) -> dict[str, NodeView]:
    """The QuantizeLinear whose scale and zero-point each integer value has."""
    found: dict[str, NodeView] = {}
    for node in file.nodes:
        first = input_name(node, 0)
        if node.op == "QuantizeLinear" and node.outputs[0]:
            found[node.outputs[0]] = node
        elif not node.domain and node.op in _MOVES and first in found:
            found[node.outputs[0]] = found[first]
    return found


def _later(file: OnnxFile) -> dict[str, NodeView]:
    """For each padded float network input: the QuantizeLinear that reads it, if all that do are alike."""
    inputs, reading = {p.name for p in file.inputs}, readers(file)
    found = {}
    for node in file.nodes:
        if node.op == "Pad" and not node.domain and input_name(node, 0) in inputs:
            after = reading.get(node.outputs[0], [])
            alike = {(n.op, n.inputs[1:], tuple(n.attrs.get(LIMITS, ()))) for n in after}
            if len(alike) == 1 and after[0].op == "QuantizeLinear":
                found[node.outputs[0]] = after[0]
    return found


def _is_padded(node: NodeView, grids: dict[str, NodeView]) -> bool:
    return node.op == "Pad" and not node.domain and input_name(node, 0) in grids


def _found(file: OnnxFile) -> bool:
    grids = _grids(file)
    return bool(_later(file)) or any(_is_padded(n, grids) for n in file.nodes)


def _run(file: OnnxFile) -> OnnxFile:
    grids, later = _grids(file), _later(file)

    def step(e: Editor, node: NodeView) -> None:
        if _is_padded(node, grids):
            _integers(e, node, grids[node.inputs[0]])
        elif node.outputs and node.outputs[0] in later:
            _network_input(e, node, later[node.outputs[0]])
        else:
            e.keep(node)

    return walk(file, step)


def _like(quantiser: NodeView) -> tuple[str, str]:
    return input_name(quantiser, 1), input_name(quantiser, 2)


def _integers(e: Editor, node: NodeView, quantiser: NodeView) -> None:
    """Pad of integers: its constant is an integer of the same scale; without one, the border is the integer 0."""
    scale, zero = (e.constant(name) if name else None for name in _like(quantiser))
    given = input_name(node, 2)
    value = e.constant(given) if given else np.zeros((), np.int64)
    if scale is None or value is None or value.size != 1 or scale.size != 1:
        raise node.error("its value is not a constant number", "accepted is constant padding")
    z = 0 if zero is None else int(zero.reshape(-1)[0])
    real = (int(value.reshape(-1)[0]) - z) * np.float32(scale.reshape(-1)[0])
    number = e.store(f"{node.label}/value", np.float32(real))
    x = e.dequantised(node, node.inputs[0], *_like(quantiser))
    y = e.add(node, "Pad", [x, input_name(node, 1), number, *node.inputs[3:]], copy=("mode", "pads"))
    e.quantised(node, [y, *_like(quantiser)], output=node.outputs[0])


def _network_input(e: Editor, node: NodeView, quantiser: NodeView) -> None:
    """Quantise first, then pad: the same integers, for the border is a value of the same scale or saturates to one."""
    q = e.quantised(node, [node.inputs[0], *_like(quantiser)])
    x = e.dequantised(node, q, *_like(quantiser))
    e.add(node, "Pad", [x, *node.inputs[1:]], copy=("mode", "pads", "value"), output=node.outputs[0])


PADS = Rewrite(
    "integer pads",
    "padding of integers, and before the first QuantizeLinear",
    "no padding of integers or of a float input",
    _found,
    _run,
)
