"""PyTorch pt2e exports: float biases, axes on scalars, means, and functions between quantised values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dory.errors import UserError
from dory.frontend import load
from tests.frontend.ladder import check, ops
from tests.frontend.pt2e_nets import Pt2e, pt2e


@pytest.mark.parametrize("seed", range(3))
def test_whole_network(seed: int, tmp_path: Path) -> None:
    graph, ladder = check(pt2e(seed), tmp_path)
    assert ops(graph).count("lut") == 4  # HardSwish, SiLU, two inputs of Concat; Clip is the range of a layer
    assert len(ladder.layers) >= 11
    assert ladder.differing < 0.01 * ladder.elements


def number(n: Pt2e, value: float) -> str:
    return n.const(value, np.float32)


def hard_swish(n: Pt2e, x: str) -> str:
    clipped = n.node("Clip", n.node("Add", x, number(n, 3)), number(n, 0), number(n, 6))
    return n.node("Div", n.node("Mul", x, clipped), number(n, 6))


def gelu(n: Pt2e, x: str) -> str:
    erf = n.node("Erf", n.node("Div", x, number(n, 1.41421356)))
    return n.node("Mul", n.node("Mul", x, n.node("Add", erf, number(n, 1))), number(n, 0.5))


def mish(n: Pt2e, x: str) -> str:
    return n.node("Mul", x, n.node("Tanh", n.node("Softplus", x)))


def two_paths(n: Pt2e, x: str) -> str:
    """The same tensor through two DequantizeLinear nodes, as pt2e writes one for every reader."""
    scale, zero = n.const(0.05, np.float32), n.const(3, np.int8)
    quantised = next(node.output[0] for node in n.nodes if node.op_type == "QuantizeLinear")
    again = n.node("DequantizeLinear", quantised, scale, zero)
    return n.node("Sub", n.node("Exp", n.node("Neg", x)), n.node("Abs", again))


def swish_in_steps(n: Pt2e, x: str) -> str:
    """Every step quantised, as a quantiser that knows no Swish writes it."""
    return n.node("Mul", x, n.qdq(n.node("Sigmoid", x), 1 / 256, -128))


def hard_swish_in_steps(n: Pt2e, x: str) -> str:
    clipped = n.qdq(
        n.node("Clip", n.qdq(n.node("Add", x, number(n, 3)), 0.05, 0), number(n, 0), number(n, 6)), 0.03, -128
    )
    return n.node("Mul", clipped, n.qdq(n.node("Div", x, number(n, 6)), 0.01, 0))


@pytest.mark.parametrize("function", (swish_in_steps, hard_swish_in_steps))
def test_products_of_functions_of_one_tensor_are_tables(function: Callable[[Pt2e, str], str], tmp_path: Path) -> None:
    n = Pt2e()
    x = n.qdq(n.layer("Conv", n.input((1, 3, 8, 8)), (3, 3, 1, 1)), 0.05, 3)
    n.output(n.qdq(function(n, x), 0.06, -40))
    graph, ladder = check(n, tmp_path, compared=2)
    assert ops(graph) == ["conv", "lut"]
    assert ladder.differing <= 2


@pytest.mark.parametrize("function", (hard_swish, gelu, mish, two_paths))
def test_float_islands_are_tables(function: Callable[[Pt2e, str], str], tmp_path: Path) -> None:
    n = Pt2e()
    n.output(n.qdq(function(n, n.input((1, 3, 8, 8))), 0.06, -40))
    graph, ladder = check(n, tmp_path, compared=1)
    assert ops(graph) == ["lut"]
    assert ladder.differing <= 2, "ties of float32 functions of two libraries"


def test_weights_transposed_behind_their_dequantiser(tmp_path: Path) -> None:
    n = Pt2e()
    x = n.input((1, 12))
    w = n.node("Transpose", n.weight((5, 12), np.linspace(0.01, 0.03, 5)), perm=[1, 0])
    y = n.node("Add", n.node("MatMul", x, w), n.const(n.rng.normal(size=5), np.float32))
    n.output(n.qdq(y, 0.5, 3))
    graph, _ = check(n, tmp_path, compared=1)
    assert ops(graph) == ["linear"]


ISLANDS = {
    "product of two tensors": (
        lambda n, x: n.node("Mul", x, n.qdq(n.layer("Conv", x, (3, 3, 1, 1)), 0.05, 0)),
        "(Mul): Mul of two different activations",
    ),
    "function of an accumulator": (
        lambda n, x: n.node("HardSwish", n.layer("Conv", x, (3, 3, 1, 1))),
        "(HardSwish): it works on the unquantised result of Conv",
    ),
    "average of a function": (
        lambda n, x: n.node("AveragePool", n.node("Sigmoid", x), kernel_shape=[2, 2]),
        "(AveragePool): the result of Sigmoid reaches it without QuantizeLinear",
    ),
    "unknown operator": (lambda n, x: n.node("Resize", x, "", n.const([1, 1, 2, 2], np.float32)), "operator Resize"),
}


@pytest.mark.parametrize("case", ISLANDS)
def test_other_islands_are_refused_by_name(case: str, tmp_path: Path) -> None:
    build, message = ISLANDS[case]
    n = Pt2e()
    n.output(n.qdq(build(n, n.input((1, 3, 8, 8))), 0.06, 0))
    with pytest.raises(UserError) as caught:
        load(n.save(tmp_path))
    text = str(caught.value)
    assert message in text and "net.onnx: node '" in text and "\n  try: " in text
