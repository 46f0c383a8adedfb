"""Hardware descriptions and their typed loader."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from dory.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


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


def names() -> list[str]:
    """Names of the targets that ship with the package."""
    return sorted(f.name[:-5] for f in files(__name__).iterdir() if f.name.endswith(".toml"))


def load(name: str) -> Target:
    """A shipped target by name, or a TOML file by path. UserError for anything else."""
    if name in names():
        text = files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    elif name.endswith(".toml") and Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise UserError(
            f"no target of that name; known are {', '.join(names())}",
            where=name,
            hint="python -m dory targets, or the path of a .toml file",
        )
    try:
        return _build(_with_base(tomllib.loads(text)))
    except tomllib.TOMLDecodeError as e:
        raise UserError(f"not a TOML file: {e}", where=name) from e
    except (KeyError, TypeError, ValueError) as e:
        raise UserError(f"bad target description: {e}", where=name, hint="compare with gap8.toml") from e


def _section(cls: type[T], table: dict[str, Any], key: str) -> T:
    wanted = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    given = table[key]
    if set(given) != wanted:
        raise ValueError(f"[{key}] has keys {sorted(given)}, wanted {sorted(wanted)}")
    bad = [k for k, v in given.items() if isinstance(v, bool) or not isinstance(v, int) or v < 0]
    if bad:
        raise ValueError(f"[{key}] {bad[0]} = {given[bad[0]]!r}: a whole number >= 0 is wanted")
    return cls(**given)


def _with_base(table: dict[str, Any]) -> dict[str, Any]:
    """The table over that of the shipped target that its key `base` names: sections are merged key by key."""
    base = table.pop("base", None)
    if base is None:
        return table
    if base not in names():
        raise ValueError(f"base = {base!r}; known are {', '.join(names())}")
    text = files(__name__).joinpath(f"{base}.toml").read_text(encoding="utf-8")
    merged = _with_base(tomllib.loads(text))
    for key, value in table.items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return merged


def _build(table: dict[str, Any]) -> Target:
    known = {"name", "description", "cluster", "l1", "l2", "l3", "dma", "clocks", "timing"}
    if set(table) - known:
        raise ValueError(f"unknown keys {sorted(set(table) - known)}")
    cluster, l1, l2 = (
        _section(Cluster, table, "cluster"),
        _section(L1, table, "l1"),
        _section(L2, table, "l2"),
    )
    return Target(
        name=str(table["name"]),
        description=str(table["description"]),
        cluster=cluster,
        l1=l1,
        l2=l2,
        l3=_section(L3, table, "l3"),
        dma=_section(Dma, table, "dma"),
        clocks=_section(Clocks, table, "clocks"),
        timing=MappingProxyType(table["timing"]),
        l1_budget=l1.bytes - l1.stack_core0 - (cluster.cores - 1) * l1.stack_worker - l1.runtime,
        l2_budget=l2.bytes - l2.runtime - l2.stack_fc,
    )
