"""Hypothesis strategies of single layers in awkward shapes, of networks that hold some of them, and of limits.

A `LayerSpec` is plain data, so that a failure shrinks to a small one and prints as one line; `build_layers` writes the
ONNX network. `deployments` draws what `dory fuzz` runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import onnx
from hypothesis import strategies as st

from dory.testing.qdq_builder import Act, Activation, QdqBuilder
from dory.testing.strategies import RandomNetwork, small_qdq_networks

KINDS = (
    "conv",
    "heavy",
    "pointwise",
    "depthwise",
    "multiplier",
    "grouped",
    "linear",
    "add",
    "maxpool",
    "avgpool",
    "mean",
    "pad",
    "function",
    "softmax",
    "concat",
    "transpose",
)
_FREQUENT = ("conv", "depthwise", "conv", "pointwise", "depthwise", "grouped", "linear")
_CHANNELS = (1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17, 19, 24, 31, 32, 37, 48, 53, 64, 67, 96, 101, 128)
_SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 16, 17, 19, 23, 28, 31, 32, 37, 41, 64, 96)
_KERNELS = (1, 2, 3, 3, 4, 5, 5, 7, 9)
_ACTS: tuple[Act, ...] = ("none", "relu", "relu6", (-0.75, 1.5))
_MAX_PRODUCTS = 1 << 21  # multiply-accumulates of a layer


@dataclass(frozen=True)
class LayerSpec:
    """One layer. shape is (C, H, W) of the input; pairs are (vertical, horizontal), pads (top, left, bottom, right).

    Kinds use what they need: `channels` of a concat are the second input's, `number` chooses between variants. inside:
    the layer stands between pointwise convolutions of few channels, so that its tensors are no inputs and outputs of
    the network, and may be kept in L3.
    """

    kind: str
    shape: tuple[int, int, int]
    channels: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    group: int = 1
    act: Act = "none"
    number: int = 0
    inside: bool = False

    def __str__(self) -> str:
        own = [(f.name, getattr(self, f.name)) for f in fields(self)[2:] if getattr(self, f.name) != f.default]
        return " ".join([self.kind, "x".join(map(str, self.shape)), *(f"{k}={v}" for k, v in own)]).replace(", ", ",")

    def out_hw(self) -> tuple[int, int]:
        """Output rows and columns of the window."""
        h, w = (
            (self.shape[1 + a] + self.pads[a] + self.pads[2 + a] - (self.kernel[a] - 1) * self.dilation[a] - 1)
            // self.stride[a]
            + 1
            for a in (0, 1)
        )
        return h, w


@st.composite
def layer_specs(
    draw: st.DrawFn, max_bytes: int = 16 * 1024, kinds: Sequence[str] = KINDS, min_bytes: int = 1
) -> LayerSpec:
    """One layer with an input of at least `min_bytes` and at most `max_bytes` bytes (maps of 96x96x128 at most).

    Non-square maps, kernels and strides, asymmetric pads, odd and prime channels, 1x1 maps, one column, strides above
    the kernel, dilation up to 4, depthwise multipliers, groups.
    """
    kind = draw(st.sampled_from([*kinds, *(k for k in _FREQUENT if k in kinds)]))
    c = draw(st.sampled_from(_CHANNELS))
    if kind == "linear":
        c = draw(st.integers(1, min(max_bytes, 4096)))
        return LayerSpec(kind, (c, 1, 1), draw(st.integers(1, min(200, _MAX_PRODUCTS // c))), act=draw(_act()))
    if kind == "heavy":  # a convolution with more weights than pixels
        c = draw(st.sampled_from((96, 128, 160, 192, 256)))
        max_bytes = min(max_bytes, 9 * c)
    h = draw(_size(c, min_bytes // _SIZES[-1], max_bytes))
    w = draw(_size(c * h, min_bytes, max_bytes))
    spec = LayerSpec(
        kind, (c, h, w), draw(st.sampled_from(_CHANNELS)), act=draw(_act()), number=draw(st.integers(0, 7))
    )
    if kind in ("conv", "heavy", "depthwise", "multiplier", "grouped", "maxpool", "avgpool"):
        spec = draw(_windowed(spec))
    if kind == "pad":
        left, bottom, right = (draw(st.integers(0, 3)) for _ in range(3))
        spec = replace(spec, pads=(1, left, bottom, right))
    return _limited(draw, spec, max_bytes)


def _size(unit: int, low: int, high: int) -> st.SearchStrategy[int]:
    """Sizes of `unit` bytes each between `low` and `high` bytes, or the largest one."""
    fitting = [s for s in _SIZES if s * unit <= high]
    return st.sampled_from([s for s in fitting if s * unit >= low] or fitting[-1:])


def _act() -> st.SearchStrategy[Act]:
    return st.sampled_from(_ACTS)


@st.composite
def _windowed(draw: st.DrawFn, spec: LayerSpec) -> LayerSpec:
    """With a kernel, strides, dilation and pads for which at least one output is left."""
    pooling = spec.kind in ("maxpool", "avgpool")
    axes = []
    for size in spec.shape[1:]:
        kernel = draw(st.sampled_from(_KERNELS))
        dilation = 1 if pooling else draw(st.sampled_from((1, 1, 1, 2, 3, 4)))
        span = (kernel - 1) * dilation + 1
        if span > 2 * size + 6:  # hardly an input element among all that padding
            kernel, dilation, span = 1, 1, 1
        before, after = draw(st.integers(0, span - 1)), draw(st.integers(0, span - 1))
        axes.append((kernel, draw(st.integers(1, 5)), dilation, before, max(after, span - size - before)))
    (kh, sh, dh, top, bottom), (kw, sw, dw, left, right) = axes
    pads = (top, left, bottom, right)
    return replace(spec, kernel=(kh, kw), stride=(sh, sw), dilation=(dh, dw), pads=pads)


def _limited(draw: st.DrawFn, spec: LayerSpec, max_bytes: int) -> LayerSpec:
    """With groups, and with channels that keep output and work small."""
    c, (oh, ow) = spec.shape[0], spec.out_hw()
    area, taps = oh * ow, spec.kernel[0] * spec.kernel[1]
    if spec.kind in ("depthwise", "multiplier"):
        many = 1 if spec.kind == "depthwise" else max(1, min(1 + spec.number % 4, max_bytes // (area * c)))
        return replace(spec, channels=c * many, group=c)
    if spec.kind == "grouped":
        group = draw(st.sampled_from([g for g in range(1, c + 1) if c % g == 0]))
        most = min(max_bytes // area, _MAX_PRODUCTS // (area * taps * (c // group)))
        return replace(spec, group=group, channels=group * max(1, min(spec.channels, most) // group))
    most = min(max_bytes // area, _MAX_PRODUCTS // (area * taps * c))
    if spec.kind == "heavy":
        return replace(spec, channels=max(1, min(4 * spec.channels, _MAX_PRODUCTS // (area * taps * c))))
    return replace(spec, channels=max(1, min(spec.channels, most)))


def build_layers(
    specs: Sequence[LayerSpec], *, seed: int = 0, dtype: str = "uint8", per_channel: bool = True
) -> onnx.ModelProto:
    """A network of the layers side by side, each with inputs and an output of its own."""
    b = QdqBuilder("layers", seed=seed, dtype=dtype, per_channel=per_channel, samples=2)  # type: ignore[arg-type]
    for i, spec in enumerate(specs):
        b.output(_layer(b, spec, f"input_{i}"), f"output_{i}")
    return b.model()


def _layer(b: QdqBuilder, s: LayerSpec, name: str) -> Activation:
    if s.kind == "linear":
        return b.linear(b.input((1, s.shape[0]), name), s.channels, act=s.act)
    if not s.inside:
        return _on_map(b, s, b.input((1, *s.shape), name), name)
    x = b.conv(b.input((1, 1, *s.shape[1:]), name), s.shape[0], 1)
    y = _on_map(b, s, x, name)
    return b.conv(y, min(2, y.shape[1]), 1)


def _on_map(b: QdqBuilder, s: LayerSpec, x: Activation, name: str) -> Activation:
    if s.kind == "maxpool":
        return b.maxpool(x, s.kernel, stride=s.stride, pads=s.pads)
    if s.kind == "avgpool":
        return b.avgpool(x, s.kernel, stride=s.stride, pads=s.pads, count_include_pad=s.number % 2 == 1)
    if s.kind == "mean":
        return b.global_avgpool(x)
    if s.kind == "pad":
        return b.pad(x, s.pads)
    if s.kind == "function":
        return b.function(x, ("Sigmoid", "Tanh", "HardSigmoid", "Neg")[s.number % 4])
    if s.kind == "softmax":
        return b.softmax(x)
    if s.kind == "add":
        return b.add(x, b.conv(x, x.shape[1], 1) if s.inside else b.input((1, *s.shape), f"{name}b", 0.7), act=s.act)
    if s.kind == "concat":
        other = (1, s.channels, *s.shape[1:])
        y = b.conv(x, s.channels, 1) if s.inside else b.input(other, f"{name}b", 1.0 if s.number % 2 else 0.6)
        return b.concat([x, y])
    if s.kind == "transpose":
        orders = ((0, 2, 3, 1), (0, 3, 2, 1), (0, 1, 3, 2), (0, 3, 1, 2), (0, 2, 1, 3))
        return b.conv(b.transpose(x, orders[s.number % 5]), 3, 1)  # which wants the elements where they belong
    kernel = (1, 1) if s.kind == "pointwise" else s.kernel
    bias = ("int32", "float", "none")[s.number % 3]
    return b.conv(
        x, s.channels, kernel, stride=s.stride, pads=s.pads, dilation=s.dilation, group=s.group, act=s.act,
        bias=bias, batchnorm=s.number == 7,  # type: ignore[arg-type]
    )  # fmt: skip


@st.composite
def layer_networks(
    draw: st.DrawFn,
    max_layers: int = 4,
    max_bytes: int = 16 * 1024,
    kinds: Sequence[str] = KINDS,
    *,
    min_layers: int = 1,
    min_bytes: int = 1,
    inside: bool = False,
) -> RandomNetwork:
    """Networks of `min_layers` to `max_layers` layers side by side (layer_specs), uint8 or int8.

    inside: the layers stand between others, so that their tensors may be kept in L3.
    """
    specs = draw(st.lists(layer_specs(max_bytes, kinds, min_bytes), min_size=min_layers, max_size=max_layers))
    specs = [replace(s, inside=inside) for s in specs]
    options: dict[str, Any] = {
        "seed": draw(st.integers(0, 999)),
        "dtype": draw(st.sampled_from(("uint8", "int8"))),
        "per_channel": draw(st.booleans()),
    }
    return RandomNetwork(build_layers(specs, **options), options, tuple(map(str, specs)))


@dataclass(frozen=True)
class Limits:
    """What a plan may use. l1: bytes; l2: bytes beyond the code; None: all that the target has."""

    l1: int | None = None
    l2: int | None = None
    cores: int = 8
    rescale_bits: int = 15


def limits(max_l1: int = 57344, max_l2: int = 200_000) -> st.SearchStrategy[Limits]:
    """Memories from all there is down to next to nothing, any number of cores."""
    return st.builds(
        Limits,
        l1=st.integers(-20, 63).map(lambda k: None if k < 0 else int(max_l1 * 2 ** (-k / 11))),
        l2=st.integers(-20, 63).map(lambda k: None if k < 0 else int(max_l2 * 2 ** (-k / 8))),
        cores=st.sampled_from((8, 8, 8, 1, 2, 3, 4, 5, 6, 7)),
        rescale_bits=st.sampled_from((15, 15, 31)),
    )


def fuzz_networks(max_layers: int = 6, max_bytes: int = 16 * 1024) -> st.SearchStrategy[RandomNetwork]:
    """Layers side by side, one in the middle of a chain, or a DAG on small maps with residuals and several outputs."""
    return st.one_of(
        layer_networks(max_layers, max_bytes),
        small_qdq_networks(max_layers),
        layer_networks(2, max_bytes, ("heavy", "linear"), inside=True),
        layer_networks(
            1, 10 * max_bytes, [k for k in KINDS if k not in ("linear", "heavy")], min_bytes=4 * max_bytes, inside=True
        ),
    )


@dataclass(frozen=True)
class Deployment:
    """A network and what its plan may use."""

    network: RandomNetwork
    limits: Limits


def deployments(max_layers: int = 6, max_bytes: int = 16 * 1024) -> st.SearchStrategy[Deployment]:
    """Networks under limits."""
    return st.builds(Deployment, fuzz_networks(max_layers, max_bytes), limits())
