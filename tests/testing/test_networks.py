"""The project's test networks are valid, repeatable and worth testing with: no dead, saturated or constant tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from dory.testing.networks import NETWORKS, sample_input
from dory.testing.qdq_builder import QdqBuilder

_LARGE = {"resnet18_224", "mobilenet_v1_1.0_224", "mobilenet_v2_1.0_224"}
_NAMES = [pytest.param(n, marks=pytest.mark.slow) if n in _LARGE else n for n in NETWORKS]
# They have few levels by nature.
_NARROW = {"Sign", "Floor", "Ceil", "Round"}
_INPUTS = 3


def _bytes(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString(deterministic=True)


def _quantised(model: onnx.ModelProto) -> dict[str, tuple[str, np.iinfo[Any]]]:
    """Every integer activation: the operator that made its float value, and the limits of its type."""
    constants = {t.name: t for t in model.graph.initializer}
    maker = {n.output[0]: n.op_type for n in model.graph.node}
    found = {}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            zero = numpy_helper.to_array(constants[node.input[2]])
            found[node.output[0]] = (maker.get(node.input[0], "input"), np.iinfo(zero.dtype))
    return found


def _run(model: onnx.ModelProto, names: list[str], seeds: range) -> list[dict[str, np.ndarray]]:
    ort = pytest.importorskip("onnxruntime")
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    opened.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(_bytes(opened), options, providers=["CPUExecutionProvider"])
    outputs = [o.name for o in session.get_outputs()]
    return [dict(zip(outputs, session.run(None, sample_input(model, seed)), strict=True)) for seed in seeds]


@pytest.mark.parametrize("name", _NAMES)
def test_the_same_call_gives_the_same_bytes(name: str) -> None:
    assert _bytes(NETWORKS[name].build()) == _bytes(NETWORKS[name].build())


@pytest.mark.parametrize("name", ["resnet8", "conv1d_net"])
def test_another_seed_gives_other_weights_in_the_same_graph(name: str) -> None:
    a, b = NETWORKS[name].build(), NETWORKS[name].build(seed=1)
    assert [n.SerializeToString() for n in a.graph.node] == [n.SerializeToString() for n in b.graph.node]
    assert _bytes(a) != _bytes(b)


@pytest.mark.parametrize("name", _NAMES)
def test_every_tensor_uses_its_range_and_every_output_depends_on_the_input(name: str) -> None:
    model = NETWORKS[name].build()
    onnx.checker.check_model(model, full_check=True)
    tensors = _quantised(model)
    results = _run(model, list(tensors), range(_INPUTS))
    for tensor, (op, limits) in tensors.items():
        values = np.stack([r[tensor] for r in results]).astype(np.int64)
        assert np.any(values[0] != values[1]), f"{tensor} ({op}) is the same for two inputs"
        if op not in _NARROW:
            assert np.ptp(values) >= 64, f"{tensor} ({op}) has values {values.min()}..{values.max()} only"
        if values.size >= 100:
            assert np.mean(values == limits.max) < 0.2, f"{tensor} ({op}) saturates"
            assert op in _NARROW or values.std() >= 8, f"{tensor} ({op}) hardly varies"
    for output in model.graph.output:
        answers = {r[output.name].tobytes() for r in results}
        assert len(answers) == _INPUTS, f"{output.name} does not tell {_INPUTS} inputs apart"


@pytest.mark.parametrize(
    ("name", "megabytes", "convolutions"),
    [
        ("mobilenet_v1_1.0_128", 4.2, 27),
        ("mobilenet_v1_0.25_96", 0.21, 27),
        ("mobilenet_v2_1.0_128", 3.5, 52),
        ("resnet8", 0.078, 9),
        ("dscnn", 0.022, 9),
        ("autoencoder", 0.264, 0),
    ],
)
def test_published_architectures_have_their_published_size(name: str, megabytes: float, convolutions: int) -> None:
    model = NETWORKS[name].build()
    weights = sum(int(np.prod(t.dims)) for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8)
    assert weights / 1e6 == pytest.approx(megabytes, rel=0.03)
    assert sum(n.op_type == "Conv" for n in model.graph.node) == convolutions


@pytest.mark.parametrize("opset", range(9, 22))
@pytest.mark.parametrize("name", ["all_ops_net", "conv1d_net"])
def test_every_opset_is_written_as_its_standard_says(name: str, opset: int) -> None:
    model = NETWORKS[name].build(opset=opset)
    onnx.checker.check_model(model, full_check=True)
    assert {o.domain: o.version for o in model.opset_import}[""] == opset
    axes = [a for n in model.graph.node if n.op_type == "DequantizeLinear" for a in n.attribute]
    assert bool(axes) == (opset >= 13)
    results = _run(model, [], range(2))
    for output in model.graph.output:
        assert np.any(results[0][output.name] != results[1][output.name])


def test_opsets_outside_the_range_are_refused() -> None:
    with pytest.raises(ValueError, match="opset 8: accepted are 9 to 21"):
        QdqBuilder("x", opset=8)


def test_all_ops_net_has_every_operator_of_the_importer() -> None:
    from dory.frontend.registry import OPERATORS

    used = {n.op_type for opset in (17, 21) for n in NETWORKS["all_ops_net"].build(opset=opset).graph.node}
    newer = {"Swish"}  # since opset 24
    only_folded = {"Cast", "Shape"}
    assert set(OPERATORS) - used <= newer | only_folded


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("spatial", [(11, 8), (17,)])
def test_the_builder_computes_what_onnxruntime_does(dtype: Any, per_channel: bool, spatial: tuple[int, ...]) -> None:
    """Calibration would be worthless if the builder's own evaluation of a layer were wrong."""
    axes = len(spatial)
    b = QdqBuilder("layers", dtype=dtype, per_channel=per_channel, seed=3)
    x = b.input((1, 6, *spatial))
    y = b.conv(x, 8, (3, 2)[:axes], stride=(2, 1)[:axes], pads=(1, 0, 2, 1)[: 2 * axes], group=2, dilation=2)
    y = b.depthwise(y, 3, multiplier=2, act="relu6", batchnorm=True)
    y = b.concat([y, b.avgpool(y, 3, stride=1, pads=1), b.maxpool(y, 3, stride=1, pads=1)])
    y = b.function(b.add(y, b.conv(y, y.shape[1], 1, act=(-1.0, 1.5), bias="float")), "Sigmoid")
    z = b.softmax(b.linear(b.flatten(b.pad(y, [1] * 2 * axes)), 9, form="matmul"))
    b.output(y, "map")
    b.output(z, "row")
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(_bytes(b.model()), options, providers=["CPUExecutionProvider"])
    for i, sample in enumerate(x.real()):
        results = session.run(["map", "row"], {"input": sample[None].astype(np.float32)})
        for built, result in zip((y, z), results, strict=True):
            steps = np.rint(result[0] / built.scale)
            # Float sums in another order round some values the other way, and the layers after pass it on.
            assert np.abs(steps - built.values[i]).max() <= 2
            assert np.mean(steps != built.values[i]) < 0.02


def test_sample_inputs_cover_the_input_range_and_depend_on_the_seed() -> None:
    model = NETWORKS["two_input_net"].build()
    first, again, other = sample_input(model, 5), sample_input(model, 5), sample_input(model, 6)
    for name, limit in (("image", 1.0), ("depth", 4.0)):
        assert first[name].dtype == np.float32
        assert np.array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])
        assert 0.8 * limit < np.abs(first[name]).max() <= 1.01 * limit
    value = model.graph.input[0].type.tensor_type.shape.dim[0]
    value.Clear()
    value.dim_param = "batch"
    assert sample_input(model)["image"].shape == (1, 3, 24, 32)


def test_an_output_cannot_be_named_twice() -> None:
    b = QdqBuilder("x")
    x = b.conv(b.input((1, 2, 4, 4)), 3)
    b.output(x, "a")
    with pytest.raises(ValueError, match="is the output 'a' already"):
        b.output(x, "b")
