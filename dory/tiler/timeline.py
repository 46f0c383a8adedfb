"""When the layers run for one choice of what lies in L2: the earliest end, and a search for earlier ones.

One HyperRAM queue serves the whole network (see dory.streaming). Times are in units of UNIT cycles. Parts are a fluid
here: the times are a bound that the order of single reads comes close to. Nothing depends on what comes later, so that
a pass over the layers finds the earliest times; `schedule_model` states the same as constraints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from dory.graph.types import Graph
from dory.plan import guarded
from dory.tiler.memory import Choice, LayerMemory, Streaming, lifetime, stripe_block, weight_block

UNIT = 256  # cycles
READ_CYCLES = 1000  # start of a transfer (hardware notes: hand-over to the controller and the law's constant)
CYCLES_PER_BYTE = 1.3
MOVES = 6000
"""Changes that the search tries: a third of a second for a network of 60 layers."""
FINER = 16
"""A UNIT of the end outweighs so many of transfers of spilled tensors, which cost more than their time: rows are read
twice, and tiles are as low as stripes."""
POLISH = 1500
"""The same for a choice that is proved to be the best one: others may be as good, with fewer reads."""
STAY = 0.3
"""How often a change keeps something in L2 for good."""
SLOPE = 4000
"""At first it accepts ends that are later by this part of the first one, less and less as it goes on."""
REPAIRS = 3
"""Other layers that a change may change, for room."""


def transfer(size: float, reads: int = 1) -> int:
    """UNITs that the queue takes for `size` bytes in `reads` transfers."""
    return round((reads * READ_CYCLES + size * CYCLES_PER_BYTE) / UNIT)


@dataclass(frozen=True)
class Stream:
    """Streamed constants of a layer, in UNITs: the queue's time for the first part, and for all of them.

    compute: what the layer takes when nothing waits. last: what it computes after the last part has come. held: the
    last part comes no earlier than so long after the layer's start, since there is no slot for it before (None: there
    is one).
    """

    lead: int
    compute: int
    part: int
    rest: int
    last: int
    held: int | None

    @staticmethod
    def of(layer: LayerMemory, option: Streaming) -> Stream:
        """The times of an option."""
        compute = round(layer.cycles_in_parts(option.channels) / UNIT)
        parts, part = option.parts, transfer(option.part_bytes)
        rest, held = transfer(layer.weight_bytes, parts), None
        late = parts - option.slots  # parts whose room is free when the layer has computed with some before
        if late and option.slots == 1:
            held = (compute + rest) * late // parts
        elif late:
            held = max(compute * late // parts + part, rest * late // parts + compute // parts)
        return Stream(option.lead, compute, part, rest, compute // parts, held)


Needs = tuple[tuple[int, int], ...]
"""(step, bytes of L2), steps counted from 0, before the first layer."""
State = list[int]
"""The number of an option for each layer, then for each tensor that may live in L3: 0 in L2, 1 in L3."""


class Timeline:
    """A network's layers, and what may be chosen for them in `l2` bytes.

    options: ways to hold each layer's constants (None: resident); streams: their times; compute: UNITs of each layer;
    tensors: those that may live in L3; transfers: UNITs of the queue for each; needs: of each option of layers, then of
    tensors; steps: the same without bytes; fixed: bytes of L2 at each step that are needed anyway.
    """

    def __init__(self, graph: Graph, layers: Sequence[LayerMemory], l2: int) -> None:
        self.layers, self.l2 = layers, l2
        self.options = [_useful(i, layer) for i, layer in enumerate(layers)]
        self.streams = [
            [Stream.of(x, o) if o else None for o in some] for x, some in zip(layers, self.options, strict=True)
        ]
        self.compute = [round(layer.cycles / UNIT) for layer in layers]
        ports = {*graph.inputs, *graph.outputs}
        bound = {t for x in layers if x.geometry.direct for t in (*x.inputs, x.output)} | ports
        self.tensors = [t for t in graph.tensors if t not in bound]
        self.transfers = [transfer(graph.tensors[t].nbytes) for t in self.tensors]
        self.operands = [[self.tensors.index(t) for _, t in x.operands if t not in bound] for x in layers]
        self.needs = [[self._of_weights(i, o) for o in some] for i, some in enumerate(self.options)]
        self.needs += [[_of_tensor(graph, t), self._of_stripes(t)] for t in self.tensors]
        self.steps = [[{s for s, _ in option} for option in some] for some in self.needs]
        self.fixed = [0] * (len(layers) + 2)
        for t in bound:
            _add(self.fixed, _of_tensor(graph, t), 1)

    def _of_weights(self, i: int, option: Streaming | None) -> Needs:
        block = weight_block(i, self.layers[i], option, len(self.layers))
        return tuple((s + 1, block.bytes) for s in range(block.first, block.last + 1)) if block else ()

    def _of_stripes(self, tensor: str) -> Needs:
        found = [(i, layer, label) for i, layer in enumerate(self.layers) for label, t in layer.operands if t == tensor]
        return tuple((i + 1, stripe_block(i, layer, label).bytes) for i, layer, label in found)

    def state(self, choice: Choice) -> State:
        """The numbers of a choice."""
        weights = [some.index(o) for some, o in zip(self.options, choice.weights, strict=True)]
        return [*weights, *(int(t in choice.spilled) for t in self.tensors)]

    def choice(self, state: State, gap: float) -> Choice:
        """The choice of a state; gap: as of `Choice`."""
        spilled = zip(self.tensors, state[len(self.layers) :], strict=True)
        weights = tuple(some[k] for some, k in zip(self.options, state, strict=False))
        return Choice(weights, frozenset(t for t, out in spilled if out), gap)

    def used(self, state: State) -> list[int]:
        """Bytes that live at each step."""
        used = list(self.fixed)
        for needs, k in zip(self.needs, state, strict=True):
            _add(used, needs[k], 1)
        return used

    def queued(self, state: State) -> list[int]:
        """UNITs of the queue for each layer's operands in L3."""
        n = len(self.layers)
        return [sum(self.transfers[k] for k in some if state[n + k]) for some in self.operands]

    def end(self, state: State, queued: Sequence[int]) -> int:
        """When the last layer ends, at the earliest; queued: as `queued` has it."""
        starts: list[int] = []
        moved = [0, *accumulate(queued)]
        end = queue = 0  # of the layer before; of all reads before
        for i, (pick, streams, compute, spilled) in enumerate(
            zip(state, self.streams, self.compute, queued, strict=False)
        ):
            stream, start = streams[pick], end
            if stream is None:
                end = start + max(compute, spilled)
            else:
                # Without a lead the first read begins where the layer before ends; else others move their operands.
                then = starts[i - stream.lead] + moved[i] - moved[i - stream.lead] if stream.lead else end
                first = max(queue, then)
                start, queue = max(end, first + stream.part), first + stream.rest
                if stream.held is not None:
                    queue = max(queue, start + stream.held)
                end = max(start + stream.compute, start + spilled, queue + stream.last)
            starts.append(start)
            queue += spilled
        return end

    def cost(self, state: State, queued: Sequence[int] | None = None) -> int:
        """What `schedule_model` minimises: the end first, then what is spilled; queued: of the state, if known."""
        spilled = sum(t for t, out in zip(self.transfers, state[len(self.layers) :], strict=True) if out)
        return FINER * self.end(state, queued or self.queued(state)) + spilled

    def reads(self, state: State) -> int:
        """Transfers of weights: core 0 starts each of them."""
        return sum(o.parts for some, k in zip(self.options, state, strict=False) if (o := some[k]))

    def improved(self, state: State, proved: bool) -> State:
        """A state that fits and costs no more than the given one, which fits; the same one on every machine.

        Of states that cost the same, one with fewer reads. Threshold accepting: random changes, each followed by others
        of what is in its way. proved: none costs less.
        """
        rng, now, used = Random(1), state, self.used(state)
        movable = [i for i, some in enumerate(self.needs) if len(some) > 1]
        queued, tensors = self.queued(now), len(self.layers)
        at = (self.cost(now, queued), self.reads(now))
        found, least, moves, slack = now, at, POLISH if proved else MOVES, 0 if proved else at[0] // SLOPE
        for move in range(moves if movable else 0):
            changed = self._changed(now, used, movable, rng)
            if changed is None:
                continue
            same = changed[0][tensors:] == now[tensors:]
            then = queued if same else self.queued(changed[0])
            cost, reads = self.cost(changed[0], then), self.reads(changed[0])
            if (cost - slack * (moves - move) // moves, reads) <= at:
                (now, used), at, queued = changed, (cost, reads), then
                if at < least:
                    found, least = now, at
        return found

    def _changed(
        self, state: State, used: Sequence[int], movable: Sequence[int], rng: Random
    ) -> tuple[State, list[int]] | None:
        """A state after a random change, and what it uses; None when it does not fit."""
        state, used, i = list(state), list(used), rng.choice(movable)
        for _ in range(1 + REPAIRS):
            _add(used, self.needs[i][state[i]], -1)
            state[i] = rng.randrange(len(self.needs[i])) if rng.random() > STAY else 0
            _add(used, self.needs[i][state[i]], 1)
            most = max(used)
            if most <= self.l2:
                return state, used
            full = used.index(most)
            others = [j for j in movable if j != i and full in self.steps[j][state[j]]]
            if not others:
                break
            i = rng.choice(others)
        return None

    def earlier(self, choice: Choice, room: int) -> Choice:
        """A choice that ends no later, with reads as far ahead as `room` bytes allow.

        Single reads wait where parts, a fluid, do not.
        """
        now = self.state(choice)
        queued, used = self.queued(now), self.used(now)
        at = self.end(now, queued)
        for i, some in enumerate(self.options):
            old = some[now[i]]
            if old is None:
                continue
            better = [k for k, o in enumerate(some) if o and _ahead(o) > _ahead(old)]
            _add(used, self.needs[i][now[i]], -1)
            for k in sorted(better, key=lambda k: _ahead(some[k]), reverse=True):
                _add(used, self.needs[i][k], 1)
                if max(used) <= room and self.end([*now[:i], k, *now[i + 1 :]], queued) <= at:
                    now[i] = k
                    break
                _add(used, self.needs[i][k], -1)
            else:
                _add(used, self.needs[i][now[i]], 1)
        return self.choice(now, choice.gap)


def _of_tensor(graph: Graph, tensor: str) -> Needs:
    first, last = lifetime(graph, tensor)
    return tuple((s + 1, guarded(graph.tensors[tensor].nbytes)) for s in range(first, last + 1))


def _add(used: list[int], needs: Needs, times: int) -> None:
    for s, size in needs:
        used[s] += times * size


def _ahead(option: Streaming | None) -> tuple[int, float, int]:
    """What may be read ahead: how long, how much, in how few reads."""
    return (option.lead, option.slots / option.parts, -option.parts) if option else (0, 0.0, 0)


def _useful(i: int, layer: LayerMemory) -> list[Streaming | None]:
    """Options without those that reach before the first layer."""
    return [o for o in layer.options if o is None or o.lead <= i]
