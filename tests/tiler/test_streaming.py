"""The queue of reads: every part is there when it is needed, and none is overwritten before."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dory.graph.types import Window
from dory.plan import SCHEMA, L1Buffer, L2Buffer, LayerPlan, Operand, Plan, Weights
from dory.streaming import AHEAD, part_starts, points_of, schedule

GROUP = 4


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Layers with weights of all kinds; nothing but the weights is realistic."""
    layers, buffers, l3, offset = [], [], 0, 0
    for i in range(draw(st.integers(1, 6))):
        rows, channels = draw(st.integers(1, 4)), GROUP * draw(st.integers(1, 12))
        stripe = draw(st.integers(1, rows))
        group_bytes = 4 * draw(st.integers(1, 9))
        size = channels // GROUP * group_bytes
        kind = draw(st.sampled_from(["none", "resident", "streamed"]))
        weights = None
        if kind != "none":
            group = draw(st.sampled_from([0, GROUP]))
            whole = kind == "resident" or group == 0
            size = size if group else group_bytes
            part = channels if whole else GROUP * draw(st.integers(1, channels // GROUP))
            copies = draw(st.integers(1 if part == channels else min(2, ceil(channels / part)), ceil(channels / part)))
            lead = draw(st.integers(0, i))
            buffer = L2Buffer(size if whole else part // GROUP * group_bytes, copies, offset, f"w{i}", "weights", i, i)
            offset = buffer.end
            buffers.append(buffer)
            weights = Weights(kind, size, group, group_bytes, l3, buffer.name, part, lead)  # type: ignore[arg-type]
            l3 += size
        y = Operand("y", (rows, 1, channels), Window((1, 1)), "slice", "y")
        tile = (rows, 1, channels)
        l1 = (L1Buffer(1, 1, 0, "y"),)
        layers.append(
            LayerPlan(i, f"l{i}", "conv", "dory_conv", "", 0, (y,), y, weights, tile, "weights", stripe, False, l1)
        )
    return Plan(SCHEMA, "n", "t", 8, 64, 1 << 20, 0, 1 << 30, l3, 0, 0, tuple(buffers), tuple(layers), (), ())


@given(plans())
def test_parts_are_there_when_needed_and_stay_until_used(plan: Plan) -> None:
    queue = schedule(plan)
    content: dict[int, tuple[int, int]] = {}  # by L2 address: the layer and its part
    started = finished = 0
    for layer, first in zip(plan.layers, queue.first, strict=True):
        for k in range(points_of(layer)):
            point = queue.points[first + k]
            assert started <= point.started and finished <= point.needed <= point.started
            assert point.started - finished <= AHEAD
            for read in queue.reads[started : point.started]:
                w = plan.layers[read.layer].weights
                assert w is not None
                part = (read.l3 - w.l3_offset) // w.bytes_for(w.part_channels)
                assert w.l3_offset <= read.l3 and read.l3 + read.bytes <= w.l3_offset + w.bytes
                content[read.l2] = (read.layer, part)
            started, finished = point.started, point.needed
            w = layer.weights
            if w is None or w.mode == "resident":
                continue
            buffer, part = plan.buffer(w.l2_buffer), k % len(part_starts(layer))
            slots = buffer.copies
            here = content[buffer.offset + (part if len(part_starts(layer)) <= slots else k) % slots * buffer.stride]
            assert here == (layer.index, part)
    assert started == finished == len(queue.reads)


@given(plans())
def test_every_byte_is_read_once_a_stripe(plan: Plan) -> None:
    moved: dict[int, int] = {}
    for read in schedule(plan).reads:
        moved[read.layer] = moved.get(read.layer, 0) + read.bytes
    for layer in plan.layers:
        w = layer.weights
        if w is None or w.mode == "resident":
            assert layer.index not in moved
        else:
            again = len(part_starts(layer)) > plan.buffer(w.l2_buffer).copies
            assert moved[layer.index] == w.bytes * (layer.stripes if again else 1)


def test_ahead_is_the_runtimes(csrc: str) -> None:
    assert f"#define DORY_READS_AHEAD {AHEAD} " in csrc


@pytest.fixture
def csrc() -> str:
    from dory.resources import csrc_dir

    return (csrc_dir() / "runtime" / "dory_stream.h").read_text()
