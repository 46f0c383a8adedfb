"""Operators of integer networks, by ONNX name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dory.frontend.integer import arithmetic, layers, moves
from dory.frontend.integer.eight import Inputs, Walk
from dory.frontend.integer.sources import Anything
from dory.frontend.onnx_file import NodeView


@dataclass(frozen=True)
class Operator:
    """ONNX operators that one function imports. `accepted` and `layer` are their line in the table of operators.

    A line about one use of an operator that has another line as well has no names but a `title`. `layer_op` says that
    it is a layer of its own: the host's part of a network must not feed one.
    """

    names: tuple[str, ...]
    accepted: str
    layer: str
    run: Callable[[Walk, NodeView, Inputs], Anything]
    layer_op: bool = False
    title: str = ""


_ALL = (
    Operator(
        ("Conv",),
        "1-D and 2-D; integer weights in -128..127 and bias; any kernel, stride, dilation, group, pads, auto_pad",
        "conv, depthwise or grouped_conv",
        layers.import_conv,
        True,
    ),
    Operator(
        ("Gemm", "MatMul"),
        "constant integer matrix, bias, transB",
        "linear, linear32 (int32 output), or conv 1x1",
        layers.import_matmul,
        True,
    ),
    Operator(
        ("Mul", "Add", "Sub"),
        "integers, for all or per channel, negative ones included",
        "the rescale of the layer before it",
        lambda w, n, i: arithmetic.import_mul(w, n, i) if n.op == "Mul" else arithmetic.import_add(w, n, i),
    ),
    Operator(
        (),
        "8-bit operands times an integer each, one floor after it; Quantlab's rescale attributes",
        "add (and lut per rescaled operand)",
        arithmetic.import_add,
        title="Add of two activations",
    ),
    Operator(("Div",), "by an integer; truncates between integer types", "the rescale", arithmetic.import_div),
    Operator(("Floor",), "any", "the rescale", arithmetic.import_floor),
    Operator(("Cast",), "between float and integer types", "the rescale (truncation)", arithmetic.import_cast),
    Operator(("Clip", "Relu"), "bounds as attributes or inputs", "limits of the rescale", arithmetic.import_clip),
    Operator(
        ("MaxPool", "GlobalMaxPool"),
        "1-D and 2-D, of an 8-bit activation; any kernel, stride, dilation, pads, ceil_mode",
        "maxpool",
        layers.import_maxpool,
        True,
    ),
    Operator(
        ("AveragePool", "GlobalAveragePool", "ReduceMean"),
        "1-D and 2-D; pads only with count_include_pad; factors and a floor after it",
        "avgpool",
        layers.import_average,
        True,
    ),
    Operator(("Pad",), "height and width, by an integer", "the next convolution, or pad", moves.import_pad),
    Operator(
        ("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze"),
        "static shapes",
        "- (view), or permute",
        moves.import_view,
    ),
    Operator(("Concat",), "8-bit activations, any axis", "concat", moves.import_concat),
    Operator(("Identity", "Dropout"), "inference", "- (folded)", moves.import_identity),
    Operator(("Shape",), "static shapes, and arithmetic on them", "- (folded)", moves.import_shape),
)

OPERATORS: Mapping[str, Operator] = MappingProxyType({name: op for op in _ALL for name in op.names})


def integer_table() -> list[tuple[str, str, str]]:
    """(ONNX operators, what is accepted, layer) for the table of operators."""
    rows = [(op.title or ", ".join(op.names), op.accepted, op.layer) for op in _ALL]
    rest = ("any other, at the end", "what no layer reads: Sigmoid, LogSoftmax, Gather, ...", "host/epilogue.onnx")
    return [*rows, rest, ("Constant and all others on constants", "any that onnx can evaluate", "- (folded)")]
