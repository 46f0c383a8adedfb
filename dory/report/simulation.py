"""What `simulate` prints."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from dory.report.deployment import plain_console
from dory.report.estimate import energy_line
from dory.sim.application import LayerCycles, Simulation
from dory.sim.iss.listing import listing, render
from dory.sim.iss.result import Tally
from dory.sim.model.energy import Energy

# Columns of the table, and the simulator's causes that each adds up.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "issue": ("instructions",),
    "load-use": ("load-use",),
    "branch": ("branch",),
    "mul/div": ("multi-cycle", "misaligned"),
    "bank": ("bank conflict",),
    "icache": ("icache",),
    "L2": ("L2",),
    "DMA": ("DMA wait",),
    "L3": ("RAM wait",),
    "fork": ("call", "barrier"),
    "idle": ("idle",),
}


def shares(layer: LayerCycles) -> list[str]:
    """Percent of the layer's cycles by column, the mean over the cores."""
    total = max(sum(layer.by_cause.values()), 1.0)
    return [f"{sum(layer.by_cause[c] for c in causes) / total:.0%}" for causes in COLUMNS.values()]


def print_simulation(sim: Simulation, target: str, energy: Energy | None) -> None:
    """One line per layer, then the network."""
    console = plain_console()
    table = Table(box=None, pad_edge=False)
    for title in ("layer", "operator", "cycles", "MAC/cycle", *COLUMNS):
        table.add_column(title, justify="left" if title in ("layer", "operator") else "right", no_wrap=True)
    for layer in sim.layers:
        rate = f"{layer.mac_per_cycle:.2f}" if layer.macs else ""
        table.add_row(layer.name[:28], layer.op, str(layer.cycles), rate, *shares(layer))
    console.print(table)
    mhz = sim.params.cluster_khz / 1000
    fc = sim.params.fc_khz / 1000
    console.print()
    console.print(
        "shares of all cores' cycles: issue is one cycle an instruction; DMA and L3 are transfers that nothing hid"
    )
    console.print(
        f"{sim.plan.network} on {target}, FC {fc:g} MHz, cluster {mhz:g} MHz: {sim.cycles} cluster cycles,"
        f" {sim.cycles / mhz / 1000:.3f} ms, {sim.plan.macs / sim.cycles:.2f} MAC/cycle"
    )
    if energy:
        console.print(energy_line(energy, sim.plan.macs))
    console.print("two inferences in a row, every layer equal to the reference")


def print_profile(sim: Simulation) -> None:
    """The functions of each layer that take more than one percent of it."""
    console = plain_console()
    last = sim.run.layers[-len(sim.layers) :]
    for layer, marks in zip(sim.layers, last, strict=True):
        total = sum(t.busy for t in marks.functions.values()) or 1
        table = Table(title=f"{layer.name} ({layer.op})", title_justify="left", box=None, pad_edge=False)
        for title in ("function", "share", "instructions", "cycles", "stalls"):
            table.add_column(title, justify="left" if title in ("function", "stalls") else "right", no_wrap=True)
        ranked = sorted(marks.functions.items(), key=lambda item: -item[1].busy)
        for name, tally in ranked:
            if tally.busy * 100 >= total:
                share = f"{tally.busy / total:.0%}"
                table.add_row(name, share, str(tally.instructions), str(tally.busy), _stalls(tally))
        console.print()
        console.print(table)


def _stalls(tally: Tally) -> str:
    found = sorted(((n, c) for c, n in tally.stalls.items() if n and c != "idle"), reverse=True)
    return ", ".join(f"{c} {n}" for n, c in found[:4])


def print_asm(sim: Simulation, kernel: str) -> None:
    """Instructions with runs, cycles and stalls, both inferences and all cores together.

    Shows `kernel` and what ran of the other functions of its source file, and of the assembly in its layers, which has
    no lines: the hot loop is often in a helper.
    """
    console = plain_console()
    for name in _same_file(sim, kernel):
        console.print()
        console.print(f"{name}, all cores, both inferences:")
        console.print(render(listing(sim.machine, sim.run, name)), soft_wrap=True)


def _same_file(sim: Simulation, kernel: str) -> list[str]:
    program = sim.machine.program
    found = [f for f in program.functions if f.name == kernel] if program else []
    if not program or not found:
        return [kernel]  # listing says that there is none
    place = program.line_at(found[0].start)
    layers = [x for x in sim.run.layers if sim.plan.layers[x.id].kernel == kernel]
    names = [kernel]
    for f in program.functions:
        other = program.line_at(f.start)
        same = place and other and other[0] == place[0] and f.name in sim.run.functions
        assembly = other is None and any(f.name in x.functions for x in layers)
        if f.name != kernel and (same or assembly):
            names.append(f.name)
    return names
