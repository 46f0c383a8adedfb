"""The result of a deployment, for reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dory.graph.types import Graph, IntArray
from dory.plan import Plan


@dataclass(frozen=True)
class LayerCheck:
    """One layer in one run: bytes compared and bytes that differ."""

    run: int
    layer: str
    compared: int
    different: int
    first: tuple[int, ...] = ()  # (h, w, c) of the first difference
    found: int = 0
    wanted: int = 0


@dataclass(frozen=True)
class Deployment:
    """What came out; `values` are the example's tensors, wall_s seconds per stage."""

    graph: Graph
    plan: Plan
    values: Mapping[str, IntArray]
    checks: tuple[LayerCheck, ...]
    wall_s: Mapping[str, float] = field(default_factory=dict)
    cycles: int | None = None  # of one inference, when it was simulated


@dataclass(frozen=True)
class OnnxComparison:
    """Layer outputs against onnxruntime's, given each layer's inputs: elements, how many differ, most LSB."""

    elements: int
    differing: int
    max_lsb: int
