"""Hardware descriptions and their typed loader."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dory.errors import UserError
from dory.targets.check import Fault, fault, line_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Cluster:
    """Number of compute cores."""

    cores: int


@dataclass(frozen=True)
class L1:
    """Scratchpad, bytes; the stacks and the runtime's own data come out of it."""

    bytes: int
    stack_core0: int
    stack_worker: int
    runtime: int


@dataclass(frozen=True)
class L2:
    """On-chip memory, bytes; the SDK's runtime and the controller's stack come out of it."""

    bytes: int
    runtime: int
    stack_fc: int


@dataclass(frozen=True)
class L3:
    """External RAM, bytes, and the alignment of every transfer's addresses and size."""

    bytes: int
    alignment: int


@dataclass(frozen=True)
class Dma:
    """Cluster DMA: largest command in bytes."""

    max_bytes: int


@dataclass(frozen=True)
class Clocks:
    """Clocks in kHz."""

    fc_khz: int
    cluster_khz: int


@dataclass(frozen=True)
class OperatingPoint:
    """A supply voltage and the highest clocks that it allows, kHz."""

    millivolts: int
    fc_khz: int
    cluster_khz: int


@dataclass(frozen=True)
class Power:
    """pJ of cluster and SoC per cluster cycle at `millivolts`.

    matrix: in kernels of convolutions and matrices; vector: in other kernels; wait: while cores wait.
    """

    millivolts: int
    matrix_pj: int
    vector_pj: int
    wait_pj: int
    points: tuple[OperatingPoint, ...]


@dataclass(frozen=True)
class Target:
    """One chip. `l1_budget` and `l2_budget` are what a network may use, in bytes."""

    name: str
    description: str
    cluster: Cluster
    l1: L1
    l2: L2
    l3: L3
    dma: Dma
    clocks: Clocks
    power: Power
    timing: Mapping[str, Any]  # constants of the simulator, see dory.sim.iss.params
    l1_budget: int
    l2_budget: int

    def with_budgets(self, l1: int | None, l2: int | None) -> Target:
        """The target with the user's limits. UserError when a limit exceeds what the memory can give."""
        for label, wanted, most in (("--l1", l1, self.l1_budget), ("--l2", l2, self.l2_budget)):
            if wanted is not None and not 0 < wanted <= most:
                raise UserError(
                    f"{wanted} bytes; {self.name} can give 1..{most} after stacks and runtime",
                    where=label,
                    hint=f"{label} {most}",
                )
        return replace(self, l1_budget=l1 or self.l1_budget, l2_budget=l2 or self.l2_budget)

    def with_cores(self, cores: int) -> Target:
        """The target with fewer of its cores: their stacks leave L1 to the network. UserError for more than it has."""
        if not 1 <= cores <= self.cluster.cores:
            raise UserError(
                f"{cores}; {self.name} has {self.cluster.cores}", where="--cores", hint=f"1 to {self.cluster.cores}"
            )
        budget = _l1_budget(self.l1, cores)
        return replace(self, cluster=Cluster(cores), l1_budget=budget)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "timing": dict(self.timing)}  # a mapping proxy cannot be pickled

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, timing=MappingProxyType(state["timing"]))


def names() -> list[str]:
    """Names of the targets that ship with the package."""
    return sorted(f.name[:-5] for f in files(__name__).iterdir() if f.name.endswith(".toml"))


def load(name: str) -> Target:
    """A shipped target by name, or a TOML file by path.

    Raises UserError for anything else; for a file that is wrong it names line, section and key.
    """
    if name in names():
        return _build(_shipped(name))
    path = Path(name)
    if not name.endswith(".toml") or path.is_dir():
        raise UserError(
            f"no target of that name; known are {', '.join(names())}",
            where=name,
            hint="python -m dory targets, or the path of a .toml file",
        )
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except FileNotFoundError as e:
        raise UserError("no such file", where=name, hint="--target FILE.toml") from e
    except OSError as e:
        raise UserError(f"cannot be read: {e.strerror}", where=name) from e
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UserError(f"not a TOML file: {e}", where=name) from e
    return _build(_custom(table, text, path))


def _shipped(name: str) -> dict[str, Any]:
    table = tomllib.loads(files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    base = table.pop("base", None)
    return _merged(_shipped(base), table) if base else table


def _custom(table: dict[str, Any], text: str, path: Path) -> dict[str, Any]:
    """A user's description, complete and checked."""

    def error(fault: Fault) -> UserError:
        line = line_of(text, fault.section, fault.key)
        place = f"{path}, line {line}" if line else str(path)
        named = f"[{fault.section}] {fault.key}" if fault.section else fault.key
        return UserError(f"{named} {fault.message}", where=place, hint="compare with dory/targets/gap8.toml")

    base = table.pop("base", None)
    if base is not None and (not isinstance(base, str) or base not in names()):
        raise error(Fault("", "base", f"= {base!r}: known are {', '.join(names())}"))
    table.setdefault("name", path.stem)
    if table["name"] in names() or not re.fullmatch(r"[\w.+-]{1,60}", str(table["name"])):
        message = f"= {table['name']!r}: letters, digits and . + - _ are wanted, and no shipped target's name"
        raise error(Fault("", "name", message))
    table.setdefault("description", f"{table['name']} ({path.name})")
    merged = _merged(_shipped(base), table) if base else table
    found = fault(merged, _shipped("gap8"))
    if found:
        raise error(found)
    return merged


def _merged(base: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    """`table` over `base`: sections are merged key by key."""
    out = dict(base)
    for key, value in table.items():
        mine = out.get(key, {})
        out[key] = {**mine, **value} if isinstance(value, dict) and isinstance(mine, dict) else value
    return out


def _l1_budget(l1: L1, cores: int) -> int:
    return l1.bytes - l1.stack_core0 - (cores - 1) * l1.stack_worker - l1.runtime


def _build(table: dict[str, Any]) -> Target:
    """From a checked description."""
    cluster, l1, l2, power = Cluster(**table["cluster"]), L1(**table["l1"]), L2(**table["l2"]), dict(table["power"])
    points = tuple(OperatingPoint(**p) for p in power.pop("points"))
    return Target(
        name=table["name"],
        description=table["description"],
        cluster=cluster,
        l1=l1,
        l2=l2,
        l3=L3(**table["l3"]),
        dma=Dma(**table["dma"]),
        clocks=Clocks(**table["clocks"]),
        power=Power(points=points, **power),
        timing=MappingProxyType(table["timing"]),
        l1_budget=_l1_budget(l1, cluster.cores),
        l2_budget=l2.bytes - l2.runtime - l2.stack_fc,
    )
