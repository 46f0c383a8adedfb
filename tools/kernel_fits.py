"""Fits of the closed forms of kernels to simulated tiles: what `make calibrate` does with its samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import nnls

from dory.layers import LAYERS
from dory.layers.cost import Work
from dory.plan import LayerPlan
from dory.sim.iss.params import IssParams
from dory.sim.model import coefficients as model
from dory.sim.model.network import blocks_in_order
from dory.sim.model.tiles import LayerTiles, Step
from dory.testing.measure import Measured

PLANNED = 12.0  # how much a tile of the planner's counts beside one at random
USUAL, SIZE_POWER, SIZE_WEIGHTS = 2000.0, 1.5, (0.2, 8.0)  # cycles of a tile; how its weight grows with them
COLD = 0.12  # a cold start is an expectation: a tile of whose cycles it is this share counts half


class _Recorder:
    """Stands for a kernel's cost: notes the features of every tile."""

    def __init__(self) -> None:
        self.samples: dict[Work, tuple[float, ...]] = {}

    def __call__(self, layer: LayerPlan, work: Work) -> int:
        if not work.even:
            operator = LAYERS[layer.op]
            self.samples[work] = operator.cost_features(layer, work)
        return 1 + len(self.samples)


def tiles_of(layer: LayerPlan, p: IssParams, cores: int) -> tuple[list[Step], list[tuple[float, ...]]]:
    """The layer's steps in order, and each one's features."""
    recorder = _Recorder()
    tiles = LayerTiles(layer, p, cores, recorder)
    steps = [s for block in blocks_in_order(layer) for s in tiles.steps(block)]
    samples = list(recorder.samples.values())
    return steps, [samples[s[0].cycles - 2] for s in steps]


def fit(
    rows: Sequence[Sequence[float]], cycles: Sequence[float], floors: Mapping[int, float], weights: Sequence[float]
) -> np.ndarray:
    """Coefficients >= 0, and not below the floors, that minimise the weighted relative error."""
    a, y = np.asarray(rows, float), np.asarray(cycles, float)
    scale = np.maximum(a.max(axis=0), 1e-9)
    least = np.array([floors.get(i, 0.0) for i in range(a.shape[1])])
    w = np.sqrt(np.asarray(weights, float))
    found, _ = nnls(a / scale * (w / y)[:, None], w * (1 - a @ least / y), maxiter=10_000)
    return found / scale + least


@dataclass
class Rows:
    """Measured tiles of one code path; cold: cycles for the kernel's lines that a tile finds missing in the cache."""

    features: list[tuple[float, ...]] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)
    cold: list[float] = field(default_factory=list)
    floors: Mapping[int, float] = field(default_factory=dict)
    weights: list[float] = field(default_factory=list)


def gather(samples: Iterable[Measured], p: IssParams, lines: Mapping[str, float]) -> dict[str, Rows]:
    """Some tiles of every layer, by code path."""
    rows: dict[str, Rows] = defaultdict(Rows)
    for run in samples:
        missing = model.missing(run.plan.layers, lines, p)
        for layer, (_, cold) in zip(run.layers, missing, strict=True):
            if layer.layer.subbyte:
                continue
            _, features = tiles_of(layer.layer, p, run.plan.cores)
            assert len(features) == len(layer.kernels), (layer.layer.op, len(features), len(layer.kernels))
            row, operator = rows[model.kernel_key(layer.layer)], LAYERS[layer.layer.op]
            row.floors = operator.cost_floors(operator.cost_variant(layer.layer))
            for i in _some(len(features)):
                row.features.append(features[i])
                row.cycles.append(layer.kernels[i])
                row.cold.append(cold * p.icache_miss if i == 0 else 0.0)
                weight = (PLANNED if run.planned else 1.0) * _size_weight(layer.kernels[i])
                row.weights.append(weight / (1 + (row.cold[-1] / (COLD * layer.kernels[i])) ** 2))
    return rows


def _size_weight(cycles: float) -> float:
    """Long tiles count more than short ones: a network's cycles are in them."""
    low, high = SIZE_WEIGHTS
    return min(max((cycles / USUAL) ** SIZE_POWER, low), high)


def fit_kernels(rows: Mapping[str, Rows]) -> dict[str, dict[str, Any]]:
    """Coefficients and quality of every code path."""
    out = {}
    for key, r in rows.items():
        a, y, cold = np.asarray(r.features), np.asarray(r.cycles, float), np.asarray(r.cold)
        found = fit(a, y - cold, r.floors, r.weights)
        out[key] = quality(found, (a @ found + cold) / y - 1)
    return dict(sorted(out.items()))


def quality(found: np.ndarray, error: np.ndarray) -> dict[str, Any]:
    """Coefficients as the file has them, and the relative errors of the tiles that they come from."""
    return {
        "coefficients": [round(float(c), 5) for c in found],
        "tiles": len(error),
        "mean_error": round(float(np.abs(error).mean()), 4),
        "p95_error": round(float(np.quantile(np.abs(error), 0.95)), 4),
    }


def _some(n: int) -> list[int]:
    """The first tile, a few others, the last: long layers would outweigh the rest."""
    return sorted({0, 1, n // 3, n // 2, n - 2, n - 1} & set(range(n)))


def unmeasured(rows: Mapping[str, Rows]) -> dict[str, list[int]]:
    """Features that no sample has, by code path: nothing is known about their cost."""
    out = {}
    for key, r in sorted(rows.items()):
        never = np.flatnonzero(np.asarray(r.features).max(axis=0) == 0).tolist()
        if never:
            out[key] = never
    return out


def fit_team(rows: Mapping[str, Rows], kernels: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Measured over predicted cycles on a smaller team, per code path."""
    out = {}
    for key, r in rows.items():
        if key in kernels:
            entry = kernels[key]
            predicted = np.asarray(r.features) @ entry["coefficients"] + np.asarray(r.cold)
            out[key] = round(float(np.median(np.asarray(r.cycles) / predicted)), 4)
    return out


def fit_cache(rows: Mapping[str, Rows], kernels: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[float, float]]:
    """What a small cache costs, per code path: cycles a tile and a factor, of tiles that are not a layer's first."""
    out = {}
    for key, r in rows.items():
        warm = np.asarray(r.cold) == 0
        if key in kernels and warm.sum() >= 5:
            predicted = (np.asarray(r.features) @ kernels[key]["coefficients"])[warm]
            measured = np.asarray(r.cycles, float)[warm]
            w = np.sqrt(np.asarray(r.weights, float)[warm]) / measured
            scale = np.array([1.0, predicted.mean()])
            a = np.stack([np.ones_like(predicted), predicted], axis=1) / scale
            found = nnls(a * w[:, None], (measured - predicted) * w)[0] / scale
            out[key] = (round(float(found[0]), 1), round(1 + float(found[1]), 4))
    return out
