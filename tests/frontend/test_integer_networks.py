"""Random networks of integers: every activation equals an independent float64 evaluation of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dory import frontend, reference
from dory.frontend.io import from_hwc, to_hwc
from dory.testing.integer_builder import random_integer_network
from dory.testing.integer_eval import evaluate

SEEDS = st.integers(0, 2**32 - 1)


def some_input(rng: np.random.Generator, shape: tuple[int, ...], signed: bool) -> np.ndarray:
    lo, hi = (-128, 128) if signed else (0, 256)
    kind = rng.integers(0, 4)
    if kind == 0:
        return np.full(shape, rng.choice([lo, hi - 1]), np.float32)
    return rng.integers(lo, hi, shape).astype(np.float32)


def assert_exact(model: onnx.ModelProto, folder: Path, x: np.ndarray, signed: bool) -> int:
    """Compare every tensor that has an ONNX value; the number of them."""
    path = folder / "net.onnx"
    onnx.save(model, str(path))
    graph = frontend.load(path, signed_inputs=signed)
    (name,) = graph.inputs
    got = reference.run(graph, {name: to_hwc(graph, name, x)})
    want = evaluate(model, {graph.io_layouts[name].onnx_name: x})
    compared = 0
    for tensor in graph.tensors.values():
        if tensor.name in want and tensor.name not in graph.outputs and want[tensor.name].ndim >= 3:
            value = np.moveaxis(want[tensor.name], 1, -1).reshape(tensor.shape)
            assert np.array_equal(got[tensor.name] - tensor.zero_point, value), tensor.name
            compared += 1
    for tensor_name in graph.outputs:
        onnx_name = graph.io_layouts[tensor_name].onnx_name
        assert np.array_equal(from_hwc(graph, tensor_name, got[tensor_name]), want[onnx_name]), onnx_name
        compared += 1
    return compared


@given(SEEDS)
def test_every_activation_is_exact(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model, shape, signed = random_integer_network(rng)
    folder = tmp_path_factory.mktemp("net")
    assert assert_exact(model, folder, some_input(rng, shape, signed), signed) >= 2
