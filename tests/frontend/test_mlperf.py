"""The first rung of the ladder on two real networks, with both rescale widths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dory.frontend import from_hwc, load
from dory.testing.ladder import climb

# (file, rescale bits) -> elements compared, and those that differ from onnxruntime's given its inputs of each layer
FIGURES = {
    ("kws_dscnn_qdq.onnx", 15): (72_088, 3),
    ("kws_dscnn_qdq.onnx", 31): (72_088, 0),
    ("ic_resnet8_qdq.onnx", 15): (114_772, 44),
    ("ic_resnet8_qdq.onnx", 31): (114_772, 17),
}


@pytest.mark.parametrize("bits", (15, 31))
def test_keyword_spotting(shared: Path, bits: int) -> None:
    folder = shared / "models" / "mlperf_tiny"
    sample = np.load(folder / "kws_sample.npz")
    ladder = climb(folder / "kws_dscnn_qdq.onnx", {"input": sample["input"]}, rescale_bits=bits)
    assert len(ladder.layers) == len(ladder.graph.nodes) == 12
    assert (ladder.elements, ladder.differing) == FIGURES["kws_dscnn_qdq.onnx", bits]
    assert ladder.max_lsb <= 1
    answer = from_hwc(ladder.graph, "output", ladder.reference[ladder.graph.outputs[0]])
    assert answer.argmax() == sample["output"].argmax() == 5
    assert np.abs(answer - sample["output"]).max() <= 1 / 256


@pytest.mark.parametrize("bits", (15, 31))
def test_image_classification(shared: Path, bits: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32)).astype(np.float32)
    ladder = climb(shared / "models" / "mlperf_tiny" / "ic_resnet8_qdq.onnx", {"input": image}, rescale_bits=bits)
    assert len(ladder.layers) == len(ladder.graph.nodes) == 15
    assert (ladder.elements, ladder.differing) == FIGURES["ic_resnet8_qdq.onnx", bits]
    assert ladder.max_lsb <= 1
    answer = from_hwc(ladder.graph, "output", ladder.reference[ladder.graph.outputs[0]])
    assert answer.argmax() == ladder.onnxruntime["output"].argmax()


def test_layers_of_the_keyword_spotter(shared: Path) -> None:
    graph = load(shared / "models" / "mlperf_tiny" / "kws_dscnn_qdq.onnx")
    assert [n.op for n in graph.nodes] == ["conv", *["depthwise", "conv"] * 4, "avgpool", "linear", "softmax"]
    assert graph.tensors["input"].shape == (49, 10, 1)
    assert graph.io_layouts["input"].float_io and graph.io_layouts["input"].signed_offset == 128
