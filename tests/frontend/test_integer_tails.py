"""What exporters leave around the layers of integer networks: float tails for the host, shapes computed from shapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from dory import frontend, pipeline, reference, targets
from dory.errors import UserError
from dory.frontend.io import from_hwc, to_hwc
from dory.testing.integer_builder import IntegerBuilder, Value
from dory.testing.integer_eval import evaluate
from dory.testing.ladder import climb


def number(b: IntegerBuilder, value: object, dtype: type = np.int64) -> str:
    return b.writer.constant("k", np.asarray(value, dtype))


def sigmoid(b: IntegerBuilder, x: Value) -> None:
    b.output(b.sigmoid(x), "y")


def log_softmax(b: IntegerBuilder, x: Value) -> None:
    b.output(Value(b.writer.node("LogSoftmax", [x.name], axis=1), x.shape, 0, 0), "y")


def split(b: IntegerBuilder, x: Value) -> None:
    """Columns apart, one of them through a Sigmoid, and together again."""
    parts = []
    for i in (0, 2):
        column = b.writer.node("Gather", [x.name, number(b, i)], axis=1)
        column = b.writer.node("Sigmoid", [column]) if i else column
        parts.append(b.writer.node("Unsqueeze", [column], axes=[1]))
    b.output(Value(b.writer.node("Concat", parts, axis=1), (1, 2), 0, 0), "y")


TAILS: dict[str, Callable[[IntegerBuilder, Value], None]] = {
    "Sigmoid": sigmoid,
    "LogSoftmax": log_softmax,
    "Gather": split,
}


def network(tail: Callable[[IntegerBuilder, Value], None], folder: Path, *, rescaled: bool = False) -> Path:
    b = IntegerBuilder(np.random.default_rng(5), "nemo", 11)
    x = b.rescale(b.conv(b.input((1, 3, 6, 6)), 4, (3, 3)), negative=False)
    y = b.linear(b.flatten(x), 5)
    tail(b, b.rescale(y, hi=7) if rescaled else y)
    path = folder / "net.onnx"
    onnx.save(b.model(), str(path))
    return path


@pytest.mark.parametrize("rescaled", (False, True))
@pytest.mark.parametrize("name", TAILS)
def test_the_host_finishes_what_the_layers_leave(tmp_path: Path, name: str, rescaled: bool) -> None:
    path, app = network(TAILS[name], tmp_path, rescaled=rescaled), tmp_path / "app"
    x = np.random.default_rng(1).integers(0, 256, (1, 3, 6, 6)).astype(np.float32)
    options = pipeline.Options(app, targets.load("gap8"), inputs={"x": x}, verify="none")
    graph = pipeline.deploy(path, options).graph
    assert any(name in note and "host/epilogue.onnx" in note for note in graph.notes)
    run = reference.run(graph, {t: to_hwc(graph, t, x) for t in graph.inputs})
    made = {graph.io_layouts[t].onnx_name: from_hwc(graph, t, run[t]).astype(np.float32) for t in graph.outputs}
    (got,) = onnxruntime.InferenceSession(app / "host" / "epilogue.onnx").run(None, made)
    (want,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
    assert got.dtype == np.float32 and np.ptp(want) > 0
    np.testing.assert_allclose(got, want, rtol=1e-6)
    ports = json.loads((app / "plan.json").read_text())["outputs"]
    assert [p["name"] for p in ports] == list(made)


def test_a_float_operator_between_layers_is_refused_by_name(tmp_path: Path) -> None:
    b = IntegerBuilder(np.random.default_rng(5), "nemo", 11)
    x = b.rescale(b.conv(b.input((1, 3, 6, 6)), 4, (3, 3)))
    b.output(b.linear(b.flatten(b.sigmoid(x)), 5))
    onnx.save(b.model(), str(tmp_path / "net.onnx"))
    with pytest.raises(UserError) as refused:
        frontend.load(tmp_path / "net.onnx")
    assert "Sigmoid" in str(refused.value) and "net.onnx" in str(refused.value)


def test_nothing_but_a_float_function(tmp_path: Path) -> None:
    b = IntegerBuilder(np.random.default_rng(5), "nemo", 11)
    y = b.sigmoid(b.input((1, 3)))
    b.output(b.linear(y, 5))
    onnx.save(b.model(), str(tmp_path / "net.onnx"))
    with pytest.raises(UserError, match="Sigmoid"):
        frontend.load(tmp_path / "net.onnx")


@pytest.mark.parametrize("opset", (9, 13))
def test_a_reshape_whose_target_is_computed_from_a_shape(tmp_path: Path, opset: int) -> None:
    b = IntegerBuilder(np.random.default_rng(2), "quantlab", opset)
    x = b.rescale(b.conv(b.input((1, 2, 5, 4)), 3, (1, 1)))
    b.output(b.linear(b.flatten(x, by_shape=True), 6), "y")
    path = tmp_path / "net.onnx"
    onnx.save(b.model(), str(path))
    graph = frontend.load(path)
    assert [n.op for n in graph.nodes] == ["conv", "linear32"] and not graph.epilogue
    image = np.random.default_rng(3).integers(0, 256, (1, 2, 5, 4)).astype(np.float32)
    run = reference.run(graph, {t: to_hwc(graph, t, image) for t in graph.inputs})
    (out,) = graph.outputs
    assert np.array_equal(from_hwc(graph, out, run[out]), evaluate(b.model(), {"x": image})["y"])


def test_the_ladder_holds_integer_layers_against_onnxruntime(tmp_path: Path) -> None:
    path = network(sigmoid, tmp_path)
    image = np.random.default_rng(3).integers(0, 256, (1, 3, 6, 6)).astype(np.float32)
    ladder = climb(path, {"x": image})
    assert ladder.elements >= 4 * 4 * 4 and ladder.differing == 0
