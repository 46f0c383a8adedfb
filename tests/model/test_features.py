"""Closed forms of the kernels: never negative, first one 1, the same for one tile and for an array of tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dory import targets
from dory.graph.types import Window
from dory.layers import LAYERS
from dory.layers.cost import Work, busiest_of, distinct, misaligned, short, valid_taps
from dory.layers.depthwise_cost import MOST_OF_TWO, _unlucky
from dory.plan import LayerPlan
from dory.sim.iss.params import IssParams
from dory.sim.model.coefficients import kernel_key, shipped
from dory.sim.model.network import blocks_in_order
from dory.sim.model.tiles import LayerTiles
from dory.testing.qdq_builder import QdqBuilder
from dory.testing.random_layers import KINDS, OF_INTEGERS, random_layers
from tests.model.plans import plan_of

TARGET = targets.load("gap8")
PARAMS = IssParams.of(TARGET)


def works(layer: LayerPlan, cores: int) -> list[Work]:
    """The kinds of tiles of a layer."""
    found: dict[Work, None] = {}

    def kernel(_: LayerPlan, work: Work) -> int:
        found[work] = None
        return 1

    tiles = LayerTiles(layer, PARAMS, cores, kernel)
    for block in blocks_in_order(layer):
        tiles.steps(block)
    return list(found)


def cut(layer: LayerPlan, parts: tuple[int, int, int]) -> LayerPlan:
    """The layer in other tiles."""
    step = layer.weights.group if layer.weights else 1
    size = [-(-n // p) for n, p in zip(layer.output.shape, parts, strict=True)]
    whole = -(-size[2] // max(step, 1)) * max(step, 1)
    return replace(layer, tile=(size[0], size[1], min(whole, layer.output.shape[2])))


@pytest.mark.parametrize("kind", (*KINDS, *OF_INTEGERS))
@given(st.integers(0, 10_000), st.tuples(*(st.integers(1, 4) for _ in range(3))), st.sampled_from((1, 2, 4, 8)))
@settings(max_examples=12)
def test_features(kind: str, seed: int, parts: tuple[int, int, int], cores: int) -> None:
    for layer in plan_of(random_layers(seed, (kind,)), TARGET).layers:
        tiled = layer if layer.direct or layer.op == "concat" else cut(layer, parts)
        cost = shipped().kernels[kernel_key(layer)]
        for work in works(tiled, cores):
            features = LAYERS[layer.op].cost_features(tiled, work)
            assert len(features) == len(cost.coefficients)
            assert features[0] == 1 and all(f >= 0 for f in features)
            assert all(np.isfinite(features))


@pytest.mark.parametrize("kind", (*KINDS, *OF_INTEGERS))
@given(
    st.integers(0, 10_000),
    st.tuples(*(st.integers(1, 4) for _ in range(3))),
    st.booleans(),
    st.sampled_from((1, 4, 8, 8)),
)
@settings(max_examples=12)
def test_arrays_of_tiles(kind: str, seed: int, parts: tuple[int, int, int], even: bool, cores: int) -> None:
    for layer in plan_of(random_layers(seed, (kind,)), TARGET).layers:
        if layer.direct or layer.op == "concat":
            continue
        tiled = cut(replace(layer, kernel=LAYERS[layer.op].kernel, depth=0), parts)  # steps have no arrays of tiles
        some = [w for w in works(tiled, cores) if w.even == even]
        alone = [LAYERS[layer.op].cost_features(tiled, w) for w in some]
        wanted = np.array(alone, float)
        found = np.broadcast_arrays(*LAYERS[layer.op].cost_features(tiled, _stacked(some)), np.zeros(len(some)))[:-1]
        np.testing.assert_allclose(np.array(found, float).T, wanted, rtol=1e-12)


def _stacked(works: list[Work]) -> Work:
    def column(get):
        return np.array([get(w) for w in works])

    return Work(
        out=tuple(column(lambda w, i=i: w.out[i]) for i in range(3)),
        inputs=tuple(
            tuple(column(lambda w, i=i, k=k: w.inputs[k][i]) for i in range(3)) for k in range(len(works[0].inputs))
        ),
        taps=column(lambda w: w.taps),
        cores=works[0].cores,
        even=works[0].even,
        pad=tuple(column(lambda w, i=i: w.pad[i]) for i in range(2)),
        tap_rows=column(lambda w: w.tap_rows),
    )


@given(
    st.integers(0, 30), st.integers(1, 30), st.integers(1, 3), st.integers(0, 4), st.integers(1, 5), st.integers(1, 3)
)
def test_taps(first: int, count: int, stride: int, pad: int, kernel: int, dilation: int) -> None:
    size = 25
    wanted = sum(
        0 <= o * stride - pad + k * dilation < size for o in range(first, first + count) for k in range(kernel)
    )
    assert valid_taps(first, count, stride, pad, kernel, dilation, size) == wanted


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 4),
    st.integers(0, 3),
    st.integers(1, 3),
    st.integers(0, 80),
    st.integers(1, 80),
)
def test_kernel_rows_of_a_share(
    out: tuple[int, int], kernel: int, pad: int, stride: int, start: int, count: int
) -> None:
    h, w = out
    start, end = min(start, h * w - 1), min(start + count, h * w)
    end = max(end, start + 1)
    window = Window((kernel, 1), (stride, 1), pads=(pad, 0, pad, 0))
    h_in = max((h - 1) * stride + kernel - 2 * pad, 1)
    work = Work((h, w, 4), ((h_in, w, 4),), 0, 8, pad=(pad, 0))
    rows = range(start // w, (end - 1) // w + 1)
    inside = sum(0 <= y * stride - pad + k < h_in for y in rows for k in range(kernel))
    if pad:
        assert work.rows_inside(window, start, end) == pytest.approx(inside / len(rows))
    else:
        assert work.rows_inside(window, start, end) == kernel


@given(st.integers(0, 500), st.integers(1, 8))
def test_shares_are_those_of_the_kernels(items: int, cores: int) -> None:
    work = Work((1, 1, 1), (), 1, cores)
    shares = work.shares(items)
    assert [s[0] for s in shares] == [0, *(s[1] for s in shares[:-1])] and shares[-1][1] == items
    sizes = [b - a for a, b in shares]
    assert max(sizes) - min(sizes) <= 1 and max(sizes) == work.share(items)


@given(st.integers(1, 300))
def test_words_across_two_of_memory(step: int) -> None:
    assert misaligned(step) == sum(i * step % 4 != 0 for i in range(4)) / 4
    assert misaligned(np.array([step])).tolist() == [misaligned(step)]


@given(st.integers(1, 255))
def test_leading_zeros_of_a_divisor(divisor: int) -> None:
    assert short(divisor) == f"{divisor:08b}".find("1")
    assert short(np.array([divisor])).tolist() == [short(divisor)]


@given(st.lists(st.lists(st.tuples(*[st.integers(0, 9)] * 3), min_size=4, max_size=4), min_size=1, max_size=5))
def test_busiest_core_of_many_tiles(tiles: list[list[tuple[int, int, int]]]) -> None:
    """tiles[t][core]: three counts. Cores whose counts another one has too are not looked at."""
    weights = (3, 1, 2)
    work = Work((1, 1, 1), (), 1, 4)
    counts = [np.array([[cores[k][i] for cores in tiles] for k in range(4)]) for i in range(3)]
    some = distinct(counts)
    assert [some[:, t].sum() for t in range(len(tiles))] == [len(set(cores)) for cores in tiles]
    found = busiest_of([c[some] for c in counts], weights, some)
    np.testing.assert_array_equal(np.array(found).T, [work.busiest(cores, weights) for cores in tiles])


def test_depthwise_5x5_is_made_four_rows_at_a_time() -> None:
    """The last rows of a strip overlap those before: eight rows cost what five do, but for taking inputs apart."""
    b = QdqBuilder("net", seed=0)
    b.output(b.depthwise(b.input((1, 32, 20, 16)), kernel=(5, 5), stride=(1, 1), pads=(2,) * 4))
    (layer,) = plan_of(b.model(), TARGET).layers
    quick = {}
    for rows in (5, 8, 9):
        work = Work((rows, 16, 32), ((rows + 4, 16, 32),), rows * 400, 8, pad=(0, 2), setting=rows, settled=True)
        quick[rows] = sum(LAYERS["depthwise"].cost_features(layer, work)[11:14])
    assert quick[5] == quick[8] < quick[9]


def test_concatenated_words_across_two_of_memory() -> None:
    b = QdqBuilder("net", seed=0)
    b.output(b.concat([b.input((1, 7, 9, 8), "a"), b.input((1, 14, 9, 8), "b")]))
    layer = next(x for x in plan_of(b.model(), TARGET).layers if x.op == "concat")
    work = Work((72, 1, 21), ((72, 1, 7), (72, 1, 14)), 72, 8)
    *_, across, _ = LAYERS["concat"].cost_features(layer, work)
    loads = [i * size + 4 * j for i in range(4) for size in (7, 14) for j in range(size // 4)]
    stores = [i * 21 + at + 4 * j for i in range(4) for at, size in ((0, 7), (7, 14)) for j in range(size // 4)]
    assert across == 9 / 4 * sum(at % 4 != 0 for at in loads + stores)


@given(st.floats(0, 1), st.integers(1, 40), st.floats(0, 1.5))
def test_shares_of_forms_on_the_core_with_most_slow_channels(narrow: float, channels: int, luck: float) -> None:
    forms = (narrow, (1 - narrow) / 4, (1 - narrow) * 3 / 4, 0.0)
    found = _unlucky(forms, channels, luck)
    assert sum(found) == pytest.approx(1) and min(found) >= 0 and found[0] <= narrow + 1e-12
    assert found[2] == pytest.approx(3 * found[1])
    assert _unlucky((1.0, 0.0, 0.0, 0.0), channels, luck) == (1.0, 0.0, 0.0, 0.0)


def test_largest_of_several_counts() -> None:
    rng = np.random.default_rng(0)
    for cores in (2, 4, 8):
        most = rng.standard_normal((20_000, cores)).max(axis=1).mean()
        assert most == pytest.approx(MOST_OF_TWO * np.log2(cores), abs=0.12)
