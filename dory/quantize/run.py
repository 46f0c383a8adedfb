"""Float ONNX to QDQ ONNX as one readable function: prepare, calibrate, quantise, measure."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx

from dory import frontend
from dory.errors import UserError
from dory.frontend.round_weights import LAYERS, round_weights
from dory.quantize import accuracy, float_model, preprocess, qdq, sqnr
from dory.quantize.accuracy import Accuracy
from dory.quantize.calibrate import Ranges, Settings, find_ranges
from dory.quantize.data import Feeds, Samples, open_samples, with_labels
from dory.quantize.float_model import FloatModel
from dory.quantize.runtime import require
from dory.quantize.sqnr import LayerError

FEW = 32
"""Fewer samples than this get a note."""


class Reporter(Protocol):
    """Told of every stage, and within long ones of how far they are; dory.report.progress.Progress is one."""

    def __call__(self, stage: str) -> None: ...

    def count(self, done: int, total: int, what: str) -> None: ...


@dataclass(frozen=True)
class Options:
    """Where the calibration data is and how it is used.

    `samples` limits how many are used for the ranges; `labels` is a CSV for the calibration data, or for `test`, which
    is only measured. `weights`: bits of layers' weights other than 8, by name; "" stands for all that are not named.
    """

    calibration: Path
    preprocess: Path | None = None
    settings: Settings = field(default_factory=Settings)
    samples: int | None = None
    labels: Path | None = None
    test: Path | None = None
    weights: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Quantised:
    """The QDQ network and what is known about it; `example` is the first sample, by input name.

    `layers` is how many layers deploy makes of it, None when deploy refuses it for the reason `refused`.
    """

    source: Path
    model: onnx.ModelProto
    samples: int
    calibration: Path
    preprocessing: str
    settings: Settings
    errors: tuple[LayerError, ...]
    accuracy: Accuracy | None
    layers: int | None
    refused: str
    notes: tuple[str, ...]
    float_bytes: int
    example: Feeds
    wall_s: float = 0.0

    @property
    def data(self) -> bytes:
        """The file."""
        data: bytes = self.model.SerializeToString(deterministic=True)
        return data


def quantize(path: Path, options: Options, report: Reporter) -> Quantised:
    """Quantise a float network. Raises UserError; writes nothing."""
    start = time.perf_counter()
    require("onnxruntime", "onnxruntime", "quantize")
    report("prepare")
    how = preprocess.load(options.preprocess) if options.preprocess else preprocess.Preprocess()
    model = float_model.load(path)
    samples, tests = _open(model, options, how)
    used = samples.some(options.samples)

    def count(done: int, total: int) -> None:
        report.count(done, total, "samples")

    ranges = find_ranges(model, used, options.settings, report, count)
    known, skip = _known_ranges(model)
    ranges.update(known)
    notes = list(model.notes)
    if samples.pixels:
        lo, hi = how.bounds()
        ranges[model.inputs[0].name] = (np.float32(min(lo, 0.0)), np.float32(max(hi, 0.0)))
    if len(used) < FEW:
        notes.append(f"{len(used)} samples are few: values outside the ranges seen on them will be clipped")
    report("quantise")
    made = _with_fewer_bits(qdq.quantised(model, ranges), options.weights, str(path))
    report("errors")
    errors = sqnr.measure(model, made, Samples(samples.source, used).some(sqnr.MOST_SAMPLES), count, skip)
    scores = None
    if tests.labelled:
        report("accuracy")
        scores = accuracy.measure(model, made, tests.labelled, str(tests.source), count)
    report("check")
    layers, refused = _deployable(path, made)
    uses_pixels = any(s.pixels for s in samples.items) or options.preprocess
    return Quantised(
        source=path,
        model=made,
        samples=len(used),
        calibration=options.calibration,
        preprocessing=how.describe() if uses_pixels else "none (arrays)",
        settings=options.settings,
        errors=errors,
        accuracy=scores,
        layers=layers,
        refused=refused,
        notes=tuple(notes),
        float_bytes=path.stat().st_size,
        example=used[0].read(),
        wall_s=time.perf_counter() - start,
    )


def _with_fewer_bits(model: onnx.ModelProto, weights: Mapping[str, int], where: str) -> onnx.ModelProto:
    """The model with the weights of some layers rounded; "" stands for all that are not named."""
    bits = {}
    if "" in weights:
        bits = {n.name or n.output[0]: weights[""] for n in model.graph.node if n.op_type in LAYERS}
    bits |= {name: b for name, b in weights.items() if name}
    return round_weights(model, {name: b for name, b in bits.items() if b < 8}, where)


def _open(model: FloatModel, options: Options, how: preprocess.Preprocess) -> tuple[Samples, Samples]:
    """(calibration samples, samples to measure accuracy on)."""
    samples = open_samples(options.calibration, model.inputs, how)
    tests = open_samples(options.test, model.inputs, how) if options.test else samples
    if options.labels:
        tests = with_labels(tests, accuracy.read_labels(options.labels), options.labels)
    elif options.test and not tests.labelled:
        raise UserError("has no labels", where=str(options.test), hint="--labels FILE.csv, or labels in the .npz")
    return samples, tests


LIMITS = {"Sigmoid": (6.5, 0.0, 1.0), "Tanh": (3.5, -1.0, 1.0)}
"""Function: (largest |x| at which its 8-bit result still changes, lowest, highest result)."""


def _known_ranges(model: FloatModel) -> tuple[Ranges, frozenset[str]]:
    """Ranges that hold for all data: results of saturating functions, and inputs that nothing else reads.

    A network that was calibrated without a single collision can still report one. The second part names those inputs:
    clipping them changes no result.
    """
    graph = model.model.graph
    outputs = {o.name for o in graph.output}
    ranges: Ranges = {}
    inputs = set()
    for node in graph.node:
        if node.op_type not in LIMITS:
            continue
        limit, low, high = LIMITS[node.op_type]
        ranges[node.output[0]] = (np.float32(low), np.float32(high))
        x, seen = node.input[0], set()
        while x not in outputs and sum(list(n.input).count(x) for n in graph.node) == 1:
            ranges[x] = (np.float32(-limit), np.float32(limit))
            seen.add(x)
            maker = next((n for n in graph.node if x in n.output), None)
            if maker is None or maker.op_type not in sqnr.VIEWS:
                break
            x = maker.input[0]
        inputs |= seen
    return ranges, frozenset(inputs)


def _deployable(path: Path, model: onnx.ModelProto) -> tuple[int | None, str]:
    """(layers of the integer graph, "") or (None, why deploy refuses the network)."""
    with tempfile.TemporaryDirectory(prefix="dory-") as folder:
        file = Path(folder) / path.name
        file.write_bytes(model.SerializeToString())
        try:
            return len(frontend.load(file).nodes), ""
        except UserError as e:
            where = e.where.replace(str(file), "").lstrip(": ")
            return None, f"{where}: {e.message}" if where else e.message
