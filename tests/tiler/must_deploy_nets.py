"""Layers that are hard to tile, each in a network as small as it gets around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import onnx

from dory.testing.qdq_builder import QdqBuilder


def _builder(name: str) -> QdqBuilder:
    return QdqBuilder(name, samples=1)


def conv_3x3_512() -> onnx.ModelProto:
    """3x3, 512 -> 512 on 14x14: 4,608 products an output."""
    b = _builder("conv_3x3_512")
    b.output(b.conv(b.input((1, 512, 14, 14)), 512, 3))
    return b.model()


def conv_5x5_256() -> onnx.ModelProto:
    """5x5, 256 -> 256 on 28x28: 6,400 products an output; input and output have 200 kB each."""
    b = _builder("conv_5x5_256")
    b.output(b.conv(b.input((1, 256, 28, 28)), 256, 5))
    return b.model()


def conv_7x7_stride_2() -> onnx.ModelProto:
    """7x7, stride 2, 3 -> 64 on 112x112, and 64 -> 64 behind it."""
    b = _builder("conv_7x7_stride_2")
    b.output(b.conv(b.conv(b.input((1, 3, 112, 112)), 64, 7, stride=2), 64, 7, stride=2))
    return b.model()


def pointwise_2048() -> onnx.ModelProto:
    """1x1, 2048 -> 2048 on 7x7: 4 MB of weights."""
    b = _builder("pointwise_2048")
    b.output(b.conv(b.input((1, 2048, 7, 7)), 2048, 1))
    return b.model()


def linear_65536() -> onnx.ModelProto:
    """65,536 -> 64: the input alone is larger than L1."""
    b = _builder("linear_65536")
    b.output(b.linear(b.input((1, 65536)), 64))
    return b.model()


def conv_384x384x16() -> onnx.ModelProto:
    """3x3, 16 -> 16 on 384x384: input and output are 2.4 MB each, five times L2."""
    b = _builder("conv_384x384x16")
    x = b.conv(b.input((1, 1, 384, 384)), 16, 3)
    b.output(b.maxpool(b.conv(x, 16, 3), 8, stride=8))
    return b.model()


def depthwise_5x5_144() -> onnx.ModelProto:
    """Depthwise 5x5 on 112x112x144: input and output are 1.8 MB each."""
    b = _builder("depthwise_5x5_144")
    x = b.depthwise(b.conv(b.input((1, 8, 112, 112)), 144, 1), 5)
    b.output(b.conv(x, 8, 1))
    return b.model()


def dilated_4() -> onnx.ModelProto:
    """3x3 with dilation 4, 64 -> 64 on 40x40: a tile of one row reads nine."""
    b = _builder("dilated_4")
    b.output(b.conv(b.input((1, 64, 40, 40)), 64, 3, dilation=4))
    return b.model()


def row_of_64() -> onnx.ModelProto:
    """1x64 kernel over 1-D data, 16 -> 32, 512 long, as wake-word networks have it."""
    b = _builder("row_of_64")
    b.output(b.conv(b.input((1, 16, 1, 512)), 32, (1, 64), pads=(0, 31, 0, 32)))
    return b.model()


MUST_DEPLOY: Mapping[str, Callable[[], onnx.ModelProto]] = MappingProxyType(
    {
        f.__name__: f
        for f in (
            conv_3x3_512,
            conv_5x5_256,
            conv_7x7_stride_2,
            pointwise_2048,
            linear_65536,
            conv_384x384x16,
            depthwise_5x5_144,
            dilated_4,
            row_of_64,
        )
    }
)
BUDGETS = (16 * 1024, 32 * 1024, 56 * 1024)


def above_l3() -> onnx.ModelProto:
    """Weights of 4.3 MB, and two activations of 2.4 MB that live together above L2: more than 8 MiB of L3."""
    b = _builder("above_l3")
    x = b.conv(b.input((1, 1, 384, 384)), 16, 3)
    x = b.maxpool(b.maxpool(b.conv(x, 16, 3), 8, stride=8), 6, stride=6)
    b.output(b.conv(b.conv(x, 2048, 1), 2048, 1))
    return b.model()
