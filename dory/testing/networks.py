"""Quantised networks with seeded random weights, as ONNX models in QDQ form: the same call gives the same bytes.

NETWORKS names them with their arguments. The shapes follow published networks; the weights compute nothing useful,
but every tensor uses its 8 bits and the answers depend on the input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnx

from dory.testing.all_ops import all_ops_net
from dory.testing.qdq_builder import Activation, QdqBuilder
from dory.testing.samples import sample_input


def mobilenet_v1(
    width: float = 1.0, resolution: int = 128, *, classes: int = 1000, channels: int = 3, seed: int = 0, opset: int = 17
) -> onnx.ModelProto:
    """MobileNetV1 (Howard et al., 2017): 27 convolutions with ReLU6, global average, one linear layer."""
    # Calibrating on many large images costs time and changes nothing: they hold enough elements each.
    b = QdqBuilder("mobilenet_v1", seed=seed, opset=opset, samples=2 if resolution > 160 else 4)
    x = b.conv(b.input((1, channels, resolution, resolution)), int(32 * width), stride=2, act="relu6")
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for outputs, stride in blocks:
        x = b.depthwise(x, stride=stride, act="relu6")
        x = b.conv(x, int(outputs * width), 1, act="relu6")
    return _classifier(b, x, classes)


def mobilenet_v2(
    width: float = 1.0, resolution: int = 128, *, classes: int = 1000, seed: int = 0, opset: int = 17
) -> onnx.ModelProto:
    """MobileNetV2 (Sandler et al., 2018): inverted residuals; channels rounded to multiples of 8."""
    b = QdqBuilder("mobilenet_v2", seed=seed, opset=opset, samples=2 if resolution > 160 else 4)
    x = b.conv(b.input((1, 3, resolution, resolution)), _eights(32 * width), stride=2, act="relu6")
    stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expand, outputs, repeats, first_stride in stages:
        for i in range(repeats):
            x = _inverted_residual(b, x, _eights(outputs * width), expand, first_stride if i == 0 else 1)
    x = b.conv(x, max(1280, _eights(1280 * width)), 1, act="relu6")
    return _classifier(b, x, classes)


def mobilenet_v2_block(channels: int = 24, size: int = 28, *, seed: int = 0, opset: int = 17) -> onnx.ModelProto:
    """One inverted residual with its addition, then one of stride 2 without."""
    b = QdqBuilder("mobilenet_v2_block", seed=seed, opset=opset)
    x = _inverted_residual(b, b.input((1, channels, size, size)), channels, 6, 1)
    b.output(_inverted_residual(b, x, channels + 8, 6, 2))
    return b.model()


def resnet8(*, seed: int = 0, opset: int = 17) -> onnx.ModelProto:
    """The ResNet-8 of MLPerf Tiny's image classification, 32x32x3, 10 classes."""
    b = QdqBuilder("resnet8", seed=seed, opset=opset)
    x = b.conv(b.input((1, 3, 32, 32)), 16)
    for outputs, stride in ((16, 1), (32, 2), (64, 2)):
        x = _residual(b, x, outputs, stride)
    return _classifier(b, x, 10)


def resnet18(resolution: int = 224, *, classes: int = 1000, seed: int = 0, opset: int = 17) -> onnx.ModelProto:
    """ResNet-18 (He et al., 2015): 11.7 MB of weights."""
    b = QdqBuilder("resnet18", seed=seed, opset=opset, samples=2)
    x = b.conv(b.input((1, 3, resolution, resolution)), 64, 7, stride=2, pads=3)
    x = b.maxpool(x, 3, stride=2, pads=1)
    for outputs in (64, 128, 256, 512):
        x = _residual(b, x, outputs, 1 if outputs == 64 else 2, pads=1)
        x = _residual(b, x, outputs, 1, pads=1)
    return _classifier(b, x, classes)


def dscnn(*, seed: int = 0, opset: int = 17) -> onnx.ModelProto:
    """The DS-CNN of MLPerf Tiny's keyword spotting: 49x10 spectrogram, 12 classes."""
    b = QdqBuilder("dscnn", seed=seed, opset=opset)
    x = b.conv(b.input((1, 1, 49, 10)), 64, (10, 4), stride=2)
    for _ in range(4):
        x = b.conv(b.depthwise(x), 64, 1)
    x = b.avgpool(x, (25, 5), stride=(25, 5))
    b.output(b.linear(b.flatten(x), 12))
    return b.model()


def autoencoder(*, seed: int = 0, opset: int = 17) -> onnx.ModelProto:
    """The fully connected autoencoder of MLPerf Tiny's anomaly detection: 640, 128 x 4, 8, 128 x 4, 640."""
    b = QdqBuilder("autoencoder", seed=seed, opset=opset, dtype="int8", samples=16)
    x = b.input((1, 640))
    for outputs in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = b.linear(x, outputs, act="relu")
    b.output(b.linear(x, 640))
    return b.model()


def conv1d_net(*, length: int = 256, seed: int = 0, opset: int = 17) -> onnx.ModelProto:
    """A temporal network on 1xW maps, 12 channels: dilated and strided (1, k) kernels, a residual, pooling."""
    b = QdqBuilder("conv1d_net", seed=seed, opset=opset)
    x = b.conv(b.input((1, 12, 1, length)), 24, (1, 7), stride=(1, 2))
    for dilation in (1, 2, 4):
        y = b.depthwise(x, (1, 5), dilation=(1, dilation))
        x = b.add(x, b.conv(y, 24, 1, act="none"), act="relu")
    x = b.maxpool(x, (1, 2), stride=(1, 2))
    x = b.conv(x, 40, (1, 3), pads=(0, 2, 0, 0))
    return _classifier(b, x, 6)


def concat_net(*, seed: int = 0, opset: int = 17) -> onnx.ModelProto:
    """Two inception-like cells with odd channel counts; the concatenated tensors have scales of their own."""
    b = QdqBuilder("concat_net", seed=seed, opset=opset)
    x = b.conv(b.input((1, 3, 33, 29)), 13, stride=2)
    for n in (7, 11):
        wide = b.conv(b.conv(x, n, 1), n + 6, 5)
        pooled = b.conv(b.maxpool(x, 3, stride=1, pads=1), n - 2, 1, act="relu6")
        x = b.concat([b.conv(x, n, 1), b.conv(x, 2 * n, 3), wide, pooled])
        x = b.maxpool(x, 2, stride=2)
    return _classifier(b, x, 10)


def two_input_net(*, seed: int = 0, opset: int = 17) -> onnx.ModelProto:
    """Two images, named image and depth: one path each, an addition and a concatenation that join them."""
    b = QdqBuilder("two_input_net", seed=seed, opset=opset)
    image, depth = b.input((1, 3, 24, 32), "image"), b.input((1, 1, 24, 32), "depth", limit=4.0)
    x, y = b.conv(image, 16, stride=2), b.conv(depth, 16, 5, stride=2)
    x = b.conv(b.add(x, y, act="relu"), 24)
    x = b.concat([x, b.maxpool(y, 1, stride=1), b.avgpool(image)])
    return _classifier(b, b.conv(x, 32, stride=2), 5)


def two_output_net(*, seed: int = 0, opset: int = 17) -> onnx.ModelProto:
    """One trunk; outputs named map (1x6x10x12) and scores (8 numbers, from a tensor that the map is made of too)."""
    b = QdqBuilder("two_output_net", seed=seed, opset=opset)
    x = b.conv(b.input((1, 3, 40, 48)), 16, stride=2)
    x = b.conv(b.depthwise(x, stride=2), 24, 1)
    b.output(b.conv(b.conv(x, 20), 6, 1, act="none"), "map")
    b.output(b.linear(b.flatten(b.global_avgpool(x)), 8), "scores")
    return b.model()


def dronet_like(*, resolution: int = 200, seed: int = 0, opset: int = 17) -> onnx.ModelProto:
    """The shape of DroNet (Loquercio et al., 2018): grey image, three residual blocks, steering and collision."""
    b = QdqBuilder("dronet_like", seed=seed, opset=opset)
    x = b.conv(b.input((1, 1, resolution, resolution)), 32, 5, stride=2, pads=2)
    x = b.maxpool(x, 2, stride=2)
    for outputs in (32, 64, 128):
        y = b.conv(x, outputs, stride=2, pads=1, batchnorm=True)
        y = b.conv(y, outputs, pads=1, batchnorm=True, act="none")
        x = b.add(y, b.conv(x, outputs, 1, stride=2, pads=0, act="none"), act="relu")
    x = b.flatten(x)
    b.output(b.linear(x, 1), "steering")
    b.output(b.function(b.linear(x, 1), "Sigmoid"), "collision")
    return b.model()


def _classifier(b: QdqBuilder, x: Activation, classes: int) -> onnx.ModelProto:
    b.output(b.linear(b.flatten(b.global_avgpool(x)), classes))
    return b.model()


def _inverted_residual(b: QdqBuilder, x: Activation, outputs: int, expand: int, stride: int) -> Activation:
    inputs = x.shape[1]
    y = b.conv(x, expand * inputs, 1, act="relu6") if expand > 1 else x
    y = b.depthwise(y, stride=stride, act="relu6")
    y = b.conv(y, outputs, 1, act="none")
    return b.add(x, y) if stride == 1 and inputs == outputs else y


def _residual(b: QdqBuilder, x: Activation, outputs: int, stride: int, pads: Any = "same") -> Activation:
    y = b.conv(b.conv(x, outputs, stride=stride, pads=pads), outputs, pads=pads, act="none")
    if stride > 1 or x.shape[1] != outputs:
        x = b.conv(x, outputs, 1, stride=stride, pads=0, act="none")
    return b.add(x, y, act="relu")


def _eights(channels: float) -> int:
    """The nearest multiple of 8 that is not more than 10 % smaller."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


@dataclass(frozen=True)
class Network:
    """A function of this module with the arguments that the network's name stands for."""

    function: Callable[..., onnx.ModelProto]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def build(self, **more: Any) -> onnx.ModelProto:
        """The model; `more` overrides arguments (seed, opset)."""
        return self.function(**{**self.arguments, **more})

    def save(self, path: Path, **more: Any) -> Path:
        """Write the model; its bytes depend on the arguments alone."""
        path.write_bytes(self.build(**more).SerializeToString(deterministic=True))
        return path


NETWORKS: Mapping[str, Network] = MappingProxyType(
    {
        "mobilenet_v1_1.0_128": Network(mobilenet_v1, {"width": 1.0, "resolution": 128}),
        "mobilenet_v1_1.0_224": Network(mobilenet_v1, {"width": 1.0, "resolution": 224}),
        "mobilenet_v1_0.25_96": Network(mobilenet_v1, {"width": 0.25, "resolution": 96, "classes": 2}),
        "mobilenet_v2_1.0_128": Network(mobilenet_v2, {"width": 1.0, "resolution": 128}),
        "mobilenet_v2_1.0_224": Network(mobilenet_v2, {"width": 1.0, "resolution": 224}),
        "mobilenet_v2_0.35_96": Network(mobilenet_v2, {"width": 0.35, "resolution": 96, "classes": 10}),
        "mobilenet_v2_block": Network(mobilenet_v2_block),
        "resnet8": Network(resnet8),
        "resnet18_224": Network(resnet18, {"resolution": 224}),
        "dscnn": Network(dscnn),
        "autoencoder": Network(autoencoder),
        "conv1d_net": Network(conv1d_net),
        "concat_net": Network(concat_net),
        "two_input_net": Network(two_input_net),
        "two_output_net": Network(two_output_net),
        "dronet_like": Network(dronet_like),
        "all_ops_net": Network(all_ops_net),
    }
)

__all__ = ["NETWORKS", "Network", "sample_input"]
