"""Writes networks of integers the way NEMO and Quantlab export them, and draws random ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx

from dory.testing.onnx_writer import OnnxWriter

Style = Literal["nemo", "quantlab"]
INT64, FLOAT = 7, 1


@dataclass(frozen=True)
class Value:
    """An ONNX value: its name, shape and range."""

    name: str
    shape: tuple[int, ...]
    lo: int
    hi: int


class IntegerBuilder:
    """Layers with random integer weights; every 8-bit value spreads over its range for inputs that do."""

    def __init__(self, rng: np.random.Generator, style: Style = "nemo", opset: int = 9, signed: bool = False) -> None:
        self.rng, self.style, self.signed = rng, style, signed
        self.writer = OnnxWriter("integers", opset)
        self.outputs: list[str] = []

    def input(self, shape: Sequence[int], name: str = "x") -> Value:
        """A float input that holds 0..255, or -128..127."""
        self.writer.input(name, shape)
        return Value(name, tuple(shape), *((-128, 127) if self.signed else (0, 255)))

    def _op(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        return self.writer.node(op, inputs, **attributes)

    def _number(self, value: Any, dtype: Any = np.float32) -> str:
        return self.writer.constant("k", np.asarray(value, dtype))

    def conv(
        self,
        x: Value,
        channels: int,
        kernel: Sequence[int],
        *,
        stride: int = 1,
        dilation: int = 1,
        pads: Sequence[int] | None = None,
        groups: int = 1,
        bits: int = 8,
        bias: bool = False,
    ) -> Value:
        """A convolution over all spatial axes; `pads` as in ONNX."""
        axes = len(x.shape) - 2
        top = (1 << (bits - 1)) - 1
        w = self.rng.integers(-top - 1, top + 1, (channels, x.shape[1] // groups, *kernel)).astype(np.float32)
        inputs = [x.name, self.writer.constant("w", w)]
        if bias:
            inputs.append(self.writer.constant("b", self.rng.integers(-200, 200, channels).astype(np.float32)))
        pads = list(pads or [0] * 2 * axes)
        name = self._op(
            "Conv",
            inputs,
            kernel_shape=list(kernel),
            strides=[stride] * axes,
            dilations=[dilation] * axes,
            pads=pads,
            group=groups,
        )
        size = [
            (x.shape[2 + i] + pads[i] + pads[i + axes] - (kernel[i] - 1) * dilation - 1) // stride + 1
            for i in range(axes)
        ]
        reach = int(np.abs(w).reshape(channels, -1).sum(1).max()) * max(abs(x.lo), x.hi) + 256
        return Value(name, (1, channels, *size), -reach, reach)

    def linear(self, x: Value, features: int, *, gemm: bool = True, bias: bool = True) -> Value:
        """Gemm with transB, or MatMul, of a flat value."""
        w = self.rng.integers(-128, 128, (features, x.shape[1])).astype(np.float32)
        reach = int(np.abs(w).sum(1).max()) * max(abs(x.lo), x.hi) + 256
        if gemm:
            inputs = [x.name, self.writer.constant("w", w)]
            if bias:
                inputs.append(self.writer.constant("b", self.rng.integers(-200, 200, features).astype(np.float32)))
            name = self._op("Gemm", inputs, alpha=1.0, beta=1.0, transB=1)
        else:
            name = self._op("MatMul", [x.name, self.writer.constant("w", np.ascontiguousarray(w.T))])
        return Value(name, (1, features), -reach, reach)

    def rescale(self, x: Value, hi: int = 255, lo: int = 0, *, negative: bool = True, tail: int = 8) -> Value:
        """Per-channel factor and term, division, floor and clip to lo..hi; some channels fall."""
        channels = x.shape[1]
        spread = max(x.hi / tail, 1.0)
        shift = int(self.rng.integers(10, 25))
        want = (hi - lo + 1) / (2 * spread) * 2.0**shift
        second = int(self.rng.integers(2, 64)) if self.style == "nemo" else 1
        k = np.maximum(np.rint(want / second * self.rng.uniform(0.5, 1.5, channels)), 1)
        if negative:
            k = k * self.rng.choice([-1, 1], channels, p=[0.2, 0.8])
        k[self.rng.random(channels) < 0.05] = 0
        term = np.rint(self.rng.uniform(-0.5, 1.0, channels) * (hi - lo) / 2 * 2.0**shift / second)
        k, term = (np.clip(v, -(2**31), 2**31).astype(np.float32) for v in (k, term))  # exact in float32 when small
        broadcast = (1, channels, *[1] * (len(x.shape) - 2)) if len(x.shape) > 2 else (channels,)
        if self.style == "quantlab" and len(x.shape) > 2:
            broadcast = broadcast[1:]
        name = self._op("Mul", [self.writer.constant("kappa", k.reshape(broadcast)), x.name])
        name = self._op("Add", [name, self.writer.constant("lamda", term.reshape(broadcast))])
        divisor = 2**shift - int(self.style == "nemo" and self.rng.random() < 0.5)
        if self.style == "nemo":
            name = self._op("Cast", [name], to=INT64)
            name = self._op("Mul", [name, self._number([second], np.int64)])
            name = self._op("Div", [name, self._number([divisor], np.int64)])
            name = self._op("Cast", [name], to=FLOAT)
        else:
            name = self._op("Div", [name, self._number(float(divisor))])
            name = self._op("Floor", [name])
        name = self._op("Clip", [name], min=float(lo), max=float(hi))
        return Value(name, x.shape, lo, hi)

    def add(self, a: Value, b: Value) -> Value:
        """A residual addition in the builder's style; operands must leave room for the sum."""
        if self.style == "quantlab":
            m = [int(v) for v in self.rng.integers(2**17, 2**18, 2)]
            attrs: dict[str, int] = {"out_rq": 0}
            for i, mul in enumerate(m):
                tags = {"rq": 1, "mul": mul, "add": 2**18, "shift": 19, "n_levels": 256}
                attrs.update({f"in{i + 1}_{k}": v for k, v in tags.items()})
            return Value(self._op("Add", [a.name, b.name], **attrs), a.shape, 0, 255)
        shift = int(self.rng.integers(1, 8))
        top = max(a.hi + b.hi, 1)
        m = [int(v) for v in self.rng.integers(1, max(2, (255 << shift) // top + 1), 2)]
        terms = [self._op("Mul", [v.name, self._number(float(f))]) for v, f in zip((a, b), m, strict=True)]
        name = self._op("Div", [self._op("Add", terms), self._number(float(2**shift))])
        return Value(self._op("Floor", [name]), a.shape, 0, (a.hi * m[0] + b.hi * m[1]) >> shift)

    def maxpool(self, x: Value, kernel: int, stride: int) -> Value:
        """Max pooling without padding."""
        axes = len(x.shape) - 2
        name = self._op("MaxPool", [x.name], kernel_shape=[kernel] * axes, strides=[stride] * axes, pads=[0] * 2 * axes)
        size = [(s - kernel) // stride + 1 for s in x.shape[2:]]
        return Value(name, (*x.shape[:2], *size), x.lo, x.hi)

    def average(self, x: Value, kernel: int, stride: int) -> Value:
        """NEMO's average: the mean times the window, a factor, a division and a floor."""
        axes = len(x.shape) - 2
        name = self._op(
            "AveragePool", [x.name], kernel_shape=[kernel] * axes, strides=[stride] * axes, pads=[0] * 2 * axes
        )
        area, shift = kernel**axes, int(self.rng.integers(6, 13))
        factor = max(2**shift // area, 1)
        for op, number in (("Mul", area), ("Mul", factor), ("Div", 2**shift)):
            name = self._op(op, [name, self._number(float(number))])
        size = [(s - kernel) // stride + 1 for s in x.shape[2:]]
        return Value(self._op("Floor", [name]), (*x.shape[:2], *size), x.lo, x.hi)

    def pad(self, x: Value, pads: Sequence[int]) -> Value:
        """Zeros around the spatial axes; `pads` are (begin..., end...) of those."""
        axes = len(x.shape) - 2
        full = [0, 0, *pads[:axes], 0, 0, *pads[axes:]]
        size = [s + pads[i] + pads[i + axes] for i, s in enumerate(x.shape[2:])]
        name = self._op("Pad", [x.name], mode="constant", pads=full, value=0.0)
        return Value(name, (*x.shape[:2], *size), min(x.lo, 0), x.hi)

    def flatten(self, x: Value, *, by_shape: bool = False) -> Value:
        """[1, C, ...] to [1, features]; `by_shape` as exporters write x.view(x.shape[0], -1)."""
        shape = (1, int(np.prod(x.shape)))
        if not by_shape:
            return Value(self._op("Flatten", [x.name], axis=1), shape, x.lo, x.hi)
        first = self._op("Gather", [self._op("Shape", [x.name]), self._number(0, np.int64)], axis=0)
        first = self._op("Unsqueeze", [first], axes=[0])
        target = self._op("Concat", [first, self._number([-1], np.int64)], axis=0)
        return Value(self._op("Reshape", [x.name, target]), shape, x.lo, x.hi)

    def sigmoid(self, x: Value) -> Value:
        """A float tail."""
        return Value(self._op("Sigmoid", [x.name]), x.shape, 0, 1)

    def output(self, x: Value, name: str = "") -> None:
        """Make a value a network output."""
        self.writer.output(x.name, name or f"out{len(self.outputs)}", x.shape)
        self.outputs.append(x.name)

    def model(self) -> onnx.ModelProto:
        """The file."""
        model = self.writer.model()
        model.producer_name = "pytorch"
        return model


def random_integer_network(rng: np.random.Generator) -> tuple[onnx.ModelProto, tuple[int, ...], bool]:
    """(model, input shape, whether the input is signed): one or two spatial axes, either style, any opset."""
    style: Style = "nemo" if rng.random() < 0.5 else "quantlab"
    signed = bool(rng.random() < 0.3)
    b = IntegerBuilder(rng, style, int(rng.choice([9, 10, 11, 13, 17])), signed)
    axes = int(rng.choice([1, 2, 2]))
    shape = (1, int(rng.integers(1, 6)), *(int(s) for s in rng.integers(6, 13, axes)))
    x = b.input(shape)
    x = b.rescale(b.conv(x, int(rng.integers(1, 9)), [int(rng.integers(1, 4))] * axes))
    for _ in range(int(rng.integers(0, 5))):
        x = _random_block(b, x, axes)
    if rng.random() < 0.8:
        x = b.linear(
            b.flatten(x, by_shape=bool(rng.random() < 0.3)), int(rng.integers(1, 9)), gemm=bool(rng.random() < 0.5)
        )
        ending = rng.random()
        if ending < 0.3:
            x = b.rescale(x)
        elif ending < 0.6:
            x = b.sigmoid(x)
    b.output(x)
    return b.model(), shape, signed


def _random_block(b: IntegerBuilder, x: Value, axes: int) -> Value:
    rng, small = b.rng, min(x.shape[2:])
    kind = rng.choice(["conv", "conv", "depthwise", "residual", "maxpool", "average", "pad"])
    top = int(rng.choice([255, 255, 127, 15, 3]))
    if kind == "maxpool" and small >= 2:
        return b.maxpool(x, 2, int(rng.integers(1, 3)))
    if kind == "average" and small >= 3 and x.lo >= 0:
        return b.average(x, int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    if kind == "pad":
        x = b.pad(x, [int(v) for v in rng.integers(0, 3, 2 * axes)])
        small = min(x.shape[2:])
    if kind == "depthwise":
        return b.rescale(b.conv(x, x.shape[1], [1] * axes, groups=x.shape[1], bits=int(rng.choice([2, 4, 8]))), top)
    if kind == "residual":
        both = [b.rescale(b.conv(x, x.shape[1], [1] * axes, bits=8), 127) for _ in (0, 1)]
        return b.add(*both)
    k = 3 if small >= 3 else 1
    pads = [int(v) for v in rng.integers(0, 2, 2 * axes)]
    y = b.conv(x, int(rng.integers(1, 9)), [k] * axes, stride=int(rng.integers(1, 3)), pads=pads, bias=bool(top & 4))
    return b.rescale(y, top)
