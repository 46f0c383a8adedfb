"""Random networks are valid ONNX, run, and come in the shapes that they promise."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import find, given, settings

from dory.testing.networks import sample_input
from dory.testing.strategies import RandomNetwork, small_qdq_networks


@settings(max_examples=40)
@given(small_qdq_networks())
def test_random_networks_are_valid_and_run(network: RandomNetwork) -> None:
    model = network.model
    onnx.checker.check_model(model, full_check=True)
    assert len(model.graph.output) >= 1
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results = session.run(None, sample_input(model, 1))
    shapes = [tuple(d.dim_value for d in o.type.tensor_type.shape.dim) for o in model.graph.output]
    assert [r.shape for r in results] == shapes
    assert all(np.all(np.isfinite(r)) for r in results)


def _ints(node: onnx.NodeProto, name: str) -> list[int]:
    return [v for a in node.attribute if a.name == name for v in (a.ints or [a.i])]


@pytest.mark.parametrize(
    "wanted",
    [
        lambda n: n.op_type == "Add",
        lambda n: n.op_type == "Concat",
        lambda n: n.op_type == "BatchNormalization",
        lambda n: n.op_type == "Conv" and _ints(n, "group") not in ([], [1]),
        lambda n: n.op_type == "Conv" and len(set(_ints(n, "pads"))) > 2,
        lambda n: n.op_type == "Conv" and 2 in _ints(n, "dilations") and 3 in _ints(n, "strides"),
    ],
    ids=["add", "concat", "batchnorm", "group", "asymmetric pads", "dilation and stride"],
)
def test_rare_features_are_drawn(wanted) -> None:
    network = find(
        small_qdq_networks(),
        lambda n: any(wanted(node) for node in n.model.graph.node),
        settings=settings(max_examples=400, database=None, derandomize=True),
    )
    assert network.layers
