"""The QDQ network: onnxruntime's quantiser with settings that suit the chip."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from dory.errors import UserError
from dory.quantize.calibrate import Ranges
from dory.quantize.float_model import FloatModel
from dory.quantize.runtime import first_line, quiet

FUNCTIONS = frozenset(
    (
        *("Abs", "Cast", "Ceil", "Celu", "Clip", "Cos", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid"),
        *("HardSwish", "Identity", "LeakyRelu", "Log", "Mish", "Neg", "PRelu", "Pow", "Reciprocal", "Round", "Selu"),
        *("Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu"),
        *("Add", "Sub", "Mul", "Div", "Max", "Min", "BatchNormalization"),
    )
)
"""Functions of one activation. A chain of them becomes one table, so nothing is quantised between them."""
TAILS = ("Softmax", "LogSoftmax")
"""Left in float at the end of a network: the host computes them."""


def quantised(model: FloatModel, ranges: Ranges) -> onnx.ModelProto:
    """QDQ: uint8 activations per tensor, symmetric int8 weights per channel, int32 biases.

    UserError when onnxruntime's quantiser cannot.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    source = onnx.ModelProto()
    source.CopyFrom(model.model)
    nodes, outputs = _nodes(source)
    options = {
        "ActivationSymmetric": False,
        "WeightSymmetric": True,
        "ForceQuantizeNoInputCheck": True,  # pooling and reshapes after a table, too
    }
    try:
        with quiet():
            quantizer = QDQQuantizer(
                source,
                True,  # per channel
                False,  # all 8 bits of the weights
                QuantType.QInt8,
                QuantType.QUInt8,
                TensorsData(CalibrationMethod.MinMax, dict(ranges)),
                [n.name for n in nodes],
                [],
                sorted({n.op_type for n in nodes}),
                options,
            )
            for name in outputs:
                quantizer.quantize_activation_tensor(name)
            made: onnx.ModelProto = quantizer.quantize_model()
    except (
        Exception
    ) as e:  # its tools raise ValueError, KeyError, RuntimeError and AssertionError, all about the network
        raise UserError(
            f"onnxruntime cannot quantise it: {first_line(e) or type(e).__name__}",
            where=model.where,
            hint="run onnx.checker on the file; python -m dory ops lists what deploy accepts",
        ) from e
    del made.graph.value_info[:]
    return made


def _nodes(model: onnx.ModelProto) -> tuple[list[onnx.NodeProto], list[str]]:
    """The nodes whose inputs and outputs are quantised, and the network outputs that are quantised beyond them."""
    graph = model.graph
    constants = {t.name for t in graph.initializer} | {
        n.output[0] for n in graph.node if n.op_type == "Constant" and n.output
    }
    roots = _roots(graph, constants)
    results = {o.name for o in graph.output}
    nodes, outputs = [], []
    for node in graph.node:
        if node.op_type in TAILS and node.output[0] in results:
            continue
        if roots.get(node.output[0]) is None:
            nodes.append(node)
        elif node.output[0] in results:
            outputs.append(node.output[0])
    return nodes, outputs


def _roots(graph: onnx.GraphProto, constants: set[str]) -> Mapping[str, str | None]:
    """For every result of a chain of functions: the one activation that it is a function of."""
    roots: dict[str, str | None] = {}
    values = {t.name: t for t in graph.initializer}
    for node in graph.node:
        reads = {roots.get(i) or i for i in node.input if i and i not in constants}
        function = node.op_type in FUNCTIONS and len(reads) == 1
        if function and node.op_type == "Clip":
            function = not _clips_at_zero(node, values)
        roots[node.output[0]] = reads.pop() if function else None
    return roots


def _clips_at_zero(node: onnx.NodeProto, values: Mapping[str, onnx.TensorProto]) -> bool:
    """Whether a Clip's range holds 0: only then can the scale of the layer before it stand for the Clip."""
    bounds = [numpy_helper.to_array(values[i]) if i in values else None for i in node.input[1:3]]
    low, high = ([*bounds, None, None][:2]) if bounds else (None, None)
    return (low is None or float(np.min(low)) <= 0) and (high is None or float(np.max(high)) >= 0)
