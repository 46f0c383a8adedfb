"""Every tiling fits its budget and covers its tensor; the compiled pruner equals a plain Python twin."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dory import _tiler
from dory.errors import PlanError
from dory.graph.types import Node, Requant, Window
from dory.layers import LAYERS
from dory.layers.base import Access, Geometry, PackedWeights, PlaneScratch
from dory.layers.conv import ConvAttrs
from dory.plan import GUARD, guarded
from dory.tiler import tiles

SIZE = st.integers(1, 9)


@st.composite
def geometries(draw: st.DrawFn) -> tuple[Geometry, PackedWeights | None]:
    """A random layer: window, asymmetric padding, stride > kernel, dilation, full or sliced channels, 1 or 2 inputs."""
    window = Window(
        (draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        (draw(st.integers(1, 5)), draw(st.integers(1, 5))),
        (draw(st.integers(1, 2)), draw(st.integers(1, 2))),
        tuple(draw(st.integers(0, 2)) for _ in range(4)),  # type: ignore[arg-type]
    )
    h, w, cin = draw(SIZE), draw(SIZE), draw(SIZE)
    oh, ow = window.out_size(0, h), window.out_size(1, w)
    assume(oh >= 1 and ow >= 1)
    sliced = draw(st.booleans())
    cout = cin if sliced else draw(SIZE)
    step = draw(st.sampled_from([1, 4]))
    access = Access((h, w, cin), window, "slice" if sliced else "all")
    inputs = (access, access) if draw(st.booleans()) else (access,)
    packed = None
    if draw(st.booleans()):
        group_bytes = 4 * draw(st.integers(1, 20))
        packed = PackedWeights(bytes(ceil(cout / step) * group_bytes), step, group_bytes)
    geometry = Geometry((oh, ow, cout), inputs, step, draw(st.booleans()), draw(st.booleans()))
    return geometry, packed


planes = st.builds(
    PlaneScratch,
    unit=st.integers(1, 40),
    limit=st.integers(0, 2000),
    span=st.tuples(st.integers(1, 5), st.integers(1, 8)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)


def twin(
    geometry: Geometry,
    packed: PackedWeights | None,
    scratch: int,
    plane: PlaneScratch | None,
    cores: int,
    budget: int,
    work: float,
    setup: int,
):
    """The pruner's search in plain Python."""
    out, best = geometry.out, None
    c_top = ceil(out[2] / geometry.c_step) * geometry.c_step
    for h in range(out[0], 0, -1):
        for w in range(out[1], 0, -1) if geometry.split_w else [out[1]]:
            for c in range(c_top, 0, -geometry.c_step) if geometry.split_c else [c_top]:
                tile = (h, w, min(c, out[2]))
                buffers = tiles.l1_buffers(geometry, packed, scratch + (plane.bytes(tile) if plane else 0), tile)
                if buffers[-1].end > budget:
                    continue
                cost, inputs_outer = twin_cost(geometry, packed, plane, tile, cores, work, setup)
                if best is None or cost < best[5]:
                    best = (*tile, inputs_outer, buffers[-1].end, cost)
    return best


def transfer_cycles(part, whole):
    """Beyond the bytes: commands, and lines within them."""
    lines = part[0] * part[1] if part[2] < whole[2] else part[0] if part[1] < whole[1] else 1
    return 60 * (part[0] if part[1] < whole[1] and part[2] < whole[2] else 1) + 2 * lines


def twin_cost(geometry, packed, plane, tile, cores, work, setup):
    """Cycles of a tile by the documented closed form."""
    h, w, c = tile
    th, tw, tc = (ceil(o / t) for o, t in zip(geometry.out, tile, strict=True))
    count, spatial = th * tw * tc, th * tw
    everything, sliced, commands = 0, 0, 0
    for access in geometry.inputs:
        ih, iw, ic = tiles.input_tile(access, tile)
        commands += transfer_cycles((ih, iw, ic), access.shape)
        if access.channels == "all":
            everything += ih * iw * ic
        else:
            sliced += ih * iw * ic
    commands += transfer_cycles(tile, geometry.out)
    wb = packed.bytes_for(c) if packed else 0
    w_loads = tc if packed and packed.group else 1
    groups = ceil(c / 4)
    bands = ceil(cores / groups)
    compute = ceil(h * w / (2 * cores)) * 2 * groups * 4 * work
    if plane:
        rows, kernel, (sh, sw) = ceil(h / bands), plane.span[0], plane.stride
        apart = ((rows - 1) * sh + kernel) * (22 * ceil(w * sw / 4) + 6)
        strips = 4 * ceil(w / 4) * (rows * (kernel * kernel + 22) + 45)
        compute = ceil(groups * bands / cores) * (300 + apart + strips)
    compute = count * (compute + setup)
    fixed = (sliced + h * w * c) * count
    weights_first = fixed + everything * (count if spatial > 1 else 1) + wb * w_loads
    inputs_first = fixed + everything * spatial + wb * (count if w_loads > 1 else 1)
    dma = min(weights_first, inputs_first) / 8 + count * commands
    edge = (everything + sliced + wb + h * w * c) / 8
    return max(compute, dma) + edge, inputs_first < weights_first


@given(geometries(), st.integers(100, 3000), st.integers(0, 200), st.none() | planes, st.floats(0.5, 50))
def test_pruner_equals_its_python_twin(layer, budget, scratch, plane, work):
    geometry, packed = layer
    group, group_bytes = (packed.group, packed.group_bytes) if packed else (0, 0)
    found = _tiler.cheapest(
        geometry.out,
        geometry.c_step,
        geometry.split_w,
        geometry.split_c,
        tiles.access_rows(geometry),
        group,
        group_bytes,
        scratch,
        plane.row if plane else None,
        GUARD,
        8,
        budget,
        work,
        250,
    )
    expected = twin(geometry, packed, scratch, plane, 8, budget, work, 250)
    assert (found is None) == (expected is None)
    if found:
        assert found[5] == pytest.approx(expected[5])
        assert found[:3] == expected[:3] and found[4] == expected[4]
        assert found[4] <= budget


@given(geometries(), st.data())
def test_tiles_cover_every_output_once_and_read_inside_their_buffer(layer, data):
    geometry, _ = layer
    tile = tuple(data.draw(st.integers(1, o)) for o in geometry.out)
    starts = [range(0, o, t) for o, t in zip(geometry.out, tile, strict=True)]
    for axis, (out, step) in enumerate(zip(geometry.out, tile, strict=True)):
        covered = [i for s in starts[axis] for i in range(s, min(s + step, out))]
        assert covered == list(range(out))
    for access in geometry.inputs:
        largest = tiles.input_tile(access, tile)
        for axis in (0, 1):
            window, size = access.window, access.shape[axis]
            for s in starts[axis]:
                e = min(s + tile[axis], geometry.out[axis])
                i0, i1, before, after = window.in_range(axis, s, e, size)
                assert 0 <= i0 <= i1 <= size and i1 - i0 <= largest[axis]
                wanted = (e - s - 1) * window.stride[axis] + window.span(axis)
                assert before + (i1 - i0) + after == wanted


@given(geometries(), st.data())
def test_buffers_are_disjoint_and_guarded(layer, data):
    geometry, packed = layer
    tile = tuple(data.draw(st.integers(1, o)) for o in geometry.out)
    end = 0
    for b in tiles.l1_buffers(geometry, packed, 64, tile):
        assert b.offset == end and b.offset % 8 == 0 and b.stride >= b.bytes + GUARD
        end = b.end
    assert guarded(0) == GUARD


def test_what_does_not_fit_is_named():
    """The largest terms of the smallest tile, each by its name."""
    weights = np.ones((8, 3, 3, 800), np.int64)
    requant = Requant(np.full(8, 20000), np.full(8, 30), 0, 0, 255)
    attrs = ConvAttrs(Window((3, 3)), weights, np.zeros(8, np.int64), requant, 0)
    node = Node("big", "conv", ("x",), "y", attrs)
    with pytest.raises(PlanError) as error:
        tiles.choose(node, [(14, 14, 800)], LAYERS["conv"].weights(attrs), 16384, 8)
    text = str(error.value)
    assert "layer big (conv)" in text and "weights" in text and "input 0" in text and " scratch " in text
