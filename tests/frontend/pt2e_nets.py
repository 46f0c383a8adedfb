"""A network as PyTorch's pt2e quantisation and torch.onnx.export(dynamo=True) write it."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from tests.frontend.nets import Net


class Pt2e(Net):
    """Float biases, an axis on scalar scales, int8 weights per channel, means over negative axes."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(opset=20, dtype=np.int8, seed=seed)

    def qdq(self, x: str, scale: float, zero: int | None = 0) -> str:
        return self.dq(self.q(x, scale, zero, axis=1), scale, zero, axis=1)

    def float_input(self, shape: tuple[int, ...], scale: float = 0.025) -> str:
        self.inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
        self.feeds["x"] = (self.rng.integers(-128, 128, shape) * scale).astype(np.float32)
        return self.qdq("x", scale, -10)

    def layer(self, op: str, x: str, shape: tuple[int, ...], **attrs: object) -> str:
        """A convolution or Gemm that keeps the spread of its input."""
        scale = self.rng.uniform(0.5, 1.5, shape[0]) / 74 / np.sqrt(np.prod(shape[1:]))
        w = self.const(self.rng.integers(-127, 128, shape), np.int8)
        zeros = self.const(np.zeros(shape[0]), np.int8)
        weights = self.node("DequantizeLinear", w, self.const(scale, np.float32), zeros, axis=0)
        bias = self.const(self.rng.normal(0, 0.3, shape[0]), np.float32)
        return self.node(op, x, weights, bias, **attrs)

    def mean(self, x: str, channels: int) -> str:
        """AdaptiveAvgPool2d(1) and flatten."""
        mean = self.node("ReduceMean", x, self.const([-1, -2], np.int64), keepdims=1, noop_with_empty_axes=0)
        mean = self.qdq(mean, 0.02, -30)
        return self.qdq(self.node("Reshape", mean, self.const([1, channels], np.int64), allowzero=1), 0.02, -30)


def pt2e(seed: int = 0) -> Pt2e:
    """Convolutions, a residual sum, functions between quantised values, a mean, and linear layers."""
    n = Pt2e(seed)
    x = n.layer("Conv", n.float_input((1, 3, 8, 8)), (8, 3, 3, 3), pads=[1, 1, 1, 1])
    x = n.qdq(n.node("Relu", x), 0.02, -128)
    y = n.qdq(n.layer("Conv", x, (8, 1, 3, 3), pads=[1, 1, 1, 1], group=8), 0.025, 3)
    y = n.qdq(n.node("HardSwish", y), 0.015, -110)
    y = n.qdq(n.layer("Conv", y, (8, 8, 1, 1)), 0.02, 7)
    x = n.qdq(n.node("Add", x, y), 0.03, -60)
    x = n.qdq(n.node("Mul", x, n.node("Sigmoid", x)), 0.025, -100)  # SiLU
    pool = n.qdq(n.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), 0.025, -100)
    both = n.qdq(n.node("Concat", pool, n.qdq(n.layer("Conv", pool, (8, 8, 1, 1)), 0.02, 0), axis=1), 0.03, -20)
    y = n.qdq(n.layer("Gemm", n.mean(both, 16), (12, 16), transB=1, alpha=1.0, beta=1.0), 0.02, 0)
    y = n.qdq(n.node("Clip", y, n.const(-1.0, np.float32), n.const(1.0, np.float32)), 0.02, 0)
    n.output(n.qdq(n.layer("Gemm", y, (10, 12), transB=1), 0.02, -34))
    return n
