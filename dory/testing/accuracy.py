"""The cycle model held against the simulator, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from dory.errors import PlanError
from dory.sim.iss.params import IssParams
from dory.sim.model.network import estimate
from dory.targets import Target
from dory.testing.measure import Measured, measure
from dory.testing.random_layers import KINDS, random_layers
from dory.tiler.tiles import Chooser

SEED = 7_000_000
"""First seed of the layers that the model is judged by; calibration never sees them."""
PER_NETWORK = 8
L1_SHARES = (0.15, 0.25, 0.4, 0.7, 1.0)


@dataclass(frozen=True)
class Pair:
    """Cycles of a layer or a network; shape says what of."""

    op: str
    shape: str
    estimated: int
    measured: int

    @property
    def error(self) -> float:
        """Relative to the measured cycles, signed."""
        return self.estimated / self.measured - 1


@dataclass(frozen=True)
class Compared:
    """A network: its layers and its total."""

    total: Pair
    layers: tuple[Pair, ...]


@dataclass(frozen=True)
class Spread:
    """Absolute relative errors of n pairs."""

    n: int
    mean: float
    p95: float
    worst: float


def spread(pairs: Iterable[Pair]) -> Spread:
    """ValueError without any."""
    errors = np.abs([p.error for p in pairs])
    return Spread(len(errors), float(errors.mean()), float(np.quantile(errors, 0.95)), float(errors.max()))


def compare(model: onnx.ModelProto | Path, target: Target, name: str) -> Compared:
    """Deploy, simulate (needs the cross compiler), and estimate the same plan."""
    return compared(measure(model, target, kernels=False), IssParams.of(target), name)


def compared(run: Measured, params: IssParams, name: str) -> Compared:
    """A finished simulation and the estimate of its plan."""
    guess = estimate(run.plan, params)
    layers = []
    for mine, theirs in zip(guess.layers, run.layers, strict=True):
        plan = theirs.layer
        shape = f"{_x(plan.inputs[0].shape)} -> {_x(plan.output.shape)}, tile {_x(plan.tile)}"
        layers.append(Pair(plan.op, shape, mine.cycles, theirs.cycles))
    return Compared(Pair(name, run.plan.network, guess.cycles, run.cycles), tuple(layers))


def random_networks(
    count: int, first_seed: int, target: Target, some: Sequence[str] = tuple(KINDS)
) -> list[tuple[onnx.ModelProto, Target]]:
    """Networks with `count` random layers in all, some kinds equally often, each with a random L1 budget."""
    rng = np.random.default_rng(first_seed)
    kinds = [some[i % len(some)] for i in range(count)]
    rng.shuffle(kinds)
    out = []
    for i in range(0, count, PER_NETWORK):
        l1 = int(target.l1_budget * rng.choice(L1_SHARES))
        out.append((random_layers(first_seed + i, tuple(kinds[i : i + PER_NETWORK])), replace(target, l1_budget=l1)))
    return out


def measure_in(
    net: onnx.ModelProto,
    target: Target,
    full: Target,
    *,
    kernels: bool = True,
    rescale_bits: int = 15,
    chooser: Chooser | None = None,
) -> Measured:
    """Measured on `target`, or with the next larger budgets that hold the network; `full` has all of L1."""
    while True:
        try:
            return measure(net, target, kernels=kernels, rescale_bits=rescale_bits, chooser=chooser)
        except PlanError:
            if target.l1_budget >= full.l1_budget:
                target = replace(target, l2_budget=target.l2_budget * 5 // 4)
            target = replace(target, l1_budget=min(target.l1_budget * 2, full.l1_budget))


def compare_random(count: int, target: Target, first_seed: int = SEED) -> list[Pair]:
    """Pairs of `count` random layers."""
    out: list[Pair] = []
    for net, tight in random_networks(count, first_seed, target):
        out += compared(measure_in(net, tight, target, kernels=False), IssParams.of(target), net.graph.name).layers
    return out


def _x(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
