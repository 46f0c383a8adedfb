"""Float networks become QDQ networks that the importer takes, close to the float one."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from float_nets import NETS, OPSETS, lenet
from onnx import numpy_helper

from dory import frontend, reference
from dory.frontend.io import from_hwc, to_hwc
from dory.quantize import METHODS, Method, Options, Quantised, Settings, quantize
from dory.testing.ladder import run_onnxruntime


class Silent:
    """Progress that nobody reads."""

    def __call__(self, stage: str) -> None: ...

    def count(self, done: int, total: int, what: str) -> None: ...


def quantise(model: onnx.ModelProto, folder: Path, count: int = 16, method: Method = "minmax") -> Quantised:
    """Quantised on random data in [0, 1)."""
    path, rng = folder / "float.onnx", np.random.default_rng(0)
    onnx.save(model, path)
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim][1:] for i in model.graph.input}
    np.savez(folder / "data.npz", **{k: rng.random((count, *s), np.float32) for k, s in shapes.items()})
    return quantize(path, Options(folder / "data.npz", settings=Settings(method)), Silent())


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", NETS)
def test_importer_takes_it(name: str, opset: int, tmp_path: Path) -> None:
    """dory's integers, dequantised, are the float network's numbers to a few steps of 8 bits."""
    made = quantise(NETS[name](opset), tmp_path)
    assert made.refused == "" and made.layers
    file = tmp_path / "q.onnx"
    file.write_bytes(made.data)
    graph = frontend.load(file)
    inputs = {t: to_hwc(graph, t, made.example[graph.io_layouts[t].onnx_name]) for t in graph.inputs}
    values = reference.run(graph, inputs)
    wanted = run_onnxruntime(tmp_path / "float.onnx", made.example)
    for tensor in graph.outputs:
        layout = graph.io_layouts[tensor]
        found, real = from_hwc(graph, tensor, values[tensor]), wanted[layout.onnx_name]
        if name == "lenet":  # the Softmax is the host's
            found = np.exp(found) / np.exp(found).sum()
        span = max(1e-3, float(np.abs(real).max()))
        assert found.shape == real.shape and np.abs(found - real).max() < 0.06 * span


@pytest.mark.parametrize("name", NETS)
def test_settings_suit_the_chip(name: str, tmp_path: Path) -> None:
    graph = quantise(NETS[name](17), tmp_path).model.graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    assert not [n for n in graph.node if n.op_type == "BatchNormalization"]
    weights = [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in constants]
    kinds = {constants[n.input[0]].dtype for n in weights}
    assert kinds == {np.dtype(np.int8), np.dtype(np.int32)}
    for n in weights:
        assert not np.any(constants[n.input[2]]), "weights and biases are symmetric"
        assert constants[n.input[1]].size in (1, *constants[n.input[0]].shape)
    matrices = [n for n in weights if constants[n.input[0]].ndim > 1]
    assert all(constants[n.input[1]].size > 1 for n in matrices if max(constants[n.input[0]].shape[0:2]) > 1) or (
        name in ("dronet",)
    )
    for n in graph.node:
        if n.op_type == "QuantizeLinear":
            assert constants[n.input[2]].dtype == np.uint8 and constants[n.input[1]].size == 1


@pytest.mark.parametrize("method", METHODS)
def test_sqnr_is_what_it_says(method: Method, tmp_path: Path) -> None:
    """Against the two networks, run by the ladder's own session, and NumPy."""
    made = quantise(lenet(), tmp_path, 8, method)
    data = np.load(tmp_path / "data.npz")["image"]
    error = next(e for e in made.errors if e.op == "AveragePool")
    q_file = tmp_path / "q.onnx"
    q_file.write_bytes(made.data)
    signal = noise = 0.0
    for x in data:
        real = run_onnxruntime(tmp_path / "float.onnx", {"image": x[None]}, (error.value,))[error.value]
        found = run_onnxruntime(q_file, {"image": x[None]}, (f"{error.value}_DequantizeLinear_Output",))
        y = found[f"{error.value}_DequantizeLinear_Output"]
        signal, noise = (
            signal + float(np.square(real, dtype=np.float64).sum()),
            noise + float(np.square(real.astype(np.float64) - y).sum()),
        )
    assert error.sqnr_db == pytest.approx(10 * np.log10(signal / noise), abs=1e-3)
    assert error.rms_lsb == pytest.approx(np.sqrt(noise / (8 * real.size)) / error.scale, rel=1e-4)
    ordered = [e.sqnr_db for e in made.errors if e.sqnr_db is not None]
    assert ordered == sorted(ordered)


def test_percentile_clips_outliers_and_minmax_does_not(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(lenet(), path)
    data = np.random.default_rng(0).random((40, 1, 16, 16), np.float32)
    data[3, 0, 0, 0] = 100.0
    np.save(tmp_path / "data.npy", data)
    scales = {}
    for settings in (Settings("minmax"), Settings("percentile", 99.9)):
        made = quantize(path, Options(tmp_path / "data.npy", settings=settings), Silent())
        scales[settings.method] = next(e for e in made.errors if e.op == "input")
    assert scales["minmax"].scale == pytest.approx(100 / 255, rel=1e-3) and scales["minmax"].clipped == 0
    assert scales["percentile"].scale < 0.01 and 0 < scales["percentile"].clipped < 1e-3


def test_a_histogram_that_begins_dark_does_not_grow(tmp_path: Path) -> None:
    """The first sample is a billion times smaller than the others."""
    path = tmp_path / "net.onnx"
    onnx.save(lenet(), path)
    data = np.random.default_rng(0).random((6, 1, 16, 16), np.float32)
    data[0] *= 1e-9
    np.save(tmp_path / "data.npy", data)
    made = quantize(path, Options(tmp_path / "data.npy", settings=Settings("percentile")), Silent())
    assert made.layers == 6


def test_a_collision_unseen_in_calibration_can_be_reported(tmp_path: Path) -> None:
    """The range of a Sigmoid and of what only it reads is the function's, not the data's."""
    made = quantise(NETS["dronet"](17), tmp_path)
    sigmoid = next(e for e in made.errors if e.op == "Sigmoid")
    assert sigmoid.scale == pytest.approx(1 / 255) and sigmoid.zero_point == 0
    assert {e.value for e in made.errors if e.output} == {"steering", "collision"}


def test_one_sample_in_memory_at_a_time(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        quantise(NETS["resnet_block"](17), tmp_path, count, "percentile")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few = peak(4)  # and 3 kB per further sample for the data itself
    assert peak(64) < few + 60 * 3 * 16 * 16 * 4 * 3 + 500_000
