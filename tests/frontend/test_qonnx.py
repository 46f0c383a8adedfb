"""QONNX's nodes one by one: roundings, truncation, bipolar values, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dory.errors import UserError
from dory.frontend import load
from dory.testing.ladder import climb
from tests.frontend.ladder import ops
from tests.frontend.narrow_nets import DOMAIN, Act, Bits, NarrowNet

INT8 = Bits(8, True)
NEAREST = ("ROUND", "HALF_EVEN", "HALF_UP", "HALF_DOWN")
MODES = (*NEAREST, "FLOOR", "CEIL", "UP", "DOWN", "ROUND_TO_ZERO", "round")


def start(shape: tuple[int, ...] = (3, 6, 6)) -> tuple[NarrowNet, Act]:
    net = NarrowNet("QONNX")
    return net, net.quant(net.input(*shape), INT8)


def quant(net: NarrowNet, x: str, scale: object, bits: float = 4, zero: float = 0, **attrs: object) -> str:
    inputs = [net.constant(scale), net.constant(zero), net.constant(bits)]
    return net.node("Quant", x, *inputs, domain=DOMAIN, **{"signed": 1, "narrow": 0, "rounding_mode": "ROUND", **attrs})


def refusal(net: NarrowNet, folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load(net.save(folder))
    text = str(caught.value)
    assert "net.onnx: node 'n" in text and "\n  try: " in text
    return text


@pytest.mark.parametrize("mode", MODES)
def test_rounding_of_a_function_is_exact(mode: str, tmp_path: Path) -> None:
    """Scale 0.25 on a grid of 0.125: half of the values are ties."""
    net = NarrowNet("QONNX")
    net.input(3, 6, 6)
    net.feeds["input0"] = (np.arange(108).reshape(1, 3, 6, 6) / 8 - 6).astype(np.float32)
    x = quant(net, "input0", 0.125, 8)
    net.output(Act(quant(net, net.node("Neg", x), 0.25, 6, rounding_mode=mode), (3, 6, 6), 1.0))
    ladder = climb(net.save(tmp_path), net.feeds)
    assert ops(ladder.graph) == ["lut"]
    assert ladder.max_lsb == 0


@pytest.mark.parametrize("mode", MODES)
def test_rounding_of_weights_is_exact(mode: str, tmp_path: Path) -> None:
    net, x = start()
    w = net.constant(np.random.default_rng(0).integers(-20, 21, (4, 3, 3, 3)) / 8)
    w = quant(net, w, 0.25, 4, rounding_mode=mode)
    net.output(Act(quant(net, net.node("Conv", x.name, w), 0.47, 8), (4, 4, 4), 1.0))
    assert climb(net.save(tmp_path), net.feeds, rescale_bits=31).max_lsb == 0


def test_rounding_down_after_a_convolution(tmp_path: Path) -> None:
    net, x = start()
    y = net.unary(net.conv(x, 4, 3, Bits(4, True)), "Relu")
    net.output(Act(quant(net, y.name, 0.3, 4, signed=0, rounding_mode="FLOOR"), y.shape, 1.0))
    ladder = climb(net.save(tmp_path), net.feeds, rescale_bits=31)
    assert ops(ladder.graph) == ["conv"]
    assert ladder.max_lsb <= 1 and ladder.differing < 0.01 * ladder.elements


@pytest.mark.parametrize("mode", ("CEIL", "UP", "DOWN"))
def test_other_roundings_after_a_convolution(mode: str, tmp_path: Path) -> None:
    net, x = start()
    y = net.conv(x, 4, 3, Bits(4, True))
    net.output(Act(quant(net, y.name, 0.3, rounding_mode=mode), y.shape, 1.0))
    assert f"rounding_mode {mode} of the result of Conv" in refusal(net, tmp_path)


@pytest.mark.parametrize("version", (1, 2))
@pytest.mark.parametrize("mode", ("FLOOR", "ROUND"))
@pytest.mark.parametrize("global_pool", (False, True))
def test_truncation_after_an_average(version: int, mode: str, global_pool: bool, tmp_path: Path) -> None:
    """An average pool of 4 x 4 values of 4 bits, times 16, has 8 bits; a truncation takes the lowest four away."""
    net = NarrowNet("QONNX")
    net.input(3, 8, 8)
    values = net.rng.integers(0, 16, (1, 3, 8, 8)) * np.array([0.3, 0.7, 1.0]).reshape(1, 3, 1, 1)
    net.feeds["input0"] = (np.floor(values) / 4).astype(np.float32)
    x = quant(net, "input0", 0.25, 4, signed=0)
    if global_pool:
        mean, shape = net.node("GlobalAveragePool", x), (3, 1, 1)
    else:
        mean, shape = net.node("AveragePool", x, kernel_shape=[4, 4], strides=[4, 4]), (3, 2, 2)
    scale = 0.25 / (64 if global_pool else 16)
    numbers = [scale, 0.0, 10.0 if global_pool else 8.0]
    numbers += [4.0] if version == 1 else [0.25, 4.0]
    attrs = {"rounding_mode": mode} | ({"signed": 0, "narrow": 0} if version == 2 else {})
    y = net.node("Trunc", mean, *(net.constant(n) for n in numbers), domain=DOMAIN, **attrs)
    net.output(Act(y, shape, 1.0))
    ladder = climb(net.save(tmp_path), net.feeds, rescale_bits=31)
    assert ("depthwise" if mode == "FLOOR" else "avgpool") in ops(ladder.graph)
    assert ladder.max_lsb <= (0 if mode == "FLOOR" else 1)
    assert len(np.unique(ladder.reference[ladder.graph.outputs[0]])) > 1


def test_bipolar_values(tmp_path: Path) -> None:
    net, x = start()
    x = Act(net.node("BipolarQuant", x.name, net.constant(0.5), domain=DOMAIN), x.shape, 1.0)
    w = net.constant(net.rng.integers(-2, 3, (4, 3, 3, 3)))
    scale = net.constant(net.rng.uniform(0.1, 0.5, (4, 1, 1, 1)))
    y = net.node("Conv", x.name, net.node("BipolarQuant", w, scale, domain=DOMAIN))
    net.output(Act(quant(net, y, 0.4, 4), (4, 4, 4), 1.0))
    ladder = climb(net.save(tmp_path), net.feeds, rescale_bits=31)
    assert ops(ladder.graph) == ["lut", "conv"]
    assert ladder.max_lsb <= 1
    assert set(np.unique(ladder.reference[ladder.graph.nodes[0].output])) == {127, 129}


@pytest.mark.parametrize("axis", (0, 1))
def test_weights_of_a_matrix_with_a_scale_per_output(axis: int, tmp_path: Path) -> None:
    net, x = start((12,))
    shape = (5, 12) if axis == 0 else (12, 5)
    scale = net.rng.uniform(0.1, 0.3, (5, 1) if axis == 0 else (1, 5))
    w = quant(net, net.constant(net.rng.standard_normal(shape)), scale, 3, narrow=1)
    y = net.node("Gemm", x.name, w, transB=1 - axis)
    net.output(Act(quant(net, y, 0.4, 5), (5,), 1.0))
    assert climb(net.save(tmp_path), net.feeds, rescale_bits=31).max_lsb <= 1


def test_a_coarse_unit_and_a_float_bias(tmp_path: Path) -> None:
    """Products of 2-bit numbers have a unit of several output steps; the bias must not be rounded to it."""
    net, x = start()
    x = Act(quant(net, x.name, 1.0, 2), x.shape, 1.0)
    w = quant(net, net.constant(net.rng.integers(-1, 2, (4, 3, 1, 1))), 1.0, 2)
    y = net.node("Conv", x.name, w, net.constant([0.31, -0.45, 0.12, 0.26]))
    net.output(Act(quant(net, y, 0.05, 8), (4, 6, 6), 1.0))
    ladder = climb(net.save(tmp_path), net.feeds, rescale_bits=31)
    assert ladder.max_lsb <= 1


def _bipolar_of_convolution(n: NarrowNet, x: str) -> str:
    y = n.conv(Act(x, (3, 6, 6), 1.0, 0.1), 3, 1, INT8)
    return n.node("BipolarQuant", y.name, n.constant(1.0), domain=DOMAIN)


def _weights_along_two_axes(n: NarrowNet, x: str) -> str:
    scale = np.outer(np.arange(1, 5), np.arange(1, 4)).reshape(4, 3, 1, 1)
    return n.node("Conv", x, quant(n, n.constant(np.ones((4, 3, 1, 1))), scale))


def _scale_at_run_time(n: NarrowNet, x: str) -> str:
    return n.node("Quant", x, n.node("ReduceMax", x, keepdims=0), n.constant(0), n.constant(4), domain=DOMAIN)


def _truncation(n: NarrowNet, x: str) -> str:
    return n.node("Trunc", x, *(n.constant(v) for v in (0.1, 3, 8, 4)), domain=DOMAIN)


REFUSED = {
    "bits of an activation": (lambda n, x: quant(n, x, 0.1, 9), "an activation of 9 bits"),
    "half a bit": (lambda n, x: quant(n, x, 0.1, 4.5), "its bit width is [4.5]"),
    "no bits": (lambda n, x: quant(n, x, 0.1, 0), "0 bits"),
    "scale per channel": (lambda n, x: quant(n, x, np.array([0.1, 0.2, 0.3]).reshape(1, 3, 1, 1)), "per tensor"),
    "zero scale": (lambda n, x: quant(n, x, 0.0), "scale"),
    "zero-point of a half": (lambda n, x: quant(n, x, 0.1, 4, 0.5), "its zero-point is [0.5]"),
    "zero-point out of range": (lambda n, x: quant(n, x, 0.1, 4, -300), "a zero-point of -300"),
    "rounding": (lambda n, x: quant(n, x, 0.1, rounding_mode="STOCHASTIC"), "rounding_mode STOCHASTIC"),
    "scale at run time": (_scale_at_run_time, "its scale is not a constant"),
    "truncation with a zero-point": (_truncation, "zero-point"),
    "float types": (lambda n, x: n.node("FloatQuant", x, n.constant(1.0), domain=DOMAIN), "FloatQuant is not"),
    "bipolar after a convolution": (_bipolar_of_convolution, "unquantised result of Conv"),
    "weights along two axes": (_weights_along_two_axes, "several axes"),
    "too few inputs": (lambda n, x: n.node("Quant", x, n.constant(0.1), domain=DOMAIN), "not a constant number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    build, message = REFUSED[case]
    net, x = start()
    y = build(net, x.name)
    net.output(Act(quant(net, y, 0.1, 8), (3, 6, 6), 1.0))
    assert message in refusal(net, tmp_path)
