"""Laws that every estimate keeps: cycles and bytes are conserved, and nothing gets slower on a faster chip."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dory import targets
from dory.errors import PlanError
from dory.plan import Plan
from dory.sim.iss.params import IssParams, RamLaw
from dory.sim.model.network import CAUSES, estimate
from dory.testing.networks import NETWORKS
from dory.testing.strategies import RandomNetwork, small_qdq_networks
from dory.tiler.planner import code_bytes, lower
from tests.model.plans import dma_bytes, l3_bytes, network_plan, plan_of

PARAMS = IssParams.of(targets.load("gap8"))
VENDOR = IssParams.of(targets.load("gap8-gvsoc"))
LARGE = ("resnet18_224", "mobilenet_v1_1.0_224", "mobilenet_v2_1.0_128", "mobilenet_v2_1.0_224")
SMALL = [n for n in NETWORKS if n not in LARGE]


def check_conserved(plan: Plan, params: IssParams) -> None:
    guess = estimate(plan, params)
    at = 0
    for x in guess.layers:
        assert set(x.by_cause) == set(CAUSES) and min(x.by_cause.values()) >= 0
        assert sum(x.by_cause.values()) == x.cycles
        assert x.begin >= at
        at = x.begin + x.cycles
        assert x.dma_bytes == dma_bytes(x.layer)
    assert at == guess.cycles == sum(guess.by_cause.values())
    assert (sum(x.l3_read for x in guess.layers), sum(x.l3_written for x in guess.layers)) == l3_bytes(plan)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Small random networks in tight memories, so that layers are cut into tiles, stripes and parts."""
    network: RandomNetwork = draw(small_qdq_networks())
    target = targets.load("gap8")
    l1, l2 = draw(st.integers(1000, 20000)), draw(st.integers(1500, 30000))
    try:
        return plan_of(network.model, replace(target, l1_budget=l1, l2_budget=_code(network) + l2))
    except PlanError:
        assume(False)
        raise


def _code(network: RandomNetwork) -> int:
    import tempfile
    from pathlib import Path

    from dory import frontend

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        path.write_bytes(network.model.SerializeToString(deterministic=True))
        return code_bytes(lower(frontend.load(path)).graph)


@pytest.mark.parametrize("name", SMALL)
def test_cycles_and_bytes_are_conserved(name: str) -> None:
    for plan in (network_plan(name), network_plan(name, l1=0.9)):
        check_conserved(plan, PARAMS)
        check_conserved(plan, VENDOR)


@given(plans(), st.sampled_from((PARAMS, VENDOR)))
@settings(max_examples=40)
def test_random_plans_conserve_cycles_and_bytes(plan: Plan, params: IssParams) -> None:
    check_conserved(plan, params)


@given(plans(), st.integers(1, 8), st.sampled_from((PARAMS, VENDOR)))
@settings(max_examples=15)
def test_the_timeline_changes_nothing(plan: Plan, cores: int, params: IssParams) -> None:
    """Without it equal iterations are skipped: the events are the twin of that shortcut."""
    quick, full = estimate(plan, params, cores=cores), estimate(plan, params, cores=cores, timeline=True)
    assert quick.cycles == full.cycles
    for a, b in zip(quick.layers, full.layers, strict=True):
        assert replace(b, spans=()) == a
        moved = sum(s.bytes for s in b.spans if s.kind.startswith("DMA"))
        assert moved == a.dma_bytes
        assert all(s.begin <= s.end for s in b.spans)


def _slower(law: RamLaw, percent: int) -> RamLaw:
    return replace(law, per_byte=law.per_byte * (1 + percent / 100))


@given(plans(), st.integers(1, 4), st.integers(0, 200), st.integers(50, 300))
@settings(max_examples=30)
def test_a_faster_chip_never_takes_longer(plan: Plan, width: int, percent: int, mhz: int) -> None:
    base = estimate(plan, PARAMS)
    wide = estimate(plan, replace(PARAMS, dma_bytes_per_cycle=8 * width))
    assert wide.cycles <= base.cycles
    slow = replace(
        PARAMS, ram_read_cl=_slower(PARAMS.ram_read_cl, percent), ram_write_cl=_slower(PARAMS.ram_write_cl, percent)
    )
    assert estimate(plan, slow).cycles >= base.cycles
    a, b = estimate(plan, replace(PARAMS, fc_khz=mhz * 1000)), estimate(plan, replace(PARAMS, fc_khz=mhz * 1100))
    assert b.cycles <= a.cycles
    a = estimate(plan, replace(PARAMS, cluster_khz=mhz * 1000))
    b = estimate(plan, replace(PARAMS, cluster_khz=mhz * 1100))
    calls = sum((4 + 4 * len(x.layer.inputs)) * x.layer.stripes * 16 for x in a.layers)
    # Each wait for L3 ends on a whole cycle.
    assert b.milliseconds <= a.milliseconds + calls / a.params.cluster_khz


@given(plans())
@settings(max_examples=15)
def test_more_cores_never_take_longer(plan: Plan) -> None:
    """Shares only get smaller; a team's measured efficiency may cost a little."""
    cycles = [estimate(plan, PARAMS, cores=n).by_cause for n in (1, 8)]
    assert cycles[1]["compute"] <= cycles[0]["compute"]


def test_other_core_timing_is_said() -> None:
    assert estimate(network_plan("dscnn"), PARAMS).calibrated
    assert not estimate(network_plan("dscnn"), replace(PARAMS, load_use=2)).calibrated
