"""Operands with one buffer: plans that have them, and what the generated code does then."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dory import frontend, pipeline, targets
from dory.plan import LayerPlan, Plan
from dory.sim.application import COMPILER
from dory.sim.iss.params import IssParams
from dory.sim.model.network import estimate
from dory.testing.plan_checks import require_sound
from dory.testing.qdq_builder import QdqBuilder
from dory.tiler.planner import lower, make_plan

GAP8 = targets.load("gap8")


def network(folder: Path) -> Path:
    """Two layers side by side whose larger tiles want all of L1."""
    b = QdqBuilder("wide", seed=3, samples=1)
    b.output(b.conv(b.input((1, 256, 16, 16), "a"), 256, 1, act="relu", pads=0), "y")
    b.output(b.conv(b.input((1, 64, 13, 13), "b"), 64, 3, act="relu", pads=1), "z")
    path = folder / "wide.onnx"
    path.write_bytes(b.model().SerializeToString())
    return path


def turns(layer: LayerPlan) -> dict[str, int]:
    """How often each operand with one buffer is loaded, or the output stored; those that are once left out."""
    h, w, c = layer.tiles
    loads = {"x": h * w * (c if layer.order == "weights" else 1), "w": c * (1 if layer.order == "weights" else h * w)}
    loads |= {"y": h * w * c} | ({"x": 1} if h * w == 1 else {}) | ({"w": 1} if c == 1 else {})
    return {o: n for o, n in loads.items() if o in layer.single and n > 1}


def plan_of(path: Path) -> Plan:
    return make_plan(lower(frontend.load(path)), GAP8)


def test_one_buffer_makes_room_for_larger_tiles(tmp_path: Path) -> None:
    path = network(tmp_path)
    plan = plan_of(path)
    assert [set(turns(layer)) for layer in plan.layers] == [{"x", "y"}, {"w"}]
    require_sound(plan, lower(frontend.load(path)).graph)
    estimated = estimate(plan, IssParams.of(GAP8))
    assert [x.cycles for x in estimated.layers] == pytest.approx([x.predicted for x in plan.layers], rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("verify", ["host", "sim"])
def test_generated_code_waits_for_single_buffers(verify: str, tmp_path: Path) -> None:
    if verify == "sim" and shutil.which(COMPILER) is None:
        pytest.skip(f"{COMPILER} is not installed")
    result = pipeline.deploy(network(tmp_path), pipeline.Options(tmp_path / "app", GAP8, verify=verify))
    assert result.checks and all(check.different == 0 for check in result.checks)
    text = "".join(p.read_text() for p in (tmp_path / "app" / "src").glob("layer_*.c"))
    assert ".single = " in text
