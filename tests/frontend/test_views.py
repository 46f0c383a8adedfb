"""Reshape and Transpose only move elements: compared with NumPy, memory order and user data included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dory.errors import UserError
from dory.frontend import from_hwc, load, to_hwc
from dory.layers.permute import mixed_radix, radix_offsets
from dory.reference import run
from tests.frontend.nets import Net

SHAPES = ((1, 2, 3, 4), (1, 6), (1, 4, 6), (1, 8, 2, 2), (1, 1, 5, 6), (1, 3, 1, 8), (1, 12, 5))


def _factor(draw: st.DrawFn, size: int) -> list[int]:
    dims = []
    while size > 1 and len(dims) < 4:
        d = draw(st.sampled_from([k for k in range(1, size + 1) if size % k == 0]))
        dims.append(d)
        size //= d
    return [*dims, size]


@st.composite
def moves(draw: st.DrawFn) -> tuple[tuple[int, ...], list[tuple[str, list[int]]]]:
    """(input shape, up to three reshapes and transposes)."""
    shape = list(draw(st.sampled_from(SHAPES)))
    steps = []
    current = shape
    for _ in range(draw(st.integers(0, 3))):
        if draw(st.booleans()):
            current = _factor(draw, int(np.prod(current)))
            steps.append(("reshape", current))
        else:
            perm = draw(st.permutations(range(len(current))))
            current = [current[p] for p in perm]
            steps.append(("transpose", list(perm)))
    return tuple(shape), steps


@given(case=moves())
def test_moves_agree_with_numpy(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[tuple[int, ...], list[tuple[str, list[int]]]]
) -> None:
    shape, steps = case
    net = Net(opset=17)
    y = net.input(shape, name="x")
    want = (np.round(net.feeds["x"] / np.float32(0.05)) * np.float32(0.05)).astype(np.float32)
    for how, arg in steps:
        if how == "reshape":
            y, want = net.node("Reshape", y, net.const(arg, np.int64)), want.reshape(arg)
        else:
            y, want = net.node("Transpose", y, perm=arg), want.transpose(arg)
    net.output(net.qdq(net.node("Neg", y), 0.05, -4))
    graph = load(net.save(tmp_path_factory.mktemp("view")))
    values = run(graph, {"x": to_hwc(graph, "x", net.feeds["x"])})
    got = from_hwc(graph, graph.outputs[0], values[graph.outputs[0]])
    assert {n.op for n in graph.nodes} <= {"lut", "permute"}
    if len(steps) < 2:
        assert [n.op for n in graph.nodes] == ["lut"]
    np.testing.assert_allclose(got, -want, rtol=1e-6)


@given(case=moves())
def test_a_mixed_radix_enumerates_the_moves(case: tuple[tuple[int, ...], list[tuple[str, list[int]]]]) -> None:
    shape, steps = case
    idx = np.arange(int(np.prod(shape))).reshape(shape)
    for how, arg in steps:
        idx = idx.reshape(arg) if how == "reshape" else idx.transpose(arg)
    try:
        dims = mixed_radix(idx, "test")
    except UserError:
        assert len(steps) > 1, "one move of row-major data always is one"
        return
    assert np.array_equal(radix_offsets(dims), idx.reshape(-1))


@pytest.fixture
def graph(tmp_path: Path):  # type: ignore[no-untyped-def]
    net = Net()
    net.output(net.qdq(net.conv(net.input((1, 3, 4, 5), name="image"), 3, 2, (1, 1)), 0.2, 0))
    return load(net.save(tmp_path))


def test_user_data_is_quantised_and_ordered(graph) -> None:  # type: ignore[no-untyped-def]
    x = (np.arange(60, dtype=np.float32).reshape(1, 3, 4, 5) - 30) * 0.1
    want = np.clip(np.rint(x / np.float32(0.05)) + 3 + 128, 0, 255)[0].transpose(1, 2, 0)
    assert np.array_equal(to_hwc(graph, "image", x), want)
    assert np.array_equal(to_hwc(graph, "image", x[0]), want), "the batch axis may be left out"


def test_user_integers_are_taken_as_quantised(graph) -> None:  # type: ignore[no-untyped-def]
    q = np.arange(-30, 30, dtype=np.int8).reshape(1, 3, 4, 5)
    assert np.array_equal(to_hwc(graph, "image", q), q[0].transpose(1, 2, 0).astype(int) + 128)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((1, 3, 5, 4), np.float32), "shape [1, 3, 5, 4]"),
        (np.zeros((1, 3, 4, 5), np.uint8), "float32 or int8"),
        (np.zeros((1, 3, 4, 5), np.int32), "int32"),
        (np.full((1, 3, 4, 5), np.nan, np.float32), "not finite"),
    ],
)
def test_user_data_of_another_shape_or_type(graph, data: np.ndarray, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError) as caught:
        to_hwc(graph, "image", data)
    assert message in str(caught.value) and "image" in str(caught.value)


def test_unknown_input(graph) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match="no input or output 'images'"):
        to_hwc(graph, "images", np.zeros((1, 3, 4, 5), np.float32))
