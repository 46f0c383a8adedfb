"""When the layers run and their weights arrive: a CPMpy model that chooses what to keep in L2 and what to read ahead.

One HyperRAM queue serves the whole network (see dory.streaming). Per layer i: it starts at T, ends at E, its first part
has arrived at F, its last one at A, and until B the queue works for it and the layers before. Times are in units of
UNIT cycles. Parts are a fluid here: the model is a bound that the order of single reads comes close to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from dory.graph.types import Graph
from dory.plan import guarded
from dory.tiler.memory import Choice, LayerMemory, Streaming, blocks_of, lifetime, stripe_block, weight_block
from dory.tiler.packing import Block

UNIT = 256  # cycles
READ_CYCLES = 1000  # start of a transfer (hardware notes: hand-over to the controller and the law's constant)
CYCLES_PER_BYTE = 1.3
EFFORTS = (0.1, 3.0, 30.0)
"""Deterministic time of the solver, the same choice on every machine: more where less finds nothing."""
PROOF = 0.1
"""The same for a bound of what is possible, where the first search has not proved its own."""


FINER = 16
"""A UNIT of the end outweighs so many of transfers of spilled tensors, which cost more than their time: rows are read
twice, and tiles are as low as stripes."""


def transfer(size: float, reads: int = 1) -> int:
    """UNITs that the queue takes for `size` bytes in `reads` transfers."""
    return round((reads * READ_CYCLES + size * CYCLES_PER_BYTE) / UNIT)


def decide(graph: Graph, layers: Sequence[LayerMemory], l2: int) -> Choice | None:
    """The choice with the earliest end that fits `l2` bytes by sums; None when there is none."""
    found = _Model(graph, layers, l2).solve()
    return found and _kept(graph, layers, found, l2)


def _kept(graph: Graph, layers: Sequence[LayerMemory], choice: Choice, l2: int) -> Choice:
    """The choice with as many constants resident as there is room for: they cost no time, and no energy either."""
    weights = list(choice.weights)
    for i in sorted(range(len(layers)), key=lambda i: layers[i].weight_bytes):
        if weights[i] is not None:
            tried = replace(choice, weights=(*weights[:i], None, *weights[i + 1 :]))
            if peak(blocks_of(graph, layers, tried)) <= l2:
                weights[i] = None
    return replace(choice, weights=tuple(weights))


def peak(blocks: Sequence[Block]) -> int:
    """Most bytes that live at one step."""
    change: dict[int, int] = {}
    for b in blocks:
        change[b.first] = change.get(b.first, 0) + b.bytes
        change[b.last + 1] = change.get(b.last + 1, 0) - b.bytes
    return max(accumulate(change[s] for s in sorted(change)), default=0)


class _Model:
    def __init__(self, graph: Graph, layers: Sequence[LayerMemory], l2: int) -> None:
        import cpmpy as cp

        self.cp, self.graph, self.layers = cp, graph, layers
        self.model = cp.Model()
        self.options = [_useful(i, layer) for i, layer in enumerate(layers)]
        self.pick = [[cp.boolvar(name=f"w{i}_{k}") for k in range(len(o))] for i, o in enumerate(self.options)]
        ports = {*graph.inputs, *graph.outputs}
        fixed = {t for x in layers if x.geometry.direct for t in (*x.inputs, x.output)} | ports
        self.spill = {t: cp.boolvar(name=f"spill{k}") for k, t in enumerate(graph.tensors) if t not in fixed}
        self.fits = self._memory(l2)
        self.end = self._times()

    def solve(self) -> Choice | None:
        """Solve; None when there is no solution, or none was found with the last effort."""
        if not self.fits:
            return None
        spills = [transfer(self.graph.tensors[t].nbytes) * v for t, v in self.spill.items()]
        self.model.minimize(FINER * self.end + self.cp.sum(spills or [0]))
        solver = self.cp.SolverLookup.get("ortools", self.model)
        for effort in EFFORTS:
            _run(solver, effort)
            if solver.status().exitstatus.name == "UNSATISFIABLE":
                return None
            if solver.status().exitstatus.name in ("OPTIMAL", "FEASIBLE"):
                break
        else:
            return None
        weights = tuple(
            next(o for o, v in zip(options, pick, strict=True) if v.value())
            for options, pick in zip(self.options, self.pick, strict=True)
        )
        spilled = frozenset(t for t, v in self.spill.items() if v.value())
        return Choice(weights, spilled, _gap(solver))  # whose own run gives the variables other values

    def _memory(self, l2: int) -> bool:
        """One option per layer, and at every step all live blocks within l2 bytes; False if that is impossible."""
        n = len(self.layers)
        # By step, shifted by one for step -1: (bytes, whether they live there). Sums of a list are built at once.
        usage: list[list[tuple[int, Any]]] = [[] for _ in range(n + 2)]
        always = [0] * (n + 2)
        for i, layer in enumerate(self.layers):
            self.model += self.cp.sum(self.pick[i]) == 1
            for option, chosen in zip(self.options[i], self.pick[i], strict=True):
                block = weight_block(i, layer, option, n)
                for s in range(block.first, block.last + 1) if block else ():
                    usage[s + 1].append((block.bytes if block else 0, chosen))
            for label, t in layer.operands:
                if t in self.spill:
                    usage[i + 1].append((stripe_block(i, layer, label).bytes, self.spill[t]))
        for t, tensor in self.graph.tensors.items():
            first, last = lifetime(self.graph, t)
            for s in range(first, last + 1):
                always[s + 1] += guarded(tensor.nbytes)
                if t in self.spill:
                    usage[s + 1].append((-guarded(tensor.nbytes), self.spill[t]))
        for terms, least in zip(usage, always, strict=True):
            if terms:
                self.model += self.cp.sum([size * there for size, there in terms]) <= l2 - least
            elif least > l2:
                return False
        return True

    def _times(self) -> Any:
        cp, model = self.cp, self.model
        horizon = sum(_longest(layer) for layer in self.layers) + 4 * len(self.layers)
        starts: list[Any] = []
        end: Any = 0
        queue: Any = 0
        for i, layer in enumerate(self.layers):
            start, done, arrived, busy = (cp.intvar(0, horizon, name=f"{k}{i}") for k in "TEAB")
            starts.append(start)
            compute, spilled = round(layer.cycles / UNIT), self._spills(layer)
            model += [start >= end, done >= start + compute, done >= start + spilled, arrived >= queue]
            for option, chosen in zip(self.options[i], self.pick[i], strict=True):
                if option is None:
                    continue
                part, rest = transfer(option.part_bytes), transfer(layer.weight_bytes, option.parts)
                # Without a lead the first read begins where the layer before ends, and the layer starts behind it.
                first = cp.max([queue, starts[max(i - option.lead, 0)] if option.lead else end]) if i else 0
                model += [chosen.implies(start >= first + part), chosen.implies(arrived >= first + rest)]
                model += [chosen.implies(done >= arrived + compute // option.parts)]
                if option.slots < option.parts:
                    held = compute * (option.parts - option.slots) // option.parts
                    model += [chosen.implies(arrived >= start + held + part)]
            model += [busy >= arrived + spilled]
            end, queue = done, busy
        return end

    def _spills(self, layer: LayerMemory) -> Any:
        """UNITs of the queue for the layer's spilled operands."""
        return self.cp.sum(
            [transfer(self.graph.tensors[t].nbytes) * self.spill[t] for _, t in layer.operands if t in self.spill]
            or [0]
        )


def _run(solver: Any, effort: float, **options: Any) -> None:
    """Probing takes longer here than the search."""
    # The solver's own handler of Ctrl-C would stay behind, and end later runs without a word.
    quiet = {"num_workers": 1, "random_seed": 1, "catch_sigint_signal": False, "cp_model_probing_level": 0}
    solver.solve(max_deterministic_time=effort, **quiet, **options)


def _gap(solver: Any) -> float:
    """How far a solution is above what is possible, as a share of that."""
    found, least = float(solver.objective_value()), float(solver.ort_solver.best_objective_bound)
    if least < found:
        _run(solver, PROOF, linearization_level=0, use_objective_lb_search=True)
        least = max(least, float(solver.ort_solver.best_objective_bound))
    least = max(least, 1.0)
    return max(found - least, 0.0) / least


def _useful(i: int, layer: LayerMemory) -> list[Streaming | None]:
    """Options without those that reach before the first layer."""
    return [o for o in layer.options if o is None or o.lead <= i]


def _longest(layer: LayerMemory) -> int:
    parts = max((o.parts for o in layer.options if o), default=1)
    operands = sum(a.shape[0] * a.shape[1] * a.shape[2] for a in layer.geometry.inputs)
    out = layer.geometry.out
    return round(layer.cycles / UNIT) + transfer(
        2 * layer.weight_bytes + operands + out[0] * out[1] * out[2], 2 * parts
    )
