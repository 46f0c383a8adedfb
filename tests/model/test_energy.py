"""Energy against published power."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dory import targets
from dory.errors import UserError
from dory.sim.iss.params import IssParams
from dory.sim.model.energy import energy, operating_point
from dory.sim.model.network import Estimate, estimate
from tests.model.plans import network_plan

TARGET = targets.load("gap8")


def at(name: str, fc: int, cluster: int) -> Estimate:
    params = replace(IssParams.of(TARGET), fc_khz=fc * 1000, cluster_khz=cluster * 1000)
    return estimate(network_plan(name), params)


@pytest.mark.parametrize("name", ["dscnn", "all_ops_net", "mobilenet_v1_0.25_96"])
def test_energy_adds_up(name: str) -> None:
    guess = at(name, 100, 100)
    found = energy(guess, TARGET.power)
    between = guess.cycles - sum(x.cycles for x in guess.layers)
    waiting = between * TARGET.power.wait_pj * 1e-9
    assert found.mj == pytest.approx(sum(found.by_state_mj.values()))
    assert found.mj == pytest.approx(sum(found.layers_mj) + waiting)
    assert found.pj_per_mac == pytest.approx(found.mj * 1e9 / guess.plan.macs)


def test_a_mobilenet_draws_the_published_power() -> None:
    """A published table has 95 to 113 mW at 1.2 V, 250/175 MHz; at 1.0 V, 100 MHz, between waiting and pointwise."""
    guess = at("mobilenet_v1_1.0_128", 250, 175)
    found = energy(guess, TARGET.power)
    assert found.volts == 1.2
    assert 95 <= found.mj / guess.milliseconds * 1000 <= 125
    guess = at("mobilenet_v1_1.0_128", 100, 100)
    found = energy(guess, TARGET.power)
    assert found.volts == 1.0
    assert 33 <= found.mj / guess.milliseconds * 1000 <= 48


def test_the_lowest_voltage_that_suffices() -> None:
    assert operating_point(TARGET.power, 150_000, 90_000).millivolts == 1000
    assert operating_point(TARGET.power, 151_000, 90_000).millivolts == 1200
    with pytest.raises(UserError, match=r"300/90 MHz.*250/175 MHz at 1.2 V"):
        operating_point(TARGET.power, 300_000, 90_000)
