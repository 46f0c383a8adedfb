"""Run events as a trace that chrome://tracing and ui.perfetto.dev open."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dory.sim.iss.result import RunResult, TraceEvent

_TRACKS = {"layer": 0, "DMA in": 20, "DMA out": 21, "RAM read": 30, "RAM write": 31}
_NAMES = {0: "layers", 20: "DMA L2 -> L1", 21: "DMA L1 -> L2", 30: "RAM L3 -> L2", 31: "RAM L2 -> L3"}


def chrome_trace(result: RunResult, cluster_mhz: float = 100.0) -> dict[str, Any]:
    """The JSON object, times in microseconds; one track per core, DMA direction and RAM direction."""
    return trace_file(process(result.events, cluster_mhz, 1, "simulated"))


def trace_file(*processes: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON object that holds one or more processes."""
    return {"displayTimeUnit": "ns", "traceEvents": [e for events in processes for e in events]}


def process(events: Iterable[TraceEvent], cluster_mhz: float, pid: int, name: str) -> list[dict[str, Any]]:
    """Events, times in cluster cycles, as the tracks of one process."""
    tracks: set[int] = set()
    out: list[dict[str, Any]] = []
    for e in events:
        track = _TRACKS.get(e.kind, 1 + e.track)
        tracks.add(track)
        out.append(
            {
                "name": e.name,
                "cat": e.kind,
                "ph": "X",
                "pid": pid,
                "tid": track,
                "ts": e.begin / cluster_mhz,
                "dur": (e.end - e.begin) / cluster_mhz,
                "args": {"cycles": e.end - e.begin, **({"bytes": e.size} if e.size else {})},
            }
        )
    names = [_label(pid, t, "thread_name", _NAMES.get(t, f"core {t - 1}")) for t in sorted(tracks)]
    return [_label(pid, 0, "process_name", name), *names, *out]


def _label(pid: int, track: int, what: str, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": track, "args": {"name": name}}
