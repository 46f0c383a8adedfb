"""Plans without code generation, and a plain count of the bytes that their loops move."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import onnx

from dory import frontend, targets
from dory.plan import LayerPlan, Plan
from dory.targets import Target
from dory.testing.networks import NETWORKS
from dory.tiler.planner import Lowered, lower, make_plan


def plan_of(model: onnx.ModelProto, target: Target) -> Plan:
    """The plan; PlanError when it does not fit."""
    return make_plan(lowered(model), target)


def lowered(model: onnx.ModelProto) -> Lowered:
    """What a plan is made of."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(model.SerializeToString(deterministic=True))
        return lower(frontend.load(path))


@lru_cache
def network_plan(name: str, l1: float = 1.0, l2: float = 1.0) -> Plan:
    """A network of the project's with a share of gap8's memories."""
    target = targets.load("gap8")
    target = replace(target, l1_budget=int(target.l1_budget * l1), l2_budget=int(target.l2_budget * l2))
    return plan_of(NETWORKS[name].build(), target)


def dma_bytes(layer: LayerPlan) -> int:
    """Bytes between L2 and L1, counted tile by tile as the C loop goes."""
    if layer.direct:
        return 0
    h, w, _ = layer.output.shape
    return sum(
        _block_bytes(layer, ((h0, min(h0 + layer.stripe_rows, h)), (0, w))) for h0 in range(0, h, layer.stripe_rows)
    )


def _channels(layer: LayerPlan) -> list[tuple[int, int]]:
    """(first, count) of every tile along the channels."""
    c, weights = layer.output.shape[2], layer.weights
    out, at, part_end = [], 0, 0
    while at < c:
        if at == part_end:
            part_end = min(at + (weights.part_channels if weights else c), c)
        out.append((at, min(layer.tile[2], part_end - at)))
        at += out[-1][1]
    return out


def _in_steps(layer: LayerPlan, tile: tuple[tuple[int, int], ...]) -> int:
    """A tile in steps: every step brings inputs and weights, the last one constants too."""
    x, size = layer.inputs[0], [count for _, count in tile]
    r, q = (x.window.in_range(i, tile[i][0], sum(tile[i]), x.shape[i]) for i in (0, 1))
    groups, taps = -(-size[2] // 4), x.window.kernel[0] * x.window.kernel[1]
    total = size[0] * size[1] * size[2] + groups * (48 if layer.form == "narrow" else 64)
    for k in range(0, x.shape[2], layer.depth):
        depth = min(layer.depth, x.shape[2] - k)
        total += (r[1] - r[0]) * (q[1] - q[0]) * depth + groups * taps * 16 * -(-depth // 4)
    return total


def _block_bytes(layer: LayerPlan, block: tuple[tuple[int, int], ...]) -> int:
    rows, cols = (
        [(at, min(step, hi - at)) for at in range(lo, hi, step)]
        for (lo, hi), step in zip(block, layer.tile[:2], strict=True)
    )
    if layer.order == "inputs":
        tiles = [(a, b, c) for a in rows for b in cols for c in _channels(layer)]
    else:
        tiles = [(a, b, c) for c in _channels(layer) for a in rows for b in cols]
    if layer.depth:
        return sum(_in_steps(layer, tile) for tile in tiles)
    total, last = 0, None
    for tile in tiles:
        size = [count for _, count in tile]
        total += size[0] * size[1] * size[2] * layer.stored
        moved = last is None or tile[:2] != last[:2]
        new_c = last is None or tile[2] != last[2]
        if moved or (new_c and any(x.channels == "slice" for x in layer.inputs)):
            for x in layer.inputs:
                r, q = (x.window.in_range(i, tile[i][0], sum(tile[i]), x.shape[i]) for i in (0, 1))
                depth = size[2] if x.channels == "slice" else x.shape[2]
                total += 0 if x.kept else (r[1] - r[0]) * (q[1] - q[0]) * depth
        if layer.weights and (last is None or (new_c and layer.weights.group)):
            total += layer.weights.bytes_for(size[2])
        last = tile
    return total


def l3_bytes(plan: Plan) -> tuple[int, int]:
    """Bytes (read, written) between L3 and L2."""
    read = written = 0
    for layer in plan.layers:
        h, _, c = layer.output.shape
        stripes = [(h0, min(h0 + layer.stripe_rows, h)) for h0 in range(0, h, layer.stripe_rows)]
        for h0, h1 in stripes:
            for x in layer.inputs:
                if x.l3_offset >= 0:
                    first, last, *_ = x.window.in_range(0, h0, h1, x.shape[0])
                    read += -(-last * x.row_bytes // 4) * 4 - first * x.row_bytes // 4 * 4
            if layer.output.l3_offset >= 0:
                written += -(-(h1 - h0) * layer.output.row_bytes // 4) * 4
        w = layer.weights
        if w and w.mode == "streamed":
            parts = [w.bytes_for(min(w.part_channels, c - c0)) for c0 in range(0, c, w.part_channels)]
            again = len(parts) > plan.buffer(w.l2_buffer).copies
            read += sum(parts) * (len(stripes) if again else 1)
    return read, written
