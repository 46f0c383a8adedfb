"""What `estimate` prints: cycles, time, energy and causes per layer, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dory.errors import UserError
from dory.report.deployment import memory_lines, plain_console
from dory.report.tables import fitted
from dory.sim.iss.result import TraceEvent
from dory.sim.model.energy import Energy, energy
from dory.sim.model.network import Estimate
from dory.targets import Power

LABELS: Mapping[str, str] = {
    "compute": "compute",
    "imbalance": "imbalance",
    "dma": "DMA exposed",
    "l3": "L3 exposed",
    "overhead": "overhead",
}
"""What people read for each cause of the model."""
TITLES = ("compute", "imbal.", "DMA", "L3", "overhead")
"""The same over the columns of a table."""


@dataclass(frozen=True)
class Report:
    """An estimate, the target's name, and its energy; `energy_note` says why there is none."""

    estimate: Estimate
    target: str
    energy: Energy | None
    energy_note: str

    @classmethod
    def of(cls, estimate: Estimate, target: str, power: Power) -> Report:
        """Without energy when the target has no operating point for the clocks."""
        try:
            return cls(estimate, target, energy(estimate, power), "")
        except UserError as e:
            return cls(estimate, target, None, e.message)


def as_dict(report: Report) -> dict[str, Any]:
    """The schema that `estimate` and `simulate` share; bytes, cycles of the cluster, mJ."""
    e, power = report.estimate, report.energy
    plan, params = e.plan, e.params
    layers = []
    for i, x in enumerate(e.layers):
        layers.append(
            {
                "name": x.layer.name,
                "op": x.layer.op,
                "macs": x.layer.macs,
                "cycles": x.cycles,
                "mac_per_cycle": x.mac_per_cycle,
                "cycles_by_cause": dict(x.by_cause),
                "mj": power.layers_mj[i] if power else None,
                "tile": dict(zip("hwc", x.layer.tile, strict=True)),
                "tiles": x.tiles,
                "l1_bytes": x.layer.l1_bytes,
                "dma_bytes": x.dma_bytes,
                "l3_bytes_read": x.l3_read,
                "l3_bytes_written": x.l3_written,
            }
        )
    return {
        "schema": 1,
        "target": report.target,
        "clocks_mhz": {"fc": params.fc_khz / 1000, "cluster": params.cluster_khz / 1000},
        "source": "model",
        "cores": plan.cores,
        "calibrated": e.calibrated,
        "network": {
            "name": plan.network,
            "macs": plan.macs,
            "cycles": e.cycles,
            "mac_per_cycle": plan.macs / e.cycles if e.cycles else 0.0,
            "ms": e.milliseconds,
            "mj": power.mj if power else None,
            "pj_per_mac": power.pj_per_mac if power else None,
            "mj_by_state": dict(power.by_state_mj) if power else None,
            "volts": power.volts if power else None,
            "cycles_by_cause": e.by_cause,
            "l1_peak_bytes": plan.l1_bytes,
            "l2_peak_bytes": plan.l2_bytes,
            "l2_code_bytes": plan.l2_code,
            "dma_bytes": sum(x.dma_bytes for x in e.layers),
            "l3_bytes_read": sum(x.l3_read for x in e.layers),
            "l3_bytes_written": sum(x.l3_written for x in e.layers),
        },
        "layers": layers,
        "notes": notes(report),
    }


def as_json(report: Report) -> str:
    """The same as text."""
    return json.dumps(as_dict(report), indent=1) + "\n"


def notes(report: Report) -> list[str]:
    """What a reader must know about the figures."""
    out = []
    if not report.estimate.calibrated:
        out.append(
            "this core timing was never measured: kernels cost what they cost on the calibrated target nearest to it"
        )
    if report.energy_note:
        out.append(f"no energy: {report.energy_note}")
    return out


def print_estimate(report: Report) -> None:
    """One line per layer, then the network."""
    console = plain_console()
    e, power = report.estimate, report.energy
    titles = ["layer", "operator", "cycles", "share", "MAC/cycle", *TITLES, "L3 B", *(["uJ"] if power else [])]
    rows = []
    for i, x in enumerate(e.layers):
        moved = x.l3_read + x.l3_written
        rows.append(
            [
                x.layer.name[:28],
                x.layer.op,
                str(x.cycles),
                f"{x.cycles / max(e.cycles, 1):.1%}",
                f"{x.mac_per_cycle:.2f}" if x.layer.macs else "",
                *(percent(x.by_cause[c], x.cycles) for c in LABELS),
                str(moved) if moved else "",
                *([f"{power.layers_mj[i] * 1000:.1f}"] if power else []),
            ]
        )
    spare = [titles.index(t) for t in ("operator", "L3 B", "imbal.", "overhead", "share")]
    table = fitted(console, titles, rows, left=(0, 1), spare=spare)
    console.print(table)
    console.print()
    causes = ", ".join(f"{LABELS[c]} {percent(n, e.cycles) or '0%'}" for c, n in e.by_cause.items())
    console.print(f"the inference: {causes}")
    for line in (*memory_lines(e.plan), *totals(report)):
        console.print(line)
    for note in notes(report):
        console.print(f"note: {note}")


def totals(report: Report) -> list[str]:
    """Cycles, time and energy of the inference."""
    e, power = report.estimate, report.energy
    fc, cluster = e.params.fc_khz / 1000, e.params.cluster_khz / 1000
    rate = e.plan.macs / e.cycles if e.cycles else 0.0
    lines = [
        f"estimated at FC {fc:g} MHz, cluster {cluster:g} MHz, {e.plan.cores} cores: {e.cycles} cluster cycles,"
        f" {e.milliseconds:.3f} ms, {rate:.2f} MAC/cycle"
    ]
    if power:
        lines.append(energy_line(power, e.plan.macs))
    return lines


def energy_line(power: Energy, macs: int) -> str:
    """Energy of an inference."""
    each = f", {power.pj_per_mac:.1f} pJ/MAC" if macs else ""
    return f"energy of cluster and SoC at {power.volts:.1f} V: {power.mj:.3f} mJ{each}"


def percent(part: float, whole: float) -> str:
    """'7%'; '<1%' for what is more than nothing, nothing for nothing."""
    share = part / whole if whole else 0.0
    if not part:
        return ""
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def trace_events(e: Estimate, start: float = 0.0) -> Iterable[TraceEvent]:
    """The estimate's timeline as the simulator's events, from cycle `start` on; core 0 stands for the team."""
    for i, x in enumerate(e.layers):
        begin = start + x.begin
        yield TraceEvent("layer", 0, begin, begin + x.cycles, f"{i} {x.layer.name}", 0)
        for s in x.spans:
            kind = "core" if s.kind == "compute" else s.kind
            label = f"{x.layer.kernel} {s.label}" if kind == "core" else s.label
            yield TraceEvent(kind, 0, start + s.begin, start + s.end, label, s.bytes)
