"""Plans with one fault each, for the tests of the checker: none of them could be made through Plan's constructor."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from dory import frontend
from dory.graph.types import Graph
from dory.layers import LAYERS
from dory.layers.base import TileShape
from dory.plan import L1Buffer, L2Buffer, LayerPlan, Plan
from dory.testing.fuzz import Case
from dory.testing.layer_strategies import LayerSpec, build_layers
from dory.tiler.planner import code_bytes, lower, make_plan

CONV = LayerSpec("conv", (16, 33, 29), 24, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1))
CHAIN = LayerSpec("depthwise", (24, 96, 96), 24, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 24, inside=True)
SMALL = LayerSpec("conv", (16, 9, 9), 16, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), inside=True)
DEEP = LayerSpec("pointwise", (256, 7, 7), 24)
HEAVY = LayerSpec("heavy", (128, 3, 3), 128, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), inside=True)


@lru_cache
def planned(spec: LayerSpec, l1: int, l2: int | None) -> tuple[Plan, Graph]:
    """The plan of one layer within l1 bytes of L1 and l2 bytes of L2 beyond the code."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(build_layers([spec]).SerializeToString())
        lowered = lower(frontend.load(path))
    limit = None if l2 is None else code_bytes(lowered.graph) + l2
    return make_plan(lowered, Case("tile", l1, limit).hardware()), lowered.graph


def tiled() -> tuple[Plan, Graph]:
    """A convolution cut along all three axes, with borders on all sides, whatever the planner prefers."""
    plan, graph = planned(CONV, 30000, None)
    (layer,) = plan.layers
    assert layer.weights and layer.inputs[0].shape == (33, 29, 16) and layer.output.shape == (33, 29, 24)
    h, w, c = tile = (3, 5, 4)
    (node,) = graph.nodes
    scratch = LAYERS["conv"].scratch_bytes(node.attrs, TileShape(tile, ((h + 2, w + 2, 16),)), plan.cores)
    sizes = {"x0": (h + 2) * (w + 2) * 16, "w": layer.weights.group_bytes, "y": h * w * c, "scratch": scratch}
    buffers, offset = [], 0
    for operand, size in sizes.items():
        buffers.append(L1Buffer(size, 1 if operand == "scratch" else 2, offset, operand))
        offset = buffers[-1].end
    layer = replace(layer, tile=tile, order="weights", l1=tuple(buffers), padded=False)
    return replace(plan, layers=(layer,), l1_budget=offset), graph


def kept() -> tuple[Plan, Graph]:
    """Three convolutions of a small map: the first two outputs stay in L1."""
    return planned(SMALL, 30000, None)


def stepped() -> tuple[Plan, Graph]:
    """A pointwise convolution that takes its input channels in steps."""
    return planned(DEEP, 3000, None)


def striped() -> tuple[Plan, Graph]:
    """A depthwise convolution between two others, whose input and output live in L3."""
    return planned(CHAIN, 20000, 140_000)


def streamed() -> tuple[Plan, Graph]:
    """A convolution between two others, whose weights take turns in L2."""
    return planned(HEAVY, 30000, 100_000)


def forged(plan: Plan, **changes: Any) -> Plan:
    """The plan with other fields, without the constructor's own checks."""
    out: Plan = object.__new__(Plan)
    for f in fields(plan):
        object.__setattr__(out, f.name, changes.get(f.name, getattr(plan, f.name)))
    return out


def with_layer(plan: Plan, change: Callable[[LayerPlan], LayerPlan], index: int = 0) -> Plan:
    """The plan with another layer."""
    layers = [change(x) if x.index == index else x for x in plan.layers]
    return forged(plan, layers=tuple(layers))


def with_l1(plan: Plan, operand: str, change: Callable[[L1Buffer], L1Buffer], index: int = 0) -> Plan:
    """The plan with another L1 buffer."""
    return with_layer(
        plan, lambda x: replace(x, l1=tuple(change(b) if b.operand == operand else b for b in x.l1)), index
    )


def with_l2(plan: Plan, name: str, change: Callable[[L2Buffer], L2Buffer]) -> Plan:
    """The plan with another L2 buffer."""
    assert any(b.name == name for b in plan.l2)
    return forged(plan, l2=tuple(change(b) if b.name == name else b for b in plan.l2))
