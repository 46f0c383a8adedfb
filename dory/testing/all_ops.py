"""A small network that holds every operator that the importer accepts."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from dory.testing.functions import Step
from dory.testing.qdq_builder import Activation, QdqBuilder

# Each is a table over the 8-bit codes of a tensor with values from 0 to about 4; newer opsets have more.
_FUNCTIONS: Sequence[tuple[int, Sequence[str | Step]]] = (
    (9, ["Sigmoid"]),
    (9, ["HardSigmoid"]),
    (14, ["HardSwish"]),
    (9, [Step("Sub", 1.0), Step("LeakyRelu", attributes={"alpha": 0.1})]),
    (9, [Step("Sub", 1.0, constant_first=True), Step("PRelu", 0.25)]),
    (9, ["Tanh"]),
    (9, [Step("Sub", 2.0), "Elu"]),
    (9, [Step("Sub", 2.0), "Selu"]),
    (12, [Step("Sub", 2.0), "Celu"]),
    (20, [Step("Sub", 2.0), "Gelu"]),
    (18, [Step("Sub", 2.0), "Mish"]),
    (9, [Step("Sub", 2.0), "Softplus"]),
    (9, [Step("Sub", 2.0), "Softsign"]),
    (10, ["ThresholdedRelu"]),
    (9, [Step("Mul", -0.5), "Exp"]),
    (9, [Step("Add", 0.5), "Log"]),
    (9, ["Sqrt"]),
    (9, [Step("Sub", 1.5), "Abs"]),
    (9, ["Neg"]),
    (9, [Step("Add", 0.5), "Reciprocal"]),
    (9, ["Erf"]),
    (9, ["Floor"]),
    (9, ["Ceil"]),
    (11, ["Round"]),
    (9, [Step("Sub", 1.0), "Sign"]),
    (9, ["Sin"]),
    (9, [Step("Div", 0.75), "Cos"]),
    (9, [Step("Pow", 2.0), Step("Max", 0.5), Step("Min", 3.0)]),
)


def all_ops_net(*, seed: int = 0, opset: int = 17) -> onnx.ModelProto:
    """Every accepted operator that `opset` has, in a network of 12x10 maps with two outputs."""
    b = QdqBuilder("all_ops_net", seed=seed, opset=opset)
    image = b.input((1, 3, 13, 10))
    x = b.conv(b.pad(image, (1, 0, 2, 1)), 12, 3, pads=0, batchnorm=True, act=(0.0, 4.0))
    x = b.concat([x, *_convolutions(b, x)])
    x = b.batchnorm(x, act="relu")
    x = b.maxpool(x, 2, stride=2, pads=(0, 0, 1, 0))
    y = b.avgpool(x, 3, stride=1, pads=1, count_include_pad=True)
    x = b.add(x, b.avgpool(y, 3, stride=1, pads=(1, 1, 1, 1)), act="relu")
    x = b.conv(_moves(b, x), 8, 1, act=(0.0, 4.0))
    x = b.concat(_functions(b, x, opset))
    x = b.conv(x, 24, 3, stride=2, act="relu6")
    means = [b.global_avgpool(x), b.global_avgpool(x, form="ReduceMean"), b.global_maxpool(x)]
    row = b.linear(b.flatten(b.concat(means)), 20, act="relu")
    row = b.linear(b.identity(row, "Dropout"), 10, form="matmul")
    b.output(b.softmax(row), "probabilities")
    b.float_output("LogSoftmax", row, "logarithms", axis=1)
    return b.model()


def _convolutions(b: QdqBuilder, x: Activation) -> list[Activation]:
    grouped = b.conv(x, 10, (3, 2), group=2, dilation=(2, 1), act="relu")
    depthwise = b.depthwise(x, (2, 3), multiplier=2, pads=(1, 1, 0, 1), act="relu6")
    both = b.add(b.conv(grouped, 5, 1, act="none", bias="none"), b.conv(x, 5, 3, act="none", bias="float"), op="Sum")
    return [depthwise, b.conv(x, 4, 3, pads="SAME_UPPER", act="none"), both]


def _moves(b: QdqBuilder, x: Activation) -> Activation:
    """Operators that move elements, there and back again by another way."""
    _, channels, rows, columns = x.shape
    y = b.transpose(x, (0, 2, 3, 1), requantise=False)
    y = b.reshape(y, (rows * columns, channels))
    y = b.transpose(b.unsqueeze(y, (2,)), (0, 3, 2, 1))
    y = b.transpose(b.squeeze(y, (2,)), (0, 2, 1), requantise=False)
    y = b.transpose(y, (0, 2, 1), requantise=False)
    y = b.identity(b.reshape(y, (channels, rows, columns)))
    return b.add(x, y)


def _functions(b: QdqBuilder, x: Activation, opset: int) -> list[Activation]:
    return [b.function(x, *steps) for since, steps in _FUNCTIONS if opset >= since]
