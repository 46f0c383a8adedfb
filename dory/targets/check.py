"""What a hardware description may say: keys, types and ranges, and the line at which a file says otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST = 2**31 - 1
"""Largest whole number that any key takes."""
LAW = {"setup": True, "per_byte": True, "per_burst": False, "burst_bytes": False, "floor": False}
"""Keys of a RAM law, and whether it needs them; see dory.sim.iss.params.RamLaw."""
POINT = ("millivolts", "fc_khz", "cluster_khz")
CLOCK_KHZ = 10_000_000

# Ranges other than 0 to MOST, by section and key. The simulator models at most 8 cores.
RANGES: Mapping[tuple[str, str], tuple[int, int]] = {
    ("cluster", "cores"): (1, 8),
    ("l1", "bytes"): (64, MOST),
    ("l2", "bytes"): (64, MOST),
    ("l3", "bytes"): (64, MOST),
    ("l3", "alignment"): (1, 4096),
    ("dma", "max_bytes"): (8, 65535),
    ("clocks", "fc_khz"): (1, CLOCK_KHZ),
    ("clocks", "cluster_khz"): (1, CLOCK_KHZ),
    ("power", "millivolts"): (1, 100_000),
    ("power", "matrix_pj"): (1, MOST),
    ("power", "vector_pj"): (1, MOST),
    ("power", "wait_pj"): (1, MOST),
    ("timing", "l1_banks"): (1, 4096),
    ("timing", "mulh"): (1, MOST),
    ("timing", "div_base"): (2, MOST),
    ("timing", "misaligned"): (1, MOST),
    ("timing", "l2_access"): (1, MOST),
    ("timing", "fc_l2_access"): (1, MOST),
    ("timing", "fc_l1_access"): (1, MOST),
    ("timing", "dma_bytes_per_cycle"): (1, 4096),
    ("timing", "dma_queue"): (1, 4096),
}
_POWERS_OF_TWO = (("l3", "alignment"), ("timing", "l1_banks"))
_MULTIPLES_OF_64 = (("l1", "bytes"), ("l2", "bytes"), ("timing", "l1_base"), ("timing", "l2_base"))


@dataclass(frozen=True)
class Fault:
    """What is wrong with a description: in which section (empty: the file's top), at which key, and why."""

    section: str
    key: str
    message: str


def fault(table: Mapping[str, Any], shipped: Mapping[str, Any]) -> Fault | None:
    """The first thing wrong with a description, base included. `shipped` is gap8's: it has every key there is."""
    for key in table:
        if key not in shipped:
            return Fault("", key, f"unknown; known are {', '.join(shipped)}")
    for section, known in shipped.items():
        found = _section_fault(section, table.get(section), known)
        if found:
            return found
    return _together(table)


def _section_fault(section: str, given: Any, known: Any) -> Fault | None:
    if not isinstance(known, Mapping):
        return None if isinstance(given, str) and given else Fault("", section, f"= {given!r}: a text is wanted")
    if given is None:
        return Fault("", section, 'the section is missing; give it, or say base = "gap8"')
    if not isinstance(given, Mapping):
        return Fault("", section, f"= {given!r}: a section, [{section}], is wanted")
    for key in given:
        if key not in known:
            return Fault(section, key, f"unknown; known are {', '.join(known)}")
    for key, example in known.items():
        if key not in given:
            return Fault(section, key, 'missing; give it, or say base = "gap8"')
        problem = _value_problem(section, key, given[key], example)
        if problem:
            return Fault(section, key, problem)
    return None


def _value_problem(section: str, key: str, value: Any, example: Any) -> str:
    if isinstance(example, Mapping):
        return _law_problem(value)
    if isinstance(example, list):
        return _points_problem(value)
    low, high = RANGES.get((section, key), (0, MOST))
    problem = _number_problem(value, low, high, isinstance(example, int))
    if problem:
        return problem
    if (section, key) in _POWERS_OF_TWO and value & (value - 1):
        return f"= {value}: a power of two is wanted"
    if (section, key) in _MULTIPLES_OF_64 and value % 64:
        return f"= {value}: a multiple of 64 is wanted"
    return ""


def _number_problem(value: Any, low: int, high: int, whole: bool) -> str:
    kind = "whole number" if whole else "number"
    accepted = isinstance(value, int) or (isinstance(value, float) and not whole)
    if isinstance(value, bool) or not accepted or not low <= value <= high:
        return f"= {value!r}: a {kind} from {low} to {high} is wanted"
    return ""


def _law_problem(value: Any) -> str:
    if not isinstance(value, Mapping):
        return f"= {value!r}: a table is wanted, {{ setup = ..., per_byte = ... }}"
    for key, v in value.items():
        if key not in LAW:
            return f"has the unknown key {key}; known are {', '.join(LAW)}"
        problem = _number_problem(v, 0, MOST, key != "per_byte")
        if problem:
            return f"{key} {problem}"
    missing = [k for k, needed in LAW.items() if needed and k not in value]
    if missing:
        return f"lacks {missing[0]}"
    if value.get("per_burst") and not value.get("burst_bytes"):
        return "has per_burst without burst_bytes"
    return ""


def _points_problem(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return f"= {value!r}: a list of {{ {' = ..., '.join(POINT)} = ... }} is wanted"
    for i, point in enumerate(value):
        if not isinstance(point, Mapping) or set(point) != set(POINT):
            return f"[{i}] = {point!r}: exactly {', '.join(POINT)} are wanted"
        for key in POINT:
            problem = _number_problem(point[key], 1, CLOCK_KHZ, True)
            if problem:
                return f"[{i}] {key} {problem}"
    return ""


def _together(table: Mapping[str, Any]) -> Fault | None:
    """Values that are fine alone and nonsense together."""
    l1, l2, timing = table["l1"], table["l2"], table["timing"]
    stacks = l1["stack_core0"] + (table["cluster"]["cores"] - 1) * l1["stack_worker"] + l1["runtime"]
    if stacks >= l1["bytes"]:
        return Fault("l1", "bytes", f"= {l1['bytes']}: stacks and runtime take {stacks} of them, nothing is left")
    if l2["runtime"] + l2["stack_fc"] >= l2["bytes"]:
        taken = l2["runtime"] + l2["stack_fc"]
        return Fault("l2", "bytes", f"= {l2['bytes']}: runtime and stack take {taken} of them, nothing is left")
    ranges = sorted([(timing["l1_base"], l1["bytes"], "l1_base"), (timing["l2_base"], l2["bytes"], "l2_base")])
    if ranges[0][0] + ranges[0][1] > ranges[1][0] or ranges[1][0] + ranges[1][1] > 2**32:
        return Fault("timing", ranges[1][2], "L1 and L2 overlap, or leave the 32-bit address space")
    line, ways = timing["icache_line"], timing["icache_ways"]
    if timing["icache_bytes"] and (line < 4 or line & (line - 1) or ways < 1 or timing["icache_bytes"] % (line * ways)):
        return Fault("timing", "icache_bytes", f"is no multiple of {ways} ways of {line} = 2^n bytes")
    if timing["dma_floor"] < timing["dma_wake"] + timing["dma_issue"]:
        return Fault("timing", "dma_floor", "is less than dma_wake + dma_issue")
    return None


def line_of(text: str, section: str, key: str) -> int:
    """The line (from 1) at which `text` sets a key; that of the section when it does not, 0 when neither is there."""
    here, fallback = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
        if header:
            here = header[1].replace('"', "").replace(" ", "")
            if here in (f"{section}.{key}", key if not section else ""):
                return number
            if here == section and section:
                fallback = fallback or number
            continue
        wanted = {(section, key), ("", f"{section}.{key}")}
        found = re.match(r"\s*([A-Za-z0-9_.\"' -]+?)\s*=", line)
        if found and (here, re.sub(r"[\"' ]", "", found[1])) in wanted:
            return number
        if found and not here and section and re.sub(r"[\"' ]", "", found[1]).split(".")[0] == section:
            fallback = fallback or number
    return fallback
