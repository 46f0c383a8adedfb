"""onnxruntime's QOperator form: operators on integers with scales and zero-points among their inputs.

Each becomes DequantizeLinear, the float operator and QuantizeLinear: both forms mean the same real numbers, and both
are rounded by this project's own integer arithmetic.
"""

from __future__ import annotations

import numpy as np

from dory.frontend.onnx_file import NodeView, OnnxFile
from dory.frontend.rewrite.editor import Editor, input_name
from dory.frontend.rewrite.rule import Rewrite, Rule, by_name, walk

MICROSOFT = "com.microsoft"
WINDOW = ("kernel_shape", "strides", "dilations", "pads", "auto_pad", "group", "ceil_mode", "count_include_pad")


def _operand(e: Editor, node: NodeView, i: int, axis: int | None = None) -> str:
    """The dequantised operand whose integers, scale and zero-point are inputs i, i + 1 and i + 2."""
    x, scale, zero = (input_name(node, i + k) for k in range(3))
    if not x or not scale:
        raise node.error(f"input {i} or its scale is missing", "export the network again")
    return e.dequantised(node, x, scale, zero, axis=axis)


def _result(e: Editor, node: NodeView, real: str, i: int) -> None:
    """Quantise the node's output with the scale and zero-point of inputs i and i + 1."""
    scale, zero = input_name(node, i), input_name(node, i + 1)
    if not scale:
        raise node.error("the scale of its output is missing", "export the network again")
    if not zero:
        zero = _zero_like_operands(e, node)
    e.quantised(node, [real, scale, zero], output=node.outputs[0])


def _zero_like_operands(e: Editor, node: NodeView) -> str:
    """Zero in the type of the node's other zero-points: an absent one has the type of its tensor."""
    for name in node.inputs:
        array = e.constant(name) if name else None
        if array is not None and array.dtype in (np.dtype(np.int8), np.dtype(np.uint8)) and array.size == 1:
            return e.store(f"{node.label}/zero", np.zeros((), array.dtype))
    return ""


def _bias(e: Editor, node: NodeView, i: int, scales: tuple[str, str], factor: float = 1.0) -> str:
    """The int32 bias of input i, in units of the two operands' scales; "" when there is none."""
    if not input_name(node, i):
        return ""
    values = [e.constant(s) for s in scales]
    for name, value in zip(scales, values, strict=True):
        if value is None or value.dtype.kind != "f":
            raise node.error(f"its scale '{name}' is not a constant float", "dynamic quantisation is not accepted")
    x, w = (np.asarray(v, np.float64) for v in values)
    if x.size != 1:
        raise node.error(f"an activation with {x.size} scales", "activations are quantised per tensor")
    scale = e.store(f"{node.label}/bias_scale", np.asarray(x.reshape(()) * w * factor, np.float64))
    return e.dequantised(node, node.inputs[i], scale, "", axis=0)


def _channels_first(e: Editor, node: NodeView, x: str, axes: int) -> str:
    """x with the channels moved from the last place to the second, where `channels_last` says so."""
    if not node.integer("channels_last", 0):
        return x
    return e.add(node, "Transpose", [x], perm=[0, axes + 1, *range(1, axes + 1)])


def _channels_back(e: Editor, node: NodeView, y: str, axes: int) -> str:
    if not node.integer("channels_last", 0):
        return y
    return e.add(node, "Transpose", [y], perm=[0, *range(2, axes + 2), 1])


def _conv(e: Editor, node: NodeView) -> None:
    x, w = _operand(e, node, 0), _operand(e, node, 3, axis=0)
    bias = _bias(e, node, 8, (node.inputs[1], node.inputs[4]))
    weights = e.constant(node.inputs[3])
    if weights is None:
        raise node.error("its weights are computed at run time", "weights must be constant int8")
    axes = weights.ndim - 2
    x = _channels_first(e, node, x, axes)
    y = e.add(node, "Conv", [x, w, *([bias] if bias else [])], copy=WINDOW)
    _result(e, node, _channels_back(e, node, y, axes), 6)


def _matmul(e: Editor, node: NodeView) -> None:
    a = _operand(e, node, 0)
    weights = e.constant(input_name(node, 3))
    last = (weights.ndim if weights is not None else 2) - 1
    b = _operand(e, node, 3, axis=last)
    _result(e, node, e.add(node, "MatMul", [a, b]), 6)


def _gemm(e: Editor, node: NodeView) -> None:
    a, b = _operand(e, node, 0), _operand(e, node, 3, axis=0 if node.integer("transB", 0) else 1)
    bias = _bias(e, node, 6, (node.inputs[1], node.inputs[4]), node.real("alpha", 1.0))
    inputs = [a, b, *([bias] if bias else [])]
    copy = ("alpha", "transA", "transB")
    if not input_name(node, 7):
        e.add(node, "Gemm", inputs, copy=copy, output=node.outputs[0])
        return
    _result(e, node, e.add(node, "Gemm", inputs, copy=copy), 7)


def _binary(e: Editor, node: NodeView) -> None:
    a, b = _operand(e, node, 0), _operand(e, node, 3)
    _result(e, node, e.add(node, node.op.removeprefix("QLinear"), [a, b]), 6)


def _concat(e: Editor, node: NodeView) -> None:
    if len(node.inputs) < 5 or (len(node.inputs) - 2) % 3:
        raise node.error(f"{len(node.inputs)} inputs", "expected are a scale, a zero-point, and three for each tensor")
    parts = [_operand(e, node, i) for i in range(2, len(node.inputs), 3)]
    _result(e, node, e.add(node, "Concat", parts, copy=("axis",)), 0)


def _unary(e: Editor, node: NodeView) -> None:
    x = _operand(e, node, 0)
    op = node.op.removeprefix("QLinear")
    _result(e, node, e.add(node, op, [x], copy=("alpha", "axes", "keepdims")), 3)


def _softmax(e: Editor, node: NodeView) -> None:
    x = _operand(e, node, 0)
    opset = node.integer("opset", node.opset)  # the standard's version whose Softmax is meant
    _result(e, node, e.add(node, "Softmax", [x], copy=("axis",), opset=opset), 3)


def _average(e: Editor, node: NodeView) -> None:
    axes = len(node.integers("kernel_shape") or [0, 0])
    x = _channels_first(e, node, _operand(e, node, 0), axes)
    y = e.add(node, "AveragePool", [x], copy=WINDOW)
    _result(e, node, _channels_back(e, node, y, axes), 3)


def _global_average(e: Editor, node: NodeView) -> None:
    x = _operand(e, node, 0)
    if node.integer("channels_last", 0):
        y = e.add(node, "ReduceMean", [x], axes=[1, 2], keepdims=1)
    else:
        y = e.add(node, "GlobalAveragePool", [x])
    _result(e, node, y, 3)


RULES = (
    Rule(("QLinearConv",), "as Conv; int32 bias; channels_last", "Conv", _conv),
    Rule(("QLinearMatMul",), "constant second operand, per tensor or per column", "MatMul", _matmul),
    Rule(("QGemm",), "constant B and C; with or without a quantised output", "Gemm", _gemm),
    Rule(("QLinearAdd",), "as Add", "Add", _binary),
    Rule(("QLinearMul",), "as Mul", "Mul", _binary),
    Rule(("QLinearConcat",), "as Concat", "Concat", _concat),
    Rule(("QLinearAveragePool",), "as AveragePool; channels_last", "AveragePool", _average),
    Rule(("QLinearGlobalAveragePool",), "channels_last too", "GlobalAveragePool", _global_average),
    Rule(("QLinearReduceMean",), "as ReduceMean", "ReduceMean", _unary),
    Rule(("QLinearSigmoid", "QLinearLeakyRelu"), "any scales", "Sigmoid, LeakyRelu", _unary),
    Rule(("QLinearSoftmax",), "as Softmax, of the opset that it names", "Softmax", _softmax),
)
_RULES = by_name(RULES)
_STANDARD = ("QLinearConv", "QLinearMatMul")


def _rule(node: NodeView) -> Rule | None:
    accepted = node.domain == MICROSOFT or (not node.domain and node.op in _STANDARD)
    return _RULES.get(node.op) if accepted else None


def _found(file: OnnxFile) -> bool:
    return any(_rule(n) for n in file.nodes)


def _step(e: Editor, node: NodeView) -> None:
    rule = _rule(node)
    if rule is None:
        e.keep(node)
    else:
        rule.run(e, node)


QOPERATOR = Rewrite(
    "QOperator",
    "integer operators with scales among their inputs (onnxruntime)",
    "no operator of onnxruntime's QOperator form",
    _found,
    lambda file: walk(file, _step),
    RULES,
)
