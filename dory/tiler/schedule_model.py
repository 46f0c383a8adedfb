"""What to keep in L2 and what to read ahead: a CPMpy model of when the layers run and their weights arrive.

The times are those of `timeline`. Per layer i: it starts at T, ends at E, its first read begins at F, its last part has
arrived at A, and until B the queue works for it and the layers before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from dory.graph.types import Graph
from dory.tiler.memory import Choice, LayerMemory, blocks_of
from dory.tiler.packing import lower_bound
from dory.tiler.timeline import FINER, UNIT, Stream, Timeline, transfer

PROVING: dict[str, Any] = {"use_objective_lb_search": True, "linearization_level": 0}
FINDING: dict[str, Any] = {"use_objective_lb_search": False, "linearization_level": 1}
EFFORTS = ((0.1, PROVING), (0.1, FINDING), (3.0, FINDING), (30.0, FINDING))
"""Deterministic time of the solver, the same choice on every machine, and how it searches: from the bound upwards,
which most often ends with a proof; where that finds nothing, for any solution."""


def decide(graph: Graph, layers: Sequence[LayerMemory], l2: int) -> Choice | None:
    """The choice with the earliest end that fits `l2` bytes by sums; None when there is none."""
    found = Model(Timeline(graph, layers, l2)).solve()
    return found and _kept(graph, layers, found, l2)


def _kept(graph: Graph, layers: Sequence[LayerMemory], choice: Choice, l2: int) -> Choice:
    """The choice with as many constants resident as there is room for: they cost no time, and no energy either."""
    weights = list(choice.weights)
    for i in sorted(range(len(layers)), key=lambda i: layers[i].weight_bytes):
        if weights[i] is not None:
            tried = replace(choice, weights=(*weights[:i], None, *weights[i + 1 :]))
            if lower_bound(blocks_of(graph, layers, tried)) <= l2:
                weights[i] = None
    return replace(choice, weights=tuple(weights))


class Model:
    """The constraints of a network's schedule, one model for all efforts.

    Sums are built from lists, at once; most constraints are linear, few are implied.
    """

    def __init__(self, line: Timeline) -> None:
        import cpmpy as cp

        self.cp, self.line, self.model = cp, line, cp.Model()
        self.pick = [[cp.boolvar(name=f"w{i}_{k}") for k in range(len(o))] for i, o in enumerate(line.options)]
        self.spill = [cp.boolvar(name=f"spill{k}") for k in range(len(line.tensors))]
        self.fits = self._memory()
        self.end = self._times()

    def solve(self) -> Choice | None:
        """Solve; None when there is no solution, or none was found with the last effort."""
        if not self.fits:
            return None
        self.model.minimize(FINER * self.end + self._sum(zip(self.line.transfers, self.spill, strict=True)))
        solver, bound = self.cp.SolverLookup.get("ortools", self.model), 1.0
        for effort, how in EFFORTS:
            # The solver's own handler of Ctrl-C would stay behind, and end later runs without a word. Probing takes
            # longer here than the search.
            quiet = {"num_workers": 1, "random_seed": 1, "catch_sigint_signal": False, "cp_model_probing_level": 0}
            solver.solve(max_deterministic_time=effort, **quiet, **how)
            status = solver.status().exitstatus.name
            if status == "UNSATISFIABLE":
                return None
            bound = max(bound, float(solver.ort_solver.best_objective_bound))
            if status in ("OPTIMAL", "FEASIBLE"):
                return self._choice(status == "OPTIMAL", bound)
        return None

    def _choice(self, proved: bool, bound: float) -> Choice:
        """What a search from the solver's choice finds."""
        line = self.line
        picks = [next(k for k, v in enumerate(some) if v.value()) for some in self.pick]
        state = line.improved([*picks, *(int(v.value()) for v in self.spill)], proved)
        return line.choice(state, max(line.cost(state) - bound, 0.0) / bound)

    def _sum(self, terms: Iterable[tuple[int, Any]]) -> Any:
        return self.cp.sum([factor * v for factor, v in terms] or [0])

    def _any(self, some: Sequence[Any], name: str) -> Any:
        """Whether one of some options is chosen."""
        if len(some) == 1:
            return some[0]
        found = self.cp.boolvar(name=name)
        self.model += self.cp.sum(some) == found
        return found

    def _memory(self) -> bool:
        """One option per layer, and at every step all live blocks within l2 bytes; False if that is impossible."""
        line = self.line
        usage: list[list[tuple[int, Any]]] = [[] for _ in line.fixed]  # by step: (bytes, whether they live there)
        for some in self.pick:
            self.model += self.cp.sum(some) == 1
        for needs, some in zip(line.needs, [*self.pick, *([~v, v] for v in self.spill)], strict=True):
            for option, chosen in zip(needs, some, strict=True):
                for step, size in option:
                    usage[step].append((size, chosen))
        for terms, least in zip(usage, line.fixed, strict=True):
            if terms:
                self.model += self._sum(terms) <= line.l2 - least
            elif least > line.l2:
                return False
        return True

    def _times(self) -> Any:
        """The end of the last layer: all times have lower bounds alone, and the least ones are those of `timeline`."""
        cp, model, line = self.cp, self.model, self.line
        horizon = sum(_longest(layer) for layer in line.layers) + 4 * len(line.layers)
        starts: list[Any] = []
        spills = [[(line.transfers[k], self.spill[k]) for k in some] for some in line.operands]
        end: Any = 0
        queue: Any = 0
        for i in range(len(line.layers)):
            start, done, busy = (cp.intvar(0, horizon, name=f"{k}{i}") for k in "TEB")
            starts.append(start)
            streams = [(x, v) for x, v in zip(line.streams[i], self.pick[i], strict=True) if x]
            more = [(x.compute - line.compute[i], v) for x, v in streams if x.compute > line.compute[i]]
            model += [start >= end, done >= start + line.compute[i] + self._sum(more)]
            if spills[i]:
                model += done >= start + self._sum(spills[i])
            if streams:
                queue = self._streamed(i, streams, (starts, end, done, queue), spills, horizon)
            model += busy >= queue + self._sum(spills[i])
            end, queue = done, busy
        return end

    def _streamed(
        self,
        i: int,
        streams: list[tuple[Stream, Any]],
        at: tuple[list[Any], Any, Any, Any],
        spills: list[list[tuple[int, Any]]],
        horizon: int,
    ) -> Any:
        """When the last part has arrived, for layer i; at: starts up to its own, the layer's before and its own end,
        and when the queue is free."""
        (starts, end, done, queue), start = at, at[0][i]
        first, arrived = (self.cp.intvar(0, horizon, name=f"{k}{i}") for k in "FA")
        streamed = self._any([v for _, v in streams], f"s{i}")
        self.model += [first >= queue, arrived >= first + self._sum((x.rest, v) for x, v in streams)]
        self.model += streamed.implies(start >= first + self._sum((x.part, v) for x, v in streams))
        self.model += streamed.implies(done >= arrived + self._sum((x.last, v) for x, v in streams))
        for lead, some in _grouped(streams, lambda x: x.lead).items():
            # Without a lead the first read begins where the layer before ends, and the layer starts behind it.
            if i > 0:
                then = starts[i - lead] + self._sum(t for x in spills[i - lead : i] for t in x) if lead else end
                self.model += self._any(some, f"l{i}_{lead}").implies(first >= then)
        for held, some in _grouped(streams, lambda x: x.held).items():
            if held is not None:
                self.model += self._any(some, f"h{i}_{held}").implies(arrived >= start + held)
        return arrived


def _grouped(streams: list[tuple[Stream, Any]], key: Callable[[Stream], int | None]) -> dict[int | None, list[Any]]:
    groups: dict[int | None, list[Any]] = {}
    for x, v in streams:
        groups.setdefault(key(x), []).append(v)
    return groups


def _longest(layer: LayerMemory) -> int:
    parts = max((o.parts for o in layer.options if o), default=1)
    operands = sum(a.shape[0] * a.shape[1] * a.shape[2] for a in layer.geometry.inputs)
    out = layer.geometry.out
    slowest = max((layer.cycles_in_parts(o.channels) for o in layer.options if o), default=layer.cycles)
    return round(slowest / UNIT) + transfer(2 * layer.weight_bytes + operands + out[0] * out[1] * out[2], 2 * parts)
