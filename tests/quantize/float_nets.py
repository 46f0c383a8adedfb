"""Small float networks with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from dory.testing.onnx_writer import OnnxWriter


class FloatNet:
    """Writes one float network; every method returns the name of its output."""

    def __init__(self, name: str, opset: int = 17) -> None:
        self.out = OnnxWriter(name, opset)
        self.rng = np.random.default_rng(len(name))

    def array(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 3, *, group: int = 1, **attributes: Any) -> str:
        fan = inputs // group * kernel * kernel
        weight = self.out.constant("w", self.array(outputs, inputs // group, kernel, kernel, scale=fan**-0.5))
        bias = self.out.constant("b", self.array(outputs, scale=0.1))
        attributes = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4, **attributes}
        return self.out.node("Conv", [x, weight, bias], group=group, **attributes)

    def batchnorm(self, x: str, channels: int) -> str:
        values = [np.abs(self.array(channels)) + 0.5, self.array(channels), self.array(channels, scale=0.1)]
        names = [self.out.constant("bn", v) for v in (*values, np.abs(self.array(channels)) + 0.5)]
        return self.out.node("BatchNormalization", [x, *names])

    def relu6(self, x: str) -> str:
        return self.out.node("Clip", [x], min=0.0, max=6.0)

    def gemm(self, x: str, inputs: int, outputs: int) -> str:
        weight = self.out.constant("w", self.array(outputs, inputs, scale=inputs**-0.5))
        return self.out.node("Gemm", [x, weight, self.out.constant("b", self.array(outputs, scale=0.1))], transB=1)

    def classifier(self, x: str, channels: int, classes: int = 10) -> onnx.ModelProto:
        x = self.out.node("Flatten", [self.out.node("GlobalAveragePool", [x])])
        self.out.output(self.gemm(x, channels, classes), "scores", (1, classes))
        return self.out.model()


def lenet(opset: int = 17) -> onnx.ModelProto:
    """Conv, max pool, conv, average pool, two linear layers, Softmax."""
    n = FloatNet("lenet", opset)
    n.out.input("image", (1, 1, 16, 16))
    x = n.out.node("MaxPool", [n.out.node("Relu", [n.conv("image", 1, 8, 5)])], kernel_shape=[2, 2], strides=[2, 2])
    x = n.out.node("AveragePool", [n.out.node("Relu", [n.conv(x, 8, 12)])], kernel_shape=[2, 2], strides=[2, 2])
    x = n.out.node("Relu", [n.gemm(n.out.node("Flatten", [x]), 12 * 16, 32)])
    n.out.output(n.out.node("Softmax", [n.gemm(x, 32, 10)], axis=1), "scores", (1, 10))
    return n.out.model()


def resnet_block(opset: int = 17) -> onnx.ModelProto:
    """BatchNormalization after every convolution, a strided block with a projection."""
    n = FloatNet("resnet", opset)
    n.out.input("image", (1, 3, 16, 16))
    x = n.out.node("Relu", [n.batchnorm(n.conv("image", 3, 16), 16)])
    y = n.out.node("Relu", [n.batchnorm(n.conv(x, 16, 24, strides=[2, 2]), 24)])
    y = n.batchnorm(n.conv(y, 24, 24), 24)
    x = n.batchnorm(n.conv(x, 16, 24, 1, strides=[2, 2]), 24)
    return n.classifier(n.out.node("Relu", [n.out.node("Add", [y, x])]), 24)


def mobilenet_block(opset: int = 17) -> onnx.ModelProto:
    """An inverted residual with ReLU6."""
    n = FloatNet("mobilenet", opset)
    n.out.input("image", (1, 3, 16, 16))
    x = n.relu6(n.batchnorm(n.conv("image", 3, 8, strides=[2, 2]), 8))
    y = n.relu6(n.batchnorm(n.conv(x, 8, 32, 1), 32))
    y = n.relu6(n.batchnorm(n.conv(y, 32, 32, group=32), 32))
    return n.classifier(n.out.node("Add", [x, n.batchnorm(n.conv(y, 32, 8, 1), 8)]), 8)


def dronet(opset: int = 17) -> onnx.ModelProto:
    """One block of DroNet, two numbers picked from one linear layer, a Sigmoid."""
    n = FloatNet("dronet", opset)
    n.out.input("image", (1, 1, 24, 24))
    x = n.out.node("MaxPool", [n.conv("image", 1, 8, 5, strides=[2, 2])], kernel_shape=[2, 2], strides=[2, 2])
    y = n.relu6(n.batchnorm(n.conv(x, 8, 16, strides=[2, 2]), 16))
    y = n.relu6(n.batchnorm(n.conv(y, 16, 16), 16))
    x = n.relu6(n.out.node("Add", [y, n.relu6(n.conv(x, 8, 16, 1, strides=[2, 2]))]))
    both = n.gemm(n.out.node("Flatten", [x]), 16 * 9, 2)
    steering, collision = (n.out.node("Gather", [both, n.out.constant("i", np.int64(i))], axis=1) for i in (0, 1))
    n.out.output(steering, "steering", (1,))
    n.out.output(n.out.node("Sigmoid", [collision]), "collision", (1,))
    return n.out.model()


def functions(opset: int = 17) -> onnx.ModelProto:
    """Hard-swish and SiLU written out, a pool after them, LeakyRelu, concatenation of two scales, Tanh."""
    n = FloatNet("functions", opset)
    n.out.input("image", (1, 3, 12, 12))
    x = n.conv("image", 3, 8)
    gate = n.out.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5)
    x = n.out.node("MaxPool", [n.out.node("Mul", [x, gate])], kernel_shape=[2, 2], strides=[2, 2])
    y = n.conv(x, 8, 8)
    y = n.out.node("Mul", [y, n.out.node("Sigmoid", [y])])
    z = n.out.node("LeakyRelu", [n.conv(x, 8, 6, 1)], alpha=0.1)
    x = n.conv(n.out.node("Concat", [y, z], axis=1), 14, 4, 1)
    n.out.output(n.out.node("Tanh", [x]), "map", (1, 4, 6, 6))
    return n.out.model()


def mlp(opset: int = 17) -> onnx.ModelProto:
    """MatMul and Add, two inputs joined by a concatenation."""
    n = FloatNet("mlp", opset)
    n.out.input("a", (1, 12))
    n.out.input("b", (1, 20))
    x = n.out.node("Concat", ["a", "b"], axis=1)
    for inputs, outputs in ((32, 24), (24, 6)):
        x = n.out.node("MatMul", [x, n.out.constant("w", n.array(inputs, outputs, scale=inputs**-0.5))])
        x = n.out.node("Add", [x, n.out.constant("b", n.array(outputs, scale=0.1))])
        x = n.out.node("Relu", [x]) if outputs == 24 else x
    n.out.output(x, "scores", (1, 6))
    return n.out.model()


NETS: dict[str, Callable[[int], onnx.ModelProto]] = {
    f.__name__: f for f in (lenet, resnet_block, mobilenet_block, dronet, functions, mlp)
}
OPSETS = (11, 13, 17, 21)
