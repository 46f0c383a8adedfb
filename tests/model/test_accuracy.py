"""The model against the simulator, with looser bounds than docs/accuracy.md, so that drift fails the build."""

from __future__ import annotations

import shutil

import pytest

from dory import targets
from dory.sim.application import COMPILER
from dory.testing.accuracy import compare, compare_random, spread
from dory.testing.networks import NETWORKS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"{COMPILER} is not installed"),
]


# Mean and 95th percentile of layers, totals. The vendor's simulator has a cache that kernels fill, which no closed form
# follows line by line.
BOUNDS = {"gap8": (0.03, 0.09, 0.04), "gap8-gvsoc": (0.06, 0.18, 0.08)}


@pytest.mark.parametrize("target", targets.names())
def test_random_layers(target: str) -> None:
    found = spread(compare_random(64, targets.load(target), first_seed=8_000_000))
    assert found.n >= 64
    mean, p95, _ = BOUNDS[target]
    assert found.mean <= mean and found.p95 <= p95, found


@pytest.mark.parametrize("target", targets.names())
@pytest.mark.parametrize("name", ["dscnn", "resnet8", "concat_net", "mobilenet_v1_0.25_96", "mobilenet_v2_block"])
def test_networks(name: str, target: str) -> None:
    found = compare(NETWORKS[name].build(), targets.load(target), name)
    assert abs(found.total.error) <= BOUNDS[target][2], found.total
