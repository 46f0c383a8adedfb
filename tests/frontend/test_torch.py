"""Networks that Brevitas and PyTorch export on this machine, where they are installed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dory.frontend import from_hwc, load, to_hwc
from dory.reference import run
from dory.testing.ladder import climb

pytestmark = pytest.mark.slow


def brevitas_net(weight_bits: int, act_bits: int) -> Any:
    torch, qnn = pytest.importorskip("torch"), pytest.importorskip("brevitas.nn")
    quant = pytest.importorskip("brevitas.quant")

    class Network(torch.nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            weights: dict[str, Any] = {"weight_bit_width": weight_bits}
            self.image = qnn.QuantIdentity(bit_width=8, return_quant_tensor=True)
            self.first = qnn.QuantConv2d(3, 8, 3, padding=1, bias_quant=quant.Int32Bias, **weights)
            self.norm = torch.nn.BatchNorm2d(8)
            self.relu = qnn.QuantReLU(bit_width=act_bits, return_quant_tensor=True)
            per_channel = quant.Int8WeightPerChannelFloat
            self.depthwise = qnn.QuantConv2d(8, 8, 3, padding=1, groups=8, weight_quant=per_channel, **weights)
            self.relu2 = qnn.QuantReLU(bit_width=act_bits, return_quant_tensor=True)
            self.pool = torch.nn.MaxPool2d(2)
            self.shared = qnn.QuantIdentity(bit_width=act_bits, return_quant_tensor=True)
            self.pointwise = qnn.QuantConv2d(8, 8, 1, bias=False, **weights)
            self.sum = qnn.QuantIdentity(bit_width=act_bits, return_quant_tensor=True)
            self.linear = qnn.QuantLinear(128, 10, bias=True, bias_quant=quant.Int32Bias, **weights)
            self.scores = qnn.QuantIdentity(bit_width=8)

        def forward(self, x: Any) -> Any:
            x = self.relu(self.norm(self.first(self.image(x))))
            x = self.shared(self.pool(self.relu2(self.depthwise(x))))
            x = self.sum(x + self.shared(self.pointwise(x)))
            return self.scores(self.linear(torch.flatten(x, 1)))

    torch.manual_seed(weight_bits * 10 + act_bits)
    network = Network()
    for _ in range(3):
        network(torch.randn(4, 3, 8, 8))
    return network.eval()


@pytest.mark.parametrize(("weight_bits", "act_bits"), [(2, 2), (2, 4), (4, 4), (3, 5), (8, 8)])
def test_brevitas(weight_bits: int, act_bits: int, tmp_path: Path) -> None:
    network = brevitas_net(weight_bits, act_bits)
    torch, export = pytest.importorskip("torch"), pytest.importorskip("brevitas.export")
    x = torch.randn(1, 3, 8, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, write in (("qcdq", export.export_onnx_qcdq), ("qonnx", export.export_qonnx)):
            write(network, args=x, export_path=str(tmp_path / f"{name}.onnx"), opset_version=17, dynamo=False)
    results = []
    for name in ("qcdq", "qonnx"):
        path = tmp_path / f"{name}.onnx"
        graph = load(path, rescale_bits=31)
        feed = {graph.io_layouts[graph.inputs[0]].onnx_name: x.numpy()}
        ladder = climb(path, feed, rescale_bits=31)
        assert ladder.max_lsb <= 1, ladder.layers
        assert len(ladder.layers) >= 6
        results.append(ladder.reference[graph.outputs[0]])
    assert np.array_equal(*results)


def brevitas_tail(kind: str) -> list[Any]:
    """Layers between two convolutions."""
    qnn, types = pytest.importorskip("brevitas.nn"), pytest.importorskip("brevitas.quant.shifted_scaled_int")
    if kind == "truncated average":
        relu = qnn.QuantReLU(bit_width=4, return_quant_tensor=True)
        return [relu, qnn.TruncAvgPool2d(4, bit_width=4, return_quant_tensor=True)]
    if kind == "zero-point":
        return [qnn.QuantIdentity(act_quant=types.ShiftedUint8ActPerTensorFloat, bit_width=6, return_quant_tensor=True)]
    return [
        qnn.QuantIdentity(),
        qnn.QuantSigmoid(bit_width=5),
        qnn.QuantHardTanh(bit_width=4, min_val=-0.5, max_val=0.5),
    ]


@pytest.mark.parametrize("kind", ("truncated average", "zero-point", "functions"))
@pytest.mark.parametrize("form", ("qcdq", "qonnx"))
def test_brevitas_layers(kind: str, form: str, tmp_path: Path) -> None:
    torch, qnn = pytest.importorskip("torch"), pytest.importorskip("brevitas.nn")
    export = pytest.importorskip("brevitas.export")
    torch.manual_seed(0)
    weights: dict[str, Any] = {"weight_bit_width": 4, "bias": False}
    first = [qnn.QuantIdentity(return_quant_tensor=True), qnn.QuantConv2d(3, 8, 3, **weights)]
    network = torch.nn.Sequential(
        *first, *brevitas_tail(kind), qnn.QuantConv2d(8, 5, 1, **weights), qnn.QuantIdentity()
    )
    for _ in range(3):
        network(torch.randn(2, 3, 8, 8))
    x, path = torch.randn(1, 3, 8, 8), tmp_path / "net.onnx"
    write = getattr(export, f"export_{'onnx_' if form == 'qcdq' else ''}{form}")
    write(network.eval(), args=x, export_path=str(path), opset_version=17, dynamo=False)
    graph = load(path)
    ladder = climb(path, {graph.io_layouts[graph.inputs[0]].onnx_name: x.numpy()}, rescale_bits=31)
    assert ladder.max_lsb <= 1, ladder.layers
    assert len(ladder.layers) >= 2


@pytest.mark.parametrize("per_channel", (True, False))
def test_pt2e(per_channel: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    pt2e = pytest.importorskip("torchao.quantization.pt2e.quantize_pt2e")
    xnnpack = pytest.importorskip("torchao.testing.pt2e._xnnpack_quantizer")
    nn = torch.nn

    class Network(nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.depthwise, self.pointwise = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)
            self.pool, self.mean = nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)
            self.linear, self.last = nn.Linear(8, 12), nn.Linear(12, 10)

        def forward(self, x: Any) -> Any:
            x = torch.relu(self.norm(self.first(x)))
            x = x + self.pointwise(nn.functional.hardswish(self.depthwise(x)))
            x = torch.flatten(self.mean(self.pool(x)), 1)
            return self.last(nn.functional.hardtanh(self.linear(x)))

    torch.manual_seed(0)
    x = torch.randn(1, 3, 8, 8)
    config = xnnpack.get_symmetric_quantization_config(is_per_channel=per_channel)
    prepared = pt2e.prepare_pt2e(
        torch.export.export(Network().eval(), (x,)).module(), xnnpack.XNNPACKQuantizer().set_global(config)
    )
    for _ in range(4):
        prepared(torch.randn(1, 3, 8, 8))
    converted = pt2e.convert_pt2e(prepared)
    path = tmp_path / "pt2e.onnx"
    torch.onnx.export(torch.export.export(converted, (x,)), (x,), str(path), dynamo=True, verbose=False)
    ladder = climb(path, {"x": x.numpy()}, rescale_bits=31)
    assert ladder.max_lsb <= 1, ladder.layers
    graph = ladder.graph
    result = from_hwc(graph, graph.outputs[0], run(graph, {"x": to_hwc(graph, "x", x.numpy())})[graph.outputs[0]])
    scale = graph.tensors[graph.outputs[0]].scale
    assert np.abs(result - converted(x).detach().numpy()).max() <= 3 * scale
