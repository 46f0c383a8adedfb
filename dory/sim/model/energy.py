"""Energy of an inference: a published power figure per state of the cluster, times the cycles that it is in that state.

States: "matrix" (the kernels of convolutions and matrices run), "vector" (other kernels run), "wait" (cores wait, for
transfers or for each other, or core 0 alone runs the tile loop). The figures are the target's, with their sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from dory.errors import UserError
from dory.sim.model.network import Estimate
from dory.targets import OperatingPoint, Power

_MATRIX = frozenset({"conv", "linear", "grouped_conv"})


@dataclass(frozen=True)
class Energy:
    """mJ of an inference, of each layer, and of each state; pJ per multiply-accumulate; volts of the operating point.

    What lies between layers counts for the inference and for "wait" only. An inference without multiply-accumulates
    has 0 pJ for each.
    """

    mj: float
    pj_per_mac: float
    volts: float
    layers_mj: tuple[float, ...]
    by_state_mj: Mapping[str, float]


def operating_point(power: Power, fc_khz: int, cluster_khz: int) -> OperatingPoint:
    """The lowest voltage that allows both clocks; UserError when none does."""
    points = sorted(power.points, key=lambda p: p.millivolts)
    for p in points:
        if fc_khz <= p.fc_khz and cluster_khz <= p.cluster_khz:
            return p
    limits = ", ".join(f"{p.fc_khz // 1000}/{p.cluster_khz // 1000} MHz at {p.millivolts / 1000} V" for p in points)
    raise UserError(
        f"the clocks are {fc_khz / 1000:g}/{cluster_khz / 1000:g} MHz (controller/cluster); the chip allows {limits}",
        where="energy",
        hint="lower the clocks, or add an operating point to the target's [power]",
    )


@dataclass(frozen=True)
class Activity:
    """A layer's cluster cycles, and those of them in which its kernels run."""

    op: str
    cycles: float
    busy: float


def energy(estimate: Estimate, power: Power) -> Energy:
    """Energy of cluster and SoC. Raises UserError for clocks beyond every operating point of the target.

    Imbalance waits, as only some cores run.
    """
    layers = [Activity(x.layer.op, x.cycles, x.by_cause["compute"]) for x in estimate.layers]
    params = estimate.params
    return energy_of(layers, estimate.cycles, estimate.plan.macs, power, params.fc_khz, params.cluster_khz)


def energy_of(
    layers: Sequence[Activity], cycles: float, macs: int, power: Power, fc_khz: int, cluster_khz: int
) -> Energy:
    """The same from cycles that come from elsewhere; `cycles` are the inference's, in the cluster."""
    point = operating_point(power, fc_khz, cluster_khz)
    # Dynamic energy goes with the square of the voltage.
    scale = (point.millivolts / power.millivolts) ** 2 * 1e-9
    per_cycle = {"matrix": power.matrix_pj * scale, "vector": power.vector_pj * scale, "wait": power.wait_pj * scale}
    states = {"matrix": 0.0, "vector": 0.0, "wait": cycles - sum(x.cycles for x in layers)}
    layers_mj = []
    for layer in layers:
        mine = {"matrix" if layer.op in _MATRIX else "vector": layer.busy, "wait": layer.cycles - layer.busy}
        layers_mj.append(sum(n * per_cycle[state] for state, n in mine.items()))
        for state, n in mine.items():
            states[state] += n
    by_state = {state: n * per_cycle[state] for state, n in states.items()}
    total = sum(by_state.values())
    return Energy(
        mj=total,
        pj_per_mac=total * 1e9 / macs if macs else 0.0,
        volts=point.millivolts / 1000,
        layers_mj=tuple(layers_mj),
        by_state_mj=MappingProxyType(by_state),
    )
