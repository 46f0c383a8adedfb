"""What `diff` prints: two estimates side by side, layer by layer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from dory.report.deployment import plain_console, where
from dory.report.estimate import LABELS, Report, as_dict, notes
from dory.report.tables import fitted
from dory.sim.model.network import LayerEstimate

Pair = tuple[int | None, int | None]

# Rows of the summary: title, key in the JSON's network, format.
SUMMARY: tuple[tuple[str, str, str], ...] = (
    ("cycles", "cycles", "d"),
    ("milliseconds", "ms", ".3f"),
    ("mJ", "mj", ".3f"),
    ("MAC", "macs", "d"),
    ("MAC/cycle", "mac_per_cycle", ".2f"),
    ("L1 B, most", "l1_peak_bytes", "d"),
    ("L2 B, data", "l2_peak_bytes", "d"),
    ("L2-L1 traffic B", "dma_bytes", "d"),
    ("L3 read B", "l3_bytes_read", "d"),
    ("L3 written B", "l3_bytes_written", "d"),
)


@dataclass(frozen=True)
class Side:
    """One of the two, and what the user called it."""

    label: str
    report: Report

    @property
    def layers(self) -> tuple[LayerEstimate, ...]:
        """Of the estimate."""
        return self.report.estimate.layers


def match(a: Side, b: Side) -> list[Pair]:
    """Indices of layers that belong together, in order; None where only one side has the layer.

    Equal names match; between them, layers of one operator do, in order.
    """
    matcher = SequenceMatcher(None, [x.layer.name for x in a.layers], [x.layer.name for x in b.layers], autojunk=False)
    out: list[Pair] = []
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag == "equal":
            out += zip(range(i, i_end), range(j, j_end), strict=True)
            continue
        ops = SequenceMatcher(
            None, [x.layer.op for x in a.layers[i:i_end]], [x.layer.op for x in b.layers[j:j_end]], autojunk=False
        )
        for same, m, m_end, n, n_end in ops.get_opcodes():
            if same == "equal":
                out += zip(range(i + m, i + m_end), range(j + n, j + n_end), strict=True)
            else:
                out += [(k, None) for k in range(i + m, i + m_end)] + [(None, k) for k in range(j + n, j + n_end)]
    return out


def as_json(a: Side, b: Side) -> str:
    """Both networks in the schema of `estimate`, and the layers in pairs (null where one side has none)."""
    sides = {"a": as_dict(a.report), "b": as_dict(b.report)}
    layers = {key: side.pop("layers") for key, side in sides.items()}
    pairs = [
        {
            "a": layers["a"][i] if i is not None else None,
            "b": layers["b"][j] if j is not None else None,
            "cycles": (layers["b"][j]["cycles"] if j is not None else 0)
            - (layers["a"][i]["cycles"] if i is not None else 0),
        }
        for i, j in match(a, b)
    ]
    change = {key: _change(sides["a"]["network"][key], sides["b"]["network"][key]) for _, key, _ in SUMMARY}
    body = {"schema": 1, **sides, "labels": {"a": a.label, "b": b.label}, "change": change, "layers": pairs}
    return json.dumps(body, indent=1) + "\n"


def _change(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else b - a


def print_diff(a: Side, b: Side) -> None:
    """Layers, then the network; a negative change means that B takes less."""
    console = plain_console()
    console.print(f"A: {_describe(a)}")
    console.print(f"B: {_describe(b)}")
    console.print()
    titles = [
        "layer",
        "operator",
        "cycles A",
        "cycles B",
        "change",
        "",
        "most of it",
        "tile A",
        "tile B",
        "L1 A",
        "L1 B",
    ]
    pairs = [(a.layers[i] if i is not None else None, b.layers[j] if j is not None else None) for i, j in match(a, b)]
    rows = [_layer_row(x, y) for x, y in pairs]
    console.print(fitted(console, titles, rows, left=(0, 1, 6), spare=(1, 9, 10, 7, 8, 6)))
    console.print()
    rows = []
    ours, theirs = as_dict(a.report)["network"], as_dict(b.report)["network"]
    for title, key, form in SUMMARY:
        one, two = ours[key], theirs[key]
        if one is not None and two is not None:
            delta = format(two - one, f"+{form}") if two != one else "="
            rows.append([title, format(one, form), format(two, form), delta, _percent(one, two)])
    for cause, label in LABELS.items():
        one, two = ours["cycles_by_cause"][cause], theirs["cycles_by_cause"][cause]
        rows.append([f"  {label}", str(one), str(two), f"{two - one:+d}" if two != one else "=", _percent(one, two)])
    console.print(fitted(console, ["network", "A", "B", "change", ""], rows))
    for side, name in ((a, "A"), (b, "B")):
        for note in notes(side.report):
            console.print(f"note: {name}: {note}")


def _describe(side: Side) -> str:
    e = side.report.estimate
    clocks = f"FC {e.params.fc_khz / 1000:g} MHz, cluster {e.params.cluster_khz / 1000:g} MHz"
    return f"{side.label}: {e.plan.network} on {side.report.target}, {clocks}, {e.plan.cores} cores"


def _layer_row(a: LayerEstimate | None, b: LayerEstimate | None) -> list[str]:
    known = a or b
    assert known is not None
    op = known.layer.op if not (a and b) or a.layer.op == b.layer.op else f"{a.layer.op} -> {b.layer.op}"
    row = [known.layer.name[:28], op]
    row += [str(x.cycles) if x else "-" for x in (a, b)]
    if a and b:
        change = f"{b.cycles - a.cycles:+d}" if a.cycles != b.cycles else "="
        row += [change, _percent(a.cycles, b.cycles), _main_cause(a, b)]
    else:
        row += ["only A" if a else "only B", "", ""]
    row += _both(a, b, lambda x: "in L2" if x.layer.direct else "x".join(map(str, x.layer.tile)))
    row += _both(a, b, lambda x: str(x.layer.l1_bytes))
    return row


def _main_cause(a: LayerEstimate, b: LayerEstimate) -> str:
    """The cause that changed most, and what else changed in where the data are."""
    deltas: Mapping[str, int] = {c: b.by_cause[c] - a.by_cause[c] for c in LABELS}
    cause = max(deltas, key=lambda c: abs(deltas[c]))
    moved = f"{where(a.layer)} -> {where(b.layer)}" if where(a.layer) != where(b.layer) else ""
    return ", ".join(x for x in (f"{LABELS[cause]} {deltas[cause]:+d}" if deltas[cause] else "", moved) if x)


def _both(a: LayerEstimate | None, b: LayerEstimate | None, text: Callable[[LayerEstimate], str]) -> list[str]:
    """The text of both sides; the second one only where it differs."""
    one, two = (text(x) if x else "-" for x in (a, b))
    return [one, "=" if one == two else two]


def _percent(a: float, b: float) -> str:
    if a == b:
        return ""
    return f"{(b - a) / a:+.1%}" if a else "new"
