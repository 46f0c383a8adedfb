"""Ranges of all activations over the calibration samples, one sample in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dory.errors import UserError
from dory.quantize.data import Sample
from dory.quantize.float_model import FloatModel
from dory.quantize.runtime import Runner, quiet

Method = Literal["minmax", "percentile", "entropy"]
METHODS: tuple[Method, ...] = ("minmax", "percentile", "entropy")
BINS = {"percentile": 4096, "entropy": 1024}
"""Bins of a histogram that is symmetric around 0. The time of the entropy search grows with their square."""
LEVELS = 512
"""Levels that the entropy search compares a clipped histogram with: 256 on either side of 0, for uint8."""
ENOUGH = 4096
"""Values from which on a histogram says more than the extremes; smaller activations, such as scores, keep theirs."""
Ranges = dict[str, tuple[np.float32, np.float32]]
Count = Callable[[int, int], None]


@dataclass(frozen=True)
class Settings:
    """How ranges are chosen. percentile is the share of values, in per cent, that is not clipped."""

    method: Method = "minmax"
    percentile: float = 99.999


def find_ranges(
    model: FloatModel,
    samples: Sequence[Sample],
    settings: Settings,
    stage: Callable[[str], None],
    count: Count,
) -> Ranges:
    """(lowest, highest) of every float activation; percentile and entropy take a second pass, for histograms.

    UserError, naming the sample, when the network computes values that are not finite.
    """
    stage("ranges")
    runner = Runner(model.model, model.where, model.activations)
    ranges: Ranges = {}
    sizes: dict[str, int] = {}
    for k, sample in enumerate(samples):
        found = runner(sample.read(), sample.name)
        for name in model.activations:
            values = found[name]
            if values.size == 0:
                continue
            low, high = np.float32(values.min()), np.float32(values.max())
            if not (np.isfinite(low) and np.isfinite(high)):
                raise UserError(
                    f"'{name}' is not finite on {sample.name}",
                    where=model.where,
                    hint="check the preprocessing (--preprocess) and the network's weights",
                )
            sizes[name] = sizes.get(name, 0) + values.size
            old = ranges.get(name, (low, high))
            ranges[name] = (min(old[0], low), max(old[1], high))
        count(k + 1, len(samples))
    if settings.method == "minmax":
        return ranges
    stage("histograms")
    large = {name: ends for name, ends in ranges.items() if sizes[name] >= ENOUGH}
    return ranges | (_histogram_ranges(runner, model, samples, settings, large, count) if large else {})


def _histogram_ranges(
    runner: Runner,
    model: FloatModel,
    samples: Sequence[Sample],
    settings: Settings,
    extremes: Ranges,
    count: Count,
) -> Ranges:
    from onnxruntime.quantization.calibrate import HistogramCollector

    collector = HistogramCollector(
        method=settings.method,
        symmetric=False,
        num_bins=BINS[settings.method],
        num_quantized_bins=LEVELS,
        percentile=settings.percentile,
        scenario="same",
    )
    with quiet():
        # The extremes first: they fix the bins. A histogram that begins with a dark image would grow without bound.
        collector.collect({name: np.array(ends, np.float32) for name, ends in extremes.items()})
        for k, sample in enumerate(samples):
            found = runner(sample.read(), sample.name)
            collector.collect({name: [found[name].astype(np.float32)] for name in extremes})
            count(k + 1, len(samples))
        with np.errstate(all="ignore"):
            results = collector.compute_collection_result()
    ranges: Ranges = {}
    for name, ends in extremes.items():
        low, high = (np.float32(v) for v in results[name][:2])
        if settings.method == "percentile":  # the collector gives the lower edge of the bin that holds it
            high = np.float32(high + 2 * max(abs(ends[0]), abs(ends[1])) / BINS["percentile"])
        found_none = not (np.isfinite(low) and np.isfinite(high)) or low >= high
        ranges[name] = ends if found_none else (max(low, ends[0]), min(high, ends[1]))
    return ranges
