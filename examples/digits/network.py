"""The digits network in PyTorch, and its float ONNX file: 8x8 grey digits, 10 classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OPSET = 17


class Layer(nn.Module):
    """Convolution without bias, batch normalisation, and ReLU or nothing."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, group: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=group, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x))
        return torch.relu(x) if self.relu else x

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights and bias with the batch normalisation in them."""
        norm = self.norm
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = self.conv.weight * factor[:, None, None, None]
        bias = norm.bias - norm.running_mean * factor
        return weight.detach().numpy(), bias.detach().numpy()


class DigitsNet(nn.Module):
    """Standard, depthwise and pointwise convolutions, a residual sum, max pooling, global average, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Layer(1, 32, 3)
        self.residual_1 = Layer(32, 32, 3)
        self.residual_2 = Layer(32, 32, 3, relu=False)
        self.depthwise_1 = Layer(32, 32, 3, group=32)
        self.pointwise_1 = Layer(32, 64, 1)
        self.depthwise_2 = Layer(64, 64, 3, group=64)
        self.pointwise_2 = Layer(64, 96, 1)
        self.classifier = nn.Linear(96, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.residual_2(self.residual_1(x)))
        x = torch.max_pool2d(x, 2)
        x = self.pointwise_1(self.depthwise_1(x))
        x = self.pointwise_2(self.depthwise_2(x))
        return self.classifier(x.mean((2, 3)))


class _Graph:
    """Nodes and weights of the ONNX file; every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def weight(self, name: str, array: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def layer(self, name: str, layer: Layer, x: str) -> str:
        weight, bias = layer.folded()
        inputs = [x, self.weight(f"{name}_weight", weight), self.weight(f"{name}_bias", bias)]
        conv, half = layer.conv, layer.conv.kernel_size[0] // 2
        y = self.node(
            "Conv", inputs, name, kernel_shape=conv.kernel_size, pads=[half] * 4, strides=[1, 1], group=conv.groups
        )
        return self.node("Relu", [y], f"{name}_relu") if layer.relu else y


def float_onnx(net: DigitsNet) -> onnx.ModelProto:
    """The trained network as ONNX; input [1, 1, 8, 8] in 0..1, output the 10 scores."""
    g = _Graph()
    x = g.layer("stem", net.stem, "image")
    y = g.layer("residual_2", net.residual_2, g.layer("residual_1", net.residual_1, x))
    x = g.node("Relu", [g.node("Add", [x, y], "residual_sum")], "residual_relu")
    x = g.node("MaxPool", [x], "pool", kernel_shape=[2, 2], strides=[2, 2])
    for name in ("depthwise_1", "pointwise_1", "depthwise_2", "pointwise_2"):
        x = g.layer(name, getattr(net, name), x)
    x = g.node("Flatten", [g.node("GlobalAveragePool", [x], "mean")], "features", axis=1)
    weight = g.weight("classifier_weight", net.classifier.weight.detach().numpy())
    bias = g.weight("classifier_bias", net.classifier.bias.detach().numpy())
    g.node("Gemm", [x, weight, bias], "scores", transB=1)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])
    graph = helper.make_graph(g.nodes, "digits", [image], [scores], initializer=g.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
