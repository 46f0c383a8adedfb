"""Self-contained pages: style, data and scripts inside the file, nothing to load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jinja2

from dory import __version__
from dory.plan import L2Buffer, Plan
from dory.report.deployment import where
from dory.report.estimate import LABELS, Report, notes, percent
from dory.sim.iss.params import IssParams
from dory.sim.model.events import Span
from dory.sim.model.laws import ram_fc_cycles
from dory.sim.model.network import Estimate, LayerEstimate

MAC_PER_CORE = 4
"""A core's most multiply-accumulates in a cycle: one sum of four 8-bit products."""
MOST_SPANS = 900
"""Events of a layer's timeline in a page; a layer with thousands of tiles repeats itself."""
_BLOCK = 32768  # bytes of the RAM transfer that gives the roofline's L3 bandwidth


class Tile(NamedTuple):
    """A headline figure; share fills a meter."""

    title: str
    value: str
    unit: str
    note: str
    share: float | None = None


def render(template: str, **values: Any) -> str:
    """A page from a template of this package; text is escaped."""
    env = jinja2.Environment(
        loader=jinja2.PackageLoader("dory.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return env.get_template(template).render(version=__version__, **values)


def estimate_page(report: Report) -> str:
    """The page of an estimate that was made with its timeline."""
    e = report.estimate
    columns = ["layer", "operator", "cycles", "share", "MAC/cycle", *LABELS.values()]
    columns += [*(["uJ"] if report.energy else []), "output", "tile", "tiles", "L1 B", "L2-L1 B", "L3 B", "from"]
    return render(
        "estimate.html.j2",
        data=_data(report),
        tiles=_tiles(report),
        columns=columns,
        rows=[_row(report, i) for i in range(len(e.layers))],
        total=_total(report),
        notes=[*notes(report), *e.plan.notes],
    )


def _tiles(report: Report) -> list[list[Tile]]:
    """Two rows: the inference, the memories."""
    e, power = report.estimate, report.energy
    plan = e.plan
    l2 = plan.l2_bytes + plan.l2_code
    rate = plan.macs / e.cycles if e.cycles else 0.0
    per_second = 1000 / e.milliseconds if e.cycles else 0.0
    out = [
        Tile("time", f"{e.milliseconds:.3f}", "ms", f"{per_second:,.1f} a second"),
        Tile("cycles", f"{e.cycles:,}", "", "of the cluster"),
        Tile("throughput", f"{rate:.2f}", "MAC/cycle", f"{plan.macs / 1e6:,.2f} MMAC"),
    ]
    if power:
        out.append(Tile("energy", f"{power.mj:.3f}", "mJ", f"{power.pj_per_mac:.1f} pJ/MAC at {power.volts:g} V"))
    memories = [
        ("L1", plan.l1_bytes, plan.l1_budget),
        ("L2", l2, plan.l2_budget),
        ("L3", plan.l3_bytes, plan.l3_budget),
    ]
    return [out, [_meter(*m) for m in memories]]


def _meter(name: str, used: int, budget: int) -> Tile:
    value, unit = (f"{used / 1e6:.2f}", "MB") if used >= 1e6 else (f"{used / 1000:.1f}", "kB")
    whole = f"{budget / 1e6:.1f} MB" if budget >= 1e6 else f"{budget / 1000:.0f} kB"
    return Tile(name, value, unit, f"{used / budget:.0%} of {whole}", min(used / budget, 1.0))


def _row(report: Report, i: int) -> list[str]:
    e = report.estimate
    x = e.layers[i]
    layer = x.layer
    return [
        layer.name,
        layer.op,
        f"{x.cycles:,}",
        f"{x.cycles / max(e.cycles, 1):.1%}",
        f"{x.mac_per_cycle:.2f}" if layer.macs else "",
        *(percent(x.by_cause[c], x.cycles) for c in LABELS),
        *([f"{report.energy.layers_mj[i] * 1000:,.1f}"] if report.energy else []),
        _shape(layer.output.shape),
        "in L2" if layer.direct else _shape(layer.tile),
        f"{x.tiles:,}",
        f"{layer.l1_bytes:,}",
        f"{x.dma_bytes:,}",
        f"{x.l3_read + x.l3_written:,}",
        where(layer),
    ]


def _total(report: Report) -> list[str]:
    e, plan = report.estimate, report.estimate.plan
    rate = plan.macs / e.cycles if e.cycles else 0.0
    causes = [percent(e.by_cause[c], e.cycles) for c in LABELS]
    energy = [f"{report.energy.mj * 1000:,.1f}"] if report.energy else []
    sums = [sum(x.tiles for x in e.layers), plan.l1_bytes, sum(x.dma_bytes for x in e.layers)]
    sums.append(sum(x.l3_read + x.l3_written for x in e.layers))
    return ["all", "", f"{e.cycles:,}", "100%", f"{rate:.2f}", *causes, *energy, "", "", *(f"{n:,}" for n in sums), ""]


def _data(report: Report) -> dict[str, Any]:
    """What the page's script draws; see templates/estimate.js.j2."""
    e = report.estimate
    return {
        "name": e.plan.network,
        "target": report.target,
        "fc_mhz": e.params.fc_khz / 1000,
        "cluster_mhz": e.params.cluster_khz / 1000,
        "cores": e.plan.cores,
        "cycles": e.cycles,
        "ms": e.milliseconds,
        "causes": [[c, label] for c, label in LABELS.items()],
        "cause_totals": [e.by_cause[c] for c in LABELS],
        "layers": [_layer(x) for x in e.layers],
        "roof": _roof(e.params, e.plan.cores),
        "memory": _memory(e.plan),
        **_timelines(e),
    }


def _layer(x: LayerEstimate) -> dict[str, Any]:
    causes = [x.by_cause[c] for c in LABELS]
    return {
        "name": x.layer.name,
        "op": x.layer.op,
        "macs": x.layer.macs,
        "begin": x.begin,
        "cycles": x.cycles,
        "causes": causes,
        "main": causes.index(max(causes)),
        "tile": _shape(x.layer.tile),
        "tiles": x.tiles,
        "dma_bytes": x.dma_bytes,
        "l3_bytes": x.l3_read + x.l3_written,
    }


def _roof(p: IssParams, cores: int) -> dict[str, float]:
    """Ceilings: MAC per cycle, bytes per cluster cycle between L2 and L1 (both directions) and from L3."""
    l3 = _BLOCK / (ram_fc_cycles(p.ram_read_cl, _BLOCK) * p.cluster_khz / p.fc_khz)
    return {"peak": MAC_PER_CORE * cores, "dma": 2 * p.dma_bytes_per_cycle, "l3": l3}


def _memory(plan: Plan) -> dict[str, Any]:
    names = {"activation": "activations", "weights": "weights", "stripe": "stripes of tensors in L3"}
    kinds = [[k, text] for k, text in names.items() if any(b.kind == k for b in plan.l2)]
    buffers = []
    for b in plan.l2:
        label, name = _buffer_names(plan, b)
        place = {"kind": b.kind, "offset": b.offset, "bytes": b.copies * b.stride, "first": b.first, "last": b.last}
        buffers.append({"label": label, "name": name, **place})
    code = ["code", "code and tables"]
    return {"budget": plan.l2_budget, "code": plan.l2_code, "kinds": [*kinds, code], "buffers": buffers}


def _buffer_names(plan: Plan, buffer: L2Buffer) -> tuple[str, str]:
    """A short and a full name, from the layers that a buffer belongs to."""
    if buffer.kind == "weights":
        owners = [x.name for x in plan.layers if x.weights and x.weights.l2_buffer == buffer.name]
        return (f"w {owners[0]}", f"weights of {owners[0]}") if len(owners) == 1 else ("w", f"weights: {buffer.name}")
    for layer in plan.layers:
        if layer.output.l2_buffer == buffer.name:
            return layer.name, f"output of {layer.name}, {layer.output.tensor}"
    for layer in plan.layers:
        for x in layer.inputs:
            if x.l2_buffer == buffer.name:
                return x.tensor, f"{x.tensor}, read by {layer.name}"
    return buffer.name, buffer.name


def _timelines(e: Estimate) -> dict[str, Any]:
    """Events per layer as (kind, begin in the layer, length, label), those of L3 for the whole network."""
    kinds: dict[str, int] = {}
    labels: dict[str, int] = {}

    def pack(span: Span, begin: float) -> list[float]:
        kind = kinds.setdefault(span.kind, len(kinds))
        label = labels.setdefault(span.label, len(labels))
        return [kind, round(span.begin - begin), round(span.end - span.begin), label]

    own: list[list[list[float]]] = []
    cut: list[int] = []
    for x in e.layers:
        spans = [s for s in x.spans if not s.kind.startswith("RAM")]
        cut.append(len(spans) if len(spans) > MOST_SPANS else 0)
        own.append([pack(s, x.begin) for s in spans[:MOST_SPANS]])
    ram = [pack(s, 0) for x in e.layers for s in x.spans if s.kind.startswith("RAM")]
    return {"spans": own, "cut": cut, "ram": ram, "kinds": _names(kinds), "labels": _names(labels)}


def _names(index: Mapping[str, int]) -> Sequence[str]:
    return list(index)  # numbered in the order of insertion


def _shape(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))
