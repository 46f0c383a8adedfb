"""Small networks with types of 2 to 8 bits, the same one as QCDQ (Brevitas) and as QONNX writes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"


@dataclass(frozen=True)
class Bits:
    """A type: its range leaves out the lowest value (or the highest of an unsigned type) when it is narrow."""

    bits: int
    signed: bool
    narrow: bool = False

    @property
    def range(self) -> tuple[int, int]:
        top = 2 ** (self.bits - self.signed) - 1
        return (-top - 1 + self.narrow, top) if self.signed else (0, top - self.narrow)


@dataclass(frozen=True)
class Act:
    """A float value: its shape without batch, about its standard deviation, and its scale when it is quantised."""

    name: str
    shape: tuple[int, ...]
    std: float
    scale: float = 0.0


class NarrowNet:
    """Writes one network. `form` is "QCDQ" or "QONNX"; everything else is the same for equal seeds and calls."""

    def __init__(self, form: str, seed: int = 0) -> None:
        self.form, self.rng = form, np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.feeds: dict[str, np.ndarray] = {}

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, op: str, *inputs: str, domain: str = "", **attrs: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], f"n{len(self.nodes)}", domain=domain, **attrs))
        return name

    def input(self, *shape: int) -> Act:
        name = f"input{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, *shape)))
        self.feeds[name] = self.rng.standard_normal((1, *shape)).astype(np.float32)
        return Act(name, shape, 1.0)

    def output(self, x: Act) -> None:
        self.outputs.append(helper.make_tensor_value_info(x.name, TensorProto.FLOAT, (1, *x.shape)))

    def quant(self, x: Act, kind: Bits, zero: int = 0) -> Act:
        """Quantise an activation to about three standard deviations."""
        lo, hi = kind.range
        scale = float(np.float32(3 * x.std / max(hi - zero, zero - lo)))
        if self.form == "QONNX":
            name = self._quant_node(x.name, scale, float(zero), kind)
        else:
            dtype = np.int8 if kind.signed else np.uint8
            s, z = self.constant(scale), self.constant(zero, dtype)
            q = self.node("QuantizeLinear", x.name, s, z)
            if kind.range != (np.iinfo(dtype).min, np.iinfo(dtype).max):
                q = self.node("Clip", q, self.constant(lo, dtype), self.constant(hi, dtype))
            name = self.node("DequantizeLinear", q, s, z)
        return Act(name, x.shape, x.std, scale)

    def _quant_node(self, x: str, scale: Any, zero: float, kind: Bits) -> str:
        inputs = [self.constant(scale), self.constant(zero), self.constant(float(kind.bits))]
        attrs = {"signed": int(kind.signed), "narrow": int(kind.narrow), "rounding_mode": "ROUND"}
        return self.node("Quant", x, *inputs, domain=DOMAIN, **attrs)

    def weight(self, shape: tuple[int, ...], kind: Bits, per_channel: bool, std: float) -> tuple[str, np.ndarray]:
        """Random weights; (the dequantised value, its scales)."""
        lo, hi = kind.range
        ints = self.rng.integers(lo, hi + 1, shape)
        spread = self.rng.uniform(0.5, 2.0, shape[0] if per_channel else ())
        scale = np.asarray(spread * std / max(float(np.sqrt(np.mean(np.square(ints)))), 0.5), np.float32)
        if self.form == "QONNX":
            along = scale.reshape([-1, *([1] * (len(shape) - 1))]) if per_channel else scale
            return self._quant_node(self.constant(ints * along), along, 0.0, kind), scale
        q = self.constant(ints, np.int8)
        if kind.range != (-128, 127):
            q = self.node("Clip", q, self.constant(lo, np.int8), self.constant(hi, np.int8))
        zero = self.constant(np.zeros(scale.shape), np.int8)
        return self.node("DequantizeLinear", q, self.constant(scale), zero, axis=0), scale

    def bias(self, channels: int, scale: np.ndarray, std: float) -> str:
        """An int32 bias of the given unit."""
        ints = np.rint(self.rng.standard_normal(channels) * std / scale)
        if self.form == "QONNX":
            return self._quant_node(self.constant(ints * scale), scale.reshape(-1), 0.0, Bits(32, True))
        zero = self.constant(np.zeros(scale.shape), np.int32)
        axis = {"axis": 0} if scale.ndim else {}
        return self.node("DequantizeLinear", self.constant(ints, np.int32), self.constant(scale), zero, **axis)

    def conv(
        self, x: Act, channels: int, k: int, kind: Bits, *, group: int = 1, per_channel: bool = True, bias: str = "int"
    ) -> Act:
        """Convolution with padding k // 2; bias "int", "float" or "none"."""
        c, h, w = x.shape
        taps = c // group * k * k
        name, scales = self.weight((channels, c // group, k, k), kind, per_channel, (1 / taps) ** 0.5)
        extra = []
        if bias == "int":
            extra = [self.bias(channels, np.float32(x.scale) * scales, 0.3 * x.std)]
        elif bias == "float":
            extra = [self.constant(self.rng.standard_normal(channels) * 0.3 * x.std)]
        p = k // 2
        y = self.node("Conv", x.name, name, *extra, group=group, pads=[p, p, p, p])
        return Act(y, (channels, h + 2 * p - k + 1, w + 2 * p - k + 1), x.std)

    def linear(self, x: Act, outputs: int, kind: Bits) -> Act:
        flat = self.node("Flatten", x.name)
        size = int(np.prod(x.shape))
        name, scales = self.weight((outputs, size), kind, True, (1 / size) ** 0.5)
        bias = self.bias(outputs, np.float32(x.scale) * scales, 0.3 * x.std)
        return Act(self.node("Gemm", flat, name, bias, transB=1), (outputs,), x.std)

    def batchnorm(self, x: Act) -> Act:
        gamma, beta, mean = (self.constant(self.rng.uniform(-1, 1, x.shape[0])) for _ in range(3))
        var = self.constant(self.rng.uniform(0.5, 2, x.shape[0]))
        return Act(self.node("BatchNormalization", x.name, gamma, beta, mean, var), x.shape, x.std)

    def unary(self, x: Act, op: str, **attrs: Any) -> Act:
        return Act(self.node(op, x.name, **attrs), x.shape, x.std, x.scale)

    def pool(self, x: Act, op: str) -> Act:
        c, h, w = x.shape
        y = self.node(op, x.name, kernel_shape=[2, 2], strides=[2, 2])
        return Act(y, (c, h // 2, w // 2), x.std, x.scale)

    def add(self, a: Act, b: Act) -> Act:
        return Act(self.node("Add", a.name, b.name), a.shape, (a.std**2 + b.std**2) ** 0.5)

    def concat(self, a: Act, b: Act) -> Act:
        y = self.node("Concat", a.name, b.name, axis=1)
        return Act(y, (a.shape[0] + b.shape[0], *a.shape[1:]), max(a.std, b.std))

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "net", self.inputs, self.outputs, self.constants)
        opsets = [helper.make_opsetid("", 17)]
        if any(n.domain for n in self.nodes):
            opsets.append(helper.make_opsetid(DOMAIN, 2))
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def save(self, folder: Path, name: str = "net.onnx") -> Path:
        onnx.save(self.model(), str(folder / name))
        return folder / name


@dataclass(frozen=True)
class Step:
    """One drawn layer: the values that it reads (by number), and everything that it is told."""

    kind: str
    a: int
    b: int
    weights: Bits
    out: Bits
    zero: int
    numbers: tuple[int, ...]


def bits(draw: st.DrawFn, signed: bool | None = None) -> Bits:
    sign = draw(st.booleans()) if signed is None else signed
    return Bits(draw(st.sampled_from((2, 3, 4, 5, 8))), sign, draw(st.booleans()))


@st.composite
def steps(draw: st.DrawFn) -> list[Step]:
    """Up to six layers."""
    kinds = ("conv", "depthwise", "bn", "relu", "add", "concat", "maxpool", "avgpool", "unary")
    found = []
    for i in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(kinds))
        out = bits(draw, False if kind == "relu" else None)
        zero = draw(st.sampled_from((0, 0, out.range[0] // 2, out.range[1] // 2)))
        numbers = draw(st.tuples(st.integers(1, 8), st.sampled_from((1, 3)), st.integers(0, 2), st.booleans()))
        a, b = draw(st.integers(0, i)), draw(st.integers(0, i))
        found.append(Step(kind, a, b, bits(draw, True), out, 0 if kind == "relu" else zero, numbers))
    return found


def build(form: str, seed: int, shape: tuple[int, int, int], plan: list[Step], head: bool) -> NarrowNet:
    """The network of a drawn list of layers."""
    net = NarrowNet(form, seed)
    maps = [net.quant(net.input(*shape), Bits(8, True))]
    for step in plan:
        maps.append(net.quant(_layer(net, maps, step), step.out, step.zero))
    read = {i for n in net.nodes for i in n.input}
    for x in [m for m in maps[1:] if m.name not in read]:
        if head:
            x = net.quant(net.linear(x, 5, Bits(4, True, True)), Bits(8, True))
        net.output(x)
    return net


def _layer(net: NarrowNet, maps: list[Act], step: Step) -> Act:
    x, other = maps[step.a], maps[step.b]
    channels, k, bias, per_channel = step.numbers
    # Offsets that are no multiple of a very coarse unit of products are exact only as far as int8 weights have room.
    coarse = step.out.bits > 5
    bias = 0 if coarse and bias == 1 else bias
    options: dict[str, Any] = {"per_channel": bool(per_channel), "bias": ("int", "float", "none")[bias]}
    if step.kind == "add" and other.shape == x.shape:
        return net.add(x, other)
    if step.kind == "concat" and other.shape[1:] == x.shape[1:]:
        return net.concat(x, other)
    if step.kind in ("maxpool", "avgpool") and min(x.shape[1:]) > 1:
        return net.pool(x, "MaxPool" if step.kind == "maxpool" else "AveragePool")
    if step.kind == "unary":
        return net.unary(x, ("Sigmoid", "Tanh", "LeakyRelu")[bias])
    if step.kind == "depthwise":
        return net.conv(x, x.shape[0], k, step.weights, group=x.shape[0], **options)
    y = net.conv(x, channels, k, step.weights, **options)
    if step.kind == "bn" and not coarse:
        y = net.batchnorm(y)
    return net.unary(y, "Relu") if step.kind == "relu" else y
