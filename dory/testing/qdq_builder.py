"""Builds QDQ ONNX networks with seeded random weights, calibrated so that every tensor uses its 8 bits.

Every layer is evaluated on a few random inputs while it is written. Weights are random integers; their scales and the
biases are chosen so that each output channel has mean near 0 and a standard deviation within a factor 2 of the
layer's, as batch normalisation does. Without that, deep random networks answer the same to every input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from dory.testing import arithmetic
from dory.testing.arithmetic import Array, Pads, Window, make_window
from dory.testing.functions import Step, table
from dory.testing.onnx_writer import OnnxWriter
from dory.testing.samples import random_field

Act: TypeAlias = Literal["none", "relu", "relu6"] | tuple[float, float]
"""What follows a convolution, linear layer or addition; two numbers are the bounds of a Clip."""

_WIDEN = ((64, 2.0), (2048, 1.25))
"""(elements, factor): with fewer elements than this, a calibration widens the range that it saw."""


@dataclass(frozen=True, eq=False)
class Activation:
    """A quantised tensor. `name` is its dequantised ONNX value; `values` its integers minus `zero` on the
    calibration samples [samples, ...], held in float32."""

    name: str
    values: NDArray[np.float32]
    scale: float
    zero: int
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """ONNX shape, batch 1."""
        return (1, *self.values.shape[1:])

    @property
    def spatial(self) -> tuple[int, ...]:
        """Sizes of the spatial axes: (H, W), or (W,) of a 1-D map."""
        return self.values.shape[2:]

    def real(self) -> Array:
        """The dequantised samples."""
        return self.values * np.float32(self.scale)


class QdqBuilder:
    """Writes one network. Every method adds a layer and returns its quantised output.

    dtype is that of all activations; per_channel the granularity of weight scales (per tensor before opset 13).
    """

    def __init__(
        self,
        name: str,
        *,
        opset: int = 17,
        seed: int = 0,
        dtype: Literal["uint8", "int8"] = "uint8",
        per_channel: bool = True,
        samples: int = 4,
    ) -> None:
        self._out = OnnxWriter(name, opset)
        self._rng = np.random.default_rng(seed)
        self._dtype = np.dtype(dtype)
        self._per_channel = per_channel and self._out.per_axis
        self._samples = samples

    def model(self) -> onnx.ModelProto:
        """The network so far."""
        return self._out.model()

    # Inputs and outputs

    def input(self, shape: Sequence[int], name: str = "input", limit: float = 1.0) -> Activation:
        """A float input [1, ...] with values in about [-limit, limit]."""
        self._out.input(name, shape)
        real = random_field(self._rng, (self._samples, *shape[1:])) * np.float32(limit)
        return self._quantised(name, real, float(np.float32(limit / 127.5)), 128 + np.iinfo(self._dtype).min)

    def output(self, x: Activation, name: str = "output") -> None:
        """Make a layer's dequantised result an output."""
        self._out.output(x.name, name, x.shape)

    def float_output(self, op: str, x: Activation, name: str = "output", **attributes: Any) -> None:
        """A float operator of equal input and output shape at the network's end, not quantised (softmax)."""
        self._out.output(self._out.node(op, [x.name], **attributes), name, x.shape)

    # Layers with weights

    def conv(
        self,
        x: Activation,
        channels: int,
        kernel: int | Sequence[int] = 3,
        *,
        stride: int | Sequence[int] = 1,
        pads: Pads = "same",
        group: int = 1,
        dilation: int | Sequence[int] = 1,
        act: Act = "relu",
        bias: Literal["int32", "float", "none"] = "int32",
        batchnorm: bool = False,
    ) -> Activation:
        """Convolution over one or two spatial axes; with batchnorm, BatchNormalization stands between it and `act`."""
        window = make_window(x.spatial, kernel, stride, pads, dilation)
        ints = self._weights((channels, x.shape[1] // group, *window.kernel))
        acc = _on_2d(x.values, lambda v: arithmetic.conv(v, _weight_2d(ints), window.in_2d(), group))
        scales = self._weight_scales(x, acc, ints, act)
        names = [x.name, self._out.dequantised("weight", ints, scales)]
        real = acc * _along_channels(x.scale * scales, acc.ndim)
        if not batchnorm and bias != "none":
            values = self._bias(acc, x.scale * scales)
            names.append(self._bias_name(values, x.scale * scales, bias))
            real = real + _along_channels(values * (x.scale * scales), acc.ndim)
        attributes = window.attributes() | ({"group": group} if group > 1 else {})
        name = self._out.node("Conv", names, **attributes)
        if batchnorm:
            name, real = self._batchnorm(name, real)
        return self._activated(name, real, act)

    def depthwise(
        self, x: Activation, kernel: int | Sequence[int] = 3, *, multiplier: int = 1, **conv: Any
    ) -> Activation:
        """Depthwise convolution, `multiplier` outputs per channel; the other arguments are those of conv."""
        return self.conv(x, x.shape[1] * multiplier, kernel, group=x.shape[1], **conv)

    def linear(
        self, x: Activation, outputs: int, *, act: Act = "none", form: Literal["gemm", "matmul"] = "gemm"
    ) -> Activation:
        """Gemm with transposed weights, or MatMul and Add."""
        ints = self._weights((outputs, x.shape[1]))
        dtype = arithmetic.exact_float(x.values, ints)
        acc = x.values.astype(dtype) @ ints.T.astype(dtype)
        scales = self._weight_scales(x, acc, ints, act)
        values = self._bias(acc, x.scale * scales)
        bias = self._bias_name(values, x.scale * scales, "int32")
        real = (acc + values) * (x.scale * scales)
        if form == "gemm":
            name = self._out.node("Gemm", [x.name, self._out.dequantised("weight", ints, scales), bias], transB=1)
        else:
            weight = self._out.dequantised("weight", np.ascontiguousarray(ints.T), scales, axis=1)
            name = self._out.node("Add", [self._out.node("MatMul", [x.name, weight]), bias])
        return self._activated(name, real, act)

    # Layers with several inputs

    def add(self, a: Activation, b: Activation, *, act: Act = "none", op: Literal["Add", "Sum"] = "Add") -> Activation:
        """Residual sum of two tensors of one shape."""
        return self._activated(self._out.node(op, [a.name, b.name]), a.real() + b.real(), act)

    def concat(self, parts: Sequence[Activation], axis: int = 1) -> Activation:
        """Concatenation of tensors with scales of their own."""
        name = self._out.node("Concat", [p.name for p in parts], axis=axis)
        return self._quantised(name, np.concatenate([p.real() for p in parts], axis))

    # Pooling

    def maxpool(
        self, x: Activation, kernel: int | Sequence[int] = 2, *, stride: int | Sequence[int] = 2, pads: Pads = 0
    ) -> Activation:
        """MaxPool; scale and zero-point stay."""
        window = make_window(x.spatial, kernel, stride, pads)
        values = _on_2d(x.values, lambda v: arithmetic.max_pool(v, window.in_2d()))
        return self._moved(x, self._out.node("MaxPool", [x.name], **window.attributes()), values)

    def avgpool(
        self,
        x: Activation,
        kernel: int | Sequence[int] = 2,
        *,
        stride: int | Sequence[int] = 2,
        pads: Pads = 0,
        count_include_pad: bool = False,
    ) -> Activation:
        """AveragePool with an output scale of its own."""
        window = make_window(x.spatial, kernel, stride, pads)
        real = _on_2d(x.real(), lambda v: arithmetic.average_pool(v, window.in_2d(), count_include_pad))
        attributes = window.attributes() | ({"count_include_pad": 1} if count_include_pad else {})
        return self._quantised(self._out.node("AveragePool", [x.name], **attributes), real)

    def global_avgpool(
        self,
        x: Activation,
        *,
        form: Literal["GlobalAveragePool", "ReduceMean"] = "GlobalAveragePool",
        keepdims: bool = True,
    ) -> Activation:
        """Mean over space: [1, C, 1, 1], or [1, C] from a ReduceMean that keeps no dimensions."""
        axes = tuple(range(2, x.values.ndim))
        real = x.real().mean(axes, keepdims=keepdims, dtype=np.float64)
        attributes: dict[str, Any] = {"axes": axes, "keepdims": int(keepdims)} if form == "ReduceMean" else {}
        return self._quantised(self._out.node(form, [x.name], **attributes), real)

    def global_maxpool(self, x: Activation) -> Activation:
        """Maximum over space, [1, C, 1, 1]; scale and zero-point stay."""
        values = x.values.max(tuple(range(2, x.values.ndim)), keepdims=True)
        return self._moved(x, self._out.node("GlobalMaxPool", [x.name]), values)

    # Element by element

    def function(self, x: Activation, *steps: str | Step) -> Activation:
        """A chain of unary float operators between DequantizeLinear and QuantizeLinear."""
        chain = [Step(s) if isinstance(s, str) else s for s in steps]
        name = x.name
        for step in chain:
            name = self._out.node(step.op, step.inputs(name, self._out.constant), **step.attributes)
        lowest = np.iinfo(x.dtype).min
        codes = (np.arange(256) + (lowest - x.zero)).astype(np.float32) * np.float32(x.scale)
        seen = (x.values + (x.zero - lowest)).astype(np.intp)
        return self._quantised(name, table(chain, codes, self._out.opset)[seen])

    def softmax(self, x: Activation, axis: int = 1) -> Activation:
        """Softmax with the output scale 1/256."""
        real = x.real().astype(np.float64)
        e = np.exp(real - real.max(axis, keepdims=True))
        name = self._out.node("Softmax", [x.name], axis=axis)
        return self._quantised(name, e / e.sum(axis, keepdims=True), 1 / 256, np.iinfo(self._dtype).min)

    def batchnorm(self, x: Activation, *, act: Act = "none") -> Activation:
        """BatchNormalization that no convolution precedes."""
        return self._activated(*self._batchnorm(x.name, x.real()), act)

    # Shapes

    def pad(self, x: Activation, pads: Sequence[int]) -> Activation:
        """Zero padding of the spatial axes: begins, then ends."""
        n = len(x.spatial)
        begins, ends = pads[:n], pads[n:]
        values = np.pad(x.values, [(0, 0), (0, 0), *zip(begins, ends, strict=True)])
        name = self._out.node("Pad", [x.name], pads=[0, 0, *begins, 0, 0, *ends], value=0.0, mode="constant")
        return self._moved(x, name, values)

    def flatten(self, x: Activation) -> Activation:
        """[1, C, ...] to [1, N], in ONNX's channel-first order."""
        return self._moved(x, self._out.node("Flatten", [x.name], axis=1), x.values.reshape(self._samples, -1))

    def reshape(self, x: Activation, shape: Sequence[int], *, requantise: bool = True) -> Activation:
        """Reshape to [1, *shape]; without `requantise` no Q/DQ pair follows."""
        name = self._out.node("Reshape", [x.name, self._out.constant("shape", np.array([1, *shape], np.int64))])
        return self._moved(x, name, x.values.reshape(self._samples, *shape), requantise)

    def transpose(self, x: Activation, perm: Sequence[int], *, requantise: bool = True) -> Activation:
        """Transpose; the batch stays the first axis."""
        if perm[0] != 0:
            raise ValueError(f"perm {tuple(perm)}: the batch axis must stay first")
        return self._moved(x, self._out.node("Transpose", [x.name], perm=perm), x.values.transpose(perm), requantise)

    def squeeze(self, x: Activation, axes: Sequence[int]) -> Activation:
        """Remove axes of size 1."""
        return self._moved(x, self._out.node("Squeeze", [x.name], axes=axes), np.squeeze(x.values, tuple(axes)))

    def unsqueeze(self, x: Activation, axes: Sequence[int]) -> Activation:
        """Add axes of size 1."""
        values = np.expand_dims(x.values, tuple(axes))
        return self._moved(x, self._out.node("Unsqueeze", [x.name], axes=axes), values)

    def identity(self, x: Activation, op: Literal["Identity", "Dropout"] = "Identity") -> Activation:
        """A node that does nothing at inference; no Q/DQ pair follows."""
        attributes: dict[str, Any] = {"ratio": 0.25} if op == "Dropout" else {}
        return self._moved(x, self._out.node(op, [x.name], **attributes), x.values, requantise=False)

    # Calibration

    def _weights(self, shape: tuple[int, ...]) -> NDArray[np.int8]:
        w = self._rng.standard_normal((shape[0], int(np.prod(shape[1:]))), np.float32)
        largest = np.abs(w).max(1, keepdims=True) if self._per_channel else np.abs(w).max()
        ints: NDArray[np.int8] = np.rint(w * (127 / largest)).astype(np.int8)
        return ints.reshape(shape)

    def _weight_scales(self, x: Activation, acc: Array, ints: Array, act: Act) -> NDArray[np.float32]:
        """Per-channel (or one) scales that give real outputs a standard deviation of 0.5 to 2."""
        _, std = _moments(acc)
        # A channel that hardly changes over the samples is not amplified without end.
        norms = np.sqrt(np.square(ints.reshape(len(ints), -1).astype(np.float64)).sum(1))
        std = np.maximum(std, 0.1 * norms * np.sqrt(np.mean(np.square(x.values, dtype=np.float64)))) + 1.0
        spread = 2.0 ** self._rng.uniform(-1, 1, len(ints)) * (2.5 if act == "relu6" else 1.0)
        if self._per_channel:
            return np.asarray(spread / (_rounded(std) * x.scale), np.float32)
        return np.asarray(spread[0] / (_rounded(np.sqrt(np.mean(std**2))) * x.scale), np.float32)

    def _bias(self, acc: Array, scale: Array) -> Array:
        """Integer biases that move each channel's mean to a small random real number."""
        mean, _ = _moments(acc)
        offset = self._rng.normal(0, 0.3, len(mean)) / scale
        return np.rint(np.clip(offset - _rounded(mean), -(2.0**30), 2.0**30))

    def _bias_name(self, values: Array, scale: Array, form: str) -> str:
        if form == "float":
            return self._out.constant("bias", (values * scale).astype(np.float32))
        return self._out.dequantised("bias", values.astype(np.int32), np.asarray(scale))

    def _batchnorm(self, name: str, real: Array) -> tuple[str, Array]:
        mean, std = _moments(real)
        mean, var = _rounded(mean), _rounded(np.square(std)) + 1e-3
        gamma = 2.0 ** self._rng.uniform(-1, 1, len(mean))
        beta = self._rng.normal(0, 0.3, len(mean))
        parameters = [np.asarray(p, np.float32) for p in (gamma, beta, mean, var)]
        names = [self._out.constant(h, p) for h, p in zip(("gamma", "beta", "mean", "var"), parameters, strict=True)]
        factor = gamma / np.sqrt(var + 1e-5)
        result = real * _along_channels(factor, real.ndim) + _along_channels(beta - mean * factor, real.ndim)
        return self._out.node("BatchNormalization", [name, *names], epsilon=1e-5), result

    def _activated(self, name: str, real: Array, act: Act) -> Activation:
        if act == "none":
            return self._quantised(name, real)
        if act == "relu":
            return self._quantised(self._out.node("Relu", [name]), np.maximum(real, 0))
        lo, hi = (0.0, 6.0) if isinstance(act, str) else act
        return self._quantised(self._out.node("Clip", [name], min=lo, max=hi), np.clip(real, lo, hi))

    def _quantised(self, name: str, real: Array, scale: float | None = None, zero: int | None = None) -> Activation:
        """Q and DQ with a scale from the samples' range (which always holds 0), or a given one."""
        limits = np.iinfo(self._dtype)
        if scale is None or zero is None:
            finite = real[np.isfinite(real)]
            widen = next((factor for few, factor in _WIDEN if real.size < few), 1.0)
            lo = widen * min(0.0, float(finite.min(initial=0)))
            hi = widen * max(0.0, float(finite.max(initial=0)))
            jitter = 1 + self._rng.random() / 64  # a scale with all the bits of a float's mantissa
            scale = float(np.float32(max(float(_rounded(hi - lo)), 1e-3) * jitter / 255))
            zero = limits.min + int(np.clip(round(-lo / scale), 0, 255))
        steps = np.rint(real / (np.float32(scale) if real.dtype == np.float32 else scale))
        values = np.clip(steps, limits.min - zero, limits.max - zero).astype(np.float32)
        return Activation(self._out.quantise(name, scale, zero, self._dtype), values, scale, zero, self._dtype)

    def _moved(self, x: Activation, name: str, values: Array, requantise: bool = True) -> Activation:
        """Elements of x elsewhere: the same scale and zero-point."""
        if requantise:
            name = self._out.quantise(name, x.scale, x.zero, x.dtype)
        return replace(x, name=name, values=np.ascontiguousarray(values))


def _rounded(value: Any) -> Array:
    """Rounded to 10 bits, so that a network's bytes do not hang on the last bit of some machine's sum."""
    mantissa, exponent = np.frexp(np.asarray(value, np.float64))
    return np.asarray(np.ldexp(np.rint(mantissa * 1024), exponent - 10))


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation per channel, float64, of at most about 4096 elements each."""
    flat = x.reshape(*x.shape[:2], -1)
    some = flat[:, :, :: max(1, flat.shape[0] * flat.shape[2] // 4096)].astype(np.float64)
    return some.mean((0, 2)), some.std((0, 2))


def _along_channels(vector: Any, ndim: int) -> Array:
    """A vector (or one number) that broadcasts along axis 1, in float32 to keep large maps small."""
    return np.asarray(vector, np.float32).reshape(-1, *(1,) * (ndim - 2))


def _weight_2d(ints: Array) -> Array:
    return ints if ints.ndim == 4 else ints[:, :, None]


def _on_2d(x: Array, run: Any) -> Array:
    """Run on [N, C, H, W]; maps [N, C, W] have one row."""
    if x.ndim == 4:
        return np.asarray(run(x))
    return np.asarray(run(x[:, :, None]))[:, :, 0]


__all__ = ["Act", "Activation", "Pads", "QdqBuilder", "Step", "Window"]
