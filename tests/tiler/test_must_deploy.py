"""Layers that other tools refuse deploy in 16, 32 and 56 kB of L1, and compute what the reference computes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pytest

from dory import frontend
from dory.errors import PlanError
from dory.testing.fuzz import Case, check_deployment
from dory.tiler.planner import Lowered, lower, make_plan
from tests.tiler.must_deploy_nets import BUDGETS, MUST_DEPLOY, above_l3


@lru_cache
def lowered(name: str, folder: Path) -> Lowered:
    path = folder / f"{name}.onnx"
    path.write_bytes(MUST_DEPLOY[name]().SerializeToString(deterministic=True))
    return lower(frontend.load(path))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the networks and for compiled kernels."""
    return tmp_path_factory.mktemp("must_deploy")


@pytest.mark.slow
@pytest.mark.parametrize("l1", BUDGETS, ids=lambda size: f"{size // 1024}k")
@pytest.mark.parametrize("name", MUST_DEPLOY)
def test_deploys_and_verifies(name: str, l1: int, folder: Path) -> None:
    case = Case("host", l1=l1)
    network = lowered(name, folder)
    plan = make_plan(network, case.hardware())
    assert plan.l1_bytes <= l1
    check_deployment(network, plan, case, folder / "objects")


def test_more_than_l3_is_refused_with_the_sums(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(above_l3().SerializeToString())
    network = lower(frontend.load(path))
    weights = sum(len(p.data) for p in network.packed if p)
    with pytest.raises(PlanError) as caught:
        make_plan(network, Case("tile").hardware())
    message = str(caught.value)
    assert f"L3 has {8 << 20} bytes" in message and f"weights take {weights}" in message
    activations = int(message.split("activations above L2 ")[1].split()[0])
    assert activations >= 2 * 384 * 384 * 16 and weights + activations > 8 << 20
