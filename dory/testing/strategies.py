"""Hypothesis strategies of random quantised networks. A property of deployment is a test over small_qdq_networks()."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import onnx
from hypothesis import strategies as st

from dory.testing.qdq_builder import Act, Activation, QdqBuilder

_Layer: TypeAlias = Callable[["_Drawing", Activation], Activation]
_FUNCTIONS = ("Sigmoid", "HardSigmoid", "LeakyRelu", "Tanh", "Elu", "Abs", "Neg")
_ACTS: Sequence[Act] = ("none", "relu", "relu6", (-0.75, 1.5))
_MAX_CHANNELS = 40


@dataclass(frozen=True, eq=False)
class RandomNetwork:
    """A drawn network; `layers` says what it is made of, in the order of drawing, without the weights."""

    model: onnx.ModelProto = field(repr=False)
    options: Mapping[str, Any]
    layers: tuple[str, ...]


@dataclass(eq=False)
class _Drawing:
    """A network that is being drawn: the builder, all tensors so far and those that nothing reads yet."""

    draw: st.DrawFn
    builder: QdqBuilder
    tensors: list[Activation]
    unread: list[Activation]
    log: list[str]

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def choice(self, values: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(values))

    def numbers(self, count: int, low: int, high: int) -> tuple[int, ...]:
        return tuple(self.number(low, high) for _ in range(count))

    def read(self, *inputs: Activation) -> None:
        self.unread = [t for t in self.unread if all(t is not x for x in inputs)]

    def other(self, x: Activation, same: Callable[[Activation], bool]) -> Activation:
        """A second operand: another tensor that fits, or a 1x1 convolution of x."""
        fitting = [t for t in self.tensors if t is not x and t.dtype == x.dtype and same(t)]
        use_one: bool = self.draw(st.booleans())
        if fitting and use_one:
            return fitting[self.number(0, len(fitting) - 1)]
        return self.builder.conv(x, x.shape[1], 1, act=self.choice(_ACTS))

    def window(self, x: Activation, stride: int = 3) -> dict[str, Any]:
        """Kernel, stride and asymmetric pads (below the kernel) that fit x."""
        kernel = tuple(self.number(1, min(4, size)) for size in x.spatial)
        pads = tuple(self.number(0, k - 1) for k in kernel * 2)
        return {"kernel": kernel, "stride": self.numbers(len(kernel), 1, stride), "pads": pads}


def _conv(d: _Drawing, x: Activation) -> Activation:
    window = d.window(x)
    n, pads = len(x.spatial), window["pads"]
    room = [size + pads[i] + pads[i + n] for i, size in enumerate(x.spatial)]
    dilation = tuple(d.number(1, 2) if (k - 1) * 2 + 1 <= r else 1 for k, r in zip(window["kernel"], room, strict=True))
    group = d.choice([g for g in range(1, x.shape[1] + 1) if x.shape[1] % g == 0])
    channels = group * d.number(1, max(1, min(13, _MAX_CHANNELS // group)))
    return d.builder.conv(x, channels, **window, dilation=dilation, group=group, act=d.choice(_ACTS), **_conv_extras(d))


def _conv_extras(d: _Drawing) -> dict[str, Any]:
    return {"bias": d.choice(("int32", "float", "none")), "batchnorm": d.number(0, 3) == 3}


def _pointwise(d: _Drawing, x: Activation) -> Activation:
    return d.builder.conv(x, d.number(1, 19), 1, act=d.choice(_ACTS), **_conv_extras(d))


def _depthwise(d: _Drawing, x: Activation) -> Activation:
    multiplier = d.number(1, max(1, min(3, _MAX_CHANNELS // x.shape[1])))
    return d.builder.depthwise(x, **d.window(x), multiplier=multiplier, act=d.choice(_ACTS), **_conv_extras(d))


def _add(d: _Drawing, x: Activation) -> Activation:
    y = d.other(x, lambda t: t.shape == x.shape)
    d.read(y)
    return d.builder.add(x, y, act=d.choice(_ACTS))


def _concat(d: _Drawing, x: Activation) -> Activation:
    def fits(t: Activation) -> bool:
        return t.shape[2:] == x.shape[2:] and t.shape[1] + x.shape[1] <= _MAX_CHANNELS

    y = d.other(x, fits)
    d.read(y)
    return d.builder.concat([y, x] if d.draw(st.booleans()) else [x, y])


def _maxpool(d: _Drawing, x: Activation) -> Activation:
    return d.builder.maxpool(x, **d.window(x))


def _avgpool(d: _Drawing, x: Activation) -> Activation:
    return d.builder.avgpool(x, **d.window(x), count_include_pad=d.draw(st.booleans()))


def _pad(d: _Drawing, x: Activation) -> Activation:
    pads = d.numbers(2 * len(x.spatial), 0, 2)
    return d.builder.pad(x, pads if any(pads) else (1, *pads[1:]))


def _function(d: _Drawing, x: Activation) -> Activation:
    return d.builder.function(x, d.choice(_FUNCTIONS))


def _mean(d: _Drawing, x: Activation) -> Activation:
    form: Literal["GlobalAveragePool", "ReduceMean"] = d.choice(("GlobalAveragePool", "ReduceMean"))
    return d.builder.global_avgpool(x, form=form)


def _flatten(d: _Drawing, x: Activation) -> Activation:
    return d.builder.linear(d.builder.flatten(x), d.number(1, 17), act=d.choice(_ACTS))


def _linear(d: _Drawing, x: Activation) -> Activation:
    return d.builder.linear(x, d.number(1, 17), act=d.choice(_ACTS), form=d.choice(("gemm", "matmul")))


def _softmax(d: _Drawing, x: Activation) -> Activation:
    return d.builder.softmax(x)


def _add_rows(d: _Drawing, x: Activation) -> Activation:
    y = d.builder.linear(x, x.shape[1])
    return d.builder.add(x, y, act=d.choice(_ACTS))


_ON_MAPS: Mapping[str, _Layer] = {
    "conv": _conv,
    "pointwise": _pointwise,
    "depthwise": _depthwise,
    "add": _add,
    "concat": _concat,
    "maxpool": _maxpool,
    "avgpool": _avgpool,
    "pad": _pad,
    "function": _function,
    "mean": _mean,
    "flatten and linear": _flatten,
}
_FREQUENT = ("conv", "depthwise", "add", "concat", "pointwise", "conv")
_ON_ROWS: Mapping[str, _Layer] = {
    "linear": _linear,
    "function": _function,
    "add": _add_rows,
    "softmax": _softmax,
}


@st.composite
def small_qdq_networks(draw: st.DrawFn, max_layers: int = 6, opsets: Sequence[int] = (17, 13, 21, 11)) -> RandomNetwork:
    """Networks of 1 to `max_layers` drawn layers on maps of at most 15x15 (or 1-D maps), any DAG.

    Odd channel counts, non-square maps, kernels and strides, asymmetric pads, groups, dilation, depthwise multipliers,
    additions and concatenations of tensors with other scales, uint8 or int8. Tensors that nothing reads are outputs.
    """
    options: dict[str, Any] = {
        "opset": draw(st.sampled_from(opsets)),
        "seed": draw(st.integers(0, 999)),
        "dtype": draw(st.sampled_from(("uint8", "int8"))),
        "per_channel": draw(st.booleans()),
    }
    d = _Drawing(draw, QdqBuilder("random", samples=3, **options), [], [], [])
    spatial = d.numbers(1 if d.number(0, 7) == 7 else 2, 1, 15)
    for i in range(2 if d.number(0, 5) == 5 else 1):
        d.tensors.append(d.builder.input((1, d.number(1, 9), *spatial), f"input_{i}"))
        d.log.append(f"input {d.tensors[-1].shape}")
    d.unread = list(d.tensors)
    for _ in range(d.number(1, max_layers)):
        _draw_layer(d)
    _draw_outputs(d)
    return RandomNetwork(d.builder.model(), options, tuple(d.log))


def _draw_layer(d: _Drawing) -> None:
    # The newest tensor more often than not: depth finds more than width.
    x = d.tensors[-1] if d.draw(st.booleans()) else d.choice(d.tensors)
    layers = _ON_MAPS if len(x.shape) > 2 else _ON_ROWS
    kind = d.choice([*layers, *(k for k in _FREQUENT if k in layers)])
    y = layers[kind](d, x)
    d.log.append(f"{kind} of {x.name} {x.shape} to {y.name} {y.shape}")
    d.read(x)
    d.tensors.append(y)
    d.unread.append(y)


def _draw_outputs(d: _Drawing) -> None:
    inputs = d.tensors[: sum(line.startswith("input") for line in d.log)]
    for x in [t for t in d.unread if any(t is i for i in inputs)]:
        # A network input that no layer reads would be quantised and handed back: give it a layer.
        d.unread = [d.builder.conv(x, 3, 1) if t is x else t for t in d.unread]
    for i, x in enumerate(d.unread):
        d.builder.output(x, f"output_{i}")
