"""More L1 never predicts more cycles, where L2 has room. (L3 is planned with a coarser model of time: no such law.)"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from dory import frontend
from dory.errors import PlanError
from dory.sim.iss.params import IssParams
from dory.sim.model.network import estimate
from dory.testing.fuzz import Case
from dory.testing.layer_strategies import LayerSpec, build_layers, layer_specs
from dory.tiler.planner import Lowered, lower, make_plan

HEAVY = LayerSpec("heavy", (96, 1, 1), 12, (3, 2), pads=(0, 0, 2, 1))
DEPTHWISE = LayerSpec("depthwise", (17, 3, 7), 17, (2, 1), (1, 2), group=17)
AVGPOOL = LayerSpec("avgpool", (101, 13, 7), 101, (4, 4), (5, 3), pads=(2, 0, 1, 0), number=3)
EXACT = LayerSpec("grouped", (67, 64, 1), 67, (2, 2), (2, 1), (1, 2), (1, 1, 0, 1), act="relu6")


def lowered(data: bytes) -> Lowered:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(data)
        return lower(frontend.load(path))


def cycles(network: Lowered, case: Case) -> int:
    """Predicted cycles of the plan; the test does not count when there is none."""
    target = replace(case.hardware(), l2_budget=1 << 22)
    try:
        plan = make_plan(network, target)
    except PlanError:
        assume(False)
        raise
    return estimate(plan, IssParams.of(target)).cycles


@given(layer_specs(), st.integers(1200, 40000), st.integers(1, 16000))
@example(HEAVY, 4464, 1664)  # 16,247 cycles with steps of input channels; 18,291 without
@example(DEPTHWISE, 2000, 112)  # a coarse law takes a tile of 1x4x17, 6301 cycles, and then one of 2x4x8, 8108 cycles
@example(AVGPOOL, 8387, 2871)  # two tiles, their inputs with one buffer, take less than a single tile
@example(EXACT, 13042, 10490)  # 64-bit rescale: plain C code takes 1.1 million cycles, steps 63,157
@settings(max_examples=60)
def test_more_l1_is_never_slower(spec: LayerSpec, l1: int, more: int) -> None:
    network = lowered(build_layers([spec]).SerializeToString())
    small = cycles(network, Case("tile", l1))
    assert cycles(network, Case("tile", l1 + more)) <= small
