"""Measured coefficients: what the kernels' closed forms and the tile loop cost, from the simulator.

`coefficients.json` is written by `make calibrate` (tools/calibrate.py); it names the sources that it was measured with.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dory.layers import LAYERS
from dory.layers.conv import DEEP_KERNEL
from dory.layers.cost import Number, Work
from dory.layers.rescale import FORMS
from dory.layers.subbyte import KERNELS as REPACK_KERNELS
from dory.layers.subbyte import least_repack_features, repack_features
from dory.plan import LayerPlan
from dory.resources import csrc_dir, templates_dir
from dory.sim.iss.params import IssParams
from dory.sim.model.events import ColdStart, LoopCosts
from dory.sim.model.icache import missed_lines

REPACK = "dory_subbyte"  # what dory/layers/subbyte.py counts
FILE = "coefficients.json"
PARTS = {"dory_conv": tuple(f"dory_conv_{form}" for form in FORMS if form != "exact")}
"""Sources of a kernel beside its own."""
LOOP_TEMPLATES = ("layer.c.j2", "streams.c.j2", "network.c.j2")
LOOP_SOURCES = (
    "dory_engine.c",
    "dory_engine.h",
    "dory_sums.c",
    "dory_sums.h",
    "dory_stream.c",
    "dory_stream.h",
    "dory_tile.h",
    "rt_sim.h",
)
_TEAM = (8, 4, 2, 1)
SMALL_CACHE = 8192  # bytes
# The timing that coefficients hang on; transfers and the instruction cache are computed from the target at hand.
CORE_KEYS = (
    "load_use",
    "mul_use",
    "use_mulh",
    "mulh",
    "div_base",
    "branch_taken",
    "jump",
    "misaligned",
    "l2_access",
    "l1_banks",
)


@dataclass(frozen=True)
class KernelCost:
    """Cycles = sum(coefficients * features), times the factor of the team.

    small_cache: where the cache is too small for the code, cycles for lines that every tile fetches anew, and a factor
    for those that loops do.
    """

    coefficients: tuple[float, ...]
    team: Mapping[int, float]
    small_cache: tuple[float, float]

    def cycles(self, features: Sequence[Number], cores: int, cache: int = 0) -> Number:
        """Of one tile, warm; `cache` bytes of it (0: enough)."""
        cycles = sum(a * b for a, b in zip(self.coefficients, features, strict=True)) * _nearest(self.team, cores)
        if not 0 < cache <= SMALL_CACHE:
            return cycles
        fetched, factor = self.small_cache
        return cycles * factor + fetched


@dataclass(frozen=True)
class LoopTable:
    """Cycles of core 0 outside kernels and waits.

    layer, tile: by operator, of each layer and each tile. x, w: of each load; y: of each store. step: all of that of a
    step where input channels come in steps. operand_*: what every input after the first adds to a layer, to a load (if
    it is loaded itself). command: of each DMA command, its issue excepted. block: of each stripe or part. ram: of each
    call that starts a HyperRAM transfer, its issue excepted. gap: between two layers. busy: accesses to L2 a tile that
    may find the DMA busy.
    """

    layer: Mapping[str, float]
    tile: Mapping[str, float]
    x: float
    w: float
    y: float
    step: float
    operand_layer: float
    operand_load: float
    command: float
    block: float
    ram: float
    gap: float
    busy: float


@dataclass(frozen=True)
class Coefficients:
    """Everything measured. lines: of code that run, by name ("loop", "network", operator, kernel)."""

    kernels: Mapping[str, KernelCost]
    loop: LoopTable
    lines: Mapping[str, float]
    core_timing: Mapping[str, float]

    def kernel(self, layer: LayerPlan, work: Work, cache: int = 0) -> Number:
        """Cycles of a layer's kernel on one tile, or on each of many: the first core's start to the last one's end.

        cache: bytes of the instruction cache; 0: enough.
        """
        features = LAYERS[layer.op].cost_features(layer, work)
        return self.kernels[kernel_key(layer)].cycles(features, work.cores, cache)

    def repack(self, layer: LayerPlan, work: Work, new_x: bool, new_w: bool) -> int:
        """Cycles around the kernel of a tile whose operands are not all bytes."""
        features = repack_features(layer, work, new_x, new_w)
        return round(float(self.kernels[REPACK].cycles(features, work.cores)))

    def least_repack(self, layer: LayerPlan, cores: int) -> float:
        """Cycles of unpacking and packing that no tiling of a layer can do without."""
        return float(self.kernels[REPACK].cycles(least_repack_features(layer, cores), cores))

    def costs(self, layer: LayerPlan, p: IssParams) -> LoopCosts:
        """The loop over a layer's tiles."""
        loop, loaded = self.loop, 0 if layer.depth else sum(not x.kept for x in layer.inputs)
        per_tile = round(loop.step if layer.depth else loop.tile[layer.op])
        head = per_tile // 2  # arguments
        if layer.depth:
            tail = per_tile // 4
            per_tile -= tail
        else:
            tail = round(loop.y) if layer.stored else 0
        return LoopCosts(
            head,
            per_tile - head + p.fork_start + p.fork_join,
            tail,
            round(loop.x + (loaded - 1) * loop.operand_load) if loaded else 0,
            0 if layer.depth else round(loop.w),
            round(loop.command),
            loop.busy,
        )

    def layer(self, layer: LayerPlan) -> int:
        """Cycles of core 0 once per layer: entry, tables."""
        return round(self.loop.layer[layer.op] + (len(layer.inputs) - 1) * self.loop.operand_layer)

    def measured_on(self, p: IssParams) -> bool:
        """Whether they were measured with exactly this core timing."""
        return all(self.core_timing[k] == getattr(p, k) for k in CORE_KEYS)

    def starts(self, layers: Sequence[LayerPlan], p: IssParams) -> list[ColdStart]:
        """What each layer of a network finds missing in the instruction cache."""
        return [
            ColdStart(loop, kernel, round(loop * p.icache_miss), round(kernel * p.icache_miss))
            for loop, kernel in missing(layers, self.lines, p)
        ]


def missing(layers: Sequence[LayerPlan], lines: Mapping[str, float], p: IssParams) -> list[tuple[float, float]]:
    """Lines of code that each layer finds missing in the cache: of the loop around it, and of its kernel."""
    codes, keys = [], [kernel_key(layer) for layer in layers]
    for i, (layer, key) in enumerate(zip(layers, keys, strict=True)):
        kernel = lines.get(key, lines[layer.kernel])
        code = {"network": lines["network"], f"layer {i}": lines[layer.op], key: kernel}
        codes.append(code if layer.direct else {"loop": lines["loop"], **code})
    missed = missed_lines(p, codes)
    return [(sum(m.values()) - m[key], m[key]) for key, m in zip(keys, missed, strict=True)]


def kernel_key(layer: LayerPlan) -> str:
    """Name of a kernel's code path in the coefficient file."""
    variant = LAYERS[layer.op].cost_variant(layer)
    return f"{layer.kernel}/{variant}" if variant else layer.kernel


def _nearest(team: Mapping[int, float], cores: int) -> float:
    return team[min(_TEAM, key=lambda n: abs(n - cores))]


@lru_cache(maxsize=1)
def shipped() -> Coefficients:
    """What `make calibrate` has measured."""
    return decode(json.loads(files(__package__).joinpath(FILE).read_text(encoding="utf-8")))


def decode(entry: Mapping[str, Any]) -> Coefficients:
    """From the file's JSON."""
    kernels = {
        k: KernelCost(tuple(v["coefficients"]), {int(n): f for n, f in v["team"].items()}, tuple(v["small_cache"]))
        for k, v in entry["kernels"].items()
    }
    loop = {f.name: entry["loop"][f.name] for f in fields(LoopTable)}
    return Coefficients(MappingProxyType(kernels), LoopTable(**loop), entry["lines"], entry["core_timing"])


def core_timing(p: IssParams) -> dict[str, float]:
    """The part of a target that the coefficients hang on."""
    return {k: getattr(p, k) for k in CORE_KEYS}


def source_hashes() -> dict[str, str]:
    """A hash per kernel of its source and the headers that it includes, and one of the tile loop ("loop").

    Comments and white space do not count.
    """
    kernels = csrc_dir() / "gap8_kernels"
    kinds = sorted({layer.kernel for layer in LAYERS.values()} | {DEEP_KERNEL, *REPACK_KERNELS})
    out = {kind: _digest(_closure(kernels / f"{name}.c" for name in (kind, *PARTS.get(kind, ())))) for kind in kinds}
    runtime = csrc_dir() / "runtime"
    templates = templates_dir()
    loop = [*(runtime / name for name in LOOP_SOURCES), *(templates / name for name in LOOP_TEMPLATES)]
    return {**out, "loop": _digest(loop)}


def _closure(sources: Iterable[Path]) -> list[Path]:
    """The files and what they include of their own folder, each once."""
    todo, seen = list(sources), list[Path]()
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.append(path)
        names = re.findall(r'#include "([^"]+)"', path.read_text(encoding="utf-8"))
        todo += [path.parent / n for n in names if (path.parent / n).is_file()]
    return sorted(seen)


def _digest(paths: Sequence[Path]) -> str:
    text = "\n".join(p.read_text(encoding="utf-8") for p in paths)
    text = re.sub(r"/\*.*?\*/|\{#.*?#\}|//[^\n]*", " ", text, flags=re.DOTALL)
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]
