"""What `quantize` prints: the worst layers first, accuracy, and whether deploy takes the result."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dory.report.deployment import plain_console
from dory.report.tables import fitted

if TYPE_CHECKING:
    from dory.quantize.run import Quantised
    from dory.quantize.sqnr import LayerError

WORST = 12
"""Rows of the table; --json has all."""
TITLES = ("layer", "operator", "output", "SQNR dB", "rms LSB", "alone dB", "lowest", "highest", "scale", "clipped")


def as_dict(q: Quantised, output: Path | None) -> dict[str, Any]:
    """Everything, for programs; SQNR in dB, null when there is no error."""
    return {
        "schema": 1,
        "source": str(q.source),
        "output": str(output) if output else None,
        "calibration": {
            "data": str(q.calibration),
            "samples": q.samples,
            "preprocessing": q.preprocessing,
            **asdict(q.settings),
        },
        "float_bytes": q.float_bytes,
        "quantised_bytes": len(q.data),
        "accuracy": asdict(q.accuracy) if q.accuracy else None,
        "deploy": {"accepted": q.layers is not None, "layers": q.layers, "reason": q.refused or None},
        "layers": [_finite(asdict(e)) for e in q.errors],
        "notes": list(q.notes),
        "wall_s": round(q.wall_s, 3),
    }


def as_json(q: Quantised, output: Path | None) -> str:
    """The same as text."""
    return json.dumps(as_dict(q, output), indent=1) + "\n"


def _finite(layer: dict[str, Any]) -> dict[str, Any]:
    """-inf dB (an error where there is no signal) has no JSON."""
    return {k: -999.0 if isinstance(v, float) and math.isinf(v) else v for k, v in layer.items()}


def print_quantised(q: Quantised, output: Path) -> None:
    """For a person."""
    console = plain_console()
    shown = q.errors[:WORST]
    spare = [TITLES.index(t) for t in ("scale", "output", "operator", "lowest", "highest")]
    console.print(fitted(console, TITLES, [_row(e) for e in shown], left=(0, 1), spare=spare))
    if len(q.errors) > WORST:
        console.print(f"and {len(q.errors) - WORST} layers with less error (--json has all)")
    console.print()
    for line in summary(q):
        console.print(line)
    console.print(
        f"{output}: {len(q.data) / 1000:.0f} kB, was {q.float_bytes / 1000:.0f} kB; next: dory deploy {output}"
    )


def summary(q: Quantised) -> list[str]:
    """Lines that `deploy` prints too."""
    s = q.settings
    method = f"{s.method} {s.percentile:g} %" if s.method == "percentile" else s.method
    lines = [
        f"calibrated on {q.samples} samples of {q.calibration}, ranges by {method}; preprocessing: {q.preprocessing}"
    ]
    outputs = [f"{e.value} {decibels(e.sqnr_db)} dB" for e in q.errors if e.output]
    if outputs:
        lines.append(f"SQNR of the outputs: {', '.join(sorted(outputs))}")
    if q.accuracy:
        a = q.accuracy
        before, after = (n / a.samples for n in (a.float_right, a.quantised_right))
        lines.append(
            f"accuracy on {a.samples} labelled samples of {a.source}: float {before:.2%}, quantised {after:.2%}"
        )
    lines += [f"note: {note}" for note in q.notes]
    if q.refused:
        lines.append(f"note: dory deploy does not accept the result: {q.refused}")
    return lines


def decibels(value: float | None) -> str:
    """'38.1'; 'exact' without any error."""
    return "exact" if value is None else f"{value:.1f}"


def _row(e: LayerError) -> list[str]:
    clipped = "" if not e.clipped else f"{e.clipped:.2%}" if e.clipped >= 5e-5 else "<0.01%"
    name = e.layer if len(e.layer) <= 28 else f"...{e.layer[-25:]}"
    return [
        f"{name} *" if e.output else name,
        e.op,
        "x".join(map(str, e.shape)),
        decibels(e.sqnr_db),
        f"{e.rms_lsb:.2f}",
        decibels(e.rounding_db),
        f"{e.lowest:.4g}",
        f"{e.highest:.4g}",
        f"{e.scale:.3g}",
        clipped,
    ]
