"""Networks of independent random layers, one per input: what cycle models are fitted and measured with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import onnx

from dory.testing.integer_builder import IntegerBuilder, Value
from dory.testing.qdq_builder import Act, Activation, QdqBuilder

Rng: TypeAlias = np.random.Generator
_CHANNELS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 16, 20, 24, 32, 32, 40, 48, 64, 64, 96, 128, 192, 256)
_MOST = 24 * 1024  # bytes of an input or output
_ACTS: tuple[Act, ...] = ("none", "relu", "relu6")


def _pick(rng: Rng, values: tuple[int, ...]) -> int:
    return int(values[int(rng.integers(len(values)))])


def _act(rng: Rng) -> Act:
    return _ACTS[int(rng.integers(len(_ACTS)))]


def _map(b: QdqBuilder, rng: Rng, name: str, *, most: int = _MOST, channels: int = 0) -> Activation:
    """An input of at most `most` bytes: [1, C, H, W]."""
    c = channels or _pick(rng, _CHANNELS)
    area = max(1, int(most / c * 10 ** rng.uniform(-1.3, 0)))
    h = int(np.clip(round(np.sqrt(area) * 2 ** rng.uniform(-0.7, 0.7)), 1, 64))
    w = int(np.clip(area // h, 1, 64))
    return b.input((1, c, h, w), name)


def _window(rng: Rng, x: Activation, kernels: tuple[int, ...], strides: tuple[int, ...]) -> dict[str, object]:
    kernel = tuple(min(_pick(rng, kernels), s) for s in x.spatial)
    stride = _pick(rng, strides)
    pads = tuple(int(rng.integers(2)) * (k // 2) for k in kernel)
    return {"kernel": kernel, "stride": (stride, stride), "pads": pads * 2}


def _conv(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    x = _map(b, rng, name, channels=_pick(rng, (1, 2, 3, 3, 4, 8, 13, 16, 16, 18, 24, 32, 32, 39, 48, 64)))
    window = _window(rng, x, (2, 3, 3, 3, 3, 5, 7), (1, 1, 2))
    c = min(_pick(rng, (4, 8, 10, 16, 19, 32, 32, 64)), max(4, 200_000 // (x.shape[1] * 9)))
    dilation = 1 + int(rng.integers(6) == 0 and min(x.spatial) > 14)
    return b.conv(x, _limited(x, window, c), dilation=dilation, act=_act(rng), **window)  # type: ignore[arg-type]


def _limited(x: Activation, window: Mapping[str, object], c: int) -> int:
    """Channels whose output stays small."""
    stride = window["stride"]
    assert isinstance(stride, tuple)
    pixels = int((x.spatial[0] // stride[0] + 1) * (x.spatial[1] // stride[1] + 1))
    return max(1, min(c, _MOST * 3 // 2 // pixels))


def _pointwise(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    x = _map(b, rng, name)
    window = {"kernel": (1, 1), "stride": (_pick(rng, (1, 1, 1, 1, 2)),) * 2, "pads": (0, 0, 0, 0)}
    c = _limited(x, window, min(_pick(rng, _CHANNELS[3:]), max(4, 60_000 // x.shape[1])))
    return b.conv(x, c, act=_act(rng), **window)  # type: ignore[arg-type]


def _pointwise_deep(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    h, w = int(rng.integers(1, 10)), int(rng.integers(1, 10))
    c = _pick(rng, (256, 384, 512, 576, 768, 1024))
    x = b.input((1, c, h, w), name)
    return b.conv(x, min(_pick(rng, (32, 64, 96, 128, 256)), 150_000 // c // 4 * 4), 1, act=_act(rng), stride=1, pads=0)


def _depthwise(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    x = _map(b, rng, name, channels=_pick(rng, _CHANNELS[2:]))
    window = _window(rng, x, (3, 3, 3, 3, 3, 5, 7, 2), (1, 1, 1, 2, 2))
    return b.depthwise(x, act=_act(rng), **window)  # type: ignore[arg-type]


def _grouped(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    groups, each = _pick(rng, (2, 2, 3, 4, 8)), _pick(rng, (1, 2, 3, 4, 8))
    x = _map(b, rng, name, channels=groups * each, most=12 * 1024)
    window = _window(rng, x, (1, 3, 3), (1, 2))
    c = groups * max(1, _limited(x, window, groups * _pick(rng, (2, 3, 4, 8))) // groups)
    c += groups * (c == groups * each == groups)  # not a depthwise one
    return b.conv(x, c, group=groups, act=_act(rng), **window)  # type: ignore[arg-type]


def _linear(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    k = int(8 * 2 ** rng.uniform(0, 8))
    x = b.input((1, k), name)
    return b.linear(x, min(int(4 * 2 ** rng.uniform(0, 7)), 60_000 // k + 1), act="relu")


def _add(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    x = _map(b, rng, name, most=_MOST * 2 // 3)
    return b.add(x, b.input(x.shape, f"{name}b", limit=2.0), act=_act(rng))


def _maxpool(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    x = _map(b, rng, name)
    window = _window(rng, x, (2, 2, 2, 3, 3, 5), (1, 2, 2))
    return b.maxpool(x, window.pop("kernel"), **window)  # type: ignore[arg-type]


def _avgpool(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    if rng.integers(2):
        return b.global_avgpool(_map(b, rng, name))
    x = _map(b, rng, name)
    window = _window(rng, x, (2, 2, 3, 4), (1, 2, 2))
    return b.avgpool(x, window.pop("kernel"), **window)  # type: ignore[arg-type]


def _lut(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    x = _map(b, rng, name)
    if rng.integers(2):  # values of a layer: cores that look up the same ones wait for each other
        x = b.conv(x, min(x.shape[1], 16), 1, act="none")
    return b.function(x, "Sigmoid")


def _lut_of_relu(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    """Many equal values, too few for a table of each core's own."""
    x = b.conv(_map(b, rng, name, most=3 * 1024), _pick(rng, (4, 5, 7, 8, 11, 16)), 1, act="relu")
    return b.function(x, "Sigmoid")


def _softmax(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    return b.softmax(_map(b, rng, name, most=6 * 1024, channels=_pick(rng, (2, 3, 5, 10, 12, 21, 64, 100))))


def _pad(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    return b.pad(_map(b, rng, name, most=12 * 1024), tuple(int(rng.integers(0, 4)) + (i == 0) for i in range(4)))


def _concat(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    x = _map(b, rng, name, most=8 * 1024)
    others = [b.input((1, _pick(rng, (1, 4, 8, 12, 16, 32)), *x.shape[2:]), f"{name}b")]
    while len(others) < 3 and rng.integers(3) == 0:
        others.append(b.input((1, _pick(rng, (3, 4, 8, 20)), *x.shape[2:]), f"{name}{'cd'[len(others) - 1]}"))
    return b.concat([x, *others])


def _permute(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    """With a convolution behind it, which wants the moved elements where they belong."""
    x = _map(b, rng, name, most=8 * 1024)
    orders = ((0, 2, 3, 1), (0, 3, 2, 1), (0, 1, 3, 2), (0, 3, 1, 2))
    return b.conv(b.transpose(x, orders[int(rng.integers(len(orders)))]), 4, 1, act="relu")


KINDS: Mapping[str, Callable[[QdqBuilder, Rng, str], Activation]] = MappingProxyType(
    {
        "conv": _conv,
        "pointwise": _pointwise,
        "depthwise": _depthwise,
        "grouped": _grouped,
        "linear": _linear,
        "add": _add,
        "maxpool": _maxpool,
        "avgpool": _avgpool,
        "lut": _lut,
        "softmax": _softmax,
        "pad": _pad,
        "concat": _concat,
        "permute": _permute,
    }
)


def _depthwise_5x5(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    x = b.input((1, _pick(rng, (4, 8, 16, 18, 32)), int(rng.integers(5, 26)), int(rng.integers(5, 26))), name)
    return b.depthwise(x, act=_act(rng), kernel=(5, 5), stride=(1, 1), pads=(2,) * 4)


def _depthwise_dilated(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    x = b.input((1, _pick(rng, (2, 4, 8, 12, 32)), int(rng.integers(1, 24)), int(rng.integers(12, 32))), name)
    kernel = (min(_pick(rng, (1, 3, 3, 5)), (x.spatial[0] + 1) // 2), _pick(rng, (2, 3, 3, 5)))
    pads = (kernel[0] // 2, int(rng.integers(3))) * 2
    return b.depthwise(x, act=_act(rng), kernel=kernel, stride=(1, 1), pads=pads, dilation=2)


def _depthwise_wide(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    h, w = int(rng.integers(2, 9)), int(rng.integers(2, 9))
    x = b.input((1, min(_pick(rng, (128, 192, 336, 512, 576, 960)), 40_000 // (h * w)) // 4 * 4, h, w), name)
    return b.depthwise(
        x, act=_act(rng), kernel=(min(3, h), min(3, w)), stride=(_pick(rng, (1, 1, 2)),) * 2, pads=(1,) * 4
    )


def _depthwise_large(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    x = b.input((1, _pick(rng, (16, 32, 48)), int(rng.integers(12, 30)), int(rng.integers(12, 30))), name)
    return b.depthwise(x, act=_act(rng), kernel=(3, 3), stride=(_pick(rng, (1, 2)),) * 2, pads=(1,) * 4)


def _maxpool_two(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    x = _map(b, rng, name, channels=_pick(rng, (4, 8, 12, 16, 32, 64)))
    return b.maxpool(x, tuple(min(2, s) for s in x.spatial), stride=(_pick(rng, (1, 2, 2, 2)),) * 2, pads=(0,) * 4)


def _conv_of_one(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    x = b.input((1, 1, int(rng.integers(2, 30)), int(rng.integers(2, 30))), name)
    return b.conv(x, _pick(rng, (2, 4, 9, 16)), 1, act=_act(rng), stride=1, pads=0)


def _conv_three(b: QdqBuilder, rng: Rng, name: str) -> Activation:
    c = _pick(rng, (4, 8, 12, 16, 24, 32, 48, 64))
    if rng.integers(3):
        x = _map(b, rng, name, channels=max(c, 8))
        window = _window(rng, x, (3, 3, 3, 2, 5), (1, 1, 1, 2))
    else:  # a signal
        x = b.input((1, c, 1, int(12 * 2 ** rng.uniform(0, np.log2(_MOST / c / 12)))), name)
        kernel = _pick(rng, (3, 3, 3, 5, 7))
        window = {"kernel": (1, kernel), "stride": (1, _pick(rng, (1, 1, 2))), "pads": (0, kernel // 2) * 2}
    most = min(_pick(rng, (4, 8, 10, 16, 32, 64)), max(4, 300_000 // (x.shape[1] * 9)))
    return b.conv(x, _limited(x, window, most), act=_act(rng), **window)  # type: ignore[arg-type]


RARE: Mapping[str, Callable[[QdqBuilder, Rng, str], Activation]] = MappingProxyType(
    {
        "depthwise_5x5": _depthwise_5x5,
        "depthwise_dilated": _depthwise_dilated,
        "conv_of_one": _conv_of_one,
        "conv_three": _conv_three,
        "maxpool_two": _maxpool_two,
        "lut_of_relu": _lut_of_relu,
        "pointwise_deep": _pointwise_deep,
        "depthwise_wide": _depthwise_wide,
        "depthwise_large": _depthwise_large,
    }
)
"""Kinds whose kernels take ways of their own; calibration needs them, random samples hardly ever have them."""


def _sums(b: IntegerBuilder, rng: Rng, name: str) -> Value:
    k = int(8 * 2 ** rng.uniform(0, 8))
    return b.linear(b.input((1, k), name), min(int(2 * 2 ** rng.uniform(0, 7)), 60_000 // k + 1))


def _exact(b: IntegerBuilder, x: Value) -> Value:
    """A rescale by about 1/2 of sums of many bits: only the exact form has room for both."""
    return b.rescale(x, tail=x.hi // 256, negative=False)


def _conv_exact(b: IntegerBuilder, rng: Rng, name: str) -> Value:
    x = b.input((1, _pick(rng, (16, 24, 32, 50, 64)), int(rng.integers(3, 16)), int(rng.integers(3, 16))), name)
    kernel = [_pick(rng, (1, 2, 3, 3)), _pick(rng, (1, 3, 3))]
    return _exact(b, b.conv(x, _pick(rng, (3, 4, 8, 16, 32)), kernel, stride=_pick(rng, (1, 1, 2)), pads=[1, 0, 0, 1]))


def _linear_exact(b: IntegerBuilder, rng: Rng, name: str) -> Value:
    k = int(200 * 2 ** rng.uniform(0, 3))
    return _exact(b, b.linear(b.input((1, k), name), min(int(2 * 2 ** rng.uniform(0, 7)), 60_000 // k + 1)))


OF_INTEGERS: Mapping[str, Callable[[IntegerBuilder, Rng, str], Value]] = MappingProxyType(
    {"linear32": _sums, "conv_exact": _conv_exact, "linear_exact": _linear_exact}
)
"""Kinds that (nearly) only networks of integers have; no other kind may stand beside them."""


def random_layers(seed: int, kinds: tuple[str, ...]) -> onnx.ModelProto:
    """One layer of each kind (they may repeat), each with inputs of its own; the same seed gives the same model."""
    rng = np.random.default_rng(seed)
    if kinds[0] in OF_INTEGERS:
        integers = IntegerBuilder(rng)
        for i, kind in enumerate(kinds):
            integers.output(OF_INTEGERS[kind](integers, rng, f"in{i}"))
        return integers.model()
    b = QdqBuilder(f"layers_{seed}", seed=seed, samples=2)
    for i, kind in enumerate(kinds):
        b.output((KINDS.get(kind) or RARE[kind])(b, rng, f"in{i}"), f"out{i}")
    return b.model()
